"""Parts of the studies of Huang & Yau against answers of independent origin."""

import dataclasses

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
import scipy.integrate

from spectralbias.papers import Outcome
from spectralbias.papers.huang_yau import (
    _convergence,
    _depth,
    _drift,
    _linear,
    _question,
    _setting,
    _sizes,
    _time,
    _truncation,
)

TINY = _setting.Truncation(seeds=(0, 1), widths=(8, 16), orders=(2, 3), num_samples=2, num_test=1, dim=3)


def explicit(model, x):
    """f = a·tanh(W x)/√m from the stored numbers."""
    first, last = (np.asarray(layer.weight) for layer in model.layers)
    return np.tanh(np.atleast_2d(x) @ first) @ last[:, 0] / np.sqrt(len(last))


def kernel(model, x):
    """Θ of one hidden layer, by hand."""
    first, last = (np.asarray(layer.weight) for layer in model.layers)
    h = np.tanh(x @ first)
    slope = (1 - h**2) * last[:, 0]
    return (h @ h.T + (slope @ slope.T) * (x @ x.T)) / len(last)


def test_the_network_and_the_residual_at_the_start():
    case = _setting.case(TINY.key, 8, 1)
    assert np.allclose(_setting.outputs(case.model, case.x), explicit(case.model, case.x), atol=1e-14)
    assert np.allclose(explicit(case.model, case.x) - case.y, _setting.start_residual(2, 1), atol=1e-14)
    assert np.mean(_setting.start_residual(2, 1) ** 2) == pytest.approx(1)
    assert np.allclose(_setting.ntk(case.model, case.x), kernel(case.model, case.x), atol=1e-14)
    assert np.allclose(np.linalg.norm(case.x, axis=1), 1)
    nearer = _setting.case(msgspec.structs.replace(TINY, nearing=0.25).key, 16, 1)
    assert np.allclose(explicit(nearer.model, nearer.x) - nearer.y, _setting.start_residual(2, 1) / 2, atol=1e-14)


def test_the_truth_is_gradient_flow():
    """Against the ordinary differential equation of all weights, by another solver."""
    case, found = _setting.case(TINY.key, 8, 0), _setting.truth(TINY.key, 8, 0)
    first, last = (np.asarray(layer.weight) for layer in case.model.layers)

    def rate(t, flat):
        w, a = flat[:24].reshape(3, 8), flat[24:]
        h = np.tanh(case.x @ w)
        r = (h @ a / np.sqrt(8) - case.y) / 2
        return -np.concatenate([(case.x.T @ (r[:, None] * (1 - h**2) * a)).ravel(), h.T @ r]) / np.sqrt(8)

    at = np.concatenate([first.ravel(), last[:, 0]])
    solved = scipy.integrate.solve_ivp(rate, (0, 4), at, "DOP853", case.times, rtol=1e-12, atol=1e-14)
    for flat, residual in zip(solved.y.T, found.residuals, strict=True):
        outputs = np.tanh(case.x @ flat[:24].reshape(3, 8)) @ flat[24:] / np.sqrt(8)
        assert np.allclose(outputs - case.y, residual, atol=1e-10)
    test = np.tanh(case.x_test @ solved.y[:24, -1].reshape(3, 8)) @ solved.y[24:, -1] / np.sqrt(8)
    assert np.allclose(test, found.test, atol=1e-10)


def test_order_2_is_the_frozen_kernel_and_the_slow_clock_is_slow():
    case, found = _setting.case(TINY.key, 8, 0), _setting.truncated(TINY.key, 8, 0, 2)
    eigenvalues, vectors = np.linalg.eigh(kernel(case.model, case.x) / 2)
    for clock, factor in enumerate((1.0, 0.99)):
        decays = np.exp(-np.outer(factor * case.times, eigenvalues))
        expected = (decays * (vectors.T @ _setting.start_residual(2, 0))) @ vectors.T
        assert np.allclose(found.residuals[clock], expected, atol=1e-12)


