"""Every study in its fast setting, and its control: the known outcome, and the opposite.

A study and its control are one test, so that they share what they train.
"""

from pathlib import Path

import numpy as np
import pytest

from spectralbias import papers
from spectralbias.papers import Outcome
from spectralbias.report._style import png

SOURCES = {
    "cao": ("Cao et al. 2021, ",),
    "bowman": ("Bowman & Montúfar 2022, ", "Bowman & Montúfar 2022 (arXiv 2206.02927), "),
    "huang": ("Huang & Yau 2020, ",),
    "lazzari": ("Lazzari & Liu 2023, ",),
}
STUDIES = {study.name: study for study in papers.studies()}


# Studies compute for seconds: code that was compiled quickly would take several times as long.
pytestmark = pytest.mark.usefixtures("compiled_as_for_a_user")


@pytest.mark.parametrize("name", STUDIES)
def test_a_claim_and_its_control(name, annotations_unchecked):
    study = STUDIES[name]
    with annotations_unchecked():
        result, control = study.run(), study.run(control=True)
        assert result.verdict.outcome is study.expected, result.verdict.sentence
        assert control.verdict.outcome is study.expected.opposite, control.verdict.sentence
        assert study.expected is not Outcome.inconclusive
        assert len(result.seeds) >= 10 or not result.seeds
        for found in (result, control):
            assert all(values.dtype.kind in "fiu" for values in found.numbers.values())
            pixels = png(found.figure())
            assert pixels.startswith(b"\x89PNG")
            assert len(pixels) > 10_000


def test_names_sources_and_settings():
    assert len(STUDIES) == len(papers.studies()) >= 31
    for name, study in STUDIES.items():
        assert study.source.startswith(SOURCES[name.split("-")[0]])
        assert study.claim.endswith(".")
        assert study.criterion.endswith(".")
        assert type(study.fast) is type(study.paper)
        assert type(study.settings("desktop")) is type(study.paper)
        assert study.fast != study.paper
        assert study.control.change(study.fast) != study.fast
        assert study.control.change(study.paper).seeds == study.paper.seeds


def test_the_paper_sizes_are_those_of_the_paper():
    for name in ("1a", "1b", "2", "2b", "3a", "3b", "4", "5", "6"):
        paper = STUDIES[f"cao-figure-{name}"].paper
        assert (paper.dim, paper.num_samples, paper.width) == (10, 1000, 4096)
    assert STUDIES["cao-figure-1b"].paper.amplitudes == (1, 3, 5)
    assert np.all(np.array(STUDIES["cao-held-out"].paper.amplitudes) == 1)


def test_the_guide_lists_every_study_with_its_outcome():
    page = (Path(__file__).parents[2] / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for name, study in STUDIES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        source = study.source.replace(" (not measured there)", "")
        assert source in [paper + row.split("|")[2].strip() for paper in SOURCES[name.split("-")[0]]]
        assert row.split("|")[3].strip() == study.claim
        assert row.split("|")[4].strip() == study.expected.value
    assert page.count("\n| `") == len(STUDIES)
