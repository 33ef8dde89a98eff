"""The command line as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from spectralbias.cli import main

SMALL = ["--width", "64", "--steps", "30", "--num-samples", "60"]
SPHERE = [*SMALL, "--dim", "4", "--num-test", "10"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_table(path, rows=60, **columns):
    data = {"a": np.arange(rows) / rows, "b": np.cos(np.arange(rows)), "y": np.sin(np.arange(rows))} | columns
    lines = [",".join(data), *(",".join(str(v) for v in row) for row in zip(*data.values(), strict=True))]
    Path(path).write_text("\n".join(lines) + "\n")


def photo():
    return str(files("sklearn.datasets") / "images" / "china.jpg")


def test_run_ends_with_the_path_of_the_report(capsys):
    assert main(["run", *SPHERE]) == 0
    out, err = capsys.readouterr()
    report = Path(out.splitlines()[-1])
    assert report.is_file()
    assert report.name == "report.html"
    assert out.strip().startswith("The ")
    assert "step 30/30" in err
    assert "step" not in out.splitlines()[-1]


def test_json_is_nothing_but_json(capsys):
    assert main(["run", *SPHERE, "--json", "--output", "there"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["status"] == "finished"
    assert data["steps"] == 30
    assert [band["name"] for band in data["bands"]] == ["degree 1", "degree 2", "degree 4"]
    words = " ".join(Path(data["report"]).read_text(encoding="utf-8").replace("&#39;", "'").split())
    assert data["verdict"][0] in words


@pytest.mark.parametrize(
    "arguments",
    [
        ["signal", "--frequencies", "2", "5", *SMALL],
        ["image", photo(), "--size", "12", "--width", "32", "--steps", "10"],
        ["image", photo(), "--size", "8", "--color", "--width", "32", "--steps", "10"],
        ["image", photo(), "--size", "12", "--width", "32", "--steps", "10", "--encoding", "none"],
        ["table", "data.csv", "--target", "y", "--width", "32", "--steps", "10"],
        ["table", "classes.csv", "--target", "label", "--width", "32", "--steps", "10"],
        ["digits", "--test-fraction", "0.97", "--width", "32", "--steps", "10"],
    ],
)
def test_every_kind_of_data(arguments, capsys):
    write_table("data.csv")
    write_table("classes.csv", label=["cat", "dog", "eel"] * 20)
    assert main(["run", *arguments]) == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]).is_file()


def test_toml_and_options_on_top(capsys):
    Path("c.toml").write_text("[problem]\ndim = 4\nnum_samples = 60\n[model]\nwidth = 64\n[training]\nsteps = 20\n")
    assert main(["run", "c.toml", "--steps", "10", "--output", "o", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 10
    written = Path("o/config.toml").read_text()
    assert "steps = 10" in written
    assert "width = 64" in written


def test_list_report_compare_info(capsys):
    assert main(["list"]) == 0
    assert "no runs" in capsys.readouterr().out
    main(["run", *SPHERE, "--name", "one"])
    main(["run", *SPHERE, "--name", "two", "--seed", "1"])
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"].split("-")[0] for row in rows] == ["one", "two"]
    newer = Path("spectralbias-runs/newer")
    newer.mkdir()
    (newer / "run.json").write_text('{"schema_version": 99}')
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert out.count("finished") == 2
    assert "left out" in err
    assert "newer version" in err
    names = [row["name"] for row in rows]
    (Path("spectralbias-runs") / names[0] / "report.html").unlink()
    assert main(["report", names[0]]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    assert main(["compare", *names]) == 0
    out = capsys.readouterr().out
    assert "degree 4" in out
    assert Path(out.splitlines()[-1]).is_file()
    assert main(["compare", *names, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert main(["info"]) == 0
    assert "jax" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["devices"]


def test_divergence_exits_3_and_keeps_the_report(capsys):
    assert main(["run", *SPHERE, "--learning-rate", "50", "--output", "o"]) == 3
    out, err = capsys.readouterr()
    assert err.index("above the stability limit") < err.index("Training")
    assert out.strip().startswith("The training diverged")
    assert Path("o/report.html").is_file()
    assert json.loads(Path("o/run.json").read_text())["status"] == "diverged"


BAD = {
    "unknown option": (["run", "--widht", "3"], ["widht", "width"]),
    "not a number": (["run", "--width", "abc"], ["width", "abc"]),
    "negative width": (["run", "--width", "-3"], ["width", "-3"]),
    "no steps": (["run", "--steps", "0"], ["steps", "0"]),
    "unknown activation": (["run", "--activation", "rellu"], ["rellu", "relu"]),
    "unknown verb": (["rn"], ["rn", "run"]),
    "unknown kind": (["run", "imge"], ["imge", "image"]),
    "a photo without its kind": (["run", "photo.jpg"], ["photo.jpg", "run image"]),
    "no photo": (["run", "image"], ["path"]),
    "missing photo": (["run", "image", "nothing.jpg"], ["nothing.jpg"]),
    "not a photo": (["run", "image", "text.jpg"], ["text.jpg"]),
    "missing table": (["run", "table", "nothing.csv", "--target", "y"], ["nothing.csv"]),
    "no target": (["run", "table", "data.csv"], ["target", "--target"]),
    "unknown column": (["run", "table", "data.csv", "--target", "yy"], ["yy", "`y`"]),
    "NaN in the target": (["run", "table", "nan.csv", "--target", "y"], ["y", "1"]),
    "text in a feature": (["run", "table", "text.csv", "--target", "y"], ["word", "hello"]),
    "constant target": (["run", "table", "constant.csv", "--target", "z"], ["constant"]),
    "one sample": (["run", "--num-samples", "1"], ["num_samples"]),
    "missing configuration": (["run", "nothing.toml"], ["nothing.toml"]),
    "unknown key": (["run", "typo.toml"], ["widht", "width"]),
    "not a run": (["run", "--resume", "."], ["not a run directory"]),
    "resume with options": (["run", "--resume", ".", "--width", "3"], ["width"]),
    "resume with nothing": (["run", "--resume"], ["resume"]),
    "newer run": (["report", "newer"], ["newer version"]),
    "unknown run": (["report", "nothing"], ["nothing"]),
    "one run to compare": (["compare", "newer"], ["two runs"]),
    "a directory in use": (["run", *SPHERE, "--output", "newer"], ["newer", "not empty"]),
    "learning rate zero": (["run", "--learning-rate", "0"], ["learning_rate"]),
    "too large a batch": (["run", *SPHERE, "--batch-size", "100"], ["batch_size", "60"]),
    "pickle": (["run", "table", "pickle.npy", "--target", "0"], ["pickle.npy"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, capsys):
    arguments, words = BAD[case]
    write_table("data.csv")
    write_table("nan.csv", y=[0.5, "nan"] + [1.5] * 58)
    write_table("text.csv", word=["hello", "there"] * 30)
    write_table("constant.csv", z=[1.5] * 60)
    Path("text.jpg").write_text("not a picture")
    Path("typo.toml").write_text("[model]\nwidht = 3\n")
    Path("newer").mkdir()
    Path("newer/run.json").write_text('{"schema_version": 99}')
    np.save("pickle.npy", np.array([{"a": 1}, {"b": 2}], dtype=object), allow_pickle=True)
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("spectralbias: error: ")]
    assert len(lines) == 1
    assert err.splitlines()[-1] == lines[0]
    assert [word for word in words if word not in lines[0]] == [], lines[0]
    assert sorted(Path().rglob("*")) == before


def spawn(*arguments):
    environment = {key: value for key, value in os.environ.items() if key != "JAX_ENABLE_X64"}
    command = [sys.executable, "-m", "spectralbias", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)


def test_ctrl_c_exits_130_and_the_run_goes_on(capsys):
    # A process that a shell has put into the background ignores Ctrl-C, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = spawn("run", *SPHERE, "--steps", "100000", "--chunk-steps", "20", "--output", "o")
    signal.signal(signal.SIGINT, before)
    log = Path("o/log.jsonl")
    deadline = time.monotonic() + 120
    while not (log.exists() and '"chunk"' in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "spectralbias run --resume o" in err.replace("\n", " ")
    assert "Traceback" not in err
    assert json.loads(Path("o/run.json").read_text())["status"] == "interrupted"
    assert main(["report", "o"]) == 2
    assert "has not ended" in capsys.readouterr().err


def test_help_names_every_option_and_exits_0(capsys):
    assert main(["--help"]) == 0
    assert "spectralbias run" in capsys.readouterr().out
    for arguments, words in (
        (["run", "--help"], ["--width", "--degrees", "--learning-rate", "--resume"]),
        (["run", "image", "--help"], ["--size", "--encoding", "PATH"]),
        (["run", "table", "--help"], ["--target"]),
        (["compare", "--help"], ["--output"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert not stop.value.code
        out = capsys.readouterr().out
        assert [word for word in words if word not in out] == []
