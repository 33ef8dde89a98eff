"""Forecasts: against the recursion of gradient descent with an explicit Jacobian, and waves against explicit Grams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import dynamics, forecast, kernels, models, problems
from spectralbias.forecast import ForecastLevel, TrustStatus, _forecast
from spectralbias.forecast._limit import limit_kernel
from spectralbias.forecast._stationary import wave_modes

ENCODING = models.encodings.PositionalEncoding(2)
GAUSSIAN = models.encodings.FourierFeatures(2, 32, 1.0, key=jax.random.key(3))


def _jacobian(model, x):
    parameters, rest = models.partition(model)
    jacobian = jax.jacrev(lambda p: jax.vmap(models.combine(p, rest))(jnp.asarray(x)))(parameters)
    return np.concatenate([np.asarray(leaf).reshape(len(x), -1) for leaf in jax.tree.leaves(jacobian)], axis=1)


@pytest.fixture(scope="module")
def signal():
    x = np.linspace(-1, 1, 12, endpoint=False)[:, None]
    test = x + 0.1
    f = lambda x: np.sin(np.pi * x[:, 0]) + 0.3 * np.cos(3 * np.pi * x[:, 0])  # noqa: E731
    return problems.Problem(x, f(x), x_test=test, y_test=f(test), grid=problems.Grid((12,), 2.0))


def test_empirical_is_the_linearized_training(signal):
    """r ← r - η J Jᵀ r/n and w ← w - η Jᵀ r/n, step by step; not antisymmetric, so that f(0) counts."""
    model = models.MLP(1, "scalar", 8, 1, bias_std=1.0, key=jax.random.key(0))
    found = forecast.forecast(model, signal, steps=60)
    assert found.level is ForecastLevel.empirical
    inside, outside = _jacobian(model, signal.x), _jacobian(model, signal.x_test)
    f, g = (np.asarray(jax.vmap(model)(jnp.asarray(x))) for x in (signal.x, signal.x_test))
    weights, losses, tests, residuals = np.zeros(inside.shape[1]), [], [], []
    for _ in range(61):
        r = f + inside @ weights - signal.y
        residuals.append(r)
        losses.append(np.mean(r**2) / 2)
        tests.append(np.mean((g + outside @ weights - signal.y_test) ** 2) / 2)
        weights = weights - found.learning_rate * inside.T @ r / 12
    np.testing.assert_array_equal(found.steps, np.arange(61))
    np.testing.assert_allclose(found.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(found.test_loss, tests, rtol=1e-7)
    assert found.shares.sum() == pytest.approx(1)
    eigenvalues = np.linalg.eigvalsh(inside @ inside.T / 12)[::-1]
    np.testing.assert_allclose(found.eigenvalues, eigenvalues, atol=1e-10 * eigenvalues[0])
    assert found.stability_limit == pytest.approx(2 / eigenvalues[0])
    amplitudes = np.abs(found.modes.project(np.array(residuals)))
    for i in range(4):
        time = found.learning_times[i]
        if time < 60:
            assert amplitudes[int(np.ceil(time)), i] <= amplitudes[0, i] / np.e * (1 + 1e-9)
            assert amplitudes[max(0, int(np.ceil(time)) - 1), i] >= amplitudes[0, i] / np.e * (1 - 1e-9)
    np.testing.assert_allclose(found.parts.remaining * amplitudes[0], amplitudes[-1], atol=1e-9)
    assert np.all(found.parts.percent_times[:4] > found.learning_times[:4])
    np.testing.assert_allclose(found.bands.remaining, found.band_amplitudes[-1] / found.band_amplitudes[0])


def test_infinite_width(signal):
    """A kernel in place of a network; the network's own limit is the same kernel, its output scale included."""
    kernel = kernels.infinite_ntk(2, bias_variance=0.25)
    found = forecast.forecast(kernel, signal, steps=50)
    assert found.level is ForecastLevel.infinite
    theta, cross = (np.asarray(kernel.ntk(x, signal.x)) for x in (signal.x, signal.x_test))
    r, integral = -signal.y, np.zeros(12)
    for _ in range(50):
        integral = integral + found.learning_rate * r / 12
        r = r - found.learning_rate * theta @ r / 12
    assert found.loss[-1] == pytest.approx(np.mean(r**2) / 2)
    assert found.test_loss[-1] == pytest.approx(np.mean((-cross @ integral - signal.y_test) ** 2) / 2)
    model = models.MLP(1, "scalar", 64, 2, bias_std=0.5, output_scale=3.0, antisymmetric=True, key=jax.random.key(1))
    scaled = forecast.forecast(model, signal, steps=50, level="infinite")
    np.testing.assert_allclose(scaled.eigenvalues, 9 * found.eigenvalues, atol=1e-8 * scaled.eigenvalues[0])
    np.testing.assert_allclose(scaled.loss, found.loss, rtol=1e-7)
    torch = models.MLP(1, "scalar", 64, 2, parameterization="torch", key=jax.random.key(1))
    assert limit_kernel(torch) is None
    two = problems.Problem(signal.x, np.stack([signal.y, signal.y**2], axis=1))
    both = forecast.forecast(kernel, two, steps=50)
    assert both.eigenvalues.shape == (24,)
    assert both.loss[0] == pytest.approx(np.mean(two.y**2))


