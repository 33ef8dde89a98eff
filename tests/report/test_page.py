"""What the written page holds, without a browser."""

import re

import numpy as np
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from spectralbias import report, runs
from spectralbias.report import _figure, _pictures, _text
from spectralbias.runs._files import write_json
from spectralbias.runs._store import open_dataset

ALL = ("harmonics", "diverged", "image", "truncated", "signal", "adam", "classes", "explained classes", "corrected")


@pytest.mark.parametrize("name", ALL)
def test_needs_no_network(page, name):
    _, found = page(name)
    loading = {"src", "srcset", "href", "data", "poster", "action", "formaction", "background", "manifest"}
    for tag, attrs in found.elements:
        for key in loading & attrs.keys():
            assert attrs[key].startswith(("data:", "#")), (tag, key, attrs[key][:80])
    styles = "".join(found.texts["style"]) + "".join(attrs.get("style", "") for _, attrs in found.elements)
    assert "@import" not in styles
    assert "url(" not in styles
    assert "http" not in styles
    assert not [tag for tag, _ in found.elements if tag in ("base", "iframe", "object", "embed")]
    ours = [script for script in found.texts["script"] if len(script) < 1e6]
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(", "".join(ours))


@pytest.mark.parametrize("name", ALL)
def test_plotly_is_there_once(page, name):
    _, found = page(name)
    assert found.html.count(get_plotlyjs()[:2000]) == 1
    assert len(found.html) - len(get_plotlyjs()) < 600_000


@pytest.mark.parametrize("name", ALL)
def test_every_figure_says_what_it_shows_and_gives_its_numbers(page, name):
    _, found = page(name)
    keys = [attrs["id"] for attrs in found.all("figure")]
    assert len(keys) >= 7
    assert set(keys) == set(found.figures)
    plots = {attrs["data-figure"]: attrs for _, attrs in found.elements if "data-figure" in attrs}
    labels = [attrs["aria-label"] for _, attrs in found.elements if attrs.get("role") in ("img", "region")]
    assert len(labels) == len(keys)
    assert all(len(label) > 30 and not re.search(r"\bnan\b|None|inf\b", label) for label in labels)
    assert all(attrs["role"] == "img" for attrs in plots.values())
    links = {attrs["data-csv"]: attrs for attrs in found.all("a", class_="csv")}
    assert set(links) == set(keys)
    assert all(attrs["download"] == f"{key}.csv" for key, attrs in links.items())
    assert all(attrs.get("alt") for attrs in found.all("img"))
    for key, figure in found.figures.items():
        assert (figure["plot"] is not None) == (key in plots)
        assert figure["columns"]


def column(page, figure, name):
    """A column as an array; what is not a number was written as null."""
    values = page.figures[figure]["columns"][name]
    return np.array([np.nan if value is None else value for value in values], float)


def finite(values):
    return np.where(np.isfinite(values), values, np.nan)


@pytest.mark.parametrize("name", ALL)
def test_numbers_are_those_of_the_store(page, name):
    run, found = page(name)
    records = run.records
    np.testing.assert_array_equal(column(found, "residuals", "step"), records["step"])
    np.testing.assert_array_equal(column(found, "loss", "training"), finite(records["loss"].to_numpy()))
    if "test_loss" in records:
        np.testing.assert_array_equal(column(found, "loss", "held out"), finite(records["test_loss"].to_numpy()))
    energy = records["band_energy"].to_numpy()
    for index, band in enumerate(records.attrs["band_names"]):
        expected = finite(np.sqrt(energy[:, index] / energy[0, index]))
        np.testing.assert_array_equal(column(found, "residuals", f"{band} measured"), expected)
    np.testing.assert_array_equal(column(found, "spectrum", "eigenvalue"), run.modes.eigenvalues)
    np.testing.assert_array_equal(column(found, "drift", "drift"), finite(run.drift["drift"].to_numpy()))
    shares = records["coefficient"][0].to_numpy() ** 2 / (2 * records["loss"][0].to_numpy())
    np.testing.assert_array_equal(column(found, "energies", "at the start"), shares)


@pytest.mark.parametrize("name", ["harmonics", "signal"])
def test_predictions_are_those_of_the_store(page, name):
    run, found = page(name)
    prediction = open_dataset(run.store, "prediction")
    np.testing.assert_array_equal(column(found, "loss", "training predicted"), prediction["loss"])
    energy = prediction["band_energy"].to_numpy()
    for index, band in enumerate(run.bands.names):
        expected = np.sqrt(energy[:, index] / energy[0, index])
        np.testing.assert_array_equal(column(found, "residuals", f"{band} predicted"), expected)


def test_a_run_without_a_prediction_shows_none(page):
    _, found = page("adam")
    assert not [name for figure in found.figures.values() for name in figure["columns"] if "predicted" in name]
    assert not found.all("button", class_="key")
    assert found.figures["learning-times"]["plot"]["x"]["title"] == "eigenvalue of Θ/n"
    assert found.figures["spectrum"]["plot"]["lines"] == []


def test_a_truncated_spectrum_is_said_to_be_one(page):
    _, found = page("truncated")
    assert "the largest 20 of 240 modes only" in found.html
    assert "Only the largest 20 of 240 eigenvalues were computed" in found.html
    assert "largest residual norm" in found.html


def test_a_complete_spectrum_is_said_to_be_one(page):
    _, found = page("harmonics")
    assert "all 60 modes, by" in found.html


def test_reach_of_the_run_and_stability_limit(page):
    run, found = page("signal")
    lines = found.figures["spectrum"]["plot"]["lines"]
    at = [line["at"] for line in lines]
    rate, beta = run.summary["learning_rate"], run.config.training.momentum
    assert at == pytest.approx([2 * (1 + beta) / rate, (1 - beta) / (rate * 40)])
    # The limit in terms of the eigenvalue is the one in terms of the learning rate.
    assert at[0] / run.modes.eigenvalues[0] == pytest.approx(run.summary["stability_limit"] / rate)


def test_a_diverged_run_says_so(page):
    run, found = page("diverged")
    assert run.status == "diverged"
    assert "The training diverged" in found.html
    assert 'class="warning"' in found.html


def test_pictures_are_the_stored_values(page):
    run, found = page("image")
    sources = [attrs["src"] for attrs in found.all("img")]
    labels = [attrs["alt"] for attrs in found.all("img")]
    assert labels[0] == "the target image"
    assert len(sources) == 2 + len([label for label in labels if label.startswith("the fit")])
    target = column(found, "fit", "target green")
    np.testing.assert_array_equal(target.astype(np.float32), run.problem.y[:, 1].astype(np.float32))
    last = run.records["residual"][-1].to_numpy() + run.problem.y
    shown = column(found, "fit", "fit at step 40 blue")
    np.testing.assert_array_equal(shown.astype(np.float32), last[:, 2].astype(np.float32))


def test_a_picture_survives_the_way_into_the_page():
    import base64
    import io

    values = np.arange(6.0) / 5
    uri = _pictures.data_uri(_pictures.brightness(values, (2, 3)))
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), [[0, 51, 102], [153, 204, 255]])


