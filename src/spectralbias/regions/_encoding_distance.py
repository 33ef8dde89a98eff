"""How far an encoding moves points apart."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.spatial.distance import cdist

from .._core.checks import finite_array
from .._core.errors import InputError
from ._pair_numbers import checked_pairs


def encoding_distance(
    encoding: Any,
    points: ArrayLike | Sequence[Sequence[float]],
    pairs: ArrayLike | Sequence[Sequence[int]] | None = None,
) -> Float[np.ndarray, "..."]:
    """‖γ(p_i) - γ(p_j)‖ of points on a grid, or of any points, after an encoding γ.

    Coordinates keep neighboring pixels close together; high frequencies move them apart, and make points that are far
    apart about equally far.

    Args:
        encoding: γ, a function of one point (dim,): a module of `models.encodings`.
        points: (n, dim).
        pairs: numbers of points (p, 2); all pairs if None.

    Returns:
        (p,), or (n, n) for all pairs.

    Raises:
        InputError: pairs out of range, an encoding that does not give a vector.

    Cost and precision:
        The encoding in JAX's dtype, differences and their norms in float64.

    Example:
        >>> from spectralbias import models, regions
        >>> regions.encoding_distance(models.encodings.Interval(0, 1), [[-1.0], [0.0], [1.0]], [[0, 1], [0, 2]])
        array([0.5, 1. ])

    References:
        Lazzari & Liu 2023.
    """
    points = finite_array("points", points, ndim=2)
    if len(points) == 0:
        raise InputError(f"`points` must have shape (n, dim) with n of 1 or more, got {points.shape}")
    numbers = None if pairs is None else checked_pairs(pairs, len(points))
    features = np.asarray(jax.vmap(encoding)(jnp.asarray(points, jnp.result_type(float))), np.float64)
    if features.ndim != 2:
        raise InputError(f"`encoding` must map one point (dim,) to a vector, got shape {features.shape[1:]}")
    if numbers is None:
        return cdist(features, features)
    return np.linalg.norm(features[numbers[:, 0]] - features[numbers[:, 1]], axis=1)