@pytest.fixture(scope="module")
def image():
    row, column = np.meshgrid(np.arange(12) / 12, np.arange(16) / 16, indexing="ij")
    return problems.image(0.5 + 0.3 * np.sin(5 * row + 2 * column) + 0.1 * (row > column))


@pytest.mark.parametrize("periodic", [True, False])
def test_waves(image, periodic):
    """Positional encoding: the exact modes. Gaussian features: the same training to a part of the contrast."""
    model = models.MLP(
        2, "scalar", 32, 2, bias_std=0.1, encoding=ENCODING if periodic else GAUSSIAN, antisymmetric=True,
        key=jax.random.key(0),
    )  # fmt: skip
    kernel = limit_kernel(model)
    waves = wave_modes(kernel, image, -image.y)
    theta = np.asarray(kernel.ntk(image.x)) / 192
    eigenvalues, vectors = np.linalg.eigh(theta)
    rate = 1 / eigenvalues[-1]
    assert waves.energy().sum() == pytest.approx(np.mean(image.y**2))
    assert waves.periodic is periodic
    contrast = np.linalg.norm(image.y - image.y.mean())
    for step in (0, 20, 400):
        expected = vectors @ ((1 - rate * eigenvalues) ** step * (vectors.T @ -image.y))
        error = np.linalg.norm(waves.residual_at(step, rate) - expected) / contrast
        assert error < (1e-9 if periodic else 0.15)
    if periodic:
        found = waves.eigenvalues.ravel()[waves.order]
        np.testing.assert_allclose(found, eigenvalues[::-1], atol=1e-10)
    else:
        wrong = wave_modes(
            limit_kernel(models.MLP(2, "scalar", 8, 2, encoding=ENCODING, key=jax.random.key(0))), image, -image.y
        )
        other = vectors @ ((1 - rate * eigenvalues) ** 20 * (vectors.T @ -image.y))
        assert np.linalg.norm(wrong.residual_at(20, rate) - other) / contrast > 0.3


