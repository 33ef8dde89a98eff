"""A model cut into stages between its kinks: within one region every stage is an affine map.

The stages follow the depth of the kinks, the longest path of kinks before them. Stage d computes all that needs kinks
of smaller depth only, the variables z of depth d that kinks act on included. Where the signs of all z of smaller depth
are fixed, everything that stage d computes is affine in the input, and one push of a value and of tangents through it
finds the affine map.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
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

    def __len__(self) -> int:
        return len(self.units)


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """The equations of one depth, as a program; equal to itself only: a static argument of compiled functions.

    `program` takes what does not depend on x, and then what enters. `entering` and `leaving` tell which of the
    variables are real. Kinks act on those of numbers `roots` among the ones that leave. The last stage has no columns:
    what leaves it are the outputs.
    """

    program: ClosedJaxpr
    entering: tuple[bool, ...]
    leaving: tuple[bool, ...]
    roots: tuple[int, ...]
    columns: Columns | None

    def __call__(self, fixed: Sequence[Array], entering: Sequence[Array]) -> list[Array]:
        """What leaves."""
        return jaxpr_as_fun(self.program)(*fixed, *entering)

    @property
    def size(self) -> int:
        """How many numbers leave for one input."""
        variables: list[Any] = self.program.jaxpr.outvars
        return sum(math.prod(v.aval.shape) for v in variables)

    def like(self, other: "Stage") -> bool:
        """Whether both are the same function."""
        if (self.entering, self.leaving, self.roots) != (other.entering, other.leaving, other.roots):
            return False
        if self.columns is None or other.columns is None:
            return False
        mine, others = self.columns, other.columns
        same = np.array_equal(mine.units, others.units) and np.array_equal(mine.values, others.values)
        return same and _same_program(self.program.jaxpr, other.program.jaxpr)


class Carry(NamedTuple):
    """Variables on a batch of regions: values at one point of each, and tangents along the coordinates.

    `values` (n, …) and `tangents` (n, k, …) of real variables; `others` (n, …), integers and booleans, are constant.
    """

    values: tuple[Array, ...]
    tangents: tuple[Array, ...]
    others: tuple[Array, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Staged:
    """A model in stages; equal to itself only.

    `program` has no calls and no scans, so that every kink sits at one of its own equations. `fixed` are the variables
    that do not depend on x, for every stage.
    """

    program: ClosedJaxpr
    stages: tuple[Stage, ...]
    fixed: tuple[tuple[Var, ...], ...]
    found: Nonlinearities

    @property
    def layer_offsets(self) -> tuple[int, ...]:
        """Where the breakpoints of each layer of units begin, and where the last one's end."""
        sizes = [len(stage.columns) for stage in self.stages if stage.columns is not None]
        return tuple(int(n) for n in np.cumsum([0, *sizes]))

    @property
    def exact(self) -> bool:
        """Whether the model is piecewise linear: nothing is bent before the first kink."""
        return not self.found.bends


Parameters = list[list[Array]]  # per stage, what does not depend on x


@functools.partial(jax.jit, static_argnames="staged")
def _parameters(staged: Staged, arrays: Sequence[Array], constants: Sequence[Array]) -> Parameters:
    """The values of all variables that do not depend on x."""
    jaxpr = staged.program.jaxpr
    wanted = list(dict.fromkeys(v for variables in staged.fixed for v in variables))
    inputs = [*jaxpr.constvars, *jaxpr.invars[:-1]]
    part = jaxpr.replace(constvars=[], invars=inputs, outvars=wanted, eqns=needed_equations(jaxpr, wanted))
    values = dict(zip(wanted, jaxpr_as_fun(ClosedJaxpr(part, ()))(*constants, *arrays), strict=True))
    return [[values[v] for v in variables] for variables in staged.fixed]


def _real(variable: Any) -> bool:
    """Whether a variable has tangents."""
    return jnp.issubdtype(variable.aval.dtype, jnp.inexact)


