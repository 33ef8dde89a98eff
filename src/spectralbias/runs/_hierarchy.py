"""How much finite width matters: the corrected prediction of the neural tangent hierarchy, added to a finished run."""

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import zarr

from .._core.checks import positive, whole
from .._core.errors import InputError
from ..dynamics import Hierarchy, HierarchyStatus, KinkWarning, compare, crossing
from ..dynamics import hierarchy as predict
from ..problems import Problem
from ._analyze import STRONG, WEAK, check_modes, finite_number, frozen_prediction
from ._build import build_optimizer, precision
from ._config import Config
from ._files import flush_tree
from ._pace import Pace
from ._progress import Progress
from ._run import Run, log_event, update_info
from ._store import open_dataset, put, put_names

# Bytes that the derivatives of Θ may take: so many numbers per unit and point, and per entry of Θ.
MEMORY_BYTES, PER_UNIT, PER_ENTRY = 2**33, 30, 40
# Trainings in this precision repeat a residual to about so much of its start. A gap is one from ten times that on.
RESOLUTION, RESOLVED = {"float32": 1e-6, "float64": 1e-9}, 10


def hierarchy(
    run: Run,
    *,
    order: int = 4,
    skip_test: bool = False,
    max_minutes: float = 60.0,
    progress: Progress | None = None,
) -> Run:
    """Add to a run what training does at finite width, predicted from the start alone.

    The frozen kernel is the prediction of order 2. Order 4 also follows the kernel's motion, which is of the order of
    1/width, and its error is of the order of 1/width². What it explains of the gap between the frozen kernel and the
    run, in a part of the target, is

        1 - max_t ‖measured - corrected‖ / max_t ‖measured - frozen‖,

    both norms of functions in that part: a gap of 20 % of which 1 % is left is explained to 95 %. Arrays go to the
    group `hierarchy` of the run's store, the main numbers to run.json; `report.write_report` shows both.

    Args:
        run: a finished run of full-batch gradient descent without momentum, with one output.
        order: 4; or 3, for runs that do not start antisymmetric.
        skip_test: do not predict the held-out loss, which takes longer by as much as there are held-out samples.
        max_minutes: give up at the beginning if it would take longer.
        progress: told what happens; silent by default.

    Returns:
        The run.

    Raises:
        InputError: a run that has not finished, or that diverged; momentum, an adaptive optimizer or mini-batches;
            several outputs; another order; too large for memory or for `max_minutes`.

    Cost and precision:
        Some 8 log₂(steps) times a few derivatives of Θ, each about 11 times as expensive as Θ: minutes for 1000
        samples. In float64, whatever the dtype of the run. Gaps below 1e-5 of the start (1e-8 in a run of float64) are
        not told from rounding errors of the training.

    Example:
        >>> from spectralbias import runs
        >>> run = runs.load("spectralbias-runs/my-run")  # doctest: +SKIP
        >>> runs.hierarchy(run).info["hierarchy"]["bands"]  # doctest: +SKIP

    References:
        Huang & Yau 2020.
    """
    progress, began = progress or Progress(), time.perf_counter()
    _check_order(run.config, order)
    _check_training(run)
    positive("max_minutes", max_minutes)
    config, problem, model = run.config, run.problem, run.model(0)
    rate, steps = run.info["resolved"]["learning_rate"], run.records["step"].to_numpy()
    points = None if skip_test else problem.x_test
    size = problem.num_samples + (0 if points is None else len(points))
    _check_memory(config, problem, size)
    progress.phase(f"Deriving the kernel to order {order} on {size:,} points")
    frozen = predict(model, problem.x, problem.y, steps, order=2, learning_rate=rate, x_test=points)
    if frozen.has_kinks:
        progress.warning(kinks(config))
    pace = Pace(progress, int(steps[-1]), rate, size * problem.num_samples, 60 * max_minutes)
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", KinkWarning)
        corrected = predict(
            model, problem.x, problem.y, steps, order=order, learning_rate=rate, x_test=points, progress=pace
        )
    progress.phase("Comparing with what was measured")
    found = _compare(run, frozen, corrected)
    summary = _summarize(run, frozen, corrected, found)
    summary["seconds"] = round(time.perf_counter() - began, 3)
    _save(run, frozen, corrected, found, summary)
    return run


