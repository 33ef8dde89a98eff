"""Every example on every page runs and prints what the page shows; generated tables are up to date."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
RUN_PAGE = Path(__file__).with_name("run_page.py")
# Trainings of full size take several times as long where the pipeline asks for quick compilation.
FULL_SIZE = ("docs/getting-started.md", "docs/deviations.md")
INSTALL_AND_RUN = "pip install . && spectralbias run"
INSTALL_AND_TEST = 'pip install -e ".[test]" && pytest'


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """A folder in which all processes of this session keep what JAX compiled: most pages make the same small runs."""
    workers = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    return (workers or tmp_path_factory.getbasetemp()) / "compiled"


def python(*arguments, cwd, compiled=None, quick=True, timeout=300):
    """Run Python as a user would: without what the tests set."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "PYTEST_")) or (quick and name == "JAX_DISABLE_MOST_OPTIMIZATIONS")
    }
    environment["COLUMNS"] = "100"
    if compiled is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        timeout=timeout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


@pytest.fixture
def desk(tmp_path):
    """A folder with the files that the examples name."""
    from PIL import Image

    rows, columns = np.mgrid[0:24, 0:32]
    checks = ((rows // 3 + columns // 4) % 2 * 120 + 4 * rows).astype(np.uint8)
    Image.fromarray(np.stack([checks, checks[::-1], checks[:, ::-1]], axis=2)).save(tmp_path / "photo.jpg")
    rng = np.random.default_rng(0)
    rooms, age, noise = rng.integers(1, 8, 90), rng.uniform(0, 100, 90), rng.normal(size=90)
    lines = [f"{r},{a:.1f},{100 * r - a + 20 * e:.1f}" for r, a, e in zip(rooms, age, noise, strict=True)]
    (tmp_path / "houses.csv").write_text("\n".join(["rooms,age,price", *lines]) + "\n")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_examples_of_a_page_run(page, desk, compiled):
    if not re.search(r"^```(?!text|sh|bibtex)\w", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        return
    quick = str(page.relative_to(ROOT)) not in FULL_SIZE
    done = python(RUN_PAGE, page, cwd=desk, compiled=compiled, quick=quick)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_an_example_script_runs(script, tmp_path, compiled):
    done = python(RUN_PAGE, script, cwd=tmp_path, compiled=compiled)
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout


def test_the_configuration_page_lists_every_key():
    done = python(ROOT / "docs" / "configuration.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_the_tables_of_forecasts_are_what_was_measured():
    done = python(ROOT / "benchmarks" / "forecast_table.py", "--check", cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_in_the_reference():
    package = ROOT / "src" / "spectralbias"
    for stub in package.glob("*/__init__.pyi"):
        room = stub.parent.name
        names = re.findall(r"^from \.\w* import \w+ as (\w+)$", stub.read_text(encoding="utf-8"), flags=re.MULTILINE)
        page = (ROOT / "docs" / "api" / f"{room}.md").read_text(encoding="utf-8")
        shown = re.findall(r"^::: spectralbias\.(\S+)$", page, flags=re.MULTILINE)
        parts = {name.rpartition(".")[0] for name in shown}  # of a module its functions are listed
        missing = [name for name in names if f"{room}.{name}" not in {*shown, *parts}]
        stale = [name for name in shown if name.split(".")[1] not in names]
        assert not missing, f"docs/api/{room}.md lacks {missing}"
        assert not stale, f"docs/api/{room}.md has {stale}, which the room does not offer"


def test_the_readme_and_the_pipeline_use_the_same_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)\n```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert commands[:2] == [INSTALL_AND_RUN, INSTALL_AND_TEST]
    pipeline = [line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()]
    assert INSTALL_AND_TEST in pipeline
    assert "pip install ." in pipeline


def test_links_and_pictures_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
