"""Training on every second node of a periodic grid with a kernel that is a function of x - x': nothing but FFTs."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from .._core.errors import InputError
from ..dynamics._decay import descent_integral

# Every second node along each axis is trained on, the others are held out.
STRIDE = 2


class Lattice(eqx.Module):
    """A frozen kernel on the sublattice of a periodic grid, in Fourier space.

    Attributes:
        shape: nodes of the training sublattice along each axis, n in all.
        eigenvalues: λ of Θ/n, one for each frequency of the sublattice, in the order of the FFT.
        transfer: how a mode of the training nodes moves the nodes of each coset, over n: (cosets, *shape), complex.
        targets: FFT of the target on each coset, (cosets, c, *shape); coset 0 is the training sublattice.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    eigenvalues: Float[np.ndarray, "..."]
    transfer: np.ndarray
    targets: np.ndarray

    @property
    def largest(self) -> float:
        """λ_max."""
        return float(self.eigenvalues.max())

    def losses(self, steps: Sequence[int], learning_rate: float, momentum: float = 0.0) -> Float[np.ndarray, "T 2"]:
        """Mean square error per value on the training nodes and on the held-out ones, after gradient descent."""
        n, errors = int(np.prod(self.shape)), []
        for factor in self._learned(steps, learning_rate, momentum):
            left = np.abs(self.transfer[:, None] * factor * self.targets[0] - self.targets) ** 2
            each = left.reshape(len(left), -1).sum(axis=1) / (n**2 * self.targets.shape[1])
            errors.append((each[0], each[1:].mean()))
        return np.array(errors)

    def predictions(
        self, steps: Sequence[int], learning_rate: float, momentum: float = 0.0
    ) -> Float[np.ndarray, "T c ..."]:
        """The function on the whole grid after these numbers of steps, (T, c, *grid)."""
        dim, grid = len(self.shape), tuple(STRIDE * size for size in self.shape)
        whole = np.empty((len(steps), self.targets.shape[1], *grid))
        for t, factor in enumerate(self._learned(steps, learning_rate, momentum)):
            for transfer, offset in zip(self.transfer, np.ndindex(*(STRIDE,) * dim), strict=True):
                values = np.fft.ifftn(transfer * factor * self.targets[0], axes=range(-dim, 0)).real
                whole[(t, slice(None), *(slice(start, None, STRIDE) for start in offset))] = values
        return whole

    def _learned(self, steps: Sequence[int], learning_rate: float, momentum: float) -> np.ndarray:
        """∫ of the decay, per step and frequency."""
        integral = descent_integral(self.eigenvalues.ravel(), np.asarray(steps, float), learning_rate, momentum)
        return integral.reshape(len(steps), 1, *self.shape)


def lattice(stationary: Callable[[Array], Array], target: np.ndarray) -> Lattice:
    """The kernel Θ(x, x') = κ(x - x'), of period 2 in every coordinate, on a grid over [-1, 1) and its sublattice.

    Args:
        stationary: κ of differences (..., dim).
        target: (*grid, c), with an even number of nodes along each axis.
    """
    grid, dim = target.shape[:-1], target.ndim - 1
    if any(size % STRIDE for size in grid):
        raise InputError(f"the grid must have an even number of nodes along each axis, got {grid}")
    axes = np.meshgrid(*[2 * np.arange(size) / size for size in grid], indexing="ij")
    with jax.enable_x64(True):
        kernel = np.asarray(stationary(np.stack(axes, axis=-1).reshape(-1, dim))).reshape(grid)
    cosets = [tuple(slice(start, None, STRIDE) for start in offset) for offset in np.ndindex(*(STRIDE,) * dim)]
    shape = tuple(size // STRIDE for size in grid)
    n = int(np.prod(shape))
    transfer = np.stack([np.fft.fftn(kernel[coset]) / n for coset in cosets])
    targets = np.stack([np.fft.fftn(np.moveaxis(target[coset], -1, 0), axes=range(1, dim + 1)) for coset in cosets])
    return Lattice(shape, np.maximum(transfer[0].real, 0.0), transfer, targets)
