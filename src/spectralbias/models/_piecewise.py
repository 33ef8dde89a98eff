"""Piecewise-linear functions of one variable, with exact breakpoints.

A piece may also be bent (`Bend`), which names the equation of a program that bent it, and a slope or an intercept may
be unknown (nan): it depends on parameters. What happens at a breakpoint itself is not represented.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

UNKNOWN = math.nan


class UnknownKinkError(Exception):
    """The breakpoints of a result depend on parameters."""


class Line(NamedTuple):
    """slope · z + intercept."""

    slope: float
    intercept: float

    @property
    def known(self) -> bool:
        """Whether both numbers are known."""
        return not (math.isnan(self.slope) or math.isnan(self.intercept))


class Bend(NamedTuple):
    """A piece that is not a line, since the equation at `path` of a program."""

    path: tuple[int, ...]
    primitive: str


Piece = Line | Bend


def line(slope: float, intercept: float) -> Line:
    """A line, in which unknown numbers are the same object: then lines are equal and hashed by their values."""
    return Line(*(UNKNOWN if math.isnan(number) else float(number) + 0.0 for number in (slope, intercept)))


class Piecewise(NamedTuple):
    """`pieces[i]` between `breakpoints[i - 1]` and `breakpoints[i]`."""

    breakpoints: tuple[float, ...]
    pieces: tuple[Piece, ...]

    @property
    def linear(self) -> bool:
        """Whether no piece is bent."""
        return all(isinstance(piece, Line) for piece in self.pieces)

    @property
    def flat(self) -> bool:
        """Whether it is constant on every piece."""
        return all(isinstance(piece, Line) and piece.slope == 0 for piece in self.pieces)

    @property
    def known(self) -> bool:
        """Whether every piece is a line with known numbers."""
        return all(isinstance(piece, Line) and piece.known for piece in self.pieces)

    def refined(self, breakpoints: tuple[float, ...]) -> tuple[Piece, ...]:
        """The pieces between breakpoints that contain its own."""
        return tuple(self.pieces[bisect_right(self.breakpoints, start)] for start in (-math.inf, *breakpoints))


def constant(value: float) -> Piecewise:
    """φ(z) = value; unknown for nan."""
    return Piecewise((), (line(0.0, value),))


IDENTITY = Piecewise((), (line(1.0, 0.0),))


def _merged(breakpoints: tuple[float, ...], pieces: tuple[Piece, ...]) -> Piecewise:
    """Without breakpoints between equal pieces, nor between bent ones, whose slopes are not compared."""
    kept, merged = [], [pieces[0]]
    for point, piece in zip(breakpoints, pieces[1:], strict=True):
        last = merged[-1]
        if isinstance(last, Bend) and isinstance(piece, Bend):
            merged[-1] = min(last, piece)
        elif not (isinstance(piece, Line) and piece == last and piece.known):
            kept.append(point)
            merged.append(piece)
    return Piecewise(tuple(kept), tuple(merged))


def combine(rule: Callable[..., Piece], *functions: Piecewise) -> Piecewise:
    """The function whose piece is `rule` of the pieces of the others, wherever all of them have one piece."""
    breakpoints = tuple(sorted({point for function in functions for point in function.breakpoints}))
    columns = zip(*(function.refined(breakpoints) for function in functions), strict=True)
    return _merged(breakpoints, tuple(rule(*pieces) for pieces in columns))


def _bends(pieces: tuple[Piece, ...]) -> list[Bend]:
    return [piece for piece in pieces if isinstance(piece, Bend)]


def _product(a: float, b: float) -> float:
    """a b, where 0 times unknown or infinite is 0: a masked value is not seen."""
    return 0.0 if a == 0 or b == 0 else a * b


def add(f: Piecewise, g: Piecewise) -> Piecewise:
    """The sum f + g."""

    def rule(*pieces):
        if bends := _bends(pieces):
            return min(bends)
        a, b = pieces
        return line(a.slope + b.slope, a.intercept + b.intercept)

    return combine(rule, f, g)


def mul(f: Piecewise, g: Piecewise, bend: Bend) -> Piecewise:
    """The product f g; bent where both vary."""

    def rule(*pieces):
        if Line(0.0, 0.0) in pieces:
            return line(0.0, 0.0)
        if bends := _bends(pieces):
            return min(bends)
        a, b = sorted(pieces, key=lambda piece: piece.slope != 0)
        if a.slope != 0:
            return bend
        return line(_product(a.intercept, b.slope), _product(a.intercept, b.intercept))

    return combine(rule, f, g)


def scale(f: Piecewise, factor: float) -> Piecewise:
    """The multiple factor · f."""
    return combine(
        lambda a: a if isinstance(a, Bend) else line(_product(factor, a.slope), _product(factor, a.intercept)), f
    )


def div(f: Piecewise, g: Piecewise, bend: Bend) -> Piecewise:
    """The quotient f / g; bent where g varies."""

    def rule(*pieces):
        a, b = pieces
        if a == Line(0.0, 0.0):
            return a
        if bends := _bends(pieces):
            return min(bends)
        if b.slope != 0:
            return bend
        if b.intercept == 0:
            return line(UNKNOWN, UNKNOWN)
        return line(*(0.0 if number == 0 else number / b.intercept for number in a))

    return combine(rule, f, g)


def sign(f: Piecewise) -> Piecewise:
    """The sign of f, with a breakpoint where a line of f crosses zero.

    Raises:
        UnknownKinkError: a line with unknown numbers.
    """
    ends = (-math.inf, *f.breakpoints, math.inf)
    breakpoints, pieces = [], []
    for piece, start, stop in zip(f.pieces, ends, ends[1:], strict=False):
        breakpoints.append(start)
        if isinstance(piece, Bend):
            pieces.append(piece)
            continue
        if not piece.known:
            raise UnknownKinkError
        slope, intercept = piece
        if slope == 0:
            pieces.append(line(0.0, (intercept > 0) - (intercept < 0)))
            continue
        crossing, direction = -intercept / slope + 0.0, math.copysign(1.0, slope)
        if start < crossing < stop:
            breakpoints.append(crossing)
            pieces.append(line(0.0, -direction))
        pieces.append(line(0.0, -direction if crossing >= stop else direction))
    return _merged(tuple(breakpoints[1:]), tuple(pieces))


def difference(f: Piecewise, g: Piecewise) -> Piecewise:
    """The difference f - g."""
    return constant(0.0) if f is g else add(f, scale(g, -1.0))


def compare(f: Piecewise, g: Piecewise, holds: Callable[[float], bool]) -> Piecewise:
    """1 where `holds` is true of the sign of f - g, 0 elsewhere; f = g at single points is not seen."""
    return combine(lambda a: a if isinstance(a, Bend) else line(0.0, holds(a.intercept)), sign(difference(f, g)))


def select(which: Piecewise, *cases: Piecewise) -> Piecewise:
    """The case whose number is `which`, a function that is constant on every piece."""

    def rule(number, *pieces):
        if isinstance(number, Bend):
            return number
        if not math.isnan(number.intercept):
            return pieces[min(max(int(number.intercept), 0), len(pieces) - 1)]
        if bends := _bends(pieces):
            return min(bends)
        same = {piece.slope for piece in pieces}, {piece.intercept for piece in pieces}
        return line(*(numbers.pop() if len(numbers) == 1 else UNKNOWN for numbers in same))

    return combine(rule, which, *cases)


def maximum(f: Piecewise, g: Piecewise) -> Piecewise:
    """The larger of f and g."""
    return select(compare(f, g, lambda s: s > 0), g, f)


def minimum(f: Piecewise, g: Piecewise) -> Piecewise:
    """The smaller of f and g."""
    return select(compare(f, g, lambda s: s < 0), g, f)


def apply(bend: Bend, values: Callable[..., float], *functions: Piecewise) -> Piecewise:
    """`values` of the functions where all are constant, bent elsewhere."""

    def rule(*pieces):
        if bends := _bends(pieces):
            return min(bends)
        if any(piece.slope != 0 for piece in pieces):
            return bend
        numbers = [piece.intercept for piece in pieces]
        return line(0.0, UNKNOWN if any(map(math.isnan, numbers)) else values(*numbers))

    return combine(rule, *functions)
