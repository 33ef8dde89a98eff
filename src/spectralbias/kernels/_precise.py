"""Infinite-width kernels on the unit sphere in any number of digits, and as power series.

Small Mercer eigenvalues are differences of large numbers: their digits need more than float64 of the kernel. The
formulas here are those of the kernels' `_pair`, over numbers that know `+`, `*` and the functions of `Number`.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import mpmath

from ._arc_cosine import arc_cosine
from ._bowman import BowmanKernel
from ._closed_forms import ErfDual, GaussianDual, GELUDual, PolynomialDual, SineDual
from ._infinite import FullyConnectedKernel, TwoLayerKernel
from ._piecewise_dual import PiecewiseDual


class Number(Protocol):
    """A number with its inverse cosine and the sine of that: `mpmath.mpf`, or a power series."""

    def __add__(self, other: Any) -> Any: ...
    def __mul__(self, other: Any) -> Any: ...


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


def _expectations(dual: Any, c: Any, q: Any) -> tuple[Any, Any, Any]:
    """(E σ(u)σ(v), E σ'(u)σ'(v), E σ(u)²)."""
    if isinstance(dual, PiecewiseDual):
        return _piecewise(dual, c, q)
    return *_smooth(dual, c, q), _smooth(dual, q, q)[0]


def _two_layer(kernel: TwoLayerKernel, t: Any, dim: int) -> tuple[Any, Any]:
    second, first, _ = _piecewise(PiecewiseDual(0.0, 1.0), t, mpmath.mpf(1))
    return t * first * kernel.inner + second * kernel.outer, second * kernel.variance


def _fully_connected(kernel: FullyConnectedKernel, t: Any, dim: int) -> tuple[Any, Any]:
    weight, bias = mpmath.mpf(kernel.weight_variance), mpmath.mpf(kernel.bias_variance)
    product, square = t * (weight / dim) + bias, weight / dim + bias
    ntk = product
    for _ in range(kernel.depth):
        second, first, square = _expectations(kernel.dual, product, square)
        product, square = second * weight + bias, square * weight + bias
        ntk = product + first * ntk * weight
    return ntk, product


def _bowman(kernel: BowmanKernel, t: Any, dim: int) -> tuple[Any, Any]:
    second, first, _ = _expectations(kernel.dual, t + mpmath.mpf(1), mpmath.mpf(2))
    return (t + mpmath.mpf(1)) * first + second + mpmath.mpf(1), second + mpmath.mpf(1)


_PAIRS: dict[type, Callable[[Any, Any, int], tuple[Any, Any]]] = {
    TwoLayerKernel: _two_layer,
    FullyConnectedKernel: _fully_connected,
    BowmanKernel: _bowman,
}


def precise_profile(kernel: Any, dim: int, which: int) -> Callable[[Any], Any] | None:
    """Θ (0) or the NNGP kernel (1) as a function of the cosine, an `mpmath.mpf`, in mpmath's working precision.

    None where there is no closed form: an activation by quadrature, a function of the user's own.
    """
    if isinstance(kernel, functools.partial) and kernel.func is arc_cosine:
        dual, degree = PiecewiseDual(0.0, 1.0), arc_cosine_degree(kernel)
        return lambda t: _piecewise(dual, t, mpmath.mpf(1))[1 - degree]
    pair = _PAIRS.get(type(kernel))
    if pair is None or not has_closed_form(kernel):
        return None
    return lambda t: pair(kernel, t, dim)[which]


def has_closed_form(kernel: Any) -> bool:
    """Whether the Gaussian expectations of a kernel are formulas."""
    return kernel.method == "closed form"


def is_kinked(kernel: Any) -> bool:
    """Whether a kernel with a precise profile is one of a piecewise-linear activation."""
    return isinstance(kernel, functools.partial) or kernel._kinked


def arc_cosine_degree(kernel: functools.partial) -> int:
    """The degree of `functools.partial(arc_cosine, degree=…)`."""
    return int(kernel.keywords["degree"])
