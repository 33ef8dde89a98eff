"""Bounds on the deviation from a frozen kernel: against quadrature, against systems solved by SciPy, and by hand."""

import math

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from spectralbias import dynamics, models


@pytest.mark.parametrize("eigenvalue", [0.0, 1e-320, 1e-18, 1e-9, 1e-3, 0.7, 30.0, 1e5, 1e300])
@pytest.mark.parametrize("time", [0.0, 1e-12, 0.3, 8.0, 1e6])
def test_the_damping_factor_is_the_integral_of_the_exponential(eigenvalue, time):
    with mpmath.workdps(60):
        rate, t = mpmath.mpf(eigenvalue), mpmath.mpf(time)
        series = t * mpmath.hyp1f1(1, 2, -rate * t) if rate * t < 100 else (1 - mpmath.exp(-rate * t)) / rate
    found = dynamics.damping_factor([eigenvalue], [time])
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(float(series), rel=2e-15, abs=0)


def test_the_damping_factor_by_quadrature_for_all_times_and_eigenvalues():
    rates, times = np.array([0.01, 0.5, 4.0]), np.array([0.1, 1.0, 5.0, 9.0])
    expected = [[scipy.integrate.quad(lambda s: math.exp(-a * (t - s)), 0, t)[0] for a in rates] for t in times]  # noqa: B023
    assert np.allclose(dynamics.damping_factor(rates, times), expected, rtol=1e-12)
    # What rounding made negative: no pole, no jump.
    assert dynamics.damping_factor([-1e-17], [3.0])[0, 0] == pytest.approx(3.0, rel=1e-15)


