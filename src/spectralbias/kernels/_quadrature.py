"""Gaussian expectations of any elementwise function, by Gauss-Hermite quadrature of its Hermite coefficients."""

import functools
import math
import warnings
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._core.errors import InputError
from ._covariance import root
from ._hermite import hermite_functions, hermite_rule, traced_hermite_functions

# Numbers of terms of a series: a pair costs one multiplication and addition per term.
TERMS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# The rule needs more points than the series has terms, or its error is the square root of that of the series.
POINTS_PER_TERM = 3
# Terms and points that errors are estimated from.
FINE = (2048, 4096)
# Variances at which a number of terms is chosen and its error estimated.
LARGEST_VARIANCE = 10.0
VARIANCES = LARGEST_VARIANCE * 4.0 ** -np.arange(7.0)
# Twice the terms show only a part of a tail that decays slowly: a third of it for a jump.
SAFETY = 10.0
BLOCK = 16
WARN_ABOVE = 1e-6


class QuadratureWarning(UserWarning):
    """A kernel by quadrature is not accurate for this activation; the message has the estimate of the error."""


class Derivative(eqx.Module):
    """σ' of an elementwise σ."""

    function: Callable[[Array], Array]

    def __call__(self, z: Array) -> Array:
        """σ'(z), elementwise."""
        return jax.jvp(self.function, (z,), (jnp.ones_like(z),))[1]


class QuadratureDual(eqx.Module):
    """Expectations of an elementwise function by its Mehler series.

    E σσ = Σ_{k < terms} a_k(q1) a_k(q2) ρ^k, with Hermite coefficients a_k(q) = E σ(√q z) h_k(z) from a Gauss rule.
    σ' is taken by automatic differentiation and expanded in the same way. Where the coefficients of the variances at
    hand decay sooner, the series ends sooner.

    `error` is an estimate of the largest error of E σσ over √(E σ(u)² E σ(v)²), and of E σ'σ' likewise, at any
    correlation and for variances up to 10; `error_at` estimates it for other variances.
    """

    function: Callable[[Array], Array]
    terms: int = eqx.field(static=True)
    error: float = eqx.field(static=True)

    @property
    def method(self) -> str:
        """How the expectations are computed."""
        return "quadrature"

    def second_moment(self, square: ArrayLike) -> Array:
        """E σ(u)² for u of this variance."""
        return jnp.sum(self._coefficients(self.function, jnp.asarray(square)) ** 2, axis=0)

    def moments(self, product: ArrayLike, square1: ArrayLike, square2: ArrayLike) -> tuple[Array, Array]:
        """(E σσ, E σ'σ') of Gaussians of covariance [[square1, product], [product, square2]]."""
        product, square1, square2 = jnp.asarray(product), jnp.asarray(square1), jnp.asarray(square2)
        scale = root(square1) * root(square2)
        ratio = product / jnp.where(scale > 0, scale, 1)
        second, first = (
            _series(self._coefficients(f, square1), self._coefficients(f, square2), ratio)
            for f in (self.function, Derivative(self.function))
        )
        return second, first

    def error_at(self, smallest: float, largest: float) -> float:
        """The estimate of `error` for variances from `smallest` to `largest`, instead of up to 10."""
        squares = np.unique(np.geomspace(smallest, largest, len(VARIANCES)))
        return _estimate(*_samples(self.function, (_resolution(self.terms), FINE), squares))

    def _coefficients(self, function: Callable[[Array], Array], square: Array) -> Float[Array, "terms ..."]:
        nodes, factors = (jnp.asarray(part, square.dtype) for part in hermite_rule(_resolution(self.terms)[1]))
        values = function(root(square).reshape(-1, 1) * nodes[None, :]) * factors[None, :]
        psi = traced_hermite_functions(nodes, self.terms)
        return jnp.matmul(psi, values.T, precision="highest").reshape(-1, *square.shape)


def _horner(one: Array, two: Array, ratio: Array, total: Array) -> Array:
    """Σ_k one_k two_k ratio^k + total ratio^terms."""

    def step(total, pair):
        return total * ratio + pair[0] * pair[1], None

    return jax.lax.scan(step, total, (one, two), reverse=True, unroll=BLOCK)[0]


def _needed(coefficients: Array) -> Array:
    """The number of terms beyond which the others are lost in rounding, at every variance."""
    squares = coefficients.reshape(len(coefficients), -1) ** 2
    tails = jnp.cumsum(squares[::-1], axis=0)[::-1]
    return jnp.sum(jnp.any(tails > jnp.finfo(tails.dtype).eps / 8 * tails[:1], axis=1))


@jax.custom_jvp
def _series(one: Array, two: Array, ratio: Array) -> Array:
    """Σ_k one_k two_k ratio^k by Horner's scheme, block by block, without blocks that are lost in rounding."""
    start = jnp.zeros(jnp.broadcast_shapes(one.shape[1:], two.shape[1:], ratio.shape), ratio.dtype)

    def add(state):
        block, total = state
        a, b = (jax.lax.dynamic_slice_in_dim(part, (block - 1) * BLOCK, BLOCK) for part in (one, two))
        return block - 1, _horner(a, b, ratio, total)

    blocks = (jnp.maximum(_needed(one), _needed(two)) + BLOCK - 1) // BLOCK
    return jax.lax.while_loop(lambda state: state[0] > 0, add, (blocks, start))[1]


