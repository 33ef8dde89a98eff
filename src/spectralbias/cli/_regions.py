"""`spectralbias regions RUN`: whether the network can separate neighbors, from its regions and gradients."""

import json as json_module
from typing import Annotated, Any

import tyro

from ._options import parse
from ._verbs import JSON, RUN, find_run


def _regions(
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=RUN)],
    window: Annotated[
        int, tyro.conf.arg(help="Neighbors are pairs from windows of so many samples or pixels a side.")
    ] = 2,
    num_pairs: Annotated[int, tyro.conf.arg(help="Pairs of neighbors, and as many distant ones.")] = 2000,
    max_regions: Annotated[
        int, tyro.conf.arg(help="About how many exact regions of an image to find, at most.")
    ] = 100_000,
    json: JSON = False,
) -> tuple[str, int, int, int, bool]:
    """Whether a network with kinks can separate neighbors: activation patterns, exact regions, gradient confusion.

    Reads the stored parameters of a finished run, adds what they say to it, and writes its report again.
    """
    return run, window, num_pairs, max_regions, json


def main(arguments: list[str]) -> None:
    """The verb `regions`."""
    known = ("run", "window", "num_pairs", "max_regions", "json")
    name, window, num_pairs, max_regions, as_json = parse(_regions, arguments, prog="spectralbias regions", known=known)
    run = find_run(name)
    from .. import runs
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        runs.regions(run, window=window, num_pairs=num_pairs, max_regions=max_regions, progress=progress)
        progress.phase("Writing the report")
        from ..report import write_report

        path = write_report(run)
    summary = run.info["regions"]
    from ..report import separation

    if as_json:
        data = {"directory": str(run.directory), "report": str(path), "separation": separation(run), **summary}
        print(json_module.dumps(data, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]{separation(run)}[/bold]\n")
    console.print(_table(summary))
    print(path)


def _table(summary: dict[str, Any]) -> Any:
    """Both sets of pairs, at the start and at the end."""
    from rich.table import Table

    from ..report._regions_words import two_decimals
    from ..report._text import percent

    table = Table(box=None, pad_edge=False)
    for head in ("pairs", "when", "one region", "differ in", "mean |cos|", "cos < 0"):
        table.add_column(head, justify="left" if head in ("pairs", "when") else "right")
    rows = [(name, when, summary[name][when]) for name in ("neighbors", "distant") for when in ("start", "end")]
    other = summary["encoding"]
    if other is not None:
        how = "no encoding" if other["encoding"] == "none" else f"{other['encoding']} encoding"
        rows.insert(1, ("neighbors", f"start, {how}", other))
    for name, when, one in rows:
        shares = (percent(one[key]) for key in ("same_region", "of_live"))
        table.add_row(name, when, *shares, two_decimals(one["mean_abs_cosine"]), percent(one["share_negative"]))
    return table
