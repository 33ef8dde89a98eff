"""The linear regions of a network in a window of a plane, exactly."""

import enum
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, Int, PyTree

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError
from . import _arrangement
from ._polygons import exact, interpolated
from ._stages import staged_model
from ._subdivision import Subdivision, subdivision


class RegionsStatus(enum.Enum):
    """What the regions are regions of."""

    exact = "every region of the network was found"
    interpolated = "the regions are those of the network behind a piecewise-linear interpolant of its encoding"


class PlaneRegions(eqx.Module):
    """The linear regions of a network in a window of a plane.

    Attributes:
        vertices: corners of all polygons, one polygon after the other, counterclockwise, (corners, 2), in plane
            coordinates (u, v).
        offsets: polygon i has the corners offsets[i] to offsets[i + 1], (polygons + 1,).
        edges: of the edge after each corner, the breakpoint of a unit that is reached there, (corners,); negative on
            the boundary of the window. They are numbered as the bits of `activation_patterns`, layer by layer.
        polygon_areas: of every polygon, (polygons,), in units of the plane.
        points: a point inside each, (polygons, 2): the mean of its corners.
        maps: f = A (u, v, 1) in each, (polygons, c, 3), with c = 1 for a scalar model.
        cells: the region that each polygon belongs to, (polygons,). Where the network is piecewise linear each polygon
            is a region. Behind a curved encoding a region consists of the polygons of one pattern that touch each other
            on neighboring pieces of the interpolant.
        layer_offsets: layer l has the units' breakpoints layer_offsets[l] to layer_offsets[l + 1].
        lower: corner of the window.
        upper: opposite corner of the window.
        tolerance: error of the interpolated encoding that was allowed; 0 where the regions are exact.
        method: how the regions were found.
        precision: the dtype of all computations.
        status: a `RegionsStatus`.
    """

    vertices: Float[np.ndarray, "corners 2"]
    offsets: Int[np.ndarray, " polygons_1"]
    edges: Int[np.ndarray, " corners"]
    polygon_areas: Float[np.ndarray, " polygons"]
    points: Float[np.ndarray, "polygons 2"]
    maps: Float[np.ndarray, "polygons c 3"]
    cells: Int[np.ndarray, " polygons"]
    layer_offsets: tuple[int, ...] = eqx.field(static=True)
    lower: tuple[float, float] = eqx.field(static=True)
    upper: tuple[float, float] = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: RegionsStatus = eqx.field(static=True)
    _mesh: tuple[np.ndarray, np.ndarray]
    _lines: Float[np.ndarray, "nodes 3"]
    _children: Int[np.ndarray, "nodes 2"]

    @property
    def count(self) -> int:
        """Number of regions: connected parts of the window with one activation pattern."""
        return int(self.cells.max()) + 1

    @property
    def areas(self) -> Float[np.ndarray, " count"]:
        """Of every region, (count,), in units of the plane."""
        return np.bincount(self.cells, self.polygon_areas)

    @property
    def polygons(self) -> list[np.ndarray]:
        """Corners (v, 2) of every polygon."""
        return [self.vertices[a:b] for a, b in itertools.pairwise(self.offsets.tolist())]

    @functools.cached_property
    def subdivision(self) -> Subdivision:
        """The distinct vertices and edges of all polygons; computed once."""
        middle, half = _middle(np.array(self.lower), np.array(self.upper))
        return subdivision(self.vertices, self.offsets, self.edges, middle, half)

    @property
    def num_vertices(self) -> int:
        """Number of distinct vertices V."""
        return len(self.subdivision.vertices)

    @property
    def num_edges(self) -> int:
        """Number of distinct edges E, those on the boundary of the window included.

        V - E + (number of polygons) = 1 where the network is continuous: where it jumps, edges of both sides differ.
        """
        return len(self.subdivision.edges)

    @property
    def segments(self) -> Float[np.ndarray, "k 2 2"]:
        """Both ends of every edge between two regions, (k, 2, 2): what a figure draws."""
        found = self.subdivision
        return found.vertices[found.edges[self.between]]

    @property
    def segment_layers(self) -> Int[np.ndarray, " k"]:
        """The layer whose unit makes each of the `segments`, from 0."""
        return np.searchsorted(self.layer_offsets, self.subdivision.labels[self.between], side="right") - 1

    @property
    def between(self) -> Bool[np.ndarray, " E"]:
        """Which edges of the `subdivision` have different regions on both sides, (E,)."""
        one, other = self.subdivision.sides.T
        inner = self.subdivision.labels >= 0  # one side only: the network jumps, and edges of both sides differ
        return np.where(other >= 0, self.cells[one] != self.cells[other], inner)

    def locate(self, points: ArrayLike | Sequence) -> Int[np.ndarray, " n"]:
        """The polygon that contains each point (n, 2) of the window.

        Raises:
            InputError: points of another shape, outside the window, or not finite.

        Cost and precision:
            About 30 comparisons a point. A point within 1e-12 of a boundary may go to either side.
        """
        where = finite_array("points", points, ndim=2)
        if where.shape[1] != 2:
            raise InputError(f"`points` must have shape (n, 2), got {where.shape}")
        if np.any(where < self.lower) or np.any(where > self.upper):
            raise InputError(f"`points` must lie in the window from {self.lower} to {self.upper}")
        middle, half = _middle(np.array(self.lower), np.array(self.upper))
        inside = (where - middle) / half
        u, v = (np.searchsorted(ends, p, side="right") for ends, p in zip(self._mesh, inside.T, strict=True))
        return _arrangement.locate(self._lines, self._children, inside, u * (len(self._mesh[1]) + 1) + v)


