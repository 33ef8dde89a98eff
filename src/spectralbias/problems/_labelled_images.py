"""What the data sets of labelled pictures share: a problem from bytes, and a random part of it."""

from pathlib import Path

import numpy as np
from jaxtyping import Array

from .._core.checks import whole
from .._core.errors import InputError
from ._files import one_line
from ._problem import Problem
from ._random import generator

Labelled = tuple[np.ndarray, np.ndarray]  # bytes (n, values) and classes (n,)


def read_bytes(file: Path) -> bytes:
    """The content of a file, unpacked where it is gzip's."""
    import gzip
    import zlib

    try:
        content = file.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{str(file)!r} is damaged or not complete: {one_line(error)}. Get it again") from None
    except OSError as error:
        raise InputError(f"cannot read {str(file)!r}: {one_line(error.strerror or error)}") from None


def check_classes(file: Path, classes: np.ndarray, count: int) -> None:
    """Refuse labels of classes that there are not."""
    wrong = np.flatnonzero(classes >= count)
    if wrong.size:
        raise InputError(
            f"{str(file)!r} has the label {classes[wrong[0]]} at sample {wrong[0]}: labels are below {count}"
        )


def labelled_images(
    train: Labelled, test: Labelled | None, classes: tuple[str, ...], max_samples: int | None, key: Array | None
) -> Problem:
    """A problem of these samples, or of random ones among them."""
    if max_samples is not None:
        whole("max_samples", max_samples, 2)
        if key is None:
            raise InputError("`max_samples` draws samples at random: give `key`, such as jax.random.key(0)")
        draws = generator(key)
        train = _some(train, max_samples, draws)
        test = None if test is None else _some(test, max_samples, draws)
    x, y = _in_numbers(train, len(classes))
    x_test, y_test = (None, None) if test is None else _in_numbers(test, len(classes))
    return Problem(x, y, x_test=x_test, y_test=y_test, classes=classes)


def _some(samples: Labelled, count: int, draws: np.random.Generator) -> Labelled:
    order = draws.permutation(len(samples[1]))[:count]
    return samples[0][order], samples[1][order]


def _in_numbers(samples: Labelled, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1], and 1 for the class of a picture."""
    return samples[0] / 255, np.eye(count)[samples[1]]
