"""By how much the motion of the kernel slows modes down."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..dynamics import crossing, frozen, log_spaced, training_time
from ..dynamics._decay import flow_integral
from ..kernels import empirical_ntk
from ..problems import Problem
from ..spectra import eigenmodes
from ._motion import displaced
from ._start import Start, outputs

# Where the network is looked at again, of the budget.
PLACES = np.geomspace(1 / 300, 1, 12)


def slowdown(
    model: Any, start: Start, problem: Problem, budget: int, horizon: int, rate: float, momentum: float
) -> Float[np.ndarray, " k"]:
    """Learning times with the kernel in motion over those with the frozen one, in gradient flow; 1 where neither ends.

    Exponential Euler steps: from place to place the parameters move by -Jᵀ ∫ r/n, with the kernel of the place before;
    there, kernel and residual are the network's own. Kinks are no obstacle. 12 gradients, kernels and
    eigendecompositions; with so few steps most of the difference to a training is in.
    """
    if not start.modes.is_complete:
        return np.ones(len(start.modes.eigenvalues))
    times = training_time(log_spaced(horizon), rate, momentum=momentum)
    places = [0.0, *(PLACES * float(training_time(budget, rate, momentum=momentum)))]
    amplitudes = []
    for begin, end in zip(places, [*places[1:], np.inf], strict=True):
        residual = outputs(model, start.x) - problem.y
        part = frozen(eigenmodes(empirical_ntk(model, start.x)), residual)
        here = times[(times >= begin) & (times < end)]
        if len(here):
            amplitudes.append(start.modes.project(part.residuals(here - begin)))
        if np.isfinite(end):
            integral = flow_integral(part.eigenvalues, np.array([end - begin]))[0]
            weights = -(part.vectors @ (integral * part.coefficients)).reshape(residual.shape) / len(residual)
            model = displaced(model, start.x, jnp.asarray(weights, start.x.dtype))
    moving = crossing(times, np.concatenate(amplitudes))
    still = crossing(times, start.modes.project(start.frozen.residuals(times)))
    return np.divide(moving, still, out=np.ones_like(moving), where=np.isfinite(still) & (still > 0))