def test_signed_pictures_are_blue_white_red_and_gray_where_unknown():
    pixels = _pictures.signed(np.array([-2.0, 0.0, 2.0, np.nan]), (1, 4), 2.0)[0]
    assert pixels[0][2] > pixels[0][0]
    assert np.ptp(pixels[1]) == 0
    assert pixels[1][0] > 240
    assert pixels[2][0] > pixels[2][2]
    np.testing.assert_array_equal(pixels[3], [128, 128, 128])


def test_names_cannot_break_out_of_the_page(page):
    _, found = page("classes")
    assert "<b>one" not in found.html.replace("<b>Figure", "")
    assert "</script><b>one measured" in found.figures["residuals"]["columns"]
    assert found.figures["residuals"]["plot"]["traces"][0]["name"].startswith("&lt;/script&gt;")


def test_recognized_shares_are_those_of_the_outputs(page):
    run, found = page("classes")
    right = np.argmax(run.outputs()[-1], axis=1) == np.argmax(run.problem.y, axis=1)
    columns = found.figures["classes"]["columns"]
    counts = np.array(columns["training samples"])
    assert counts.sum() == 60
    assert np.dot(counts, columns["training recognized"]) == pytest.approx(right.sum())
    assert sum(columns["held-out samples"]) == 20
    assert found.figures["accuracy"]["columns"]["all"][-1] == right.mean()


def test_vector_outputs_without_a_test_set(page):
    run, found = page("truncated")
    assert "held out" not in found.figures["loss"]["columns"]
    fit = found.figures["fit"]
    assert len(fit["columns"]["target"]) == run.problem.y.size
    np.testing.assert_allclose(column(found, "fit", "fit at step 40"), run.outputs()[-1].ravel(), rtol=1e-12)


