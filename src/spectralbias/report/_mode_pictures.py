"""Eigenfunctions of a kernel as pictures: curves, maps, globes, images."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import ArrayLike

from ..problems import Problem
from ..spectra import Modes
from ._mode_sheet import FIRST, Sheet, common_norm, make_sheet
from ._pictures import largest_magnitude, signed
from ._style import ACCENT, INK, MUTED, diverging

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Lines of latitude and pixels of a globe's diameter: at 200 dots per inch finer ones are not seen.
_LATITUDES, _PIXELS = 91, 161
_CURVE_POINTS = 601


def mode_figure(
    modes: Modes,
    data: Problem | ArrayLike,
    *,
    cross: Callable[[np.ndarray], ArrayLike] | None = None,
    which: Sequence[int] = FIRST,
    view: Literal["auto", "circle", "map", "globe", "curve", "image", "scatter"] = "auto",
    titles: Sequence[str] | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> "Figure | SubFigure":
    """Draw eigenfunctions of a kernel, at the data and, given the kernel, between them.

    Each panel is one mode, scaled to mean square 1 on the data. Between the data it is extended by Nyström,
    φ(x) = √n Θ(x, X) v/(n λ). Blue is negative, red positive, the line between them is where the mode is zero; the sign
    of a mode as a whole has no meaning.

    Args:
        modes: from `spectra.eigenmodes`.
        data: the problem, or its inputs (n, dim), in the order of the Gram.
        cross: the kernel between new inputs (m, dim) and the data, as a function of the new inputs, for instance
            `lambda new: kernel.ntk(new, x)`; without it the modes are drawn at the data only.
        which: ranks of the modes to draw, 1 for the fastest. Left out are those beyond the last computed, and with
            `cross` those whose eigenvalues are rounding errors of Θ, which cannot be extended.
        view: `"circle"` (curve against the angle), `"map"` (the sphere in Mollweide's projection), `"globe"`,
            `"curve"` (one input), `"image"` (a problem on a grid of pixels), `"scatter"` (any data, in its two leading
            principal coordinates). `"auto"` takes the first of circle, map, image, curve that fits, else scatter.
        titles: of the panels, one for each mode in `which`; rank and eigenvalue by default.
        figure: a figure or a subfigure of matplotlib to draw into; a new one by default.

    Returns:
        The figure; `figure.savefig("modes.png")` writes it. Several outputs make a row of panels per mode; of
        more than 4 the strongest is shown. Images of 3 outputs are in color.

    Raises:
        InputError: data of another length than the modes, a view that does not fit the data, no mode to draw.

    Cost and precision:
        The kernel is asked for some 600 new inputs on curves, 16,000 on maps, 20,000 on globes.

    Example:
        >>> import numpy as np
        >>> from spectralbias import kernels, report, spectra
        >>> angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        >>> x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        >>> kernel = kernels.cao_kernel()
        >>> modes = spectra.eigenmodes(kernel.ntk(x))
        >>> figure = report.mode_figure(modes, x, cross=lambda new: kernel.ntk(new, x), which=(1, 2, 4))
        >>> len(figure.axes)
        3
    """
    sheet = make_sheet(modes, data, cross=cross, which=which, view=view, titles=titles)
    return _DRAW[sheet.view](sheet, figure)


def _curves(sheet: Sheet, figure: Any, at: np.ndarray, fine: np.ndarray, new: np.ndarray, label: str) -> Any:
    """Modes as curves through the samples at `at`; `new` are the inputs at the places `fine`."""
    between, order = sheet.extended(new), np.argsort(at)

    def panel(mode: int, output: int, axes: "Axes") -> None:
        values = sheet.values[mode, :, output]
        size = float(np.clip(120 / len(at), 1.2, 3.5))
        axes.axhline(0, color=MUTED, linewidth=0.6)
        if between is not None:
            axes.plot(fine, between[mode, :, output], color=ACCENT, linewidth=1.2)
            axes.plot(at, values, color=INK, marker="o", markersize=size, linestyle="none", markeredgewidth=0)
        elif len(at) > 40:
            axes.plot(at[order], values[order], color=ACCENT, linewidth=1.2)
        else:
            axes.plot(at[order], values[order], color=ACCENT, linewidth=0.8, marker="o", markersize=size)
        axes.label_outer()

    drawn = sheet.draw(panel, figure, sharex=True, sharey=True)
    largest = max(1.5, 1.1 * largest_magnitude(sheet.values, *([] if between is None else [between])))
    drawn.axes[0].set_ylim(-largest, largest)
    drawn.supxlabel(label, fontsize=8, color=INK)
    return drawn


def _circle(sheet: Sheet, figure: Any) -> Any:
    angle = np.arctan2(sheet.x[:, 1], sheet.x[:, 0])
    fine = np.linspace(-np.pi, np.pi, _CURVE_POINTS)
    new = (common_norm(sheet.x) or 1.0) * np.stack([np.cos(fine), np.sin(fine)], axis=1)
    drawn = _curves(sheet, figure, np.degrees(angle), np.degrees(fine), new, "angle in degrees")
    drawn.axes[0].set_xticks([-180, -90, 0, 90, 180])
    return drawn


def _line(sheet: Sheet, figure: Any) -> Any:
    at = sheet.x[:, 0]
    fine = np.linspace(at.min(), at.max(), _CURVE_POINTS)
    return _curves(sheet, figure, at, fine, fine[:, None], "x")


def _limit(*values: np.ndarray) -> float:
    """The largest magnitude that colors tell apart: outliers at single points would leave the rest pale."""
    every = np.abs(np.concatenate([part.ravel() for part in values]))
    return max(float(np.quantile(every[np.isfinite(every)], 0.995)), 1e-12)


def _map(sheet: Sheet, figure: Any) -> Any:
    """Longitude and latitude, areas true to size."""
    longitude = np.linspace(-np.pi, np.pi, 2 * _LATITUDES - 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _LATITUDES)
    around, up = np.meshgrid(longitude, latitude)
    radius = common_norm(sheet.x) or 1.0
    new = radius * np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=-1)
    between = sheet.extended(new.reshape(-1, 3))
    where = np.arctan2(sheet.x[:, 1], sheet.x[:, 0]), np.arcsin(np.clip(sheet.x[:, 2] / radius, -1, 1))
    colors = diverging()

    def panel(mode: int, output: int, axes: "Axes") -> None:
        samples = sheet.values[mode, :, output]
        if between is None:
            limit = _limit(samples)
            axes.scatter(*where, c=samples, s=5, cmap=colors, vmin=-limit, vmax=limit, linewidths=0.15, edgecolors=INK)
        else:
            surface = between[mode, :, output].reshape(around.shape)
            limit = _limit(surface)
            style: Any = {"cmap": colors, "vmin": -limit, "vmax": limit, "shading": "gouraud", "rasterized": True}
            axes.pcolormesh(around, up, surface, **style)
            axes.contour(around, up, surface, levels=[0], colors=INK, linewidths=0.7)
            axes.scatter(*where, s=0.6, color=INK, alpha=0.35, linewidths=0)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)

    return sheet.draw(panel, figure, subplot_kw={"projection": "mollweide"})


def _globe(sheet: Sheet, figure: Any) -> Any:
    """The half of the sphere that is seen from far away, above 30° north."""
    edge = np.linspace(-1, 1, _PIXELS)
    right, up = np.meshgrid(edge, edge)
    # Outside of the disk the rim goes on, so that nothing frays where the picture is cut.
    outside = np.maximum(np.hypot(right, up), 1)
    depth = np.sqrt(np.maximum(1 - right**2 - up**2, 0))
    tilt = math.radians(30)
    # Rows: the viewer's right, up, and towards the viewer, in the coordinates of the data.
    turn = np.array([[0, 1, 0], [-math.sin(tilt), 0, math.cos(tilt)], [math.cos(tilt), 0, math.sin(tilt)]])
    radius = common_norm(sheet.x) or 1.0
    seen = np.stack([right / outside, up / outside, depth], axis=-1).reshape(-1, 3)
    between = sheet.extended(radius * seen @ turn)
    points = sheet.x / radius @ turn.T
    front = points[:, 2] > 0
    colors = diverging()

    def panel(mode: int, output: int, axes: "Axes") -> None:
        from matplotlib.patches import Circle

        samples = sheet.values[mode, front, output]
        if between is None:
            limit = _limit(sheet.values[mode, :, output])
            style: Any = {"s": 7, "linewidths": 0.15, "edgecolors": INK}
            axes.scatter(*points[front, :2].T, c=samples, cmap=colors, vmin=-limit, vmax=limit, **style)
        else:
            surface = between[mode, :, output].reshape(right.shape)
            limit = _limit(surface)
            disk = Circle((0, 0), 1, transform=axes.transData)
            style = {"cmap": colors, "vmin": -limit, "vmax": limit, "interpolation": "bilinear"}
            shown = axes.imshow(surface, extent=(-1, 1, -1, 1), origin="lower", **style)
            shown.set_clip_path(disk)
            axes.contour(right, up, surface, levels=[0], colors=INK, linewidths=0.7).set_clip_path(disk)
            axes.scatter(*points[front, :2].T, s=0.6, color=INK, alpha=0.35, linewidths=0)
        axes.add_patch(Circle((0, 0), 1, fill=False, color=MUTED, linewidth=0.7))
        axes.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
        axes.set_axis_off()

    return sheet.draw(panel, figure)


def _image(sheet: Sheet, figure: Any) -> Any:
    """Pixels; three outputs are red, green and blue, each around middle gray."""
    assert sheet.grid is not None
    shape = sheet.grid.shape

    def panel(mode: int, output: int, axes: "Axes") -> None:
        values = sheet.values[mode] if sheet.values.shape[2] == 3 else sheet.values[mode, :, output]
        axes.imshow(signed(values, shape, _limit(values)), interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(True)

    return sheet.draw(panel, figure)


def _scatter(sheet: Sheet, figure: Any) -> Any:
    """The data in their two leading principal coordinates."""
    centered = sheet.x - sheet.x.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centered, full_matrices=False)
    at = (left * sizes)[:, :2]
    share = 100 * np.sum(sizes[:2] ** 2) / max(np.sum(sizes**2), 1e-300)
    at = at if at.shape[1] == 2 else np.stack([at[:, 0], np.zeros(len(at))], axis=1)
    colors = diverging()

    def panel(mode: int, output: int, axes: "Axes") -> None:
        values = sheet.values[mode, :, output]
        limit, size = _limit(values), float(np.clip(1500 / len(at), 3, 14))
        order = np.argsort(np.abs(values))
        style: Any = {"s": size, "linewidths": 0.2, "edgecolors": MUTED, "cmap": colors}
        axes.scatter(*at[order].T, c=values[order], vmin=-limit, vmax=limit, **style)
        axes.set_xticks([])
        axes.set_yticks([])

    drawn = sheet.draw(panel, figure)
    drawn.supxlabel(f"first and second principal coordinate: {share:.0f} % of the variance", fontsize=8, color=INK)
    return drawn


_DRAW: dict[str, Callable[[Sheet, Any], Any]] = {
    "circle": _circle,
    "map": _map,
    "globe": _globe,
    "curve": _line,
    "image": _image,
    "scatter": _scatter,
}
