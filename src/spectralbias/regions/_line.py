"""The linear regions that a segment passes through: every breakpoint of a network along it."""

import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, Int, PyTree

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError
from ._intervals import exact, interpolated
from ._plane import RegionsStatus
from ._stages import staged_model


class LineRegions(eqx.Module):
    """The linear regions along segments x(t) = start + t (end - start), t in [0, 1].

    What is there for one segment is a tuple, one entry for each segment, where many were given.

    Attributes:
        values: breakpoints of all segments, one segment after the other, (total,), ascending for each.
        units: the breakpoint of a unit that is reached there, (total,); one of them where there are several. They are
            numbered layer by layer.
        offsets: segment i has the breakpoints offsets[i] to offsets[i + 1], (s + 1,).
        pieces: f = a t + b between breakpoints, (total + s, c, 2), with c = 1 for a scalar model. Where the encoding is
            curved: the chord through the values at both ends.
        resolved: whether a breakpoint is one of the network itself to rounding, (total,). It is not where it falls on
            the end of a piece of the interpolant, which is rare; then its unit is not known, either, and -2.
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
    resolved: Bool[np.ndarray, " total"]
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


def line_regions(
    model: PyTree,
    start: ArrayLike | Sequence,
    end: ArrayLike | Sequence,
    *,
    tolerance: float = 1e-3,
    max_regions: int = 10_000_000,
) -> LineRegions:
    """Every breakpoint of a network along a segment, or along many: x(t) = start + t (end - start), t in [0, 1].

    Between two breakpoints the network is one affine map f = a t + b: its activation pattern is the same all along, and
    another one on every other interval. The number of intervals says how often the network can bend between two points.

    Args:
        model: as for `plane_regions`.
        start: (dim,), or (s, dim) for many segments at once; (s, …) for models that want inputs of another shape.
        end: of the same shape.
        tolerance: of an encoding that is not piecewise linear, as for `plane_regions`. The breakpoints that are found
            behind its interpolant are then found on the network itself, and dropped where it has none: a coarser
            interpolant may miss pairs of close ones, those that are returned are exact.
        max_regions: more intervals, of all segments together, are an error: they would fill the memory.

    Returns:
        `LineRegions`, with `breakpoints`, `maps` and `counts`. Of breakpoints that are closer together than 1e-12 there
        is one.

    Raises:
        InputError: a model that compares entries (max pooling, sorting), or that is not piecewise linear behind its
            first units: what it is that is not is named; a segment without length; arguments of wrong shape or not
            finite; more than `max_regions` intervals.

    Cost and precision:
        All in float64: breakpoints are off by rounding only, 1e-15 to 1e-13. Each interval costs one product with every
        layer's matrix, of two columns: 0.2 s for 5e4 intervals of a network 3 x 32. Behind a curved encoding each
        breakpoint costs three evaluations of the network and of its derivative, too: 5 s for 1e5 of a network 4 x 128.
        Compiled once for every structure of a model.

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
    if first.ndim == 0 or first.size == 0:
        raise InputError(f"`start` must have shape (dim,), or (s, dim) for many segments, got {first.shape}")
    single = first.ndim == 1
    first, last = np.atleast_2d(first), np.atleast_2d(last)
    if np.any(np.all((first == last).reshape(len(first), -1), axis=1)):
        raise InputError("`start` and `end` are one point: a segment must have a length")
    positive("tolerance", tolerance)
    limit = whole("max_regions", max_regions, 1)
    ends = np.stack([first, last], axis=1)
    with jax.enable_x64(True):
        staged, parameters = staged_model(model, first.shape[1:])
        found = (
            exact(staged, parameters, ends, limit)
            if staged.exact
            else interpolated(staged, parameters, ends, tolerance, limit)
        )
    return LineRegions(
        values=found.values,
        units=found.units,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(found.segments, minlength=len(first)))]),
        pieces=found.pieces,
        resolved=found.resolved,
        layer_offsets=staged.layer_offsets,
        single=single,
        tolerance=0.0 if staged.exact else tolerance,
        method="intervals cut layer by layer where units reach a breakpoint"
        + ("" if staged.exact else ", behind an interpolant of the encoding; then Newton's method on the network"),
        precision="float64",
        status=RegionsStatus.exact if staged.exact else RegionsStatus.interpolated,
    )
