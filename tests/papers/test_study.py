"""The frame of studies: settings, verdicts, what is written, and the statistics that criteria use."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.stats

from spectralbias import papers
from spectralbias.papers import Outcome, _statistics
from spectralbias.papers._catalog import find
from spectralbias.papers._reproduce import reproduce


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_settings_by_name_with_seeds_and_control(refuses):
    study = find("cao-lemma-4-1")
    assert study.settings() == study.fast
    assert study.settings("paper") == study.settings("desktop") == study.paper
    assert study.settings(seeds=3).seeds == (0, 1, 2)
    assert study.settings(seeds=(4, 2)).seeds == (4, 2)
    assert study.settings(control=True).inputs == "anisotropic"
    with refuses("setting", "papr", "paper"):
        study.settings("papr")
    for bad in (0, (), (1, 1), (-1,), (0.5,)):
        with refuses("seeds"):
            study.settings(seeds=bad)
    with refuses("no randomness", "cao-decay-dim"):
        find("cao-decay-dim").settings(seeds=3)
    with refuses("cao-figre-1a", "cao-figure-1a"):
        find("cao-figre-1a")


def test_a_setting_for_a_desktop(refuses):
    study = find("lazzari-signal-hamming")
    plain = dataclasses.replace(study, desktop=study.fast)
    assert plain.settings("desktop", seeds=3) == study.settings("fast", seeds=3) != study.settings("paper", seeds=3)


def test_data_of_the_user(tmp_path, refuses):
    study = find("bowman-effective-rank-lenet")
    assert study.takes_data
    assert study.settings().data == ""
    assert study.settings("paper", data=tmp_path, control=True).data == str(tmp_path)
    assert not find("cao-lemma-4-1").takes_data
    with refuses("cao-lemma-4-1", "needs no data"):
        reproduce("cao-lemma-4-1", data=tmp_path)
    with refuses("nowhere", "no folder or file"):
        reproduce("bowman-effective-rank-lenet", data=tmp_path / "nowhere")
    with refuses("train-images-idx3-ubyte"):
        reproduce("bowman-effective-rank-lenet", data=tmp_path)
    assert not list(tmp_path.iterdir())


def test_few_seeds_settle_nothing():
    assert find("cao-lemma-4-1").run(seeds=3).verdict.outcome is Outcome.inconclusive
    assert Outcome.inconclusive.opposite is Outcome.inconclusive
    assert Outcome.fails.opposite is Outcome.holds


def test_what_is_written(tmp_path, refuses):
    result = reproduce("cao-decay-dim")
    folder = tmp_path / "spectralbias-studies" / "cao-decay-dim-fast"
    assert sorted(path.name for path in folder.iterdir()) == ["figure.png", "numbers.npz", "result.json"]
    said = json.loads((folder / "result.json").read_text())
    assert said["outcome"] == said["expected"] == "does not hold"
    assert said["settings"]["degrees"] == [2, 4, 6]
    assert said["as_expected"] is True
    assert said["versions"]["spectralbias"]
    assert said["sentence"] == result.verdict.sentence
    with np.load(folder / "numbers.npz") as numbers:
        assert sorted(numbers) == sorted(result.numbers)
        assert np.array_equal(numbers["exponents"], result.numbers["exponents"])
    # Again in the same place, and the control beside it.
    reproduce("cao-decay-dim")
    control = reproduce("cao-decay-dim", control=True)
    assert control.as_expected
    assert json.loads((folder.parent / "cao-decay-dim-fast-control" / "result.json").read_text())["control"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    with refuses("mine", "not empty"):
        reproduce("cao-decay-dim", directory="mine")
    with refuses("thesis.tex", "file"):
        reproduce("cao-decay-dim", directory="mine/thesis.tex")
    with refuses("thesis.tex", "file"):
        reproduce("cao-decay-dim", directory="mine/thesis.tex/deep/er")
    with refuses("too long"):
        reproduce("cao-decay-dim", directory="a" * 300)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_page_about_studies(tmp_path, refuses):
    study = find("cao-decay-dim")
    page = papers.write_index([study.run(), study.run(control=True)], tmp_path / "index.html")
    text = page.read_text(encoding="utf-8")
    assert "2 of 2 verdicts are as expected" in text
    assert "the eigenvalues of even degree are Ω(d<sup>−k+1</sup>)." in text
    assert "μ<sub>k</sub> in d are −2.00 (k = 2)" in text
    assert text.count("data:image/png;base64,") == 2
    assert "--control" in text
    for outside in ("http://", "https://", 'src="/', "@import", "url("):
        assert outside not in text
    with refuses("empty"):
        papers.write_index([], tmp_path / "index.html")
    with refuses("nowhere"):
        papers.write_index([study.run()], tmp_path / "nowhere" / "index.html")


def test_interval_is_students():
    values = np.random.default_rng(0).standard_normal(12) + 3
    found = _statistics.interval(values, 0.9)
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert np.allclose((found.low, found.high), (low, high), rtol=1e-10)
    assert _statistics.interval(values[:1]).low == -np.inf


def test_log_slope_finds_the_exponent_of_each_repetition():
    x = np.array([1.0, 3.0, 10.0])
    exponents = np.array([-0.4, -0.5, -0.6])
    found = _statistics.log_slope(x, 2 * x ** exponents[:, None])
    assert found.value == pytest.approx(-0.5)
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3))


def test_votes_and_intervals_as_outcomes():
    vote, within, interval = _statistics.vote, _statistics.within, _statistics.Interval
    assert vote(np.arange(10) < 9) is Outcome.holds
    assert vote(np.arange(10) < 8) is Outcome.inconclusive
    assert vote(np.arange(10) < 5) is Outcome.fails
    assert vote(np.ones(9)) is Outcome.inconclusive
    assert vote(np.arange(10) < 5, np.arange(10) >= 9) is Outcome.inconclusive
    assert vote(np.arange(10) < 4, np.arange(10) >= 9) is Outcome.fails
    assert vote(np.arange(10) < 8, np.arange(10) >= 8) is Outcome.inconclusive
    assert within(interval(0.5, 0.4, 0.6), 0.3, 0.7) is Outcome.holds
    assert within(interval(0.5, 0.4, 0.6), 0.5, 0.7) is Outcome.inconclusive
    assert within(interval(0.5, 0.4, 0.6), 0.61, 0.7) is Outcome.fails
    assert within(interval(0.0, -np.inf, np.inf), -1, 1) is Outcome.inconclusive
    all_of = _statistics.all_of
    assert all_of(Outcome.holds, Outcome.holds) is Outcome.holds
    assert all_of(Outcome.inconclusive, Outcome.fails) is Outcome.fails
    assert all_of(Outcome.inconclusive, Outcome.holds) is Outcome.inconclusive


def test_numbers_do_not_depend_on_the_precision_of_the_user():
    from spectralbias.papers.cao import _training

    small = _training.Experiment(seeds=(), dim=4, num_samples=30, num_test=20, width=16, steps=8)
    for x64 in (True, False):
        _training.learn.cache_clear()
        with jax.enable_x64(x64):
            found = _training.learn(small, 3)
        first = found if x64 else first  # noqa: F821
    for one, two in zip(first, found, strict=True):
        assert np.array_equal(one, two)
