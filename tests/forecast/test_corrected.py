"""Order 4 against training, and what becomes of a forecast where it has no meaning."""

import functools

import jax
import numpy as np
import pytest

from spectralbias import dynamics, models, problems
from spectralbias.dynamics import HierarchyStatus
from spectralbias.forecast import ForecastLevel, TrustStatus, forecast
from spectralbias.forecast._corrected import corrected
from spectralbias.forecast._start import of_network
from spectralbias.models.encodings import PositionalEncoding

PROBLEM = problems.signal(frequencies=(1, 3), num_samples=16, key=jax.random.key(5))
STEPS = 400


def network(seed=0, width=64):
    return models.MLP(
        1, "scalar", width, 1, activation="gelu", bias_std=0.1, encoding=PositionalEncoding(2), antisymmetric=True,
        key=jax.random.key(seed),
    )  # fmt: skip


@functools.cache
def trained():
    """η, steps, and residuals of a training on the training and on the held-out samples."""
    rate = 1 / float(of_network(network(), PROBLEM).modes.eigenvalues[0])
    at = np.array(dynamics.log_spaced(STEPS))
    run = dynamics.train(
        network(), PROBLEM.x, PROBLEM.y, learning_rate=rate, steps=STEPS, record=at.tolist(),
        probes={"test": lambda model, x, y, step: jax.vmap(model)(PROBLEM.x_test)},
    )  # fmt: skip
    return rate, at, run.residuals, run.records["test"] - PROBLEM.y_test


@functools.cache
def found(seed=0):
    rate, at, *_ = trained()
    return corrected(network(seed), PROBLEM, at, rate)


def frozen(seed=0):
    rate, at, *_ = trained()
    return of_network(network(seed), PROBLEM).frozen.residuals_at(at, rate)


def test_it_is_nearer_to_training_than_the_frozen_kernel():
    rate, at, residuals, tests = trained()
    still = of_network(network(), PROBLEM).frozen
    assert found().status is HierarchyStatus.valid
    assert np.linalg.norm(frozen() - residuals) > 10 * np.linalg.norm(found().residuals - residuals)
    missed = still.predictions_at(at, rate) - PROBLEM.y_test - tests
    assert np.linalg.norm(missed) > 10 * np.linalg.norm(found().test_residuals - tests)


def test_the_correction_of_another_network_is_none():
    residuals = trained()[2]
    wrong = frozen() + found(1).residuals - frozen(1)
    assert np.linalg.norm(frozen() - residuals) < 3 * np.linalg.norm(wrong - residuals)


def test_the_error_estimate_is_more_than_the_error():
    error = np.sqrt(np.mean((found().residuals - trained()[2]) ** 2, axis=1))
    assert found().error_estimate[0] == 0
    assert np.all(error[1:] < found().error_estimate[1:])
    # And no more than that of the frozen kernel, nearly.
    missed = np.sqrt(np.mean((frozen() - trained()[2]) ** 2))
    assert np.sqrt(np.mean(found().error_estimate ** 2)) == pytest.approx(missed, rel=0.1)


def test_what_explodes_is_no_forecast():
    """In a network of two units the truncated kernel loses its definiteness, and the residual grows."""
    narrow = network(width=2)
    expected = forecast(narrow, PROBLEM, steps=20_000, level="corrected")
    assert expected.trust.status is TrustStatus.doubtful
    assert any("negative eigenvalue" in reason for reason in expected.trust.reasons)
    assert np.isnan(expected.loss[-1])
    assert expected.loss[0] == pytest.approx(np.mean(PROBLEM.y**2) / 2)
    assert np.isinf(expected.learning_times).any()
    by_itself = forecast(narrow, PROBLEM, steps=20_000)
    assert by_itself.level is ForecastLevel.empirical
    assert np.isfinite(by_itself.loss).all()
