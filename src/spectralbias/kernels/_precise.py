"""Infinite-width kernels on the unit sphere in any number of digits, and as power series.

Small Mercer eigenvalues are differences of large numbers: their digits need more than float64 of the kernel. The
formulas here are those of the kernels' `_pair`, over `mpmath.mpf` or power series, which know `+`, `*` and their angle.

An activation by quadrature is known by its Hermite coefficients in float64. Their squares are the terms of a series, so
that bounds of the coefficients bound every eigenvalue: all that follows is a sum of products of positive terms.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import mpmath
import numpy as np

from ._arc_cosine import arc_cosine
from ._bowman import BowmanKernel
from ._closed_forms import ErfDual, GaussianDual, GELUDual, PolynomialDual, SineDual
from ._infinite import FullyConnectedKernel, TwoLayerKernel
from ._piecewise_dual import PiecewiseDual
from ._quadrature import FINE, QuadratureDual, _samples

Bound = Literal["below", "estimate", "above"]


class RoughError(Exception):
    """An activation whose Hermite series does not end within what is computed."""


def _angle_and_sine(cosine: Any) -> tuple[Any, Any]:
    if isinstance(cosine, mpmath.mpf):
        return mpmath.acos(cosine), mpmath.sqrt((1 - cosine) * (1 + cosine))
    return cosine.angle_and_sine()


def _piecewise(dual: PiecewiseDual, product: Any, square: Any) -> tuple[Any, Any, Any]:
    """As `PiecewiseDual.layer`: with A = ((p + n)/2)², B = ((p - n)/2)²."""
    p, n = mpmath.mpf(dual.positive_slope), mpmath.mpf(dual.negative_slope)
    a, b = (p + n) ** 2 / 4, (p - n) ** 2 / 4
    cosine = product * (1 / square)
    angle, sine = _angle_and_sine(cosine)
    second = square * (cosine * (a + b) + (sine - angle * cosine) * (2 * b / mpmath.pi))
    return second, angle * (-2 * b / mpmath.pi) + (a + b), square * (a + b)


def _smooth(dual: Any, c: Any, q: Any) -> tuple[Any, Any]:
    """(E σσ, E σ'σ') of Gaussians of variance q and covariance c, for the activations with closed forms."""
    if isinstance(dual, ErfDual):
        scale = mpmath.sqrt((1 + 2 * q) ** 2 - 4 * c**2)
        return 2 / mpmath.pi * mpmath.asin(2 * c / (1 + 2 * q)), 4 / (mpmath.pi * scale)
    if isinstance(dual, SineDual):
        sines, cosines = (mpmath.exp(-q) * wave(c) for wave in (mpmath.sinh, mpmath.cosh))
        return (cosines, sines) if dual.cosine else (sines, cosines)
    if isinstance(dual, GaussianDual):
        square = (1 + q) ** 2 - c**2
        return 1 / mpmath.sqrt(square), c * square ** (mpmath.mpf(-3) / 2)
    if isinstance(dual, GELUDual):
        determinant = q**2 - c**2
        square = 1 + 2 * q + determinant
        scale = 2 * mpmath.pi * mpmath.sqrt(square)
        positive = (mpmath.pi / 2 + mpmath.asin(c / (1 + q))) / (2 * mpmath.pi)
        second = c * positive + (q * (q + determinant) + c**2) / ((1 + q) * scale)
        return second, positive + c * (2 / (1 + q) + 1 / square) / scale
    series = _hermite(dual, q)
    return (
        sum(h * c**k for k, h in enumerate(series)),
        sum(k * h * c ** (k - 1) for k, h in enumerate(series) if k),
    )


def _hermite(dual: PolynomialDual, square: Any) -> list[Any]:
    """k! b_k(q)², as in `PolynomialDual`."""
    count, offset = len(dual.coefficients), square - mpmath.mpf(dual.reference)
    found = []
    for k in range(count):
        terms = (
            mpmath.mpf(dual.coefficients[k + 2 * j])
            * mpmath.factorial(k + 2 * j)
            / (mpmath.factorial(k) * mpmath.factorial(j) * 2**j)
            * offset**j
            for j in range((count - k + 1) // 2)
        )
        found.append(mpmath.factorial(k) * sum(terms) ** 2)
    return found


@functools.lru_cache(maxsize=64)
def _squared_coefficients(dual: QuadratureDual, square: float, bound: Bound) -> tuple[list[Any], list[Any]] | None:
    """a_k(q)² of σ and of σ', highest order first; None where the series does not end within what is computed.

    A coefficient's error is the change between two rules, and rounding; one that is below its error counts as 0, and is
    left out of the estimate and of the lower bound.
    """
    terms, points = FINE
    with jax.enable_x64(True):
        coarse, fine = _samples(dual.function, ((terms, points // 4 * 3), FINE), np.array([square]))
    found = []
    for one, other in zip(coarse[:, 0], fine[:, 0], strict=True):
        norm = np.linalg.norm(other)
        error = np.abs(one - other) + 8 * np.finfo(float).eps * norm
        seen = np.flatnonzero(np.abs(other) > error)
        if len(seen) == 0 or seen[-1] > terms // 2:
            return None
        size = np.abs(other[: seen[-1] + 1])
        error = error[: seen[-1] + 1]
        shift = {"below": -error, "estimate": 0 * error, "above": error}[bound]
        kept = np.where(size > error, size + shift, error if bound == "above" else 0.0)
        found.append([mpmath.mpf(float(a)) ** 2 for a in kept[::-1]])
    return found[0], found[1]


def _horner(coefficients: list[Any], z: Any) -> Any:
    """A polynomial whose coefficients begin with that of the highest power."""
    return functools.reduce(lambda total, c: total * z + c, coefficients, mpmath.mpf(0))


def _quadrature(dual: QuadratureDual, c: Any, q: Any, bound: Bound) -> tuple[Any, Any, Any]:
    series, estimate = (_squared_coefficients(dual, float(q), which) for which in (bound, "estimate"))
    if series is None or estimate is None:
        raise RoughError
    square = sum(estimate[0])
    second, first = (_horner(part, c / q) for part in series)
    return second, first, square


def _expectations(dual: Any, c: Any, q: Any, bound: Bound) -> tuple[Any, Any, Any]:
    """(E σ(u)σ(v), E σ'(u)σ'(v), E σ(u)²)."""
    if isinstance(dual, PiecewiseDual):
        return _piecewise(dual, c, q)
    if isinstance(dual, QuadratureDual):
        return _quadrature(dual, c, q, bound)
    return *_smooth(dual, c, q), _smooth(dual, q, q)[0]


def _two_layer(kernel: TwoLayerKernel, t: Any, dim: int, bound: Bound) -> tuple[Any, Any]:
    second, first, _ = _piecewise(PiecewiseDual(0.0, 1.0), t, mpmath.mpf(1))
    return t * first * kernel.inner + second * kernel.outer, second * kernel.variance


def _fully_connected(kernel: FullyConnectedKernel, t: Any, dim: int, bound: Bound) -> tuple[Any, Any]:
    weight, bias = mpmath.mpf(kernel.weight_variance), mpmath.mpf(kernel.bias_variance)
    product, square = t * (weight / dim) + bias, weight / dim + bias
    ntk = product
    for _ in range(kernel.depth):
        second, first, square = _expectations(kernel.dual, product, square, bound)
        product, square = second * weight + bias, square * weight + bias
        ntk = product + first * ntk * weight
    return ntk, product


def _bowman(kernel: BowmanKernel, t: Any, dim: int, bound: Bound) -> tuple[Any, Any]:
    second, first, _ = _expectations(kernel.dual, t + mpmath.mpf(1), mpmath.mpf(2), bound)
    return (t + mpmath.mpf(1)) * first + second + mpmath.mpf(1), second + mpmath.mpf(1)


_PAIRS: dict[type, Callable[[Any, Any, int, Bound], tuple[Any, Any]]] = {
    TwoLayerKernel: _two_layer,
    FullyConnectedKernel: _fully_connected,
    BowmanKernel: _bowman,
}


def precise_profile(kernel: Any, dim: int, which: int, bound: Bound = "estimate") -> Callable[[Any], Any] | None:
    """Θ (0) or the NNGP kernel (1) as a function of the cosine, an `mpmath.mpf`, in mpmath's working precision.

    `bound` matters to activations by quadrature. None for a kernel that is not ours, and for an activation that is too
    rough for a series.
    """
    if isinstance(kernel, functools.partial) and kernel.func is arc_cosine:
        dual, degree = PiecewiseDual(0.0, 1.0), arc_cosine_degree(kernel)
        return lambda t: _piecewise(dual, t, mpmath.mpf(1))[1 - degree]
    pair = _PAIRS.get(type(kernel))
    if pair is None or not _known_as_series(kernel, pair, dim):
        return None
    return lambda t: pair(kernel, t, dim, bound)[which]


def _known_as_series(kernel: Any, pair: Callable[..., Any], dim: int) -> bool:
    if kernel.method != "quadrature":
        return True
    try:
        pair(kernel, mpmath.mpf(0), dim, "estimate")
    except (RoughError, TypeError):  # a series that does not end, a function that has no hash
        return False
    return True


def is_kinked(kernel: Any) -> bool:
    """Whether a kernel with a precise profile is one of a piecewise-linear activation."""
    return isinstance(kernel, functools.partial) or kernel._kinked


def arc_cosine_degree(kernel: functools.partial) -> int:
    """The degree of `functools.partial(arc_cosine, degree=…)`."""
    return int(kernel.keywords["degree"])
