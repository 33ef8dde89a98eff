"""The frozen kernel's prediction: what training would do if Θ never moved."""

import enum
import math
from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array
from .._core.errors import InputError
from ..kernels import NTKOperator
from ..spectra import DENSE_LIMIT, Modes, eigenmodes
from ..spectra._krylov import tridiagonalize
from ..spectra._source import Source, source
from ._decay import checked_times, decay, descent_integral, discrete_decay, flow_integral, whole_steps


class FrozenStatus(enum.Enum):
    """What the prediction stands on."""

    exact = "all modes are known"
    truncated = "only the largest modes are known; the rest of the residual is taken as never learned"
    krylov = "a Krylov space of the residual stands for the spectrum"


class Frozen(eqx.Module):
    """Training with a kernel that does not move: r(t) = e^(-tΘ/n) r(0), and (1 - ηΘ/n)^s r(0) for gradient descent.

    Attributes:
        eigenvalues: λ_i of Θ/n that the residual is expanded in, (k,).
        vectors: the expansion's unit vectors, (n c, k).
        coefficients: of r(0) along them, (k,), so that r(0) = vectors · coefficients + remainder.
        remainder: the part of r(0) outside, (n c,): zero unless the modes are truncated.
        cross: Θ(x_test, x) as a (n_test c, n c) matrix, or None.
        f0_test: predictions on the test points at the start, (n_test[, c]), or None.
        resolution: eigenvalues below this fraction of the largest are rounding errors of Θ, and count as 0.
        status: a `FrozenStatus`.
    """

    eigenvalues: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "nc k"]
    coefficients: Float[np.ndarray, " k"]
    remainder: Float[np.ndarray, " nc"]
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    cross: np.ndarray | None
    f0_test: np.ndarray | None
    resolution: float = eqx.field(static=True)
    status: FrozenStatus = eqx.field(static=True)

    def residuals(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T ..."]:
        """Residuals (T, n[, c]) under gradient flow at these times; `np.inf` is one."""
        times = checked_times(times)
        ever = np.isfinite(times)
        left = decay(self.eigenvalues, np.where(ever, times, 0.0))
        left[~ever] = ~self._learned
        return self._apply(left)

    def residuals_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T ..."]:
        """Residuals (T, n[, c]) after these numbers of gradient-descent steps, heavy-ball momentum included."""
        return self._apply(discrete_decay(self.eigenvalues, steps, learning_rate, momentum))

    def limit(self) -> Float[np.ndarray, "..."]:
        """What is never learned: the residual at t = ∞, (n[, c]).

        Gradient descent ends there too, with any learning rate below 2/λ_max.
        """
        return self.residuals([np.inf])[0]

    def predictions(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T ..."]:
        """Outputs (T, n_test[, c]) on the test points: f0 - Θ(x_test, x) (1-e^(-tΘ/n)) Θ⁻¹ r(0); `np.inf` is a time."""
        times = checked_times(times)
        ever = np.isfinite(times)
        integral = flow_integral(self.eigenvalues, np.where(ever, times, 0.0))
        integral[~ever] = np.where(self._learned, 1 / np.where(self._learned, self.eigenvalues, 1.0), 0.0)
        return self._on_test_points(integral)

    def predictions_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T ..."]:
        """Outputs (T, n_test[, c]) on the test points after these numbers of gradient-descent steps."""
        steps = whole_steps(steps)
        return self._on_test_points(descent_integral(self.eigenvalues, steps, learning_rate, momentum))

    def limit_predictions(self) -> Float[np.ndarray, "..."]:
        """Outputs (n_test[, c]) on the test points at t = ∞: f0 - Θ(x_test, x) Θ⁺ r(0), regression without a ridge.

        As in `limit`, modes whose eigenvalue is a rounding error of Θ count as never learned.
        """
        return self.predictions([np.inf])[0]

    @property
    def _learned(self) -> np.ndarray:
        """Which modes are learned sooner or later, (k,)."""
        return self.eigenvalues > self.resolution * np.max(np.abs(self.eigenvalues))

    def _apply(self, factors: Float[np.ndarray, "T k"]) -> np.ndarray:
        flat = (factors * self.coefficients) @ self.vectors.T + self.remainder
        return flat.reshape(len(factors), self.num_samples, *self.outputs)

    def _on_test_points(self, integral: Float[np.ndarray, "T k"]) -> np.ndarray:
        """f0 - (1/n) cross · Σ (∫ e^(-λu) du) c v."""
        if self.cross is None or self.f0_test is None:
            raise InputError("predictions on test points need `cross` = Θ(x_test, x) and `f0_test`")
        moved = (integral * self.coefficients) @ (self.cross @ self.vectors).T / self.num_samples
        return self.f0_test - moved.reshape(len(integral), *self.f0_test.shape)


def frozen(
    modes_or_gram: Modes | NTKOperator | ArrayLike,
    residual0: ArrayLike,
    *,
    cross: ArrayLike | None = None,
    f0_test: ArrayLike | None = None,
    krylov_dim: int = 300,
) -> Frozen:
    """What training would do from `residual0` if the kernel stayed as it is.

    Args:
        modes_or_gram: `Modes` of Θ/n, Θ itself of shape (n, n) or (n, n, c, c), or an `NTKOperator`. An operator, and
            a Gram of more than 4000 values, is reduced to a Krylov space of `residual0` by Lanczos, which follows
            every part of the residual.
        residual0: r(0) = f - y at the start, (n[, c]).
        cross: Θ(x_test, x), (n_test, n) or (n_test, n, c, c), for predictions on test points.
        f0_test: outputs on the test points at the start, (n_test[, c]).
        krylov_dim: dimension of the Krylov space for an operator.

    Returns:
        `Frozen`, to be asked for any time, any step, and the end of training.

    Raises:
        InputError: shapes that do not fit, non-finite residuals.

    Cost and precision:
        A Gram is diagonalized once, in float64; every time then costs n k multiplications. An operator costs
        `krylov_dim` products; s steps are resolved by about √(s ηλ_max) of them.

    Example:
        >>> import numpy as np
        >>> from spectralbias import dynamics
        >>> dynamics.frozen(np.eye(2) * 2, np.ones(2)).residuals_at([0, 1], 0.5)
        array([[1. , 1. ],
               [0.5, 0.5]])
    """
    matrix = None if cross is None else finite_array("cross", cross, ndim=(2, 4))
    if matrix is not None and matrix.ndim == 4:
        n_test, n, c, _ = matrix.shape
        matrix = matrix.transpose(0, 2, 1, 3).reshape(n_test * c, n * c)
    f0_test = None if f0_test is None else finite_array("f0_test", f0_test)
    r0 = finite_array("residual0", residual0)
    modes = _full_modes(modes_or_gram)
    if modes is None:
        assert not isinstance(modes_or_gram, Modes)
        theta = source(modes_or_gram)
        n, outputs = theta.num_samples, theta.outputs
        flat = _one_residual(r0, n, outputs)
        values, vectors = _krylov(theta, flat, krylov_dim)
        resolution = float(np.finfo(np.float32).eps) * len(flat)
        status = FrozenStatus.krylov
    else:
        n, outputs = modes.num_samples, modes.outputs
        flat = _one_residual(r0, n, outputs)
        values, vectors, resolution = modes.eigenvalues, modes.eigenvectors, modes.resolution
        status = FrozenStatus.exact if modes.is_complete else FrozenStatus.truncated
    if matrix is not None and matrix.shape[1] != n * math.prod(outputs):
        raise InputError(f"`cross` must be Θ(x_test, x) on the {n} training inputs, got a matrix {matrix.shape}")
    if matrix is not None and f0_test is not None and f0_test.shape != (len(matrix) // math.prod(outputs), *outputs):
        raise InputError(f"`cross` as a matrix {matrix.shape} and `f0_test` of shape {f0_test.shape} do not fit")
    coefficients = flat @ vectors
    remainder = flat - vectors @ coefficients if status is FrozenStatus.truncated else np.zeros_like(flat)
    return Frozen(values, vectors, coefficients, remainder, n, outputs, matrix, f0_test, resolution, status)


def _one_residual(residual0: np.ndarray, n: int, outputs: tuple[int, ...]) -> np.ndarray:
    if residual0.shape != (n, *outputs):
        raise InputError(f"`residual0` must have shape {(n, *outputs)}, got {residual0.shape}")
    return residual0.ravel()


def _full_modes(source: Modes | NTKOperator | ArrayLike) -> Modes | None:
    """The modes that were given, or all modes of a Gram that is small enough; None where a Krylov space must do."""
    if isinstance(source, Modes):
        return source
    if isinstance(source, NTKOperator):
        return None
    shape = np.shape(source)
    size = shape[0] * (shape[2] if len(shape) == 4 else 1) if shape else 0
    return eigenmodes(source) if size <= DENSE_LIMIT else None


def _krylov(theta: Source, start: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values of Θ/n and Ritz vectors in the Krylov space of a residual."""
    if not np.any(start):
        return np.zeros(1), np.zeros((len(start), 1))
    space = tridiagonalize(theta.times, start, min(dim, len(start)))
    values, rotation = space.eigh()
    return values, space.basis.T @ rotation


def frozen_residuals(
    gram: ArrayLike, residual0: ArrayLike, times: ArrayLike | Sequence[float]
) -> Float[np.ndarray, "T ..."]:
    """e^(-tΘ/n) r(0) at these times, (T, n[, c]): `frozen(gram, residual0).residuals(times)`."""
    return frozen(gram, residual0).residuals(times)
