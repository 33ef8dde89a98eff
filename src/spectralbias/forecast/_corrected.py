"""A forecast with the kernel in motion: the neural tangent hierarchy of order 4."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..dynamics import HierarchyStatus, hierarchy
from ..problems import Problem

# A residual that has grown by so much is no forecast.
EXPLODED = 1e3


class Corrected(eqx.Module):
    """What the hierarchy expects.

    Attributes:
        residuals: at the steps asked for, (T, n); NaN from where on they explode.
        test_residuals: on the held-out samples, (T, n_test), or None.
        error_estimate: root mean square of the change from the frozen kernel, (T,). It is about the error of the frozen
            kernel, and so more than the one of order 4 (benchmarks/forecast_correction.py).
        status: a `HierarchyStatus`.
    """

    residuals: Float[np.ndarray, "T n"]
    test_residuals: Float[np.ndarray, "T n_test"] | None
    error_estimate: Float[np.ndarray, " T"]
    status: HierarchyStatus = eqx.field(static=True)


def corrected(model: Any, problem: Problem, at: np.ndarray, learning_rate: float) -> Corrected:
    """Gradient descent at these steps, from 0, by the hierarchy of order 4.

    An antisymmetric network costs what one of its copies does.
    """
    found = hierarchy(model, problem.x, problem.y, at, order=4, x_test=problem.x_test, learning_rate=learning_rate)
    assert found.error_estimate is not None
    sizes = np.abs(found.residuals).max(axis=1)
    lost = np.maximum.accumulate(~(sizes <= EXPLODED * sizes[0]))
    test = None if found.test_predictions is None else found.test_predictions - problem.y_test
    residuals, test, estimate = (
        None if one is None else np.where(lost.reshape(-1, *[1] * (one.ndim - 1)), np.nan, one)
        for one in (found.residuals, test, found.error_estimate)
    )
    return Corrected(residuals, test, estimate, found.status)
