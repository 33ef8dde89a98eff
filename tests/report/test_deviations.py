"""Why training left the prediction, in a figure and a sentence."""

import numpy as np
import pytest
from PIL import Image

from spectralbias import report
from spectralbias.report import _deviation_words as words


def band(name="degree 4", *, deviation=0.12, samples=0.03, width=0.0, motion=0.09, change=None, **rest):
    change = deviation if change is None else change
    return {
        "name": name,
        "share": 0.5,
        "measured_left": 0.5 + change,
        "predicted_left": 0.5,
        "deviation": deviation,
        "samples": samples,
        "width": width,
        "motion": motion,
        "undamped": 0.4,
        "largest": {"deviation": deviation, "step": 500},
        **rest,
    }


def summary(*bands, **rest):
    return {
        "points": "held out",
        "num_points": 30,
        "total_points": 30,
        "kernel": "infinite width",
        "band_kind": "degree",
        "identity_error": 1e-4,
        "bands": list(bands),
        **rest,
    }


def test_the_sentence_names_the_band_the_reasons_and_the_damping():
    said = words.sentence(summary(band("degree 1", deviation=0.01), band()))
    assert said == (
        "On held-out points the degree-4 part ends 12 % of its start above what the frozen kernel of infinite width "
        "predicts: 9 % because the kernel moved (feature learning), 3 % from the samples and 0 % from the width; "
        "without damping it would be 40 %."
    )


def test_a_part_that_pushes_back_is_negative_and_comes_by_its_size():
    said = words.sentence(summary(band(deviation=0.053, samples=0.083, width=-0.0304, motion=0.0004, change=-0.05)))
    assert "5.3 % of its start below what" in said
    assert "8.3 % from the samples, −3.0 % from the width and 0 % because the kernel moved" in said


def test_a_deviation_that_leaves_the_size_as_it_is_is_neither_above_nor_below():
    assert "ends 12 % of its start away from what" in words.sentence(summary(band(change=0.01)))


def test_without_damping_it_may_be_many_times_the_start():
    assert "without damping it would be 7.2 times its start" in words.sentence(summary(band(undamped=7.21)))


def test_what_does_not_close_is_told_where_it_counts():
    assert "close" not in words.sentence(summary(band(), identity_error=0.011))
    said = words.sentence(summary(band(), identity_error=0.013))
    assert said.endswith("40 %. The parts close only to 1.3 % of the first residual.")


def test_a_part_that_does_not_exist_is_not_named():
    said = words.sentence(summary(band(samples=None, width=None), points="train", kernel="at the start"))
    assert said.startswith("On the training points the degree-4 part ends 12 %")
    assert (
        "the kernel frozen at initialization predicts: 9 % because the kernel moved (feature learning); without" in said
    )
    about = words.about_points(summary(band(), points="train", kernel="at the start"))
    assert "the samples play no part" in about
    assert "its width is not told apart" in about


def test_no_deviation_and_one_on_the_way():
    still = band("degree 1", deviation=0.004, largest={"deviation": 0.006, "step": 3})
    assert words.sentence(summary(still)) == (
        "On held-out points training ends within 0.4 % of what the frozen kernel of infinite width predicts for it."
    )
    early = band(deviation=0.003, largest={"deviation": 0.371, "step": 37})
    said = words.sentence(summary(still, early))
    assert "for all parts. On the way the degree-4 part was 37 % away, at step 37." in said
    assert "On the way" in words.sentence(summary(band(largest={"deviation": 0.25, "step": 37})))
    assert "On the way" not in words.sentence(summary(band(largest={"deviation": 0.23, "step": 37})))


