"""Mercer eigenvalues as they are found, before they are rounded to float64."""

from typing import Any, NamedTuple

import numpy as np

from .._core.errors import InputError
from ._power_law import Asymptote


class Eigenvalues(NamedTuple):
    """`mpmath.mpf` values, relative errors, a method for each, the work's precision, κ(1), asymptotes by parity."""

    values: list[Any]
    errors: np.ndarray
    methods: list[str]
    precision: str
    trace: float
    asymptotes: tuple[Asymptote | None, Asymptote | None] = (None, None)


def not_positive(dim: int, degree: int, value: str) -> InputError:
    return InputError(
        f"the kernel is not positive definite on the sphere in `dim` {dim}: its eigenvalue of degree {degree} is "
        f"{value}"
    )


def not_finite(value: str, cosine: str) -> InputError:
    return InputError(f"the kernel's profile is not finite or not real: {value} at cosine {cosine}")