def kinks(config: Config) -> str:
    """What to expect of a network with kinks."""
    return (
        f"the network has kinks (`{config.model.activation}`): the hierarchy does not see what crossing them does to "
        "the kernel, and may explain little; it is for smooth activations"
    )


def _check_order(config: Config, order: int) -> None:
    """Refuse orders that say nothing new of gradient descent."""
    order = whole("order", order, 2)
    if order == 2:
        raise InputError("order 2 is the frozen kernel, whose prediction every run has: use `order` 4")
    if order > 4:
        raise InputError(
            f"gradient descent is predicted up to order 4, got `order` {order}: use 4, or `dynamics.hierarchy` for "
            "gradient flow on a few samples"
        )
    if order == 3 and config.model.antisymmetric:
        raise InputError(
            "this run starts antisymmetric, with f = 0, so that K³ is zero and order 3 is the frozen kernel again: use "
            "`order` 4"
        )


def _check_training(run: Run) -> None:
    """Refuse runs that the hierarchy does not describe."""
    if run.status != "finished":
        how = "diverged" if run.status == "diverged" else f"has not ended (it is {run.status})"
        then = "" if run.status == "diverged" else f": go on with `spectralbias run --resume {run.directory}` first"
        raise InputError(f"the run in {run.directory} {how}, and the hierarchy is compared with finished ones{then}")
    config, settings = run.config, run.config.training
    momentum = build_optimizer(config, 1.0).momentum
    if momentum is None:
        raise InputError(
            f"the hierarchy predicts gradient descent: `{settings.optimizer}` does not follow the kernel; use "
            "optimizer `gd`"
        )
    if momentum:
        raise InputError(
            f"the hierarchy predicts gradient descent without momentum, and this training has {momentum:g}: make a run "
            "with `momentum` 0"
        )
    if settings.batch_size is not None:
        raise InputError(
            "the hierarchy predicts gradient descent on all samples, and this training takes mini-batches of "
            f"{settings.batch_size}: leave `batch_size` out"
        )
    outputs = run.problem.num_outputs
    if outputs is not None:
        raise InputError(
            f"the hierarchy predicts networks with one output, and this one has {outputs}: they share parameters, so "
            "that each moves the kernel of the others; make a run on one of them"
        )


def _check_memory(config: Config, problem: Problem, size: int) -> None:
    """Refuse what would not fit into memory."""
    model = config.model
    units = model.width * model.depth * (2 if model.antisymmetric else 1)
    needed = 8 * size * (PER_UNIT * units + PER_ENTRY * problem.num_samples)
    if needed > MEMORY_BYTES:
        skip = "" if size == problem.num_samples else "leave the held-out samples out (`skip_test`), or "
        raise InputError(
            f"the derivatives of the kernel on {size:,} points would take about {needed / 2**30:.0f} GB: {skip}make a "
            "run with fewer samples or a smaller width"
        )


class Found(NamedTuple):
    """The run beside both predictions; the last column of errors is the whole residual."""

    coefficients: np.ndarray
    energies: np.ndarray
    learning_steps: np.ndarray
    starts: np.ndarray
    frozen_errors: np.ndarray
    corrected_errors: np.ndarray
    corrections: np.ndarray
    resolutions: np.ndarray


def _compare(run: Run, frozen: Hierarchy, corrected: Hierarchy) -> Found:
    """Differences of residuals as functions, in every band; the frozen prediction is that of the run."""
    records, steps = run.records, run.records["step"].to_numpy()
    measured = records["residual"].to_numpy().astype(np.float64)
    with precision(run.config):
        predicted = frozen_prediction(run, measured[0]).residuals_at(steps, run.info["resolved"]["learning_rate"])

    def amplitudes(residuals: np.ndarray) -> np.ndarray:
        return np.sqrt(np.column_stack([run.bands.energy(residuals), np.mean(residuals**2, axis=1)]))

    with np.errstate(over="ignore", invalid="ignore"):
        coefficients = run.modes.project(corrected.residuals)
        return Found(
            coefficients,
            run.bands.energy(corrected.residuals),
            crossing(steps, coefficients),
            amplitudes(measured[:1])[0],
            amplitudes(measured - predicted),
            amplitudes(measured - corrected.residuals),
            amplitudes(corrected.residuals - predicted),
            amplitudes(predicted - frozen.residuals).max(axis=0),
        )


