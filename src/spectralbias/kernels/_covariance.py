"""Second moments of pairs of Gaussians, with their angle kept to full relative precision at both ends."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool


@jax.custom_jvp
def root(value: Array) -> Array:
    """√value, whose derivative counts as 0 at 0: there it is a cusp of what we compute with it."""
    return jnp.sqrt(value)


@root.defjvp
def _root_jvp(primals, tangents):
    result = root(*primals)
    positive = result > 0
    return result, jnp.where(positive, tangents[0] / jnp.where(positive, 2 * result, 1), 0)


class Covariance(eqx.Module):
    """Moments E uv, E u², E v² of pairs (u, v), broadcast together, and their angle from the nearer end.

    With ε = -1 where `opposite` and 1 elsewhere: E uv = ε √(E u² E v²) `cosine`, `sine` is that of the same angle in
    [0, π/2], and `distance` = E (u - εv)². They are redundant, but keep their digits where pairs are nearly parallel.
    """

    product: Array
    square1: Array
    square2: Array
    cosine: Array
    sine: Array
    opposite: Bool[Array, "..."]
    distance: Array

    @staticmethod
    def of_products(product: ArrayLike, square1: ArrayLike, square2: ArrayLike) -> "Covariance":
        """From moments alone: the angle is that of their cosine, and 90° where a variance is 0."""
        product, square1, square2 = jnp.asarray(product), jnp.asarray(square1), jnp.asarray(square2)
        cosine = acute_cosine(product, square1, square2)
        distance = jnp.maximum(square1 + square2 - 2 * jnp.abs(product), 0)
        return Covariance(product, square1, square2, cosine, root((1 - cosine) * (1 + cosine)), product < 0, distance)

    def affine(self, scale: float, shift: float) -> "Covariance":
        """Moments of √scale · (u, v) + √shift · b with one standard normal b for both."""
        product, square1, square2 = (scale * m + shift for m in (self.product, self.square1, self.square2))
        if shift == 0:
            moments = product, square1, square2
            return Covariance(*moments, self.cosine, self.sine, self.opposite, scale * self.distance)
        apart = jnp.where(self.opposite, 2 * (self.square1 + self.square2) - self.distance, self.distance)
        # det = (scale √q √q' sin θ)² + scale · shift · E(u - v)²: no difference of large numbers.
        one, two = root(scale * self.square1 / square1), root(scale * self.square2 / square2)
        sine = root((one * two * self.sine) ** 2 + (shift / square1) * (scale * apart / square2))
        cosine = jnp.abs(product) / (jnp.sqrt(square1) * jnp.sqrt(square2))
        distance = jnp.where(product < 0, scale * self.distance + 4 * shift, scale * apart)
        return Covariance(product, square1, square2, cosine, sine, product < 0, distance)


def acute_cosine(product: Array, square1: Array, square2: Array) -> Array:
    """|cos| of the angle, 0 where a variance is; a rounded product may exceed its bound by a few ulp."""
    scale = root(square1) * root(square2)
    return jnp.minimum(jnp.abs(product) / jnp.where(scale > 0, scale, 1), 1)


# sin φ - φ cos φ = φ³ Σ_k (-1)^k (2k + 2)/(2k + 3)! φ^(2k), to rounding on [0, π/2].
_SERIES = [(-1) ** k * (2 * k + 2) / math.factorial(2 * k + 3) for k in range(12)]


def sine_minus_chord(angle: Array) -> Array:
    """Sin φ - φ cos φ on [0, π/2] with every digit, also where it is φ³/3."""
    square = angle**2
    total = jnp.full_like(square, _SERIES[-1])
    for coefficient in _SERIES[-2::-1]:
        total = total * square + coefficient
    return angle * square * total
