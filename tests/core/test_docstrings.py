"""The examples in the docstrings run, as a user runs them: in float32 and without checks of annotations."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import jax
import pytest

ROOMS = ("_core", "problems", "models", "kernels", "spectra", "dynamics", "regions", "forecast", "report", "papers")
MODULES = [
    f"spectralbias.{room}.{module.name}"
    for room in ROOMS
    for module in pkgutil.iter_modules(importlib.import_module(f"spectralbias.{room}").__path__)
]
ADAPTERS = {"spectralbias.models._flax": "flax", "spectralbias.models._torch": "torch"}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, annotations_unchecked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    if name in ADAPTERS:
        pytest.importorskip(ADAPTERS[name])
    with annotations_unchecked(), jax.enable_x64(False):
        results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


@pytest.mark.parametrize("room", ROOMS[1:])
def test_every_public_name_is_there_and_documented(room):
    package = importlib.import_module(f"spectralbias.{room}")
    stub = ast.parse(Path(package.__file__).with_suffix(".pyi").read_text())
    names = [alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert set(names) <= set(dir(package))
    public = [getattr(package, name) for name in names]
    assert all(item.__doc__ for item in public if inspect.isclass(item) or inspect.isfunction(item))
    with pytest.raises(AttributeError):
        _ = package.no_such_name


def test_there_are_examples_in_every_room():
    finder = doctest.DocTestFinder()
    for room in ROOMS[1:]:
        modules = [importlib.import_module(name) for name in MODULES if name.startswith(f"spectralbias.{room}.")]
        assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 2
