"""A forecast of what a configuration will train, and of what a run has trained: with a score."""

import time
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr

from .._core.checks import whole
from .._core.errors import InputError
from ..dynamics import crossing
from ..forecast import Forecast
from ..forecast import forecast as predict
from ._analyze import WEAK, finite_number
from ._build import build_model, build_optimizer, build_problem, optimizer_options, precision
from ._config import Config
from ._files import flush_tree
from ._progress import Progress
from ._run import Run, log_event, update_info
from ._store import put, put_names

# So many modes are listed, those with the largest shares.
MOST_MODES = 10


def forecast(
    subject: Run | Config,
    *,
    level: Literal["auto", "infinite", "empirical", "corrected"] = "auto",
    num_networks: int | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """What the training of a configuration, or of a finished run, is to be before it is done.

    A run is compared with it: arrays go to the group `forecast` of the run's store, the main numbers and the score to
    run.json; `report.write_report` shows both. Nothing of the training is used, only the configuration, the data and
    the learning rate.

    Args:
        subject: a configuration, or a finished run.
        level: what the forecast stands on, as in `forecast.forecast`.
        num_networks: how many new initializations `.interval` is from; without it there is none.
        progress: told what happens; silent by default.

    Returns:
        The forecast.

    Raises:
        InputError: a run that has not finished, or that diverged; mini-batches; an optimizer that cannot be forecast;
            a level that the network does not have.

    Cost and precision:
        As `forecast.forecast`: one kernel on the samples and its eigendecomposition, and one for each new network.

    Example:
        >>> from spectralbias import runs
        >>> config = runs.default_config("signal", quick=True)
        >>> found = runs.forecast(config)
        >>> found.band_names == tuple(f"frequency {f:g}" for f in config.problem.frequencies)
        True

    References:
        Jacot, Gabriel and Hongler 2018; Lee et al. 2019.
    """
    progress = progress or Progress()
    run = subject if isinstance(subject, Run) else None
    config = subject.config if isinstance(subject, Run) else subject
    if run is not None and run.status != "finished":
        how = "diverged" if run.status == "diverged" else f"has not ended (it is {run.status})"
        then = "" if run.status == "diverged" else f": go on with `spectralbias run --resume {run.directory}` first"
        raise InputError(f"the run in {run.directory} {how}, and a forecast is compared with finished ones{then}")
    if config.training.batch_size is not None:
        raise InputError(
            "a forecast is of training on all samples, and this training takes mini-batches of "
            f"{config.training.batch_size}: leave `batch_size` out"
        )
    if num_networks is not None:
        whole("num_networks", num_networks, 2)
    began, settings = time.perf_counter(), config.training
    momentum = build_optimizer(config, 1.0).momentum
    with precision(config):
        problem = build_problem(config) if run is None else run.problem
        model = build_model(config, problem) if run is None else run.model(0)
        several = f" and of {num_networks} new ones" if num_networks else ""
        progress.phase(f"Forecasting from the kernel on {problem.num_targets:,} values{several}")
        more: dict[str, Any] = {"momentum": momentum}
        if momentum is None:
            more = {"optimizer": settings.optimizer, "options": optimizer_options(config)}
        if num_networks:
            more |= {"initialize": lambda key: build_model(config, problem, key), "num_networks": num_networks}
        rate = settings.learning_rate if run is None else run.info["resolved"]["learning_rate"]
        found = predict(model, problem, learning_rate=rate, steps=settings.steps, level=level, **more)
    if run is not None:
        progress.phase("Comparing with what was measured")
        _save(run, found, began)
    return found


def describe(found: Forecast, kind: str) -> dict[str, Any]:
    """The numbers of a forecast, as plain data; None for never and unknown."""
    modes = np.argsort(-found.shares, kind="stable")[:MOST_MODES]
    ends = np.full((len(found.shares), 2), np.nan) if found.interval is None else found.interval

    def parts(index: int, of: Any) -> dict[str, Any]:
        return {
            "share": finite_number(of.shares[index]),
            "learning_step": finite_number(of.learning_times[index]),
            "percent_step": finite_number(of.percent_times[index]),
            "left": finite_number(of.remaining[index]),
        }

    return {
        "level": found.level.name,
        "method": found.method,
        "trust": {"status": found.trust.status.name, "reasons": list(found.trust.reasons)},
        "steps": int(found.steps[-1]),
        "optimizer": found.optimizer,
        "learning_rate": found.learning_rate,
        "momentum": found.momentum,
        "stability_limit": finite_number(found.stability_limit),
        "loss": {"first": finite_number(found.loss[0]), "last": finite_number(found.loss[-1])},
        "test_loss": None if found.test_loss is None else finite_number(found.test_loss[-1]),
        "drift": None if found.motion is None else finite_number(found.motion.drift),
        "band_kind": kind,
        "bands": [{"name": name, **parts(i, found.bands)} for i, name in enumerate(found.band_names)],
        "modes": [
            {
                "mode": int(i) + 1,
                **parts(int(i), found.parts),
                "interval": None if found.interval is None else [finite_number(end) for end in ends[i]],
            }
            for i in modes
        ],
    }


def at_steps(found: Forecast, values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Curves (T, …) of a forecast at other steps, linear between in log(1 + step)."""
    columns = values.reshape(len(values), -1).T
    between = [np.interp(np.log1p(steps), np.log1p(found.steps), column) for column in columns]
    return np.stack(between, axis=1).reshape(len(steps), *values.shape[1:])


def relative_errors(measured: np.ndarray, expected: np.ndarray, budget: float) -> np.ndarray:
    """|forecast - measured|/measured (over 1 below one step): 1 where only one of the two is within the budget.

    NaN where neither is.
    """
    fell, falls = measured <= budget, expected <= budget
    both = fell & falls
    gap = np.subtract(expected, measured, out=np.zeros_like(measured), where=both)
    return np.where(both, np.abs(gap) / np.maximum(measured, 1.0), np.where(fell | falls, 1.0, np.nan))


def errors(measured: np.ndarray, expected: np.ndarray, shares: np.ndarray, budget: float) -> dict[str, Any]:
    """How right the learning times are, of the parts that hold at least 0.1 % and were, or were to be, learned.

    Those that were learned only in the run, or only in the forecast, are `missed`. Those that were learned in neither
    are `censored`, and have no error.
    """
    some = shares >= WEAK
    relative = relative_errors(measured, expected, budget)[some]
    fell, falls = (measured <= budget)[some], (expected <= budget)[some]
    known = np.isfinite(relative)
    return {
        "count": int(some.sum()),
        "compared": int(known.sum()),
        "missed": int((fell != falls).sum()),
        "censored": int((~known).sum()),
        "censored_share": float(shares[some][~known].sum()),
        "median_error": finite_number(np.median(relative[known])) if known.any() else None,
    }


def score(run: Run, found: Forecast) -> dict[str, Any]:
    """The forecast against the run: learning times of bands and of modes, and the loss.

    Modes are those of the forecast, on which the measured residuals are projected.
    """
    records, steps = run.records, run.records["step"].to_numpy()
    last = float(steps[-1])
    energies = records["band_energy"].to_numpy().astype(np.float64)
    amplitudes = np.sqrt(energies)
    at = crossing(steps, amplitudes)
    left = np.divide(amplitudes[-1], amplitudes[0], out=np.full(len(at), np.nan), where=amplitudes[0] > 0)
    first = 2 * float(records["loss"][0])
    by_band = (at, found.bands.learning_times, energies[0] / first)

    def loss(measured: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
        ratio = float(expected[-1] / measured[-1]) if measured[-1] > 0 else np.nan
        decibels = float(10 * np.log10(ratio)) if ratio > 0 else np.nan
        return {
            "measured": finite_number(measured[-1]),
            "forecast": finite_number(expected[-1]),
            "decibels": finite_number(decibels),
        }

    return {
        "bands": errors(*by_band, last),
        "modes": None if found.modes is None else errors(*_modes(found, records), last),
        "loss": loss(records["loss"].to_numpy(), found.loss),
        "test_loss": loss(records["test_loss"].to_numpy(), found.test_loss)
        if "test_loss" in records and found.test_loss is not None
        else None,
        "measured": [
            {"learning_step": finite_number(step), "left": finite_number(part), "error": finite_number(error)}
            for step, part, error in zip(at, left, relative_errors(*by_band[:2], last), strict=True)
        ],
    }


def _modes(found: Forecast, records: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each mode of the forecast was learned and was to be, and its share."""
    assert found.modes is not None
    coefficients = found.modes.project(records["residual"].to_numpy().astype(np.float64))
    shares = coefficients[0] ** 2 / (2 * float(records["loss"][0]))
    return crossing(records["step"].to_numpy(), coefficients), found.learning_times, shares


def _save(run: Run, found: Forecast, began: float) -> None:
    """Write the arrays, then the numbers in run.json that say they are whole."""
    before = time.time() - 1
    summary = {**describe(found, run.bands.kind), "score": score(run, found)}
    if found.modes is not None:
        measured, _, shares = _modes(found, run.records)
    else:
        measured = shares = None
    summary["seconds"] = round(time.perf_counter() - began, 3)
    if run.info.get("forecast"):
        update_info(run, forecast=None)
    steps = run.records["step"].to_numpy()
    group = zarr.open_group(run.store, path="forecast", mode="w")
    put(group, "step", ("record",), steps, "step", "optimizer steps taken")
    amplitudes = at_steps(found, found.band_amplitudes, steps)
    put(group, "band_amplitude", ("record", "band"), amplitudes, "y", "forecast amplitude of the residual per band")
    put(group, "loss", ("record",), at_steps(found, found.loss, steps), "y^2", "forecast training loss")
    if found.test_loss is not None:
        put(group, "test_loss", ("record",), at_steps(found, found.test_loss, steps), "y^2", "forecast held-out loss")
    put(group, "eigenvalue", ("mode",), found.eigenvalues, "1/time", "eigenvalues of Θ/n")
    put(group, "share", ("mode",), found.shares, "1", "share of the first residual's energy")
    put(group, "learning_step", ("mode",), found.learning_times, "step", "forecast step at which 1/e is left")
    if measured is not None and shares is not None:
        put(group, "measured_step", ("mode",), measured, "step", "measured step at which 1/e is left")
        put(group, "measured_share", ("mode",), shares, "1", "measured share of the first residual's energy")
    if found.interval is not None:
        meaning = "90 % of new initializations learn between these steps"
        put(group, "interval", ("mode", "end"), np.asarray(found.interval), "step", meaning)
    put_names(group, "band", found.band_names)
    group.attrs.update(level=summary["level"], method=summary["method"], trust=summary["trust"]["status"])
    flush_tree(run.store, before)
    log_event(run, event="forecast", seconds=summary["seconds"])
    update_info(run, forecast=summary)
