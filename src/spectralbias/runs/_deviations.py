"""Why a run left the prediction of a kernel that does not move: damped deviations, added to a finished run."""

import time
from typing import Any, Literal, NamedTuple

import numpy as np
import zarr

from .._core.checks import whole
from .._core.errors import InputError
from ..dynamics import DampedDeviations, Probe, TrainingStatus, Trajectory, damped_deviations, train
from ..models import MLP
from ..spectra import Bands
from ._build import optimizer_options, precision
from ._files import flush_tree
from ._population import Population, check_training, choose, default_modes, frozen_kernel
from ._progress import Progress
from ._record import Schedule
from ._run import Run, log_event, update_info
from ._store import put, put_names

# A training that is repeated on other hardware differs by rounding errors; by more than this it is another training.
SAME_TRAINING = 0.01
# So many values of a function on the points are expanded at once.
BLOCK_VALUES = 2**24
# The parts, in the words of the report.
WORDS = {"sampling": "samples", "width": "width", "motion": "motion"}


def deviations(
    run: Run,
    *,
    points: Literal["auto", "train", "held out"] = "auto",
    num_modes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Say why a run left the frozen kernel's prediction: too few samples, too little width, or feature learning.

    In every mode of the frozen kernel, and in every band, what the network did is what that kernel predicts plus a
    damped deviation, and the deviation is the sum of

    - samples: training sees n samples, not the whole population;
    - width: the network's kernel at its start is not that of infinite width;
    - motion: the kernel moves in training (feature learning).

    Each is computed from kernels, never as a difference of curves; what does not close is stored beside them. For this
    the run is trained again from its stored initialization. The same training must come out as is stored, which is
    checked. Arrays go to the group `deviations` of the run's store, the main numbers to run.json;
    `report.write_report` shows both.

    Args:
        run: a finished run of full-batch gradient descent, with or without momentum.
        points: where the deviation is looked at. `"held out"`: the held-out samples, which stand for the population;
            they are a sample themselves. `"train"`: the training points, where the part of the samples is zero.
            `"auto"`: held out, if the run has held-out samples with the same kind of bands.
        num_modes: how many modes of the frozen kernel, the largest; with several outputs and a kernel of infinite
            width, of each output. By default all that have room in memory.
        progress: told what happens; silent by default.

    Returns:
        The run. The frozen kernel is that of infinite width where it is known, so that width is a part of its own;
        otherwise it is the network's own at the start, and there is no part of the width.

    Raises:
        InputError: a run that has not finished, or that diverged; an adaptive optimizer or mini-batches; no held-out
            samples where they are asked for; data too large for memory; a training that does not come out as stored; a
            learning rate at which the frozen kernel's prediction diverges.

    Cost and precision:
        A few times the training: in every step, or in some hundred of many, the kernel's product with the residual is
        taken at three points along the step. The parts are as precise as the training, in the dtype of the run.

    Example:
        >>> from spectralbias import runs
        >>> run = runs.load("spectralbias-runs/my-run")  # doctest: +SKIP
        >>> runs.deviations(run).info["deviations"]["bands"]  # doctest: +SKIP

    References:
        Bowman & Montúfar 2022.
    """
    progress, began = progress or Progress(), time.perf_counter()
    check_training(run.config)
    if run.status != "finished":
        how = "diverged" if run.status == "diverged" else f"has not ended (it is {run.status})"
        then = "" if run.status == "diverged" else f": go on with `spectralbias run --resume {run.directory}` first"
        raise InputError(f"the run in {run.directory} {how}, and deviations are those of a finished one{then}")
    config, problem, model = run.config, run.problem, run.model(0)
    with precision(config):
        population = choose(config, problem, model, points)
        kernel, cross = frozen_kernel(config, problem, model, population)
        population = population._replace(infinite=kernel is not None)
        if num_modes is None:
            num_modes = default_modes(population)
        whole("num_modes", 1 if num_modes is None else num_modes, 1)
        progress.phase(f"Training again, with the kernel recorded on {population.size:,} points")
        trajectory = _train_again(run, model, population, progress)
        difference = _compare_with_stored(run, trajectory)
        progress.phase("Splitting the deviation into its parts")
        found = damped_deviations(trajectory, kernel, cross=cross, num_modes=num_modes)
    _check_stable(found)
    in_bands = split(found, population.bands)
    summary = _summarize(found, in_bands, population, _energy(trajectory))
    summary |= {"replay_difference": difference, "seconds": round(time.perf_counter() - began, 3)}
    _save(run, found, in_bands, summary)
    return run


def _train_again(run: Run, model: MLP, population: Population, progress: Progress) -> Trajectory:
    """The same training once more, with the kernel recorded."""
    settings = run.config.training
    steps, losses = (run.records[name].to_numpy() for name in ("step", "loss"))

    def tell(model: Any, x: Any, y: Any, step: int) -> np.ndarray:
        progress.training(step, settings.steps, float(losses[np.searchsorted(steps, step)]))
        return np.zeros(())

    return train(
        model,
        run.problem.x,
        run.problem.y,
        learning_rate=run.info["resolved"]["learning_rate"],
        steps=settings.steps,
        optimizer=settings.optimizer,
        optimizer_options=optimizer_options(run.config),
        record=Schedule(run.config).record,
        probes={"progress": Probe(tell)},
        record_kernel=population.recorder,
    )


def _compare_with_stored(run: Run, trajectory: Trajectory) -> float:
    """The largest difference from the stored residuals, in units of the first one's root mean square."""
    stored, again = run.records["residual"], trajectory.residuals
    scale = np.sqrt(np.mean(stored[0].to_numpy().astype(np.float64) ** 2))
    largest = 0.0 if trajectory.status is TrainingStatus.finished else np.inf
    for part in np.array_split(np.arange(len(again)), max(1, again.size // 2**24)):
        largest = max(largest, float(np.max(np.abs(stored[part].to_numpy().astype(np.float64) - again[part]))))
    if not largest <= SAME_TRAINING * scale:
        raise InputError(
            f"the training in {run.directory} did not come out again as it is stored: residuals differ by up to "
            f"{100 * largest / scale:.2g} % of the first one. It amplifies rounding errors; make the run again on this "
            "machine, or with dtype float64"
        )
    return largest / scale


def _check_stable(found: DampedDeviations) -> None:
    """Refuse a prediction that diverges: the points may have a larger eigenvalue than the training points."""
    largest, rate = float(found.eigenvalues[0]), found.learning_rate
    limit = 2 * (1 + found.momentum) / largest
    if rate is not None and rate > limit:
        raise InputError(
            f"the frozen kernel predicts that training diverges: its largest eigenvalue on the points, {largest:.4g}, "
            f"allows learning rates below {limit:.4g}, and the run has {rate:.4g}; make it with a smaller learning "
            "rate, or look at other points"
        )


def _energy(trajectory: Trajectory) -> float:
    """Mean square of the first residual on the points."""
    assert trajectory.kernel_path is not None
    first = trajectory.kernel_path.recorded[0]
    return float(np.sum(first**2) / len(first))


class InBands(NamedTuple):
    """Amplitudes in every band, (T, bands); the deviation is signed, and it is the sum of its three parts."""

    names: tuple[str, ...]
    kind: str
    measured: np.ndarray
    predicted: np.ndarray
    deviation: np.ndarray
    sampling: np.ndarray
    width: np.ndarray
    motion: np.ndarray
    undamped: np.ndarray


def split(found: DampedDeviations, on: Bands) -> InBands:
    """Amplitudes in every band; of a part its component along the deviation, so that the parts add up to the whole.

    The energy in a band is a quadratic form. It gives inner products by polarization: ⟨a, b⟩ = (|a + b|² - |a - b|²)/4.
    A deviation that passes through zero turns round. Its sign follows that, from record to record, and is chosen such
    that it ends positive where the residual ends above the prediction, and negative where it ends below.
    """
    values, last = found.functions[..., 0].size, np.zeros((1, *found.functions.shape[:-1]))
    blocks = []

    def amplitude(functions: np.ndarray) -> np.ndarray:
        return np.sqrt(on.energy(functions))

    def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (on.energy(one + other) - on.energy(one - other)) / 4

    for rows in np.array_split(np.arange(len(found.times)), max(1, len(found.times) * values // BLOCK_VALUES)):
        deviation = found.expand(found.deviation[rows])
        length = amplitude(deviation)
        turns = np.where(product(deviation, np.concatenate([last, deviation[:-1]])) < 0, -1, 1)
        along = []
        for part in WORDS:
            component = product(found.expand(getattr(found, part)[rows]), deviation)
            along.append(np.divide(component, length, out=np.zeros_like(component), where=length > 0))
        curves = (amplitude(found.expand(getattr(found, name)[rows])) for name in ("coefficients", "propagated"))
        blocks.append((*curves, length, *along, amplitude(found.expand(found.undamped[rows])), turns))
        last = deviation[-1:]
    measured, predicted, *signed, undamped, turns = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    sign = np.cumprod(turns, axis=0)
    sign = sign * sign[-1] * np.where(measured[-1] < predicted[-1], -1, 1)
    deviation, sampling, width, motion = (sign * array for array in signed)
    return InBands(on.names, on.kind, measured, predicted, deviation, sampling, width, motion, undamped)


def _summarize(found: DampedDeviations, on: InBands, population: Population, energy: float) -> dict[str, Any]:
    """The numbers of the sentence, as plain data; amplitudes are fractions of the band's first one."""
    assert found.steps is not None
    exists = {"sampling": population.held_out, "width": population.infinite, "motion": True}
    described = []
    for index, name in enumerate(on.names):
        start = float(on.measured[0, index])
        if not start > 0:
            continue
        size, way = np.abs(on.deviation[:, index]), 1 - 2 * (on.deviation[-1, index] < 0)
        last = {field: float(getattr(on, field)[-1, index] / start) for field in InBands._fields[2:]}
        most = int(np.argmax(size))
        described.append(
            {
                "name": name,
                "share": float(start**2 / energy),
                "measured_left": last["measured"],
                "predicted_left": last["predicted"],
                "deviation": float(size[-1] / start),
                **{word: way * last[part] if exists[part] else None for part, word in WORDS.items()},
                "undamped": last["undamped"],
                "largest": {"deviation": float(size[most] / start), "step": int(found.steps[most])},
            }
        )
    return {
        "points": population.name,
        "num_points": population.size,
        "total_points": population.total,
        "kernel": "infinite width" if population.infinite else "at the start",
        "num_modes": len(found.eigenvalues),
        "share_in_modes": float(np.sum(found.coefficients[0] ** 2) / energy),
        "steps": int(found.steps[-1]),
        "method": found.status.value,
        "identity_error": found.relative_identity_error,
        "band_kind": on.kind,
        "bands": described,
    }


# Name in the store, attribute of the result, and meaning.
_BY_MODE = (
    ("measured", "coefficients", "coefficients of the residual along the modes of the frozen kernel"),
    ("predicted", "propagated", "what the frozen kernel makes of the first residual"),
    ("deviation", "deviation", "the damped deviation, sampling + width + motion"),
    ("sampling", "sampling", "its part from the n samples in place of the population"),
    ("width", "width", "its part from the network's kernel at the start in place of that of infinite width"),
    ("motion", "motion", "its part from the kernel's motion in training"),
    ("undamped", "undamped", "what the deviation would be without damping"),
)


def _save(run: Run, found: DampedDeviations, on: InBands, summary: dict[str, Any]) -> None:
    """Write the group `deviations`, and last its entry in run.json, which says that the group is whole."""
    assert found.steps is not None
    before = time.time() - 1
    if "deviations" in run.info:
        update_info(run, deviations=None)
    group = zarr.open_group(run.store, path="deviations", mode="w")
    put(group, "step", ("record",), found.steps, "step", "optimizer steps taken")
    put(group, "time", ("record",), found.times, "time", "learning_rate · step / (1 - momentum)")
    put(group, "eigenvalue", ("mode",), found.eigenvalues, "1/time", "eigenvalues of the frozen kernel on the points")
    put(group, "damping", ("record", "mode"), found.damping, "1", "(1 - e^(-λt))/(λt)")
    put(group, "identity_error", ("record",), found.identity_error, "y", "‖measured - predicted - deviation‖")
    put(group, "source_sup", ("record",), found.source_sup, "y/time", "largest ‖(T_K - T_n^s) r_s‖ so far")
    missing = ["sampling"] if summary["points"] == "train" else []
    missing += ["width"] if summary["kernel"] == "at the start" else []
    for name, attribute, meaning in _BY_MODE:
        if name not in missing:
            put(group, name, ("record", "mode"), getattr(found, attribute), "y", meaning)
            signed = ", signed" if name == "deviation" else ", along the deviation" if name in WORDS else ""
            amplitude = f"amplitude in each band: {meaning}{signed}"
            put(group, f"band_{name}", ("record", "band"), getattr(on, name), "y", amplitude)
    put_names(group, "band", on.names)
    group.attrs.update(
        band_kind=on.kind, **{name: summary[name] for name in ("points", "kernel", "num_points", "num_modes")}
    )
    flush_tree(run.store, before)
    log_event(run, event="deviations", seconds=summary["seconds"])
    update_info(run, deviations=summary)