def moving_kernel(seed, n=7):
    """A frozen matrix G, a moving one G_s, both positive semi-definite, and the solution of ṙ = -G_s r by SciPy."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, n, n)) / np.sqrt(n)
    frozen = a @ a.T

    def moving(s):
        root = a + 0.4 * np.sin(3 * s) * b + 0.2 * (1 - math.exp(-s)) * c
        return root @ root.T

    times = np.linspace(0, 6, 241)
    start = rng.standard_normal(n)
    found = scipy.integrate.solve_ivp(
        lambda s, r: -moving(s) @ r, (0, times[-1]), start, t_eval=times, rtol=1e-11, atol=1e-13
    )
    return frozen, moving, times, found.y.T


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_along_a_system_solved_by_scipy(seed):
    frozen, moving, times, r = moving_kernel(seed)
    eigenvalues, vectors = np.linalg.eigh(frozen)
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    source = np.array([np.linalg.norm((frozen - moving(s)) @ x) for s, x in zip(times, r, strict=True)])
    free = np.array([scipy.linalg.expm(-frozen * t) @ r[0] for t in times])
    deviation = (r - free) @ vectors
    for k in (1, 2, 4, 7):
        left = np.linalg.norm(deviation[:, :k], axis=1)
        right = dynamics.deviation_bound(times, source, eigenvalues[k - 1])
        assert np.all(left <= right + 1e-9)
        assert np.max(left[1:] / right[1:]) > 0.05
    whole = dynamics.deviation_bound(times, source)
    assert np.all(np.linalg.norm(deviation, axis=1) <= whole + 1e-9)
    assert np.allclose(whole, times * np.maximum.accumulate(source), rtol=1e-13)
    # The rate of the largest eigenvalue is no bound on all modes.
    assert np.any(np.linalg.norm(deviation, axis=1) > dynamics.deviation_bound(times, source, eigenvalues[0]))


@pytest.mark.parametrize("eigenvalue", [0.0, 0.4])
def test_the_bound_is_reached_by_a_constant_source_in_one_mode(eigenvalue):
    """ċ = -σ c + q has the deviation q (1 - e^(-σt))/σ."""
    times = np.linspace(0, 5, 11)
    found = scipy.integrate.solve_ivp(
        lambda _, c: -eigenvalue * c + 0.3, (0, 5), [0.0], t_eval=times, rtol=1e-11, atol=1e-13
    )
    assert np.allclose(dynamics.deviation_bound(times, np.full(11, 0.3), eigenvalue), found.y[0], atol=1e-10)


def test_stopping_time_leaves_epsilon():
    time = dynamics.stopping_time(0.2, 3.0, 0.01)
    assert 3.0 * math.exp(-0.2 * time) == pytest.approx(0.01, rel=1e-12)
    gram = np.diag([0.9, 0.4, 0.2]) * 3
    left = dynamics.frozen(gram, np.full(3, math.sqrt(3.0))).residuals([time])
    assert np.linalg.norm(left) / math.sqrt(3) <= 0.0101
    assert dynamics.stopping_time(0.2, 0.005, 0.01) == 0
    assert dynamics.stopping_time(0.0, 1.0, 0.01) == math.inf
    assert dynamics.stopping_time(1.0, 1e200, 1e-200) == pytest.approx(400 * math.log(10))


def test_the_low_complexity_bound_by_hand():
    found = dynamics.low_complexity_bound(
        [0.0, 2.0], gram_eigenvalue=0.5, eigenvalue=0.6, next_eigenvalue=0.1, kappa=2.0, target_norm=3.0,
        function_norm=1.5, num_samples=400, outside=0.25, epsilon=0.01, delta=0.1,
    )  # fmt: skip
    sampling = 4 * 2 * 1.5 * math.sqrt(10 * math.log(20)) / (0.5 * 20)
    assert np.allclose(found.right, [3 + sampling + 0.51, 3 / math.e + sampling + 0.51], rtol=1e-14)
    assert (found.sampling, found.outside, found.epsilon) == (pytest.approx(sampling), 0.5, 0.01)
    assert found.samples_needed == pytest.approx(128 * 4 * math.log(20) / 0.25)
    assert not found.enough_samples
    assert found.probability == pytest.approx(0.7)
    assert found.constants == "explicit"


def test_the_low_complexity_bound_holds_for_a_kernel_of_known_eigenfunctions():
    """On the circle with K = Σ σ_j φ_j φ_j, φ the waves: random samples, and the exponential on their span."""
    sigma = np.array([1.0, 0.1, 0.1, 0.02, 0.02])

    def waves(angle):
        return np.stack([np.ones_like(angle)] + [math.sqrt(2) * f(k * angle) for k in (1, 2) for f in (np.cos, np.sin)])

    rng, times, ratios = np.random.default_rng(0), np.linspace(0, 40, 9), []
    for _ in range(5):
        phi = waves(rng.uniform(0, 2 * np.pi, 1500))
        y = phi[0] + 0.02 * phi[3]
        gram = (phi.T * sigma) @ phi / 1500
        # Rank 5: the exponential acts on the span of the waves.
        values, vectors = np.linalg.eigh(np.sqrt(sigma)[:, None] * (phi @ phi.T) / 1500 * np.sqrt(sigma))
        basis = phi.T * np.sqrt(sigma) @ vectors / np.sqrt(1500 * values)
        assert np.allclose(gram @ basis, basis * values, atol=1e-12)
        inside = basis @ (basis.T @ y)
        left = [np.linalg.norm(y - inside + basis @ (np.exp(-values * t) * (basis.T @ y))) for t in times]
        bound = dynamics.low_complexity_bound(
            times, gram_eigenvalue=values[-1], eigenvalue=1.0, next_eigenvalue=0.1, kappa=math.sqrt(1.24),
            target_norm=np.linalg.norm(y) / math.sqrt(1500), function_norm=1.0002, num_samples=1500,
            outside=0.02 * math.sqrt(2),
        )  # fmt: skip
        assert bound.enough_samples
        ratios.append(np.array(left) / math.sqrt(1500) / bound.right)
    assert 0 < np.max(ratios) <= 1


def test_the_under_parameterized_bound_by_hand():
    found = dynamics.underparameterized_bound(
        [0.0, 1.0, 3.0], eigenvalue=2.0, dim=4, width=100, num_samples=60_100, function_norm=0.5, sup_norm=2.0
    )
    assert found.width == pytest.approx(2 * (1 + 3 * 2) * 0.2)
    assert found.sampling == pytest.approx(0.5 * (1 + 3 * 0.5) * 0.1)
    factor = np.array([0, (1 - math.exp(-2)) / 2, (1 - math.exp(-6)) / 2])
    assert np.allclose(found.right, factor * (found.width + found.sampling), rtol=1e-13)
    assert (found.horizon, found.constants) == (3.0, "order of magnitude")
    undamped = dynamics.underparameterized_bound([0.0, 3.0], dim=4, width=100, num_samples=60_100, num_parameters=601)
    assert undamped.right[1] == pytest.approx(3 * (4 * 0.2 + 4 * 0.1))


def test_the_sizes_make_both_parts_of_the_source_of_order_epsilon():
    sizes = dynamics.underparameterized_sizes(3, horizon=20.0, epsilon=0.05)
    bound = dynamics.underparameterized_bound(
        [0.0, 20.0], dim=3, width=round(sizes.width), num_samples=round(sizes.num_samples)
    )
    # (1 + T)/T of ε each.
    assert bound.width == pytest.approx(0.05 * 21 / 20, rel=1e-3)
    assert bound.sampling == pytest.approx(0.05 * 21 / 20, rel=1e-3)
    assert sizes.num_samples > sizes.num_parameters > sizes.width


def test_the_number_of_parameters_is_that_of_the_network():
    import jax

    network = models.bowman_network(3, 40, activation="tanh", antisymmetric=False, key=jax.random.key(0))
    given = {"dim": 3, "width": 40, "num_samples": 500}
    counted = dynamics.underparameterized_bound([0.0, 1.0], num_parameters=models.count_parameters(network), **given)
    assert dynamics.underparameterized_bound([0.0, 1.0], **given).sampling == counted.sampling


def test_the_over_parameterized_width_in_terms_of_the_undivided_gram():
    dim, n, epsilon, smallest = 5, 12, 0.1, 0.03
    undivided = n * smallest
    found = dynamics.overparameterized_width(dim, n, smallest, epsilon)
    assert found.width == pytest.approx(dim * n**5 / (epsilon**2 * undivided**4), rel=1e-12)
    assert found.constants == "order of magnitude"
    assert dynamics.overparameterized_width(3, 10, 1e-100, 0.1).width == math.inf


LOW = {
    "gram_eigenvalue": 0.5, "eigenvalue": 0.6, "next_eigenvalue": 0.1, "kappa": 2.0, "target_norm": 1.0,
    "function_norm": 1.0, "num_samples": 10,
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynamics.damping_factor([np.nan], [1.0]), ["eigenvalues", "nan"]),
        (lambda: dynamics.damping_factor(0.5, [1.0]), ["eigenvalues", "rank 1"]),
        (lambda: dynamics.deviation_bound([1.0, 2.0], [1.0, 1.0]), ["times", "0"]),
        (lambda: dynamics.deviation_bound([0.0, 0.0], [1.0, 1.0]), ["times", "increase"]),
        (lambda: dynamics.deviation_bound([], []), ["times"]),
        (lambda: dynamics.deviation_bound([0.0, 1.0], [1.0]), ["source_norms", "2", "1"]),
        (lambda: dynamics.deviation_bound([0.0, 1.0], [1.0, -0.5]), ["source_norms", "-0.5"]),
        (lambda: dynamics.deviation_bound([0.0, 1.0], [1.0, 1.0], -1.0), ["eigenvalue", "-1"]),
        (lambda: dynamics.stopping_time(0.1, 1.0, 0.0), ["epsilon", "0"]),
        (lambda: dynamics.stopping_time(0.1, -1.0, 0.1), ["initial_norm", "-1"]),
        (lambda: dynamics.low_complexity_bound([0.0], **LOW | {"next_eigenvalue": 0.6}), ["next_eigenvalue", "0.6"]),
        (lambda: dynamics.low_complexity_bound([0.0], **LOW, delta=0.4), ["delta", "0.4"]),
        (lambda: dynamics.low_complexity_bound([0.0], **LOW, outside=-0.4), ["outside", "-0.4"]),
        (lambda: dynamics.low_complexity_bound([0.0], **LOW | {"num_samples": 0}), ["num_samples", "0"]),
        (lambda: dynamics.low_complexity_bound([0.0], **LOW | {"kappa": 0.0}), ["kappa", "0"]),
        (lambda: dynamics.underparameterized_bound([0.0], dim=3, width=0, num_samples=5), ["width", "0"]),
        (
            lambda: dynamics.underparameterized_bound([0.0], dim=3, width=9, num_samples=5, sup_norm=0.5),
            ["sup_norm", "0.5", "function_norm"],
        ),
        (lambda: dynamics.underparameterized_sizes(3, 0.0, 0.1), ["horizon", "0"]),
        (lambda: dynamics.overparameterized_width(3, 10, 0.0, 0.1), ["smallest_eigenvalue", "0"]),
        (lambda: dynamics.overparameterized_width(3, 1.5, 0.1, 0.1), ["num_samples", "1.5"]),
    ],
)  # fmt: skip
def test_bad_input(call, words, refuses):
    with refuses(*words):
        call()
