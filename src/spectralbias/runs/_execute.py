"""Carry out a run: set up, train while writing to disk, analyze. Any part can be killed and goes on with `resume`."""

import datetime
import io
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import zarr

from .._core.errors import InputError
from ..dynamics import Optimizer, Probe, TrainingStatus, drift, log_spaced
from ..dynamics import optimizer as find_optimizer
from ..dynamics._train import Chunk, State, Trainer
from ..kernels import NTKOperator, empirical_ntk
from ..models import MLP, count_parameters
from ..problems import Problem
from ..spectra import Bands, Modes, eigenmodes
from ._analyze import analyze
from ._build import build_model, build_problem, infinite_gram, keys, precision
from ._config import Config, ImageConfig, TableConfig, dump_config
from ._files import append_json_line, flush_tree, write_atomic, write_json
from ._progress import Progress
from ._run import RUNS_DIRECTORY, SCHEMA_VERSION, Run, load
from ._store import create_array, open_array, put, put_names, save_modes, save_problem

# Up to so many values the Gram is formed even where only its top modes are computed.
GRAM_LIMIT = 8000
# Up to so many samples the infinite-width spectrum is computed beside the network's.
INFINITE_LIMIT = 2000
NUM_SNAPSHOTS = 32


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
        _trainer(config, problem, build_model(config, problem), 1.0)
    modes = config.analysis.num_modes
    if modes is not None and modes > problem.num_targets:
        raise InputError(f"`num_modes` must be at most the number of target values, {problem.num_targets}, got {modes}")
    run = _create(config, problem, directory)
    progress.created(run.directory)
    return _carry_on(run, progress)


def resume(directory: str | Path, *, progress: Progress | None = None) -> Run:
    """Go on with a run that was stopped: its arrays end up equal to an uninterrupted run's, bit for bit.

    At most `chunk_steps` steps are repeated. A finished run is returned as it is.

    Raises:
        InputError: not a run directory.
        DivergedError: the training diverged.
    """
    run = load(directory)
    if run.status == "finished":
        return run
    if run.status == "diverged":
        raise DivergedError(run, run.info["progress"]["step"])
    return _carry_on(run, progress or Progress())


def _carry_on(run: Run, progress: Progress) -> Run:
    try:
        with precision(run.config):
            if "resolved" not in run.info:
                _prepare(run, progress)
            status = _train(run, progress)
            progress.phase("Comparing with the frozen kernel")
            summary = analyze(run)
    except KeyboardInterrupt:
        _update(run, status="interrupted")
        raise
    ended = "diverged" if status is TrainingStatus.diverged else "finished"
    _log(run, event="end", status=ended)
    _update(run, status=ended, summary=summary)
    if status is TrainingStatus.diverged:
        raise DivergedError(run, run.info["progress"]["step"])
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


def _update(run: Run, **changes: Any) -> None:
    write_json(run.directory / "run.json", {**run.info, **changes})


def _log(run: Run, **event: Any) -> None:
    append_json_line(run.directory / "log.jsonl", {"time": round(time.time(), 3), **event})


def _prepare(run: Run, progress: Progress) -> None:
    """Kernel, modes and learning rate; ends by writing `resolved`, which says that this part is whole."""
    start = time.perf_counter()
    config, problem = run.config, run.problem
    model = build_model(config, problem)
    x = jnp.asarray(problem.x, jnp.result_type(float))
    progress.phase(f"Computing the kernel on {problem.num_targets} values and its modes")
    gram = empirical_ntk(model, x) if problem.num_targets <= GRAM_LIMIT else None
    modes = eigenmodes(NTKOperator(model, x) if gram is None else gram, num_modes=config.analysis.num_modes)
    save_modes(run.store, modes)
    _save_infinite(run, problem, model, None if gram is None else np.asarray(gram))
    largest = float(modes.eigenvalues[0])
    optimizer, limit = _resolve_optimizer(config, largest)
    warnings = []
    if limit is not None and optimizer.learning_rate > limit:
        warnings.append(
            f"the learning rate {optimizer.learning_rate:.4g} is above the stability limit "
            f"{'2/λ_max' if not optimizer.momentum else '2(1+β)/λ_max'} = {limit:.4g}: expect divergence"
        )
    for warning in warnings:
        progress.warning(warning)
    _create_records(run, problem, modes)
    write_snapshot(run, model, 0)
    resolved = {
        "learning_rate": optimizer.learning_rate,
        "momentum": optimizer.momentum,
        "largest_eigenvalue": largest,
        "stability_limit": limit,
        "num_parameters": count_parameters(model),
        "num_samples": problem.num_samples,
        "num_outputs": problem.num_outputs,
    }
    seconds = {"setup": round(time.perf_counter() - start, 3)}
    flush_tree(run.store, 0)
    _update(run, status="running", resolved=resolved, warnings=warnings, seconds=seconds)


