"""Gegenbauer polynomials of the sphere and the dimension of the space of spherical harmonics."""

import itertools
import math
from collections.abc import Iterator

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


def multiplicities(max_degree: int, dim: int) -> tuple[int, ...]:
    """N(dim, 0) to N(dim, K), by N(dim, k + 1) = N(dim, k) (2k + dim)(k + dim - 2)/((2k + dim - 2)(k + 1))."""
    check_degree_and_dim(max_degree, dim)
    found = [1, dim if dim > 2 else 2]
    for k in range(1, max_degree):
        found.append(found[-1] * (2 * k + dim) * (k + dim - 2) // ((2 * k + dim - 2) * (k + 1)))
    return tuple(found[: max_degree + 1])


def gegenbauer_sequence(dim: int, t) -> Iterator[np.ndarray]:
    """P_0(t), P_1(t), … on S^(dim-1) with P_k(1) = 1, by their three-term recurrence, which is stable on [-1, 1].

    (k + dim - 2) P_{k+1}(t) = (2k + dim - 2) t P_k(t) - k P_{k-1}(t).
    """
    t = np.asarray(t, dtype=np.float64)
    previous, current = np.ones_like(t), t.copy()
    yield previous
    for k in itertools.count(1):
        yield current
        previous, current = current, ((2 * k + dim - 2) * t * current - k * previous) / (k + dim - 2)


def gegenbauer(degree: int, dim: int, t) -> np.ndarray:
    """P_k(t) on S^(dim-1) with P_k(1) = 1."""
    check_degree_and_dim(degree, dim)
    return np.asarray(next(itertools.islice(gegenbauer_sequence(dim, t), degree, None)))


def float_multiplicity(degree: int, dim: int) -> float:
    """N(dim, k) as a float64, or an `InputError` where it is too large for one."""
    try:
        return float(multiplicity(degree, dim))
    except OverflowError:
        raise InputError(f"degree {degree} in dim {dim} has more than 1e308 harmonics: lower one of the two") from None


def zonal_harmonic(degree: int, dim: int, cosine) -> np.ndarray:
    """√N(dim, k) P_k(cosine): by the addition theorem ∫ P_k² = 1/N, so that the square has mean 1."""
    return np.asarray(math.sqrt(float_multiplicity(degree, dim)) * gegenbauer(degree, dim, cosine))