def _summarize(run: Run, frozen: Hierarchy, corrected: Hierarchy, found: Found) -> dict[str, Any]:
    """The numbers of the sentence, as plain data; amplitudes and errors are fractions of the part's start."""
    records, prediction = run.records, open_dataset(run.store, "prediction")
    steps, rate = records["step"].to_numpy(), run.info["resolved"]["learning_rate"]
    valid_until = round(corrected.valid_until / rate)
    status, finite = corrected.status, np.isfinite(corrected.residuals).all(axis=1)
    measured = np.sqrt(records["band_energy"].to_numpy())
    by_frozen, by_corrected = (
        compare(steps, measured, np.sqrt(energies))
        for energies in (prediction["band_energy"].to_numpy(), found.energies)
    )
    floor = RESOLUTION[run.config.training.dtype]

    def errors(index: int) -> dict[str, Any]:
        start = found.starts[index]
        sizes = np.stack(
            [array[:, index] for array in (found.frozen_errors, found.corrected_errors, found.corrections)]
        )
        limit = RESOLVED * max(floor, found.resolutions[index] / start)
        always = _explained(steps, sizes / start, limit)
        early = steps <= valid_until
        until = None if status is HierarchyStatus.valid else _explained(steps, sizes[:, early] / start, limit)
        return {**always, "until_valid": until}

    described = [
        {
            "name": name,
            "share": float(found.starts[index] ** 2 / found.starts[-1] ** 2),
            **_steps_and_left(by_frozen, by_corrected, index),
            **errors(index),
        }
        for index, name in enumerate(run.bands.names)
        if found.starts[index] > 0
    ]
    coefficients = records["coefficient"].to_numpy()
    learned = prediction["learning_step"].to_numpy()
    modes = {
        "frozen": compare(steps, coefficients, prediction["coefficient"].to_numpy(), predicted_steps=learned),
        "corrected": compare(steps, coefficients, found.coefficients),
    }
    return {
        "order": corrected.order,
        "method": corrected.method,
        "status": status.name,
        "valid_until": valid_until,
        "reached": int(steps[finite][-1]),
        "steps": int(steps[-1]),
        "has_kinks": corrected.has_kinks,
        "activation": run.config.model.activation,
        "dtype": run.config.training.dtype,
        "smallest_eigenvalue": float(np.min(corrected.smallest_eigenvalues)),
        "error_estimate": finite_number(_estimate(corrected)[-1] / found.starts[-1]),
        "band_kind": run.bands.kind,
        "bands": described,
        "whole": errors(-1),
        "modes": {
            kind: {name: check_modes(comparison, threshold) for name, comparison in modes.items()}
            for kind, threshold in (("strong", STRONG), ("weak", WEAK))
        },
        "loss": _losses(records["loss"], prediction["loss"].to_numpy(), _loss(corrected.residuals)),
        "test_loss": None
        if corrected.test_predictions is None
        else _losses(records["test_loss"], _test_loss(run, frozen), _test_loss(run, corrected)),
    }


def _explained(steps: np.ndarray, errors: np.ndarray, limit: float) -> dict[str, Any]:
    """The largest gaps to both predictions, what the second explains of the first, and how much it differs from it.

    Where the corrected prediction does not exist at all steps, it explains nothing of the whole training.
    """
    frozen, corrected, correction = (float(np.max(row)) for row in errors)
    explained = 1 - corrected / frozen if frozen > limit else np.nan
    return {
        "frozen_error": frozen,
        "at_step": int(steps[int(np.argmax(errors[0]))]),
        "corrected_error": finite_number(corrected),
        "correction": finite_number(correction),
        "explained": finite_number(explained),
    }


