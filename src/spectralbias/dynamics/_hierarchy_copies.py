"""Antisymmetric models at their start: derivatives of one copy say what both do, at half the cost."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..models import MLP, partition
from ..models._antisymmetric import AntisymmetricModel


def one_copy(model: Any) -> Any | None:
    """g of f = (g(θ₁) - g(θ₂))/√2 with θ₁ = θ₂, or None for any other model.

    There X_r is ±(∂g)ᵀ r/√2 on the two copies. What is odd in the parameters' motion cancels: f, K³ and ∂²f along X_r.
    What is even adds up: K⁴, ∂²Θ and ∂³f along the fields are half of those of g, and Θ is that of g.
    """
    if isinstance(model, AntisymmetricModel):
        whole, copies = model.model, (partition(model.model)[0], model.mirror)
    elif isinstance(model, MLP) and model.mirror is not None and not jax.tree.leaves(partition(model.encoding)[0]):
        whole = eqx.tree_at(lambda m: m.mirror, model, None, is_leaf=lambda leaf: leaf is None)
        copies = (model.layers, model.mirror)
    else:
        return None
    first, second = (jax.tree.leaves(copy) for copy in copies)
    equal = len(first) == len(second) and all(map(np.array_equal, first, second))
    return whole if equal else None
