"""Adam and its relatives before training: the optimizer itself, on the linearized network."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._core.errors import InputError
from ..dynamics import log_spaced, optimizer
from ..dynamics._trainer import DIVERGED
from ..kernels import empirical_ntk
from ..kernels._plan import checked_inputs
from ..models import combine, partition
from ..problems import Problem
from ._start import outputs

# Their step in one parameter depends on other parameters: a sample of parameters cannot follow it.
COUPLED = ("adafactor", "fromage", "lamb", "lars", "novograd", "sm3")
# Parameters of each array that stand for all of it: adds 1 to 3 % to the median error of learning times.
SAMPLE = 4096
# Where the kernel moves further, median errors of learning times were 12 to 95 % on the problems it was tuned on: such
# forecasts are not given.
FURTHEST_DRIFT = 0.5
# Of the initial loss: with so little of it left, parameters are taken as settled.
LEFT = 1e-3
# Per-sample gradients at a time.
BATCH = 8


class Preconditioned(eqx.Module):
    """What an optimizer is expected to do.

    Attributes:
        residuals: at the steps asked for, (T, n[, c]).
        test_residuals: on the held-out samples, (T, n_test[, c]), or None.
        drift: ‖Θ(θ_s) - Θ(θ_0)‖/‖Θ(θ_0)‖ on a part of the samples, with θ_s the forecast parameters
            at the end, or when 0.1 % of the loss is left.
    """

    residuals: Float[np.ndarray, "T ..."]
    test_residuals: Float[np.ndarray, "T ..."] | None
    drift: float = eqx.field(static=True)


@eqx.filter_jit
def _columns(model: PyTree, x: Array, chosen: Array) -> Float[Array, "nc q"]:
    """∂f/∂θ of the chosen parameters."""
    parameters, rest = partition(model)
    flat, unravel = ravel_pytree(parameters)

    def rows(one: Array) -> Array:
        jacobian = jax.jacrev(lambda values: combine(unravel(values), rest)(one))(flat)
        return jacobian.reshape(-1, len(flat))[:, chosen]

    return jax.lax.map(rows, x, batch_size=BATCH).reshape(-1, len(chosen))


@eqx.filter_jit
def _linear(
    jacobian: Array, weights: Array, residual: Array, values: Array, transform, lengths: Array, count: int, n: int
) -> Float[Array, "S nc"]:
    """Residuals after each stretch of steps on f_0 + J Δθ; the first `count` of them are trained."""

    def step(_, carry):
        values, state, residual = carry
        updates, state = transform.update(residual[:count] @ jacobian[:count] / n, state, values)
        return values + updates, state, residual + jacobian @ (weights * updates)

    def stretch(carry, length):
        carry = jax.lax.fori_loop(0, length, step, carry)
        return carry, carry[2]

    return jax.lax.scan(stretch, (values, transform.init(values), residual), lengths)[1]


@eqx.filter_jit
def _moved(model: PyTree, x: Array, residuals: Array, transform, lengths: Array) -> PyTree:
    """The network where these residuals lead: between them the gradient is interpolated, so no step costs a network."""
    parameters, rest = partition(model)
    flat, unravel = ravel_pytree(parameters)
    _, pull = jax.vjp(lambda values: jax.vmap(combine(unravel(values), rest))(x), flat)

    def stretch(carry, data):
        values, state, before = carry
        residual, length = data
        (after,) = pull(residual / len(x))

        def step(i, inner):
            values, state = inner
            gradient = before + (i / length).astype(before.dtype) * (after - before)
            updates, state = transform.update(gradient, state, values)
            return values + updates, state

        return (*jax.lax.fori_loop(0, length, step, (values, state)), after), None

    start = (flat, transform.init(flat), pull(residuals[0] / len(x))[0])
    (values, _, _), _ = jax.lax.scan(stretch, start, (residuals[1:], lengths))
    return combine(unravel(values), rest)


def _sample(parameters: PyTree, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the chosen parameters in one row of all, and for how many each of them stands."""
    draw = np.random.default_rng(0)
    sizes = [leaf.size for leaf in jax.tree.leaves(parameters)]
    some = [draw.permutation(all_)[:size] for all_ in sizes]
    starts = np.cumsum([0, *sizes[:-1]])
    weights = [np.full(len(part), all_ / len(part)) for all_, part in zip(sizes, some, strict=True)]
    return np.concatenate([start + part for start, part in zip(starts, some, strict=True)]), np.concatenate(weights)


