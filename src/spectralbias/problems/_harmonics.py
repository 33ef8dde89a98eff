"""Targets on the sphere made of spherical harmonics of chosen degrees."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array

from .._core.checks import finite_array, whole
from .._core.errors import InputError
from .._core.gegenbauer import zonal_harmonic
from ._arguments import amplitudes_or_ones
from ._measures import Sphere, SphereMeasure
from ._problem import Problem
from ._random import generator


def harmonics(
    *,
    dim: int | None = None,
    degrees: Sequence[int] | np.ndarray = (1, 2, 4),
    amplitudes: Sequence[float] | np.ndarray | None = None,
    measure: SphereMeasure | None = None,
    num_samples: int = 1000,
    num_test: int = 1000,
    key: Array,
) -> Problem:
    """A sum of zonal harmonics, one of each degree, on points drawn from the sphere S^(dim-1).

    y(x) = Σ_k a_k φ_k(x) with φ_k(x) = √N(dim, k) P_k(⟨ζ_k, x⟩): P_k is the Gegenbauer polynomial with
    P_k(1) = 1, N(dim, k) the number of harmonics of degree k, ζ_k an independent uniform unit vector.
    Each φ_k has unit L² norm in the uniform probability measure; different degrees are orthogonal.

    Args:
        dim: dimension of the ambient space, 2 or more; by default that of `measure`, or 10.
        degrees: the degrees k, each 0 or more, none twice.
        amplitudes: a_k, one for each degree; all 1 by default.
        measure: where training and test points are drawn from, such as `PiecewiseSphere(10)`; uniform by default.
            Then the φ_k are no longer orthogonal in the measure of the inputs.
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
    measure, num_samples, num_test = sampling(dim, measure, num_samples, num_test)
    degrees = distinct_degrees(degrees)
    coefficients = amplitudes_or_ones(amplitudes, "degrees", len(degrees))

    train_stream, test_stream, direction_stream = generator(key).spawn(3)
    directions = Sphere(measure.dim).draw(direction_stream, len(degrees))

    def sample(stream: np.random.Generator, count: int):
        x = measure.draw(stream, count)
        basis = {
            f"degree {k}": zonal_harmonic(k, measure.dim, x @ zeta)[:, None]
            for k, zeta in zip(degrees, directions, strict=True)
        }
        return x, np.hstack(list(basis.values())) @ coefficients, basis

    x, y, basis = sample(train_stream, num_samples)
    x_test, y_test, basis_test = sample(test_stream, num_test) if num_test else (None, None, None)
    return Problem(x, y, x_test=x_test, y_test=y_test, measure=measure, basis=basis, basis_test=basis_test)


def sampling(
    dim: int | None, measure: SphereMeasure | None, num_samples: int, num_test: int
) -> tuple[SphereMeasure, int, int]:
    """The measure (uniform by default), n, and the number of test points, checked."""
    if measure is None:
        measure = Sphere(10 if dim is None else whole("dim", dim, 2))
    if not isinstance(measure, SphereMeasure):
        raise InputError(f"`measure` must be a measure on the sphere, such as Sphere(10), got {measure!r}")
    if dim not in (None, measure.dim):
        raise InputError(f"`dim` is {dim} and that of `measure` is {measure.dim}: leave `dim` out")
    return measure, whole("num_samples", num_samples, 2), whole("num_test", num_test, 0)


def distinct_degrees(degrees: Sequence[int] | np.ndarray) -> list[int]:
    """Degrees as ints of 0 or more, none twice, at least one."""
    finite_array("degrees", degrees, ndim=1)
    found = [whole("degrees", degree, 0) for degree in degrees]
    if not found or len(set(found)) < len(found):
        raise InputError(f"`degrees` must name at least one degree and none twice, got {found}")
    return found
