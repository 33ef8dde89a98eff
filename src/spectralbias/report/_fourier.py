"""The Fourier spectrum of target and residual, for data on a grid."""

import numpy as np

from ..spectra._bands import frequency_radius
from ._evidence import Evidence
from ._figure import Axis, Figure, Plot, curve
from ._fits import at_step
from ._text import number


def radial(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Root mean square of the Fourier coefficients with |k| rounded to 0, 1, 2, …, over outputs, too."""
    grid = np.asarray(values, float).reshape(*shape, -1)
    axes = tuple(range(len(shape)))
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.sum(np.abs(np.fft.fftn(grid, axes=axes) / np.prod(shape)) ** 2, axis=-1).ravel()
        radius = np.rint(frequency_radius(shape)).astype(int).ravel()
        return np.sqrt(np.bincount(radius, power) / np.bincount(radius))


def fourier(evidence: Evidence) -> Figure:
    """Amplitude against frequency: of the target, and of the residual along the training."""
    problem = evidence.run.problem
    assert problem.grid is not None
    shape, records = problem.grid.shape, evidence.shown
    target = radial(problem.y, shape)
    columns = {"frequency": np.arange(len(target)), "target": target}
    columns["fit at the end"] = radial(evidence.output(len(evidence.steps) - 1), shape)
    traces = [
        curve("frequency", "target", "target", "--ink"),
        curve("frequency", "fit at the end", "fit at the end", "--ink", dash="dot", width=1.6, visible="legendonly"),
    ]
    for index, record in enumerate(records):
        name = f"residual at {at_step(evidence, record)}"
        columns[name] = radial(evidence.residual(record), shape)
        traces.append(curve("frequency", name, name, f"--time-{index}"))
    residuals = np.concatenate(list(columns.values())[3:])
    floor = np.min(residuals, where=residuals > 0, initial=target.max()) / 2
    last = columns[f"residual at {at_step(evidence, records[-1])}"]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(target > 1e-12 * target.max(), last / target, np.nan)
    shown = {f"{k}": relative[k] for k in (0, 1, 4, 16) if k < len(relative) and np.isfinite(relative[k])}
    main = "; ".join(f"{number(100 * value, 2)} % left at {k}" for k, value in shown.items())
    where = "at each frequency" if len(shape) == 1 else "in each ring |k| = 0, 1, 2, …"
    return Figure(
        key="fourier",
        alt=f"Fourier amplitude of the target and of the residual along the training against frequency: {main}.",
        caption=f"Root mean square of the Fourier coefficients {where}, in {problem.grid.unit}. The residual starts as "
        "the target (up to the network’s own first output) and sinks where it is learned; what stays up is what the "
        "network does not see yet.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title=f"frequency ({problem.grid.unit})", log=True, floor=0.4),
            y=Axis(title="amplitude", log=True, floor=float(floor), floor_label="less"),
            unified=True,
        ),
    )
