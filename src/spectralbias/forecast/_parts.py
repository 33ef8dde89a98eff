"""What becomes of the parts of a target."""

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ..dynamics import crossing, discrete_decay, learning_steps

# A part counts as learned when it has fallen by a factor e, and as learned to the end at 1 % of its start.
LEARNED, NEARLY_ALL = float(np.exp(-1)), 0.01


class Parts(eqx.Module):
    """What becomes of parts of the target: modes, or bands.

    Attributes:
        shares: of the initial residual's energy, (k,).
        learning_times: steps until the amplitude has fallen by a factor e for good, (k,); infinity where never.
        percent_times: steps until 1 % of it is left, (k,).
        remaining: amplitude left after the budget of steps, as a fraction of the start, (k,).
    """

    shares: Float[np.ndarray, " k"]
    learning_times: Float[np.ndarray, " k"]
    percent_times: Float[np.ndarray, " k"]
    remaining: Float[np.ndarray, " k"]


def of_eigenvalues(
    eigenvalues: Float[np.ndarray, " k"],
    shares: Float[np.ndarray, " k"],
    budget: int,
    rate: float,
    momentum: float,
) -> Parts:
    """Modes of a frozen kernel: their times are known beyond the budget too, up to 100 times as far."""
    learned, whole = (
        learning_steps(eigenvalues, rate, momentum, level=level, horizon=100 * budget)
        for level in (LEARNED, NEARLY_ALL)
    )
    return Parts(shares, learned, whole, np.abs(discrete_decay(eigenvalues, [budget], rate, momentum)[0]))


def of_curves(steps: np.ndarray, amplitudes: Float[np.ndarray, "T k"]) -> Parts:
    """Parts whose amplitudes were computed at some steps, from 0 to the budget."""
    energy = amplitudes[0] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        remaining = amplitudes[-1] / amplitudes[0]
    learned, whole = (crossing(steps, amplitudes, level) for level in (LEARNED, NEARLY_ALL))
    return Parts(energy / energy.sum(), learned, whole, remaining)
