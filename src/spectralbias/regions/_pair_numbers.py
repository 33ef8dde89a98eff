"""The one check of pairs of sample numbers."""

from typing import Any

import numpy as np
from jaxtyping import Int

from .._core.checks import real_array
from .._core.errors import InputError


def checked_pairs(pairs: Any, num_samples: int) -> Int[np.ndarray, "p 2"]:
    """Pairs of sample numbers as an int64 array (p, 2), or an `InputError`."""
    array = real_array("pairs", pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.shape[0] == 0:
        raise InputError(f"`pairs` must have shape (p, 2) with p of 1 or more, got {array.shape}")
    if array.dtype.kind not in "iu":
        raise InputError(f"`pairs` must be whole numbers of samples, got dtype {array.dtype}")
    outside = np.flatnonzero((array < 0).any(1) | (array >= num_samples).any(1))
    if outside.size:
        i, j = array[outside[0]].tolist()
        raise InputError(
            f"`pairs` must be numbers of samples from 0 to {num_samples - 1}: pair {outside[0]} is ({i}, {j}), and "
            f"{outside.size} of {len(array)} are out of range"
        )
    return array.astype(np.int64)
