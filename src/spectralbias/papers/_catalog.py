"""All studies, in the order of the papers."""

import importlib

from .._core.errors import unknown
from ._study import Study

# A paper is a folder with a tuple `STUDIES`; the names of its studies begin with the folder's (`huang-yau-…`).
PAPERS = ("cao", "bowman", "huang_yau", "lazzari")


def studies() -> tuple[Study, ...]:
    """All studies. Listing them is quick: what they measure with is loaded when they are run.

    Example:
        >>> from spectralbias import papers
        >>> [study.name for study in papers.studies()][0]
        'cao-lemma-4-1'
    """
    return tuple(study for paper in PAPERS for study in importlib.import_module(f".{paper}", __package__).STUDIES)


def find(name: str) -> Study:
    """The study of that name, or an `InputError` that names the close ones."""
    by_name = {study.name: study for study in studies()}
    if name not in by_name:
        raise unknown("study", name, by_name)
    return by_name[name]
