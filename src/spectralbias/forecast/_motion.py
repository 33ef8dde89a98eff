"""How far the parameters move by a forecast, and what that does to the network: the size of the next correction."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..kernels import empirical_ntk
from ..models import combine, partition


class Motion(eqx.Module):
    """What the frozen kernel leaves out, looked at where it says that the parameters will be.

    Attributes:
        drift: ‖Θ(θ_s) - Θ(θ_0)‖/‖Θ(θ_0)‖ on a part of the samples, with θ_s = θ_0 + Jᵀ w the forecast parameters.
        error: ‖f(θ_s) - f_linear(θ_s)‖ over ‖r(0)‖: the error of the linearization there.
    """

    drift: float = eqx.field(static=True)
    error: float = eqx.field(static=True)


@eqx.filter_jit
def _displaced(model: PyTree, x: Array, weights: Array) -> PyTree:
    """The model at θ_0 + Jᵀ w."""
    parameters, rest = partition(model)
    (change,) = jax.vjp(lambda p: jax.vmap(combine(p, rest))(x), parameters)[1](weights)
    return combine(jax.tree.map(jnp.add, parameters, change), rest)


@eqx.filter_jit
def _outputs(model: PyTree, x: Array) -> Array:
    return jax.vmap(model)(x)


def motion(
    model: Any, x: Array, weights: Float[np.ndarray, "n ..."], change: Float[np.ndarray, "n ..."], scale: float, few: int
) -> Motion:
    """The motion along Jᵀ w, with `change` = Θ w what it does to the outputs in the linearization.

    One gradient, one forward pass, and two kernels on `few` samples.
    """
    moved = _displaced(model, x, jnp.asarray(weights, x.dtype))
    real = np.asarray(_outputs(moved, x), np.float64) - np.asarray(_outputs(model, x), np.float64)
    some = x[:: max(1, len(x) // few)][:few]
    before, after = (np.asarray(empirical_ntk(m, some, outputs="mean"), np.float64) for m in (model, moved))
    return Motion(
        float(np.linalg.norm(after - before) / np.linalg.norm(before)),
        float(np.linalg.norm(real - change) / scale),
    )
