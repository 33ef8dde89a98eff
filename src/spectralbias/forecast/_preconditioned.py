"""Adam and its relatives before training: the optimizer itself, on a network that is linear from place to place."""

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
from ..kernels import empirical_ntk
from ..kernels._plan import checked_inputs
from ..models import combine, partition
from ..problems import Problem
from ._start import outputs

# Their step in one parameter depends on other parameters: a sample of parameters cannot follow it.
COUPLED = ("adafactor", "fromage", "lamb", "lars", "novograd", "sm3")
# Parameters of each array that stand for all of it.
SAMPLE = 4096
# Where the network is linearized again, of the budget.
PLACES = (1 / 100, 1 / 30, 1 / 10, 1 / 3, 1.0)
# Per-sample gradients at a time.
BATCH = 8


class Preconditioned(eqx.Module):
    """What an optimizer is expected to do.

    Attributes:
        residuals: at the steps asked for, (T, n[, c]).
        test_residuals: on the held-out samples, (T, n_test[, c]), or None.
        drift: ‖Θ(θ_s) - Θ(θ_0)‖/‖Θ(θ_0)‖ on a part of the samples, with θ_s the forecast parameters at the end.
        error: the largest miss of the linearization where it ends and another begins, over ‖r(0)‖.
    """

    residuals: Float[np.ndarray, "T ..."]
    test_residuals: Float[np.ndarray, "T ..."] | None
    drift: float = eqx.field(static=True)
    error: float = eqx.field(static=True)


@eqx.filter_jit
def _columns(model: PyTree, x: Array, chosen: Array) -> Float[Array, "nc q"]:
    """∂f/∂θ of the chosen parameters."""
    parameters, rest = partition(model)
    flat, unravel = ravel_pytree(parameters)

    def rows(one: Array) -> Array:
        jacobian = jax.jacrev(lambda values: combine(unravel(values), rest)(one))(flat)
        return jacobian.reshape(-1, len(flat))[:, chosen]

    found = jax.lax.map(rows, x, batch_size=BATCH)
    return found.reshape(-1, len(chosen))


@eqx.filter_jit
def _linear(
    jacobian: Array, weights: Array, residual: Array, values: Array, state: PyTree, transform, count: int, stretches
) -> Float[Array, "S nc"]:
    """Residuals after each stretch of steps on f_0 + J Δθ. The first `count` of them are trained."""

    def step(_, carry):
        values, state, residual, samples = carry
        gradient = residual[:count] @ jacobian[:count] / samples
        updates, state = transform.update(gradient, state, values)
        return values + updates, state, residual + jacobian @ (weights * updates), samples

    def stretch(carry, length):
        carry = jax.lax.fori_loop(0, length, step, carry)
        return carry, carry[2]

    lengths, samples = stretches
    return jax.lax.scan(stretch, (values, state, residual, samples), lengths)[1]


@eqx.filter_jit
def _follow(model: PyTree, x: Array, residuals: Array, state: PyTree, transform, lengths: Array) -> tuple[Array, PyTree]:
    """All parameters: between the given residuals the gradient is interpolated, and no step costs a network."""
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

        values, state = jax.lax.fori_loop(0, length, step, (values, state))
        return (values, state, after), None

    start = (flat, state, pull(residuals[0] / len(x))[0])
    (values, state, _), _ = jax.lax.scan(stretch, start, (residuals[1:], lengths))
    return values, state


def _chosen(parameters: PyTree, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the parameters in one row stand for all, and for how many each."""
    draw = np.random.default_rng(0)
    sizes = [leaf.size for leaf in jax.tree.leaves(parameters)]
    starts = np.cumsum([0, *sizes[:-1]])
    some = [draw.permutation(size)[:sample] for size in sizes]
    chosen = [start + one for start, one in zip(starts, some, strict=True)]
    weights = [np.full(len(one), size / len(one)) for size, one in zip(sizes, some, strict=True)]
    return np.concatenate(chosen), np.concatenate(weights)


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
    places: tuple[float, ...] = PLACES,
    few: int = 128,
) -> Preconditioned:
    """An optimizer at these steps, from 0.

    Δf = J P Jᵀ r with P of Adam's own memory, which follows the shrinking gradient: Σ_p J_p P_p J_p is a sum over
    parameters, and `sample` of each array stand for it. All of the optimizer's steps are done on them, which costs
    their columns of J and no network. At a few places all parameters follow, and the network is linearized again.
    """
    if name in COUPLED:
        raise InputError(
            f"`{name}` cannot be forecast: its step in one parameter depends on other parameters; use one of the "
            "optimizers that act on each parameter by itself, e.g. `adam`"
        )
    transform = optimizer(name, learning_rate, options).transform
    x = checked_inputs(model, "x", problem.x)
    tests = problem.x_test is not None and problem.y_test is not None
    every = jnp.concatenate([x, checked_inputs(model, "x_test", problem.x_test)]) if tests else x
    y = np.concatenate([problem.y, problem.y_test]) if tests else problem.y
    parameters, rest = partition(model)
    flat, unravel = ravel_pytree(parameters)
    chosen, weights = (jnp.asarray(one) for one in _chosen(parameters, sample))
    weights = weights.astype(flat.dtype)
    state = transform.init(flat)
    looks = np.union1d(at, log_spaced(steps, dense=20, per_decade=20))
    ends = np.unique([0, *(max(1, round(place * steps)) for place in places)])
    looks = np.union1d(looks, ends).astype(int)
    longest = max(np.sum((looks > a) & (looks <= b)) for a, b in zip(ends[:-1], ends[1:], strict=True))
    now, count, found, missed = model, problem.y.size, [], []
    residual = (outputs(now, every) - y).ravel()
    found.append(residual)
    for begin, end in zip(ends[:-1], ends[1:], strict=True):
        here = looks[(looks > begin) & (looks <= end)]
        # Stretches of no steps at the end: every place is compiled once.
        lengths = np.zeros(longest, int)
        lengths[: len(here)] = np.diff([begin, *here])
        part = jax.tree.map(lambda leaf: leaf[chosen] if leaf.shape == flat.shape else leaf, state)
        curve = np.asarray(
            _linear(
                _columns(now, every, chosen), weights, jnp.asarray(residual, flat.dtype), flat[chosen], part, transform,
                count, (jnp.asarray(lengths), jnp.asarray(len(x), flat.dtype)),
            ),
            np.float64,
        )  # fmt: skip
        found.extend(curve[: len(here)])
        train = np.concatenate([residual[None], curve])[:, :count].reshape(-1, *problem.y.shape)
        flat, state = _follow(now, x, jnp.asarray(train, flat.dtype), state, transform, jnp.asarray(lengths))
        now = combine(unravel(flat), rest)
        residual = (outputs(now, every) - y).ravel()
        missed.append(np.linalg.norm(residual[:count] - curve[-1, :count]))
    all_residuals = np.array(found)[np.searchsorted(looks, at)].reshape(len(at), *y.shape)
    some = x[:: max(1, len(x) // few)][:few]
    before, after = (np.asarray(empirical_ntk(m, some, outputs="mean"), np.float64) for m in (model, now))
    return Preconditioned(
        all_residuals[:, : len(x)],
        all_residuals[:, len(x) :] if tests else None,
        float(np.linalg.norm(after - before) / np.linalg.norm(before)),
        float(max(missed) / np.linalg.norm(found[0][:count])),
    )
