"""Gegenbauer polynomials of the sphere and the dimension of the space of spherical harmonics."""

import math

import numpy as np

from .errors import InputError


def check_degree_and_dim(degree: int, dim: int) -> None:
    """Refuse a negative degree and a sphere that is not one."""
    if degree < 0:
        raise InputError(f"`degree` must be 0 or more, got {degree}")
    if dim < 2:
        raise InputError(f"`dim` must be 2 or more (the circle is the smallest sphere), got {dim}")


def multiplicity(degree: int, dim: int) -> int:
    """N(dim, k) = C(k+dim-1, dim-1) - C(k+dim-3, dim-1): how many harmonics of degree k there are, exactly."""
    check_degree_and_dim(degree, dim)
    below = math.comb(degree + dim - 3, dim - 1) if degree >= 2 else 0
    return math.comb(degree + dim - 1, dim - 1) - below


def gegenbauer(degree: int, dim: int, t) -> np.ndarray:
    """P_k(t) on S^(dim-1) with P_k(1) = 1, by its three-term recurrence, which is stable on [-1, 1].

    (k + dim - 2) P_{k+1}(t) = (2k + dim - 2) t P_k(t) - k P_{k-1}(t).
    """
    check_degree_and_dim(degree, dim)
    t = np.asarray(t, dtype=np.float64)
    previous, current = np.ones_like(t), t.copy()
    if degree == 0:
        return previous
    for k in range(1, degree):
        previous, current = current, ((2 * k + dim - 2) * t * current - k * previous) / (k + dim - 2)
    return np.asarray(current)
