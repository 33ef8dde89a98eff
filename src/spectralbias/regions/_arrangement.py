"""Convex polygons cut by lines, all polygons of a batch at once.

A polygon is a row of corners, counterclockwise, padded with copies of its first corner. Every cut is kept in a tree:
which side of which line a point is on leads from the root to the polygon that contains it.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Polygons:
    """Convex polygons: corners (n, v, 2), of which the first counts[i] count, and a label of the edge after each.

    `slots` are their places in the tree, 2 · parent + side.
    """

    corners: np.ndarray
    counts: np.ndarray
    labels: np.ndarray
    slots: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index) -> "Polygons":
        return Polygons(self.corners[index], self.counts[index], self.labels[index], self.slots[index])

    @property
    def valid(self) -> np.ndarray:
        """Which corners count, (n, v)."""
        return np.arange(self.corners.shape[1]) < self.counts[:, None]

    @property
    def centers(self) -> np.ndarray:
        """The mean of the corners, an inner point."""
        return np.einsum("nvd,nv->nd", self.corners, self.valid) / self.counts[:, None]

    @property
    def radii(self) -> np.ndarray:
        """The distance of the farthest corner from the center, and a little more."""
        offsets = self.corners - self.centers[:, None]
        return np.sqrt(np.max(np.sum(offsets**2, axis=2), axis=1)) * (1 + 1e-6)

    @property
    def areas(self) -> np.ndarray:
        """Areas, by Gauss's formula from the first corner."""
        a = self.corners - self.corners[:, :1]
        b = np.roll(a, -1, axis=1)  # the padding is the first corner
        return np.sum(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], axis=1) / 2


