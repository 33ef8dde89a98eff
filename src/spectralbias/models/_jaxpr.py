"""Running a traced program one equation at a time, through JAX's public names only."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, DropVar, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun

# Calls that change nothing of what is computed. Custom derivatives stay: inlined, they would lose their rule.
CALLS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
_BODIES = {"scan": ("jaxpr",), "while": ("cond_jaxpr", "body_jaxpr")}

Visit = Callable[[int, JaxprEqn, list], Sequence[Any] | None]


def shape_of(atom: Any) -> tuple[int, ...]:
    """The shape of a variable or a literal."""
    return tuple(atom.aval.shape)


def execute(jaxpr: Jaxpr, equation: JaxprEqn, inputs: Sequence[Any], changed: dict | None = None) -> list:
    """The outputs of one equation of `jaxpr`, None for unused ones; `changed` replaces parameters of the equation.

    It is run as a program of one equation: how a primitive is bound to its parameters is private to JAX.
    """
    if changed:
        equation = equation.replace(params=equation.params | changed)
    given = {atom: value for atom, value in zip(equation.invars, inputs, strict=True) if isinstance(atom, Var)}
    used = [v for v in equation.outvars if not isinstance(v, DropVar)]
    alone = jaxpr.replace(constvars=[], invars=list(given), outvars=used, eqns=[equation])
    outputs = dict(zip(used, jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values()), strict=True))
    return [outputs.get(v) for v in equation.outvars]


def run(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], visit: Visit) -> list:
    """The outputs of a program. `visit(index, equation, inputs)` may give the outputs of an equation, or None."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, Literal) else values[atom]

    for index, equation in enumerate(jaxpr.eqns):
        inputs = [read(atom) for atom in equation.invars]
        outputs = visit(index, equation, inputs)
        values.update(
            zip(equation.outvars, execute(jaxpr, equation, inputs) if outputs is None else outputs, strict=True)
        )
    return [read(atom) for atom in jaxpr.outvars]


def body_of(equation: JaxprEqn) -> tuple[Jaxpr, Sequence[Any]]:
    """The program that a call calls, and its constants."""
    body: Any = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return (body.jaxpr, body.consts) if isinstance(body, ClosedJaxpr) else (body, ())


def scan_counts(equation: JaxprEqn) -> tuple[int, int]:
    """How many constants and how many carried values a scan has, read off the shapes: its parameters differ by version.

    Slices have one axis fewer inside the body than outside; all others have the same shape.
    """
    body = equation.params["jaxpr"].jaxpr

    def kept(outer, inner):
        return sum(len(o.aval.shape) == len(i.aval.shape) for o, i in zip(outer, inner, strict=True))

    num_carry = kept(equation.outvars, body.outvars)
    return kept(equation.invars, body.invars) - num_carry, num_carry


def _is_number(atom: Any) -> bool:
    """Whether it is one number, and not, e.g., the key of a random generator."""
    return shape_of(atom) == () and jnp.issubdtype(atom.aval.dtype, np.number)


def _is_known(value: Any) -> bool:
    """Whether it is a number, and not what is being traced."""
    return isinstance(value, float | int | np.ndarray | np.generic) and np.ndim(value) == 0


def inline(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without calls (jit, remat) in it, nor in the bodies of its scans, loops and branches.

    Numbers that are known, like √2, are put in, and a split becomes slices.
    """

    def visit(_, equation, inputs):
        name, parameters = equation.primitive.name, equation.params
        if name in CALLS:
            return run(*body_of(equation), inputs, visit)
        if name == "cond":
            branches = tuple(inline(branch) for branch in parameters["branches"])
            return execute(program.jaxpr, equation, inputs, {"branches": branches})
        if name in _BODIES:
            bodies = {body: inline(parameters[body]) for body in _BODIES[name]}
            return execute(program.jaxpr, equation, inputs, bodies)
        if name == "split":
            stops = np.cumsum(parameters["sizes"])
            pairs = zip(stops - parameters["sizes"], stops, strict=True)
            return [jax.lax.slice_in_dim(inputs[0], int(a), int(b), axis=parameters["axis"]) for a, b in pairs]
        if inputs and all(map(_is_known, inputs)) and all(map(_is_number, equation.outvars)):
            with jax.ensure_compile_time_eval():
                return [
                    value if value is None else np.asarray(value) for value in execute(program.jaxpr, equation, inputs)
                ]
        return None

    def flat(*arguments):
        return run(program.jaxpr, program.consts, arguments, visit)

    return jax.make_jaxpr(flat)(*(jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in program.jaxpr.invars))
