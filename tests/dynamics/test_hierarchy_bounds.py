"""The theorems of Huang & Yau: by hand, against each other, and against trainings."""

import math

import jax
import numpy as np
import pytest

from spectralbias import dynamics, kernels, models


def unit_inputs(n, dim, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


X, Y = unit_inputs(4, 6), np.array([1.0, -0.6, 0.4, 0.9])


def network(width, seed=0, activation="tanh"):
    return models.huang_yau_network(6, width, 1, activation=activation, key=jax.random.key(seed))


def test_the_window_by_hand():
    found = dynamics.hierarchy_window(4096, 2, eigenvalue=0.25)
    assert found.from_order == pytest.approx(16)  # m^(1/3)
    assert found.from_eigenvalue == pytest.approx(32)
    assert found.time == pytest.approx(16)
    assert dynamics.hierarchy_window(4096, 2, eigenvalue=0.01).time == pytest.approx(6.4)
    assert dynamics.hierarchy_window(4096, 2).time == pytest.approx(16)
    assert dynamics.hierarchy_window(4096, 2).from_eigenvalue == math.inf
    fourth = dynamics.hierarchy_window(1024, 4)
    assert fourth.time == pytest.approx(1024**0.4)
    assert dynamics.hierarchy_window(1024, 5).time == fourth.time
    assert (dynamics.hierarchy_window(1024, 5).even_order, fourth.constants) == (4, "order of magnitude")
    assert dynamics.hierarchy_window(10, 6).kernel_sizes == pytest.approx((1, 0.1, 0.1, 0.01, 0.01))
    # Longer with more orders and more width, and never as long as √m.
    times = [dynamics.hierarchy_window(1000, p).time for p in (2, 4, 6, 40)]
    assert times == sorted(times)
    assert times[-1] < math.sqrt(1000)


def test_the_sizes_of_the_kernels_are_those_of_random_networks():
    """Geometric means over seeds of the mean entry: eight times the width, for all orders up to the fifth."""
    sizes = []
    for width in (256, 2048):
        found = [dynamics.hierarchy_kernels(network(width, seed), X[:3], 5) for seed in range(24)]
        sizes.append([np.exp(np.mean([np.log(np.mean(np.abs(one[r]))) for one in found])) for r in range(4)])
    measured = np.array(sizes[1]) / sizes[0]
    theory = np.array(dynamics.hierarchy_window(2048, 5).kernel_sizes)
    theory /= dynamics.hierarchy_window(256, 5).kernel_sizes
    np.testing.assert_allclose(np.log2(measured), np.log2(theory), atol=0.6)


def test_the_bounds_by_hand():
    found = dynamics.hierarchy_bounds([0.0, 2.0, 10.0], width=100, order=4, eigenvalue=0.25)
    np.testing.assert_allclose(found.predictions, [0, 3 * 8 * 1e-4 * 2, 11 * 1e3 * 1e-4 * 4], rtol=1e-12)
    np.testing.assert_allclose(
        found.ntk, [0, 3 * 8e-4 * (1 + 3 * 2 * 2 / 100), 11e3 * 1e-4 * (1 + 11 * 10 * 4 / 100)], rtol=1e-12
    )
    np.testing.assert_allclose(found.drift, [0, 0.06, 1.1], rtol=1e-12)
    assert found.within.tolist() == [True, True, False]  # min(5, 100^0.4 = 6.3)
    assert found.window == dynamics.hierarchy_window(100, 4, eigenvalue=0.25)
    assert found.constants == "order of magnitude"
    odd = dynamics.hierarchy_bounds([0.0, 2.0, 10.0], width=100, order=5, eigenvalue=0.25)
    np.testing.assert_array_equal(odd.predictions, found.predictions)


def test_the_bound_of_the_paper_in_its_own_eigenvalue():
    """‖f - f̃‖₂ ~ n^(7/2) log³/(λ'³ m) at t = (n/λ') log, p = 2, with λ' = nλ: the paper's example."""
    n, width, own = 50, 10**6, 3.0  # λ'
    t = n / own * 10  # a logarithm of 10
    found = dynamics.hierarchy_bounds([0.0, t], width=width, order=2, eigenvalue=own / n)
    assert math.sqrt(n) * found.predictions[1] == pytest.approx(n**3.5 * 10**2 / (own**3 * width), rel=0.01)


@pytest.mark.parametrize("order", [2, 4])
def test_the_powers_of_a_short_time_are_those_of_the_error(order):
    """f - f̃ ~ t^p and Θ - Θ̃ ~ t^(p-1) at first, as the bounds say."""
    model, times = network(16), np.array([0.0, 0.1, 0.2])
    found = dynamics.hierarchy(model, X, Y, times, order=order, keep_ntk=True, rtol=1e-12)
    true = dynamics.gradient_flow(model, X, Y, times, rtol=1e-13, atol=1e-15)
    errors = np.linalg.norm(found.residuals - true.residuals, axis=1)
    bounds = dynamics.hierarchy_bounds(times, width=16, order=order, eigenvalue=0.01)
    assert errors[1] > 1e-10
    assert errors[2] / errors[1] == pytest.approx(bounds.predictions[2] / bounds.predictions[1], rel=0.2)
    gaps = []
    for index in (1, 2):
        moved = dynamics.gradient_flow(model, X, Y, times[: index + 1], rtol=1e-13, atol=1e-15).model
        gaps.append(np.abs(np.asarray(kernels.empirical_ntk(moved, X)) - found.ntk[index]).max())
    assert gaps[1] / gaps[0] == pytest.approx(bounds.ntk[2] / bounds.ntk[1], rel=0.2)


def test_the_width_is_that_of_the_bounds():
    for order, time, eigenvalue, epsilon in ((2, 20.0, 0.5, 0.01), (4, 20.0, 0.5, 1e-4), (6, 3.0, 0.01, 1e-6)):
        width = dynamics.hierarchy_width(order, time=time, eigenvalue=eigenvalue, epsilon=epsilon).width
        at, wider = ([0.0, time], round(1.01 * width))
        bounds = dynamics.hierarchy_bounds(at, width=wider, order=order, eigenvalue=eigenvalue)
        assert bounds.within[1]
        assert bounds.predictions[1] <= epsilon
        less = dynamics.hierarchy_bounds(at, width=round(0.98 * width), order=order, eigenvalue=eigenvalue)
        assert not less.within[1] or less.predictions[1] > epsilon
    # A time that the window, and not ε, asks width for.
    assert dynamics.hierarchy_width(2, time=100.0, eigenvalue=1e-4, epsilon=1e9).width == pytest.approx(1e8)
    assert dynamics.hierarchy_width(3, time=2.0, eigenvalue=1.0, epsilon=0.1) == dynamics.hierarchy_width(
        2, time=2.0, eigenvalue=1.0, epsilon=0.1
    )
    assert dynamics.hierarchy_width(2, time=1e300, eigenvalue=1.0, epsilon=1e-300).width == math.inf


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_the_linear_bound_holds_along_trainings(activation):
    model, times = network(512, activation=activation), np.linspace(0, 60, 31)
    gram = np.asarray(kernels.empirical_ntk(model, X))
    own = np.linalg.eigvalsh(gram)[0]  # the paper's λ', of Θ
    flow = dynamics.gradient_flow(model, X, Y, times)
    left = np.mean(flow.residuals**2, axis=1)
    found = dynamics.linear_convergence(times, eigenvalue=own / 4, initial=left[0])
    np.testing.assert_allclose(found.right, left[0] * np.exp(-own * times / (2 * 4)), rtol=1e-12)
    assert np.all(left <= found.right * (1 + 1e-9))
    end = np.linalg.eigvalsh(np.asarray(kernels.empirical_ntk(flow.model, X)))[0]
    assert end > own / 2
    # The sharp one would be attained by a kernel that falls to a half at once, by a residual in its slowest mode.
    vector = np.linalg.eigh(gram)[1][:, 0]
    fallen = dynamics.frozen(gram / 2, vector).residuals(times)
    slow = dynamics.linear_convergence(times, eigenvalue=own / 4, initial=0.25)
    np.testing.assert_allclose(np.mean(fallen**2, axis=1), slow.sharp, rtol=1e-9)
    assert np.all(slow.sharp <= slow.right)
    assert found.constants == "explicit"


def test_the_width_for_linear_convergence():
    """(n/λ')³ log(n/ε)² in the paper's λ'."""
    n, own, epsilon = 40, 2.0, 0.1
    found = dynamics.linear_convergence_width(n, own / n, epsilon)
    assert found.width == pytest.approx((n / own) ** 3 * math.log(n / epsilon) ** 2)
    assert found.constants == "order of magnitude"
    assert dynamics.linear_convergence_width(10, 1e-200, 0.1).width == math.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynamics.hierarchy_window(0, 2), ["width", "0"]),
        (lambda: dynamics.hierarchy_window(10, 1), ["order", "1"]),
        (lambda: dynamics.hierarchy_window(10, 2.5), ["order", "2.5"]),
        (lambda: dynamics.hierarchy_window(10, 2, eigenvalue=0.0), ["eigenvalue", "positive"]),
        (lambda: dynamics.hierarchy_bounds([1.0], width=10, order=2, eigenvalue=1.0), ["times", "from 0"]),
        (lambda: dynamics.hierarchy_bounds([0.0], width=10, order=2, eigenvalue=-1.0), ["eigenvalue", "-1"]),
        (lambda: dynamics.hierarchy_width(2, time=0.0, eigenvalue=1.0, epsilon=0.1), ["time", "positive"]),
        (lambda: dynamics.hierarchy_width(2, time=1.0, eigenvalue=1.0, epsilon=0.0), ["epsilon", "positive"]),
        (lambda: dynamics.linear_convergence([0.0, 1.0], eigenvalue=-0.1), ["eigenvalue", "-0.1"]),
        (lambda: dynamics.linear_convergence([0.0, 1.0], eigenvalue=0.1, initial=math.nan), ["initial", "nan"]),
        (lambda: dynamics.linear_convergence_width(4, 0.1, 4.0), ["epsilon", "n = 4"]),
        (lambda: dynamics.linear_convergence_width(4, 0.0, 0.1), ["eigenvalue", "positive"]),
    ],
)
def test_bad_arguments(call, words, refuses):
    with refuses(*words):
        call()
