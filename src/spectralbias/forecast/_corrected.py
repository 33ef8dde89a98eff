"""A forecast with the kernel in motion: the neural tangent hierarchy of order 4."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..dynamics import HierarchyStatus, hierarchy
from ..problems import Problem


class Corrected(eqx.Module):
    """What the hierarchy expects.

    Attributes:
        residuals: at the steps asked for, (T, n).
        test_residuals: on the held-out samples, (T, n_test), or None.
        error_estimate: root mean square of the change from the frozen kernel, (T,).
        status: a `HierarchyStatus`.
    """

    residuals: Float[np.ndarray, "T n"]
    test_residuals: Float[np.ndarray, "T n_test"] | None
    error_estimate: Float[np.ndarray, " T"]
    status: HierarchyStatus = eqx.field(static=True)


def corrected(model: Any, problem: Problem, at: np.ndarray, learning_rate: float) -> Corrected:
    """Gradient descent at these steps, from 0, by the hierarchy of order 4."""
    found = hierarchy(model, problem.x, problem.y, at, order=4, x_test=problem.x_test, learning_rate=learning_rate)
    assert found.error_estimate is not None
    test = None if found.test_predictions is None else found.test_predictions - problem.y_test
    return Corrected(found.residuals, test, found.error_estimate, found.status)
