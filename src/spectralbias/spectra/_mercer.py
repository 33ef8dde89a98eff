"""Mercer eigenvalues as they are found, before they are rounded to float64."""

from typing import Any, NamedTuple

import numpy as np

from .._core.errors import InputError


class Eigenvalues(NamedTuple):
    """`mpmath.mpf` values, relative errors, a method for each, the precision of the work, and κ(1)."""

    values: list[Any]
    errors: np.ndarray
    methods: list[str]
    precision: str
    trace: float


def not_positive(dim: int, degree: int, value: str) -> InputError:
    return InputError(
        f"the kernel is not positive definite on the sphere in `dim` {dim}: its eigenvalue of degree {degree} is "
        f"{value}"
    )
