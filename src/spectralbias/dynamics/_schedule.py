"""At which steps to look."""

import numpy as np

from .._core.errors import InputError


def log_spaced(steps: int, *, dense: int = 100, per_decade: int = 100) -> tuple[int, ...]:
    """Every step up to `dense`, then `per_decade` log-spaced ones per factor of ten, and always the last.

    Learning times span decades: degree 1 of the default experiment takes 3 steps, degree 4 takes 2000.

    Args:
        steps: the last step.
        dense: up to where every step is listed.
        per_decade: density afterwards.

    Returns:
        Increasing steps from 0 to `steps`.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.log_spaced(10, dense=3, per_decade=4)
        (0, 1, 2, 3, 5, 9, 10)
    """
    if steps < 1:
        raise InputError(f"`steps` must be 1 or more, got {steps}")
    first = max(1, min(dense, steps))
    count = int(np.floor(per_decade * np.log10(steps / first)))
    later = np.round(first * 10 ** (np.arange(1, count + 1) / per_decade)).astype(int)
    return tuple(int(s) for s in sorted({*range(first + 1), *later, steps}))
