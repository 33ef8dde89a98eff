"""Tables of numbers: regression and classification problems from files."""

import os
from collections import Counter

import numpy as np
from jaxtyping import Array

from .._core.errors import InputError, unknown
from ._columns import Columns, read_columns
from ._files import existing_file, one_line
from ._problem import Problem
from ._random import split

MAX_INTEGER_CLASSES = 20
MAX_TEXT_CLASSES = 1000  # one-hot targets take 8 bytes for each row and class


def table(
    path: str | os.PathLike,
    *,
    target: str | int,
    test_fraction: float = 0.2,
    max_samples: int | None = None,
    key: Array,
) -> Problem:
    """Predict one column of a table from all the others.

    Features are standardized, x = (v - mean)/std, with the mean and standard deviation of the training rows,
    and so is a numeric target. A target that is text, boolean, or whole numbers with at most 20 different
    values stands for classes: y is 1 for the class of the row and 0 for the others.

    Args:
        path: a .csv or .tsv file with a header line; .parquet; .npy with a 2-D array, whose columns are
            called "0", "1", …; .npz with one such array, or with several arrays, of which a 1-D one is a
            column and a 2-D one `a` is the columns "a0", "a1", …. Pickled objects are refused.
        target: name of the column to predict, or its number in an .npy file.
        test_fraction: share of the rows that is held out, in [0, 1); 0 for no test set.
        max_samples: use this many rows, drawn at random, training and test together.
        key: a JAX PRNG key, which draws rows and split.

    Returns:
        A `Problem` with x (n, dim), the `names` of its columns, and y (n,), or y (n, c) and sorted `classes`.
        The rows are in random order. A feature that is constant over the training rows is 0.

    Raises:
        InputError: a file that is missing, of another format, damaged or empty; an unknown `target`; columns
            with equal names; a feature that is text; a value that is missing or not finite; a constant
            target; more than 1000 different texts as target; fewer than 2 training rows.

    Cost and precision:
        The whole file in memory, as float64.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import problems
        >>> np.savez("houses.npz", rooms=np.arange(10), price=np.linspace(0.5, 2.0, 10) ** 2)
        >>> problem = problems.table("houses.npz", target="price", key=jax.random.key(0))
        >>> problem.x.shape, problem.x_test.shape, problem.names
        ((8, 1), (2, 1), ('rooms',))
    """
    file, target = existing_file(path), str(target)
    label, columns = repr(str(file)), read_columns(file)
    _check_shape(label, columns)
    if target not in dict(columns):
        raise unknown("column", one_line(target), [one_line(name) for name, _ in columns])
    for name, values in columns:
        _check_complete(f"column {name!r} of {label}", values)
        if name != target:
            _check_numeric(f"feature column {name!r} of {label}", values)
    features = [(name, values) for name, values in columns if name != target]
    y, classes = _target(f"target column {target!r} of {label}", dict(columns)[target])

    train, test = split(len(y), test_fraction, max_samples, key)
    if np.all(y[train] == y[train[:1]]):
        raise InputError(
            f"target column {target!r} of {label} is constant over the {len(train)} training rows: "
            "there is nothing to learn, choose another target or more rows"
        )
    x = _standardize(np.stack([values.astype(np.float64) for _, values in features], axis=1), train)
    if classes is None:
        y = _standardize(y, train)
    return Problem(
        x[train],
        y[train],
        x_test=x[test] if test.size else None,
        y_test=y[test] if test.size else None,
        classes=classes,
        names=tuple(name for name, _ in features),
    )


def _check_shape(label: str, columns: Columns) -> None:
    """Refuse what is no table: columns that share a name, too few of them, no rows, unequal lengths."""
    repeated = [name for name, count in Counter(name for name, _ in columns).items() if count > 1]
    if repeated:
        raise InputError(f"{label} has several columns {repeated[0]!r}: rename them (is the header missing?)")
    if len(columns) < 2:
        raise InputError(
            f"{label} has {len(columns)} of the 2 columns or more that a problem needs, a target and a "
            "feature: add one (columns are separated by commas in .csv and by tabs in .tsv)"
        )
    lengths = {name: len(values) for name, values in columns}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{label} has columns of different lengths: {one_line(lengths)}")
    if not len(columns[0][1]):
        raise InputError(f"{label} has no rows: a problem needs at least 2")


def _check_complete(label: str, values: np.ndarray) -> None:
    """Refuse missing, NaN and infinite values."""
    is_text = values.dtype == object
    bad = np.array([value is None for value in values]) if is_text else ~np.isfinite(values)
    count = int(bad.sum())
    if count:
        raise InputError(
            f"{label} has {count} missing or non-finite value{'s' * (count > 1)}, the first in row "
            f"{bad.argmax()} (counted from 0): remove such rows or impute their values"
        )


def _check_numeric(label: str, values: np.ndarray) -> None:
    """Refuse a feature that is text, showing the value that makes it text."""
    if values.dtype == object:
        row = next((i for i, value in enumerate(values) if not _is_number(value)), 0)
        raise InputError(
            f"{label} holds text, {one_line(repr(values[row]), 40)} in row {row} (counted from 0): "
            "drop the column or encode it as numbers"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _target(label: str, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """One-hot targets (rows, c) and the names of the classes, or numeric targets (rows,) and None."""
    distinct, labels = np.unique(values, return_inverse=True)
    if values.dtype == np.float64:
        if len(distinct) > MAX_INTEGER_CLASSES or np.any(distinct != np.round(distinct)):
            return values, None
        distinct = [int(value) for value in distinct]
    elif len(distinct) > MAX_TEXT_CLASSES:
        raise InputError(
            f"{label} has {len(distinct)} different texts, {one_line(repr(distinct[0]), 40)} for one, and at "
            f"most {MAX_TEXT_CLASSES} can be classes: if they are numbers, write them as numbers"
        )
    return np.eye(len(distinct))[labels], tuple(str(value) for value in distinct)


def _standardize(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(v - mean)/std along axis 0, with those of the training rows; 0 where these rows are all equal."""
    size = np.abs(values[train]).max(axis=0)
    values = values / np.where(size > 0, size, 1)  # so that no square overflows or vanishes
    rows = values[train]
    std = np.where(np.ptp(rows, axis=0) > 0, rows.std(axis=0), np.inf)
    return (values - rows.mean(axis=0)) / std
