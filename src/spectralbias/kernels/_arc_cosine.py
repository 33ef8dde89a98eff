"""Arc-cosine kernels: Gaussian expectations of ReLU and its derivative."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError
from ._covariance import sine_minus_chord


def checked_cosine(cosine: ArrayLike) -> Array:
    """A floating-point array in [-1, 1]; what is beyond by no more than rounding is moved to the end.

    Raises:
        InputError: values that are known and beyond by more, or NaN.
    """
    cosine = jnp.asarray(cosine)
    if not jnp.issubdtype(cosine.dtype, jnp.floating):
        cosine = cosine.astype(float)
    slack = 16 * float(jnp.finfo(cosine.dtype).eps)
    outside = ~(jnp.abs(cosine) <= 1 + slack)  # NaN too
    try:
        refused = bool(jnp.any(outside))
    except jax.errors.ConcretizationTypeError:  # traced by the caller
        refused = False
    if refused:
        first = cosine.ravel()[jnp.argmax(outside)]
        raise InputError(f"`cosine` must lie in [-1, 1], got {first}: divide ⟨x, x'⟩ by ‖x‖ ‖x'‖")
    return jnp.where(cosine > 1, 1, jnp.where(cosine < -1, -1, cosine))


@jax.custom_jvp
def _both_active(cosine: Array) -> Array:
    """(π - θ)/2π, whose derivative is infinite at both ends and counts as 0 there."""
    return jnp.arctan2(jnp.sqrt(1 + cosine), jnp.sqrt(1 - cosine)) / np.pi


@_both_active.defjvp
def _both_active_jvp(primals, tangents):
    square = (1 - primals[0]) * (1 + primals[0])
    inside = square > 0
    slope = jnp.where(inside, 1 / jnp.sqrt(jnp.where(inside, square, 1)), 0)
    return _both_active(*primals), slope * tangents[0] / (2 * np.pi)


@jax.custom_jvp
def _product(cosine: Array) -> Array:
    """[sin θ + (π - θ) cos θ]/2π, from the end that is nearer: (sin ψ - ψ cos ψ)/2π with ψ = π - θ, plus cos θ/2."""
    acute = jnp.abs(cosine)
    angle = 2 * jnp.arctan2(jnp.sqrt(1 - acute), jnp.sqrt(1 + acute))
    return sine_minus_chord(angle) / (2 * np.pi) + jnp.maximum(cosine, 0) / 2


@_product.defjvp
def _product_jvp(primals, tangents):
    return _product(*primals), _both_active(*primals) * tangents[0]


def arc_cosine(cosine: ArrayLike, degree: int) -> Array:
    """E over w ~ N(0, I) of σ'(w·x) σ'(w·x') (degree 0) or σ(w·x) σ(w·x') (degree 1), for ReLU and unit vectors.

    With angle θ = arccos(cosine): degree 0 is (π - θ)/2π, degree 1 is [sin θ + (π - θ) cos θ]/2π.

    Args:
        cosine: ⟨x, x'⟩ in [-1, 1], any shape. What lies outside by no more than 16 units of rounding counts as the end.
        degree: 0 or 1.

    Returns:
        An array of the same shape; half of the kernels of Cho & Saul.

    Raises:
        InputError: another degree, a cosine outside of [-1, 1].

    Cost and precision:
        One arctangent each. Every digit of the given cosine is used at both ends, where degree 1 is ψ³/6π with
        ψ = π - θ. The derivative of degree 1 is degree 0; that of degree 0 is infinite at ±1 and counts as 0 there.

    Example:
        >>> from spectralbias import kernels
        >>> float(kernels.arc_cosine(0.0, 0))
        0.25

    References:
        Cho & Saul 2009, eq. 6; Cao et al. 2021, sec. 3 (κ₁ and κ₂).
    """
    if degree not in (0, 1):
        raise InputError(f"`degree` must be 0 or 1, got {degree}")
    cosine = checked_cosine(cosine)
    return _both_active(cosine) if degree == 0 else _product(cosine)
