import json

import jax
import numpy as np
import pytest
import xarray as xr

from small_runs import SMALL_SPHERE, small_config
from spectralbias import kernels, models, problems, report, runs, spectra
from spectralbias._core.errors import InputError


def open_group(run, group):
    """The store as any user of xarray sees it."""
    return xr.open_zarr(run.store, group=group, consolidated=False, chunks=None, mask_and_scale=False)


def last_crossing(steps, amplitude):
    """Step from which on the amplitude stays below 1/e, by a plain loop, with the logarithm linear between records."""
    level = np.exp(-1) * amplitude[0]
    if amplitude[-1] > level:
        return None
    i = len(steps) - 1
    while amplitude[i - 1] <= level:
        i -= 1
    a, b = np.log(amplitude[i - 1]), np.log(amplitude[i])
    return steps[i - 1] + (a - np.log(level)) / (a - b) * (steps[i] - steps[i - 1])


def test_every_variable_has_units_a_name_and_named_dimensions(finished):
    for group in ("records", "drift", "modes", "prediction", "infinite", "problem"):
        data = open_group(finished, group)
        assert data.variables
        for name, variable in data.variables.items():
            assert variable.attrs["units"], name
            assert variable.attrs["long_name"], name
            assert all(not dim.startswith("dim_") for dim in variable.dims), name


