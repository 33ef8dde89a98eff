"""Activations: functions by name, and the check that a function is one."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError, unknown
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
# Other functions of JAX that are the same.
_SAME: dict[Callable[[Array], Array], str] = {
    jax.lax.abs: "abs",
    jax.lax.cos: "cos",
    jax.lax.erf: "erf",
    jax.lax.sin: "sin",
    jax.lax.tanh: "tanh",
    jax.nn.identity: "identity",
    jax.nn.tanh: "tanh",
    jnp.absolute: "abs",
}
_NAMES = _SAME | {function: name for name, function in _FUNCTIONS.items()}

# numpy.polynomial: its classes read no traced arrays, these functions do.
_EVALUATE = {
    np.polynomial.Polynomial: np.polynomial.polynomial.polyval,
    np.polynomial.Chebyshev: np.polynomial.chebyshev.chebval,
    np.polynomial.Hermite: np.polynomial.hermite.hermval,
    np.polynomial.HermiteE: np.polynomial.hermite_e.hermeval,
    np.polynomial.Laguerre: np.polynomial.laguerre.lagval,
    np.polynomial.Legendre: np.polynomial.legendre.legval,
}


class PolynomialActivation(eqx.Module):
    """A series of `numpy.polynomial` as an elementwise function of JAX arrays, with a hash."""

    kind: type = eqx.field(static=True)
    coefficients: tuple[float, ...] = eqx.field(static=True)
    offset: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __call__(self, z: Array) -> Array:
        """The polynomial at every entry of z."""
        evaluate: Any = _EVALUATE[self.kind]
        return evaluate(self.offset + self.scale * z, np.asarray(self.coefficients, z.dtype))


def activation(name_or_function: Any) -> Callable[[Array], Array]:
    """The elementwise function of that name; an elementwise function is returned as it is.

    `"gaussian"` is exp(-z²/2), `"gelu"` the exact z Φ(z), `"leaky_relu"` has slope 0.01 below zero. A series of
    `numpy.polynomial` becomes a function of JAX arrays.

    Raises:
        InputError: an unknown name; a function that is not elementwise, fails on arrays of JAX, or is not finite.

    Example:
        >>> from spectralbias import models
        >>> float(models.activation("relu")(-1.0))
        0.0
    """
    if type(name_or_function) in _EVALUATE:
        series = name_or_function
        if series.coef.dtype.kind not in "fiu" or not np.all(np.isfinite(series.coef)):
            raise InputError(f"`activation` must be a polynomial with finite real coefficients, got {series.coef}")
        offset, scale = (float(part) for part in series.mapparms())
        return PolynomialActivation(type(series), tuple(float(c) for c in series.coef), offset, scale)
    if not callable(name_or_function):
        if not isinstance(name_or_function, str) or name_or_function not in _FUNCTIONS:
            raise unknown("activation", name_or_function, ACTIVATIONS)
        return _FUNCTIONS[name_or_function]
    if activation_name(name_or_function) is None:  # pyright: ignore[reportArgumentType]
        _check_elementwise(name_or_function)  # pyright: ignore[reportArgumentType]
    return name_or_function  # pyright: ignore[reportReturnType]


def activation_name(function: Callable[[Array], Array]) -> str | None:
    """The name of a function that has one."""
    partial = isinstance(function, functools.partial) and not function.args
    if partial and function.func is jax.nn.gelu and function.keywords == {"approximate": False}:
        return "gelu"
    return next((name for known, name in _NAMES.items() if known is function), None)


def _check_elementwise(function: Callable[[Array], Array]) -> None:
    """Refuse what is no activation; a function is looked at once."""
    try:
        problem = _remembered_problem(function)
    except TypeError:  # no hash
        problem = _problem(function)
    if problem:
        raise InputError(f"`activation` must be an elementwise function, but {_describe(function)} {problem}")


def _describe(function: Callable[[Array], Array]) -> str:
    return f"`{getattr(function, '__name__', type(function).__name__)}`"


def _problem(function: Callable[[Array], Array]) -> str | None:
    """What is wrong with a function, from its values at two vectors and at a mixture of them."""
    one, two = np.array([-1.3, 0.4, 2.1, -0.2]), np.array([0.7, -2.2, -0.6, 1.5])
    second = np.array([False, True, False, True])
    with jax.ensure_compile_time_eval():
        z = jnp.asarray(np.stack([one, two, np.where(second, two, one)]), float)
        try:
            f = jax.jit(lambda z: [function(row) for row in z])(z)
        except Exception as error:  # whatever a user's function raises
            lines = str(error).splitlines() or [""]
            return f"fails on an array of shape (4,): {type(error).__name__}: {lines[0][:200]}"
        shapes = [jnp.shape(row) for row in f]
        if shapes != [(4,)] * 3:
            return f"maps an array of shape (4,) to one of shape {shapes[0]}"
        f = np.asarray(f)
    if not np.issubdtype(f.dtype, np.floating):
        return f"returns {f.dtype} for {z.dtype}"
    if not np.all(np.isfinite(f)):
        where = tuple(np.argwhere(~np.isfinite(f))[0])
        return f"is {f[where]} at {z[where]:.1f}"
    if not np.allclose(f[2], np.where(second, f[1], f[0]), rtol=1e-5, atol=1e-6):
        return "has entries that depend on the other entries of its argument (as softmax has)"
    return None


_remembered_problem = functools.lru_cache(maxsize=256)(_problem)
