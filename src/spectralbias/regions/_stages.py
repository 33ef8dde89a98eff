"""A model cut into stages between its kinks: within one region every stage is an affine map.

The stages follow the depth of the kinks, the longest path of kinks before them. Stage d computes all that needs kinks
of smaller depth only, the variables z of depth d that kinks act on included. Where the signs of all z of smaller depth
are fixed, everything that stage d computes is affine in the input, and one push of a value and of tangents through it
finds the affine map.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Var, jaxpr_as_fun
from jaxtyping import Array, PyTree

from .._core.errors import InputError
from ..models._jaxpr import CALLS, body_of, run, scan_counts
from ..models._kinks import INPUT, Kink, Nonlinearities, find_nonlinearities
from ..models._reader import Structure, arrays_of, read_program, remembered, structure

_OPEN = CALLS | {"custom_jvp_call", "custom_vjp_call"}


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """The breakpoints of all kinks of one depth: column j is crossed where unit `units[j]` equals `values[j]`."""

    units: np.ndarray
    values: np.ndarray
    first: int  # the number of column 0 among those of all depths

    def __len__(self) -> int:
        return len(self.units)


class Stage(NamedTuple):
    """The equations of one depth."""

    equations: tuple[JaxprEqn, ...]
    fixed: tuple[Var, ...]  # what does not depend on x
    entering: tuple[Var, ...]
    leaving: tuple[Var, ...]
    roots: tuple[Var, ...]  # of `leaving`: what kinks act on
    columns: Columns | None  # None for the last stage, whose results are the outputs


class Carry(NamedTuple):
    """Variables on a batch of regions: values at one point of each, and tangents along the coordinates.

    `values` (n, …) and `tangents` (n, k, …) of real variables; `others` (n, …), integers and booleans, are constant.
    """

    values: tuple[Array, ...]
    tangents: tuple[Array, ...]
    others: tuple[Array, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Staged:
    """A model in stages; equal to itself only, so that it is a static argument of compiled functions.

    `program` has no calls and no scans, so that every kink sits at one of its own equations.
    """

    program: ClosedJaxpr
    stages: tuple[Stage, ...]
    found: Nonlinearities
    output_shape: tuple[int, ...]

    @property
    def layer_offsets(self) -> tuple[int, ...]:
        """Where the breakpoints of each layer of units begin, and where the last one's end."""
        sizes = [len(stage.columns) for stage in self.stages if stage.columns is not None]
        return tuple(int(n) for n in np.cumsum([0, *sizes]))

    @property
    def exact(self) -> bool:
        """Whether the model is piecewise linear: nothing is bent before the first kink."""
        return not self.found.bends

    def fixed(self, arrays: Sequence[Array]) -> dict[Var, Array]:
        """All that the stages need and that does not depend on x."""
        jaxpr = self.program.jaxpr
        wanted = sorted({v for stage in self.stages for v in stage.fixed}, key=_order(jaxpr))
        equations = _needed(jaxpr, wanted)
        function = jaxpr_as_fun(
            ClosedJaxpr(
                jaxpr.replace(
                    constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars[:-1]], outvars=wanted, eqns=equations
                ),
                (),
            )
        )
        return dict(zip(wanted, jax.jit(function)(*self.program.consts, *arrays), strict=True))

    def function(self, stage: Stage) -> Callable[..., list]:
        """A stage as a function of (its fixed variables, its entering variables)."""
        jaxpr = self.program.jaxpr
        part = jaxpr.replace(
            constvars=[],
            invars=[*stage.fixed, *stage.entering],
            outvars=list(stage.leaving),
            eqns=list(stage.equations),
        )
        return jaxpr_as_fun(ClosedJaxpr(part, ()))


def size_of(variable: Any) -> int:
    """How many entries a variable has."""
    return math.prod(variable.aval.shape)


def real(variable: Any) -> bool:
    """Whether a variable has tangents."""
    return jnp.issubdtype(variable.aval.dtype, jnp.inexact)


def _order(jaxpr: Jaxpr) -> Callable[[Var], int]:
    """The place of a variable in a program."""
    variables = [*jaxpr.constvars, *jaxpr.invars, *(v for equation in jaxpr.eqns for v in equation.outvars)]
    places = {v: k for k, v in enumerate(variables) if not isinstance(v, DropVar)}
    return lambda v: places[v]


def _needed(jaxpr: Jaxpr, wanted: Sequence[Var]) -> list[JaxprEqn]:
    """The equations that have an influence on the wanted variables."""
    needed, equations = set(wanted), []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed.update(v for v in equation.invars if isinstance(v, Var))
            equations.append(equation)
    return equations[::-1]


