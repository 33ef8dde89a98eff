"""Parts of the studies of Bowman & Montúfar against answers of independent origin."""

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from spectralbias import dynamics, kernels, models, spectra
from spectralbias.papers import Outcome, _index
from spectralbias.papers.bowman import (
    _cutoff,
    _damped_bound,
    _identity,
    _identity_discrete,
    _low_complexity,
    _overparameterized,
    _samples,
    _setting,
    _underparameterized,
    _width,
)


def explicit_descent(model, x, y, learning_rate, steps, points):
    """f on `points` after each step θ ← θ - η∇L of the loss (1/2n) Σ (f - y)²."""
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum((jax.vmap(m)(x) - y) ** 2) / (2 * len(y))))
    seen = [np.asarray(jax.vmap(model)(points), float)]
    for _ in range(steps):
        model = eqx.apply_updates(model, jax.tree.map(lambda g: -learning_rate * g, gradient(model)))
        seen.append(np.asarray(jax.vmap(model)(points), float))
    return np.array(seen)


@pytest.mark.parametrize("latitudes", [5, 8])
def test_the_rule_integrates_polynomials_on_the_sphere(latitudes):
    points = _setting.sphere_rule(latitudes)
    assert points.x.shape == (2 * latitudes**2, 3)
    assert np.allclose(np.linalg.norm(points.x, axis=1), 1, atol=1e-14)
    assert np.sum(points.weights) == pytest.approx(1, abs=1e-14)
    # E z^2 = 1/3, E x^2 y^2 z^2 = 1/105, E z^8 = 1/9; odd powers vanish.
    x, y, z = points.x.T
    for values, expected in ((z**2, 1 / 3), (x**2 * y**2 * z**2, 1 / 105), (z**8, 1 / 9), (x**3 * z, 0), (y**5, 0)):
        assert values @ points.weights == pytest.approx(expected, abs=1e-14)
    functions = spectra.spherical_harmonics(range(latitudes), points.x)
    assert np.allclose(points.coefficients(functions.T, functions), np.eye(latitudes**2), atol=1e-12)
    assert np.allclose(points.norm(functions.T), 1, atol=1e-12)


def test_the_target_is_one_function_with_a_part_of_unit_norm_for_each_degree():
    points = _setting.sphere_rule(6)
    y = _setting.target(points.x, 4, (1, 2, 3), (1.0, 0.5, 2.0))
    for degree, amplitude in ((1, 1.0), (2, 0.5), (3, 2.0), (4, 0.0)):
        part = points.coefficients(y[None], spectra.spherical_harmonics(degree, points.x))
        assert np.linalg.norm(part) == pytest.approx(amplitude, abs=1e-12)
    assert np.allclose(_setting.target(points.x[::7], 4, (1, 2, 3), (1.0, 0.5, 2.0)), y[::7], atol=1e-12)
    assert not np.allclose(_setting.target(points.x, 5, (1, 2, 3), (1.0, 0.5, 2.0)), y)


FLOW = _identity.Flow(
    seeds=(0, 1), activations=("tanh",), num_samples=12, latitudes=4, width=10, horizon=3.0, records=7
)


@pytest.mark.parametrize("on_train", [True, False])
def test_the_recorded_flow_is_that_of_scipy(on_train):
    settings = msgspec.structs.replace(FLOW, on_train=on_train)
    found = _setting.flow(settings, "tanh", 1)
    x = _setting.inputs(12, 1)
    y, model = _setting.target(x, 1, (1, 2, 3)), _setting.network("tanh", 10, 1)
    flat, unravel = jax.flatten_util.ravel_pytree(eqx.filter(model, eqx.is_array))
    static = eqx.filter(model, eqx.is_array, inverse=True)

    def outputs(theta, points):
        return jax.vmap(eqx.combine(unravel(theta), static))(points)

    slope = jax.jit(jax.grad(lambda theta: -jnp.sum((outputs(theta, x) - y) ** 2) / 24))
    solved = scipy.integrate.solve_ivp(
        lambda _, theta: np.asarray(slope(theta)), (0, 3), np.asarray(flat), rtol=1e-9, atol=1e-11
    )
    path = found.kernel_path
    expected = outputs(solved.y[:, -1], path.x) - _setting.target(path.x, 1, (1, 2, 3))
    assert np.allclose(path.recorded[-1], expected, atol=1e-7)
    assert np.array_equal(path.x, x) == on_train
    assert np.allclose(found.residuals[-1], outputs(solved.y[:, -1], x) - y, atol=1e-7)


