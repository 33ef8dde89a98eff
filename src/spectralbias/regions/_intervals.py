"""Segments cut where units reach a breakpoint, and breakpoints found to rounding on the network itself."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._interpolant import Interpolant, nodes, segment_pieces
from ._stages import Carry, Parameters, Staged, evaluate
from ._sweep import POSITION, Crossings, Waiting, padded, sweep

START, SEAM = -1, -2  # in place of the number of a breakpoint
STEPS = 8  # of Newton's method
ENTRIES = 2**22  # numbers of one batch of it


@dataclasses.dataclass(frozen=True, eq=False)
class Intervals:
    """Parts of segments, in the coordinate p = 2t - 1; `units` is the breakpoint at the lower end."""

    lower: np.ndarray
    upper: np.ndarray
    segments: np.ndarray
    units: np.ndarray

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index) -> "Intervals":
        return Intervals(self.lower[index], self.upper[index], self.segments[index], self.units[index])

    @property
    def centers(self) -> np.ndarray:
        """The middles, (n, 1)."""
        return (self.lower + self.upper)[:, None] / 2

    @property
    def radii(self) -> np.ndarray:
        """Half of the lengths."""
        return (self.upper - self.lower) / 2


class Breakpoints(NamedTuple):
    """Breakpoints t of all segments in order, and the affine maps between them."""

    values: np.ndarray
    units: np.ndarray
    segments: np.ndarray
    resolved: np.ndarray
    pieces: np.ndarray


def _cut(intervals: Intervals, crossings: Crossings, centers: np.ndarray) -> tuple[Intervals, np.ndarray]:
    """Intervals cut where breakpoints are reached; of breakpoints that are too close to be told apart, once."""
    tolerance = crossings.tolerance / np.abs(crossings.slopes[:, 0])
    at = centers[crossings.cell, 0] - crossings.values / crossings.slopes[:, 0]
    inside = (at > intervals.lower[crossings.cell] + tolerance) & (at < intervals.upper[crossings.cell] - tolerance)
    cell, at, label = crossings.cell[inside], at[inside], crossings.label[inside]
    order = np.lexsort((at, cell))
    cell, at, label = cell[order], at[order], label[order]
    distinct = np.ones(len(at), bool)
    distinct[1:] = (np.diff(cell) > 0) | (np.diff(at) > POSITION)
    index = np.concatenate([np.arange(len(intervals)), cell[distinct]])
    lower = np.concatenate([intervals.lower, at[distinct]])
    units = np.concatenate([intervals.units, label[distinct]])
    order = np.lexsort((lower, index))
    index, lower, units = index[order], lower[order], units[order]
    last = np.diff(index, append=-1) != 0
    upper = np.where(last, intervals.upper[index], np.roll(lower, -1))
    return Intervals(lower, upper, intervals.segments[index], units), index


def _swept(
    staged, parameters, cells, carry, centers, limit, enter=None
) -> tuple[Intervals, np.ndarray, np.ndarray, np.ndarray]:
    """All intervals in order: values at their middles, slopes in p, signatures."""
    n = len(cells)
    start = Waiting(0, cells, carry, centers, np.arange(n), np.zeros((n, 2)))
    found = sweep(staged, parameters, start, _cut, limit, enter)
    fields = [field.name for field in dataclasses.fields(Intervals)]
    intervals = Intervals(*(np.concatenate([getattr(part.cells, name) for part in found]) for name in fields))
    values, gradients, signatures = (
        np.concatenate([getattr(part, name) for part in found]) for name in ("values", "gradients", "signatures")
    )
    order = np.lexsort((intervals.lower, intervals.segments))
    return intervals[order], values[order], gradients[order, 0], signatures[order]


def exact(staged: Staged, parameters: Parameters, ends: np.ndarray, limit: int) -> Breakpoints:
    """Of a piecewise-linear model, along segments with these ends (s, 2, …)."""
    s = len(ends)
    middles, halves = ends.mean(axis=1), (ends[:, 1] - ends[:, 0]) / 2
    carry = Carry((jnp.asarray(middles),), (jnp.asarray(halves[:, None]),), ())
    whole = Intervals(np.full(s, -1.0), np.full(s, 1.0), np.arange(s), np.full(s, START, np.int32))
    intervals, values, slopes, _ = _swept(staged, parameters, whole, carry, np.zeros((s, 1)), limit)
    inner = intervals.units != START
    pieces = np.stack([2 * slopes, values - slopes * (1 + intervals.centers)], axis=2)
    return Breakpoints(
        (1 + intervals.lower[inner]) / 2,
        intervals.units[inner],
        intervals.segments[inner],
        np.ones(int(inner.sum()), bool),
        pieces,
    )


def interpolated(staged: Staged, parameters: Parameters, ends: np.ndarray, tolerance: float, limit: int) -> Breakpoints:
    """Of a model with a curved encoding: on an interpolant of it, and then on the network itself."""
    s = len(ends)

    def place(segment, p):
        t = (1 + p.reshape(-1, *(1,) * (ends.ndim - 2))) / 2
        return ends[segment, 0] * (1 - t) + ends[segment, 1] * t

    interpolant = Interpolant(staged, parameters, place, 1)
    counts = segment_pieces(interpolant, s, tolerance, limit)
    points = [nodes(count) for count in counts.tolist()]
    lower, upper = (np.concatenate(part) for part in zip(*((p[:-1], p[1:]) for p in points), strict=True))
    segments = np.repeat(np.arange(s), [len(p) - 1 for p in points])
    units = np.where(np.diff(segments, prepend=-1) > 0, START, SEAM).astype(np.int32)
    cells = Intervals(lower, upper, segments, units)

    def enter(cells, centers, size):
        corners = np.stack([cells.lower, cells.upper], axis=1)[:, :, None]
        return interpolant.enter(cells.segments, corners, centers, size)

    intervals, _, _, signatures = _swept(staged, parameters, cells, None, np.zeros((len(cells), 1)), limit, enter)
    same = np.all(signatures == np.roll(signatures, 1, axis=0), axis=1)
    intervals = intervals[(intervals.units != START) & ~((intervals.units == SEAM) & same)]
    lengths = 2 / counts[intervals.segments]
    p, resolved = _polished(staged, parameters, place, intervals, lengths)
    order = np.lexsort((p, intervals.segments))
    p, resolved, intervals = p[order], resolved[order], intervals[order]
    distinct = np.ones(len(p), bool)
    distinct[1:] = (np.diff(p) > POSITION) | (np.diff(intervals.segments) > 0)
    p, resolved, intervals = p[distinct], resolved[distinct], intervals[distinct]
    pieces = _chords(staged, parameters, place, p, intervals.segments, s)
    return Breakpoints((1 + p) / 2, intervals.units, intervals.segments, resolved, pieces)


@functools.partial(jax.jit, static_argnames="staged")
def _newton(staged: Staged, parameters: Parameters, start: Array, direction: Array, unit: Array) -> Array:
    """How far to go along the direction until a unit reaches its breakpoint, by the tangent."""

    def one(x, along, number):
        (s, _), (ds, _) = jax.jvp(lambda x: evaluate(staged, parameters, x), (x,), (along,))
        return jnp.where(ds[number] == 0, jnp.inf, -s[number] / ds[number])

    return jax.vmap(one)(start, direction, unit)


@functools.partial(jax.jit, static_argnames="staged")
def _outputs(staged: Staged, parameters: Parameters, x: Array) -> Array:
    return jax.vmap(lambda xi: evaluate(staged, parameters, xi)[1])(x)


def _batches(staged: Staged, n: int) -> list[tuple[slice, int]]:
    size = min(n, max(1, ENTRIES // max(staged.layer_offsets[-1], 1)))
    return [(slice(i, min(i + size, n)), size) for i in range(0, n, size)]


def _polished(staged, parameters, place, intervals: Intervals, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The breakpoints on the network itself, and which of them were found there: others stay where they are."""
    p, resolved = intervals.lower.copy(), np.zeros(len(intervals), bool)
    for rows, size in _batches(staged, len(p)):
        segment, unit, at = intervals.segments[rows], np.maximum(intervals.units[rows], 0), p[rows].copy()
        direction = place(segment, at[:, None] + 1) - place(segment, at[:, None])
        fixed_part = jnp.asarray(padded(direction, size)), jnp.asarray(padded(unit, size))
        step = np.full(len(at), np.inf)
        for _ in range(STEPS):
            x = jnp.asarray(padded(place(segment, at[:, None]), size))
            step = np.asarray(_newton(staged, parameters, x, *fixed_part))[: len(at)]
            at = np.clip(at + np.where(np.isfinite(step), step, 0.0), -1.0, 1.0)
            if np.all(np.abs(step) <= POSITION / 4):
                break
        near = (np.abs(step) <= POSITION) & (np.abs(at - p[rows]) <= lengths[rows]) & (np.abs(at) < 1)
        good = near & (intervals.units[rows] >= 0)
        p[rows] = np.where(good, at, p[rows])
        resolved[rows] = good
    return p, resolved


def _chords(staged, parameters, place, p: np.ndarray, segments: np.ndarray, s: int) -> np.ndarray:
    """a t + b through the values of the network at both ends of every interval."""
    all_segments = np.concatenate([segments, np.arange(s), np.arange(s)])
    ends = np.concatenate([p, np.full(s, -1.0), np.full(s, 1.0)])
    order = np.lexsort((ends, all_segments))
    ends, all_segments = ends[order], all_segments[order]
    f = np.concatenate(
        [
            np.asarray(
                _outputs(staged, parameters, jnp.asarray(padded(place(all_segments[r], ends[r][:, None]), size)))
            )[: r.stop - r.start]
            for r, size in _batches(staged, len(ends))
        ]
    )
    t = (1 + ends) / 2
    first = np.flatnonzero(all_segments[:-1] == all_segments[1:])
    slopes = (f[first + 1] - f[first]) / (t[first + 1] - t[first])[:, None]
    return np.stack([slopes, f[first] - slopes * t[first][:, None]], axis=2)
