"""What the page and the picture of an advice both show: which encodings, at which steps, and their spectra."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..spectra import radial_spectrum
from ._palette import ramp

if TYPE_CHECKING:
    from ..forecast import Advice, Choice

# Numbers name scales and octaves: within a kind, higher frequencies are darker on light paper, lighter on dark.
_KINDS = {
    "raw": (("#9a9a9a", "#6a6a6a"), ("#7d7d7d", "#b0b0b0")),
    "positional": (("#7fb9de", "#005b92"), ("#3d7fae", "#a8d6f7")),
    "gaussian": (("#f0a574", "#a84300"), ("#b5683a", "#ffc49c")),
    "other": (("#7cc5af", "#00694c"), ("#2f8f73", "#a8efd6")),
}
_INK = ("#111111", "#ffffff")
# How far from its start to its end the budget is looked at before.
_EARLIER = (0.01, 0.1, 1.0)
_IN_TABLE = (0.03, 0.1, 0.3)
# Above this many pixels a side a picture is reduced in the page; details are shown as they are.
WIDEST = 256
DETAIL = 64


@dataclass(frozen=True)
class View:
    """One encoding over the training: what the network would draw, and its spectrum.

    Attributes:
        choice: the encoding.
        steps: the steps shown.
        pictures: (T, *grid, c).
        spectra: root mean square of the Fourier coefficients in each ring at these steps, (T, rings).
    """

    choice: "Choice"
    steps: np.ndarray
    pictures: np.ndarray
    spectra: np.ndarray


def views(advice: "Advice") -> list[View]:
    """Of the pick, and of what it is compared with."""
    chosen = [advice.pick, *([other] if (other := compared(advice)) is not None else [])]
    return [_view(advice, choice) for choice in chosen]


def _view(advice: "Advice", choice: "Choice") -> View:
    steps = shown_steps(advice.budget)
    pictures = np.asarray(choice.predictions([int(step) for step in steps]))
    return View(choice, steps, pictures, np.array([spectrum(advice, picture) for picture in pictures]))


def shades(advice: "Advice", values: np.ndarray) -> np.ndarray:
    """Values (rows, columns, c) as pixels in [0, 1], of one or three channels: the first of any other number."""
    values = values if values.shape[2] in (1, 3) else values[..., :1]
    return (values - advice.pick.offset) / advice.pick.scale


def spectrum(advice: "Advice", values: np.ndarray) -> np.ndarray:
    """Root mean square of the Fourier coefficients in each ring, up to half as many cycles as the grid has nodes."""
    shape = advice.shape
    return radial_spectrum(values.reshape(int(np.prod(shape)), -1), shape).rms[: min(shape) // 2 + 1]


def compared(advice: "Advice") -> "Choice | None":
    """The best raw coordinates; the runner-up where these are the pick or were not asked for."""
    others = advice.table[1:]
    raw = [choice for choice in others if kind(choice.label) == "raw"]
    if kind(advice.pick.label) == "raw" or not raw:
        return others[0] if others else None
    return raw[0]


def shown_steps(budget: int) -> np.ndarray:
    """Up to three steps, the last of them the budget."""
    return np.unique([max(1, _round(part * budget)) if part < 1 else budget for part in _EARLIER])


def table_columns(advice: "Advice") -> list[int]:
    """Indices of the recorded steps of the table, the last of them the budget."""
    wanted = np.array([max(1, part * advice.budget) for part in _IN_TABLE])
    near = np.argmin(np.abs(np.log(np.maximum(advice.steps, 0.5))[:, None] - np.log(wanted)), axis=0)
    return [int(index) for index in np.unique([*near, len(advice.steps) - 1])]


def _round(value: float) -> int:
    """Two digits that count."""
    return int(float(f"{value:.2g}"))


def kind(label: str) -> str:
    """The family of an encoding."""
    first = label.split()[0]
    return first if first in _KINDS else "other"


def colors(labels: list[str], *, pick: int) -> tuple[list[str], list[str]]:
    """A color for each encoding on light and on dark paper: a hue for each kind, ink for the pick."""
    kinds = [kind(label) for label in labels]
    numbers = [_number(label) for label in labels]
    found: tuple[list[str], list[str]] = ([], [])
    for label_kind, number in zip(kinds, numbers, strict=True):
        ordered = sorted({n for k, n in zip(kinds, numbers, strict=True) if k == label_kind})
        at = ordered.index(number) / max(1, len(ordered) - 1) if len(ordered) > 1 else 1.0
        for theme, anchors in zip(found, _KINDS[label_kind], strict=True):
            theme.append("#" + "".join(f"{round(float(part)):02x}" for part in ramp(anchors, np.array(at))))
    for theme, ink in zip(found, _INK, strict=True):
        theme[pick] = ink
    return found


def _number(label: str) -> float:
    """What orders the encodings of a kind; raw coordinates by the length of their interval."""
    tail = label.split(maxsplit=1)[-1]
    try:
        return float(tail)
    except ValueError:
        return float(len(tail))


def named_ends(advice: "Advice", gap: float, bottom: float) -> list[int]:
    """Which curves are named at their ends: the pick and raw coordinates first, then the best that have room.

    Args:
        advice: with the curves.
        gap: in decibels, what two names must lie apart.
        bottom: names below are left out.
    """
    order = sorted(range(len(advice.table)), key=lambda i: (i > 0, kind(advice.table[i].label) != "raw", i))
    placed: list[int] = []
    for index in order:
        end = advice.table[index].psnr
        free = all(abs(end - advice.table[other].psnr) >= gap for other in placed)
        if np.isfinite(end) and end >= bottom and free:
            placed.append(index)
    return placed


def frame(advice: "Advice") -> tuple[float, float]:
    """Lowest and highest PSNR of the figure: from the worst start to the best end, without what falls far below."""
    curves = np.array([choice.held_out for choice in advice.table], float)
    curves = curves[np.isfinite(curves)]
    if not len(curves):
        return 0.0, 1.0
    high = float(curves.max())
    start = np.array([choice.held_out[0] for choice in advice.table], float)
    start = float(np.min(start[np.isfinite(start)], initial=high))
    low = max(float(curves.min()), start - 0.5 * (high - start) - 1)
    pad = max(0.04 * (high - low), 0.2)
    return low - pad, high + pad


def detail(advice: "Advice") -> tuple[slice, slice]:
    """The square of the picture with most structure: the largest sum of squared differences between neighbors."""
    size = min(DETAIL, *advice.shape)
    energy = np.zeros(advice.shape)
    for axis in (0, 1):
        step = np.sum(np.diff(advice.values, axis=axis) ** 2, axis=-1)
        energy[: step.shape[0], : step.shape[1]] += step
    sums = np.pad(np.cumsum(np.cumsum(energy, axis=0), axis=1), ((1, 0), (1, 0)))
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    row, column = np.unravel_index(int(np.argmax(inside)), inside.shape)
    return slice(int(row), int(row) + size), slice(int(column), int(column) + size)


def trained_pixels(advice: "Advice", values: np.ndarray) -> np.ndarray:
    """Values with what is held out as NaN."""
    return np.where(advice.trains.reshape(*advice.shape, 1), values, np.nan)


def finest_trained(advice: "Advice") -> float:
    """The highest frequency that the samples that train can tell from lower ones, in cycles per grid length."""
    axes = range(len(advice.shape))
    trains = np.asarray(advice.trains).reshape(advice.shape)
    counts = [int(np.any(trains, axis=tuple(a for a in axes if a != axis)).sum()) for axis in axes]
    return max(1.0, min(counts) / 2)
