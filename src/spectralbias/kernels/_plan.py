"""What is known of a model on inputs of one shape, found by tracing once and remembered."""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from .._core.errors import InputError
from ..models import MLP, partition
from ._structured import layer_factors


class Plan(NamedTuple):
    """The output's shape, () or (c,), and the bytes that one sample needs as layer factors or as a Jacobian."""

    output_shape: tuple[int, ...]
    factor_bytes: int
    jacobian_bytes: int


def _num_bytes(tree: PyTree) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _trace(model: PyTree, x: jax.ShapeDtypeStruct) -> Plan:
    shape = eqx.filter_eval_shape(lambda m, xi: jnp.asarray(m(xi)), model, x).shape
    if len(shape) > 1:
        raise InputError(f"a model must map one input to a scalar () or a vector (c,), got an output of shape {shape}")
    batch = jax.ShapeDtypeStruct((1, *x.shape), x.dtype)
    factors = eqx.filter_eval_shape(layer_factors, model, batch) if isinstance(model, MLP) else ()
    parameters = eqx.filter_eval_shape(lambda m: partition(m)[0], model)
    return Plan(shape, _num_bytes(factors), math.prod(shape) * _num_bytes(parameters))


@functools.lru_cache(maxsize=256)
def _remembered(shapes: tuple, treedef: Any, static: tuple, static_treedef: Any, x: jax.ShapeDtypeStruct) -> Plan:
    arrays = jax.tree.unflatten(treedef, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes])
    return _trace(eqx.combine(arrays, jax.tree.unflatten(static_treedef, static)), x)


def plan(model: PyTree, x: Array) -> Plan:
    """The plan of a model on inputs like x[0]; tracing costs 10 ms, so it is done once per structure and shape."""
    arrays, static = eqx.partition(model, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    static_leaves, static_treedef = jax.tree.flatten(static)
    shapes = tuple((leaf.shape, jnp.dtype(leaf.dtype)) for leaf in leaves)
    one_input = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    try:
        return _remembered(shapes, treedef, tuple(static_leaves), static_treedef, one_input)
    except TypeError:  # a static leaf that cannot be hashed
        return _trace(model, one_input)


def checked_inputs(model: PyTree, name: str, x: ArrayLike) -> Array:
    """Inputs (n, …) in the dtype of the model's parameters, or an `InputError`."""
    x = jnp.asarray(x)
    if x.ndim < 2 or x.shape[0] == 0:
        raise InputError(f"`{name}` must have shape (n, dim) with n of 1 or more, got {x.shape}")
    leaves = jax.tree.leaves(partition(model)[0])
    if not leaves:
        raise InputError("the model has no parameters (no floating-point array leaf that is not `Fixed`)")
    if not (jnp.issubdtype(x.dtype, jnp.floating) or isinstance(model, MLP)):
        return x  # e.g. the indices of an embedding
    if not bool(jnp.all(jnp.isfinite(x))):
        raise InputError(f"`{name}` has values that are not finite: remove or impute them")
    return x.astype(jnp.result_type(*leaves))
