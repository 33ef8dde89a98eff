"""What the predictors of infinitely wide networks ask of their kernel and of the data."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from ..spectra import Modes, eigenmodes


def check_kernel(kernel: Any, *methods: str) -> None:
    """Refuse what is no kernel of infinite width."""
    missing = [f"`.{name}(x1, x2)`" for name in methods if not callable(getattr(kernel, name, None))]
    if missing:
        raise InputError(
            f"`kernel` must have {' and '.join(missing)}, as `kernels.infinite_ntk(…)` has, got {type(kernel).__name__}"
        )


def training_data(
    x: ArrayLike | Sequence[Any], y: ArrayLike | Sequence[Any], x_test: ArrayLike | Sequence[Any] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Inputs, targets (n[, c]) and test inputs in float64, or an `InputError`."""
    train, targets = finite_array("x", x), finite_array("y", y, ndim=(1, 2))
    if train.ndim < 2 or not targets.size:
        raise InputError(f"`x` must have shape (n, dim) and `y` (n,) or (n, c), got {train.shape} and {targets.shape}")
    same_samples(train, targets)
    test = None if x_test is None else finite_array("x_test", x_test)
    if test is not None and (test.shape[1:] != train.shape[1:] or not test.size):
        raise InputError(f"`x_test` must have shape (m, {', '.join(map(str, train.shape[1:]))}), got {test.shape}")
    return train, targets, test


def gram(kernel: Any, which: str, x1: np.ndarray, x2: np.ndarray | None = None) -> Float[np.ndarray, "n1 n2"]:
    """One of the two kernels in float64."""
    with jax.enable_x64(True):
        return _checked(getattr(kernel, which)(x1) if x2 is None else getattr(kernel, which)(x1, x2), which, x1, x2)


def _checked(values: Any, which: str, x1: np.ndarray, x2: np.ndarray | None) -> np.ndarray:
    matrix = finite_array(f"kernel.{which}", values)
    shape = (len(x1), len(x1 if x2 is None else x2))
    if matrix.shape != shape:
        raise InputError(f"`kernel.{which}` must give one number per pair, {shape} of them, got shape {matrix.shape}")
    return matrix


def positive_modes(matrix: np.ndarray, which: str) -> Modes:
    """All modes of a Gram, or an `InputError` where it is none."""
    modes = eigenmodes(matrix, num_modes=len(matrix))
    if modes.eigenvalues[-1] < -1e-6 * np.max(np.abs(modes.eigenvalues)):
        raise InputError(
            f"`kernel.{which}` is no covariance: its Gram on `x` has the eigenvalue {modes.eigenvalues[-1]:.3g} of "
            f"Θ/n, beside a largest of {modes.eigenvalues[0]:.3g}"
        )
    return modes
