"""In which layer the kinks of a program are: how many of them are before each, on the longest path from the input."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from ._jaxpr import body_of, scan_counts
from ._kinks import INPUT, Kink, Path


class Depths(NamedTuple):
    """Depths of kinks, one array (*lengths,) for each, and of other equations: the largest in any iteration."""

    kinks: tuple[np.ndarray, ...]
    equations: dict[Path, int]


class _Walk:
    """One pass over a program, in which every variable stands for the number of kinks before it."""

    def __init__(self, kinks: Sequence[Kink], equations: Sequence[Path]):
        self.kinks = {(kink.path, kink.output): np.zeros(kink.lengths, np.int64) for kink in kinks}
        self.equations: dict[Path, int] = dict.fromkeys(equations, 0)
        paths = [*equations, *(path for path, _ in self.kinks)]
        self.entered = {path[:k] for path in paths for k in range(1, len(path))}

    def passed(self, path: Path, index: tuple[int, ...], depths: Sequence[int]) -> list[int]:
        """Depths behind the variables at `path`, in iteration `index` of the scans around it."""
        found = []
        for output, depth in enumerate(depths):
            kink = self.kinks.get((path, output))
            if kink is not None:
                kink[index] = depth
            found.append(depth + (kink is not None))
        return found

    def walk(self, jaxpr: Jaxpr, arguments: Sequence[int], path: Path, index: tuple[int, ...]) -> list[int]:
        """The depths of the outputs of a program."""
        depth: dict[Any, int] = dict.fromkeys(jaxpr.constvars, 0)
        depth.update(zip(jaxpr.invars, self.passed((*path, INPUT), index, arguments), strict=True))
        for number, equation in enumerate(jaxpr.eqns):
            here = (*path, number)
            operands = [0 if isinstance(atom, Literal) else depth[atom] for atom in equation.invars]
            largest = max(operands, default=0)
            if here in self.equations:
                self.equations[here] = max(self.equations[here], largest)
            if here not in self.entered:
                outputs = [largest] * len(equation.outvars)
            elif equation.primitive.name == "scan":
                outputs = self.scan(equation, operands, here, index)
            else:
                outputs = self.walk(body_of(equation)[0], operands, here, index)
            depth.update(zip(equation.outvars, self.passed(here, index, outputs), strict=True))
        return [0 if isinstance(atom, Literal) else depth[atom] for atom in jaxpr.outvars]

    def scan(self, equation: JaxprEqn, operands: Sequence[int], path: Path, index: tuple[int, ...]) -> list[int]:
        """All iterations in turn: what they carry gets deeper, and what is stacked is as deep as its deepest slice."""
        body, length = equation.params["jaxpr"].jaxpr, equation.params["length"]
        num_consts, num_carry = scan_counts(equation)
        last = num_consts + num_carry
        carry, stacked = list(operands[num_consts:last]), [0] * (len(equation.outvars) - num_carry)
        for iteration in range(length):
            place = length - 1 - iteration if equation.params["reverse"] else iteration
            outputs = self.walk(body, [*operands[:num_consts], *carry, *operands[last:]], path, (*index, place))
            carry = outputs[:num_carry]
            stacked = [max(pair) for pair in zip(stacked, outputs[num_carry:], strict=True)]
        return [*carry, *stacked]


def find_depths(program: ClosedJaxpr, kinks: Sequence[Kink], equations: Sequence[Path] = ()) -> Depths:
    """How deep the kinks of a program are.

    Args:
        program: the program in which the kinks were found.
        kinks: which of them count.
        equations: paths of other equations whose depth is wanted, such as those of gates and bends.

    Returns:
        `Depths`. All that is computed from the z of a kink is behind it, also where z itself goes on beside φ(z), as in
        a residual network. The iterations of a scan are one after the other where what they carry passes through a
        kink, and side by side where it does not.

    Cost and precision:
        A walk over the equations, as often as there are iterations.
    """
    walk = _Walk(kinks, equations)
    walk.walk(program.jaxpr, [0] * len(program.jaxpr.invars), (), ())
    return Depths(tuple(walk.kinks[kink.path, kink.output] for kink in kinks), walk.equations)
