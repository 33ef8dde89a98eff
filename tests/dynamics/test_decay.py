import mpmath
import numpy as np
import pytest

from spectralbias.dynamics import discrete_decay, learning_steps
from spectralbias.dynamics._decay import descent_integral, flow_integral

STEPS = np.array([0, 1, 2, 3, 7, 20, 101, 400, 1500])
MOMENTA = [0.0, 1e-12, 1e-6, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]


def recursion(rate, momentum):
    """r_s at `STEPS` by running gradient descent with momentum at 50 digits: v ← β v + μ r, r ← r - v.

    With them the largest |r_s| on the way, and Σ_{j<s} of the velocity over μ, which is what moves a test point.
    """
    with mpmath.workdps(50):
        mu, beta = mpmath.mpf(rate), mpmath.mpf(momentum)
        r, velocity, moved = mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0)
        left, integral, largest = [1.0], [0.0], 1.0
        for _ in range(STEPS[-1]):
            velocity = beta * velocity + r
            r, moved = r - mu * velocity, moved + velocity
            left.append(float(r))
            integral.append(float(moved))
            largest = max(largest, abs(left[-1]))
    return np.array(left)[STEPS], np.array(integral)[STEPS], largest


def rates_of_interest(momentum):
    """From 0 to the stability limit: dense where two roots meet, at 0, and at the limit; exactly there, and beside."""
    limit = 2 * (1 + momentum)
    points = np.array([(1 - np.sqrt(momentum)) ** 2, 1 + momentum, (1 + np.sqrt(momentum)) ** 2, limit])
    offsets = np.geomspace(1e-16, 0.3, 9)
    around = [points * (1 + sign * offset) for sign in (1, -1) for offset in offsets]
    beside = [np.nextafter(points, end) for end in (0, 9)]
    rates = np.concatenate([[0.0], points, *beside, *around, np.geomspace(1e-12, limit, 12), [-1e-14, -1e-4]])
    return rates[rates <= limit * 1.0001]


@pytest.mark.parametrize("momentum", MOMENTA)
def test_discrete_decay_equals_the_recursion_of_the_optimizer(momentum):
    rates = rates_of_interest(momentum)
    left, integral, largest = zip(*(recursion(rate, momentum) for rate in rates), strict=True)
    error = np.abs(discrete_decay(rates, STEPS, 1.0, momentum) - np.transpose(left)) / np.array(largest)
    assert np.max(error) < 1e-12
    # What moves test points: (1 - r_s)/λ keeps its digits in slow modes, where 1 - r_s alone would lose them.
    found, integral = descent_integral(rates, STEPS, 1.0, momentum), np.transpose(integral)
    slow = np.abs(rates) < 0.9 * (1 - np.sqrt(momentum)) ** 2
    np.testing.assert_allclose(found[:, slow], integral[:, slow], rtol=1e-11)
    assert np.max(np.abs(found - integral) * np.abs(rates) / np.array(largest)) < 1e-12


def test_the_check_sees_a_change_of_the_last_digits():
    left, _, largest = recursion(0.01, 0.9)
    changed = discrete_decay([0.01 * (1 + 1e-10)], STEPS, 1.0, 0.9)[:, 0]
    assert np.max(np.abs(changed - left) / largest) > 1e-12


def test_steps_may_come_in_any_order_and_units():
    rates, steps = np.array([0.01, 0.3, 1.8]), np.array([7, 0, 3])
    for momentum in (0.0, 0.9):
        expected = discrete_decay(rates, np.sort(steps), 1.0, momentum)[[2, 0, 1]]
        np.testing.assert_array_equal(discrete_decay(rates, steps, 1.0, momentum), expected)
        np.testing.assert_allclose(discrete_decay(rates / 0.05, steps, 0.05, momentum), expected, rtol=1e-12)


def test_a_rate_beyond_the_stability_limit_grows():
    for momentum in (0.0, 0.9):
        limit = 2 * (1 + momentum)
        below, above = discrete_decay(np.array([0.99, 1.01]) * limit, np.array([2000]), 1.0, momentum)[0]
        assert abs(below) < 1
        assert abs(above) > 1e6
    with np.errstate(over="raise"):  # not a warning either
        assert np.isinf(discrete_decay([40.0], [10_000], 1.0)[0, 0])
        assert np.isinf(discrete_decay([40.0], [10_000], 1.0, 0.9)[0, 0])


def test_the_integral_of_the_flow():
    eigenvalues, times = np.array([0.0, 1e-14, 1e-3, 2.0]), np.array([0.0, 1e-3, 5.0, 1e4])
    with mpmath.workdps(40):
        expected = [
            [float(t if e == 0 else (1 - mpmath.exp(-mpmath.mpf(e) * t)) / mpmath.mpf(e)) for e in eigenvalues]
            for t in times
        ]
    np.testing.assert_allclose(flow_integral(eigenvalues, times), expected, rtol=1e-14)


def test_learning_steps_with_momentum_are_where_the_recursion_says():
    steps = learning_steps([0.05], 1.0, 0.5, horizon=1000)[0]
    values = discrete_decay([0.05], np.arange(1000), 1.0, 0.5)[:, 0]
    first = np.flatnonzero(np.abs(values) > np.exp(-1))[-1]
    assert first <= steps <= first + 1


def test_what_makes_no_sense_is_refused(refuses):
    with refuses("`steps`", "whole"):
        discrete_decay([1.0], [0.5], 1.0)
    with refuses("`eigenvalues`", "not finite"):
        discrete_decay([np.nan], [1], 1.0)
    with refuses("`momentum`", 1.0):
        discrete_decay([1.0], [1], 1.0, 1.0)
    with refuses("`learning_rate`", 0.0):
        discrete_decay([1.0], [1], 0.0)
