"""Exact linear regions on slices of the space of encoded inputs: through its lowest octave, and through its highest."""

import functools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ... import regions
from .._figures import ACCENT, INK, SECOND, band, degree_colors, legend, logarithmic_from_zero
from .._statistics import vote
from .._study import Control, Numbers, Study, Verdict
from ._drawing import FLOOR
from ._setting import EPOCH, Picture, Trained, octaves, trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOW, HIGH = range(2)
KINDS = ("lowest octave", "highest octave")


class Slices(Picture, frozen=True, kw_only=True):
    """Which networks are cut.

    Attributes:
        untrained: count the regions of the networks before training throughout: a negative control.
    """

    inputs: tuple[str, ...] = ("4 octaves", "16 octaves")
    width: int = 32
    size: int = 16
    steps: int = 200
    snapshots: tuple[int, ...] = (0, 200)
    untrained: bool = False


def axes_of(name: str, kind: int, width: int) -> np.ndarray:
    """Two directions (2, width) in the space of features: sine and cosine of π x, or of 2^(L-1) π y.

    The paper orders them octave by octave with x before y: these are its first two inputs, and its last two.
    """
    count = octaves(name) or 1
    chosen = (0, 2 * count) if kind == LOW else (2 * count - 1, 4 * count - 1)
    return np.eye(width)[list(chosen)]


def section(run: Trained, when: int, name: str, kind: int) -> "regions.PlaneRegions":
    """The regions where these two inputs are in [-1, 1] and all others are 0, of one snapshot."""
    axes = axes_of(name, kind, run.x.shape[1])
    return regions.plane_regions(run.models[when], -1.0, 1.0, origin=np.zeros(axes.shape[1]), axes=axes)


@functools.lru_cache(maxsize=1024)
def _counts(settings: Slices, name: str, seed: int) -> np.ndarray:
    """Numbers of regions (T, 2)."""
    run = trained(settings, name, seed)
    return np.array([[section(run, t, name, k).count for k in (LOW, HIGH)] for t in range(len(run.models))])


def drawn_sections(settings: Slices, name: str, seed: int) -> dict[str, np.ndarray]:
    """Both slices before and after training: the boundaries of regions, and the layer whose unit makes each."""
    run, numbers = trained(settings, name, seed), {}
    for kind in (LOW, HIGH):
        for when in (0, -1):
            found = section(run, when, name, kind)
            numbers[f"segments_{kind}_{-when}"] = found.segments.astype(np.float32)
            numbers[f"layers_{kind}_{-when}"] = found.segment_layers.astype(np.int8)
    return numbers


def measure(settings: Slices) -> dict[str, np.ndarray]:
    """Numbers of regions (seeds, octaves, T, 2), and the polygons of one network."""
    plain = msgspec.structs.replace(settings, seeds=(), untrained=False)
    counts = np.array([[_counts(plain, name, seed) for name in settings.inputs] for seed in settings.seeds])
    if settings.untrained:
        counts = np.repeat(counts[:, :, :1], counts.shape[2], axis=2)
    return {
        "octaves": np.array([octaves(name) for name in settings.inputs]),
        "steps": np.array(settings.snapshots),
        "counts": counts,
        **drawn_sections(plain, settings.inputs[-1], settings.seeds[0]),
    }


def judge(numbers: Numbers) -> Verdict:
    """More regions through the lowest octave than through the highest one."""
    counts, count = numbers["counts"], numbers["octaves"]
    ratio = counts[..., LOW] / counts[..., HIGH]
    hits = np.all(ratio[:, :, -1] > 1, axis=1)
    middle, ratios = np.median(counts, axis=0), np.median(ratio, axis=0)
    listed = "; ".join(
        f"L = {name}: {one[-1, LOW]:,.0f} and {one[-1, HIGH]:,.0f}" for name, one in zip(count, middle, strict=True)
    )
    return Verdict(
        vote(hits),
        f"After {int(numbers['steps'][-1])} steps the slice through the lowest octave has more regions than that "
        f"through the highest ({listed}, medians of {len(hits)} repetitions), for every L in {hits.sum()} of them. "
        f"Their ratio goes from {', '.join(f'{one[0]:.2f}' for one in ratios)} to "
        f"{', '.join(f'{one[-1]:.2f}' for one in ratios)}.",
        tuple(
            (
                f"L = {name}, {KINDS[kind]}: regions at step {', '.join(str(step) for step in numbers['steps'])}",
                ", ".join(f"{value:,.0f}" for value in one[:, kind]),
            )
            for name, one in zip(count, middle, strict=True)
            for kind in (LOW, HIGH)
        ),
    )


