"""Infinite-width kernels of networks that read an encoding of their input."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError
from ..models.encodings import FourierFeatures, PositionalEncoding
from ._covariance import Covariance, root
from ._infinite_kernel import InfiniteKernel


class EncodedKernel(eqx.Module):
    """The kernel of `encoded_kernel`."""

    kernel: InfiniteKernel
    encoding: Callable[[Array], Array]

    def ntk(self, x1: ArrayLike, x2: ArrayLike | None = None) -> Array:
        """Θ(γ(x1), γ(x2)) of shape (n1, n2); x2 = x1 by default."""
        return jnp.asarray(self.kernel.ntk(self._encoded(x1), None if x2 is None else self._encoded(x2)))

    def nngp(self, x1: ArrayLike, x2: ArrayLike | None = None) -> Array:
        """E f(x1) f(x2) over initializations, of shape (n1, n2); x2 = x1 by default."""
        return jnp.asarray(self.kernel.nngp(self._encoded(x1), None if x2 is None else self._encoded(x2)))

    def stationary(self, difference: ArrayLike) -> Array:
        """Θ as a function of x - x', of shape (..., dim): (...,).

        Its digits hold also where the difference is small: 1 - cos is taken as 2 sin²(·/2).

        Raises:
            InputError: an encoding whose kernel is not a function of x - x'; a difference of another dimension.
        """
        if not isinstance(self.encoding, FourierFeatures | PositionalEncoding):
            raise InputError(
                f"the kernel is no function of x - x' with the encoding {type(self.encoding).__name__}: use "
                "`FourierFeatures` or `PositionalEncoding`, or `ntk(x1, x2)`"
            )
        difference = jnp.asarray(difference)
        if difference.ndim == 0 or not jnp.issubdtype(difference.dtype, jnp.floating):
            raise InputError(
                f"`difference` must be floating-point of shape (..., dim), got {difference.dtype} of shape "
                f"{difference.shape}"
            )
        if isinstance(self.encoding, FourierFeatures):
            dim = self.encoding.frequencies.value.shape[1]
            if difference.shape[-1] != dim:
                raise InputError(f"`difference` must have shape (..., {dim}), got {difference.shape}")
        return _stationary(self.kernel, self.encoding, difference)

    def _encoded(self, x: ArrayLike) -> Array:
        x = jnp.asarray(x)
        if x.ndim != 2 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise InputError(f"inputs must be floating-point of shape (n, dim), got {x.dtype} of shape {x.shape}")
        return _encode(self.encoding, x)


@eqx.filter_jit
def _encode(encoding: Callable[[Array], Array], x: Array) -> Array:
    return jax.vmap(encoding)(x)


def _half_angles(encoding: FourierFeatures | PositionalEncoding, difference: Array) -> Array:
    """Half of the angles whose cosines add up to ⟨γ(x), γ(x')⟩, of shape (..., count), up to multiples of π."""
    if isinstance(encoding, FourierFeatures):
        frequencies = encoding.frequencies.value.astype(difference.dtype)
        return np.pi * jnp.matmul(difference, frequencies.T, precision="highest")
    octaves = jnp.asarray(2.0 ** np.arange(encoding.num_frequencies), difference.dtype)
    octaves = jnp.expand_dims(octaves, range(difference.ndim))
    # In half periods, of which whole numbers are exact: the kernel has period 2 to the last digit.
    turns = (difference[..., None] / 2 * octaves).reshape(*difference.shape[:-1], -1)
    return np.pi * (turns - jax.lax.stop_gradient(jnp.round(turns)))


@eqx.filter_jit
def _stationary(kernel: InfiniteKernel, encoding: FourierFeatures | PositionalEncoding, difference: Array) -> Array:
    """Θ of two points of the sphere of ‖γ‖² = count, from ‖γ - γ'‖² = Σ 4 sin² and ‖γ + γ'‖² = Σ 4 cos²."""
    half = _half_angles(encoding, difference)
    count = half.shape[-1]
    apart, together = (jnp.sum(4 * wave(half) ** 2, axis=-1) for wave in (jnp.sin, jnp.cos))
    opposite = apart > together
    distance = jnp.where(opposite, together, apart)
    product = jnp.where(opposite, together / 2 - count, count - apart / 2)
    square = jnp.full_like(product, count)
    versine = distance / (4 * count)  # sin² of half the angle
    sine = 2 * root(versine * (1 - versine))
    inputs = Covariance(product, square, square, 1 - 2 * versine, sine, opposite, distance)
    return kernel._pair(inputs, 2 * count)[0]


def encoded_kernel(kernel: InfiniteKernel, encoding: Callable[[Array], Array]) -> EncodedKernel:
    """The kernel of a network that reads γ(x) in place of x: Θ_γ(x, x') = Θ(γ(x), γ(x')).

    `FourierFeatures` and `PositionalEncoding` have ⟨γ(x), γ(x')⟩ = Σ_j cos(ω_j · (x - x')) and a constant norm, so that
    Θ_γ is a function of x - x': `.stationary(difference)`. With `PositionalEncoding` it has period 2 in every
    coordinate, and its Gram on a grid over [-1, 1) is block-circulant.

    Args:
        kernel: of the network without the encoding, with as many inputs as there are features: `infinite_ntk(…)`.
        encoding: γ, a module of `models.encodings` or any function of one input (dim,).

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)` of inputs (n, dim), and `.stationary(difference)` of differences
        (..., dim).

    Raises:
        InputError: a kernel that is not one of infinite width.

    Cost and precision:
        That of the kernel on the features. `.stationary` costs one pair per difference, and keeps its digits near 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from spectralbias import kernels, models
        >>> encoding = models.encodings.PositionalEncoding(4)
        >>> kernel = kernels.encoded_kernel(kernels.infinite_ntk(2), encoding)
        >>> kernel.stationary(jnp.array([[0.0, 0.0], [0.5, 0.25], [2.0, -4.0]])).shape
        (3,)

    References:
        Tancik et al. 2020, sec. 4 and 5.
    """
    if not isinstance(kernel, InfiniteKernel):
        raise InputError(f"`kernel` must be of infinite width, as `infinite_ntk(…)`, got {type(kernel).__name__}")
    return EncodedKernel(kernel, encoding)
