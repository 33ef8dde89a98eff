"""`spectralbias run`."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .. import runs
from .._core.errors import InputError, unknown
from ..runs import AnalysisConfig, Config, ModelConfig, TrainingConfig, default_config, load_config
from ..runs._config import PROBLEMS
from ._options import parse

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

# What the first arguments after the kind mean.
_POSITIONAL = {"image": ("path",), "table": ("path",)}
_PLACEHOLDER = {"image": {"path": ""}, "table": {"path": "", "target": ""}}


def _options_type(config: Config) -> type:
    """The options of one kind of problem: its own fields, and those of every run."""
    flags: list[tuple[str, Any, Any]] = [
        ("problem", type(config.problem), config.problem),
        ("model", ModelConfig, config.model),
        ("training", TrainingConfig, config.training),
        ("analysis", AnalysisConfig, config.analysis),
        ("name", Annotated[str, tyro.conf.arg(help="First part of the run directory's name.")], config.name),
        ("seed", Annotated[int, tyro.conf.arg(help="Seed of data, initialization and mini-batches.")], config.seed),
        ("quick", _flag("Settings that finish in seconds."), False),
        ("output", Annotated[str | None, tyro.conf.arg(help="The run directory; must not exist or be empty.")], None),
        ("resume", Annotated[str | None, tyro.conf.arg(help="Go on with the run in this directory; alone.")], None),
        ("json", _flag("Print the summary as data on stdout."), False),
    ]
    fields = [(name, annotation, dataclasses.field(default=default)) for name, annotation, default in flags]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def _flag(text: str) -> Any:
    return Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=text)]


def _starting_point(arguments: list[str]) -> tuple[str, Config, list[str]]:
    """What `run` is about: its name in the help, the configuration before options, and the options."""
    quick = "--quick" in arguments
    if not arguments or arguments[0].startswith("-"):
        return "spectralbias run", default_config(quick=quick), arguments
    first, *rest = arguments
    if first in PROBLEMS:
        names = _POSITIONAL.get(first, ())
        given: dict[str, Any] = dict(_PLACEHOLDER.get(first, {}))
        for name in names:
            if rest and not rest[0].startswith("-"):
                given[name] = rest.pop(0)
        usage = " ".join(["spectralbias run", first, *(name.upper() for name in names)])
        return usage, default_config(first, quick=quick, **given), rest
    if first.endswith(".toml"):
        return f"spectralbias run {first}", load_config(first, quick=quick), rest
    if Path(first).suffix or Path(first).exists():
        raise InputError(
            f"`{first}` is neither a kind of problem ({', '.join(PROBLEMS)}) nor a .toml file: for a picture use "
            f"`spectralbias run image {first}`, for data `spectralbias run table {first} --target COLUMN`"
        )
    raise unknown("kind of problem", first, PROBLEMS)


def main(arguments: list[str]) -> int:
    """The verb `run`."""
    if any(argument.split("=")[0] == "--resume" for argument in arguments):
        directory, as_json = parse(_resume, arguments, prog="spectralbias run", known=("resume", "json"))
        return _carry_out(lambda progress: runs.resume(directory, progress=progress), as_json)
    prog, config, rest = _starting_point(arguments)
    options_type = _options_type(config)
    known = [field.name for field in dataclasses.fields(options_type)]
    for section in (config.problem, config.model, config.training, config.analysis):
        known.extend(section.__struct_fields__)
    options: Any = parse(options_type, rest, prog=prog, known=known, description=_DESCRIPTION)
    config = Config(
        problem=options.problem,
        model=options.model,
        training=options.training,
        analysis=options.analysis,
        name=options.name,
        seed=options.seed,
    )
    for name in ("path", "target"):
        if getattr(config.problem, name, None) == "":
            raise InputError(f"`{name}` is missing: {prog}{' --target COLUMN' if name == 'target' else ''}")
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
