"""When a forecast should not be trusted."""

import enum

import equinox as eqx

# Above these the frozen kernel is no longer a good description (‖Θ - Θ_0‖/‖Θ_0‖, and errors over ‖r(0)‖).
MOST_DRIFT, LARGEST_ERROR = 0.2, 0.1
# Of the stability limit: beyond, the discrete recursion amplifies whatever the kernel does not describe.
EDGE = 0.9


class TrustStatus(enum.Enum):
    """How far to believe a forecast."""

    good = "the network is expected to stay close to its linearization"
    doubtful = "the network is expected to leave its linearization: order and direction hold better than numbers"
    none = "the training is expected to diverge"


class Trust(eqx.Module):
    """How far to believe a forecast, and why.

    Attributes:
        status: a `TrustStatus`.
        reasons: what speaks against it, in sentences; empty where nothing does.
    """

    status: TrustStatus = eqx.field(static=True)
    reasons: tuple[str, ...] = eqx.field(static=True)


def judge(*, rate_share: float, drift: float | None, error: float | None) -> Trust:
    """The trust in a forecast.

    Args:
        rate_share: the learning rate over the stability limit.
        drift: of the kernel at the forecast parameters, or None at infinite width.
        error: of the linearization there, or None.
    """
    reasons = []
    if rate_share >= 1:
        reasons.append(f"the learning rate is {rate_share:.2f} times the stability limit")
    elif rate_share > EDGE:
        reasons.append(
            f"the learning rate is {rate_share:.2f} times the stability limit: a small growth of the kernel diverges"
        )
    if drift is not None and drift > MOST_DRIFT:
        reasons.append(f"the kernel is expected to move by {drift:.0%}")
    if error is not None and error > LARGEST_ERROR:
        reasons.append(f"the linearization is expected to miss {error:.0%} of the initial residual")
    if rate_share >= 1:
        return Trust(TrustStatus.none, tuple(reasons))
    return Trust(TrustStatus.doubtful if reasons else TrustStatus.good, tuple(reasons))
