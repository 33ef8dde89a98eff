"""Bands of frequencies: on a grid by the FFT, on scattered points by least squares."""

import itertools
import math

import equinox as eqx
import numpy as np

from .._core.errors import InputError
from ..problems import Problem
from ._band_kinds import Bands
from ._fourier import fourier_coefficients
from ._radial import frequency_radius

# The period of the Fourier modes on scattered points: that of the window [-1, 1].
LENGTH = 2.0


class FrequencyBands(Bands):
    """Energy per ring of frequencies, edges[j] <= |k| < edges[j+1], of residuals on a regular grid, by the FFT.

    Frequencies count cycles per grid length. The rings partition all frequencies, so the energies add up to the mean
    square of the residual.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    edges: tuple[float, ...] = eqx.field(static=True)

    def _energy(self, r: np.ndarray) -> np.ndarray:
        lead, outputs = r.shape[:-2], r.shape[-1]
        axes = tuple(range(-len(self.shape) - 1, -1))
        amplitudes = np.fft.fftn(r.reshape(*lead, *self.shape, outputs), axes=axes) / self.num_samples
        power = np.sum(np.abs(amplitudes) ** 2, axis=-1).reshape(*lead, self.num_samples)
        ring = np.digitize(frequency_radius(self.shape).ravel(), self.edges) - 1
        return np.stack([power[..., ring == j].sum(axis=-1) for j in range(len(self.names))], axis=-1)


class ScatteredFrequencyBands(Bands):
    """Energy per ring of frequencies of residuals on scattered points, by least squares on the real Fourier modes.

    Frequencies count cycles per window [-1, 1]. The rings add up to the mean square over the window of the fit, not of
    the residual: what has a frequency above the last ring is partly left out and partly seen as lower ones.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    x: np.ndarray
    max_frequency: float = eqx.field(static=True)
    edges: tuple[float, ...] = eqx.field(static=True)

    def _energy(self, r: np.ndarray) -> np.ndarray:
        columns = np.moveaxis(r, -2, 0).reshape(self.num_samples, -1)
        fit = fourier_coefficients(self.x, columns, self.max_frequency, length=LENGTH)
        ring = np.digitize(fit.radius, self.edges) - 1
        squares = (fit.coefficients**2).reshape(-1, *r.shape[:-2], r.shape[-1]).sum(axis=-1)
        return np.stack([squares[ring == j].sum(axis=0) for j in range(len(self.names))], axis=-1)


def frequency_bands(problem: Problem, max_frequency: float | None) -> Bands:
    """Rings of frequencies of a grid, or of scattered points in the window [-1, 1] up to `max_frequency`."""
    common = {"num_samples": problem.num_samples, "outputs": problem.y.shape[1:]}
    if problem.grid is not None:
        if max_frequency is not None:
            raise InputError(
                f"`max_frequency` is {max_frequency}, but the inputs are a grid, which has all its frequencies: "
                "leave it out"
            )
        names, edges = _rings(problem, problem.grid.shape)
        return FrequencyBands(names, "frequency", **common, shape=problem.grid.shape, edges=edges)
    if max_frequency is None:
        raise InputError(
            'bands by="frequency" need a problem with a `grid`, or `max_frequency`, up to which the Fourier modes are '
            "fitted to scattered inputs"
        )
    extent = np.abs(problem.x).max()
    if extent > LENGTH / 2:
        raise InputError(
            f'bands by="frequency" count cycles per window [-1, 1], and `x` goes up to {extent:.3g}: scale the inputs '
            "into the window"
        )
    radius = fourier_coefficients(problem.x, problem.y, max_frequency, length=LENGTH).radius
    names, edges = _octaves(float(radius.max()))
    if len(names) > 1:
        first, last = 2 ** (len(names) - 2), round(float(radius.max()))
        names = (*names[:-1], f"frequency {first}" + (f"-{last}" if last > first else ""))
    return ScatteredFrequencyBands(
        names, "frequency", **common, x=problem.x, max_frequency=float(max_frequency), edges=edges
    )


def _octaves(max_radius: float) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Rings: mean | 1 | 2-3 | 4-7 | … up to the last that is not empty."""
    if max_radius < 0.5:
        return ("mean",), (0.0, math.inf)
    count = math.floor(math.log2(max_radius + 0.5)) + 1
    firsts = [0, *(2**j for j in range(count))]
    edges = (*(max(first - 0.5, 0.0) for first in firsts), math.inf)
    names = ["mean", "frequency 1", *(f"frequency {first}-{2 * first - 1}" for first in firsts[2:])]
    names[-1] = f"frequency {firsts[-1]}+"
    return tuple(names), edges


def _peaks(y: np.ndarray) -> list[int]:
    """Frequencies of a signal that stand above their neighbours; none where they are not nearly all of its energy."""
    power = np.sum(np.abs(np.fft.rfft(y - y.mean(axis=0), axis=0)).reshape(len(y) // 2 + 1, -1) ** 2, axis=1)
    padded = np.pad(power, 2)
    below, above = padded[1:-3], padded[3:-1]
    peaks = np.flatnonzero((power >= below) & (power > above) & (power > 0.02 * power.sum()))
    around = np.unique(peaks[:, None] + 2 + np.arange(-2, 3))
    return peaks.tolist() if padded[around].sum() > 0.97 * power.sum() else []


def _rings(problem: Problem, shape: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Octaves; for a signal of two to eight distinct frequencies a ring around each, parted halfway between."""
    peaks = _peaks(problem.y) if len(shape) == 1 else []
    if not 2 <= len(peaks) <= 8:
        return _octaves(float(frequency_radius(shape).max()))
    between = ((low + high) / 2 for low, high in itertools.pairwise(peaks))
    return tuple(f"frequency {peak}" for peak in peaks), (0.0, *between, math.inf)
