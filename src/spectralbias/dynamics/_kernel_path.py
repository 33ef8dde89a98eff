"""What the real kernel did along a training: its products with the residual, on the points one looks at."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.checks import finite_array, whole
from .._core.errors import InputError
from ..models import combine
from ._panels import Panels, step_panels
from ._trainer import State, Trainer, _blocks, _gradient, _residuals

# Trainings up to so many steps are looked at in every step, if what is kept stays below so many bytes.
EVERY_STEP, EVERY_STEP_BYTES = 1000, 2**29


class KernelRecorder(eqx.Module):
    """What to keep of the kernel along a training: on which points, and how often.

    The points stand for the population, on which the residual is a function: a large pool, the nodes of a quadrature,
    or a held-out set. Without points it is the training inputs.

    Args:
        x: points (m, dim), or (m, *input_shape).
        y: the target there, (m,) or (m, c).
        weights: of the points in the population's probability measure, (m,), positive and of sum 1; 1/m by default.
        quadrature: Gauss–Legendre points along each step of gradient descent, over which the kernel Θ̄_s is averaged;
            0 takes Θ_s alone, which leaves a remainder of O(η²) per step.
        every_step: look in every step of gradient descent, so that sums over steps are exact; False looks in the first
            ones and then ever more rarely, with polynomials in between. By default every step up to 1000 steps.

    Raises:
        InputError: no points, targets that do not fit, weights that are no probability measure.
    """

    x: np.ndarray | None
    y: np.ndarray | None
    weights: np.ndarray | None
    quadrature: int = eqx.field(static=True)
    every_step: bool | None = eqx.field(static=True)

    def __init__(
        self,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        quadrature: int = 3,
        every_step: bool | None = None,
    ):
        if (x is None) != (y is None):
            raise InputError("the population needs both its points `x` and the target `y` there")
        if x is None and weights is not None:
            raise InputError("`weights` are those of a population: give its points `x` and the target `y` there")
        self.x = None if x is None else finite_array("population x", x)
        self.y = None if y is None else finite_array("population y", y, ndim=(1, 2))
        self.weights = None if weights is None else finite_array("weights", weights, ndim=1)
        self.quadrature = whole("quadrature", quadrature, 0)
        self.every_step = every_step
        if self.x is None or self.y is None:
            return
        if not len(self.x):
            raise InputError("the population is empty: give at least one point")
        if self.x.ndim < 2 or len(self.x) != len(self.y):
            raise InputError(
                "the population's `x` must be (m, dim) and its `y` (m,) or (m, c), "
                f"got {self.x.shape} and {self.y.shape}"
            )
        if self.weights is not None and (
            self.weights.shape != self.x.shape[:1] or np.any(self.weights <= 0) or abs(np.sum(self.weights) - 1) > 1e-6
        ):
            raise InputError(f"`weights` must be {len(self.x)} positive numbers of sum 1")

    def points(self, trainer: Trainer) -> tuple[Array, Array]:
        """The points and targets in the dtype of the training, checked against its shapes."""
        if self.x is None or self.y is None:
            return trainer.x, trainer.y
        if self.x.shape[1:] != trainer.x.shape[1:] or self.y.shape[1:] != trainer.y.shape[1:]:
            raise InputError(
                f"the population's points {self.x.shape} and targets {self.y.shape} do not fit the training's "
                f"{trainer.x.shape} and {trainer.y.shape}"
            )
        return jnp.asarray(self.x, trainer.x.dtype), jnp.asarray(self.y, trainer.y.dtype)

    def panels(self, trainer: Trainer, steps: int) -> Panels:
        """At which steps to look."""
        momentum = trainer.optimizer.momentum
        if momentum is None or trainer.batch_size is not None:
            raise InputError(
                "deviations are those of full-batch gradient descent, with or without momentum: this training has "
                + (f"the optimizer `{trainer.optimizer.name}`" if momentum is None else "mini-batches")
            )
        every = self.every_step
        if every is None:
            values = trainer.y.size + (0 if self.y is None else 2 * self.y.size)
            every = steps <= EVERY_STEP and 8 * steps * values <= EVERY_STEP_BYTES
        return step_panels(steps, momentum, every=every)


class KernelPath(eqx.Module):
    """The residual, and the kernel's product with it, along a training; `damped_deviations` reads it.

    Attributes:
        model: at the start.
        x_train: training inputs (n, …).
        x: the points of the population (m, …).
        weights: their weights (m,), of sum 1.
        on_train: whether these points are the training inputs.
        panels: the steps or times at which the following was kept.
        train_residuals: r_s on the training inputs, (N, n[, c]).
        residuals: r_s on the population, (N, m[, c]).
        action: (1/n) Θ̄_s r_s on the population, (N, m[, c]): minus the velocity of the residual for a flow; for
            gradient descent the step of the residual over -η, less β times the one before.
        recorded: the residual on the population at the recorded steps or times of the trajectory, (T, m[, c]).
        learning_rate: η, or None for a flow.
        momentum: β.
    """

    model: PyTree
    x_train: np.ndarray
    x: np.ndarray
    weights: Float[np.ndarray, " m"]
    panels: Panels
    train_residuals: Float[np.ndarray, "N n ..."]
    residuals: Float[np.ndarray, "N m ..."]
    action: Float[np.ndarray, "N m ..."]
    recorded: Float[np.ndarray, "T m ..."]
    on_train: bool = eqx.field(static=True)
    learning_rate: float | None = eqx.field(static=True)
    momentum: float = eqx.field(static=True, default=0.0)

    @property
    def nodes(self) -> np.ndarray:
        """The steps or times at which the kernel was looked at, (N,)."""
        return self.panels.nodes


def in_float64(model: PyTree) -> PyTree:
    """The model with its floating-point arrays in float64."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64) if eqx.is_inexact_array(a) else a, model)