def _resolve_optimizer(config: Config, largest: float) -> tuple[Optimizer, float | None]:
    """The optimizer with its learning rate, and the largest stable one where theory knows it."""
    rate = config.training.learning_rate
    probe = _optimizer(config, 1.0)
    if rate == "auto":
        rate = 1e-3 if probe.momentum is None else 1 / largest
    limit = None if probe.momentum is None else 2 * (1 + probe.momentum) / largest
    return _optimizer(config, float(rate)), limit


def _optimizer(config: Config, learning_rate: float) -> Optimizer:
    settings = config.training
    options = dict(settings.optimizer_options)
    if settings.optimizer in ("gd", "sgd") and settings.momentum > 0:
        options["momentum"] = settings.momentum
    return find_optimizer(settings.optimizer, learning_rate, options)


def _trainer(config: Config, problem: Problem, model: MLP, learning_rate: float) -> Trainer:
    optimizer = _optimizer(config, learning_rate)
    return Trainer(model, problem.x, problem.y, optimizer, batch_size=config.training.batch_size, key=keys(config)[2])


def _save_infinite(run: Run, problem: Problem, model: MLP, gram: np.ndarray | None) -> None:
    """The infinite-width spectrum, and how far from it the network's kernel is."""
    if gram is None or problem.num_samples > INFINITE_LIMIT:
        return
    limit = infinite_gram(run.config, model, problem.x)
    if limit is None:
        return
    empirical = gram if gram.ndim == 2 else np.mean(np.diagonal(gram, axis1=2, axis2=3), axis=-1)
    group = zarr.open_group(run.store, path="infinite", mode="w")
    values = np.linalg.eigvalsh(limit)[::-1] / problem.num_samples
    put(group, "eigenvalue", ("mode",), values, "1/time", "eigenvalues of Θ/n of one output at infinite width")
    group.attrs["distance"] = float(np.linalg.norm(empirical - limit) / np.linalg.norm(limit))


class Schedule(eqx.Module):
    """At which steps a run looks at what."""

    record: tuple[int, ...] = eqx.field(static=True)
    drift: tuple[int, ...] = eqx.field(static=True)
    snapshots: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, config: Config):
        steps = config.training.steps
        self.record = log_spaced(steps)
        times = config.analysis.drift_times
        self.drift = _log_subset(self.record, times) if times else ()
        self.snapshots = _log_subset(self.record, NUM_SNAPSHOTS - 1)


def _log_subset(steps: tuple[int, ...], count: int) -> tuple[int, ...]:
    """About `count` of the recorded steps above 0, log-spaced, the last one included."""
    wanted = np.geomspace(1, steps[-1], count) if count > 1 else np.array([steps[-1]])
    candidates = np.asarray(steps[1:])
    return tuple(sorted({int(candidates[np.argmin(np.abs(candidates - step))]) for step in wanted}))


def _create_records(run: Run, problem: Problem, modes: Modes) -> None:
    """Empty arrays for what the training will record."""
    schedule, bands = Schedule(run.config), run.bands
    group = zarr.open_group(run.store, path="records", mode="w")
    steps = np.array(schedule.record, np.int64)
    count, dtype = len(steps), np.dtype(run.config.training.dtype)
    put(group, "step", ("record",), steps, "step", "optimizer steps taken")
    values = ("sample", "output")[: problem.y.ndim]
    for name, dims, shape, kind, units, description in (
        ("loss", (), (), np.float64, "y^2", "training loss (1/2n) Σ r²"),
        ("test_loss", (), (), np.float64, "y^2", "held-out loss (1/2n) Σ r²"),
        ("residual", values, problem.y.shape, dtype, "y", "residual r = f - y on the training data"),
        ("coefficient", ("mode",), (modes.num_modes,), np.float64, "y", "mode coefficients n^(-1/2) Vᵀ r"),
        (
            "band_energy",
            ("band",),
            (len(bands.names),),
            np.float64,
            "y^2",
            "mean square of the residual per band",
        ),
    ):
        if name == "test_loss" and problem.x_test is None:
            continue
        create_array(group, name, ("record", *dims), (count, *shape), kind, units, description, streamed=True)
    put_names(group, "band", bands.names)
    group.attrs["band_kind"] = bands.kind
    drift_group = zarr.open_group(run.store, path="drift", mode="w")
    drift_steps = np.array(schedule.drift, np.int64)
    put(drift_group, "step", ("drift_record",), drift_steps, "step", "optimizer steps taken")
    create_array(
        drift_group,
        "drift",
        ("drift_record",),
        drift_steps.shape,
        np.float64,
        "1",
        "‖Θ_t - Θ_0‖/‖Θ_0‖ (Frobenius)",
    )


def write_snapshot(run: Run, model: MLP, step: int) -> None:
    """All array leaves of the model, without pickle."""
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, model)
    write_atomic(run.directory / "snapshots" / f"{step:09d}.eqx", buffer.getvalue())


