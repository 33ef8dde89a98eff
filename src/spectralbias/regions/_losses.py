"""Losses of one sample, as the gradient of the loss with respect to the outputs."""

from typing import Any

import numpy as np

from ..kernels._structured import Loss


def _squared(f: Any, target: Any, library: Any) -> tuple[Any, Any]:
    """ℓ = (1/2) ‖f - y‖²: the residual f - y, divided by its largest entry."""
    residual = f - target
    scale = abs(residual).max()
    return residual / library.where(scale > 0, scale, 1.0), scale


def _cross_entropy(f: Any, target: Any, library: Any) -> tuple[Any, Any]:
    """ℓ = -log softmax(f)_y: softmax(f) minus the target (one number 1, others 0), divided by its second largest entry.

    p_y - 1 is the negative sum of the others, so that a sample that is learned keeps all digits of its gradient.
    """
    own = target > 0
    rival = library.where(own, -np.inf, f).max()
    others = library.where(own, 0.0, library.exp(f - rival))
    total = others.sum()
    return others - total * target, 1 / (total + library.exp(library.where(own, f - rival, 0.0).sum()))


LOSSES: dict[str, Loss] = {"squared": _squared, "cross_entropy": _cross_entropy}
