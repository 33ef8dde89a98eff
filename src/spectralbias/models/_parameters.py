"""Which leaves of a model are its parameters: Θ, training and counts all use this one partition."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PyTree


class Fixed(eqx.Module):
    """An array that belongs to a model but is never trained, e.g. the random matrix of Fourier features."""

    value: Array


def partition(model: PyTree) -> tuple[PyTree, PyTree]:
    """Split a model into (parameters, rest); `combine` puts them together again.

    Parameters are the inexact-array leaves, minus those inside a `Fixed`.

    Args:
        model: any pytree.

    Returns:
        Two pytrees with the structure of `model` and None where the other one has the leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> from spectralbias import models
        >>> model = {"weights": jnp.ones(3), "frequencies": models.Fixed(jnp.ones(5))}
        >>> parameters, rest = models.partition(model)
        >>> models.count_parameters(parameters), sorted(models.combine(parameters, rest))
        (3, ['frequencies', 'weights'])
    """
    is_parameter = jax.tree.map(
        lambda node: False if isinstance(node, Fixed) else eqx.is_inexact_array(node),
        model,
        is_leaf=lambda node: isinstance(node, Fixed),
    )
    return eqx.partition(model, is_parameter)


def combine(parameters: PyTree, rest: PyTree) -> Any:
    """The model whose two halves came from `partition`."""
    return eqx.combine(parameters, rest)


def count_parameters(model: PyTree) -> int:
    """Number of trained numbers in `model`."""
    return sum(leaf.size for leaf in jax.tree.leaves(partition(model)[0]))
