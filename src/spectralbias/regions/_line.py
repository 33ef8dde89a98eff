"""The linear regions that a segment passes through: every breakpoint of a network along it."""

import dataclasses
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, Int, PyTree

from .._core.checks import finite_array, positive
from .._core.errors import InputError
from ._plane import RegionsStatus
from ._stages import Carry, staged_model
from ._sweep import POSITION, Crossings, Waiting, sweep


class LineRegions(eqx.Module):
    """The linear regions along segments x(t) = start + t (end - start), t in [0, 1].

    What is there for one segment is a tuple, one entry for each segment, where many were given.

    Attributes:
        values: breakpoints of all segments, one segment after the other, (total,), ascending for each.
        units: the breakpoint of a unit that is reached there, (total,); one of them where there are several. They are
            numbered layer by layer.
        offsets: segment i has the breakpoints offsets[i] to offsets[i + 1], (s + 1,).
        pieces: f = a t + b between breakpoints, (total + s, c, 2), with c = 1 for a scalar model.
        layer_offsets: layer l has the units' breakpoints layer_offsets[l] to layer_offsets[l + 1].
        single: whether one segment was given, and not a batch of them.
        tolerance: error of the interpolated encoding that was allowed; 0 where the regions are exact.
        method: how the breakpoints were found.
        precision: the dtype of all computations.
        status: a `RegionsStatus`.
    """

    values: Float[np.ndarray, " total"]
    units: Int[np.ndarray, " total"]
    offsets: Int[np.ndarray, " s_1"]
    pieces: Float[np.ndarray, "total_s c 2"]
    layer_offsets: tuple[int, ...] = eqx.field(static=True)
    single: bool = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: RegionsStatus = eqx.field(static=True)

    @property
    def breakpoints(self) -> Any:
        """Where the activation pattern changes, 0 < t < 1, ascending: (k,), or one such array for each segment."""
        return self._by_segment(self.values, self.offsets)

    @property
    def maps(self) -> Any:
        """f = a t + b between breakpoints: (k + 1, c, 2), or one such array for each segment."""
        return self._by_segment(self.pieces, self.offsets + np.arange(len(self.offsets)))

    @property
    def layers(self) -> Any:
        """The layer of the unit that makes each breakpoint, from 0: (k,), or one such array for each segment."""
        return self._by_segment(np.searchsorted(self.layer_offsets, self.units, side="right") - 1, self.offsets)

    @property
    def counts(self) -> Int[np.ndarray, " s"]:
        """Number of regions along each segment: one more than it has breakpoints."""
        return np.diff(self.offsets) + 1

    def _by_segment(self, values: np.ndarray, offsets: np.ndarray) -> Any:
        parts = tuple(values[a:b] for a, b in itertools.pairwise(offsets.tolist()))
        return parts[0] if self.single else parts


@dataclasses.dataclass(frozen=True, eq=False)
class _Intervals:
    """Parts of segments, in the coordinate p = 2t - 1; `unit` is what made the lower end."""

    lower: np.ndarray
    upper: np.ndarray
    segment: np.ndarray
    unit: np.ndarray

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index) -> "_Intervals":
        return _Intervals(self.lower[index], self.upper[index], self.segment[index], self.unit[index])

    @property
    def centers(self) -> np.ndarray:
        return (self.lower + self.upper)[:, None] / 2

    @property
    def radii(self) -> np.ndarray:
        return (self.upper - self.lower) / 2


def _cut(intervals: _Intervals, crossings: Crossings, centers: np.ndarray) -> tuple[_Intervals, np.ndarray]:
    """Intervals cut where breakpoints are reached; of breakpoints that are too close to be told apart, once."""
    tolerance = crossings.tolerance / np.abs(crossings.slopes[:, 0])
    at = centers[crossings.cell, 0] - crossings.values / crossings.slopes[:, 0]
    inside = (at > intervals.lower[crossings.cell] + tolerance) & (at < intervals.upper[crossings.cell] - tolerance)
    cell, at, label = crossings.cell[inside], at[inside], crossings.label[inside]
    order = np.lexsort((at, cell))
    cell, at, label = cell[order], at[order], label[order]
    distinct = np.ones(len(at), bool)
    distinct[1:] = (np.diff(cell) > 0) | (np.diff(at) > POSITION)
    cell, at, label = cell[distinct], at[distinct], label[distinct]
    index = np.concatenate([np.arange(len(intervals)), cell])
    lower = np.concatenate([intervals.lower, at])
    unit = np.concatenate([intervals.unit, label])
    order = np.lexsort((lower, index))
    index, lower, unit = index[order], lower[order], unit[order]
    last = np.diff(index, append=-1) != 0
    upper = np.where(last, intervals.upper[index], np.roll(lower, -1))
    return _Intervals(lower, upper, intervals.segment[index], unit), index


