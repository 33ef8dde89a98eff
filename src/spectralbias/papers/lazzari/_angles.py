"""Angles between the hyperplanes of units: in deep layers they turn the same way in training."""

import functools
import itertools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from ...report._style import diverging
from .._figures import MUTED, band, degree_colors, legend, logarithmic_from_zero
from .._statistics import vote
from .._study import Control, Numbers, Study, Verdict
from ._drawing import FLOOR
from ._setting import DESKTOP, EPOCH, Picture, Trainings, codes, names, single_precision, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Mean cosines in a layer that count as correlated.
CORRELATED = 0.01
# Units of each layer that the figure shows.
SHOWN = 64


class Angles(Picture, frozen=True, kw_only=True):
    """Which networks are looked at.

    Attributes:
        random_signs: turn every second hyperplane around, at random: a negative control.
    """

    random_signs: bool = False


def cosines(model, x: np.ndarray, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (units, units) and where layers start; with random signs of the rows if there is a seed."""
    with single_precision():
        found = regions.hyperplane_angles(model, x)
    if seed is None:
        return found.cosines, found.offsets
    signs = np.random.default_rng([seed, 7]).choice([-1.0, 1.0], len(found.cosines))
    return found.cosines * np.outer(signs, signs), found.offsets


def means(matrix: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Mean cosine of two different units of each layer, (layers,)."""
    found = []
    for start, stop in itertools.pairwise(offsets):
        block = matrix[start:stop, start:stop]
        found.append((np.nansum(block) - np.nansum(np.diag(block))) / (len(block) * (len(block) - 1)))
    return np.array(found)


@functools.lru_cache(maxsize=1024)
def _means(settings: Angles, name: str, seed: int) -> np.ndarray:
    run = trained(settings, name, seed)
    turned = seed if settings.random_signs else None
    return np.array([means(*cosines(model, run.x, turned)) for model in run.models])


def _shown(settings: Trainings, turned: bool) -> np.ndarray:
    """For the figure: cosines of the first units of each layer, before and after, of one network."""
    seed = settings.seeds[0]
    run, found = trained(settings, settings.inputs[-1], seed), []
    for model in (run.models[0], run.models[-1]):
        matrix, offsets = cosines(model, run.x, seed if turned else None)
        units = np.concatenate([np.arange(a, min(b, a + SHOWN)) for a, b in itertools.pairwise(offsets)])
        found.append(matrix[np.ix_(units, units)].astype(np.float32))
    return np.stack(found)


def measure(settings: Angles) -> dict[str, np.ndarray]:
    """Mean cosines in each layer, (seeds, inputs, T, layers), and matrices of one network."""
    plain = msgspec.structs.replace(settings, seeds=())
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "means": np.array([[_means(plain, name, seed) for name in settings.inputs] for seed in settings.seeds]),
        "matrices": _shown(settings, settings.random_signs),
    }


