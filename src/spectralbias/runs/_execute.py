"""Carry out a run: set up, train while writing to disk, analyze. Any part can be killed and goes on with `resume`."""

import datetime
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import jax
import msgspec

from .._core.errors import InputError
from ..dynamics import TrainingStatus
from ..problems import Problem
from ._analyze import analyze
from ._build import build_model, build_problem, build_trainer, precision
from ._config import Config, ImageConfig, TableConfig, dump_config
from ._deviations import deviations
from ._files import write_atomic, write_json
from ._population import check_training, choose
from ._progress import Progress
from ._record import record_training
from ._regions import regions
from ._run import RUNS_DIRECTORY, SCHEMA_VERSION, Run, load, log_event, update_info
from ._setup import prepare
from ._store import save_problem


class DivergedError(RuntimeError):
    """The training diverged; what was recorded is kept in `run`."""

    def __init__(self, run: Run, step: int):
        super().__init__(
            f"the training diverged at step {step}: use a smaller learning rate "
            f"(the stability limit is {run.info['resolved']['stability_limit']:.3g})"
        )
        self.run = run


def execute(
    config: Config,
    *,
    problem: Problem | None = None,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Carry out a run from beginning to end.

    Builds the problem and the model, computes Θ and its modes, trains while recording to disk, and compares with the
    frozen kernel's prediction. Nothing is written before the configuration and the data have been found usable.

    Args:
        config: what to do; `default_config()` is the experiment of Cao et al.
        problem: the data, in place of those that `config.problem` describes.
        directory: the run directory, which must not exist or be empty; `spectralbias-runs/<name>-<time>` by default.
        progress: told what happens; silent by default.

    Returns:
        The finished `Run`; `report.write_report(run)` writes its page.

    Raises:
        InputError: a configuration or data that cannot be used, a directory that is in use.
        DivergedError: the training diverged; the exception holds the run.
        KeyboardInterrupt: the run is marked `interrupted`; `resume(directory)` goes on.
    """
    progress = progress or Progress()
    config = _with_absolute_path(config)
    progress.phase("Building the problem and the model")
    with precision(config):
        problem = build_problem(config) if problem is None else problem
        model = build_model(config, problem)
        build_trainer(config, problem, model, 1.0)
        if config.analysis.deviations:
            check_training(config)
            choose(config, problem, model, "auto")
    modes = config.analysis.num_modes
    if modes is not None and modes > problem.num_targets:
        raise InputError(f"`num_modes` must be at most the number of target values, {problem.num_targets}, got {modes}")
    run = _create(config, problem, directory)
    progress.created(run.directory)
    return _carry_on(run, progress)


def resume(directory: str | Path, *, progress: Progress | None = None) -> Run:
    """Go on with a run that was stopped: its arrays end up equal to an uninterrupted run's, bit for bit.

    At most `chunk_steps` steps are repeated. A finished run is returned as it is; deviations and regions are added
    if its configuration asks for them and they are missing.

    Raises:
        InputError: not a run directory.
        DivergedError: the training diverged.
    """
    run = load(directory)
    progress = progress or Progress()
    if run.status == "finished":
        return _add_analyses(run, progress)
    if run.status == "diverged":
        raise DivergedError(run, run.info["progress"]["step"])
    return _carry_on(run, progress)


def _carry_on(run: Run, progress: Progress) -> Run:
    try:
        with precision(run.config):
            if "resolved" not in run.info:
                prepare(run, progress)
            status = record_training(run, progress)
            progress.phase("Comparing with the frozen kernel")
            start = time.perf_counter()
            summary = analyze(run)
    except KeyboardInterrupt:
        update_info(run, status="interrupted")
        raise
    ended = "diverged" if status is TrainingStatus.diverged else "finished"
    log_event(run, event="end", status=ended)
    seconds = {**run.info["seconds"], "analysis": round(time.perf_counter() - start, 3)}
    update_info(run, status=ended, summary=summary, seconds=seconds)
    if status is TrainingStatus.diverged:
        raise DivergedError(run, run.info["progress"]["step"])
    return _add_analyses(run, progress)


def _add_analyses(run: Run, progress: Progress) -> Run:
    """What the configuration asks for beside the training, unless it is there; without it the run is still good."""
    for name, add in (("deviations", deviations), ("regions", regions)):
        if getattr(run.config.analysis, name) and not run.info.get(name):
            try:
                add(run, progress=progress)
            except InputError as error:
                warning = f"no {name}: {error}"
                progress.warning(warning)
                if warning not in run.info["warnings"]:
                    update_info(run, warnings=[*run.info["warnings"], warning])
    return run


def _with_absolute_path(config: Config) -> Config:
    """The file's path as it is found from anywhere, so that the run can be repeated from its configuration."""
    if isinstance(config.problem, ImageConfig | TableConfig):
        path = str(Path(config.problem.path).expanduser().resolve())
        return msgspec.structs.replace(config, problem=msgspec.structs.replace(config.problem, path=path))
    return config


def _create(config: Config, problem: Problem, directory: str | Path | None) -> Run:
    """A new run directory with the configuration, the data, and a record of status `created`."""
    now = datetime.datetime.now().astimezone()
    if directory is None:
        stem = f"{config.name or config.kind}-{now:%Y%m%d-%H%M%S}"
        candidates = (RUNS_DIRECTORY / (stem if i == 1 else f"{stem}-{i}") for i in range(1, 1000))
        path = next(candidate for candidate in candidates if not candidate.exists())
    else:
        path = Path(directory)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"{path} exists and is not empty: give another directory, or resume the run in it")
    path.mkdir(parents=True, exist_ok=True)
    (path / "snapshots").mkdir()
    write_atomic(path / "config.toml", dump_config(config).encode())
    packages = ("spectralbias", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "zarr")
    save_problem(path / "data.zarr", problem)
    write_json(
        path / "run.json",
        {
            "schema_version": SCHEMA_VERSION,
            "status": "created",
            "created": now.isoformat(timespec="microseconds"),
            "seed": config.seed,
            "versions": {
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in packages},
            },
            "device": f"{jax.devices()[0].device_kind} ({jax.default_backend()}), {os.cpu_count()} CPU cores",
            "platform": platform.platform(),
            "warnings": [],
            "progress": {"step": 0, "records": 0, "drift_records": 0},
        },
    )
    return Run(path, config)
