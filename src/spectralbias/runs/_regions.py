"""Regions and gradient confusion, added to a finished run: what its network can separate, and since when."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zarr

from .._core.checks import whole
from .._core.errors import InputError
from ..models import MLP
from ..problems import Problem
from ..regions import (
    activation_patterns,
    confusion_summary,
    gradient_cosine,
    hamming_distance,
)
from ._analyze import WEAK, finite_number
from ._build import build_model, precision
from ._config import Config, ModelConfig
from ._exact_regions import Exact, exact_regions
from ._files import flush_tree
from ._progress import Progress
from ._region_pairs import PairSets, choose_pairs
from ._run import Run, log_event, update_info
from ._store import put, put_names

# A change by less than this part of the largest value is none, and has no time at which half of it is done.
CHANGED = 0.1
# Octaves of a positional encoding to compare with: as many as the grid resolves, and no more than these.
MOST_OCTAVES = 8


def regions(
    run: Run,
    *,
    window: int = 2,
    num_pairs: int = 2000,
    max_regions: int = 100_000,
    progress: Progress | None = None,
) -> Run:
    """Say whether a run's network can separate neighbors, from its activation patterns and gradients.

    A network with kinks cuts its inputs into regions, in each of which it is linear. Two samples in one region have the
    same active units, so that nothing but their inputs tells them apart: their gradients are parallel, and what a step
    does for one it does to the other. For neighbors, and for pairs far from each other, along the training:

    - how many units are active for one of the two only (Hamming distance), and how many pairs share one region;
    - the cosine of the gradients of their losses (gradient confusion);
    - beside how much of each band of the target the fit has.

    In addition the distinct patterns of all samples, dead units, the exact regions at the end (at every snapshot for
    one input), and, for signals and images, the same network with an encoding, or without it, before training.
    Everything is read from the stored parameters; nothing is trained. Arrays go to the group `regions` of the run's
    store, the main numbers to run.json; `report.write_report` shows both.

    Args:
        run: a finished run of a network with kinks, such as ReLU.
        window: on a grid, neighbors are pairs from windows of so many nodes a side: 2 for adjacent ones.
        num_pairs: pairs of each kind.
        max_regions: of two inputs: about so many exact regions at most. Where there are more, they are computed in a
            smaller window, in which the target varies most.
        progress: told what happens; silent by default.

    Returns:
        The run.

    Raises:
        InputError: a run that has not finished, or that diverged; a network without kinks; a window that is larger than
            the grid.

    Cost and precision:
        Some 32 passes over all samples, and the exact regions: 8 seconds of one core for an image of 64 × 64, 23
        behind a positional encoding. In the dtype of the run.

    Example:
        >>> from spectralbias import runs
        >>> run = runs.load("spectralbias-runs/my-run")  # doctest: +SKIP
        >>> runs.regions(run).info["regions"]["neighbors"]  # doctest: +SKIP

    References:
        Lazzari & Liu 2023.
    """
    progress, began = progress or Progress(), time.perf_counter()
    if run.status != "finished":
        how = "diverged" if run.status == "diverged" else f"has not ended (it is {run.status})"
        then = "" if run.status == "diverged" else f": go on with `spectralbias run --resume {run.directory}` first"
        raise InputError(f"the run in {run.directory} {how}, and regions are those of a finished one{then}")
    whole("max_regions", max_regions, 10)
    config, problem = run.config, run.problem
    pairs = choose_pairs(problem, window=window, num_pairs=num_pairs)
    with precision(config):
        steps = np.array(run.snapshot_steps, np.int64)
        models = [run.model(int(step)) for step in steps]
        progress.phase(f"Activation patterns and gradients of {problem.num_samples:,} samples at {len(steps)} steps")
        path = follow(models, problem, pairs)
        other = None if problem.grid is None else _other_encoding(config, problem, pairs)
        residual = run.records["residual"][-1].to_numpy()
        apart = float(path.hamming[0, 0].sum()), float(path.hamming[-1, 0].sum())
        exact = exact_regions(problem, models, pairs, residual, apart, max_regions=max_regions, progress=progress)
    amplitudes = _amplitudes(run, steps)
    summary = _summarize(run, steps, path, pairs, amplitudes)
    summary |= {"encoding": other, "exact": exact.summary, "seconds": round(time.perf_counter() - began, 3)}
    _save(run, steps, path, pairs, amplitudes, exact, summary)
    return run


class Path(NamedTuple):
    """What was measured at every snapshot (T), for both sets of pairs (2), in every layer (L).

    Attributes:
        units: units per layer, (L,).
        hamming: mean number of units that are active for one of a pair only, (T, 2, L).
        of_live: the same, summed over layers, as a share of the units that are not dead, (T, 2).
        same_region: share of the pairs in one region, (T, 2).
        num_distinct: distinct patterns of all samples, (T,).
        dead: dead units, (T, L).
        cosines: of the gradients of each pair, NaN where one is zero, (T, 2, p).
    """

    units: np.ndarray
    hamming: np.ndarray
    of_live: np.ndarray
    same_region: np.ndarray
    num_distinct: np.ndarray
    dead: np.ndarray
    cosines: np.ndarray


def follow(models: Sequence[MLP], problem: Problem, pairs: PairSets) -> Path:
    """Patterns on all samples, and gradients of the pairs, of every network."""
    rows = []
    for model in models:
        patterns = activation_patterns(model, problem.x)
        each = [hamming_distance(patterns, chosen, per_layer=True) for chosen in pairs.by_name.values()]
        of_live = [hamming_distance(patterns, chosen, relative_to="live") for chosen in pairs.by_name.values()]
        cosines = [gradient_cosine(model, problem.x, problem.y, chosen) for chosen in pairs.by_name.values()]
        rows.append(
            (
                np.array(patterns.units, np.int64),
                np.array([distances.mean(axis=0) for distances in each], float),
                np.array([distances.mean() for distances in of_live]),
                np.array([np.mean(distances.sum(axis=1) == 0) for distances in each]),
                patterns.num_distinct,
                np.array(patterns.dead_per_layer, np.int64),
                np.array(cosines, np.float32),
            )
        )
    units, *others = (np.array(values) for values in zip(*rows, strict=True))
    return Path(units[0], *others)


def _amplitudes(run: Run, steps: np.ndarray) -> np.ndarray:
    """|f|/|y| in every band at every snapshot, (T, bands); NaN where the target has hardly anything."""
    records = run.records
    where = np.searchsorted(records["step"].to_numpy(), steps)
    outputs = records["residual"][where].to_numpy().astype(np.float64) + run.problem.y
    target, of_fit = run.bands.energy(run.problem.y[None])[0], run.bands.energy(outputs)
    there = target > WEAK * target.sum()
    return np.sqrt(np.divide(of_fit, target, out=np.full_like(of_fit, np.nan), where=there))


def _other_encoding(config: Config, problem: Problem, pairs: PairSets) -> dict[str, Any] | None:
    """Neighbors at the start of the same network with a positional encoding, or without the one that it has."""
    settings = config.model
    if settings.architecture != "mlp":
        return None
    assert problem.grid is not None
    changed: dict[str, Any] = {"encoding": "none"}
    if settings.encoding == "none":
        octaves = int(np.clip(np.log2(min(problem.grid.shape) / 2), 1, MOST_OCTAVES))
        changed = {"encoding": "positional", "num_frequencies": octaves}
    other: ModelConfig = msgspec.structs.replace(settings, **changed)
    model = build_model(msgspec.structs.replace(config, model=other), problem)
    path = follow([model], problem, pairs)
    return {**changed, "instead_of": settings.encoding, **_pair_numbers(path, 0, 0)}


def _pair_numbers(path: Path, when: int, which: int) -> dict[str, Any]:
    """The numbers of a set of pairs at one snapshot."""
    confusion = confusion_summary(path.cosines[when, which].astype(float))
    return {
        "same_region": float(path.same_region[when, which]),
        "hamming": float(path.hamming[when, which].sum()),
        "of_live": float(path.of_live[when, which]),
        "mean_abs_cosine": finite_number(confusion.mean_abs),
        "share_negative": finite_number(confusion.share_negative),
        "share_parallel": finite_number(confusion.share_parallel),
    }


def _mean_size(cosines: np.ndarray) -> np.ndarray:
    """Mean of the absolute values along the last axis; a cosine with a gradient of zero does not count."""
    count = np.isfinite(cosines).sum(axis=-1)
    total = np.nansum(np.abs(cosines.astype(float)), axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def half_step(steps: np.ndarray, values: np.ndarray) -> float | None:
    """When half of the largest change is done, between snapshots by a straight line; None where nothing changes."""
    change = np.abs(values - values[0])
    largest = np.nanmax(change, initial=0.0)
    if not largest > CHANGED * np.nanmax(np.abs(values), initial=0.0):
        return None
    after = int(np.flatnonzero(change >= largest / 2)[0])
    return float(np.interp(largest / 2, change[after - 1 : after + 1], steps[after - 1 : after + 1]))


def _summarize(run: Run, steps: np.ndarray, path: Path, pairs: PairSets, amplitudes: np.ndarray) -> dict[str, Any]:
    """The numbers of the sentence, as plain data."""
    confusion = _mean_size(path.cosines[:, 0])
    shares = run.bands.energy(run.problem.y[None])[0]
    learned = {band["name"]: band["measured_step"] for band in run.summary["bands"]}
    last = len(steps) - 1
    return {
        "activation": run.config.model.activation,
        "antisymmetric": run.config.model.antisymmetric,
        "steps": [int(step) for step in steps[[0, last // 2, last]]],
        "grid": 0 if run.problem.grid is None else len(run.problem.grid.shape),
        "window": pairs.window,
        "other_class": pairs.other_class,
        "num_pairs": len(pairs.neighbors),
        "num_samples": run.problem.num_samples,
        "units": path.units.tolist(),
        **{
            name: {"start": _pair_numbers(path, 0, which), "end": _pair_numbers(path, last, which)}
            for which, name in enumerate(pairs.by_name)
        },
        "distinct": [int(path.num_distinct[when]) for when in (0, last)],
        "dead": [path.dead[when].tolist() for when in (0, last)],
        "half_steps": {
            "regions": half_step(steps, path.of_live[:, 0]),
            "confusion": half_step(steps, confusion),
        },
        "band_kind": run.bands.kind,
        "bands": [
            {
                "name": name,
                "share": float(shares[index] / shares.sum()),
                "learned_step": learned[name],
                "amplitude": finite_number(amplitudes[last, index]),
            }
            for index, name in enumerate(run.bands.names)
        ],
    }


def _save(
    run: Run,
    steps: np.ndarray,
    path: Path,
    pairs: PairSets,
    amplitudes: np.ndarray,
    exact: Exact,
    summary: dict[str, Any],
) -> None:
    """Write the group `regions`, and last its entry in run.json, which says that the group is whole."""
    before = time.time() - 1
    if "regions" in run.info:
        update_info(run, regions=None)
    group = zarr.open_group(run.store, path="regions", mode="w")
    by_set, by_layer = ("snapshot", "pair_set"), ("snapshot", "layer")
    put(group, "step", ("snapshot",), steps, "step", "optimizer steps taken")
    put(group, "units", ("layer",), path.units, "1", "units with kinks in each layer")
    numbers = np.array(list(pairs.by_name.values()))
    put(group, "pair", ("pair_set", "pair", "of_pair"), numbers, "1", "the two samples of each pair")
    meaning = "mean number of units that are active for one of a pair only"
    put(group, "hamming", (*by_set, "layer"), path.hamming, "1", meaning)
    put(group, "hamming_of_live", by_set, path.of_live, "1", "the same over all layers, of the units that are not dead")
    put(group, "same_region", by_set, path.same_region, "1", "share of the pairs with one activation pattern")
    put(group, "num_distinct", ("snapshot",), path.num_distinct, "1", "distinct activation patterns of all samples")
    put(group, "dead", by_layer, path.dead, "1", "units that are on one flat piece for every sample")
    put(group, "cosine", (*by_set, "pair"), path.cosines, "1", "cosine of the gradients of the losses of a pair")
    put(group, "mean_abs_cosine", by_set, _mean_size(path.cosines), "1", "mean of its absolute value")
    put(group, "amplitude", ("snapshot", "band"), amplitudes, "1", "amplitude of the fit over that of the target")
    for name, (dims, values, units, meaning) in exact.arrays.items():
        put(group, name, dims, values, units, meaning)
    put_names(group, "band", run.bands.names)
    put_names(group, "pair_set", tuple(pairs.by_name))
    group.attrs.update(band_kind=run.bands.kind, exact=summary["exact"])
    flush_tree(run.store, before)
    log_event(run, event="regions", seconds=summary["seconds"])
    update_info(run, regions=summary)
