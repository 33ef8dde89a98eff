"""Advice on encodings: against trainings, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import dynamics, forecast, models, problems

SIGNAL = np.sin(2 * np.pi * 3 * (np.arange(64) / 64) ** 2) + 0.2 * np.sin(2 * np.pi * 9 * np.arange(64) / 64)


@pytest.fixture(scope="module")
def advice():
    names = ["raw [0, 1]", "positional 2", "positional 8", "gaussian 1"]
    return forecast.recommend_encoding(SIGNAL, steps=300, depth=2, encodings=names, key=jax.random.key(2))


def _trained(encoding, y, trains, steps):
    """Held-out mean square error, and that of the samples, of an actual training."""
    x = problems.coordinates(y.shape)
    model = models.MLP(1, "scalar", 64, 2, bias_std=0.1, encoding=encoding, antisymmetric=True, key=jax.random.key(11))
    start = forecast.forecast(model, problems.Problem(x[trains], y[trains]), steps=1)
    run = dynamics.train(model, x[trains], y[trains], learning_rate=start.learning_rate, steps=steps)
    f = np.asarray(jax.vmap(run.model)(jnp.asarray(x)))
    return np.mean((f - y)[~trains] ** 2)


def test_advice_is_what_training_shows(advice, compiled_as_for_a_user):
    """The order, the pick, and the numbers to two decibels."""
    y = (SIGNAL - SIGNAL.min()) / np.ptp(SIGNAL)
    y = y - y[::2].mean()
    trains = np.arange(64) % 2 == 0
    measured = {c.label: -10 * np.log10(_trained(c.encoding, y, trains, 300)) for c in advice.table}
    predicted = {c.label: c.psnr for c in advice.table}
    assert max(measured, key=measured.get) == advice.pick.label
    assert sorted(measured, key=measured.get) == sorted(predicted, key=predicted.get)
    for label, value in measured.items():
        assert predicted[label] == pytest.approx(value, abs=2), label


def test_choices(advice):
    """Curves, pictures, words."""
    assert [choice.psnr for choice in advice.table] == sorted((c.psnr for c in advice.table), reverse=True)
    assert advice.steps[0] == 1
    assert advice.budget == 300
    assert advice.shape == (64,)
    np.testing.assert_array_equal(advice.trains, np.arange(64) % 2 == 0)
    np.testing.assert_allclose(advice.values[:, 0], SIGNAL)
    for choice in advice.table:
        start, end = choice.predictions([0, 300])
        assert start.shape == (64, 1)
        np.testing.assert_allclose(start, SIGNAL[::2].mean())
        # One of several networks: their decibels are averaged.
        error = np.mean(((end - advice.values)[~advice.trains] / np.ptp(SIGNAL)) ** 2)
        assert -10 * np.log10(error) == pytest.approx(choice.psnr, abs=3)
    slow, rough = (next(c for c in advice.table if c.label == label) for label in ("raw [0, 1]", "positional 8"))
    assert slow.train_psnr < advice.pick.psnr < rough.train_psnr
    assert "raw [0, 1] is too slow" in advice.why
    assert "positional 8 fits its samples" in advice.why


@pytest.fixture(scope="module")
def picture():
    row, column = np.meshgrid(np.arange(96) / 96, np.arange(80) / 80, indexing="ij")
    return 0.5 + 0.25 * np.sin(8 * row + 3 * column) + 0.2 * ((row - 0.5) ** 2 + (column - 0.4) ** 2 < 0.1)


def test_large_grids(picture):
    """By FFT at infinite width and corrected: near what the kernel of a network says on the whole grid."""
    options = {"steps": 500, "width": 128, "depth": 2, "encodings": ["raw [-1, 1]", "positional 2", "gaussian 1"]}
    large = forecast.recommend_encoding(picture, **options)
    assert {choice.method for choice in large.table} == {
        "kernel of the network, coarse grid", "FFT, corrected for width", "FFT, Krylov, corrected for width"
    }  # fmt: skip
    small = forecast.recommend_encoding(picture, size=64, **options)
    assert {choice.method for choice in small.table} == {"kernel of the network"}
    assert [choice.label for choice in large.table] == [choice.label for choice in small.table]
    assert large.pick.predictions([0, 500]).shape == (2, 96, 80, 1)
    for choice in large.table:
        error = np.mean((choice.predictions([500])[0, ..., 0] - picture)[~large.trains] ** 2)
        assert -10 * np.log10(error) == pytest.approx(choice.psnr, abs=2.5), choice.label


def test_adam_is_faster(picture):
    """A step of Adam goes as far as many of gradient descent: slow encodings gain most."""
    options = {"steps": 200, "width": 64, "depth": 2, "size": 32, "encodings": ["raw [0, 1]", "gaussian 1"]}
    of = {name: forecast.recommend_encoding(picture, optimizer=name, **options) for name in ("gd", "adam")}
    gain = {c.label: next(o.psnr for o in of["adam"].table if o.label == c.label) - c.psnr for c in of["gd"].table}
    assert gain["raw [0, 1]"] > max(gain["gaussian 1"], 1)
    assert any("Adam" in note for note in of["adam"].notes)
    slow = forecast.recommend_encoding(picture, optimizer="adam", learning_rate=1e-5, **options)
    assert slow.pick.psnr < of["adam"].pick.psnr
    assert any("proportional" in note for note in slow.notes)


def test_colors(picture):
    """Three channels share a kernel: a gray picture in color has the same advice."""
    colored = np.repeat(picture[:32, :32, None], 3, axis=2)
    options = {"steps": 50, "width": 32, "depth": 1, "encodings": ["positional 2"]}
    gray, color = (forecast.recommend_encoding(colored, color=color, **options) for color in (False, True))
    assert color.pick.predictions([50]).shape == (1, 32, 32, 3)
    np.testing.assert_allclose(color.pick.held_out, gray.pick.held_out, atol=0.01)


def test_noise_is_said_to_be_noise():
    noise = np.random.default_rng(0).random(128)
    advice = forecast.recommend_encoding(noise, steps=100, width=32, depth=1, encodings=["gaussian 1", "gaussian 4"])
    assert any("like noise" in note for note in advice.notes)


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        (np.full((1, 1), 0.5), {}, "1 x 1 pixels"),
        (np.full((16, 16), 0.5), {}, "single color"),
        (np.ones(32), {}, "constant"),
        (np.zeros((4, 32)) + np.arange(32) / 32, {}, "at least 8 along each axis"),
        (SIGNAL, {"steps": 0}, "`steps`"),
        (SIGNAL, {"optimizer": "sgdm"}, "unknown optimizer"),
        (SIGNAL, {"encodings": ["wavelet 3"]}, "unknown encoding 'wavelet 3'"),
        (SIGNAL, {"encodings": ["positional 40"]}, "octaves from 1 to 12"),
        (SIGNAL, {"encodings": ["gaussian 0"]}, "above 0"),
        (SIGNAL, {"encodings": []}, "at least one name"),
        (SIGNAL, {"encodings": "positional 3"}, "list"),
        (SIGNAL, {"learning_rate": -1.0}, "positive"),
        (SIGNAL, {"learning_rate": 1e6, "encodings": ["raw [0, 1]"], "width": 8}, "above the stability limit"),
        (np.where(np.arange(32) == 3, np.nan, 1.0), {}, "not finite"),
        (np.where(np.eye(16) > 0, np.nan, 0.5), {}, "not finite"),
        (problems.Problem(np.random.default_rng(0).random((16, 1)), np.arange(16.0)), {}, "no grid"),
    ],
)  # fmt: skip
def test_refusals(target, changes, message, refuses):
    with refuses(message):
        forecast.recommend_encoding(target, **({"steps": 10} | changes))
