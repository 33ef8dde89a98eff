"""Activations by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._core.errors import unknown
from .._core.names import ACTIVATIONS


def _gaussian(z: Array) -> Array:
    return jnp.exp(-(z**2) / 2)


def _gelu(z: Array) -> Array:
    return jax.nn.gelu(z, approximate=False)


def _identity(z: Array) -> Array:
    return z


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "abs": jnp.abs,
    "cos": jnp.cos,
    "elu": jax.nn.elu,
    "erf": jax.scipy.special.erf,
    "gaussian": _gaussian,
    "gelu": _gelu,
    "identity": _identity,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


def activation(name_or_function: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The elementwise function of that name; a function is returned as it is.

    `"gaussian"` is exp(-z²/2), `"gelu"` the exact z Φ(z), `"leaky_relu"` has slope 0.01 below zero.

    Raises:
        InputError: an unknown name.

    Example:
        >>> from spectralbias import models
        >>> float(models.activation("relu")(-1.0))
        0.0
    """
    if callable(name_or_function):
        return name_or_function
    if name_or_function not in _FUNCTIONS:
        raise unknown("activation", name_or_function, ACTIVATIONS)
    return _FUNCTIONS[name_or_function]
