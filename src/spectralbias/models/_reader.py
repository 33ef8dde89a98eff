"""The program reader: traces a model once and finds where each of its parameters enters.

What is found is what a structured NTK needs: the equations in which a parameter is the matrix of a product, the filter
of a convolution or the table of a lookup, with the other operand h and a tap at the output, whose gradient is δ.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend import core
from jaxtyping import Array, PyTree

from .._core.errors import InputError
from ._jaxpr import execute, inline, run, scan_counts
from ._parameters import partition
from ._uses import Path, Site, Use, find_uses


class Program(NamedTuple):
    """A model, traced on one input."""

    jaxpr: core.ClosedJaxpr
    parameters: tuple[int, ...]  # which of the arrays are parameters
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    uses: tuple[Use, ...]
    output_shape: tuple[int, ...]

    def taps(self, sites: Sequence[Site]) -> dict[Path, Array]:
        """Zeros to be added to the outputs of the equations of these sites."""
        dtype = self.jaxpr.out_avals[0].dtype
        return {site.path: jnp.zeros((*site.lengths, *site.shape), dtype) for site in sites}

    def __call__(
        self, arrays: Sequence[Array], x: Array, taps: dict[Path, Array], sites: Sequence[Site]
    ) -> tuple[Array, dict[tuple[Path, int], Array]]:
        """The output when `taps` are added, and what multiplies the parameter at every site."""
        found: dict[tuple[Path, int], Array] = {}

        def tapped(prefix: Path, taps: dict[Path, Array], found: dict, jaxpr: core.Jaxpr):
            def visit(index, equation, inputs):
                path = (*prefix, index)
                if path in taps:
                    for site in sites:
                        if site.path == path:
                            found[path, site.geometry.operand] = site.geometry.other(inputs)
                    (output,) = execute(jaxpr, equation, inputs)
                    return [output + taps[path].astype(output.dtype)]
                inner = {key: tap for key, tap in taps.items() if key[: len(path)] == path}
                if inner:
                    outputs, inner_found = _scan(equation, inputs, inner, path)
                    found.update(inner_found)
                    return outputs
                return None

            return visit

        def _scan(equation, inputs, taps, path):
            p = equation.params
            num_consts, num_carry = scan_counts(equation)
            consts, state = inputs[:num_consts], inputs[num_consts : num_consts + num_carry]
            body = p["jaxpr"]

            def step(carry, slices):
                taps, xs = slices
                inner: dict = {}
                visit = tapped(path, taps, inner, body.jaxpr)
                outputs = run(body.jaxpr, body.consts, [*consts, *carry, *xs], visit)
                return outputs[:num_carry], (outputs[num_carry:], inner)

            slices = (taps, inputs[num_consts + num_carry :])
            carry, (ys, inner) = jax.lax.scan(
                step, state, slices, length=p["length"], reverse=p["reverse"], unroll=p["unroll"]
            )
            return [*carry, *ys], inner

        visit = tapped((), taps, found, self.jaxpr.jaxpr)
        (output,) = run(self.jaxpr.jaxpr, self.jaxpr.consts, [*arrays, x], visit)
        return output, found


def arrays_of(model: PyTree) -> list[Array]:
    """The arrays of a model in the order in which its program takes them."""
    return jax.tree.leaves(eqx.partition(model, eqx.is_array)[0])


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def _refuse_training(model: PyTree) -> None:
    """Dropout is random, and batch statistics make f(x) depend on the other inputs: then there is no Θ."""
    modes = (eqx.nn.Dropout, eqx.nn.BatchNorm)
    for node in jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, modes)):
        if isinstance(node, modes) and not node.inference and getattr(node, "p", None) != 0:
            raise InputError(
                f"the model has a `{type(node).__name__}` in training mode, so that f(x) is not a function of x: "
                "use equinox.nn.inference_mode(model)"
            )


def _trace(model: PyTree, x: jax.ShapeDtypeStruct) -> Program:
    _refuse_training(model)
    arrays, static = eqx.partition(model, _is_array)
    leaves, treedef = jax.tree.flatten_with_path(arrays)
    trained: set = set()

    def function(leaves, x):
        arrays = jax.tree.unflatten(treedef, leaves)
        trained.update(path for path, _ in jax.tree.flatten_with_path(partition(arrays)[0])[0])
        output = eqx.combine(arrays, static)(x)
        if not eqx.is_array_like(output):
            raise InputError(f"a model must map one input to one array, got a {type(output).__name__}")
        return jnp.asarray(output)

    try:
        traced = jax.make_jaxpr(function)([jax.ShapeDtypeStruct(a.shape, a.dtype) for _, a in leaves], x)
    except (InputError, jax.errors.JAXTypeError):  # the second: values are wanted where there are only shapes
        raise
    except (TypeError, ValueError) as error:
        first, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"the model does not run on an input of shape {x.shape} ({x.dtype}): {first}") from error
    for path, leaf in leaves:
        if path in trained and jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise InputError(f"parameters must be real, got {leaf.dtype} at {jax.tree_util.keystr(path)}")
    closed = inline(traced)
    (output,) = closed.out_avals
    if len(output.shape) > 1:
        raise InputError(
            f"a model must map one input to a scalar () or a vector (c,), got an output of shape {output.shape}"
        )
    if not jnp.issubdtype(output.dtype, jnp.floating):
        raise InputError(f"a model must have real outputs, got {output.dtype}")
    positions = tuple(i for i, (path, _) in enumerate(leaves) if path in trained)
    names = tuple(jax.tree_util.keystr(leaves[i][0]) or "the model" for i in positions)
    shapes = tuple(leaves[i][1].shape for i in positions)
    uses = find_uses(closed.jaxpr, names, shapes, positions)
    return Program(closed, positions, names, shapes, uses, output.shape)


class Structure(NamedTuple):
    """What decides how a model is traced: shapes, not values. Two models of one structure share what is compiled."""

    shapes: tuple[tuple[tuple[int, ...], Any], ...]
    treedef: Any
    static: tuple
    static_treedef: Any
    x: jax.ShapeDtypeStruct

    @property
    def model(self) -> PyTree:
        """A model of this structure, without values."""
        arrays = jax.tree.unflatten(self.treedef, [jax.ShapeDtypeStruct(*shape) for shape in self.shapes])
        return eqx.combine(arrays, jax.tree.unflatten(self.static_treedef, self.static))


def structure(model: PyTree, x: Array) -> Structure:
    """The structure of a model on inputs like x[0]."""
    arrays, static = eqx.partition(model, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    static_leaves, static_treedef = jax.tree.flatten(static)
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    return Structure(shapes, treedef, tuple(static_leaves), static_treedef, jax.ShapeDtypeStruct(x.shape[1:], x.dtype))


def remembered(function: Callable) -> Callable:
    """A function of a structure (and other hashable things) that is computed once for each."""
    cached = functools.lru_cache(maxsize=256)(function)

    @functools.wraps(function)
    def call(key: Structure, *arguments):
        try:
            hash(key)
        except TypeError:  # a static leaf that cannot be hashed
            return function(key, *arguments)
        return cached(key, *arguments)

    return call


@remembered
def _program(key: Structure) -> Program:
    return _trace(key.model, key.x)


def read_program(model: PyTree, x: Array) -> Program:
    """The program of a model on inputs like x[0], traced once per structure and shape.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x: inputs (n, …); only their shape and dtype matter.

    Returns:
        A `Program` with the uses of every parameter.

    Raises:
        InputError: a model with a matrix output or with an output that is not real.
    """
    return _program(structure(model, x))
