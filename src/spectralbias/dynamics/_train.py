"""Training with a recorder: jitted stretches of steps from a host loop that looks at the model between them."""

import enum
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from ..models import combine, partition
from ._optimizers import Optimizer
from ._optimizers import optimizer as find_optimizer
from ._schedule import log_spaced
from ._time import training_time

# One block of samples keeps its activations in the last-level cache (on a CPU), or at least in memory.
BLOCK_BYTES = {"cpu": 3 * 2**20, "default": 2**30}
# A loss this many times the initial one counts as diverged.
DIVERGED = 1e6


class TrainingStatus(enum.Enum):
    """How a training ended."""

    running = "the training has not ended yet"
    finished = "all steps were taken"
    diverged = "the loss stopped being finite or grew a million-fold: the learning rate is too large"


class Probe(eqx.Module):
    """A measurement during training: `function(model, x, y, step)` returns a pytree of arrays of fixed shapes.

    Args:
        function: what is measured.
        steps: when; at every recorded step by default.
    """

    function: Callable[[Any, Array, Array, int], PyTree]
    steps: tuple[int, ...] | None = eqx.field(static=True, default=None)


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


class Trajectory(eqx.Module):
    """A recorded training.

    Attributes:
        steps: recorded steps, (T,).
        times: learning_rate · step / (1 - momentum), (T,); the step itself for adaptive optimizers.
        residuals: f - y on the training data, (T, n[, c]).
        loss: (1/2n) Σ r², (T,).
        model: the trained model.
        records: what each probe returned, stacked along a leading axis.
        record_steps: at which steps, for each probe.
        status: a `TrainingStatus`.
    """

    steps: np.ndarray
    times: np.ndarray
    residuals: Float[np.ndarray, "T n ..."]
    loss: Float[np.ndarray, " T"]
    model: PyTree
    records: dict[str, PyTree]
    record_steps: dict[str, np.ndarray]
    status: TrainingStatus = eqx.field(static=True)


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
        budget = BLOCK_BYTES.get(jax.default_backend(), BLOCK_BYTES["default"])
        fitting = max(16, budget // _activation_bytes(model, self.x))
        self.block = -(-n // -(-n // fitting))
        order = None if batch_size is None else jnp.arange(n, dtype=jnp.int32)
        self.initial = State(parameters, optimizer.transform.init(parameters), order, jnp.zeros((), jnp.int32))

    def model(self, state: State) -> Any:
        """The model at that state."""
        return combine(state.parameters, self.rest)

    def chunks(
        self,
        state: State,
        *,
        steps: int,
        record: Collection[int],
        probes: Mapping[str, Probe],
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
                    residuals = np.asarray(_residuals(self.model(state), self.x, self.y, self.block))
                    loss = float(np.sum(residuals.astype(np.float64) ** 2) / (2 * len(residuals)))
                    initial_loss = loss if initial_loss is None else initial_loss
                    recorded.append((now, residuals, loss))
                    if not np.isfinite(loss) or loss > DIVERGED * max(initial_loss, 1e-30):
                        status = TrainingStatus.diverged
                for name, probe in probes.items():
                    if now in times[name] and status is TrainingStatus.running:
                        value = probe.function(self.model(state), self.x, self.y, now)
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


def train(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    *,
    learning_rate: float,
    steps: int,
    optimizer: str = "gd",
    optimizer_options: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    record: Collection[int] | None = None,
    probes: Mapping[str, Probe | Callable[[Any, Array, Array, int], PyTree]] | None = None,
    key: Array | None = None,
) -> Trajectory:
    """Train a model on the loss (1/2n) Σ (f - y)², and record how it gets there.

    Args:
        model: any callable pytree; its parameters are those of `models.partition`.
        x: inputs (n, dim).
        y: targets, of exactly the shape of the outputs, (n,) or (n, c).
        learning_rate: η.
        steps: number of steps.
        optimizer: `"gd"`, or an Optax optimizer by name.
        optimizer_options: further arguments of it, e.g. `{"momentum": 0.9}`.
        batch_size: samples per step, drawn without replacement within an epoch; all of them by default.
        record: steps at which residuals are recorded; `log_spaced(steps)` by default.
        probes: name -> `Probe`, or a function (model, x, y, step) -> pytree of arrays for every recorded step.
        key: PRNG key of the mini-batches.

    Returns:
        A `Trajectory`. A training that diverges stops early and keeps what it recorded; see `.status`.

    Raises:
        InputError: shapes of outputs and targets that differ, non-finite data, an unknown optimizer.

    Cost and precision:
        In the dtype of the parameters. Samples go through in blocks whose activations fit the cache; each recorded
        step costs one more forward pass.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 64, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(1))
        >>> trajectory = dynamics.train(model, problem.x, problem.y, learning_rate=0.1, steps=20)
        >>> bool(trajectory.loss[-1] < trajectory.loss[0])
        True
    """
    if steps < 1:
        raise InputError(f"`steps` must be 1 or more, got {steps}")
    chosen = find_optimizer(optimizer, learning_rate, optimizer_options)
    key = jax.random.key(0) if key is None else key
    trainer = Trainer(model, x, y, chosen, batch_size=batch_size, key=key)
    record = log_spaced(steps) if record is None else record
    if not all(0 <= step <= steps and step % 1 == 0 for step in record) or 0 not in record:
        raise InputError(f"`record` must hold whole steps between 0 and {steps}, 0 included")
    named = {name: p if isinstance(p, Probe) else Probe(p) for name, p in (probes or {}).items()}
    chunks = list(trainer.chunks(trainer.initial, steps=steps, record=record, probes=named, chunk_steps=steps))
    steps_taken = np.concatenate([chunk.steps for chunk in chunks])
    values = {name: [v for chunk in chunks for v in chunk.records[name][1]] for name in named}
    return Trajectory(
        steps=steps_taken,
        times=steps_taken.astype(float)
        if chosen.momentum is None
        else training_time(steps_taken, learning_rate, momentum=chosen.momentum),
        residuals=np.concatenate([chunk.residuals for chunk in chunks]),
        loss=np.concatenate([chunk.loss for chunk in chunks]),
        model=trainer.model(chunks[-1].state),
        records={name: jax.tree.map(lambda *leaves: np.stack(leaves), *v) if v else None for name, v in values.items()},
        record_steps={name: np.concatenate([chunk.records[name][0] for chunk in chunks]) for name in named},
        status=chunks[-1].status,
    )
