"""Which pairs of samples an analysis of regions looks at: neighbors, and samples far from each other."""

from typing import NamedTuple

import numpy as np

from .._core.checks import whole
from .._core.errors import InputError
from ..problems import Problem
from ..regions import pairs

# Where there is no grid, so many nearest and farthest samples are taken of each of some anchors.
NEAREST = 5
_SEED = 0


class PairSets(NamedTuple):
    """Two sets of as many pairs of sample numbers.

    Attributes:
        neighbors: (p, 2), samples that are next to each other.
        distant: (p, 2), samples that are not.
        window: side of the windows of a grid from which the neighbors were drawn; None where they are nearest samples.
        other_class: whether the two of a pair of neighbors have different classes.
    """

    neighbors: np.ndarray
    distant: np.ndarray
    window: int | None
    other_class: bool

    @property
    def by_name(self) -> dict[str, np.ndarray]:
        """Both sets, in the order in which they are stored."""
        return {"neighbors": self.neighbors, "distant": self.distant}


def choose_pairs(problem: Problem, *, window: int, num_pairs: int) -> PairSets:
    """About `num_pairs` pairs of each kind.

    On a grid: two nodes of one window, and nodes in opposite quarters. Elsewhere: the nearest samples, of another class
    where there are classes, and the farthest.
    """
    num_pairs = whole("num_pairs", num_pairs, 10)
    window = whole("window", window, 2)
    grid = problem.grid
    if grid is not None and len(grid.shape) <= 2 and min(grid.shape) >= 4:
        if window > min(grid.shape):
            raise InputError(f"`window` must be at most the shorter side of the grid, {min(grid.shape)}, got {window}")
        near, far = _on_grid(grid.shape, window, num_pairs)
        kept, other_class = window, False
    else:
        near, far = _nearest(problem, num_pairs)
        kept, other_class = None, problem.classes is not None
    count = min(len(near), len(far))
    return PairSets(near[:count], far[:count], kept, other_class)


def _on_grid(shape: tuple[int, ...], window: int, num_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs within windows at random places, and of opposite quarters."""
    near = pairs.local(shape, windows=-(-num_pairs // 4), size=window, per_window=4, seed=_SEED)
    return near[:num_pairs], pairs.opposite_quadrants(shape, num_pairs, seed=_SEED)


def _nearest(problem: Problem, num_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest and the farthest samples of random anchors."""
    x = problem.x.reshape(problem.num_samples, -1)
    labels = None if problem.classes is None else np.argmax(problem.y, axis=1)
    same = 1 if labels is None else int(np.bincount(labels).max())
    k = min(NEAREST, problem.num_samples - same)
    count = min(problem.num_samples, -(-num_pairs // k))
    anchors = np.random.default_rng(_SEED).choice(problem.num_samples, count, replace=False)
    near = pairs.nearest(x, anchors, k, labels=labels, classes="any" if labels is None else "different")
    return near, pairs.farthest(x, anchors, k)
