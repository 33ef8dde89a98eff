"""Real data: which units tell apart pictures of different classes, and whether their gradients agree."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from .._figures import ACCENT, MUTED, SECOND, band, legend, logarithmic_from_zero, panels
from .._statistics import all_of, vote
from .._study import Control, Numbers, Study, Verdict
from . import _classifiers
from ._classifiers import Classifiers
from ._drawing import FLOOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAR, FAR = range(2)
KINDS = ("nearest of another class", "farthest")
COLORS = (SECOND, ACCENT)
# Share of all units in which neighbors differ at least.
LARGE = 0.05
# Distant cosines are concentrated at 0 if half of them are within this; cosines below its negative are in the tail.
SMALL, TAIL = 0.15, -0.1
# Share of neighbors in the tail, and how many times that of distant pairs.
ENOUGH_IN_TAIL, TIMES = 0.2, 3


@functools.lru_cache(maxsize=256)
def _hamming(settings: Classifiers, seed: int) -> tuple[np.ndarray, int, np.ndarray]:
    return *_classifiers.hamming(settings, seed), _classifiers.right(settings, seed)


@functools.lru_cache(maxsize=256)
def _cosines(settings: Classifiers, seed: int) -> np.ndarray:
    return _classifiers.cosines(settings, seed)


def measure_hamming(settings: Classifiers) -> dict[str, np.ndarray]:
    """Mean Hamming distances (seeds, T, 2), and the share of samples that the network has right, (seeds, T)."""
    plain = msgspec.structs.replace(settings, seeds=())
    found = [_hamming(plain, seed) for seed in settings.seeds]
    return {
        "steps": np.array(settings.snapshots),
        "units": np.array(found[0][1]),
        "hamming": np.array([one[0] for one in found]),
        "right": np.array([one[2] for one in found]),
    }


def judge_hamming(numbers: Numbers) -> Verdict:
    """Neighbors differ in a large part of the units, distant samples in more."""
    share = numbers["hamming"] / numbers["units"]
    hits = np.all((share[..., NEAR] >= LARGE) & (share[..., FAR] > share[..., NEAR]), axis=1)
    middle = np.median(numbers["hamming"], axis=0)
    least = np.median(share[..., NEAR].min(axis=1))
    near, far = (f"{middle[0, kind]:.0f} → {middle[-1, kind]:.0f}" for kind in (NEAR, FAR))
    return Verdict(
        vote(hits),
        f"Nearest samples of another class differ in {near} of {int(numbers['units']):,} units on average from the "
        f"start to the end of training, in {100 * least:.1f} % of them or more at every time; farthest samples in "
        f"{far} (medians of {len(hits)} repetitions). In {hits.sum()} neighbors always differ in 5 % or more, and "
        "distant samples in more than neighbors.",
        tuple(
            (f"step {step:,}: {KINDS[0]}; {KINDS[1]}; samples that are right",
             f"{a[NEAR]:.0f}; {a[FAR]:.0f}; {100 * b:.0f} %")
            for step, a, b in zip(numbers["steps"], middle, np.median(numbers["right"], axis=0), strict=True)
        ),
    )  # fmt: skip


def figure_hamming(numbers: Numbers) -> "Figure":
    """Both distances along training, as shares of all units; how much is learned."""
    steps, share = numbers["steps"], 100 * numbers["hamming"] / numbers["units"]
    at = np.maximum(steps, FLOOR)
    with panels(2, width=6.6, height=2.7, ratios=(1.4, 1)) as (drawn, axes):
        for kind in (NEAR, FAR):
            band(axes[0], at, share[..., kind], COLORS[kind], KINDS[kind], marker="o", markersize=2.5)
        axes[0].axhspan(0, 100 * LARGE, color="#f0f0f0", linewidth=0, zorder=0)
        axes[0].set(ylabel=f"Hamming distance, % of {int(numbers['units']):,} units")
        axes[0].set_ylim(0, 1.25 * share.max())
        band(axes[1], at, 100 * numbers["right"], MUTED, marker="o", markersize=2.5)
        axes[1].set(ylabel="training samples that are right, %", ylim=(0, 102))
        for ax in axes:
            logarithmic_from_zero(ax, steps[-1], FLOOR)
            ax.set(xlabel="step", xlim=(FLOOR, steps[-1] * 1.1))
        legend(axes[0], loc="upper left", ncols=2)
    return drawn


def measure_cosines(settings: Classifiers) -> dict[str, np.ndarray]:
    """Cosines (seeds, 2, pairs) at one step, and their densities (seeds, 2, points)."""
    plain = msgspec.structs.replace(settings, seeds=())
    found = np.array([_cosines(plain, seed) for seed in settings.seeds])
    densities = [[regions.cosine_density(some, points=_classifiers.POINTS) for some in one] for one in found]
    return {
        "step": np.array(settings.confused),
        "grid": densities[0][0][0],
        "densities": np.array([[one[1] for one in row] for row in densities]),
        "cosines": found.astype(np.float32),
    }


def judge_cosines(numbers: Numbers) -> Verdict:
    """Distant samples at 0; a negative tail for neighbors only."""
    found = numbers["cosines"]
    size = np.nanmedian(np.abs(found[:, FAR]), axis=1)
    tail = np.nanmean(found < TAIL, axis=2)
    central = size <= SMALL
    negative = (tail[:, NEAR] >= ENOUGH_IN_TAIL) & (tail[:, NEAR] >= TIMES * tail[:, FAR])
    percentiles = np.median(np.nanquantile(found, (0.1, 0.5, 0.9), axis=2), axis=1)
    return Verdict(
        all_of(vote(central), vote(negative)),
        f"At step {int(numbers['step']):,} half of the farthest pairs have gradients with |cos| below "
        f"{np.median(size):.3f} (median of {len(size)} repetitions). Below −0.1 are "
        f"{100 * np.median(tail[:, NEAR]):.0f} % of nearest samples of another class, and "
        f"{100 * np.median(tail[:, FAR]):.1f} % of farthest ones.",
        tuple(
            (f"{KINDS[kind]}: 10 %, 50 % and 90 % of the cosines",
             ", ".join(f"{value:.2f}" for value in percentiles[:, kind]))
            for kind in (NEAR, FAR)
        ),
    )  # fmt: skip


def figure_cosines(numbers: Numbers) -> "Figure":
    """Densities of both kinds of pairs."""
    grid = numbers["grid"]
    with panels(1, width=4.6, height=2.7) as (drawn, (ax,)):
        for kind in (FAR, NEAR):
            band(ax, grid, numbers["densities"][:, kind], COLORS[kind], KINDS[kind])
        ax.axvline(0, color=MUTED, linewidth=0.6, zorder=0)
        ax.set(
            xlabel=f"cosine of two loss gradients, step {int(numbers['step']):,}", ylabel="density",
            xlim=(-1, 1), ylim=(0, None),
        )  # fmt: skip
        legend(ax, loc="upper right")
    return drawn


_MLP = Classifiers()
_CNN = Classifiers(
    convolutional=True, num_samples=400, channels=(8, 16), steps=160, batch=50, snapshots=(0, 20, 40, 80, 120, 160),
    confused=160,
)  # fmt: skip
_SIZES = {"num_samples": 60_000, "anchors": 2500, "per_anchor": 25, "batch": 512}
# 117 steps an epoch.
_LENGTH = {
    "steps": 11_700,
    "snapshots": tuple(117 * n for n in (0, 1, 2, 5, 10, 25, 50, 75, 100)),
    "confused": 25 * 117,
}
# All of the digits, 3 steps an epoch; half as many channels where there are convolutions, whose gradients take longer.
_SHORT = {
    "num_samples": 1797, "channels": (16, 32, 48), "anchors": 500, "steps": 300,
    "snapshots": (0, 3, 6, 15, 30, 75, 150, 225, 300), "confused": 75,
}  # fmt: skip
_PAPER_MLP = msgspec.structs.replace(_MLP, width=512, **_SIZES, **_LENGTH)
_PAPER_CNN = msgspec.structs.replace(_CNN, width=256, channels=(32, 64, 96), **_SIZES, **_LENGTH)
_NOTE = (
    " Without `--data` it is scikit-learn's digits; with it the folder of MNIST, Fashion-MNIST, CIFAR-10 or "
    "CIFAR-100, all of which the paper has. Adam and cross-entropy, pixels with mean 1/2 and deviation 1/2 taken out."
)
_HAMMING_CONTROL = Control(
    "pictures reduced to their first principal component: data of one dimension",
    lambda settings: msgspec.structs.replace(settings, components=1),
)
_COSINE_CONTROL = Control(
    "nearest samples of the same class", lambda settings: msgspec.structs.replace(settings, same_class=True)
)


def _hamming_study(name: str, network: str, fast: Classifiers, paper: Classifiers, published: str) -> Study:
    return Study(
        f"lazzari-data-hamming-{name}",
        f"Lazzari & Liu 2023, real data, Hamming distances of {network}",
        f"Unlike neighboring pixels, real pictures are told apart by many units of {network}, even neighbors of "
        "different classes; distant ones by more.",
        "At every recorded step nearest samples of another class differ in 5 % of the units or more, on average, and "
        "farthest samples in more than these, in 9 of 10 repetitions or more.",
        fast=fast,
        desktop=msgspec.structs.replace(paper, **_SHORT),
        paper=paper,
        measure=measure_hamming,
        judge=judge_hamming,
        figure=figure_hamming,
        control=_HAMMING_CONTROL,
        note=published + _NOTE,
    )


def _cosine_study(name: str, network: str, fast: Classifiers, paper: Classifiers) -> Study:
    return Study(
        f"lazzari-data-confusion-{name}",
        f"Lazzari & Liu 2023, real data, gradient confusion of {network}",
        f"On real pictures the gradients of distant samples are nearly orthogonal for {network}; a negative tail is "
        "there for neighbors of different classes only.",
        "Half of the farthest pairs have |cos| ≤ 0.15; and 20 % or more of nearest samples of another class have a "
        "cosine below −0.1, three times as many as of farthest ones or more; in 9 of 10 repetitions or more.",
        fast=fast,
        desktop=msgspec.structs.replace(paper, **_SHORT),
        paper=paper,
        measure=measure_cosines,
        judge=judge_cosines,
        figure=figure_cosines,
        control=_COSINE_CONTROL,
        note="In the paper, after 25 epochs, the tail reaches −0.3 on MNIST and −0.6 on Fashion-MNIST." + _NOTE,
    )


STUDIES = (
    _hamming_study(
        "mlp", "a fully connected network", _MLP, _PAPER_MLP,
        "In the paper, of 2048 units: farthest 695 → 430 on MNIST, 895 → 525, 865 → 660, 990 → 740 on the others; "
        "nearest 310 → 320, 230 → 345, 400 → 460, 345 → 475, with a maximum on the way.",
    ),
    _hamming_study(
        "cnn", "a convolutional network", _CNN, _PAPER_CNN,
        "In the paper, of 8352 or 11,456 units: farthest 2.8k → 3.25k on MNIST, 3.45k → 4.1k, 5.5k → 5.65k, 6.3k → "
        "6.3k on the others; nearest .9k → 1.15k, .85k → 1.5k, 2.65k → 3.4k, 2.25k → 3.0k.",
    ),
    _cosine_study("mlp", "a fully connected network", _MLP, _PAPER_MLP),
    _cosine_study("cnn", "a convolutional network", _CNN, _PAPER_CNN),
)  # fmt: skip
