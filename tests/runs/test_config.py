import pytest

from spectralbias import runs
from spectralbias._core.errors import InputError

KINDS = {
    "harmonics": {},
    "signal": {},
    "image": {"path": "photo.jpg"},
    "table": {"path": "data.csv", "target": "y"},
    "digits": {},
}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_toml_holds_everything(tmp_path, kind, quick):
    config = runs.default_config(kind, quick=quick, **KINDS[kind])
    path = tmp_path / "config.toml"
    path.write_text(runs.dump_config(config))
    assert runs.load_config(path) == config


def test_what_a_file_leaves_out_takes_the_default_of_its_kind(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[problem]\nkind = "signal"\nfrequencies = [2, 3.5]\n[model]\nwidth = 7\n')
    config = runs.load_config(path)
    default = runs.default_config("signal")
    assert config.problem.frequencies == (2.0, 3.5)
    assert config.model.width == 7
    assert config.model.output_scale == default.model.output_scale
    assert config.training == default.training


def test_default_is_the_experiment_of_the_paper():
    config = runs.default_config()
    assert (config.problem.dim, config.problem.num_samples, config.model.width) == (10, 1000, 4096)
    assert config.problem.degrees == (1, 2, 4)
    assert config.model.antisymmetric
    # c = η θ² of the paper is 4
    assert config.training.learning_rate * config.model.output_scale**2 == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[model]\nwidht = 3", ["widht", "width"]),
        ("[mdoel]\nwidth = 3", ["mdoel", "model"]),
        ("[model]\nwidth = -3", ["width", "-3"]),
        ('[model]\nwidth = "a"', ["int", "model.width"]),
        ('[model]\nactivation = "rellu"', ["rellu"]),
        ('[model]\narchitecture = "cao"\ndepth = 3', ["cao", "depth 3"]),
        ("model = 3", ["model", "section"]),
        ('[problem]\nkind = "imag"', ["imag", "image"]),
        ('[problem]\nkind = "image"', ["path", "missing"]),
        ("[training]\nlearning_rate = 0.0", ["learning_rate", "positive"]),
        ('[training]\nlearning_rate = "fast"', ["learning_rate", "fast"]),
        ("[training]\nmomentum = 1.0", ["momentum", "below 1"]),
        ("[training]\nsteps = 0", ["steps", "0"]),
        ("seed = -1", ["seed"]),
        ('name = "../up"', ["name", "../up"]),
        ("[model\nwidth = 3", ["not valid TOML"]),
    ],
)
def test_bad_files_are_refused(tmp_path, text, words):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        runs.load_config(path)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.toml"):
        runs.load_config(tmp_path / "nothing.toml")