def test_the_control_changes_the_action_of_the_kernel_and_nothing_else():
    plain = _setting.flow(FLOW, "tanh", 0)
    changed = _setting.flow(msgspec.structs.replace(FLOW, kernel_factor=1.01), "tanh", 0)
    assert np.array_equal(changed.kernel_path.action, 1.01 * plain.kernel_path.action)
    assert np.array_equal(changed.kernel_path.recorded, plain.kernel_path.recorded)
    assert np.array_equal(changed.residuals, plain.residuals)
    assert _setting.flow(FLOW, "tanh", 0) is plain


def test_what_does_not_close_is_the_size_of_the_change():
    """With the action 1 % too large the identity is off by the damped integral of 1 % of it."""
    changed = _identity.measure(msgspec.structs.replace(FLOW, kernel_factor=1.01))
    path = _setting.flow(FLOW, "tanh", 0).kernel_path
    points = _setting.sphere_rule(4)
    gram = np.asarray(kernels.bowman_kernel("tanh").ntk(points.x)) * points.weights
    grid = np.linspace(0, 3, 601)
    action = path.panels.at(path.action, grid)
    damped = np.array([scipy.linalg.expm(-gram * (3 - s)) @ a for s, a in zip(grid, action, strict=True)])
    missing = 0.01 * scipy.integrate.simpson(damped, x=grid, axis=0)
    expected = points.norm(missing) / points.norm(path.recorded[0])
    assert changed["errors"][0, 0, 0, -1] == pytest.approx(expected, rel=1e-4)
    assert _identity.measure(FLOW)["errors"].max() < 1e-10


def test_the_remainder_of_a_step_is_what_the_kernel_of_its_start_leaves():
    settings = _identity_discrete.Descent(
        seeds=(), activations=("tanh",), num_samples=12, latitudes=4, width=10, horizon=0.8, learning_rates=(0.4, 0.2)
    )
    points, x = _setting.sphere_rule(4), _setting.inputs(12, 3)
    y, model = _setting.target(x, 3, (1, 2, 3)), _setting.network("tanh", 10, 3)
    trajectory = _identity_discrete._descent(settings, "tanh", 0.2, 0, 3)
    found = _identity_discrete._remainders(trajectory, points.weights)
    f = explicit_descent(model, x, y, 0.2, 2, np.concatenate([points.x, x]))
    later = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum((jax.vmap(m)(x) - y) ** 2) / 24))
    moved = eqx.apply_updates(model, jax.tree.map(lambda g: -0.2 * g, later(model)))
    theta = np.asarray(kernels.empirical_ntk(moved, points.x, x))
    left = f[2, :32] - f[1, :32] + 0.2 * theta @ (f[1, 32:] - y) / 12
    assert found.shape == (4,)
    assert found[1] == pytest.approx(points.norm(left), rel=1e-6)


def test_the_ratios_of_the_bound_by_hand():
    settings = _damped_bound.Bounds(**msgspec.structs.asdict(FLOW))
    numbers = _damped_bound.measure(settings)
    found = dynamics.damped_deviations(_setting.flow(FLOW, "tanh", 1), kernels.bowman_kernel("tanh"))
    away = np.linalg.norm((found.coefficients - found.propagated)[:, :9], axis=1)
    allowed = (1 - np.exp(-found.eigenvalues[8] * found.times)) / found.eigenvalues[8] * found.source_sup
    assert np.allclose(numbers["ratios"][1, 0, 2], (away / np.where(allowed > 0, allowed, 1))[1:], rtol=1e-10)
    # The cuts are between multiplicities: eigenvalues within one are nearer than to the next.
    assert numbers["cuts"].tolist() == [1, 4, 9, 16]
    one = msgspec.structs.replace(settings, largest_rate=True)
    assert np.all(_damped_bound.measure(one)["ratios"][:, :, 1:4] >= numbers["ratios"][:, :, 1:4])
    for factor, outcome in ((0.5, Outcome.holds), (3.0, Outcome.fails)):
        tenfold = {k: np.repeat(v, 5, axis=0) if k in ("ratios", "sides") else v for k, v in numbers.items()}
        tenfold["ratios"] = factor * tenfold["ratios"] / tenfold["ratios"].max()
        assert _damped_bound.judge(tenfold).outcome is outcome


