"""What both kinds of `spectralbias spectrum` print and write."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".jpg", ".pdf", ".png", ".svg")


def picture_path(output: str | None, default: str) -> Path:
    """Where the picture goes; checked before anything is computed."""
    path = Path(output or f"spectrum-{default}.png")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"`output` must end in {', '.join(FORMATS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise InputError(f"`output` is in the directory {str(path.parent)!r}, which does not exist: make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"`output` {str(path)!r} cannot be written: choose another file")
    return path


def from_log(log_value: float, digits: int = 4) -> str:
    """A positive number from its natural logarithm, also where it lies beyond the range of floats."""
    if math.isinf(log_value):
        return "0"
    if -9 < log_value < 13:
        return f"{math.exp(log_value):.{digits}g}"
    exponent = math.floor(log_value / math.log(10))
    mantissa = f"{math.exp(log_value - exponent * math.log(10)):.{digits - 1}f}"
    if mantissa.startswith("10"):
        mantissa, exponent = f"{1:.{digits - 1}f}", exponent + 1
    return f"{mantissa}e{exponent:+03d}"


def times_from_log(log_value: float) -> str:
    """How many times as long, to two digits."""
    if log_value > 20:
        return from_log(log_value, 2)
    value = float(f"{math.exp(log_value):.2g}")
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"


def steps_from_log(log_ratio: float) -> tuple[str, float | None]:
    """Steps to 1/e at the learning rate 1/λ_max of a mode with λ/λ_max of this logarithm, as text and as a number."""
    if math.isinf(log_ratio):
        return "never", None
    if log_ratio < -16:
        return from_log(-log_ratio, 3), math.exp(-log_ratio) if log_ratio > -700 else None
    ratio = math.exp(log_ratio)
    steps = 1.0 if ratio >= 1 - math.exp(-1) else -1 / math.log1p(-ratio)
    return f"{math.ceil(steps - 1e-9):,}", steps


def number_or_none(value: float) -> float | None:
    """A JSON number; None for what is none."""
    return float(value) if math.isfinite(value) else None


def write(figure: "Figure", path: Path) -> None:
    """Write the picture, whole or not at all."""
    import io

    from ..runs._files import write_atomic

    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower())
    try:
        write_atomic(path, buffer.getvalue())
    except OSError as error:
        raise InputError(f"`output` {str(path)!r} cannot be written: {error.strerror}") from None


def show(
    data: dict[str, Any],
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    path: Path,
    *,
    as_json: bool,
) -> None:
    """The table, the sentences and the picture's path; or all the data as JSON.

    Args:
        data: everything, with the sentences under `"words"`.
        columns: (title, "left" or "right").
        rows: the cells of the table.
        path: of the picture.
        as_json: whether to print data in place of text.
    """
    if as_json:
        print(json.dumps({**data, "picture": str(path)}, indent=2, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    # Into a file or a pipe a table is as wide as it is.
    console = console if console.is_terminal else Console(highlight=False, width=max(console.width, 140))
    table = Table(box=None, pad_edge=False)
    for title, side in columns:
        table.add_column(title, justify="left" if side == "left" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    print()
    for sentence in data["words"]:
        console.print(sentence, markup=False, width=min(console.width, 110))
        print()
    print(path)
