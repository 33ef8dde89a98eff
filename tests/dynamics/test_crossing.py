import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias.dynamics import compare, crossing, log_spaced


@given(st.floats(1e-3, 1.9), st.floats(1e-6, 1e6), st.booleans())
def test_a_geometric_mode_crosses_at_its_exact_1_over_e_step(step_size, amplitude, negative):
    # (1 - ηλ)^s, oscillating where ηλ > 1; recorded sparsely.
    factor = 1 - step_size
    steps = np.array(log_spaced(4000, dense=5, per_decade=7))
    amplitudes = (-1) ** negative * amplitude * np.sign(factor) ** steps * np.abs(factor) ** steps.astype(float)
    measured = crossing(steps, amplitudes)
    if factor == 0:
        assert 0 < measured < 1
    else:
        assert measured == pytest.approx(-1 / np.log(np.abs(factor)), rel=1e-9)


def test_modes_that_are_not_learned_cross_never():
    steps = np.arange(11)
    slow, constant, growing, zero = 0.95**steps, np.ones(11), 1.1**steps, np.zeros(11)
    just = np.exp(-steps / 10)
    crossed = crossing(steps, np.stack([slow, constant, growing, zero, just], axis=1))
    np.testing.assert_array_equal(crossed[:4], np.inf)
    assert crossed[4] == pytest.approx(10)


def test_what_swings_back_is_not_learned_yet_and_any_level_can_be_asked_for():
    steps = np.array([0, 1, 2, 3, 4])
    amplitudes = np.array([1.0, 0.5, 0.01, 0.9, 0.01])
    assert 3 < crossing(steps, amplitudes, 0.5) < 4
    assert 1 < crossing(steps[:3], amplitudes[:3]) < 2
    assert crossing(steps[:4], amplitudes[:4]) == np.inf
    assert crossing(steps[:2], amplitudes[:2], 0.5) == pytest.approx(1)
    assert crossing(steps, 0.5**steps, 0.25) == pytest.approx(2)
    # An amplitude that is exactly 0 was learned in the step before.
    assert 0 < crossing(steps, np.array([1.0, 0.0, 0.0, 0.0, 0.0])) <= 1


def test_what_has_overflowed_is_never_learned():
    amplitudes = np.array([[1.0, 1.0], [1e200, 0.1], [np.inf, np.nan], [np.inf, np.nan]])
    assert crossing(np.arange(4), amplitudes).tolist() == [np.inf, np.inf]


def test_any_trailing_shape_and_a_single_record():
    steps = np.arange(20)
    rates = np.array([[0.5, 0.6, 0.7], [0.8, 0.9, 0.2]])
    crossed = crossing(steps, rates[None] ** steps[:, None, None])
    assert crossed.shape == (2, 3)
    np.testing.assert_allclose(crossed.ravel()[:5], -1 / np.log(rates.ravel()[:5]))
    assert crossing(np.array([0]), np.array([[1.0, 2.0]])).tolist() == [np.inf, np.inf]


def test_compare_measured_and_predicted():
    steps = np.arange(50)
    rates = np.array([0.9, 0.8, 0.995])
    start = np.array([3.0, -4.0, 0.0])
    measured = start * (0.5 * rates[None] ** 1.1 + 0.5 * rates[None]) ** steps[:, None]
    predicted = np.abs(start) * rates[None] ** steps[:, None]
    comparison = compare(steps, measured, predicted)
    np.testing.assert_allclose(comparison.shares, [9 / 25, 16 / 25, 0])
    np.testing.assert_allclose(comparison.predicted_steps[:2], -1 / np.log(rates[:2]))
    np.testing.assert_array_equal([comparison.predicted_steps[2], comparison.measured_steps[2]], np.inf)
    np.testing.assert_allclose(comparison.predicted_left[:2], rates[:2] ** 49)
    assert np.isnan(comparison.measured_left[2])
    expected = comparison.measured_steps[:2] / comparison.predicted_steps[:2] - 1
    np.testing.assert_allclose(comparison.relative_errors[:2], expected)
    assert np.all(expected < 0)  # the measured ones were faster
    assert np.isnan(comparison.relative_errors[2])


def test_without_a_prediction_there_is_nothing_to_compare_with():
    comparison = compare(np.arange(5), 0.3 ** np.arange(5)[:, None], None)
    assert comparison.measured_steps[0] == pytest.approx(-1 / np.log(0.3))
    for nothing in (comparison.predicted_steps, comparison.predicted_left, comparison.relative_errors):
        assert np.all(np.isnan(nothing))


def test_below_one_step_differences_are_counted_in_steps():
    steps = np.arange(5)
    comparison = compare(steps, (0.1**steps)[:, None], (0.01**steps)[:, None])
    difference = -1 / np.log(0.1) + 1 / np.log(0.01)
    np.testing.assert_allclose(comparison.relative_errors, [difference])