def test_sampling_at_infinite_width_by_matrix_exponentials():
    settings = _samples.Samples(latitudes=5, horizon=2.0, records=3)
    points, x = _setting.sphere_rule(5), _setting.inputs(20, 2)
    kernel = kernels.bowman_kernel("tanh")
    on_train, cross, whole = (np.asarray(k) for k in (kernel.ntk(x), kernel.ntk(points.x, x), kernel.ntk(points.x)))
    sources, deviations = [], []
    top = spectra.spherical_harmonics((0, 1, 2), points.x)
    for index in range(15):
        y, wanted = (spectra.spherical_harmonics((1, 2, 3), at)[:, index] for at in (x, points.x))
        largest = away = 0.0
        for t in (0.0, 1.0, 2.0):
            decay = scipy.linalg.expm(-on_train / 20 * t)
            r, f = -decay @ y, cross @ np.linalg.solve(on_train, y - decay @ y)
            source = whole * points.weights @ (f - wanted) - cross @ r / 20
            free = -scipy.linalg.expm(-whole * points.weights * t) @ wanted
            largest = max(largest, points.norm(source))
            away = max(away, np.linalg.norm(points.coefficients(f - wanted - free, top)))
        sources.append(largest)
        deviations.append(away)
    found = _samples._infinite(settings, 20, 2)
    assert found[0] == pytest.approx(np.sqrt(np.mean(np.square(sources))), rel=1e-6)
    assert found[1] == pytest.approx(np.sqrt(np.mean(np.square(deviations))), rel=1e-4)


def test_a_network_that_is_wide_has_the_sampling_of_infinite_width():
    settings = _samples.Samples(latitudes=5, learning_rate=0.1, horizon=1.0)
    wide = _samples._network(settings, 2048, 24, 0)
    assert np.allclose(wide, _samples._infinite(settings, 24, 0), rtol=0.05)
    points = _samples._points(msgspec.structs.replace(settings, even=True), 50, 3)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert np.linalg.norm(points.mean(axis=0)) < 0.02


def test_the_source_of_a_finite_width_at_the_start():
    """Before the kernel moves it is ‖(K - Θ_0) y‖/n on the training points."""
    settings = _width.Widths(seeds=(3,), widths=(20,), num_points=15, horizon=0.01, learning_rate=0.01)
    x = _setting.inputs(15, 3)
    y, model = _setting.target(x, 3, (1, 2, 3)), _setting.network("tanh", 20, 3)
    difference = np.asarray(kernels.bowman_kernel("tanh").ntk(x)) - np.asarray(kernels.empirical_ntk(model, x))
    expected = np.linalg.norm(difference @ y) / 15 / np.linalg.norm(y)
    assert _width.measure(settings)["sources"][0, 0] == pytest.approx(expected, rel=1e-3)


def test_what_is_left_on_the_sphere_is_that_of_explicit_gradient_descent():
    settings = _cutoff.OnSphere(seeds=(2,), degrees=(0, 1, 2), num_samples=30, width=8, steps=6, latitudes=4)
    points, x = _setting.sphere_rule(4), _setting.inputs(30, 2)
    amplitudes = (3**-0.5,) * 3
    y, wanted = (_setting.target(at, 2, (0, 1, 2), amplitudes) for at in (x, points.x))
    with _setting.single_precision():
        f = explicit_descent(_setting.network("tanh", 8, 2), np.float32(x), np.float32(y), 0.5, 6, np.float32(points.x))
    found = _cutoff.measure(settings)
    for index, degree in enumerate((0, 1, 2)):
        part = points.coefficients(f - wanted, spectra.spherical_harmonics(degree, points.x))
        norms = np.linalg.norm(part, axis=1)
        assert norms[0] == pytest.approx(3**-0.5)
        assert np.allclose(found["left"][0, :, index], (norms / norms[0])[np.round(2 * found["times"]).astype(int)],
                           atol=1e-5)  # fmt: skip
    eigenvalues = spectra.sphere_spectrum(kernels.bowman_kernel("tanh"), 3, 3).eigenvalues
    assert np.allclose(np.exp(-found["stopping"] * eigenvalues[:3]), 0.2, rtol=1e-10)
    assert np.allclose(found["predicted"][-1], (1 - 0.5 * eigenvalues[:3]) ** 6, rtol=1e-10)
    assert np.allclose(_cutoff.measure(msgspec.structs.replace(settings, shift=1))["eigenvalues"], eigenvalues[1:4])


def test_a_degree_that_is_late_or_early_is_told():
    times, eigenvalues = np.array([0.0, 1.0, 10.0, 100.0]), np.array([1.0, 0.001])
    left = np.exp(-np.outer(times, eigenvalues))
    numbers = {"times": times, "degrees": np.array([0, 1]), "eigenvalues": eigenvalues, "predicted": left}
    numbers |= {"reached": np.ones((10, 2)), "stopping": np.ones(2)}
    assert _cutoff.judge({**numbers, "left": np.tile(left, (10, 1, 1))}).outcome is Outcome.holds
    late, early = left.copy(), left.copy()
    late[2, 0], early[2, 1] = 0.3, 0.7
    for wrong in (late, early):
        assert _cutoff.judge({**numbers, "left": np.tile(wrong, (10, 1, 1))}).outcome is Outcome.fails


