"""`spectralbias run`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .. import runs
from ._options import parse
from ._subject import argument, configured, flag, starting_point

if TYPE_CHECKING:
    from ..runs import Run

_DESCRIPTION = """Train a network, watch it learn mode by mode, and write the report.

`spectralbias run`: the experiment of Cao et al. on the sphere.

`spectralbias run image PHOTO.jpg`: a coordinate network on a picture.

`spectralbias run signal --frequencies 5 10 20`: on a sum of sines.

`spectralbias run table DATA.csv --target COLUMN`: on a column of your data.

`spectralbias run digits`: on handwritten digits.

`spectralbias run CONFIG.toml`: any of these from a file; options override it.

`spectralbias run --resume DIR`: go on with a run that was stopped.

Exit codes: 0, 2 for bad input, 3 if the training diverged, 130 after Ctrl-C."""


def main(arguments: list[str]) -> int:
    """The verb `run`."""
    if any(argument.split("=")[0] == "--resume" for argument in arguments):
        directory, as_json = parse(_resume, arguments, prog="spectralbias run", known=("resume", "json"))
        return _carry_out(lambda progress: runs.resume(directory, progress=progress), as_json)
    prog, config, rest = starting_point("run", arguments)
    more = [
        ("name", argument(str, "First part of the run directory's name."), config.name),
        ("seed", argument(int, "Seed of data, initialization and mini-batches."), config.seed),
        ("quick", flag("Settings that finish in seconds."), False),
        ("output", argument(str | None, "The run directory; must not exist or be empty."), None),
        ("resume", argument(str | None, "Go on with the run in this directory; alone."), None),
        ("json", flag("Print the summary as data on stdout."), False),
    ]
    sections = ("problem", "model", "training", "analysis")
    config, options = configured(prog, config, rest, sections=sections, more=more, description=_DESCRIPTION)
    return _carry_out(lambda progress: runs.execute(config, directory=options.output, progress=progress), options.json)


def _resume(
    resume: Annotated[str, tyro.conf.arg(help="The run directory.")],
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print the summary as data.")] = False,
) -> tuple[str, bool]:
    """Go on with a run that was stopped; its configuration is in its directory, so no other option is taken."""
    return resume, json


def _carry_out(work: "Callable[[runs.Progress], Run]", as_json: bool) -> int:
    """Run, write the report, and say what came out."""
    from ._main import DIVERGED, OK
    from ._progress import TerminalProgress

    code = OK
    with TerminalProgress() as progress:
        try:
            run = work(progress)
        except runs.DivergedError as error:
            progress.warning(str(error))
            run, code = error.run, DIVERGED
        except KeyboardInterrupt:
            if progress.directory is not None:
                progress.warning(f"stopped; go on with `spectralbias run --resume {progress.directory}`")
            raise
        progress.phase("Writing the report")
        from ..report import write_report

        path = write_report(run)
    show(run, path, as_json=as_json)
    return code


def show(run: "Run", report: Path, *, as_json: bool) -> None:
    """The verdict and the report's path, or everything as JSON."""
    from ..report import verdict

    said = verdict(run)
    if as_json:
        result = {
            "directory": str(run.directory),
            "report": str(report),
            "status": run.status,
            "verdict": [said.headline, *said.paragraphs],
            **run.summary,
        }
        print(json.dumps(result, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"\n[bold]{said.headline}[/bold]\n")
    for paragraph in said.paragraphs:
        console.print(f"{paragraph}\n", markup=False)
    print(report)
