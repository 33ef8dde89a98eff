import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias import dynamics, models
from spectralbias.dynamics import equivalent_learning_rate, log_spaced, training_time


@given(st.integers(1, 10**7), st.integers(1, 200), st.integers(1, 200))
def test_log_spaced_steps_are_dense_first_then_log_spaced_and_end_at_the_last(steps, dense, per_decade):
    listed = np.array(log_spaced(steps, dense=dense, per_decade=per_decade))
    assert listed[0] == 0
    assert listed[-1] == steps
    assert np.all(np.diff(listed) > 0)
    assert list(listed[: min(dense, steps) + 1]) == list(range(min(dense, steps) + 1))
    # Neighbours are a factor 10^(1/per_decade) apart, up to rounding to whole steps on either side.
    assert np.all(listed[2:] <= (listed[1:-1] + 0.5) * 10 ** (1 / per_decade) + 0.5 + 1e-6 * listed[2:])
    assert len(listed) <= min(dense, steps) + 2 + per_decade * np.log10(max(steps / min(dense, steps), 1)) + 1


def test_log_spaced_by_hand():
    assert log_spaced(1) == (0, 1)
    assert log_spaced(100, dense=1, per_decade=2) == (0, 1, 3, 10, 32, 100)


def test_no_steps_are_refused(refuses):
    with refuses("`steps`", "0"):
        log_spaced(0)


def test_training_time_is_steps_times_rate_over_one_minus_momentum(refuses):
    np.testing.assert_allclose(training_time(np.array([0, 3, 10]), 0.2, momentum=0.75), [0, 2.4, 8])
    assert training_time(5, 0.1).shape == ()
    for momentum in (1.0, -0.1, float("nan")):
        with refuses("`momentum`", momentum):
            training_time(5, 0.1, momentum=momentum)


LOSSES = {
    "half_mean": lambda r: jnp.sum(r**2) / (2 * len(r)),
    "mean": lambda r: jnp.sum(r**2) / len(r),
    "mean_over_all": lambda r: jnp.mean(r**2),
    "half_sum": lambda r: jnp.sum(r**2) / 2,
    "sum": lambda r: jnp.sum(r**2),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output_scale", [1.0, 0.3])
def test_the_equivalent_learning_rate_gives_the_same_training(loss, output_scale):
    # A linear model with two outputs; the other setup minimizes another loss with its outputs scaled.
    rng = np.random.default_rng(0)
    x, y, start = rng.standard_normal((6, 4)), rng.standard_normal((6, 2)), rng.standard_normal((4, 2))
    rate = 0.1
    other = equivalent_learning_rate(rate, loss=loss, num_samples=6, num_outputs=2, output_scale=output_scale)

    def train(eta, scale, loss):
        gradient = jax.jit(jax.grad(lambda p: loss(scale * (x @ p) - y)))
        p = jnp.asarray(start / scale)
        residuals = []
        for _ in range(20):
            p = p - eta * gradient(p)
            residuals.append(scale * (x @ np.asarray(p)) - y)
        return np.array(residuals)

    ours = train(rate, 1.0, LOSSES["half_mean"])
    np.testing.assert_allclose(train(other, output_scale, LOSSES[loss]), ours, rtol=0, atol=1e-12)
    # The library's own training is the first of them.
    model = models.from_function(lambda p, xi: xi @ p, jnp.asarray(start))
    trajectory = dynamics.train(model, x, y, learning_rate=rate, steps=20, record=range(21))
    np.testing.assert_allclose(trajectory.residuals[1:], ours, rtol=0, atol=1e-12)
    # Without the correction it is another training.
    if loss != "half_mean" or output_scale != 1:
        assert np.max(np.abs(train(rate / 20, output_scale, LOSSES[loss]) - ours)) > 0.01


def test_momentum_needs_a_learning_rate_that_is_smaller_by_one_minus_momentum():
    # Once it has built up: after many small steps both have travelled the same time.
    rate, momentum, steps = 1e-3, 0.9, np.array([2000])
    other = equivalent_learning_rate(rate, loss="half_mean", num_samples=1, momentum=momentum)
    frozen = dynamics.frozen(np.eye(1), np.ones(1))
    plain, heavy = (float(frozen.residuals_at(steps, r, b)[0, 0]) for r, b in ((rate, 0.0), (other, momentum)))
    assert heavy == pytest.approx(plain, rel=0.02)
    assert plain == pytest.approx(np.exp(-2), rel=0.01)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"loss": "mse"}, ("loss", "`mse`", "mean")),
        ({"learning_rate": 0.0}, ("`learning_rate`", "0")),
        ({"output_scale": -1.0}, ("`output_scale`", "-1")),
        ({"momentum": 1.0}, ("`momentum`", "1")),
        ({"num_samples": 0}, ("`num_samples`", "0")),
        ({"num_outputs": 0}, ("`num_outputs`", "0")),
    ],
)
def test_bad_arguments_are_refused(changed, words, refuses):
    arguments = {"learning_rate": 1.0, "loss": "mean", "num_samples": 3, **changed}
    with refuses(*words):
        equivalent_learning_rate(**arguments)
