import doctest
import importlib

import pytest


@pytest.mark.parametrize("maker", ["digits", "harmonics", "image", "measures", "ridge", "signal", "table"])
def test_the_example_in_the_docstring_runs(maker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(f"spectralbias.problems._{maker}"))
    assert results.attempted > 0
    assert results.failed == 0
