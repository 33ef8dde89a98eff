"""`spectralbias advise` as a user types it."""

import inspect
import json
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from spectralbias import forecast, models, runs
from spectralbias.cli import _advise_input, _advise_recipe, main
from spectralbias.cli._subject import configured, starting_point
from spectralbias.forecast import _recommend
from spectralbias.runs._build import build_model, build_problem

NAMES = ("raw [0, 1]", "positional 3", "gaussian 2")
SIZES = ("--width", "32", "--depth", "1")
T = np.linspace(0, 1, 48, endpoint=False)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def advise(capsys):
    """What `spectralbias advise …` prints; as data with `--json`."""

    def ask(*arguments):
        assert main(["advise", *map(str, arguments)]) == 0
        out = capsys.readouterr().out
        return json.loads(out) if "--json" in arguments else out

    return ask


def chirp():
    return 5 + 3 * np.sin(60 * T**2)


def picture(path="photo.png", size=16):
    rng = np.random.default_rng(0)
    pixels = np.cumsum(np.cumsum(rng.standard_normal((size, size, 3)), axis=0), axis=1)
    pixels = 255 * (pixels - pixels.min()) / np.ptp(pixels)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_a_signal(advise):
    np.save("chirp.npy", chirp())
    data = advise("chirp.npy", "--steps", "200", *SIZES, "--encodings", *NAMES, "--json")
    asked = forecast.recommend_encoding(chirp(), steps=200, width=32, depth=1, encodings=NAMES)
    assert [row["encoding"] for row in data["encodings"]] == [choice.label for choice in asked.table]
    for row, choice in zip(data["encodings"], asked.table, strict=True):
        assert row["held_out_psnr"] == pytest.approx(choice.psnr)
        assert row["train_psnr_at"] == pytest.approx(list(choice.train))
    assert data["pick"] == asked.pick.label
    assert (data["shape"], data["steps"], data["optimizer"]) == ([48], 200, "gd")
    assert data["page"] == "advice-chirp.html"
    assert Path("advice-chirp.html").read_text().startswith("<!doctype html>")
    with Image.open(data["picture"]) as drawn:
        assert drawn.size[0] == 1400


def test_text_ends_with_the_path_of_the_page(advise):
    np.save("chirp.npy", chirp())
    out = advise("chirp.npy", "--steps", "50", *SIZES, "--encodings", *NAMES, "--out", "there.html")
    lines = out.splitlines()
    assert lines[-1] == "there.html"
    assert lines[0].startswith("encoding")
    assert "held out at 50" in lines[0]
    assert sorted(line[:12].strip() for line in lines[1:4]) == sorted(NAMES)
    assert f"Take {lines[1][:12].strip()}: " in out
    assert Path("there.html").exists()
    assert Path("there.png").exists()


def test_without_a_page_nothing_is_written(advise):
    np.save("chirp.npy", chirp())
    data = advise("chirp.npy", "--steps", "5", *SIZES, "--encodings", "positional 2", "--no-page", "--json")
    assert (data["page"], data["picture"]) == (None, None)
    assert [path.name for path in Path().iterdir()] == ["chirp.npy"]


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
@pytest.mark.parametrize(("name", "kind"), [("positional 3", "PositionalEncoding"), ("gaussian 2", "FourierFeatures")])
def test_the_command_and_the_file_make_the_network_of_the_advice(advise, optimizer, name, kind):
    picture()
    options = ("--optimizer", optimizer, "--color", "--steps", "30", *SIZES, "--encodings", name, "--no-page", "--json")
    data = advise("photo.png", *options)
    Path("config.toml").write_text(data["config"])
    config = runs.load_config("config.toml")
    words = shlex.split(data["command"].replace("\\\n", " "))
    assert words[:2] == ["spectralbias", "run"]
    prog, start, rest = starting_point("run", words[2:])
    typed, _ = configured(
        prog, start, rest, sections=("problem", "model", "training", "analysis"), more=[], description=""
    )
    assert typed == config
    assert (config.training.optimizer, config.training.momentum, config.training.steps) == (optimizer, 0.0, 30)
    model = build_model(config, build_problem(config))
    encoding = model.encoding
    assert type(encoding).__name__ == kind
    candidate = forecast.recommend_encoding(
        "photo.png", steps=1, width=32, depth=1, encodings=[name], optimizer=optimizer
    ).pick.encoding
    assert encoding.out_size(2) == candidate.out_size(2)
    if kind == "FourierFeatures":
        assert config.model.scale == 2.0
    twin = models.MLP(
        2, 3, 32, 1, bias_std=0.1, encoding=encoding, antisymmetric=True, key=jax.random.key(0),
        parameterization="ntk" if optimizer == "gd" else "torch",
    )  # fmt: skip
    for one, two in zip(model.layers, twin.layers, strict=True):
        assert (one.weight.shape, one.weight_scale) == (two.weight.shape, two.weight_scale)
        assert (one.bias is None) == (two.bias is None)


