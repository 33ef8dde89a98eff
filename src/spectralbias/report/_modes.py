"""The kernel's modes: when each is learned, how fast it could be, and how much of the target it holds."""

import numpy as np

from ._evidence import WEAK, Evidence
from ._figure import Axis, Figure, Plot, curve, points
from ._text import number, percent, plural

# A mode that falls within the first step has no time of its own.
_TIMES = {"log": True, "floor": 1.0, "floor_label": "≤ 1"}


def learning_times(evidence: Evidence) -> Figure:
    """Predicted against measured 1/e step; against the eigenvalue where there is no prediction."""
    return _against_eigenvalue(evidence) if evidence.prediction is None else _against_prediction(evidence)


def _sizes(shares: np.ndarray) -> list[float]:
    """Diameters in pixels: the area grows with the share."""
    return np.round(6.5 + 16 * np.sqrt(shares / max(shares.max(initial=0), 1e-12)), 1).tolist()


def _times_columns(evidence: Evidence) -> dict[str, np.ndarray]:
    by_mode = evidence.by_mode
    columns = {
        "mode": np.arange(1, len(evidence.eigenvalues) + 1),
        "eigenvalue": evidence.eigenvalues,
        "share": evidence.mode_shares,
        "measured step": by_mode.measured_steps,
    }
    if evidence.prediction is not None:
        columns["predicted step"] = by_mode.predicted_steps
    return columns


def _mode_points(
    evidence: Evidence, which: np.ndarray, x: str, name: str, color: str, symbol: str, sized: bool
) -> dict:
    """The modes of one kind, drawn from the figure's columns at these rows."""
    columns = _times_columns(evidence)
    rows = np.flatnonzero(which)
    custom = [columns["mode"][rows], columns["eigenvalue"][rows], 100 * columns["share"][rows]]
    hover = "mode %{customdata[0]:,d}<br>λ = %{customdata[1]:.3g}<br>%{customdata[2]:.2g} % of the first residual"
    y = columns["measured step"][rows]
    return points(
        columns[x][rows],
        y,
        name,
        color,
        size=_sizes(columns["share"][rows]) if sized else 5,
        symbol=symbol,
        custom=custom,
        marker={"line": {"width": 1, "color": "--paper" if sized else color}, "opacity": 0.9 if sized else 0.4},
        hovertemplate=hover + "<br>measured %{y:,.3~r}, " + f"{x} " + "%{x:,.3~r}<extra></extra>",
    )


def _kinds(evidence: Evidence, found: np.ndarray, x: str) -> list[dict]:
    """Weak modes below, strong ones above."""
    weak = evidence.mode_shares < WEAK
    kinds = []
    if (found & weak).any():
        name = "below 0.1 %: driven by the others"
        kinds.append(_mode_points(evidence, found & weak, x, name, "--muted", "circle-open", False))
    if (found & ~weak).any():
        name = "at least 0.1 % of the first residual"
        kinds.append({**_mode_points(evidence, found & ~weak, x, name, "--accent", "circle", True), "legendrank": 1})
    return kinds


def _against_prediction(evidence: Evidence) -> Figure:
    by_mode, strong = evidence.by_mode, evidence.mode_shares >= WEAK
    fell, said = np.isfinite(by_mode.measured_steps), np.isfinite(by_mode.predicted_steps)
    found = fell & said
    seen = np.concatenate([by_mode.measured_steps[found], by_mode.predicted_steps[found], [1.0, 10.0]])
    ends = np.array([1.0, max(seen.max(), 10.0) * 1.3])
    edge = {"fill": "tonexty", "fillcolor": "--shade", "hoverinfo": "skip", "showlegend": False}
    traces = [
        curve(ends, ends / 1.1, "", "--shade", width=0, hoverinfo="skip", showlegend=False),
        curve(ends, ends * 1.1, "", "--shade", width=0, **edge),
        curve(ends, ends, "", "--muted", width=1, hoverinfo="skip", showlegend=False),
        *_kinds(evidence, found, "predicted step"),
    ]
    # What falls within the first step agrees with any prediction that does so, too.
    measured, predicted = (np.maximum(steps, 1.0) for steps in (by_mode.measured_steps, by_mode.predicted_steps))
    both = found & strong
    near = int(np.sum(np.abs(measured[both] / predicted[both] - 1) <= 0.1))
    counts = f"{near} of {plural(int(both.sum()), 'mode')} with at least 0.1 % of the first residual"
    missed = [
        f"{plural(int(np.sum(strong & fell & ~said)), 'such mode')} fell against the prediction",
        f"{plural(int(np.sum(strong & ~fell & said)), 'such mode')} did not fall as predicted",
    ]
    also = [text for text in missed if not text.startswith("0 ")]
    return Figure(
        key="learning-times",
        alt=f"Scatter of measured against predicted learning step, one point per mode: {counts} lie within 10 % of the "
        "diagonal.",
        caption="Each point is a mode of the kernel; its area is its share of the first residual. On the diagonal the "
        f"prediction is exact, the gray band is ±10 %: {counts} {'lies' if near == 1 else 'lie'} inside. Modes that "
        f"were not learned in this run are not shown{'; ' + ', '.join(also) if also else ''}.",
        columns=_times_columns(evidence),
        plot=Plot(
            traces=traces,
            x=Axis(title="predicted step at which 1/e is left", **_TIMES),
            y=Axis(title="measured step", **_TIMES),
            square=True,
        ),
    )


