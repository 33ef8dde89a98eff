"""The exact regions of a run's network: on its interval, in a window of its plane, or between its samples."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from .._core.errors import InputError
from ..models import MLP
from ..models.encodings import Identity
from ..problems import Problem
from ..regions import PlaneRegions, line_regions, plane_regions, region_density
from ..regions._rank_correlation import spearman
from ._analyze import finite_number
from ._progress import Progress
from ._region_pairs import PairSets

# Regions of curved boundaries are exact to this part of the window.
TOLERANCE = 1e-3
# So many lines across a window say how many regions it has; so many segments between pairs are cut.
CUTS, SEGMENTS = 16, 200
# Seconds for the regions of an interval at snapshots between the start and the end.
SECONDS = 10.0
# In a window with fewer pixels nothing is ranked: a whole row of pixels is looked at instead.
ENOUGH = 25
# Of fewer samples there is no rank correlation.
LEAST = 10
# On each side of a sample of a grid, so many more belong to its surroundings.
AROUND = {1: 2, 2: 1}


class Stored(NamedTuple):
    """An array for the store."""

    dims: tuple[str, ...]
    values: np.ndarray
    units: str
    meaning: str


class Exact(NamedTuple):
    """What was found, for the store and for run.json."""

    arrays: dict[str, Stored]
    summary: dict[str, Any]


def exact_regions(
    problem: Problem,
    models: Sequence[MLP],
    pairs: PairSets,
    residual: np.ndarray,
    hamming: tuple[float, float],
    *,
    max_regions: int,
    progress: Progress,
) -> Exact:
    """The exact regions of the networks along a training, as many as can be had.

    On one input: in the whole interval, at every snapshot. On two: in a window with at most about `max_regions` of
    them, at the start and at the end. On more: along the segments between pairs, at the start and at the end. Where
    there are none, because the network is not piecewise linear, the reason is told.

    Args:
        problem: the data.
        models: the networks at the snapshots.
        pairs: neighbors, and distant pairs.
        residual: f - y at the end, whose size is compared with the regions.
        hamming: mean number of units in which neighbors differ, at the start and at the end.
        max_regions: about so many in the window, at most.
        progress: told what happens.
    """
    dim, began = int(np.prod(problem.x.shape[1:])), time.perf_counter()
    try:
        if dim == 1:
            progress.phase("Finding all regions on the interval")
            found = _interval(problem, models, residual)
        elif dim == 2:
            found = _plane(problem, models, residual, hamming, max_regions, progress)
        else:
            progress.phase("Counting the regions between pairs")
            found = _segments(problem, models, pairs)
    except InputError as error:  # e.g. a network with kinks that is bent elsewhere
        progress.warning(f"no exact regions: {error}")
        found = Exact({}, {"kind": "none", "reason": str(error)})
    found.summary["seconds"] = round(time.perf_counter() - began, 3)
    return found


def _domain(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The box of the inputs: that of a grid's cells, or the smallest around samples."""
    lower, upper = problem.x.min(axis=0), problem.x.max(axis=0)
    if problem.grid is not None:
        half = problem.grid.periodic_length / np.array(problem.grid.shape) / 2
        lower, upper = lower - half, upper + half
    return lower, upper


def _interval(problem: Problem, models: Sequence[MLP], residual: np.ndarray) -> Exact:
    lower, upper = _domain(problem)
    length = float(upper[0] - lower[0])
    found = {0: line_regions(models[0], lower, upper, tolerance=TOLERANCE)}
    began = time.perf_counter()
    last = found[len(models) - 1] = line_regions(models[-1], lower, upper, tolerance=TOLERANCE)
    affordable = int(SECONDS / (time.perf_counter() - began))
    for index in np.unique(np.linspace(0, len(models) - 1, max(2, affordable)).round().astype(int))[1:-1]:
        found[int(index)] = line_regions(models[index], lower, upper, tolerance=TOLERANCE)
    places = [lower[0] + length * one.breakpoints for one in (found[0], last)]
    counts = np.full(len(models), np.nan)
    counts[list(found)] = [one.counts[0] for one in found.values()]
    arrays = {
        "region_count": Stored(("snapshot",), counts, "1", "exact number of regions; NaN where it was not counted"),
        "first_breakpoint": Stored(("first_break",), places[0], "1", "where regions end, at the start"),
        "breakpoint": Stored(("break",), places[1], "1", "where regions end, at the end"),
    }
    summary: dict[str, Any] = {
        "kind": "interval",
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        "whole": True,
        "counts": [int(counts[0]), int(counts[-1])],
        "tolerance": last.tolerance,
    }
    if problem.grid is not None:
        density = region_density(last, problem.num_samples)
        arrays, summary = _compared(problem, residual, density, arrays, summary)
    return Exact(arrays, summary)


