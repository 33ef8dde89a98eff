"""`spectralbias spectrum` as a user types it."""

import json
import math
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from scipy.integrate import quad

from spectralbias import dynamics, kernels, runs, spectra
from spectralbias.cli import _sphere_spectrum, main
from spectralbias.runs._build import build_model, build_problem

SMALL = ["--width", "32", "--num-samples", "40"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spectrum(capsys):
    """What `spectralbias spectrum …` prints; as data with `--json`."""

    def ask(*arguments):
        assert main(["spectrum", *map(str, arguments)]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in arguments else out

    return ask


def write_tables():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    names = np.where(a > 0, "cat", np.where(b > 0, "dog", "eel"))
    for name, target in (("data", a * b), ("classes", names)):
        rows = [f"{one},{two},{y}" for one, two, y in zip(a, b, target, strict=True)]
        Path(f"{name}.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")


def photo():
    return str(files("sklearn.datasets") / "images" / "china.jpg")


def test_a_kernel_on_the_sphere(spectrum):
    data = spectrum("cao", "--dim", "10", "--max-degree", "8", "--json")
    rows = data["degrees"]
    assert [row["multiplicity"] for row in rows] == [1, 10, 54, 210, 660, 1782, 4290, 9438, 19305]
    assert rows[1]["eigenvalue"] == pytest.approx(3 / 40, rel=1e-13)

    def integrand(t, weight=1.0):
        profile = (3 * t * (math.pi - math.acos(t)) + 2 * math.sqrt(1 - t * t)) / (2 * math.pi)
        return (profile if weight else 1.0) * (1 - t * t) ** 3.5

    mean = quad(integrand, -1, 1)[0] / quad(integrand, -1, 1, args=(0.0,))[0]
    assert rows[0]["eigenvalue"] == pytest.approx(mean, rel=1e-9)
    assert data["trace_check"]["trace"] == pytest.approx(1.5)
    assert [row["degree"] for row in rows if row["eigenvalue"] == 0] == [3, 5, 7]
    assert all(row["steps"] is None for row in rows if row["eigenvalue"] == 0)
    largest = data["largest_eigenvalue"]
    assert data["learning_rate"] == pytest.approx(1 / largest)
    for row in rows[1:5:3]:
        assert (1 - row["eigenvalue"] / largest) ** row["steps"] == pytest.approx(math.exp(-1))
    assert rows[-1]["cumulative_share"] == pytest.approx(sum(row["share"] for row in rows))
    assert data["picture"] == "spectrum-cao.png"
    with Image.open("spectrum-cao.png") as picture:
        assert picture.size == (1400, 600)


def test_text_ends_with_the_path_of_the_picture(spectrum):
    out = spectrum("cao", "--dim", "3", "--max-degree", "20", "--output", "there.svg")
    lines = out.splitlines()
    assert lines[-1] == "there.svg"
    assert Path("there.svg").read_text().startswith("<?xml")
    table = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [row[0] for row in table[:4]] == ["0", "1", "2", "4"]
    assert float(table[1][2]) == 0.25
    text = " ".join(out.split())
    assert "Odd degrees from 3 on have the eigenvalue 0" in text
    assert "degree 1 takes 2 steps" in text


def test_without_a_kernel_it_is_that_of_cao(spectrum):
    assert spectrum("--dim", "3", "--json")["kernel"] == "cao"


@pytest.mark.parametrize(
    ("name", "arguments", "degree_one", "trace"),
    [
        ("arc-cosine-0", [], 1 / 16, 0.5),
        ("arc-cosine-1", [], 1 / 12, 0.5),
        ("bietti-mairal", [], 2 * (1 / 12 + 1 / 12), 2.0),
        ("ntk", ["--depth", "1"], 2 / 3 * (1 / 12 + 1 / 12) * 2, 4 / 3),
        ("bowman", [], None, 3.0),
        ("ntk", ["--depth", "2", "--weight-variance", "1", "--bias-variance", "0.5", "--max-degree", "6"], None, None),
    ],
)
def test_every_kernel(spectrum, name, arguments, degree_one, trace):
    data = spectrum(name, "--dim", "3", *arguments, "--json")
    if degree_one is not None:
        assert data["degrees"][1]["eigenvalue"] == pytest.approx(degree_one, rel=1e-12)
    if trace is not None:
        assert data["trace_check"]["trace"] == pytest.approx(trace)
    assert all(row["eigenvalue"] >= 0 for row in data["degrees"])
    assert data["words"][0].startswith("At the learning rate")


def test_beyond_the_range_of_floats(spectrum):
    out = spectrum("cao", "--dim", "600", "--max-degree", "2000")
    last = next(line for line in out.splitlines() if line.strip().startswith("2,000")).split()
    mantissa, exponent = last[2].split("e")
    assert int(exponent) < -400
    data = spectrum("cao", "--dim", "600", "--max-degree", "2000", "--json")
    row = data["degrees"][2000]
    assert row["eigenvalue"] == 0
    logarithm = int(exponent) + math.log10(float(mantissa))
    assert row["log_eigenvalue"] / math.log(10) == pytest.approx(logarithm, abs=1e-4)
    assert row["steps"] is None
    assert len(out.splitlines()) < 70


def test_what_cannot_be_resolved_is_said():
    spectrum = spectra.sphere_spectrum(lambda t: np.exp(np.asarray(t, float)), 3, 30)
    words = " ".join(_sphere_spectrum._words(spectrum))
    first = int(np.argmax(np.isinf(spectrum.errors)))
    assert f"The degrees from {first} on have eigenvalues that are too small for the precision" in words
    assert "eigenvalue 0" not in words


def test_a_network_on_data(spectrum):
    data = spectrum("signal", "--frequencies", "2", "5", *SMALL, "--dtype", "float64", "--json")
    replace = msgspec.structs.replace
    config = runs.default_config("signal", frequencies=(2.0, 5.0), num_samples=40)
    training = replace(config.training, dtype="float64")
    config = replace(config, model=replace(config.model, width=32), training=training)
    problem = build_problem(config)
    gram = np.asarray(kernels.empirical_ntk(build_model(config, problem), problem.x))
    values, vectors = np.linalg.eigh(gram / 40)
    rows = data["modes"]
    assert len(rows) == 40
    assert [row["eigenvalue"] for row in rows] == pytest.approx(values[::-1], rel=1e-8, abs=1e-12 * values[-1])
    shares = (vectors.T @ problem.y) ** 2 / np.sum(problem.y**2)
    assert [row["share_of_target"] for row in rows] == pytest.approx(shares[::-1], abs=1e-6)
    assert rows[-1]["cumulative_share_of_target"] == pytest.approx(1)
    assert data["trace"] == pytest.approx(np.trace(gram) / 40)
    assert sum(row["share_of_trace"] for row in rows) == pytest.approx(1)
    assert {row["band"] for row in rows} == {"frequency 2", "frequency 5"}
    # The words' time for half of the target, by running the frozen kernel.
    half = next(part for part in data["words"] if "50 % of the target after" in part)
    steps = int(half.split("50 % of the target after ")[1].split(" step")[0].replace(",", ""))
    frozen = dynamics.frozen(gram, -problem.y)
    left = np.mean(frozen.residuals_at([max(steps - 1, 0), steps + 1], 1 / values[-1]) ** 2, axis=1)
    assert left[0] > 0.5 * np.mean(problem.y**2) > left[1]
    with Image.open("spectrum-signal.png") as picture:
        assert picture.size[0] == 1400
        assert picture.size[1] > 1000


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["harmonics", "--dim", "3", "--num-test", "0", *SMALL], "harmonics"),
        (["image", photo(), "--size", "10", "--width", "32", "--color"], "image"),
        (["table", "data.csv", "--target", "y", "--width", "32"], "table"),
        (["table", "classes.csv", "--target", "y", "--width", "32"], "table"),
        (["digits", "--test-fraction", "0.98", "--width", "16"], "digits"),
        (["small.toml", "--width", "32"], "harmonics"),
    ],
)
def test_every_kind_of_data(spectrum, arguments, kind):
    write_tables()
    Path("small.toml").write_text("[problem]\ndim = 2\nnum_samples = 30\ndegrees = [1, 2]\nnum_test = 0\n")
    out = spectrum(*arguments)
    assert out.splitlines()[-1] == f"spectrum-{kind}.png"
    assert "λ_max is" in out
    assert Path(out.splitlines()[-1]).is_file()


