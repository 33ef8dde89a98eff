import jax
import numpy as np
import pytest

from spectralbias import problems


def test_points_are_cell_centers_and_boundaries(key):
    problem = problems.signal(frequencies=(1,), num_samples=4, key=key)
    np.testing.assert_allclose(problem.x[:, 0], [-0.75, -0.25, 0.25, 0.75], atol=0)
    np.testing.assert_allclose(problem.x_test[:, 0], [-1, -0.5, 0, 0.5], atol=0)
    assert problem.y.shape == problem.y_test.shape == (4,)
    assert problem.grid == problems.Grid((4,), 2.0, "cycles per window")
    assert problem.basis is None


@pytest.mark.parametrize("num_samples", [64, 65])
def test_its_spectrum_has_its_frequencies_amplitudes_and_no_others(num_samples, key):
    frequencies, amplitudes = [3, 11, 31], [1.0, -0.25, 2.0]
    problem = problems.signal(frequencies=frequencies, amplitudes=amplitudes, num_samples=num_samples, key=key)
    expected = np.zeros(num_samples // 2 + 1)
    expected[frequencies] = np.abs(amplitudes)
    for y in (problem.y, problem.y_test):
        np.testing.assert_allclose(2 * np.abs(np.fft.rfft(y)) / num_samples, expected, atol=1e-13)


def test_values_are_the_formula(key):
    problem = problems.signal(frequencies=(2, 4.5), amplitudes=(1, 3), phases=(0.3, -1.0), num_samples=32, key=key)
    for x, y in ((problem.x[:, 0], problem.y), (problem.x_test[:, 0], problem.y_test)):
        window = (x + 1) / 2  # from 0 to 1
        expected = np.sin(2 * np.pi * 2 * window + 0.3) + 3 * np.sin(2 * np.pi * 4.5 * window - 1.0)
        np.testing.assert_allclose(y, expected, atol=1e-13)


def test_phases_are_uniform_and_drawn_from_the_key(key):
    frequencies = np.arange(1, 400)
    n = 1024
    draw = lambda k: problems.signal(frequencies=frequencies, num_samples=n, key=k)  # noqa: E731
    problem = draw(key)
    np.testing.assert_array_equal(problem.y, draw(jax.random.PRNGKey(7)).y)
    assert not np.any(problem.y == draw(jax.random.key(8)).y)
    # sin(ωt + p) has the Fourier coefficient -i e^(ip)/2; t = 0 is the first test point.
    phases = np.angle(1j * np.fft.rfft(problem.y_test)[frequencies]) % (2 * np.pi)
    assert np.abs(np.exp(1j * phases).mean()) < 3 / np.sqrt(len(phases))  # 3 standard errors
    assert phases.min() < 0.1
    assert phases.max() > 2 * np.pi - 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frequencies": (5, 32), "num_samples": 64}, ("frequencies", "Nyquist", "32", "65", "lower")),
        ({"frequencies": (0.0,)}, ("frequencies", "above 0")),
        ({"frequencies": (1, -3)}, ("frequencies", "above 0", "-3")),
        ({"frequencies": ()}, ("frequencies", "at least one")),
        ({"frequencies": (float("inf"),)}, ("frequencies", "not finite")),
        ({"amplitudes": (1.0,)}, ("amplitudes", "3 `frequencies`", "got 1")),
        ({"amplitudes": (0.0, 0.0, 0.0)}, ("amplitudes", "all 0")),
        ({"phases": (1.0,)}, ("phases", "3 `frequencies`", "got 1")),
        ({"num_samples": 1}, ("num_samples", "at least 2", "got 1")),
    ],
)
def test_refused(arguments, words, key, refuses):
    with refuses(*words):
        problems.signal(**({"key": key} | arguments))


def test_the_number_of_samples_that_is_proposed_is_enough(key):
    problems.signal(frequencies=(5, 32), num_samples=65, key=key)
