"""How Θ of a model is computed: which parameters count, what each needs, and how many samples fit into memory."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from .._core.errors import InputError
from ..models import MLP, partition
from ..models._reader import Program, Structure, read_program, remembered, structure
from ..models._torch import TorchModel
from . import _torch
from ._factors import Contributions, Factors, flat
from ._structured import Loss, contributions, loss_contributions

# Bytes that the factors or Jacobians of one tile may take.
MEMORY_BUDGET = 2**30

# A function that picks leaves or parts of a model, or a tree of booleans (which may be callable like the model).
Selection = Callable[[Any], Any] | PyTree | None


class Parameter(NamedTuple):
    """What was found out about one parameter: `rule` in words, `uses` equations, and the product a bias goes with."""

    name: str
    shape: tuple[int, ...]
    rule: str
    uses: int
    with_product: str | None = None


class Plan(NamedTuple):
    """The parameters that count, what they contribute at one sample, and the output's shape, () or (c,)."""

    parameters: dict[Any, Parameter]  # by number; by name for a PyTorch module
    leaves: tuple[Any, ...]
    contributions: Contributions  # shapes only
    output_shape: tuple[int, ...]
    explicit: bool
    tap_bytes: int = 0  # outputs of all sites at one sample

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype of Θ."""
        arrays = [one.right if isinstance(one, Factors) else one.values for one in flat(self.contributions)]
        return jnp.result_type(*(array.dtype for array in arrays))

    @property
    def outputs(self) -> int:
        """Number of outputs c."""
        return math.prod(self.output_shape)

    @property
    def sample_bytes(self) -> int:
        """Memory of one sample: its contributions, and what its backward passes hold."""
        leaves = jax.tree.leaves(self.contributions)
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in leaves) + (2 + self.outputs) * self.tap_bytes

    @property
    def loss_bytes(self) -> int:
        """The same of what `evaluate_loss` gives: one output in place of all of them."""
        total = 3 * self.tap_bytes
        for one in flat(self.contributions):
            arrays = (one.left, one.right) if isinstance(one, Factors) else (one.values,)
            total += sum(math.prod(a.shape) * a.dtype.itemsize // a.shape[1] for a in arrays)
        return total

    def pair_bytes(self, mean: bool) -> int:
        """Memory that one pair of samples takes while it is contracted."""
        pairs = self.outputs if mean else self.outputs**2
        sizes = [one.size(mean) for one in flat(self.contributions) if isinstance(one, Factors)]
        positions = [size.groups * size.positions**2 for size in sizes if size.faster(1000, 1000) == "factors"]
        return 8 * pairs * (1 + max(positions, default=0))

    def batch_size(self, mean: bool) -> int:
        """The largest b with 2 b `sample_bytes` + b² `pair_bytes` within the budget, at least 1."""
        sample, pair = 2 * self.sample_bytes, self.pair_bytes(mean)
        return max(1, int((math.sqrt(sample**2 + 4 * pair * MEMORY_BUDGET) - sample) / (2 * pair)))


def selected_leaves(model: PyTree, program: Program, parameters: Selection) -> tuple[int, ...]:
    """The numbers of the selected parameters that have an influence; one of them where none has, so that Θ = 0."""
    leaves = tuple(range(len(program.uses)))
    if parameters is not None:
        arrays, treedef = jax.tree.flatten(eqx.filter(model, eqx.is_array))
        numbers = jax.tree.unflatten(treedef, range(len(arrays)))
        picked = _picked(numbers, parameters)
        chosen = {number for number in jax.tree.leaves(picked) if isinstance(number, int)}
        leaves = tuple(leaf for leaf in leaves if program.parameters[leaf] in chosen)
    if not leaves:
        raise InputError("`parameters` selects no parameter of the model")
    return tuple(leaf for leaf in leaves if program.uses[leaf].rule != "unused") or leaves[:1]


def _picked(tree: PyTree, parameters: Selection) -> PyTree:
    """The selected part of a tree."""
    if all(isinstance(leaf, bool | np.bool_) for leaf in jax.tree.leaves(parameters)):
        try:
            return eqx.filter(tree, parameters)
        except ValueError as error:
            raise InputError("`parameters` is a tree of booleans of another structure than the model") from error
    if not callable(parameters):
        raise InputError(
            "`parameters` must be a function that picks a part of the model, or a tree of booleans, "
            f"got an object of type {type(parameters).__name__}"
        )
    return parameters(tree)


def selected_names(model: TorchModel, parameters: Selection) -> set[str]:
    """The names of the selected parameters of a PyTorch module."""
    if parameters is None:
        return set(model.parameters)
    if not callable(parameters):
        raise InputError("`parameters` of a PyTorch module must be a function that picks a part of the module")
    picked = parameters(model.module)
    parts: list[Any] = [*picked] if isinstance(picked, list | tuple) else [picked]
    chosen = {id(one) for part in parts for one in (part.parameters() if hasattr(part, "parameters") else [part])}
    names = {name for name, value in model.parameters.items() if id(value) in chosen}
    if not names:
        raise InputError("`parameters` selects no parameter of the module")
    return names


@remembered
def _contribution_shapes(key: Structure, leaves: tuple[int, ...], explicit: bool) -> Contributions:
    def one_sample(model, x):
        return contributions(model, x, leaves, explicit=explicit)

    return eqx.filter_eval_shape(one_sample, key.model, jax.ShapeDtypeStruct((1, *key.x.shape), key.x.dtype))


def plan(model: PyTree, x: Array, parameters: Selection = None, *, explicit: bool = False) -> Plan:
    """The plan of a model on inputs like x[0]. Tracing costs 10 ms: it is done once per structure and shape."""
    if isinstance(model, TorchModel):
        names = selected_names(model, parameters)
        rules, shapes = _torch.torch_contributions(model, x[:1], explicit=explicit)
        words = _torch.rules_in_words(model, x)
        known = {}
        for name, rule in rules:
            rule, uses, product = words.get(name, (rule, int(rule != "unused"), None))
            known[name] = Parameter(name, tuple(model.parameters[name].shape), rule, uses, product)
        leaves = tuple(name for name, rule in rules if name in names and rule != "unused") or (min(names),)
        if len(leaves) < len(rules):  # a bias without its product contributes by itself
            _, shapes = _torch.torch_contributions(model, x[:1], leaves, explicit=explicit)
        return Plan(known, leaves, shapes, _torch.torch_output_shape(model, x), explicit)
    program = read_program(model, x)
    leaves = selected_leaves(model, program, parameters)
    shapes = _contribution_shapes(structure(model, x), leaves, explicit)
    sites = {site.path: site for use in program.uses for site in use.sites}
    taps = sum(math.prod(site.lengths + site.shape) for site in sites.values())
    itemsize = program.jaxpr.out_avals[0].dtype.itemsize
    return Plan(_parameters(program), leaves, shapes, program.output_shape, explicit, taps * itemsize)


def _parameters(program: Program) -> dict[Any, Parameter]:
    """The uses of all parameters in words."""
    products = {use.bias[0]: name for name, use in zip(program.names, program.uses, strict=True) if use.bias}
    found: dict[Any, Parameter] = {}
    for leaf, (name, shape, use) in enumerate(zip(program.names, program.shapes, program.uses, strict=True)):
        rule = {"jacobian": f"jacobian: {use.reason}", "unused": "unused"}.get(use.rule, use.reason)
        found[leaf] = Parameter(name, shape, rule, len(use.sites) or int(use.rule != "unused"), products.get(leaf))
    return found


@eqx.filter_jit
def _contributions(model: PyTree, x: Array, leaves: tuple[int, ...], explicit: bool) -> Contributions:
    return contributions(model, x, leaves, explicit=explicit)


def evaluate(model: PyTree, x: Array, leaves: tuple, explicit: bool = False) -> Contributions:
    """The contributions of these parameters at a batch."""
    if isinstance(model, TorchModel):
        return _torch.torch_contributions(model, x, leaves, explicit=explicit)[1]
    return _contributions(model, x, leaves, explicit)


@eqx.filter_jit
def _loss_contributions(
    model: PyTree, x: Array, targets: Array, leaves: tuple[int, ...], loss: Loss
) -> tuple[Contributions, Array]:
    return loss_contributions(model, x, targets, leaves, loss)


def evaluate_loss(model: PyTree, x: Array, targets: Array, leaves: tuple, loss: Loss) -> tuple[Contributions, Array]:
    """∇ℓ/s of every sample of a batch with targets (n, c), as contributions of one output, and s (n,)."""
    if isinstance(model, TorchModel):
        return _torch.torch_loss_contributions(model, x, targets, leaves, loss)
    return _loss_contributions(model, x, targets, leaves, loss)


def _is_finite(x: Array) -> bool:
    """Whether all values are finite; under a trace that does not know them, they are not asked."""
    try:
        with jax.ensure_compile_time_eval():
            return bool(jnp.all(jnp.isfinite(x)))
    except jax.errors.ConcretizationTypeError:
        return True


def checked_inputs(model: PyTree, name: str, x: ArrayLike) -> Array:
    """Inputs (n, …) in the dtype of the model's parameters, or an `InputError`."""
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be an array of numbers, got an object of type {type(x).__name__}") from error
    if x.ndim < 2 or x.shape[0] == 0 or (x.ndim > 2 and isinstance(model, MLP)):
        raise InputError(f"`{name}` must have shape (n, dim) with n of 1 or more, got {x.shape}")
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise InputError(f"`{name}` must be real, got {x.dtype}: give the real and imaginary parts side by side")
    whole = not jnp.issubdtype(x.dtype, jnp.floating)
    if not whole and not _is_finite(x):
        raise InputError(f"`{name}` has values that are not finite: remove or impute them")
    if isinstance(model, TorchModel):
        return x  # PyTorch casts it to the module's dtype
    leaves = jax.tree.leaves(partition(model)[0])
    if not leaves:
        raise InputError("the model has no parameters (no floating-point array leaf that is not `Fixed`)")
    if whole and not isinstance(model, MLP):
        return x  # e.g. the indices of an embedding
    return x.astype(jnp.result_type(*leaves))
