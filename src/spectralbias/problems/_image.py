"""Images as functions from pixel coordinates to gray values or colors."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import ArrayLike

from .._core.checks import finite_array, whole
from .._core.errors import InputError
from ._cells import cell_centers
from ._files import existing_file, one_line
from ._problem import Grid, Problem

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
NO_CONTRAST = 1e-6  # below the step of 16-bit images (1.5e-5), above the rounding of resizing in float32


def image(path: str | os.PathLike | ArrayLike, *, size: int | None = 64, color: bool = False) -> Problem:
    """The function from pixel coordinates to brightness that an image is, on its grid of pixel centers.

    Pixel (i, j) of r rows and c columns has x = (-1 + (2i + 1)/r, -1 + (2j + 1)/c), and y is its value in
    [0, 1]: in gray, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) of the stored color, gamma not undone.

    Args:
        path: a file of any format that Pillow reads (its first frame, turned as the EXIF orientation says,
            transparency laid on white), or an array (rows, columns) or (rows, columns, 3) of uint8, uint16,
            or numbers in [0, 1].
        size: pixels along the longer side of the result. A larger image is reduced with Lanczos' filter,
            keeping its aspect ratio; a smaller one is never enlarged. None for full resolution.
        color: red, green and blue instead of gray.

    Returns:
        A `Problem` with x (n, 2), the row coordinate first, in row-major order; y (n,), or (n, 3) in color;
        and its `grid`.

    Raises:
        InputError: no file or no image, values outside [0, 1], `size` below 2, one pixel, a single color.

    Cost and precision:
        24 bytes for each pixel of the file. 8- and 16-bit values are exact in float64; they are reduced in
        float32 (1e-7), and the overshoots of Lanczos' filter are cut off at 0 and 1.

    Example:
        >>> import numpy as np
        >>> from spectralbias import problems
        >>> problem = problems.image(np.eye(128), size=32)
        >>> problem.x.shape, problem.grid.shape, problem.grid.unit
        ((1024, 2), (32, 32), 'cycles per image')
    """
    longest = None if size is None else whole("size", size, 2)
    if isinstance(path, str | os.PathLike):
        file = existing_file(path)
        label, pixels = repr(str(file)), read_pixels(file)
    else:
        label, pixels = "array", _from_array(path)
    if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 1:
        raise InputError(
            f"image {label} has values from {pixels.min():g} to {pixels.max():g}: scale them to [0, 1], "
            "or give an array of dtype uint8 or uint16"
        )
    if not color and pixels.shape[2] == 3:
        pixels = (pixels @ LUMA)[..., None]
    rows, columns = pixels.shape[:2]
    if rows * columns < 2:
        raise InputError(f"image {label} has {rows} x {columns} pixels: there must be at least 2")
    if longest is not None and max(rows, columns) > longest:
        pixels = _reduce(pixels, longest)
        rows, columns = pixels.shape[:2]
    y = np.clip(pixels.reshape(rows * columns, -1), 0, 1)
    if np.ptp(y, axis=0).max() < NO_CONTRAST:
        raise InputError(f"image {label} has a single color at {rows} x {columns} pixels: there is nothing to learn")
    if color and y.shape[1] == 1:
        y = np.repeat(y, 3, axis=1)

    row, column = np.meshgrid(cell_centers(rows), cell_centers(columns), indexing="ij")
    return Problem(
        np.stack([row.ravel(), column.ravel()], axis=1),
        y if color else y[:, 0],
        grid=Grid((rows, columns), 2.0, "cycles per image"),
    )


def read_pixels(file: Path) -> np.ndarray:
    """Pixels (rows, columns, 1 or 3) of a file, with 1 for white."""
    from PIL import Image, ImageOps

    try:
        # A stream: Pillow maps named files into memory and garbles uncompressed TIFFs of orientation 5 to 8.
        with file.open("rb") as stream, Image.open(stream) as stored:
            picture = ImageOps.exif_transpose(stored)
        if picture.mode == "F":
            return np.asarray(picture, dtype=np.float64)[..., None]
        if picture.mode.startswith("I"):
            levels = np.asarray(picture, dtype=np.float64)[..., None]
            return np.where(levels == picture.info.get("transparency", -1), 1.0, levels / 65535)
        if picture.has_transparency_data:
            rgba = np.asarray(picture.convert("RGBA"), dtype=np.float64) / 255
            opacity = rgba[..., 3:]
            return 1 - opacity * (1 - rgba[..., :3])
        gray = picture.mode in ("1", "L")
        values = np.asarray(picture.convert("L" if gray else "RGB"), dtype=np.float64) / 255
        return values[..., None] if gray else values
    except Image.UnidentifiedImageError:
        raise InputError(f"{str(file)!r} is not an image of a format that Pillow reads: convert it to PNG") from None
    except Exception as error:  # the decoder of a damaged file may raise anything
        raise InputError(f"cannot read {str(file)!r} as an image: {one_line(error)}") from None


def _from_array(value: ArrayLike) -> np.ndarray:
    """Pixels (rows, columns, 1 or 3) of an array."""
    pixels = finite_array("image", value, ndim=(2, 3))
    pixels = pixels / {"u1": 255, "u2": 65535}.get(np.asarray(value).dtype.str[1:], 1)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[2] not in (1, 3):
        raise InputError(f"an image array must have shape (rows, columns) or (rows, columns, 3), got {pixels.shape}")
    return pixels


def _reduce(pixels: np.ndarray, longest: int) -> np.ndarray:
    """The pixels at a smaller size; Pillow widens the filter by the scale, so that nothing aliases."""
    from PIL import Image

    rows, columns = (max(1, round(side * longest / max(pixels.shape[:2]))) for side in pixels.shape[:2])
    channels = [Image.fromarray(channel) for channel in np.moveaxis(pixels, 2, 0).astype(np.float32)]
    return np.stack(
        [np.asarray(c.resize((columns, rows), Image.Resampling.LANCZOS), dtype=np.float64) for c in channels],
        axis=2,
    )
