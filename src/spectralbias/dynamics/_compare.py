"""Measured against predicted: when each mode and each band was learned."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

# The residual counts as learned when it has fallen by this factor.
LEARNED = float(np.exp(-1))


def crossing(
    steps: ArrayLike | Sequence[float], amplitudes: ArrayLike | Sequence[float], level: float = LEARNED
) -> Float[np.ndarray, "..."]:
    """The step from which on an amplitude stays at or below `level` times its first value; infinity where it does not.

    With momentum a mode swings through zero long before it is learned: what counts is that it stays. Between recorded
    steps the logarithm of the amplitude is interpolated linearly, which is exact for a mode that decays geometrically.

    Args:
        steps: recorded steps (T,), increasing from 0.
        amplitudes: (T, …), taken in absolute value.
        level: fraction of the first value.

    Returns:
        Steps, of shape (…).

    Example:
        >>> from spectralbias import dynamics
        >>> float(dynamics.crossing([0, 1, 2, 3], [1.0, 0.1, 0.5, 0.125], level=0.25))
        2.5
    """
    steps = np.asarray(steps, float)
    least, most = np.finfo(float).tiny, np.finfo(float).max
    logs = np.log(np.clip(np.abs(np.asarray(amplitudes, float)), least, most)).reshape(len(steps), -1)
    logs = logs - logs[0]
    above = ~(logs <= np.log(level))
    last = len(steps) - 1 - np.argmax(above[::-1], axis=0)
    stays = ~above[-1]
    after = np.where(stays, last + 1, last)
    columns = np.arange(logs.shape[1])
    high, low = logs[last, columns], logs[after, columns]
    part = np.divide(high - np.log(level), high - low, out=np.zeros_like(high), where=high > low)
    at = steps[last] + part * (steps[after] - steps[last])
    return np.where(stays, at, np.inf).reshape(np.shape(amplitudes)[1:])


class Comparison(eqx.Module):
    """Measured and predicted learning of a set of parts: modes or bands.

    Attributes:
        shares: of the initial residual's energy, (k,).
        measured_steps: 1/e step of each part in training, (k,); infinity where it was not reached.
        predicted_steps: the frozen kernel's, (k,); NaN without a prediction, infinity where not reached.
        measured_left: amplitude left at the last record, as a fraction of the first, (k,).
        predicted_left: the frozen kernel's, (k,).
    """

    shares: Float[np.ndarray, " k"]
    measured_steps: Float[np.ndarray, " k"]
    predicted_steps: Float[np.ndarray, " k"]
    measured_left: Float[np.ndarray, " k"]
    predicted_left: Float[np.ndarray, " k"]

    @property
    def relative_errors(self) -> Float[np.ndarray, " k"]:
        """Measured minus predicted step over the predicted one (over 1 below one step, the resolution of training).

        NaN unless both were reached.
        """
        both = np.isfinite(self.measured_steps) & np.isfinite(self.predicted_steps)
        difference = np.subtract(self.measured_steps, self.predicted_steps, out=np.full(both.shape, np.nan), where=both)
        return difference / np.maximum(self.predicted_steps, 1.0)


def compare(
    steps: ArrayLike,
    measured: ArrayLike,
    predicted: ArrayLike | None,
    *,
    predicted_steps: ArrayLike | None = None,
) -> Comparison:
    """When each part was learned, in training and by the frozen kernel.

    Args:
        steps: recorded steps (T,).
        measured: amplitudes (T, k): mode coefficients, or square roots of band energies.
        predicted: the frozen kernel's amplitudes at the same steps, or None where it has no prediction.
        predicted_steps: the predicted 1/e steps (k,) where they are known beyond the last recorded step.

    Returns:
        A `Comparison`.

    Example:
        >>> import numpy as np
        >>> from spectralbias import dynamics
        >>> steps = np.arange(50)
        >>> result = dynamics.compare(steps, 0.9 ** steps[:, None], 0.8 ** steps[:, None])
        >>> result.measured_steps.round(2), result.predicted_steps.round(2)
        (array([9.49]), array([4.48]))
    """
    measured = np.abs(np.asarray(measured, float))
    unknown = np.full(measured.shape[1:], np.nan)
    energy = measured[0] ** 2

    def left(amplitudes: np.ndarray) -> np.ndarray:
        return np.divide(amplitudes[-1], amplitudes[0], out=unknown.copy(), where=amplitudes[0] > 0)

    predicted = None if predicted is None else np.abs(np.asarray(predicted, float))
    if predicted_steps is None:
        predicted_steps = unknown if predicted is None else crossing(steps, predicted)
    return Comparison(
        shares=energy / max(energy.sum(), np.finfo(float).tiny),
        measured_steps=crossing(steps, measured),
        predicted_steps=np.asarray(predicted_steps, float),
        measured_left=left(measured),
        predicted_left=unknown if predicted is None else left(predicted),
    )
