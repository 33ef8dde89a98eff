"""Points on the unit sphere."""

from typing import Any

import numpy as np

from .checks import finite_array
from .errors import InputError

# Float32 vectors have norms within 1e-7 of 1, so that this lets them pass and nothing else.
NORM_TOLERANCE = 1e-6


def cosines(name: str, t: Any) -> np.ndarray:
    """`t` as float64 numbers; refused where one is not within 1e-6 of [-1, 1]: polynomials grow fast beyond."""
    values = finite_array(name, t)
    if values.size and np.abs(values).max() > 1 + NORM_TOLERANCE:
        raise InputError(f"`{name}` must lie in [-1, 1], got {values.ravel()[np.abs(values).argmax()]:g}")
    return values


def unit_vectors(name: str, x: Any, dim: int | None = None) -> np.ndarray:
    """`x` as float64 points (n, dim) with norms of 1 to rounding; refused where a norm is not within 1e-6 of 1."""
    points = finite_array(name, x, ndim=2)
    if not points.size or points.shape[1] < 2 or dim not in (None, points.shape[1]):
        columns = "dim of 2 or more" if dim is None else f"dim = {dim}"
        raise InputError(f"`{name}` must have shape (n, dim) with n > 0 and {columns}, got {points.shape}")
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    worst = int(np.argmax(np.abs(norms - 1)))
    if not abs(norms[worst, 0] - 1) <= NORM_TOLERANCE:
        raise InputError(
            f"`{name}` must lie on the unit sphere, got a norm of {norms[worst, 0]:.7g} in row {worst}: "
            f"divide each row by its norm"
        )
    return points / norms
