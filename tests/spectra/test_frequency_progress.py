"""Amplitudes per frequency against functions whose frequencies are known."""

import numpy as np
import pytest

from spectralbias import spectra


def test_a_signal_has_the_amplitudes_it_is_made_of():
    x = 2 * np.pi * np.arange(64) / 64
    target = np.sin(3 * x + 0.4) + 2 * np.cos(10 * x)
    predictions = np.stack([0 * x, 0.5 * np.sin(3 * x + 0.4), np.sin(3 * x + 0.4) - 2 * np.cos(10 * x) + np.sin(5 * x)])
    found = spectra.frequency_progress(predictions, target, (64,))
    assert found.frequencies.tolist() == [3, 10]
    np.testing.assert_allclose(found.shares, [0.2, 0.8], rtol=1e-12)
    np.testing.assert_allclose(found.amplitudes, [[0, 0], [0.5, 0], [1, 1]], atol=1e-12)
    np.testing.assert_allclose(found.errors, [[1, 1], [0.5, 1], [0, 2]], atol=1e-12)


def test_an_image_against_a_sum_over_all_wave_vectors():
    rng = np.random.default_rng(0)
    target, predictions = rng.normal(size=(6 * 9, 2)), rng.normal(size=(3, 6 * 9, 2))
    found = spectra.frequency_progress(predictions, target, (6, 9))
    i, j = np.divmod(np.arange(54), 9)

    def energies(f):
        rings = {}
        for a in range(-3, 3):
            for b in range(-4, 5):
                wave = np.exp(-2j * np.pi * (a * i / 6 + b * j / 9))
                size = np.sum(np.abs(wave @ f / 54) ** 2)
                rings[round(np.hypot(a, b))] = rings.get(round(np.hypot(a, b)), 0) + size
        return np.array([rings[k] for k in sorted(rings)])

    assert found.frequencies.tolist() == list(range(len(found.frequencies)))
    for t in range(3):
        np.testing.assert_allclose(found.amplitudes[t] ** 2, energies(predictions[t]) / energies(target), rtol=1e-10)
        np.testing.assert_allclose(
            found.errors[t] ** 2, energies(predictions[t] - target) / energies(target), rtol=1e-10
        )


def test_what_it_refuses(refuses):
    with refuses("`predictions`", "(4,)"):
        spectra.frequency_progress(np.ones((2, 5)), np.ones(4), (4,))
    with refuses("`shape`", "4 nodes"):
        spectra.frequency_progress(np.ones(4), np.ones(4), (5,))
    with refuses("`target`", "zero"):
        spectra.frequency_progress(np.ones(4), np.zeros(4), (4,))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_not_finite_either(value):
    found = spectra.frequency_progress([[value, 0, 0, 0]], [1.0, 0, 0, 0], (4,))
    assert not np.isfinite(found.amplitudes).any()
