"""Bayesian inference with a network of infinite width as the prior."""

import enum
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.errors import InputError
from ._infinite_width import check_kernel, gram, positive_modes, training_data


class PosteriorStatus(enum.Enum):
    """What the posterior stands on."""

    exact = "the covariance of the observations is invertible"
    singular = (
        "the covariance of the observations is singular up to rounding, and its pseudo-inverse stands for its inverse: "
        "what the prior cannot be, the posterior is not either; a small `noise` makes it regular"
    )


class NNGPPosterior(eqx.Module):
    """A Gaussian process given observations, at test points.

    Attributes:
        mean: (m,) or (m, c).
        covariance: of an output, without the noise of a new observation, (m, m); outputs are independent of each other.
        log_marginal_likelihood: log p(y), of all outputs together; NaN where the covariance of y is singular.
        noise: variance of the observations' noise.
        status: a `PosteriorStatus`.
    """

    mean: Float[np.ndarray, "m ..."]
    covariance: Float[np.ndarray, "m m"]
    log_marginal_likelihood: float = eqx.field(static=True)
    noise: float = eqx.field(static=True)
    status: PosteriorStatus = eqx.field(static=True)

    @property
    def variance(self) -> Float[np.ndarray, " m"]:
        """The diagonal of `covariance`, (m,)."""
        return np.maximum(np.diag(self.covariance), 0.0)  # 0 up to rounding of either sign, without noise, on data


def nngp_posterior(
    kernel: Any,
    x: ArrayLike | Sequence[Sequence[float]],
    y: ArrayLike | Sequence[float] | Sequence[Sequence[float]],
    x_test: ArrayLike | Sequence[Sequence[float]],
    *,
    noise: float = 0.0,
) -> NNGPPosterior:
    """What a network of infinite width says after Bayesian inference: the NNGP Gaussian process given the data.

    The prior is the network at a random initialization, a Gaussian process of covariance K, and y = f(x) + noise:

        mean        K(x_test, x) (K(x, x) + noise)⁻¹ y
        covariance  K(x_test, x_test) - K(x_test, x) (K(x, x) + noise)⁻¹ K(x, x_test).

    Without noise this is also the ensemble of networks of which only the last layer is trained, at t = ∞. Training all
    layers gives `ensemble`, another one.

    Args:
        kernel: an object with `.nngp(x1, x2)`, as `kernels.infinite_ntk(…)`.
        x: training inputs (n, dim).
        y: observations, (n,) or (n, c).
        x_test: inputs (m, dim).
        noise: variance of the noise of an observation.

    Returns:
        `NNGPPosterior` with `.mean`, `.covariance`, `.variance` and `.log_marginal_likelihood`.

    Raises:
        InputError: a kernel without `.nngp`, shapes that do not fit, NaN or infinity, a negative noise.

    Cost and precision:
        In float64 on the host: one eigendecomposition of K(x, x), (n + m)² numbers. Eigenvalues that are rounding
        errors are left out, as by a pseudo-inverse, and `.status` says so.

    Example:
        >>> from spectralbias import dynamics, kernels
        >>> kernel = kernels.infinite_ntk(1, bias_variance=0.1)
        >>> posterior = dynamics.nngp_posterior(kernel, [[-1.0], [1.0]], [0.0, 1.0], [[0.5], [1.0], [2.0]], noise=0.01)
        >>> posterior.mean.round(2), posterior.variance.round(2)
        (array([0.54, 1.  , 1.9 ]), array([0.05, 0.01, 0.21]))

    References:
        Lee et al. 2018, Deep neural networks as Gaussian processes. Rasmussen and Williams 2006, Gaussian processes for
        machine learning, eq. (2.23) to (2.30).
    """
    check_kernel(kernel, "nngp")
    if not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"`noise` must be a variance, 0 or more, got {noise}")
    train, y, test = training_data(x, y, x_test)
    assert test is not None
    modes = positive_modes(gram(kernel, "nngp", train), "nngp")
    values = modes.eigenvalues * len(y) + noise
    regular = values > modes.resolution * np.max(values)
    inverse = np.where(regular, 1 / np.where(regular, values, 1.0), 0.0)
    cross = gram(kernel, "nngp", test, train) @ modes.eigenvectors
    targets = np.tensordot(modes.eigenvectors, y, (0, 0))
    seen = np.sqrt(inverse) * cross
    status = PosteriorStatus.exact if np.all(regular) else PosteriorStatus.singular
    outputs = y.size // len(y)
    likelihood = np.nan
    if status is PosteriorStatus.exact:
        squares = np.sum(targets.reshape(len(y), -1) ** 2 * inverse[:, None])
        likelihood = -(squares + outputs * np.sum(np.log(2 * np.pi * values))) / 2
    return NNGPPosterior(
        mean=np.tensordot(cross * inverse, targets, (1, 0)),
        covariance=gram(kernel, "nngp", test) - seen @ seen.T,
        log_marginal_likelihood=float(likelihood),
        noise=float(noise),
        status=status,
    )
