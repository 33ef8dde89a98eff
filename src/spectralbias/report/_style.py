"""How every picture of matplotlib looks, and the few parts that they share."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ._palette import DIVERGING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

INK, MUTED, GRID, ACCENT, SECOND = "#1f1f1f", "#8a8a8a", "#e6e6e6", "#0072b2", "#d55e00"
EDGE = "#555555"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "legend.fontsize": 7,
    "legend.frameon": False,
    "mathtext.fontset": "dejavusans",
    "xtick.color": EDGE,
    "ytick.color": EDGE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
}


@contextmanager
def drawing(width: float, height: float, figure: "Figure | SubFigure | None" = None) -> "Iterator[Figure | SubFigure]":
    """A new figure of that size in inches, or a given one, with the package's style for as long as it is filled."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        if figure is None:
            figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
            figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.04)  # pyright: ignore
        yield figure
        # Ticks are made when the figure is drawn, which is later and elsewhere.
        for axes in figure.axes:
            for which, width in (("major", 0.7), ("minor", 0.6)):
                axes.tick_params(which=which, color=EDGE, labelcolor=INK, width=width)  # pyright: ignore


def png(figure: "Figure") -> bytes:
    """The figure as a PNG file, at its own resolution."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def diverging() -> "Colormap":
    """Blue, white, red: negative, zero, positive."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("diverging", list(DIVERGING))


def logarithmic_from_zero(axes: "Axes", last: float, floor: float) -> None:
    """A logarithmic x axis over 0, 1, 2, … `last`, on which 0 stands at `floor`."""
    axes.set_xscale("log")
    ticks = [10**k for k in range(int(np.log10(last)) + 1)] if last >= 10 else list(range(1, int(last) + 1))
    axes.set_xticks([floor, *ticks], ["0", *(f"{tick:,}" for tick in ticks)])
    if last < 10:
        axes.minorticks_off()


def whole_ticks(axes: "Axes") -> None:
    """1, 10, 100, … in place of powers of ten on a logarithmic x axis of ranks."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
