"""`spectralbias hierarchy RUN`: how much of what the frozen kernel misses is due to finite width."""

import json as json_module
from typing import Annotated, Any

import tyro

from ._options import parse
from ._verbs import JSON, RUN, find_run


def _hierarchy(
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=RUN)],
    order: Annotated[
        int, tyro.conf.arg(help="Order of the hierarchy: 4, or 3 for runs that do not start antisymmetric.")
    ] = 4,
    skip_test: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Do not predict the held-out loss; this is faster.")
    ] = False,
    max_minutes: Annotated[float, tyro.conf.arg(help="Give up at the beginning if it would take longer.")] = 60.0,
    json: JSON = False,
) -> tuple[str, int, bool, float, bool]:
    """How much finite width matters: a prediction of a higher order, beside the frozen kernel's and the run.

    Follows the kernel's motion with its derivatives at the start, without training, adds the prediction to the finished
    run, and writes its report again.
    """
    return run, order, skip_test, max_minutes, json


def main(arguments: list[str]) -> None:
    """The verb `hierarchy`."""
    known = ("run", "order", "skip_test", "max_minutes", "json")
    name, order, skip_test, max_minutes, as_json = parse(
        _hierarchy, arguments, prog="spectralbias hierarchy", known=known
    )
    run = find_run(name)
    from .. import runs
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        runs.hierarchy(run, order=order, skip_test=skip_test, max_minutes=max_minutes, progress=progress)
        progress.phase("Writing the report")
        from ..report import write_report

        path = write_report(run)
    summary = run.info["hierarchy"]
    from ..report import finite_width

    if as_json:
        data = {"directory": str(run.directory), "report": str(path), "finite_width": finite_width(run), **summary}
        print(json_module.dumps(data, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]{finite_width(run)}[/bold]\n")
    console.print(_table(summary))
    print(path)


def _table(summary: dict[str, Any]) -> Any:
    """Every band: when it was learned, and when it was to be; what either prediction misses."""
    from rich.table import Table

    from ..report._hierarchy import learned
    from ..report._hierarchy_words import explained
    from ..report._text import percent

    order = f"order {summary['order']}"
    table = Table(box=None, pad_edge=False)
    titles = ("band", "share", "1/e step", "frozen", order, "frozen misses", f"{order} misses", "explained")
    for title in titles:
        table.add_column(title, justify="left" if title == "band" else "right")
    for band in summary["bands"]:
        errors = (percent(band[f"{key}_error"]) for key in ("frozen", "corrected"))
        table.add_row(band["name"], percent(band["share"]), *learned(band), *errors, explained(band))
    return table