def test_the_smallest_epsilon_is_the_one_that_just_bounds():
    training = _cutoff.OnSphere(seeds=(), degrees=(0, 1, 2), learning_rate=0.2, steps=10, latitudes=4)
    settings = _underparameterized.Sizes(seeds=(0,), widths=(4, 8), training=training)
    numbers = _underparameterized.measure(settings)
    assert numbers["parameters"].tolist() == [
        models.count_parameters(_setting.network("tanh", width, 0)) for width in (4, 8)
    ]
    assert numbers["counts"].tolist() == [4 * numbers["parameters"][0], 8 * numbers["parameters"][1]]
    sigma = numbers["rates"][1]
    steps = np.round(numbers["times"] / 0.2)
    allowed = numbers["epsilon"][0, 0, 1] * np.array([0.2 * sum((1 - 0.2 * sigma) ** i for i in range(int(s)))
                                                      for s in steps])  # fmt: skip
    away = numbers["deviations"][0, 0, :, 1]
    assert np.all(away <= allowed * (1 + 1e-12) + 1e-6)
    assert np.any(np.isclose(away[1:], allowed[1:], rtol=1e-6))
    assert _underparameterized._samples(msgspec.structs.replace(settings, fixed_samples=40), 8) == 40


def test_the_eigenvalue_of_the_low_complexity_bound_is_that_of_the_gram():
    settings = _low_complexity.LowComplexity(seeds=(), num_samples=60, width=8, steps=3, cut=1)
    _, left, norm, eigenvalue = _low_complexity._train(settings, 1)
    gram = np.asarray(kernels.bowman_kernel("softplus").ntk(_setting.inputs(60, 1))) / 60
    assert eigenvalue == pytest.approx(np.linalg.eigvalsh(gram)[-4], rel=1e-5)
    assert left[0] == pytest.approx(norm, rel=1e-6)
    assert settings.degrees == ((0, 1, 3), (0.5**0.5, 0.5**0.5, 0.02))
    assert msgspec.structs.replace(settings, other_degree=6).degrees == ((6,), (1.0,))
    # ε' of the study is a bound on what lies outside.
    x = _setting.inputs(5000, 0)
    outside = _setting.target(x, 0, (1, 2), (0.0, 0.02))
    assert 0.5 < np.max(np.abs(outside)) / (0.02 * 5**0.5) <= 1


def test_the_low_complexity_bound_needs_its_samples():
    settings = _low_complexity.LowComplexity(num_samples=60, width=8, steps=3)
    numbers = dict(_low_complexity.measure(settings))
    assert np.all(numbers["left"] <= numbers["right"])
    assert numbers["samples"][1] > 60
    assert _low_complexity.judge(numbers).outcome is Outcome.fails
    assert _low_complexity.judge({**numbers, "samples": np.array([400.0, 300.0])}).outcome is Outcome.holds


def test_the_deviation_for_all_time_is_from_the_recursion_of_the_gram():
    settings = _overparameterized.Overparameterized(seeds=(1,), dim=4, num_samples=5, widths=(12,), steps=8)
    x = _setting.inputs(5, 1, 4)
    y = _overparameterized._labels(settings, 1)
    assert set(np.abs(y)) == {1.0}
    with _setting.single_precision():
        f = explicit_descent(_setting.network("tanh", 12, 1, 4), np.float32(x), np.float32(y), 0.5, 8, np.float32(x))
    gram, r, expected = np.asarray(kernels.bowman_kernel("tanh").ntk(x)), -y, []
    for step in range(9):
        expected.append(np.linalg.norm(f[step] - y - r) / np.sqrt(5))
        r = r - 0.5 * gram @ r / 5
    found = _overparameterized.measure(settings)
    assert np.allclose(found["deviations"][0, 0], expected, atol=1e-5)
    assert found["left"][0, 0] == pytest.approx(np.linalg.norm(f[-1] - y) / np.sqrt(5), abs=1e-5)


def test_indices_in_braces_and_the_power_infinity_on_the_page():
    assert _index._prose("σ_{k+1} of K^∞, r_t") == "σ<sub>k+1</sub> of K<sup>∞</sup>, r<sub>t</sub>"
