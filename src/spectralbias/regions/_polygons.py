"""A window cut into the regions of a model: the whole of it, or every piece of an interpolant."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ._arrangement import Lines, Polygons, Tree, arrange, joined
from ._interpolant import Interpolant, Mesh, nodes, plane_mesh
from ._stages import Carry, Parameters, Staged
from ._subdivision import subdivision
from ._sweep import Crossings, Finished, Waiting, sweep

# In place of the number of a breakpoint: the sides of the window, and between pieces of an interpolant.
SIDES = np.array([-1, -2, -3, -4], np.int32)
ALONG_V, ALONG_U, DIAGONAL = -5, -6, -7


class Regions(NamedTuple):
    """Polygons in the window [-1, 1]², and the outputs at their centers: values (n, c) and slopes (n, c, 2)."""

    polygons: Polygons
    tree: Tree
    centers: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    cells: np.ndarray
    mesh: tuple[np.ndarray, np.ndarray]


def _cut(tree: Tree, polygons: Polygons, crossings: Crossings, centers: np.ndarray) -> tuple[Polygons, np.ndarray]:
    """Polygons cut by the lines where breakpoints are reached."""
    constants = crossings.values - np.sum(crossings.slopes * centers[crossings.cell], axis=1)
    coefficients = np.column_stack([crossings.slopes, constants])
    return arrange(polygons, Lines(crossings.cell, coefficients, crossings.tolerance, crossings.label), tree)


def _gathered(finished: list[Finished], tree: Tree) -> tuple[Polygons, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All polygons: their centers, values, slopes and signatures."""
    polygons = joined([part.cells for part in finished])
    centers, values, gradients, signatures = (np.concatenate(a) for a in zip(*(f[1:] for f in finished), strict=True))
    tree.close(polygons.slots)
    return polygons, centers, values, np.swapaxes(gradients, 1, 2), signatures


def exact(staged: Staged, parameters: Parameters, at: np.ndarray, halves: np.ndarray, limit: int) -> Regions:
    """The regions of a piecewise-linear model for the inputs at + p · halves, p in [-1, 1]²."""
    carry = Carry((jnp.asarray(at[None]),), (jnp.asarray(halves[None]),), ())
    tree = Tree(1)
    corners = np.array([[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]])
    window = Polygons(corners, np.array([4]), SIDES[None], np.array([1]))
    start = Waiting(0, window, carry, np.zeros((1, 2)), np.array([0]), np.zeros((1, 2)))
    finished = sweep(staged, parameters, start, functools.partial(_cut, tree), limit)
    polygons, centers, values, slopes, _ = _gathered(finished, tree)
    return Regions(polygons, tree, centers, values, slopes, np.arange(len(polygons)), (np.empty(0), np.empty(0)))


def interpolated(
    staged: Staged, parameters: Parameters, at: np.ndarray, halves: np.ndarray, tolerance: float, limit: int
) -> Regions:
    """The regions of a model with a curved encoding: on every piece of its interpolant."""

    def place(_, p):
        return at + np.tensordot(p, halves, 1)

    interpolant = Interpolant(staged, parameters, place, 2)
    mesh = plane_mesh(interpolant, tolerance, limit)
    tree = Tree(mesh.rectangles)
    pieces = _pieces(mesh, tree)
    n = len(pieces)

    def enter(cells, centers, size):
        third = 2 if mesh.triangles else 3
        return interpolant.enter(np.zeros(len(cells), int), cells.corners[:, [0, 1, third]], centers, size)

    start = Waiting(0, pieces, None, np.zeros((n, 2)), np.arange(n), np.zeros((n, 2)))
    finished = sweep(staged, parameters, start, functools.partial(_cut, tree), limit, enter)
    polygons, centers, values, slopes, signatures = _gathered(finished, tree)
    inner = tuple(nodes(m)[1:-1] for m in mesh.shape)
    return Regions(polygons, tree, centers, values, slopes, _cells(polygons, signatures), (inner[0], inner[1]))


def _pieces(mesh: Mesh, tree: Tree) -> Polygons:
    """The rectangles or triangles of a mesh."""
    number = np.arange(mesh.rectangles)
    corners = mesh.corners(number)
    columns = mesh.shape[1] + 1
    i, j = np.divmod(number, columns)
    labels = np.tile(np.array([ALONG_U, ALONG_V, ALONG_U, ALONG_V], np.int32), (len(number), 1))
    boundary = np.stack([j == 0, i == mesh.shape[0], j == columns - 1, i == 0], axis=1)
    labels = np.where(boundary, SIDES, labels)
    slots = 2 * number + 1
    if not mesh.triangles:
        return Polygons(corners, np.full(len(number), 4), labels, slots)
    a, b = corners[:, 0], corners[:, 2]
    du, dv = (b - a).T
    slots = tree.grow(slots, np.stack([-dv, du, dv * a[:, 0] - du * a[:, 1]], axis=1))
    diagonal = np.full(len(number), DIAGONAL, np.int32)
    below = np.stack([labels[:, 0], labels[:, 1], diagonal], axis=1)
    above = np.stack([diagonal, labels[:, 2], labels[:, 3]], axis=1)
    triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    return Polygons(triangles, np.full(len(triangles), 3), np.concatenate([below, above]), slots)


def _cells(polygons: Polygons, signatures: np.ndarray) -> np.ndarray:
    """Numbers of connected sets of polygons with one signature that share an edge between pieces."""
    valid = polygons.valid
    offsets = np.concatenate([[0], np.cumsum(polygons.counts)])
    found = subdivision(polygons.corners[valid], offsets, polygons.labels[valid], np.zeros(2), np.ones(2))
    one, other = found.sides[(found.labels <= ALONG_V) & (found.sides[:, 1] >= 0)].T
    same = np.all(signatures[one] == signatures[other], axis=1)
    one, other = one[same], other[same]
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(polygons), len(polygons)))
    return connected_components(graph, directed=False)[1].astype(np.int64)