def test_large_grid_is_the_dense_forecast(image, monkeypatch):
    """With a small limit of dense Grams the same picture goes through the FFT: nothing else changes."""
    model = models.MLP(2, "scalar", 64, 2, bias_std=0.1, encoding=ENCODING, antisymmetric=True, key=jax.random.key(0))
    dense = forecast.forecast(model, image, steps=300, level="infinite")
    monkeypatch.setattr(_forecast, "DENSE_LIMIT", 100)
    large = forecast.forecast(model, image, steps=300)
    assert large.modes is None
    assert large.method.startswith("FFT")
    assert large.level is ForecastLevel.infinite
    np.testing.assert_allclose(large.eigenvalues, dense.eigenvalues, atol=1e-8)
    common, here, there = np.intersect1d(large.steps, dense.steps, return_indices=True)
    assert len(common) > 20
    np.testing.assert_allclose(large.loss[here], dense.loss[there], rtol=1e-6)
    np.testing.assert_allclose(large.band_amplitudes[here], dense.band_amplitudes[there], atol=1e-7)
    assert large.shares.sum() == pytest.approx(1)
    # The network has 64 units: its own modes on the grid are not waves, and the forecast says so.
    assert large.trust.status is TrustStatus.doubtful
    assert any("waves miss the exact modes" in reason for reason in large.trust.reasons)
    exact = forecast.forecast(limit_kernel(model), image, steps=300)
    assert exact.trust.status is TrustStatus.good


def test_corrected_is_taken_for_small_smooth_networks(signal):
    model = models.MLP(1, "scalar", 32, 1, activation="tanh", bias_std=1.0, antisymmetric=True, key=jax.random.key(0))
    found = forecast.forecast(model, signal, steps=30)
    assert found.level is ForecastLevel.corrected
    frozen = forecast.forecast(model, signal, steps=30, level="empirical")
    assert found.loss[0] == pytest.approx(frozen.loss[0])
    assert found.loss[-1] != pytest.approx(frozen.loss[-1], rel=1e-6)
    assert forecast.forecast(model, signal, steps=30, momentum=0.5).level is ForecastLevel.empirical


def test_adam(signal, compiled_as_for_a_user):
    """Against training: the bands are learned when it says; gradient descent at its own rate is far off."""
    model = models.MLP(1, "scalar", 512, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(0))
    found = forecast.forecast(model, signal, steps=200, optimizer="adam", learning_rate=1e-3)
    assert (found.optimizer, found.level) == ("adam", ForecastLevel.empirical)
    assert found.stability_limit == np.inf
    run = dynamics.train(
        model, signal.x, signal.y, optimizer="adam", learning_rate=1e-3, steps=200, record=found.steps.tolist()
    )
    np.testing.assert_allclose(np.sqrt(found.loss), np.sqrt(run.loss), atol=0.05 * np.sqrt(run.loss[0]))
    descent = forecast.forecast(model, signal, steps=200)
    assert np.max(np.abs(np.sqrt(descent.loss) - np.sqrt(run.loss))) > 0.1 * np.sqrt(run.loss[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "`steps`"),
        ({"learning_rate": 0.0}, "positive"),
        ({"learning_rate": float("nan")}, "positive"),
        ({"momentum": 1.0}, "momentum"),
        ({"level": "exact"}, "unknown level"),
        ({"level": "corrected"}, "without kinks"),
        ({"level": "corrected", "momentum": 0.5}, "no momentum"),
        ({"model": models.MLP(1, 2, 8, 1, key=jax.random.key(0))}, "outputs"),
        ({"model": lambda x: x[0], "level": "infinite"}, "ntk"),
        ({"model": kernels.infinite_ntk(1), "level": "empirical"}, "needs a network"),
        ({"initialize": lambda key: None, "num_networks": 1}, "`num_networks`"),
        ({"optimizer": "newton"}, "unknown optimizer"),
        ({"optimizer": "adam", "momentum": 0.5}, 'level="empirical" only'),
        ({"optimizer": "lamb"}, "cannot be forecast"),
        ({"options": {"b1": 0.5}}, "`options`"),
    ],
)  # fmt: skip
def test_refusals(signal, changes, message, refuses):
    options = {"model": models.MLP(1, "scalar", 8, 1, key=jax.random.key(0)), "steps": 10} | changes
    with refuses(message):
        forecast.forecast(options.pop("model"), signal, **options)


def test_a_kernel_on_too_many_values(refuses):
    problem = problems.Problem(np.random.default_rng(0).random((4100, 1)), np.arange(4100.0))
    with refuses("too large"):
        forecast.forecast(kernels.infinite_ntk(1), problem, steps=10)
