import jax
import numpy as np
import pytest

from spectralbias import dynamics, models
from spectralbias.forecast import TrustStatus, forecast
from spectralbias.forecast._trust import EDGE, LARGEST_CORRECTION, LARGEST_DIFFERENCE, LARGEST_ERROR, MOST_DRIFT, judge
from spectralbias.models.encodings import PositionalEncoding
from spectralbias.problems import Problem, signal

STEPS = 200


@pytest.mark.parametrize(
    ("name", "largest", "words"),
    [
        ("drift", MOST_DRIFT, "kernel is expected to move by"),
        ("error", LARGEST_ERROR, "linearization is expected to miss"),
        ("correction", LARGEST_CORRECTION, "correction is"),
        ("waves", LARGEST_DIFFERENCE, "waves miss the exact modes"),
        ("rate_share", EDGE, "times the stability limit: a small growth"),
    ],
)
def test_each_threshold_gives_one_reason_and_below_it_none(name, largest, words):
    below = judge(**{"rate_share": 0.5, name: 0.99 * largest})
    above = judge(**{"rate_share": 0.5, name: 1.01 * largest})
    assert (below.status, below.reasons) == (TrustStatus.good, ())
    assert above.status is TrustStatus.doubtful
    assert len(above.reasons) == 1
    assert words in above.reasons[0]


def test_what_diverges_is_not_trusted_at_all_and_all_reasons_are_given():
    found = judge(rate_share=1.25, drift=0.5, error=0.3, lost=True)
    assert found.status is TrustStatus.none
    assert len(found.reasons) == 4
    assert any("1.25 times the stability limit" in reason for reason in found.reasons)
    assert judge(rate_share=0.5, lost=True).status is TrustStatus.doubtful


def _setting(scale=0.1, width=256):
    problem = signal(frequencies=(1.0, 3.0, 5.0, 6.0), num_samples=16, key=jax.random.key(0))
    model = models.MLP(
        1, "scalar", width, 1, bias_std=0.1, encoding=PositionalEncoding(2), antisymmetric=True, key=jax.random.key(1)
    )
    return model, Problem(problem.x, scale * problem.y)


def _median_error(model, problem, found):
    run = dynamics.train(
        model, problem.x, problem.y, learning_rate=found.learning_rate, steps=STEPS, record=dynamics.log_spaced(STEPS)
    )
    times = dynamics.crossing(run.steps, found.modes.project(run.residuals))
    strong = (found.shares > 0.01) & (found.learning_times <= STEPS)
    both = np.isfinite(times[strong])
    with np.errstate(invalid="ignore"):
        return np.median(np.where(both, np.abs(times[strong] / found.learning_times[strong] - 1), 1.0))


def test_a_lazy_network_is_trusted_and_follows_the_forecast():
    model, problem = _setting()
    found = forecast(model, problem, steps=STEPS)
    assert found.trust.status is TrustStatus.good
    assert _median_error(model, problem, found) < 0.15


def test_a_narrow_network_with_a_large_target_is_doubted_and_leaves_it():
    model, problem = _setting(scale=3.0, width=8)
    found = forecast(model, problem, steps=STEPS)
    assert found.trust.status is TrustStatus.doubtful
    assert _median_error(model, problem, found) > 0.15


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_stability_limit_is_where_the_linear_training_begins_to_diverge(momentum):
    model, problem = _setting()
    limit = forecast(model, problem, steps=1, momentum=momentum).stability_limit
    losses = {}
    for share in (0.97, 1.03):
        found = forecast(model, problem, learning_rate=share * limit, steps=STEPS, momentum=momentum)
        losses[share], status = found.loss, found.trust.status
        assert status is (TrustStatus.doubtful if share < 1 else TrustStatus.none)
    assert losses[0.97][-1] < losses[0.97][0]
    assert losses[1.03][-1] > 100 * losses[1.03][0]


def test_beyond_the_limit_the_training_leaves_the_frozen_kernel():
    model, problem = _setting()
    limit = forecast(model, problem, steps=1).stability_limit
    found = forecast(model, problem, learning_rate=1.1 * limit, steps=STEPS)
    run = dynamics.train(model, problem.x, problem.y, learning_rate=found.learning_rate, steps=STEPS)
    # The kernel shrinks after a burst (Lewkowycz et al. 2020), and the loss goes down after all.
    assert run.loss.max() > 10 * run.loss[0]
    assert run.loss[-1] < run.loss[0] < 1e-6 * found.loss[-1]