@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """Lines a u + b v + c = 0 that cut polygons, sorted by polygon; a value within the tolerance is on the line."""

    polygon: np.ndarray
    coefficients: np.ndarray
    tolerance: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.polygon)

    def __getitem__(self, index) -> "Lines":
        return Lines(self.polygon[index], self.coefficients[index], self.tolerance[index], self.label[index])

    def at(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """a u + b v + c at one or more points for every line."""
        a, b, c = self.coefficients.T.reshape(3, -1, *(1,) * (u.ndim - 1))
        return a * u + b * v + c

    def values(self, polygons: Polygons) -> np.ndarray:
        """a u + b v + c at the corners of its polygon, for every line."""
        corners = polygons.corners[self.polygon]
        return self.at(corners[..., 0], corners[..., 1])

    def crossing(self, polygons: Polygons) -> "Lines":
        """Those lines that have a corner of their polygon on either side."""
        values = self.values(polygons)
        return self[(values.max(axis=1) > self.tolerance) & (values.min(axis=1) < -self.tolerance)]


_POLYGON, _LINE = (tuple(field.name for field in dataclasses.fields(kind)) for kind in (Polygons, Lines))


class Tree:
    """The cuts: node k has the line `lines[k]` and the children (below, above), the number of a node or ~ of a leaf."""

    def __init__(self, roots: int):
        """`roots` nodes that are no cuts: everything is above their line 0 u + 0 v + 1 = 0."""
        self._lines = np.tile([0.0, 0.0, 1.0], (max(2 * roots, 1024), 1))
        self._children = np.zeros((len(self._lines), 2), np.int32)
        self.size = roots

    @property
    def lines(self) -> np.ndarray:
        """Coefficients (nodes, 3)."""
        return self._lines[: self.size].copy()

    @property
    def children(self) -> np.ndarray:
        """Numbers (nodes, 2)."""
        return self._children[: self.size].copy()

    def grow(self, slots: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """A node for each cut, in these slots; the slots of all that is below, and then of all that is above."""
        first, self.size = self.size, self.size + len(lines)
        if self.size > len(self._lines):
            capacity = 2 * self.size - len(self._lines)
            self._lines = np.concatenate([self._lines, np.empty((capacity, 3))])
            self._children = np.concatenate([self._children, np.zeros((capacity, 2), np.int32)])
        numbers = np.arange(first, self.size)
        self._lines[numbers] = lines
        self._children.reshape(-1)[slots] = numbers
        return np.concatenate([2 * numbers, 2 * numbers + 1])

    def close(self, slots: np.ndarray) -> None:
        """Leaves 0, 1, … in these slots."""
        self._children.reshape(-1)[slots] = ~np.arange(len(slots))


def locate(lines: np.ndarray, children: np.ndarray, points: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """The leaf that contains each point, from the node where its search begins."""
    at, active = roots.astype(np.int32), np.arange(len(points))
    u, v = points[:, 0].copy(), points[:, 1].copy()
    while len(active):
        node = at[active]
        a, b, c = lines[node].T
        side = a * u[active] + b * v[active] + c > 0
        at[active] = children[node, side.astype(np.int8)]
        active = active[at[active] >= 0]
    return ~at


def arrange(polygons: Polygons, lines: Lines, tree: Tree) -> tuple[Polygons, np.ndarray]:
    """Cut every polygon by its lines.

    Args:
        polygons: n polygons.
        lines: the lines, each of which need not cut all of its polygon.
        tree: gets a node for each cut.

    Returns:
        The parts, and the number of the polygon that each is a part of.

    Cost and precision:
        In every round each polygon is cut by the line that is nearest to its center, and both parts keep those lines
        that still cross them. A part has corners beyond the tolerance of its cut, so that it has an area.
    """
    lines = lines.crossing(polygons)
    origin = np.arange(len(polygons))
    done: list[tuple[Polygons, np.ndarray]] = []
    while len(lines):
        waiting = np.zeros(len(polygons), bool)
        waiting[lines.polygon] = True
        done.append((polygons[~waiting], origin[~waiting]))
        lines = dataclasses.replace(lines, polygon=(np.cumsum(waiting) - 1)[lines.polygon])
        polygons, origin = polygons[waiting], np.tile(origin[waiting], 2)
        chosen = _nearest(lines, polygons.centers)
        below, above = _cut(polygons, lines[chosen], tree)
        left, right = (lines[~chosen].crossing(part) for part in (below, above))
        right = dataclasses.replace(right, polygon=right.polygon + len(below))
        lines = Lines(*(np.concatenate([getattr(part, field) for part in (left, right)]) for field in _LINE))
        polygons = joined([below, above])
    done.append((polygons, origin))
    return joined([part for part, _ in done]), np.concatenate([numbers for _, numbers in done])


def joined(parts: list[Polygons]) -> Polygons:
    """All polygons of several batches."""
    width = max(part.corners.shape[1] for part in parts)

    def widened(part: Polygons) -> Polygons:
        missing = width - part.corners.shape[1]
        corners = np.concatenate([part.corners, np.repeat(part.corners[:, :1], missing, axis=1)], axis=1)
        return dataclasses.replace(part, corners=corners, labels=np.pad(part.labels, ((0, 0), (0, missing))))

    rows = [part if part.corners.shape[1] == width else widened(part) for part in parts]
    return Polygons(*(np.concatenate([getattr(part, field) for part in rows]) for field in _POLYGON))


def _nearest(lines: Lines, centers: np.ndarray) -> np.ndarray:
    """For every polygon one of its lines, as a mask: the one nearest to its center."""
    center = centers[lines.polygon]
    distances = np.abs(lines.at(center[:, 0], center[:, 1])) / np.hypot(*lines.coefficients.T[:2])
    starts = np.flatnonzero(np.diff(lines.polygon, prepend=-1))
    hits = np.flatnonzero(distances == np.minimum.reduceat(distances, starts)[lines.polygon])
    chosen = np.zeros(len(lines), bool)
    chosen[hits[np.diff(lines.polygon[hits], prepend=-1) > 0]] = True
    return chosen


def _cut(polygons: Polygons, cuts: Lines, tree: Tree) -> tuple[Polygons, Polygons]:
    """Polygon i on both sides of line i: below it, and above it."""
    corners, valid, labels = polygons.corners, polygons.valid, polygons.labels
    n, width = labels.shape
    after = np.arange(1, width + 1)[None]
    after = np.where(after < polygons.counts[:, None], after, 0)
    rows = np.arange(n)[:, None]
    values = cuts.values(polygons)
    sign = np.sign(np.where(valid & (np.abs(values) > cuts.tolerance[:, None]), values, 0)).astype(np.int8)
    following = sign[rows, after]
    crossed = sign * following < 0
    share = np.divide(values, values - values[rows, after], out=np.zeros_like(values), where=crossed)
    between = corners + share[..., None] * (corners[rows, after] - corners)
    points = np.stack([corners, between], axis=2).reshape(n, 2 * width, 2)
    cut = np.broadcast_to(cuts.label[:, None], labels.shape)
    slots = np.split(tree.grow(polygons.slots, cuts.coefficients), 2)

    def side(own: int, slots: np.ndarray) -> Polygons:
        """Edges follow the cut from the corner, or the crossing, where the polygon leaves this side."""
        kept = np.stack([valid & (sign * own >= 0), crossed], axis=2).reshape(n, 2 * width)
        at_corner = np.where((sign == 0) & (following * own < 0), cut, labels)
        at_crossing = np.where(sign * own > 0, cut, labels)
        return _packed(kept, points, np.stack([at_corner, at_crossing], axis=2).reshape(n, 2 * width), slots)

    return side(-1, slots[0]), side(1, slots[1])


def _packed(kept: np.ndarray, points: np.ndarray, labels: np.ndarray, slots: np.ndarray) -> Polygons:
    """The kept points of every row moved to its beginning."""
    counts = kept.sum(axis=1)
    rows, columns = np.nonzero(kept)
    places = (np.cumsum(kept, axis=1) - 1)[rows, columns]
    first = points[np.arange(len(points)), kept.argmax(axis=1)]
    corners = np.repeat(first[:, None], counts.max(initial=3), axis=1)
    corners[rows, places] = points[rows, columns]
    packed = np.zeros(corners.shape[:2], labels.dtype)
    packed[rows, places] = labels[rows, columns]
    return Polygons(corners, counts, packed, slots)