def _against_eigenvalue(evidence: Evidence) -> Figure:
    found = np.isfinite(evidence.by_mode.measured_steps) & (evidence.eigenvalues > 0)
    count = int(np.sum(found & (evidence.mode_shares >= WEAK)))
    return Figure(
        key="learning-times",
        alt=f"Scatter of measured learning step against eigenvalue; {plural(count, 'mode')} with at least 0.1 % of the "
        "first residual fell to 1/e.",
        caption="Each point is a mode of the kernel at its start; its area is its share of the first residual. "
        "Gradient descent would put them on a falling line, step ∝ 1/eigenvalue; for this optimizer there is no such "
        "prediction.",
        columns=_times_columns(evidence),
        plot=Plot(
            traces=_kinds(evidence, found, "eigenvalue"),
            x=Axis(title="eigenvalue of Θ/n", log=True),
            y=Axis(title="measured step at which 1/e is left", **_TIMES),
            square=True,
        ),
    )


def slowest(evidence: Evidence) -> float | None:
    """The eigenvalue of a mode that falls to 1/e just at the end of the run; None for adaptive optimizers."""
    momentum = evidence.resolved["momentum"]
    if momentum is None:
        return None
    return (1 - momentum) / (evidence.resolved["learning_rate"] * max(1, int(evidence.steps[-1])))


def spectrum(evidence: Evidence) -> Figure:
    """Eigenvalues against their index, with the limit of infinite width and what a run can reach."""
    values, infinite, limit = evidence.eigenvalues, evidence.infinite, slowest(evidence)
    total = evidence.summary["modes"]["total"]
    columns = {
        "mode": np.arange(1, max(len(values), 0 if infinite is None else len(infinite)) + 1),
        "eigenvalue": values,
    }
    traces = []
    if infinite is not None:
        columns["infinite width"] = infinite
        traces.append(curve("mode", "infinite width", "infinite width", "--muted", width=1.5))
    traces.append(points("mode", "eigenvalue", "this network", "--accent", size=5))
    lines = []
    caption = "Eigenvalues of Θ/n at the initialization, from the fastest mode to the slowest."
    alt = f"Eigenvalues against index on logarithmic axes, from {number(values[0])} down to {number(values[-1])}"
    if limit is not None:
        momentum = evidence.resolved["momentum"]
        largest = 2 * (1 + momentum) / evidence.resolved["learning_rate"]
        reached = int(np.sum(values >= limit))
        some = f"{reached:,} of {total:,}" if reached < len(values) else f"all {len(values):,} that were computed"
        over = "(1 − β)/(learning rate × steps)" if momentum else "1/(learning rate × steps)"
        lines = [
            {"axis": "y", "at": float(largest), "text": "stability limit", "place": "end", "below": True},
            {"axis": "y", "at": float(limit), "text": "slowest that this run can learn", "below": True},
        ]
        caption += (
            f" A mode below {over} = {number(limit)} cannot fall to 1/e within this run: {some} lie above. "
            f"Above {number(largest)} = {'2(1 + β)' if momentum else '2'}/learning rate, training diverges."
        )
        alt += f"; {some} can be learned in this run"
    if infinite is not None:
        away = percent(evidence.summary["infinite_distance"])
        caption += f" The line is the kernel of infinite width, from which this network's is {away} away in norm."
    if len(values) < total:
        caption += f" Only the largest {len(values):,} of {total:,} eigenvalues were computed."
    return Figure(
        key="spectrum",
        alt=f"{alt}.",
        caption=caption,
        columns=columns,
        plot=Plot(
            traces=traces, x=Axis(title="mode", log=True), y=Axis(title="eigenvalue of Θ/n", log=True), lines=lines
        ),
    )


def energies(evidence: Evidence) -> Figure:
    """Energy of the first and the last residual in every mode."""
    shares = evidence.mode_shares
    with np.errstate(over="ignore", invalid="ignore"):
        last = evidence.coefficients[-1] ** 2 / (2 * evidence.loss[0])
        predicted = evidence.predicted_coefficients
        expected = None if predicted is None else predicted[-1] ** 2 / (2 * evidence.loss[0])
    columns = {"mode": np.arange(1, len(shares) + 1), "at the start": shares, "at the end": last}
    traces = [
        points("mode", "at the start", "at the start", "--muted", size=5, symbol="circle-open"),
        points("mode", "at the end", "at the end", "--accent", size=4.5, marker={"opacity": 0.75}),
    ]
    if expected is not None:
        columns["at the end predicted"] = expected
        name, more = "at the end, predicted", {"visible": "legendonly"}
        traces.append(
            points("mode", "at the end predicted", name, "--second", size=6, symbol="cross-thin-open", **more)
        )
    positive = np.concatenate([shares[shares > 0], last[np.isfinite(last) & (last > 0)]])
    floor = float(positive.min() / 3)
    order = np.argsort(shares)[::-1]
    half = int(np.searchsorted(np.cumsum(shares[order]), 0.9) + 1)
    held = float(shares.sum())
    most = f"{plural(half, 'mode')} hold 90 % of it" if held >= 0.9 else f"together they hold {percent(held)} of it"
    left = percent(float(last.sum()) / held) if held > 0 and np.isfinite(last).all() else "–"
    limit, lines = slowest(evidence), []
    if limit is not None:
        reached = int(np.sum(evidence.eigenvalues >= limit))
        lines = (
            [{"axis": "x", "at": reached + 0.5, "text": " reach of this run ", "place": "end", "left": reached > 30}]
            if 0 < reached < len(shares)
            else []
        )
    return Figure(
        key="energies",
        alt=f"Share of the first residual in each mode at the start and at the end, logarithmic: {most}, and {left} of "
        "the energy in these modes is left.",
        caption=f"The first residual (the target, where f = 0 at the start) taken apart into modes: {most}. Points "
        "that sank were learned, points that stayed were not.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title="mode, fastest first", log=True),
            y=Axis(title="energy, share of the first residual", log=True, floor=floor, floor_label="less"),
            lines=lines,
        ),
    )
