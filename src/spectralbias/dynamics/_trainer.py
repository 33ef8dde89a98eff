"""Stretches of jitted steps from a host loop that looks at the model between them."""

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from ..models import combine, partition
from ._optimizers import Optimizer

# One block of samples keeps its activations in the last-level cache (on a CPU), or at least in memory.
BLOCK_BYTES = {"cpu": 3 * 2**20, "default": 2**30}
SMALLEST_BLOCK = 16
# A loss this many times the initial one counts as diverged.
DIVERGED = 1e6


class TrainingStatus(enum.Enum):
    """How a training ended."""

    running = "the training has not ended yet"
    finished = "all steps were taken"
    stopped = "the solver needs more steps than it was allowed"
    diverged = "the loss stopped being finite or grew a million-fold: the learning rate is too large"


@runtime_checkable
class Measurement(Protocol):
    """What `Trainer.chunks` needs of a probe."""

    @property
    def steps(self) -> tuple[int, ...] | None:
        """When; None at every recorded step."""
        ...

    def measure(self, trainer: "Trainer", state: "State") -> PyTree:
        """What is measured at that state: arrays of fixed shapes."""
        ...


class Probe(eqx.Module):
    """A measurement during training: `function(model, x, y, step)` returns a pytree of arrays of fixed shapes.

    Args:
        function: what is measured.
        steps: when; at every recorded step by default.
    """

    function: Callable[[Any, Array, Array, int], PyTree]
    steps: tuple[int, ...] | None = eqx.field(static=True, default=None)

    def measure(self, trainer: "Trainer", state: "State") -> PyTree:
        """What is measured at that state."""
        return self.function(trainer.model(state), trainer.x, trainer.y, int(state.step))


class State(NamedTuple):
    """Everything that a training needs to go on: what a checkpoint holds."""

    parameters: PyTree
    optimizer_state: PyTree
    order: Array | None
    step: Array


class Chunk(NamedTuple):
    """What one stretch of training recorded."""

    start: int
    steps: np.ndarray
    residuals: np.ndarray
    loss: np.ndarray
    records: dict[str, tuple[np.ndarray, list[PyTree]]]
    state: State
    status: TrainingStatus


def _activation_bytes(model: PyTree, x: Array) -> int:
    """Bytes per sample that reverse mode keeps, from the shapes of its residuals at two batch sizes."""

    def kept(batch: int) -> int:
        def forward(m, xs):
            parameters, rest = partition(m)
            return jax.vjp(lambda p: jax.vmap(combine(p, rest))(xs), parameters)[1]

        xs = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
        leaves = jax.tree.leaves(eqx.filter_eval_shape(forward, model, xs))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves if hasattr(leaf, "dtype"))

    return max(1, (kept(4) - kept(2)) // 2)


def _blocks(array: Array, size: int) -> Array:
    """(n, …) as (blocks, size, …), padded with copies of the first row."""
    padding = -len(array) % size
    padded = jnp.concatenate([array, jnp.broadcast_to(array[:1], (padding, *array.shape[1:]))]) if padding else array
    return padded.reshape(-1, size, *array.shape[1:])


def _gradient(parameters: PyTree, rest: PyTree, x: Array, y: Array, block: int) -> PyTree:
    """∇ (1/2n) Σ r², summed over blocks of samples."""
    n = len(x)

    def block_loss(p, xb, yb, weights):
        residual = jax.vmap(combine(p, rest))(xb) - yb
        return jnp.sum(weights * jnp.sum(residual.reshape(len(xb), -1) ** 2, axis=1)) / (2 * n)

    if block >= n:
        return jax.grad(block_loss)(parameters, x, y, jnp.ones((n,), y.dtype))
    weights = _blocks(jnp.ones((n,), y.dtype), block)
    weights = (jnp.arange(weights.size).reshape(weights.shape) < n).astype(y.dtype)

    def add(total, data):
        return jax.tree.map(jnp.add, total, jax.grad(block_loss)(parameters, *data)), None

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return jax.lax.scan(add, zeros, (_blocks(x, block), _blocks(y, block), weights))[0]


@eqx.filter_jit
def _advance(
    state: State,
    rest: PyTree,
    x: Array,
    y: Array,
    key: Array,
    transform,
    batch_size: int | None,
    block: int,
    count,
) -> State:
    """`count` steps on."""
    n = len(x)

    def step(_, s: State) -> State:
        if batch_size is None:
            order, xb, yb = s.order, x, y
        else:
            per_epoch = n // batch_size
            epoch, position = jnp.divmod(s.step, per_epoch)
            order = jax.lax.cond(
                position == 0,
                lambda: jax.random.permutation(jax.random.fold_in(key, epoch), n).astype(jnp.int32),
                lambda: s.order,
            )
            chosen = jax.lax.dynamic_slice_in_dim(order, position * batch_size, batch_size)
            xb, yb = x[chosen], y[chosen]
        gradient = _gradient(s.parameters, rest, xb, yb, block)
        updates, optimizer_state = transform.update(gradient, s.optimizer_state, s.parameters)
        parameters = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), s.parameters, updates)
        return State(parameters, optimizer_state, order, s.step + 1)

    return jax.lax.fori_loop(0, count, step, state)


