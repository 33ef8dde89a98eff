"""Spectral norms of the layers along training, and their product, which bounds the slope of the network."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from .._figures import band, panels, plain_log
from .._statistics import vote
from .._study import Control, Numbers, Study, Verdict
from ._drawing import along_training, input_colors, with_inputs
from ._setting import DESKTOP, EPOCH, Picture, Trainings, codes, every, names, single_precision, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _norms(settings: Trainings, name: str, seed: int) -> np.ndarray:
    """‖W_l‖ of every layer, (T, layers). Columns of zeros in the features do not change them."""
    run = trained(settings, name, seed)
    with single_precision():
        return np.array([regions.spectral_norms(model, run.x).values for model in run.models])


def measure(settings: Picture) -> dict[str, np.ndarray]:
    """Spectral norms (seeds, inputs, T, layers)."""
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "norms": np.array(every(settings, _norms)),
    }


def judge(numbers: Numbers) -> Verdict:
    """The product at the end is larger for both intervals than for all encodings."""
    products = numbers["norms"].prod(axis=3)
    coordinates = numbers["inputs"][:, 2] == 0
    end = products[:, :, -1]
    hits = end[:, coordinates].min(axis=1) > end[:, ~coordinates].max(axis=1)
    inputs, first, last = names(numbers["inputs"]), np.median(products[:, :, 0], axis=0), np.median(end, axis=0)
    listed = ", ".join(f"{name} {value:.3g}" for name, value in zip(inputs, last, strict=True))
    layers = np.median(numbers["norms"], axis=0)
    return Verdict(
        vote(hits),
        f"After {int(numbers['steps'][-1])} steps the product of the spectral norms is {listed} (medians of "
        f"{len(hits)} repetitions). Both intervals are above all encodings in {hits.sum()} of them.",
        tuple(
            (
                f"{name}: product, start → end; layer by layer at the end",
                f"{a:.2g} → {b:.3g}, {b / a:.3g} times; {', '.join(f'{value:.2f}' for value in layer[-1])}",
            )
            for name, a, b, layer in zip(inputs, first, last, layers, strict=True)
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The product along training, and the norm of each layer at the start and at the end."""
    norms, inputs = numbers["norms"], numbers["inputs"]
    layers = np.arange(1, norms.shape[3] + 1)
    with panels(2, height=2.9, ratios=(1.4, 1)) as (drawn, axes):
        along_training(axes[0], numbers["steps"], norms.prod(axis=3), inputs)
        axes[0].set(ylabel="$\\prod_l\\, \\|W_l\\|$", yscale="log")
        plain_log(axes[0].yaxis)
        for index, color in enumerate(input_colors(len(inputs))):
            band(axes[1], layers, norms[:, index, -1], color, marker="o", markersize=3)
            start = np.median(norms[:, index, 0], axis=0)
            axes[1].plot(layers, start, color=color, linewidth=0.9, linestyle=(0, (1, 1.6)))
        axes[1].set(xlabel="layer", ylabel="$\\|W_l\\|$, start (dotted) and end", ylim=(0, None), xticks=layers)
        with_inputs(drawn, axes[0])
    return drawn


_FAST = Picture()
_PAPER = msgspec.structs.replace(
    _FAST,
    inputs=("[0, 1]", "[-1, 1]", "4 octaves", "8 octaves"),
    size=512, width=512, batch=8192, steps=1000 * EPOCH,
    snapshots=(0, *(EPOCH * epoch for epoch in (1, 5, 10, 20, 50, *range(100, 1001, 100)))), source="auto",
)  # fmt: skip
_DESKTOP = msgspec.structs.replace(_FAST, inputs=("[0, 1]", "[-1, 1]", "4 octaves", "8 octaves"), **DESKTOP)

STUDIES = (
    Study(
        "lazzari-spectral-norms",
        "Lazzari & Liu 2023, images, parameter norms",
        "The product of the spectral norms of the layers grows fastest where coordinates are read: an encoding spares "
        "the network steep weights.",
        "At the end of training the product is larger for both intervals than for every encoding, in 9 of 10 "
        "repetitions or more.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the networks of encodings under the names of coordinates, and the other way round",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note="In the paper the product is 5.3e5 for [0, 1], 6.6e5 for [−1, 1], 4.2e5 and 2.0e5 for 4 and 8 octaves "
        "after 1000 epochs. It starts larger for coordinates, as PyTorch draws a first layer of two inputs with larger "
        "weights: the evidence gives the factor by which it grows, too. Five photographs, or those in `--data`.",
    ),
)
