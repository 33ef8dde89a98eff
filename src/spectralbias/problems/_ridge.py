"""Targets on the sphere that depend on one direction only."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from .._core.checks import finite_array
from .._core.errors import InputError
from .._core.gegenbauer import zonal_harmonic
from ._harmonics import distinct_degrees, sampling
from ._measures import Sphere, SphereMeasure
from ._problem import Problem
from ._random import generator


def ridge(
    function: Callable[[np.ndarray], Any],
    *,
    dim: int | None = None,
    degrees: Sequence[int] | np.ndarray = (1, 2, 4),
    measure: SphereMeasure | None = None,
    num_samples: int = 1000,
    num_test: int = 1000,
    key: Array,
) -> Problem:
    """A function of the cosine with one direction, on points drawn from the sphere S^(dim-1).

    y(x) = g(⟨ζ, x⟩) with a uniform unit vector ζ. Its part of degree k is a_k φ_k, φ_k(x) = √N(dim, k) P_k(⟨ζ, x⟩):
    the functions of the labelled basis.

    Args:
        function: g, from a float64 array (n,) of cosines in [-1, 1] to as many finite values, e.g. `numpy.sign`.
        dim: dimension of the ambient space, 2 or more; by default that of `measure`, or 10.
        degrees: the degrees k of the basis, each 0 or more, none twice. The target may have others too.
        measure: where training and test points are drawn from; uniform by default.
        num_samples: number of training points n, 2 or more.
        num_test: number of test points, drawn afresh; 0 for none.
        key: a JAX PRNG key.

    Returns:
        A `Problem` with x (n, dim) of unit norm, y (n,), `measure`, and `basis`: "degree k" -> φ_k (n, 1).

    Raises:
        InputError: an argument out of the ranges above; a function whose values are not real, not finite, of another
            shape, or all equal.

    Cost and precision:
        O(n dim) for the points and O(n k) for each degree; float64.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import problems
        >>> step = problems.ridge(np.sign, dim=3, num_samples=50, key=jax.random.key(0))
        >>> np.unique(step.y), list(step.basis)
        (array([-1.,  1.]), ['degree 1', 'degree 2', 'degree 4'])

    References:
        Cao et al. 2021, Fig. 3: sums of cosines, and of even powers, of ⟨ζ, x⟩.
    """
    if not callable(function):
        raise InputError(f"`function` must be a function of an array of cosines, got {function!r}")
    measure, num_samples, num_test = sampling(dim, measure, num_samples, num_test)
    degrees = distinct_degrees(degrees)
    train_stream, test_stream, direction_stream = generator(key).spawn(3)
    (direction,) = Sphere(measure.dim).draw(direction_stream, 1)

    def sample(stream: np.random.Generator, count: int):
        x = measure.draw(stream, count)
        cosine = np.clip(x @ direction, -1, 1)  # rounding: a function may be undefined beyond
        values = finite_array("function", function(cosine.copy()))
        if values.shape != cosine.shape:
            raise InputError(
                f"`function` must map cosines of shape {cosine.shape} to as many values, got shape {values.shape}"
            )
        basis = {f"degree {k}": zonal_harmonic(k, measure.dim, cosine)[:, None] for k in degrees}
        return x, values, basis

    x, y, basis = sample(train_stream, num_samples)
    x_test, y_test, basis_test = sample(test_stream, num_test) if num_test else (None, None, None)
    return Problem(x, y, x_test=x_test, y_test=y_test, measure=measure, basis=basis, basis_test=basis_test)