@_series.defjvp
def _series_jvp(primals, tangents):
    """By more series: a derivative of the loop would keep every step of it, and this loop has none."""
    (one, two, ratio), (done, dtwo, dratio) = primals, tangents
    value = _series(*primals)
    zero = jnp.zeros_like(value)
    order = jnp.arange(1, len(one), dtype=one.dtype).reshape(-1, *(1,) * (one.ndim - 1))
    slope = _horner(order * one[1:], two[1:], ratio, zero)
    return value, _horner(done, two, ratio, zero) + _horner(one, dtwo, ratio, zero) + slope * dratio


@eqx.filter_jit
def _values(function: Callable[[Array], Array], z: Array) -> tuple[Array, Array]:
    """σ and σ'."""
    return function(z), Derivative(function)(z)


def _resolution(terms: int) -> tuple[int, int]:
    """Terms of a series and points of its rule."""
    return terms, POINTS_PER_TERM * terms


def _samples(
    function: Callable[[Array], Array], resolutions: tuple[tuple[int, int], ...], squares: np.ndarray
) -> list[np.ndarray]:
    """The coefficients (2, variances, terms) of σ and σ' at each resolution."""
    rules = [hermite_rule(points) for _, points in resolutions]
    z = np.sqrt(squares)[:, None] * np.concatenate([nodes for nodes, _ in rules])[None, :]
    with jax.ensure_compile_time_eval():
        values = np.stack([np.asarray(v, np.float64) for v in _values(function, jnp.asarray(z, float))])
    if not np.all(np.isfinite(values)):
        where = tuple(np.argwhere(~np.isfinite(values))[0])
        what = "derivative" if where[0] else "value"
        raise InputError(f"`activation` must be finite, got the {what} {values[where]} at {z[where[1:]]:.4g}")
    parts = np.split(values, np.cumsum([len(nodes) for nodes, _ in rules])[:-1], axis=2)
    return [
        (part * factors) @ hermite_functions(nodes, terms).T
        for part, (nodes, factors), (terms, _) in zip(parts, rules, resolutions, strict=True)
    ]


def _difference(coarse: np.ndarray, fine: np.ndarray) -> float:
    """The largest change of E f(u)f(v), over √(E f(u)² E f(v)²), between two sets of coefficients, at any ρ."""
    change = fine[:, :, None, :] * fine[:, None, :, :]
    change[..., : coarse.shape[2]] -= coarse[:, :, None, :] * coarse[:, None, :, :]
    norms = np.sqrt(np.sum(fine**2, axis=2))
    scale = norms[:, :, None] * norms[:, None, :]
    return float(np.max(np.sum(np.abs(change), axis=3) / np.where(scale > 0, scale, 1)))


def _eps() -> float:
    """The precision in which activations are evaluated."""
    return float(jnp.finfo(jnp.result_type(float)).eps)


def _estimate(coarse: np.ndarray, fine: np.ndarray) -> float:
    """The error of the coarse coefficients, that of rounding included."""
    return SAFETY * _difference(coarse, fine) + 4 * _eps() * coarse.shape[2] ** 0.5


def quadrature_dual(function: Callable[[Array], Array]) -> QuadratureDual:
    """The dual with the fewest terms whose error is that of rounding, or with the most."""
    *coarse, fine = _samples(function, (*map(_resolution, TERMS), FINE), VARIANCES)
    enough = [_difference(one, fine) <= 20 * _eps() for one in coarse]
    best = enough.index(True) if any(enough) else -1
    return QuadratureDual(function, TERMS[best], _estimate(coarse[best], fine))


@functools.lru_cache(maxsize=256)
def _error_up_to(dual: QuadratureDual, variance: float) -> float:
    return dual.error_at(variance / 16, variance)


@eqx.filter_jit
def _second_moment(dual: QuadratureDual, square: Array) -> Array:
    return dual.second_moment(square)


def warn_beyond(dual: QuadratureDual, variance: float, layers: int, weight: float, bias: float) -> None:
    """Warn where variances of the layers, the first of which is given, are beyond those of `error` and too large.

    The estimate is made once for all variances between two powers of 2.
    """
    largest = variance
    for _ in range(layers - 1):
        variance = weight * float(_second_moment(dual, jnp.asarray(variance, float))) + bias
        largest = max(largest, variance)
    if largest <= LARGEST_VARIANCE or not math.isfinite(largest):
        return
    error = _error_up_to(dual, 2.0 ** math.ceil(math.log2(largest)))
    if error > WARN_ABOVE + 500 * _eps():
        warnings.warn(
            f"the preactivations of these inputs have variances up to {largest:.3g}, at which the relative error of "
            f"the Gauss-Hermite quadrature of {_name(dual.function)} is estimated as {error:.1e}: scale the inputs",
            QuadratureWarning,
            stacklevel=5,
        )


def _name(function: Callable[[Array], Array]) -> str:
    return f"`{getattr(function, '__name__', type(function).__name__)}`"


def warn_if_rough(dual: QuadratureDual) -> None:
    """Warn where the estimate of the error is more than a kernel should have."""
    if dual.error > WARN_ABOVE + 500 * _eps():
        warnings.warn(
            f"the activation {_name(dual.function)} is not smooth enough for Gauss-Hermite quadrature: the relative "
            f"error of its kernels is estimated as {dual.error:.1e}",
            QuadratureWarning,
            stacklevel=4,
        )
