"""Flax modules as models."""

from collections.abc import Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._core.errors import InputError
from ._parameters import Fixed

_TRAINING = "dropout or batch statistics in training mode"


class _Same:
    """A linen module as a part of the key of compiled functions, also if it holds lists, which have no hash."""

    def __init__(self, module: Any):
        self.module = module

    def __hash__(self) -> int:
        return hash(type(self.module))

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, _Same) and bool(self.module == other.module)
        except ValueError:  # arrays among the attributes
            return False


class LinenModel(eqx.Module):
    """f(x) = module.apply(variables, x[None])[0]."""

    params: PyTree
    others: PyTree[Fixed]
    wrapped: _Same = eqx.field(static=True)
    arguments: tuple[tuple[str, Hashable], ...] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        """f(x) of one input."""
        from flax import errors

        others = jax.tree.map(lambda fixed: fixed.value, self.others, is_leaf=lambda node: isinstance(node, Fixed))
        try:
            f = self.wrapped.module.apply({"params": self.params, **others}, x[None], **dict(self.arguments))
        except (errors.InvalidRngError, errors.ModifyScopeVariableError):
            raise InputError(
                f"the module has {_TRAINING}: give `from_flax` its argument for evaluation, e.g. `train=False`, "
                "`deterministic=True` or `use_running_average=True`"
            ) from None
        return _one_output(f)


class NNXModel(eqx.Module):
    """f(x) = module(x[None])[0], the module put together anew for every call."""

    params: PyTree
    others: tuple[Fixed, ...]
    graph: Any = eqx.field(static=True)
    structure: Any = eqx.field(static=True)
    arguments: tuple[tuple[str, Hashable], ...] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        """f(x) of one input."""
        from flax import nnx

        before = [fixed.value for fixed in self.others]
        # Unflattened, so that the call changes variables of its own.
        params, others = jax.tree.map(lambda leaf: leaf, self.params), jax.tree.unflatten(self.structure, before)
        module = nnx.merge(self.graph, params, others)
        f = module(x[None], **dict(self.arguments))
        after = jax.tree.leaves(nnx.split(module, nnx.Param, ...)[2])
        if len(before) != len(after) or any(a is not b for a, b in zip(before, after, strict=True)):
            raise InputError(f"a call changes the module's state ({_TRAINING}): call `module.eval()` first")
        return _one_output(f)


def _one_output(f: Any) -> Array:
    """The output of a batch of one; () where the module drops all axes of length 1."""
    shape = getattr(f, "shape", None)
    if shape is None or shape[:1] not in ((), (1,)):
        got = type(f).__name__ if shape is None else f"shape {shape}"
        raise InputError(f"the module must map a batch (1, …) to an array (1,) or (1, c), got {got}")
    return f if shape == () else f[0]


def from_flax(module: Any, variables: PyTree = None, **call_arguments: Hashable) -> LinenModel | NNXModel:
    """A model from a Flax module, linen or NNX: f(x) = module(x[None])[0].

    The module is given one input as a batch of one, because Flax modules are written for batches. A module that is
    written for one input goes through `from_function`.

    Args:
        module: an instance of `flax.linen.Module`, or of `flax.nnx.Module`, of which a copy is taken.
        variables: the variables of a linen module. The collection `"params"` is trained, the others (batch
            statistics) are `Fixed`. Of an NNX module, `nnx.Param` is trained and every other variable is `Fixed`.
        **call_arguments: passed on at every call, e.g. `train=False` or `deterministic=True`.

    Returns:
        A model that maps one input (*input_shape) to () or (c,). Models from equal modules share compiled functions.

    Raises:
        InputError: another kind of module, a class in place of an instance, variables without `"params"`, arguments
            that cannot be hashed; when it is called, dropout or batch statistics in training mode.

    Example:
        >>> import jax
        >>> from flax import linen
        >>> from spectralbias import models
        >>> module = linen.Dense(2)
        >>> model = models.from_flax(module, module.init(jax.random.key(0), jax.numpy.ones((1, 3))))
        >>> model(jax.numpy.ones(3)).shape
        (2,)
    """
    from flax import linen, nnx

    arguments = tuple(sorted(call_arguments.items()))
    for name, value in arguments:
        if not isinstance(value, Hashable) or isinstance(value, jax.Array):
            raise InputError(f"argument `{name}` must be hashable, got {type(value).__name__}: use `from_function`")
    if isinstance(module, linen.Module):
        return _from_linen(module, variables, arguments)
    if isinstance(module, nnx.Module):
        if variables is not None:
            raise InputError("`variables` belong to linen modules, and an NNX module holds its own: leave them out")
        graph, params, others = nnx.split(module, nnx.Param, ...)
        leaves, structure = jax.tree.flatten(others)
        fixed = tuple(Fixed(jnp.asarray(leaf)) for leaf in leaves)
        return NNXModel(jax.tree.map(jnp.asarray, params), fixed, graph, structure, arguments)
    got = f"the class {module.__name__}" if isinstance(module, type) else f"an object of {type(module).__name__}"
    raise InputError(
        f"`module` must be an instance of `flax.linen.Module` or `flax.nnx.Module`, got {got}: other functions of JAX "
        "go through `from_function`, PyTorch modules through `from_torch`"
    )


def _from_linen(module: Any, variables: PyTree, arguments: tuple[tuple[str, Hashable], ...]) -> LinenModel:
    """Checked, and with arrays of JAX at all leaves: others would not count as parameters."""
    names = sorted(variables) if hasattr(variables, "keys") else None
    if names is None or "params" not in names:
        got = type(variables).__name__ if names is None else f"the collections {names}"
        raise InputError(f'`variables` must be what `module.init` returns, with "params", got {got}')
    others = {name: jax.tree.map(lambda leaf: Fixed(jnp.asarray(leaf)), variables[name]) for name in names}
    del others["params"]
    return LinenModel(jax.tree.map(jnp.asarray, variables["params"]), others, _Same(module), arguments)