def pushed(model: PyTree, direction: PyTree, rest: PyTree, x: Array, block: int) -> Array:
    """J(x) times a direction in the parameters, in blocks of samples."""

    def one_block(xs: Array) -> Array:
        return jax.jvp(lambda p: jax.vmap(combine(p, rest))(xs), (model,), (direction,))[1]

    if block >= len(x):
        return one_block(x)
    out = jax.lax.map(one_block, _blocks(x, block))
    return out.reshape(-1, *out.shape[2:])[: len(x)]


@eqx.filter_jit
def _observe(trainer: Trainer, state: State, x: Array, y: Array | None, quadrature: int) -> tuple[Array, Array, Array]:
    """r_s on the training inputs, (1/n) Θ̄_s r_s and r_s on the points; `y` None: these are the training inputs."""
    points, weights = np.polynomial.legendre.leggauss(quadrature) if quadrature else (np.array([-1.0]), np.array([2.0]))
    optimizer, parameters, rest = trainer.optimizer, state.parameters, trainer.rest
    momentum = optimizer.momentum or 0.0

    def along(start: PyTree, step: PyTree) -> Array:
        """∫_0^1 J(θ + uΔ) Δ du."""
        total = jnp.zeros((), x.dtype)
        for u, weight in zip((points + 1) / 2, weights / 2, strict=True):
            at = jax.tree.map(lambda p, d, u=u: p + jnp.asarray(u, p.dtype) * d, start, step)
            total = total + jnp.asarray(weight, x.dtype) * pushed(at, step, rest, x, trainer.block)
        return total

    gradient = _gradient(parameters, rest, trainer.x, trainer.y, trainer.block)
    step, _ = optimizer.transform.update(gradient, state.optimizer_state, parameters)
    moved = along(parameters, step)
    if momentum:
        trace = optax.tree_utils.tree_get(state.optimizer_state, "trace")
        last = jax.tree.map(lambda v: -optimizer.learning_rate * v, trace)
        before = jax.tree.map(jnp.subtract, parameters, last)
        moved = moved - momentum * along(before, last)
    model = combine(parameters, rest)
    train = _residuals(model, trainer.x, trainer.y, trainer.block)
    on_points = train if y is None else _residuals(model, x, y, trainer.block)
    return train, -moved / optimizer.learning_rate, on_points


class KernelProbe(eqx.Module):
    """Keeps what `KernelPath` holds; it needs the optimizer's state beside the model."""

    recorder: KernelRecorder
    steps: tuple[int, ...] | None = eqx.field(static=True)

    def measure(self, trainer: Trainer, state: State) -> Any:
        """r_s on the training inputs, (1/n) Θ̄_s r_s on the points and, where these are others, r_s on them."""
        points, targets = self.recorder.points(trainer)
        on_train = self.recorder.x is None
        train, action, residuals = _observe(
            trainer, state, points, None if on_train else targets, self.recorder.quadrature
        )
        return (train, action) if on_train else (train, action, residuals)


def assemble(
    recorder: KernelRecorder,
    trainer: Trainer,
    panels: Panels,
    kept: Any,
    recorded: np.ndarray,
    *,
    learning_rate: float | None,
    momentum: float = 0.0,
) -> KernelPath:
    """The path from what the probes kept, in float64."""
    train, action, *more = (np.asarray(array, np.float64) for array in kept)
    x = np.asarray(trainer.x if recorder.x is None else recorder.x)
    return KernelPath(
        model=trainer.model(trainer.initial),
        x_train=np.asarray(trainer.x),
        x=x,
        weights=np.full(len(x), 1 / len(x)) if recorder.weights is None else recorder.weights,
        panels=panels,
        train_residuals=train,
        residuals=more[0] if more else train,
        action=action,
        recorded=np.asarray(recorded, np.float64),
        on_train=recorder.x is None,
        learning_rate=learning_rate,
        momentum=momentum,
    )
