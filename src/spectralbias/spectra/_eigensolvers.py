"""Largest eigenpairs of a symmetric Θ/n, by four methods."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.linalg.interpolative
from scipy.sparse.linalg import ArpackNoConvergence, eigsh, lobpcg

from .._core.errors import InputError
from ._source import Source, rounding

# ‖Θv/n - λv‖ ≤ TOLERANCE · λ counts as converged. The error of λ itself is of the order of its square.
TOLERANCE = 1e-6
ROUNDS, STEPS_PER_ROUND = 40, 20
SUBSPACE_ITERATIONS = 300


class Pairs(NamedTuple):
    """Eigenvalues of Θ/n, descending, eigenvectors as columns, residual norms, and the algorithm."""

    values: np.ndarray
    vectors: np.ndarray
    residual_norms: np.ndarray
    method: str


def _pairs(source: Source, values: np.ndarray, vectors: np.ndarray, method: str) -> Pairs:
    """In descending order, with residual norms from fresh products."""
    order = np.argsort(values)[::-1]
    values, vectors = values[order], np.ascontiguousarray(vectors[:, order])
    return Pairs(values, vectors, np.linalg.norm(source.times(vectors) - vectors * values, axis=0), method)


def largest(source: Source, count: int, method: str) -> Pairs:
    """The `count` largest eigenpairs of Θ/n by `"dense"`, `"lanczos"`, `"lobpcg"` or `"randomized"`."""
    if method == "dense":
        return _dense(source, count)
    start = np.random.default_rng(0).standard_normal((count, source.size)).T
    if not np.any(source.times(start[:, 0])):
        # Θ = 0 almost surely, for which iterations have no direction to go.
        return Pairs(np.zeros(count), np.eye(source.size, count), np.zeros(count), "a vanishing product")
    if method == "lanczos":
        return _lanczos(source, count, start[:, 0])
    return _lobpcg(source, start) if method == "lobpcg" else _randomized(source, count)


def _dense(source: Source, count: int) -> Pairs:
    if not isinstance(source.product, np.ndarray):
        raise InputError("`method='dense'` needs the Gram, e.g. `kernels.empirical_ntk(model, x)`, not an operator")
    values, vectors = scipy.linalg.eigh(source.product, driver="evd")
    return _pairs(source, values[-count:] / source.num_samples, vectors[:, -count:], "dense eigh (LAPACK)")


def _lanczos(source: Source, count: int, start: np.ndarray) -> Pairs:
    """Implicitly restarted Lanczos; pairs that ARPACK gives up on are left out."""
    tolerance: Any = 0.0 if isinstance(source.product, np.ndarray) else TOLERANCE / 2
    try:
        values, vectors = eigsh(source.product, k=count, which="LA", v0=start, tol=tolerance)
    except ArpackNoConvergence as partial:
        values, vectors = partial.eigenvalues, partial.eigenvectors
    return _pairs(source, values / source.num_samples, vectors, "Lanczos (ARPACK)")


class _Subspace(NamedTuple):
    """The best pairs in a space: Ritz values, descending, Ritz vectors, products Θ V/n, and when to stop."""

    values: np.ndarray
    vectors: np.ndarray
    product: np.ndarray
    enough: np.ndarray

    def is_converged(self, count: int) -> bool:
        """Whether the first pairs are at half of what counts as converged."""
        norms = np.linalg.norm(self.product - self.vectors * self.values, axis=0)
        return bool(np.all((norms <= self.enough)[:count]))


def _best_pairs(source: Source, columns: np.ndarray) -> _Subspace:
    """Rayleigh-Ritz in the span of the columns."""
    basis = np.linalg.qr(columns)[0]
    product = source.times(basis)
    values, rotation = np.linalg.eigh((basis.T @ product + product.T @ basis) / 2)
    values, rotation = values[::-1], rotation[:, ::-1]
    enough = np.maximum(TOLERANCE * np.abs(values), rounding(source.eps, source.size) * np.abs(values[0])) / 2
    return _Subspace(values, basis @ rotation, product @ rotation, enough)


def _lobpcg(source: Source, start: np.ndarray) -> Pairs:
    """Locally optimal block conjugate gradients, in rounds.

    SciPy's ends where its Gram matrices become singular, which happens as soon as Θ has a low rank. A power step before
    each round leads on from there.
    """
    count = start.shape[1]
    space = _best_pairs(source, start)
    for _ in range(ROUNDS):
        if space.is_converged(count):
            break
        with warnings.catch_warnings():
            # It warns where it does not reach the tolerance, which the residual norms say for each pair.
            warnings.simplefilter("ignore", UserWarning)
            block = np.linalg.qr(space.product)[0]
            block = lobpcg(source.times, block, tol=float(space.enough[-1]), maxiter=STEPS_PER_ROUND)[1]
        space = _best_pairs(source, block)
    return _pairs(source, space.values, space.vectors, "LOBPCG (SciPy)")


def _randomized(source: Source, count: int) -> Pairs:
    """A randomized range, then subspace iterations until the pairs converge; Θ is positive semi-definite."""
    block = min(source.size, count + max(10, count))
    range_of = scipy.linalg.interpolative.svd(source.product, block, rng=np.random.default_rng(0))[0]
    space = _best_pairs(source, range_of)
    for _ in range(SUBSPACE_ITERATIONS):
        if space.is_converged(count):
            break
        space = _best_pairs(source, space.product)
    method = "randomized SVD (SciPy interpolative) and subspace iteration"
    return _pairs(source, space.values[:count], space.vectors[:, :count], method)
