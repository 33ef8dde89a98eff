"""Columns of the files that hold tables: text, Arrow and NumPy formats; nothing that could run code."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._core.errors import InputError
from ._files import one_line

Columns = list[tuple[str, np.ndarray]]


def read_columns(file: Path) -> Columns:
    """Named columns, each float64 (NaN where missing), bool, or text (object; None where missing)."""
    read = READERS.get(file.suffix.lower())
    if read is None:
        known = ", ".join(READERS)
        raise InputError(f"cannot read a table from {str(file)!r}, ending {file.suffix!r}: known are {known}")
    try:
        return read(file)
    except Exception as error:  # the decoder of a damaged file may raise anything
        raise InputError(f"cannot read {str(file)!r} as {file.suffix[1:].lower()}: {one_line(error)}") from None


def _read_text(delimiter: str) -> Callable[[Path], Columns]:
    def read(file: Path) -> Columns:
        from pyarrow import csv

        table = csv.read_csv(
            file,
            read_options=csv.ReadOptions(use_threads=False),  # several threads do not count rows for errors
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
        )
        return _from_arrow(table)

    return read


def _read_parquet(file: Path) -> Columns:
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        return _from_arrow(opened.read())


def _from_arrow(table: Any) -> Columns:
    return [(name, _arrow_column(column)) for name, column in zip(table.column_names, table.columns, strict=True)]


def _arrow_column(column: Any) -> np.ndarray:
    """Numbers stay numbers; text, dates and times become text."""
    import pyarrow as pa
    from pyarrow.types import is_boolean, is_decimal, is_dictionary, is_floating, is_integer, is_null

    if is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if is_boolean(kind) and not column.null_count:
        return column.to_numpy()
    if any(is_kind(kind) for is_kind in (is_integer, is_floating, is_decimal, is_boolean, is_null)):
        return column.cast(pa.float64(), safe=False).to_numpy()
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


def _read_numpy(file: Path) -> Columns:
    with file.open("rb") as opened:
        try:
            loaded = np.load(opened, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except ValueError:
            raise InputError("it is damaged or holds pickled objects: save arrays of numbers") from None
    if len(arrays) == 1 and next(iter(arrays.values())).ndim == 2:
        (matrix,) = arrays.values()
        return [(str(i), _numpy_column(str(i), values)) for i, values in enumerate(matrix.T)]
    if "" in arrays:
        raise InputError(f"it must hold a 2-D array (rows, columns), got shape {arrays[''].shape}")
    return list(_by_name(arrays))


def _by_name(arrays: dict[str, np.ndarray]) -> Iterable[tuple[str, np.ndarray]]:
    """A 1-D array is one column; a 2-D array `a` is the columns a0, a1 and so on."""
    for name, array in arrays.items():
        if array.ndim not in (1, 2):
            raise InputError(
                f"array {name!r} has shape {array.shape}: arrays must be 1-D (one column) or 2-D (several)"
            )
        if array.ndim == 1:
            yield name, _numpy_column(name, array)
        else:
            yield from ((f"{name}{i}", _numpy_column(f"{name}{i}", values)) for i, values in enumerate(array.T))


def _numpy_column(name: str, values: np.ndarray) -> np.ndarray:
    kind = values.dtype.kind
    if kind == "b":
        return values
    if kind in "iuf":
        return values.astype(np.float64)
    if kind in "SU":
        return values.astype(str).astype(object)
    raise InputError(f"column {name!r} has dtype {values.dtype}: use numbers, booleans or text")


READERS: dict[str, Callable[[Path], Columns]] = {
    ".csv": _read_text(","),
    ".tsv": _read_text("\t"),
    ".parquet": _read_parquet,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
}
