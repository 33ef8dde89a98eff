"""How far training can leave the dynamics of a frozen kernel: bounds that hold as they stand."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array, positive
from .._core.errors import InputError


def damping_factor(
    eigenvalues: ArrayLike | Sequence[float], times: ArrayLike | Sequence[float]
) -> Float[np.ndarray, "T k"]:
    """∫_0^t e^(-λ(t-s)) ds = (1 - e^(-λt))/λ for every time and eigenvalue; t where λ = 0.

    This is how much of a constant source a mode keeps. It grows like t at first and stops at 1/λ: a mode of a large
    eigenvalue forgets what the kernel did to it, one of a small eigenvalue adds everything up.

    Args:
        eigenvalues: λ of the frozen kernel's operator, or of Θ/n, (k,).
        times: t, (T,).

    Returns:
        float64 array (T, k).

    Cost and precision:
        Full relative precision for every λt, by `expm1`. Eigenvalues that rounding made negative are taken as they are.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.damping_factor([2.0, 0.0], [0.0, 1.0, 100.0]).round(3)
        array([[  0.   ,   0.   ],
               [  0.432,   1.   ],
               [  0.5  , 100.   ]])

    References:
        Bowman & Montúfar 2022, abstract: deviations of the kernel are damped in the directions of large eigenvalues.
    """
    rates = finite_array("eigenvalues", eigenvalues, ndim=1)
    at = finite_array("times", times, ndim=1)[:, None]
    with np.errstate(over="ignore", under="ignore"):
        product = at * rates
        lost = -np.expm1(-product)
        # Below one the quotient is of order one, and times t: a product that underflows is then no zero over zero.
        small = product < 1
        early = at * np.divide(lost, product, out=np.ones_like(product), where=small & (product != 0))
        return np.divide(lost, rates, out=early, where=~small)


def deviation_bound(
    times: ArrayLike | Sequence[float], source_norms: ArrayLike | Sequence[float], eigenvalue: float = 0.0
) -> Float[np.ndarray, " T"]:
    """The bound (1 - e^(-σ_k t))/σ_k · sup_{s≤t} ‖(T_K - T_n^s) r_s‖ on ‖P_k (r_t - e^(-T_K t) r_0)‖.

    P_k keeps the modes of the frozen kernel K whose eigenvalue is at least σ_k. What drives the residual away from the
    frozen dynamics is the source (T_K - T_n^s) r_s, T_n^s h = (1/n) Σ_i K_s(·, x_i) h(x_i) with the kernel of the
    network at time s. With `eigenvalue` 0 this is the undamped bound t · sup_{s≤t} ‖(T_K - T_n^s) r_s‖ on the whole
    deviation. On the training points read Gram matrices over n for operators, and the norm n^(-1/2)‖·‖.

    Args:
        times: t, increasing from 0, (T,).
        source_norms: ‖(T_K - T_n^s) r_s‖ at these times, (T,). Between them the supremum is not seen: take them dense.
        eigenvalue: σ_k, the smallest one that P_k keeps. Cut between different eigenvalues only.

    Returns:
        The right-hand side, (T,).

    Raises:
        InputError: times that do not begin at 0 or do not increase, negative norms or eigenvalue.

    Cost and precision:
        It holds with these constants for every target, network and training set: it follows from the identity of
        `damped_deviations` by the triangle inequality.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.deviation_bound([0.0, 1.0, 2.0], [0.3, 0.5, 0.1], eigenvalue=1.0).round(3)
        array([0.   , 0.316, 0.432])

    References:
        Bowman & Montúfar 2022, the bounds on damped deviations. Evaluated along trainings in `bowman-damped-bound`.
    """
    at = increasing_times(times)
    norms = finite_array("source_norms", source_norms, ndim=1)
    if norms.shape != at.shape:
        raise InputError(f"`source_norms` must have one value for each of the {len(at)} `times`, got {len(norms)}")
    if np.any(norms < 0):
        raise InputError(f"`source_norms` must not be negative, got {norms.min():.6g}")
    not_negative("eigenvalue", eigenvalue)
    return damping_factor([eigenvalue], at)[:, 0] * np.maximum.accumulate(norms)


def stopping_time(eigenvalue: float, initial_norm: float, epsilon: float) -> float:
    """The time T = log(‖P_k r_0‖/ε)/σ_k from which on the frozen kernel leaves at most ε of the first k modes.

    ‖P_k e^(-T_K t) r_0‖ ≤ e^(-σ_k t) ‖P_k r_0‖. Modes with σ_i T far below 1 are still unlearned then.

    Args:
        eigenvalue: σ_k, the smallest one that P_k keeps.
        initial_norm: ‖P_k r_0‖.
        epsilon: ε.

    Returns:
        T; 0 if there is no more than ε at the start, infinity for an eigenvalue of 0.

    Raises:
        InputError: a negative eigenvalue or norm, an ε that is not positive.

    Example:
        >>> from spectralbias import dynamics
        >>> round(dynamics.stopping_time(0.5, 1.0, 0.01), 2)
        9.21

    References:
        Bowman & Montúfar 2022, the corollary of the under-parameterized theorem.
    """
    not_negative("eigenvalue", eigenvalue)
    not_negative("initial_norm", initial_norm)
    positive("epsilon", epsilon)
    if initial_norm <= epsilon:
        return 0.0
    # The quotient itself may overflow.
    return (math.log(initial_norm) - math.log(epsilon)) / eigenvalue if eigenvalue > 0 else math.inf


def increasing_times(times: ArrayLike | Sequence[float]) -> Float[np.ndarray, " T"]:
    """Times that begin at 0 and increase, as float64."""
    at = finite_array("times", times, ndim=1)
    if not len(at) or at[0] != 0 or np.any(np.diff(at) <= 0):
        raise InputError("`times` must increase from 0, where the residual is that of the start")
    return at


def not_negative(name: str, value: float) -> None:
    """Refuse negative and non-finite numbers."""
    if not (np.isfinite(value) and value >= 0):
        raise InputError(f"`{name}` must be a number that is 0 or more, got {value}")
