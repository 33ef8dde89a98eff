"""Eigenmodes of Θ/n on data."""

import enum
import math
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
import scipy.linalg
from jaxtyping import ArrayLike, Float
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .._core.checks import samples_and_outputs
from .._core.errors import InputError
from ..kernels import NTKOperator

# Above this many values the whole spectrum is not computed unless asked for.
DENSE_LIMIT = 4000
DEFAULT_TOP_MODES = 200


class ModesStatus(enum.Enum):
    """How an eigenproblem ended."""

    complete = "every mode was computed"
    truncated = "only the largest modes were computed"
    not_converged = "some of the requested modes did not converge; those that did are returned"


class Modes(eqx.Module):
    """Eigenvalues and eigenvectors of Θ/n.

    Attributes:
        eigenvalues: λ_i of Θ/n, descending, (k,).
        eigenvectors: columns of unit norm, (n c, k); row i c + a is output a of sample i.
        residual_norms: ‖Θ v/n - λ v‖ of each pair, (k,).
        num_samples: n.
        outputs: () for a scalar model, (c,) for a vector one.
        trace: the trace of Θ/n where the Gram is known, otherwise NaN.
        method: the algorithm.
        precision: the dtype in which the eigenproblem was solved, and that of Θ.
        resolution: eigenvalues below this fraction of the largest are rounding errors of Θ.
        status: a `ModesStatus`.
    """

    eigenvalues: Float[np.ndarray, " k"]
    eigenvectors: Float[np.ndarray, "nc k"]
    residual_norms: Float[np.ndarray, " k"]
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    trace: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    resolution: float = eqx.field(static=True)
    status: ModesStatus = eqx.field(static=True)

    @property
    def num_modes(self) -> int:
        """Number of modes k."""
        return len(self.eigenvalues)

    @property
    def is_complete(self) -> bool:
        """Whether the modes span all functions on the data."""
        return self.num_modes == len(self.eigenvectors)

    def project(self, residuals: ArrayLike) -> Float[np.ndarray, "... k"]:
        """Mode coefficients n^(-1/2) Vᵀ r of residuals (…, n) or (…, n, c), so that Σ c_i² = Σ r²/n."""
        r = samples_and_outputs(residuals, self.num_samples, self.outputs)
        return r.reshape(*r.shape[:-2], -1) @ self.eigenvectors / np.sqrt(self.num_samples)

    def expand(self, coefficients: ArrayLike) -> Float[np.ndarray, "..."]:
        """Residuals √n V c of coefficients (…, k): the inverse of `project` for complete modes."""
        c = np.asarray(coefficients, np.float64)
        flat = c @ self.eigenvectors.T * np.sqrt(self.num_samples)
        return flat.reshape(*c.shape[:-1], self.num_samples, *self.outputs)


def as_matrix(gram: ArrayLike) -> tuple[np.ndarray, int, tuple[int, ...]]:
    """The Gram as a float64 (nc, nc) matrix, n, and the outputs' shape."""
    array = np.asarray(gram)
    if array.ndim == 4 and array.shape[0] == array.shape[1] and array.shape[2] == array.shape[3]:
        n, c = array.shape[0], array.shape[2]
        return array.transpose(0, 2, 1, 3).reshape(n * c, n * c).astype(np.float64), n, (c,)
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        return array.astype(np.float64), len(array), ()
    raise InputError(f"`gram` must have shape (n, n) or (n, n, c, c), got {array.shape}")


