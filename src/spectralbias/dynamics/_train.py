"""Training with a recorder."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.errors import InputError
from ._kernel_path import KernelPath, KernelProbe, KernelRecorder, assemble
from ._optimizers import optimizer as find_optimizer
from ._schedule import log_spaced
from ._time import training_time
from ._trainer import Measurement, Probe, Trainer, TrainingStatus

# Names of the probes behind `record_kernel`, which no probe of the user's can have.
_KERNEL, _POPULATION = " kernel", " population"


class Trajectory(eqx.Module):
    """A recorded training.

    Attributes:
        steps: recorded steps, (T,).
        times: learning_rate · step / (1 - momentum), (T,); the step itself for adaptive optimizers.
        residuals: f - y on the training data, (T, n[, c]).
        loss: (1/2n) Σ r², (T,).
        model: the trained model.
        records: what each probe returned, stacked along a leading axis.
        record_steps: at which steps, for each probe.
        status: a `TrainingStatus`.
        kernel_path: what `damped_deviations` needs, where `record_kernel` asked for it.
    """

    steps: np.ndarray
    times: np.ndarray
    residuals: Float[np.ndarray, "T n ..."]
    loss: Float[np.ndarray, " T"]
    model: PyTree
    records: dict[str, PyTree]
    record_steps: dict[str, np.ndarray]
    status: TrainingStatus = eqx.field(static=True)
    kernel_path: KernelPath | None = None


def train(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    learning_rate: float,
    steps: int,
    optimizer: str = "gd",
    optimizer_options: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    record: Collection[int] | None = None,
    probes: Mapping[str, Probe | Callable[[Any, Array, Array, int], PyTree]] | None = None,
    record_kernel: bool | KernelRecorder = False,
    key: Array | None = None,
) -> Trajectory:
    """Train a model on the loss (1/2n) Σ (f - y)², and record how it gets there.

    Args:
        model: any callable pytree; its parameters are those of `models.partition`.
        x: inputs (n, dim).
        y: targets, of exactly the shape of the outputs, (n,) or (n, c).
        learning_rate: η.
        steps: number of steps.
        optimizer: `"gd"`, or an Optax optimizer by name.
        optimizer_options: further arguments of it, e.g. `{"momentum": 0.9}`.
        batch_size: samples per step, drawn without replacement within an epoch; all of them by default.
        record: steps at which residuals are recorded; `log_spaced(steps)` by default.
        probes: name -> `Probe`, or a function (model, x, y, step) -> pytree of arrays for every recorded step.
        record_kernel: keep what `damped_deviations` needs: on the training inputs (True), or as a `KernelRecorder`
            says. For full-batch gradient descent, with or without momentum.
        key: PRNG key of the mini-batches.

    Returns:
        A `Trajectory`. A training that diverges stops early and keeps what it recorded; see `.status`.

    Raises:
        InputError: shapes of outputs and targets that differ, non-finite data, an unknown optimizer; `record_kernel`
            with an adaptive optimizer or mini-batches.

    Cost and precision:
        In the dtype of the parameters. Samples go through in blocks whose activations fit the cache; each recorded
        step costs one more forward pass.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 64, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(1))
        >>> trajectory = dynamics.train(model, problem.x, problem.y, learning_rate=0.1, steps=20)
        >>> bool(trajectory.loss[-1] < trajectory.loss[0])
        True
    """
    if steps < 1:
        raise InputError(f"`steps` must be 1 or more, got {steps}")
    chosen = find_optimizer(optimizer, learning_rate, optimizer_options)
    key = jax.random.key(0) if key is None else key
    trainer = Trainer(model, x, y, chosen, batch_size=batch_size, key=key)
    record = log_spaced(steps) if record is None else record
    if not all(0 <= step <= steps and step % 1 == 0 for step in record) or 0 not in record:
        raise InputError(f"`record` must hold whole steps between 0 and {steps}, 0 included")
    named: dict[str, Measurement] = {
        name: p if isinstance(p, Probe) else Probe(p) for name, p in (probes or {}).items()
    }
    recorder = KernelRecorder() if record_kernel is True else record_kernel or None
    panels = None
    if recorder is not None:
        panels = recorder.panels(trainer, steps)
        named[_KERNEL] = KernelProbe(recorder, tuple(int(step) for step in panels.nodes))
        if recorder.x is not None:
            points, targets = recorder.points(trainer)
            named[_POPULATION] = Probe(lambda m, x, y, step: trainer.residuals(m, points, targets))
    chunks = list(trainer.chunks(trainer.initial, steps=steps, record=record, probes=named, chunk_steps=steps))
    steps_taken = np.concatenate([chunk.steps for chunk in chunks])
    residuals = np.concatenate([chunk.residuals for chunk in chunks])
    values = {name: [v for chunk in chunks for v in chunk.records[name][1]] for name in named}
    records = {name: jax.tree.map(lambda *leaves: np.stack(leaves), *v) if v else None for name, v in values.items()}
    kernel, population = records.pop(_KERNEL, None), np.asarray(records.pop(_POPULATION, residuals))
    path = None
    if recorder is not None and panels is not None and chunks[-1].status is TrainingStatus.finished:
        rates = {"learning_rate": float(learning_rate), "momentum": chosen.momentum or 0.0}
        path = assemble(recorder, trainer, panels, kernel, population, **rates)
    return Trajectory(
        steps=steps_taken,
        times=steps_taken.astype(float)
        if chosen.momentum is None
        else training_time(steps_taken, learning_rate, momentum=chosen.momentum),
        residuals=residuals,
        loss=np.concatenate([chunk.loss for chunk in chunks]),
        model=trainer.model(chunks[-1].state),
        records=records,
        record_steps={name: np.concatenate([chunk.records[name][0] for chunk in chunks]) for name in records},
        status=chunks[-1].status,
        kernel_path=path,
    )
