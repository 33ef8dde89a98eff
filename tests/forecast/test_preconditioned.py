from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spectralbias import dynamics, kernels, models
from spectralbias._core.names import OPTIMIZERS
from spectralbias.forecast._preconditioned import COUPLED, preconditioned
from spectralbias.problems import Problem

STEPS = 60
AT = np.array([0, 1, 2, 7, 30, STEPS])


class Polynomial(eqx.Module):
    """Linear in its parameters: f(x) = offset + coefficients · (x, x², x³)."""

    coefficients: jax.Array
    offset: jax.Array

    def __call__(self, x):
        powers = jnp.concatenate([x, x**2, x**3])
        return self.offset + powers @ self.coefficients


def _problem(n=12, outputs=None):
    t = np.linspace(-1, 1, n)[:, None]
    y = np.sin(2 * t[:, 0]) + t[:, 0] ** 2
    between = t[:-1] + 1 / n
    test = np.sin(2 * between[:, 0]) + between[:, 0] ** 2
    if outputs is not None:
        y, test = (one[:, None] * np.linspace(1, 2, outputs) for one in (y, test))
    return Problem(t, y, x_test=between, y_test=test)


def _network(width=20, outputs: Literal["scalar"] | int = "scalar", depth=1):
    return models.MLP(1, outputs, width, depth, activation="gelu", bias_std=0.5, key=jax.random.key(2))


def _explicit(model, problem):
    """f_0 on all samples, the Jacobian there, and the parameters."""
    parameters, rest = models.partition(model)
    flat, unravel = ravel_pytree(parameters)
    x = jnp.concatenate([jnp.asarray(problem.x), jnp.asarray(problem.x_test)])

    def f(values):
        return jax.vmap(models.combine(unravel(values), rest))(x).ravel()

    return np.asarray(f(flat)), np.asarray(jax.jacfwd(f)(flat)), np.asarray(flat), unravel, rest


def _adam(model, problem, rate, steps):
    """Adam as in the paper, on f_0 + J Δθ with the whole Jacobian, in NumPy."""
    f0, jacobian, start, unravel, rest = _explicit(model, problem)
    y = np.concatenate([problem.y.ravel(), problem.y_test.ravel()])
    count, theta = problem.y.size, start.copy()
    m, v, found = np.zeros_like(theta), np.zeros_like(theta), []
    for step in range(1, steps + 2):
        residual = f0 + jacobian @ (theta - start) - y
        found.append(residual)
        g = jacobian[:count].T @ residual[:count] / problem.num_samples
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        last = theta
        theta = theta - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return np.array(found), models.combine(unravel(jnp.asarray(last)), rest)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adam", {"b1": 0.5, "eps": 1e-3}),
        ("adamw", {"weight_decay": 0.1}),
        ("lion", {}),
        ("sgd", {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_a_linear_model_is_forecast_as_it_trains(name, options):
    problem = _problem()
    model = Polynomial(jnp.array([0.3, -0.2, 0.1]), jnp.array(0.5))
    run = dynamics.train(
        model,
        problem.x,
        problem.y,
        learning_rate=0.02,
        steps=STEPS,
        optimizer=name,
        optimizer_options=options,
        record=AT.tolist(),
    )
    found = preconditioned(model, problem, name, 0.02, STEPS, AT, options)
    np.testing.assert_allclose(found.residuals, run.residuals, atol=1e-10)
    test = jax.vmap(run.model)(jnp.asarray(problem.x_test)) - problem.y_test
    assert found.test_residuals is not None
    np.testing.assert_allclose(found.test_residuals[-1], test, atol=1e-10)
    assert found.drift < 1e-12
    assert np.linalg.norm(run.residuals[-1]) < 0.95 * np.linalg.norm(run.residuals[0])


@pytest.mark.parametrize("outputs", [None, 2])
def test_adam_with_the_whole_jacobian_in_numpy(outputs):
    problem = _problem(outputs=outputs)
    model = _network(outputs=outputs or "scalar")
    expected, moved = _adam(model, problem, 3e-3, STEPS)
    found = preconditioned(model, problem, "adam", 3e-3, STEPS, AT)
    count = problem.y.size
    np.testing.assert_allclose(found.residuals.reshape(len(AT), -1), expected[AT, :count], atol=1e-9)
    assert found.test_residuals is not None
    np.testing.assert_allclose(found.test_residuals.reshape(len(AT), -1), expected[AT, count:], atol=1e-9)
    before, after = (np.asarray(kernels.empirical_ntk(m, problem.x, outputs="mean")) for m in (model, moved))
    assert found.drift == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), rel=1e-6)
    assert found.drift > 1e-3