def _slice(ax: "Axes", numbers: Numbers, kind: int, when: int, colors: list[str]) -> None:
    """The boundaries of regions in one slice; later layers lie below earlier ones."""
    from matplotlib.collections import LineCollection

    segments, layers = numbers[f"segments_{kind}_{when}"], numbers[f"layers_{kind}_{when}"]
    thin = float(np.clip(0.6 * (1500 / len(segments)) ** 0.5, 0.08, 0.6))
    for layer in range(len(colors) - 1, -1, -1):
        lines: Any = segments[layers == layer]
        ax.add_collection(LineCollection(lines, colors=colors[layer], linewidths=thin))
    angle = np.linspace(0, np.pi if kind == LOW else 2 * np.pi, 200)
    ax.plot(np.sin(angle), np.cos(angle), color="white", linewidth=2.2)
    ax.plot(np.sin(angle), np.cos(angle), color=INK, linewidth=1.0, linestyle=(0, (3, 1.5)))
    ax.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.spines[["top", "right"]].set_visible(True)


def figure(numbers: Numbers) -> "Figure":
    """Slices of one network before and after training, and the numbers of regions."""
    from matplotlib.lines import Line2D

    from ...report._style import drawing

    count, steps = numbers["octaves"], numbers["steps"]
    at, most = np.maximum(steps, FLOOR), int(count[-1])
    colors = degree_colors(range(1 + int(max(numbers[f"layers_{kind}_1"].max() for kind in (LOW, HIGH)))))
    with drawing(7.4, 4.5) as drawn:
        grid = drawn.add_gridspec(2, 3, width_ratios=(1, 1, 0.95))
        for kind in (LOW, HIGH):
            power = "\\pi x" if kind == LOW else f"2^{{{most - 1}}} \\pi y"
            for when, step in enumerate((0, int(steps[-1]))):
                ax = drawn.add_subplot(grid[kind, when])
                _slice(ax, numbers, kind, when, colors)
                found = int(numbers["counts"][0, -1, -1 if when else 0, kind])
                ax.set(title=f"step {step:,}: {found:,} regions", xlabel=f"$\\sin {power}$")
                if when == 0:
                    ax.set_ylabel(f"$\\cos {power}$")
        for index in (0, len(count) - 1):
            ax = drawn.add_subplot(grid[min(index, 1), 2])
            for kind, color in zip((LOW, HIGH), (ACCENT, SECOND), strict=True):
                band(ax, at, numbers["counts"][:, index, :, kind], color, KINDS[kind], marker="o", markersize=2.5)
            logarithmic_from_zero(ax, steps[-1], FLOOR)
            ax.set(title=f"L = {count[index]}", ylabel="regions", xlabel="step", xlim=(FLOOR, steps[-1] * 1.1))
            ax.set_ylim(0, None)
        legend(ax, loc="upper left")
        lines = [Line2D([], [], color=color, linewidth=1.2) for color in colors]
        drawn.legend(
            lines, [f"boundary by layer {layer + 1}" for layer in range(len(colors))], loc="outside upper left",
            ncols=len(colors), handlelength=1.4, fontsize=7.5,
            title=f"slices of one network that reads L = {most} octaves", title_fontsize=8, alignment="left",
        )  # fmt: skip
    return drawn  # pyright: ignore[reportReturnType]


_FAST = Slices()
_PAPER = msgspec.structs.replace(
    _FAST, size=512, width=512, batch=8192, steps=2500 * EPOCH, snapshots=(0, 100 * EPOCH, 2500 * EPOCH),
    source="auto",
)  # fmt: skip
_DESKTOP = msgspec.structs.replace(
    _FAST, size=64, width=96, batch=1024, steps=1200, snapshots=(0, 10, 30, 100, 300, 1200), source="auto"
)  # fmt: skip

STUDIES = (
    Study(
        "lazzari-cross-section",
        "Lazzari & Liu 2023, images, cross-sections of the encoded space",
        "In training a network gets more regions where an encoding varies slowly than where it varies fast: a slice "
        "through its lowest octave is cut into more of them than one through its highest.",
        "At the end of training the slice through the sine and cosine of π x has more regions than that through those "
        "of 2^(L−1) π y, for every L, in 9 of 10 repetitions or more.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the networks before training", lambda settings: msgspec.structs.replace(settings, untrained=True)
        ),
        note="The paper shows pictures of these slices, all other inputs 0, and no numbers; the sentence that is "
        "tested is ours. Regions are exact: cells of one activation pattern. On 64 x 64 pixels with 96 units they get "
        "fewer in the first tens of steps and then more; for L = 4 the lead of the lowest octave is 1.5 at step 300 "
        "and 1.2 at step 1200, for L = 16 it is 1.6 and 1.7. The dashed line is where encoded pixels lie, if their "
        "other inputs are left out. Five photographs, or those in `--data`.",
    ),
)
