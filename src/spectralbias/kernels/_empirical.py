"""The NTK of a network of finite width."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from .._core.errors import InputError, unknown
from ..models import MLP, combine, partition
from ._plan import checked_inputs, plan
from ._structured import contract, layer_factors

# Bytes of factors or Jacobians that one tile may hold.
MEMORY_BUDGET = 2**30


@eqx.filter_jit
def _structured_tile(model: MLP, x1: Array, x2: Array | None, mean: bool) -> Array:
    factors1 = layer_factors(model, x1)
    factors2 = factors1 if x2 is None else layer_factors(model, x2)
    return contract(factors1, factors2, mean=mean)


@eqx.filter_jit
def _jacobian_tile(model: PyTree, x1: Array, x2: Array | None, mean: bool) -> Array:
    parameters, rest = partition(model)

    def jacobian(x):
        def one(xi):
            return jax.jacrev(lambda p: jnp.atleast_1d(combine(p, rest)(xi)))(parameters)

        leaves = jax.tree.leaves(jax.vmap(one)(x))
        return [leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves]

    blocks1 = jacobian(x1)
    blocks2 = blocks1 if x2 is None else jacobian(x2)
    equation = "iap,jap->ij" if mean else "iap,jbp->ijab"
    total = sum(
        (jnp.einsum(equation, one, two, precision="highest") for one, two in zip(blocks1, blocks2, strict=True)),
        start=jnp.zeros((), blocks1[0].dtype),
    )
    return total / blocks1[0].shape[1] if mean else total


def empirical_ntk(
    model: PyTree,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    method: Literal["auto", "structured", "jacobian"] = "auto",
    batch_size: int | None = None,
    outputs: Literal["full", "mean"] = "full",
) -> Array:
    """Θ(x, x') = ⟨∂f(x)/∂θ, ∂f(x')/∂θ⟩ of a model as it is, with no factor 1/m.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x1: inputs (n1, dim), or (n1, *input_shape).
        x2: inputs (n2, …); x1 by default.
        method: `"structured"` uses two thin matrix products per layer of an `MLP`; `"jacobian"` contracts explicit
            Jacobians of any model; `"auto"` takes the first where it applies.
        batch_size: samples per tile; chosen so that a tile stays below 1 GiB by default.
        outputs: `"full"` keeps every pair of outputs, `"mean"` averages the diagonal ones.

    Returns:
        (n1, n2) for a scalar model, (n1, n2, c, c) for a vector one, (n1, n2) with `outputs="mean"`.

    Raises:
        InputError: non-finite inputs, a model with a matrix output, an unknown method.

    Cost and precision:
        Structured: n² Σ (fan_in + fan_out) multiplications. Jacobian: n² P. In the dtype of the parameters.

    Example:
        >>> import jax
        >>> from spectralbias import kernels, models
        >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
        >>> kernels.empirical_ntk(model, jax.numpy.eye(3)).shape
        (3, 3)
    """
    if method not in ("auto", "structured", "jacobian"):
        raise unknown("method", method, ("auto", "structured", "jacobian"))
    if outputs not in ("full", "mean"):
        raise unknown("choice of outputs", outputs, ("full", "mean"))
    if method == "structured" and not isinstance(model, MLP):
        raise InputError(f"method `structured` needs a `models.MLP`, got {type(model).__name__}: use `jacobian`")
    structured = method != "jacobian" and isinstance(model, MLP)
    tile = _structured_tile if structured else _jacobian_tile
    x1 = checked_inputs(model, "x1", x1)
    x2 = None if x2 is None else checked_inputs(model, "x2", x2)
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise InputError(f"`x1` and `x2` must hold inputs of one shape, got {x1.shape[1:]} and {x2.shape[1:]}")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"`batch_size` must be 1 or more, got {batch_size}")
    known = plan(model, x1)
    mean = known.output_shape == () or outputs == "mean"
    if batch_size is None:
        per_sample = known.factor_bytes if structured else known.jacobian_bytes
        batch_size = max(1, MEMORY_BUDGET // (2 * per_sample))
    n1, n2 = len(x1), len(x1 if x2 is None else x2)
    if max(n1, n2) <= batch_size:
        return tile(model, x1, x2, mean)
    return _tiled(tile, model, x1, x1 if x2 is None else x2, batch_size, mean)


def _tiled(tile, model: PyTree, x1: Array, x2: Array, batch_size: int, mean: bool) -> Array:
    """Θ tile by tile, so that factors of at most two batches exist at a time."""
    rows = []
    for i in range(0, len(x1), batch_size):
        row = [tile(model, x1[i : i + batch_size], x2[j : j + batch_size], mean) for j in range(0, len(x2), batch_size)]
        rows.append(jnp.concatenate(row, axis=1))
    return jnp.concatenate(rows, axis=0)
