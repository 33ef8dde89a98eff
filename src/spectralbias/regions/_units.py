"""The units of a model: elementwise piecewise-linear functions, in layers, and what they read."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array, PyTree

from .._core.errors import InputError
from ..models._depths import find_depths
from ..models._kinks import Kink, find_nonlinearities
from ..models._reader import read_program
from ..models._root_values import root_values


class Group(NamedTuple):
    """Units of one layer that apply the same function: `count` of them, with slopes between their breakpoints.

    `kink` is the number of the kink in the program, `places` are the iterations of the scans around it, counted row by
    row. A slope is None where it is not a known number.
    """

    count: int
    breakpoints: tuple[float, ...]
    slopes: tuple[float | None, ...]
    kink: int = 0
    places: tuple[int, ...] = (0,)

    @property
    def bits(self) -> int:
        """One for each breakpoint of each unit."""
        return self.count * len(self.breakpoints)

    @property
    def steepest(self) -> float:
        """The slope of largest magnitude, the last one of several; 1 where no slope is known but 0.

        relu(-2 z) is a ReLU that reads -2 z.
        """
        known = [slope for slope in self.slopes if slope]
        return max(reversed(known), key=abs, default=1.0)


class Units(NamedTuple):
    """All units of a program, and what else in it is not linear: names of primitives, in alphabetical order.

    `encoding` are bends before the first layer, `bends` those behind it.
    """

    kinks: tuple[Kink, ...]
    layers: tuple[tuple[Group, ...], ...]
    encoding: tuple[str, ...]
    bends: tuple[str, ...]
    gates: tuple[str, ...]


def read_units(model: PyTree, x: Array) -> Units:
    """The units of a model on inputs like x[0], found once per structure and shape.

    Raises:
        InputError: a model without units.
    """
    return find_units(read_program(model, x).jaxpr)


@functools.lru_cache(maxsize=256)
def find_units(program: ClosedJaxpr) -> Units:
    """The units of a program whose last argument is the input x.

    Raises:
        InputError: a program without units, or of whole numbers.
    """
    x: Any = program.jaxpr.invars[-1]
    if not jnp.issubdtype(x.aval.dtype, jnp.inexact):
        raise InputError(
            f"`x` must have real numbers, got {x.aval.dtype}: nothing is piecewise linear in whole numbers"
        )
    found = find_nonlinearities(program, (len(program.jaxpr.invars) - 1,))
    kinks = tuple(kink for kink in found.kinks if kink.piecewise_linear and math.prod((*kink.lengths, *kink.shape)))
    if not kinks:
        raise no_units([bend.primitive for bend in found.bends], [gate.primitive for gate in found.gates])
    bends = [bend.path for bend in found.bends]
    depths = find_depths(program, kinks, bends)
    layers = []
    for depth in range(1 + max(int(one.max()) for one in depths.kinks)):
        groups = []
        for number, (kink, one) in enumerate(zip(kinks, depths.kinks, strict=True)):
            places = tuple(np.flatnonzero(one.ravel() == depth).tolist())
            count = len(places) * math.prod(kink.shape)
            if places:
                groups.append(Group(count, kink.breakpoints, kink.slopes, number, places))
        layers.append(tuple(groups))
    names: dict[bool, set[str]] = {False: set(), True: set()}
    for bend in found.bends:
        names[depths.equations[bend.path] > 0].add(bend.primitive)
    gates = {gate.primitive for gate in found.gates}
    return Units(kinks, tuple(layers), *(tuple(sorted(found)) for found in (names[False], names[True], gates)))


def no_units(bends: Sequence[str], gates: Sequence[str]) -> InputError:
    """A model without elementwise piecewise-linear nonlinearities."""
    if bends:
        listed = ", ".join(f"`{name}`" for name in sorted(set(bends)))
        return InputError(
            f"the model has no piecewise-linear nonlinearity, and so no activation patterns: it bends its input by "
            f"{listed}; use an activation such as relu, leaky_relu, abs or hard_tanh"
        )
    if gates:
        listed = ", ".join(f"`{name}`" for name in sorted(set(gates)))
        return InputError(
            f"the model has no elementwise nonlinearity, and so no activation patterns: it compares values with each "
            f"other by {listed}"
        )
    return InputError("the model has no nonlinearity, and so no activation patterns: its output is linear in x")


def layer_values(program: ClosedJaxpr, units: Units, arrays: Sequence[Array], x: Array) -> list[list[Array]]:
    """What the units of one input read, (count,) for every group of every layer. To be traced and mapped."""
    _, roots = root_values(program, [*arrays, x], units.kinks)
    stacked = [z.reshape(math.prod(k.lengths), math.prod(k.shape)) for z, k in zip(roots, units.kinks, strict=True)]

    def of(group: Group) -> Array:
        rows = stacked[group.kink]
        return (rows if len(group.places) == len(rows) else rows[np.array(group.places)]).reshape(-1)

    return [[of(group) for group in layer] for layer in units.layers]
