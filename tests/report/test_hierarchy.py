"""How much finite width matters, in figures, a table and a few sentences."""

import numpy as np
import pytest
from PIL import Image

from spectralbias import report
from spectralbias.report import _hierarchy_words as words


def errors(frozen=0.22, corrected=0.011, correction=0.21):
    explained = None if corrected is None else 1 - corrected / frozen
    return {
        "frozen_error": frozen,
        "at_step": 300,
        "corrected_error": corrected,
        "correction": correction,
        "explained": explained,
    }


def band(name="degree 4", *sizes, early=None, share=0.5, **rest):
    return {
        "name": name,
        "share": share,
        "corrected_left": 0.3,
        **errors(*sizes),
        "until_valid": None if early is None else errors(*early),
        **rest,
    }


def summary(*bands, **rest):
    return {
        "order": 4,
        "status": "valid",
        "valid_until": 500,
        "has_kinks": False,
        "activation": "tanh",
        "dtype": "float32",
        "band_kind": "degree",
        "bands": list(bands),
        **rest,
    }


def test_the_sentence_names_the_band_the_gap_what_is_explained_and_what_follows():
    said = words.sentence(summary(band("degree 1", 0.01, 0.009), band()))
    assert said == (
        "The frozen kernel misses the degree-4 part by up to 22 % of its start. Order 4, which also follows the "
        "kernel's motion, misses it by 1.1 %: it explains 95 % of the gap. So the gap is an effect of finite width, "
        "known before training: for such networks use order 4 in place of the frozen kernel."
    )


def test_no_gap():
    said = words.sentence(summary(band("degree 1", 0.004, 0.0001), band("degree 2", 0.0031, 0.0002)))
    assert said == (
        "The frozen kernel is within 0.4 % of all parts, and order 4 within 0.02 %: it is all that is needed here."
    )
    weak = band("degree 3", 0.5, 0.01, share=0.009)
    assert "of all strong parts" in words.sentence(summary(band("degree 1", 0.004, 0.0001), weak))
    assert "of the target, and" in words.sentence(summary(band("all", 0.004, 0.0001), band_kind="all"))
    # A gap that cannot be told from rounding.
    assert words.sentence(summary(band(explained=None))).startswith("The frozen kernel is within 22 %")


@pytest.mark.parametrize(
    ("left", "settings", "expected"),
    [
        (0.05, {}, "explains 77 % of the gap. What is left is of higher order, and falls with the square of the width"),
        (0.2, {}, "explains 9.1 % of the gap. This training is too far from lazy for it: use it where width ×"),
        (0.25, {}, "Order 4 is no nearer: it misses it by 25 %. This training is too far from lazy"),
        (0.2199, {}, "Order 4 is no nearer: it misses it by 22 %."),
        (0.01, {"has_kinks": True, "activation": "relu"}, "kinks of `relu`, which matter little here; in wider"),
        (0.08, {"has_kinks": True, "activation": "relu"}, "kinks of `relu`, which are in what is left."),
        (0.2, {"has_kinks": True, "activation": "relu"}, "the kinks of `relu`: use it for smooth activations"),
    ],
)
def test_advice_follows_from_what_is_explained(left, settings, expected):
    assert expected in words.sentence(summary(band("degree 4", 0.22, left), **settings))


def test_a_correction_that_is_none_has_another_reason():
    small = band("degree 4", 0.22, 0.2, 0.02)
    assert words.sentence(summary(small)).endswith(
        "It hardly differs from the frozen kernel, so that the reason is not the kernel's motion, but may be rounding, "
        "which dtype `float64` makes smaller."
    )
    assert words.sentence(summary(small, dtype="float64")).endswith("is not the kernel's motion.")


LOST = {"status": "lost_definiteness", "valid_until": 64}


def test_lost_definiteness_that_does_no_harm():
    said = words.sentence(summary(band(early=(0.02, 0.0001)), **LOST))
    assert "explains 95 % of the gap. So the gap is an effect of finite width. Without a run to compare with" in said
    assert said.endswith(
        "trust it up to step 64: after that its kernel has a negative eigenvalue, by which some of the residual grows."
    )


