"""Targets on the sphere made of spherical harmonics of chosen degrees."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array

from .._core.checks import finite_array
from .._core.errors import InputError
from .._core.gegenbauer import gegenbauer, multiplicity
from ._arguments import amplitudes_or_ones, whole
from ._problem import Problem, Sphere
from ._random import generator


def harmonics(
    *,
    dim: int = 10,
    degrees: Sequence[int] | np.ndarray = (1, 2, 4),
    amplitudes: Sequence[float] | np.ndarray | None = None,
    num_samples: int = 1000,
    num_test: int = 1000,
    key: Array,
) -> Problem:
    """A sum of zonal harmonics, one of each degree, on points drawn uniformly from the sphere S^(dim-1).

    y(x) = Σ_k a_k φ_k(x) with φ_k(x) = √N(dim, k) P_k(⟨ζ_k, x⟩): P_k is the Gegenbauer polynomial with
    P_k(1) = 1, N(dim, k) the number of harmonics of degree k, ζ_k an independent uniform unit vector.
    Each φ_k has unit L² norm in the uniform probability measure; different degrees are orthogonal.

    Args:
        dim: dimension of the ambient space, 2 or more.
        degrees: the degrees k, each 0 or more, none twice.
        amplitudes: a_k, one for each degree; all 1 by default.
        num_samples: number of training points n, 2 or more.
        num_test: number of test points, drawn afresh; 0 for none.
        key: a JAX PRNG key.

    Returns:
        A `Problem` with x (n, dim) of unit norm, y (n,), `measure`, and `basis`: "degree k" -> φ_k (n, 1).

    Raises:
        InputError: an argument out of the ranges above, amplitudes that are all 0 or not as many as degrees.

    Cost and precision:
        O(n dim) for the points and O(n k) for each degree; float64, with norms within 1e-15 of 1.

    Example:
        >>> import jax
        >>> from spectralbias import problems
        >>> problem = problems.harmonics(dim=3, degrees=(1, 4), num_samples=50, key=jax.random.key(0))
        >>> problem.x.shape, problem.y.shape, list(problem.basis)
        ((50, 3), (50,), ['degree 1', 'degree 4'])

    References:
        Cao et al. 2021, sec. 5: the targets there are sums of P_k(⟨ζ_k, x⟩), on S^d with d = dim - 1.
    """
    dim, num_samples = whole("dim", dim, 2), whole("num_samples", num_samples, 2)
    num_test = whole("num_test", num_test, 0)
    finite_array("degrees", degrees, ndim=1)
    degrees = [whole("degrees", degree, 0) for degree in degrees]
    if not degrees or len(set(degrees)) < len(degrees):
        raise InputError(f"`degrees` must name at least one degree and none twice, got {degrees}")
    coefficients = amplitudes_or_ones(amplitudes, "degrees", len(degrees))

    train_stream, test_stream, direction_stream = generator(key).spawn(3)
    directions = _sphere_points(direction_stream, len(degrees), dim)

    def sample(stream: np.random.Generator, count: int):
        x = _sphere_points(stream, count, dim)
        basis = {
            f"degree {k}": zonal_harmonic(k, dim, x @ zeta)[:, None]
            for k, zeta in zip(degrees, directions, strict=True)
        }
        return x, np.hstack(list(basis.values())) @ coefficients, basis

    x, y, basis = sample(train_stream, num_samples)
    x_test, y_test, basis_test = sample(test_stream, num_test) if num_test else (None, None, None)
    return Problem(x, y, x_test=x_test, y_test=y_test, measure=Sphere(dim), basis=basis, basis_test=basis_test)


def zonal_harmonic(degree: int, dim: int, cosine: np.ndarray) -> np.ndarray:
    """√N(dim, k) P_k(cosine): by the addition theorem ∫ P_k² = 1/N, so that the square has mean 1."""
    try:
        scale = math.sqrt(multiplicity(degree, dim))
    except OverflowError:
        raise InputError(
            f"`degrees` {degree} in `dim` {dim} has more than 1e308 harmonics: lower one of the two"
        ) from None
    return scale * gegenbauer(degree, dim, cosine)


def _sphere_points(stream: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Uniform points (count, dim): a normal vector has no preferred direction."""
    normal = stream.standard_normal((count, dim))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)
