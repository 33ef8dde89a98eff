"""`spectralbias forecast` as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest

from spectralbias.cli import main
from spectralbias.runs._forecast import errors

SMALL = ["--num-samples", "40", "--width", "64", "--steps", "40", "--frequencies", "1", "3"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_configuration_is_forecast_and_a_run_is_scored(capsys):
    assert main(["forecast", "signal", *SMALL, "--output", "f.html", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert Path("f.html").is_file()
    assert Path("f.png").is_file()
    assert main(["run", "signal", *SMALL, "--output", "o"]) == 0
    capsys.readouterr()
    assert main(["forecast", "o", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    # The forecast of the run does not look at the training.
    for one, other in zip(before["bands"], after["bands"], strict=True):
        assert one["left"] == pytest.approx(other["left"], rel=1e-3)
    assert after["score"]["loss"]["forecast"] == pytest.approx(before["loss"]["last"], rel=1e-3)
    measured = after["score"]["measured"]
    for one, band in zip(measured, after["bands"], strict=True):
        assert one["error"] == pytest.approx(abs(band["learning_step"] / one["learning_step"] - 1))
    assert "Forecast before training" in Path("o/report.html").read_text(encoding="utf-8")


BAD = {
    "no such run": (["forecast", "nothing"], "nothing does not exist"),
    "lamb": (["forecast", "signal", *SMALL, "--optimizer", "lamb"], "`lamb`"),
    "wrong key": (["forecast", "wrong.toml"], "stepz"),
    "no page": (["forecast", "signal", *SMALL, "--output", "f.txt"], ".html"),
    "unknown option": (["forecast", "signal", "--stepz", "4"], "steps"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, capsys):
    Path("wrong.toml").write_text('[problem]\nkind = "signal"\n[training]\nstepz = 4\n')
    arguments, expected = BAD[case]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err.splitlines()[-1]


def test_parts_that_only_one_learned_are_wrong_and_weak_ones_do_not_count():
    measured = np.array([10.0, 20.0, np.inf, np.inf, 5.0])
    expected = np.array([11.0, np.inf, 30.0, 101.0, 50.0])
    found = errors(measured, expected, np.array([0.5, 0.2, 0.2, 0.0999, 0.0001]), 100)
    assert (found["count"], found["compared"], found["missed"], found["censored"]) == (4, 3, 2, 1)
    assert found["median_error"] == 1
    assert found["censored_share"] == pytest.approx(0.0999)
    assert errors(measured[:1], expected[:1], np.ones(1), 100)["median_error"] == pytest.approx(0.1)
