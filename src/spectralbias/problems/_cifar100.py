"""Small color photographs in the format of CIFAR-100."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Array

from .._core.errors import InputError, unknown
from ._cifar10 import VALUES
from ._files import existing_path
from ._labelled_images import Labelled, check_classes, labelled_images, read_bytes
from ._problem import Problem

FOLDER, TRAIN, TEST = "cifar-100-binary", "train.bin", "test.bin"
# Which byte of a sample it is, and of how many classes.
KINDS = {"coarse": (0, 20), "fine": (1, 100)}
NAMES = {"coarse": "coarse_label_names.txt", "fine": "fine_label_names.txt"}


def cifar100(
    path: str | os.PathLike,
    *,
    labels: Literal["fine", "coarse"] = "fine",
    max_samples: int | None = None,
    key: Array | None = None,
) -> Problem:
    """The photographs of CIFAR-100 from the files of its binary version, with its 100 classes or its 20 coarse ones.

    x are the pixels of a picture in [0, 1]: all of red row by row, then green, then blue; y is 1 for the class of the
    picture and 0 for the others. `x.reshape(-1, 3, 32, 32)` are pictures for a convolutional network.

    Args:
        path: the folder `cifar-100-binary` or the one that it is in, or one file of it. In a folder `train.bin` is the
            training set, and `test.bin` is the test set, if it is there.
        labels: `"fine"` for 100 classes, `"coarse"` for 20.
        max_samples: at most so many training samples, and test samples, drawn at random. All by default, in the order
            of the files.
        key: a JAX PRNG key, for `max_samples`.

    Returns:
        A `Problem` with x (n, 3072), y (n, 100) or (n, 20), and `classes`: the names in `fine_label_names.txt` or
        `coarse_label_names.txt` of the folder, or else the numbers `("0", "1", …)`.

    Raises:
        InputError: no such folder or file, a file of another kind, or not complete; unknown `labels`.

    Cost and precision:
        All 60,000 images take 1.5 GB, in float64.

    Example:
        >>> from spectralbias import problems
        >>> problem = problems.cifar100("cifar-100-binary", labels="coarse")  # doctest: +SKIP
        >>> problem.x.shape, problem.classes[0]  # doctest: +SKIP
        ((50000, 3072), 'aquatic_mammals')

    References:
        Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    if labels not in KINDS:
        raise unknown("labels", labels, KINDS)
    place = existing_path(path, "folder or file")
    if not place.is_dir():
        return labelled_images(_read(place, labels), None, _classes(place.parent, labels), max_samples, key)
    folder = place / FOLDER if (place / FOLDER).is_dir() else place
    if not (folder / TRAIN).is_file():
        raise InputError(
            f"there is no {TRAIN!r} in {str(folder)!r}: give the folder {FOLDER!r} of the binary version of CIFAR-100"
        )
    test = _read(folder / TEST, labels) if (folder / TEST).is_file() else None
    return labelled_images(_read(folder / TRAIN, labels), test, _classes(folder, labels), max_samples, key)


def _classes(folder: Path, labels: str) -> tuple[str, ...]:
    """Names from the file that comes with the data, where it is whole."""
    count, file = KINDS[labels][1], folder / NAMES[labels]
    names = tuple(file.read_text(encoding="utf-8", errors="replace").split()) if file.is_file() else ()
    return names if len(names) == count else tuple(map(str, range(count)))


def _read(file: Path, labels: str) -> Labelled:
    """Images and labels of one file: for each sample a byte with its coarse class, one with its fine, the picture."""
    content = read_bytes(file)
    if not content or len(content) % (2 + VALUES):
        raise InputError(
            f"{str(file)!r} has {len(content)} bytes, which is no multiple of {2 + VALUES}: it is not complete, or not "
            "of the binary version of CIFAR-100"
        )
    samples = np.frombuffer(content, np.uint8).reshape(-1, 2 + VALUES)
    byte, count = KINDS[labels]
    check_classes(file, samples[:, byte], count)
    return samples[:, 2:], samples[:, byte]