def test_four_bands_are_shown_with_that_of_the_sentence_and_none_that_holds_nothing():
    shares = (0.0001, 0.3, 0.2, 0.15, 0.1, 0.05, 0.002)
    bands = [band(f"degree {i}", share=share) for i, share in enumerate(shares)]
    assert [b["name"] for b in words.shown(summary(*bands))] == ["degree 1", "degree 2", "degree 3", "degree 4"]
    assert [b["name"] for b in words.shown(summary(*bands[:2]))] == ["degree 1"]
    assert words.shown(summary(bands[0])) == bands[:1]
    bands[5]["deviation"], bands[6]["deviation"] = 0.2, 0.9
    assert [b["name"] for b in words.shown(summary(*bands))] == ["degree 1", "degree 2", "degree 3", "degree 5"]
    assert "the degree-5 part ends 20 %" in words.sentence(summary(*bands))


def test_held_out_points_are_said_to_be_a_sample():
    assert "The 30 held-out points stand for the population; they are a sample, too" in words.about_points(summary())
    assert "30 of the 2,000 held-out points" in words.about_points(summary(total_points=2000))


@pytest.fixture
def explained(page):
    """A run with its deviations, in numbers and as a page."""
    return page("explained")


def column(found, figure, name):
    return np.array(found.figures[figure]["columns"][name], float)


def test_the_figure_shows_what_is_stored(explained):
    run, found = explained
    data, entry = run.deviations, run.info["deviations"]
    names = data.attrs["band_names"]
    assert found.figures["deviations"]["plot"]["panels"] == names
    for index, name in enumerate(names):
        start = float(data["band_measured"][0, index])
        curves = {
            part: column(found, "deviations", f"{name} {part}") for part in ("deviation", "sampling", "width", "motion")
        }
        for part, values in curves.items():
            np.testing.assert_allclose(values, data[f"band_{part}"][:, index].to_numpy() / start)
        np.testing.assert_allclose(curves["sampling"] + curves["width"] + curves["motion"], curves["deviation"])
        assert abs(curves["deviation"][-1]) == pytest.approx(entry["bands"][index]["deviation"])
    traces = found.figures["deviations"]["plot"]["traces"]
    assert [trace["name"] for trace in traces[:4]] == [
        "deviation",
        "too few samples",
        "too little width",
        "feature learning",
    ]
    assert len({(trace["line"]["color"], trace["line"]["dash"]) for trace in traces[:4]}) == 4
    assert [trace["panel"] for trace in traces] == [i for i in range(len(names)) for _ in range(4)]
    assert [trace["showlegend"] for trace in traces] == [True] * 4 + [False] * (len(traces) - 4)


def test_the_alternative_text_has_the_numbers(explained):
    run, found = explained
    (figure,) = (attrs for attrs in found.all("div") if attrs.get("data-figure") == "deviations")
    for one in run.info["deviations"]["bands"]:
        assert f"{one['name']} {words.among(one)}" in figure["aria-label"]
    assert report.why(run).split(" ends ")[0] in found.html
    assert report.why(run) in report.verdict(run).paragraphs


def test_every_mode_is_shown_with_and_without_damping(explained):
    run, found = explained
    data = run.deviations
    first = np.linalg.norm(data["measured"][0])
    rows = column(found, "damping", "mode").astype(int) - 1
    np.testing.assert_array_equal(rows, np.flatnonzero(data["eigenvalue"].to_numpy() > 0))
    for name, key in (("deviation", "deviation"), ("without damping", "undamped")):
        expected = np.abs(data[key][-1].to_numpy()[rows]) / first
        np.testing.assert_allclose(column(found, "damping", name), expected)
    line = found.figures["damping"]["plot"]["lines"][0]
    assert line["at"] == pytest.approx(1 / float(data["time"][-1]))


def test_the_picture_has_the_width_of_a_papers_figure(explained):
    run, _ = explained
    with Image.open(run.directory / "deviations.png") as picture:
        assert picture.size[0] == 1400


def test_a_run_without_deviations_has_no_such_section(small_run, page):
    run, found = page("harmonics")
    assert "deviations" not in found.figures
    assert "Why training left the prediction" not in found.html
    assert not (run.directory / "deviations.png").exists()
    assert report.why(run) is None
