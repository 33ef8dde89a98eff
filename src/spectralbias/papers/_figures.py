"""Parts that the figures of studies share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report import _palette
from ..report._style import ACCENT, GRID, INK, MUTED, SECOND, drawing, logarithmic_from_zero
from ._statistics import quantiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THEORY: Any = {"dashes": (3.5, 2), "linewidth": 1.1}
__all__ = [
    "ACCENT", "GRID", "INK", "MUTED", "SECOND", "THEORY", "band", "degree_colors", "legend", "logarithmic_from_zero",
    "panels", "plain_log", "ticks_at", "unordered",
]  # fmt: skip


@contextmanager
def panels(
    count: int, *, width: float = 7.0, height: float = 2.7, ratios: Sequence[float] | None = None
) -> "Iterator[tuple[Figure, list[Axes]]]":
    """A figure of panels side by side, in the style of the package."""
    with drawing(width, height) as figure:
        grid = figure.add_gridspec(1, count, width_ratios=ratios)
        axes = [figure.add_subplot(grid[0, index]) for index in range(count)]
        yield figure, axes  # pyright: ignore[reportReturnType]


def degree_colors(degrees: Sequence[int] | np.ndarray) -> list[str]:
    """Cold for low degrees, hot for high ones."""
    return _palette.bands(len(degrees), "degree")[0]


def unordered(count: int) -> list[str]:
    """Colors of things without an order."""
    return _palette.unordered(count)[0]


def band(axes: "Axes", x: np.ndarray, values: np.ndarray, color: str, label: str | None = None, **line: Any) -> None:
    """The median over repetitions (first axis), and the band between 10 % and 90 %."""
    low, middle, high = quantiles(values)
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(x, middle, color=color, label=label, **{"linewidth": 1.5, **line})


def legend(axes: "Axes", **kwargs: Any) -> None:
    """A legend without a frame, with lines long enough to tell dashes."""
    axes.legend(**{"handlelength": 2.2, "borderaxespad": 0.2, "labelspacing": 0.3, **kwargs})


def plain_log(*axes: Any) -> None:
    """Ticks at 1, 2 and 5 times powers of ten, for logarithmic axes that span little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def ticks_at(axes: "Axes", values: np.ndarray) -> None:
    """A logarithmic horizontal axis with ticks at the values that were measured."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{int(value):,}" for value in values])
    axes.minorticks_off()
