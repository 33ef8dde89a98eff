"""Which eigenfunctions are drawn, how, where, and in what size."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike

from .._core.checks import finite_array
from .._core.errors import InputError, unknown
from ..problems import Grid, Problem
from ..spectra import Modes
from ._style import drawing
from ._text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = ("auto", "circle", "map", "globe", "curve", "image", "scatter")
_COLUMNS = 4
# With more outputs than this a mode is shown in the strongest of them.
_MOST_OUTPUTS = 4
FIRST = (1, 2, 3, 4, 5, 6, 7, 8)
# Inches.
_PANELS = {
    "circle": (1.75, 1.35),
    "curve": (1.75, 1.35),
    "map": (1.75, 1.15),
    "globe": (1.75, 1.85),
    "scatter": (1.75, 1.7),
}


def natural_size(
    modes: Modes, data: Problem | ArrayLike, *, cross: Callable[[np.ndarray], ArrayLike] | None = None
) -> tuple[float, float]:
    """Width and height in inches of the figure that `mode_figure` makes of its first modes."""
    return make_sheet(modes, data, cross=cross).size


def make_sheet(
    modes: Modes,
    data: Problem | ArrayLike,
    *,
    cross: Callable[[np.ndarray], ArrayLike] | None = None,
    which: Sequence[int] = FIRST,
    view: str = "auto",
    titles: Sequence[str] | None = None,
) -> "Sheet":
    """What to draw, from the checked arguments of `mode_figure`."""
    x, grid = (data.x, data.grid) if isinstance(data, Problem) else (finite_array("data", data), None)
    x = x.reshape(len(x), -1)
    if len(x) != modes.num_samples:
        raise InputError(f"`data` has {len(x)} inputs, the modes are those of {modes.num_samples}")
    if view not in VIEWS:
        raise unknown("view", view, VIEWS)
    if titles is not None and len(titles) != len(which):
        raise InputError(f"`titles` must name {len(which)} modes, got {len(titles)}")
    last = modes.num_modes
    if cross is not None:
        last = int(np.sum(modes.eigenvalues > modes.resolution * np.max(np.abs(modes.eigenvalues))))
    named = {rank - 1: None if titles is None else titles[i] for i, rank in enumerate(which) if 1 <= rank <= last}
    if not named:
        raise InputError(f"`which` names no mode between 1 and {last}, got {tuple(which)}")
    said = [title or f"mode {i + 1}, λ = {number(modes.eigenvalues[i], 2)}" for i, title in named.items()]
    fitting = _best_view(x, grid) if view == "auto" else _checked_view(view, x, grid)
    return Sheet(modes, x, grid, cross, list(named), said, fitting)


def common_norm(x: np.ndarray) -> float | None:
    """The common norm of the inputs, None where they have several."""
    norms = np.linalg.norm(x, axis=1)
    return float(norms.mean()) if np.ptp(norms) <= 1e-5 * norms.max() else None


def _best_view(x: np.ndarray, grid: Grid | None) -> str:
    """The view that shows most of these data."""
    if grid is not None and len(grid.shape) == 2:
        return "image"
    if x.shape[1] == 1:
        return "curve"
    if x.shape[1] in (2, 3) and common_norm(x):
        return "circle" if x.shape[1] == 2 else "map"
    return "scatter"


def _checked_view(view: str, x: np.ndarray, grid: Grid | None) -> str:
    """The view that was asked for, or an `InputError`."""
    dims = {"circle": 2, "map": 3, "globe": 3, "curve": 1}
    if view in dims and x.shape[1] != dims[view]:
        raise InputError(f"view `{view}` shows inputs with {dims[view]} coordinates, these have {x.shape[1]}")
    if view in ("circle", "map", "globe") and not common_norm(x):
        raise InputError(f"view `{view}` shows inputs of one norm, these have several: take `scatter`")
    if view == "image" and (grid is None or len(grid.shape) != 2):
        raise InputError("view `image` shows a problem on a grid of pixels: give the problem, not its inputs")
    return view


class Sheet:
    """What the views have in common: the modes' values on the data and at new points, and the panels' layout."""

    def __init__(
        self,
        modes: Modes,
        x: np.ndarray,
        grid: Grid | None,
        cross: Callable[[np.ndarray], ArrayLike] | None,
        chosen: list[int],
        titles: list[str],
        view: str,
    ):
        self.modes, self.x, self.grid, self.cross = modes, x, grid, cross
        self.chosen, self.titles, self.view = chosen, titles, view
        self.strongest: np.ndarray | None = None
        columns = modes.eigenvectors[:, chosen].T * math.sqrt(modes.num_samples)
        # (modes, n, c)
        self.values = columns.reshape(len(chosen), modes.num_samples, -1)
        count = self.values.shape[2]
        if count > _MOST_OUTPUTS:
            strongest = np.argmax(np.sum(self.values**2, axis=1), axis=1)
            self.titles = [f"{t}, output {i + 1}" for t, i in zip(titles, strongest, strict=True)]
            self.strongest = strongest[:, None, None]
            self.values = np.take_along_axis(self.values, strongest[:, None, None], axis=2)
        # Red, green and blue make one picture.
        self.num_panels = 1 if view == "image" and count == 3 else self.values.shape[2]

    @property
    def panel_size(self) -> tuple[float, float]:
        """Width and height of a panel in inches, its title included."""
        if self.view != "image":
            return _PANELS[self.view]
        assert self.grid is not None
        rows, columns = self.grid.shape
        width = 1.75 if columns >= rows else 1.75 * max(columns / rows, 0.4)
        return width, width * rows / columns + 0.2

    @property
    def layout(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        count = len(self.chosen) * self.num_panels
        columns = min(_COLUMNS, count) if self.num_panels == 1 else self.num_panels
        return math.ceil(count / columns), columns

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure in inches."""
        (rows, columns), (width, height) = self.layout, self.panel_size
        return columns * width, rows * height + 0.1

    def extended(self, new: np.ndarray) -> np.ndarray | None:
        """Modes at new inputs, (modes, m, c); None without the kernel."""
        if self.cross is None:
            return None
        modes = self.modes.top(max(self.chosen) + 1)
        step = max(1, 2**24 // (len(self.x) * math.prod(modes.outputs) ** 2))
        parts = [modes.extend(self.cross(new[i : i + step])) for i in range(0, len(new), step)]
        found = np.concatenate(parts)[..., self.chosen].reshape(len(new), -1, len(self.chosen))
        found = np.moveaxis(found, -1, 0)
        return found if self.strongest is None else np.take_along_axis(found, self.strongest, axis=2)

    def draw(self, panel: Callable[[int, int, "Axes"], None], figure: Any, **kwargs: Any) -> Any:
        """A panel for every mode and output, with what `subplots` takes; returns the figure."""
        count = len(self.chosen) * self.num_panels
        with drawing(*self.size, figure) as drawn:
            grid = drawn.subplots(*self.layout, squeeze=False, **kwargs)
            for axes in grid.flat[count:]:
                axes.remove()
            for place, axes in enumerate(grid.flat[:count]):
                mode, output = divmod(place, self.num_panels)
                axes.set_title(self.titles[mode] if output == 0 else f"output {output + 1}", fontsize=7, pad=3)
                panel(mode, output, axes)
        return drawn
