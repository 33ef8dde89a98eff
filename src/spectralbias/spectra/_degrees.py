"""Degrees of spherical harmonics as arguments."""

from typing import Any

import numpy as np

from .._core.checks import whole
from .._core.errors import InputError


def as_degrees(degrees: Any, name: str = "degree") -> list[int]:
    """One degree or several, as a list of ints of 0 or more with at least one."""
    found = [whole(name, degree, 0) for degree in (degrees if np.ndim(degrees) else [degrees])]
    if not found:
        raise InputError(f"`{name}` must name at least one degree, got none")
    return found
