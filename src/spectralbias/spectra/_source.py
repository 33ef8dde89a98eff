"""A symmetric Θ on data, as a matrix or as products with vectors."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike
from scipy.sparse.linalg import LinearOperator

from .._core.checks import real_array
from .._core.errors import InputError
from ..kernels import NTKOperator


def rounding(eps: float, size: int) -> float:
    """What products with Θ are off by, as a fraction of the largest eigenvalue: no residual norm can be smaller."""
    return 10 * eps * size**0.5


class Source(NamedTuple):
    """Θ as a symmetric (n c, n c) matrix or operator, and where it comes from."""

    product: np.ndarray | LinearOperator
    num_samples: int
    outputs: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        """The number of values n c."""
        return self.product.shape[0]

    @property
    def eps(self) -> float:
        """The rounding unit of Θ's own numbers."""
        return float(np.finfo(self.dtype if np.issubdtype(self.dtype, np.floating) else float).eps)

    @property
    def precision(self) -> str:
        """The dtype of the computation and that of Θ."""
        return f"float64 of a {self.dtype} {'Gram' if isinstance(self.product, np.ndarray) else 'operator'}"

    @property
    def trace(self) -> float:
        """The trace of Θ/n, NaN for an operator."""
        return float(np.trace(self.product)) / self.num_samples if isinstance(self.product, np.ndarray) else np.nan

    def times(self, vectors: np.ndarray) -> np.ndarray:
        """Θ V/n for columns V (n c, k), or for one vector."""
        if vectors.size == 0:
            return np.zeros_like(vectors)
        return np.asarray(self.product @ vectors, np.float64) / self.num_samples


def as_matrix(gram: ArrayLike) -> tuple[np.ndarray, int, tuple[int, ...]]:
    """The Gram as a float64 (nc, nc) matrix, n, and the outputs' shape."""
    array = real_array("gram", gram)
    if array.size == 0:
        raise InputError(f"`gram` must have at least one value, got shape {array.shape}")
    if array.ndim == 4 and array.shape[0] == array.shape[1] and array.shape[2] == array.shape[3]:
        n, c = array.shape[0], array.shape[2]
        return array.transpose(0, 2, 1, 3).reshape(n * c, n * c).astype(np.float64), n, (c,)
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        return array.astype(np.float64), len(array), ()
    raise InputError(f"`gram` must have shape (n, n) or (n, n, c, c), got {array.shape}")


def source(gram_or_operator: ArrayLike | NTKOperator | LinearOperator) -> Source:
    """A checked `Source`: square, finite, symmetric."""
    if isinstance(gram_or_operator, NTKOperator):
        operator = gram_or_operator
        return Source(operator.as_linear_operator(), operator.num_samples, operator.outputs, operator.x.dtype)
    if isinstance(gram_or_operator, LinearOperator):
        return _linear_operator(gram_or_operator)
    matrix, n, outputs = as_matrix(gram_or_operator)
    largest = np.max(np.abs([np.max(matrix), np.min(matrix)]))
    if not np.isfinite(largest):
        raise InputError("`gram` has values that are not finite")
    if _symmetrize(matrix) > 1e-3 * largest:
        raise InputError("`gram` is not symmetric: a Gram is Θ(x, x) of one set of inputs")
    return Source(matrix, n, outputs, np.asarray(gram_or_operator).dtype)


def _symmetrize(matrix: np.ndarray, block: int = 256) -> float:
    """(A + Aᵀ)/2 in place, and the largest |A - Aᵀ|: in blocks that fit a cache, several times as fast as at once."""
    asymmetry = 0.0
    for i in range(0, len(matrix), block):
        for j in range(i, len(matrix), block):
            upper, lower = matrix[i : i + block, j : j + block], matrix[j : j + block, i : i + block].T
            asymmetry = max(asymmetry, float(np.max(np.abs(upper - lower))))
            upper[:] = lower[:] = (upper + lower) / 2
    return asymmetry


class _Own(LinearOperator):
    """A user's symmetric products, in float64 whatever their dtype, and their own adjoint."""

    def __init__(self, operator: LinearOperator):
        super().__init__(dtype=np.dtype(np.float64), shape=operator.shape)
        self.operator = operator

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.operator.matvec(x), np.float64)

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.operator.matmat(X), np.float64)

    def _adjoint(self) -> LinearOperator:
        return self


def _linear_operator(operator: LinearOperator) -> Source:
    """Products of the user's own, tried on two vectors: an eigensolver would not notice that they are not symmetric."""
    if len(operator.shape) != 2 or operator.shape[0] != operator.shape[1]:
        raise InputError(f"an operator must have shape (n, n), got {operator.shape}")
    if np.issubdtype(operator.dtype, np.complexfloating):
        raise InputError(f"an operator must be real, got dtype {operator.dtype}")
    pair = np.random.default_rng(0).standard_normal((operator.shape[0], 2))
    product = _Own(operator)
    images = product.matmat(pair)
    if not np.all(np.isfinite(images)):
        raise InputError("the operator's product with a vector is not finite")
    forms = pair.T @ images
    if abs(forms[0, 1] - forms[1, 0]) > 1e-3 * np.linalg.norm(images) * np.linalg.norm(pair):
        raise InputError("the operator is not symmetric: u · Θv and v · Θu differ")
    return Source(product, operator.shape[0], (), np.dtype(operator.dtype))
