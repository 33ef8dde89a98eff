"""A figure as data: columns of numbers, what is drawn of them, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

# At most so many points in one scatter.
MAX_POINTS = 5000


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One direction of a plot.

    Attributes:
        title: what it measures, with its unit.
        log: logarithmic at first.
        switch: whether the reader can change between logarithmic and linear.
        floor: on a logarithmic axis smaller values are drawn here, labelled `floor_label`.
        floor_label: what the tick at the floor says.
        range: the ends on a linear axis; all data by default.
        format: d3's format of the tick labels.
    """

    title: str
    log: bool = False
    switch: bool = True
    floor: float | None = None
    floor_label: str = "0"
    range: tuple[float, float] | None = None
    format: str = ""


# Steps begin at 0, which a logarithmic axis does not have; 0.4 is rounded to 0 where it is written.
STEPS = Axis(title="step", log=True, floor=0.4)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What Plotly draws. The script of the page adds axes, colors and size.

    Attributes:
        traces: Plotly's scatter traces, where `x`, `y` and the entries of `custom` are names of columns or literal
            lists, a color is a CSS variable (`"--accent"`), `panel` counts panels from 0, and `part` names what a
            key of the figure shows or hides.
        x: the horizontal axis of every panel.
        y: the vertical axis of every panel.
        panels: titles of the panels; none for a single one.
        stacked: one panel per row.
        free: every panel has its own vertical range.
        lines: reference lines `{"axis", "at", "text"}`, with `"place"` (`start`, `end`), `"below"` and
            `"left"` for the text.
        keys: parts that the reader can hide, and their dashes: `{"predicted": "dash"}`.
        height: of one panel, in pixels.
        square: as high as wide.
        unified: hover shows all curves at one x.
        room: pixels to the right of a panel, for names at the ends of curves.
    """

    traces: Sequence[Mapping[str, Any]]
    x: Axis
    y: Axis
    panels: Sequence[str] = ()
    stacked: bool = False
    free: bool = False
    lines: Sequence[Mapping[str, Any]] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    height: int = 400
    square: bool = False
    unified: bool = False
    room: int = 0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in the page.

    Attributes:
        source: its `data:` address.
        alt: what it shows.
        label: the line below it.
        smooth: a drawing, which the browser may scale as it likes; otherwise its pixels stay squares.
    """

    source: str
    alt: str
    label: str
    smooth: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text, numbers already formatted.

    Attributes:
        head: titles of the columns.
        rows: the first cell of each names the row.
        groups: titles above the titles, with the number of columns each spans.
        swatches: a color for each row.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    groups: Sequence[tuple[str, int]] = ()
    swatches: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A plot, pictures or a table, with its words and its numbers.

    Attributes:
        key: its name in the page, and that of its CSV file.
        alt: what it shows, with the main numbers, for those who do not see it.
        caption: what it means.
        columns: the numbers; what is drawn and what is downloaded.
        plot: a plot of them.
        pictures: pictures in place of a plot.
        across: how many pictures make a row; as many as fit by default.
        scale: the ends and the middle of the pictures' diverging color scale.
        table: a table in place of a plot.
    """

    key: str
    alt: str
    caption: str
    columns: Mapping[str, Any]
    plot: Plot | None = None
    pictures: Sequence[Picture] = ()
    across: int | None = None
    scale: tuple[str, str, str] | None = None
    table: Table | None = None

    def payload(self) -> dict[str, Any]:
        """The part that the script of the page reads, as JSON data."""
        columns = {name: plain(values) for name, values in self.columns.items()}
        return {"columns": columns, "plot": None if self.plot is None else plain_tree(asdict(self.plot))}


def plain(values: Any) -> list[Any]:
    """A column as JSON data: None for NaN and infinities, which JSON lacks; float32 as its shortest decimals."""
    array = np.asarray(values)
    if array.dtype == np.float32:
        array = array.astype(str).astype(np.float64)
    if array.dtype.kind != "f":
        return array.tolist()
    finite = np.isfinite(array)
    return [value if good else None for value, good in zip(array.tolist(), finite, strict=True)]


def plain_tree(value: Any) -> Any:
    """The same for nested dictionaries and sequences."""
    if isinstance(value, Mapping):
        return {key: plain_tree(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value)
    if isinstance(value, list | tuple):
        return [plain_tree(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def escape(text: str) -> str:
    """Text that Plotly shows as it is: it reads a few HTML tags in labels."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def curve(
    x: Any, y: Any, name: str, color: str, *, dash: str = "solid", width: float = 2, **more: Any
) -> dict[str, Any]:
    """A line through points."""
    line = {"color": color, "dash": dash, "width": width}
    return {"x": x, "y": y, "name": escape(name), "mode": "lines", "line": line, **more}


def points(
    x: Any, y: Any, name: str, color: str, *, size: Any = 6, symbol: str = "circle", **more: Any
) -> dict[str, Any]:
    """Points."""
    marker = {"color": color, "size": size, "symbol": symbol, **more.pop("marker", {})}
    return {"x": x, "y": y, "name": escape(name), "mode": "markers", "marker": marker, **more}


def thin(count: int, limit: int = MAX_POINTS) -> np.ndarray:
    """Indices of at most `limit` of `count` points, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))
