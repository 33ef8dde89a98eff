"""`spectralbias reproduce`: the claims of papers, as studies."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .. import papers
from .._core.errors import InputError, unknown
from ._options import parse

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..papers import Study, StudyResult

UNEXPECTED = 1

_DESCRIPTION = """Run a study of a claim of a paper, and say whether the claim holds.

`spectralbias reproduce list`: the studies, their sources and their known outcomes.

`spectralbias reproduce NAME`: run one; writes its figure, numbers and verdict.

`spectralbias reproduce all`: run all, and write a page about them, index.html.

Exit codes: 0 if every outcome is the known one, 1 if not, 2 for bad input, 130 after Ctrl-C."""


def _reproduce(
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME", help="A study, or `list`, or `all`.")],
    setting: Annotated[
        str, tyro.conf.arg(help="`fast` takes seconds, `desktop` minutes, `paper` has the sizes of the paper.")
    ] = "fast",
    seeds: Annotated[int | None, tyro.conf.arg(help="Repetitions; 10 by default. Fewer settle nothing.")] = None,
    control: Annotated[
        bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Run the negative control instead.")
    ] = False,
    data: Annotated[
        str | None, tyro.conf.arg(help="A folder or a file of yours, such as CIFAR-10, for a study that takes one.")
    ] = None,
    output: Annotated[
        str | None,
        tyro.conf.arg(help="Where to write; by default ./spectralbias-studies, with a folder for each study."),
    ] = None,
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print data in place of text.")] = False,
) -> tuple[str, str, int | None, bool, str | None, str | None, bool]:
    return name, setting, seeds, control, data, output, json


_OPTIONS = ("setting", "seeds", "control", "data", "output", "json")


def main(arguments: list[str]) -> int:
    """The verb `reproduce`."""
    name, setting, seeds, control, data, output, as_json = parse(
        _reproduce, arguments, prog="spectralbias reproduce", known=_OPTIONS, description=_DESCRIPTION
    )
    if seeds is not None and seeds < 1:
        raise InputError(f"`seeds` must be 1 or more, got {seeds}")
    if name == "list":
        extra = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
        if unused := [option for option in extra if option != "--json"]:
            raise InputError(f"`reproduce list` takes only --json, got {unused[0]}: leave it out")
        _list(as_json)
        return 0
    by_name = {study.name: study for study in papers.studies()}
    if name not in by_name and name != "all":
        raise unknown("study", name, [*by_name, "all", "list"])
    if name == "all" and data is not None:
        takers = [study.name for study in by_name.values() if study.takes_data]
        raise InputError(f"`reproduce all` takes no --data: give it to one of {', '.join(takers) or 'no study'}")
    if name == "all":
        return _all(tuple(by_name.values()), setting, seeds, control, output, as_json)
    from ..papers._reproduce import result_directory

    console = _stderr()
    with console.status(f"{name} …"):
        result = papers.reproduce(name, setting=setting, seeds=seeds, control=control, data=data, directory=output)
    where = Path(output) if output else result_directory(name, setting=setting, control=control)
    if as_json:
        print(json.dumps({**result.summary(), "directory": str(where)}, indent=2, ensure_ascii=False))
    else:
        _say(result)
        print(where)
    return 0 if result.as_expected else UNEXPECTED


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _table(*columns: tuple[str, str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, justify in columns:
        table.add_column(title, justify=justify, overflow="fold")  # pyright: ignore[reportArgumentType]
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(highlight=False).print(table)


def _list(as_json: bool) -> None:
    known = papers.studies()
    if as_json:
        rows = [
            {
                "name": study.name,
                "source": study.source,
                "claim": study.claim,
                "criterion": study.criterion,
                "expected": study.expected.value,
                "control": study.control.text,
            }
            for study in known
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = _table(("study", "left"), ("source", "left"), ("expected", "left"))
    for study in known:
        table.add_row(study.name, study.source, study.expected.value)
    _print(table)


def _say(result: "StudyResult") -> None:
    """The claim, the verdict, and what it rests on."""
    study, verdict = result.study, result.verdict
    print(f"{study.claim}")
    if result.control:
        print(f"Negative control: {study.control.text}.")
    print(f"{verdict.outcome.value.upper()}: {verdict.sentence}")
    for what, value in verdict.evidence:
        print(f"  {what}: {value}")
    if not result.as_expected:
        print(f"Expected: {result.expected.value}.")


def _all(
    known: "tuple[Study, ...]", setting: str, seeds: int | None, control: bool, output: str | None, as_json: bool
) -> int:
    """Run every study; after Ctrl-C the page is about those that are done."""
    from ..papers._reproduce import STUDIES_DIRECTORY, check_directory, result_directory

    parent = Path(output) if output else STUDIES_DIRECTORY
    places = [result_directory(study.name, setting=setting, control=control, parent=parent) for study in known]
    for study, place in zip(known, places, strict=True):
        study.settings(setting)
        check_directory(place)
    parent.mkdir(parents=True, exist_ok=True)
    page, results, console = parent / "index.html", [], _stderr()
    try:
        for index, (study, place) in enumerate(zip(known, places, strict=True), 1):
            with console.status(f"{index}/{len(known)} {study.name} …"):
                result = papers.reproduce(
                    study.name, setting=setting, control=control, directory=place,
                    seeds=seeds if study.fast.seeds else None,
                )  # fmt: skip
            results.append(result)
            console.print(f"{index}/{len(known)} {study.name}: {result.verdict.outcome.value} ({result.seconds:.1f} s)")
    finally:
        if results:
            papers.write_index(results, page)
    if as_json:
        data = {"page": str(page), "studies": [result.summary() for result in results]}
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        table = _table(("study", "left"), ("outcome", "left"), ("expected", "left"), ("seconds", "right"))
        for result in results:
            table.add_row(
                result.name,
                result.verdict.outcome.value,
                result.expected.value + ("" if result.as_expected else "  ←"),
                f"{result.seconds:.1f}",
            )
        _print(table)
        print(page)
    return 0 if all(result.as_expected for result in results) else UNEXPECTED
