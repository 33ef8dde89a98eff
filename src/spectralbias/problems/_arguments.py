"""Checks of the arguments that several makers share."""

from typing import Any

import numpy as np

from .._core.checks import finite_array
from .._core.errors import InputError


def one_each(name: str, values: Any, items: str, count: int) -> np.ndarray:
    """`values` as a float64 array (count,), one for each of the `items`."""
    array = finite_array(name, values, ndim=1)
    if array.size != count:
        raise InputError(f"`{name}` must have one value for each of the {count} `{items}`, got {array.size}")
    return array


def amplitudes_or_ones(amplitudes: Any, items: str, count: int) -> np.ndarray:
    """The amplitudes of a sum of functions, which must not all vanish."""
    array = one_each("amplitudes", np.ones(count) if amplitudes is None else amplitudes, items, count)
    if not array.any():
        raise InputError("`amplitudes` are all 0: the target would vanish, give at least one that is not")
    return array
