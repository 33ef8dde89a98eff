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
from jax.extend.core import Var
from jaxtyping import Array

from .._core.errors import InputError
from ._stages import Carry, Staged, crossings, moved, push, size_of

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


@functools.partial(jax.jit, static_argnames=("staged", "depth", "signed"))
def _advance(
    staged: Staged, depth: int, signed: bool, fixed: list[Array], carry: Carry, index: Array, shift: Array
) -> tuple[Carry, tuple[Array, ...], Array | None]:
    """One stage: its variables, what is seen of their breakpoints, and the signature of the stage before."""
    before = moved(carry, index, shift)
    carry = push(staged, staged.stages[depth], fixed, before)
    signature = _signature(staged, depth - 1, before) if signed and depth else None
    return carry, _seen(staged, depth, carry), signature


def _signature(staged: Staged, depth: int, carry: Carry) -> Array:
    """Two sums of random whole numbers, one for each breakpoint that is exceeded; exact below 2^53."""
    s, _, _, tolerance = _seen(staged, depth, carry)
    codes = np.random.default_rng(depth).integers(2**36, size=(s.shape[1], 2)).astype(np.float64)
    return (s > tolerance).astype(s.dtype) @ codes


@functools.partial(jax.jit, static_argnames=("staged", "depth"))
def _seen(staged: Staged, depth: int, carry: Carry) -> tuple[Array, ...]:
    """z minus every breakpoint, tangents, their norms, and what counts as zero; nothing for the last stage."""
    stage = staged.stages[depth]
    if stage.columns is None:
        return ()
    s, g = crossings(stage, carry)
    slope = jnp.sqrt(jnp.sum(g**2, axis=1))
    return s, g, slope, POSITION * slope + ROUNDING * jnp.max(jnp.abs(s), axis=1, keepdims=True)


def padded(a: np.ndarray, size: int) -> np.ndarray:
    """`a` with rows of zeros: compiled functions take few sizes."""
    return np.concatenate([a, np.zeros((size - len(a), *a.shape[1:]), a.dtype)])


def batch_sizes(staged: Staged) -> tuple[int, int]:
    """How many cells are advanced at once: many, and few."""
    widest = max(sum(map(size_of, stage.leaving)) for stage in staged.stages)
    most = int(np.clip(2 ** int(np.log2(BYTES / (24 * widest))), 16, MOST))
    return most, most // 8


def sweep(
    staged: Staged,
    fixed: dict[Var, Array],
    start: Waiting,
    cut: Callable[[Any, Crossings, np.ndarray], tuple[Any, np.ndarray]],
    limit: int,
    enter: Callable[[Any, np.ndarray, int], Carry] | None = None,
) -> list[Finished]:
    """All regions.

    Args:
        staged: the model.
        fixed: its parameters.
        start: the cells to begin with.
        cut: (cells, crossings, centers) -> parts of the cells, and the cell that each is a part of.
        limit: more regions are an `InputError`.
        enter: (cells, centers, size) -> what stands for the first stage on the cells to begin with, in a batch of that
            size. Then regions get signatures.
    """
    parameters = [[fixed[v] for v in stage.fixed] for stage in staged.stages]
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
        if enter is not None and not item.depth:
            carry = enter(item.cells, centers, size)
            seen = _seen(staged, 0, carry)
        else:
            place = padded(item.index, size), padded(centers - item.centers[item.index], size)
            signed = enter is not None
            carry, seen, added = _advance(staged, item.depth, signed, parameters[item.depth], item.carry, *place)
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
                f"there are more than {limit} regions: choose a smaller window, or raise `max_regions` "
                "(a region takes about 500 bytes)"
            )
    return finished


def _crossings(item: Waiting, staged: Staged, seen: tuple[Array, ...]) -> Crossings:
    """The breakpoints that may be reached, by the distance of their line from the center."""
    s, g, slope, tolerance = (np.asarray(a)[: len(item.cells)] for a in seen)
    row, column = np.nonzero((np.abs(s) <= item.cells.radii[:, None] * slope) & (slope > 0))
    columns = staged.stages[item.depth].columns
    assert columns is not None
    label = (column + columns.first).astype(np.int32)
    return Crossings(row, label, s[row, column], g[row, :, column], tolerance[row, column])