@pytest.mark.parametrize("source", ["chirp.csv", "chirp.npy", "photo.png", "photo.npy"])
def test_the_program_runs(advise, source):
    if source == "chirp.csv":
        Path(source).write_text("\n".join(["height", *map(str, chirp())]))
    elif source == "chirp.npy":
        np.save(source, chirp())
    else:
        picture()
        np.save("photo.npy", np.asarray(Image.open("photo.png")))
    names = {"chirp.csv": "positional 2", "chirp.npy": "gaussian 1"}.get(source, "raw [0, 1]")
    optimizer = "gd" if "chirp" in source else "adam"
    setting = ("--steps", "7", *SIZES, "--optimizer", optimizer, "--encodings", names)
    data = advise(source, *setting, "--no-page", "--json")
    assert (data["command"], data["config"]) == (None, None)
    found = {}
    exec(data["python"], found)
    assert found["run"].steps[-1] == 7
    assert found["run"].loss[-1] < found["run"].loss[0]
    assert len(found["y"]) == (48 if "chirp" in source else 256)


def test_numbers_in_text():
    for name, text, shape in (
        ("plain.csv", "1\n2\n3\n", (3,)),
        ("titled.csv", "\ufeffa\n1\n2\n", (2,)),
        ("row.csv", "1,2,3,4\n", (4,)),
        ("picture.tsv", "1\t2\n3\t4\n5\t6\n", (3, 2)),
        ("blanks.txt", " 1  2\n 3  4\n", (2, 2)),
    ):
        Path(name).write_text(text, encoding="utf-8")
        array = _advise_input.read(Path(name))
        assert array.shape == shape, name
        assert array.ravel()[0] == 1


@pytest.fixture
def files():
    np.save("sine.npy", np.sin(10 * T))
    np.save("nan.npy", np.where(T == 0.5, np.nan, T))
    np.save("constant.npy", np.ones(48))
    np.save("complex.npy", T + 1j)
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    Image.new("RGB", (1, 1)).save("pixel.png")
    Image.new("RGB", (16, 16), (9, 9, 9)).save("color.png")
    Path("words.csv").write_text("a,b\n1,2\n3,x\n")
    Path("bad.png").write_text("no picture")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "`path` is missing"),
        (["nowhere.jpg"], "there is no file"),
        (["pixel.png"], "1 x 1 pixels"),
        (["color.png"], "single color"),
        (["bad.png"], "not an image"),
        (["sine.npy", "--steps", "0"], "`steps` must be whole and at least 1, got 0"),
        (["sine.npy", "--encodings", "positionel 4"], "unknown encoding"),
        (["sine.npy", "--optimizer", "sgd"], "'gd', 'adam'"),
        (["sine.npy", "--out", "page.pdf"], "must end in .html"),
        (["sine.npy", "--out", "nowhere/page.html"], "does not exist"),
        (["sine.npy", "--stepz", "3"], "did you mean `steps`"),
        (["nan.npy"], "not finite"),
        (["constant.npy"], "constant"),
        (["complex.npy"], "real numbers"),
        (["objects.npy"], "cannot read"),
        (["words.csv"], "cannot read"),
    ],
)
def test_bad_input_is_one_line_and_code_2(capsys, arguments, words):
    before = set(Path().iterdir())
    assert main(["advise", *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("spectralbias: error: ")
    assert words in error
    assert set(Path().iterdir()) == before


def test_the_setting_is_that_of_the_recommendation():
    defaults = inspect.signature(forecast.recommend_encoding).parameters
    assert defaults["bias_std"].default == _advise_recipe.BIAS_STD
    assert defaults["activation"].default == runs.default_config("image", path="x").model.activation
    assert _recommend.ADAM_RATE == _advise_recipe.ADAM_RATE