def _plane(
    problem: Problem,
    models: Sequence[MLP],
    residual: np.ndarray,
    hamming: tuple[float, float],
    max_regions: int,
    progress: Progress,
) -> Exact:
    ends = (models[0], models[-1])
    progress.phase("Counting regions along lines across the plane")
    lower, upper = window = _domain(problem)
    if type(models[0].encoding) is Identity:
        total = [expected_count(model, *window) for model in ends]
    else:  # long lines through a curved encoding are expensive: begin with what neighbors tell
        total = [float(np.pi / 4 * apart**2 * problem.num_samples) for apart in hamming]
    if max(total) > max_regions:
        window = choose_window(problem, ends, total, max_regions)
    progress.phase(f"Finding all regions in {_describe(problem, window)}")
    found = [plane_regions(model, *window, tolerance=TOLERANCE) for model in ends]
    arrays: dict[str, Stored] = {}
    for prefix, when, one in (("first_", "start", found[0]), ("", "end", found[1])):
        ends_of, layers = one.segments, one.segment_layers.astype(np.int8)
        meaning = f"both ends of every boundary between two regions, at the {when}"
        arrays[f"{prefix}segment"] = Stored((f"{prefix}side", "end_of_side", "coordinate"), ends_of, "1", meaning)
        meaning = f"layer, from 0, whose unit switches at a boundary, at the {when}"
        arrays[f"{prefix}segment_layer"] = Stored((f"{prefix}side",), layers, "1", meaning)
        arrays[f"{prefix}area"] = Stored((f"{prefix}region",), one.areas, "1", f"area of every region, at the {when}")
    parts = float(np.prod((upper - lower) / (window[1] - window[0])))
    summary: dict[str, Any] = {
        "kind": "plane",
        "lower": window[0].tolist(),
        "upper": window[1].tolist(),
        "whole": bool(np.all(window[0] == lower) and np.all(window[1] == upper)),
        "counts": [one.count for one in found],
        "expected": [round(one.count * parts) for one in found],
        "tolerance": found[-1].tolerance,
    }
    if problem.grid is None:
        return Exact(arrays, summary)
    density = _per_pixel(problem, found[-1])
    if np.isfinite(density).sum() < ENOUGH:
        progress.phase("Finding all regions along a row of pixels")
        density, more = _along_row(problem, ends)
        summary |= more
    return Exact(*_compared(problem, residual, density, arrays, summary))


def expected_count(model: MLP, lower: np.ndarray, upper: np.ndarray) -> float:
    """About how many regions a window has, from lines across it.

    Random lines that cross a straight cut p times per unit of length make π p²/4 cells per unit of area.
    """
    crossings = []
    for axis in (0, 1):
        across = np.linspace(lower[1 - axis], upper[1 - axis], CUTS + 2)[1:-1]
        starts, stops = np.empty((CUTS, 2)), np.empty((CUTS, 2))
        starts[:, 1 - axis] = stops[:, 1 - axis] = across
        starts[:, axis], stops[:, axis] = lower[axis], upper[axis]
        counts = line_regions(model, starts, stops, tolerance=TOLERANCE).counts
        crossings.append(float(np.mean(counts - 1)))
    return 1 + float(np.sum(crossings)) + np.pi / 4 * crossings[0] * crossings[1]


def choose_window(
    problem: Problem, ends: Sequence[MLP], total: Sequence[float], max_regions: int
) -> tuple[np.ndarray, np.ndarray]:
    """The square in which the target varies most, with at most about `max_regions` regions."""
    lower, upper = _domain(problem)
    share = (max_regions / max(total)) ** 0.5
    while True:
        window = _most_varied(problem, lower, upper, share)
        most = max(expected_count(model, *window) for model in ends)
        if most <= max_regions or share * min(_cells(problem)) < 2:
            return window
        share *= 0.9 * (max_regions / most) ** 0.5


def _cells(problem: Problem) -> tuple[int, ...]:
    """Cells along each side."""
    return (64, 64) if problem.grid is None else problem.grid.shape


