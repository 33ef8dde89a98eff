"""What is installed is whole, quick to start, headless where it must be, and free of JAX's private parts."""

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import spectralbias

ROOT = Path(__file__).parents[1]
PACKAGE = Path(spectralbias.__file__).parent
ROOMS = sorted(stub.parent.name for stub in PACKAGE.glob("*/__init__.pyi"))
MODULES = sorted(PACKAGE.rglob("*.py"))

# Rooms that compute, and all that they may import; readers and adapters import theirs in functions of these modules.
HEADLESS = ("_core", "problems", "models", "kernels", "spectra", "dynamics", "regions", "forecast")
NUMERICAL = {"diffrax", "equinox", "jax", "jaxtyping", "lazy_loader", "lineax", "mpmath", "numpy", "optax", "scipy"}
READERS = {
    "kernels/_torch.py": {"torch"},
    "kernels/_torch_sites.py": {"torch"},
    "models/_flax.py": {"flax"},
    "models/_torch.py": {"torch"},
    "problems/_columns.py": {"pyarrow"},
    "problems/_digits.py": {"sklearn"},
    "problems/_image.py": {"PIL"},
    "problems/_natural_images.py": {"sklearn", "skimage"},
    "regions/_torch_units.py": {"torch"},
}
HEAVY = {"equinox", "jax", "matplotlib", "optax", "pandas", "plotly", "scipy", "sklearn", "xarray", "zarr"}


def start(*arguments):
    """A fresh Python without what the tests set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, text=True, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def imports(path):
    """(top-level name, whether at the top level of the module or of a class) of every absolute import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING")
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node not in inside
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module.split(".")[0], node not in inside


def test_every_place_has_the_same_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)
    page = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    assert citation is not None
    assert spectralbias.__version__ == project["version"] == citation[1]
    assert f"version = {{{project['version']}}}" in page
    assert importlib.metadata.version("spectralbias") == project["version"]
    assert project["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_requirements_have_lower_bounds_and_no_caps():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert set(extras) >= {"test", "torch", "flax", "images", "docs"}
    assert not any(line.startswith("torch") for line in extras["test"])
    for line in [*project["dependencies"], *(line for extra in extras.values() for line in extra)]:
        assert re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+", line), line
    assert project["requires-python"] == ">=3.11"


def test_importing_the_package_is_light():
    script = f"import sys, spectralbias; print(sorted(set(sys.modules) & {HEAVY!r}))"
    assert start("-c", script).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["run", "image", "photo.jpg", "--help"],
        ["compare", "--help"],
        ["spectrum", "--help"],
        ["spectrum", "image", "photo.jpg", "--help"],
    ],
)
def test_help_needs_neither_jax_nor_plotting(arguments):
    script = (
        "import sys\n"
        "from spectralbias.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))\n"
    )
    assert start("-c", script).stdout.strip().splitlines()[-1] == "[]"


def test_help_is_quick():
    def seconds():
        began = time.perf_counter()
        start("-m", "spectralbias", "run", "--help")
        return time.perf_counter() - began

    # The best of several: other processes may be busy.
    assert min(seconds() for _ in range(4)) < 1.5


def test_a_room_is_loaded_when_it_is_used():
    script = "import sys, spectralbias; spectralbias.kernels; print('jax' in sys.modules, 'plotly' in sys.modules)"
    assert start("-c", script).stdout.strip() == "False False"
    script = "import sys; from spectralbias import kernels; kernels.empirical_ntk; print('jax' in sys.modules)"
    assert start("-c", script).stdout.strip() == "True"


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()
    assert len(ROOMS) >= 7


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_stub_is_there(room):
    module = importlib.import_module(f"spectralbias.{room}")
    stub = ast.parse((PACKAGE / room / "__init__.pyi").read_text(encoding="utf-8"))
    names = [alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert names
    assert sorted(module.__all__) == sorted(names)
    for name in names:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_the_package_offers_every_room():
    public = [room for room in ROOMS if not room.startswith("_")]
    assert sorted(set(spectralbias.__all__) - {"__version__"}) == public


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_no_private_parts_of_jax(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\bjax\s*\.\s*(core|_src|interpreters)\b", text)
    assert not re.search(r"from\s+jax\s+import\s[^\n]*\b(core|_src|interpreters)\b", text)
    assert "jax_enable_x64" not in text


def test_computing_rooms_import_numerical_libraries_only():
    allowed = NUMERICAL | set(sys.stdlib_module_names)
    for path in MODULES:
        place = path.relative_to(PACKAGE).as_posix()
        if place.split("/")[0] in HEADLESS:
            for name, at_top in imports(path):
                reader = name in READERS.get(place, ()) and not at_top
                assert name in allowed or reader, f"{place} imports {name}"


def test_what_is_imported_is_required():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[\[>]", line)[0].lower().replace("-", "_") for line in project["dependencies"]}
    required |= {"pil"} if "pillow" in required else set()
    required |= {"sklearn"} if "scikit_learn" in required else set()
    optional = {"flax", "skimage", "torch"}  # in functions of the adapters and readers only
    used = set()
    for path in MODULES:
        for name, at_top in imports(path):
            if name not in sys.stdlib_module_names and name != "spectralbias":
                used.add(name.lower())
                assert name.lower() in required or (name in optional and not at_top), f"{path.name} imports {name}"
    renamed = {"pillow", "scikit_learn"}
    assert required - renamed <= used, "required but not imported"


def test_no_pickle():
    for path in MODULES:
        names = {name for name, _ in imports(path)}
        assert not names & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}, path
        assert "allow_pickle=True" not in path.read_text(encoding="utf-8")
