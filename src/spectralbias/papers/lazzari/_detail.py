"""Where a photograph has detail, does the network have regions? The density of exact regions, pixel by pixel."""

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from ... import regions
from .._figures import INK, MUTED, degree_colors, panels
from .._statistics import decide, interval
from .._study import Control, Numbers, Settings, Study, Verdict
from . import _images
from ._drawing import with_inputs
from ._setting import Picture, double_precision, on_positions, trained
from ._setting import interval as ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A mean rank correlation above this is one.
SOME = 0.1
START, END = range(2)


class Detailed(Picture, frozen=True, kw_only=True):
    """Trainings on coordinates, whose regions are looked at before and after.

    Attributes:
        input: an interval.
        untrained: the network before training in place of that after it: a negative control.
    """

    input: str = "[-1, 1]"
    untrained: bool = False


class Found(NamedTuple):
    """Regions in each pixel (2, size, size), of the network before and after training; and the latter's error."""

    density: np.ndarray
    error: np.ndarray
    detail: np.ndarray
    image: np.ndarray
    drawn: tuple[np.ndarray, np.ndarray]


def detail(image: np.ndarray) -> np.ndarray:
    """Standard deviation of the colors in the 3 x 3 pixels around each, (size, size)."""
    from numpy.lib.stride_tricks import sliding_window_view

    around = sliding_window_view(np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge"), (3, 3), axis=(0, 1))
    mean, square = around.mean(axis=(3, 4)), (around**2).mean(axis=(3, 4))
    return np.sqrt(np.maximum(square - mean**2, 0).sum(axis=2))


def _edges(found: Any) -> np.ndarray:
    """Ends of the edges of all regions and the layer that each is of, (edges, 5), without those of the window."""
    following = np.arange(1, len(found.vertices) + 1)
    following[found.offsets[1:] - 1] = found.offsets[:-1]
    layer = np.searchsorted(found.layer_offsets, found.edges, side="right") - 1.0
    edges = np.concatenate([found.vertices, found.vertices[following], layer[:, None]], axis=1)[found.edges >= 0]
    # Each edge is there twice, from both sides.
    return edges[(edges[:, 0] < edges[:, 2]) | ((edges[:, 0] == edges[:, 2]) & (edges[:, 1] < edges[:, 3]))]


@functools.lru_cache(maxsize=64)
def _look(settings: Detailed, seed: int) -> Found:
    run, size = trained(settings, settings.input, seed), settings.size
    lower, upper = ends(settings.input)
    half = (upper - lower) / size / 2
    density, drawn = [], []
    for model in (run.models[0], run.models[-1]):
        with double_precision():
            found = regions.plane_regions(on_positions(model, settings.input, 2), lower - half, upper - half)
        density.append(regions.region_density(found, (size, size)))
        drawn.append(_edges(found))
    image = run.y.reshape(size, size, 3)
    error = np.linalg.norm(run.residuals[-1], axis=1).reshape(size, size)
    return Found(np.stack(density), error, detail(image), image, (drawn[0], drawn[1]))


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one.ravel(), other.ravel())[0])  # pyright: ignore[reportArgumentType]


def measure(settings: Detailed) -> dict[str, np.ndarray]:
    """Rank correlations over pixels of the number of regions with the detail, and with the error, (seeds, 2)."""
    plain = msgspec.structs.replace(settings, seeds=(), untrained=False)
    found = [_look(plain, seed) for seed in settings.seeds]
    at = [START, START] if settings.untrained else [START, END]
    first = found[0]
    return {
        "window": np.array(ends(settings.input)),
        "size": np.array(settings.size),
        "steps": np.array([0, 0 if settings.untrained else settings.snapshots[-1]]),
        "with_detail": np.array([[_rank_correlation(one.density[t], one.detail) for t in at] for one in found]),
        "with_error": np.array([[_rank_correlation(one.density[t], one.error) for t in at] for one in found]),
        "per_pixel": np.array([one.density[at].mean(axis=(1, 2)) for one in found]),
        "image": first.image,
        "start": first.drawn[at[0]],
        "end": first.drawn[at[1]],
    }


