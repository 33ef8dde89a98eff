"""What the network can separate, in figures and sentences."""

import numpy as np
import pytest
from PIL import Image

from spectralbias import regions, report
from spectralbias.report import _region_pictures
from spectralbias.report import _regions_words as words


def pairs(same_region=0.0, of_live=0.03, cosine=0.97):
    return {"same_region": same_region, "of_live": of_live, "mean_abs_cosine": cosine}


def summary(*, start=None, end=None, encoding=None, **rest):
    start, end = start or pairs(), end or pairs()
    return {
        "grid": 2,
        "window": 2,
        "other_class": False,
        "num_pairs": 2000,
        "units": [64, 64],
        "dead": [[0, 0], [0, 0]],
        "antisymmetric": False,
        "neighbors": {"start": start, "end": end},
        "encoding": encoding,
        "half_steps": {"regions": None, "confusion": None},
        "band_kind": "frequency",
        "bands": [],
        **rest,
    }


def band(name, learned, share=0.5):
    return {"name": name, "share": share, "learned_step": learned, "amplitude": 0.9}


def test_neighbors_in_one_region_and_what_an_encoding_would_change():
    other = {"encoding": "positional", "num_frequencies": 8, "instead_of": "none", **pairs(0.04, 0.2, 0.31)}
    said = words.sentence(summary(start=pairs(0.88, 0.01, 0.992), end=pairs(0.91, 0.01, 0.968), encoding=other))
    assert said == (
        "At the end 91 % of neighboring pixels share one region and their gradients are parallel (mean |cos| 0.97): "
        "the network cannot separate them. Before training it was 88 % (mean |cos| 0.99); with a positional encoding "
        "of 8 frequencies it would be 4 % (mean |cos| 0.31). In training neither their regions nor their gradient "
        "confusion changed by a tenth."
    )


def test_where_few_pairs_share_a_region_their_units_are_compared():
    other = {"encoding": "none", "instead_of": "positional", **pairs(0.02, 0.031, 0.98)}
    said = words.sentence(summary(end=pairs(0.0, 0.24, 0.42), start=pairs(0.0, 0.22, 0.7), encoding=other))
    assert "neighboring pixels differ in 24 % of the units and their gradients have little in common" in said
    assert "(mean |cos| 0.42): the network can fit one without the other. Before training it was 22 %" in said
    assert "with no encoding it would be 3.1 % (mean |cos| 0.98)" in said
    assert "a step for one is largely a step for the other." in words.sentence(summary(end=pairs(cosine=0.7)))
    assert "are parallel (mean |cos| 0.97): a step moves both alike." in words.sentence(summary())
    assert "|cos|" not in words.sentence(summary(end=pairs(cosine=None)))


def test_what_was_learned_was_separated_enough():
    together = pairs(same_region=0.8)
    assert "cannot separate them" in words.sentence(summary(end=together, bands=[band("frequency 2", None)]))
    said = words.sentence(summary(end=together, bands=[band("frequency 2", 9.0), band("mean", None, 0.001)]))
    assert "a step moves both alike, which is enough for this target" in said


def test_who_the_neighbors_are():
    assert words.neighbors(summary(grid=1)) == "neighboring samples"
    assert words.neighbors(summary(window=6)) == "pixels in one window of 6 × 6"
    assert words.neighbors(summary(grid=1, window=6)) == "samples in one window of 6"
    assert words.neighbors(summary(grid=0, window=None)) == "nearest samples"
    assert words.neighbors(summary(grid=0, window=None, other_class=True)) == "nearest samples of another class"
    assert words.distant(summary(grid=0, window=None)) == "farthest samples"
    assert words.about_pairs(summary(grid=1)).startswith("2,000 pairs each of neighboring samples and of samples in")


def test_what_came_first():
    bands = [band("frequency 2", 40.2), band("frequency 5", 7.0), band("frequency 20", None), band("mean", 1, 0.001)]
    said = words.sentence(summary(half_steps={"regions": 3.2, "confusion": 11.8}, bands=bands))
    assert said.endswith(
        "Half of the change of their regions was done by step 3, of their confusion by step 12; the frequency 5 part "
        "was learned at step 7, the frequency 2 part at step 40, the frequency 20 part not at all."
    )
    only = words.sentence(summary(half_steps={"regions": 3.2, "confusion": None}, bands=bands[2:3]))
    assert only.endswith("by step 3, their confusion hardly changed; no part of the target was learned.")
    other = words.sentence(summary(half_steps={"regions": None, "confusion": 8.0}, bands=bands[:1]))
    assert other.endswith("by step 8, their regions hardly changed; the frequency 2 part was learned at step 40.")


def test_many_dead_units_are_told():
    assert "70 of the 128 units are dead" in words.sentence(summary(dead=[[0, 0], [60, 10]]))
    assert "dead" not in words.sentence(summary(dead=[[0, 0], [3, 3]]))


def test_how_exact_the_regions_are():
    exact = {"kind": "plane", "counts": [1200, 5000], "tolerance": 0.0, "whole": True}
    text = "1,200 regions at the start, 5,000 at the end, each found exactly"
    assert words.about_window(summary(exact=exact)) == f"{text}."
    part = {**exact, "tolerance": 1e-3, "whole": False, "expected": [2.4e6, 1.2e7]}
    said = words.about_window(summary(exact=part, antisymmetric=True))
    assert said.startswith(
        f"{text}, but for the encoding, which is followed to 0.1 % of its size. At the start the two"
    )
    assert said.endswith(
        "If the rest is alike, the whole has about 2.4\u00a0×\u00a010⁶ to 1.2\u00a0×\u00a010⁷ regions."
    )
    segments = {"kind": "segments", "crossings": [[3.0, 6.5], [20.0, 41.0]], "segments": 200}
    assert "there are on average 6.5 (3 at the start) boundaries of regions" in words.between(summary(exact=segments))
    assert words.between(summary(exact=exact)) == ""