def test_records_are_residuals_of_the_stored_snapshots(finished):
    records = finished.records
    steps = records["step"].to_numpy()
    for step in finished.snapshot_steps[:: max(1, len(finished.snapshot_steps) // 4)]:
        model = finished.model(step)
        with jax.enable_x64(False):
            outputs = np.asarray(jax.vmap(model)(jax.numpy.asarray(finished.problem.x)), float)
        stored = records["residual"][int(np.searchsorted(steps, step))].to_numpy() + finished.problem.y
        np.testing.assert_allclose(outputs, stored, atol=2e-5)


def test_summary_follows_from_the_stored_arrays(finished):
    """Every number of the verdict, recomputed from what is on disk with other code."""
    summary = finished.summary
    records, prediction = open_group(finished, "records"), open_group(finished, "prediction")
    problem = open_group(finished, "problem")
    steps = records["step"].to_numpy()
    residuals = records["residual"].to_numpy().astype(float)
    n = residuals.shape[1]
    assert summary["steps"] == steps[-1] == finished.config.training.steps
    assert summary["loss"]["first"] == pytest.approx(np.mean(residuals[0] ** 2) / 2)
    assert summary["loss"]["last"] == pytest.approx(np.mean(residuals[-1] ** 2) / 2)

    gram = np.asarray(kernels.empirical_ntk(finished.model(0), finished.problem.x), float)
    values, vectors = np.linalg.eigh(gram / n)
    rate = summary["learning_rate"]
    frozen = (vectors * (1 - rate * values) ** steps[:, None, None]) @ (vectors.T @ residuals[0])
    for index, band in enumerate(summary["bands"]):
        phi = problem[f"basis{index}"].to_numpy()[:, 0]
        measured = np.abs(residuals @ phi) / np.linalg.norm(phi) / np.sqrt(n)
        predicted = np.abs(frozen @ phi) / np.linalg.norm(phi) / np.sqrt(n)
        assert band["share"] == pytest.approx(measured[0] ** 2 / np.mean(residuals[0] ** 2))
        assert band["measured_left"] == pytest.approx(measured[-1] / measured[0], rel=1e-6)
        assert band["predicted_left"] == pytest.approx(predicted[-1] / predicted[0], rel=1e-3)
        for key, amplitude, tolerance in (("measured_step", measured, 1e-6), ("predicted_step", predicted, 1e-3)):
            expected = last_crossing(steps, amplitude)
            assert band[key] == (expected if expected is None else pytest.approx(expected, rel=tolerance))

    coefficients = records["coefficient"].to_numpy()
    shares = coefficients[0] ** 2 / np.sum(coefficients[0] ** 2)
    stored = open_group(finished, "modes")["eigenvalue"].to_numpy()
    crossings = np.array([last_crossing(steps, np.abs(c)) or np.inf for c in coefficients.T])
    rates = -np.log(np.abs(1 - rate * stored))
    for key, threshold in (("strong", 0.01), ("weak", 0.001)):
        fallen = (shares >= threshold) & np.isfinite(crossings)
        assert summary["modes"][key]["count"] == np.sum(shares >= threshold)
        assert summary["modes"][key]["fallen"] == np.sum(fallen)
        expected = 1 / rates[fallen]
        within = np.abs(crossings[fallen] - expected) / np.maximum(expected, 1) <= 0.1
        assert summary["modes"][key]["within_10_percent"] == np.sum(within)
    assert summary["modes"]["coupled"] == np.sum((shares < 0.001) & np.isfinite(crossings))
    assert summary["predicted_loss"] == pytest.approx(prediction["loss"].to_numpy()[-1])
    assert summary["largest_eigenvalue"] == pytest.approx(values[-1], rel=1e-5)
    assert summary["stability_limit"] == pytest.approx(2 / values[-1], rel=1e-5)

    last = np.asarray(kernels.empirical_ntk(finished.model(), finished.problem.x), float)
    assert summary["drift"] == pytest.approx(np.linalg.norm(last - gram) / np.linalg.norm(gram), rel=1e-3)
    limit = finished.config.model.output_scale**2 * np.asarray(kernels.cao_kernel().ntk(finished.problem.x))
    assert summary["infinite_distance"] == pytest.approx(np.linalg.norm(gram - limit) / np.linalg.norm(limit), rel=1e-4)


def test_every_number_of_the_headline_is_in_the_summary(finished):
    headline = report.verdict(finished).headline
    for band in finished.summary["bands"]:
        name = band["name"].replace(" ", "-")
        assert name in headline
        if band["measured_step"] is not None:
            assert f"{name} part by step {max(1, round(band['measured_step'])):,}" in headline
        else:
            assert f"{100 * band['measured_left']:.0f} % of the {name} part" in headline


def test_controls_get_other_first_sentences(finished, sphere_problem, tmp_path):
    config = small_config(problem=SMALL_SPHERE, model={"width": 512})
    shuffled_y = np.random.default_rng(0).permutation(sphere_problem.y)
    names = list(sphere_problem.basis)
    swapped = dict(zip(names, reversed(sphere_problem.basis.values()), strict=True))

    def headline(y, basis, name):
        problem = problems.Problem(sphere_problem.x, y, basis=basis, measure=sphere_problem.measure)
        return report.verdict(runs.execute(config, problem=problem, directory=tmp_path / name)).headline

    plain = headline(sphere_problem.y, sphere_problem.basis, "plain")
    shuffled = headline(shuffled_y, sphere_problem.basis, "shuffled")
    exchanged = headline(sphere_problem.y, swapped, "swapped")
    assert plain.startswith("The network learned the degree-1 part by step")
    assert "order" not in plain
    assert shuffled.startswith("The target is not what its labels say")
    assert exchanged.startswith("The network learned the degree-4 part by step")
    assert "This is not the order from low to high degree." in exchanged
    assert len({plain, shuffled, exchanged, report.verdict(finished).headline}) == 4


def test_divergence_keeps_what_was_recorded(tmp_path):
    config = small_config(problem=SMALL_SPHERE, training={"learning_rate": 30.0})
    warned = []
    progress = runs.Progress()
    progress.warning = warned.append
    with pytest.raises(runs.DivergedError, match="stability limit") as caught:
        runs.execute(config, directory=tmp_path / "run", progress=progress)
    run = caught.value.run
    assert "above the stability limit 2/λ_max" in warned[0]
    assert run.status == "diverged"
    assert 0 < run.summary["steps"] < 300
    assert len(run.records["step"]) > 1
    assert report.verdict(run).headline.startswith("The training diverged by step")
    with pytest.raises(runs.DivergedError):
        runs.resume(run.directory)


def test_no_warning_below_the_limit(tmp_path):
    warned = []
    progress = runs.Progress()
    progress.warning = warned.append
    run = runs.execute(small_config(problem=SMALL_SPHERE), directory=tmp_path / "run", progress=progress)
    assert warned == run.info["warnings"] == []


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        ("signal", {"problem": {"num_samples": 64}}),
        ("signal", {"problem": {"num_samples": 64}, "training": {"optimizer": "adam", "steps": 50}}),
        ("signal", {"problem": {"num_samples": 64}, "training": {"batch_size": 10, "momentum": 0.0}}),
        ("signal", {"problem": {"num_samples": 64}, "training": {"dtype": "float64"}}),
        ("signal", {"problem": {"num_samples": 64}, "model": {"encoding": "fourier", "num_features": 16}}),
        ("harmonics", {"problem": SMALL_SPHERE, "analysis": {"num_modes": 5}}),
        ("harmonics", {"problem": SMALL_SPHERE, "analysis": {"drift_times": 0}}),
        ("digits", {"problem": {"test_fraction": 0.95}, "training": {"steps": 30}}),
    ],
)
def test_other_settings(kind, over, tmp_path):
    run = runs.execute(small_config(kind, **over), directory=tmp_path / "run")
    assert run.status == "finished"
    assert json.dumps(run.summary, allow_nan=False)
    assert np.all(np.isfinite(run.records["residual"]))
    assert run.records["loss"][-1] < run.records["loss"][0]
    assert run.summary["steps"] == run.config.training.steps
    assert report.verdict(run).headline