def test_errors_are_over_the_residual_and_stop_where_they_are_asked_to():
    settings = msgspec.structs.replace(TINY, orders=(2, 5), high_seeds=1)
    numbers = _truncation.measure(settings)
    assert np.isnan(numbers["train"][1, :, 1]).all()
    assert np.isfinite(np.delete(numbers["train"].reshape(-1), [5, 7])).all()
    real, found = _setting.truth(TINY.key, 16, 1), _setting.truncated(TINY.key, 16, 1, 2)
    error = np.sqrt(np.mean((real.residuals[-1] - found.residuals[0, -1]) ** 2))
    assert numbers["train"][1, 1, 0] == pytest.approx(error)
    assert numbers["curves"][1, 0, -1] == pytest.approx(error)
    slow = _truncation.measure(msgspec.structs.replace(settings, slow_clock=True))
    assert slow["train"][1, 1, 0] > numbers["train"][1, 1, 0] / 10
    assert slow["train"][1, 1, 0] != numbers["train"][1, 1, 0]


def rates(powers, widths=(256, 512, 1024, 2048), seeds=12, noise=0.0):
    """Numbers of a study in which errors have these powers of the width."""
    widths = np.array(widths)
    spread = np.exp(np.random.default_rng(0).standard_normal((seeds, len(widths), len(powers))) * noise)
    errors = spread * (widths[:, None] / 256.0) ** np.array(powers)
    return {
        "widths": widths,
        "orders": np.arange(2, 2 + len(powers)),
        "times": np.array([2.0, 4.0]),
        "train": errors,
        "test": errors,
        "curves": np.ones((seeds, len(powers), 2)),
    }


@pytest.mark.parametrize(
    ("powers", "outcome"),
    [
        ((-1, -1, -2, -2), Outcome.holds),
        ((-1, -1, -2, -2.5), Outcome.holds),
        ((-1, -1.5, -2, -2), Outcome.fails),
        ((-1, -1, -1, -2), Outcome.fails),
        ((-0.5, -1, -2, -2), Outcome.fails),
        ((-1, -1, -2, -1.5), Outcome.fails),
    ],
)
def test_the_rates_that_are_asked_for(powers, outcome):
    assert _truncation.judge(rates(powers, noise=0.01)).outcome is outcome
    assert _truncation.judge_test(rates(powers, noise=0.01)).outcome is outcome


def test_only_the_last_three_octaves_count():
    numbers = rates((-1, -1, -2, -2), widths=(64, 128, 256, 512, 1024, 2048))
    numbers["train"][:, :2] = 1.0
    assert _truncation.judge(numbers).outcome is Outcome.holds
    assert _setting.last_octaves(np.array([100, 255, 256, 2048])).tolist() == [False, False, True, True]


def test_wide_intervals_settle_nothing():
    assert _truncation.judge(rates((-1, -1, -2, -2), noise=2.0)).outcome is Outcome.inconclusive


def test_the_remark_on_odd_levels():
    found = _truncation.judge_parity(rates((-1, -1), noise=0.01))
    assert found.outcome is Outcome.fails
    assert "keeps the rate of p = 2" in found.sentence
    assert _truncation.judge_parity(rates((-1, -1.5), noise=0.01)).outcome is Outcome.holds
    assert "neither" in _truncation.judge_parity(rates((-1, -2), noise=0.01)).sentence


def test_sizes_of_kernels_are_means_over_their_entries():
    settings = _sizes.Sizes(seeds=(0, 1), widths=(8,), order=3, num_samples=2, num_first=3, dim=3)
    numbers = _sizes.measure(settings)
    points, models = _setting.inputs(3, 0, 3), [_setting.network(8, i, dim=3) for i in (0, 1)]
    grams = [kernel(model, points)[:, :2] for model in models]
    assert np.allclose(numbers["sizes"][:, 0, 0], [np.abs(gram).mean() for gram in grams])
    assert np.allclose(numbers["fluctuations"][:, 0, 0], np.abs(grams[0] - grams[1]).mean() / np.sqrt(2))
    centered = _sizes.measure(msgspec.structs.replace(settings, centered=True))
    assert np.array_equal(centered["sizes"], numbers["fluctuations"])
    assert [_sizes.power(r) for r in (2, 3, 4, 5, 6)] == [0, 1, 1, 2, 2]


