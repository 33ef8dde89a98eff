"""Coordinates of a regular grid, in the conventions that people use."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from .._core.checks import whole
from .._core.errors import InputError, unknown

NODES = ("centers", "left", "ends")


def coordinates(
    shape: int | Sequence[int],
    *,
    lower: float = -1.0,
    upper: float = 1.0,
    nodes: Literal["centers", "left", "ends"] = "centers",
) -> np.ndarray:
    """The inputs of a signal or an image, one row for each sample, in any of the three usual conventions.

    The interval is cut into n cells along each axis, and x is lower + (upper - lower) u with

    - `"centers"`: u = (i + 1/2)/n, the centers of the cells, as `problems.image` and `problems.signal` have them;
    - `"left"`: u = i/n, which includes 0 and excludes 1;
    - `"ends"`: u = i/(n - 1), NumPy's `linspace`, which includes both.

    Which one it is decides whether an encoded grid is periodic: sines and cosines of 2^l π x have the period 2, which
    `"centers"` and `"left"` on [-1, 1] fill with equal steps. On [0, 1] they are half a period.

    Args:
        shape: number of samples n, or (rows, columns), …
        lower: of the interval.
        upper: of the interval.
        nodes: see above.

    Returns:
        (n, dim) in row-major order, the row's coordinate first.

    Raises:
        InputError: sizes below 1, with `"ends"` below 2; `lower` that is not below `upper`; unknown `nodes`.

    Cost and precision:
        float64, exact to the last bit or two.

    Example:
        >>> from spectralbias import problems
        >>> problems.coordinates(4, lower=0, nodes="left").ravel().tolist()
        [0.0, 0.25, 0.5, 0.75]
        >>> problems.coordinates((2, 3), nodes="ends").tolist()[1]
        [-1.0, 0.0]

    References:
        Lazzari & Liu 2023: raw coordinates are `"left"` on [0, 1] and [-1, 1], what the positional encoding reads is
        `"ends"` on [0, 1].
    """
    if nodes not in NODES:
        raise unknown("nodes", nodes, NODES)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        raise InputError(f"`lower` must be below `upper`, got {lower} and {upper}")
    sizes = [shape] if isinstance(shape, int | np.integer) else list(shape)
    if not sizes:
        raise InputError("`shape` must have at least one size")
    for size in sizes:
        whole("shape", size, 2 if nodes == "ends" else 1)
    axes = [lower + (upper - lower) * _unit(int(size), nodes) for size in sizes]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _unit(size: int, nodes: str) -> np.ndarray:
    """Nodes in [0, 1]."""
    i = np.arange(size)
    return {"centers": lambda: (i + 0.5) / size, "left": lambda: i / size, "ends": lambda: i / (size - 1)}[nodes]()
