"""Which pairs of samples are compared: neighbours, opposite corners, nearest and farthest, or any two.

Networks fail where nearby inputs are too alike to them. So patterns and gradients are compared for pairs that are close
and, beside them, for pairs that are far apart. All pairs are numbers of samples, drawn with a seed.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import ArrayLike, Int

from .._core.checks import finite_array, real_array, whole
from .._core.errors import InputError

__all__ = ["farthest", "local", "nearest", "opposite_quadrants", "uniform"]

Shape = int | Sequence[int]
Classes = Literal["any", "same", "different"]

# Bytes of the distances that are held at once.
_BLOCK = 2**26


def _shape(shape: Shape) -> tuple[int, ...]:
    """The shape of a grid of samples with one axis or two."""
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if len(sizes) not in (1, 2):
        raise InputError(f"`shape` must be (n,) for a signal or (rows, columns) for an image, got {sizes}")
    sizes = tuple(whole("shape", size, 1) for size in sizes)
    if math.prod(sizes) < 2:
        raise InputError(f"`shape` {sizes} has one sample: a pair needs two")
    return sizes


def _two_of(rng: np.random.Generator, size: int, shape: int | tuple[int, ...], distinct: bool) -> tuple[Any, Any]:
    """Two numbers below `size`, which may be equal where that is wanted."""
    first = rng.integers(size, size=shape)
    second = rng.integers(size - distinct, size=shape)
    return first, second + (second >= first) if distinct else second


def local(
    shape: Shape,
    *,
    windows: int | None = None,
    size: int | None = None,
    per_window: int | None = None,
    margin: int | tuple[int, int] | None = None,
    distinct: bool = True,
    seed: int,
) -> Int[np.ndarray, "p 2"]:
    """Pairs of samples in one small window of a signal or an image.

    A window is `size` samples long along each axis. Its center c is drawn at random, and it holds c - size // 2 up to,
    but not including, c - size // 2 + size. In each window pairs are drawn at random, with replacement.

    Args:
        shape: (n,) for a signal, (rows, columns) for an image, whose samples are numbered row by row.
        windows: number of windows; 25 for a signal, 100 for an image.
        size: samples along each axis; by default the paper's share of the shorter axis, which is 50 of 2048 for a
            signal and 50 of 512 for an image, and 2 at least.
        per_window: pairs in each window; 250 for a signal, 500 for an image.
        margin: how far centers stay away from the ends, a number or (low, high): low ≤ c < n - high. By default all
            windows that fit, but for (2048,) the paper's (26, 28), and for (512, 512) its (30, 32).
        distinct: whether the two samples of a pair are never the same one.
        seed: of the random generator.

    Returns:
        Numbers of samples, (windows · per_window, 2), window after window.

    Raises:
        InputError: one sample, a window that does not fit into the grid or that holds one sample only.

    Cost and precision:
        A few random numbers per pair.

    Example:
        >>> from spectralbias import regions
        >>> found = regions.pairs.local((64, 64), windows=10, size=3, per_window=36, seed=0)
        >>> found.shape, int(abs(found[:, 0] % 64 - found[:, 1] % 64).max())
        ((360, 2), 2)

    References:
        Lazzari & Liu 2023, where the two samples of a pair may coincide: their gradients are then parallel and their
        patterns equal, for no reason of the network. `distinct=False` is their procedure.
    """
    sizes = _shape(shape)
    signal = len(sizes) == 1
    shortest = min(sizes)
    windows = whole("windows", (25 if signal else 100) if windows is None else windows, 1)
    per_window = whole("per_window", (250 if signal else 500) if per_window is None else per_window, 1)
    size = max(2, round(50 * shortest / (2048 if signal else 512))) if size is None else whole("size", size, 1)
    if size > shortest:
        raise InputError(f"a window of `size` {size} does not fit into a grid of shape {sizes}")
    held = size ** len(sizes)
    if distinct and held < 2:
        raise InputError("a window of `size` 1 holds one sample and no pair: take a larger one")
    low, high = _margins(sizes, size, margin)
    rng = np.random.default_rng(seed)
    corners = [rng.integers(low, n - high, size=windows) - size // 2 for n in sizes]
    places = _two_of(rng, held, (windows, per_window), distinct)
    found = []
    for place in places:
        numbers = np.zeros((windows, per_window), np.int64)
        for n, corner, inside in zip(sizes, corners, np.unravel_index(place, (size,) * len(sizes)), strict=True):
            numbers = numbers * n + corner[:, None] + inside
        found.append(numbers.ravel())
    return np.stack(found, axis=1)


def _margins(sizes: tuple[int, ...], size: int, margin: int | tuple[int, int] | None) -> tuple[int, int]:
    """How far the centers of windows stay away from both ends."""
    least = size // 2, size - size // 2 - 1
    published = {((2048,), 50): (26, 28), ((512, 512), 50): (30, 32)}
    if margin is None:
        return published.get((sizes, size), least)
    low, high = margin if isinstance(margin, tuple) else (margin, margin)
    low, high = whole("margin", low, 0), whole("margin", high, 0)
    if low < least[0] or high < least[1]:
        raise InputError(f"`margin` must be at least {least} for windows of `size` {size}, got {(low, high)}")
    if low + high >= min(sizes):
        raise InputError(f"`margin` {(low, high)} leaves no center of a window on a grid of shape {sizes}")
    return low, high


def opposite_quadrants(
    shape: Shape,
    count: int | None = None,
    *,
    near: tuple[int, int] | None = None,
    far: tuple[int, int] | None = None,
    seed: int,
) -> Int[np.ndarray, "p 2"]:
    """Pairs of samples from opposite ends of a signal, or from opposite quadrants of an image.

    For an image one sample has its row in `near` and the other in `far`; the same holds for their columns, in the same
    or in exchanged order with probability ½ each: both diagonals.

    Args:
        shape: (n,) for a signal, (rows, columns) for an image, whose samples are numbered row by row.
        count: number of pairs; 5,000 for a signal, 50,000 for an image.
        near: range (start, stop) of indices along each axis. By default the paper's share: [0, 800) of 2048 for a
            signal, [0, 225) of 512 for an image.
        far: by default [1200, 2048) of 2048 and [275, 512) of 512, but for (2048,) and (512, 512) without the last
            index, as in the paper.
        seed: of the random generator.

    Returns:
        Numbers of samples, (count, 2).

    Raises:
        InputError: one sample along an axis; ranges that overlap, are empty or leave the grid.

    Cost and precision:
        A few random numbers per pair.

    Example:
        >>> from spectralbias import regions
        >>> found = regions.pairs.opposite_quadrants((2048,), seed=0)
        >>> found.shape, found.min(axis=0) >= [0, 1200], found.max(axis=0) < [800, 2047]
        ((5000, 2), array([ True,  True]), array([ True,  True]))

    References:
        Lazzari & Liu 2023.
    """
    sizes = _shape(shape)
    if min(sizes) < 2:
        raise InputError(f"a grid of shape {sizes} has one sample along an axis: it has no opposite quadrants")
    signal = len(sizes) == 1
    count = whole("count", (5_000 if signal else 50_000) if count is None else count, 1)
    published = sizes in ((2048,), (512, 512))
    low, high, whole_axis = (800, 1200, 2048) if signal else (225, 275, 512)
    ranges = []
    for n in sizes:
        start = near or (0, max(1, low * n // whole_axis))
        end = far or (min(n - 1, -(-high * n // whole_axis)), n - published)
        if not (0 <= start[0] < start[1] <= end[0] < end[1] <= n):
            raise InputError(
                f"`near` [{start[0]}, {start[1]}) and `far` [{end[0]}, {end[1]}) must be ranges of indices one after "
                f"the other on an axis of {n} samples"
            )
        ranges.append((start, end))
    rng = np.random.default_rng(seed)
    first = np.zeros(count, np.int64)
    second = first.copy()
    for axis, (n, (start, end)) in enumerate(zip(sizes, ranges, strict=True)):
        one, other = rng.integers(*start, size=count), rng.integers(*end, size=count)
        exchanged = rng.integers(2, size=count) == 1 if axis else np.zeros(count, bool)
        first = first * n + np.where(exchanged, other, one)
        second = second * n + np.where(exchanged, one, other)
    return np.stack([first, second], axis=1)


def uniform(n: int, count: int = 50_000, *, distinct: bool = True, seed: int) -> Int[np.ndarray, "p 2"]:
    """Pairs of any two of n samples.

    Args:
        n: number of samples.
        count: number of pairs, drawn with replacement.
        distinct: whether the two samples of a pair are never the same one.
        seed: of the random generator.

    Returns:
        Numbers of samples, (count, 2).

    Raises:
        InputError: one sample, where the two are to be distinct.

    Cost and precision:
        Two random numbers per pair.

    Example:
        >>> from spectralbias import regions
        >>> regions.pairs.uniform(100, 5, seed=0).shape
        (5, 2)

    References:
        Lazzari & Liu 2023: 50,000 pairs for the Hamming distance per layer.
    """
    n, count = whole("n", n, 1), whole("count", count, 1)
    if distinct and n < 2:
        raise InputError("`n` is one sample: a pair of distinct samples needs two")
    return np.stack(_two_of(np.random.default_rng(seed), n, (count,), distinct), axis=1).astype(np.int64)


def nearest(
    x: ArrayLike,
    anchors: int | ArrayLike | Sequence[int],
    k: int = 25,
    *,
    labels: ArrayLike | None = None,
    classes: Classes = "any",
    seed: int = 0,
) -> Int[np.ndarray, "p 2"]:
    """Each anchor with its k nearest samples in Euclidean distance, of another class where wanted.

    Args:
        x: samples (n, …): images are compared pixel by pixel.
        anchors: how many samples to draw without replacement, or their numbers.
        k: neighbors of each anchor, which is never its own neighbor.
        labels: class of each sample, (n,); needed for `classes` other than "any".
        classes: whether neighbors have `"any"` class, the `"same"` as the anchor or a `"different"` one.
        seed: of the generator that draws the anchors.

    Returns:
        (anchor, neighbor), (anchors · k, 2): anchor after anchor, nearest first, of equal distances the lower number
        first.

    Raises:
        InputError: more anchors than samples, anchors out of range, fewer than k samples of the wanted class, no
            labels where they are needed.

    Cost and precision:
        One product of the anchors with all samples in float64, in blocks, and a partial sort. Squared distances are
        good to 1e-15 of the squared norms of centered samples: nearer than that, the order may be another.

    Example:
        >>> import numpy as np
        >>> from spectralbias import regions
        >>> regions.pairs.nearest(np.array([[0.0], [1.0], [3.0]]), [0, 2], 1)
        array([[0, 1],
               [2, 1]])

    References:
        Lazzari & Liu 2023: 25 nearest of another class for 2,500 anchors. They look for them among the 5000 nearest
        samples of any class; here the search has no such end.
    """
    return _extreme(x, anchors, k, labels, classes, seed, 1.0)


def farthest(
    x: ArrayLike,
    anchors: int | ArrayLike | Sequence[int],
    k: int = 25,
    *,
    labels: ArrayLike | None = None,
    classes: Classes = "any",
    seed: int = 0,
) -> Int[np.ndarray, "p 2"]:
    """Each anchor with its k farthest samples in Euclidean distance: `nearest`, farthest first.

    Args:
        x: samples (n, …).
        anchors: how many samples to draw without replacement, or their numbers.
        k: samples for each anchor.
        labels: class of each sample, (n,); needed for `classes` other than "any".
        classes: `"any"`, `"same"` or `"different"`.
        seed: of the generator that draws the anchors.

    Returns:
        (anchor, sample), (anchors · k, 2): anchor after anchor, farthest first.

    Raises:
        InputError: as for `nearest`.

    Cost and precision:
        As for `nearest`.

    Example:
        >>> import numpy as np
        >>> from spectralbias import regions
        >>> regions.pairs.farthest(np.array([[0.0], [1.0], [3.0]]), [0, 2], 1)
        array([[0, 2],
               [2, 0]])

    References:
        Lazzari & Liu 2023: 25 farthest samples for 2,500 anchors.
    """
    return _extreme(x, anchors, k, labels, classes, seed, -1.0)


def _extreme(
    x: Any, anchors: Any, k: int, labels: Any, classes: str, seed: int, direction: float
) -> Int[np.ndarray, "p 2"]:
    """The k samples with the smallest distance times `direction`."""
    x = finite_array("x", x)
    if x.ndim < 1 or len(x) < 2:
        raise InputError(f"`x` must have two samples or more, got shape {x.shape}")
    n, k = len(x), whole("k", k, 1)
    centered = x.reshape(n, -1)  # a copy
    centered -= centered.mean(axis=0)
    anchors = _anchors(anchors, n, seed)
    groups = _groups(labels, classes, n)
    norms = np.einsum("ij,ij->i", centered, centered)
    found = np.empty((len(anchors), k), np.int64)
    block = max(1, _BLOCK // (8 * n))
    for start in range(0, len(anchors), block):
        rows = anchors[start : start + block]
        scores = direction * (norms - 2 * centered[rows] @ centered.T)  # ‖x_j - x_i‖² without ‖x_i‖²
        scores[np.arange(len(rows)), rows] = np.inf
        if groups is not None:
            scores[(groups[rows, None] == groups) != (classes == "same")] = np.inf
        missing = np.flatnonzero((scores < np.inf).sum(axis=1) < k)
        if missing.size:
            which = {"any": "other samples", "same": "other samples of its class"}.get(classes, "of a different class")
            has = int((scores[missing[0]] < np.inf).sum())
            raise InputError(f"sample {rows[missing[0]]} has {has} {which}, fewer than `k` = {k}")
        found[start : start + block] = _smallest(scores, k)
    return np.stack([np.repeat(anchors, k), found.ravel()], axis=1)


def _smallest(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k smallest entries of every row, in ascending order, then by number."""
    bound = np.partition(scores, k - 1, axis=1)[:, k - 1]
    found = np.empty((len(scores), k), np.int64)
    for row, (values, largest) in enumerate(zip(scores, bound, strict=True)):
        candidates = np.flatnonzero(values <= largest)
        found[row] = candidates[np.argsort(values[candidates], kind="stable")[:k]]
    return found


def _anchors(anchors: Any, n: int, seed: int) -> np.ndarray:
    """Numbers of samples."""
    if np.ndim(anchors) == 0:
        count = whole("anchors", anchors, 1)
        if count > n:
            raise InputError(f"`anchors` asks for {count} of {n} samples")
        return np.random.default_rng(seed).choice(n, count, replace=False)
    numbers = real_array("anchors", anchors)
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise InputError(f"`anchors` must be a number or whole numbers (a,), got {numbers.dtype} {numbers.shape}")
    if numbers.min() < 0 or numbers.max() >= n:
        raise InputError(f"`anchors` must be numbers of samples from 0 to {n - 1}, got {numbers.min()}…{numbers.max()}")
    return numbers.astype(np.int64)


def _groups(labels: Any, classes: str, n: int) -> np.ndarray | None:
    """The number of every sample's class, or None where classes do not matter."""
    if classes not in ("any", "same", "different"):
        raise InputError(f'`classes` must be "any", "same" or "different", got {classes!r}')
    if classes == "any":
        return None
    if labels is None:
        raise InputError(f'`classes="{classes}"` needs `labels`')
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise InputError(f"`labels` must have shape ({n},), got {labels.shape}")
    return np.unique(labels, return_inverse=True)[1]
