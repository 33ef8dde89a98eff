"""Gradient confusion: cosines of the loss gradients of neighbors, and of distant samples."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .._figures import band, panels
from .._statistics import all_of, decide, interval, vote
from .._study import Control, Numbers, Study, Verdict
from . import _images, _signal
from ._drawing import input_colors, with_inputs
from ._setting import POINTS, Trainings, codes, cosines, every, names, trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNAL = _signal.SOURCE + "gradient confusion"
IMAGE = _images.SOURCE + "gradient confusion"
LOCAL, FAR = range(2)
# Most neighbors of coordinate networks are parallel on a signal: this share has |cos| > 0.9.
MOST = 0.9
# So much lower is the mean |cos| of distant pairs than that of neighbors, at least.
GAP = 0.1
# A mean cosine below this is none.
NONE = 0.05


def measure(settings: Trainings) -> dict[str, np.ndarray]:
    """Of cosines: mean |cos|, mean, shares, (seeds, inputs, T, 2), and densities (seeds, inputs, T, 2, points)."""
    start, last = int(np.searchsorted(settings.snapshots, getattr(settings, "epoch", 1))), len(settings.snapshots) - 1
    at = tuple(sorted({start, (start + last) // 2, last}))
    found = every(settings, lambda which, name, seed: cosines(which, name, seed, at))
    runs = every(settings, trained)
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots)[list(at)],
        **{
            name: np.array([[getattr(one, name) for one in row] for row in found])
            for name in ("mean_abs", "mean", "negative", "parallel", "density")
        },
        "mean_square": np.array([[run.mean_square[[0, *at]] for run in row] for row in runs]),
    }


def _evidence(numbers: Numbers) -> tuple[tuple[str, str], ...]:
    steps = ", ".join(str(step) for step in numbers["steps"])
    middle = {name: np.median(numbers[name], axis=0) for name in ("mean_abs", "parallel")}
    return tuple(
        (
            f"{name}: mean |cos| at steps {steps}, local; distant; local pairs with |cos| > 0.9 at the end",
            "; ".join(", ".join(f"{value:.2f}" for value in middle["mean_abs"][i, :, kind]) for kind in (LOCAL, FAR))
            + f"; {100 * middle['parallel'][i, -1, LOCAL]:.0f} %",
        )
        for i, name in enumerate(names(numbers["inputs"]))
    )


def _order(numbers: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """In which repetitions local confusion falls from input to input at the end, and exceeds that of distant pairs.

    The two intervals, which come first, are not compared with each other.
    """
    end = numbers["mean_abs"][:, :, -1]
    local = end[..., LOCAL]
    chain = np.concatenate([local[:, :2].min(axis=1, keepdims=True), local[:, 2:]], axis=1)
    return np.all(np.diff(chain, axis=1) < 0, axis=1), np.all(local >= end[..., FAR] + GAP, axis=1)


def _listed(numbers: Numbers, kind: int) -> str:
    middle = np.median(numbers["mean_abs"][:, :, -1, kind], axis=0)
    return ", ".join(f"{value:.2f} ({name})" for name, value in zip(names(numbers["inputs"]), middle, strict=True))


def judge_signal(numbers: Numbers) -> Verdict:
    """At the end: parallel for coordinates, less so with octaves, and less so for distant pairs."""
    ordered, apart = _order(numbers)
    parallel = numbers["parallel"][:, numbers["inputs"][:, 2] == 0, -1, LOCAL]
    stuck = np.all(parallel >= MOST, axis=1)
    return Verdict(
        all_of(vote(ordered), vote(apart), vote(stuck)),
        f"At the end the mean |cos| of neighbors is {_listed(numbers, LOCAL)}, that of distant points "
        f"{_listed(numbers, FAR)}; those of coordinate networks have |cos| > 0.9 in {100 * np.median(parallel):.0f} % "
        f"of pairs (medians). Coordinates, few, many octaves: in this order in {ordered.sum()} of {len(ordered)} "
        f"repetitions; above the distant ones by {GAP} or more in {apart.sum()}.",
        _evidence(numbers),
    )


def judge_images(numbers: Numbers) -> Verdict:
    """The same order at the end; and it falls along training for every input."""
    ordered, apart = _order(numbers)
    local = numbers["mean_abs"][..., LOCAL]
    narrower = np.all(local[:, :, -1] < local[:, :, 0], axis=1)
    begin = ", ".join(f"{value:.2f}" for value in np.median(local[:, :, 0], axis=0))
    return Verdict(
        all_of(vote(ordered), vote(apart), vote(narrower)),
        f"At the end the mean |cos| of neighboring pixels is {_listed(numbers, LOCAL)}, from {begin} after the first "
        f"epoch; that of distant pixels is {_listed(numbers, FAR)} (medians). Coordinates, few, many octaves: in this "
        f"order in {ordered.sum()} of {len(ordered)} repetitions; above the distant ones by {GAP} or more in "
        f"{apart.sum()}, narrower than at the start for every input in {narrower.sum()}.",
        _evidence(numbers),
    )


def judge_positive(numbers: Numbers) -> Verdict:
    """The mean cosine of distant pairs at the end."""
    mean, octaves = numbers["mean"][:, :, -1, FAR], numbers["inputs"][:, 2]
    most = int(np.argmax(octaves))
    encoded = interval(mean[:, most])
    others = [interval(mean[:, i]) for i in np.flatnonzero(octaves == 0)]
    inputs = names(numbers["inputs"])
    square = np.median(numbers["mean_square"], axis=0)
    return Verdict(
        decide(encoded.low > 0 and all(-NONE < one.low < one.high < NONE for one in others), len(mean)),
        f"At the end the mean cosine of distant points is {encoded.text(3)} with {inputs[most]}, and "
        + " and ".join(one.text(3) for one in others)
        + f" for coordinates. By then the mean square of the residual is {square[most, -1] / square[most, 0]:.1e} "
        f"of that at the start with {inputs[most]}.",
        tuple(
            (f"{name}: mean cosine, local and distant", " and ".join(
                interval(numbers["mean"][:, i, -1, kind]).text(3) for kind in (LOCAL, FAR)))
            for i, name in enumerate(inputs)
        ),
    )  # fmt: skip


def _densities(ax: "Axes", numbers: Numbers, at: int, kind: int) -> None:
    grid = np.linspace(-1, 1, POINTS)
    for i, (name, color) in enumerate(zip(names(numbers["inputs"]), input_colors(len(numbers["inputs"])), strict=True)):
        band(ax, grid, np.maximum(numbers["density"][:, i, at, kind], 1e-4), color, name)
    ax.set(xlim=(-1, 1), ylim=(0.02, 60), yscale="log", xlabel="cosine of two gradients", xticks=(-1, 0, 1))


def figure_signal(numbers: Numbers) -> "Figure":
    """Densities at the end."""
    with panels(2, height=2.9) as (drawn, axes):
        for ax, kind, title in ((axes[0], LOCAL, "neighbors"), (axes[1], FAR, "opposite ends")):
            _densities(ax, numbers, -1, kind)
            ax.set_title(f"{title}, step {int(numbers['steps'][-1])}")
        axes[0].set_ylabel("density")
        with_inputs(drawn, axes[0])
    return drawn


def figure_images(numbers: Numbers) -> "Figure":
    """Densities of neighbors at three times, and of distant pixels at the end."""
    steps = numbers["steps"]
    with panels(len(steps) + 1, height=2.6) as (drawn, axes):
        for when, ax in enumerate(axes[:-1]):
            _densities(ax, numbers, when, LOCAL)
            ax.set_title(f"neighbors, step {int(steps[when]):,}")
        _densities(axes[-1], numbers, -1, FAR)
        axes[-1].set_title(f"distant, step {int(steps[-1]):,}")
        for ax in axes[1:]:
            ax.set_yticklabels([])
        for ax in axes:
            ax.set_xlabel("cosine")
        axes[0].set_ylabel("density")
        with_inputs(drawn, axes[0])
    return drawn


_SIGNAL, _IMAGE = _signal.STUDIES[0], _images.STUDIES[0]
_EXCHANGED = Control(
    "the networks of encodings under the names of coordinates, and the other way round",
    lambda settings: msgspec.structs.replace(settings, exchanged=True),
)

STUDIES = (
    Study(
        "lazzari-signal-confusion",
        SIGNAL,
        "Gradients of neighboring points are parallel or opposite in coordinate networks, which cannot learn them "
        "apart; an encoding reduces this confusion: local cosines narrow from coordinates to few and to many octaves, "
        "and those of distant points are nearer to 0.",
        "At the end of training, in 9 of 10 repetitions or more: the mean |cos| of neighbors falls from both "
        "intervals to few and to many octaves, and exceeds that of points from opposite ends by 0.1 or more for every "
        "input; and 90 % or more of the neighbors have |cos| > 0.9 for [0, 1] and [−1, 1].",
        fast=_SIGNAL.fast,
        paper=_SIGNAL.paper,
        measure=measure,
        judge=judge_signal,
        figure=figure_signal,
        control=Control(
            "neighbors in a random order of the samples",
            lambda settings: msgspec.structs.replace(settings, shuffled=True),
        ),
        note="Cosines of the gradients of the squared errors of two samples, over all parameters. In the paper, at the "
        "end: spikes at ±1 for coordinates and slightly inside for L = 3, humps at 0.45 and 0.9 for L = 6; distant "
        "points at ±0.35 to ±0.65 for [0, 1], ±0.1, ±0.06 and ±0.2 for the others.",
    ),
    Study(
        "lazzari-signal-positive",
        SIGNAL + ", its sign",
        "Late in training with many octaves the cosines shift to positive values; with coordinates those of distant "
        "points stay symmetric around 0.",
        "At the end the mean cosine of points from opposite ends is above 0 with the most octaves, with 95 % "
        "confidence, and within ±0.05 for [0, 1] and [−1, 1].",
        fast=_SIGNAL.fast,
        paper=_SIGNAL.paper,
        measure=measure,
        judge=judge_positive,
        figure=figure_signal,
        control=_EXCHANGED,
        note="It happens when the fit is done: what is left of the residual then has the same sign nearly everywhere, "
        "an offset that the steps of Adam leave, and the sign of a cosine is that of two residuals. On photographs it "
        "comes after some thousand steps, and more weakly for coordinates, too.",
    ),
    Study(
        "lazzari-image-confusion",
        IMAGE,
        "On images, too, encodings reduce the confusion of neighboring pixels: the density of local cosines narrows "
        "from coordinates to few and to many octaves, and along training; that of distant pixels is nearer to 0.",
        "At the end of training, in 9 of 10 repetitions or more: the mean |cos| of neighbors falls from both "
        "intervals to few and to many octaves, exceeds that of opposite quadrants by 0.1 or more for every input, and "
        "is lower than after the first epoch for every input.",
        fast=_IMAGE.fast,
        paper=_IMAGE.paper,
        desktop=_IMAGE.desktop,
        measure=measure,
        judge=judge_images,
        figure=figure_images,
        control=Control(
            "neighbors in a random order of the pixels",
            lambda settings: msgspec.structs.replace(settings, shuffled=True),
        ),
        note="Three outputs, one for each color. In the paper local cosines peak at ±0.93 for coordinates and at ±0.25 "
        "for 8 and 16 octaves in epoch 15, at ±0.9 and ±0.09 in epoch 100.",
    ),
)
