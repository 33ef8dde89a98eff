"""How training time, learning rate, steps, momentum and the normalization of the loss relate."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import ArrayLike

from .._core.checks import positive
from .._core.errors import InputError, unknown


def training_time(steps: ArrayLike | Sequence[float], learning_rate: float, *, momentum: float = 0.0) -> np.ndarray:
    """t = learning_rate · step / (1 - momentum): the time of gradient flow that so many steps correspond to.

    Mode i of the residual decays as e^(-λ_i t), with λ_i an eigenvalue of Θ/n, when ηλ_i is small.

    Example:
        >>> from spectralbias import dynamics
        >>> float(dynamics.training_time(100, 0.1, momentum=0.5))
        20.0
    """
    check_momentum(momentum)
    return np.asarray(np.asarray(steps) * learning_rate / (1 - momentum))


def equivalent_learning_rate(
    learning_rate: float,
    *,
    loss: Literal["half_mean", "mean", "mean_over_all", "half_sum", "sum"],
    num_samples: int,
    num_outputs: int = 1,
    momentum: float = 0.0,
    output_scale: float = 1.0,
) -> float:
    """The learning rate with which another setup makes the same progress per step as ours.

    Ours is L = (1/2n) Σ r² over samples and outputs, no momentum, output_scale 1. A loss a·L needs η/a; momentum β
    takes steps that are 1/(1-β) times as long once it has built up, so η(1-β); an output scale s makes Θ s² times as
    large, so η/s².

    Args:
        learning_rate: η of our setup.
        loss: what the other setup minimizes: `"half_mean"` Σr²/2n (ours), `"mean"` Σr²/n,
            `"mean_over_all"` Σr²/(n c) (PyTorch's MSELoss), `"half_sum"` Σr²/2, `"sum"` Σr².
        num_samples: n, of the batch that the other setup averages or sums over.
        num_outputs: c.
        momentum: β of the other setup.
        output_scale: factor on the output of the other setup's network.

    Returns:
        The learning rate of the other setup.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.equivalent_learning_rate(1.0, loss="mean_over_all", num_samples=100, num_outputs=3)
        1.5
    """
    for name, count in (("num_samples", num_samples), ("num_outputs", num_outputs)):
        if count < 1:
            raise InputError(f"`{name}` must be 1 or more, got {count}")
    factors = {
        "half_mean": 1.0,
        "mean": 2.0,
        "mean_over_all": 2.0 / num_outputs,
        "half_sum": float(num_samples),
        "sum": 2.0 * num_samples,
    }
    if loss not in factors:
        raise unknown("loss", loss, factors)
    positive("learning_rate", learning_rate)
    positive("output_scale", output_scale)
    check_momentum(momentum)
    return learning_rate * (1 - momentum) / (factors[loss] * output_scale**2)


def check_momentum(momentum: float) -> None:
    """Refuse a momentum with which the velocity never forgets."""
    if not 0 <= momentum < 1:
        raise InputError(f"`momentum` must be in [0, 1), got {momentum}")
