"""The part of a sampled function in each degree, without a basis: by the addition theorem."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from .._core.gegenbauer import float_multiplicity, gegenbauer, gegenbauer_sequence
from .._core.sphere import unit_vectors
from ._degrees import as_degrees

# Pairs of points in one tile: its arrays of 8 bytes fit in a processor's cache.
TILE_PAIRS = 2**14


def degree_projection(
    degree: int,
    x: ArrayLike,
    values: ArrayLike,
    *,
    at: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Float[np.ndarray, "m ..."]:
    """The part of degree k of a function on the sphere S^(dim-1) that is known at points.

    (Π_k f)(x') = N(dim, k) ∫ P_k(⟨x', x⟩) f(x) dx ≈ N/n Σ_i w_i P_k(⟨x', x_i⟩) f(x_i).

    Args:
        degree: k, 0 or more.
        x: the points x_i, unit vectors (n, dim).
        values: f(x_i), (n,), or (n, c) for c outputs.
        at: where to evaluate the projection, unit vectors (m, dim); the points themselves by default.
        weights: w_i, (n,). None (all 1) for points drawn uniformly; 1/density for points drawn with that density
            relative to the uniform one; n q_i for a quadrature with weights q_i of total 1.

    Returns:
        (m,), or (m, c).

    Raises:
        InputError: points off the sphere, shapes that do not pair up, more than 1e308 harmonics.

    Cost and precision:
        About 5 k n m operations, in tiles of 128 KB. With a quadrature that is exact for the degree of f plus k, exact
        to rounding, k² times that of the cosines. With random points the mean square error is about N times the mean
        square of f over n, so that N must be far below n.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> x = np.concatenate([np.eye(3), -np.eye(3)])
        >>> spectra.degree_projection(1, x, x[:, 0] + 5)
        array([ 1.,  0.,  0., -1.,  0.,  0.])

    References:
        Müller 1966, Spherical Harmonics, theorem 2 (addition theorem).
    """
    (k,) = as_degrees([degree])
    points, f, w = _sampled(x, values, weights)
    targets = points if at is None else unit_vectors("at", at, points.shape[1])
    weighted = w[:, None] * f.reshape(len(f), -1)
    scale = float_multiplicity(k, points.shape[1]) / len(points)
    out = np.zeros((len(targets), weighted.shape[1]))
    for rows, columns, cosine in _tiles(targets, points):
        out[rows] += gegenbauer(k, points.shape[1], cosine) @ weighted[columns]
    return (scale * out).reshape(len(targets), *f.shape[1:])


def degree_energies(
    degrees: int | Sequence[int] | np.ndarray, x: ArrayLike, values: ArrayLike, *, weights: ArrayLike | None = None
) -> Float[np.ndarray, " degrees"]:
    """The mean square of the part of each degree k of a function that is known at random points of the sphere.

    ‖Π_k f‖² = N(dim, k) ∫∫ P_k(⟨x, x'⟩) f(x) f(x') ≈ N/(n(n - 1)) Σ_{i≠j} w_i w_j P_k(⟨x_i, x_j⟩) f(x_i) f(x_j).

    The sum without its diagonal is unbiased for independent points: over repeated draws its mean is the energy. It
    scatters by about σ²√(2N)/n, σ² the mean square of f, plus 2σ√(energy/n); so an energy near 0 may come out negative.

    Args:
        degrees: k, 0 or more, one or several.
        x: independent random points, unit vectors (n, dim), n of 2 or more.
        values: f(x_i), (n,), or (n, c) for c outputs.
        weights: 1/density at x_i relative to the uniform measure, (n,), for points that are not drawn uniformly.

    Returns:
        (degrees,): the energies, summed over outputs.

    Raises:
        InputError: points off the sphere, fewer than 2, shapes that do not pair up, more than 1e308 harmonics.

    Cost and precision:
        About 2.5 k n² operations for the largest degree k, in tiles of 128 KB, all degrees in one pass.

    Example:
        >>> import jax
        >>> from spectralbias import problems, spectra
        >>> p = problems.harmonics(dim=3, degrees=(1, 3), amplitudes=(1, 2), num_samples=4000, key=jax.random.key(0))
        >>> spectra.degree_energies((1, 2, 3), p.x, p.y).round(1) + 0.0
        array([1., 0., 4.])

    References:
        Hoeffding 1948 (U-statistics); Müller 1966, Spherical Harmonics, theorem 2 (addition theorem).
    """
    points, f, w = _sampled(x, values, weights)
    columns = f.reshape(len(f), -1)
    energies = pair_energies(as_degrees(degrees, "degrees"), points, columns * w[:, None])
    return energies.sum(axis=1)


def pair_energies(degrees: Sequence[int], x: np.ndarray, f: np.ndarray) -> Float[np.ndarray, "degrees m"]:
    """N/(n(n - 1)) Σ_{i≠j} P_k(⟨x_i, x_j⟩) f_i f_j for each degree and each of m functions (n, m) at unit vectors."""
    n, dim = x.shape
    if n < 2:
        raise InputError(f"`x` must have 2 points or more for sums over pairs, got {n}")
    scale = np.array([[float_multiplicity(k, dim) / (n * (n - 1.0))] for k in degrees])
    sums = np.zeros((max(degrees) + 1, f.shape[1]))
    for rows, columns, cosine in _tiles(x, x):
        if columns.start < rows.start:
            continue  # the mirror image of a tile that counts twice
        left = f[rows] if columns == rows else 2 * f[rows]
        for k, values in enumerate(itertools.islice(gegenbauer_sequence(dim, cosine), len(sums))):
            if k in degrees:
                sums[k] += np.sum(left * (values @ f[columns]), axis=0)
    chosen = sums[list(degrees)] - np.sum(f**2, axis=0)  # without the diagonal, where P_k(1) = 1
    return scale * chosen


def _sampled(x: ArrayLike, values: ArrayLike, weights: ArrayLike | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, values and weights, checked."""
    points, f = unit_vectors("x", x), finite_array("values", values, ndim=(1, 2))
    same_samples(points, f, ("x", "values"))
    w = np.ones(len(points)) if weights is None else finite_array("weights", weights, ndim=1)
    same_samples(points, w, ("x", "weights"))
    return points, f, w


def _tiles(x1: np.ndarray, x2: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, columns and the cosines between them, in squares of at most `TILE_PAIRS`."""
    side = int(TILE_PAIRS**0.5)
    for i in range(0, len(x1), side):
        for j in range(0, len(x2), side):
            rows, columns = slice(i, min(i + side, len(x1))), slice(j, min(j + side, len(x2)))
            yield rows, columns, np.clip(x1[rows] @ x2[columns].T, -1, 1)