def eigenmodes(gram_or_operator: ArrayLike | NTKOperator, *, num_modes: int | None = None) -> Modes:
    """Eigenvalues and eigenvectors of Θ/n, largest first.

    Args:
        gram_or_operator: Θ of shape (n, n) or (n, n, c, c), or an `NTKOperator`, whose Gram is never formed.
        num_modes: how many of the largest modes; by default all modes of a Gram up to n c = 4000, otherwise 200.

    Returns:
        `Modes`, with residual norms and how they were computed.

    Raises:
        InputError: a Gram that is not square, not finite or not symmetric; `num_modes` out of range.

    Cost and precision:
        Solved in float64 on the host. All modes: LAPACK, about 9 (nc)³ operations. Fewer: Lanczos (ARPACK), two or
        three products with Θ per mode. The precision of Θ itself bounds that of the small eigenvalues.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> spectra.eigenmodes(np.diag([1.0, 4.0])).eigenvalues
        array([2. , 0.5])
    """
    if isinstance(gram_or_operator, NTKOperator):
        operator = gram_or_operator
        size = operator.num_samples * math.prod(operator.outputs)
        if num_modes is None and size <= DENSE_LIMIT:
            num_modes = min(size - 1, DEFAULT_TOP_MODES)
        source = _Source(operator.as_linear_operator(), operator.num_samples, operator.outputs, operator.x.dtype)
        return _lanczos(source, _count(num_modes, size, size - 1))
    dtype = np.asarray(gram_or_operator).dtype
    matrix, n, outputs = as_matrix(gram_or_operator)
    size = len(matrix)
    if not np.all(np.isfinite(matrix)):
        raise InputError("`gram` has values that are not finite")
    if np.max(np.abs(matrix - matrix.T)) > 1e-3 * np.max(np.abs(matrix)):
        raise InputError("`gram` is not symmetric: a Gram is Θ(x, x) of one set of inputs")
    source = _Source((matrix + matrix.T) / 2, n, outputs, dtype)
    count = _count(num_modes, size, size)
    return _dense(source, count) if count == size or size <= DEFAULT_TOP_MODES else _lanczos(source, count)


class _Source(NamedTuple):
    """A symmetric Θ as a matrix or an operator, and where it comes from."""

    product: np.ndarray | LinearOperator
    num_samples: int
    outputs: tuple[int, ...]
    dtype: Any

    def modes(self, values: np.ndarray, vectors: np.ndarray, method: str, status: ModesStatus) -> Modes:
        """`Modes` from the eigenpairs of Θ, in any order."""
        order = np.argsort(values)[::-1]
        values, vectors = values[order] / self.num_samples, np.ascontiguousarray(vectors[:, order])
        if isinstance(self.product, np.ndarray):
            product, trace, kind = self.product @ vectors, float(np.trace(self.product)) / self.num_samples, "Gram"
        else:
            columns = [self.product @ v for v in vectors.T]
            product, trace, kind = np.array(columns).reshape(vectors.T.shape).T, np.nan, "operator"
        eps = np.finfo(self.dtype).eps if np.issubdtype(self.dtype, np.floating) else np.finfo(float).eps
        return Modes(
            values,
            vectors,
            np.linalg.norm(product / self.num_samples - vectors * values, axis=0),
            self.num_samples,
            self.outputs,
            trace,
            method,
            f"float64 of a {self.dtype} {kind}",
            float(eps * len(vectors)),
            status,
        )


def _count(num_modes: int | None, size: int, most: int) -> int:
    if num_modes is None:
        return size if size <= DENSE_LIMIT else DEFAULT_TOP_MODES
    if not 1 <= num_modes <= most:
        raise InputError(f"`num_modes` must be between 1 and {most}, got {num_modes}")
    return num_modes


def _dense(source: _Source, count: int) -> Modes:
    assert isinstance(source.product, np.ndarray)
    values, vectors = scipy.linalg.eigh(source.product, driver="evd")
    status = ModesStatus.complete if count == len(values) else ModesStatus.truncated
    return source.modes(values[-count:], vectors[:, -count:], "dense eigh (LAPACK)", status)


def _lanczos(source: _Source, count: int) -> Modes:
    start = np.random.default_rng(0).standard_normal(source.product.shape[0])
    status = ModesStatus.truncated
    tolerance: Any = 0.0 if isinstance(source.product, np.ndarray) else 1e-6
    try:
        values, vectors = eigsh(source.product, k=count, which="LA", v0=start, tol=tolerance)
    except ArpackNoConvergence as partial:
        values, vectors = partial.eigenvalues, partial.eigenvectors
        status = ModesStatus.not_converged
    return source.modes(values, vectors, "Lanczos (ARPACK)", status)
