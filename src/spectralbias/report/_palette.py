"""Colors that can be told apart by everyone, on light and on dark paper."""

import numpy as np

# What has an order runs from cold to hot; lightness rises along each ramp, so the order shows in gray, too.
_ORDERED = (
    ("#1d3c8f", "#8a2f97", "#cf3f67", "#e58a1f"),
    ("#6f93ff", "#c07ff0", "#ff8d92", "#ffd27a"),
)
# What has none: Okabe and Ito's colors, darkened or lightened where the paper asks for it.
_UNORDERED = (
    ("#0072b2", "#d55e00", "#009e73", "#b5568f", "#b07d00", "#2f9bd6", "#5b5b5b", "#7a3e9d", "#7d8c00", "#8c4a2f"),
    ("#4ea8de", "#f08a4b", "#2fc795", "#e08fc0", "#e6b800", "#8ed1fc", "#b9b9b9", "#b58be0", "#c5d13c", "#c98f73"),
)
# Later is stronger.
_TIMES = (("#a9bdd8", "#0f4c92"), ("#41618f", "#a5cbff"))
# Negative, zero, positive: the residual in pictures.
DIVERGING = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(channel)):02x}" for channel in rgb)


def ramp(anchors: tuple[str, ...], at: np.ndarray) -> np.ndarray:
    """Colors (…, 3) in [0, 255] at positions in [0, 1] along a ramp."""
    stops = np.array([_rgb(color) for color in anchors])
    where = np.linspace(0, 1, len(anchors))
    return np.stack([np.interp(at, where, stops[:, channel]) for channel in range(3)], axis=-1)


def _ramp(anchors: tuple[str, ...], count: int) -> list[str]:
    return [_hex(rgb) for rgb in ramp(anchors, np.linspace(0, 1, max(count, 2)))][:count]


def bands(count: int, kind: str) -> tuple[list[str], list[str]]:
    """A color for each band on light and on dark paper."""
    if kind in ("degree", "frequency"):
        return _ramp(_ORDERED[0], count), _ramp(_ORDERED[1], count)
    return unordered(count)


def unordered(count: int) -> tuple[list[str], list[str]]:
    """Colors of things without an order; after ten they come again."""
    light, dark = ([theme[i % len(theme)] for i in range(count)] for theme in _UNORDERED)
    return light, dark


def times(count: int) -> tuple[list[str], list[str]]:
    """Colors of instants."""
    light, dark = (_ramp(theme, count) for theme in _TIMES)
    return light, dark
