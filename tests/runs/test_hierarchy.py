"""How much finite width matters: what is stored, against the trained network and against plain sums."""

import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.flatten_util import ravel_pytree

from small_runs import small_config
from spectralbias import dynamics, problems, runs
from spectralbias.runs import _hierarchy, _pace

SMOOTH = {"architecture": "mlp", "width": 64, "depth": 1, "activation": "tanh", "bias_std": 0.5, "output_scale": 1.0}
SPHERE = {"dim": 4, "degrees": (1, 2), "num_samples": 40, "num_test": 25}
EXACT = {"dtype": "float64", "learning_rate": 1.0, "steps": 60}


def smooth_config(kind="harmonics", *, problem=None, model=None, training=None, **rest):
    problem = SPHERE if kind == "harmonics" and problem is None else problem
    training = {**EXACT, **(training or {})}
    return small_config(kind, problem=problem, model={**SMOOTH, **(model or {})}, training=training, **rest)


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """A smooth network in float64, and the hierarchy of order 4."""
    run = runs.execute(smooth_config(), directory=tmp_path_factory.mktemp("hierarchy") / "smooth")
    return runs.hierarchy(run)


def stored(run, group="hierarchy"):
    """A group as any reader of Zarr sees it."""
    return xr.open_zarr(run.store, group=group, consolidated=False, chunks=None, mask_and_scale=False)


def along(run, residuals):
    """Amplitude in each degree: a degree of this target is one function."""
    units = [phi[:, 0] / np.linalg.norm(phi[:, 0]) for phi in run.problem.basis.values()]
    return np.abs(residuals @ np.stack(units, axis=1)) / np.sqrt(run.problem.num_samples)