def test_drift_is_that_of_explicit_steps():
    settings = _drift.Drift(seeds=(0,), widths=(8,), num_samples=2, dim=3, octaves=1, horizon=0.25)
    found = _drift.measure(settings)["drifts"]
    x, model = _setting.inputs(2, 0, 3), _setting.network(8, 0, dim=3)
    y, start = explicit(model, x) - _setting.start_residual(2, 0), kernel(model, x)
    moved = []
    for _ in range(8):
        gradient = jax.grad(lambda m: jnp.sum((jax.vmap(m)(x) - y) ** 2) / 4)(model)
        model = jax.tree.map(lambda p, g: p - settings.learning_rate * g, model, gradient)
        moved.append(np.abs(kernel(model, x) - start).max())
    assert settings.steps.tolist() == [4, 8]
    assert np.allclose(found[0, 0], [moved[3], moved[7]], rtol=1e-9)
    foreign = _drift.measure(msgspec.structs.replace(settings, foreign=True))["drifts"]
    other = kernel(_setting.network(8, 1000, dim=3), x)
    assert foreign[0, 0, 1] == pytest.approx(np.abs(kernel(model, x) - other).max(), rel=1e-9)


def test_which_rates_tell_a_kink():
    widths, spread = np.array([256, 1024, 4096]), np.linspace(0.99, 1.01, 12)[:, None, None]
    numbers = {"widths": widths, "flipped": spread * np.ones((12, 3, 3)), "kink": np.array([1, 0, 0])}
    for powers, outcome in (((-0.5, -1, -1), Outcome.holds), ((-1, -1, -1), Outcome.fails)):
        drifts = spread * (widths / 256.0) ** np.array(powers)[:, None]
        assert _drift.judge_kinks({**numbers, "drifts": drifts}).outcome is outcome


def test_the_exponents_in_time():
    times = np.array([0.1, 0.2, 0.4, 0.8])
    spread = np.linspace(0.99, 1.01, 12)[:, None, None]
    orders = np.arange(2, 6)
    numbers = {"times": times, "orders": orders, "width": np.array(8), "f": spread * times ** orders[:, None]}
    assert _time.judge({**numbers, "kernel": spread * times ** (orders[:, None] - 1.0)}).outcome is Outcome.holds
    assert _time.judge({**numbers, "kernel": spread * times ** (orders[:, None] - 0.0)}).outcome is Outcome.fails


def test_the_linear_network_closes_only_for_an_input_of_norm_1():
    settings = _linear.Linear(seeds=tuple(range(10)), width=5, order=4, dim=2, horizons=(0.5,))
    numbers = _linear.measure(settings)
    assert max(numbers["closure"].max(), numbers["conserved"].max()) < 1e-10
    assert _linear.judge(numbers).outcome is Outcome.holds
    long = _linear.measure(msgspec.structs.replace(settings, norm=1.1))
    # K^(r+2) = (4 ‖x‖²/m) K^r.
    assert np.allclose(long["closure"], 0.21, atol=1e-12)


def test_the_bound_on_the_loss():
    times = np.array([1.0, 10.0])
    left = np.tile(np.exp(-0.05 * times), (10, 1, 1))
    assert np.allclose(_convergence.bound(times, 0.1), left[0, 0])
    numbers = {"widths": np.array([8]), "times": times, "rates": np.full((10, 1), 0.1), "bounds": left.copy()}
    assert _convergence.judge({**numbers, "left": left}).outcome is Outcome.holds
    left[3, 0, 1] *= 1.001
    assert _convergence.judge({**numbers, "left": left}).outcome is Outcome.fails


