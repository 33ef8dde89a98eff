import functools
import json
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from PIL import Image

from small_runs import REGIONS_MODEL, REGIONS_TRAINING, small_config
from spectralbias import problems, report, runs

CHANGE = msgspec.structs.replace


def _config(kind, *, model=None, training=None, analysis=None, **problem):
    """The default configuration of that kind, made small."""
    config = runs.default_config(kind, **problem)
    return CHANGE(
        config,
        model=CHANGE(config.model, width=64, **(model or {})),
        training=CHANGE(config.training, steps=40, **(training or {})),
        analysis=CHANGE(config.analysis, drift_times=4, **(analysis or {})),
    )


def _harmonics(directory, **training):
    return _config("harmonics", dim=4, num_samples=60, num_test=30, training=training), None


def _image(directory):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(directory / "picture.png")
    config = _config("image", path=str(directory / "picture.png"), color=True, size="full")
    return config, None


def _classes(directory):
    """Class names that would break a page that does not escape them."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((60, 3)), np.eye(3)[rng.integers(0, 3, 60)]
    names = ("</script><b>one", "two & a half", '"three"')
    problem = problems.Problem(x, y, x_test=x[:20] + 0.1, y_test=y[:20], classes=names)
    return _config("table", path="none.csv", target="y"), problem


def _truncated(directory):
    """Several outputs, no test set, and not all modes."""
    x = np.random.default_rng(3).standard_normal((60, 2))
    y = np.stack([np.sin(x[:, 0]), np.cos(x[:, 1]), x[:, 0] * x[:, 1], x[:, 1]], axis=1)
    return _config("table", path="none.csv", target="y", analysis={"num_modes": 20}), problems.Problem(x, y)


def _explained(made):
    """That run with the reasons why training left the prediction."""
    config, problem = made
    return CHANGE(config, analysis=CHANGE(config.analysis, deviations=True)), problem


def _smooth(directory):
    """A network that the hierarchy describes."""
    model = {"architecture": "mlp", "depth": 1, "activation": "tanh", "bias_std": 0.5, "output_scale": 1.0}
    problem = {"dim": 4, "degrees": (1, 2), "num_samples": 50, "num_test": 20}
    return _config("harmonics", model=model, training={"learning_rate": 1.5}, **problem), None


def _signal_with_regions(directory):
    """A network whose regions move, with all that is said of them."""
    config = small_config(
        "signal",
        problem={"frequencies": (2.0, 5.0), "num_samples": 40},
        model=REGIONS_MODEL,
        training=REGIONS_TRAINING,
        analysis={"regions": True, "drift_times": 0},
    )
    return config, None


def _picture_with_regions(directory):
    """The same on a gray picture."""
    pixels = np.random.default_rng(4).uniform(size=(10, 12))
    config = small_config(
        "image",
        problem={"path": "none"},
        model=REGIONS_MODEL,
        training={**REGIONS_TRAINING, "steps": 10},
        analysis={"regions": True},
    )
    return config, problems.image(pixels, size=None)


MAKERS = {
    "harmonics": _harmonics,
    "diverged": functools.partial(_harmonics, learning_rate=50.0),
    "image": _image,
    "truncated": _truncated,
    "signal": lambda directory: (_config("signal", num_samples=64), None),
    "adam": lambda directory: (
        _config("signal", num_samples=64, training={"optimizer": "adam", "momentum": 0.0}),
        None,
    ),
    "classes": _classes,
    "explained": lambda directory: _explained((_config("signal", num_samples=64), None)),
    "corrected": _smooth,
    "regions": _signal_with_regions,
    "regions of a picture": _picture_with_regions,
    "explained classes": lambda directory: _explained(_classes(directory)),
}


class Page(HTMLParser):
    """What a test asks of a page: its elements with their attributes, and the text inside scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.html, self.elements, self.texts = html, [], {"script": [], "style": []}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag = self.elements[-1][0] if self.elements else ""
        if tag in self.texts:
            self.texts[tag].append(data)

    def all(self, tag, **wanted):
        """Attributes of the elements of that tag that have these attributes."""
        found = [attrs for name, attrs in self.elements if name == tag]
        return [attrs for attrs in found if all(attrs.get(key.rstrip("_")) == value for key, value in wanted.items())]

    @functools.cached_property
    def figures(self):
        """The figures' data; JSON as the standard has it, without NaN."""
        start = self.html.index('<script type="application/json" id="data">') + 42
        text = self.html[start : self.html.index("</script>", start)]

        def refuse(name):
            raise AssertionError(f"{name} is not JSON")

        return json.loads(text, parse_constant=refuse)["figures"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A finished or diverged small run by its name, made when it is first asked for."""

    @functools.cache
    def make(name):
        directory = tmp_path_factory.mktemp(name)
        config, problem = MAKERS[name](directory)
        try:
            run = runs.execute(config, problem=problem, directory=directory / name)
            return runs.hierarchy(run) if name == "corrected" else run
        except runs.DivergedError as error:
            return error.run

    return make


@pytest.fixture
def parse():
    """What reads a page."""
    return Page


@pytest.fixture(scope="session")
def page(small_run):
    """The report of a small run, as a run and a parsed page."""

    @functools.cache
    def make(name):
        run = small_run(name)
        path = report.write_report(run)
        assert path == run.directory / "report.html"
        return run, Page(path.read_text(encoding="utf-8"))

    return make
