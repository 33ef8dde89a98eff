"""`spectralbias forecast CONFIG|RUN`: what will be learned when, before any training."""

import json
from pathlib import Path
from typing import Any, Literal

from .._core.errors import InputError
from ._subject import argument, configured, flag, starting_point

_DESCRIPTION = """What will be learned when, and what will be left, before any training.

`spectralbias forecast CONFIG.toml`: of a configuration; options override it.

`spectralbias forecast image PHOTO.jpg`: with the options of `spectralbias run`.

`spectralbias forecast RUN`: of a finished run, compared with what was measured."""

_LEVELS = Literal["auto", "infinite", "empirical", "corrected"]


def main(arguments: list[str]) -> None:
    """The verb `forecast`."""
    from ..runs._config import PROBLEMS

    first = arguments[0] if arguments else "-"
    is_subject = first.startswith("-") or first.endswith(".toml") or first in PROBLEMS or Path(first).is_file()
    more = [
        ("networks", argument(int, "Interval over so many new initializations."), 0),
        ("level", argument(_LEVELS, "What the forecast stands on."), "auto"),
        ("json", flag("Print data in place of text."), False),
    ]
    if is_subject:
        _of_config(arguments, more)
    else:
        _of_run(first, arguments[1:], more)


def _of_config(arguments: list[str], more: list[Any]) -> None:
    prog, config, rest = starting_point("forecast", arguments)
    more = [
        *more,
        ("name", argument(str, "Name on the page."), config.name),
        ("seed", argument(int, "Seed of data and initialization."), config.seed),
        ("quick", flag("Settings that finish in seconds."), False),
        ("output", argument(str | None, "The page (.html); beside it a picture."), None),
    ]
    sections = ("problem", "model", "training")
    config, options = configured(prog, config, rest, sections=sections, more=more, description=_DESCRIPTION)
    name = config.name or config.kind
    page = Path(options.output or f"forecast-{name}.html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"`output` must end in .html, got {str(page)!r}")
    from .. import runs
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        from ..report._forecast import write_forecast
        from ..report._page import destination
        from ..runs._build import build_problem, precision
        from ..runs._forecast import describe
        from ..spectra import bands

        destination(page)
        found = runs.forecast(config, level=options.level, num_networks=options.networks or None, progress=progress)
        with precision(config):
            kind = bands(build_problem(config)).kind
        summary = describe(found, kind)
        setting = f"{config.kind} · {config.training.optimizer} · {summary['steps']:,} steps"
        write_forecast(found, summary, page, name=name, setting=setting)
    if options.json:
        data = {**summary, "page": str(page), "picture": str(page.with_suffix(".png"))}
        print(json.dumps(data, indent=2, allow_nan=False))
        return
    _show(summary, page)


def _of_run(name: str, arguments: list[str], more: list[Any]) -> None:
    from ._options import parse
    from ._subject import options_type
    from ._verbs import find_run

    known = [option for option, _, _ in more]
    options: Any = parse(options_type(more), arguments, prog="spectralbias forecast RUN", known=known)
    run = find_run(name)
    from .. import runs
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        runs.forecast(run, level=options.level, num_networks=options.networks or None, progress=progress)
        progress.phase("Writing the report")
        from ..report import write_report

        path = write_report(run)
    summary = run.info["forecast"]
    if options.json:
        data = {"directory": str(run.directory), "report": str(path), **summary}
        print(json.dumps(data, indent=2, allow_nan=False))
        return
    _show(summary, path)


def _show(summary: dict[str, Any], path: Path) -> None:
    """The sentence, the tables, how far to believe it, and the page."""
    from rich.console import Console
    from rich.table import Table

    from ..report._forecast_words import HEAD, basis, beside, headline, mode_rows, rows, scored, trust
    from ..report._text import number, plural

    console = Console(highlight=False)
    console.print(f"\n[bold]{headline(summary)}[/bold]\n")
    measured = summary["score"]["measured"] if "score" in summary else None
    table = Table(box=None, pad_edge=False)
    for title in (*HEAD, *(("measured 1/e step", "error", "measured left") if measured else ())):
        table.add_column(title, justify="left" if title == "band" else "right")
    for index, row in enumerate(rows(summary)):
        table.add_row(*row, *(beside(measured[index]) if measured else ()))
    console.print(table)
    if found := mode_rows(summary):
        modes = Table(box=None, pad_edge=False)
        for title in ("mode", "share", "1/e step", "90 % of new networks"):
            modes.add_column(title, justify="right")
        for row in found:
            modes.add_row(*row)
        print()
        console.print(modes)
    test = summary["test_loss"]
    held_out = "" if test is None else f", held out {number(test)}"
    last = f"Loss after {plural(summary['steps'], 'step')}: {number(summary['loss']['last'])}{held_out}."
    score = [scored(summary)] if "score" in summary else []
    for sentence in (last, basis(summary), trust(summary), *score):
        console.print(f"\n{sentence}", markup=False)
    print(f"\n{path}")
