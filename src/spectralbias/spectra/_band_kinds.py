"""What bands are: labelled parts of functions on data. Along a basis, and by the labels of samples."""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import samples_and_outputs


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
