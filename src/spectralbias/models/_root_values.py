"""The variables that kinks act on, from one run of the program."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import Array

from ._jaxpr import body_of, execute, run, scan_counts
from ._kinks import INPUT, Kink, Path

Address = tuple[Path, int]


def root_values(program: ClosedJaxpr, arguments: Sequence[Array], kinks: Sequence[Kink]) -> tuple[list[Array], list]:
    """The outputs of a program, and the variable z that each kink acts on.

    Args:
        program: the program in which the kinks were found.
        arguments: one array for each of its arguments.
        kinks: which variables to return.

    Returns:
        The outputs, and per kink an array (*lengths, *shape). `searchsorted(breakpoints, z)` is the piece of every
        entry: a value equal to a breakpoint counts to the piece below it, so that ReLU is active where z > 0.

    Cost and precision:
        One run of the program. It can be traced: jit and vmap it. A custom derivative is lost where z is inside it.
    """
    wanted: set[Address] = {(kink.path, kink.output) for kink in kinks}
    outputs, found = _evaluate(program.jaxpr, program.consts, arguments, (), wanted)
    return outputs, [found[kink.path, kink.output] for kink in kinks]


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], path: Path, wanted: set[Address]):
    """The outputs of a program, and the wanted variables by address."""
    own = (*path, INPUT)
    found: dict[Address, Any] = {(own, k): value for k, value in enumerate(arguments) if (own, k) in wanted}

    def visit(index, equation, inputs):
        here = (*path, index)
        if any(len(address) > len(here) and address[: len(here)] == here for address, _ in wanted):
            enter = _evaluate_scan if equation.primitive.name == "scan" else _evaluate_call
            outputs, inner = enter(equation, inputs, here, wanted)
            found.update(inner)
        else:
            outputs = execute(jaxpr, equation, inputs)
        found.update({(here, k): value for k, value in enumerate(outputs) if (here, k) in wanted})
        return outputs

    return run(jaxpr, constants, arguments, visit), found


def _evaluate_call(equation: JaxprEqn, inputs: Sequence[Any], path: Path, wanted: set[Address]):
    return _evaluate(*body_of(equation), inputs, path, wanted)


def _evaluate_scan(equation: JaxprEqn, inputs: Sequence[Any], path: Path, wanted: set[Address]):
    """A scan whose wanted variables are stacked beside its outputs."""
    parameters, (num_consts, num_carry) = equation.params, scan_counts(equation)
    body, last = parameters["jaxpr"], num_consts + num_carry

    def step(carry, slices):
        outputs, found = _evaluate(body.jaxpr, body.consts, [*inputs[:num_consts], *carry, *slices], path, wanted)
        return outputs[:num_carry], (outputs[num_carry:], found)

    options = {name: parameters[name] for name in ("length", "reverse", "unroll")}
    carry, (stacked, found) = jax.lax.scan(step, list(inputs[num_consts:last]), list(inputs[last:]), **options)
    return [*carry, *stacked], found
