"""Inner products of gradients of pairs of samples, batch by batch."""

from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from ..kernels import _plan
from ..kernels._factors import Contribution, flat
from ..kernels._plan import Plan, evaluate_loss
from ..kernels._structured import Loss

# Bytes of factors that are multiplied while they are still in the cache; an accelerator wants larger batches.
CACHE, ACCELERATOR = 16 * 2**20, 2**28

# Evaluating a sample takes as long as fetching the factors of three from memory.
FETCH = 1 / 3


class Products(NamedTuple):
    """⟨g_i, g_j⟩ and ‖g_i‖², ‖g_j‖² of pairs of gradients ∇ℓ_i = s_i g_i, and s_i, s_j; the method in words."""

    inner: Float[np.ndarray, " p"]
    squares: Float[np.ndarray, "p 2"]
    scales: Float[np.ndarray, "p 2"]
    method: str


class Samples(NamedTuple):
    """What is differentiated: inputs (n, …) and targets (n, c), or (n,) with this many classes."""

    model: PyTree
    x: Array
    y: Array
    classes: int | None
    loss: Loss
    plan: Plan

    def gradients(self, rows: Int[np.ndarray, " b"]) -> tuple[list[Contribution], Array]:
        """g and s of some samples."""
        x, targets = _picked(self.x, self.y, rows, self.classes, self.plan.dtype)
        contributions, scales = evaluate_loss(self.model, x, targets, self.plan.leaves, self.loss)
        return flat(contributions), scales

    def batch_size(self) -> int:
        """Samples whose factors fit into the cache."""
        room = CACHE if jax.default_backend() == "cpu" else ACCELERATOR
        return int(np.clip(room // max(1, self.plan.loss_bytes), 16, 8192))


@eqx.filter_jit
def _picked(x: Array, y: Array, rows: ArrayLike, classes: int | None, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Inputs and targets (b, c) of some samples."""
    x, y = (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
    return x, y.reshape(len(y), -1).astype(dtype) if classes is None else jax.nn.one_hot(y, classes, dtype=dtype)


@eqx.filter_jit
def _inner(ones: list[Contribution], twos: list[Contribution]) -> Array:
    """⟨g, g'⟩ of a batch with another, pair by pair."""
    first, *rest = [one.aligned(cast(Any, two)) for one, two in zip(ones, twos, strict=True)]
    return sum(rest, start=first)


@eqx.filter_jit
def _of_halves(gradients: list[Contribution]) -> tuple[Array, Array]:
    """⟨g, g'⟩ of the first half of a batch with the second, and all squares."""
    half = jax.tree.leaves(gradients)[0].shape[0] // 2
    first, second = (jax.tree.map(lambda a, part=part: a[part], gradients) for part in (slice(half), slice(half, None)))
    return _inner(first, second), jnp.concatenate([_inner(first, first), _inner(second, second)])


@eqx.filter_jit
def _of_rows(gradients: list[Contribution], pairs: Int[np.ndarray | Array, "p 2"]) -> Array:
    """⟨g_i, g_j⟩ of rows of a batch."""
    first, second = (
        jax.tree.map(lambda a, k=k: a.at[pairs[:, k]].get(mode="promise_in_bounds"), gradients) for k in (0, 1)
    )
    return _inner(first, second)


def pair_products(samples: Samples, pairs: Int[np.ndarray, "p 2"], batch_size: int | None) -> Products:
    """The products of all pairs; each sample is differentiated once where that is faster and fits into memory."""
    rows, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    batch = batch_size or samples.batch_size()
    fits = len(rows) * samples.plan.loss_bytes <= _plan.MEMORY_BUDGET // 2
    if fits and len(rows) + FETCH * pairs.size < pairs.size:
        return _once(samples, rows, places, batch)
    return _pair_by_pair(samples, pairs, batch)


def _batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of one size, no larger than the rows need it, the last one filled up with its first row."""
    size = min(size, 1 << (len(rows) - 1).bit_length())
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    last = parts[-1]
    parts[-1] = np.concatenate([last, np.broadcast_to(last[:1], (size - len(last), *last.shape[1:]))])
    return parts


def _joined(parts: list[Array], length: int) -> np.ndarray:
    """The results of all batches, without those of filling."""
    return np.concatenate([np.asarray(part, np.float64) for part in parts])[:length]


def _once(samples: Samples, rows: np.ndarray, places: np.ndarray, batch: int) -> Products:
    """Every sample differentiated once; pairs fetch what they need."""
    found, squares, scales = [], [], []
    for part in _batches(rows, batch):
        gradients, scale = samples.gradients(part)
        found.append(gradients)
        squares.append(_inner(gradients, gradients))
        scales.append(scale)
    gradients = found[0] if len(found) == 1 else jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)
    del found
    inner = [_of_rows(gradients, part) for part in _batches(places, max(1, batch // 2))]
    square, scale = (_joined(parts, len(rows))[places] for parts in (squares, scales))
    return Products(_joined(inner, len(places)), square, scale, "each sample once")


def _pair_by_pair(samples: Samples, pairs: np.ndarray, batch: int) -> Products:
    """Both samples of every pair differentiated, and forgotten."""
    inner, squares, scales = [], [], []
    for part in _batches(pairs, max(1, batch // 2)):
        gradients, scale = samples.gradients(part.T.reshape(-1))
        product, square = _of_halves(gradients)
        inner.append(product)
        squares.append(square.reshape(2, -1).T)
        scales.append(scale.reshape(2, -1).T)
    count = len(pairs)
    return Products(_joined(inner, count), _joined(squares, count), _joined(scales, count), "pair by pair")
