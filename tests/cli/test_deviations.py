"""`spectralbias deviations` and `run --deviations` as a user types them."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from spectralbias.cli import main

SMALL = ["--width", "32", "--steps", "30", "--num-samples", "40"]
SPHERE = [*SMALL, "--dim", "4", "--num-test", "20"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_verb_says_why_and_writes_the_report_again(capsys):
    assert main(["run", *SPHERE, "--output", "o"]) == 0
    assert "Why training left" not in Path("o/report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["deviations", "o"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().startswith("On held-out points the degree-")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("band", "degree"))] == [
        ["band", "share"],
        ["degree", "1"],
        ["degree", "2"],
        ["degree", "4"],
    ]
    assert "feature learning" in out
    assert out.splitlines()[-1] == "o/report.html"
    assert "step 30/30" in err
    assert "Why training left" in Path("o/report.html").read_text(encoding="utf-8")
    assert Path("o/deviations.png").is_file()


def test_run_does_it_in_one_go_and_json_is_nothing_but_json(capsys):
    assert main(["run", *SPHERE, "--deviations", "--name", "one", "--json"]) == 0
    ran = json.loads(capsys.readouterr().out)
    assert any(paragraph.startswith("On held-out points") for paragraph in ran["verdict"])
    assert main(["deviations", Path(ran["directory"]).name, "--points", "train", "--num-modes", "9", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["why"].startswith("On the training points")
    assert (data["points"], data["num_modes"], data["directory"]) == ("train", 9, ran["directory"])
    assert all(one["samples"] is None and one["width"] is not None for one in data["bands"])


def test_a_table_without_the_parts_that_do_not_exist(capsys):
    options = ["--parameterization", "torch", "--size", "8", "--width", "16", "--steps", "10"]
    photo = str(files("sklearn.datasets") / "images" / "china.jpg")
    assert main(["run", "image", photo, *options, "--output", "o"]) == 0
    capsys.readouterr()
    assert main(["deviations", "o"]) == 0
    titles = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("band"))
    assert titles.split() == ["band", "share", "deviation", "feature", "learning", "without", "damping"]


BAD = {
    "no run": (["deviations"], ["Missing", "run directory"]),
    "unknown run": (["deviations", "nothing"], ["nothing does not exist"]),
    "unknown points": (["deviations", "signal", "--points", "test"], ["test", "held-out"]),
    "unknown option": (["deviations", "signal", "--pionts", "train"], ["pionts", "points"]),
    "no modes": (["deviations", "signal", "--num-modes", "0"], ["num_modes", "0"]),
    "adam": (["deviations", "adam"], ["`adam`", "gradient descent"]),
    "adam in one go": (["run", *SPHERE, "--optimizer", "adam", "--deviations"], ["`adam`"]),
    "batches in one go": (["run", *SPHERE, "--batch-size", "10", "--deviations"], ["mini-batches"]),
    "diverged": (["deviations", "diverged"], ["diverged"]),
    "resumed": (["run", "--resume", "signal", "--deviations"], ["deviations"]),
}


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory):
    """A run that can be explained, and some that cannot."""
    directory = tmp_path_factory.mktemp("runs")
    for name, options in (
        ("signal", []),
        ("adam", ["--optimizer", "adam"]),
        ("diverged", ["--learning-rate", "50"]),
    ):
        main(["run", "signal", "--frequencies", "2", *SMALL, *options, "--output", str(directory / name)])
    return directory


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, small_runs, monkeypatch, capsys):
    arguments, expected = BAD[case]
    monkeypatch.chdir(small_runs)
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in small_runs.rglob("*")}
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("spectralbias: error: ")]
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    assert [word for word in expected if word not in lines[0]] == [], lines[0]
    assert {path: path.stat().st_mtime_ns for path in small_runs.rglob("*")} == before
