"""One page about many studies: claim, verdict, numbers, figure of each."""

import base64
import functools
import html
import re
import shlex
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from .._core.errors import InputError
from ..report._page import destination
from ..report._style import png
from ..runs._files import write_atomic
from ._study import StudyResult


def write_index(results: Sequence[StudyResult], path: str | Path = "index.html") -> Path:
    """Write one HTML file with the claim, the verdict, the numbers and the figure of each study.

    It needs no network, follows the reader's choice of light or dark, and fits wide and narrow screens.

    Args:
        results: what `reproduce` returned, in the order of the page.
        path: where to write it.

    Returns:
        The path.

    Raises:
        InputError: no results, or a folder that does not exist.

    Example:
        >>> from spectralbias import papers
        >>> papers.write_index([papers.reproduce("cao-decay-degree")])  # doctest: +SKIP
        PosixPath('index.html')
    """
    if not results:
        raise InputError("`results` is empty: run a study first, such as reproduce('cao-decay-degree')")
    target = destination(path)
    expected = sum(result.as_expected for result in results)
    page = _template().render(
        title=f"{expected} of {len(results)} verdicts are as expected",
        rows=[_row(result) for result in results],
        versions=", ".join(f"{name} {version}" for name, version in results[0].versions.items()),
        seconds=f"{sum(result.seconds for result in results):,.0f}",
        base=_asset("report/assets/page.css"),
        style=_asset("papers/assets/index.css"),
    )
    write_atomic(target, page.encode())
    return target


def _row(result: StudyResult) -> dict[str, Any]:
    study, verdict, picture = result.study, result.verdict, png(result.figure())
    return {
        "name": result.name,
        "source": study.source,
        "claim": study.claim,
        "criterion": study.criterion,
        "note": study.note,
        "control": study.control.text if result.control else None,
        "outcome": verdict.outcome.value,
        "kind": verdict.outcome.name,
        "expected": result.expected.value,
        "as_expected": result.as_expected,
        "sentence": verdict.sentence,
        "evidence": verdict.evidence,
        "setting": result.setting,
        "settings": ", ".join(
            f"{name} = {_plain(value)}"
            for name, value in result.summary()["settings"].items()
            if name != "seeds" and value != ""
        ),
        "repetitions": len(result.seeds),
        "seconds": f"{result.seconds:.1f}",
        "command": f"spectralbias reproduce {result.name}"
        + (f" --setting {result.setting}" if result.setting != "fast" else "")
        + (f" --data {shlex.quote(data)}" if (data := getattr(result.settings, "data", "")) else "")
        + (" --control" if result.control else ""),
        "picture": base64.b64encode(picture).decode(),
        # Figures have 200 dots per inch; on a page an inch has 96, and what is printed small is easier to read larger.
        "width": round(struct.unpack(">I", picture[16:20])[0] / 200 * 104),
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "(" + ", ".join(map(_plain, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _asset(name: str) -> str:
    package = Path(__file__).parent.parent
    return (package / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    """Escaped text with powers and indices raised and lowered, minus signs, and no line break before a percent sign.

    A power is one word or in parentheses, an index one word or in braces.
    """
    escaped = html.escape(text).replace(" %", "\u202f%")
    escaped = re.sub(r"(?<![\w)])-(?=[\d.])", "−", escaped)
    escaped = re.sub(
        r"\^\(([^()]*)\)|\^([\w−∞]+(?:\.\d+)?)", lambda found: f"<sup>{found[1] or found[2]}</sup>", escaped
    )
    return re.sub(r"(?<=[\w‖ζ])_(?:\{([^{}]*)\}|(\w+))", lambda found: f"<sub>{found[1] or found[2]}</sub>", escaped)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["prose"] = _prose
    return environment.from_string(_asset("papers/assets/index.html.j2"))