def _steps_and_left(frozen: Any, corrected: Any, index: int) -> dict[str, float | None]:
    """1/e steps, and amplitudes left at the end."""
    return {
        "measured_step": finite_number(frozen.measured_steps[index]),
        "frozen_step": finite_number(frozen.predicted_steps[index]),
        "corrected_step": finite_number(corrected.predicted_steps[index]),
        "measured_left": finite_number(frozen.measured_left[index]),
        "frozen_left": finite_number(frozen.predicted_left[index]),
        "corrected_left": finite_number(corrected.predicted_left[index]),
    }


def _estimate(corrected: Hierarchy) -> np.ndarray:
    assert corrected.error_estimate is not None
    return corrected.error_estimate


def _loss(residuals: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.mean(residuals**2, axis=1) / 2


def _test_loss(run: Run, found: Hierarchy) -> np.ndarray:
    assert found.test_predictions is not None
    with np.errstate(over="ignore", invalid="ignore"):
        return _loss(found.test_predictions - run.problem.y_test)


def _losses(measured: Any, frozen: np.ndarray, corrected: np.ndarray) -> dict[str, float | None]:
    """The last ones."""
    last = {"measured": measured.to_numpy(), "frozen": frozen, "corrected": corrected}
    return {name: finite_number(values[-1]) for name, values in last.items()}


def _save(run: Run, frozen: Hierarchy, corrected: Hierarchy, found: Found, summary: dict[str, Any]) -> None:
    """Write the group `hierarchy`, and last its entry in run.json, which says that the group is whole."""
    assert corrected.steps is not None
    before, rate = time.time() - 1, run.info["resolved"]["learning_rate"]
    if "hierarchy" in run.info:
        update_info(run, hierarchy=None)
    group = zarr.open_group(run.store, path="hierarchy", mode="w")
    put(group, "step", ("record",), corrected.steps, "step", "optimizer steps taken")
    put(group, "time", ("record",), corrected.times, "time", "learning_rate · step")
    put(group, "residual", ("record", "sample"), corrected.residuals, "y", "predicted residual r = f - y")
    put(group, "coefficient", ("record", "mode"), found.coefficients, "y", "predicted mode coefficients")
    put(group, "learning_step", ("mode",), found.learning_steps, "step", "predicted step at which 1/e is left")
    put(group, "band_energy", ("record", "band"), found.energies, "y^2", "predicted energy per band")
    put(group, "loss", ("record",), _loss(corrected.residuals), "y^2", "predicted training loss")
    if corrected.test_predictions is not None:
        put(group, "test_loss", ("record",), _test_loss(run, corrected), "y^2", "predicted held-out loss")
        put(group, "frozen_test_loss", ("record",), _test_loss(run, frozen), "y^2", "the frozen kernel's held-out loss")
    for name, errors, whose in (
        ("frozen_error", found.frozen_errors, "the frozen kernel's prediction"),
        ("corrected_error", found.corrected_errors, "this prediction"),
    ):
        meaning = f"amplitude of the measured residual minus {whose}"
        put(group, f"band_{name}", ("record", "band"), errors[:, :-1], "y", f"{meaning}, per band")
        put(group, name, ("record",), errors[:, -1], "y", meaning)
    meaning = "root mean square of the change from the order below that has another power of the width"
    put(group, "error_estimate", ("record",), _estimate(corrected), "y", meaning)
    ends = np.round(corrected.panel_times / rate).astype(np.int64)
    put(group, "panel_step", ("panel",), ends, "step", "where the smallest eigenvalue was looked at")
    meaning = "smallest eigenvalue of the predicted Θ/n"
    put(group, "smallest_eigenvalue", ("panel",), corrected.smallest_eigenvalues, "1/time", meaning)
    put_names(group, "band", run.bands.names)
    group.attrs.update(
        band_kind=run.bands.kind,
        **{name: summary[name] for name in ("order", "method", "status", "valid_until", "has_kinks")},
    )
    flush_tree(run.store, before)
    log_event(run, event="hierarchy", seconds=summary["seconds"])
    update_info(run, hierarchy=summary)
