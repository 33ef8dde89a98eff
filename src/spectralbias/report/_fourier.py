"""The Fourier spectrum of target and residual, for data on a grid."""

import numpy as np

from ..spectra import radial_spectrum
from ._evidence import Evidence
from ._figure import Axis, Figure, Plot, curve
from ._fits import at_step
from ._text import number


def fourier(evidence: Evidence) -> Figure:
    """Amplitude against frequency: of the target, and of the residual along the training."""
    problem = evidence.run.problem
    assert problem.grid is not None
    shape, records = problem.grid.shape, evidence.shown
    target = radial_spectrum(problem.y, shape).rms
    columns = {"frequency": np.arange(len(target)), "target": target}
    columns["fit at the end"] = radial_spectrum(evidence.output(len(evidence.steps) - 1), shape).rms
    traces = [
        curve("frequency", "target", "target", "--ink"),
        curve("frequency", "fit at the end", "fit at the end", "--ink", dash="dot", width=1.6, visible="legendonly"),
    ]
    for index, record in enumerate(records):
        name = f"residual at {at_step(evidence, record)}"
        columns[name] = radial_spectrum(evidence.residual(record), shape).rms
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
