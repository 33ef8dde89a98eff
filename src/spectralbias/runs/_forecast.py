"""A forecast of what a configuration will train, and of what a run has trained: with a score."""

from typing import Any, Literal

import numpy as np
import zarr

from .._core.checks import whole
from .._core.errors import InputError
from ..dynamics import compare
from ..forecast import Forecast
from ..forecast import forecast as predict
from ..spectra import bands
from ._analyze import WEAK, finite_number
from ._build import build_model, build_optimizer, build_problem, precision
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
    networks: int = 0,
    level: Literal["auto", "infinite", "empirical", "corrected"] = "auto",
    progress: Progress | None = None,
) -> Forecast:
    """What the training of a configuration, or of a finished run, is to be before it is done.

    A run is compared with it: arrays go to the group `forecast` of the run's store, the main numbers and the score to
    run.json; `report.write_report` shows both. Nothing of the training is used, only the configuration, the data and
    the learning rate.

    Args:
        subject: a configuration, or a finished run.
        networks: how many new initializations `.interval` is from; without it there is none.
        level: what the forecast stands on, as in `forecast.forecast`.
        progress: told what happens; silent by default.

    Returns:
        The forecast.

    Raises:
        InputError: a run that has not finished, or that diverged; an optimizer that does not follow the kernel;
            mini-batches; a level that the network does not have.

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
    momentum = build_optimizer(config, 1.0).momentum
    if momentum is None:
        raise InputError(
            f"a configuration is forecast for gradient descent: `{config.training.optimizer}` does not follow the "
            "kernel; use optimizer `gd`"
        )
    if config.training.batch_size is not None:
        raise InputError(
            "a forecast is of gradient descent on all samples, and this training takes mini-batches of "
            f"{config.training.batch_size}: leave `batch_size` out"
        )
    if networks:
        whole("networks", networks, 2)
    with precision(config):
        problem = build_problem(config) if run is None else run.problem
        model = build_model(config, problem) if run is None else run.model(0)
        rate = config.training.learning_rate if run is None else run.info["resolved"]["learning_rate"]
        several = f" and of {networks} new ones" if networks else ""
        progress.phase(f"Forecasting from the kernel on {problem.num_targets:,} values{several}")
        more: dict[str, Any] = {}
        if networks:
            more = {"initialize": lambda key: build_model(config, problem, key), "num_networks": networks}
        steps = config.training.steps
        found = predict(model, problem, learning_rate=rate, steps=steps, momentum=momentum, level=level, **more)
    if run is not None:
        progress.phase("Comparing with what was measured")
        _save(run, found)
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
        "learning_rate": found.learning_rate,
        "momentum": found.momentum,
        "stability_limit": found.stability_limit,
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


def errors(measured: np.ndarray, expected: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
    """How right the learning times are, of the parts that hold at least 0.1 % and were learned in the run.

    A part that was learned but not forecast to be, or the other way round, has no relative error: it counts as missed.
    A part that neither learned is censored.
    """
    some = shares >= WEAK
    fell, falls = np.isfinite(measured[some]), np.isfinite(expected[some])
    both = fell & falls
    relative = np.abs(expected[some][both] / measured[some][both] - 1)
    return {
        "count": int(some.sum()),
        "compared": int(both.sum()),
        "median_error": finite_number(np.median(relative)) if len(relative) else None,
        "missed": int((fell != falls).sum()),
        "censored": int((~fell & ~falls).sum()),
        "censored_share": finite_number(shares[some][~fell].sum()),
    }


def score(run: Run, found: Forecast) -> dict[str, Any]:
    """The forecast against the run: learning times of bands and of modes, and the loss."""
    records, last = run.records, int(run.records["step"].to_numpy()[-1])
    steps = records["step"].to_numpy()
    by_band = compare(steps, np.sqrt(records["band_energy"].to_numpy()), None)
    by_mode = compare(steps, records["coefficient"].to_numpy(), None)

    def within(times: np.ndarray) -> np.ndarray:
        """What is to be learned after the end of the run is not learned in it."""
        return np.where(times <= last, times, np.inf)

    def loss(measured: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
        ratio = float(expected[-1] / measured[-1]) if measured[-1] > 0 else np.nan
        decibels = float(10 * np.log10(ratio)) if ratio > 0 else np.nan
        return {
            "measured": finite_number(measured[-1]),
            "forecast": finite_number(expected[-1]),
            "decibels": finite_number(decibels),
        }

    measured = by_band.measured_steps
    expected = within(found.bands.learning_times)
    # The modes of a kernel of infinite width are others than those that were recorded.
    same = found.level.name != "infinite"
    count = min(len(by_mode.measured_steps), len(found.learning_times))
    return {
        "bands": errors(measured, expected, found.bands.shares),
        "modes": errors(by_mode.measured_steps[:count], within(found.learning_times[:count]), by_mode.shares[:count])
        if same
        else None,
        "loss": loss(records["loss"].to_numpy(), found.loss),
        "test_loss": loss(records["test_loss"].to_numpy(), found.test_loss)
        if "test_loss" in records and found.test_loss is not None
        else None,
        "measured": [
            {"learning_step": finite_number(step), "left": finite_number(left)}
            for step, left in zip(measured, by_band.measured_left, strict=True)
        ],
    }


def _save(run: Run, found: Forecast) -> None:
    """Write the arrays, then the numbers in run.json that say they are whole."""
    summary = {**describe(found, bands(run.problem).kind), "score": score(run, found)}
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
    if found.interval is not None:
        meaning = "90 % of new initializations learn between these steps"
        put(group, "interval", ("mode", "end"), np.asarray(found.interval), "step", meaning)
    put_names(group, "band", found.band_names)
    group.attrs.update(level=summary["level"], method=summary["method"], trust=summary["trust"]["status"])
    flush_tree(run.store, 0)
    log_event(run, event="forecast")
    update_info(run, forecast=summary)
