"""Run a study and keep what it found."""

import io
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .._core.errors import InputError
from ..report._style import png
from ..runs._files import write_atomic, write_json
from ._catalog import find
from ._study import StudyResult

STUDIES_DIRECTORY = Path("spectralbias-studies")


def reproduce(
    name: str,
    *,
    setting: str = "fast",
    seeds: int | Sequence[int] | None = None,
    control: bool = False,
    data: str | os.PathLike | None = None,
    directory: str | Path | None = None,
) -> StudyResult:
    """Run a study, and write its figure, its numbers and its verdict.

    Args:
        name: of the study; `studies()` lists them.
        setting: `"fast"`, `"desktop"` for what two cores do in minutes, or `"paper"` for the sizes of the paper.
        seeds: other repetitions than the setting's: how many, or which. Few of them make a verdict inconclusive.
        control: run the negative control, whose verdict must be the opposite.
        data: a folder or a file of yours, such as that of CIFAR-10, for a study that takes one: its note says of what.
            It takes the place of what the study comes with.
        directory: where to write `figure.png`, `numbers.npz` and `result.json`; by default
            `spectralbias-studies/<name>-<setting>`, with `-control` behind it for a control. An earlier result there
            is replaced.

    Returns:
        `StudyResult`, with `.verdict`, `.numbers` and `.figure()`.

    Raises:
        InputError: an unknown study or setting, bad seeds, data that cannot be read or that the study does not take, a
            directory that holds something else or cannot be written.

    Cost and precision:
        Seconds in the fast setting, minutes in the paper's. Networks are trained in float32; kernels, spectra and
        projections are in float64.

    Example:
        >>> from spectralbias import papers
        >>> result = papers.reproduce("cao-decay-degree")  # doctest: +SKIP
        >>> result.verdict.outcome.value  # doctest: +SKIP
        'holds'
    """
    study = find(name)
    study.settings(setting, seeds=seeds, data=data)
    target = result_directory(name, setting=setting, control=control) if directory is None else Path(directory)
    check_directory(target)
    result = study.run(setting, seeds=seeds, control=control, data=data)
    write_result(result, target)
    return result


def result_directory(
    name: str, *, setting: str = "fast", control: bool = False, parent: Path = STUDIES_DIRECTORY
) -> Path:
    """Where a result is kept unless something else is asked for."""
    return parent / f"{name}-{setting}{'-control' if control else ''}"


def check_directory(directory: Path) -> None:
    """Refuse a place that holds anything but an earlier result, or cannot be written; asked before the work is done."""
    try:
        nearest = next(path for path in (directory, *directory.parents) if path.exists())
        if not nearest.is_dir():
            raise InputError(f"cannot write to {directory}: {'it' if nearest == directory else nearest} is a file")
        if nearest == directory and any(directory.iterdir()) and not (directory / "result.json").is_file():
            raise InputError(f"{directory} is not empty and holds no result of a study: choose another directory")
        # Permissions alone do not tell: some file systems refuse new files to everyone.
        with tempfile.TemporaryDirectory(prefix=".spectralbias-", dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror or error}") from None


def write_result(result: StudyResult, directory: Path) -> None:
    """Write the three files; `result.json` comes last, so that where it is the others are."""
    directory.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **result.numbers)  # pyright: ignore[reportArgumentType]
    write_atomic(directory / "numbers.npz", buffer.getvalue())
    write_atomic(directory / "figure.png", png(result.figure()))
    # A number that is not finite has no place in JSON: the arrays have them all.
    write_json(directory / "result.json", json.loads(json.dumps(result.summary()), parse_constant=lambda text: None))