def test_lost_definiteness_that_does():
    said = words.sentence(summary(band("degree 4", 0.22, 0.6, early=(0.02, 0.0004)), **LOST))
    assert said == (
        "Up to step 64 the frozen kernel misses the degree-4 part by up to 2 % of its start. Order 4, which also "
        "follows the kernel's motion, misses it by 0.04 %: it explains 98 % of the gap. After that its kernel has a "
        "negative eigenvalue, and it misses the same part by up to 60 %, the frozen kernel by 22 %: it is not to be "
        "believed."
    )
    said = words.sentence(summary(band("degree 4", 0.22, 0.6, early=(0.002, 0.0004)), **LOST))
    assert said.startswith(
        "Up to step 64 the frozen kernel is within 0.2 % of the degree-4 part, and order 4 within 0.04 %. After that"
    )
    small = words.sentence(summary(band("degree 4", 0.002, 0.01, early=(0.001, 0.0004)), **LOST))
    assert "it is all that is needed here. After step 64 order 4 is not to be believed: its kernel has a neg" in small


def test_what_stopped():
    stopped = {"status": "stopped", "valid_until": 64}
    said = words.sentence(summary(band("degree 4", 0.22, None, None, early=(0.02, 0.0004)), **stopped))
    assert said.endswith("explains 98 % of the gap. After that it diverges: it is not to be believed.")
    small = words.sentence(summary(band("degree 4", 0.002, None, None, early=(0.001, 0.0004)), **stopped))
    assert small.startswith("The frozen kernel is within 0.2 % of the degree-4 part: it is all that is needed here. ")
    never = words.sentence(
        summary(band("degree 4", 0.22, None, None, early=(1e-9, 1e-9)), **{**LOST, "valid_until": 0})
    )
    assert never == (
        "The frozen kernel misses the degree-4 part by up to 22 % of its start. Order 4 says nothing of it, for its "
        "kernel has a negative eigenvalue from the beginning. This training is too far from lazy for it: use it where "
        "width × output_scale² is larger."
    )


def test_four_bands_are_shown_and_that_of_the_sentence():
    shares = (0.02, 0.3, 0.2, 0.15, 0.1, 0.05)
    bands = [band(f"degree {i}", 0.1 if i else 0.2, 0.01, share=share) for i, share in enumerate(shares)]
    assert [b["name"] for b in words.shown(summary(*bands))] == ["degree 0", "degree 1", "degree 2", "degree 3"]
    weak = [band("degree 1", share=0.9), band("degree 2", share=0.0001)]
    assert words.shown(summary(*weak)) == weak[:1]


def test_what_is_explained_of_a_gap_that_is_none_is_not_said():
    assert words.explained(band()) == "95 %"
    assert words.explained(band("degree 4", 0.22, 0.3)) == "nothing"
    assert words.explained(band("degree 4", 0.004, 0.001)) == "–"
    assert words.explained(band("degree 4", 0.22, None, None)) == "–"


@pytest.fixture
def corrected(page):
    """A run with its hierarchy, in numbers and as a page."""
    return page("corrected")


def column(found, figure, name):
    return np.array(found.figures[figure]["columns"][name], float)


def test_the_figure_shows_what_is_stored(corrected):
    run, found = corrected
    data, entry = run.hierarchy, run.info["hierarchy"]
    names = data.attrs["band_names"]
    assert found.figures["hierarchy"]["plot"]["panels"] == names
    for index, name in enumerate(names):
        start = float(run.records["band_energy"][0, index]) ** 0.5
        for key, title in (("frozen_error", "frozen kernel"), ("corrected_error", "order 4")):
            values = column(found, "hierarchy", f"{name} {title}")
            np.testing.assert_allclose(values, data[f"band_{key}"][:, index].to_numpy() / start)
            assert values.max() == pytest.approx(entry["bands"][index][key])
    traces = found.figures["hierarchy"]["plot"]["traces"]
    assert [trace["name"] for trace in traces] == ["frozen kernel", "order 4"] * len(names)
    assert len({(trace["line"]["color"], trace["line"]["dash"]) for trace in traces}) == 2
    assert [trace["showlegend"] for trace in traces] == [True, True] + [False] * (len(traces) - 2)
    assert found.figures["hierarchy"]["plot"]["lines"] == []