def preconditioned(
    model: Any,
    problem: Problem,
    name: str,
    learning_rate: float,
    steps: int,
    at: np.ndarray,
    options: Mapping[str, Any] | None = None,
    *,
    sample: int = SAMPLE,
    few: int = 128,
    furthest_drift: float = FURTHEST_DRIFT,
) -> Preconditioned:
    """An optimizer on the linearized network, f_0 + J (θ - θ_0), at these steps from 0.

    Δf = -η J P Jᵀ r/n, and Adam's P grows as the gradient shrinks: one from a short probe soon is too small. So P is
    followed step by step. J P Jᵀ is a sum over parameters, and `sample` of each array stand for it.

    Args:
        model: the network at its start.
        problem: what it is to learn.
        name: of the optimizer, as in `dynamics.optimizer`.
        learning_rate: η.
        steps: the last of `at`.
        at: steps from 0, increasing.
        options: of the optimizer.
        sample: how many parameters of each array are followed.
        few: samples on which the drift is looked at.
        furthest_drift: of the kernel, beyond which there is no forecast.

    Raises:
        InputError: an optimizer whose steps couple parameters, or is unknown; a forecast that diverges, or that the
            network is expected to leave far behind.

    Cost and precision:
        n per-sample gradients and about 150 gradients, then 4 n q operations for each step with q the parameters
        followed: at n = 256 and 1000 steps about as long as the training of a small network. Learning times: median
        error 4 %, in 21 of 22 held-out trainings at most 19 %, in one 37 % (benchmarks/forecast_adam.py). The loss:
        within a factor of 1.03 in the median until 1 % of it is left; but in 3 of 22 trainings, at Adam's 1e-3, the
        forecast has late spikes that the training has not, and below 1 % it may be wrong by any factor.
    """
    if name in COUPLED:
        raise InputError(
            f"`{name}` cannot be forecast: its step in one parameter depends on other parameters; use an optimizer "
            "that acts on each parameter by itself, as `adam`"
        )
    transform = optimizer(name, learning_rate, options).transform
    x = checked_inputs(model, "x", problem.x)
    parameters, _ = partition(model)
    if not jax.tree.leaves(parameters):
        raise InputError("a forecast of this optimizer needs a network whose parameters are JAX arrays")
    every, y = x, problem.y
    if problem.x_test is not None and problem.y_test is not None:
        every = jnp.concatenate([x, checked_inputs(model, "x_test", problem.x_test)])
        y = np.concatenate([problem.y, problem.y_test])
    f0 = outputs(model, every)
    if f0.shape != y.shape:
        raise InputError(f"the model's outputs have shape {f0.shape} and the targets {y.shape}")
    flat, _ = ravel_pytree(parameters)
    chosen, weights = _sample(parameters, sample)
    looks = np.union1d(at, [0, *log_spaced(steps, dense=100, per_decade=40)]).astype(int)
    residual, n, dtype = f0 - y, len(x), flat.dtype
    curve = _linear(
        _columns(model, every, jnp.asarray(chosen)), jnp.asarray(weights, dtype), jnp.asarray(residual.ravel(), dtype),
        flat[chosen], transform, jnp.asarray(np.diff(looks)), problem.y.size, n,
    )  # fmt: skip
    curve = np.concatenate([residual.ravel()[None], np.asarray(curve, np.float64)]).reshape(-1, *y.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.max(np.sum(curve.reshape(len(curve), -1) ** 2, axis=1)) < DIVERGED * np.sum(residual**2):
            raise InputError(f"`{name}` diverges at a learning rate of {learning_rate:g}: use a smaller one")
    coarse = np.searchsorted(looks, log_spaced(steps, dense=100, per_decade=40))
    # What is left then moves nothing, and gradients that swing around zero cannot be interpolated.
    size = np.sum(curve[coarse, :n].reshape(len(coarse), -1) ** 2, axis=1)
    coarse = coarse[: 1 + np.argmax(np.append(size[:-1] < LEFT * size[0], True))]
    moved = _moved(model, x, jnp.asarray(curve[coarse, :n], dtype), transform, jnp.asarray(np.diff(looks[coarse])))
    some = x[:: max(1, n // few)][:few]
    before, after = (np.asarray(empirical_ntk(m, some, outputs="mean"), np.float64) for m in (model, moved))
    drift = float(np.linalg.norm(after - before) / np.linalg.norm(before))
    if not drift <= furthest_drift:
        raise InputError(
            f"`{name}` at a learning rate of {learning_rate:g} is expected to move the kernel by {drift:.0%}: "
            "learning times forecast for such trainings were wrong by 10 to 100 %, so there is none; use "
            'parameterization="ntk", fewer layers, more units, a smaller learning rate or fewer steps'
        )
    shown = curve[np.searchsorted(looks, at)]
    return Preconditioned(shown[:, :n], shown[:, n:] if len(y) > n else None, drift)