def judge(numbers: Numbers) -> Verdict:
    """Mean cosines of layers 2 to the last, for encodings."""
    deep = numbers["means"][..., 1:].mean(axis=3)
    encoded = numbers["inputs"][:, 2] > 0
    start, end = deep[:, encoded, 0], deep[:, encoded, -1]
    hits = np.all((np.abs(start) < CORRELATED) & (end >= CORRELATED), axis=1)
    inputs, layers = names(numbers["inputs"]), np.median(numbers["means"], axis=0)
    chosen = [name for name, use in zip(inputs, encoded, strict=True) if use]
    listed = ", ".join(
        f"{a:.3f} → {b:.3f} ({name})"
        for name, a, b in zip(chosen, np.median(start, axis=0), np.median(end, axis=0), strict=True)
    )
    return Verdict(
        vote(hits),
        f"The mean cosine of two units of one layer, averaged over layers 2 to {layers.shape[-1]}, goes {listed} from "
        f"step 0 to step {int(numbers['steps'][-1])} (medians of {len(hits)} repetitions). For all encodings it is "
        f"within 0.01 of 0 at the start and 0.01 or more at the end in {hits.sum()} of them.",
        tuple(
            (f"{name}: mean cosine in each layer at the end", ", ".join(f"{value:.3f}" for value in row[-1]))
            for name, row in zip(inputs, layers, strict=True)
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The matrix of all cosines before and after, and mean cosines along training."""
    from ...report._style import drawing

    layers, inputs = numbers["means"].shape[3], names(numbers["inputs"])
    matrices, steps = numbers["matrices"], numbers["steps"]
    limit = 0.5
    with drawing(7.2, 2.7) as drawn:
        grid = drawn.add_gridspec(1, 3, width_ratios=(1, 1, 1.15))
        shown = [drawn.add_subplot(grid[0, k]) for k in range(2)]
        size = matrices.shape[1] / layers
        for ax, matrix, step in zip(shown, matrices, (0, steps[-1]), strict=True):
            ax.imshow(matrix, cmap=diverging(), vmin=-limit, vmax=limit, interpolation="nearest")
            middles = (np.arange(layers) + 0.5) * size - 0.5
            ax.set_xticks(middles, [str(layer + 1) for layer in range(layers)])
            ax.set_yticks(middles, [str(layer + 1) for layer in range(layers)])
            ax.tick_params(length=0)
            ax.set(title=f"{inputs[-1]}, step {int(step):,}", xlabel="hidden layer")
            for line in np.arange(1, layers) * size - 0.5:
                ax.axhline(line, color=MUTED, linewidth=0.4)
                ax.axvline(line, color=MUTED, linewidth=0.4)
            ax.spines[["top", "right"]].set_visible(True)
        shown[0].set_ylabel("hidden layer")
        drawn.colorbar(shown[-1].images[0], ax=shown, shrink=0.75, pad=0.02, label="cosine", extend="both")
        ax = drawn.add_subplot(grid[0, 2])
        at = np.maximum(steps, FLOOR)
        for layer, color in enumerate(degree_colors(range(layers))):
            band(ax, at, numbers["means"][:, -1, :, layer], color, f"layer {layer + 1}")
        logarithmic_from_zero(ax, steps[-1], FLOOR)
        ax.set(
            xlabel="step", ylabel="mean cosine in a layer", xlim=(FLOOR, steps[-1]), title=f"{inputs[-1]}, all units"
        )
        legend(ax, loc="upper left")
    return drawn  # pyright: ignore[reportReturnType]


_FAST = Angles()
_PAPER = msgspec.structs.replace(
    _FAST,
    inputs=("[0, 1]", "4 octaves", "16 octaves", "8 octaves"), size=512, width=512, batch=8192, steps=5000 * EPOCH,
    snapshots=(0, *(EPOCH * epoch for epoch in (1, 10, 100, 1000, 2500, 5000))), source="auto",
)  # fmt: skip
_DESKTOP = msgspec.structs.replace(_FAST, inputs=("[0, 1]", "[-1, 1]", "4 octaves", "8 octaves"), **DESKTOP)

STUDIES = (
    Study(
        "lazzari-hyperplane-angles",
        "Lazzari & Liu 2023, images, hyperplane angles",
        "Where an encoding is read, the hyperplanes of deep layers become positively correlated in training; at the "
        "start they are not.",
        "The mean cosine of the weights of two units of one layer, averaged over layers 2 to the last, is within 0.01 "
        "of 0 at the start and 0.01 or more at the end, for all encodings, in 9 of 10 repetitions or more.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "every hyperplane with a random sign",
            lambda settings: msgspec.structs.replace(settings, random_signs=True),
        ),
        note="Cosines of weights without biases. In the paper they are 0.2 to 0.4 in blocks after 5000 epochs, and "
        "most of all in layer 4; here they are far smaller after few steps, and as large for coordinates. Five "
        "photographs, or those in `--data`.",
    ),
)
