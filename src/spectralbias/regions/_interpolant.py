"""Curved encodings: all before the first kink replaced by a piecewise-linear interpolant on a mesh.

On each piece of the mesh everything up to the first units is the affine function with the right values at the corners.
The mesh is so fine that what enters the kinks is off by less than a tolerance times its root mean square.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ._stages import Carry, Parameters, Stage, Staged, split
from ._sweep import batch_sizes, padded

SAMPLES = 1024  # points at which curvature is measured, and pieces whose error is
FEWEST = 4  # pieces along an axis of a window
FINER = 1.2
ROUNDS = 20


def _leaving(stage: Stage, fixed: list[Array], x: Array) -> tuple[Array, ...]:
    """The real variables that leave the first stage."""
    return split(stage.leaving, stage(fixed, [x]))[0]


@functools.partial(jax.jit, static_argnames="stage")
def _values(stage: Stage, fixed: list[Array], x: Array) -> tuple[Array, ...]:
    return jax.vmap(lambda xi: _leaving(stage, fixed, xi))(x)


@functools.partial(jax.jit, static_argnames="stage")
def _curvature(stage: Stage, fixed: list[Array], x: Array, directions: Array, scales: list[Array]) -> Array:
    """|∂²/∂p_a ∂p_b| of what leaves the first stage over its scale, the largest of all entries, (n, k, k)."""

    def one(xi, along):
        def moved(p):
            return _leaving(stage, fixed, xi + jnp.tensordot(p, along, 1))

        hessians = jax.jacfwd(jax.jacfwd(moved))(jnp.zeros(along.shape[0]))
        parts = [
            jnp.max(jnp.abs(h), axis=tuple(range(h.ndim - 2)), initial=0) / s
            for h, s in zip(hessians, scales, strict=True)
        ]
        return jnp.max(jnp.stack(parts), axis=0)

    return jax.vmap(one)(x, directions)


@functools.partial(jax.jit, static_argnames="stage")
def _affine(stage: Stage, fixed: list[Array], x: Array, inverse: Array, offset: Array, center: Array) -> Carry:
    """Values and tangents of the interpolant from those at k + 1 corners x (n, k + 1, …).

    `inverse` (n, k, k) is that of the matrix whose rows lead from the first corner to the others.
    """
    values, tangents = [], []
    corners = jax.vmap(jax.vmap(lambda xi: _leaving(stage, fixed, xi)))(x)
    for f in corners:
        t = jnp.einsum("nab,nb...->na...", inverse, f[:, 1:] - f[:, :1])
        tangents.append(t)
        values.append(f[:, 0] + jnp.einsum("na,na...->n...", offset, t))
    others = jax.vmap(lambda xi: split(stage.leaving, stage(fixed, [xi]))[1])(center)
    return Carry(tuple(values), tuple(tangents), others)


def nodes(pieces: int) -> np.ndarray:
    """Ends of pieces of [-1, 1] that are no longer than 2/pieces: not where the kinks of a symmetric network are."""
    inner = -1 + 2 * (np.arange(1, pieces + 1) - 0.3719) / pieces
    return np.concatenate([[-1.0], inner, [1.0]])


class Interpolant:
    """The first stage of a model on the cells of a mesh.

    `place(segment, p)` is the input x at the points with coordinates p (n, k) of the planes or segments with these
    numbers, in which the window is [-1, 1]^k.
    """

    def __init__(
        self, staged: Staged, parameters: Parameters, place: Callable[[np.ndarray, np.ndarray], np.ndarray], k: int
    ):
        self.staged, self.place, self.k = staged, place, k
        self.stage, self.fixed = staged.stages[0], parameters[0]
        self.batch = batch_sizes(staged)[0]

    def values(self, segment: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
        """What leaves the first stage at points, one array (n, …) for each variable."""
        size = min(self.batch, len(p))
        parts = []
        for i in range(0, len(p), size):
            x = padded(self.place(segment[i : i + size], p[i : i + size]), size)
            parts.append([np.asarray(f)[: len(p) - i] for f in _values(self.stage, self.fixed, jnp.asarray(x))])
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def scales(self, segments: int) -> list[float]:
        """The root mean square of each variable."""
        rng = np.random.default_rng(0)
        p, segment = rng.uniform(-1, 1, (SAMPLES, self.k)), rng.integers(segments, size=SAMPLES)
        sizes = [float(np.sqrt(np.mean(np.square(f)))) if f.size else 0.0 for f in self.values(segment, p)]
        return [size if size > 0 else 1.0 for size in sizes]

    def curvature(self, segment: np.ndarray, p: np.ndarray, scales: list[float]) -> np.ndarray:
        """Largest second derivatives at points, relative to the scales, (n, k, k)."""
        size = min(max(self.batch // 8, 16), len(p))
        parts = []
        for i in range(0, len(p), size):
            at, which = p[i : i + size], segment[i : i + size]
            x = self.place(which, at)
            along = [self.place(which, at + np.eye(self.k)[[a]]) - x for a in range(self.k)]
            arrays = (jnp.asarray(padded(a, size)) for a in (x, np.stack(along, axis=1)))
            parts.append(np.asarray(_curvature(self.stage, self.fixed, *arrays, scales))[: len(at)])
        return np.concatenate(parts)

    def enter(self, segment: np.ndarray, corners: np.ndarray, centers: np.ndarray, size: int) -> Carry:
        """The interpolant on cells with k + 1 corners (n, k + 1, k), at their centers."""
        n = len(corners)
        x = self.place(np.repeat(segment, self.k + 1), corners.reshape(-1, self.k))
        inverse = np.linalg.inv(corners[:, 1:] - corners[:, :1])
        arrays: list[Any] = [
            x.reshape(n, self.k + 1, *x.shape[1:]),
            inverse,
            centers - corners[:, 0],
            self.place(segment, centers),
        ]
        return _affine(self.stage, self.fixed, *(jnp.asarray(padded(a, size)) for a in arrays))


def too_many(pieces: float, limit: int, tolerance: float) -> None:
    """Refuse a mesh with more pieces than regions are allowed."""
    if not pieces <= limit:
        raise InputError(
            f"the encoding is curved: within a tolerance of {tolerance:g} its interpolant has {pieces:.3g} pieces, "
            f"more than `max_regions` = {limit}: choose a smaller window, fewer segments or a larger `tolerance`"
        )


def _rough(interpolant: Interpolant, tolerance: float) -> InputError:
    """An encoding that no mesh brings within the tolerance."""
    return InputError(
        f"the encoding cannot be interpolated within a tolerance of {tolerance:g}: it is rough (its first "
        f"equation that is not piecewise linear is `{interpolant.staged.found.obstacle}`)"
    )


def segment_pieces(interpolant: Interpolant, segments: int, tolerance: float, limit: int) -> np.ndarray:
    """How many equal pieces each segment needs, (s,): pieces of length h are off by h²/8 times the curvature."""
    scales = interpolant.scales(segments)
    each = max(17, SAMPLES // segments)
    rng = np.random.default_rng(1)
    p = (np.arange(each) + rng.uniform(size=(segments, each))) / each * 2 - 1
    curvature = interpolant.curvature(np.repeat(np.arange(segments), each), p.reshape(-1, 1), scales)
    largest = curvature.reshape(segments, each).max(axis=1)
    for _ in range(ROUNDS):
        pieces = np.maximum(np.ceil(np.sqrt(largest / (2 * tolerance))), 1)
        too_many(pieces.sum(), limit, tolerance)
        chosen = rng.integers(segments, size=SAMPLES)
        start = rng.uniform(-1, 1 - 2 / pieces[chosen])
        ends = np.stack([start, start + 2 / pieces[chosen]], axis=1)[:, :, None]
        inside = rng.uniform(size=SAMPLES)
        weights = [np.full((SAMPLES, 2), 0.5), np.stack([inside, 1 - inside], axis=1)]
        if _error(interpolant, chosen, ends, weights, scales) <= tolerance:
            return pieces.astype(int)
        largest = largest * FINER
    raise _rough(interpolant, tolerance)


class Mesh:
    """Equal rectangles of the window, `shape` of them and one more along each axis, or these cut into triangles."""

    def __init__(self, shape: tuple[int, int], triangles: bool):
        self.shape, self.triangles = shape, triangles

    @property
    def rectangles(self) -> int:
        """Number of rectangles."""
        return (self.shape[0] + 1) * (self.shape[1] + 1)

    def corners(self, number: np.ndarray) -> np.ndarray:
        """The corners of the rectangles of these numbers, counterclockwise, (n, 4, 2)."""
        u, v = map(nodes, self.shape)
        i, j = np.divmod(number, len(v) - 1)
        return np.stack([np.stack([u[i + a], v[j + b]], axis=1) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)


def plane_mesh(interpolant: Interpolant, tolerance: float, limit: int) -> Mesh:
    """The coarsest mesh whose error is within the tolerance.

    The interpolant on a triangle with sides h_u, h_v along the axes is off by at most
    (h_u² |f_uu| + 2 h_u h_v |f_uv| + h_v² |f_vv|)/8. Where f_uv = 0, as for an encoding of each coordinate in a plane
    along the axes, it is affine on rectangles. The error at the middles of pieces is measured, too.
    """
    scales = interpolant.scales(1)
    side = int(np.sqrt(SAMPLES))
    rng = np.random.default_rng(1)
    cell = np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    p = (cell + rng.uniform(size=cell.shape)) / side * 2 - 1
    curvature = interpolant.curvature(np.zeros(len(p), int), p, scales).max(axis=0)
    straight, mixed = np.diag(curvature), curvature[0, 1]
    triangles = bool(mixed > 1e-10 * np.max(straight, initial=1.0))
    largest = np.maximum(straight, mixed if triangles else 0.0)
    allowed = (2 if triangles else 4) * tolerance
    for _ in range(ROUNDS):
        shape = np.maximum(np.ceil(2 * np.sqrt(largest / allowed)), FEWEST)
        too_many(float(np.prod(shape)) * (1 + triangles), limit, tolerance)
        mesh = Mesh((int(shape[0]), int(shape[1])), triangles)
        corners = mesh.corners(rng.integers(mesh.rectangles, size=SAMPLES))
        sides = np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]])[: 4 - triangles]
        weights = [np.tile(side, (SAMPLES, 1)) for side in sides]
        weights.append(np.pad(rng.dirichlet(np.ones(3), SAMPLES), ((0, 0), (0, 1))))
        if _error(interpolant, np.zeros(SAMPLES, int), corners, weights, scales) <= tolerance:
            return mesh
        allowed /= FINER
    raise _rough(interpolant, tolerance)


def _error(
    interpolant: Interpolant, segment: np.ndarray, corners: np.ndarray, weights: list[np.ndarray], scales: list[float]
) -> float:
    """The largest error at these means of the corners (n, m, k) of pieces: for parabolas it is at the middles."""
    at_corners = [interpolant.values(segment, corners[:, k]) for k in range(corners.shape[1])]
    worst = 0.0
    for weight in weights:
        values = interpolant.values(segment, np.einsum("nm,nmk->nk", weight, corners))
        for f, scale, *ends in zip(values, scales, *at_corners, strict=True):
            affine = np.einsum("nm,nm...->n...", weight, np.stack(ends, axis=1))
            worst = max(worst, float(np.max(np.abs(f - affine), initial=0.0)) / scale)
    return worst
