"""The truncated hierarchy: against the tensor equations written out, closed solutions, and training itself."""

import functools
import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spectralbias import dynamics, kernels, models, spectra
from spectralbias.dynamics import HierarchyStatus, KinkWarning, _hierarchy

KEY = jax.random.key(3)
TIMES = np.array([0.0, 0.7, 2.0, 6.0, 15.0])
STEPS = [0, 1, 2, 5, 20, 60]


def unit_inputs(n, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X, X_TEST = unit_inputs(3, 4), unit_inputs(2, 4, seed=1)
Y = np.array([1.0, -0.6, 0.4])


def network(width=24, depth=1, **kwargs):
    kwargs = {"activation": "tanh", "key": KEY} | kwargs
    return models.huang_yau_network(4, width, depth, **kwargs)


@functools.cache
def tensor_equations(order, depth=1):
    """f, K², …, K^p on training and test points, each an unknown of its own: ∂_t K^r = -(1/n) K^(r+1)·r, K^p fixed."""
    model, points = network(depth=depth), np.concatenate([X, X_TEST])
    tensors = [np.asarray(k) for k in dynamics.hierarchy_kernels(model, [points, *[X] * (order - 1)], order)]
    parts = [np.asarray(jax.vmap(model)(points)), *tensors]
    ends = np.cumsum([part.size for part in parts])

    def unpack(state):
        return [one.reshape(part.shape) for one, part in zip(np.split(state, ends[:-1]), parts, strict=True)]

    def derivative(_, state):
        f, *kernels = unpack(state)
        r = f[:3] - Y
        rates = [-(kernel @ r) / 3 for kernel in kernels]
        return np.concatenate([rate.ravel() for rate in rates] + [np.zeros(parts[-1].size)])

    start = np.concatenate([part.ravel() for part in parts])
    solved = solve_ivp(derivative, (0, TIMES[-1]), start, "DOP853", t_eval=TIMES, rtol=1e-12, atol=1e-14)
    f, kernel, *_ = zip(*(unpack(state) for state in solved.y.T), strict=True)
    return np.stack(f), np.stack(kernel)


@functools.cache
def solved(order, method, depth=1):
    return dynamics.hierarchy(
        network(depth=depth), X, Y, TIMES, order=order, x_test=X_TEST, method=method, keep_ntk=True, rtol=1e-10
    )


@pytest.mark.parametrize(
    ("order", "method", "depth"),
    [(3, "contract", 1), (3, "tensor", 1), (3, "contract", 2), (4, "contract", 1), (4, "tensor", 1),
     (4, "contract", 2), (5, "tensor", 1), (6, "tensor", 1)],
)  # fmt: skip
def test_it_solves_the_tensor_equations(order, method, depth):
    f, theta = tensor_equations(order, depth)
    found = solved(order, method, depth)
    assert np.abs(theta[-1, :3] / theta[0, :3] - 1).max() > 0.02  # the kernel moves
    np.testing.assert_allclose(found.predictions, f[:, :3], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.test_predictions, f[:, 3:], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.ntk, theta[:, :3], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(found.residuals, found.predictions - Y)
    assert (found.order, found.method, found.precision) == (order, method, "float64")
    assert found.status is HierarchyStatus.valid
    assert found.valid_until == TIMES[-1]
    assert found.steps is None
    np.testing.assert_array_equal(found.times, TIMES)


def test_orders_differ_from_each_other():
    """So that the test above tells them apart."""
    found = [tensor_equations(order)[0] for order in (3, 4, 5, 6)]
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 1e-5


@pytest.mark.parametrize("order", [3, 4])
def test_an_explicit_solver_of_the_contracted_equations(order):
    """f, R = ∫r and Θ̃ by small steps, for two layers and more inputs; no panels, and no tensor."""
    n, model = 6, network(32, 2, activation="softplus")
    x, y = unit_inputs(n, 4, seed=2), np.random.default_rng(2).standard_normal(n)

    def derivative(_, state):
        f, integral, theta = state[:n], state[n : 2 * n], state[2 * n :].reshape(n, n)
        r = f - y
        moving = -np.asarray(dynamics.kernel_derivative(model, x, r)) / n
        if order == 4:
            moving += np.asarray(dynamics.kernel_derivative(model, x, r, integral)) / n**2
        return np.concatenate([-theta @ r / n, r, moving.ravel()])

    f0, theta0 = np.asarray(jax.vmap(model)(x)), np.asarray(kernels.empirical_ntk(model, x))
    start = np.concatenate([f0, np.zeros(n), theta0.ravel()])
    solved = solve_ivp(derivative, (0, TIMES[-1]), start, "DOP853", t_eval=TIMES, rtol=1e-11, atol=1e-13)
    found = dynamics.hierarchy(model, x, y, TIMES, order=order, keep_ntk=True, rtol=1e-9)
    np.testing.assert_allclose(found.predictions, solved.y[:n].T, rtol=0, atol=1e-9 * np.linalg.norm(f0 - y))
    thetas = solved.y[2 * n :].T.reshape(-1, n, n)
    np.testing.assert_allclose(found.ntk, thetas, rtol=0, atol=1e-8 * np.abs(theta0).max())


def test_order_two_is_the_frozen_kernel():
    model = network(depth=2)
    theta, cross = kernels.empirical_ntk(model, X), kernels.empirical_ntk(model, X_TEST, X)
    f0, f_test = np.asarray(jax.vmap(model)(X)), np.asarray(jax.vmap(model)(X_TEST))
    frozen = dynamics.frozen(theta, f0 - Y, cross=cross, f0_test=f_test)
    found = dynamics.hierarchy(model, X, Y, TIMES, order=2, x_test=X_TEST, keep_ntk=True)
    np.testing.assert_allclose(found.residuals, frozen.residuals(TIMES), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.test_predictions, frozen.predictions(TIMES), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.ntk, np.broadcast_to(theta, found.ntk.shape), rtol=0, atol=1e-14)
    assert found.method == "closed"
    assert found.error_estimate is None
    steps = [0, 1, 3, 40]
    discrete = dynamics.hierarchy(model, X, Y, steps, order=2, learning_rate=0.9)
    np.testing.assert_allclose(discrete.residuals, frozen.residuals_at(steps, 0.9), rtol=0, atol=1e-13)
    assert discrete.steps.tolist() == steps
    np.testing.assert_allclose(discrete.times, 0.9 * np.array(steps))


# ---- closed solutions


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_linear_networks_and_one_input(order):
    """K^(r+2) = (4/m) K^r: training is f(R) with R = ∫r, and the hierarchy its Taylor polynomial of degree p - 1."""
    width, y = 8, 3.0
    model = network(width, activation="identity")
    x = X[:1]
    f0 = float(model(jnp.asarray(x[0])))
    theta0 = float(kernels.empirical_ntk(model, x)[0, 0])

    def f(R):
        taylor = [f0, theta0]  # K¹, K², …
        taylor += [0.0] * (order - 2)
        for k in range(2, order):
            taylor[k] = 4 / width * taylor[k - 2]
        return sum(kernel * (-R) ** k / math.factorial(k) for k, kernel in enumerate(taylor))

    solved = solve_ivp(lambda _, R: f(R) - y, (0, 4), [0.0], "Radau", t_eval=[0, 0.5, 1, 4], rtol=1e-12, atol=1e-14)
    found = dynamics.hierarchy(model, x, np.array([y]), [0, 0.5, 1, 4], order=order, rtol=1e-9)
    np.testing.assert_allclose(found.predictions[:, 0], f(solved.y[0]), rtol=0, atol=1e-8)


def test_more_orders_are_nearer_to_a_linear_network():
    model, x, y, times = network(64, activation="identity"), X[:1], np.array([1.0]), [0.0, 1.0, 4.0]
    exact = dynamics.gradient_flow(model, x, y, times).residuals
    errors = [
        np.abs(dynamics.hierarchy(model, x, y, times, order=p, rtol=1e-10).residuals - exact).max() for p in range(2, 7)
    ]
    for lower, higher in itertools.pairwise(errors):
        assert higher < lower / 2


# ---- training


def errors_against(train, predict, widths, seeds):
    """Geometric means over seeds of ‖f̃ - f‖ at the last time, (widths, orders)."""
    found = []
    for width in widths:
        logs = []
        for seed in range(seeds):
            model = models.huang_yau_network(6, width, 1, activation="tanh", key=jax.random.key(100 * seed + width))
            true = train(model)
            logs.append([np.log(np.linalg.norm(predict(model, p).residuals[-1] - true)) for p in (2, 3, 4)])
        found.append(np.exp(np.mean(logs, axis=0)))
    return np.array(found)


def four_points():
    y = np.random.default_rng(0).standard_normal((5, 4))[4]
    return unit_inputs(4, 6), 2 * y / np.linalg.norm(y)


def test_the_error_falls_with_the_width():
    """As m^-1 for orders 2 and 3, as m^-2 for order 4; six seeds leave a slope of three octaves uncertain by 0.2."""
    x, y = four_points()
    widths = (128, 1024)
    errors = errors_against(
        lambda model: dynamics.gradient_flow(model, x, y, [0, 8.0], rtol=1e-12, atol=1e-13).residuals[-1],
        lambda model, p: dynamics.hierarchy(model, x, y, [0, 8.0], order=p, rtol=1e-9), widths, seeds=6,
    )  # fmt: skip
    slopes = np.log2(errors[1] / errors[0]) / np.log2(widths[1] / widths[0])
    assert slopes[0] == pytest.approx(-1, abs=0.35)
    assert slopes[1] == pytest.approx(-1, abs=0.35)
    assert slopes[2] == pytest.approx(-2, abs=0.45)
    assert errors[1, 2] < errors[1, 1] / 20


def test_steps_of_gradient_descent():
    """The same against training with large steps; without the terms of the step the error stays that of its size."""
    x, y = four_points()
    eta, steps = 2.0, 5
    widths = (128, 1024)
    errors = errors_against(
        lambda model: dynamics.train(model, x, y, learning_rate=eta, steps=steps).residuals[-1],
        lambda model, p: dynamics.hierarchy(model, x, y, [0, steps], order=p, learning_rate=eta, rtol=1e-9),
        widths, seeds=4,
    )  # fmt: skip
    slopes = np.log2(errors[1] / errors[0]) / np.log2(widths[1] / widths[0])
    assert slopes[0] == pytest.approx(-1, abs=0.4)
    assert slopes[2] == pytest.approx(-2, abs=0.5)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_terms_of_a_step_are_those_of_taylor(order, steps, depth):
    """After a fixed number of steps the error is of order η^p, with any width: what η^2 and η^3 do is included."""
    model, errors = network(6, depth), []
    for eta in (0.08, 0.04, 0.02):
        true = dynamics.train(model, X, Y, learning_rate=eta, steps=steps)
        test = np.asarray(jax.vmap(true.model)(X_TEST))
        found = dynamics.hierarchy(model, X, Y, [0, steps], order=order, learning_rate=eta, x_test=X_TEST, rtol=1e-12)
        errors.append([np.abs(found.residuals[-1] - true.residuals[-1]).max(),
                       np.abs(found.test_predictions[-1] - test).max()])  # fmt: skip
    ratios = np.array(errors[1]) / errors[2]
    np.testing.assert_allclose(np.log2(ratios), order, atol=0.35)


def test_the_terms_of_a_step_matter(monkeypatch):
    x, y = four_points()
    model = models.huang_yau_network(6, 2048, 1, activation="tanh", key=KEY)
    true = dynamics.train(model, x, y, learning_rate=2.0, steps=2).residuals[-1]

    def error():
        found = dynamics.hierarchy(model, x, y, [0, 2], order=4, learning_rate=2.0, rtol=1e-9)
        return np.linalg.norm(found.residuals[-1] - true)

    complete = error()
    monkeypatch.setattr(
        _hierarchy, "_descent_rate",
        lambda products, r, integral, eta, fourth: _hierarchy._flow_rate(products, r, integral, fourth),
    )  # fmt: skip
    assert error() > 20 * complete


def test_on_test_points_against_training():
    x, y = four_points()
    x_test = unit_inputs(5, 6, seed=9)
    model = models.huang_yau_network(6, 512, 1, activation="softplus", key=KEY)
    true = np.asarray(jax.vmap(dynamics.gradient_flow(model, x, y, [0, 8.0]).model)(x_test))
    errors = [
        np.abs(dynamics.hierarchy(model, x, y, [0, 8.0], order=p, x_test=x_test).test_predictions[-1] - true).max()
        for p in (2, 4)
    ]
    assert errors[1] < errors[0] / 20


def test_antisymmetric_networks_gain_nothing_from_odd_orders():
    x, y = four_points()
    model = models.huang_yau_network(6, 24, 1, activation="tanh", antisymmetric=True, key=KEY)
    found = {
        p: dynamics.hierarchy(model, x, y, TIMES, order=p, method=method, rtol=1e-12).predictions
        for p, method in ((2, "auto"), (3, "contract"), (4, "tensor"), (5, "tensor"))
    }
    np.testing.assert_allclose(found[2][0], 0, atol=1e-15)
    np.testing.assert_allclose(found[3], found[2], rtol=0, atol=1e-14)
    np.testing.assert_allclose(found[5], found[4], rtol=0, atol=1e-12)
    assert np.abs(found[4] - found[2]).max() > 1e-3


def test_one_copy_says_what_both_copies_do(monkeypatch):
    """Of an antisymmetric network, and of any model that was made so."""
    ours = models.MLP(4, "scalar", 24, 1, activation="gelu", bias_std=0.3, antisymmetric=True, key=KEY)
    both_kinds = (ours, models.antisymmetric(network(12)))

    def found(model):
        solved = dynamics.hierarchy(model, X, Y, STEPS, learning_rate=0.7, x_test=X_TEST, rtol=1e-11)
        assert np.abs(solved.residuals[-1] - solved.residuals[0]).max() > 0.1
        return solved

    from_one = [found(model) for model in both_kinds]
    assert all(_hierarchy.one_copy(model) is not None for model in both_kinds)
    monkeypatch.setattr(_hierarchy, "one_copy", lambda model: None)
    for one, model in zip(from_one, both_kinds, strict=True):
        both = found(model)
        np.testing.assert_allclose(one.predictions, both.predictions, rtol=0, atol=1e-11)
        np.testing.assert_allclose(one.test_predictions, both.test_predictions, rtol=0, atol=1e-11)
        np.testing.assert_allclose(one.smallest_eigenvalues, both.smallest_eigenvalues, rtol=0, atol=1e-11)


def test_copies_that_differ_are_no_copies():
    """One that was trained, one with parameters that both share, and one that is not antisymmetric at all."""
    model = models.MLP(4, "scalar", 8, 1, activation="tanh", antisymmetric=True, key=KEY)
    trained = dynamics.train(model, X, Y, learning_rate=0.1, steps=1).model
    shared = models.MLP(
        4, "scalar", 8, 1, activation="tanh", antisymmetric=True, encoding=eqx.nn.Linear(4, 4, key=KEY), key=KEY
    )
    assert all(_hierarchy.one_copy(one) is None for one in (trained, shared, network()))


def test_of_any_model():
    """A convolution with a bias and tied weights, from a function: contractions and tensors agree."""

    def apply(p, x):
        h = jax.lax.conv_general_dilated(x[None, None], p["kernel"], (1,), "VALID")[0] + p["bias"][:, None]
        return jnp.sum(jnp.tanh(h) * p["out"]) + x[0] * jnp.sum(p["out"] ** 2)

    rng = np.random.default_rng(0)
    sizes = {"kernel": (8, 1, 2), "bias": (8,), "out": (8, 3)}
    model = models.from_function(apply, {name: jnp.asarray(rng.standard_normal(s)) / 4 for name, s in sizes.items()})
    found = [
        dynamics.hierarchy(model, X, Y, TIMES, x_test=X_TEST, method=method, rtol=1e-10)
        for method in ("contract", "tensor")
    ]
    np.testing.assert_allclose(found[0].predictions, found[1].predictions, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[0].test_predictions, found[1].test_predictions, rtol=0, atol=1e-9)


def test_one_output_of_several_is_a_model_of_its_own():
    model = models.MLP(4, 2, 24, 1, activation="tanh", bias_std=0.3, key=KEY)
    parameters, rest = models.partition(model)
    alone = models.from_function(lambda p, x: models.combine(p, rest)(x)[1], parameters)
    for p in (2, 4):
        found = dynamics.hierarchy(model, X, Y, TIMES, order=p, output=1, x_test=X_TEST)
        expected = dynamics.hierarchy(alone, X, Y, TIMES, order=p, x_test=X_TEST)
        np.testing.assert_allclose(found.predictions, expected.predictions, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.test_predictions, expected.test_predictions, rtol=0, atol=1e-12)


# ---- what is said about the result


def test_the_error_estimate_is_the_change_from_the_order_below():
    methods = {2: "closed", 3: "contract", 4: "contract", 5: "tensor", 6: "tensor"}
    found = {order: solved(order, method) for order, method in methods.items()}
    for p, below in ((3, 2), (4, 2), (5, 4), (6, 4)):
        change = np.sqrt(np.mean((found[p].predictions - found[below].predictions) ** 2, axis=1))
        np.testing.assert_allclose(found[p].error_estimate, change, rtol=1e-4, atol=1e-9)
        assert found[p].error_estimate[0] == 0
    true = dynamics.gradient_flow(network(), X, Y, TIMES).residuals
    error = np.sqrt(np.mean((found[4].residuals - true) ** 2, axis=1))
    assert np.all(error[1:] <= found[4].error_estimate[1:])


@pytest.mark.parametrize("method", ["contract", "tensor"])
def test_a_narrow_network_loses_definiteness(method):
    x, y = four_points()
    times = np.linspace(0, 20, 81)
    model = models.huang_yau_network(6, 8, 1, activation="tanh", key=KEY)
    found = dynamics.hierarchy(model, x, 3 * y, times, order=4, keep_ntk=True, method=method)
    assert found.status is HierarchyStatus.lost_definiteness
    assert "no meaning" in found.status.value
    assert 1 < found.valid_until < 10
    # It explodes a little later, and what was not reached is NaN.
    reached = np.isfinite(found.predictions).all(axis=1)
    assert reached.tolist() == sorted(reached, reverse=True)
    assert not reached[-1]
    assert np.isnan(found.ntk[-1]).all()
    assert found.ntk.shape == (81, 4, 4)
    least = np.array([np.linalg.eigvalsh((one + one.T) / 8)[0] for one in found.ntk[reached]])
    assert np.all(least[times[reached] <= found.valid_until] > -5e-4)
    assert least[-1] < -0.1
    # λ_min is that of Θ̃/n at the ends of the panels.
    seen = [np.flatnonzero(times[reached] == time) for time in found.panel_times]
    assert sum(map(len, seen)) >= 4
    for rows, smallest in zip(seen, found.smallest_eigenvalues, strict=True):
        np.testing.assert_allclose(least[rows], smallest, rtol=0, atol=1e-9)
    # With a hundred times the width it does not happen.
    wide = models.huang_yau_network(6, 800, 1, activation="tanh", key=KEY)
    assert dynamics.hierarchy(wide, x, 3 * y, times, order=4, method=method).status is HierarchyStatus.valid


@pytest.mark.parametrize("method", ["contract", "tensor"])
def test_what_diverges_is_stopped(method):
    """θ̃ of order 3 falls without end for one input of a linear network, if f must fall far: R' = f̃(R) - y explodes."""
    model, x = network(4, activation="identity"), X[:1]
    f0 = float(model(jnp.asarray(x[0])))
    target = np.array([f0 - 40 * np.sign(f0)])
    found = dynamics.hierarchy(model, x, target, np.linspace(0, 50, 11), order=3, method=method)
    assert found.status in (HierarchyStatus.stopped, HierarchyStatus.lost_definiteness)
    assert found.valid_until < 50
    assert np.isnan(found.predictions[-1, 0])
    assert np.isfinite(found.predictions[0, 0])


@pytest.mark.parametrize("method", ["contract", "tensor"])
def test_the_kernel_over_time_and_its_modes(method):
    model = network()
    found = dynamics.hierarchy(model, X, Y, TIMES, keep_ntk=True, method=method)
    assert found.ntk.shape == (5, 3, 3)
    np.testing.assert_allclose(found.ntk[0], kernels.empirical_ntk(model, X), rtol=1e-12)
    for index in (0, 2, -1):
        modes, expected = found.modes(index), spectra.eigenmodes(found.ntk[index])
        np.testing.assert_allclose(modes.eigenvalues, expected.eigenvalues, rtol=1e-12)
    assert len(found.modes(num_modes=1).eigenvalues) == 1
    assert found.modes(-1).eigenvalues[0] != found.modes(0).eigenvalues[0]


def test_the_kernel_moves_as_that_of_the_network_does():
    x, y = four_points()
    model = models.huang_yau_network(6, 512, 1, activation="tanh", key=KEY)
    found = dynamics.hierarchy(model, x, y, [0, 2.0, 8.0], keep_ntk=True)
    for index, time in ((1, 2.0), (2, 8.0)):
        true = np.asarray(kernels.empirical_ntk(dynamics.gradient_flow(model, x, y, [0, time]).model, x))
        assert np.abs(found.ntk[index] - true).max() < np.abs(found.ntk[0] - true).max() / 5


def test_the_kernel_that_was_not_kept(refuses):
    found = dynamics.hierarchy(network(), X, Y, TIMES, order=2)
    assert found.ntk is None
    with refuses("keep_ntk"):
        found.modes()


@pytest.mark.parametrize("order", [2, 3, 4])
def test_relu_has_kinks(order):
    model = network(activation="relu")
    if order == 2:
        found = dynamics.hierarchy(model, X, Y, TIMES, order=2)
    else:
        with pytest.warns(KinkWarning, match="kinks"):
            found = dynamics.hierarchy(model, X, Y, TIMES, order=order)
    assert found.has_kinks
    assert not dynamics.hierarchy(network(), X, Y, TIMES, order=2).has_kinks


@pytest.mark.filterwarnings("ignore:the model has kinks")
def test_what_kinks_do_is_missing():
    """For ReLU order 4 is no nearer to training than the frozen kernel; for tanh it is, by far."""
    x, y = four_points()
    gains = {}
    for activation in ("relu", "tanh"):
        logs = []
        for seed in range(4):
            model = models.huang_yau_network(6, 512, 1, activation=activation, key=jax.random.key(seed))
            true = dynamics.train(model, x, y, learning_rate=0.05, steps=60).residuals[-1]
            frozen, fourth = (
                dynamics.hierarchy(model, x, y, [0, 60], order=p, learning_rate=0.05).residuals[-1] for p in (2, 4)
            )
            logs.append(np.log(np.linalg.norm(frozen - true) / np.linalg.norm(fourth - true)))
        gains[activation] = np.exp(np.mean(logs))
    assert gains["relu"] < 2
    assert gains["tanh"] > 20


def test_in_float32():
    model = network()
    exact = dynamics.hierarchy(model, X, Y, TIMES, order=3, x_test=X_TEST)
    with jax.enable_x64(False):
        small = jax.tree.map(lambda p: p.astype(jnp.float32), model)
        found = dynamics.hierarchy(small, X, Y, TIMES, order=3, x_test=X_TEST, dtype="float32", rtol=1e-5)
        # The default is float64 even here.
        same = dynamics.hierarchy(small, X, Y, TIMES, order=3, x_test=X_TEST)
    assert found.precision == "float32"
    np.testing.assert_allclose(found.predictions, exact.predictions, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.test_predictions, exact.test_predictions, rtol=0, atol=1e-4)
    np.testing.assert_allclose(same.predictions, exact.predictions, rtol=0, atol=1e-5)
    assert same.precision == "float64"


@pytest.mark.parametrize("method", ["contract", "tensor"])
def test_nothing_to_learn(method):
    model = network()
    f0 = np.asarray(jax.vmap(model)(X))
    found = dynamics.hierarchy(model, X, f0, TIMES, order=4, method=method)
    np.testing.assert_allclose(found.predictions, np.broadcast_to(f0, (5, 3)), rtol=0, atol=1e-15)
    assert found.status is HierarchyStatus.valid


def test_progress_can_stop_it():
    seen = []

    def stop(time):
        seen.append(time)
        if time > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dynamics.hierarchy(network(), X, Y, TIMES, order=3, progress=stop)
    assert seen == sorted(seen)
    assert 2 < seen[-1] < TIMES[-1]


# ---- refusals


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"order": 1}, ["order", "at least 2", "1"]),
        ({"order": 7}, ["order", "between 2 and 6", "7"]),
        ({"order": 3.0}, ["order", "whole", "3.0"]),
        ({"times": [0.0]}, ["times", "increase"]),
        ({"times": [0.0, 2.0, 2.0]}, ["times", "increase"]),
        ({"times": [1.0, 2.0]}, ["times", "from 0"]),
        ({"times": [0.0, np.inf]}, ["times", "inf"]),
        ({"y": [1.0, np.nan, 0.0]}, ["y", "nan"]),
        ({"x": X * np.inf}, ["x", "inf"]),
        ({"x_test": X_TEST * np.nan}, ["x_test", "nan"]),
        ({"x_test": np.ones((2, 5))}, ["x_test", "(4,)", "(5,)"]),
        ({"y": [1.0, 2.0]}, ["x", "y", "3", "2"]),
        ({"y": np.ones((3, 1))}, ["y", "(3,)", "(3, 1)"]),
        ({"dtype": "float32"}, ["order 4", "float64"]),
        ({"dtype": "float16"}, ["dtype", "float16"]),
        ({"method": "tensors"}, ["method", "tensors", "tensor"]),
        ({"method": "closed"}, ["closed", "order 4"]),
        ({"method": "contract", "order": 5}, ["contract", "order 5"]),
        ({"method": "tensor", "order": 2}, ["tensor"]),
        ({"method": "tensor", "learning_rate": 0.1, "times": [0, 1]}, ["tensor", "gradient flow"]),
        ({"order": 5, "learning_rate": 0.1, "times": [0, 1]}, ["gradient descent", "order 5"]),
        ({"learning_rate": 0.0, "times": [0, 1]}, ["learning_rate", "positive"]),
        ({"learning_rate": 0.1, "times": [0, 1.5]}, ["steps", "whole"]),
        ({"rtol": 0.0}, ["rtol", "positive"]),
        ({"output": 0}, ["output", "has one"]),
        ({"model": models.MLP(4, 2, 8, 1, activation="tanh", key=KEY)}, ["2 outputs", "output=0"]),
        ({"model": models.MLP(4, 2, 8, 1, activation="tanh", key=KEY), "output": 2}, ["output", "between 0 and 1"]),
    ],
)
def test_bad_arguments(changed, words, refuses):
    given = {"model": network(), "x": X, "y": Y, "times": TIMES} | changed
    with refuses(*words):
        dynamics.hierarchy(given.pop("model"), given.pop("x"), given.pop("y"), given.pop("times"), **given)


def test_too_many_inputs_for_a_tensor(refuses):
    x = unit_inputs(60, 4)
    for p in (4, 5, 6):
        with refuses("tensor", "n = 60"):
            dynamics.hierarchy(network(), x, np.zeros(60), TIMES, order=p, method="tensor")
    with refuses("n = 60", "order 3 or 4"):
        dynamics.hierarchy(network(), x, np.zeros(60), TIMES, order=6)
