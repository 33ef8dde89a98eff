"""Kernels of x - x' on a whole grid: their modes are waves, and a transform stands for the Gram."""

import functools
from typing import Any

import equinox as eqx
import jax
import numpy as np
import scipy.fft
from jaxtyping import Float

from .._core.errors import InputError
from ..dynamics import discrete_decay
from ..problems import Problem
from ._limit import is_periodic


class WaveModes(eqx.Module):
    """A frozen kernel on a grid, mode by mode.

    A kernel of period 2 on a grid over [-1, 1) has the waves of the FFT as its exact modes. Any other kernel of x - x'
    has nearly the cosines of the DCT: its Gram is Toeplitz, and the reflected window is what stands for its border.

    Attributes:
        eigenvalues: λ of Θ/n for each wave, (*grid).
        coefficients: of r(0), (*grid, c); their squares add up to the mean of r² over the samples.
        outputs: () or (c,).
        periodic: whether the waves are exact modes.
    """

    eigenvalues: Float[np.ndarray, "..."]
    coefficients: np.ndarray
    outputs: tuple[int, ...] = eqx.field(static=True)
    periodic: bool = eqx.field(static=True)

    @property
    def order(self) -> np.ndarray:
        """The waves by descending eigenvalue, as flat indices."""
        return np.argsort(-self.eigenvalues, axis=None, kind="stable")

    def energy(self) -> Float[np.ndarray, " n"]:
        """Of r(0) in each wave, summed over outputs, in the order of the grid."""
        return np.sum(np.abs(self.coefficients) ** 2, axis=-1).ravel()

    def residual_at(self, step: int, rate: float, momentum: float = 0.0) -> Float[np.ndarray, "n ..."]:
        """The residual after a number of steps of gradient descent."""
        shape, n = self.eigenvalues.shape, self.eigenvalues.size
        left = discrete_decay(self.eigenvalues.ravel(), [step], rate, momentum)[0].reshape(shape)
        axes = tuple(range(len(shape)))
        waves = left[..., None] * self.coefficients
        if self.periodic:
            values = np.real(np.asarray(scipy.fft.ifftn(waves, axes=axes, norm="forward")))
        else:
            values = np.asarray(scipy.fft.idctn(waves, axes=axes, norm="ortho")) * n**0.5
        return values.reshape(n, *self.outputs)


def wave_modes(kernel: Any, problem: Problem, residual0: Float[np.ndarray, "n ..."]) -> WaveModes:
    """The modes of a kernel with `.stationary(differences)` on the grid of a problem.

    n pairs of the kernel (2^dim n where it is not periodic) and two transforms.
    """
    if problem.grid is None:
        raise InputError("the problem has no grid: a kernel of x - x' needs one to be transformed")
    shape, dim = problem.grid.shape, len(problem.grid.shape)
    periodic = is_periodic(kernel) and problem.grid.periodic_length == 2.0
    sizes = shape if periodic else tuple(2 * size for size in shape)
    step = [problem.grid.periodic_length / size for size in shape]
    axes = [h * np.fft.fftfreq(size, 1 / size) for h, size in zip(step, sizes, strict=True)]
    differences = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    with jax.enable_x64(True):
        values = np.asarray(kernel.stationary(differences), np.float64).reshape(sizes)
    n = np.prod(shape)
    if periodic:
        spectrum = np.real(np.asarray(scipy.fft.fftn(values))) / n
    else:
        # Of n nodes along an axis, n - |d| have a partner at distance d. The mean belongs to the constant alone.
        partners = [np.maximum(1 - np.abs(np.fft.fftfreq(2 * size, 1 / 2)), 0) for size in shape]
        share = functools.reduce(np.multiply.outer, partners)
        mean = np.sum(values * share) / n
        spectrum = (
            np.real(np.asarray(scipy.fft.fftn((values - mean) * share)))[tuple(slice(size) for size in shape)] / n
        )
        spectrum[(0,) * dim] = mean
    r0 = residual0.reshape(*shape, -1)
    which = tuple(range(dim))
    if periodic:
        coefficients = np.asarray(scipy.fft.fftn(r0, axes=which, norm="forward"))
    else:
        coefficients = np.asarray(scipy.fft.dctn(r0, axes=which, norm="ortho")) / n**0.5
    return WaveModes(np.maximum(spectrum, 0.0), coefficients, residual0.shape[1:], periodic)