@eqx.filter_jit
def _residuals(model: PyTree, x: Array, y: Array, block: int) -> Array:
    if block >= len(x):
        return jax.vmap(model)(x) - y
    outputs = jax.lax.map(jax.vmap(model), _blocks(x, block))
    return outputs.reshape(-1, *outputs.shape[2:])[: len(x)] - y


def half_mean_square(residuals: np.ndarray) -> np.ndarray:
    """The loss (1/2n) Σ r² over samples and outputs, in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sum(np.asarray(residuals, np.float64) ** 2) / (2 * len(residuals)))


class Trainer(eqx.Module):
    """A training that is set up: the data on the device, the optimizer, and when to look.

    `chunks` does the work; `train` collects what it yields, and a run writes it to disk as it comes.
    """

    rest: PyTree
    initial: State
    x: Array
    y: Array
    key: Array
    optimizer: Optimizer
    batch_size: int | None = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __init__(
        self,
        model: PyTree,
        x: ArrayLike,
        y: ArrayLike,
        optimizer: Optimizer,
        *,
        batch_size: int | None,
        key: Array,
    ):
        parameters, self.rest = partition(model)
        leaves = jax.tree.leaves(parameters)
        if not leaves:
            raise InputError("the model has no parameters to train")
        dtype = jnp.result_type(*leaves)
        x, y = finite_array("x", x), finite_array("y", y, ndim=(1, 2))
        same_samples(x, y)
        self.x, self.y = jnp.asarray(x, dtype), jnp.asarray(y, dtype)
        self.key, self.optimizer, self.batch_size = key, optimizer, batch_size
        shape = eqx.filter_eval_shape(lambda m, xs: jax.vmap(m)(xs), model, self.x).shape
        if shape != self.y.shape:
            raise InputError(
                f"the model's outputs have shape {shape} and `y` has {self.y.shape}: they would broadcast; "
                'use out_size="scalar" for y of shape (n,)'
            )
        n = len(x)
        if batch_size is not None and not 1 <= batch_size <= n:
            raise InputError(f"`batch_size` must be between 1 and n = {n}, got {batch_size}")
        fitting = SMALLEST_BLOCK
        if n > SMALLEST_BLOCK:
            budget = BLOCK_BYTES.get(jax.default_backend(), BLOCK_BYTES["default"])
            fitting = max(SMALLEST_BLOCK, budget // _activation_bytes(model, self.x))
        self.block = -(-n // -(-n // fitting))
        order = None if batch_size is None else jnp.arange(n, dtype=jnp.int32)
        self.initial = State(parameters, optimizer.transform.init(parameters), order, jnp.zeros((), jnp.int32))

    def model(self, state: State) -> Any:
        """The model at that state."""
        return combine(state.parameters, self.rest)

    def residuals(self, model: PyTree, x: Array, y: Array) -> np.ndarray:
        """f(x) - y on any samples, in blocks of the size that training uses."""
        return np.asarray(_residuals(model, x, y, self.block))

    def chunks(
        self,
        state: State,
        *,
        steps: int,
        record: Collection[int],
        probes: Mapping[str, Measurement],
        chunk_steps: int,
        initial_loss: float | None = None,
    ) -> Iterator[Chunk]:
        """Train from `state` to `steps`, yielding what was recorded after every multiple of `chunk_steps`.

        What a chunk computes depends only on its first state, so a training that goes on from a yielded state equals
        one that was never stopped, bit for bit.
        """
        record = frozenset(record)
        times = {name: record if probe.steps is None else frozenset(probe.steps) for name, probe in probes.items()}
        stops = sorted(record.union(*times.values(), range(0, steps, chunk_steps), [steps]))
        now = int(state.step)
        status = TrainingStatus.running
        pending = [stop for stop in stops if stop > now or (stop == now == 0)]
        while pending and status is TrainingStatus.running:
            start = now
            end = min(steps, (start // chunk_steps + 1) * chunk_steps)
            recorded: list[tuple[int, np.ndarray, float]] = []
            measured: dict[str, tuple[list[int], list[PyTree]]] = {name: ([], []) for name in probes}
            while pending and pending[0] <= end and status is TrainingStatus.running:
                target = pending.pop(0)
                if target > now:
                    state = self._advance(state, target - now)
                    now = target
                if now in record:
                    residuals = self.residuals(self.model(state), self.x, self.y)
                    loss = float(half_mean_square(residuals))
                    initial_loss = loss if initial_loss is None else initial_loss
                    recorded.append((now, residuals, loss))
                    if not np.isfinite(loss) or loss > DIVERGED * max(initial_loss, 1e-30):
                        status = TrainingStatus.diverged
                for name, probe in probes.items():
                    if now in times[name] and status is TrainingStatus.running:
                        value = probe.measure(self, state)
                        measured[name][0].append(now)
                        measured[name][1].append(jax.tree.map(np.asarray, value))
            if now == steps and status is TrainingStatus.running:
                status = TrainingStatus.finished
            yield Chunk(
                start,
                np.array([step for step, _, _ in recorded], int),
                np.array([residuals for _, residuals, _ in recorded]).reshape(-1, *self.y.shape),
                np.array([loss for _, _, loss in recorded]),
                {name: (np.array(at, int), values) for name, (at, values) in measured.items()},
                state,
                status,
            )

    def _advance(self, state: State, count: int) -> State:
        return _advance(
            state, self.rest, self.x, self.y, self.key, self.optimizer.transform, self.batch_size, self.block,
            jnp.asarray(count, jnp.int32),
        )  # fmt: skip
