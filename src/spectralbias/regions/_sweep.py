"""Depth first through the stages of a network, with a batch of regions at a time.

What is carried is large (all variables of a layer, for every region), what is kept is small (corners, and the map to
the outputs): so few regions are on their way at a time.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ._stages import Carry, Parameters, Stage, Staged, crossings, moved, push

# In the coordinates of a window [-1, 1]: two corners this close are one. Rounding moves corners by 1e-15 to 1e-13.
POSITION = 1e-12
ROUNDING = 8 * np.finfo(np.float64).eps
BYTES = 2**25  # of the variables of a batch of regions
MOST = 4096


class Cells(Protocol):
    """Convex sets in k coordinates."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> Any: ...

    @property
    def centers(self) -> np.ndarray:
        """An inner point of each, (n, k)."""
        ...

    @property
    def radii(self) -> np.ndarray:
        """Distances from it that no point of the cell exceeds, (n,)."""
        ...


class Crossings(NamedTuple):
    """Breakpoints that may be reached in a cell, sorted by cell: value + slopes · (p - center) is zero there.

    `label` is the number of the breakpoint of a unit among those of all layers.
    """

    cell: np.ndarray
    label: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    tolerance: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Waiting:
    """Cells of which stage `depth` is next; cell i is a part of cell index[i] of the stage before.

    `carry` and `centers` are those of the stage before, and so is `signatures`: two numbers that stand for the
    activation pattern of a cell.
    """

    depth: int
    cells: Any
    carry: Carry | None
    centers: np.ndarray
    index: np.ndarray
    signatures: np.ndarray

    def part(self, rows: slice) -> "Waiting":
        """Some of the cells."""
        return dataclasses.replace(self, cells=self.cells[rows], index=self.index[rows])


class Finished(NamedTuple):
    """Regions: the outputs at their centers (n, c), and the gradients there (n, k, c)."""

    cells: Any
    centers: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    signatures: np.ndarray


@functools.partial(jax.jit, static_argnames=("stage", "before"))
def _advance(
    stage: Stage,
    fixed: list[Array],
    carry: Carry,
    index: Array,
    shift: Array,
    before: Stage | None = None,
    codes: Array | None = None,
) -> tuple[Carry, tuple[Array, ...], Array | None]:
    """One stage: its variables, what is seen of their breakpoints, and the signature of the stage before."""
    entering = moved(carry, index, shift)
    carry = push(stage, fixed, entering)
    if before is None:
        return carry, _seen(stage, carry), None
    s, _, _, tolerance = _seen(before, entering)
    return carry, _seen(stage, carry), (s > tolerance).astype(s.dtype) @ codes


@functools.partial(jax.jit, static_argnames="stage")
def _seen(stage: Stage, carry: Carry) -> tuple[Array, ...]:
    """z minus every breakpoint, tangents, their norms, and what counts as zero; nothing for the last stage."""
    if stage.columns is None:
        return ()
    s, g = crossings(stage, carry)
    slope = jnp.sqrt(jnp.sum(g**2, axis=1))
    return s, g, slope, POSITION * slope + ROUNDING * jnp.max(jnp.abs(s), axis=1, keepdims=True)


def _codes(staged: Staged, depth: int) -> np.ndarray:
    """Two random whole numbers for every breakpoint of a layer, whose sums are exact below 2^53."""
    columns = staged.stages[depth].columns
    assert columns is not None
    return np.random.default_rng(depth).integers(2**36, size=(len(columns), 2)).astype(np.float64)


def padded(a: np.ndarray, size: int) -> np.ndarray:
    """`a` with rows of zeros: compiled functions take few sizes."""
    return np.concatenate([a, np.zeros((size - len(a), *a.shape[1:]), a.dtype)])


def batch_sizes(staged: Staged) -> tuple[int, int]:
    """How many cells are advanced at once: many, and few."""
    widest = max(max(stage.size for stage in staged.stages), 1)
    most = int(np.clip(2 ** int(np.log2(BYTES / (24 * widest))), 16, MOST))
    return most, most // 8


def sweep(
    staged: Staged,
    parameters: Parameters,
    start: Waiting,
    cut: Callable[[Any, Crossings, np.ndarray], tuple[Any, np.ndarray]],
    limit: int,
    enter: Callable[[Any, np.ndarray, int], Carry] | None = None,
) -> list[Finished]:
    """All regions.

    Args:
        staged: the model.
        parameters: its parameters.
        start: the cells to begin with.
        cut: (cells, crossings, centers) -> parts of the cells, and the cell that each is a part of.
        limit: more regions are an `InputError`.
        enter: (cells, centers, size) -> what stands for the first stage on the cells to begin with, in a batch of that
            size. Then regions get signatures.
    """
    codes = [_codes(staged, depth) for depth in range(len(staged.stages) - 1)] if enter is not None else []
    most, few = batch_sizes(staged)
    stack, finished, number = [start], [], 0
    while stack:
        item = stack.pop()
        n = len(item.cells)
        take = most if n >= most else min(n, few)
        if n > take:
            stack.append(item.part(slice(take, None)))
            item = item.part(slice(0, take))
        size = most if take > few else few
        centers = item.cells.centers
        signatures = item.signatures[item.index]
        stage = staged.stages[item.depth]
        if enter is not None and not item.depth:
            carry = enter(item.cells, centers, size)
            seen = _seen(stage, carry)
        else:
            place = padded(item.index, size), padded(centers - item.centers[item.index], size)
            last = () if enter is None else (staged.stages[item.depth - 1], jnp.asarray(codes[item.depth - 1]))
            carry, seen, added = _advance(stage, parameters[item.depth], item.carry, *place, *last)
            signatures = signatures if added is None else signatures + np.asarray(added)[:take]
        if not seen:
            values, gradients = (np.asarray(a[0])[:take] for a in (carry.values, carry.tangents))
            gradients = gradients.reshape(*gradients.shape[:2], -1)
            finished.append(Finished(item.cells, centers, values.reshape(take, -1), gradients, signatures))
            number += take
        else:
            cells, index = cut(item.cells, _crossings(item, staged, seen), centers)
            stack.append(Waiting(item.depth + 1, cells, carry, centers, index, signatures))
        if number + sum(len(waiting.cells) for waiting in stack) > limit:
            raise InputError(
                f"there are more than {limit} regions: choose a smaller window or fewer segments, or raise "
                "`max_regions` (a region takes about 1.5 kB)"
            )
    return finished


def _crossings(item: Waiting, staged: Staged, seen: tuple[Array, ...]) -> Crossings:
    """The breakpoints that may be reached, by the distance of their line from the center."""
    s, g, slope, tolerance = (np.asarray(a)[: len(item.cells)] for a in seen)
    row, column = np.nonzero((np.abs(s) <= item.cells.radii[:, None] * slope) & (slope > 0))
    label = (column + staged.layer_offsets[item.depth]).astype(np.int32)
    return Crossings(row, label, s[row, column], g[row, :, column], tolerance[row, column])
