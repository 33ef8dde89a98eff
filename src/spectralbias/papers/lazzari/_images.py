"""Photographs: which units tell pixels apart, along training and layer by layer."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .._figures import ACCENT, MUTED, band, degree_colors, legend, logarithmic_from_zero, panels
from .._statistics import all_of, decide, interval, vote, within
from .._study import Control, Numbers, Outcome, Study, Verdict
from ._drawing import FLOOR, along_training, with_inputs
from ._setting import Picture, Signal, codes, every, names, patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE = "Lazzari & Liu 2023, images, "
LOCAL, FAR, ANY = range(3)
# Local distances of coordinates are at most this share of distant ones.
FAR_BELOW = 0.5
# A change by less than this counts as none.
GROWTH = 1.1


class Curves(Picture, frozen=True, kw_only=True):
    """Which trainings are looked at.

    Attributes:
        epoch: steps of the first epoch, after which curves start: 32 in the paper.
        on_signal: the signal in one dimension, whose epoch is one step, in place of photographs: a negative control.
    """

    epoch: int = 20
    on_signal: bool = False


def measure(settings: Curves) -> dict[str, np.ndarray]:
    """Mean Hamming distances in each layer, (seeds, inputs, T, layers, 3): of local pairs, distant ones, any."""
    chosen = Signal(seeds=settings.seeds) if settings.on_signal else settings
    found = every(chosen, patterns)
    epoch = 1 if settings.on_signal else settings.epoch
    return {
        "inputs": codes(chosen.inputs),
        "steps": np.array(chosen.snapshots),
        "start": np.array(int(np.searchsorted(chosen.snapshots, epoch))),
        "width": np.array(chosen.width),
        "samples": np.array(int(np.prod(chosen.grid))),
        "hamming": np.array([[one.hamming for one in row] for row in found]),
    }


def _start(numbers: Numbers) -> int:
    """The snapshot after the first epoch."""
    return int(numbers["start"])


def _coordinates(numbers: Numbers) -> np.ndarray:
    return numbers["inputs"][:, 2] == 0


def judge_hamming(numbers: Numbers) -> Verdict:
    """Local below distant, and the order of the inputs."""
    totals = numbers["hamming"][:, :, _start(numbers) :].sum(axis=3).mean(axis=2)
    local, far = totals[..., LOCAL], totals[..., FAR]
    share = local / far
    below = np.all(share[:, _coordinates(numbers)] <= FAR_BELOW, axis=1) & np.all(share < 1, axis=1)
    ordered = np.all(np.diff(local, axis=1) > 0, axis=1)
    inputs, units, count = names(numbers["inputs"]), int(numbers["width"]) * numbers["hamming"].shape[3], len(local)
    curves = np.median(numbers["hamming"].sum(axis=3), axis=0)
    middle, shares = np.median(local, axis=0), 100 * np.median(share, axis=0)
    listed = ", ".join(f"{name} {a:.2g} ({b:.0f} %)" for name, a, b in zip(inputs, middle, shares, strict=True))
    return Verdict(
        all_of(vote(below), vote(ordered)),
        f"Neighboring pixels differ in so many of {units} units, and in this share of what distant ones differ in: "
        f"{listed} (medians of {count} repetitions, averages over the training). In this order in {ordered.sum()}.",
        tuple(
            (f"{name}: local; distant, start → first epoch → end",
             "; ".join(f"{a[0, k]:.3g} → {a[_start(numbers), k]:.3g} → {a[-1, k]:.3g}" for k in (LOCAL, FAR)))
            for name, a in zip(inputs, curves, strict=True)
        ),
    )  # fmt: skip


def figure_hamming(numbers: Numbers) -> "Figure":
    """Both distances along training."""
    totals, units = numbers["hamming"].sum(axis=3), int(numbers["width"]) * numbers["hamming"].shape[3]
    with panels(2, height=2.9) as (drawn, axes):
        for ax, kind, title in ((axes[0], LOCAL, "neighboring pixels"), (axes[1], FAR, "opposite quadrants")):
            along_training(ax, numbers["steps"], totals[..., kind], numbers["inputs"])
            ax.set(title=title, ylabel=f"Hamming distance, of {units} units")
        axes[0].set_yscale("log")
        axes[1].set_ylim(0, None)
        with_inputs(drawn, axes[0])
    return drawn


def judge_growth(numbers: Numbers) -> Verdict:
    """The local distance of coordinates at the end over that after the first epoch."""
    local = numbers["hamming"][..., LOCAL].sum(axis=3)
    grown = local[:, :, -1] / local[:, :, _start(numbers)]
    hits = np.all(grown[:, _coordinates(numbers)] >= GROWTH, axis=1)
    inputs, middle = names(numbers["inputs"]), np.median(grown, axis=0)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in zip(inputs, middle, strict=True))
    return Verdict(
        vote(hits),
        f"From step {int(numbers['steps'][_start(numbers)])} to step {int(numbers['steps'][-1])} the number of units "
        f"that tell neighbors apart changes by these factors: {listed} (medians). For both intervals it grows by 10 % "
        f"or more in {hits.sum()} of {len(hits)} repetitions.",
        tuple((f"{name}: factor", interval(grown[:, i]).text(2)) for i, name in enumerate(inputs)),
    )


def figure_growth(numbers: Numbers) -> "Figure":
    """Local distances over those after the first epoch."""
    start = _start(numbers)
    local = numbers["hamming"][..., LOCAL].sum(axis=3)
    with panels(1, width=4.2, height=2.9) as (drawn, (ax,)):
        along_training(ax, numbers["steps"], local / local[:, :, [start]], numbers["inputs"])
        ax.axvline(numbers["steps"][start], color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        ax.set(ylabel=f"local Hamming distance over that at step {int(numbers['steps'][start])}", ylim=(0, None))
        legend(ax, loc="lower left")
    return drawn


def _rise_and_fall(numbers: Numbers) -> tuple[np.ndarray, np.ndarray, int]:
    """log(peak/start) and log(peak/end) in each repetition, the peak being that of the mean curve after the start."""
    most = int(np.argmax(numbers["inputs"][:, 2]))
    curve = numbers["hamming"][:, most, :, :, LOCAL].sum(axis=2)
    start = _start(numbers)
    mean = np.exp(np.mean(np.log(curve[:, start:]), axis=0))
    peak = start + int(np.argmax(mean))
    return np.log(curve[:, peak] / curve[:, start]), np.log(curve[:, peak] / curve[:, -1]), peak


def judge_rise_and_fall(numbers: Numbers) -> Verdict:
    """Both with 95 % confidence, in the mean."""
    rise, fall, peak = _rise_and_fall(numbers)
    up, down = interval(rise), interval(fall)
    most = int(np.argmax(numbers["inputs"][:, 2]))
    curve = np.median(numbers["hamming"][:, most, :, :, LOCAL].sum(axis=2), axis=0)
    return Verdict(
        decide(up.low > 0 and down.low > 0, len(rise)),
        f"With {names(numbers['inputs'])[most]} the number of units that tell neighbors apart goes from "
        f"{curve[_start(numbers)]:.1f} to {curve[-1]:.1f}, its largest mean at step {int(numbers['steps'][peak])}: "
        f"a rise by {100 * np.expm1(up.value):.0f} % and a fall by {-100 * np.expm1(-down.value):.0f} %.",
        (("log of peak over start", up.text()), ("log of peak over end", down.text())),
    )


def figure_rise_and_fall(numbers: Numbers) -> "Figure":
    """The curve of the most octaves in each repetition, and their geometric mean."""
    start, most = _start(numbers), int(np.argmax(numbers["inputs"][:, 2]))
    curve = numbers["hamming"][:, most, :, :, LOCAL].sum(axis=2)
    at = np.maximum(numbers["steps"], FLOOR)
    with panels(1, width=4.2, height=2.9) as (drawn, (ax,)):
        ax.plot(at, curve.T, color=MUTED, alpha=0.5, linewidth=0.7)
        ax.plot(at, np.exp(np.mean(np.log(curve), axis=0)), color=ACCENT, label="mean")
        ax.plot([], [], color=MUTED, alpha=0.5, linewidth=0.7, label="each repetition")
        ax.axvline(at[start], color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        logarithmic_from_zero(ax, at[-1], FLOOR)
        ax.set(
            title=names(numbers["inputs"])[most], xlabel="step", ylabel="local Hamming distance", xlim=(FLOOR, at[-1]),
            ylim=(0, None),
        )  # fmt: skip
        legend(ax, loc="lower left")
    return drawn


def _layers(numbers: Numbers) -> np.ndarray:
    """Share of the units of each layer in which any two pixels differ, (seeds, 2, T, layers): [0, 1], most octaves."""
    of = [0, int(np.argmax(numbers["inputs"][:, 2]))]
    return numbers["hamming"][..., ANY][:, of] / numbers["width"]


def judge_layers(numbers: Numbers) -> Verdict:
    """Less from layer to layer, and what grows are the deep ones."""
    share, start = _layers(numbers), _start(numbers)
    encoded = share[:, 1]
    falls = np.all(np.diff(encoded[:, start], axis=1) < 0, axis=1)
    growth = share[:, :, -1, 0] / share[:, :, start, 0]
    deep = share[:, :, -1, 1:].sum(axis=2) / share[:, :, start, 1:].sum(axis=2)
    first, others = ([interval(values[:, index]) for index in (0, 1)] for values in (growth, deep))
    middle = 100 * np.median(share, axis=0)
    inputs = names(numbers["inputs"][[0, int(np.argmax(numbers["inputs"][:, 2]))]])
    listed = [", ".join(f"{a:.1f} → {b:.1f}" for a, b in zip(one[start], one[-1], strict=True)) for one in middle]
    return Verdict(
        all_of(
            vote(falls),
            within(first[1], 0, GROWTH),
            *(within(one, GROWTH, np.inf) for one in others),
        ),
        f"With {inputs[1]} two pixels differ in {listed[1]} % of the units of layers 1 to {share.shape[3]}, from step "
        f"{int(numbers['steps'][start])} to the end (medians): less from layer to layer in {falls.sum()} of "
        f"{len(falls)} repetitions. In the mean the first layer grows by a factor of {first[1].value:.2f}, the others "
        f"by {others[1].value:.2f}. With {inputs[0]} it is {listed[0]} %: {first[0].value:.2f} in the first and "
        f"{others[0].value:.2f} in the others.",
        tuple(
            (f"{name}: factor of {what}", found[index].text(2))
            for index, name in enumerate(inputs)
            for what, found in (("the first layer", first), ("the others together", others))
        ),
    )


def figure_layers(numbers: Numbers) -> "Figure":
    """The share of units of each layer, along training, for [0, 1] and for the most octaves."""
    share, at = 100 * _layers(numbers), np.maximum(numbers["steps"], FLOOR)
    titles = names(numbers["inputs"][[0, int(np.argmax(numbers["inputs"][:, 2]))]])
    colors = degree_colors(range(share.shape[3]))
    with panels(2) as (drawn, axes):
        for index, (ax, title) in enumerate(zip(axes, titles, strict=True)):
            for layer, color in enumerate(colors):
                band(ax, at, share[:, index, :, layer], color, f"layer {layer + 1}")
            logarithmic_from_zero(ax, at[-1], FLOOR)
            ax.axvline(at[_start(numbers)], color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
            ax.set(title=title, xlabel="step", xlim=(FLOOR, at[-1]), ylim=(0, None))
        axes[0].set_ylabel("units in which two pixels differ, %")
        with_inputs(drawn, axes[0])
    return drawn


_FAST = Curves()
# 64 pixels a side, and the photographs of scikit-image where it is installed.
_DESKTOP = msgspec.structs.replace(
    _FAST, inputs=("[0, 1]", "[-1, 1]", "2 octaves", "4 octaves", "6 octaves"), source="auto", size=64, width=128,
    steps=1000, batch=1024, snapshots=(0, 1, 5, 10, 20, 50, 100, 200, 500, 1000),
)  # fmt: skip
_PAPER = msgspec.structs.replace(
    _DESKTOP, inputs=("[0, 1]", "[-1, 1]", "4 octaves", "8 octaves", "16 octaves"), size=512, width=512, steps=32_000,
    batch=8192, epoch=32, snapshots=(0, 32, 160, 320, 960, 1920, 3200, 6400, 9600, 16_000, 24_000, 32_000),
    local_pairs=500, far_pairs=50_000,
)  # fmt: skip
NOTE = (
    "Repetition i learns photograph i modulo five: parts of the two of scikit-learn; in the larger settings those of "
    "scikit-image, too, where it is installed, or with `--data` a folder of yours, such as DIV2K. "
)

STUDIES = (
    Study(
        "lazzari-image-hamming",
        SOURCE + "Hamming distances",
        "Neighboring pixels share nearly all active units and distant ones do not, most of all for coordinates; the "
        "local Hamming distance orders [0, 1] < [−1, 1] < few octaves < many octaves.",
        "On average over the training from the first epoch on, in 9 of 10 repetitions or more, the mean Hamming "
        "distance of neighbors is at most half of that of opposite quadrants for both intervals, and below it for "
        "every input; and it increases in this order of inputs.",
        fast=_FAST,
        paper=_PAPER,
        desktop=_DESKTOP,
        measure=measure,
        judge=judge_hamming,
        figure=figure_hamming,
        control=Control(
            "neighbors in a random order of the pixels",
            lambda settings: msgspec.structs.replace(settings, shuffled=True),
        ),
        note=NOTE
        + "Far below is said of coordinates only: with many octaves the paper's local distances are 60 to 73 % "
        "of the distant ones, too. Its curves start after the first epoch, which is 32 steps of Adam; before it all "
        "distances fall.",
    ),
    Study(
        "lazzari-image-growth",
        SOURCE + "Hamming distances along training",
        "In training coordinate networks come to tell neighboring pixels apart: their local Hamming distance grows.",
        "From the first epoch to the end the mean Hamming distance of neighbors grows by 10 % or more for [0, 1] and "
        "for [−1, 1], in 9 of 10 repetitions or more.",
        fast=_FAST,
        paper=_PAPER,
        desktop=_DESKTOP,
        measure=measure,
        judge=judge_growth,
        figure=figure_growth,
        control=Control(
            "the networks of encodings under the names of coordinates, and the other way round",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note=NOTE
        + "The paper's curves start after the first epoch, of 32 steps; here it is step 20. In the steps before "
        "it the network learns the mean color, units die, and all distances fall.",
    ),
    Study(
        "lazzari-image-rise-and-fall",
        SOURCE + "Hamming distances along training, many octaves",
        "With many octaves the local Hamming distance first rises and then falls.",
        "After the first epoch the mean curve over repetitions has a peak that is above its start and above its end, "
        "both with 95 % confidence.",
        fast=_FAST,
        paper=_PAPER,
        desktop=_DESKTOP,
        measure=measure,
        judge=judge_rise_and_fall,
        figure=figure_rise_and_fall,
        expected=Outcome.fails,
        control=Control(
            "the signal in one dimension, on which the distance does rise and fall",
            lambda settings: msgspec.structs.replace(settings, on_signal=True),
        ),
        note=NOTE
        + "At 512² pixels the paper has 256 → 385 → 317 of 2048 units in 32,000 steps (8 octaves). On smaller "
        "images, which the network fits, it rises and stays: up to 96² pixels and 8000 steps we saw no fall. On the "
        "signal in one dimension it rises and falls within 100 steps, as in the paper.",
    ),
    Study(
        "lazzari-image-layers",
        SOURCE + "Hamming distances per layer",
        "With many octaves the first layer tells pixels apart from the start, each further layer less, and training "
        "makes the deep layers do so; with coordinates they are what grows, too.",
        "With the most octaves the share of units in which two pixels differ falls from layer to layer after the first "
        "epoch, in 9 of 10 repetitions or more; from then on it grows by 10 % or more in the layers behind the first "
        "together, and by less in the first, in the mean and with 95 % confidence; with [0, 1] it grows by 10 % or "
        "more in the layers behind the first.",
        fast=_FAST,
        paper=_PAPER,
        desktop=_DESKTOP,
        measure=measure,
        judge=judge_layers,
        figure=figure_layers,
        control=Control(
            "the networks of encodings under the names of coordinates, and the other way round",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note=NOTE
        + "Any two pixels. In the paper (8 octaves, of 512): 237 → 217, 84 → 88, 40 → 56, 8 → 61; with [0, 1] "
        "68 → 109, 20 → 68, 12 → 88, 3 → 87.",
    ),
)