def line_regions(model: PyTree, start: ArrayLike, end: ArrayLike, *, tolerance: float = 1e-3) -> LineRegions:
    """Every breakpoint of a network along a segment, or along many: x(t) = start + t (end - start), t in [0, 1].

    Between two breakpoints the network is one affine map f = a t + b: its activation pattern is the same all along, and
    another one on every other interval. The number of intervals says how often the network can bend between two points.

    Args:
        model: as for `plane_regions`.
        start: (dim,), or (s, dim) for many segments at once.
        end: of the same shape.
        tolerance: not used where the model is piecewise linear.

    Returns:
        `LineRegions`, with `breakpoints`, `maps` and `counts`. Of breakpoints that are closer together than 1e-12 there
        is one.

    Raises:
        InputError: a model that is not piecewise linear, or that compares entries (max pooling, sorting), which is
            named; a segment without length; arguments of wrong shape or not finite.

    Cost and precision:
        All in float64: breakpoints are off by rounding only, 1e-15 to 1e-13. Each interval costs one product with every
        layer's matrix, of two columns: 0.4 s for 5e4 intervals of a network 3 x 32. Compiled once for every structure
        of a model.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(3, "scalar", 32, 2, parameterization="torch", key=jax.random.key(0))
        >>> found = regions.line_regions(model, [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0])
        >>> found.maps.shape == (len(found.breakpoints) + 1, 1, 2)
        True

    References:
        Hanin & Rolnick 2019, Complexity of Linear Regions in Deep Networks (regions along a line); Lazzari & Liu 2023.
    """
    first, last = finite_array("start", start), finite_array("end", end)
    if first.shape != last.shape:
        raise InputError(f"`start` and `end` must have one shape, got {first.shape} and {last.shape}")
    if first.ndim not in (1, 2) or first.size == 0:
        raise InputError(f"`start` must have shape (dim,), or (s, dim) for many segments, got {first.shape}")
    single = first.ndim == 1
    first, last = np.atleast_2d(first), np.atleast_2d(last)
    if np.any(np.all(first == last, axis=1)):
        raise InputError("`start` and `end` are one point: a segment must have a length")
    positive("tolerance", tolerance)
    s = len(first)
    with jax.enable_x64(True):
        staged, fixed = staged_model(model, first.shape[1:])
        carry = Carry((jnp.asarray((first + last) / 2),), (jnp.asarray(((last - first) / 2)[:, None]),), ())
        whole = _Intervals(np.full(s, -1.0), np.full(s, 1.0), np.arange(s), np.full(s, -1, np.int32))
        found = sweep(staged, fixed, Waiting(0, whole, carry, np.zeros((s, 1)), np.arange(s)), _cut, 10**8)
    intervals = _Intervals(
        *(np.concatenate([getattr(part.cells, f.name) for part in found]) for f in dataclasses.fields(_Intervals))
    )
    values, slopes = (np.concatenate([part[k] for part in found]) for k in (2, 3))
    order = np.lexsort((intervals.lower, intervals.segment))
    intervals, values, slopes = intervals[order], values[order], 2 * slopes[order, 0]
    inner = np.diff(intervals.segment, prepend=-1) == 0
    sizes = [len(stage.columns) for stage in staged.stages if stage.columns is not None]
    at = (1 + intervals.centers) / 2
    return LineRegions(
        values=(1 + intervals.lower[inner]) / 2,
        units=intervals.unit[inner],
        offsets=np.concatenate([[0], np.cumsum(np.bincount(intervals.segment, minlength=s) - 1)]),
        pieces=np.stack([slopes, values - slopes * at], axis=2),
        layer_offsets=tuple(int(n) for n in np.cumsum([0, *sizes])),
        single=single,
        tolerance=0.0,
        method="intervals cut layer by layer where units reach a breakpoint",
        precision="float64",
        status=RegionsStatus.exact,
    )
