"""`spectralbias regions` and `run --regions` as a user types them."""

import json
from pathlib import Path

import pytest

from spectralbias.cli import main

# As in tests/runs/test_regions.py: what is compiled there is not compiled again.
DATA = ["signal", "--frequencies", "2", "5", "--num-samples", "40"]
NETWORK = ["--encoding", "none", "--width", "8", "--parameterization", "torch", "--bias-std", "0.7"]
ADAM = ["--optimizer", "adam", "--learning-rate", "0.02", "--momentum", "0", "--dtype", "float64"]
PLAIN = [*DATA, *NETWORK, *ADAM, "--steps", "40", "--chunk-steps", "50", "--drift-times", "0"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Runs that the commands are about."""
    directory = tmp_path_factory.mktemp("runs")
    for name, options in (
        ("plain", []),
        ("smooth", ["--activation", "tanh"]),
        ("diverged", ["--optimizer", "gd", "--learning-rate", "9e9"]),
    ):
        main(["run", *PLAIN, *options, "--output", str(directory / name)])
    return directory


@pytest.fixture(autouse=True)
def elsewhere(desk, monkeypatch):
    monkeypatch.chdir(desk)


def test_the_verb_says_what_the_network_can_separate(capsys):
    assert "What the network can separate" not in Path("plain/report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["regions", "plain"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().startswith("At the end ")
    assert "with a positional encoding of 4 frequencies it would be" in " ".join(out.split())
    rows = [line.split() for line in out.splitlines() if line.startswith(("pairs", "neighbors", "distant"))]
    assert [row[:2] for row in rows] == [
        ["pairs", "when"],
        ["neighbors", "start"],
        ["neighbors", "start,"],
        ["neighbors", "end"],
        ["distant", "start"],
        ["distant", "end"],
    ]
    assert out.splitlines()[-1] == "plain/report.html"
    assert "Activation patterns and gradients of 40 samples" in err
    assert "What the network can separate" in Path("plain/report.html").read_text(encoding="utf-8")
    assert Path("plain/regions.png").is_file()


def test_options_and_json_that_is_nothing_but_json(capsys):
    assert main(["regions", "plain", "--window", "5", "--num-pairs", "30", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["separation"].startswith("At the end ")
    assert "samples in one window of 5" in data["separation"]
    assert (data["window"], data["num_pairs"], data["directory"]) == (5, 30, "plain")


def test_run_does_it_in_one_go(capsys):
    assert main(["run", *PLAIN, "--regions", "--output", "one", "--json"]) == 0
    ran = json.loads(capsys.readouterr().out)
    assert any(paragraph.startswith("At the end ") for paragraph in ran["verdict"])


def test_run_without_kinks_warns_and_goes_on(capsys):
    assert main(["run", *PLAIN, "--activation", "tanh", "--regions", "--output", "bent"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "bent/report.html"
    warnings = [line for line in err.splitlines() if line.startswith("warning: no regions:")]
    assert len(warnings) == 1
    assert "tanh" in warnings[0]


BAD = {
    "no run": (["regions"], ["Missing", "run directory"]),
    "unknown run": (["regions", "nothing"], ["nothing does not exist"]),
    "unknown option": (["regions", "plain", "--widnow", "3"], ["widnow", "window"]),
    "a window of one sample": (["regions", "plain", "--window", "1"], ["window", "1"]),
    "a window that is too large": (["regions", "plain", "--window", "41"], ["window", "40", "41"]),
    "no pairs": (["regions", "plain", "--num-pairs", "0"], ["num_pairs", "0"]),
    "without kinks": (["regions", "smooth"], ["tanh", "relu"]),
    "diverged": (["regions", "diverged"], ["diverged"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, desk, capsys):
    arguments, expected = BAD[case]
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in desk.rglob("*")}
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("spectralbias: error: ")]
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    assert [word for word in expected if word not in lines[0]] == [], lines[0]
    assert {path: path.stat().st_mtime_ns for path in desk.rglob("*")} == before
