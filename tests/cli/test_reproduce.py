"""`spectralbias reproduce` as a user types it; the studies themselves are tested in `tests/papers`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spectralbias import papers
from spectralbias.cli import main

QUICK = ("cao-decay-degree", "cao-decay-dim")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two_studies(monkeypatch):
    """A catalog of the two studies that take no time."""
    from spectralbias.papers import _catalog

    known = tuple(study for study in _catalog.studies() if study.name in QUICK)
    monkeypatch.setattr(_catalog, "studies", lambda: known)
    monkeypatch.setattr(papers, "studies", lambda: known)
    return known


def test_list(capsys):
    assert main(["reproduce", "list"]) == 0
    out = capsys.readouterr().out
    names = [
        line.split()[0] for line in out.splitlines() if line.startswith(("cao-", "bowman-", "huang-yau-", "lazzari-"))
    ]
    assert names == [study.name for study in papers.studies()]
    assert main(["reproduce", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == names
    assert {"claim", "criterion", "control", "expected", "source"} <= set(rows[0])


@pytest.mark.parametrize("argument", ["list", "--help"])
def test_listing_needs_neither_jax_nor_plotting(argument):
    script = (
        "import sys\n"
        "from spectralbias.cli import main\n"
        "try:\n"
        f"    main(['reproduce', '{argument}'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted(set(sys.modules) & {'jax', 'equinox', 'matplotlib', 'scipy', 'plotly'}))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "PYTEST_"))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_one_study(capsys):
    assert main(["reproduce", "cao-decay-dim"]) == 0
    out = capsys.readouterr().out
    assert "DOES NOT HOLD" in out
    assert (Path(out.splitlines()[-1]) / "figure.png").is_file()
    assert main(["reproduce", "cao-decay-dim", "--control", "--output", "there", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["outcome"] == data["expected"] == "holds"
    assert data["directory"] == "there"
    assert json.loads(Path("there/result.json").read_text())["control"]


def test_an_outcome_that_is_not_the_known_one_exits_1(capsys):
    assert main(["reproduce", "cao-lemma-4-1", "--seeds", "2"]) == 1
    out = capsys.readouterr().out
    assert "INCONCLUSIVE" in out
    assert "Expected: holds" in out


def test_all(two_studies, capsys):
    assert main(["reproduce", "all"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if line.startswith("cao-")] == list(QUICK)
    page = Path(out.splitlines()[-1])
    assert page == Path("spectralbias-studies/index.html")
    assert "2 of 2 verdicts" in page.read_text(encoding="utf-8")
    assert "2/2 cao-decay-dim: does not hold" in err
    assert main(["reproduce", "all", "--control", "--output", "controls", "--json", "--seeds", "12"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["outcome"] for row in data["studies"]] == ["does not hold", "holds"]
    assert Path("controls/cao-decay-dim-fast-control/numbers.npz").is_file()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that refuses new files")
@pytest.mark.parametrize("name", ["cao-decay-dim", "all"])
def test_where_nothing_can_be_written_no_work_is_done(name, capsys, monkeypatch):
    monkeypatch.setattr(papers.Study, "run", lambda *args, **kwargs: pytest.fail("it ran"))
    assert main(["reproduce", name, "--output", "/proc/x/y"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "/proc/x/y" in err


def test_all_interrupted_keeps_what_is_done(two_studies, capsys, monkeypatch):
    original = papers.reproduce

    def interrupted(name, **kwargs):
        if name == QUICK[1]:
            raise KeyboardInterrupt
        return original(name, **kwargs)

    monkeypatch.setattr(papers, "reproduce", interrupted)
    assert main(["reproduce", "all"]) == 130
    assert "1 of 1 verdicts" in Path("spectralbias-studies/index.html").read_text(encoding="utf-8")


BAD = {
    "unknown study": (["cao-figure1a"], ["cao-figure1a", "cao-figure-1a"]),
    "no study": ([], ["NAME", "list"]),
    "unknown setting": (["cao-decay-dim", "--setting", "papr"], ["papr", "paper"]),
    "no seeds": (["cao-lemma-4-1", "--seeds", "0"], ["seeds", "0"]),
    "seeds without randomness": (["cao-decay-dim", "--seeds", "3"], ["no randomness"]),
    "a directory in use": (["cao-decay-dim", "--output", "used"], ["used", "not empty"]),
    "a directory in use, all": (["all", "--output", "."], ["cao-decay-dim-fast", "not empty"]),
    "below a file": (["cao-decay-dim", "--output", "used/notes.txt/a/b"], ["notes.txt is a file"]),
    "a file, all": (["all", "--output", "used/notes.txt"], ["notes.txt is a file"]),
    "a list with options": (["list", "--setting", "paper"], ["--setting", "--json"]),
    "a list with seeds": (["list", "--seeds=3", "--json"], ["--seeds", "--json"]),
    "data for a study without": (["cao-decay-dim", "--data", "used"], ["cao-decay-dim", "no data"]),
    "data for all": (["all", "--data", "used"], ["--data", "bowman-effective-rank-lenet"]),
    "data that are not there": (["bowman-effective-rank-lenet", "--data", "nowhere"], ["nowhere", "no folder"]),
    "other data": (["bowman-effective-rank-shallow", "--data", "used"], ["data_batch_1.bin", "used"]),
    "a list with data": (["list", "--data", "used"], ["--data", "--json"]),
    "unknown option": (["cao-decay-dim", "--contrl"], ["contrl", "control"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, capsys):
    arguments, words = BAD[case]
    for folder in ("used", "cao-decay-dim-fast"):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "notes.txt").write_text("mine")
    before = sorted(Path().rglob("*"))
    assert main(["reproduce", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert [word for word in words if word not in err] == []
    assert sorted(Path().rglob("*")) == before
