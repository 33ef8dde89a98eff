"""What is left of a mode of a frozen kernel, and its integral: under gradient flow, gradient descent and momentum."""

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array, positive, real_array
from .._core.errors import InputError
from ._compare import LEARNED, crossing
from ._schedule import log_spaced
from ._time import check_momentum

# A smaller momentum changes nothing: r_s depends on it by about as much as itself.
NO_MOMENTUM = 1e-30


def decay(eigenvalues: ArrayLike | Sequence[float], times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T k"]:
    """e^(-λt) for every time and eigenvalue."""
    return np.exp(-np.outer(times, eigenvalues))


def discrete_decay(
    eigenvalues: ArrayLike | Sequence[float],
    steps: ArrayLike | Sequence[float],
    learning_rate: float,
    momentum: float = 0.0,
) -> Float[np.ndarray, "T k"]:
    """(1 - ηλ)^s for every step and eigenvalue; with momentum β the solution of its recursion.

    r_{s+1} = (1 + β - ηλ) r_s - β r_{s-1} with r_{-1} = r_0 = 1.

    Args:
        eigenvalues: λ of Θ/n, (k,).
        steps: numbers of steps s, (T,), in any order.
        learning_rate: η.
        momentum: β.

    Returns:
        r_s, (T, k).

    Raises:
        InputError: steps that are not whole, a learning rate that is not positive, a momentum outside [0, 1).

    Cost and precision:
        A closed form, without a loop over steps. Beside the largest |r_s| of the mode it is good to 1e-12, also where
        the two roots of the recursion meet; for a momentum above 0.999, to 1e-15/(1 - β).

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.discrete_decay([0.1, 1.9], [0, 1, 2], 1.0)
        array([[ 1.  ,  1.  ],
               [ 0.9 , -0.9 ],
               [ 0.81,  0.81]])

    References:
        Polyak 1964, Some methods of speeding up the convergence of iteration methods.
    """
    return _descent(eigenvalues, steps, learning_rate, momentum)[0]


def flow_integral(eigenvalues: np.ndarray, times: np.ndarray) -> Float[np.ndarray, "T k"]:
    """∫_0^t e^(-λu) du = (1 - e^(-λt))/λ, and t where λ = 0."""
    zero = eigenvalues == 0
    lost = -np.expm1(-np.outer(times, eigenvalues))
    return np.where(zero, times[:, None], lost / np.where(zero, 1.0, eigenvalues))


def descent_integral(
    eigenvalues: np.ndarray, steps: np.ndarray, learning_rate: float, momentum: float
) -> Float[np.ndarray, "T k"]:
    """(1 - r_s)/λ after s steps of gradient descent: the sum that stands for `flow_integral`."""
    # At λ = 0 it is a limit, and has all digits at so small a rate.
    nonzero = np.where(eigenvalues == 0, 1e-40 / learning_rate, eigenvalues)
    return _descent(nonzero, steps, learning_rate, momentum)[1] / nonzero


def _descent(
    eigenvalues: ArrayLike | Sequence[float],
    steps: ArrayLike | Sequence[float],
    learning_rate: float,
    momentum: float,
) -> tuple[np.ndarray, np.ndarray]:
    """r_s and 1 - r_s, the second with the digits of its own where a mode is slow."""
    check_momentum(momentum)
    positive("learning_rate", learning_rate)
    rates = learning_rate * finite_array("eigenvalues", eigenvalues, ndim=1)
    column = whole_steps(steps)[:, None]
    with np.errstate(over="ignore", under="ignore"):
        if momentum < NO_MOMENTUM:
            return _powers(rates, column)
        return _heavy_ball(rates, column, float(momentum))


def _sign(alternates: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return np.where(alternates & (steps % 2 == 1), -1.0, 1.0)


def _powers(rates: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 - μ)^s by its logarithm: 1 - μ itself would be rounded, and s steps would multiply that."""
    alternates = rates > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where(steps == 0, 0.0, steps * np.log1p(np.where(alternates, rates - 2, -rates)))
    left = _sign(alternates, steps) * np.exp(exponent)
    return left, np.where(alternates, 1 - left, -np.expm1(exponent))


def _heavy_ball(rates: np.ndarray, steps: np.ndarray, momentum: float) -> tuple[np.ndarray, np.ndarray]:
    """The solution of the recursion by the roots z± of z² - (1 + β - μ) z + β, with z₊ z₋ = β.

    The roots meet at μ = (1 ∓ √β)², between which they are complex. Distances from there are what matters, so these
    numbers are taken to twice the digits. Beyond the middle, μ > 1 + β, the roots are those of 2 (1 + β) - μ with
    their signs changed.
    """
    with mpmath.workdps(50):
        beta = mpmath.mpf(momentum)
        lower, upper, limit = (1 - mpmath.sqrt(beta)) ** 2, (1 + mpmath.sqrt(beta)) ** 2, 2 * (1 + beta)
        below, above, folded = (_difference(point, rates) for point in (lower, upper, limit))
    alternates = rates > 1 + momentum
    distance = np.where(alternates, folded, rates)
    near, far = np.where(alternates, -above, below), np.where(alternates, -below, above)
    left, lost = np.empty((2, len(steps), len(rates)))
    for which, part in ((near > 0, _overdamped), (near <= 0, _oscillating)):
        arguments = (distance[which], near[which], far[which], alternates[which])
        left[:, which], lost[:, which] = part(*arguments, steps, momentum)
    return left, lost


def _difference(point: Any, rates: np.ndarray) -> np.ndarray:
    """`point` - μ, with all digits where the two are near each other."""
    high = float(point)
    return (high - rates) + float(point - high)


def _overdamped(
    distance: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    alternates: np.ndarray,
    steps: np.ndarray,
    momentum: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Two real roots: r_s = z₊^s (1 + z₋ (1 - z₊)(1 - (z₋/z₊)^s)/(z₊ - z₋)), a sum without cancellation."""
    gap = np.sqrt(near) * np.sqrt(far)  # z₊ - z₋
    slow = (1 - momentum) + distance
    # 1 - z₊, from whichever form of the root adds numbers of one sign.
    missing = np.where(slow > 0, 2 * distance / np.where(slow > 0, slow + gap, 1.0), (slow - gap) / 2)
    larger = ((1 + momentum - distance) + gap) / 2
    logarithm = np.where(missing < 0.5, np.log1p(-np.minimum(missing, 0.5)), np.log(larger))
    smaller = momentum / larger
    ratio = np.log1p(gap / smaller)  # log z₊/z₋
    excess = smaller * np.where(alternates, 2 - missing, missing) * -np.expm1(-ratio * steps) / gap
    exponent = steps * logarithm
    left = _sign(alternates, steps) * np.exp(exponent) * (1 + excess)
    return left, np.where(alternates, 1 - left, -np.expm1(exponent + np.log1p(excess)))


def _oscillating(
    distance: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    alternates: np.ndarray,
    steps: np.ndarray,
    momentum: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Roots √β e^(±iφ): r_s = β^(s/2) (cos sφ + (cos φ - √β) sin sφ / sin φ); the last ratio is s where they meet."""
    angle = 2 * np.arctan2(np.sqrt(-near), np.sqrt(far))  # φ, or π - φ
    sine = np.sin(angle)
    waves = np.where(sine == 0, steps, np.sin(steps * angle) / np.where(sine == 0, 1.0, sine))
    root = momentum**0.5
    rates = np.where(alternates, 2 * (1 + momentum) - distance, distance)
    slope = np.where(alternates, -1, 1) * ((1 - momentum) - rates) / (2 * root)
    size = np.exp(steps * (np.log(momentum) / 2))
    left = _sign(alternates, steps) * size * (np.cos(steps * angle) + slope * waves)
    return left, 1 - left


def whole_steps(steps: ArrayLike | Sequence[float]) -> Float[np.ndarray, " T"]:
    """Numbers of steps as an array, or an `InputError`."""
    array = finite_array("steps", steps, ndim=1)
    if np.any((array < 0) | (array % 1 != 0)):
        raise InputError("`steps` must be whole numbers, 0 or more")
    return array


def checked_times(times: ArrayLike | Sequence[float]) -> Float[np.ndarray, " T"]:
    """Times as an array, infinity included, or an `InputError`."""
    array = real_array("times", times).astype(np.float64)
    if array.ndim != 1 or not np.all(array >= 0):
        raise InputError(f"`times` must be numbers of 0 or more, infinity included, of shape (T,), got {times}")
    return array


def learning_steps(
    eigenvalues: ArrayLike | Sequence[float],
    learning_rate: float,
    momentum: float = 0.0,
    *,
    level: float = LEARNED,
    horizon: int = 10**6,
) -> Float[np.ndarray, " k"]:
    """The step from which on each mode of a frozen kernel stays at or below `level` times its start, 1/e by default.

    log(level)/log|1 - ηλ| for gradient descent. With momentum the recursion of `discrete_decay` is followed, up
    to `horizon`.

    Args:
        eigenvalues: λ of Θ/n, (k,).
        learning_rate: η.
        momentum: β.
        level: a fraction of the start.
        horizon: with momentum, modes that are later than this count as never learned.

    Returns:
        Steps (k,), not rounded; infinity where never.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.learning_steps([1.0, 0.1], 0.5).round(2)
        array([ 1.44, 19.5 ])
    """
    eigenvalues = np.asarray(eigenvalues, float)
    if momentum == 0:
        with np.errstate(divide="ignore"):
            rates = -np.log(np.abs(1 - learning_rate * eigenvalues))
        return np.divide(-np.log(level), rates, out=np.full(rates.shape, np.inf), where=rates > 0)
    steps = np.array(log_spaced(horizon))
    return crossing(steps, discrete_decay(eigenvalues, steps, learning_rate, momentum), level)
