"""A few photographs that are there without a download, and a user's folder of them."""

import importlib.util
import os
from pathlib import Path
from typing import Literal

import numpy as np

from .._core.checks import whole
from .._core.errors import InputError, unknown
from ._files import existing_path
from ._image import image, read_pixels
from ._problem import Problem

SOURCES = ("auto", "scikit-learn", "scikit-image")
ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What scikit-image has in its wheel; its other photographs are downloaded.
SHIPPED = ("astronaut", "coffee", "chelsea")
# Parts of scikit-learn's two photographs that do not overlap: name -> (picture, first row, first column, side).
CROPS = {
    "china, upper left": ("china", 0, 0, 213),
    "china, upper middle": ("china", 0, 213, 213),
    "china, lower left": ("china", 213, 0, 213),
    "china, lower middle": ("china", 213, 213, 213),
    "flower, middle": ("flower", 60, 210, 213),
}


def natural_images(
    size: int = 64,
    *,
    color: bool = True,
    count: int = 5,
    source: Literal["auto", "scikit-learn", "scikit-image"] = "auto",
    directory: str | os.PathLike | None = None,
) -> dict[str, Problem]:
    """Photographs as functions from pixel coordinates to colors: five that are there anyhow, or those in a folder.

    Statements about images should hold for more than one. scikit-learn comes with two photographs, china and flower,
    and scikit-image with three more: astronaut, coffee and chelsea. Where scikit-image is not installed, five parts of
    china and flower stand in, which do not overlap. The names say which it is.

    Args:
        size: pixels along each side of the result. A picture is cut to the largest square in its middle, and reduced
            with Lanczos' filter; never enlarged.
        color: red, green and blue, or gray.
        count: how many, the first ones.
        source: `"scikit-learn"` for the parts of china and flower, `"scikit-image"` for five photographs, an error
            where it is not installed; `"auto"` takes what there is.
        directory: a folder of your images in place of these, such as DIV2K: the first `count` in the order of their
            names.

    Returns:
        name -> `Problem`, as `problems.image` makes it: x (size², 2) are the pixel centers in [-1, 1]², y (size², 3) or
        (size²,) in [0, 1], with its `grid`.

    Raises:
        InputError: a missing folder or too few images in it, a picture smaller than `size`, scikit-image that is asked
            for and not installed.

    Cost and precision:
        Tens of milliseconds a picture; as `problems.image`.

    Example:
        >>> from spectralbias import problems
        >>> pictures = problems.natural_images(32, source="scikit-learn")
        >>> list(pictures)[::4], pictures["flower, middle"].y.shape
        (['china, upper left', 'flower, middle'], (1024, 3))

    References:
        Agustsson & Timofte 2017 (DIV2K), whose test set Lazzari & Liu 2023 use, at 512 x 512 pixels.
    """
    whole("size", size, 2)
    whole("count", count, 1)
    if source not in SOURCES:
        raise unknown("source", source, SOURCES)
    if directory is not None:
        if source != "auto":
            raise InputError(f"`source` is {source!r} and `directory` is given: leave one of them out")
        pictures = _from_folder(existing_path(directory, "folder"), count)
    else:
        installed = importlib.util.find_spec("skimage") is not None
        if source == "scikit-image" and not installed:
            raise InputError("scikit-image is not installed: run `pip install scikit-image`, or leave `source` out")
        pictures = _photographs() if installed and source != "scikit-learn" else _crops()
        if count > len(pictures):
            raise InputError(f"there are {len(pictures)} photographs without `directory`, got `count` {count}")
    chosen = list(pictures.items())[:count]
    return {name: image(_square(name, pixels, size), size=size, color=color) for name, pixels in chosen}


def _square(name: str, pixels: np.ndarray, size: int) -> np.ndarray:
    """The largest square in the middle."""
    side = min(pixels.shape[:2])
    if side < size:
        raise InputError(
            f"{name!r} has {pixels.shape[0]} x {pixels.shape[1]} pixels and `size` is {size}: images are not enlarged, "
            "take a smaller size, or give larger ones with `directory`"
        )
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _scikit_learn() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_sample_image

    return {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}


def _photographs() -> dict[str, np.ndarray]:
    from skimage import data  # pyright: ignore[reportMissingImports]

    return _scikit_learn() | {name: np.asarray(getattr(data, name)()) for name in SHIPPED}


def _crops() -> dict[str, np.ndarray]:
    whole_pictures = _scikit_learn()
    return {
        name: whole_pictures[picture][row : row + side, column : column + side]
        for name, (picture, row, column, side) in CROPS.items()
    }


def _from_folder(folder: Path, count: int) -> dict[str, np.ndarray]:
    """The first images by name, with their values in [0, 1]."""
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file: give the folder that has your images")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
    if len(files) < count:
        raise InputError(
            f"there are {len(files)} images in {str(folder)!r}, and `count` is {count}: they end in "
            f"{', '.join(ENDINGS)}"
        )
    return {file.name: read_pixels(file) for file in files[:count]}
