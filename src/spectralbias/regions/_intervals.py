"""Segments cut where units reach a breakpoint."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ._interpolant import Interpolant, nodes, segment_pieces
from ._polish import OnSegments
from ._stages import Carry, Parameters, Staged
from ._sweep import POSITION, Crossings, Waiting, sweep

START, SEAM = -1, -2  # in place of the number of a breakpoint


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
    network = OnSegments(staged, parameters, place)
    unit = np.maximum(intervals.units, 0)
    p, found = network.polished(intervals.segments, unit, intervals.lower, 2 / counts[intervals.segments])
    seams = intervals.units == SEAM  # a breakpoint that falls on one: which unit makes it is not known
    p, resolved = np.where(seams, intervals.lower, p), ~seams
    kept = np.flatnonzero(found | seams)
    kept = kept[np.lexsort((p[kept], intervals.segments[kept]))]
    kept = kept[(np.diff(p[kept], prepend=-2) > POSITION) | (np.diff(intervals.segments[kept], prepend=-1) > 0)]
    p, segments = p[kept], intervals.segments[kept]
    pieces = _chords(network, p, segments, s)
    return Breakpoints((1 + p) / 2, intervals.units[kept], segments, resolved[kept], pieces)


def _chords(network: OnSegments, p: np.ndarray, segments: np.ndarray, s: int) -> np.ndarray:
    """a t + b through the values of the network at both ends of every interval."""
    segments = np.concatenate([segments, np.arange(s), np.arange(s)])
    ends = np.concatenate([p, np.full(s, -1.0), np.full(s, 1.0)])
    order = np.lexsort((ends, segments))
    ends, segments = ends[order], segments[order]
    f, t = network.outputs(segments, ends), (1 + ends) / 2
    first = np.flatnonzero(segments[:-1] == segments[1:])
    slopes = (f[first + 1] - f[first]) / (t[first + 1] - t[first])[:, None]
    return np.stack([slopes, f[first] - slopes * t[first][:, None]], axis=2)
