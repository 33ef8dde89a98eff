"""A photograph with and without positional encoding: what the plain network misses, the encoded one learns.

`pytest -m slow tests/runs/test_photograph.py`; half a minute for each network.
"""

from importlib.resources import files

import msgspec
import pytest

from spectralbias import report, runs

pytestmark = pytest.mark.slow


def fit(directory, encoding):
    config = runs.default_config("image", path=str(files("sklearn.datasets") / "images" / "china.jpg"))
    config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, encoding=encoding))
    return runs.execute(config, directory=directory)


def test_the_encoding_learns_the_frequencies_that_the_plain_network_misses(tmp_path):
    plain, encoded = fit(tmp_path / "plain", "none"), fit(tmp_path / "encoded", "positional")
    left = {
        name: {band["name"]: band["measured_left"] for band in run.summary["bands"]}
        for name, run in (("plain", plain), ("encoded", encoded))
    }
    assert max(plain.problem.grid.shape) == 64
    for low in ("mean", "frequency 1"):
        assert left["plain"][low] < 0.37
        assert left["encoded"][low] < 0.37
    for high in ("frequency 4-7", "frequency 8-15", "frequency 16-31"):
        assert left["plain"][high] > 0.6, high
        assert left["encoded"][high] < 0.45, high
    for run, name in ((plain, "plain"), (encoded, "encoded")):
        page = " ".join(report.write_report(run).read_text(encoding="utf-8").split())
        for high in ("frequency 8-15", "frequency 16-31"):
            assert high in page
            assert f"{100 * left[name][high]:.0f} %" in page
    page = report.write_comparison([plain, encoded], tmp_path / "comparison.html")
    assert "frequency 16-31" in page.read_text(encoding="utf-8")