def test_truncated_modes_still_predict_bands(finished, tmp_path):
    config = small_config(problem=SMALL_SPHERE, model={"width": 512}, analysis={"num_modes": 6})
    run = runs.execute(config, directory=tmp_path / "run")
    assert run.modes.status is spectra.ModesStatus.truncated
    for few, every in zip(run.summary["bands"], finished.summary["bands"], strict=True):
        assert few["predicted_left"] == pytest.approx(every["predicted_left"], rel=1e-3)


def test_a_directory_in_use_is_refused(finished, tmp_path):
    before = finished.info
    with pytest.raises(InputError, match="not empty"):
        runs.execute(small_config(problem=SMALL_SPHERE), directory=finished.directory)
    assert finished.info == before
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        runs.execute(small_config(problem=SMALL_SPHERE), directory=tmp_path / "file")


def test_bad_data_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for config in (
        small_config("image", problem={"path": "missing.jpg"}),
        small_config(problem={**SMALL_SPHERE, "num_samples": 1}),
        small_config("signal", problem={"frequencies": (200.0,)}),
    ):
        with pytest.raises(InputError):
            runs.execute(config)
    assert list(tmp_path.iterdir()) == []


def test_default_directories_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_config(problem=SMALL_SPHERE, training={"steps": 2}, name="mine")
    first, second = runs.execute(config), runs.execute(config)
    assert first.directory != second.directory
    assert first.directory.name.startswith("mine-")
    assert [run.directory.name for run in runs.list_runs()] == [first.directory.name, second.directory.name]


def test_loading_refuses_what_is_not_a_run(finished, tmp_path):
    with pytest.raises(InputError, match="not a run directory"):
        runs.load(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        runs.load(tmp_path / "nothing")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "run.json").write_text(json.dumps(finished.info | {"schema_version": 99}))
    with pytest.raises(InputError, match="newer version"):
        runs.load(newer)
    (newer / "run.json").write_text("{")
    with pytest.raises(InputError, match="not readable"):
        runs.load(newer)


def test_stored_problem_and_model_come_back(finished):
    problem = finished.problem
    assert tuple(problem.basis) == ("degree 1", "degree 2", "degree 4")
    assert problem.measure.dim == 5
    assert problem.x.shape == (80, 5)
    assert problem.x_test.shape == (40, 5)
    assert models.count_parameters(finished.model()) == finished.info["resolved"]["num_parameters"]
    absent = next(step for step in range(1, 300) if step not in finished.snapshot_steps)
    with pytest.raises(InputError, match=f"step {absent};"):
        finished.model(absent)


def test_snapshots_are_log_spaced_and_end_with_the_last_step(finished):
    steps = finished.snapshot_steps
    assert steps[0] == 0
    assert steps[-1] == finished.config.training.steps
    assert 20 <= len(steps) <= 33