def _train(run: Run, progress: Progress) -> TrainingStatus:
    """Train from the last checkpoint to the end."""
    config, problem, info = run.config, run.problem, run.info
    schedule = Schedule(config)
    model = build_model(config, problem)
    trainer = _trainer(config, problem, model, info["resolved"]["learning_rate"])
    checkpoint = run.directory / "checkpoint.eqx"
    state, initial_loss = trainer.initial, None
    if checkpoint.exists():
        state = eqx.tree_deserialise_leaves(checkpoint, trainer.initial)
        initial_loss = float(run.records["loss"][0])
    step = int(state.step)
    _log(run, event="start", step=step, pid=os.getpid())
    status = TrainingStatus.finished
    if step < config.training.steps:
        progress.phase(f"Training for {config.training.steps} steps")
        writer = _Writer(run, schedule)
        for chunk in trainer.chunks(
            state,
            steps=config.training.steps,
            record=schedule.record,
            probes=_probes(run, problem, model, schedule),
            chunk_steps=config.training.chunk_steps,
            initial_loss=initial_loss,
        ):
            writer.write(chunk)
            status = chunk.status
            progress.training(
                int(chunk.state.step),
                config.training.steps,
                float(chunk.loss[-1]) if len(chunk.loss) else np.nan,
            )
    return status


def _probes(run: Run, problem: Problem, model: MLP, schedule: Schedule) -> dict[str, Probe]:
    """What is measured beside the residuals: drift, held-out loss, and snapshots as a side effect."""
    probes = {"snapshot": Probe(lambda m, x, y, step: write_snapshot(run, m, step), schedule.snapshots)}
    dtype = jnp.result_type(float)
    if problem.x_test is not None:
        x_test, y_test = jnp.asarray(problem.x_test, dtype), jnp.asarray(problem.y_test, dtype)
        probes["test_loss"] = Probe(_test_loss(x_test, y_test))
    if schedule.drift:
        points = jnp.asarray(problem.x[: run.config.analysis.drift_samples], dtype)
        reference = empirical_ntk(model, points, outputs="mean")
        probes["drift"] = Probe(drift(reference, points), schedule.drift)
    return probes


def _test_loss(x_test: jax.Array, y_test: jax.Array) -> Callable[..., np.ndarray]:
    apply = eqx.filter_jit(lambda model, x, y: jnp.sum((jax.vmap(model)(x) - y) ** 2) / (2 * len(y)))
    return lambda model, x, y, step: np.asarray(apply(model, x_test, y_test), np.float64)


class _Writer:
    """Puts chunks on disk: records first, then the checkpoint, then the progress; each is whole or absent."""

    def __init__(self, run: Run, schedule: Schedule):
        self.run, self.schedule = run, schedule
        self.modes: Modes = run.modes
        self.bands: Bands = run.bands
        self.group = zarr.open_group(run.store, path="records", mode="r+")
        self.drift = zarr.open_group(run.store, path="drift", mode="r+")
        self.began = time.perf_counter()

    def write(self, chunk: Chunk) -> None:
        before = time.time() - 1
        if len(chunk.steps):
            first = self.schedule.record.index(int(chunk.steps[0]))
            where = slice(first, first + len(chunk.steps))
            self._array("residual")[where] = chunk.residuals
            self._array("loss")[where] = chunk.loss
            with np.errstate(over="ignore", invalid="ignore"):
                self._array("coefficient")[where] = self.modes.project(chunk.residuals)
                self._array("band_energy")[where] = self.bands.energy(chunk.residuals)
        if "test_loss" in chunk.records:
            self._put(self._array("test_loss"), self.schedule.record, chunk.records["test_loss"])
        if "drift" in chunk.records:
            self._put(open_array(self.drift, "drift"), self.schedule.drift, chunk.records["drift"])
        flush_tree(self.run.store, before)
        self._checkpoint(chunk.state)
        step = int(chunk.state.step)
        _log(self.run, event="chunk", start=chunk.start, end=step)
        count = {
            "records": int(np.searchsorted(self.schedule.record, step, side="right")),
            "drift_records": int(np.searchsorted(self.schedule.drift, step, side="right")),
        }
        _update(self.run, status="running", progress={"step": step, **count})

    def _array(self, name: str) -> zarr.Array:
        return open_array(self.group, name)

    @staticmethod
    def _put(array: zarr.Array, schedule: tuple[int, ...], record: tuple[np.ndarray, list[np.ndarray]]) -> None:
        steps, values = record
        if len(steps):
            first = schedule.index(int(steps[0]))
            array[first : first + len(steps)] = np.array(values)

    def _checkpoint(self, state: State) -> None:
        buffer = io.BytesIO()
        eqx.tree_serialise_leaves(buffer, state)
        write_atomic(self.run.directory / "checkpoint.eqx", buffer.getvalue())
