"""When each band is learned, the loss, and how far the kernel moved: curves against the step."""

from typing import Any

import numpy as np

from ._evidence import WEAK, Evidence
from ._figure import STEPS, Axis, Figure, Plot, curve
from ._text import listed, number, percent, plural, step

KEYS = {"predicted": "dash"}


def frame(evidence: Evidence) -> float:
    """The largest amplitude to make room for: that of the bands which hold something at the start."""
    amplitudes = evidence.amplitudes[:, evidence.band_shares >= WEAK]
    return float(np.max(amplitudes, where=np.isfinite(amplitudes), initial=1.0))


def swath(predicted: bool, count: int = 1) -> dict[str, Any]:
    """What is measured is wide and pale where a prediction is drawn over it: else the two hide each other."""
    return {"width": 6 if count <= 6 else 4, "opacity": 0.4} if predicted else {"width": 2}


def theory(x: str, y: str, name: str, color: str, **more: Any) -> dict[str, Any]:
    """What is predicted: thin and dashed."""
    more = {"part": "predicted", "showlegend": False, **more}
    return curve(x, y, name, color, dash="6px,3px", width=1.8, **more)


def residuals(evidence: Evidence) -> Figure:
    """Residual amplitude of each band, measured and predicted."""
    names, predicted = evidence.band_names, evidence.predicted_amplitudes
    columns = {"step": evidence.steps}
    traces = []
    for index, name in enumerate(names):
        color = f"--band-{index}"
        group: dict[str, Any] = {"legendgroup": f"band {index}"}
        columns[f"{name} measured"] = evidence.amplitudes[:, index]
        traces.append(
            curve("step", f"{name} measured", name, color, **swath(predicted is not None, len(names)), **group)
        )
        if predicted is not None:
            columns[f"{name} predicted"] = predicted[:, index]
            traces.append(theory("step", f"{name} predicted", f"{name}, predicted", color, **group))
    largest = frame(evidence)
    y = Axis(title="residual, relative to start", log=largest > 20, range=(0.0, 1.04 * largest))
    plot = Plot(
        traces=traces,
        x=STEPS,
        y=y,
        lines=[{"axis": "y", "at": float(np.exp(-1)), "text": "1/e"}],
        keys=KEYS if predicted is not None else {},
        unified=len(traces) <= 12,
    )
    return Figure(
        key="residuals", alt=_residuals_alt(evidence), caption=_residuals_caption(evidence), columns=columns, plot=plot
    )


def _residuals_alt(evidence: Evidence) -> str:
    said = []
    for band in evidence.summary["bands"]:
        when = band["measured_step"]
        left = percent(band["measured_left"])
        said.append(f"{band['name']} {f'falls to 1/e at step {step(when)}' if when is not None else f'ends at {left}'}")
    return f"Residual amplitude against step, one curve per band, relative to its start: {'; '.join(said)}."


def _residuals_caption(evidence: Evidence) -> str:
    text = (
        "Root mean square of the residual in each band, as a fraction of its start. Where a curve crosses the dotted "
        "line, 1/e, that band counts as learned."
    )
    if evidence.predicted_amplitudes is not None:
        text += " Solid: measured in training. Dashed: predicted by the kernel frozen at its initialization."
    weak = [name for name, share in zip(evidence.band_names, evidence.band_shares, strict=True) if share < WEAK]
    if weak:
        verb = "holds" if len(weak) == 1 else "hold"
        text += f" {listed(weak).capitalize()} {verb} less than 0.1 % of the first residual: what is seen there "
        text += "comes from the other bands."
    return text


def loss(evidence: Evidence) -> Figure:
    """Training loss, held-out loss, and the frozen kernel's training loss."""
    columns = {"step": evidence.steps, "training": evidence.loss}
    traces = [curve("step", "training", "training", "--ink", **swath(evidence.predicted_loss is not None))]
    if evidence.test_loss is not None:
        columns["held out"] = evidence.test_loss
        traces.append(curve("step", "held out", "held out", "--accent"))
    if evidence.predicted_loss is not None:
        columns["training predicted"] = evidence.predicted_loss
        traces.append(theory("step", "training predicted", "training, predicted", "--ink"))
    ends = [f"{name} from {number(values[0])} to {number(values[-1])}" for name, values in list(columns.items())[1:]]
    return Figure(
        key="loss",
        alt=f"Loss against step: {'; '.join(ends)}.",
        caption="The loss (1/2n) Σ (f − y)² of everything together. Its slope changes whenever one part of the target "
        "is done and the next, slower one takes over.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="loss", log=True),
            keys=KEYS if evidence.predicted_loss is not None else {},
            height=340,
            unified=True,
        ),
    )


def drift(evidence: Evidence) -> Figure:
    """The kernel's distance from its start."""
    steps, values = evidence.drift["step"].to_numpy(), evidence.drift["drift"].to_numpy()
    samples = min(evidence.run.config.analysis.drift_samples, evidence.run.problem.num_samples)
    trace = curve("step", "drift", "drift", "--accent", showlegend=False)
    return Figure(
        key="drift",
        alt=f"Distance of the kernel from its start against step: {percent(values[-1])} at step {int(steps[-1]):,}.",
        caption=f"‖Θ_t − Θ_0‖/‖Θ_0‖ on {plural(samples, 'training point')}. The frozen-kernel prediction takes this to "
        "be zero; below about 10 % training is close to linear in the parameters.",
        columns={"step": steps, "drift": values},
        plot=Plot(
            traces=[{**trace, "mode": "lines+markers", "marker": {"color": "--accent", "size": 6}}],
            x=STEPS,
            y=Axis(title="kernel drift", log=True, format="~%"),
            height=320,
        ),
    )


def drift_sentence(evidence: Evidence) -> str:
    """What the drift says."""
    last = evidence.summary["drift"]
    if last is None:
        return "How the tangent kernel moved until the training diverged."
    word = "hardly moved: the network trained like a linear model" if last < 0.03 else "moved"
    return f"The tangent kernel {word}; at the end it is {percent(last)} of its norm away from its start."
