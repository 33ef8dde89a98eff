"""The default experiment against the frozen kernel, over seeds, with controls that must fail.

Minutes long: `pytest -m slow tests/runs/test_theory.py`.
"""

import msgspec
import numpy as np
import pytest

from spectralbias import report, runs

pytestmark = pytest.mark.slow


def default_experiment(directory, *, seed=0, model=None, training=None):
    base = msgspec.to_builtins(runs.default_config())
    base["model"] |= model or {}
    base["training"] |= training or {}
    return runs.execute(msgspec.convert(base | {"seed": seed}, runs.Config), directory=directory)


def one_over_e_step(steps, amplitude):
    """First step at 1/e by a plain loop, logarithm linear between records; None if never."""
    level = np.log(amplitude[0]) - 1
    for i in range(1, len(steps)):
        if np.log(amplitude[i]) <= level:
            a, b = np.log(amplitude[i - 1]), np.log(amplitude[i])
            return steps[i - 1] + (a - level) / (a - b) * (steps[i] - steps[i - 1])
    return None


def errors_of_modes(run, low, high=np.inf):
    """Measured 1/e step times the discrete rate, minus 1, of the modes with that share of the energy that fell by e."""
    records = run.records
    steps, coefficients = records["step"].to_numpy(), np.abs(records["coefficient"].to_numpy())
    rate = run.info["resolved"]["learning_rate"]
    shares = coefficients[0] ** 2 / np.sum(coefficients[0] ** 2)
    errors = []
    for i in np.flatnonzero((shares >= low) & (shares < high)):
        step = one_over_e_step(steps, coefficients[:, i])
        if step is not None:
            errors.append(step * -np.log(abs(1 - rate * run.modes.eigenvalues[i])) - 1)
    return np.array(errors)


@pytest.mark.parametrize("seed", range(5))
def test_the_default_run_follows_the_frozen_kernel(seed, tmp_path):
    run = default_experiment(tmp_path / "run", seed=seed)
    strong, weak = errors_of_modes(run, 0.01), errors_of_modes(run, 0.001)
    assert len(strong) >= 10
    assert np.max(np.abs(strong)) <= 0.1
    assert len(weak) >= 50
    assert np.mean(np.abs(weak) <= 0.1) >= 0.8

    bands = {band["name"]: band for band in run.summary["bands"]}
    assert abs(bands["degree 2"]["relative_error"]) <= 0.05
    assert abs(bands["degree 4"]["relative_error"]) <= 0.05
    times = [bands[f"degree {k}"]["measured_step"] for k in (1, 2, 4)]
    assert times == sorted(times)
    assert report.agrees(run.summary)
    assert "the frozen kernel predicted these times within" in report.verdict(run).headline
    assert run.summary["modes"]["coupled"] > 0


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"antisymmetric": False, "output_scale": 1.0}, {"learning_rate": 4.0}),
        ({"output_scale": 0.1}, {"learning_rate": 400.0}),
    ],
    ids=["random start, θ = 1", "θ = 0.1"],
)
def test_runs_that_are_not_lazy_fail_the_same_check(model, training, tmp_path):
    run = default_experiment(tmp_path / "run", model=model, training=training)
    weak = errors_of_modes(run, 0.001)
    bands = {band["name"]: band for band in run.summary["bands"]}
    assert np.mean(np.abs(weak) <= 0.1) < 0.8
    assert abs(bands["degree 4"]["relative_error"]) > 0.05
    assert report.agrees(run.summary) is False
    verdict = report.verdict(run)
    assert "does not predict" in verdict.headline or "is off by" in verdict.headline
    reason = next(paragraph for paragraph in verdict.paragraphs if paragraph.startswith("Why the frozen kernel is off"))
    assert "not lazy" in reason
    assert "width × output_scale²" in reason
    if not run.config.model.antisymmetric:
        assert "start antisymmetric" in reason
