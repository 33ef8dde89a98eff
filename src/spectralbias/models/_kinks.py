"""Where elementwise nonlinearities with kinks sit in a traced model, however they are spelled.

The program is run once on abstract values. A variable that depends on the input x is kept as a piecewise-linear
function φ(z) of one earlier variable z of the same shape, its root, for as long as only elementwise equations act on
it. When anything else uses it, what has become of φ is noted: max(z, 0) has a kink, max(z, 0) + min(z, 0) has none.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var

from ._elementwise import elementwise
from ._jaxpr import CALLS, body_of, run, scan_counts
from ._piecewise import IDENTITY, UNKNOWN, Bend, Line, Piecewise, UnknownKinkError, constant

Path = tuple[int, ...]

INPUT = -1  # stands for the number of an equation where a variable is an input of the program or of a scan's body
_OPEN = CALLS | {"custom_jvp_call", "custom_vjp_call"}

# fmt: off
# Equations that are linear in all their operands at once, but for integers and booleans.
_LINEAR = {
    "add", "add_any", "sub", "neg", "select_n", "convert_element_type", "copy", "copy_p", "stop_gradient",
    "reduce_precision", "real", "imag", "complex", "conj", "reduce_sum", "cumsum", "concatenate", "reshape",
    "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "dynamic_slice", "gather",
    "dynamic_update_slice", "scatter", "scatter-add", "pad", "rev", "fft", "reduce_window_sum", "split", "stack",
    "unstack", "tile", "optimization_barrier", "sharding_constraint", "device_put",
}
# fmt: on
_MULTILINEAR = {"mul", "dot_general", "ragged_dot_general", "conv_general_dilated", "scatter-mul"}

# fmt: off
# Equations that are piecewise linear but compare different entries, or entries with parameters.
_GATES = {
    "max", "min", "clamp", "abs", "sign", "eq", "ne", "lt", "le", "gt", "ge", "reduce_max", "reduce_min",
    "reduce_window_max", "reduce_window_min", "cummax", "cummin", "scatter-max", "scatter-min", "sort", "top_k",
    "argmax", "argmin",
}
# fmt: on

# Of constants only: the number stays the same in every entry.
_UNIFORM = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev"}


class Root(NamedTuple):
    """A variable of a program that elementwise nonlinearities act on."""

    path: Path
    output: int
    lengths: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype


class Gate(NamedTuple):
    """An equation that compares entries of x-dependent variables with each other or with parameters."""

    path: Path
    primitive: str


class Kink(eqx.Module):
    """An elementwise function φ(z) with kinks in a program: static, without arrays, hashable.

    `path` are numbers of equations, outermost first: the last is the equation that has z as its output number
    `output`, those before it are scans or calls around it. Where the last number is -1, z is input number `output` of
    the program, or of the body of the scan. `shape` is that of z in one iteration; `lengths` are the scans around it.

    φ has the line slopes[i] · z + intercepts[i] for breakpoints[i - 1] < z ≤ breakpoints[i]: a value equal to a
    breakpoint counts to the piece below, so that ReLU is active where z > 0. A number is None where it depends on
    parameters, where the piece is bent, or where several functions of z are in use and differ.
    """

    path: Path = eqx.field(static=True)
    output: int = eqx.field(static=True)
    lengths: tuple[int, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    dtype: np.dtype = eqx.field(static=True)
    breakpoints: tuple[float, ...] = eqx.field(static=True)
    slopes: tuple[float | None, ...] = eqx.field(static=True)
    intercepts: tuple[float | None, ...] = eqx.field(static=True)
    piecewise_linear: bool = eqx.field(static=True)


class Nonlinearities(eqx.Module):
    """How the outputs of a program depend on its input x: all that is not linear, in program order.

    `kinks` are elementwise functions with kinks; `gates` piecewise-linear equations that are no function of one
    variable (max pooling, maxout, sorting, a threshold that is a parameter); `bends` the equations that are not
    piecewise linear (tanh, a product of two functions of x) or into which the reader does not look: branches, loops of
    unknown length, unknown primitives.
    """

    kinks: tuple[Kink, ...] = eqx.field(static=True)
    gates: tuple[Gate, ...] = eqx.field(static=True)
    bends: tuple[Bend, ...] = eqx.field(static=True)

    @property
    def obstacle(self) -> str | None:
        """The first equation that makes the outputs not piecewise linear in x, or None where they are."""
        return self.bends[0].primitive if self.bends else None


class Value(NamedTuple):
    """What is known of a variable.

    One that does not depend on x has no views and is uniformly `number`, nan where that is not known. One that does has
    one view φ per root, `flat` where it is piecewise constant in x, and `past`: the nonlinearities before its roots.
    """

    number: float = UNKNOWN
    views: tuple[tuple[Root, Piecewise], ...] = ()
    flat: bool = True
    past: frozenset = frozenset()

    def view(self, root: Root) -> Piecewise | None:
        """The variable as a function of `root`."""
        return dict(self.views).get(root) if self.views else constant(self.number)

    def left(self, kept: Sequence[Root] = ()) -> frozenset:
        """The past, when of its views only those of the roots `kept` go on."""
        ended = {(root, φ) for root, φ in self.views if root not in kept and (φ.breakpoints or not φ.linear)}
        return self.past | ended


def _known(raw: Any) -> Value:
    """A literal or a constant of the program."""
    if isinstance(raw, Value):
        return raw
    dtype = jnp.result_type(raw)
    if not (
        jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.bool_)
    ):
        return Value()
    try:
        array = np.asarray(raw)
    except jax.errors.TracerArrayConversionError:
        return Value()
    uniform = array.size > 0 and bool(np.all(array == array.flat[0]))  # false for nan
    return Value(float(array.flat[0]) if uniform else UNKNOWN)


def _elementwise(equation: JaxprEqn, bend: Bend, operands: Sequence[Value]) -> list[tuple[Root, Piecewise]]:
    """The output of an equation as a function of each root that all its operands have in common."""
    output: Any = equation.outvars[0].aval
    moving = next(operand for operand in operands if operand.views)
    views = []
    for root, _ in moving.views:
        functions = [function for operand in operands if (function := operand.view(root)) is not None]
        if root.shape != output.shape or len(functions) < len(operands):
            continue
        try:
            function = elementwise(equation, bend, functions)
        except UnknownKinkError:
            continue
        if function is not None:
            views.append((root, function))
    return views


def _number(equation: JaxprEqn, operands: Sequence[Value]) -> float:
    """What an equation makes of constants."""
    if equation.primitive.name in _UNIFORM:
        return operands[0].number
    try:
        function = elementwise(equation, Bend((), ""), [constant(operand.number) for operand in operands])
    except UnknownKinkError:
        return UNKNOWN
    piece = function.pieces[0] if function else None
    return piece.intercept if isinstance(piece, Line) else UNKNOWN


def _event(equation: JaxprEqn, path: Path, operands: Sequence[Value]) -> frozenset:
    """What an equation does to x that is not linear, when its operands are taken as they are."""
    name = equation.primitive.name
    variables: list[Any] = equation.invars
    varying = [k for k, operand in enumerate(operands) if not operand.flat]
    if not varying or name in _LINEAR or (name in _MULTILINEAR and len(varying) == 1):
        return frozenset()
    if name == "div" and varying == [0]:
        return frozenset()
    if name in _GATES and not jnp.issubdtype(variables[0].aval.dtype, jnp.complexfloating):
        return frozenset({Gate(path, name)})
    return frozenset({Bend(path, name)})


def _equation(equation: JaxprEqn, operands: Sequence[Value], path: Path, lengths: tuple[int, ...]) -> list[Value]:
    """What is known of the outputs of one equation."""
    name = equation.primitive.name
    if name in _OPEN:
        return _walk(*body_of(equation), operands, path, lengths)
    if not any(operand.views for operand in operands):
        number = _number(equation, operands) if len(equation.outvars) == 1 else UNKNOWN
        return [Value(number) for _ in equation.outvars]
    if name == "scan":
        return _scan(equation, operands, path, lengths)
    views = _elementwise(equation, Bend(path, name), operands)
    for _, function in views:
        piece = function.pieces[0]
        if not function.breakpoints and isinstance(piece, Line) and piece.slope == 0 and piece.known:
            return [Value(piece.intercept)]  # such as z ≠ z
    flat = all(operand.flat for operand in operands) or any(function.flat for _, function in views)
    past = frozenset().union(*(operand.left([root for root, _ in views]) for operand in operands))
    if not views:
        past |= _event(equation, path, operands)
    outputs = []
    variables: list[Any] = equation.outvars
    for k, variable in enumerate(variables):
        steps = flat or not jnp.issubdtype(variable.aval.dtype, jnp.inexact)
        own = _own(variable, path, k, lengths, steps)
        known = any(function.known for _, function in views)
        outputs.append(own._replace(views=tuple(views) if known else (*views, *own.views), past=past))
    return outputs


def _own(variable: Any, path: Path, output: int, lengths: tuple[int, ...], flat: bool) -> Value:
    """A variable as its own root. Of one that is piecewise constant in x nothing is a kink any more."""
    root = Root(path, output, lengths, variable.aval.shape, variable.aval.dtype)
    return Value(views=((root, constant(UNKNOWN) if flat else IDENTITY),), flat=flat)


def _rooted(value: Value, variable: Any, path: Path, output: int, lengths: tuple[int, ...]) -> Value:
    """The same variable under another name, as its own root."""
    if not value.views:
        return value
    return _own(variable, path, output, lengths, value.flat)._replace(past=value.left())


def _scan(equation: JaxprEqn, operands: Sequence[Value], path: Path, lengths: tuple[int, ...]) -> list[Value]:
    """The body is walked until what is known of the carried values is true before every iteration."""
    body, (num_consts, num_carry) = equation.params["jaxpr"], scan_counts(equation)
    inside = (*lengths, equation.params["length"])
    first, last = num_consts, num_consts + num_carry

    def rooted(values):
        numbered = enumerate(zip(values, body.jaxpr.invars, strict=True))
        return [_rooted(value, v, (*path, INPUT), k, inside) for k, (value, v) in numbered]

    values = rooted(operands)
    while True:
        outputs = _walk(body.jaxpr, body.consts, values, path, inside)
        joined = [_joined(a, b) for a, b in zip(values[first:last], outputs[:num_carry], strict=True)]
        before, values = values, rooted([*values[:first], *joined, *values[last:]])
        if values == before:
            break
    return [
        _rooted(value, variable, path, k, lengths)
        for k, (value, variable) in enumerate(zip(outputs, equation.outvars, strict=True))
    ]


def _joined(a: Value, b: Value) -> Value:
    """What is true of both: of a value before and after an iteration."""
    if not a.views and not b.views:
        return a if a.number == b.number else Value()
    return Value(views=a.views or b.views, flat=a.flat and b.flat, past=a.left() | b.left())


def _walk(
    jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Value], path: Path, lengths: tuple[int, ...]
) -> list[Value]:
    """What is known of the outputs of a program."""

    def visit(index, equation, inputs):
        return _equation(equation, [_known(raw) for raw in inputs], (*path, index), lengths)

    return [_known(raw) for raw in run(jaxpr, [_known(raw) for raw in constants], arguments, visit)]


def _kink(root: Root, functions: Sequence[Piecewise]) -> Kink:
    """All that is made of one root."""
    breakpoints = tuple(sorted({point for function in functions for point in function.breakpoints}))
    columns = list(zip(*(function.refined(breakpoints) for function in functions), strict=True))

    def common(field):
        numbers = [{getattr(piece, field, UNKNOWN) for piece in column} for column in columns]
        return tuple(None if len(n) > 1 or math.isnan(min(n)) else min(n) for n in numbers)

    linear = all(function.linear for function in functions)
    return Kink(*root, breakpoints, common("slope"), common("intercept"), linear)


def _arguments(program: ClosedJaxpr, inputs: Sequence[int]) -> list[Value]:
    """The arguments of a program, of which x are `inputs`."""
    return [
        _own(v, (INPUT,), k, (), not jnp.issubdtype(v.aval.dtype, jnp.inexact)) if k in inputs else Value()
        for k, v in enumerate(program.jaxpr.invars)
    ]


def bent_variables(program: ClosedJaxpr, inputs: Sequence[int]) -> set[Var]:
    """The variables outside of scans that are a function with kinks or bends of one earlier variable."""
    found: set[Var] = set()

    def visit(index, equation, operands):
        outputs = _equation(equation, [_known(raw) for raw in operands], (index,), ())
        bent = [any(φ.breakpoints or not φ.linear for _, φ in output.views) for output in outputs]
        found.update(v for v, is_bent in zip(equation.outvars, bent, strict=True) if is_bent)
        return outputs

    run(program.jaxpr, [_known(raw) for raw in program.consts], _arguments(program, inputs), visit)
    return found


def is_linear(equation: JaxprEqn, operands: Sequence[int]) -> bool:
    """Whether the outputs of an equation are linear in these operands together, when the others are fixed."""
    name = equation.primitive.name
    variables: list[Any] = equation.invars
    if not all(jnp.issubdtype(variables[k].aval.dtype, jnp.inexact) for k in operands):
        return False  # the condition of a selection, the index of a lookup
    if name in _MULTILINEAR or name == "div":
        return len(operands) == 1 and (name != "div" or operands[0] == 0)
    return name in _LINEAR


def find_nonlinearities(program: ClosedJaxpr, inputs: Sequence[int]) -> Nonlinearities:
    """All that is not linear between the input x of a model and its outputs.

    Args:
        program: a model of one input, traced; calls in it need not be inlined.
        inputs: the numbers of the arguments that are x. The others are parameters: a nonlinear function of parameters
            alone is not reported.

    Returns:
        The `kinks`, `gates` and `bends` that have an influence on the outputs, each in program order, and the
        `obstacle` to piecewise linearity. A kink between two bent pieces is not resolved, and values at single points
        (x == 0) are not seen.
    """
    outputs = _walk(program.jaxpr, program.consts, _arguments(program, inputs), (), ())
    found = frozenset().union(*(output.left() for output in outputs))
    sites: dict[Root, list[Piecewise]] = {}
    gates, bends = set(), set()
    for item in found:
        if isinstance(item, Gate):
            gates.add(item)
        elif isinstance(item, Bend):
            bends.add(item)
        else:
            root, function = item
            bends.update(piece for piece in function.pieces if isinstance(piece, Bend))
            if function.breakpoints:
                sites.setdefault(root, []).append(function)
    roots = sorted(sites, key=lambda root: (root.path, root.output))
    return Nonlinearities(tuple(_kink(root, sites[root]) for root in roots), tuple(sorted(gates)), tuple(sorted(bends)))
