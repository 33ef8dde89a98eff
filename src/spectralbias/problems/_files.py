"""What the readers of files share: paths that lead somewhere, and foreign errors told in one line."""

import os
from pathlib import Path

from .._core.errors import InputError


def existing_file(path: str | os.PathLike) -> Path:
    """`path` if it is a file, or an `InputError` that says what it is instead."""
    file = Path(path)
    try:
        is_file, is_folder = file.is_file(), file.is_dir()
    except OSError as error:
        raise InputError(f"cannot open {one_line(repr(str(file)))}: {one_line(error.strerror)}") from None
    if is_folder:
        raise InputError(f"{str(file)!r} is a directory: give the path of one file")
    if not is_file:
        raise InputError(f"there is no file {str(file)!r}: check the path, seen from {str(Path.cwd())!r}")
    return file


def existing_path(path: str | os.PathLike, expected: str) -> Path:
    """`path` if there is something, or an `InputError` that says what was `expected`."""
    place = Path(path)
    try:
        found = place.exists()
    except OSError as error:
        raise InputError(f"cannot open {one_line(repr(str(place)))}: {one_line(error.strerror)}") from None
    if not found:
        raise InputError(f"there is no {expected} {str(place)!r}: check the path, seen from {str(Path.cwd())!r}")
    return place


def one_line(value: object, limit: int = 160) -> str:
    """Text of unknown origin, or a foreign error's message, that fits into a message of one line."""
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