def judge(numbers: Numbers) -> Verdict:
    """After training there are more regions where there is more detail."""
    before, after = (interval(numbers["with_detail"][:, t]) for t in (START, END))
    error = interval(numbers["with_error"][:, END])
    return Verdict(
        decide(after.low > SOME, len(numbers["with_detail"])),
        f"The rank correlation over pixels of the number of linear regions with the detail of the image goes from "
        f"{before.text(2)} to {after.text(2)} in training; with the error of the fit that is left it is "
        f"{error.text(2)}.",
        (
            ("with detail, before training", before.text(2)),
            ("with detail, after training", after.text(2)),
            ("with the error that is left, after training", error.text(2)),
            ("regions that meet a pixel, before and after",
             " and ".join(f"{value:.1f}" for value in np.median(numbers["per_pixel"], axis=0))),
        ),
    )  # fmt: skip


def _draw(ax: "Axes", numbers: Numbers, edges: np.ndarray) -> None:
    """Boundaries of regions, by the layer of their unit, over the image."""
    from matplotlib.collections import LineCollection

    lower, upper = numbers["window"]
    half = (upper - lower) / numbers["size"] / 2
    low, high = lower - half, upper - half
    ax.imshow(0.45 + 0.55 * numbers["image"], extent=(low, high, high, low), interpolation="nearest")
    layers = edges[:, 4].astype(int)
    colors = np.array(degree_colors(range(4)))
    lines = edges[:, [1, 0, 3, 2]].reshape(-1, 2, 2)
    ax.add_collection(LineCollection(list(lines), colors=list(colors[np.minimum(layers, 3)]), linewidths=0.35))
    ax.set(xlim=(low, high), ylim=(high, low), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def figure(numbers: Numbers) -> "Figure":
    """The first photograph with the regions of its network before and after training; rank correlations."""
    with panels(3, width=7.6, height=2.9, ratios=(1, 1, 0.75)) as (drawn, (left, middle, right)):
        for ax, name, t in ((left, "start", START), (middle, "end", END)):
            _draw(ax, numbers, numbers[name])
            ax.set_title(f"linear regions, step {int(numbers['steps'][t])}")
        for layer, color in enumerate(degree_colors(range(4))):
            left.plot([], [], color=color, label=f"layer {layer + 1}")
        with_inputs(drawn, left)
        for t, what in enumerate(("before", "after")):
            values = numbers["with_detail"][:, t]
            right.plot(np.full(len(values), t), values, "o", color=INK, alpha=0.4, markersize=4)
            right.plot([t - 0.15, t + 0.15], [values.mean()] * 2, color=INK)
            right.annotate(what, (t, -0.02), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=8)
        right.axhline(0, color=MUTED, linewidth=0.7)
        right.set(xlim=(-0.5, 1.5), xticks=[], ylabel="rank correlation of regions with detail", ylim=(-0.6, 1))
    return drawn


def _settings(other: Settings) -> Detailed:
    return Detailed(**{field: getattr(other, field) for field in Picture.__struct_fields__})


_IMAGE = _images.STUDIES[0]

STUDIES = (
    Study(
        "lazzari-region-detail",
        _images.SOURCE + "where regions are (not measured there)",
        "In training the linear regions of a coordinate network gather where the image has detail.",
        "After training the rank correlation over pixels of the number of linear regions that meet a pixel with the "
        "standard deviation of the colors around it is above 0.1, in the mean over repetitions with 95 % confidence.",
        fast=_settings(_IMAGE.fast),
        paper=_settings(_IMAGE.paper),
        desktop=_settings(_IMAGE.desktop or _IMAGE.fast),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the network before training",
            lambda settings: msgspec.structs.replace(settings, untrained=True),
        ),
        note=_images.NOTE + "The input is [−1, 1], behind which regions are counted exactly, in the window of the "
        "pixels' cells. The question is asked beside the paper, which counts the patterns of all pixels together.",
    ),
)
