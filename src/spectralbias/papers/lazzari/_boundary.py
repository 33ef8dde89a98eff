"""How far pixels are from the nearest place where a unit switches: do regions narrow and widen again?"""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from .._figures import MUTED, panels
from .._statistics import vote
from .._study import Control, Numbers, Outcome, Study, Verdict
from ._drawing import along_training, with_inputs
from ._setting import EPOCH, Picture, codes, names, num_features, single_precision, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A dip is at most this share of what is before it and behind it.
DIP = 0.9


class Distances(Picture, frozen=True, kw_only=True):
    """Which networks are looked at.

    Attributes:
        encodings: the inputs of networks that are looked at.
        epoch: steps after which the comparison starts: 32, the first epoch, in the paper.
        reciprocal: one over the distance, from the first step on: a negative control.
    """

    encodings: tuple[str, ...] = ("4 octaves",)
    epoch: int = 20
    reciprocal: bool = False


@functools.lru_cache(maxsize=1024)
def _distances(settings: Distances, name: str, seed: int) -> np.ndarray:
    """Mean over pixels of the distance in the layers' own inputs, (T,)."""
    run = trained(settings, name, seed)
    with single_precision():
        return np.array([regions.boundary_distance(model, run.x).mean() for model in run.models])


def measure(settings: Distances) -> dict[str, np.ndarray]:
    """Mean distances (seeds, encodings, T)."""
    s = settings
    plain = msgspec.structs.replace(s, seeds=(), reciprocal=False)
    found = np.array([[_distances(plain, name, seed) for name in s.encodings] for seed in s.seeds])
    return {
        "inputs": codes(s.encodings),
        "steps": np.array(s.snapshots),
        "start": np.array(s.snapshots.index(0 if s.reciprocal else s.epoch)),
        "units": np.array(s.width * s.depth),
        "features": np.array([num_features(name, 2) for name in s.encodings]),
        "distances": 1 / found if s.reciprocal else found,
    }


def judge(numbers: Numbers) -> Verdict:
    """A minimum on the way that is well below the first value and the last one."""
    start = int(numbers["start"])
    found, steps = numbers["distances"][:, :, start:], numbers["steps"][start:]
    least = found.min(axis=2)
    hits = np.all((least <= DIP * found[:, :, 0]) & (least <= DIP * found[:, :, -1]), axis=1)
    inputs, middle = names(numbers["inputs"]), np.median(found, axis=0)
    before = np.median(numbers["distances"][:, :, 0], axis=0)
    listed = "; ".join(
        f"{name} {a[0]:.2g} → {a.min():.2g} (step {steps[np.argmin(a)]:,}) → {a[-1]:.2g}"
        for name, a in zip(inputs, middle, strict=True)
    )
    return Verdict(
        vote(hits),
        f"From step {int(steps[0])} to step {int(steps[-1]):,}, by way of its minimum, the mean distance goes {listed} "
        f"(medians of {len(hits)} repetitions). It dips by 10 % and rises again with every encoding in {hits.sum()} of "
        "them.",
        tuple(
            (f"{name}: before training; largest; at the end", f"{a:.2g}; {b.max():.2g}; {b[-1]:.2g}")
            for name, a, b in zip(inputs, before, middle, strict=True)
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Distances along training, and over those where the comparison starts."""
    found, start, steps = numbers["distances"], int(numbers["start"]), numbers["steps"]
    with panels(2, height=2.9) as (drawn, axes):
        along_training(axes[0], steps, found, numbers["inputs"])
        along_training(axes[1], steps, found / found[:, :, [start]], numbers["inputs"])
        axes[0].set(ylabel="mean distance to a boundary", ylim=(0, None))
        axes[1].set(ylabel=f"the same, over that at step {int(steps[start])}", ylim=(0, None))
        axes[1].axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        for ax in axes:
            ax.axvline(max(int(steps[start]), 0.5), color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        with_inputs(drawn, axes[0])
    return drawn


_FAST = Distances()
_INPUTS = ("4 octaves", "8 octaves", "12 octaves", "16 octaves", "20 octaves")
_PAPER = msgspec.structs.replace(
    _FAST,
    inputs=_INPUTS, encodings=_INPUTS, size=512, width=512, batch=8192, steps=2500 * EPOCH, epoch=EPOCH,
    snapshots=(0, *(EPOCH * epoch for epoch in (1, 10, 25, *range(50, 401, 50), *range(500, 2501, 250)))),
    source="auto",
)  # fmt: skip
_SOME = ("4 octaves", "8 octaves", "16 octaves")
_DESKTOP = msgspec.structs.replace(
    _PAPER, inputs=_SOME, encodings=_SOME, size=48, width=64, batch=256, steps=12_000, epoch=EPOCH,
    snapshots=(0, 10, 32, 50, 100, 200, 400, 700, 1000, 1500, 2000, 3000, 5000, 8000, 12_000),
)  # fmt: skip

STUDIES = (
    Study(
        "lazzari-boundary-distance",
        "Lazzari & Liu 2023, images, distance to the boundary of regions",
        "With a positional encoding the regions around the pixels first become narrower and later widen again: the "
        "distance to the nearest boundary dips and rises.",
        "With every encoding the mean distance after the first epoch has a minimum on the way that is at most 0.9 of "
        "its first value and at most 0.9 of its last, in 9 of 10 repetitions or more.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        expected=Outcome.fails,
        control=Control(
            "one over the distance, from the first step on",
            lambda settings: msgspec.structs.replace(settings, reciprocal=True),
        ),
        note="The distance of a pixel is the smallest |z|/‖w‖ over all units, each in the input of its own layer. In "
        "the paper, with 4 to 20 octaves, it is 3.6 to 5e-4 at first, 1.4 to 2.1e-4 near epochs 150 to 250, and 3.9 to "
        "5.9e-4 after 2500 epochs. In the sizes that we have run it is three times larger after some tens of steps, as "
        "the layers' values grow, and falls from there on for 12,000 steps: the fall is the paper's, the rise is not "
        "there. The paper's own sizes, 80,000 steps on 512 x 512 pixels, we have not run. Five photographs, or those "
        "in `--data`.",
    ),
)
