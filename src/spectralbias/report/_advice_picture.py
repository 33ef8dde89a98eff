"""An advice in one picture for a paper: PSNR over the steps, predictions, spectra."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ._advice_views import View, colors, finest_trained, frame, named_ends, shades, spectrum, views
from ._figure import STEPS
from ._palette import times
from ._pictures import brightness
from ._style import INK, MUTED, drawing, logarithmic_from_zero

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from ..forecast import Advice

_FLOOR = STEPS.floor or 0.4


def advice_figure(
    advice: "Advice", *, shown: list[View] | None = None, figure: "Figure | SubFigure | None" = None
) -> "Figure | SubFigure":
    """Draw an advice: the predicted PSNR of every encoding, and what the network draws with the pick and without it.

    Above: PSNR on what is held out along the training, the pick thick. Below: a row for the pick and a row for raw
    coordinates, with the predictions at a few steps and the Fourier amplitudes of target and predictions. Right of the
    dotted line the samples that train cannot tell a frequency from a lower one.

    Args:
        advice: from `forecast.recommend_encoding`.
        shown: what the rows show, where it was computed before.
        figure: a figure or a subfigure of matplotlib to draw into; a new one of 7 inches' width by default.

    Returns:
        The figure; `figure.savefig("advice.pdf")` writes it.

    Example:
        >>> from spectralbias import forecast, report
        >>> advice = forecast.recommend_encoding("photo.png", steps=2000)  # doctest: +SKIP
        >>> report.advice_figure(advice).savefig("advice.pdf")  # doctest: +SKIP
    """
    shown = views(advice) if shown is None else shown
    rows = len(shown)
    with drawing(7, 2.5 + 1.45 * rows, figure) as drawn:
        grid = drawn.add_gridspec(1 + rows, 1, height_ratios=(2.5, *[1.45] * rows))
        _curves(drawn.add_subplot(grid[0]), advice)
        if len(advice.shape) == 2:
            _pictures(drawn, grid[1:].subgridspec(rows, **_columns(advice, shown)), advice, shown)
        elif len(advice.shape) == 1:
            below = grid[1:].subgridspec(rows, 2, width_ratios=(1.6, 1))
            for row, view in enumerate(shown):
                _signal(drawn.add_subplot(below[row, 0]), advice, view, last=row == rows - 1)
                _spectrum(drawn.add_subplot(below[row, 1]), advice, view, first=row == 0, last=row == rows - 1)
        else:
            for row, view in enumerate(shown):
                _spectrum(drawn.add_subplot(grid[1 + row]), advice, view, first=row == 0, last=row == rows - 1)
    return drawn


def _curves(axes: "Axes", advice: "Advice") -> None:
    """PSNR over the steps, curves named at their ends."""
    low, high = frame(advice)
    last = max(int(advice.steps[-1]), 2)
    first = _FLOOR if advice.steps[0] == 0 else 0.99
    logarithmic_from_zero(axes, last, _FLOOR)
    axes.set_xlim(first, last)
    axes.set_ylim(low, high)
    tints = colors([choice.label for choice in advice.table], pick=0)[0]
    steps = np.maximum(advice.steps, _FLOOR)
    for index in reversed(range(len(advice.table))):
        held_out, pick = advice.table[index].held_out, index == 0
        axes.plot(steps, held_out, color=tints[index], linewidth=2.4 if pick else 0.8, zorder=3 if pick else 2)
    for index in named_ends(advice, gap=(high - low) / 17, bottom=low):
        choice, pick = advice.table[index], index == 0
        weight: Any = "bold" if pick else "normal"
        text = f"{choice.label}, {choice.psnr:.1f} dB" if pick else choice.label
        axes.annotate(
            text,
            (1, choice.psnr),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=tints[index],
            fontweight=weight,
        )
    axes.set_xlabel("step")
    axes.set_ylabel("held-out PSNR (dB)")


def _columns(advice: "Advice", shown: list[View]) -> dict[str, Any]:
    """Columns of the same width for pictures, and the rest for spectra."""
    count = len(shown[0].steps) + 1
    rows, columns = advice.shape
    # As wide as a picture of the row's height, within what the page has.
    wide = float(np.clip(1.15 * columns / rows, 0.5, 4.6 / count))
    return {"ncols": count + 1, "width_ratios": (*[wide] * count, 6.4 - count * wide)}


def _pictures(drawn: Any, grid: Any, advice: "Advice", shown: list[View]) -> None:
    """The target and what trains on the left; a row of predictions and their spectra for each encoding."""
    _show(drawn.add_subplot(grid[0, 0]), shades(advice, advice.values), "target")
    if len(shown) > 1:
        _show(drawn.add_subplot(grid[1, 0]), shades(advice, _lattice(advice)), "what trains")
    for row, view in enumerate(shown):
        for column, (step, values) in enumerate(zip(view.steps, view.pictures, strict=True), 1):
            axes = drawn.add_subplot(grid[row, column])
            _show(axes, shades(advice, values), f"step {int(step):,}")
            if column == 1:
                axes.set_ylabel(view.choice.label, fontsize=8, fontweight="bold")
        axes = drawn.add_subplot(grid[row, -1])
        _spectrum(axes, advice, view, first=row == 0, last=row == len(shown) - 1)


def _lattice(advice: "Advice") -> np.ndarray:
    """The pixels that train, as a picture of their own."""
    trains = np.asarray(advice.trains).reshape(advice.shape)
    return advice.values[np.ix_(trains.any(axis=1), trains.any(axis=0))]


def _show(axes: "Axes", values: np.ndarray, title: str) -> None:
    shape = values.shape[:2]
    pixels = brightness(values.reshape(-1, 3) if values.shape[2] == 3 else values.ravel(), shape)
    smooth: Any = "antialiased" if max(shape) > 256 else "nearest"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation=smooth)
    axes.set_title(title, pad=3, fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)


def _signal(axes: "Axes", advice: "Advice", view: View, *, last: bool) -> None:
    samples, target = np.arange(advice.shape[0]), advice.values[:, 0]
    for color, values in zip(times(max(len(view.steps), 2))[0], view.pictures, strict=False):
        axes.plot(samples, values[:, 0], color=color, linewidth=1.3)
    axes.plot(samples, target, color=INK, linewidth=0.7)
    pad = 0.15 * float(np.ptp(target))
    axes.set_ylim(float(target.min()) - pad, float(target.max()) + pad)
    axes.set_xlim(0, max(advice.shape[0] - 1, 1))
    axes.set_title(view.choice.label, pad=3, fontweight="bold")
    axes.set_ylabel("value")
    if last:
        axes.set_xlabel("sample")


def _spectrum(axes: "Axes", advice: "Advice", view: View, *, first: bool, last: bool) -> None:
    """Fourier amplitudes of the predictions in the colors of their steps, of the target in ink."""
    target = spectrum(advice, advice.values)
    frequency = np.maximum(np.arange(len(target)), _FLOOR)
    logarithmic_from_zero(axes, max(len(target) - 1, 2), _FLOOR)
    axes.set_yscale("log")
    shades = times(max(len(view.steps), 2))[0]
    for color, step, rms in zip(shades, view.steps, view.spectra, strict=False):
        axes.plot(frequency, np.where(rms > 0, rms, np.nan), color=color, linewidth=1.3, label=f"step {int(step):,}")
    axes.plot(frequency, np.where(target > 0, target, np.nan), color=INK, linewidth=0.8, label="target")
    positive = target[np.isfinite(target) & (target > 0)]
    if len(positive):
        axes.set_ylim(positive.min() / 10, 2 * positive.max())
    axes.set_xlim(_FLOOR * 0.9, max(len(target) - 1, 2))
    axes.axvline(finest_trained(advice), color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    axes.set_ylabel("Fourier amplitude", fontsize=7)
    if first:
        axes.legend(loc="lower left", fontsize=6, handlelength=1.4, borderaxespad=0.1, labelspacing=0.25)
    if last:
        per = "image" if len(advice.shape) == 2 else "window"
        axes.set_xlabel(f"cycles per {per}")