def flatten(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without calls, custom derivatives and scans: a scan becomes as many copies of its body.

    A gradient that is stopped goes on: what counts here is the function itself.
    """

    def visit(_, equation, inputs):
        name = equation.primitive.name
        if name in _OPEN:
            return run(*body_of(equation), inputs, visit)
        if name == "stop_gradient":
            return inputs
        if name == "scan":
            return _unrolled(equation, inputs, visit)
        return None

    def function(*arguments):
        return run(program.jaxpr, program.consts, arguments, visit)

    return jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in program.jaxpr.invars))


def _unrolled(equation: JaxprEqn, inputs: Sequence[Any], visit: Callable) -> list:
    """What a scan computes, one iteration after the other."""
    body, length = equation.params["jaxpr"], equation.params["length"]
    num_consts, num_carry = scan_counts(equation)
    consts, carry = list(inputs[:num_consts]), list(inputs[num_consts : num_consts + num_carry])
    slices, stacked = inputs[num_consts + num_carry :], {}
    for i in reversed(range(length)) if equation.params["reverse"] else range(length):
        outputs = run(body.jaxpr, body.consts, [*consts, *carry, *(jnp.asarray(s)[i] for s in slices)], visit)
        carry, stacked[i] = list(outputs[:num_carry]), outputs[num_carry:]
    ys = zip(*(stacked[i] for i in range(length)), strict=True) if length else ()
    columns = [jnp.stack(y) for y in ys]
    if not length:
        variables: list[Any] = equation.outvars[num_carry:]
        columns = [jnp.zeros(v.aval.shape, v.aval.dtype) for v in variables]
    return [*carry, *columns]


def _variable(jaxpr: Jaxpr, kink: Kink) -> Var:
    """The variable that a kink acts on."""
    (index,) = kink.path
    variable: Any = jaxpr.invars[kink.output] if index == INPUT else jaxpr.eqns[index].outvars[kink.output]
    return variable


def _depths(jaxpr: Jaxpr, roots: set[Var]) -> dict[Var, int]:
    """For every variable that depends on x: how many kinks are before it, along the longest path."""
    depths: dict[Var, int] = {jaxpr.invars[-1]: 0}
    for equation in jaxpr.eqns:
        before = [depths[v] + (v in roots) for v in equation.invars if isinstance(v, Var) and v in depths]
        if before:
            depths.update({v: max(before) for v in equation.outvars if not isinstance(v, DropVar)})
    return depths


def _columns(kinks: Sequence[Kink], first: int) -> Columns:
    """All breakpoints of kinks whose variables are laid one after the other: in the order of `activation_patterns`."""
    units, values, start = [], [], 0
    for kink in kinks:
        size = math.prod(kink.shape)
        units.append(np.repeat(np.arange(start, start + size), len(kink.breakpoints)))
        values.append(np.tile(kink.breakpoints, size))
        start += size
    return Columns(np.concatenate(units), np.concatenate(values), first)


@remembered
def _staged(key: Structure) -> Staged:
    with jax.enable_x64(True):
        program = flatten(read_program(key.model, jnp.zeros((1, *key.x.shape), key.x.dtype)).jaxpr)
    jaxpr = program.jaxpr
    found = find_nonlinearities(program, [len(jaxpr.invars) - 1])
    _refuse(found)
    kinks = {_variable(jaxpr, kink): kink for kink in found.kinks}
    depths = _depths(jaxpr, set(kinks))
    _refuse_bends_between(jaxpr, found, depths)
    (output,) = jaxpr.outvars
    last = max([depths[v] + 1 for v in kinks], default=0)
    used = _needed(jaxpr, [v for v in [*kinks, output] if isinstance(v, Var)])
    parts = [[] for _ in range(last + 1)]
    uses: dict[Var, int] = {}  # the depth of the last stage that needs a variable
    for equation in used:
        depth = max((depths[v] for v in equation.outvars if v in depths), default=None)
        if depth is not None:
            parts[depth].append(equation)
            uses.update({v: max(depth, uses.get(v, 0)) for v in equation.invars if isinstance(v, Var)})
    order = _order(jaxpr)
    stages, entering, first = [], (jaxpr.invars[-1],), 0
    for depth, equations in enumerate(parts):
        made = {v for equation in equations for v in equation.outvars}
        fixed = {v for equation in equations for v in equation.invars if isinstance(v, Var) and v not in depths}
        roots = sorted((v for v in kinks if depths[v] == depth), key=order)
        if depth == last:
            leaving, columns = (output,), None
            fixed |= {v for v in [output] if isinstance(v, Var) and v not in depths}
        else:
            later = {v for v in {*entering, *made} if uses.get(v, -1) > depth or (v is output)}
            leaving = tuple(sorted(later | set(roots), key=order))
            columns = _columns([kinks[v] for v in roots], first)
            first += len(columns)
        stages.append(
            Stage(tuple(equations), tuple(sorted(fixed, key=order)), entering, leaving, tuple(roots), columns)
        )
        entering = leaving
    return Staged(program, tuple(stages), found, tuple(output.aval.shape))


def _refuse(found: Nonlinearities) -> None:
    if found.gates:
        raise InputError(
            f"the model compares entries with each other or with parameters (`{found.gates[0].primitive}`, as in max "
            "pooling, maxout or sorting): regions are found for elementwise piecewise-linear activations"
        )


def _refuse_bends_between(jaxpr: Jaxpr, found: Nonlinearities, depths: dict[Var, int]) -> None:
    """Bends are allowed before the first kink only."""
    if found.bends and not found.kinks:
        raise InputError(f"the model is not piecewise linear (`{found.obstacle}`), and has no kinks: it has no regions")
    for bend in found.bends:
        if any(depths.get(v, 0) > 0 for v in jaxpr.eqns[bend.path[0]].outvars):
            raise InputError(
                f"the model is not piecewise linear: `{bend.primitive}` acts on what comes after a kink. Regions are "
                "found for networks of piecewise-linear activations; only the encoding of the input may be curved"
            )


def staged_model(model: PyTree, input_shape: tuple[int, ...]) -> tuple[Staged, dict[Var, Array]]:
    """A model in stages, in float64, and the values of all that does not depend on x. Needs x64.

    Args:
        model: any callable pytree that maps one input to () or to (c,).
        input_shape: the shape of one input.

    Raises:
        InputError: a gate; a bend after a kink; no kinks but bends; parameters that are not finite.
    """
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))):
        raise InputError("the model has parameters that are not finite: it has no regions")
    precise = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64) if eqx.is_inexact_array(a) else a, model)
    staged = _staged(structure(precise, jnp.zeros((1, *input_shape), jnp.float64)))
    return staged, staged.fixed(arrays_of(precise))


def _split(variables: Sequence[Var], values: Sequence[Array]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Values of real variables, and of the others."""
    pairs = list(zip(variables, values, strict=True))
    return tuple(a for v, a in pairs if real(v)), tuple(a for v, a in pairs if not real(v))


def _joined(variables: Sequence[Var], reals: Sequence[Array], others: Sequence[Array]) -> list[Array]:
    """The inverse of `_split`."""
    a, b = iter(reals), iter(others)
    return [next(a) if real(v) else next(b) for v in variables]


def push(staged: Staged, stage: Stage, fixed: Sequence[Array], carry: Carry) -> Carry:
    """What a stage makes of its entering variables, on a batch of regions in which it is affine."""
    function = staged.function(stage)

    def one(values, tangents, others):
        def outputs(*values):
            return _split(stage.leaving, function(*fixed, *_joined(stage.entering, values, others)))

        def along(direction):
            return jax.jvp(outputs, values, direction, has_aux=True)

        return jax.vmap(along, out_axes=(None, 0, None))(tangents)

    return Carry(*jax.vmap(one)(*carry))


def moved(carry: Carry, index: Array, shift: Array) -> Carry:
    """The variables of regions inside others: those of number `index`, at a point moved by `shift` (n, k)."""

    def value(a, t):
        return a[index] + jnp.einsum("nk,nk...->n...", shift, t[index])

    values = tuple(value(a, t) for a, t in zip(carry.values, carry.tangents, strict=True))
    return Carry(values, tuple(t[index] for t in carry.tangents), tuple(a[index] for a in carry.others))


def crossings(stage: Stage, carry: Carry) -> tuple[Array, Array]:
    """z minus the breakpoint for every column, (n, columns), and its tangents (n, k, columns)."""
    places = [v for v in stage.leaving if real(v)]
    which = [places.index(v) for v in stage.roots]
    values, tangents = carry.values, carry.tangents
    n, k = tangents[0].shape[:2]
    z = jnp.concatenate([values[i].reshape(n, -1) for i in which], axis=1)
    g = jnp.concatenate([tangents[i].reshape(n, k, -1) for i in which], axis=2)
    columns = stage.columns
    assert columns is not None
    if not np.array_equal(columns.units, np.arange(z.shape[1])):
        z, g = z[:, columns.units], g[:, :, columns.units]
    return z - jnp.asarray(columns.values)[None], g


def evaluate(staged: Staged, fixed: Sequence[Sequence[Array]], x: Array) -> tuple[Array, Array]:
    """The network itself at one input: z minus every breakpoint of all layers, and the outputs (c,)."""
    entering, found = [x], []
    for stage, parameters in zip(staged.stages, fixed, strict=True):
        entering = staged.function(stage)(*parameters, *entering)
        if stage.columns is not None:
            z = jnp.concatenate([entering[stage.leaving.index(v)].ravel() for v in stage.roots])
            found.append(z[stage.columns.units] - jnp.asarray(stage.columns.values))
    return jnp.concatenate([*found, jnp.zeros(0)]), entering[0].ravel()
