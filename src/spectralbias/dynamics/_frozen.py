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
from ._compare import crossing
from ._schedule import log_spaced
from ._time import check_momentum


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
        """Residuals (T, n[, c]) under gradient flow at these times."""
        return self._apply(decay(self.eigenvalues, finite_array("times", times, ndim=1)))

    def residuals_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T ..."]:
        """Residuals (T, n[, c]) after these numbers of gradient-descent steps, heavy-ball momentum included."""
        steps = _whole(steps)
        return self._apply(discrete_decay(self.eigenvalues, steps, learning_rate, momentum))

    def limit(self) -> Float[np.ndarray, "..."]:
        """What is never learned: the residual at t = ∞, (n[, c])."""
        zero = self.eigenvalues <= self.resolution * np.max(np.abs(self.eigenvalues))
        return self._apply(zero[None].astype(float))[0]

    def predictions(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T ..."]:
        """Outputs (T, n_test[, c]) on the test points under gradient flow: f0 - Θ(x_test, x) (1-e^(-tΘ/n)) Θ⁻¹ r(0)."""
        times = finite_array("times", times, ndim=1)
        lost = -np.expm1(-np.outer(times, self.eigenvalues))
        return self._on_test_points(lost, times)

    def predictions_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T ..."]:
        """Outputs (T, n_test[, c]) on the test points after these numbers of gradient-descent steps."""
        steps = _whole(steps)
        lost = 1 - discrete_decay(self.eigenvalues, steps, learning_rate, momentum)
        built_up = steps - momentum * (1 - momentum**steps) / (1 - momentum)
        return self._on_test_points(lost, learning_rate * built_up / (1 - momentum))

    def _apply(self, factors: Float[np.ndarray, "T k"]) -> np.ndarray:
        flat = (factors * self.coefficients) @ self.vectors.T + self.remainder
        return flat.reshape(len(factors), self.num_samples, *self.outputs)

    def _on_test_points(self, lost: Float[np.ndarray, "T k"], at_zero: Float[np.ndarray, " T"]) -> np.ndarray:
        """f0 - (1/n) cross · Σ lost(λ)/λ · c v, with the limit `at_zero` where λ vanishes."""
        if self.cross is None or self.f0_test is None:
            raise InputError("predictions on test points need `cross` = Θ(x_test, x) and `f0_test`")
        tiny = np.abs(self.eigenvalues) <= 1e-14 * np.max(np.abs(self.eigenvalues))
        integral = np.where(tiny, at_zero[:, None], lost / np.where(tiny, 1.0, self.eigenvalues))
        moved = (integral * self.coefficients) @ (self.cross @ self.vectors).T / self.num_samples
        return self.f0_test - moved.reshape(len(lost), *self.f0_test.shape)


def decay(eigenvalues: ArrayLike, times: ArrayLike) -> Float[np.ndarray, "T k"]:
    """e^(-λt) for every time and eigenvalue."""
    return np.exp(-np.outer(times, eigenvalues))


def discrete_decay(
    eigenvalues: ArrayLike, steps: ArrayLike, learning_rate: float, momentum: float = 0.0
) -> Float[np.ndarray, "T k"]:
    """(1 - ηλ)^s for every step and eigenvalue; with momentum β the solution of its recursion.

    r_{s+1} = (1 + β - ηλ) r_s - β r_{s-1} with r_{-1} = r_0 has the solution r_s = S_{s+1} - β S_s,
    S_s = (z₊^s - z₋^s)/(z₊ - z₋), z± the roots of z² - (1 + β - ηλ) z + β.
    """
    check_momentum(momentum)
    eigenvalues, steps = np.asarray(eigenvalues, float), np.asarray(steps, float)[:, None]
    if momentum == 0:
        with np.errstate(over="ignore", under="ignore"):
            return (1 - learning_rate * eigenvalues) ** steps
    half_sum = (1 + momentum - learning_rate * eigenvalues).astype(complex) / 2
    root = np.sqrt(half_sum**2 - momentum)
    plus, minus = half_sum + root, half_sum - root
    double = np.abs(root) < 1e-9

    def basis(s: np.ndarray) -> np.ndarray:
        distinct = (plus**s - minus**s) / np.where(double, 1, 2 * root)
        return np.where(double, s * half_sum ** (s - 1), distinct)

    with np.errstate(over="ignore", under="ignore"):
        return np.real(basis(steps + 1) - momentum * basis(steps))


def learning_steps(
    eigenvalues: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0, *, horizon: int = 10**6
) -> Float[np.ndarray, " k"]:
    """The step from which on each mode of a frozen kernel stays at or below 1/e of its start.

    -1/log|1 - ηλ| for gradient descent. With momentum the recursion of `discrete_decay` is followed up to `horizon`.

    Args:
        eigenvalues: λ of Θ/n, (k,).
        learning_rate: η.
        momentum: β.
        horizon: with momentum, modes that are later than this count as never learned.

    Returns:
        Steps (k,), not rounded; infinity where never.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.learning_steps([1.0, 0.1], 0.5).round(2)
        array([ 1.44, 19.5 ])
    """
    eigenvalues = np.asarray(eigenvalues, float)
    if momentum == 0:
        with np.errstate(divide="ignore"):
            rates = -np.log(np.abs(1 - learning_rate * eigenvalues))
        return np.divide(1.0, rates, out=np.full(rates.shape, np.inf), where=rates > 0)
    steps = np.array(log_spaced(horizon))
    return crossing(steps, discrete_decay(eigenvalues, steps, learning_rate, momentum))


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
        `Frozen`, to be asked for any time or step.

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


def _whole(steps: ArrayLike | Sequence[float]) -> np.ndarray:
    steps = finite_array("steps", steps, ndim=1)
    if np.any((steps < 0) | (steps % 1 != 0)):
        raise InputError("`steps` must be whole numbers, 0 or more")
    return steps


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
