"""Gradient flow against matrix exponentials and SciPy's solver."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from spectralbias import dynamics, models
from spectralbias.dynamics import TrainingStatus

TIMES = np.array([0.0, 0.3, 1.1, 4.0, 9.0])


def data(n=9, dim=3, outputs=()):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, dim)), rng.standard_normal((n, *outputs))


def network(out_size="scalar", activation="tanh", **kwargs):
    return models.MLP(3, out_size, 16, 2, activation=activation, bias_std=0.3, key=jax.random.key(2), **kwargs)


def linear_model(x, y):
    """A model whose training is a matrix exponential, and its residuals."""
    start = np.array([0.5, -1.0, 2.0])
    gram, r0 = x @ x.T / len(x), x @ start - y
    exact = np.stack([expm(-t * gram) @ r0 for t in TIMES])
    return models.from_function(lambda p, x: p @ x, jnp.asarray(start)), exact


@pytest.mark.parametrize("solver", ["dopri8", "dopri5", "tsit5"])
def test_a_linear_model_is_a_matrix_exponential(solver):
    x, y = data()
    model, exact = linear_model(x, y)
    found = dynamics.gradient_flow(model, x, y, TIMES, solver=solver)
    np.testing.assert_allclose(found.residuals, exact, atol=1e-8 * np.abs(exact[0]).max())
    assert found.status is TrainingStatus.finished
    np.testing.assert_array_equal(found.times, TIMES)
    np.testing.assert_allclose(found.loss, np.sum(exact**2, axis=1) / (2 * len(x)), rtol=1e-7)
    np.testing.assert_allclose(jax.vmap(found.model)(x) - y, exact[-1], atol=1e-8)


@pytest.mark.parametrize("out_size", ["scalar", 2])
def test_a_network_as_scipy_integrates_it(out_size):
    x, y = data(outputs=() if out_size == "scalar" else (2,))
    model = network(out_size)
    parameters, rest = models.partition(model)
    flat, unravel = ravel_pytree(parameters)

    @jax.jit
    def loss(p):
        return jnp.sum((jax.vmap(models.combine(unravel(p), rest))(x) - y) ** 2) / (2 * len(x))

    gradient = jax.jit(jax.grad(loss))
    exact = solve_ivp(
        lambda t, p: -np.asarray(gradient(p)), (0, 9), np.asarray(flat), "DOP853", t_eval=TIMES, rtol=1e-12, atol=1e-13
    )
    found = dynamics.gradient_flow(model, x, y, TIMES)
    np.testing.assert_allclose(found.loss, [float(loss(p)) for p in exact.y.T], rtol=1e-8)
    np.testing.assert_allclose(ravel_pytree(models.partition(found.model)[0])[0], exact.y[:, -1], atol=1e-8)
    assert found.residuals.shape == (5, *y.shape)


def test_fixed_steps_converge_with_the_order_of_the_solver():
    x, y = data()
    model, exact = linear_model(x, y)
    for solver, order in (("euler", 1), ("heun", 2), ("bosh3", 3), ("dopri5", 5)):
        errors = []
        for step in (0.1, 0.05):
            found = dynamics.gradient_flow(model, x, y, TIMES, solver=solver, step=step).residuals
            errors.append(np.abs(found - exact).max())
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.5), solver


def test_euler_is_gradient_descent():
    x, y = data()
    flow = dynamics.gradient_flow(network(), x, y, np.arange(6) * 0.25, solver="euler", step=0.25)
    descent = dynamics.train(network(), x, y, learning_rate=0.25, steps=5)
    np.testing.assert_allclose(flow.residuals, descent.residuals, atol=1e-12)


def test_it_is_float64_whatever_the_model_is(x32):
    model = network()
    x, y = data()
    found = dynamics.gradient_flow(model, x, y, TIMES)
    assert found.residuals.dtype == np.float64
    assert models.partition(found.model)[0].layers[0].weight.dtype == np.float64
    assert model.layers[0].weight.dtype == np.float32


@pytest.fixture
def x32():
    with jax.enable_x64(False):
        yield


def test_a_solver_of_diffrax():
    x, y = data()
    found = dynamics.gradient_flow(network(), x, y, TIMES, solver=diffrax.Tsit5())
    np.testing.assert_allclose(found.residuals, dynamics.gradient_flow(network(), x, y, TIMES).residuals, atol=1e-8)


def test_a_solver_that_gives_up_keeps_what_it_reached():
    x, y = data()
    found = dynamics.gradient_flow(network(), x, y, [0, 0.01, 1e4], max_steps=40, record_kernel=True)
    assert found.status is TrainingStatus.stopped
    assert "steps" in found.status.value
    assert 1 <= len(found.residuals) < 3
    assert np.all(np.isfinite(found.residuals))
    assert found.kernel_path is None


def test_bad_arguments(refuses):
    x, y = data()
    for times in ([0.0], [1.0, 2.0], [0.0, 2.0, 1.0], [[0.0, 1.0]]):
        with refuses("times"):
            dynamics.gradient_flow(network(), x, y, times)
    with refuses("dopri5"):
        dynamics.gradient_flow(network(), x, y, TIMES, solver="dopri4")
    with refuses("no error estimate"):
        dynamics.gradient_flow(network(), x, y, TIMES, solver="euler")
    with refuses("step"):
        dynamics.gradient_flow(network(), x, y, TIMES, step=0.0)
    with refuses("broadcast"):
        dynamics.gradient_flow(network(), x, y[:, None], TIMES)
