"""Bands: a labelled partition of functions on the data, and the energy of residuals in each part."""

import abc
import itertools
import math

import equinox as eqx
import numpy as np
import scipy.linalg
from jaxtyping import ArrayLike, Float

from .._core.checks import samples_and_outputs
from ..problems import Problem
from ._radial import frequency_radius


class Bands(eqx.Module):
    """Labelled parts of function space.

    Attributes:
        names: one name per band.
        kind: what the names are: `"degree"`, `"basis"`, `"frequency"`, `"class"`, or `"all"` for a single band.
        num_samples: n.
        outputs: () for scalar targets, (c,) for vector ones.
    """

    names: eqx.AbstractVar[tuple[str, ...]]
    kind: eqx.AbstractVar[str]
    num_samples: eqx.AbstractVar[int]
    outputs: eqx.AbstractVar[tuple[int, ...]]

    def energy(self, residuals: ArrayLike) -> Float[np.ndarray, "... bands"]:
        """Mean square of residuals (…, n[, c]) in each band, summed over outputs: (…, bands)."""
        return self._energy(samples_and_outputs(residuals, self.num_samples, self.outputs))

    @abc.abstractmethod
    def _energy(self, r: Float[np.ndarray, "... n c"]) -> Float[np.ndarray, "... bands"]:
        """Energies of checked residuals."""


class BasisBands(Bands):
    """Energy along given functions: the squared length of the residual's projection on each band's span, over n.

    Bands need not be orthogonal, so the energies need not add up.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    bases: tuple[np.ndarray, ...]

    def _energy(self, r: np.ndarray) -> np.ndarray:
        squares = [np.einsum("...nc,nk->...kc", r, basis) ** 2 for basis in self.bases]
        return np.stack([square.sum(axis=(-2, -1)) for square in squares], axis=-1) / self.num_samples


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


class SampleBands(Bands):
    """Energy on the samples with each label, e.g. each class, divided by n: the bands add up to the mean square."""

    names: tuple[str, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    labels: np.ndarray

    def _energy(self, r: np.ndarray) -> np.ndarray:
        squares = np.sum(r**2, axis=-1)
        totals = [squares[..., self.labels == j].sum(axis=-1) for j in range(len(self.names))]
        return np.stack(totals, axis=-1) / self.num_samples


def _octaves(shape: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Rings: mean | 1 | 2-3 | 4-7 | … up to the corner of the spectrum."""
    count = math.floor(math.log2(frequency_radius(shape).max() + 0.5)) + 1
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
        return _octaves(shape)
    between = ((low + high) / 2 for low, high in itertools.pairwise(peaks))
    return tuple(f"frequency {peak}" for peak in peaks), (0.0, *between, math.inf)


def bands(problem: Problem) -> Bands:
    """The bands that fit a problem: its labelled basis, its grid's frequencies, or its classes.

    A labelled basis (e.g. zonal harmonics by degree) gives one band per label. A grid gives rings of frequencies:
    octaves for images; for signals a ring around each frequency that carries the target. Classes give one band each.
    Otherwise there is a single band of everything.

    Args:
        problem: the problem.

    Returns:
        An object with `.names`, `.kind` and `.energy(residuals)` of shape (…, bands).

    Example:
        >>> import jax
        >>> from spectralbias import problems, spectra
        >>> problem = problems.harmonics(num_samples=50, num_test=0, key=jax.random.key(0))
        >>> spectra.bands(problem).names
        ('degree 1', 'degree 2', 'degree 4')
    """
    common = {"num_samples": problem.num_samples, "outputs": problem.y.shape[1:]}
    if problem.basis is not None:
        kind = "degree" if all(name.startswith("degree ") for name in problem.basis) else "basis"
        bases = tuple(scipy.linalg.orth(functions) for functions in problem.basis.values())
        return BasisBands(tuple(problem.basis), kind, **common, bases=bases)
    if problem.grid is not None:
        names, edges = _rings(problem, problem.grid.shape)
        return FrequencyBands(names, "frequency", **common, shape=problem.grid.shape, edges=edges)
    if problem.classes is not None:
        return SampleBands(problem.classes, "class", **common, labels=np.argmax(problem.y, axis=1))
    return SampleBands(("all",), "all", **common, labels=np.zeros(problem.num_samples, int))
