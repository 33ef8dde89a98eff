"""How far the parameters move by a forecast, and what that does to the network: the size of the next correction."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..dynamics._decay import descent_integral
from ..kernels import empirical_ntk
from ..models import combine, partition
from ._start import Start, outputs


class Motion(eqx.Module):
    """What the frozen kernel leaves out, looked at where it says that the parameters will be.

    Attributes:
        drift: ‖Θ(θ_s) - Θ(θ_0)‖/‖Θ(θ_0)‖ on a part of the samples, with θ_s = θ_0 + Jᵀ w the forecast parameters.
        error: of the linearization there, as far as training does not mend it by itself, over ‖r(0)‖: of
            f(θ_s) - f_linear(θ_s), what arises evenly over the steps leaves the share (1 - (1 - ηλ)^s)/(sηλ) in a mode.
    """

    drift: float = eqx.field(static=True)
    error: float = eqx.field(static=True)


@eqx.filter_jit
def displaced(model: PyTree, x: Array, weights: Array) -> PyTree:
    """The model at θ_0 + Jᵀ w."""
    parameters, rest = partition(model)
    (change,) = jax.vjp(lambda p: jax.vmap(combine(p, rest))(x), parameters)[1](weights)
    return combine(jax.tree.map(jnp.add, parameters, change), rest)


def motion(model: Any, start: Start, rate: float, steps: int, momentum: float, few: int) -> Motion:
    """The motion until a step, by the frozen kernel.

    One gradient, one forward pass, and two kernels on `few` samples.
    """
    frozen, n = start.frozen, start.frozen.num_samples
    first, last = frozen.residuals_at([0, steps], rate, momentum)
    integral = descent_integral(frozen.eigenvalues, np.array([steps]), rate, momentum)[0]
    weights = -(frozen.vectors @ (integral * frozen.coefficients)).reshape(n, *frozen.outputs) / n
    moved = displaced(model, start.x, jnp.asarray(weights, start.x.dtype))
    missed = outputs(moved, start.x) - outputs(model, start.x) - (last - first)
    some = start.x[:: max(1, n // few)][:few]
    before, after = (np.asarray(empirical_ntk(m, some, outputs="mean"), np.float64) for m in (model, moved))
    # Damped deviations (Bowman & Montúfar 2022): a mode that is learned fast mends its own error as fast.
    along = missed.ravel() @ frozen.vectors
    damped = missed.ravel() - frozen.vectors @ (along * (1 - integral * (1 - momentum) / (steps * rate)))
    return Motion(
        float(np.linalg.norm(after - before) / np.linalg.norm(before)),
        float(np.linalg.norm(damped) / np.linalg.norm(first)),
    )
