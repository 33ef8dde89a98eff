"""Any JAX function as a model."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, PyTree


class FunctionModel(eqx.Module):
    """f(x) = apply_fn(params, x)."""

    apply_fn: Callable[[PyTree, Array], Array] = eqx.field(static=True)
    params: PyTree

    def __call__(self, x: Array) -> Array:
        """f(x) of one input."""
        return self.apply_fn(self.params, x)


def from_function(apply_fn: Callable[[PyTree, Array], Array], params: PyTree) -> FunctionModel:
    """A model from a function `apply_fn(params, x)` of one input, with `params` as its parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> from spectralbias import models
        >>> model = models.from_function(lambda p, x: p @ x, jnp.ones(3))
        >>> float(model(jnp.arange(3.0)))
        3.0
    """
    return FunctionModel(apply_fn, params)
