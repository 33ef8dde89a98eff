"""A kernel's profile near the ends of [-1, 1], and the eigenvalues of high degree that follow from it.

With s = √((1 - |t|)/2) a kernel of piecewise-linear activations is a power series in s at either end. Its even powers
are polynomials of t there; the odd ones are kinks, whose eigenvalues have a closed form. They are what is left of the
eigenvalues as the degree grows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
from jaxtyping import Float

from ._power_law import Asymptote

_ZERO = mpmath.mpf(0)


class EndSeries:
    """Σ_m c_m s^m, cut off: what is known of a function of s = √((1 - |t|)/2) near s = 0."""

    def __init__(self, coefficients: Sequence[Any]):
        self.coefficients = list(coefficients)

    def __add__(self, other: Any) -> "EndSeries":
        if not isinstance(other, EndSeries):
            return EndSeries([self.coefficients[0] + other, *self.coefficients[1:]])
        return EndSeries([a + b for a, b in zip(self.coefficients, other.coefficients, strict=False)])

    def __mul__(self, other: Any) -> "EndSeries":
        if not isinstance(other, EndSeries):
            return EndSeries([c * other for c in self.coefficients])
        a, b = self.coefficients, other.coefficients[::-1]
        count, length = min(len(a), len(b)), len(b)
        return EndSeries([mpmath.fdot(a[: m + 1], b[length - 1 - m :]) for m in range(count)])

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "EndSeries":
        return self * -1

    def __sub__(self, other: Any) -> "EndSeries":
        return self + -other

    def __rsub__(self, other: Any) -> "EndSeries":
        return -self + other

    def __truediv__(self, other: "EndSeries") -> "EndSeries":
        found: list[Any] = []
        for m, a in enumerate(self.coefficients[: len(other.coefficients)]):
            found.append((a - mpmath.fdot(found, other.coefficients[m:0:-1])) / other.coefficients[0])
        return EndSeries(found)

    def root(self) -> "EndSeries":
        """The square root of a series that does not begin with 0."""
        found = [mpmath.sqrt(self.coefficients[0])]
        for m, a in enumerate(self.coefficients[1:], 1):
            found.append((a - mpmath.fdot(found[1:], found[:0:-1])) / (2 * found[0]) if m > 1 else a / (2 * found[0]))
        return EndSeries(found)

    def derivative(self) -> "EndSeries":
        """d/ds."""
        return EndSeries([m * c for m, c in enumerate(self.coefficients)][1:])

    def integral(self, start: Any) -> "EndSeries":
        """The antiderivative that is `start` at s = 0."""
        return EndSeries([start, *(c / (m + 1) for m, c in enumerate(self.coefficients))])

    def shifted(self, by: int) -> "EndSeries":
        """Times s^by; a negative `by` drops the first coefficients, which are 0."""
        return EndSeries([_ZERO] * by + self.coefficients if by >= 0 else self.coefficients[-by:])

    def angle_and_sine(self) -> tuple["EndSeries", "EndSeries"]:
        """(arccos, sine of that) of a series in [-1, 1]; at ±1 it departs as s², so that its angle does as s."""
        start = self.coefficients[0]
        if 1 - abs(start) > mpmath.sqrt(mpmath.eps):
            sine = ((1 - self) * (1 + self)).root()
            return (self.derivative() * -1 / sine).integral(mpmath.acos(start)), sine
        if start < 0:
            angle, sine = (-self).angle_and_sine()
            return mpmath.pi - angle, sine
        lost = (1 - self).shifted(-2)
        slope = (lost * (2 - lost.shifted(2))).root()
        angle = (lost.shifted(2).derivative().shifted(-1) / slope).integral(_ZERO)
        return angle, slope.shifted(1)


def kinks(profile: Callable[[Any], Any], orders: int, spare: int) -> tuple[list[Any], list[Any]]:
    """Coefficients of s, s³, s⁵, … of a profile at t = 1 and at t = -1, `orders` of them each.

    Every layer of the kernel uses up one coefficient of the series of t: `spare` are added.
    """
    length = 2 * orders + spare
    cosine = EndSeries([mpmath.mpf(1), _ZERO, mpmath.mpf(-2)] + [_ZERO] * (length - 3))
    return tuple(profile(end).coefficients[1 : 2 * orders : 2] for end in (cosine, -cosine))  # pyright: ignore


def asymptote(ends: tuple[list[Any], list[Any]], dim: int, parity: int) -> Asymptote | None:
    """What the first kink that does not cancel makes of high degrees of a parity (0: even); None if all cancel.

    The eigenvalue of s^(2ν) tends to Γ(dim-1) Γ(ν + (dim-1)/2)/(Γ((dim-1)/2) Γ(-ν)) · k^(1-dim-2ν).
    """
    half = mpmath.mpf(1) / 2
    scale = max(abs(c) for end in ends for c in end)
    for order, (near, far) in enumerate(zip(*ends, strict=True)):
        kink = near - far if parity else near + far
        if abs(kink) > mpmath.sqrt(mpmath.eps) * scale:
            nu = order + half
            factor = mpmath.gammaprod([dim - 1, nu + (dim - 1) * half], [(dim - 1) * half, -nu])
            return Asymptote(float(1 - dim - 2 * nu), float(mpmath.log(kink * factor)))
    return None


def leading_eigenvalues(dim: int, degrees: Sequence[int]) -> list[Any]:
    """Eigenvalues of s = √((1 - t)/2) for increasing degrees of 1 or more.

    That of degree k is -2^(dim-3) Γ(dim/2)² / (π ∏_{i < dim} (k - 1/2 + i)).
    """
    half = mpmath.mpf(1) / 2
    first = degrees[0]
    value = -mpmath.ldexp(mpmath.gamma(mpmath.mpf(dim) / 2) ** 2, dim - 3) / mpmath.pi
    value *= mpmath.gammaprod([first - half], [first + dim - half])
    found = [value]
    for k in range(first, degrees[-1]):
        value = value * (k - half) / (k + dim - half)
        found.append(value)
    return [found[k - first] for k in degrees]


def relative_tail(
    ends: tuple[list[Any], list[Any]], dim: int, degrees: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Eigenvalues over those of s, from the kinks of both ends, and their estimated relative errors.

    The eigenvalue of s^(2ν + 2) over that of s^(2ν) is -(ν + 1)(ν + (dim-1)/2) / ((k - ν - 1)(k + ν + dim - 1)). The
    sum is asymptotic: it is cut before its smallest term, which bounds what is left out. Where the two ends cancel in
    every term, as for the odd degrees of an even kernel, the eigenvalue is 0.
    """
    signs = np.where(degrees % 2 == 0, 1.0, -1.0)
    same, opposite = (np.array([float(c) for c in end]) for end in ends)
    terms, factor = [], np.ones_like(degrees)
    for order, (near, far) in enumerate(zip(same, opposite, strict=True)):
        terms.append((near + signs * far) * factor)
        nu = order + 0.5
        with np.errstate(divide="ignore"):
            factor = factor * (-(nu + 1) * (nu + (dim - 1) / 2) / ((degrees - nu - 1) * (degrees + nu + dim - 1)))
    table = np.array(terms)
    # Two neighbors at a time: one may vanish by accident.
    size = np.maximum(np.abs(table[:-1]), np.abs(table[1:]))
    last = np.argmin(size, axis=0)
    kept = np.where(np.arange(len(table))[:, None] < last[None, :], table, 0.0)
    total = kept[::-1].sum(axis=0)
    dropped = np.take_along_axis(size, last[None, :], axis=0)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(total != 0, dropped / np.abs(total) + 2.0**-51, np.inf)
    return total, np.where(np.any(table != 0, axis=0), error, 0.0)
