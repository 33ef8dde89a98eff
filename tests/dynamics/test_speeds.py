"""Speeds of bands against trainings whose speeds are known in closed form."""

import numpy as np
import pytest

from spectralbias import dynamics, spectra
from spectralbias.problems import Grid, Problem


@pytest.fixture(scope="module")
def problem():
    x = np.linspace(-1, 1, 16, endpoint=False)
    return Problem(x[:, None], np.sin(np.pi * x) + np.cos(3 * np.pi * x), grid=Grid((16,)))


def circulant(rates):
    """A kernel on 16 points whose eigenvalues (of Θ/n) are rates[|k|]."""
    k = np.abs(np.fft.fftfreq(16, 1 / 16)).astype(int)
    transform = np.fft.fft(np.eye(16), norm="ortho")
    return 16 * (transform.conj().T * np.asarray(rates, float)[k] @ transform).real


def test_a_band_of_one_eigenvalue_has_that_speed(problem):
    rates = 1 / (1 + np.arange(9.0)) ** 2
    speeds = dynamics.kernel_speeds(circulant(rates), -problem.y, spectra.bands(problem))
    np.testing.assert_allclose(speeds, [rates[1], rates[3]], rtol=1e-12)


def test_it_is_the_derivative_of_what_a_kernel_flow_does(problem):
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(16, 16))
    gram, bands, r = factor @ factor.T, spectra.bands(problem), -problem.y
    step = 1e-4
    # Two steps of a Taylor method, forward and backward: the central difference is good to step².
    ends = [r - s * gram @ r / 16 + s**2 / 2 * gram @ gram @ r / 256 for s in (-step, step)]
    logs = [np.log(bands.energy(end)) / 2 for end in ends]
    speeds = dynamics.kernel_speeds(gram, r, bands)
    np.testing.assert_allclose(speeds, -(logs[1] - logs[0]) / (2 * step), rtol=1e-6)
    measured = dynamics.measured_speeds([0, 2], [bands.energy(end) for end in ends])
    np.testing.assert_allclose(measured[0] / step, speeds, rtol=1e-6)


def test_several_outputs_and_an_operator(problem):
    class Operator:
        def mv(self, v):
            return circulant(1 / (1 + np.arange(9.0))) @ v

    y = np.stack([problem.y, 2 * problem.y], axis=1)
    several = Problem(problem.x, y, grid=problem.grid)
    bands = spectra.bands(several)
    np.testing.assert_allclose(dynamics.kernel_speeds(Operator(), y, bands), [1 / 2, 1 / 4], rtol=1e-12)


def test_what_has_no_speed(problem):
    bands = spectra.bands(problem)
    first = np.sin(np.pi * problem.x[:, 0])
    np.testing.assert_allclose(dynamics.kernel_speeds(np.zeros((16, 16)), first, bands), [0, 0], atol=0)
    speeds = dynamics.measured_speeds([0, 1, 4], [[1.0, 0.0], [1.0, 0.0], [np.e**6, 0.0]])
    np.testing.assert_allclose(speeds, [[0, np.nan], [-1, np.nan]], rtol=1e-12)


def test_what_is_refused(problem, refuses):
    bands = spectra.bands(problem)
    with refuses("`kernel`", "(16, 16)", "(3, 3)"):
        dynamics.kernel_speeds(np.eye(3), problem.y, bands)
    with refuses("`steps`", "increase"):
        dynamics.measured_speeds([0, 0], np.ones((2, 1)))
    with refuses("`steps`", "(3, 1)"):
        dynamics.measured_speeds([0, 1], np.ones((3, 1)))
