"""The Lanczos process with full reorthogonalization."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg


class Tridiagonal(NamedTuple):
    """Qᵀ A Q = T for an orthonormal basis Q of the Krylov space.

    Attributes:
        diagonal: of T, (m,).
        off_diagonal: of T, (m - 1,).
        basis: Qᵀ, its rows, (m, n).
        is_invariant: whether A maps the space into itself, so that the eigenvalues of T are eigenvalues of A.
    """

    diagonal: np.ndarray
    off_diagonal: np.ndarray
    basis: np.ndarray
    is_invariant: bool

    def eigh(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, descending, and its eigenvectors as columns."""
        values, rotation = scipy.linalg.eigh_tridiagonal(self.diagonal, self.off_diagonal)
        return values[::-1], rotation[:, ::-1]


def tridiagonalize(multiply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, dim: int) -> Tridiagonal:
    """The Krylov space of `start`, of dimension `dim` or less where it is exhausted; `start` is not 0.

    Each new vector is made orthogonal to all before it, twice: m² n multiplications, and no eigenvalue appears twice.
    """
    basis = np.zeros((dim, len(start)))
    diagonal, off_diagonal = np.zeros(dim), np.zeros(dim)
    basis[0] = start / np.linalg.norm(start)
    for j in range(dim):
        w = multiply(basis[j])
        diagonal[j] = w @ basis[j]
        for _ in range(2):
            w = w - basis[: j + 1].T @ (basis[: j + 1] @ w)
        off_diagonal[j] = np.linalg.norm(w)
        if off_diagonal[j] <= 1e-10 * abs(diagonal[0]):
            return Tridiagonal(diagonal[: j + 1], off_diagonal[:j], basis[: j + 1], True)
        if j + 1 < dim:
            basis[j + 1] = w / off_diagonal[j]
    return Tridiagonal(diagonal, off_diagonal[:-1], basis, dim == len(start))
