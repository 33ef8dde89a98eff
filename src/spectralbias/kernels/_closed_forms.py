"""Gaussian expectations of smooth activations in closed form.

For (u, v) of covariance [[q1, c], [c, q2]], every class gives E σ(u)σ(v) and E σ'(u)σ'(v) = ∂/∂c E σ(u)σ(v).
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError


def _split(value: Array) -> tuple[Array, Array]:
    """Two halves of the digits: products of halves are exact, whether the compiler fuses multiply and add or not."""
    info = jnp.finfo(value.dtype)
    upper = jax.lax.reduce_precision(value, info.nexp, (info.nmant - 1) // 2)
    return upper, value - upper


@jax.custom_jvp
def _determinant(product: Array, square1: Array, square2: Array) -> Array:
    """q1 q2 - c² without the cancellation, which for nearly parallel pairs of large variance takes all digits."""
    (c, dc), (a, da), (b, db) = (_split(value) for value in (product, square1, square2))
    return (a * b - c * c) + ((a * db - c * dc) + (da * b - c * dc)) + (da * db - dc * dc)


@_determinant.defjvp
def _determinant_jvp(primals, tangents):
    product, square1, square2 = primals
    dproduct, dsquare1, dsquare2 = tangents
    return _determinant(*primals), square2 * dsquare1 + square1 * dsquare2 - 2 * product * dproduct


class ClosedForm(eqx.Module):
    """What the closed forms share."""

    @property
    def method(self) -> str:
        """How the expectations are computed."""
        return "closed form"

    @property
    def error(self) -> float:
        """A closed form has no error but that of rounding."""
        return 0.0

    def second_moment(self, square: ArrayLike) -> Array:
        """E σ(u)² for u of this variance."""
        return self.moments(square, square, square)[0]

    def moments(self, product: ArrayLike, square1: ArrayLike, square2: ArrayLike) -> tuple[Array, Array]:
        """(E σσ, E σ'σ') of Gaussians of covariance [[square1, product], [product, square2]]."""
        return self._moments(jnp.asarray(product), jnp.asarray(square1), jnp.asarray(square2))

    @abc.abstractmethod
    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        """`moments` of arrays."""


class ErfDual(ClosedForm):
    """Expectations of erf: an arcsine, as the arctangent that keeps its digits at both ends."""

    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        # (1 + 2 q1)(1 + 2 q2) - 4c² = det(1 + 2Σ).
        scale = jnp.sqrt(1 + 2 * (square1 + square2) + 4 * _determinant(product, square1, square2))
        return 2 / np.pi * jnp.arctan2(2 * product, scale), 4 / np.pi / scale


class SineDual(ClosedForm):
    """Expectations of sin, or of cos: e^(-(q1 + q2)/2) times sinh c and cosh c."""

    cosine: bool = eqx.field(static=True)

    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        # Exponents -E(u ∓ v)²/2: they never overflow, and lose nothing where the two squares are near.
        same = jnp.exp(((product - square1) + (product - square2)) / 2)
        opposite = jnp.exp(-((product + square1) + (product + square2)) / 2)
        small = jnp.abs(product) < 1
        series = jnp.exp(-(square1 + square2) / 2) * jnp.sinh(jnp.where(small, product, 0))
        sines, cosines = jnp.where(small, series, (same - opposite) / 2), (same + opposite) / 2
        return (cosines, sines) if self.cosine else (sines, cosines)


class GaussianDual(ClosedForm):
    """Expectations of exp(-z²/2): D^(-1/2) and c D^(-3/2) with D = det(1 + Σ)."""

    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        square = 1 + (square1 + square2) + _determinant(product, square1, square2)
        second = 1 / jnp.sqrt(square)
        return second, product * second / square


class GELUDual(ClosedForm):
    """Expectations of z Φ(z), by parts: only the probability P that two Gaussians are positive remains.

    With D = det(1 + Σ) and P = E ΦΦ: E σσ = c P + [q1 (q2 + det Σ)/(1 + q1) + c²/(1 + q2)]/(2π √D),
    E σ'σ' = P + c [1/(1 + q1) + 1/(1 + q2) + 1/D]/(2π √D).
    """

    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        determinant = _determinant(product, square1, square2)
        square = 1 + (square1 + square2) + determinant
        scale = jnp.sqrt(square)
        positive = jnp.arctan2(scale, -product) / (2 * np.pi)
        ratio1, ratio2 = 1 / (1 + square1), 1 / (1 + square2)
        rest = square1 * ratio1 * (square2 + determinant) + product**2 * ratio2
        first = positive + product * (ratio1 + ratio2 + 1 / square) / (2 * np.pi * scale)
        return product * positive + rest / (2 * np.pi * scale), first


class PolynomialDual(ClosedForm):
    """Expectations of a polynomial, from its Hermite coefficients at variance `reference`.

    With p(z) = Σ_m h_m He_m^[r](z), orthogonal at variance r (r = 0: powers, r = 1: HermiteE), and
    b_k(q) = E p^(k)(√q z)/k! = Σ_j h_{k+2j} (k + 2j)!/(k! j! 2^j) (q - r)^j: E p(u)p(v) = Σ_k k! b_k(q1) b_k(q2) c^k.
    """

    coefficients: tuple[float, ...] = eqx.field(static=True)
    reference: float = eqx.field(static=True)

    @staticmethod
    def of(polynomial: Any) -> "PolynomialDual":
        """Of a series of `numpy.polynomial`; Hermite series keep their coefficients, the others become powers."""
        kind, reference = np.polynomial.Polynomial, 0.0
        if isinstance(polynomial, np.polynomial.HermiteE | np.polynomial.Hermite):
            kind, reference = type(polynomial), 1.0 if isinstance(polynomial, np.polynomial.HermiteE) else 0.5
        if type(polynomial) is not kind or np.any(polynomial.domain != polynomial.window):
            polynomial = polynomial.convert(domain=[-1, 1], kind=kind, window=[-1, 1])
        coefficients: Any = np.trim_zeros(np.asarray(polynomial.coef), "b")
        if coefficients.dtype.kind not in "fiu" or not np.all(np.isfinite(coefficients)):
            raise InputError(f"`activation` must be a polynomial with finite real coefficients, got {polynomial.coef}")
        if reference == 0.5:  # H_m(z) = 2^m He_m^[1/2](z)
            coefficients = coefficients * 2.0 ** np.arange(len(coefficients))
        return PolynomialDual(tuple(float(h) for h in coefficients), reference)

    def _derivatives(self, square: Array) -> list[Array]:
        """b_k(q) for k = 0 … degree."""
        count, offset = len(self.coefficients), square - self.reference
        result = []
        for k in range(count):
            total = jnp.zeros_like(square)
            for j in reversed(range((count - k + 1) // 2)):
                factor = math.factorial(k + 2 * j) / (math.factorial(k) * math.factorial(j) * 2**j)
                total = total * offset + self.coefficients[k + 2 * j] * factor
            result.append(total)
        return result

    def _moments(self, product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
        second = first = jnp.zeros(jnp.broadcast_shapes(product.shape, square1.shape, square2.shape), product.dtype)
        pairs = list(zip(self._derivatives(square1), self._derivatives(square2), strict=True))
        for k, (one, two) in reversed(list(enumerate(pairs))):
            first = first * product + second
            second = second * product + math.factorial(k) * one * two
        return second, first