def test_the_modes_on_a_sphere_are_named_by_degree(spectrum):
    data = spectrum("harmonics", "--dim", "3", "--num-samples", "300", "--width", "256", "--num-test", "0", "--json")
    assert [row["band"] for row in data["modes"][:9]] == ["degree 0"] + 3 * ["degree 1"] + 5 * ["degree 2"]
    assert all(row["share_in_band"] > 0.5 for row in data["modes"][:9])


def test_a_part_of_the_modes_and_the_density(spectrum):
    arguments = ("table", "data.csv", "--target", "y", "--width", "64", "--dtype", "float64", "--json")
    write_tables()
    whole = spectrum(*arguments)
    data = spectrum(*arguments, "--num-modes", "5", "--method", "lobpcg", "--density")
    assert data["num_modes"] == 5
    assert data["status"] == "truncated"
    assert [row["eigenvalue"] for row in data["modes"]] == pytest.approx(
        [row["eigenvalue"] for row in whole["modes"][:5]], rel=1e-5
    )
    values = np.array([row["eigenvalue"] for row in whole["modes"]])
    assert data["density"]["size"] == len(values) == 40
    assert len(data["density"]["counts_above"]) > 2
    for row in data["density"]["counts_above"]:
        exact = np.sum(values > row["eigenvalue"])
        assert row["count"] == pytest.approx(exact, abs=5 * row["stderr"] + 0.5)


