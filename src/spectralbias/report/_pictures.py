"""Arrays as pictures inside the page."""

import base64
import io
from collections.abc import Sequence

import numpy as np

from ._palette import DIVERGING, ramp

# Where a value is not a number.
_MISSING = 128


def brightness(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Pixels of values in [0, 1], gray (n,) or colored (n, 3); what lies outside is cut off."""
    levels = np.nan_to_num(np.clip(values, 0, 1) * 255, nan=_MISSING)
    return levels.round().astype(np.uint8).reshape(*shape, *values.shape[1:])


def signed(values: np.ndarray, shape: Sequence[int], largest: float) -> np.ndarray:
    """Pixels of values in [-largest, largest]: blue, white, red; color channels each around middle gray."""
    with np.errstate(invalid="ignore"):
        where = np.clip(0.5 + values / (2 * max(largest, np.finfo(float).tiny)), 0, 1)
    if values.ndim == 2:
        return brightness(where, shape)
    pixels = ramp(DIVERGING, np.nan_to_num(where, nan=0.5))
    pixels[np.isnan(where)] = _MISSING
    return pixels.round().astype(np.uint8).reshape(*shape, 3)


def largest_magnitude(*arrays: np.ndarray) -> float:
    """The largest finite absolute value."""
    return max((float(np.max(np.abs(a), where=np.isfinite(a), initial=0)) for a in arrays), default=0.0)


def data_uri(pixels: np.ndarray) -> str:
    """A PNG file as an address that needs no file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=pixels.size < 2**20)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