def _same_program(a: Jaxpr, b: Jaxpr) -> bool:
    """Whether two programs differ in the names of their variables only; False where that is hard to tell."""
    if len(a.eqns) != len(b.eqns):
        return False
    numbers: tuple[dict, dict] = {}, {}

    def code(variable: Any, known: dict):
        if isinstance(variable, Literal):
            return np.asarray(variable.val).tolist(), variable.aval
        return known.setdefault(variable, len(known)), variable.aval

    def codes(jaxpr, known):
        for variables in (jaxpr.invars, *((*e.invars, *e.outvars) for e in jaxpr.eqns), jaxpr.outvars):
            yield [code(v, known) for v in variables]

    if not all(x == y for x, y in zip(codes(a, numbers[0]), codes(b, numbers[1]), strict=True)):
        return False
    try:
        return all(x.primitive is y.primitive and x.params == y.params for x, y in zip(a.eqns, b.eqns, strict=True))
    except ValueError:  # arrays among the parameters of an equation
        return False


def _order(jaxpr: Jaxpr) -> Callable[[Var], int]:
    """The place of a variable in a program."""
    variables = [*jaxpr.constvars, *jaxpr.invars, *(v for equation in jaxpr.eqns for v in equation.outvars)]
    places = {v: k for k, v in enumerate(variables) if not isinstance(v, DropVar)}
    return lambda v: places[v]


def needed_equations(jaxpr: Jaxpr, wanted: Sequence[Var], known: Sequence[Var] = ()) -> list[JaxprEqn]:
    """The equations that have an influence on the wanted variables, when others are known."""
    ends, needed, equations = set(known), set(wanted) - set(known), []
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed.update(v for v in equation.invars if isinstance(v, Var) and v not in ends)
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


def kink_variable(jaxpr: Jaxpr, kink: Kink) -> Var:
    """The variable that a kink of a program without calls and scans acts on."""
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


def _columns(kinks: Sequence[Kink]) -> Columns:
    """All breakpoints of kinks whose variables are laid one after the other: in the order of `activation_patterns`."""
    units, values, start = [], [], 0
    for kink in kinks:
        size = math.prod(kink.shape)
        units.append(np.repeat(np.arange(start, start + size), len(kink.breakpoints)))
        values.append(np.tile(kink.breakpoints, size))
        start += size
    return Columns(np.concatenate(units), np.concatenate(values))


@remembered
def _staged(key: Structure) -> Staged:
    with jax.enable_x64(True):
        program = flatten(read_program(key.model, jnp.zeros((1, *key.x.shape), key.x.dtype)).jaxpr)
    jaxpr = program.jaxpr
    found = find_nonlinearities(program, [len(jaxpr.invars) - 1])
    _refuse(found)
    kinks = {kink_variable(jaxpr, kink): kink for kink in found.kinks}
    depths = _depths(jaxpr, set(kinks))
    _refuse_bends_between(jaxpr, found, depths)
    (output,) = jaxpr.outvars
    last = max([depths[v] + 1 for v in kinks], default=0)
    used = needed_equations(jaxpr, [v for v in [*kinks, output] if isinstance(v, Var)])
    parts = [[] for _ in range(last + 1)]
    uses: dict[Var, int] = {}  # the depth of the last stage that needs a variable
    for equation in used:
        depth = max((depths[v] for v in equation.outvars if v in depths), default=None)
        if depth is not None:
            parts[depth].append(equation)
            uses.update({v: max(depth, uses.get(v, 0)) for v in equation.invars if isinstance(v, Var)})
    order = _order(jaxpr)
    stages: list[Stage] = []
    fixed: list[tuple[Var, ...]] = []
    entering: tuple[Any, ...] = (jaxpr.invars[-1],)
    for depth, equations in enumerate(parts):
        made = {v for equation in equations for v in equation.outvars}
        needed = {v for equation in equations for v in equation.invars if isinstance(v, Var) and v not in depths}
        roots = sorted((v for v in kinks if depths[v] == depth), key=order)
        if depth == last:
            leaving: tuple[Any, ...] = (output,)
            needed |= {v for v in leaving if isinstance(v, Var) and v not in depths}
        else:
            leaving = tuple(sorted({v for v in {*entering, *made} if uses.get(v, -1) > depth} | set(roots), key=order))
        fixed.append(tuple(sorted(needed, key=order)))
        part = jaxpr.replace(constvars=[], invars=[*fixed[-1], *entering], outvars=list(leaving), eqns=list(equations))
        stage = Stage(
            ClosedJaxpr(part, ()),
            tuple(map(_real, entering)),
            tuple(map(_real, leaving)),
            tuple(leaving.index(v) for v in roots),
            _columns([kinks[v] for v in roots]) if roots else None,
        )
        stages.append(next((known for known in stages if known.like(stage)), stage))  # compiled once
        entering = leaving
    return Staged(program, tuple(stages), tuple(fixed), found)


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


