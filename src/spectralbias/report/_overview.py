"""The run in one picture for a paper: bands along the training, and how well they were predicted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runs._files import write_atomic
from . import _palette
from ._evidence import WEAK, Evidence
from ._figure import STEPS
from ._fits import at_step, is_picture
from ._learning import frame
from ._pictures import brightness, largest_magnitude, signed
from ._style import ACCENT, GRID, INK, MUTED, drawing, logarithmic_from_zero, png
from ._text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_overview(evidence: Evidence, path: Path) -> None:
    """Write the picture, 7 by 3 inches at 200 dots per inch."""
    with drawing(7, 3) as figure:
        if is_picture(evidence.run.problem):
            rows, columns = evidence.run.problem.grid.shape  # pyright: ignore
            wide = min(1.2 * columns / rows, 1.6)
            grid = figure.add_gridspec(2, 3, width_ratios=(5.5 / wide - 2, 1, 1))
            _bands(figure.add_subplot(grid[:, 0]), evidence)
            _pictures([figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (1, 2)], evidence)
        else:
            grid = figure.add_gridspec(1, 2, width_ratios=(1.3, 1))
            _bands(figure.add_subplot(grid[0]), evidence)
            axes = figure.add_subplot(grid[1])
            (_times if evidence.prediction is not None else _loss)(axes, evidence)
        write_atomic(path, png(figure))  # pyright: ignore[reportArgumentType]


def _log_steps(axes: "Axes", evidence: Evidence) -> np.ndarray:
    """The recorded steps on a logarithmic axis that begins at 0."""
    last = max(int(evidence.steps[-1]), 2)
    floor = STEPS.floor or 0.4
    logarithmic_from_zero(axes, last, floor)
    axes.set_xlim(floor * 0.85, last)
    axes.set_xlabel("step")
    return np.maximum(evidence.steps, floor)


def _bands(axes: "Axes", evidence: Evidence) -> None:
    """Residual of each band, measured and predicted, named at the end of its curve."""
    steps, measured = _log_steps(axes, evidence), evidence.amplitudes
    colors, _ = _palette.bands(measured.shape[1], evidence.band_kind)
    largest = frame(evidence)
    if largest > 20:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.04 * largest)
    axes.axhline(np.exp(-1), color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    axes.text(steps[0], np.exp(-1), " 1/e", color=MUTED, va="bottom", fontsize=7)
    weak = evidence.band_shares < WEAK
    for index, color in enumerate(colors):
        strength: dict[str, Any] = {"color": color, "alpha": 0.35 if weak[index] else 1.0}
        if evidence.predicted_amplitudes is None:
            axes.plot(steps, measured[:, index], linewidth=1.5, **strength)
        else:
            axes.plot(
                steps,
                measured[:, index],
                linewidth=4 if len(colors) <= 6 else 2.5,
                **{**strength, "alpha": 0.4 * strength["alpha"]},
            )
            axes.plot(steps, evidence.predicted_amplitudes[:, index], linewidth=1.1, dashes=(3.5, 2), **strength)
    axes.set_ylabel("residual, relative to start")
    _name_curves(axes, evidence, colors)
    if evidence.prediction is not None:
        axes.plot([], [], color=INK, linewidth=4, alpha=0.4, label="measured")
        axes.plot([], [], color=INK, linewidth=1.1, dashes=(3.5, 2), label="predicted")
        axes.legend(frameon=False, fontsize=7, loc="best", handlelength=2.2, borderaxespad=0.2)


def _name_curves(axes: "Axes", evidence: Evidence, colors: list[str]) -> None:
    """Names at the right edge, pushed apart where the curves meet."""
    ends = evidence.amplitudes[-1]
    low, high = axes.get_ylim()
    with np.errstate(divide="ignore", invalid="ignore"):
        if axes.get_yscale() == "log":
            ends, low, high = np.log(ends), np.log(low), np.log(high)
        at = np.clip(np.nan_to_num((ends - low) / (high - low), nan=1.0, posinf=1.0, neginf=0.0), 0, 1)
    gap = min(0.068, 1 / len(at))
    order = np.lexsort((np.arange(len(at)), np.round(at, 3)))
    places = at[order].copy()
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    places -= max(0.0, places[-1] - 1)
    for index in range(len(places) - 2, -1, -1):
        places[index] = min(places[index], places[index + 1] - gap)
    for place, index in zip(places, order, strict=True):
        name, faint = evidence.band_names[index], 0.5 if evidence.band_shares[index] < WEAK else 1.0
        text = f"class {name}" if evidence.band_kind == "class" else name
        axes.text(
            1.02, place, text, color=colors[index], transform=axes.transAxes, va="center", fontsize=7.5, alpha=faint
        )


def _times(axes: "Axes", evidence: Evidence) -> None:
    """Predicted against measured learning step, one point per mode."""
    by_mode, shares = evidence.by_mode, evidence.mode_shares
    found = np.isfinite(by_mode.measured_steps) & np.isfinite(by_mode.predicted_steps)
    x, y = np.maximum(by_mode.predicted_steps, 1), np.maximum(by_mode.measured_steps, 1)
    last = max(10.0, *(1.4 * steps[found].max(initial=1) for steps in (x, y)))
    ends = np.array([0.8, last])
    axes.fill_between(ends, ends / 1.1, ends * 1.1, color=GRID, linewidth=0, label="± 10 %")
    axes.plot(ends, ends, color=MUTED, linewidth=0.7)
    weak, strong = found & (shares < WEAK), found & (shares >= WEAK)
    edge = {"facecolors": "none", "edgecolors": MUTED, "linewidths": 0.6, "alpha": 0.6}
    axes.scatter(x[weak], y[weak], s=7, label="< 0.1 % of the target", **edge)
    sizes = 10 + 110 * shares[strong] / max(shares.max(initial=0), 1e-12)
    axes.scatter(
        x[strong],
        y[strong],
        s=sizes,
        color=ACCENT,
        edgecolors="white",
        linewidths=0.4,
        label="kernel modes, area: share",
    )
    axes.set(
        xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted step to 1/e", ylabel="measured step to 1/e"
    )
    ticks = [10**k for k in range(0, int(np.log10(last)) + 1)]
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    legend = axes.legend(frameon=False, fontsize=7, loc="lower right", handletextpad=0.3, borderaxespad=0.2)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([14])  # pyright: ignore


def _loss(axes: "Axes", evidence: Evidence) -> None:
    """Training and held-out loss, where there is no prediction."""
    steps = _log_steps(axes, evidence)
    axes.set_yscale("log")
    axes.plot(steps, evidence.loss, color=INK, linewidth=1.4, label="training")
    if evidence.test_loss is not None:
        axes.plot(steps, evidence.test_loss, color=ACCENT, linewidth=1.4, label="held out")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=7)


def _pictures(panels: list["Axes"], evidence: Evidence) -> None:
    """Target, an early fit, the last fit, and what is left."""
    problem = evidence.run.problem
    assert problem.grid is not None
    shape = problem.grid.shape[0], problem.grid.shape[1]
    early, last = evidence.shown[len(evidence.shown) // 2], len(evidence.steps) - 1
    residual = evidence.residual(last)
    largest = largest_magnitude(residual)
    shown = (
        ("target", brightness(problem.y, shape)),
        (f"fit at {at_step(evidence, early)}", brightness(evidence.output(early), shape)),
        (f"fit at {at_step(evidence, last)}", brightness(evidence.output(last), shape)),
        (f"residual, ± {number(largest, 2)}", signed(residual, shape, largest)),
    )
    for axes, (text, pixels), anchor in zip(panels, shown, "NNSS", strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_anchor(anchor)
        axes.set_title(text, pad=3)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(True)