def frozen_by_hand(run, points):
    """The network linearized at its start, trained step by step: residuals at `points`, with Jacobians."""
    parameters, rest = eqx.partition(run.model(0), eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    outputs = jax.jit(lambda theta, x: jax.vmap(eqx.combine(unravel(theta), rest))(x))
    jacobian = jax.jit(jax.jacfwd(outputs))
    x, problem = jnp.asarray(run.problem.x), run.problem
    at_x, at_points = np.asarray(jacobian(flat, x)), np.asarray(jacobian(flat, jnp.asarray(points)))
    f, g = np.asarray(outputs(flat, x)), np.asarray(outputs(flat, jnp.asarray(points)))
    history = [g]
    for _ in range(run.config.training.steps):
        push = -run.info["resolved"]["learning_rate"] * at_x.T @ (f - problem.y) / len(x)
        f, g = f + at_x @ push, g + at_points @ push
        history.append(g)
    return np.stack(history)[run.records["step"].to_numpy()]


def test_order_4_explains_most_of_what_the_frozen_kernel_misses(smooth):
    entry = smooth.info["hierarchy"]
    assert (entry["order"], entry["status"], entry["method"], entry["has_kinks"]) == (4, "valid", "contract", False)
    assert (entry["valid_until"], entry["reached"], entry["steps"]) == (60, 60, 60)
    degree_2 = entry["bands"][1]
    assert degree_2["frozen_error"] > 0.02
    assert degree_2["explained"] > 0.9
    assert degree_2["until_valid"] is None
    assert entry["whole"]["explained"] > 0.9
    modes = entry["modes"]["strong"]
    assert modes["corrected"]["largest_error"] < 0.1 * modes["frozen"]["largest_error"]
    for loss in (entry["loss"], entry["test_loss"]):
        assert abs(loss["corrected"] - loss["measured"]) < 0.1 * abs(loss["frozen"] - loss["measured"])


def test_errors_are_distances_from_what_was_measured(smooth):
    data, entry, records = stored(smooth), smooth.info["hierarchy"], smooth.records
    measured, y = records["residual"].to_numpy(), smooth.problem.y
    predictions = {"frozen": frozen_by_hand(smooth, smooth.problem.x) - y, "corrected": data["residual"].to_numpy()}
    start = along(smooth, measured[:1])[0]
    largest = {}
    for name, residuals in predictions.items():
        # The run's own frozen prediction goes through eigenvectors in float32.
        errors, near = along(smooth, measured - residuals), 1e-6 if name == "frozen" else 1e-12
        np.testing.assert_allclose(data[f"band_{name}_error"], errors, atol=near)
        whole = np.sqrt(np.mean((measured - residuals) ** 2, axis=1))
        np.testing.assert_allclose(data[f"{name}_error"], whole, atol=near)
        largest[name] = np.max(errors, axis=0) / start
        for index, band in enumerate(entry["bands"]):
            assert band[f"{name}_error"] == pytest.approx(largest[name][index], abs=2 * near)
            left = along(smooth, residuals)[-1, index] / start[index]
            differs = along(smooth, predictions["corrected"] - predictions["frozen"])[:, index]
            assert band["correction"] == pytest.approx(differs.max() / start[index], abs=2e-6)
            assert band[f"{name}_left"] == pytest.approx(left, abs=1e-5)
            assert band["at_step"] == 60
    for index, band in enumerate(entry["bands"]):
        assert band["explained"] == pytest.approx(1 - largest["corrected"][index] / largest["frozen"][index], abs=1e-3)
        assert band["measured_left"] == pytest.approx(along(smooth, measured)[-1, index] / start[index])


def test_what_is_stored_follows_from_the_predicted_residual(smooth):
    data, problem = stored(smooth), smooth.problem
    residual = data["residual"].to_numpy()
    assert (data["step"].to_numpy() == smooth.records["step"].to_numpy()).all()
    np.testing.assert_allclose(data["time"], data["step"] * smooth.info["resolved"]["learning_rate"])
    np.testing.assert_allclose(data["loss"], np.sum(residual**2, axis=1) / (2 * problem.num_samples))
    np.testing.assert_allclose(data["band_energy"], along(smooth, residual) ** 2, atol=1e-12)
    vectors = stored(smooth, "modes")["eigenvector"].to_numpy().astype(float)
    np.testing.assert_allclose(data["coefficient"], residual @ vectors / np.sqrt(len(vectors)), atol=1e-12)
    np.testing.assert_array_equal(data["residual"][0], smooth.records["residual"][0])
    first = data["coefficient"][0].to_numpy()
    fell = np.abs(data["coefficient"][-1].to_numpy()) < np.exp(-1) * np.abs(first)
    np.testing.assert_array_equal(np.isfinite(data["learning_step"]), fell)
    assert data["panel_step"].to_numpy().tolist()[:3] == [0, 1, 2]
    assert data["panel_step"][-1] == 60
    assert float(data["smallest_eigenvalue"][0]) == pytest.approx(float(smooth.modes.eigenvalues[-1]), rel=1e-6)
    held_out = frozen_by_hand(smooth, problem.x_test) - problem.y_test
    np.testing.assert_allclose(data["frozen_test_loss"], np.mean(held_out**2, axis=1) / 2, rtol=1e-9)


def test_every_variable_has_units_a_name_and_named_dimensions(smooth):
    data = stored(smooth)
    assert len(data.variables) == 16
    for name, variable in data.variables.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
        assert set(variable.dims) <= {"record", "mode", "band", "sample", "panel"}, name
    assert data.attrs["order"] == 4


def copied(run, directory):
    """The run in another directory."""
    return runs.load(shutil.copytree(run.directory, directory))


def test_the_derivatives_of_another_network_explain_nothing(smooth, tmp_path, monkeypatch):
    """Negative control: the same width, another seed."""
    other = runs.execute(smooth_config(seed=1), directory=tmp_path / "other")

    def mistaken(model, *rest, order, **options):
        return dynamics.hierarchy(model if order == 2 else other.model(0), *rest, order=order, **options)

    monkeypatch.setattr(_hierarchy, "predict", mistaken)
    entry = runs.hierarchy(copied(smooth, tmp_path / "copy")).info["hierarchy"]
    assert entry["whole"]["explained"] < 0
    assert all(band["explained"] < 0 for band in entry["bands"])


def test_a_start_that_is_not_that_of_the_run_resolves_nothing(smooth, tmp_path):
    """The frozen prediction of the stored network is then not the run's: their difference counts as rounding."""
    other, run = runs.execute(smooth_config(seed=1), directory=tmp_path / "other"), copied(smooth, tmp_path / "copy")
    shutil.copy(other.directory / "snapshots" / "000000000.eqx", run.directory / "snapshots")
    assert runs.hierarchy(run).info["hierarchy"]["whole"]["explained"] is None


def test_kinks_are_announced_and_not_explained(tmp_path):
    """Negative control: ReLU on a line, where kinks cross the samples."""

    class Listening(runs.Progress):
        said = []  # noqa: RUF012

        def warning(self, text):
            self.said.append(text)

    settings = {"learning_rate": "auto", "momentum": 0.0, "steps": 200}
    config = smooth_config(
        "signal",
        problem={"frequencies": (1.0, 3.0), "num_samples": 32},
        model={"activation": "relu", "bias_std": 1.0},
        training=settings,
    )
    run = runs.execute(config, directory=tmp_path / "run")
    entry = runs.hierarchy(run, progress=Listening()).info["hierarchy"]
    assert entry["has_kinks"]
    assert len(Listening.said) == 1
    assert "kinks (`relu`)" in Listening.said[0]
    assert entry["bands"][1]["frozen_error"] > 0.05
    assert entry["bands"][1]["explained"] < 0.4


def test_order_3_without_held_out_points(tmp_path, refuses):
    """A network with K³; at late times order 3 is no gain."""
    config = smooth_config(model={"antisymmetric": False, "width": 512}, training={"steps": 8})
    run = runs.execute(config, directory=tmp_path / "run")
    entry = runs.hierarchy(run, order=3, skip_test=True).info["hierarchy"]
    assert (entry["order"], entry["test_loss"]) == (3, None)
    assert entry["whole"]["explained"] > 0.5
    data = stored(run)
    assert not {"test_loss", "frozen_test_loss"} & set(data)
    # Another order replaces it.
    assert runs.hierarchy(run).info["hierarchy"]["order"] == 4
    assert "test_loss" in stored(run)


def test_in_float32_it_explains_as_much(tmp_path):
    run = runs.execute(smooth_config(training={"dtype": "float32"}), directory=tmp_path / "run")
    entry = runs.hierarchy(run).info["hierarchy"]
    assert entry["dtype"] == "float32"
    assert stored(run)["residual"].dtype == np.float64
    assert entry["bands"][1]["explained"] > 0.9


def test_rounding_is_not_explained(tmp_path):
    """A network so lazy that its parameters hardly move: what is left to see is that they do so in float32."""
    config = smooth_config(model={"output_scale": 3e4}, training={"dtype": "float32", "learning_rate": "auto"})
    run = runs.execute(config, directory=tmp_path / "run")
    for band in runs.hierarchy(run).info["hierarchy"]["bands"]:
        assert band["frozen_error"] > 1e-3
        assert band["correction"] < 1e-3 * band["frozen_error"]
        assert abs(band["explained"]) < 1e-3


def test_a_gap_below_the_resolution_is_none(smooth, tmp_path, monkeypatch):
    run = copied(smooth, tmp_path / "copy")
    largest = run.info["hierarchy"]["bands"][1]["frozen_error"]
    monkeypatch.setattr(_hierarchy, "RESOLUTION", {"float64": 1.01 * largest / _hierarchy.RESOLVED})
    assert runs.hierarchy(run).info["hierarchy"]["bands"][1]["explained"] is None
    monkeypatch.setattr(_hierarchy, "RESOLUTION", {"float64": 0.99 * largest / _hierarchy.RESOLVED})
    assert runs.hierarchy(run).info["hierarchy"]["bands"][1]["explained"] > 0.9


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A training that is far from lazy: the truncated kernel loses its definiteness."""
    config = smooth_config(model={"width": 8}, training={"steps": 150})
    run = runs.execute(config, directory=tmp_path_factory.mktemp("hierarchy") / "narrow")
    return runs.hierarchy(run)


def test_lost_definiteness_is_stored_with_what_held_until_then(narrow):
    entry, data = narrow.info["hierarchy"], stored(narrow)
    assert (entry["status"], data.attrs["status"]) == ("lost_definiteness",) * 2
    until = entry["valid_until"]
    assert 0 < until < 100
    assert entry["smallest_eigenvalue"] == float(data["smallest_eigenvalue"].min()) < 0
    for index, band in enumerate(entry["bands"]):
        early = data["step"].to_numpy() <= until
        largest = float(data["band_corrected_error"].to_numpy()[early, index].max())
        start = float(along(narrow, narrow.records["residual"].to_numpy()[:1])[0, index])
        assert band["until_valid"]["corrected_error"] == pytest.approx(largest / start)
        assert band["until_valid"]["explained"] > 0.9
    assert entry["bands"][1]["explained"] < 0.9


def test_where_it_diverges_it_explains_nothing(tmp_path):
    config = smooth_config(model={"width": 4, "output_scale": 0.1}, training={"learning_rate": "auto"})
    run = runs.hierarchy(runs.execute(config, directory=tmp_path / "run"))
    entry = run.info["hierarchy"]
    assert entry["reached"] < 60
    for band in entry["bands"]:
        assert band["frozen_error"] > 0.1
        assert band["corrected_error"] is band["explained"] is band["corrected_left"] is None
    assert entry["loss"]["corrected"] is None
    reached = stored(run)["step"].to_numpy() <= entry["reached"]
    np.testing.assert_array_equal(np.isfinite(stored(run)["residual"]).all(axis=1), reached)


def test_only_trainings_that_it_describes(tmp_path, refuses):
    for training, words in (
        ({"optimizer": "adam", "learning_rate": 1e-3}, ("`adam`", "optimizer `gd`")),
        ({"optimizer": "sgd", "optimizer_options": {"nesterov": True}, "momentum": 0.9}, ("`sgd`",)),
        ({"momentum": 0.9, "learning_rate": 0.1}, ("momentum", "0.9", "`momentum` 0")),
        ({"batch_size": 10}, ("mini-batches of 10", "`batch_size`")),
    ):
        run = runs.execute(smooth_config(training={**training, "steps": 4}), directory=tmp_path / str(len(words[0])))
        with refuses(*words):
            runs.hierarchy(run)
        assert run.hierarchy is None


def test_runs_that_did_not_finish_are_refused(tmp_path, refuses):
    with pytest.raises(runs.DivergedError) as caught:
        runs.execute(smooth_config(training={"learning_rate": 50.0}), directory=tmp_path / "diverged")
    with refuses("diverged", "finished"):
        runs.hierarchy(caught.value.run)
    with pytest.raises(KeyboardInterrupt):
        runs.execute(smooth_config(), directory=tmp_path / "stopped", progress=Stopping("Comparing"))
    with refuses("interrupted", "spectralbias run --resume"):
        runs.hierarchy(runs.load(tmp_path / "stopped"))


def test_several_outputs_are_refused(tmp_path, refuses):
    x = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    problem = problems.Problem(x, np.stack([np.sin(x[:, 0]), x[:, 1]], axis=1))
    config = smooth_config("signal", model={"encoding": "none"}, training={"momentum": 0.0, "learning_rate": 0.1})
    run = runs.execute(config, problem=problem, directory=tmp_path / "run")
    with refuses("one output", "has 2", "share parameters"):
        runs.hierarchy(run)


def test_orders_that_say_nothing_new_are_refused(smooth, refuses):
    with refuses("order 2 is the frozen kernel", "`order` 4"):
        runs.hierarchy(smooth, order=2)
    with refuses("antisymmetric", "K³ is zero", "`order` 4"):
        runs.hierarchy(smooth, order=3)
    for order in (5, 6):
        with refuses("up to order 4", str(order), "dynamics.hierarchy"):
            runs.hierarchy(smooth, order=order)
    with refuses("`order`", "4.5"):
        runs.hierarchy(smooth, order=4.5)
    with refuses("`max_minutes`", "0"):
        runs.hierarchy(smooth, max_minutes=0)
    assert smooth.hierarchy is not None


def test_too_large_for_memory_is_refused_before_anything_is_derived(smooth, monkeypatch, refuses):
    needed = 8 * 65 * (_hierarchy.PER_UNIT * 2 * 64 + _hierarchy.PER_ENTRY * 40)
    monkeypatch.setattr(_hierarchy, "MEMORY_BYTES", needed - 1)
    monkeypatch.setattr(_hierarchy, "predict", None)
    with refuses("65 points", "GB", "`skip_test`", "fewer samples"):
        runs.hierarchy(smooth)
    monkeypatch.setattr(_hierarchy, "MEMORY_BYTES", needed * 40 // 65 - 1)
    with refuses("40 points", "make a run with fewer samples"):
        runs.hierarchy(smooth, skip_test=True)


def test_too_long_is_refused_at_the_beginning(smooth, refuses):
    before = smooth.info
    with refuses("would take about", "`max_minutes`", "`skip_test`"):
        runs.hierarchy(smooth, max_minutes=1e-9)
    assert smooth.info == before


class Stopping(runs.Progress):
    """Ctrl-C when a phase begins."""

    def __init__(self, at):
        self.at = at

    def phase(self, text):
        if self.at in text:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["Deriving", "Comparing"])
def test_stopped_before_the_end_the_earlier_result_stays(at, smooth):
    before = {name: array.to_numpy() for name, array in stored(smooth).items()}, smooth.info
    with pytest.raises(KeyboardInterrupt):
        runs.hierarchy(smooth, skip_test=True, progress=Stopping(at))
    assert smooth.info == before[1]
    assert all(np.array_equal(stored(smooth)[name], array, equal_nan=True) for name, array in before[0].items())


def test_half_written_is_no_result(narrow, tmp_path, monkeypatch):
    run = copied(narrow, tmp_path / "run")
    assert run.hierarchy is not None

    def stop(group, name, *rest):
        if name == "loss":
            raise KeyboardInterrupt
        put(group, name, *rest)

    put = _hierarchy.put
    monkeypatch.setattr(_hierarchy, "put", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.hierarchy(run)
    assert (run.store / "hierarchy").exists()
    assert run.hierarchy is None
    monkeypatch.undo()
    assert runs.hierarchy(run).hierarchy is not None


class Clock:
    """Panels that take these seconds."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, iter(seconds)
        monkeypatch.setattr(_pace.time, "perf_counter", lambda: self.now)

    def end(self, pace, step):
        self.now += next(self.seconds)
        pace(step * 0.5)


class Keeping(runs.Progress):
    def __init__(self):
        self.said = []

    def phase(self, text):
        self.said.append(text)


def test_the_pace_of_panels_that_double(monkeypatch):
    """Compiling counts for nothing; two seconds a derivative, eight of them in a long panel."""
    clock, progress = Clock(monkeypatch, [100, 2, 4, 8, 16]), Keeping()
    pace = _pace.Pace(progress, 64, 0.5, 0, 1000.0)
    for step in (1, 2, 4, 8, 16):
        clock.end(pace, step)
    assert progress.said == [
        "Predicted to step 1 of 64",
        "Predicted to step 4 of 64, about 56 s left",
        "Predicted to step 8 of 64, about 48 s left",
        "Predicted to step 16 of 64, about 32 s left",
    ]


def test_the_last_panel_is_shorter_and_minutes_are_minutes(monkeypatch):
    clock, progress = Clock(monkeypatch, [1, 50]), Keeping()
    pace = _pace.Pace(progress, 5, 0.5, 0, 1000.0)
    clock.end(pace, 1)
    clock.end(pace, 2)
    assert progress.said == ["Predicted to step 2 of 5, about 2 min left"]


def test_shorter_panels_go_on_as_they_are(monkeypatch):
    """From step 32 to 40, to 50 and to 60: a panel grows by a quarter, and three are left."""
    clock, progress = Clock(monkeypatch, [1, 8]), Keeping()
    pace = _pace.Pace(progress, 75, 0.5, 0, 1000.0)
    clock.end(pace, 32)
    clock.end(pace, 40)
    assert progress.said == ["Predicted to step 40 of 75, about 24 s left"]


def test_what_takes_too_long_is_given_up_at_the_beginning_only(monkeypatch, refuses):
    clock = Clock(monkeypatch, [1, 100, 60, 48, 8, 1e5])
    pace = _pace.Pace(runs.Progress(), 1024, 0.5, 0, 600.0)
    clock.end(pace, 1)
    with refuses("about 103 minutes", "10"):
        clock.end(pace, 2)
    # A quarter of this is no reason yet, and then it is.
    clock.end(pace, 4)
    with refuses("about 11 minutes", "10"):
        clock.end(pace, 8)
    clock.end(pace, 16)
    clock.end(pace, 32)


def test_each_step_costs_a_passage_over_the_matrix(monkeypatch):
    Clock(monkeypatch, [])
    pace = _pace.Pace(runs.Progress(), 1000, 0.5, 10**6, 600.0)
    pace.step = 500
    assert pace.seconds_left(0.0) == pytest.approx(500 * 8e6 * _pace.PASSES / _pace.BANDWIDTH)


def test_order_2_of_the_hierarchy_is_the_frozen_kernel_of_the_run(smooth):
    """Two ways to one prediction: eigenmodes, and sums over steps."""
    steps = smooth.records["step"].to_numpy()
    found = dynamics.hierarchy(smooth.model(0), smooth.problem.x, smooth.problem.y, steps, order=2, learning_rate=1.0)
    energy = stored(smooth, "prediction")["band_energy"].to_numpy()
    np.testing.assert_allclose(along(smooth, found.residuals) ** 2, energy, atol=1e-6)
