"""What a report draws: the arrays of a finished run, each read once."""

import functools
from typing import Any

import numpy as np
import xarray as xr

from ..dynamics import Comparison, compare
from ..runs import Run
from ..runs._store import open_dataset

# Bands and modes with a smaller share of the first residual are driven by the others.
WEAK = 0.001


class Evidence:
    """The arrays of a run that has ended; every property is read from the store when it is first asked for.

    Attributes:
        run: the run.
        info: the content of run.json.
        summary: the numbers of the verdict.
    """

    def __init__(self, run: Run):
        self.run = run
        self.info: dict[str, Any] = run.info
        self.summary: dict[str, Any] = self.info.get("summary") or {}
        self.resolved: dict[str, Any] = self.info["resolved"]

    def has(self, group: str) -> bool:
        """Whether the store has a group."""
        return (self.run.store / group / "zarr.json").exists()

    @functools.cached_property
    def records(self) -> xr.Dataset:
        """Everything that was recorded along the training; arrays are read when they are used."""
        return self.run.records

    @functools.cached_property
    def prediction(self) -> xr.Dataset | None:
        """The frozen kernel's prediction at the recorded steps, or None where it makes none."""
        return open_dataset(self.run.store, "prediction") if self.has("prediction") else None

    @functools.cached_property
    def infinite(self) -> np.ndarray | None:
        """Eigenvalues of Θ/n at infinite width, one per mode, or None where they were not computed."""
        if not self.has("infinite"):
            return None
        values = open_dataset(self.run.store, "infinite")["eigenvalue"].to_numpy()
        return np.repeat(values, self.run.problem.num_outputs or 1)

    @functools.cached_property
    def drift(self) -> xr.Dataset:
        """The kernel's drift."""
        return self.run.drift

    @functools.cached_property
    def deviations(self) -> xr.Dataset | None:
        """Why training left the frozen kernel's prediction, or None where it was not asked."""
        return self.run.deviations

    @functools.cached_property
    def hierarchy(self) -> xr.Dataset | None:
        """The prediction with corrections for finite width, or None where it was not asked."""
        return self.run.hierarchy

    @functools.cached_property
    def forecast(self) -> xr.Dataset | None:
        """What was to be expected before the training, or None where it was not asked."""
        return self.run.forecast

    @functools.cached_property
    def regions(self) -> xr.Dataset | None:
        """Regions and gradient confusion along the training, or None where they were not asked."""
        return self.run.regions

    @functools.cached_property
    def modes(self) -> xr.Dataset:
        """Eigenvalues, and how they were computed; the eigenvectors are not read."""
        return open_dataset(self.run.store, "modes")

    def _read(self, name: str) -> np.ndarray:
        return self.records[name].to_numpy().astype(np.float64)

    def _predicted(self, name: str) -> np.ndarray | None:
        return None if self.prediction is None else self.prediction[name].to_numpy()

    @functools.cached_property
    def steps(self) -> np.ndarray:
        """Recorded steps (T,), from 0."""
        return self.records["step"].to_numpy()

    @functools.cached_property
    def loss(self) -> np.ndarray:
        """Training loss (T,)."""
        return self._read("loss")

    @functools.cached_property
    def test_loss(self) -> np.ndarray | None:
        """Held-out loss (T,)."""
        return self._read("test_loss") if "test_loss" in self.records else None

    @functools.cached_property
    def predicted_loss(self) -> np.ndarray | None:
        """The frozen kernel's training loss (T,)."""
        return self._predicted("loss")

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(self.records.attrs["band_names"])

    @property
    def band_kind(self) -> str:
        """What the bands are: `degree`, `basis`, `frequency`, `class` or `all`."""
        return self.records.attrs["band_kind"]

    @property
    def band_shares(self) -> np.ndarray:
        """Each band's share of the first residual's energy."""
        return np.array([band["share"] for band in self.summary["bands"]])

    @functools.cached_property
    def amplitudes(self) -> np.ndarray:
        """Residual amplitude per band relative to the first, (T, bands)."""
        return _relative(self._read("band_energy"))

    @functools.cached_property
    def predicted_amplitudes(self) -> np.ndarray | None:
        """The frozen kernel's, (T, bands)."""
        energies = self._predicted("band_energy")
        return None if energies is None else _relative(energies)

    @functools.cached_property
    def coefficients(self) -> np.ndarray:
        """Mode coefficients of the residual, (T, modes)."""
        return self._read("coefficient")

    @functools.cached_property
    def predicted_coefficients(self) -> np.ndarray | None:
        """The frozen kernel's, (T, modes)."""
        return self._predicted("coefficient")

    @functools.cached_property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of Θ/n at the initialization, descending."""
        return self.modes["eigenvalue"].to_numpy()

    @functools.cached_property
    def by_mode(self) -> Comparison:
        """When each mode was learned and was predicted to be."""
        with np.errstate(over="ignore", invalid="ignore"):
            return compare(
                self.steps,
                self.coefficients,
                self.predicted_coefficients,
                predicted_steps=self._predicted("learning_step"),
            )

    @functools.cached_property
    def mode_shares(self) -> np.ndarray:
        """Each mode's share of the first residual's energy, (modes,)."""
        return self.coefficients[0] ** 2 / (2 * self.loss[0])

    @functools.cached_property
    def shown(self) -> tuple[int, ...]:
        """Records at which the fit is shown: about four, log-spaced, the last one included."""
        steps = self.steps
        wanted = np.geomspace(1, max(1, steps[-1]), 4)
        return tuple(sorted({int(np.argmin(np.abs(steps - step))) for step in wanted}))

    def residual(self, record: int) -> np.ndarray:
        """Residual (n[, c]) at a record."""
        return self.records["residual"][record].to_numpy()

    def output(self, record: int) -> np.ndarray:
        """The fit f (n[, c]) at a record."""
        return self.residual(record) + self.run.problem.y


def _relative(energies: np.ndarray) -> np.ndarray:
    """Amplitudes as a fraction of the first; NaN where the first is zero."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        relative = np.sqrt(energies / energies[0])
    return np.where(energies[0] > 0, relative, np.nan)
