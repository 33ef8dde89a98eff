"""What `spectralbias advise` reads: a picture, or numbers."""

from pathlib import Path

import numpy as np

from .._core.errors import InputError
from ..problems._files import existing_file, one_line

# Ending -> what stands between numbers; None for blanks.
TEXT = {".csv": ",", ".tsv": "\t", ".txt": None}


def is_array(file: Path) -> bool:
    """Whether the file holds numbers, by its ending."""
    return file.suffix.lower() in (".npy", *TEXT)


def read(file: Path) -> Path | np.ndarray:
    """A picture as its path, numbers as an array (n,), (rows, columns) or (rows, columns, 3)."""
    existing_file(file)
    return _read_array(file) if is_array(file) else file


def _read_array(file: Path) -> np.ndarray:
    """The numbers of a file: one row or one column is a signal, more are a picture."""
    try:
        array = np.load(file, allow_pickle=False) if file.suffix.lower() == ".npy" else _read_text(file)
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"cannot read {str(file)!r} as {file.suffix[1:].lower()}: {one_line(error)}") from None
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    return array


def _read_text(file: Path) -> np.ndarray:
    """Numbers in rows, with a first line of titles or without."""
    return np.loadtxt(
        file, delimiter=TEXT[file.suffix.lower()], skiprows=int(has_titles(file)), ndmin=2, encoding="utf-8"
    )


def has_titles(file: Path) -> bool:
    """Whether the first line of a text file is none of numbers."""
    with file.open(encoding="utf-8") as lines:
        first = lines.readline().strip()
    try:
        return not [float(cell) for cell in first.split(TEXT[file.suffix.lower()])]
    except ValueError:
        return True
