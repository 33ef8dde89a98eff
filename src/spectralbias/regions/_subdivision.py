"""The vertices and edges that the polygons of a subdivision share."""

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# In units of half a side of the window.
ANY_LINES = 4e-12  # corners of several lines through one point
SAME_LINES = 1e-8  # corners between the same two lines: where these are nearly parallel, rounding moves their crossing
SHARE = 1e-2  # but no more than this much of the edges there
DIRECTIONS = np.array([[0.8191, 0.5737], [-0.2931, 0.9561]])  # in which no two corners of a grid are level


class Subdivision(eqx.Module):
    """Distinct vertices and edges of a window that is divided into polygons.

    With F polygons, `len(vertices) - len(edges) + F` is 1: Euler's formula without the outer face.

    Attributes:
        vertices: (V, 2), in plane coordinates.
        edges: numbers of two vertices each, (E, 2).
        labels: which breakpoint of which unit an edge belongs to, (E,); negative on the boundary of the window.
        sides: the two polygons beside an edge, (E, 2); -1 for none.
        corners: the vertex at every corner of the polygons, (corners,).
    """

    vertices: Float[np.ndarray, "V 2"]
    edges: Int[np.ndarray, "E 2"]
    labels: Int[np.ndarray, " E"]
    sides: Int[np.ndarray, "E 2"]
    corners: Int[np.ndarray, " corners"]


def subdivision(
    corners: np.ndarray, offsets: np.ndarray, labels: np.ndarray, middle: np.ndarray, half: np.ndarray
) -> Subdivision:
    """The distinct vertices and edges of polygons.

    Args:
        corners: of all polygons, one after the other, (corners, 2).
        offsets: where each polygon begins, (polygons + 1,).
        labels: of the edge after every corner, (corners,).
        middle: of the window.
        half: of the sides of the window.

    Cost and precision:
        Two sorts of all corners. Corners between the same two lines are one vertex within 1e-8 of half a side of the
        window and a hundredth of the edges there, any corners within 4e-12.
    """
    counts = np.diff(offsets)
    total = offsets[-1]
    polygon = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(total)
    after, before = place + 1, place - 1
    after[offsets[1:] - 1] = offsets[:-1]
    before[offsets[:-1]] = offsets[1:] - 1
    points = (corners - middle) / half
    here, there = labels[before].astype(np.int64), labels.astype(np.int64)
    lowest = min(int(labels.min(initial=0)), 0)
    span = int(labels.max(initial=0)) - lowest + 1
    lines = (np.minimum(here, there) - lowest) * span + np.maximum(here, there) - lowest
    lengths = np.max(np.abs(points[after] - points), axis=1)
    near = np.clip(SHARE * np.minimum(lengths, lengths[before]), ANY_LINES, SAME_LINES)
    _, cluster = _linked(points, near, lines)
    first = np.unique(cluster, return_index=True)[1]
    count, merged = _linked(points[first], np.full(len(first), ANY_LINES))
    vertex = merged[cluster]
    where = np.empty((count, 2))
    where[vertex] = corners
    ends = np.stack([vertex, vertex[after]], axis=1)
    kept = np.flatnonzero(ends[:, 0] != ends[:, 1])
    ordered = np.sort(ends[kept], axis=1)
    keys = ordered[:, 0] * np.int64(count) + ordered[:, 1]
    by_edge = np.argsort(keys, kind="stable")
    new = np.diff(keys[by_edge], prepend=-1) > 0
    edge = np.cumsum(new) - 1
    chosen = kept[by_edge]
    sides = np.full((int(new.sum()), 2), -1)
    sides[edge[~new], 1] = polygon[chosen[~new]]
    sides[edge[new], 0] = polygon[chosen[new]]
    return Subdivision(where, ends[chosen[new]], labels[chosen[new]], sides, vertex)


def _linked(points: np.ndarray, distance: np.ndarray, groups: np.ndarray | None = None) -> tuple[int, np.ndarray]:
    """Clusters of points of one group that are this close, by neighbors in the order along two directions."""
    links = []
    for direction in DIRECTIONS:
        along = points @ direction
        order = np.argsort(along, kind="stable") if groups is None else np.lexsort((along, groups))
        apart = np.max(np.abs(np.diff(points[order], axis=0)), axis=1, initial=0.0)
        near = apart <= np.minimum(distance[order[1:]], distance[order[:-1]])
        if groups is not None:
            near &= np.diff(groups[order]) == 0
        links.append(np.stack([order[:-1][near], order[1:][near]]))
    rows, columns = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(points), len(points)))
    count, cluster = connected_components(graph, directed=False)
    return count, cluster.astype(np.int64)
