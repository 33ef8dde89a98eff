"""The layers of a model as linear maps: from what the units before them give to what its own units read.

A layer reads the outputs φ(z) of earlier units; the first layer reads what no parameter has touched yet: x itself, or
its encoding γ(x). All that is between belongs to the layer as it acts, scales and average pooling included.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var, jaxpr_as_fun
from jaxtyping import Array, ArrayLike, PyTree

from .._core.errors import InputError
from ..kernels._plan import checked_inputs
from ..models._kinks import bent_variables, is_linear
from ..models._reader import Structure, read_program, remembered, structure
from ._stages import flatten, kink_variable, needed_equations
from ._units import Group, Units, find_units

# Bytes of the columns that are computed at once.
_BLOCK = 2**26


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMap:
    """One layer, equal to itself only, so that it is a static argument of compiled functions.

    `program` maps the arrays of the model and the `inputs` to what the layer gives, an affine map of the inputs.
    `reads` are the numbers of the layers whose units are among the inputs; -1 stands for x or its encoding.
    `crossed` names the equation that stands between the layer's units and its linear part, where there is one.
    """

    program: ClosedJaxpr
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    outputs: tuple[jax.ShapeDtypeStruct, ...]
    reads: frozenset[int]
    crossed: str | None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of its matrix."""
        return _size(self.outputs), _size(self.inputs)

    def linear(self, arrays: Sequence[Array], vector: Array) -> Array:
        """The matrix of the layer times a vector."""
        zeros = [jnp.zeros(one.shape, one.dtype) for one in self.inputs]
        _, moved = jax.jvp(lambda *h: jaxpr_as_fun(self.program)(*arrays, *h), zeros, _split(vector, self.inputs))
        return jnp.concatenate([one.ravel() for one in moved])

    def transposed(self, arrays: Sequence[Array], vector: Array) -> Array:
        """The transposed matrix times a vector."""
        zeros = [jnp.zeros(one.shape, one.dtype) for one in self.inputs]
        _, pull = jax.vjp(lambda *h: jaxpr_as_fun(self.program)(*arrays, *h), *zeros)
        return jnp.concatenate([one.ravel() for one in pull(_split(vector, self.outputs))])


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """A program without calls and scans, its units, and its layers; the last one gives the outputs of the model."""

    program: ClosedJaxpr
    units: Units
    maps: tuple[LayerMap, ...]


def _size(parts: Sequence[Any]) -> int:
    return sum(math.prod(part.shape) for part in parts)


def _split(vector: Array, parts: Sequence[jax.ShapeDtypeStruct]) -> list[Array]:
    """A vector as arrays of these shapes."""
    pieces = jnp.split(vector, np.cumsum([math.prod(part.shape) for part in parts])[:-1])
    return [piece.reshape(part.shape).astype(part.dtype) for piece, part in zip(pieces, parts, strict=True)]


class _Reader:
    """What is known of the variables of a program without calls and scans, whose last argument is x."""

    def __init__(self, program: ClosedJaxpr, parameters: Sequence[int], units: Units):
        self.jaxpr, self.consts = program.jaxpr, program.consts
        jaxpr = self.jaxpr
        self.bent = bent_variables(program, (len(jaxpr.invars) - 1,))
        self.trained = self.touched([jaxpr.invars[k] for k in parameters])
        self.moving = self.touched([jaxpr.invars[-1]])
        self.maker: dict[Var, JaxprEqn] = {v: equation for equation in jaxpr.eqns for v in equation.outvars}
        self.roots = [kink_variable(jaxpr, kink) for kink in units.kinks]
        self.layers = {self.roots[group.kink]: k for k, layer in enumerate(units.layers) for group in layer}

    def touched(self, variables: Sequence[Var]) -> set[Var]:
        """All that these variables have an influence on."""
        found = set(variables)
        for equation in self.jaxpr.eqns:
            if any(isinstance(v, Var) and v in found for v in equation.invars):
                found.update(equation.outvars)
        return found

    def frontier(self, outputs: Sequence[Any]) -> tuple[list[Var], str | None]:
        """The variables that these are a linear function of, in program order, and what stands in the way if not."""
        found, seen, crossed = set(), set(outputs), None
        waiting: list[Var] = [v for v in outputs if v in self.moving]
        while waiting:
            variable = waiting.pop()
            maker = self.maker.get(variable)
            own = variable in outputs and variable not in self.bent
            if maker is None or variable not in self.trained or (variable in self.bent and not own):
                found.add(variable)
                continue
            operands = [k for k, v in enumerate(maker.invars) if isinstance(v, Var) and v in self.moving]
            if not is_linear(maker, operands):
                if variable in outputs or self.is_weighted(variable):
                    crossed = crossed or maker.primitive.name
                found.add(variable)
                continue
            new = [v for v in (maker.invars[k] for k in operands) if isinstance(v, Var) and v not in seen]
            waiting += new
            seen.update(new)
        order = [*self.jaxpr.invars, *(v for equation in self.jaxpr.eqns for v in equation.outvars)]
        return [v for v in order if v in found], crossed

    def is_weighted(self, variable: Var) -> bool:
        """Whether parameters act between the units before it and a variable that is no linear function of them."""
        seen, waiting = set(), [variable]
        while waiting:
            v = waiting.pop()
            if v in seen or v in self.bent or v not in self.trained or v not in self.maker:
                continue
            seen.add(v)
            operands = [u for u in self.maker[v].invars if isinstance(u, Var)]
            if any(u in self.trained and u not in self.moving for u in operands):
                return True
            waiting += [u for u in operands if u in self.moving]
        return False

    def reads(self, variables: Sequence[Var], outputs: Sequence[Any]) -> frozenset[int]:
        """The layers of the nearest units before the inputs of a layer, which may be its outputs themselves."""
        found, seen, waiting = set(), set(), list(variables)
        while waiting:
            v = waiting.pop()
            if v in seen:
                continue
            seen.add(v)
            if v in self.layers and v not in outputs:
                found.add(self.layers[v])
            elif v not in self.maker:
                found.add(-1)
            else:
                waiting += [u for u in self.maker[v].invars if isinstance(u, Var) and u in self.moving]
        return frozenset(found)

    def map(self, outputs: Sequence[Any]) -> LayerMap:
        """The layer that gives these variables."""
        inputs, crossed = self.frontier(outputs)
        program = self.jaxpr.replace(
            invars=[*self.jaxpr.invars[:-1], *inputs],
            outvars=list(outputs),
            eqns=needed_equations(self.jaxpr, outputs, inputs),
        )
        reads = self.reads(inputs, outputs)
        return LayerMap(ClosedJaxpr(program, self.consts), _shapes(inputs), _shapes(outputs), reads, crossed)


