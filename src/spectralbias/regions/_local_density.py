"""Where a network has its regions: their number and the length of their boundaries in every pixel."""

from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from .._core.checks import whole
from .._core.errors import InputError, unknown
from ._line import LineRegions
from ._plane import PlaneRegions

Measure = Literal["regions", "boundary", "centers"]

ON_GRID = 1e-9  # in pixels


def region_density(
    regions: PlaneRegions | LineRegions, shape: tuple[int, int] | int, *, measure: Measure = "regions"
) -> Float[np.ndarray, "..."]:
    """How many linear regions there are in every pixel of the window, or in every part of a segment.

    Beside the error of a fit in the same pixels it says whether the network has regions where the signal has detail:
    inside one region it is affine, and cannot follow.

    Args:
        regions: of a window of a plane, or along segments.
        shape: (rows, columns) of pixels that divide the window: rows along u, the first coordinate, as in
            `problems.image`. For segments the number of equal parts.
        measure: `"regions"`: how many regions meet the pixel, 1 where it is inside one. `"boundary"`: the length of the
            boundaries between regions in it, over its area. `"centers"`: how many regions have their center in it, so
            that all of them add up to the number of regions. For segments: regions that meet the part; breakpoints over
            its length, in t; regions whose middle is in it.

    Returns:
        float64 array (rows, columns); (parts,) for a segment and (s, parts) for many.

    Raises:
        InputError: a shape that is not two whole numbers of 1 or more; an unknown measure.

    Cost and precision:
        Exact, from the pieces E of boundaries and the vertices V inside of a pixel: by Euler's formula it meets
        1 + E - V regions, since they are convex. Behind a curved encoding they are not, and a region that lies inside
        another one and inside the pixel is not counted. Where the network jumps, edges of both sides differ, and
        `"regions"` counts too many. One sort of all pieces.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, "scalar", 16, 2, parameterization="torch", key=jax.random.key(0))
        >>> found = regions.plane_regions(model, -1.0, 1.0)
        >>> density = regions.region_density(found, (8, 8))
        >>> density.shape, bool(density.min() >= 1)
        ((8, 8), True)
        >>> int(regions.region_density(found, (1, 1))[0, 0]) == found.count
        True

    References:
        Lazzari & Liu 2023 ask whether regions are where they are needed; Hanin & Rolnick 2019 (the density of
        boundaries).
    """
    if measure not in get_args(Measure):
        raise unknown("measure", measure, get_args(Measure))
    if isinstance(regions, LineRegions):
        return _line_density(regions, whole("shape", shape, 1), measure)
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise InputError(f"`shape` must be (rows, columns), got {shape!r}")
    rows, columns = (whole("shape", side, 1) for side in shape)
    lower, size = np.array(regions.lower), np.subtract(regions.upper, regions.lower)
    scale = np.array([rows, columns]) / size
    if measure == "centers":
        weights = regions.polygon_areas
        sums = [np.bincount(regions.cells, weights * regions.points[:, k]) for k in (0, 1)]
        inside = (np.stack(sums, axis=1) / regions.areas[:, None] - lower) * scale
        return _counted(inside, np.ones(len(inside)), (rows, columns))
    pieces = _split((regions.segments - lower) * scale)
    middles = pieces.mean(axis=1)
    lengths = np.linalg.norm((pieces[:, 1] - pieces[:, 0]) / scale, axis=1)
    if measure == "boundary":
        return _counted(middles, lengths, (rows, columns)) * np.prod(scale)
    found = regions.subdivision
    corners = np.unique(found.edges[regions.between])
    vertices = (found.vertices[corners] - lower) * scale
    inner, inside = (p[np.all(np.abs(p - np.round(p)) > ON_GRID, axis=1)] for p in (middles, vertices))
    counts = [_counted(p, np.ones(len(p)), (rows, columns)) for p in (inner, inside)]
    return 1 + counts[0] - counts[1]


def _counted(points: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The sum of the weights of all points in every pixel."""
    row, column = (np.clip(points[:, k].astype(int), 0, shape[k] - 1) for k in (0, 1))
    return np.bincount(row * shape[1] + column, weights, minlength=shape[0] * shape[1]).reshape(shape)


def _split(edges: np.ndarray) -> np.ndarray:
    """Edges (k, 2, 2) cut where they cross lines of whole coordinates: their pieces (p, 2, 2)."""
    k = len(edges)
    start, along = edges[:, 0], edges[:, 1] - edges[:, 0]
    numbers, shares = [np.arange(k), np.arange(k)], [np.zeros(k), np.ones(k)]
    for axis in (0, 1):
        ends = np.sort(edges[:, :, axis], axis=1)
        first, last = np.floor(ends[:, 0]) + 1, np.ceil(ends[:, 1]) - 1
        count = np.maximum(last - first + 1, 0).astype(int)
        number = np.repeat(np.arange(k), count)
        place = np.arange(len(number)) - np.repeat(np.cumsum(count) - count, count)
        numbers.append(number)
        shares.append((first[number] + place - start[number, axis]) / along[number, axis])
    number, share = np.concatenate(numbers), np.concatenate(shares)
    order = np.lexsort((share, number))
    number, share = number[order], share[order]
    points = start[number] + share[:, None] * along[number]
    pieces = np.stack([points[:-1], points[1:]], axis=1)[np.diff(number) == 0]
    return pieces[np.max(np.abs(pieces[:, 1] - pieces[:, 0]), axis=1) > 0]


def _line_density(regions: LineRegions, parts: int, measure: Measure) -> np.ndarray:
    s = len(regions.counts)
    segment = np.repeat(np.arange(s), regions.counts - 1)
    if measure == "centers":
        ends: list[Any] = [regions.breakpoints] if regions.single else list(regions.breakpoints)
        middles = [(np.append(0.0, t) + np.append(t, 1.0)) / 2 for t in ends]
        points, segment = np.concatenate(middles), np.repeat(np.arange(s), regions.counts)
    else:
        points = regions.values
    place = np.clip((points * parts).astype(int), 0, parts - 1)
    if measure == "regions":
        inner = np.abs(points * parts - np.round(points * parts)) > ON_GRID
        segment, place = segment[inner], place[inner]
    counts = np.bincount(segment * parts + place, minlength=s * parts).reshape(s, parts).astype(np.float64)
    counts = counts * parts if measure == "boundary" else counts + (measure == "regions")
    return counts[0] if regions.single else counts