@pytest.mark.parametrize("name", ["harmonics", "image", "adam", "diverged", "classes"])
def test_overview_has_the_size_of_a_papers_figure(page, name):
    run, _ = page(name)
    with Image.open(run.directory / "overview.png") as picture:
        assert picture.size == (1400, 600)


def test_what_repeats_the_run_is_said(page):
    run, found = page("harmonics")
    assert "spectralbias run config.toml" in found.html
    for value in (*run.info["versions"].values(), run.info["device"], "cao2021towards", "learning_rate = 0.25"):
        assert value in found.html


def test_sections_apply_by_what_is_stored(small_run):
    titles = {
        name: {s.title for s in report.SECTIONS if s.applies(report.Evidence(small_run(name)))}
        for name in ("classes", "image")
    }
    assert "What is recognized" in titles["classes"] - titles["image"]
    assert "Target and fit" in titles["image"] - titles["classes"]


def test_a_run_that_has_not_ended_is_refused(small_run, tmp_path, refuses):
    run = small_run("harmonics")
    (tmp_path / "config.toml").write_bytes((run.directory / "config.toml").read_bytes())
    write_json(tmp_path / "run.json", {**run.info, "status": "interrupted", "summary": None})
    stopped = runs.load(tmp_path)
    with refuses("has not ended", "resume"):
        report.write_report(stopped)
    with refuses("has not ended", "resume"):
        report.write_comparison([run, stopped], tmp_path / "page.html")
    assert not (tmp_path / "report.html").exists()


def test_another_place_for_the_page(small_run, tmp_path, refuses):
    run = small_run("harmonics")
    assert report.write_report(run, tmp_path / "page.html").read_bytes()[:15] == b"<!doctype html>"
    with refuses("does not exist"):
        report.write_report(run, tmp_path / "none" / "page.html")


def test_comparison_overlays_runs(small_run, parse, tmp_path, refuses):
    pair = [small_run("signal"), small_run("adam")]
    found = parse(report.write_comparison(pair, tmp_path / "both.html").read_text(encoding="utf-8"))
    for run in pair:
        assert report.verdict(run).headline.split(" by ")[0] in found.html
    name, band = pair[0].directory.name, pair[0].bands.names[0]
    energy = pair[0].records["band_energy"].to_numpy()[:, 0]
    expected = np.sqrt(energy / energy[0])
    np.testing.assert_array_equal(column(found, "residuals", f"{name} {band} measured"), expected)
    assert found.figures["differences"]["columns"]["setting"] == ["training.optimizer", "training.momentum"]
    with refuses("two runs or more"):
        report.write_comparison(pair[:1], tmp_path / "one.html")


def test_comparison_of_pictures(small_run, parse, tmp_path):
    pair = [small_run("image")] * 2
    found = parse(report.write_comparison(pair, tmp_path / "both.html").read_text(encoding="utf-8"))
    assert len(found.all("img")) == 6
    assert "differences" not in found.figures
    assert "image (1) step" in found.figures["residuals"]["columns"]


def test_plain_values_are_json():
    assert _figure.plain(np.array([1.5, np.nan, -np.inf])) == [1.5, None, None]
    assert _figure.plain(np.array([0.1, 1 / 3], np.float32)) == [0.1, 0.33333334]
    assert _figure.plain(["a", "b"]) == ["a", "b"]
    tree = _figure.plain_tree({"a": (np.float64(1), np.inf, np.arange(2)), "b": np.bool_(True)})
    assert tree == {"a": [1.0, None, [0, 1]], "b": True}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (1.0769, "1.08"),
        (1838.4, "1,838"),
        (99.96, "100"),
        (0.00271, "0.00271"),
        (3e-15, "3.00\u00a0×\u00a010⁻¹⁵"),
        (6.392e9, "6.39\u00a0×\u00a010⁹"),
        (np.inf, "∞"),
        (None, "–"),
    ],
)
def test_numbers_in_words(value, text):
    assert _text.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0019, "0.19 %"), (0.754, "75 %"), (0.0, "0 %"), (1.2, "120 %"), (np.nan, "–"), (1.0, "100 %")],
)
def test_percent_in_words(value, text):
    assert _text.percent(value) == text


def test_scatters_are_thinned_evenly():
    kept = _figure.thin(100_000, 5000)
    assert len(kept) == 5000
    assert kept[0] == 0
    assert kept[-1] == 99_999
    np.testing.assert_array_equal(_figure.thin(7), np.arange(7))
