"""A run on disk."""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import xarray as xr

from .._core.errors import InputError
from ..models import MLP
from ..problems import Problem
from ..spectra import Bands, Modes, bands
from ._build import build_model, precision
from ._config import Config, load_config
from ._files import append_json_line, write_json
from ._store import load_modes, load_problem, open_dataset

SCHEMA_VERSION = 1
RUNS_DIRECTORY = Path("spectralbias-runs")


class Run:
    """A run directory: its configuration, its data, and what came out.

    Attributes:
        directory: where it is.
        config: the configuration, every value spelled out.
    """

    def __init__(self, directory: Path, config: Config):
        self.directory = directory
        self.config = config

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r}, status={self.status!r})"

    @property
    def info(self) -> dict[str, Any]:
        """The content of run.json: status, versions, device, what was resolved, the summary."""
        return json.loads((self.directory / "run.json").read_text(encoding="utf-8"))

    @property
    def status(self) -> str:
        """`created`, `running`, `interrupted`, `finished` or `diverged`."""
        return self.info["status"]

    @property
    def summary(self) -> dict[str, Any]:
        """What came out, as plain data; empty before the run has ended."""
        return self.info.get("summary") or {}

    @property
    def store(self) -> Path:
        """The Zarr store of all arrays; its groups are `problem`, `modes`, `records`, `drift` and others."""
        return self.directory / "data.zarr"

    @functools.cached_property
    def problem(self) -> Problem:
        """The data of the run, as they were stored."""
        return load_problem(self.store)

    @functools.cached_property
    def modes(self) -> Modes:
        """Eigenmodes of Θ/n at the initialization."""
        return load_modes(self.store)

    @functools.cached_property
    def bands(self) -> Bands:
        """The bands by which the run is grouped."""
        return bands(self.problem)

    @property
    def records(self) -> xr.Dataset:
        """Residuals, loss, coefficients and energies at every recorded step that was reached."""
        data = open_dataset(self.store, "records")
        return data.isel(record=slice(0, self.info["progress"]["records"]))

    @property
    def drift(self) -> xr.Dataset:
        """The kernel's drift at the steps that were reached."""
        data = open_dataset(self.store, "drift")
        return data.isel(drift_record=slice(0, self.info["progress"]["drift_records"]))

    @property
    def deviations(self) -> xr.Dataset | None:
        """Why the run left the frozen kernel's prediction, or None where `runs.deviations` was not called."""
        return open_dataset(self.store, "deviations") if self.info.get("deviations") else None

    @property
    def hierarchy(self) -> xr.Dataset | None:
        """The prediction with corrections for finite width, or None where `runs.hierarchy` was not called."""
        return open_dataset(self.store, "hierarchy") if self.info.get("hierarchy") else None

    @property
    def forecast(self) -> xr.Dataset | None:
        """What was to be expected before the training, or None where `runs.forecast` was not called."""
        return open_dataset(self.store, "forecast") if self.info.get("forecast") else None

    @property
    def regions(self) -> xr.Dataset | None:
        """Regions and gradient confusion along the training, or None where `runs.regions` was not called."""
        return open_dataset(self.store, "regions") if self.info.get("regions") else None

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Steps of which the parameters are stored, increasing."""
        return tuple(sorted(int(path.stem) for path in (self.directory / "snapshots").glob("*.eqx")))

    def model(self, step: int | None = None) -> MLP:
        """The network at a stored step: the last one by default, `step=0` for the initialization."""
        steps = self.snapshot_steps
        step = steps[-1] if step is None and steps else step
        if step not in steps:
            raise InputError(f"no parameters are stored for step {step}; stored: {', '.join(map(str, steps))}")
        with precision(self.config):
            return eqx.tree_deserialise_leaves(self.directory / "snapshots" / f"{step:09d}.eqx", self._like)

    @functools.cached_property
    def _like(self) -> MLP:
        """The network's structure: tracing it takes longer than reading its numbers."""
        with precision(self.config):
            return eqx.filter_eval_shape(build_model, self.config, self.problem)

    def outputs(self) -> np.ndarray:
        """f on the training data at every recorded step: residual + y."""
        return self.records["residual"].to_numpy() + self.problem.y


def update_info(run: Run, **changes: Any) -> None:
    """Change entries of run.json, atomically."""
    write_json(run.directory / "run.json", {**run.info, **changes})


def log_event(run: Run, **event: Any) -> None:
    """One more line of log.jsonl."""
    append_json_line(run.directory / "log.jsonl", {"time": round(time.time(), 3), **event})


def load(directory: str | Path) -> Run:
    """Open a run directory.

    Raises:
        InputError: not a run directory, or one that a newer version of the library wrote.
    """
    directory = Path(directory)
    path = directory / "run.json"
    if not path.is_file():
        what = "does not exist" if not directory.exists() else "is not a run directory (it has no run.json)"
        raise InputError(f"{directory} {what}; `spectralbias list` shows the runs")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = int(info["schema_version"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not readable as a run's record") from None
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{directory} was made by a newer version of spectralbias (schema {version}, this version reads "
            f"{SCHEMA_VERSION}): upgrade with pip install -U spectralbias"
        )
    return Run(directory, load_config(directory / "config.toml"))


def list_runs(
    directory: str | Path = RUNS_DIRECTORY, *, on_error: Callable[[InputError], None] | None = None
) -> list[Run]:
    """All runs below a directory, oldest first.

    Args:
        directory: where to look.
        on_error: is given the error of each run that cannot be read, and the others are listed; the first such error is
            raised by default.

    Raises:
        InputError: as `load`, without `on_error`.
    """
    runs = []
    for path in sorted(Path(directory).glob("*/run.json")):
        try:
            runs.append(load(path.parent))
        except InputError as error:
            if on_error is None:
                raise
            on_error(error)
    return sorted(runs, key=lambda run: run.info["created"])