def staged_model(model: PyTree, input_shape: tuple[int, ...]) -> tuple[Staged, Parameters]:
    """A model in stages, in float64, and the values of all that does not depend on x. Needs x64.

    Args:
        model: any callable pytree that maps one input to () or to (c,).
        input_shape: the shape of one input.

    Raises:
        InputError: a gate; a bend after a kink; no kinks but bends; parameters that are not finite.
    """

    def precise(leaf):
        if not eqx.is_inexact_array(leaf):
            return leaf
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            return jnp.asarray(leaf)
        values = np.asarray(leaf).astype(np.float64)
        if not np.all(np.isfinite(values)):
            raise InputError("the model has parameters that are not finite: it has no regions")
        return jnp.asarray(values)

    model = jax.tree.map(precise, model)
    staged = _staged(structure(model, jnp.zeros((1, *input_shape), jnp.float64)))
    return staged, _parameters(staged, arrays_of(model), staged.program.consts)


def split(real: Sequence[bool], values: Sequence[Array]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Values of real variables, and of the others."""
    pairs = list(zip(real, values, strict=True))
    return tuple(a for is_real, a in pairs if is_real), tuple(a for is_real, a in pairs if not is_real)


def _joined(real: Sequence[bool], reals: Sequence[Array], others: Sequence[Array]) -> list[Array]:
    """The inverse of `split`."""
    a, b = iter(reals), iter(others)
    return [next(a) if is_real else next(b) for is_real in real]


def push(stage: Stage, fixed: Sequence[Array], carry: Carry) -> Carry:
    """What a stage makes of its entering variables, on a batch of regions in which it is affine."""

    def one(values, tangents, others):
        def outputs(*values):
            return split(stage.leaving, stage(fixed, _joined(stage.entering, values, others)))

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
    which = [sum(stage.leaving[:root]) for root in stage.roots]
    values, tangents = carry.values, carry.tangents
    n, k = tangents[0].shape[:2]
    z = jnp.concatenate([values[i].reshape(n, -1) for i in which], axis=1)
    g = jnp.concatenate([tangents[i].reshape(n, k, -1) for i in which], axis=2)
    columns = stage.columns
    assert columns is not None
    if not np.array_equal(columns.units, np.arange(z.shape[1])):
        z, g = z[:, columns.units], g[:, :, columns.units]
    return z - jnp.asarray(columns.values)[None], g


def evaluate(staged: Staged, parameters: Parameters, x: Array) -> tuple[Array, Array]:
    """The network itself at one input: z minus every breakpoint of all layers, and the outputs (c,)."""
    entering, found = [x], [jnp.zeros(0)]
    for stage, fixed in zip(staged.stages, parameters, strict=True):
        entering = stage(fixed, entering)
        if stage.columns is not None:
            z = jnp.concatenate([entering[root].ravel() for root in stage.roots])
            found.append(z[stage.columns.units] - jnp.asarray(stage.columns.values))
    return jnp.concatenate(found), entering[0].ravel()
