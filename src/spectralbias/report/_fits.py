"""The target, the fit at several steps and what is left: as pictures, as curves, as scatter."""

import numpy as np

from ..problems import Problem
from ._evidence import Evidence
from ._figure import MAX_POINTS, Axis, Figure, Picture, Plot, curve, points, thin
from ._pictures import brightness, data_uri, largest_magnitude, signed
from ._text import number, percent

# Pictures with more pixels carry only the target and the last fit as numbers.
MAX_PIXELS = 20_000
# Outputs of a vector-valued signal that are drawn.
MAX_CURVES = 3


def is_picture(problem: Problem) -> bool:
    """Whether the problem is an image, gray or colored."""
    return problem.grid is not None and len(problem.grid.shape) == 2 and problem.num_outputs in (None, 3)


def is_signal(problem: Problem) -> bool:
    """Whether the inputs are a grid on a line."""
    return problem.grid is not None and len(problem.grid.shape) == 1


def fit(evidence: Evidence) -> Figure:
    """The target and the fit at several steps."""
    if is_picture(evidence.run.problem):
        return _pictures(evidence)
    return _curves(evidence) if is_signal(evidence.run.problem) else _scatter(evidence)


def at_step(evidence: Evidence, record: int) -> str:
    """`step 300`."""
    return f"step {int(evidence.steps[record]):,}"


