"""`spectralbias hierarchy` as a user types it."""

import json
from pathlib import Path

import pytest

from spectralbias.cli import main

SMALL = ["--steps", "40", "--num-samples", "40", "--dim", "4", "--num-test", "20", "--degrees", "1", "2"]
SMOOTH = ["--architecture", "mlp", "--depth", "1", "--activation", "tanh", "--bias-std", "0.5"]
SPHERE = [*SMALL, *SMOOTH, "--width", "64", "--output-scale", "1", "--learning-rate", "1.5", "--drift-times", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_verb_says_how_much_and_writes_the_report_again(capsys):
    assert main(["run", *SPHERE, "--output", "o"]) == 0
    assert "How much finite width" not in Path("o/report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["hierarchy", "o"]) == 0
    out, err = capsys.readouterr()
    said = " ".join(out.split())
    assert said.startswith("The frozen kernel misses the degree-2 part by up to ")
    assert "Order 4, which also follows the kernel's motion, misses it by " in said
    rows = [line.split() for line in out.splitlines() if line.startswith(("band", "degree"))]
    assert [row[:2] for row in rows] == [["band", "share"], ["degree", "1"], ["degree", "2"]]
    assert int(rows[2][-2]) > 80
    assert out.splitlines()[-1] == "o/report.html"
    assert "Deriving the kernel to order 4 on 60 points" in err
    assert "warning" not in err
    assert "How much finite width" in Path("o/report.html").read_text(encoding="utf-8")
    assert Path("o/hierarchy.png").is_file()


def test_json_is_nothing_but_json(small_runs, monkeypatch, capsys):
    monkeypatch.chdir(small_runs)
    assert main(["hierarchy", "kinks", "--skip-test", "--max-minutes", "9", "--json"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["directory"], data["report"], data["order"]) == ("kinks", "kinks/report.html", 4)
    assert data["finite_width"].startswith("The frozen kernel ")
    assert data["test_loss"] is None
    assert data["has_kinks"]
    assert "warning: the network has kinks (`relu`)" in err
    assert "on 40 points" in err


BAD = {
    "no run": (["hierarchy"], ["Missing", "run directory"]),
    "unknown run": (["hierarchy", "nothing"], ["nothing does not exist"]),
    "unknown option": (["hierarchy", "kinks", "--odrer", "4"], ["odrer", "order"]),
    "order 2": (["hierarchy", "kinks", "--order", "2"], ["order 2 is the frozen kernel"]),
    "order 3": (["hierarchy", "kinks", "--order", "3"], ["antisymmetric"]),
    "order 6": (["hierarchy", "kinks", "--order", "6"], ["up to order 4", "6"]),
    "no number": (["hierarchy", "kinks", "--order", "four"], ["four"]),
    "no time": (["hierarchy", "kinks", "--max-minutes", "0"], ["max_minutes"]),
    "too little time": (["hierarchy", "kinks", "--max-minutes", "1e-9"], ["would take about", "max_minutes"]),
    "adam": (["hierarchy", "adam"], ["`adam`", "gradient descent"]),
    "momentum": (["hierarchy", "momentum"], ["without momentum", "0.9", "`momentum` 0"]),
    "diverged": (["hierarchy", "diverged"], ["diverged"]),
    "several outputs": (["hierarchy", "digits"], ["one output", "10"]),
}


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory):
    """A run that can be corrected, and some that cannot."""
    directory = tmp_path_factory.mktemp("runs")
    for name, options in (
        ("kinks", []),
        ("adam", ["--optimizer", "adam"]),
        ("momentum", ["--momentum", "0.9"]),
        ("diverged", ["--learning-rate", "50"]),
    ):
        main(["run", *SMALL, "--width", "32", *options, "--output", str(directory / name)])
    digits = ["--width", "16", "--steps", "3", "--momentum", "0", "--test-fraction", "0.98"]
    main(["run", "digits", *digits, "--output", str(directory / "digits")])
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
