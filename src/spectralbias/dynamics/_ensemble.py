"""Infinitely wide networks, trained from every initialization: the mean and the spread of what they learn."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from ..spectra import Modes
from ._decay import checked_times, descent_integral, flow_integral, whole_steps
from ._infinite_width import check_kernel, gram, positive_modes, training_data


class Ensemble(eqx.Module):
    """Outputs of infinitely wide networks along training: a Gaussian process at every time.

    Attributes:
        modes: of Θ/n on the training points.
        targets: y along the modes, (n,) or (n, c).
        reach: Θ(x_test, x) v_i / n, (m, n): how a mode of the training points moves the test points.
        prior: the covariance of the outputs at the start: K(x_test, x_test) (m, m), K(x_test, x) V (m, n) and
            Vᵀ K(x, x) V (n, n), with V the modes; None where all networks start at 0.
    """

    modes: Modes
    targets: Float[np.ndarray, "n ..."]
    reach: Float[np.ndarray, "m n"]
    prior: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    def mean(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T ..."]:
        """Mean outputs (T, m[, c]) under gradient flow at these times; `np.inf` is one: the end of training."""
        return self._mean(self._flow(times))

    def covariance(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T m m"]:
        """Covariance (T, m, m) of an output at the test points; outputs are independent, and have the same one."""
        return self._covariance(self._flow(times))

    def variance(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T m"]:
        """The diagonal of `covariance`, (T, m), without the rest."""
        return self._variance(self._flow(times))

    def mean_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T ..."]:
        """Mean outputs (T, m[, c]) after these numbers of gradient-descent steps, heavy-ball momentum included."""
        return self._mean(self._descent(steps, learning_rate, momentum))

    def covariance_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T m m"]:
        """Covariance (T, m, m) after these numbers of gradient-descent steps."""
        return self._covariance(self._descent(steps, learning_rate, momentum))

    def variance_at(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T m"]:
        """The diagonal of `covariance_at`, (T, m)."""
        return self._variance(self._descent(steps, learning_rate, momentum))

    def on_training_points(self) -> "Ensemble":
        """The same networks, looked at on the training points."""
        vectors = self.modes.eigenvectors
        prior = None if self.prior is None else _on_data(vectors, self.prior[2])
        return dataclasses.replace(self, reach=vectors * self.modes.eigenvalues, prior=prior)

    def _flow(self, times: ArrayLike | Sequence[float]) -> Float[np.ndarray, "T n"]:
        """(1 - e^(-λt))/λ."""
        times = checked_times(times)
        ever, values = np.isfinite(times), self.modes.eigenvalues
        integral = flow_integral(values, np.where(ever, times, 0.0))
        # What is a rounding error of Θ is never learned.
        learned = values > self.modes.resolution * np.max(np.abs(values))
        integral[~ever] = np.where(learned, 1 / np.where(learned, values, 1.0), 0.0)
        return integral

    def _descent(
        self, steps: ArrayLike | Sequence[float], learning_rate: float, momentum: float
    ) -> Float[np.ndarray, "T n"]:
        return descent_integral(self.modes.eigenvalues, whole_steps(steps), learning_rate, momentum)

    def _mean(self, integral: Float[np.ndarray, "T n"]) -> np.ndarray:
        columns = self.targets.reshape(len(self.targets), -1)
        moved = np.einsum("mn,tn,nc->tmc", self.reach, integral, columns, optimize=True)
        return moved.reshape(len(integral), len(self.reach), *self.targets.shape[1:])

    def _covariance(self, integral: Float[np.ndarray, "T n"]) -> np.ndarray:
        """K** - A K(x, x_test) - K(x_test, x) Aᵀ + A K(x, x) Aᵀ with A V = reach · integral."""
        points = len(self.reach)
        if self.prior is None:
            return np.zeros((len(integral), points, points))
        start, cross, train = self.prior
        found = np.empty((len(integral), points, points))
        for moment, row in zip(found, integral, strict=True):
            weights = self.reach * row
            half = (weights @ train / 2 - cross) @ weights.T
            np.add(half, half.T, out=moment)
            moment += start
        return found

    def _variance(self, integral: Float[np.ndarray, "T n"]) -> np.ndarray:
        if self.prior is None:
            return np.zeros((len(integral), len(self.reach)))
        start, cross, train = self.prior
        found = np.empty((len(integral), len(self.reach)))
        for moment, row in zip(found, integral, strict=True):
            weights = self.reach * row
            moment[:] = np.sum((weights @ train - 2 * cross) * weights, axis=1)
        # On training points it ends at 0, up to rounding of either sign.
        return np.maximum(found + np.diag(start), 0.0)


def ensemble(
    kernel: Any,
    x: ArrayLike | Sequence[Sequence[float]],
    y: ArrayLike | Sequence[float] | Sequence[Sequence[float]],
    x_test: ArrayLike | Sequence[Sequence[float]] | None = None,
    *,
    antisymmetric: bool = False,
) -> Ensemble:
    """What infinitely wide networks learn: the mean and covariance of their outputs over initializations.

    A network of infinite width starts as a draw f_0 from a Gaussian process of covariance K, the NNGP kernel, and its
    Θ does not move. So with A_t = Θ(x_test, x) Θ⁻¹ (1 - e^(-tΘ/n)) its outputs at time t are
    f_t(x_test) = f_0(x_test) - A_t (f_0(x) - y). They are Gaussian, with

        mean        A_t y
        covariance  K(x_test, x_test) - A_t K(x, x_test) - K(x_test, x) A_tᵀ + A_t K(x, x) A_tᵀ.

    This is the spread of ensembles of trained networks. It is not a posterior: for that see `nngp_posterior`.

    Args:
        kernel: an object with `.ntk(x1, x2)` and `.nngp(x1, x2)`: `kernels.infinite_ntk(…)`, `bowman_kernel`, ….
        x: training inputs (n, dim).
        y: targets, (n,) or (n, c). Outputs of a network of infinite width are independent of each other.
        x_test: inputs (m, dim) at which to look at the networks; the training inputs by default.
        antisymmetric: whether all networks start at f_0 = 0. The mean is the same, and there is no spread.

    Returns:
        `Ensemble`, to be asked for `.mean`, `.covariance` and `.variance` at any time, `np.inf` included, and for
        `.mean_at`, `.covariance_at` and `.variance_at` after any number of steps.

    Raises:
        InputError: a kernel without these methods, or with Grams that are not positive semi-definite; shapes that do
            not fit; NaN or infinity.

    Cost and precision:
        Kernels and algebra in float64 on the host, (n + m)² numbers of each kernel, and one eigendecomposition of Θ
        (n = 4000 takes a minute). Then a time costs m n for the mean and m n² + m² n for the covariance. A network of
        finite width differs by about its depth over its width, and by more where it leaves its linearization.

    Example:
        >>> import numpy as np
        >>> from spectralbias import dynamics, kernels
        >>> kernel = kernels.infinite_ntk(1, bias_variance=0.1)
        >>> networks = dynamics.ensemble(kernel, [[-1.0], [1.0]], [0.0, 1.0], [[0.5], [1.0], [2.0]])
        >>> networks.mean([1.0, np.inf]).round(2)
        array([[0.46, 0.88, 1.68],
               [0.52, 1.  , 1.9 ]])
        >>> networks.variance([0.0, np.inf]).round(2)
        array([[0.7 , 2.2 , 8.2 ],
               [0.05, 0.  , 0.18]])

    References:
        Jacot, Gabriel and Hongler 2018, sec. 5. Lee et al. 2019, Wide neural networks of any depth evolve as linear
        models under gradient descent, Corollary 1; their loss is not divided by n, so their time is our t/n.
    """
    check_kernel(kernel, "ntk", *(() if antisymmetric else ("nngp",)))
    train, y, test = training_data(x, y, x_test)
    modes = positive_modes(gram(kernel, "ntk", train), "ntk")
    vectors, prior = modes.eigenvectors, None
    if not antisymmetric:
        rotated = vectors.T @ gram(kernel, "nngp", train) @ vectors
        prior = _on_data(vectors, (rotated + rotated.T) / 2)
    networks = Ensemble(modes, np.tensordot(vectors, y, (0, 0)), vectors * modes.eigenvalues, prior)
    if test is None:
        return networks
    if prior is not None:
        prior = gram(kernel, "nngp", test), gram(kernel, "nngp", test, train) @ vectors, prior[2]
    return dataclasses.replace(networks, reach=gram(kernel, "ntk", test, train) @ vectors / len(y), prior=prior)


def _on_data(vectors: np.ndarray, rotated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`prior` on the training points from Vᵀ K(x, x) V."""
    cross = vectors @ rotated
    return cross @ vectors.T, cross, rotated
