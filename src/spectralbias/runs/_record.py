"""Training, written to disk as it goes, so that it can be killed at any moment."""

import io
import os
import time

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import zarr

from ..dynamics import (
    Chunk,
    Optimizer,
    Probe,
    State,
    Trainer,
    TrainingStatus,
    drift,
    half_mean_square,
    log_spaced,
    training_time,
)
from ..kernels import empirical_ntk
from ..models import MLP
from ..problems import Problem
from ..spectra import Bands, Modes
from ._build import build_model, build_trainer
from ._config import Config
from ._files import flush_tree, write_atomic
from ._progress import Progress
from ._run import Run, log_event, update_info
from ._store import create_array, open_array, put, put_names

NUM_SNAPSHOTS = 32


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


def create_records(run: Run, problem: Problem, modes: Modes, optimizer: Optimizer) -> None:
    """Empty arrays for what the training will record."""
    schedule, bands = Schedule(run.config), run.bands
    group = zarr.open_group(run.store, path="records", mode="w")
    steps = np.array(schedule.record, np.int64)
    put(group, "step", ("record",), steps, "step", "optimizer steps taken")
    if optimizer.momentum is not None:
        times = training_time(steps, optimizer.learning_rate, momentum=optimizer.momentum)
        put(group, "time", ("record",), times, "time", "learning_rate · step / (1 - momentum)")
    dtype, values = np.dtype(run.config.training.dtype), ("sample", "output")[: problem.y.ndim]
    num_bands = len(bands.names)
    streamed = {
        "loss": ((), (), np.float64, "y^2", "training loss (1/2n) Σ r²"),
        "test_loss": ((), (), np.float64, "y^2", "held-out loss (1/2n) Σ r²"),
        "residual": (values, problem.y.shape, dtype, "y", "residual r = f - y on the training data"),
        "coefficient": (("mode",), (modes.num_modes,), np.float64, "y", "mode coefficients n^(-1/2) Vᵀ r"),
        "band_energy": (("band",), (num_bands,), np.float64, "y^2", "mean square of the residual per band"),
    }
    if problem.x_test is None:
        del streamed["test_loss"]
    for name, (dims, shape, kind, units, description) in streamed.items():
        whole = (len(steps), *shape)
        create_array(group, name, ("record", *dims), whole, kind, units, description, streamed=True)
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


def record_training(run: Run, progress: Progress) -> TrainingStatus:
    """Train from the last checkpoint to the end."""
    config, problem, info = run.config, run.problem, run.info
    schedule = Schedule(config)
    model = build_model(config, problem)
    trainer = build_trainer(config, problem, model, info["resolved"]["learning_rate"])
    checkpoint = run.directory / "checkpoint.eqx"
    state, initial_loss = trainer.initial, None
    if checkpoint.exists():
        state = eqx.tree_deserialise_leaves(checkpoint, trainer.initial)
        initial_loss = float(run.records["loss"][0])
    step = int(state.step)
    log_event(run, event="start", step=step, pid=os.getpid())
    status = TrainingStatus.finished
    if step < config.training.steps:
        progress.phase(f"Training for {config.training.steps} steps")
        writer = _Writer(run, schedule)
        for chunk in trainer.chunks(
            state,
            steps=config.training.steps,
            record=schedule.record,
            probes=_probes(run, trainer, model, schedule),
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


def _probes(run: Run, trainer: Trainer, model: MLP, schedule: Schedule) -> dict[str, Probe]:
    """What is measured beside the residuals: drift, held-out loss, and snapshots as a side effect."""
    probes = {"snapshot": Probe(lambda m, x, y, step: write_snapshot(run, m, step), schedule.snapshots)}
    problem, dtype = run.problem, jnp.result_type(float)
    if problem.x_test is not None:
        x_test, y_test = jnp.asarray(problem.x_test, dtype), jnp.asarray(problem.y_test, dtype)
        probes["test_loss"] = Probe(lambda m, x, y, step: half_mean_square(trainer.residuals(m, x_test, y_test)))
    if schedule.drift:
        points = jnp.asarray(problem.x[: run.config.analysis.drift_samples], dtype)
        reference = empirical_ntk(model, points, outputs="mean")
        probes["drift"] = Probe(drift(reference, points), schedule.drift)
    return probes


class _Writer:
    """Puts chunks on disk: records first, then the checkpoint, then the progress; each is whole or absent."""

    def __init__(self, run: Run, schedule: Schedule):
        self.run, self.schedule = run, schedule
        self.modes: Modes = run.modes
        self.bands: Bands = run.bands
        self.group = zarr.open_group(run.store, path="records", mode="r+")
        self.drift = zarr.open_group(run.store, path="drift", mode="r+")
        self.seconds: dict[str, float] = run.info["seconds"]
        self.began = time.perf_counter()

    def write(self, chunk: Chunk) -> None:
        """Make a chunk durable; a diverged one gets no checkpoint, so that it is repeated if the run is killed now."""
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
        if chunk.status is not TrainingStatus.diverged:
            self._checkpoint(chunk.state)
        step = int(chunk.state.step)
        now = time.perf_counter()
        log_event(self.run, event="chunk", start=chunk.start, end=step, seconds=round(now - self.began, 4))
        self.seconds["training"] = round(self.seconds.get("training", 0.0) + now - self.began, 4)
        self.began = now
        count = {
            "records": int(np.searchsorted(self.schedule.record, step, side="right")),
            "drift_records": int(np.searchsorted(self.schedule.drift, step, side="right")),
        }
        update_info(self.run, status="running", progress={"step": step, **count}, seconds=self.seconds)

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