def _most_varied(problem: Problem, lower: np.ndarray, upper: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A window with that share of the shorter side; of a grid, whole pixels."""
    if problem.grid is None:
        center, half = np.median(problem.x, axis=0), share * (upper - lower) / 2
        center = np.clip(center, lower + half, upper - half)
        return center - half, center + half
    shape = np.array(problem.grid.shape)
    side = int(max(1, np.floor(share * shape.min())))
    values, wide = problem.y.reshape(*shape, -1), max(side, 2)
    view = np.lib.stride_tricks.sliding_window_view(values, (wide, wide), axis=(0, 1))
    first = np.array(np.unravel_index(np.argmax(view.var(axis=(-2, -1)).sum(axis=-1)), view.shape[:2]))
    cell = (upper - lower) / shape
    return lower + first * cell, lower + (first + side) * cell


def _describe(problem: Problem, window: tuple[np.ndarray, np.ndarray]) -> str:
    if problem.grid is None:
        return "a window"
    cell = problem.grid.periodic_length / np.array(problem.grid.shape)
    rows, columns = np.rint((window[1] - window[0]) / cell).astype(int)
    return "one pixel" if rows == columns == 1 else f"{columns} × {rows} pixels"


def _per_pixel(problem: Problem, found: PlaneRegions) -> np.ndarray:
    """How many regions every pixel meets; NaN outside of the window."""
    assert problem.grid is not None
    shape = problem.grid.shape
    inside = np.all((problem.x > found.lower) & (problem.x < found.upper), axis=1)
    rows, columns = (len(np.unique(axis)) for axis in np.unravel_index(np.flatnonzero(inside), shape))
    density = np.full(problem.num_samples, np.nan)
    density[inside] = region_density(found, (rows, columns)).ravel()
    return density


def _along_row(problem: Problem, ends: Sequence[MLP]) -> tuple[np.ndarray, dict[str, Any]]:
    """How many regions every pixel of the row meets in which the target varies most, at the end; NaN elsewhere."""
    assert problem.grid is not None
    shape, (lower, upper) = problem.grid.shape, _domain(problem)
    row = int(np.argmax(problem.y.reshape(*shape, -1).var(axis=1).sum(axis=-1)))
    height = float(problem.x.reshape(*shape, 2)[row, 0, 0])
    sides = [np.array([height, side]) for side in (lower[1], upper[1])]
    found = [line_regions(model, *sides, tolerance=TOLERANCE) for model in ends]
    density = np.full(shape, np.nan)
    density[row] = region_density(found[-1], shape[1])
    return density.ravel(), {"row": row, "row_counts": [int(one.counts[0]) for one in found]}


def _around(problem: Problem, values: np.ndarray) -> np.ndarray:
    """The mean of values (n, c) over the surroundings of every sample of a grid."""
    assert problem.grid is not None
    shape = problem.grid.shape
    found = values.reshape(*shape, -1)
    for axis in range(len(shape)):
        found = ndimage.uniform_filter1d(found, 2 * AROUND[len(shape)] + 1, axis=axis, mode="nearest")
    return found.reshape(values.shape)


def _compared(
    problem: Problem,
    residual: np.ndarray,
    density: np.ndarray,
    arrays: dict[str, Stored],
    summary: dict[str, Any],
) -> tuple[dict[str, Stored], dict[str, Any]]:
    """How many regions every sample meets, beside the target's detail and the error in its surroundings."""
    target = problem.y.reshape(problem.num_samples, -1)
    variance = _around(problem, target**2) - _around(problem, target) ** 2
    detail = np.sqrt(np.maximum(variance.sum(axis=1), 0))
    error = np.sqrt(_around(problem, residual.reshape(target.shape).astype(float) ** 2).sum(axis=1))
    seen = np.isfinite(density)
    arrays |= {
        "density": Stored(("sample",), density, "1", "how many regions a sample's cell meets, at the end"),
        "detail": Stored(("sample",), detail, "y", "standard deviation of the target around a sample"),
        "error": Stored(("sample",), error, "y", "root mean square of the residual around a sample, at the end"),
    }
    summary |= {
        "samples": int(seen.sum()),
        "with_detail": _rank_correlation(density[seen], detail[seen]),
        "with_error": _rank_correlation(density[seen], error[seen]),
    }
    return arrays, summary


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's ρ; None where there is nothing to rank."""
    return finite_number(spearman(one, other)) if len(one) >= LEAST else None


def _segments(problem: Problem, models: Sequence[MLP], pairs: PairSets) -> Exact:
    """Regions on the straight way from one sample of a pair to the other."""
    crossed = np.empty((2, 2, min(SEGMENTS, len(pairs.neighbors))), np.int64)
    for number, chosen in enumerate(pairs.by_name.values()):
        some = chosen[: crossed.shape[2]]
        for when, model in enumerate((models[0], models[-1])):
            found = line_regions(model, problem.x[some[:, 0]], problem.x[some[:, 1]], tolerance=TOLERANCE)
            crossed[when, number] = found.counts - 1
    meaning = "boundaries of regions on the segment between a pair, at the start and at the end"
    return Exact(
        {"crossings": Stored(("end", "pair_set", "segment"), crossed, "1", meaning)},
        {"kind": "segments", "crossings": crossed.mean(axis=2).T.tolist(), "segments": crossed.shape[2]},
    )
