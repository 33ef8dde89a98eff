"""Eigenmodes of Θ/n on data."""

import dataclasses
import enum
from typing import Literal, get_args

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Bool, Float
from scipy.sparse.linalg import LinearOperator

from .._core.checks import finite_array, samples_and_outputs
from .._core.errors import InputError, unknown
from ..kernels import NTKOperator
from ._eigensolvers import TOLERANCE, largest
from ._source import rounding, source

# Above this many values the whole spectrum is not computed unless asked for.
DENSE_LIMIT = 4000
DEFAULT_TOP_MODES = 200

Method = Literal["auto", "dense", "lanczos", "lobpcg", "randomized"]


class ModesStatus(enum.Enum):
    """How an eigenproblem ended."""

    complete = "every mode was computed"
    truncated = "only the largest modes were computed"
    not_converged = "some of the requested modes did not converge; they are left out, or their residual norm is large"


class Modes(eqx.Module):
    """Eigenvalues and eigenvectors of Θ/n.

    Attributes:
        eigenvalues: λ_i of Θ/n, descending, (k,).
        eigenvectors: columns of unit norm, (n c, k); row i c + a is output a of sample i.
        residual_norms: ‖Θ v/n - λ v‖ of each pair, (k,). Some eigenvalue lies this close to λ.
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

    @property
    def converged(self) -> Bool[np.ndarray, " k"]:
        """Which pairs are converged, (k,): the residual norm is at most 1e-6 λ, or as small as rounding lets it be."""
        floor = rounding(self.resolution / len(self.eigenvectors), len(self.eigenvectors))
        magnitudes = np.abs(self.eigenvalues)
        return self.residual_norms <= np.maximum(TOLERANCE * magnitudes, floor * np.max(magnitudes, initial=0.0))

    def project(self, residuals: ArrayLike) -> Float[np.ndarray, "... k"]:
        """Mode coefficients n^(-1/2) Vᵀ r of residuals (…, n) or (…, n, c), so that Σ c_i² = Σ r²/n."""
        r = samples_and_outputs(residuals, self.num_samples, self.outputs)
        return r.reshape(*r.shape[:-2], -1) @ self.eigenvectors / np.sqrt(self.num_samples)

    def expand(self, coefficients: ArrayLike) -> Float[np.ndarray, "..."]:
        """Residuals √n V c of coefficients (…, k): the inverse of `project` for complete modes."""
        c = np.asarray(coefficients, np.float64)
        flat = c @ self.eigenvectors.T * np.sqrt(self.num_samples)
        return flat.reshape(*c.shape[:-1], self.num_samples, *self.outputs)

    def top(self, count: int) -> "Modes":
        """The `count` largest of these modes."""
        if not 1 <= count <= self.num_modes:
            raise InputError(f"`count` must be between 1 and {self.num_modes}, got {count}")
        kept = dataclasses.replace(
            self,
            eigenvalues=self.eigenvalues[:count],
            eigenvectors=self.eigenvectors[:, :count],
            residual_norms=self.residual_norms[:count],
        )
        return _judged(kept, count)

    def extend(self, cross: ArrayLike) -> Float[np.ndarray, "m ..."]:
        """The modes as functions, at new points (Nyström's extension).

        φ_i(x) = √n Σ_j Θ(x, x_j) v_ij / (n λ_i). On the data this is √n v_i, with mean square 1.

        Args:
            cross: Θ(x_new, x), (m, n), or (m, n, c, c) for c outputs.

        Returns:
            Values (m, k), or (m, c, k) for c outputs.

        Raises:
            InputError: a `cross` of another shape; modes whose eigenvalue is not above `resolution` times the largest.
                The division by λ makes rounding errors of Θ as large as such a mode: cut them off with `top`.

        Cost and precision:
            m n k multiplications. Errors of Θ, relative to its largest eigenvalue, grow by λ_1/λ_i. A residual norm ρ
            leaves an error of ρ/λ_i. As an eigenfunction of the kernel's integral operator it is off by O(n^(-1/2)).

        Example:
            >>> import numpy as np
            >>> from spectralbias import kernels, spectra
            >>> kernel, angle = kernels.cao_kernel(), np.arange(8) * np.pi / 4
            >>> x, new = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in (angle, angle + 0.1))
            >>> spectra.eigenmodes(kernel.ntk(x)).top(1).extend(kernel.ntk(new, x)).shape
            (8, 1)

        References:
            Williams and Seeger 2001, Using the Nyström method to speed up kernel machines, eq. (9).
        """
        n, size = self.num_samples, len(self.eigenvectors)
        array = finite_array("cross", cross, ndim=4 if self.outputs else 2)
        if array.shape[1:] != (n, *self.outputs, *self.outputs):
            raise InputError(f"`cross` must be Θ(x_new, x) of shape (m, {n}{_more(self.outputs)}), got {array.shape}")
        resolved = self.eigenvalues > self.resolution * np.max(np.abs(self.eigenvalues), initial=0.0)
        if not np.all(resolved):
            count = int(np.argmin(resolved))
            raise InputError(
                f"only the first {count} of {self.num_modes} modes can be extended: the other eigenvalues are below "
                f"{self.resolution:.1e} of the largest, where they are rounding errors of Θ; use `modes.top({count})`"
            )
        rows = array if not self.outputs else array.transpose(0, 2, 1, 3)
        values = rows.reshape(-1, size) @ self.eigenvectors / (np.sqrt(n) * self.eigenvalues)
        return values.reshape(len(array), *self.outputs, self.num_modes)


def _more(outputs: tuple[int, ...]) -> str:
    return "".join(f", {c}" for c in (*outputs, *outputs))


def _judged(modes: Modes, asked: int) -> Modes:
    """With the status that the number of modes and their residual norms say."""
    status = ModesStatus.complete if modes.is_complete else ModesStatus.truncated
    if modes.num_modes < asked or not np.all(modes.converged):
        status = ModesStatus.not_converged
    return dataclasses.replace(modes, status=status)


def eigenmodes(
    gram_or_operator: ArrayLike | NTKOperator | LinearOperator,
    *,
    num_modes: int | None = None,
    method: Method = "auto",
) -> Modes:
    """Eigenvalues and eigenvectors of Θ/n, largest first.

    Args:
        gram_or_operator: Θ of shape (n, n) or (n, n, c, c); an `NTKOperator`, whose Gram is never formed; or a SciPy
            `LinearOperator` with products of your own, of one output.
        num_modes: how many of the largest modes; by default all modes of a Gram up to n c = 4000, otherwise 200.
        method: `"dense"`: LAPACK, for a Gram. `"lanczos"`: ARPACK. `"lobpcg"`: SciPy's, for at most n c/5 modes.
            `"randomized"`: SciPy's randomized SVD and subspace iterations. `"auto"` is dense for all modes and for a
            Gram up to n c = 200, otherwise Lanczos.

    Returns:
        `Modes`, with residual norms and how they were computed. `modes.converged` says which pairs are converged.

    Raises:
        InputError: a Gram or operator that is not square, not finite or not symmetric; `num_modes` out of range; a
            method that cannot do it.

    Cost and precision:
        Solved in float64 on the host. All modes: LAPACK, about 9 (nc)³ operations. Fewer: Lanczos needs two or three
        products with Θ per mode; LOBPCG and randomized methods need more of them, but on blocks of vectors. They take
        long where eigenvalues decay slowly. The precision of Θ itself bounds that of the small eigenvalues.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> spectra.eigenmodes(np.diag([1.0, 4.0])).eigenvalues
        array([2. , 0.5])

    References:
        Lehoucq, Sorensen and Yang 1998, ARPACK users' guide. Knyazev 2001, Toward the optimal preconditioned
        eigensolver. Halko, Martinsson and Tropp 2011, Finding structure with randomness.
    """
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    theta = source(gram_or_operator)
    is_gram = isinstance(theta.product, np.ndarray)
    count = _count(theta.size, num_modes, method, is_gram)
    if method == "auto":
        method = "dense" if is_gram and (count == theta.size or theta.size <= DEFAULT_TOP_MODES) else "lanczos"
    pairs = largest(theta, count, method)
    modes = Modes(
        pairs.values,
        pairs.vectors,
        pairs.residual_norms,
        theta.num_samples,
        theta.outputs,
        theta.trace,
        pairs.method,
        theta.precision,
        theta.eps * theta.size,
        ModesStatus.truncated,
    )
    return _judged(modes, count)


def _count(size: int, num_modes: int | None, method: Method, is_gram: bool) -> int:
    """How many modes to compute: what was asked for, if the method can do it."""
    most = {"dense": size, "lanczos": size - 1, "lobpcg": size // 5, "randomized": size}
    limit = most["dense" if is_gram else "lanczos"] if method == "auto" else most[method]
    if limit < 1:
        raise InputError(f"{size} values are too few for this method: use the Gram and `method='dense'`")
    if num_modes is None:
        everything = method == "dense" or (method == "auto" and is_gram and size <= DENSE_LIMIT)
        return size if everything else min(limit, DEFAULT_TOP_MODES)
    if not isinstance(num_modes, int | np.integer) or isinstance(num_modes, bool) or not 1 <= num_modes <= limit:
        raise InputError(f"`num_modes` must be whole and between 1 and {limit}, got {num_modes}")
    return int(num_modes)