def left(residual: np.ndarray, first: np.ndarray) -> float:
    """Root mean square of a residual as a fraction of the first."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.sum(residual.astype(float) ** 2) / np.sum(first.astype(float) ** 2)))


def _channels(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """One column per channel."""
    if values.ndim == 1:
        return {name: values}
    names = ("red", "green", "blue") if values.shape[1] == 3 else tuple(map(str, range(1, values.shape[1] + 1)))
    return {f"{name} {channel}": values[:, index] for index, channel in enumerate(names)}


def _pictures(evidence: Evidence) -> Figure:
    problem = evidence.run.problem
    assert problem.grid is not None
    rows, columns = shape = problem.grid.shape
    outputs = {at_step(evidence, record): evidence.output(record) for record in evidence.shown}
    residual, first = evidence.residual(len(evidence.steps) - 1), evidence.residual(0)
    largest, remains = largest_magnitude(residual), left(residual, first)
    pictures = [Picture(source=data_uri(brightness(problem.y, shape)), alt="the target image", label="target")]
    for label, output in outputs.items():
        pictures.append(Picture(source=data_uri(brightness(output, shape)), alt=f"the fit at {label}", label=label))
    alt = f"residual at the end, up to {number(largest)} in magnitude"
    pictures.append(Picture(source=data_uri(signed(residual, shape, largest)), alt=alt, label="residual at the end"))
    row, column = np.divmod(np.arange(problem.num_samples), columns)
    kept = list(outputs)[-1:] if problem.num_samples > MAX_PIXELS else list(outputs)
    data = {"row": row, "column": column, **_channels("target", problem.y.astype(np.float32))}
    for label in kept:
        data |= _channels(f"fit at {label}", outputs[label].astype(np.float32))
    colors = "blue where the fit is too dark, red where it is too bright" if problem.y.ndim == 1 else (
        "middle gray where the fit is exact, and for each channel brighter where it is too bright"
    )  # fmt: skip
    outside = any(np.any((output < 0) | (output > 1)) for output in outputs.values())
    return Figure(
        key="fit",
        alt=f"The target image of {columns} × {rows} pixels, the fit at {', '.join(outputs)}, and the residual at the "
        f"end, whose root mean square is {percent(remains)} of its start.",
        caption="The image, what the network made of it along the training, and the residual f − y at the end: "
        f"{colors}. Its root mean square is {percent(remains)} of its start."
        + (" Values outside [0, 1] are shown as black or white." if outside else "")
        + (" The download holds the target and the last fit." if len(kept) < len(outputs) else ""),
        columns=data,
        pictures=pictures,
        scale=(f"−{number(largest)}", "0", number(largest)) if problem.y.ndim == 1 else None,
    )


def _curves(evidence: Evidence) -> Figure:
    problem = evidence.run.problem
    order = np.argsort(problem.x[:, 0], kind="stable")
    x, y = problem.x[order, 0], problem.y[order]
    data = {"x": x, **_channels("target", y)}
    target_columns = list(data)[1:][:MAX_CURVES]
    traces, panels = [], []
    for panel, record in enumerate(evidence.shown):
        label = at_step(evidence, record)
        fits = _channels(f"fit at {label}", evidence.output(record)[order])
        data |= fits
        panels.append(label)
        for name, target in zip(fits, target_columns, strict=False):
            first = panel == 0 and target == target_columns[0]
            target_more = {"legendgroup": "target", "showlegend": first, "panel": panel}
            traces.append(curve("x", target, "target", "--muted", width=1.2, **target_more))
            traces.append(
                curve("x", name, "fit", "--accent", width=1.8, panel=panel, legendgroup="fit", showlegend=first)
            )
    residual = _channels("residual at the end", evidence.residual(len(evidence.steps) - 1)[order])
    data |= residual
    panels.append("residual at the end")
    for index, name in enumerate(list(residual)[:MAX_CURVES]):
        more = {"legendgroup": "residual", "showlegend": index == 0, "panel": len(panels) - 1}
        traces.append(curve("x", name, "residual", "--second", width=1.4, **more))
    remains = percent(left(evidence.residual(len(evidence.steps) - 1), evidence.residual(0)))
    more = len(_channels("", problem.y)) - MAX_CURVES
    return Figure(
        key="fit",
        alt=f"The target signal and the fit at {', '.join(panels[:-1])}, and the residual at the end, whose root mean "
        f"square is {remains} of its start.",
        caption="The target (gray), the fit along the training, and what is left at the end, "
        f"{remains} of the first residual in root mean square."
        + (f" The first {MAX_CURVES} outputs are drawn; the download has all." if more > 0 else ""),
        columns=data,
        plot=Plot(
            traces=traces,
            x=Axis(title="x", switch=False),
            y=Axis(title="value", switch=False),
            panels=panels,
            stacked=True,
            height=105,
        ),
    )


def _scatter(evidence: Evidence) -> Figure:
    problem, records = evidence.run.problem, evidence.shown
    target = problem.y.ravel()
    keep = thin(target.size, MAX_POINTS // len(records))
    data = {"target": target[keep]}
    traces, panels, remains = [], [], []
    first = evidence.residual(0)
    spread = largest_magnitude(*(evidence.output(record) for record in records)) / largest_magnitude(target)
    for panel, record in enumerate(records):
        label = at_step(evidence, record)
        data[f"fit at {label}"] = evidence.output(record).ravel()[keep]
        panels.append(label)
        remains.append(percent(left(evidence.residual(record), first)))
        hover = "target %{x:.3g}<br>fit %{y:.3g}<extra></extra>"
        more = {"panel": panel, "hovertemplate": hover, "showlegend": False, "marker": {"opacity": 0.5}}
        traces.append(points("target", f"fit at {label}", label, "--accent", size=4, **more))
        ends = [float(target.min()), float(target.max())]
        traces.append(curve(ends, ends, "", "--muted", width=1, panel=panel, hoverinfo="skip", showlegend=False))
    some = f" {keep.size:,} of {target.size:,} values are drawn, evenly taken." if keep.size < target.size else ""
    return Figure(
        key="fit",
        alt="Scatter of fit against target at "
        + ", ".join(f"{label} ({part} of the residual left)" for label, part in zip(panels, remains, strict=True))
        + ".",
        caption=f"The fit against the target on the training points. On the diagonal the fit is exact.{some}",
        columns=data,
        plot=Plot(
            traces=traces,
            x=Axis(title="target", switch=False),
            y=Axis(title="fit", switch=False),
            panels=panels,
            free=spread > 10,
            height=210,
        ),
    )


def sentence(evidence: Evidence) -> str:
    """How much is left."""
    remains = left(evidence.residual(len(evidence.steps) - 1), evidence.residual(0))
    steps = int(evidence.steps[-1])
    if not np.isfinite(remains) or remains > 1:
        return f"After {steps:,} steps the residual is larger than at the start."
    return f"After {steps:,} steps the residual is down to {percent(remains)} of its start, in root mean square."