def _shapes(variables: Sequence[Any]) -> tuple[jax.ShapeDtypeStruct, ...]:
    return tuple(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in variables)


@remembered
def _layers(key: Structure) -> Layers:
    read = read_program(key.model, jnp.zeros((1, *key.x.shape), key.x.dtype))
    program = flatten(read.jaxpr)
    units = find_units(program)
    reader = _Reader(program, read.parameters, units)
    outputs = [[reader.roots[group.kink] for group in layer] for layer in units.layers]
    (output,) = program.jaxpr.outvars
    maps = [reader.map(one) for one in [*outputs, [output]]]
    return Layers(program, units, tuple(maps))


def read_layers(model: PyTree, x: Array) -> Layers:
    """The layers of a model on inputs like x[0], found once per structure and shape."""
    return _layers(structure(model, x))


def precise(model: PyTree, x: ArrayLike) -> tuple[PyTree, Array]:
    """The model and its inputs in float64. Needs x64."""
    inputs = checked_inputs(model, "x", x)
    model = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64) if eqx.is_inexact_array(a) else a, model)
    return model, jnp.asarray(inputs, jnp.float64) if jnp.issubdtype(inputs.dtype, jnp.inexact) else inputs


@eqx.filter_jit
def _columns(layer: LayerMap, arrays: Sequence[Array], vectors: Array) -> Array:
    """The matrix of a layer times vectors (k, columns), as (k, rows)."""
    return jax.vmap(lambda vector: layer.linear(arrays, vector))(vectors)


def blocks_of_columns(layer: LayerMap, arrays: Sequence[Array]) -> Iterator[tuple[int, np.ndarray]]:
    """The matrix of a layer in blocks of columns: (number of the first column, block (rows, columns))."""
    rows, columns = layer.shape
    size = min(columns, max(1, _BLOCK // (8 * (rows + columns))))
    for start in range(0, columns, size):
        numbers = np.minimum(np.arange(start, start + size), columns - 1)  # the last block is filled up
        vectors = (numbers[:, None] == np.arange(columns)).astype(float)
        block = np.asarray(_columns(layer, arrays, jnp.asarray(vectors)), np.float64).T
        yield start, block[:, : columns - start]


def factors(groups: Sequence[Group]) -> np.ndarray:
    """What the units of a layer make of each of its rows, (rows,)."""
    return np.concatenate([np.full(group.count, group.steepest) for group in groups])


def matrix(layer: LayerMap, arrays: Sequence[Array]) -> np.ndarray:
    """The matrix of a layer, (rows, columns), in float64."""
    return np.concatenate([block for _, block in blocks_of_columns(layer, arrays)], axis=1)


def row_norms(layer: LayerMap, arrays: Sequence[Array]) -> np.ndarray:
    """The norms of the rows of its matrix."""
    return np.sqrt(sum(np.einsum("ij,ij->i", block, block) for _, block in blocks_of_columns(layer, arrays)))


def refuse_crossed(layer: LayerMap, name: str, remedy: str) -> None:
    """An `InputError` for a layer whose units do not read a linear map."""
    if layer.crossed is not None:
        raise InputError(f"what {name} reads is no linear map of its input: `{layer.crossed}` is between; {remedy}")