def test_a_constant_preconditioner_is_the_frozen_kernel_at_another_rate():
    problem, model = _problem(), _network()
    gram = kernels.empirical_ntk(model, problem.x)
    rate = 0.5 * problem.num_samples / float(np.linalg.eigvalsh(gram)[-1])
    residual = np.asarray(jax.vmap(model)(jnp.asarray(problem.x))) - problem.y
    # RMSProp that never forgets its first v = 4: P = 1/2.
    constant = {"decay": 1.0, "initial_scale": 4.0, "eps": 0.0}
    found = preconditioned(model, problem, "rmsprop", 2 * rate, STEPS, AT, constant)
    np.testing.assert_allclose(found.residuals, dynamics.frozen(gram, residual).residuals_at(AT, rate), atol=1e-9)


def test_a_long_stretch_moves_the_parameters_as_all_its_steps_do():
    problem, model = _problem(), _network()
    _, moved = _adam(model, problem, 3e-4, 600)
    found = preconditioned(model, problem, "adam", 3e-4, 600, np.array([0, 600]))
    before, after = (np.asarray(kernels.empirical_ntk(m, problem.x)) for m in (model, moved))
    # Between looks the gradient is interpolated.
    assert found.drift == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), rel=0.02)


def test_a_sample_of_parameters_stands_for_all():
    problem, model = _problem(), _network(width=64, depth=2)
    every, some, few = (
        preconditioned(model, problem, "adam", 1e-3, STEPS, AT, sample=size).residuals for size in (10**6, 2048, 16)
    )
    scale = np.linalg.norm(every[0])
    assert np.linalg.norm(some - every, axis=1).max() < 0.05 * scale
    assert np.linalg.norm(few - every, axis=1).max() > 0.1 * scale


def test_the_forecast_of_a_wide_network_is_what_training_does():
    problem = _problem()
    model = models.MLP(1, "scalar", 1024, 1, bias_std=0.5, antisymmetric=True, key=jax.random.key(3))
    found = preconditioned(model, problem, "adam", 1e-3, 200, np.arange(201))
    run = dynamics.train(
        model, problem.x, problem.y, learning_rate=1e-3, steps=200, optimizer="adam", record=range(201)
    )
    modes = np.linalg.eigh(np.asarray(kernels.empirical_ntk(model, problem.x)))[1][:, -3:]
    expected, measured = (dynamics.crossing(np.arange(201), left @ modes) for left in (found.residuals, run.residuals))
    assert np.all(np.isfinite(measured))
    np.testing.assert_allclose(expected, measured, rtol=0.1)
    # The plain kernel has other ratios of learning times.
    plain = dynamics.learning_steps(np.linalg.eigvalsh(kernels.empirical_ntk(model, problem.x))[-3:], 0.01)
    assert (plain[0] / plain[-1]) / (measured[0] / measured[-1]) > 2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_which_optimizers_couple_parameters(name):
    transform = dynamics.optimizer(name, 0.01).transform
    draw = np.random.default_rng(0)
    parameters = {"matrix": jnp.asarray(draw.normal(size=(3, 4))), "vector": jnp.asarray(draw.normal(size=5))}
    chosen = np.array([0, 3, 7, 13, 16])
    part = ravel_pytree(parameters)[0][chosen]
    state, state_of_part = transform.init(parameters), transform.init(part)
    alone = True
    for _ in range(3):
        gradient = jax.tree.map(lambda leaf: jnp.asarray(draw.normal(size=leaf.shape)), parameters)
        flat = ravel_pytree(gradient)[0]
        updates, state = transform.update(gradient, state, parameters)
        some, state_of_part = transform.update(flat[chosen], state_of_part, part)
        alone &= bool(np.allclose(ravel_pytree(updates)[0][chosen], jnp.asarray(some), rtol=1e-10, atol=1e-14))
    assert alone is (name not in COUPLED)


def test_what_cannot_be_forecast_is_refused(refuses):
    problem, model = _problem(), _network()
    with refuses("cannot be forecast"):
        preconditioned(model, problem, "lamb", 1e-3, STEPS, AT)
    with refuses("optimizer"):
        preconditioned(model, problem, "adm", 1e-3, STEPS, AT)
    with refuses("diverges at a learning rate of 10000"):
        preconditioned(model, problem, "gd", 1e4, STEPS, AT)
    with refuses("is expected to move the kernel by"):
        preconditioned(model, problem, "adam", 3e-3, STEPS, AT, furthest_drift=1e-3)
    with refuses("outputs have shape"):
        preconditioned(_network(outputs=2), problem, "adam", 1e-3, STEPS, AT)
