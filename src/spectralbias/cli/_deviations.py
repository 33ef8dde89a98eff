"""`spectralbias deviations RUN`: why a run left the frozen kernel's prediction."""

import json as json_module
from typing import Annotated, Any, Literal

import tyro

from ._options import parse
from ._verbs import JSON, RUN, find_run


def _deviations(
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=RUN)],
    points: Annotated[
        Literal["auto", "train", "held-out"],
        tyro.conf.arg(help="Where to look; `auto` takes the held-out samples where the run has some."),
    ] = "auto",
    num_modes: Annotated[
        int | None, tyro.conf.arg(help="How many modes of the frozen kernel; by default all that have room.")
    ] = None,
    json: JSON = False,
) -> tuple[str, str, int | None, bool]:
    """Why a run left the frozen kernel's prediction: too few samples, too little width, or feature learning.

    Trains the finished run again with its kernel recorded, adds the parts of the deviation to the run, and writes its
    report again.
    """
    return run, points, num_modes, json


def main(arguments: list[str]) -> None:
    """The verb `deviations`."""
    known = ("run", "points", "num_modes", "json")
    name, points, num_modes, as_json = parse(_deviations, arguments, prog="spectralbias deviations", known=known)
    run = find_run(name)
    from .. import runs
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        chosen: Any = points.replace("-", " ")
        runs.deviations(run, points=chosen, num_modes=num_modes, progress=progress)
        progress.phase("Writing the report")
        from ..report import write_report

        path = write_report(run)
    summary = run.info["deviations"]
    from ..report import why

    if as_json:
        data = {"directory": str(run.directory), "report": str(path), "why": why(run), **summary}
        print(json_module.dumps(data, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]{why(run)}[/bold]\n")
    console.print(_table(summary))
    print(path)


def _table(summary: dict[str, Any]) -> Any:
    """Every band with its deviation at the end, and its parts."""
    from rich.table import Table

    from ..report._deviation_words import title
    from ..report._text import percent

    columns = {"deviation": "deviation", "samples": "samples", "width": "width", "motion": "feature learning"}
    present = [key for key in columns if all(band[key] is not None for band in summary["bands"])]
    table = Table(box=None, pad_edge=False)
    for head in ("band", "share", *(columns[key] for key in present), "without damping"):
        table.add_column(head, justify="left" if head == "band" else "right")
    for band in summary["bands"]:
        cells = (percent(band[key]) for key in ("share", *present, "undamped"))
        table.add_row(title(band, summary["band_kind"]), *cells)
    return table
