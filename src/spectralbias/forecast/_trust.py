"""When a forecast should not be trusted."""

import enum

import equinox as eqx

# ‖Θ - Θ_0‖/‖Θ_0‖, and errors over ‖r(0)‖. Beyond them median errors of learning times above 15 % were measured, below
# them none (benchmarks/forecast_trust.py).
MOST_DRIFT, LARGEST_ERROR = 0.07, 0.1
# Of the stability limit: beyond, the discrete recursion amplifies whatever the kernel does not describe.
EDGE = 0.9
# Of the initial residual: a correction beyond is followed by others that are not small; waves that miss more are not
# the modes.
LARGEST_CORRECTION, LARGEST_DIFFERENCE = 0.3, 0.1


class TrustStatus(enum.Enum):
    """How far to believe a forecast."""

    good = "the network is expected to stay close to its linearization"
    doubtful = "the network is expected to leave its linearization: order and direction hold better than numbers"
    none = "the frozen kernel diverges at this learning rate: the training leaves it, or diverges too"


class Trust(eqx.Module):
    """How far to believe a forecast, and why.

    Attributes:
        status: a `TrustStatus`.
        reasons: what speaks against it, in sentences; empty where nothing does.
    """

    status: TrustStatus = eqx.field(static=True)
    reasons: tuple[str, ...] = eqx.field(static=True)


def judge(
    *,
    rate_share: float,
    drift: float | None = None,
    error: float | None = None,
    correction: float | None = None,
    lost: bool = False,
    waves: float | None = None,
) -> Trust:
    """The trust in a forecast.

    Args:
        rate_share: the learning rate over the stability limit.
        drift: of the kernel at the forecast parameters, or None where it is in the forecast, or at infinite width.
        error: of the linearization there, or None.
        correction: by how much the hierarchy changed the forecast, over ‖r(0)‖, or None.
        lost: whether the truncated kernel lost its definiteness.
        waves: by how much waves miss the exact modes on a part of the grid, over ‖r(0)‖, or None.
    """
    found = {
        f"the kernel is expected to move by {drift or 0:.0%}": (drift or 0) > MOST_DRIFT,
        f"the linearization is expected to miss {error or 0:.0%} of the initial residual": (error or 0) > LARGEST_ERROR,
        f"the correction is {correction or 0:.0%} of the initial residual: the next one may matter too": (
            (correction or 0) > LARGEST_CORRECTION
        ),
        "the truncated kernel has a negative eigenvalue before the end: from then on the forecast has no meaning": lost,
        f"on a part of the grid, waves miss the exact modes by {waves or 0:.0%} of the initial residual": (
            (waves or 0) > LARGEST_DIFFERENCE
        ),
        f"the learning rate is {rate_share:.2f} times the stability limit: a small growth of the kernel diverges": (
            EDGE < rate_share < 1
        ),
        f"the learning rate is {rate_share:.2f} times the stability limit": rate_share >= 1,
    }
    reasons = tuple(reason for reason, holds in found.items() if holds)
    if rate_share >= 1:
        return Trust(TrustStatus.none, reasons)
    return Trust(TrustStatus.doubtful if reasons else TrustStatus.good, reasons)
