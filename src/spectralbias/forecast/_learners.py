"""What frozen kernels make of a target on a grid: trained on every second node, asked at all of them."""

import abc
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
import scipy.fft
import scipy.linalg
from jaxtyping import Float

from ..dynamics._decay import descent_integral
from ..spectra._krylov import tridiagonalize

STRIDE = 2


class Target(NamedTuple):
    """A target on a grid, less its mean over the nodes that train: every second one along each axis."""

    values: Float[np.ndarray, "*grid c"]
    mean: Float[np.ndarray, " c"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return self.values.shape[:-1]

    @property
    def trains(self) -> np.ndarray:
        """Which nodes train, (*grid)."""
        return functools.reduce(np.logical_and.outer, [np.arange(size) % STRIDE == 0 for size in self.shape])

    @property
    def training(self) -> Float[np.ndarray, "n c"]:
        """The values that train."""
        return self.values[self.trains]


def centered(values: Float[np.ndarray, "*grid c"]) -> Target:
    """The target less its mean over the nodes that train."""
    mean = Target(values, values[(0,) * (values.ndim - 1)]).training.mean(axis=0)
    return Target(values - mean, mean)


class Learner(eqx.Module):
    """Gradient descent with a frozen kernel from f = 0."""

    target: eqx.AbstractVar[Target]
    largest: eqx.AbstractVar[float]

    @abc.abstractmethod
    def predictions(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T *grid c"]:
        """The function on the grid, less the target's mean, after these numbers of steps."""

    def errors(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T 2"]:
        """Mean square errors on the nodes that train, and on the others."""
        trains = self.target.trains
        left = np.mean((self.predictions(steps, rate) - self.target.values) ** 2, axis=-1)
        return np.stack([left[:, trains].mean(axis=1), left[:, ~trains].mean(axis=1)], axis=1)


class DenseLearner(Learner):
    """By the eigenmodes of a Gram: for any kernel, on a few thousand nodes."""

    target: Target
    largest: float
    eigenvalues: np.ndarray
    vectors: np.ndarray
    kernel: np.ndarray

    def predictions(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T *grid c"]:
        """f = Θ(·, x) V (∫ decay) Vᵀ y/n."""
        y = self.target.training
        integral = descent_integral(self.eigenvalues, np.asarray(steps, float), rate, 0.0)
        weights = np.einsum("ik,tk,kc->itc", self.vectors, integral, self.vectors.T @ y, optimize=True) / len(y)
        found = self.kernel @ weights.reshape(len(y), -1)
        return np.moveaxis(found.reshape(*self.target.shape, len(steps), -1), -2, 0)


def dense_learner(kernel: Float[np.ndarray, "N n"], target: Target) -> DenseLearner:
    """From Θ between all nodes and those that train."""
    gram = np.asarray(kernel[target.trains.ravel()], np.float64)
    eigenvalues, vectors = scipy.linalg.eigh((gram + gram.T) / (2 * len(gram)), driver="evd", check_finite=False)
    return DenseLearner(target, float(eigenvalues[-1]), np.maximum(eigenvalues, 0.0), vectors, kernel)


class WaveLearner(Learner):
    """A kernel of x - x' of period 2: nothing but FFTs, of the sublattice and its cosets."""

    target: Target
    largest: float
    transfer: np.ndarray
    waves: np.ndarray

    def predictions(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T *grid c"]:
        """Each coset from the waves of the sublattice."""
        return np.stack([self._at(step, rate) for step in steps])

    def _at(self, step: int, rate: float) -> np.ndarray:
        small, dim = self.transfer.shape[1:], self.transfer.ndim - 1
        axes = tuple(range(dim))
        eigenvalues = np.maximum(self.transfer[0].real, 0.0).ravel()
        factor = descent_integral(eigenvalues, np.array([step], float), rate, 0.0)[0].reshape(small)
        found = np.empty(self.target.values.shape)
        for transfer, coset in zip(self.transfer, _cosets(dim), strict=True):
            waves = (transfer * factor)[..., None] * self.waves
            found[coset] = np.real(np.asarray(scipy.fft.ifftn(waves, axes=axes, workers=-1)))
        return found

    def errors(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T 2"]:
        """By Parseval's equation, without a picture."""
        n, dim = self.transfer[0].size, self.transfer.ndim - 1
        axes, channels = tuple(range(dim)), self.waves.shape[-1]
        eigenvalues = np.maximum(self.transfer[0].real, 0.0).ravel()
        integral = descent_integral(eigenvalues, np.asarray(steps, float), rate, 0.0)
        errors = np.empty((len(steps), len(self.transfer)))
        for index, coset in enumerate(_cosets(dim)):
            targets = np.asarray(scipy.fft.fftn(self.target.values[coset], axes=axes, workers=-1)).reshape(n, channels)
            learned = self.transfer[index].reshape(n, 1) * self.waves.reshape(n, channels)
            # |t - s g|² = |t|² - 2 s Re(t̄ g) + s² |g|², summed over waves with s of each step.
            both = np.sum(np.real(np.conj(targets) * learned), axis=1)
            squares = np.sum(np.abs(learned) ** 2, axis=1)
            errors[:, index] = np.sum(np.abs(targets) ** 2) - 2 * integral @ both + integral**2 @ squares
        errors = np.maximum(errors, 0) / (n**2 * channels)
        return np.stack([errors[:, 0], errors[:, 1:].mean(axis=1)], axis=1)


def _cosets(dim: int) -> list[tuple[slice, ...]]:
    return [tuple(slice(start, None, STRIDE) for start in offset) for offset in np.ndindex(*(STRIDE,) * dim)]


def wave_learner(kernel: Float[np.ndarray, "*grid"], target: Target) -> WaveLearner:
    """From Θ between the first node and all nodes of the grid; the grid has an even number of nodes along each axis."""
    dim = kernel.ndim
    n = kernel.size // STRIDE**dim
    transfer = np.stack([scipy.fft.fftn(kernel[coset]) / n for coset in _cosets(dim)])
    waves = np.asarray(scipy.fft.fftn(target.values[_cosets(dim)[0]], axes=tuple(range(dim))))
    return WaveLearner(target, float(transfer[0].real.max()), transfer, waves)


class KrylovLearner(Learner):
    """A kernel of x - x' without a period: products by FFT, and a Krylov space of the target for each channel."""

    target: Target
    largest: float
    spaces: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    spread: Callable[[np.ndarray], np.ndarray] = eqx.field(static=True)

    def predictions(self, steps: Sequence[int], rate: float) -> Float[np.ndarray, "T *grid c"]:
        """f = Θ(·, x) Q (∫ decay) Qᵀ y/n."""
        found = np.empty((len(steps), *self.target.values.shape))
        for channel, (values, vectors, coefficients) in enumerate(self.spaces):
            integral = descent_integral(values, np.asarray(steps, float), rate, 0.0)
            for t, weights in enumerate((integral * coefficients) @ vectors.T):
                found[t, ..., channel] = self.spread(weights)
        return found


def krylov_learner(
    kernel: Callable[[list[np.ndarray]], np.ndarray], target: Target, spacing: Sequence[float], size: int
) -> KrylovLearner:
    """From Θ as a function of differences, given as one array for each axis, on the grid that they span."""
    shape, trains = target.shape, target.trains
    doubled = tuple(2 * count for count in shape)
    differences = [h * np.fft.fftfreq(count, 1 / count) for h, count in zip(spacing, doubled, strict=True)]
    transform = np.asarray(scipy.fft.rfftn(kernel(differences)))
    window = tuple(slice(count) for count in shape)

    def spread(weights: np.ndarray) -> np.ndarray:
        """Θ(·, x) w/n on the grid."""
        laid = np.zeros(doubled)
        laid[window][trains] = weights
        waves = np.asarray(scipy.fft.rfftn(laid, workers=-1)) * transform
        return np.asarray(scipy.fft.irfftn(waves, doubled, workers=-1))[window] / len(weights)

    spaces = []
    for channel in target.training.T:
        space = tridiagonalize(lambda v: spread(v)[trains], channel, min(size, len(channel)))
        values, rotation = space.eigh()
        vectors = space.basis.T @ rotation
        spaces.append((np.maximum(values, 0.0), vectors, channel @ vectors))
    return KrylovLearner(target, max(float(values[0]) for values, *_ in spaces), tuple(spaces), spread)
