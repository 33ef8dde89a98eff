"""Arc-cosine kernels: Gaussian expectations of ReLU and its derivative."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError


def arc_cosine(cosine: ArrayLike, degree: int) -> Array:
    """E over w ~ N(0, I) of σ'(w·x) σ'(w·x') (degree 0) or σ(w·x) σ(w·x') (degree 1), for ReLU and unit vectors.

    With angle θ = arccos(cosine): degree 0 is (π - θ)/2π, degree 1 is [sin θ + (π - θ) cos θ]/2π.

    Args:
        cosine: ⟨x, x'⟩ in [-1, 1], any shape.
        degree: 0 or 1.

    Returns:
        An array of the same shape; half of the kernels of Cho & Saul.

    Raises:
        InputError: another degree.

    Precision:
        The angle is taken as 2 atan2(√(1-c), √(1+c)), which is exact at both ends for the cosine that is given.

    References:
        Cho & Saul 2009, eq. 6; Cao et al. 2021, sec. 3 (κ₁ and κ₂).
    """
    cosine = jnp.asarray(cosine)
    versine, coversine = jnp.maximum(1 - cosine, 0), jnp.maximum(1 + cosine, 0)
    supplement = 2 * jnp.arctan2(jnp.sqrt(coversine), jnp.sqrt(versine))
    if degree == 0:
        return supplement / (2 * jnp.pi)
    if degree == 1:
        return (jnp.sqrt(versine * coversine) + supplement * cosine) / (2 * jnp.pi)
    raise InputError(f"`degree` must be 0 or 1, got {degree}")
