"""Regions and gradient confusion of a run: what is stored, against plain evaluations of the stored networks."""

import json

import jax
import numpy as np
import pytest
import xarray as xr

from small_runs import REGIONS_MODEL, REGIONS_TRAINING, small_config
from spectralbias import models, problems, regions, runs, spectra
from spectralbias.runs import _exact_regions, _region_pairs
from spectralbias.runs._files import write_json
from spectralbias.runs._regions import half_step


def config_of(kind, *, problem=None, model=None, training=None, **rest):
    return small_config(
        kind,
        problem=problem,
        model={**REGIONS_MODEL, **(model or {})},
        training={**REGIONS_TRAINING, **(training or {})},
        **rest,
    )


@pytest.fixture(scope="module")
def signal(tmp_path_factory):
    """A run on a line, whose regions move; it looks at them when it ends, and once more with fewer pairs."""
    config = config_of(
        "signal", problem={"frequencies": (2.0, 5.0), "num_samples": 40}, analysis={"regions": True, "drift_times": 0}
    )
    run = runs.execute(config, directory=tmp_path_factory.mktemp("regions") / "signal")
    return runs.regions(run, num_pairs=50)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A run on an image of 10 × 12 pixels, whose right half is flat."""
    rng = np.random.default_rng(0)
    pixels = np.where(np.arange(12) < 6, rng.uniform(size=(10, 12)), 0.5)
    config = config_of("image", problem={"path": "none"}, training={"steps": 10})
    problem = problems.image(pixels, size=None)
    run = runs.execute(config, problem=problem, directory=tmp_path_factory.mktemp("regions") / "picture")
    return runs.regions(run, num_pairs=40)


def stored(run):
    """The group as any reader of Zarr sees it."""
    return xr.open_zarr(run.store, group="regions", consolidated=False, chunks=None, mask_and_scale=False)


def active(model, x):
    """Which units are active, (n, units) in each layer, by plain products."""
    found = [[] for _ in model.layers[:-1]]
    for copy in (model.layers, model.mirror):
        h = np.asarray(x)
        for layer, seen in zip(copy[:-1], found, strict=True):
            z = layer.weight_scale * h @ np.asarray(layer.weight) + layer.bias_scale * np.asarray(layer.bias)
            seen.append(z > 0)
            h = np.maximum(z, 0)
    return [np.concatenate(seen, axis=1) for seen in found]


def test_patterns_are_those_of_a_plain_evaluation(signal):
    data, problem = stored(signal), signal.problem
    assert data["step"].to_numpy().tolist() == list(signal.snapshot_steps)
    pairs = data["pair"].to_numpy()
    for when, step in enumerate(signal.snapshot_steps):
        layers = active(signal.model(step), problem.x)
        both = np.concatenate(layers, axis=1)
        dead = [~seen.any(axis=0) for seen in layers]
        assert data["dead"][when].to_numpy().tolist() == [int(one.sum()) for one in dead]
        assert int(data["num_distinct"][when]) == len({row.tobytes() for row in both})
        for which, (first, second) in enumerate(pairs.transpose(0, 2, 1)):
            apart = [(seen[first] != seen[second]).sum(axis=1) for seen in layers]
            np.testing.assert_allclose(data["hamming"][when, which], np.mean(apart, axis=1), rtol=1e-12)
            live = both.shape[1] - sum(one.sum() for one in dead)
            np.testing.assert_allclose(data["hamming_of_live"][when, which], np.sum(apart, axis=0).mean() / live)
            assert float(data["same_region"][when, which]) == np.mean(np.sum(apart, axis=0) == 0)
    # It is there to be seen.
    assert data["hamming"].to_numpy()[:, 0].std(axis=0).max() > 0


def test_cosines_are_those_of_explicit_gradients(signal, jacobian):
    data, problem = stored(signal), signal.problem
    for when in (0, len(signal.snapshot_steps) - 1):
        model = signal.model(signal.snapshot_steps[when])
        residual = np.asarray(jax.vmap(model)(problem.x)) - problem.y
        gradients = residual[:, None] * jacobian(model, problem.x)[:, 0]
        units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
        for which, (first, second) in enumerate(data["pair"].to_numpy().transpose(0, 2, 1)):
            expected = np.sum(units[first] * units[second], axis=1)
            np.testing.assert_allclose(data["cosine"][when, which], expected, atol=1e-6)
            np.testing.assert_allclose(data["mean_abs_cosine"][when, which], np.abs(expected).mean(), rtol=1e-5)


def test_amplitudes_are_those_of_the_fourier_transform(signal):
    data, problem = stored(signal), signal.problem
    outputs = [jax.vmap(signal.model(step))(problem.x) for step in signal.snapshot_steps]
    found = spectra.frequency_progress(np.array(outputs), problem.y, (40,))
    assert found.frequencies.tolist() == [2, 5]
    # A band holds what the network makes of the frequencies around, too: the amplitudes at 2 and 5 are not above it.
    assert np.all(found.amplitudes <= data["amplitude"].to_numpy() + 1e-9)
    energy = np.abs(np.fft.rfft(outputs, axis=1)) ** 2
    energy[:, 1:-1] *= 2
    target = np.abs(np.fft.rfft(problem.y)) ** 2
    target[1:-1] *= 2
    for index, ring in enumerate((slice(0, 4), slice(4, None))):
        expected = np.sqrt(energy[:, ring].sum(axis=1) / target[ring].sum())
        np.testing.assert_allclose(data["amplitude"][:, index], expected, rtol=1e-6)


def test_regions_of_the_interval_are_those_of_a_dense_scan(signal):
    data = stored(signal)
    x = np.linspace(-1, 1, 200_001)
    for when, name in ((0, "first_breakpoint"), (-1, "breakpoint")):
        bits = np.packbits(
            np.concatenate(active(signal.model(signal.snapshot_steps[when]), x[:, None]), axis=1), axis=1
        )
        changes = np.flatnonzero((bits[1:] != bits[:-1]).any(axis=1))
        assert int(data["region_count"][when]) == len(changes) + 1
        np.testing.assert_allclose(data[name], x[changes], atol=1.1e-5)
    assert signal.info["regions"]["exact"]["counts"] == data["region_count"].to_numpy()[[0, -1]].tolist()


def test_density_detail_and_error_are_those_around_each_sample(signal):
    data, y = stored(signal), signal.problem.y
    residual = signal.records["residual"][-1].to_numpy()
    places = data["breakpoint"].to_numpy()
    edges = np.linspace(-1, 1, 41)
    for i in range(2, 38):
        around = slice(i - 2, i + 3)
        assert float(data["detail"][i]) == pytest.approx(np.std(y[around]))
        assert float(data["error"][i]) == pytest.approx(np.sqrt(np.mean(residual[around] ** 2)))
        assert int(data["density"][i]) == 1 + np.sum((places > edges[i]) & (places < edges[i + 1]))


def test_the_summary_follows_from_the_arrays(signal):
    data, summary = stored(signal), signal.info["regions"]
    keys = ("grid", "window", "other_class", "num_pairs", "num_samples", "units", "steps")
    assert [summary[key] for key in keys] == [1, 2, False, 50, 40, [16, 16], [0, summary["steps"][1], 40]]
    assert summary["steps"][1] in signal.snapshot_steps
    for which, name in enumerate(("neighbors", "distant")):
        for when, entry in ((0, "start"), (-1, "end")):
            cosines = data["cosine"][when, which].to_numpy().astype(float)
            found = summary[name][entry]
            assert found["share_negative"] == np.mean(cosines < 0)
            assert found["share_parallel"] == np.mean(np.abs(cosines) > 0.9)
            assert found["mean_abs_cosine"] == pytest.approx(float(data["mean_abs_cosine"][when, which]))
            assert found["same_region"] == float(data["same_region"][when, which])
            assert found["hamming"] == pytest.approx(float(data["hamming"][when, which].sum()))
    assert [band["name"] for band in summary["bands"]] == data.attrs["band_names"] == ["frequency 2", "frequency 5"]
    for band, whole in zip(summary["bands"], signal.summary["bands"], strict=True):
        assert band["learned_step"] == whole["measured_step"]
        assert band["share"] == pytest.approx(0.5)


def test_every_variable_has_units_a_name_and_named_dimensions(signal, picture):
    for run, count in ((signal, 17), (picture, 20)):
        data = stored(run)
        assert len(data.variables) == count
        for name, variable in data.variables.items():
            assert variable.attrs["units"], name
            assert variable.attrs["long_name"], name
            weak = name == "amplitude" and run is picture
            assert np.isfinite(variable.to_numpy()).all() != weak, name


def test_the_other_encoding_is_measured_and_not_guessed(signal):
    other = signal.info["regions"]["encoding"]
    assert (other["encoding"], other["num_frequencies"], other["instead_of"]) == ("positional", 4, "none")
    again = config_of("signal", model={"encoding": "positional", "num_frequencies": 4})
    model = runs._build.build_model(again, signal.problem)
    pairs = stored(signal)["pair"][0].to_numpy()
    patterns = regions.activation_patterns(model, signal.problem.x)
    assert other["hamming"] == pytest.approx(regions.hamming_distance(patterns, pairs).mean())
    cosines = regions.gradient_cosine(model, signal.problem.x, signal.problem.y, pairs)
    assert other["mean_abs_cosine"] == pytest.approx(np.abs(cosines).mean(), rel=1e-6)
    assert other["hamming"] > 2 * signal.info["regions"]["neighbors"]["start"]["hamming"]


def test_regions_of_the_plane_fill_the_window(picture):
    data, exact = stored(picture), picture.info["regions"]["exact"]
    assert (exact["kind"], exact["whole"], exact["lower"], exact["upper"]) == ("plane", True, [-1, -1], [1, 1])
    for prefix, when in (("first_", 0), ("", -1)):
        assert float(data[f"{prefix}area"].sum()) == pytest.approx(4, abs=1e-9)
        assert len(data[f"{prefix}area"]) == exact["counts"][when] > 10
        # Across every boundary the pattern changes, in the layer that is named.
        ends, model = data[f"{prefix}segment"].to_numpy(), picture.model(picture.snapshot_steps[when])
        length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        some = np.flatnonzero(length > 1e-2)
        normal = (ends[some, 1] - ends[some, 0])[:, ::-1] * [-1, 1] / length[some, None]
        sides = [active(model, ends[some].mean(axis=1) + sign * 1e-6 * normal) for sign in (-1, 1)]
        changed = np.array([(one != other).any(axis=1) for one, other in zip(*sides, strict=True)])
        layers = data[f"{prefix}segment_layer"].to_numpy()[some]
        assert changed[layers, np.arange(len(some))].all()
    # A pixel meets as many regions as a fine grid in it sees, or more.
    density = data["density"].to_numpy().reshape(10, 12)
    fine = np.stack(
        np.meshgrid(-1 + (np.arange(400) + 0.5) / 200, -1 + (np.arange(480) + 0.5) / 240, indexing="ij"), -1
    )
    bits = np.concatenate(active(picture.model(), fine.reshape(-1, 2)), axis=1)
    numbers = np.unique(np.packbits(bits, axis=1), axis=0, return_inverse=True)[1].reshape(10, 40, 12, 40)
    seen = np.array([[len(np.unique(numbers[i, :, j])) for j in range(12)] for i in range(10)])
    assert (seen <= density).all()
    assert seen.sum() > 0.9 * density.sum()


def test_a_window_where_the_target_varies_most(picture):
    models_ = [picture.model(0), picture.model()]
    total = [_exact_regions.expected_count(model, *_exact_regions._domain(picture.problem)) for model in models_]
    counts = picture.info["regions"]["exact"]["counts"]
    assert np.all(np.abs(np.log(np.array(total) / counts)) < np.log(2))
    data = stored(picture)
    again = runs.regions(picture, num_pairs=40, max_regions=max(counts) // 3)
    exact = again.info["regions"]["exact"]
    assert not exact["whole"]
    assert exact["counts"][1] < counts[1]
    inside = np.isfinite(stored(again)["density"].to_numpy()).reshape(10, 12)
    side = int(inside.any(axis=1).sum())
    assert inside.sum() == side**2 == exact["samples"]
    y = picture.problem.y.reshape(10, 12)
    variances = {(i, j): y[i : i + side, j : j + side].var() for i in range(11 - side) for j in range(13 - side)}
    assert inside[max(variances, key=variances.get)] == inside.ravel()[np.argmax(inside)]
    corner = np.unravel_index(np.argmax(inside), inside.shape)
    assert variances[corner] == max(variances.values())
    assert set(data.variables) == set(stored(again).variables)


def test_elsewhere_neighbors_are_nearest_samples(tmp_path):
    """Three inputs, three classes: boundaries are counted on the way from one sample to the other."""
    x = np.random.default_rng(1).standard_normal((30, 3))
    labels = np.argmax(x, axis=1)
    problem = problems.Problem(x, np.eye(3)[labels], classes=("a", "b", "c"))
    config = config_of("table", problem={"path": "none", "target": "y"}, training={"steps": 5})
    run = runs.regions(runs.execute(config, problem=problem, directory=tmp_path / "run"), num_pairs=40)
    summary, data = run.info["regions"], stored(run)
    assert (summary["window"], summary["other_class"], summary["encoding"], summary["grid"]) == (None, True, None, 0)
    near, far = data["pair"].to_numpy()
    distance = np.linalg.norm(x[:, None] - x, axis=2)
    for i, j in near:
        others = np.sort(distance[i][labels != labels[i]])
        assert labels[i] != labels[j]
        assert distance[i, j] <= others[_region_pairs.NEAREST - 1]
    assert all(distance[i, j] >= np.sort(distance[i])[-_region_pairs.NEAREST] for i, j in far)
    for which, pairs in enumerate((near, far)):
        for index in (0, 7):
            ends = x[pairs[index]]
            way = ends[0] + np.linspace(0, 1, 50_001)[:, None] * (ends[1] - ends[0])
            bits = np.packbits(np.concatenate(active(run.model(), way), axis=1), axis=1)
            assert int(data["crossings"][1, which, index]) == (bits[1:] != bits[:-1]).any(axis=1).sum()
    assert summary["exact"]["crossings"][1][1] == pytest.approx(data["crossings"][1, 1].to_numpy().mean())


def test_half_of_a_change():
    steps = np.array([0, 1, 2, 4, 8])
    assert half_step(steps, np.array([1.0, 1.0, 1.0, 3.0, 3.0])) == pytest.approx(3.0)
    # It counts the largest change, also where it goes back.
    assert half_step(steps, np.array([0.0, -2.0, -6.0, -1.0, 0.0])) == pytest.approx(1.25)
    assert half_step(steps, np.array([1.0, 1.05, 1.09, 1.0, 1.0])) is None
    assert half_step(steps, np.full(5, np.nan)) is None
    assert half_step(steps, np.zeros(5)) is None


def test_without_kinks_there_is_one_error_and_nothing_is_written(tmp_path, refuses):
    config = config_of(
        "signal",
        problem={"num_samples": 16, "frequencies": (2.0,)},
        model={"activation": "tanh"},
        training={"steps": 3},
        analysis={"regions": True},
    )
    run = runs.execute(config, directory=tmp_path / "run")
    assert (run.status, run.regions) == ("finished", None)
    (warning,) = run.info["warnings"]
    assert warning.startswith("no regions: ")
    assert "tanh" in warning
    before = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")}
    with refuses("`tanh`", "relu"):
        runs.regions(run)
    assert runs.resume(run.directory).info["warnings"] == [warning]
    assert {path: path.stat().st_mtime_ns for path in run.directory.rglob("*")} == before


def test_a_run_asks_for_it_once(signal):
    events = [json.loads(line) for line in (signal.directory / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events][-3:] == ["end", "regions", "regions"]
    assert signal.info["warnings"] == []
    before = signal.info["regions"]
    assert runs.resume(signal.directory).info["regions"] == before


def test_what_is_refused(signal, refuses, tmp_path):
    with refuses("`window`", "40", "41"):
        runs.regions(signal, window=41)
    with refuses("`window`", "2", "1"):
        runs.regions(signal, window=1)
    with refuses("`num_pairs`", "3"):
        runs.regions(signal, num_pairs=3)
    with refuses("`max_regions`", "0"):
        runs.regions(signal, max_regions=0)
    for status, words in (("diverged", ("diverged",)), ("running", ("has not ended", "--resume"))):
        path = tmp_path / status
        path.mkdir()
        (path / "config.toml").write_bytes((signal.directory / "config.toml").read_bytes())
        write_json(path / "run.json", {**signal.info, "status": status})
        with refuses(status if status == "diverged" else "running", *words):
            runs.regions(runs.load(path))


def test_an_activation_that_is_bent_behind_a_kink_has_patterns_and_no_exact_regions():
    """The reason is told in place of a count."""
    model = models.MLP(1, "scalar", 4, 2, activation=lambda z: jax.numpy.tanh(jax.nn.relu(z)), key=jax.random.key(0))
    x = np.linspace(-1, 1, 12)[:, None]
    problem = problems.Problem(x, x[:, 0])
    pairs = _region_pairs.choose_pairs(problem, window=2, num_pairs=10)
    found = _exact_regions.exact_regions(
        problem, [model, model], pairs, x[:, 0], (1.0, 1.0), max_regions=100, progress=runs.Progress()
    )
    assert found.arrays == {}
    assert found.summary["kind"] == "none"
    assert "tanh" in found.summary["reason"]


def test_behind_an_encoding_a_pixel_and_a_row_are_looked_at():
    """Where regions are too many for a window, they are counted in one pixel, and along the row that varies most."""
    pixels = np.random.default_rng(3).uniform(size=(6, 8))
    pixels[4] = np.arange(8) % 2
    problem = problems.image(pixels, size=None)
    encoding = models.encodings.PositionalEncoding(2)
    model = models.MLP(2, "scalar", 8, 1, encoding=encoding, parameterization="torch", key=jax.random.key(2))
    pairs = _region_pairs.choose_pairs(problem, window=2, num_pairs=10)
    found = _exact_regions.exact_regions(
        problem, [model, model], pairs, problem.y, (4.0, 4.0), max_regions=10, progress=runs.Progress()
    )
    exact, density = found.summary, found.arrays["density"].values.reshape(6, 8)
    assert (exact["kind"], exact["row"], exact["samples"], exact["tolerance"]) == ("plane", 4, 8, 1e-3)
    np.testing.assert_allclose(np.subtract(exact["upper"], exact["lower"]), [2 / 6, 2 / 8])
    assert np.isfinite(density).sum(axis=1).tolist() == [0, 0, 0, 0, 8, 0]
    layer = model.layers[0]
    across = -1 + 2 * (np.arange(40_000) + 0.5) / 40_000
    row = jax.vmap(encoding)(np.stack([np.full(40_000, -1 + 9 / 6), across], axis=1))
    z = np.asarray(layer(row))
    changes = np.any((z[1:] > 0) != (z[:-1] > 0), axis=1)
    assert exact["row_counts"][1] == 1 + changes.sum() > 8
    each = np.append(changes, False).reshape(8, -1)[:, :-1].sum(axis=1)
    np.testing.assert_array_equal(density[4], 1 + each)


def test_the_entry_is_plain_data(picture):
    text = json.dumps(picture.info["regions"], allow_nan=False)
    assert json.loads(text) == picture.info["regions"]
