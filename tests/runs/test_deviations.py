"""Why a run left the frozen kernel's prediction: what is stored, against the same sums without any modes."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
import xarray as xr
import zarr
from jax.flatten_util import ravel_pytree

from small_runs import small_config
from spectralbias import dynamics, kernels, problems, runs, spectra
from spectralbias.runs import _deviations, _population
from spectralbias.runs._build import build_model, build_problem
from spectralbias.runs._files import write_json

SMOOTH = {"architecture": "mlp", "width": 24, "depth": 1, "activation": "tanh", "bias_std": 0.5, "output_scale": 1.0}
SPHERE = {"dim": 4, "degrees": (1, 2), "num_samples": 40, "num_test": 25}
EXACT = {"dtype": "float64", "learning_rate": 0.4, "steps": 60}


def smooth_config(kind="harmonics", *, problem=None, model=None, training=None, **rest):
    problem = SPHERE if kind == "harmonics" and problem is None else problem
    training = {**EXACT, **(training or {})}
    return small_config(kind, problem=problem, model={**SMOOTH, **(model or {})}, training=training, **rest)


def torch_run(directory, **training):
    """No limit of infinite width, no held-out samples, two outputs."""
    x = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    problem = problems.Problem(x, np.stack([np.sin(3 * x[:, 0]), x[:, 0] * x[:, 1]], axis=1))
    model = {"parameterization": "torch", "bias_std": 1.0, "width": 32}
    config = smooth_config(
        "signal", model={**model, "encoding": "none"}, training={"learning_rate": "auto", **training}
    )
    return runs.execute(config, problem=problem, directory=directory)


@pytest.fixture(scope="module")
def sphere(tmp_path_factory):
    """A run in float64 with a smooth activation, and its deviations on held-out points."""
    run = runs.execute(smooth_config(), directory=tmp_path_factory.mktemp("deviations") / "sphere")
    return runs.deviations(run)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """The same with momentum."""
    config = smooth_config(training={"learning_rate": 0.05, "momentum": 0.9})
    run = runs.execute(config, directory=tmp_path_factory.mktemp("deviations") / "heavy")
    return runs.deviations(run)


def stored(run):
    """The group as any reader of Zarr sees it."""
    return xr.open_zarr(run.store, group="deviations", consolidated=False, chunks=None, mask_and_scale=False)


def by_hand(run):
    """The training and the parts of its deviation on the held-out points, as functions, by plain sums over steps.

    Jacobians in forward mode; Θ̄ from eight points along each step; no eigenvectors.
    """
    config, problem = run.config, run.problem
    parameters, rest = eqx.partition(run.model(0), eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    x, points = jnp.asarray(problem.x), jnp.asarray(problem.x_test)
    n, m, eta, beta = len(x), len(points), config.training.learning_rate, config.training.momentum

    @jax.jit
    def outputs(theta, at):
        return jax.vmap(eqx.combine(unravel(theta), rest))(at)

    jacobian = jax.jit(jax.jacfwd(outputs))
    nodes, weights = np.polynomial.legendre.leggauss(8)

    def moved(theta, step):
        """The change of f on the points along a step, from Jacobians."""
        at = [theta + (u + 1) / 2 * step for u in nodes]
        return sum(w / 2 * jacobian(t, points) @ step for w, t in zip(weights, at, strict=True))

    limit = kernels.infinite_ntk(1, "tanh", weight_variance=config.model.weight_std**2, bias_variance=0.25)
    gram, cross = np.asarray(limit.ntk(points)), np.asarray(limit.ntk(points, x))
    theta0 = np.asarray(jacobian(flat, points) @ jacobian(flat, x).T)
    history, parts = [], {name: [np.zeros(m)] * 2 for name in ("predicted", "sampling", "width", "motion", "undamped")}
    theta, velocity, before = flat, jnp.zeros_like(flat), jnp.zeros(m)
    residual = np.asarray(outputs(theta, points)) - problem.y_test
    parts["predicted"] = [residual] * 2
    for _ in range(config.training.steps):
        history.append(residual)
        train = np.asarray(outputs(theta, x)) - problem.y
        velocity = beta * velocity + jacobian(theta, x).T @ train / n
        change = moved(theta, -eta * velocity)
        action = -np.asarray(change - beta * before) / eta
        theta, before = theta - eta * velocity, change
        force = {
            "predicted": 0.0,
            "sampling": gram @ residual / m - cross @ train / n,
            "width": (cross - theta0) @ train / n,
            "motion": theta0 @ train / n - action,
        }
        force["undamped"] = force["sampling"] + force["width"] + force["motion"]
        for name, path in parts.items():
            damped = 0.0 if name == "undamped" else gram @ path[-1] / m
            path.append(path[-1] + beta * (path[-1] - path[-2]) + eta * (force[name] - damped))
        residual = np.asarray(outputs(theta, points)) - problem.y_test
    return {"measured": np.array([*history, residual]), **{k: np.array(path[1:]) for k, path in parts.items()}}


@pytest.mark.parametrize("name", ["sphere", "heavy"])
def test_every_part_is_that_of_plain_sums_over_steps(name, request):
    run = request.getfixturevalue(name)
    data, expected = stored(run), by_hand(run)
    assert (data["step"].to_numpy() == np.arange(61)).all()
    phi = {band: functions[:, 0] for band, functions in run.problem.basis_test.items()}
    parts = ("sampling", "width", "motion")
    deviation = sum(expected[part] for part in parts)
    scale = np.sqrt(np.mean(expected["measured"][0] ** 2))
    for key, functions in {**expected, "deviation": deviation}.items():
        # Parseval: the norm of the function is that of its coefficients.
        norms = np.sqrt(np.mean(functions**2, axis=1))
        np.testing.assert_allclose(np.linalg.norm(data[key], axis=1), norms, atol=2e-9 * scale)
    for index, band in enumerate(data.attrs["band_names"]):
        unit = phi[band] / np.linalg.norm(phi[band]) / np.sqrt(len(phi[band]))
        along = {key: functions @ unit for key, functions in expected.items()}
        # In a band of one function everything is a number, positive where the residual ends above the prediction.
        ends = np.sign(deviation[-1] @ unit) * np.sign(abs(along["measured"][-1]) - abs(along["predicted"][-1]))
        for key in ("measured", "predicted", "undamped"):
            np.testing.assert_allclose(data[f"band_{key}"][:, index], np.abs(along[key]), atol=2e-9 * scale)
        np.testing.assert_allclose(data["band_deviation"][:, index], ends * (deviation @ unit), atol=2e-9 * scale)
        # Near a zero of the deviation the component along it is a quotient of small numbers.
        clear = np.abs(deviation @ unit) > 1e-5 * scale
        for part in parts:
            np.testing.assert_allclose(
                data[f"band_{part}"].to_numpy()[clear, index], ends * along[part][clear], atol=1e-6 * scale
            )
    assert run.info["deviations"]["identity_error"] < 1e-9
    assert run.info["deviations"]["replay_difference"] == 0
    # Each part is there to be seen, so that a missing one would not pass.
    assert all(np.abs(expected[part]).max() > 1e-4 * scale for part in parts)


def test_the_summary_follows_from_the_arrays(sphere):
    data, summary = stored(sphere), sphere.info["deviations"]
    assert {key: summary[key] for key in ("points", "num_points", "total_points", "kernel", "num_modes", "steps")} == {
        "points": "held out",
        "num_points": 25,
        "total_points": 25,
        "kernel": "infinite width",
        "num_modes": 25,
        "steps": 60,
    }
    assert summary["share_in_modes"] == pytest.approx(1)
    assert summary["method"] == dynamics.DeviationsStatus.every_step.value
    start = data["band_measured"][0].to_numpy()
    energy = np.sum(data["measured"][0].to_numpy() ** 2)
    for index, band in enumerate(summary["bands"]):
        last = {key: float(data[f"band_{key}"][-1, index]) / start[index] for key in ("deviation", "sampling", "width")}
        assert band["name"] == data.attrs["band_names"][index]
        assert band["share"] == pytest.approx(start[index] ** 2 / energy)
        assert band["deviation"] == pytest.approx(abs(last["deviation"]))
        assert band["samples"] == pytest.approx(last["sampling"] * np.sign(last["deviation"]))
        assert band["samples"] + band["width"] + band["motion"] == pytest.approx(band["deviation"])
        assert band["undamped"] == pytest.approx(float(data["band_undamped"][-1, index]) / start[index])
        assert band["largest"]["deviation"] == pytest.approx(
            np.abs(data["band_deviation"][:, index]).max() / start[index]
        )


def test_every_variable_has_units_a_name_and_named_dimensions(sphere):
    data = stored(sphere)
    assert len(data.variables) == 20
    for name, variable in data.variables.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
        assert set(variable.dims) <= {"record", "mode", "band"}, name
        assert np.isfinite(variable.to_numpy()).all(), name


def test_on_the_training_points_the_prediction_is_that_of_the_run(tmp_path):
    """Without a limit of infinite width the frozen kernel is the one that the run compares with; two outputs."""
    run = runs.deviations(torch_run(tmp_path / "run"))
    data, summary = stored(run), run.info["deviations"]
    assert (summary["points"], summary["kernel"]) == ("train", "at the start")
    assert all(band["samples"] is band["width"] is None for band in summary["bands"])
    assert not {"sampling", "width", "band_sampling", "band_width"} & set(data)
    np.testing.assert_allclose(data["eigenvalue"], run.modes.eigenvalues, rtol=1e-6)
    prediction = xr.open_zarr(run.store, group="prediction", consolidated=False, chunks=None, mask_and_scale=False)
    energy = prediction["band_energy"].to_numpy()
    np.testing.assert_allclose(data["band_predicted"], np.sqrt(energy), rtol=1e-5)
    np.testing.assert_allclose(data["band_measured"], np.sqrt(run.records["band_energy"]), rtol=1e-9)
    np.testing.assert_array_equal(data["deviation"], data["motion"])
    np.testing.assert_allclose(data["band_deviation"], data["band_motion"], rtol=1e-12)
    assert summary["identity_error"] < 1e-8
    assert summary["bands"][0]["deviation"] > 1e-3


def far_point():
    """Training points in [-1, 1], and held-out ones of which one is at 60."""
    x = np.random.default_rng(2).uniform(-1, 1, (30, 1))
    x_test = np.append(x[20:], [[60.0]], axis=0)
    return problems.Problem(x[:20], np.sin(x[:20, 0]), x_test=x_test, y_test=np.clip(x_test[:, 0], -1, 1))


def far_config(**more):
    model = {"encoding": "none", "activation": "softplus"}
    return smooth_config("table", problem={"path": "none", "target": "y"}, model=model, **more)


def test_a_point_too_far_for_the_limit_leaves_the_kernel_at_the_start(tmp_path):
    """The limit is known at the first points, not at the last one."""
    config = far_config(training={"learning_rate": 1e-4, "momentum": 0.0})
    run = runs.execute(config, problem=far_point(), directory=tmp_path / "run")
    known = runs.deviations(run, points="train").info["deviations"]
    assert (known["kernel"], known["bands"][0]["width"] is None) == ("infinite width", False)
    summary = runs.deviations(run, points="held out").info["deviations"]
    assert (summary["kernel"], summary["bands"][0]["width"]) == ("at the start", None)
    assert "width" not in stored(run)
    assert summary["identity_error"] < 1e-9


def test_a_prediction_that_diverges_is_refused_and_leaves_the_run_as_it_is(tmp_path, refuses):
    run = runs.execute(far_config(analysis={"deviations": True}), problem=far_point(), directory=tmp_path / "run")
    assert run.status == "finished"
    assert run.deviations is None
    (warning,) = run.info["warnings"]
    assert warning.startswith("no deviations: the frozen kernel predicts that training diverges")
    assert runs.resume(run.directory).info["warnings"] == [warning]
    with refuses("largest eigenvalue on the points", "the run has 0.4", "smaller learning rate"):
        runs.deviations(run)
    assert runs.deviations(run, points="train").deviations is not None


@pytest.mark.parametrize("points", ["held out", "train"])
def test_classes(points, tmp_path):
    """Several outputs at infinite width: one kernel for all of them."""
    x = np.random.default_rng(1).standard_normal((60, 3))
    y = np.eye(3)[np.argmax(x, axis=1)]
    problem = problems.Problem(x[:40], y[:40], x_test=x[40:], y_test=y[40:], classes=("a", "b", "c"))
    config = smooth_config("table", problem={"path": "none", "target": "y"}, training={"learning_rate": 0.1})
    run = runs.deviations(runs.execute(config, problem=problem, directory=tmp_path / "run"), points=points)
    data, summary = stored(run), run.info["deviations"]
    count = 20 if points == "held out" else 40
    assert (summary["num_points"], summary["num_modes"], summary["kernel"]) == (count, 3 * count, "infinite width")
    assert [band["name"] for band in summary["bands"]] == ["a", "b", "c"]
    assert summary["identity_error"] < 1e-9
    left = data["measured"] - data["predicted"] - data["deviation"]
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), data["identity_error"], atol=1e-12)
    loss = run.records["test_loss" if points == "held out" else "loss"].to_numpy()
    np.testing.assert_allclose(np.sum(data["measured"].to_numpy() ** 2, axis=1) / 2, loss, rtol=1e-9)


def synthetic(problem, bands_of, seed=0):
    """Deviations with random coefficients on the points of a problem."""
    rng = np.random.default_rng(seed)
    m, outputs = problem.num_samples, problem.y.shape[1:]
    size = problem.y.size
    functions = np.linalg.qr(rng.standard_normal((size, size)))[0].reshape(m, *outputs, size) * np.sqrt(m)
    arrays = {name: rng.standard_normal((7, size)) for name in ("coefficients", "propagated", "undamped")}
    parts = {name: np.cumsum(rng.standard_normal((7, size)), axis=0) for name in ("sampling", "width", "motion")}
    found = dynamics.DampedDeviations(
        times=np.arange(7.0),
        steps=np.arange(7),
        eigenvalues=np.ones(size),
        functions=functions,
        **arrays,
        **parts,
        identity_error=np.zeros(7),
        source_sup=np.zeros(7),
        learning_rate=1.0,
        momentum=0.0,
        precision="float64",
        status=dynamics.DeviationsStatus.every_step,
    )
    return found, _deviations.split(found, bands_of(problem))


def by_frequency(problem):
    """A projection on each ring of frequencies, by the Fourier transform and back."""
    edges = spectra.bands(problem).edges
    frequency = np.abs(np.fft.fftfreq(problem.num_samples, 1 / problem.num_samples))
    keep = [(frequency >= low) & (frequency < high) for low, high in itertools.pairwise(edges)]
    return [lambda f, k=k: np.fft.ifft(np.fft.fft(f, axis=1) * k, axis=1).real for k in keep]


def by_class(problem):
    labels = np.argmax(problem.y, axis=1)
    return [lambda f, j=j: f * (labels == j)[None, :, None] for j in range(problem.y.shape[1])]


def of_classes():
    x = np.random.default_rng(1).standard_normal((12, 3))
    return problems.Problem(x, np.eye(3)[np.arange(12) % 3], classes=("a", "b", "c"))


def of_signal():
    return problems.signal(frequencies=(2.0, 5.0), num_samples=24, key=jax.random.key(0))


@pytest.mark.parametrize(("problem", "projections"), [(of_signal, by_frequency), (of_classes, by_class)])
@pytest.mark.parametrize("block", [2**24, 100])
def test_parts_in_bands_are_inner_products_of_projections(problem, projections, block, monkeypatch):
    problem = problem()
    monkeypatch.setattr(_deviations, "BLOCK_VALUES", block)
    found, on = synthetic(problem, spectra.bands)
    m = problem.num_samples
    for index, project in enumerate(projections(problem)):
        inside = {
            name: project(found.expand(getattr(found, name))).reshape(7, -1) / np.sqrt(m)
            for name in ("coefficients", "propagated", "deviation", "sampling", "width", "motion", "undamped")
        }
        length = np.linalg.norm(inside["deviation"], axis=1)
        np.testing.assert_allclose(np.abs(on.deviation[:, index]), length, rtol=1e-12)
        for name, array in (("coefficients", on.measured), ("propagated", on.predicted), ("undamped", on.undamped)):
            np.testing.assert_allclose(array[:, index], np.linalg.norm(inside[name], axis=1), rtol=1e-12)
        sign = np.sign(on.deviation[:, index])
        for part in ("sampling", "width", "motion"):
            expected = sign * np.sum(inside[part] * inside["deviation"], axis=1) / length
            np.testing.assert_allclose(getattr(on, part)[:, index], expected, atol=1e-10)
        turns = np.sum(inside["deviation"][1:] * inside["deviation"][:-1], axis=1) < 0
        np.testing.assert_array_equal(sign[1:] != sign[:-1], turns)
        assert (sign[-1] > 0) == (on.measured[-1, index] >= on.predicted[-1, index])
    np.testing.assert_allclose(on.sampling + on.width + on.motion, on.deviation, atol=1e-10)


def test_a_signal_is_looked_at_between_its_samples():
    config = smooth_config("signal", problem={"frequencies": (2.0, 5.0), "num_samples": 32})
    problem = build_problem(config)
    found = _population.choose(config, problem, build_model(config, problem), "auto")
    assert found.held_out
    assert found.bands.names == spectra.bands(problem).names == ("frequency 2", "frequency 5")


def bent_signal():
    """A signal whose held-out points are no grid."""
    problem = of_signal()
    x = np.linspace(-0.9, 0.9, 11)[:, None] ** 3
    return problems.Problem(problem.x, problem.y, x_test=x, y_test=np.sin(x[:, 0]), grid=problem.grid)


def test_automatic_points_have_the_bands_of_the_run():
    config, problem = smooth_config("signal"), bent_signal()
    model = build_model(config, problem)
    assert not _population.choose(config, problem, model, "auto").held_out
    chosen = _population.choose(config, problem, model, "held out")
    assert chosen.held_out
    assert chosen.bands.names == ("all",)
    constant = problems.Problem(problem.x, problem.y, x_test=problem.x, y_test=0 * problem.y)
    assert not _population.choose(config, constant, model, "auto").held_out


def test_of_many_held_out_points_as_many_are_taken_as_the_kernel_may_have(monkeypatch):
    config = smooth_config(problem={**SPHERE, "num_test": 200})
    problem = build_problem(config)
    model = build_model(config, problem)
    monkeypatch.setattr(_population, "KERNEL_BYTES", 8 * 50 * 90)
    chosen = _population.choose(config, problem, model, "held out")
    assert (chosen.size, chosen.total) == (50, 200)
    rows = np.round(np.linspace(0, 199, 50)).astype(int)
    np.testing.assert_array_equal(chosen.problem.x, problem.x_test[rows])
    np.testing.assert_array_equal(chosen.problem.basis["degree 2"], problem.basis_test["degree 2"][rows])


def test_fewer_modes(sphere, tmp_path):
    """Of the largest modes what is stored is what all of them have there."""
    config = smooth_config()
    run = runs.execute(config, directory=tmp_path / "run")
    runs.deviations(run, num_modes=7)
    some, whole = stored(run), stored(sphere)
    assert run.info["deviations"]["num_modes"] == 7
    assert run.info["deviations"]["share_in_modes"] == pytest.approx(
        float(np.sum(whole["measured"][0, :7] ** 2) / np.sum(whole["measured"][0] ** 2))
    )
    for name in ("eigenvalue", "deviation", "motion"):
        np.testing.assert_allclose(np.abs(some[name]), np.abs(whole[name][..., :7]), atol=1e-9)


def test_the_configuration_asks_for_it_and_a_killed_run_makes_up_for_it(tmp_path):
    config = smooth_config(analysis={"deviations": True})
    assert runs.load_config(_written(tmp_path / "c.toml", config)).analysis.deviations
    run = runs.execute(config, directory=tmp_path / "run")
    summary = run.info["deviations"]
    assert summary["bands"]
    write_json(run.directory / "run.json", {key: value for key, value in run.info.items() if key != "deviations"})
    assert run.deviations is None
    again = runs.resume(run.directory).info["deviations"]
    assert {**again, "seconds": 0} == {**summary, "seconds": 0}


def _written(path, config):
    path.write_text(runs.dump_config(config))
    return path


class Stopping(runs.Progress):
    """Ctrl-C when a phase begins."""

    def __init__(self, at):
        self.at = at

    def phase(self, text):
        if self.at in text:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["Training again", "Splitting"])
def test_stopped_before_the_end_the_earlier_result_stays(at, sphere):
    before = {name: array.to_numpy() for name, array in stored(sphere).items()}, sphere.info
    with pytest.raises(KeyboardInterrupt):
        runs.deviations(sphere, points="train", progress=Stopping(at))
    assert sphere.info == before[1]
    assert all(np.array_equal(stored(sphere)[name], array) for name, array in before[0].items())


def test_half_written_is_no_result(tmp_path, monkeypatch):
    run = runs.deviations(runs.execute(smooth_config(), directory=tmp_path / "run"))

    def stop(group, name, *rest):
        if name == "motion":
            raise KeyboardInterrupt
        put(group, name, *rest)

    put = _deviations.put
    monkeypatch.setattr(_deviations, "put", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.deviations(run, points="train")
    assert (run.store / "deviations").exists()
    assert run.deviations is None
    monkeypatch.undo()
    assert runs.deviations(run, points="train").deviations is not None


def test_runs_without_a_kernel_that_explains_them_are_refused(tmp_path, refuses):
    for training, words in (
        ({"optimizer": "adam", "learning_rate": 1e-3}, ("`adam`", "optimizer `gd`")),
        ({"optimizer": "sgd", "optimizer_options": {"nesterov": True}, "momentum": 0.9}, ("`sgd`",)),
        ({"batch_size": 10}, ("mini-batches of 10", "`batch_size`")),
    ):
        config = smooth_config(training=training)
        name = "".join(words).strip("`").split("`")[0].split()[0]
        run = runs.execute(config, directory=tmp_path / name)
        with refuses(*words):
            runs.deviations(run)
        asked = msgspec.structs.replace(config, analysis=runs.AnalysisConfig(deviations=True))
        with refuses(*words):
            runs.execute(asked, directory=tmp_path / "asked")
        assert not (tmp_path / "asked").exists()


def test_runs_that_did_not_finish_are_refused(tmp_path, refuses):
    with pytest.raises(runs.DivergedError) as caught:
        runs.execute(smooth_config(training={"learning_rate": 50.0}), directory=tmp_path / "diverged")
    with refuses("diverged", "finished"):
        runs.deviations(caught.value.run)
    with pytest.raises(KeyboardInterrupt):
        runs.execute(smooth_config(), directory=tmp_path / "stopped", progress=Stopping("Comparing"))
    with refuses("interrupted", "spectralbias run --resume"):
        runs.deviations(runs.load(tmp_path / "stopped"))


def test_points_and_modes_that_do_not_exist_are_refused(sphere, tmp_path, refuses):
    with refuses("unknown choice of `points`", "held out"):
        runs.deviations(sphere, points="heldout")
    with refuses("`num_modes`", "0"):
        runs.deviations(sphere, num_modes=0)
    with refuses("`num_modes`", "26"):
        runs.deviations(sphere, num_modes=26)
    with refuses("no held-out samples", "`train`"):
        runs.deviations(torch_run(tmp_path / "run"), points="held out")


def test_data_too_large_for_memory_are_refused_before_training(sphere, tmp_path, monkeypatch, refuses):
    monkeypatch.setattr(_population, "PATH_BYTES", 1000)
    with refuses("60 residuals", "`max_samples`"):
        runs.deviations(sphere)
    with refuses("60 residuals"):
        runs.execute(smooth_config(analysis={"deviations": True}), directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_that_does_not_come_out_again_is_refused(tmp_path, refuses):
    run = runs.execute(smooth_config(), directory=tmp_path / "run")
    residual = zarr.open_group(run.store, path="records", mode="r+")["residual"]
    scale = np.sqrt(np.mean(residual[0] ** 2))
    residual[40, 3] += 0.004 * scale
    assert runs.deviations(run).info["deviations"]["replay_difference"] == pytest.approx(0.004)
    before = json.dumps(run.info)
    residual[40, 3] += 0.016 * scale
    with refuses("did not come out again", "2 %", "float64"):
        runs.deviations(run)
    assert json.dumps(run.info) == before