def test_every_mode_has_both_predictions(corrected):
    run, found = corrected
    rows = column(found, "hierarchy-modes", "mode").astype(int) - 1
    measured, predicted = run.records["coefficient"].to_numpy(), run.hierarchy["coefficient"].to_numpy()
    steps = run.records["step"].to_numpy()
    for place, row in enumerate(rows):
        when = []
        for coefficients in (measured[:, row], predicted[:, row]):
            size = np.log(np.abs(coefficients / coefficients[0]))
            when.append(np.interp(1.0, -size, steps))
        error = column(found, "hierarchy-modes", "order 4")[place]
        assert error == pytest.approx((when[0] - when[1]) / max(when[1], 1.0), abs=1e-6)
    shares = measured[0] ** 2 / np.mean(run.records["residual"][0].to_numpy() ** 2)
    assert (shares[rows] >= 0.001).all()
    assert len(rows) >= 3
    np.testing.assert_allclose(column(found, "hierarchy-modes", "share"), shares[rows], rtol=1e-5)


def test_the_alternative_texts_have_the_numbers(corrected):
    run, found = corrected
    entry = run.info["hierarchy"]
    (figure,) = (attrs for attrs in found.all("div") if attrs.get("data-figure") == "hierarchy")
    for one in entry["bands"]:
        assert f"{one['name']} {words.errors(one, 4)}" in figure["aria-label"]
    (modes,) = (attrs for attrs in found.all("div") if attrs.get("data-figure") == "hierarchy-modes")
    strong = entry["modes"]["strong"]
    assert f"predicted {strong['frozen']['within_10_percent']} within 10 %" in modes["aria-label"]
    assert report.finite_width(run).split(" of its start")[0] in found.html.replace("\u202f%", " %")
    assert report.finite_width(run) in report.verdict(run).paragraphs


def test_the_table_has_every_band(corrected):
    run, found = corrected
    for band, name in zip(run.info["hierarchy"]["bands"], run.hierarchy.attrs["band_names"], strict=True):
        assert name in found.figures["hierarchy-bands"]["columns"]["band"]
        assert band["explained"] in found.figures["hierarchy-bands"]["columns"]["explained"]
    assert "Held-out loss at the end: measured" in found.html


def test_the_picture_has_the_width_of_a_papers_figure(corrected):
    run, _ = corrected
    with Image.open(run.directory / "hierarchy.png") as picture:
        assert picture.size[0] == 1400


def test_a_run_without_a_hierarchy_has_no_such_section(page):
    run, found = page("harmonics")
    assert "hierarchy" not in found.figures
    assert "How much finite width matters" not in found.html
    assert not (run.directory / "hierarchy.png").exists()
    assert report.finite_width(run) is None


@pytest.mark.parametrize("until", [0, 10])
def test_what_diverges_is_cut_and_said(small_run, until, monkeypatch):
    """The figures of a prediction that explodes after some steps, and then is none."""
    from spectralbias.report import _hierarchy as figures

    run = small_run("corrected")
    evidence, entry = report.Evidence(run), run.info["hierarchy"]
    data = evidence.hierarchy.load().copy(deep=True)
    late = data["step"].to_numpy() > until
    data["band_corrected_error"].to_numpy()[late] = 1e100
    data["band_corrected_error"].to_numpy()[-1] = np.nan
    data["coefficient"].to_numpy()[late] = np.nan
    entry |= {"status": "lost_definiteness", "valid_until": until}
    for one in entry["bands"]:
        one |= {"corrected_error": None, "explained": None, "corrected_left": None, "corrected_step": None}
    monkeypatch.setitem(evidence.__dict__, "hierarchy", data)
    monkeypatch.setitem(evidence.info, "hierarchy", entry)
    found = figures.gaps(evidence)
    for name in data.attrs["band_names"]:
        np.testing.assert_array_equal(np.isfinite(found.columns[f"{name} order 4"]), ~late)
    assert found.plot.lines[0]["at"] == max(until, 0.4)
    assert f"at step {until}, order 4 has a kernel with a negative eigenvalue" in found.caption
    assert "it is not drawn" in found.caption
    seen = figures.modes(evidence)
    assert seen is None or "would not have fallen within this run" in seen.caption
    assert figures.table(evidence).table.rows[0][3] == "–"
