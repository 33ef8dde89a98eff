"""Input encodings γ(x) that a coordinate network reads in place of x."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.checks import positive
from .._core.errors import InputError
from ._parameters import Fixed

__all__ = ["FourierFeatures", "Identity", "Interval", "PositionalEncoding"]


class Identity(eqx.Module):
    """γ(x) = x.

    Example:
        >>> from spectralbias import models
        >>> models.encodings.Identity()(2.0)
        2.0
    """

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """x as it is."""
        return x

    def out_size(self, in_size: int) -> int:
        """Number of features for an input of that size."""
        return in_size


class PositionalEncoding(eqx.Module):
    """γ(x) = (sin 2^l π x, cos 2^l π x) for l = 0 … num_frequencies - 1 and each coordinate, without x itself.

    On a grid over [-1, 1) the encoding has period 2 in every coordinate. ‖γ(x)‖² = dim · num_frequencies for every x,
    so the encoded inputs lie on a sphere.

    Args:
        num_frequencies: number of octaves, 1 or more.

    Example:
        >>> import jax.numpy as jnp
        >>> from spectralbias import models
        >>> encoding = models.encodings.PositionalEncoding(3)
        >>> encoding(jnp.array([0.5, -0.25])).shape, encoding.out_size(2)
        ((12,), 12)

    References:
        Mildenhall et al. 2020, eq. 4.
    """

    num_frequencies: int = eqx.field(static=True)

    def __check_init__(self):
        if self.num_frequencies < 1:
            raise InputError(f"`num_frequencies` must be 1 or more, got {self.num_frequencies}")

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, " features"]:
        """The 2 · num_frequencies · dim features, ordered (sin | cos), octave, coordinate."""
        octaves = jnp.asarray(np.pi * 2.0 ** np.arange(self.num_frequencies), jnp.result_type(x, float))
        angles = jnp.outer(octaves, x).ravel()
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])

    def out_size(self, in_size: int) -> int:
        """Number of features for an input of that size."""
        return 2 * self.num_frequencies * in_size


class FourierFeatures(eqx.Module):
    """γ(x) = (sin 2π B x, cos 2π B x) with B ~ N(0, scale²) of shape (num_features, in_size), never trained.

    Args:
        in_size: size of x.
        num_features: number of random frequencies; the encoding has twice as many features.
        scale: standard deviation of the frequencies, in cycles per unit of x.
        key: PRNG key for B.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> encoding = models.encodings.FourierFeatures(2, 16, 3.0, key=jax.random.key(0))
        >>> encoding(jax.numpy.zeros(2)).shape
        (32,)

    References:
        Tancik et al. 2020.
    """

    frequencies: Fixed

    def __init__(self, in_size: int, num_features: int, scale: float, *, key: Array):
        if num_features < 1:
            raise InputError(f"`num_features` must be 1 or more, got {num_features}")
        positive("scale", scale)
        self.frequencies = Fixed(scale * jax.random.normal(key, (num_features, in_size)))

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, " features"]:
        """The 2 · num_features features."""
        angles = 2 * np.pi * (self.frequencies.value.astype(jnp.result_type(x, float)) @ x)
        return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])

    def out_size(self, in_size: int) -> int:
        """Number of features for an input of that size."""
        return 2 * self.frequencies.value.shape[0]


class Interval(eqx.Module):
    """γ(x) = lower + (upper - lower) (x + 1)/2: moves coordinates from [-1, 1] to [lower, upper].

    Example:
        >>> from spectralbias import models
        >>> models.encodings.Interval(0.0, 10.0)(0.5)
        7.5
    """

    lower: float = eqx.field(static=True)
    upper: float = eqx.field(static=True)

    def __check_init__(self):
        if not self.lower < self.upper:
            raise InputError(f"`lower` must be below `upper`, got [{self.lower}, {self.upper}]")

    def __call__(self, x: Float[Array, " dim"]) -> Float[Array, " dim"]:
        """The moved coordinates."""
        return self.lower + (self.upper - self.lower) * (x + 1) / 2

    def out_size(self, in_size: int) -> int:
        """Number of features for an input of that size."""
        return in_size
