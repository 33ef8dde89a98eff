"""Dead units: how many ReLUs are zero on the whole picture, for coordinates in larger and larger intervals."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .._figures import band, panels
from .._statistics import vote
from .._study import Control, Numbers, Study, Verdict
from ._drawing import along_training, input_colors, with_inputs
from ._setting import DESKTOP, EPOCH, Picture, codes, every, names, patterns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(settings: Picture) -> dict[str, np.ndarray]:
    """Dead units of each layer, (seeds, inputs, T, layers)."""
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "width": np.array(settings.width),
        "dead": np.array([[one.dead for one in row] for row in every(settings, patterns)]),
    }


def judge(numbers: Numbers) -> Verdict:
    """Fewer dead units with every larger interval."""
    totals = numbers["dead"].sum(axis=3)
    mean = totals.mean(axis=2)
    hits = np.all(np.diff(mean, axis=1) < 0, axis=1)
    inputs, units = names(numbers["inputs"]), int(numbers["width"]) * numbers["dead"].shape[3]
    middle, curves = np.median(mean, axis=0), np.median(totals, axis=0)
    listed = ", ".join(f"{name} {value:.0f}" for name, value in zip(inputs, middle, strict=True))
    return Verdict(
        vote(hits),
        f"Of {units} ReLUs so many are zero on every pixel, on average over the recorded steps: {listed} (medians of "
        f"{len(hits)} repetitions). The number falls from each interval to the next in {hits.sum()} of them.",
        tuple(
            (f"{name}: dead at the start → at the end", f"{a[0]:.0f} → {a[-1]:.0f}, {100 * a[-1] / units:.0f} %")
            for name, a in zip(inputs, curves, strict=True)
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Dead units along training, and in which layer they are at the end."""
    dead, inputs, width = numbers["dead"], numbers["inputs"], int(numbers["width"])
    layers = np.arange(1, dead.shape[3] + 1)
    with panels(2, height=2.9, ratios=(1.4, 1)) as (drawn, axes):
        along_training(axes[0], numbers["steps"], dead.sum(axis=3), inputs)
        axes[0].set(ylabel=f"dead ReLUs, of {width * len(layers)}", ylim=(0, None))
        for index, color in enumerate(input_colors(len(inputs))):
            band(axes[1], layers, 100 * dead[:, index, -1] / width, color, marker="o", markersize=3)
        axes[1].set(xlabel="hidden layer", ylabel="dead at the end, %", ylim=(0, None), xticks=layers)
        with_inputs(drawn, axes[0])
    return drawn


_FAST = Picture(inputs=("[0, 1]", "[-1, 1]", "[-2, 2]", "[-3, 3]"), steps=60, snapshots=(0, 5, 15, 30, 60))
_PAPER = msgspec.structs.replace(
    _FAST,
    size=512, width=512, batch=8192, steps=1000 * EPOCH, snapshots=tuple(50 * EPOCH * n for n in range(21)),
    source="auto", windows=100, local_pairs=500, far_pairs=50_000,
)  # fmt: skip
_DESKTOP = msgspec.structs.replace(_FAST, **DESKTOP)

STUDIES = (
    Study(
        "lazzari-dead-units",
        "Lazzari & Liu 2023, images, dead neurons",
        "Networks of coordinates have many dead ReLUs, the more the smaller the interval: [0, 1] > [−1, 1] > [−2, 2] > "
        "[−3, 3].",
        "The number of ReLUs that are zero on every pixel, on average over the recorded steps, falls from each of "
        "these intervals to the next, in 9 of 10 repetitions or more.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the networks of [−3, 3] under the name of [0, 1], and so on",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note="Five photographs; with `--data`, those in a folder of yours, such as DIV2K. In each repetition all four "
        "networks start with the same numbers. In the paper 632, 329, 189 and 151 of 2048 are dead at the start, and "
        "1075, 867, 772 and 742 after 950 epochs.",
    ),
)
