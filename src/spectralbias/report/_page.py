"""The page: sections and assets put into one file that needs nothing else."""

import functools
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from .._core.errors import InputError
from ..runs import Run
from ..runs._files import write_atomic
from . import _palette
from ._about import about, title
from ._deviation_words import PARTS
from ._deviations import write_picture as write_deviations
from ._evidence import Evidence
from ._figure import Figure
from ._hierarchy import write_picture as write_hierarchy
from ._overview import write_overview
from ._regions import write_picture as write_regions
from ._sections import SECTIONS
from ._tables import key_numbers
from ._verdict import Verdict, verdict


def write_report(run: Run, path: str | os.PathLike | None = None) -> Path:
    """Write the report of a run: one HTML file that opens anywhere, offline, and a picture for papers.

    The page holds the verdict, every figure with its numbers, and what is needed to repeat the run. `overview.png` in
    the run directory shows the bands along the training and how well they were predicted.

    Args:
        run: a run that has ended; `runs.load(directory)` opens one.
        path: where to write the page; `report.html` in the run directory by default.

    Returns:
        The path of the page.

    Raises:
        InputError: the run has not ended, or the folder of `path` does not exist.

    Cost and precision:
        About a second and 5 MB, of which 4.8 MB are Plotly. The page carries the arrays at full precision.

    Example:
        >>> from spectralbias import report, runs
        >>> report.write_report(runs.load("spectralbias-runs/my-run"))  # doctest: +SKIP
        PosixPath('spectralbias-runs/my-run/report.html')
    """
    target = destination(run.directory / "report.html" if path is None else path)
    said = verdict(run)
    evidence = Evidence(run)
    sections = []
    for section in SECTIONS:
        if section.applies(evidence):
            figures = [figure for make in section.figures if (figure := make(evidence)) is not None]
            sections.append((section.title, section.sentence(evidence), figures))
    page = render(
        title=title(run),
        eyebrow=f"{run.directory.resolve().name} · {evidence.info['created'][:10]}",
        verdicts=[spoken(run, said)],
        numbers=key_numbers(evidence),
        sections=sections,
        about=about(evidence),
        colors=colors(evidence),
    )
    write_atomic(target, page.encode())
    write_overview(evidence, run.directory / "overview.png")
    if evidence.deviations is not None:
        write_deviations(evidence, run.directory / "deviations.png")
    if evidence.hierarchy is not None:
        write_hierarchy(evidence, run.directory / "hierarchy.png")
    if evidence.regions is not None:
        write_regions(evidence, run.directory / "regions.png")
    return target


def destination(path: str | os.PathLike) -> Path:
    """Where a page is to be written; asked before the work is done."""
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: the folder {target.parent} does not exist")
    return target


def spoken(run: Run, said: Verdict, **more: Any) -> dict[str, Any]:
    """A verdict as the template reads it, and the warnings."""
    return {
        "name": "",
        "numbers": [],
        "headline": said.headline,
        "paragraphs": said.paragraphs,
        "warnings": run.info["warnings"],
        **more,
    }


def colors(evidence: Evidence) -> dict[str, list[tuple[str, str]]]:
    """CSS variables of the bands, the instants shown and the parts of a deviation, on light and on dark paper."""
    count = len(evidence.band_names)
    return named_colors(
        {
            "band": _palette.bands(count, evidence.band_kind),
            "time": _palette.times(len(evidence.shown)),
            "part": _palette.unordered(len(PARTS)),
        }
    )


def named_colors(palettes: Mapping[str, tuple[list[str], list[str]]]) -> dict[str, list[tuple[str, str]]]:
    """`--name-0`, `--name-1`, … on light and on dark paper."""
    found: dict[str, list[tuple[str, str]]] = {"light": [], "dark": []}
    for name, themes in palettes.items():
        for theme, values in zip(found, themes, strict=True):
            found[theme] += [(f"--{name}-{index}", value) for index, value in enumerate(values)]
    return found


class Recipe(NamedTuple):
    """The part of a page that says what to type: (sentence, code) one after another."""

    heading: str
    blocks: list[tuple[str, str]]


def render(*, sections: Iterable[tuple[str, str, list[Figure]]], recipe: Recipe | None = None, **context: Any) -> str:
    """The page as HTML."""
    from plotly.offline import get_plotlyjs

    sections = list(sections)
    figures = {figure.key: figure.payload() for _, _, shown in sections for figure in shown}
    data = json.dumps({"figures": figures}, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return _template().render(
        **context,
        sections=sections,
        recipe=recipe,
        diverging=_palette.DIVERGING,
        # Marked safe in the template: our own files, Plotly's, and JSON that cannot end its element.
        style=_asset("page.css"),
        script=_asset("page.js"),
        plotly=get_plotlyjs(),
        data=data.replace("<", "\\u003c"),
    )


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """Escaped text with `code` marked as such, and no line break before a percent sign."""
    escaped = html.escape(text)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped).replace(" %", "\u202f%")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["prose"] = _prose
    return environment.from_string(_asset("page.html.j2"))
