"""Degrees of spherical harmonics as arguments."""

import operator
from typing import Any

import numpy as np

from .._core.errors import InputError


def as_degrees(degrees: Any, name: str = "degree") -> list[int]:
    """One degree or several, as a list of ints of 0 or more with at least one."""
    values = list(degrees) if np.ndim(degrees) else [degrees]
    found = [_whole(name, value) for value in values]
    if not found:
        raise InputError(f"`{name}` must name at least one degree, got none")
    return found


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0 or isinstance(value, bool | np.bool_):
        raise InputError(f"`{name}` must be whole and 0 or more, got {value!r}")
    return number
