"""Boundaries of regions drawn over the image, and maps of what lies around each sample."""

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _palette
from ._evidence import Evidence
from ._figure import Picture
from ._fits import is_picture
from ._pictures import brightness, data_uri
from ._style import MUTED
from ._text import number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels along the longer side of a picture of boundaries: sharp on a screen of high resolution.
_PIXELS, _DPI = 1200, 200
# A picture under boundaries is made paler, so that they can be seen.
PALER = 0.5
# Few to many, light to dark.
MANY = ("#f7f4ec", "#f0b67f", "#c9566b", "#4b1d6b")


def crop(evidence: Evidence) -> tuple[slice, slice]:
    """Rows and columns of the image that the window holds."""
    problem, exact = evidence.run.problem, evidence.info["regions"]["exact"]
    assert problem.grid is not None
    shape = np.array(problem.grid.shape)
    cell = problem.grid.periodic_length / shape
    corner = problem.x.min(axis=0) - cell / 2
    first, last = (np.rint((np.array(exact[name]) - corner) / cell).astype(int) for name in ("lower", "upper"))
    return slice(first[0], last[0]), slice(first[1], last[1])


def _background(evidence: Evidence) -> np.ndarray | None:
    """The pixels of the target in the window, or None where it is no image."""
    problem = evidence.run.problem
    if not is_picture(problem):
        return None
    assert problem.grid is not None
    return brightness(problem.y, problem.grid.shape)[crop(evidence)]


def draw_boundaries(axes: "Axes", evidence: Evidence, prefix: str, *, scale: float = 1.0) -> None:
    """The boundaries over the window's part of the image; the first input points down, as rows do."""
    from matplotlib.collections import LineCollection

    data, exact = evidence.regions, evidence.info["regions"]["exact"]
    assert data is not None
    (top, left), (bottom, right) = exact["lower"], exact["upper"]
    background = _background(evidence)
    if background is not None:
        paler = 255 - PALER * (255.0 - background)
        style: Any = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
        axes.imshow(paler.astype(np.uint8), extent=(left, right, bottom, top), **style)
    else:
        x = evidence.run.problem.x
        axes.scatter(x[:, 1], x[:, 0], s=2 * scale, color=MUTED, linewidths=0, zorder=3)
    edges = data[f"{prefix}segment"].to_numpy()[:, :, ::-1]
    layers = data[f"{prefix}segment_layer"].to_numpy()
    count, colors = exact["counts"][0 if prefix else 1], layer_colors(evidence)
    width = scale * float(np.clip(0.9 * (1000 / count) ** 0.35, 0.15, 0.9))
    # The first layer last: its lines are the longest.
    for layer, color in reversed(list(enumerate(colors))):
        some = LineCollection(list(edges[layers == layer]), colors=color, linewidths=width, capstyle="round")
        axes.add_collection(some)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect=_tall(evidence))


def _tall(evidence: Evidence) -> float:
    """How long a unit of the first input is, over one of the second: pixels are squares."""
    grid = evidence.run.problem.grid
    return 1.0 if grid is None else grid.shape[0] / grid.shape[1]


def layer_colors(evidence: Evidence) -> list[str]:
    """A color for each layer whose units make boundaries."""
    return _palette.bands(len(evidence.info["regions"]["units"]), "degree")[0]


def drawn(evidence: Evidence, prefix: str) -> np.ndarray:
    """The picture without a frame, (rows, columns, 3)."""
    exact = evidence.info["regions"]["exact"]
    size = (np.array(exact["upper"]) - np.array(exact["lower"])) * (_tall(evidence), 1)
    height, width = np.rint(_PIXELS * size / size.max()).astype(int)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    draw_boundaries(axes, evidence, prefix)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def colored(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pixels of values from the smallest to the largest."""
    low, high = float(values.min()), float(values.max())
    pixels = _palette.ramp(MANY, (values - low) / max(high - low, 1e-300))
    return pixels.round().astype(np.uint8).reshape(*shape, 3)


def boundaries(evidence: Evidence) -> list[Picture]:
    """The boundaries at the start and at the end, and where regions and error are."""
    data, exact = evidence.regions, evidence.info["regions"]["exact"]
    assert data is not None
    found = []
    for prefix, when, count in (("first_", "start", exact["counts"][0]), ("", "end", exact["counts"][1])):
        text = f"{plural(count, 'region')} at the {when}"
        source = data_uri(drawn(evidence, prefix))
        found.append(Picture(source=source, alt=f"boundaries of {text}", label=text, smooth=True))
    grid = evidence.run.problem.grid
    if grid is None or "density" not in data or "row" in exact:
        return found
    where = crop(evidence)
    for name, label in (("density", "regions per pixel"), ("error", "error at the end")):
        values = data[name].to_numpy().reshape(grid.shape)[where]
        low, high = number(float(values.min()), 2), number(float(values.max()), 2)
        # Regions crowd: their number spans decades.
        shown = np.log1p(values) if name == "density" else values
        source, text = data_uri(colored(shown.ravel(), shown.shape)), f"{label}, {low} (light) to {high}"
        found.append(Picture(source=source, alt=f"map of {text}", label=text))
    return found
