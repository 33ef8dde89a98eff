"""Sums of sines on a one-dimensional grid."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array

from .._core.checks import finite_array, whole
from .._core.errors import InputError
from ._arguments import amplitudes_or_ones, one_each
from ._cells import cell_boundaries, cell_centers
from ._problem import Grid, Problem
from ._random import generator


def signal(
    *,
    frequencies: Sequence[float] | np.ndarray = (5, 10, 20),
    amplitudes: Sequence[float] | np.ndarray | None = None,
    phases: Sequence[float] | np.ndarray | None = None,
    num_samples: int = 256,
    key: Array,
) -> Problem:
    """A sum of sines on the cell centers of the window [-1, 1).

    y(x) = Σ_j a_j sin(π f_j (x + 1) + p_j) at x_i = -1 + (2i + 1)/n. The window has length 2.

    Args:
        frequencies: f_j in cycles per window, above 0 and below the Nyquist limit n/2; whole ones are exact
            modes of the grid.
        amplitudes: a_j, one for each frequency; all 1 by default.
        phases: p_j in radians; uniform in [0, 2π) by default.
        num_samples: number of cells n, 2 or more.
        key: a JAX PRNG key, which draws the phases that are not given.

    Returns:
        A `Problem` with x (n, 1), y (n,) and its `grid`. The n test points are the boundaries of the cells,
        halfway between the training points.

    Raises:
        InputError: an argument out of the ranges above, lengths that differ, amplitudes that are all 0.

    Cost and precision:
        O(n) for each frequency; float64.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import problems
        >>> problem = problems.signal(frequencies=(3, 8), num_samples=64, key=jax.random.key(0))
        >>> np.argsort(np.abs(np.fft.rfft(problem.y)))[-2:]
        array([3, 8])

    References:
        Rahaman et al. 2019, sec. 3, with f in cycles over a window of length 1.
    """
    num_samples = whole("num_samples", num_samples, 2)
    frequency = finite_array("frequencies", frequencies, ndim=1)
    if frequency.size == 0 or frequency.min() <= 0:
        raise InputError(f"`frequencies` must be at least one and above 0, got {frequency.tolist()}")
    highest = frequency.max()
    if highest >= num_samples / 2:
        raise InputError(
            f"`frequencies` must be below the Nyquist limit `num_samples`/2 = {num_samples / 2:g}, "
            f"got {highest:g}: take {math.floor(2 * highest) + 1} samples or more, or lower frequencies"
        )
    amplitude = amplitudes_or_ones(amplitudes, "frequencies", frequency.size)
    drawn = generator(key).uniform(0, 2 * math.pi, frequency.size)
    phase = drawn if phases is None else one_each("phases", phases, "frequencies", frequency.size)

    def target(x: np.ndarray) -> np.ndarray:
        return np.sin(math.pi * np.outer(x + 1, frequency) + phase[None, :]) @ amplitude

    x, x_test = cell_centers(num_samples), cell_boundaries(num_samples)
    return Problem(
        x[:, None],
        target(x),
        x_test=x_test[:, None],
        y_test=target(x_test),
        grid=Grid((num_samples,), 2.0, "cycles per window"),
    )
