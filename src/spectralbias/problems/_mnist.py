"""Handwritten digits in the format of MNIST."""

import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ._files import existing_path
from ._labelled_images import Labelled, check_classes, labelled_images, read_bytes
from ._problem import Problem

CLASSES = tuple(map(str, range(10)))
CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

# Bytes 3 and 4 of a file: unsigned bytes (8), and how many axes they have.
IMAGES, LABELS = 0x00000803, 0x00000801


def mnist(directory: str | os.PathLike, *, max_samples: int | None = None, key: Array | None = None) -> Problem:
    """The digits of MNIST from its four original files, or another data set in their format.

    x are the pixels of a picture, row by row, in [0, 1]; y is 1 for the digit that is shown and 0 for the other nine.
    `x.reshape(-1, 1, 28, 28)` are pictures for a convolutional network.

    Args:
        directory: the folder with `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`. The test set is
            `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, if they are there. Each may end in `.gz`, and have
            `.idx` in place of `-idx`.
        max_samples: at most so many training samples, and test samples, drawn at random. All by default, in the order
            of the files.
        key: a JAX PRNG key, for `max_samples`.

    Returns:
        A `Problem` with x (n, 784), y (n, 10) and `classes` `("0", …, "9")`.

    Raises:
        InputError: a file that is missing, of another kind, damaged or not complete; images and labels that differ in
            number.

    Cost and precision:
        All 70,000 images take 440 MB, in float64.

    Example:
        >>> from spectralbias import problems
        >>> problem = problems.mnist("mnist")  # doctest: +SKIP
        >>> problem.x.shape, problem.x_test.shape  # doctest: +SKIP
        ((60000, 784), (10000, 784))

    References:
        LeCun, Cortes & Burges, The MNIST database of handwritten digits.
    """
    return _problem(directory, CLASSES, max_samples, key)


def fashion_mnist(directory: str | os.PathLike, *, max_samples: int | None = None, key: Array | None = None) -> Problem:
    """The pieces of clothing of Fashion-MNIST, which has the format and the names of the files of MNIST.

    x are the pixels of a picture, row by row, in [0, 1]; y is 1 for what is shown and 0 for the other nine.

    Args:
        directory: the folder with the four files; see `mnist`.
        max_samples: at most so many training samples, and test samples, drawn at random. All by default.
        key: a JAX PRNG key, for `max_samples`.

    Returns:
        A `Problem` with x (n, 784), y (n, 10) and `classes` `("T-shirt/top", …, "ankle boot")`.

    Raises:
        InputError: as `mnist`. That the files are those of MNIST cannot be seen.

    Cost and precision:
        All 70,000 images take 440 MB, in float64.

    Example:
        >>> from spectralbias import problems
        >>> problem = problems.fashion_mnist("fashion-mnist")  # doctest: +SKIP
        >>> problem.classes[9]  # doctest: +SKIP
        'ankle boot'

    References:
        Xiao, Rasul & Vollgraf 2017, Fashion-MNIST.
    """
    return _problem(directory, CLOTHES, max_samples, key)


def _problem(
    directory: str | os.PathLike, classes: tuple[str, ...], max_samples: int | None, key: Array | None
) -> Problem:
    """The files of a folder, with names of the classes."""
    folder = existing_path(directory, "folder")
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file: give the folder that has the files of MNIST")
    test_files = [_find(folder, "t10k", what) for what in ("images", "labels")]
    train = _read(folder, "train")
    test = _read(folder, "t10k") if any(test_files) else None
    if test is not None and test[0].shape[1] != train[0].shape[1]:
        raise InputError(f"the training images in {str(folder)!r} are not of the size of the test images")
    return labelled_images(train, test, classes, max_samples, key)


def _names(part: str, what: str) -> list[str]:
    """How a file may be called."""
    axes = 3 if what == "images" else 1
    return [f"{part}-{what}{mark}idx{axes}-ubyte{ending}" for mark in "-." for ending in ("", ".gz")]


def _find(folder: Path, part: str, what: str) -> Path | None:
    """The file of these images or labels."""
    return next((folder / name for name in _names(part, what) if (folder / name).is_file()), None)


def _read(folder: Path, part: str) -> Labelled:
    """Images and labels of one part."""
    arrays = []
    for what in ("images", "labels"):
        file = _find(folder, part, what)
        if file is None:
            name, packed, *_ = _names(part, what)
            raise InputError(f"there is no {name!r} or {packed!r} in {str(folder)!r}: MNIST has these files")
        arrays.append(_idx(file, IMAGES if what == "images" else LABELS))
    images, labels = arrays
    if len(images) != len(labels):
        raise InputError(
            f"{str(folder)!r} has {len(images)} images and {len(labels)} labels of {part!r}: get them again"
        )
    check_classes(folder, labels, len(CLASSES))
    return images.reshape(len(images), -1), labels


def _idx(file: Path, magic: int) -> np.ndarray:
    """The array in a file: a number for its kind, its shape, both of 4 bytes with the highest first, and its bytes."""
    content, num_axes = read_bytes(file), magic & 0xFF
    start = 4 * (1 + num_axes)
    found = int.from_bytes(content[:4], "big")
    if len(content) < 4 or found != magic:
        hint = {IMAGES: ": it holds images", LABELS: ": it holds labels"}.get(found, "")
        raise InputError(f"{str(file)!r} begins with {found:#010x}, and not with {magic:#010x}{hint}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4")) if len(content) >= start else (0,)
    expected = start + math.prod(shape)
    if len(content) == expected == start:
        raise InputError(f"{str(file)!r} is an array of shape {shape}, without samples")
    if len(content) != expected:
        raise InputError(
            f"{str(file)!r} has {len(content)} bytes, and not the {expected} of an array of shape {shape}: it is not "
            "complete, or damaged"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
