"""Small color photographs in the format of CIFAR-10."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ._files import existing_path
from ._labelled_images import Labelled, check_classes, labelled_images, read_bytes
from ._problem import Problem

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

FOLDER = "cifar-10-batches-bin"
TRAIN, TEST = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
VALUES = 3 * 32 * 32


def cifar10(path: str | os.PathLike, *, max_samples: int | None = None, key: Array | None = None) -> Problem:
    """The photographs of CIFAR-10 from the files of its binary version.

    x are the pixels of a picture in [0, 1]: all of red row by row, then green, then blue; y is 1 for the class of the
    picture and 0 for the other nine. `x.reshape(-1, 3, 32, 32)` are pictures for a convolutional network.

    Args:
        path: the folder `cifar-10-batches-bin` or the one that it is in, or one file of it. In a folder
            `data_batch_1.bin` to `data_batch_5.bin` are the training set, as many of them as there are, and
            `test_batch.bin` is the test set, if it is there.
        max_samples: at most so many training samples, and test samples, drawn at random. All by default, in the order
            of the files.
        key: a JAX PRNG key, for `max_samples`.

    Returns:
        A `Problem` with x (n, 3072), y (n, 10) and `classes` `("airplane", …, "truck")`.

    Raises:
        InputError: no such folder or file, a file of another kind, or not complete.

    Cost and precision:
        All 60,000 images take 1.5 GB, in float64.

    Example:
        >>> import jax
        >>> from spectralbias import problems
        >>> problem = problems.cifar10(
        ...     "cifar-10-batches-bin", max_samples=2000, key=jax.random.key(0)
        ... )  # doctest: +SKIP
        >>> problem.x.shape, problem.classes[3]  # doctest: +SKIP
        ((2000, 3072), 'cat')

    References:
        Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    place = existing_path(path, "folder or file")
    if not place.is_dir():
        return labelled_images(_batch(place), None, CLASSES, max_samples, key)
    folder = place / FOLDER if (place / FOLDER).is_dir() else place
    batches = [_batch(folder / name) for name in TRAIN if (folder / name).is_file()]
    if not batches:
        raise InputError(
            f"there is no {TRAIN[0]!r} in {str(folder)!r}: give the folder {FOLDER!r} of the binary version of CIFAR-10"
        )
    train = np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])
    test = _batch(folder / TEST) if (folder / TEST).is_file() else None
    return labelled_images(train, test, CLASSES, max_samples, key)


def _batch(file: Path) -> Labelled:
    """Images and labels of one file: for each sample one byte with its class, and the bytes of its picture."""
    content = read_bytes(file)
    if not content or len(content) % (1 + VALUES):
        raise InputError(
            f"{str(file)!r} has {len(content)} bytes, which is no multiple of {1 + VALUES}: it is not complete, or not "
            "of the binary version of CIFAR-10"
        )
    samples = np.frombuffer(content, np.uint8).reshape(-1, 1 + VALUES)
    check_classes(file, samples[:, 0], len(CLASSES))
    return samples[:, 1:], samples[:, 0]
