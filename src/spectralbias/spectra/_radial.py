"""Energy against |k| of functions on a regular grid."""

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float, Int

from .._core.errors import InputError


def frequency_radius(shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    """|k| of every FFT coefficient of a grid, in cycles per grid length."""
    axes = np.meshgrid(*[np.fft.fftfreq(size, d=1 / size) for size in shape], indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes))


class RadialSpectrum(eqx.Module):
    """Fourier energy in rings |k| = 0, 1, 2, …; a frequency belongs to the ring of its rounded |k|.

    Attributes:
        energy: Σ |ĉ_k|² over the ring and over outputs, (rings,). All rings add up to the mean square.
        counts: number of frequencies k in the ring, k and -k both, (rings,).
    """

    energy: Float[np.ndarray, " rings"]
    counts: Int[np.ndarray, " rings"]

    @property
    def frequencies(self) -> Int[np.ndarray, " rings"]:
        """|k| of the rings, 0, 1, 2, …, in cycles per length."""
        return np.arange(len(self.energy))

    @property
    def rms(self) -> Float[np.ndarray, " rings"]:
        """Root mean square of the coefficients ĉ_k of a ring, (rings,); NaN for a ring without frequencies."""
        empty = self.counts == 0
        return np.where(empty, np.nan, np.sqrt(self.energy / np.where(empty, 1, self.counts)))


def in_rings(radius: np.ndarray, power: np.ndarray) -> RadialSpectrum:
    """The sum of power over frequencies of the same rounded |k|."""
    ring = np.rint(radius).astype(int).ravel()
    return RadialSpectrum(np.bincount(ring, power.ravel()), np.bincount(ring))


def radial_spectrum(values: ArrayLike, shape: tuple[int, ...]) -> RadialSpectrum:
    """The radially averaged Fourier spectrum of a function on a regular grid.

    ĉ_k = (1/n) Σ_x f(x) e^(-2πi⟨k, x⟩/L) over the grid, and E_j = Σ |ĉ_k|² over all k whose |k| rounds to j.

    Args:
        values: f on the grid in row-major order, (n,), or (n, c) for c outputs.
        shape: nodes along each axis, with product n.

    Returns:
        `RadialSpectrum`. Its frequencies count cycles per grid length, along every axis. Its energies add up to the
        mean of f², summed over outputs (Parseval).

    Raises:
        InputError: values that are not one row per node of the grid.

    Cost and precision:
        One FFT in float64. Values that are not finite make the whole spectrum infinite or NaN.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> wave = np.cos(2 * np.pi * 3 * np.arange(8) / 8)
        >>> spectra.radial_spectrum(wave, (8,)).energy.round(6)
        array([0. , 0. , 0. , 0.5, 0. ])
    """
    array = np.asarray(values, np.float64)
    if len(shape) == 0 or min(shape) < 1:
        raise InputError(f"`shape` must name the nodes along each axis, got {shape}")
    if array.ndim not in (1, 2) or len(array) != np.prod(shape):
        raise InputError(
            f"`values` must have {np.prod(shape)} rows, one per node of the grid {shape}, got shape {array.shape}"
        )
    axes = tuple(range(len(shape)))
    with np.errstate(over="ignore", invalid="ignore"):
        amplitudes = np.fft.fftn(array.reshape(*shape, -1), axes=axes) / len(array)
        return in_rings(frequency_radius(tuple(shape)), np.sum(np.abs(amplitudes) ** 2, axis=-1))
