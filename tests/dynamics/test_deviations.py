"""Damped deviations: the identities close, and every part is what its own kernels make of it.

The parts are computed a second time here, from dense Jacobians and matrices, step by step or by SciPy's solver.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from spectralbias import dynamics, kernels, models, spectra
from spectralbias.dynamics import DeviationsStatus, KernelRecorder

PARTS = ("sampling", "width", "motion")


def sphere(n, seed=0, dim=3):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def target(x):
    return x[:, 0] + 2 * x[:, 1] * x[:, 2] + 3 * x[:, 0] * x[:, 1] * x[:, 2]


def network(activation="tanh", width=64, **kwargs):
    return models.bowman_network(3, width, activation=activation, key=jax.random.key(3), **kwargs)


def vector_network(activation="tanh"):
    return models.MLP(3, 2, 24, 1, activation=activation, bias_std=0.3, key=jax.random.key(4))


def population(m=40):
    x = sphere(m)
    return x, target(x)


@functools.cache
def flow(activation, on_train, m=120, n=40):
    x, y = population(m)
    chosen = np.random.default_rng(5).integers(0, m, n)
    record = True if on_train else KernelRecorder(x, y)
    return dynamics.gradient_flow(
        network(activation, 128), x[chosen], y[chosen], np.linspace(0, 8, 21), record_kernel=record
    )


def perturbed(trajectory, factor=1.01):
    path = eqx.tree_at(lambda p: p.action, trajectory.kernel_path, replace_fn=lambda a: factor * a)
    return dataclasses.replace(trajectory, kernel_path=path)


@pytest.mark.parametrize("frozen", ["initial", "limit"])
@pytest.mark.parametrize(("activation", "on_train"), [("tanh", True), ("tanh", False), ("softplus", False)])
def test_the_continuous_identities_close(activation, on_train, frozen):
    kernel = None if frozen == "initial" else kernels.bowman_kernel(activation)
    trajectory = flow(activation, on_train)
    found = dynamics.damped_deviations(trajectory, kernel)
    assert found.relative_identity_error < 1e-8
    assert found.status is DeviationsStatus.flow
    np.testing.assert_allclose(found.deviation, found.sampling + found.width + found.motion)
    # The kernel of the network, wrong by 1 %, breaks it.
    broken = dynamics.damped_deviations(perturbed(trajectory), kernel)
    assert broken.relative_identity_error > 1e-3
    assert (np.abs(found.sampling).max() == 0) == on_train
    assert (np.abs(found.width).max() == 0) == (frozen == "initial")
    assert np.abs(found.motion[-1]).max() > 1e-6


@pytest.mark.parametrize(
    ("activation", "momentum", "every_step"),
    [("tanh", 0.0, True), ("softplus", 0.9, True), ("tanh", 0.9, False), ("softplus", 0.0, False)],
)
def test_the_discrete_identity_closes(activation, momentum, every_step):
    x, y = population()
    record = KernelRecorder(x, y, quadrature=5, every_step=every_step)
    trajectory = dynamics.train(
        network(activation), x[::2], y[::2], learning_rate=0.3 * (1 - momentum), steps=900, record_kernel=record,
        optimizer_options={"momentum": momentum},
    )  # fmt: skip
    found = dynamics.damped_deviations(trajectory, kernels.bowman_kernel(activation))
    assert found.relative_identity_error < 1e-10
    assert found.status is (DeviationsStatus.every_step if every_step else DeviationsStatus.interpolated)
    assert dynamics.damped_deviations(perturbed(trajectory)).relative_identity_error > 1e-3


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_without_the_average_along_a_step_the_remainder_is_of_second_order(activation):
    """From a start at f = 0 of two opposite copies it would even be of third order: the second one cancels."""
    x, y = population()
    errors = []
    for rate in (0.4, 0.2, 0.1):
        model, record = network(activation, antisymmetric=False), KernelRecorder(quadrature=0)
        trajectory = dynamics.train(model, x, y, learning_rate=rate, steps=1, record_kernel=record)
        errors.append(dynamics.damped_deviations(trajectory).relative_identity_error)
    assert errors[0] > 1e-5
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.4)
    assert errors[1] / errors[2] == pytest.approx(4, abs=0.2)


def test_relu_leaves_the_kinks_that_its_steps_cross():
    x, y = population()
    errors = {}
    for activation in ("relu", "softplus"):
        trajectory = dynamics.train(network(activation, 32), x, y, learning_rate=0.3, steps=100, record_kernel=True)
        errors[activation] = dynamics.damped_deviations(trajectory).relative_identity_error
    assert errors["softplus"] < 1e-10 < 1e-6 < errors["relu"] < 1e-2


# ---- the parts, from dense matrices


def _jacobian(model, x, out=()):
    parameters, rest = models.partition(model)
    flat, unravel = ravel_pytree(parameters)

    def outputs(p):
        return jax.vmap(models.combine(unravel(p), rest))(x).ravel()

    return flat, jax.jit(outputs), jax.jit(jax.jacobian(outputs))


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_parts_of_gradient_descent_in_function_space(vector, momentum):
    """The recursions d ← d + β(d - d_before) - ηT_K d + ηq in function space, with Jacobians at many points u."""
    x = sphere(14, seed=1)
    y = np.stack([target(x), x[:, 0] ** 2], axis=1) if vector else target(x)
    model, chosen, eta, steps = vector_network() if vector else network(width=12), [0, 2, 3, 7, 9], 0.2, 12
    weights = np.random.default_rng(2).uniform(0.5, 2, 14)
    weights /= weights.sum()
    trajectory = dynamics.train(
        model, x[chosen], y[chosen], learning_rate=eta, steps=steps, optimizer_options={"momentum": momentum},
        record_kernel=KernelRecorder(x, y, weights=weights, quadrature=6),
    )  # fmt: skip
    c = 2 if vector else 1
    limit = np.kron(np.asarray(kernels.infinite_ntk(1, "tanh").ntk(jnp.asarray(x))), np.eye(c))
    kernel = limit.reshape(14, c, 14, c).transpose(0, 2, 1, 3) if vector else limit
    rows = np.array([i * c + a for i in chosen for a in range(c)])
    w, n = np.repeat(weights, c), len(chosen)
    flat, outputs, jacobian = _jacobian(model, x)
    theta0 = np.asarray(jacobian(flat) @ jacobian(flat).T)
    points, gauss = np.polynomial.legendre.leggauss(8)
    parameters, velocity, before = np.asarray(flat), np.zeros(flat.shape), np.zeros(14 * c)
    parts, lasts = np.zeros((3, 14 * c)), np.zeros((3, 14 * c))
    frozen = frozen_last = np.asarray(outputs(flat)) - y.ravel()
    found = dynamics.damped_deviations(trajectory, kernel, cross=kernel[:, chosen])
    for step in range(steps + 1):
        residual = np.asarray(outputs(parameters)) - y.ravel()
        for name, expected in zip((*PARTS, "propagated", "coefficients"), (*parts, frozen, residual), strict=True):
            expanded = found.expand(getattr(found, name)[step]).ravel()
            np.testing.assert_allclose(expanded, expected, atol=1e-11, err_msg=f"{name} at step {step}")
        gradient = np.asarray(jacobian(parameters)[rows].T @ residual[rows] / n)
        velocity = momentum * velocity + gradient
        along = sum(
            g / 2 * np.asarray(jacobian(parameters - eta * (u + 1) / 2 * velocity))
            for u, g in zip(points, gauss, strict=True)
        )
        moved = -eta * along @ velocity
        action = -(moved - momentum * before) / eta
        operator = limit * w
        sources = np.stack([
            operator @ residual - limit[:, rows] @ residual[rows] / n,
            (limit - theta0)[:, rows] @ residual[rows] / n,
            theta0[:, rows] @ residual[rows] / n - action,
        ])  # fmt: skip
        parts, lasts = parts + momentum * (parts - lasts) - eta * parts @ operator.T + eta * sources, parts
        frozen, frozen_last = frozen + momentum * (frozen - frozen_last) - eta * operator @ frozen, frozen
        parameters, before = parameters - eta * velocity, moved
    assert found.relative_identity_error < 1e-11


def test_parts_of_a_flow_as_scipy_integrates_them():
    """d' = -T_K d + q for the three parts beside θ' = -∇L, in one system."""
    x = sphere(10, seed=1)
    y, chosen, times = target(x), [0, 2, 3, 7], np.array([0.0, 0.5, 2.0, 6.0])
    model = network(width=8)
    flat, outputs, jacobian = _jacobian(model, x)
    limit = np.asarray(kernels.bowman_kernel("tanh").ntk(jnp.asarray(x)))
    theta0, size = np.asarray(jacobian(flat) @ jacobian(flat).T), len(flat)

    def derivative(t, state):
        parameters, parts = state[:size], state[size:].reshape(3, 10)
        r, at = np.asarray(outputs(parameters)) - y, np.asarray(jacobian(parameters))
        velocity = at[chosen].T @ r[chosen] / 4
        sources = np.stack([
            limit @ r / 10 - limit[:, chosen] @ r[chosen] / 4,
            (limit - theta0)[:, chosen] @ r[chosen] / 4,
            theta0[:, chosen] @ r[chosen] / 4 - at @ velocity,
        ])  # fmt: skip
        return np.concatenate([-velocity, (sources - parts @ limit / 10).ravel()])

    start = np.concatenate([np.asarray(flat), np.zeros(30)])
    exact = solve_ivp(derivative, (0, 6), start, "DOP853", t_eval=times, rtol=1e-11, atol=1e-12).y[size:]
    trajectory = dynamics.gradient_flow(model, x[chosen], y[chosen], times, record_kernel=KernelRecorder(x, y))
    found = dynamics.damped_deviations(trajectory, kernels.bowman_kernel("tanh"))
    for index, name in enumerate(PARTS):
        expected = exact.reshape(3, 10, -1)[index].T
        np.testing.assert_allclose(found.expand(getattr(found, name)), expected, atol=1e-8, err_msg=name)


def test_without_damping_the_force_adds_up():
    """Motion of one step is η times its source, and damping of a constant force is (1 - e^(-λt))/(λt)."""
    found = dynamics.damped_deviations(flow("tanh", False))
    assert np.all(np.abs(found.undamped[-1, 0]) > np.abs(found.deviation[-1, 0]))
    exact = -np.expm1(-found.eigenvalues * 8) / (8 * found.eigenvalues)
    np.testing.assert_allclose(found.damping[-1], exact, rtol=1e-12)
    np.testing.assert_array_equal(found.damping[0], 1)


# ---- bounds


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_the_bounds_hold_at_every_time(activation):
    found = dynamics.damped_deviations(flow(activation, False), kernels.bowman_kernel(activation))
    largest = 0.0
    for count in (1, 2, 5, 9, 40):
        left, right = found.damped_bound(count)
        assert left[0] == right[0] == 0
        ratio = left[1:] / right[1:]
        assert np.all(ratio <= 1)
        largest = max(largest, ratio.max())
    assert largest > 0.3  # and it is no empty statement
    left, right = found.undamped_bound()
    assert np.all(left[1:] / right[1:] <= 1)
    # The factor of the largest eigenvalue is too small for the whole deviation.
    factor = -np.expm1(-found.eigenvalues[0] * found.times) / found.eigenvalues[0]
    assert np.any(left > factor * found.source_sup)


def test_the_bounds_of_gradient_descent():
    x, y = population()
    trajectory = dynamics.train(
        network(), x[::2], y[::2], learning_rate=0.3, steps=200, record_kernel=KernelRecorder(x, y)
    )
    found = dynamics.damped_deviations(trajectory)
    for count in (1, 7, 40):
        left, right = found.damped_bound(count)
        assert np.all(left <= right * (1 + 1e-9))
    assert np.all(found.undamped_bound()[0] <= found.undamped_bound()[1] * (1 + 1e-9))


# ---- populations and forms of the kernel


def test_a_quadrature_on_the_sphere_has_the_eigenvalues_of_the_sphere():
    """Gauss–Legendre in the height times equal angles integrates polynomials up to degree 23 exactly."""
    height, gauss = np.polynomial.legendre.leggauss(12)
    angle = 2 * np.pi * np.arange(24) / 24
    radius = np.sqrt(1 - height**2)
    x = np.stack(
        [np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.outer(height, np.ones(24))], axis=-1
    ).reshape(-1, 3)
    weights = np.repeat(gauss / 2, 24) / 24
    chosen = sphere(30, seed=3)
    trajectory = dynamics.gradient_flow(
        network(), chosen, target(chosen), [0.0, 1.0], record_kernel=KernelRecorder(x, target(x), weights=weights)
    )
    kernel = kernels.bowman_kernel("tanh")
    found = dynamics.damped_deviations(trajectory, kernel, num_modes=16)
    exact = np.repeat(spectra.sphere_spectrum(kernel, 3, 3).eigenvalues, [1, 3, 5, 7])
    np.testing.assert_allclose(found.eigenvalues, np.sort(exact)[::-1], rtol=1e-6)
    weighted = found.functions * weights[:, None]
    np.testing.assert_allclose(weighted.T @ found.functions, np.eye(16), atol=1e-10)
    assert found.relative_identity_error < 1e-8


def test_a_kernel_as_object_gram_and_modes():
    trajectory = flow("tanh", False)
    path, kernel = trajectory.kernel_path, kernels.bowman_kernel("tanh")
    gram, cross = np.asarray(kernel.ntk(path.x)), np.asarray(kernel.ntk(path.x, path.x_train))
    one, two = dynamics.damped_deviations(trajectory, kernel), dynamics.damped_deviations(trajectory, gram, cross=cross)
    np.testing.assert_allclose(one.expand(one.width), two.expand(two.width), atol=1e-12)
    on_train = flow("tanh", True)
    gram = kernels.empirical_ntk(on_train.kernel_path.model, on_train.kernel_path.x)
    modes = spectra.eigenmodes(gram)
    by_default, by_modes = dynamics.damped_deviations(on_train), dynamics.damped_deviations(on_train, modes)
    np.testing.assert_allclose(by_modes.motion, by_default.motion, atol=1e-10)
    assert np.abs(by_modes.width).max() < 1e-10
    few = dynamics.damped_deviations(on_train, modes, num_modes=4)
    np.testing.assert_allclose(few.motion, by_modes.motion[:, :4], atol=1e-12)


@pytest.mark.parametrize("on_train", [True, False])
def test_several_outputs_with_one_kernel_for_all(on_train):
    x = sphere(12, seed=1)
    y = np.stack([target(x), x[:, 0] ** 2], axis=1)
    record = True if on_train else KernelRecorder(x, y)
    trajectory = dynamics.gradient_flow(vector_network(), x[:7], y[:7], [0.0, 1.0, 3.0], record_kernel=record)
    path, kernel = trajectory.kernel_path, kernels.infinite_ntk(1, "tanh")
    gram, cross = np.asarray(kernel.ntk(path.x)), np.asarray(kernel.ntk(path.x, path.x_train))
    full = [np.einsum("mn,ab->mnab", one, np.eye(2)) for one in (gram, cross)]
    found = dynamics.damped_deviations(trajectory, kernel)
    again = dynamics.damped_deviations(trajectory, full[0], cross=full[1])
    assert found.relative_identity_error < 1e-9
    np.testing.assert_allclose(found.eigenvalues, again.eigenvalues, atol=1e-12)
    for name in (*PARTS, "propagated"):
        np.testing.assert_allclose(found.expand(getattr(found, name)), again.expand(getattr(again, name)), atol=1e-10)
    assert found.functions.shape == (len(path.x), 2, 2 * len(path.x))
    # Mode i of output a is number 2 i + a, and lives on output a alone.
    assert np.all(found.functions[:, 1, 0::2] == 0)
    assert dynamics.damped_deviations(trajectory).relative_identity_error < 1e-9


def test_single_precision_closes_to_single_precision():
    with jax.enable_x64(False):
        x, y = population()
        trajectory = dynamics.train(network(), x, y, learning_rate=0.3, steps=100, record_kernel=True)
    found = dynamics.damped_deviations(trajectory)
    assert found.precision == "float32"
    assert 1e-9 < found.relative_identity_error < 1e-5


def test_recording_changes_nothing():
    x, y = population()
    plain = dynamics.train(network(), x, y, learning_rate=0.3, steps=50)
    recorded = dynamics.train(network(), x, y, learning_rate=0.3, steps=50, record_kernel=True)
    np.testing.assert_array_equal(plain.residuals, recorded.residuals)
    assert plain.kernel_path is None
    assert set(recorded.records) == set()


# ---- bad input


def test_trajectories_without_what_it_takes(refuses):
    x, y = population()
    with refuses("record_kernel=True"):
        dynamics.damped_deviations(dynamics.train(network(), x, y, learning_rate=0.1, steps=2))
    diverged = dynamics.train(network(), x, y, learning_rate=1e4, steps=60, record_kernel=True)
    with refuses("diverged"):
        dynamics.damped_deviations(diverged)
    with refuses("`adam`"):
        dynamics.train(network(), x, y, learning_rate=0.1, steps=2, optimizer="adam", record_kernel=True)
    with refuses("mini-batches"):
        dynamics.train(network(), x, y, learning_rate=0.1, steps=2, batch_size=4, record_kernel=True)


def test_populations_that_do_not_fit(refuses):
    x, y = population()
    with refuses("the population is empty"):
        KernelRecorder(x[:0], y[:0])
    with refuses("both"):
        KernelRecorder(x)
    with refuses("(39,)"):
        KernelRecorder(x, y[:-1])
    with refuses("sum 1"):
        KernelRecorder(x, y, weights=np.ones(40))
    with refuses("quadrature"):
        KernelRecorder(x, y, quadrature=-1)
    for bad in (KernelRecorder(x[:, :2], y), KernelRecorder(x, y[:, None])):
        with refuses("do not fit"):
            dynamics.train(network(), x, y, learning_rate=0.1, steps=2, record_kernel=bad)


def test_kernels_that_do_not_fit(refuses):
    held_out, on_train = flow("tanh", False), flow("tanh", True)
    with refuses("(120, 120)"):
        dynamics.damped_deviations(held_out, np.eye(40))
    with refuses("`cross`"):
        dynamics.damped_deviations(held_out, np.eye(120))
    with refuses("(120, 40)"):
        dynamics.damped_deviations(held_out, np.eye(120), cross=np.ones((120, 120)))
    with refuses("`Modes`"):
        dynamics.damped_deviations(held_out, spectra.eigenmodes(np.eye(120)))
    with refuses("not finite"):
        dynamics.damped_deviations(on_train, np.full((40, 40), np.nan))
    found = dynamics.damped_deviations(on_train, np.eye(40))
    with refuses("same eigenvalue"):
        found.damped_bound(3)
    with refuses("`count`"):
        found.damped_bound(41)