def plane_regions(
    model: PyTree,
    lower: ArrayLike | Sequence,
    upper: ArrayLike | Sequence,
    *,
    origin: ArrayLike | Sequence | None = None,
    axes: ArrayLike | Sequence | None = None,
    tolerance: float = 1e-3,
    max_regions: int = 3_000_000,
) -> PlaneRegions:
    """The linear regions of a network in a window of a plane, exactly.

    A network of piecewise-linear units is one affine map f = A (u, v, 1) in each region, a convex polygon: the units'
    activation pattern is the same in all of it, and another one in every other region. Regions show where the network
    can bend. Where there are few, it cannot follow the detail of a signal, and counting patterns on a grid of pixels
    misses most of them where there are many.

    The point of the plane with coordinates (u, v) is x = origin + u axes[0] + v axes[1].

    Args:
        model: any callable pytree that maps one input to () or (c,), whose nonlinearities are elementwise and piecewise
            linear (ReLU, leaky ReLU, abs, hard-tanh, in any spelling), with layers of any kind.
        lower: least (u, v) of the window; a number for both.
        upper: greatest (u, v) of the window.
        origin: an input x of the model. By default the model has two inputs, and the plane is all of them.
        axes: two inputs of the model: directions that span the plane, of any length and angle.
        tolerance: where the input is bent before the first unit, by an encoding in sines and cosines, this encoding is
            replaced by an interpolant, affine on each piece of a mesh, and the regions are exact for that. What enters
            the first units is off by this much at most, relative to its root mean square. Not used where the model is
            piecewise linear.
        max_regions: more polygons are an error: they would fill the memory.

    Returns:
        `PlaneRegions`. A unit that equals a breakpoint in a whole region counts to the piece below it.

    Raises:
        InputError: a model that compares entries (max pooling, sorting), or that is not piecewise linear behind its
            first units: what it is that is not is named; an empty window; arguments of wrong shape or not finite; more
            than `max_regions` polygons.

    Cost and precision:
        All in float64. Each region costs one product with every layer's matrix, of three columns: on two cores 3 s for
        1.4e5 regions of a network 4 x 256 and 18 s for 6e5 of one 4 x 512. Memory: about 1.5 kB for each region. A
        corner is off by rounding only, 1e-15 to 1e-13 of the window. Lines that are closer to a corner than 1e-12 of
        half a side of the window go through it, so that smaller cells are not seen; so are units whose values are below
        1e-15 of the largest in their layer. Compiled once for every structure of a model. Behind a curved encoding the
        error of the interpolant is bounded by second derivatives on a grid and measured at the middles of a thousand
        pieces; the number of pieces is proportional to 1/tolerance and to the square of the highest frequency, so that
        many octaves need a small window.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, "scalar", 16, 2, parameterization="torch", key=jax.random.key(0))
        >>> found = regions.plane_regions(model, -1.0, 1.0)
        >>> round(float(found.areas.sum()), 9), found.num_vertices - found.num_edges + found.count
        (4.0, 1)
        >>> bool(found.locate(found.points[:3]).tolist() == [0, 1, 2])
        True

    References:
        Lazzari & Liu 2023 (activation regions); Serra, Tjandraatmadja & Ramalingam 2018 (counting linear regions);
        Hanin & Rolnick 2019, Complexity of Linear Regions in Deep Networks (regions in a plane). The paper counts
        patterns on the samples; here is every region.
    """
    corner, opposite, start, directions = _arguments(lower, upper, origin, axes)
    positive("tolerance", tolerance)
    limit = whole("max_regions", max_regions, 1)
    middle, half = _middle(corner, opposite)
    wide = (2, *(1,) * start.ndim)
    at = start + np.sum(middle.reshape(wide) * directions, axis=0)
    halves = half.reshape(wide) * directions
    with jax.enable_x64(True):
        staged, parameters = staged_model(model, start.shape)
        found = (
            exact(staged, parameters, at, halves, limit)
            if staged.exact
            else interpolated(staged, parameters, at, halves, tolerance, limit)
        )
    polygons, tree = found.polygons, found.tree
    points = middle + half * found.centers
    slopes = found.slopes / half
    constants = found.values - np.einsum("ncd,nd->nc", slopes, points)
    method = "polygons cut layer by layer by the lines on which units reach a breakpoint"
    return PlaneRegions(
        vertices=middle + half * polygons.corners[polygons.valid],
        offsets=np.concatenate([[0], np.cumsum(polygons.counts)]),
        edges=polygons.labels[polygons.valid],
        polygon_areas=polygons.areas * np.prod(half),
        points=points,
        maps=np.concatenate([slopes, constants[..., None]], axis=2),
        cells=found.cells,
        layer_offsets=staged.layer_offsets,
        lower=(float(corner[0]), float(corner[1])),
        upper=(float(opposite[0]), float(opposite[1])),
        tolerance=0.0 if staged.exact else tolerance,
        method=method if staged.exact else f"{method}, on each piece of an interpolant of the encoding",
        precision="float64",
        status=RegionsStatus.exact if staged.exact else RegionsStatus.interpolated,
        _mesh=found.mesh,
        _lines=tree.lines,
        _children=tree.children,
    )


