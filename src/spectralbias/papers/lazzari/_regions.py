"""Regions of photographs: distinct patterns of the pixels, and beside them the exact number of linear regions."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from .._figures import INK, MUTED, panels, plain_log
from .._statistics import all_of, vote
from .._study import Control, Numbers, Settings, Study, Verdict
from . import _images
from ._drawing import along_training, input_colors, with_inputs
from ._setting import Picture, codes, double_precision, every, interval, names, octaves, on_positions, patterns, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What enters the first units is off by this share where an encoding is interpolated. Counts then vary by 0.5 %.
TOLERANCE = 0.01


@functools.lru_cache(maxsize=256)
def _exact(settings: Picture, name: str, seed: int, side: float) -> float:
    """Linear regions of the trained network in the image.

    All of them for coordinates; with octaves those in the middle square of this side, over its area.
    """
    model = on_positions(trained(settings, name, seed).models[-1], name, 2)
    with double_precision():
        if octaves(name) is None:
            lower, upper = interval(name)
            return float(regions.plane_regions(model, lower, upper).count)
        return regions.plane_regions(model, (1 - side) / 2, (1 + side) / 2, tolerance=TOLERANCE).count / side**2


class Counted(Picture, frozen=True, kw_only=True):
    """Trainings whose regions are counted.

    Attributes:
        side: of the square in the middle of the image, which is 1, in which regions behind an encoding are counted.
    """

    side: float = 0.125


def measure(settings: Counted) -> dict[str, np.ndarray]:
    """Distinct patterns of the pixels, (seeds, inputs, T), and regions at the end, (seeds, inputs)."""
    plain = msgspec.structs.replace(settings, seeds=(), exchanged=False)
    found = every(settings, patterns)
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "pixels": np.array(settings.size**2),
        "distinct": np.array([[one.distinct for one in row] for row in found]),
        "exact": np.array(every(settings, lambda _, name, seed: _exact(plain, name, seed, settings.side))),
    }


def judge(numbers: Numbers) -> Verdict:
    """More from input to input, by both counts."""
    distinct, exact, pixels = numbers["distinct"][:, :, -1], numbers["exact"], int(numbers["pixels"])
    sampled = np.all(np.diff(distinct, axis=1) >= 0, axis=1) & (distinct[:, 0] < distinct[:, -1])
    ordered = np.all(np.diff(exact, axis=1) > 0, axis=1)
    every_one = distinct[:, -1] >= 0.99 * pixels
    inputs = names(numbers["inputs"])
    middle, there = np.median(distinct, axis=0), np.median(exact, axis=0)
    listed = ", ".join(f"{a:.0f} and {b:,.0f} ({name})" for a, b, name in zip(middle, there, inputs, strict=True))
    return Verdict(
        all_of(vote(sampled), vote(ordered), vote(every_one)),
        f"At the end {pixels:,} pixels have so many distinct patterns, and the image so many linear regions: {listed} "
        f"(medians). Both grow in this order in {np.sum(sampled & ordered)} of {len(exact)} repetitions, and with "
        f"{inputs[-1]} all but 1 % of the pixels have a pattern of their own in {every_one.sum()}. The count on pixels "
        f"misses {100 * (1 - middle[0] / there[0]):.0f} % of the regions with {inputs[0]}, and "
        f"{100 * (1 - middle[-1] / there[-1]):.1f} % with {inputs[-1]}.",
        tuple(
            (f"{name}: distinct patterns, start → lowest → end; linear regions",
             f"{a[0]:.0f} → {a.min():.0f} → {a[-1]:.0f}; {b:,.0f}")
            for name, a, b in zip(inputs, np.median(numbers["distinct"], axis=0), there, strict=True)
        ),
    )  # fmt: skip


def figure(numbers: Numbers) -> "Figure":
    """Distinct patterns along training, and both counts at the end."""
    inputs, pixels = names(numbers["inputs"]), int(numbers["pixels"])
    with panels(2, height=2.9) as (drawn, (left, right)):
        along_training(left, numbers["steps"], numbers["distinct"], numbers["inputs"])
        left.axhline(pixels, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        left.set(ylabel=f"distinct patterns of {pixels:,} pixels", ylim=(0, 1.08 * pixels))
        for index, color in enumerate(input_colors(len(inputs))):
            for values, marker, fill in (
                (numbers["exact"][:, index], "o", color), (numbers["distinct"][:, index, -1], "s", "white"),
            ):  # fmt: skip
                right.plot(np.full(len(values), index), values, marker, color=color, markerfacecolor=fill, markersize=4,
                           alpha=0.7)  # fmt: skip
        right.axhline(pixels, color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)))
        right.plot([], [], "o", color=INK, markersize=4, label="linear regions, exact")
        right.plot([], [], "s", color=INK, markerfacecolor="white", markersize=4, label="distinct patterns of pixels")
        right.set(yscale="log", xlim=(-0.5, len(inputs) - 0.5), ylabel="at the end")
        right.set_xticks(range(len(inputs)), inputs)
        plain_log(right.yaxis)
        right.legend(loc="upper left", handlelength=1.2)
        with_inputs(drawn, left)
    return drawn


def _settings(other: Settings) -> Counted:
    return Counted(**{field: getattr(other, field) for field in Picture.__struct_fields__})


_IMAGE = _images.STUDIES[0]

STUDIES = (
    Study(
        "lazzari-image-regions",
        _images.SOURCE + "activation regions",
        "Coordinate networks divide an image into few regions, fewer for the smaller interval, and many pixels share "
        "one; encodings make more of them, up to one pattern for each pixel.",
        "At the end, in 9 of 10 repetitions or more: both the number of distinct patterns of the pixels and that of "
        "linear regions grow in the order [0, 1], [−1, 1], few, many octaves (the first may stay equal where it is "
        "that of pixels); and with the most octaves 99 % or more of the pixels have a pattern of their own.",
        fast=_settings(_IMAGE.fast),
        paper=msgspec.structs.replace(
            _settings(_IMAGE.paper), inputs=("[0, 1]", "[-1, 1]", "1 octave", "2 octaves", "8 octaves"), side=1 / 64
        ),
        desktop=_settings(_IMAGE.desktop or _IMAGE.fast),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the networks of encodings under the names of coordinates, and the other way round",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note=_images.NOTE
        + "The number of distinct patterns ends at the number of pixels, 512² in the paper (22k → 197k, "
        "87k → 219k, 108k → 236k for 1 octave, all 262,144 for 8). Linear regions are counted exactly: in the whole "
        "image for coordinates; with octaves in a square in the middle, over its area, on the encoding's interpolant.",
    ),
)
