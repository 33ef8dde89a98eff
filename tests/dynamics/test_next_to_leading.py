"""The kernel to first order in 1/width: against its own integrals solved by SciPy, and against the hierarchy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spectralbias import dynamics, kernels, models
from spectralbias.dynamics import KinkWarning
from spectralbias.dynamics._next_to_leading import _second_integrals

KEY = jax.random.key(3)


def unit_inputs(n, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X, Y = unit_inputs(4, 5), np.array([1.0, -0.6, 0.4, 0.9])
TIMES = np.array([0.0, 0.3, 2.0, 11.0])


def network(width=32, depth=1, **kwargs):
    return models.huang_yau_network(5, width, depth, activation="tanh", key=KEY, **kwargs)


@pytest.mark.parametrize("depth", [1, 2])
def test_it_is_the_integral_of_its_definition(depth):
    """Θ^(1) = -(1/n) K³·R + (1/n²) K⁴·S with R = ∫r, S = ∫ r ⊗ R and the residual of the frozen kernel."""
    n, model = 4, network(depth=depth)
    second, third, fourth = (np.asarray(k) for k in dynamics.hierarchy_kernels(model, X, 4))
    r0 = np.asarray(jax.vmap(model)(X)) - Y

    def derivative(_, state):
        r, integral = state[:n], state[n : 2 * n]
        return np.concatenate([-second @ r / n, r, np.outer(r, integral).ravel()])

    start = np.concatenate([r0, np.zeros(n + n * n)])
    solved = solve_ivp(derivative, (0, TIMES[-1]), start, "DOP853", t_eval=TIMES, rtol=1e-12, atol=1e-14)
    expected = [
        -third @ state[n : 2 * n] / n + np.einsum("abcd,cd->ab", fourth, state[2 * n :].reshape(n, n)) / n**2
        for state in solved.y.T
    ]
    found = dynamics.next_to_leading_ntk(model, X, Y, TIMES)
    np.testing.assert_allclose(found.correction, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(found.initial, second, rtol=1e-11)
    np.testing.assert_allclose(found.ntk, found.initial + np.array(expected), rtol=0, atol=1e-10)
    assert found.contractions <= 12
    assert not found.has_kinks


def test_it_is_the_double_sum_over_modes_up_to_the_end():
    """The formula of Dyer & Gur-Ari with Θ/n, K³/n and K⁴/n², term by term."""
    n, model = 4, network()
    second, third, fourth = (np.asarray(k) / n**power for power, k in enumerate(
        dynamics.hierarchy_kernels(model, X, 4)))  # fmt: skip
    rates, vectors = np.linalg.eigh(second / n)
    gaps = vectors.T @ (np.asarray(jax.vmap(model)(X)) - Y)
    found = dynamics.next_to_leading_ntk(model, X, Y, [2.0, np.inf])
    for t, correction in zip((2.0, np.inf), found.correction, strict=True):
        total = 0
        for i in range(n):
            left = (1 - np.exp(-t * rates[i])) / rates[i]
            total = total - third @ vectors[:, i] * gaps[i] * left
            for j in range(n):
                both = rates[i] + rates[j]
                weight = (left - (1 - np.exp(-t * both)) / both) / rates[j]
                contracted = np.einsum("abcd,c,d->ab", fourth, vectors[:, i], vectors[:, j])
                total = total + contracted * gaps[i] * gaps[j] * weight
                if np.isinf(t):
                    assert weight == pytest.approx(1 / (rates[i] * both))
        np.testing.assert_allclose(correction, total, rtol=0, atol=1e-9 * np.abs(total).max())
    np.testing.assert_allclose(np.sort(found.eigenvalues), rates, rtol=1e-10)
    late = dynamics.next_to_leading_ntk(model, X, Y, [50 / rates[0]])
    np.testing.assert_allclose(late.correction[0], found.correction[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", [1e-6, 0.03, 1.0, 40.0, 1e5])
def test_the_integrals_have_full_precision(time):
    rates = np.array([0.0, 1e-12, 1e-6, 1e-3, 0.2, 1.0, 7.0])
    found = _second_integrals(rates, time)
    with mpmath.workdps(60):
        t = mpmath.mpf(time)

        def reach(rate):
            return -mpmath.expm1(-rate * t) / rate if rate else t

        for i, one in enumerate(map(mpmath.mpf, rates)):
            for j, two in enumerate(map(mpmath.mpf, rates)):
                if two:
                    exact = (reach(one) - reach(one + two)) / two
                elif one:
                    exact = (1 - mpmath.exp(-one * t) * (1 + one * t)) / one**2
                else:
                    exact = t**2 / 2
                assert found[i, j] == pytest.approx(float(exact), rel=1e-13)


def test_the_integrals_at_the_end():
    rates = np.array([0.01, 0.3, 2.0])
    np.testing.assert_allclose(
        _second_integrals(rates, np.inf), 1 / (rates[:, None] * (rates[:, None] + rates[None, :])), rtol=1e-14
    )
    np.testing.assert_allclose(_second_integrals(rates, 1e4), _second_integrals(rates, np.inf), rtol=1e-12)


def test_the_difference_from_order_four_falls_as_the_square_of_the_width():
    """Both move by 1/m; what the moving kernel does to the residual is another 1/m. Eight seeds: a slope ± 0.15."""
    time, widths, moved, gaps = 8.0, (128, 2048), [], []
    for width in widths:
        logs = []
        for seed in range(8):
            model = models.huang_yau_network(5, width, 1, activation="tanh", key=jax.random.key(100 * seed + width))
            first = dynamics.next_to_leading_ntk(model, X, Y, [time])
            fourth = dynamics.hierarchy(model, X, Y, [0, time], order=4, keep_ntk=True, rtol=1e-9)
            logs.append([np.log(np.linalg.norm(a)) for a in (first.correction[0], first.ntk[0] - fourth.ntk[-1])])
        moved.append(np.mean(logs, axis=0)[0])
        gaps.append(np.mean(logs, axis=0)[1])
    octaves = np.log(widths[1] / widths[0])
    assert (moved[1] - moved[0]) / octaves == pytest.approx(-1, abs=0.35)
    assert (gaps[1] - gaps[0]) / octaves == pytest.approx(-2, abs=0.45)


def test_it_is_nearer_to_training_than_the_frozen_kernel():
    model = network(1024)
    found = dynamics.next_to_leading_ntk(model, X, Y, [1.0, 8.0])
    for index, time in enumerate((1.0, 8.0)):
        true = np.asarray(kernels.empirical_ntk(dynamics.gradient_flow(model, X, Y, [0, time]).model, X))
        assert np.abs(found.ntk[index] - true).max() < np.abs(found.initial - true).max() / 10


def test_eigenvalues_move_as_the_diagonal_in_modes_says():
    model = network(4096)
    found = dynamics.next_to_leading_ntk(model, X, Y, [4.0])
    moved = np.linalg.eigvalsh(found.ntk[0] / 4)[::-1] - found.eigenvalues
    np.testing.assert_allclose(np.diag(found.in_modes[0]), moved, rtol=0, atol=0.05 * np.abs(moved).max())
    assert np.all(np.diff(found.eigenvalues) <= 0)
    basis = found.eigenvectors
    np.testing.assert_allclose(basis @ np.diag(found.eigenvalues) @ basis.T * 4, found.initial, atol=1e-12)


def test_more_inputs_need_few_contractions():
    x = unit_inputs(40, 5)
    y = x[:, 0] + x[:, 1] * x[:, 2]
    model = network(64)
    found = dynamics.next_to_leading_ntk(model, x, y, [30.0])
    assert found.contractions < 25
    tensors = dynamics.hierarchy_kernels(model, x, 4)
    frozen = np.asarray(tensors[0]) / 40
    rates, vectors = np.linalg.eigh(frozen)
    gaps = vectors.T @ (np.asarray(jax.vmap(model)(x)) - y)
    weights = vectors @ (np.outer(gaps, gaps) * _second_integrals(rates, 30.0)) @ vectors.T
    exact = -np.asarray(tensors[1]) @ (vectors @ (gaps * -np.expm1(-rates * 30) / rates)) / 40
    exact += np.einsum("abcd,cd->ab", tensors[2], weights) / 1600
    np.testing.assert_allclose(found.correction[0], exact, rtol=0, atol=1e-7 * np.abs(exact).max())


def test_antisymmetric_networks_have_no_linear_term():
    """K³ = 0: the correction is quadratic in the target."""
    model = network(antisymmetric=True)
    one, two = (dynamics.next_to_leading_ntk(model, X, scale * Y, [3.0]).correction for scale in (1.0, 2.0))
    np.testing.assert_allclose(two, 4 * one, rtol=1e-9)


def test_one_output_of_several():
    model = models.MLP(5, 2, 32, 1, activation="tanh", key=KEY)
    parameters, rest = models.partition(model)
    alone = models.from_function(lambda p, x: models.combine(p, rest)(x)[1], parameters)
    found = dynamics.next_to_leading_ntk(model, X, Y, TIMES, output=1)
    expected = dynamics.next_to_leading_ntk(alone, X, Y, TIMES)
    np.testing.assert_allclose(found.correction, expected.correction, rtol=0, atol=1e-11)


def test_it_is_float64_and_at_the_start_nothing_has_moved():
    with jax.enable_x64(False):
        small = jax.tree.map(lambda p: p.astype(jnp.float32), network())
        found = dynamics.next_to_leading_ntk(small, X, Y, [0.0, 1.0])
    assert found.correction.dtype == np.float64
    assert not found.correction[0].any()
    assert found.correction[1].any()


def test_relu_is_warned_about():
    model = models.huang_yau_network(5, 16, 1, activation="relu", key=KEY)
    with pytest.warns(KinkWarning):
        assert dynamics.next_to_leading_ntk(model, X, Y, [1.0]).has_kinks


def test_bad_arguments(refuses):
    model = network()
    with refuses("times"):
        dynamics.next_to_leading_ntk(model, X, Y, [-1.0])
    with refuses("times"):
        dynamics.next_to_leading_ntk(model, X, Y, [np.nan])
    with refuses("y", "nan"):
        dynamics.next_to_leading_ntk(model, X, Y * np.nan, TIMES)
    with refuses("x", "y", "4", "3"):
        dynamics.next_to_leading_ntk(model, X, Y[:3], TIMES)
    with refuses("y", "(4,)"):
        dynamics.next_to_leading_ntk(model, X, Y[:, None], TIMES)
    with refuses("2 outputs"):
        dynamics.next_to_leading_ntk(models.MLP(5, 2, 8, 1, activation="tanh", key=KEY), X, Y, TIMES)
    twice = np.concatenate([X[:3], X[:1]])
    with refuses("infinity", "eigenvalue", "repeated"):
        dynamics.next_to_leading_ntk(model, twice, Y, [1.0, np.inf])
    assert np.isfinite(dynamics.next_to_leading_ntk(model, twice, Y, [1.0, 1e6]).correction).all()