def _arguments(lower: Any, upper: Any, origin: Any, axes: Any) -> tuple[np.ndarray, ...]:
    """The window's corners (2,), the origin and the two axes of the plane."""
    corners = []
    for name, value in (("lower", lower), ("upper", upper)):
        pair = finite_array(name, value, ndim=(0, 1))
        if pair.shape not in ((), (2,)):
            raise InputError(f"`{name}` must be a number or two, got shape {pair.shape}")
        corners.append(np.broadcast_to(pair, (2,)))
    if np.any(corners[0] >= corners[1]):
        raise InputError(f"the window is empty: `lower` {corners[0]} must be below `upper` {corners[1]}")
    if (origin is None) != (axes is None):
        raise InputError("give both `origin` and `axes`, or neither for the plane of two inputs")
    if origin is None or axes is None:
        return *corners, np.zeros(2), np.eye(2)
    start, directions = finite_array("origin", origin), finite_array("axes", axes)
    if directions.shape != (2, *start.shape):
        raise InputError(
            f"`axes` must be two directions like `origin`, of shape {(2, *start.shape)}, got {directions.shape}"
        )
    if np.linalg.matrix_rank(directions.reshape(2, -1)) < 2:
        raise InputError("`axes` must be two independent directions: these do not span a plane")
    return *corners, start, directions


def _middle(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the window and half of its sides: all is computed in the coordinates in which it is [-1, 1]²."""
    return (lower + upper) / 2, (upper - lower) / 2
