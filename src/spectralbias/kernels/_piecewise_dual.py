"""Gaussian expectations of piecewise-linear activations: ReLU, leaky ReLU, absolute value."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from ._covariance import Covariance, root, sine_minus_chord


class PiecewiseDual(eqx.Module):
    """Expectations of σ(z) = positive_slope · z for z > 0 and negative_slope · z below, at full precision.

    With slopes p and n, A = ((p + n)/2)², B = ((p - n)/2)², and u, v of unit variance at the angle θ:
    E σ(u)σ(v) = (A + B) cos θ + (2B/π)(sin θ - θ cos θ) and E σ'(u)σ'(v) = A + B - 2Bθ/π.
    """

    negative_slope: float = eqx.field(static=True)
    positive_slope: float = eqx.field(static=True)

    @property
    def method(self) -> str:
        """How the expectations are computed."""
        return "closed form"

    @property
    def error(self) -> float:
        """A closed form has no error but that of rounding."""
        return 0.0

    def second_moment(self, square: Array) -> Array:
        """E σ(u)² for u of this variance."""
        return (self.negative_slope**2 + self.positive_slope**2) / 2 * square

    def moments(self, product: ArrayLike, square1: ArrayLike, square2: ArrayLike) -> tuple[Array, Array]:
        """(E σσ, E σ'σ') of Gaussians of covariance [[square1, product], [product, square2]]; 0 where a variance is."""
        second, first = self.layer(Covariance.of_products(product, square1, square2))
        return second.product, first

    def layer(self, inputs: Covariance) -> tuple[Covariance, Array]:
        """The second moments of σ(u), σ(v), and E σ'(u)σ'(v), from the nearer end so that nothing cancels."""
        p, n = self.positive_slope, self.negative_slope
        a, b, diagonal = (p + n) ** 2 / 4, (p - n) ** 2 / 4, (p**2 + n**2) / 2
        opposite, cosine = inputs.opposite, inputs.cosine
        angle = jnp.arctan2(inputs.sine, cosine)
        near = inputs.sine**2 / (1 + cosine)  # 1 - cos
        far = 2 - near
        chord = 2 * b / np.pi * sine_minus_chord(angle)
        # k = E σσ for unit variances, with diagonal - k and diagonal + k; a - b = p n.
        k = jnp.where(opposite, -p * n, diagonal) * cosine + chord
        below = jnp.where(opposite, a * far + b * near, diagonal * near) - chord
        above = jnp.where(opposite, a * near + b * far, diagonal * far) + chord
        scale = root(inputs.square1) * root(inputs.square2)
        # E (σ(u) ∓ σ(v))² = diagonal · distance + what the change of the end and the kink add.
        kept = jnp.where(opposite, 2 * a * cosine, 0) - chord
        flipped = 2 * b * cosine + chord
        distance = diagonal * inputs.distance + 2 * scale * jnp.where(k < 0, flipped, kept)
        first = jnp.where(opposite, p * n + 2 * b / np.pi * angle, diagonal - 2 * b / np.pi * angle)
        outputs = Covariance(
            scale * k,
            diagonal * inputs.square1,
            diagonal * inputs.square2,
            jnp.abs(k) / (diagonal or 1),
            root(below * above) / (diagonal or 1),
            k < 0,
            distance,
        )
        return outputs, jnp.where(scale > 0, first, 0)