@pytest.fixture
def line(page):
    """A run on a signal with its regions, in numbers and as a page."""
    return page("regions")


@pytest.fixture
def picture(page):
    """The same on a picture."""
    return page("regions of a picture")


def column(found, figure, name):
    return np.array(found.figures[figure]["columns"][name], float)


def test_everything_is_on_one_axis(line):
    run, found = line
    data, plot = run.regions, found.figures["regions"]["plot"]
    np.testing.assert_array_equal(column(found, "regions", "step"), data["step"])
    for which, name in enumerate(("neighbors", "distant")):
        np.testing.assert_allclose(column(found, "regions", f"{name} differ in"), data["hamming_of_live"][:, which])
        np.testing.assert_allclose(column(found, "regions", f"{name} mean |cos|"), data["mean_abs_cosine"][:, which])
    for index, name in enumerate(data.attrs["band_names"]):
        np.testing.assert_allclose(column(found, "regions", f"{name} in the fit"), data["amplitude"][:, index])
    samples = run.problem.num_samples
    np.testing.assert_allclose(column(found, "regions", "distinct patterns per sample"), data["num_distinct"] / samples)
    np.testing.assert_allclose(column(found, "regions", "regions per sample"), data["region_count"] / samples)
    assert plot["stacked"]
    assert len(plot["panels"]) == 5
    assert {trace["panel"] for trace in plot["traces"]} == set(range(5))


def test_densities_at_three_instants(line):
    run, found = line
    data, panels = run.regions, found.figures["confusion"]["plot"]["panels"]
    steps = data["step"].to_numpy()
    middle = (len(steps) - 1) // 2
    assert panels == [f"step {step}" for step in steps[[0, middle, -1]]]
    for title, when in zip(panels, (0, middle, -1), strict=True):
        for which, name in enumerate(("neighbors", "distant")):
            grid, density = regions.cosine_density(data["cosine"][when, which].to_numpy().astype(float), points=201)
            np.testing.assert_allclose(column(found, "confusion", "cosine"), grid)
            np.testing.assert_allclose(column(found, "confusion", f"{name} at {title}"), density)


def test_boundaries_on_the_interval_are_counted(line):
    run, found = line
    for name, when in (("first_breakpoint", "start"), ("breakpoint", "end")):
        places = run.regions[name].to_numpy()
        counts = column(found, "boundaries", f"boundaries at the {when}")
        assert counts.sum() == len(places) > 0
        at = column(found, "boundaries", "place")
        half = (at[1] - at[0]) / 2
        assert [np.sum(np.abs(places - x) < half) for x in at] == counts.tolist()


def test_boundaries_lie_over_their_part_of_the_picture(picture):
    run, found = picture
    evidence = report.Evidence(run)
    pictures = _region_pictures.boundaries(evidence)
    counts = run.info["regions"]["exact"]["counts"]
    assert [one.label for one in pictures[:2]] == [
        f"{counts[0]:,} regions at the start",
        f"{counts[1]:,} regions at the end",
    ]
    assert [one.smooth for one in pictures] == [True, True, False, False]
    pixels = _region_pictures.drawn(evidence, "").astype(int)
    rows, columns = run.problem.grid.shape
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(columns / rows, rel=0.01)
    # In the middle of a long boundary there is its color, and not the gray of the picture.
    ends = run.regions["segment"].to_numpy()
    longest = ends[np.argsort(-np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1))[:10]]
    places = ((longest.mean(axis=1) + 1) / 2 * pixels.shape[:2]).astype(int)
    around = [pixels[r - 1 : r + 2, c - 1 : c + 2].reshape(-1, 3) for r, c in places]
    assert all(np.ptp(one, axis=1).max() > 40 for one in around)
    kept = column(found, "boundaries", "density")
    np.testing.assert_allclose(kept, run.regions["density"])
    (shown,) = (
        attrs for attrs in found.all("div", class_="pictures") if "Boundaries of the linear" in attrs["aria-label"]
    )
    assert f"{counts[1]:,} at the end" in shown["aria-label"]


def test_the_table_of_layers(line):
    run, found = line
    summary, data = run.info["regions"], run.regions
    assert column(found, "region-layers", "units").tolist() == summary["units"]
    for when, index in (("start", 0), ("end", -1)):
        assert column(found, "region-layers", f"dead at the {when}").tolist() == summary["dead"][index]
        expected = data["hamming"][index, 0] / summary["units"]
        np.testing.assert_allclose(column(found, "region-layers", f"neighbors at the {when}"), expected)


@pytest.mark.parametrize("name", ["line", "picture"])
def test_sentence_and_picture_for_a_paper(name, request):
    run, found = request.getfixturevalue(name)
    said = report.separation(run)
    assert said == words.sentence(run.info["regions"])
    assert said in report.verdict(run).paragraphs
    assert said.split(":")[0].replace(" %", "\u202f%") in found.html
    with Image.open(run.directory / "regions.png") as image:
        assert image.size[0] == 1400


def test_a_run_without_regions_has_no_such_section(page):
    run, found = page("harmonics")
    assert "regions" not in found.figures
    assert "What the network can separate" not in found.html
    assert not (run.directory / "regions.png").exists()
    assert report.separation(run) is None
