"""`spectralbias advise PHOTO --steps N`: which encoding to train a picture or a signal with, before any training."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .._core.errors import InputError
from ._options import parse
from ._verbs import JSON

if TYPE_CHECKING:
    from ..forecast import Advice

_KNOWN = (
    *("path", "steps", "optimizer", "size", "color", "width", "depth", "encodings", "output", "out", "no_page", "json"),
)


def _help(text: str, **more: Any) -> Any:
    return tyro.conf.arg(help=text, **more)


def _advise(
    path: Annotated[
        tyro.conf.Positional[str], _help("A picture, or an array: .npy, .csv, .tsv, .txt.", metavar="PATH")
    ] = "",
    steps: Annotated[int, _help("How many steps you would train.")] = 2000,
    optimizer: Annotated[Literal["gd", "adam"], _help("`gd` at 1/λ_max, `adam` at 0.001.")] = "gd",
    size: Annotated[
        int | Literal["full"], _help("Pixels of the longer side after reduction; `full` keeps the picture as it is.")
    ] = 512,
    color: Annotated[bool, tyro.conf.FlagCreatePairsOff, _help("Red, green and blue in place of gray.")] = False,
    width: Annotated[int, _help("Units of each hidden layer.")] = 256,
    depth: Annotated[int, _help("Hidden layers.")] = 3,
    encodings: Annotated[
        tuple[str, ...], _help('Only these, as the table names them, e.g. "positional 4" "gaussian 1".')
    ] = (),
    output: Annotated[
        str | None, _help("The page (.html); advice-NAME.html by default. Beside it a picture.", aliases=["--out"])
    ] = None,
    no_page: Annotated[bool, tyro.conf.FlagCreatePairsOff, _help("Write no page and no picture.")] = False,
    json: JSON = False,
) -> dict[str, Any]:
    """Which encoding to train with: what each would reach after so many steps, before any training."""
    return locals()


def main(arguments: list[str]) -> None:
    """The verb `advise`."""
    options = parse(_advise, arguments, prog="spectralbias advise", known=_KNOWN)
    if not options["path"]:
        raise InputError("`path` is missing: spectralbias advise PHOTO.jpg --steps 2000")
    if options["steps"] < 1:
        raise InputError(f"`steps` must be whole and at least 1, got {options['steps']}: there is nothing to predict")
    file = Path(options["path"])
    page = None if options["no_page"] else _page_path(options["output"], file)
    from ._progress import TerminalProgress

    with TerminalProgress() as progress:
        progress.phase("Reading")
        from ._advise_input import read

        target = read(file)
        progress.phase("Predicting")
        from ..forecast import recommend_encoding

        advice = recommend_encoding(
            target,
            steps=options["steps"],
            optimizer=options["optimizer"],
            width=options["width"],
            depth=options["depth"],
            encodings=options["encodings"] or None,
            size=None if options["size"] == "full" else options["size"],
            color=options["color"],
        )
        from ._advise_recipe import recipe

        how = recipe(advice, file, options)
        if page is not None:
            progress.phase("Drawing")
            from ..report import write_advice

            write_advice(advice, page, name=file.name, recipe=how.blocks)
    if options["json"]:
        print(json.dumps(_data(advice, how, page), indent=2, allow_nan=False))
    else:
        _show(advice, how, page)


def _page_path(output: str | None, file: Path) -> Path:
    """Where the page goes; checked before anything is computed."""
    path = Path(output or f"advice-{file.stem}.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"`output` must end in .html, got {str(path)!r}")
    if not path.parent.is_dir():
        raise InputError(f"`output` is in the directory {str(path.parent)!r}, which does not exist: make it first")
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"`output` {str(path)!r} cannot be written: choose another file")
    return path


def _data(advice: "Advice", how: Any, page: Path | None) -> dict[str, Any]:
    """Everything as plain data."""
    import numpy as np

    def plain(values: Any) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in np.atleast_1d(values)]

    return {
        "pick": advice.pick.label,
        "why": advice.why,
        "notes": list(advice.notes),
        "steps": advice.budget,
        "optimizer": advice.optimizer,
        "shape": list(advice.shape),
        "seconds": advice.seconds,
        "recorded_steps": [int(step) for step in advice.steps],
        "encodings": [
            {
                "encoding": choice.label,
                "held_out_psnr": plain(choice.psnr)[0],
                "train_psnr": plain(choice.train_psnr)[0],
                "held_out_psnr_at": plain(choice.held_out),
                "train_psnr_at": plain(choice.train),
                "method": choice.method,
            }
            for choice in advice.table
        ],
        "command": how.command,
        "config": how.config,
        "python": how.python,
        "page": None if page is None else str(page),
        "picture": None if page is None else str(page.with_suffix(".png")),
    }


def _show(advice: "Advice", how: Any, page: Path | None) -> None:
    """The table, the pick and why, what to doubt, and how to train with it."""
    from rich.console import Console
    from rich.table import Table

    from ..report._advice_words import headline, table_head, table_rows

    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=max(console.width, 140))
    table = Table(box=None, pad_edge=False)
    head = table_head(advice)
    for index, title in enumerate(head):
        table.add_column(title, justify="left" if index in (0, len(head) - 1) else "right", no_wrap=index == 0)
    for row in table_rows(advice):
        table.add_row(*row)
    console.print(table, markup=False)
    print()
    narrow = min(console.width, 110)
    doubts = [f"What to doubt: {' '.join(advice.notes)}"] if advice.notes else []
    for sentence in (f"{headline(advice)} {advice.why}", *doubts):
        console.print(sentence, markup=False, width=narrow)
        print()
    for text, code in how.blocks:
        console.print(text, markup=False, width=narrow)
        print("\n" + "\n".join(f"    {line}".rstrip() for line in code.splitlines()) + "\n")
    if page is not None:
        print(page)