def test_what_samples_ask_of_the_width():
    counts, times = np.array([4, 8, 16]), np.ones((10, 3, 2))
    inverse = np.linspace(1, 1.1, 10)[:, None] * counts**2.0
    numbers = {
        "counts": counts, "width": np.array(64), "error": np.array(0.05), "times": times, "errors": times,
        "inverse_rates": inverse, "predicted": inverse, "window": inverse, "held": np.ones((10, 3)),
    }  # fmt: skip
    spread = np.linspace(0.99, 1.01, 10)[:, None]
    for power, outcome in ((1.5, Outcome.holds), (3.5, Outcome.fails)):
        assert _convergence.judge_samples({**numbers, "moving": spread * inverse**power}).outcome is outcome
    numbers["held"][0, 0] = 0
    assert _convergence.judge_samples({**numbers, "moving": inverse}).outcome is Outcome.fails


def test_the_width_that_is_asked_for_scales_what_is_measured():
    settings = _convergence.Samples(seeds=(0,), counts=(2,), width=8, dim=3)
    numbers = _convergence.measure_samples(settings)
    x, model = _setting.inputs(2, 0, 3), _setting.network(8, 0, dim=3)
    smallest = np.linalg.eigvalsh(kernel(model, x))[0]
    assert numbers["inverse_rates"].item() == pytest.approx(2 / smallest)
    assert numbers["window"].item() == pytest.approx(min(np.sqrt(smallest * 8 / 2), 8 ** (1 / 3)))
    assert numbers["predicted"].item() == pytest.approx(8 * numbers["errors"].max() / 0.05)
    largest = _convergence.measure_samples(msgspec.structs.replace(settings, largest=True))
    assert largest["inverse_rates"] < numbers["inverse_rates"]


def test_a_step_too_few_is_seen():
    settings = _depth.Depth(seeds=(0,), depths=(2,), widths=(8,), num_samples=2, dim=3, horizon=1.0)
    right, late = (_depth.measure(msgspec.structs.replace(settings, late=late)) for late in (0, 1))
    assert right["drift"] == late["drift"]
    assert late["error_4"] > 10 * right["error_4"]


def test_the_limiting_kernel_is_that_of_the_paper():
    """E σσ + ⟨x, x'⟩ E σ'σ' by a product rule of Gauss and Hermite."""
    x = _setting.inputs(3, 0, 4)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    u, v = np.meshgrid(nodes, nodes)
    total = np.outer(weights, weights) / (2 * np.pi)
    expected = np.empty((3, 3))
    for i, j in np.ndindex(3, 3):
        c = x[i] @ x[j]
        one, two = np.tanh(u), np.tanh(c * u + np.sqrt(max(0.0, 1 - c**2)) * v)
        expected[i, j] = np.sum(total * (one * two + c * (1 - one**2) * (1 - two**2)))
    assert np.allclose(_question.limit_gram(x, x, 1), expected, atol=1e-5)
    found = np.mean([kernel(_setting.network(4096, i, dim=4), x) for i in range(40)], axis=0)
    assert np.allclose(found, expected, atol=0.01)


def test_what_the_hierarchy_accounts_for():
    errors = np.zeros((10, 1, 4))
    errors[:, 0] = 0.3, 0.32, 0.21, 0.2
    numbers = {
        "order": np.array(4), "width": np.array(8), "times": np.array([1.0]), "errors": errors,
        "train": np.ones((10, 1)), "limit": np.full(10, 0.25),
    }  # fmt: skip
    found = _question.judge(numbers)
    assert found.outcome is Outcome.holds
    assert "92 % of what the network has over Θ_0" in found.sentence
    errors[:5, 0, 2] = 0.3
    assert _question.judge(numbers).outcome is Outcome.fails
    errors[:, 0] = 0.3, 0.1, 0.2, 0.2
    assert _question.judge(numbers).outcome is Outcome.fails


def test_controls_change_one_setting():
    for study in (*_truncation.STUDIES, *_sizes.STUDIES, *_drift.STUDIES, *_depth.STUDIES, *_question.STUDIES):
        changed = study.control.change(study.fast)
        names = [
            field for field in study.fast.__struct_fields__ if getattr(changed, field) != getattr(study.fast, field)
        ]
        assert len(names) == 1, (study.name, names)
        assert dataclasses.is_dataclass(study)