BAD = {
    "unknown kernel": (["coa"], ["coa", "`cao`"]),
    "option of another kernel": (["cao", "--depth", "2"], ["--depth", "`cao`", "`ntk`"]),
    "unknown option": (["ntk", "--dept", "2"], ["dept", "depth"]),
    "one dimension": (["cao", "--dim", "1"], ["dim", "1"]),
    "negative degree": (["cao", "--max-degree", "-1"], ["degree", "-1"]),
    "no layers": (["ntk", "--depth", "0"], ["depth", "0"]),
    "no number": (["cao", "--dim", "ten"], ["dim", "ten"]),
    "unknown activation": (["bowman", "--activation", "rellu"], ["rellu", "relu"]),
    "no such format": (["cao", "--output", "a.gif"], ["a.gif", ".png"]),
    "no such directory": (["cao", "--output", "nowhere/a.png"], ["nowhere", "does not exist"]),
    "a directory": (["cao", "--output", "made.png"], ["made.png", "cannot be written"]),
    "a photo without its kind": (["photo.jpg"], ["photo.jpg", "spectrum image"]),
    "missing photo": (["image", "nothing.jpg"], ["nothing.jpg"]),
    "no target": (["table", "data.csv"], ["target", "spectralbias spectrum"]),
    "too many modes": (["signal", "--frequencies", "2", *SMALL, "--num-modes", "41"], ["num_modes", "40", "41"]),
    "no modes": (["signal", *SMALL, "--num-modes", "0"], ["num_modes", "0"]),
    "unknown method": (["signal", *SMALL, "--method", "qr"], ["method", "qr"]),
    "option of training": (["signal", *SMALL, "--steps", "3"], ["steps"]),
    "missing configuration": (["nothing.toml"], ["nothing.toml"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, capsys):
    arguments, words = BAD[case]
    write_tables()
    Path("made.png").mkdir()
    before = sorted(Path().iterdir())
    assert main(["spectrum", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("spectralbias: error: ")
    assert [word for word in words if word not in line] == [], line
    assert sorted(Path().iterdir()) == before


def test_a_picture_that_the_system_refuses_is_bad_input(monkeypatch, capsys):
    """A full disk, or a directory that only seems to be writable."""

    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("spectralbias.runs._files.write_atomic", refuse)
    assert main(["spectrum", "cao", "--max-degree", "2"]) == 2
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_help(capsys):
    for arguments, words in (
        (["--help"], ["--dim", "--max-degree", "spectrum ntk"]),
        (["ntk", "--help"], ["--depth", "--activation", "--bias-variance"]),
        (["image", "photo.jpg", "--help"], ["--size", "--encoding", "--num-modes", "--density"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["spectrum", *arguments])
        assert not stop.value.code
        out = capsys.readouterr().out
        assert [word for word in words if word not in out] == []
        assert "--learning-rate" not in out
