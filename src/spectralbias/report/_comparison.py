"""Runs side by side in one page."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .._core.errors import InputError
from ..runs import Run
from ..runs._files import write_atomic
from . import _palette
from ._about import describe_model, describe_problem
from ._evidence import Evidence
from ._figure import STEPS, Axis, Figure, Picture, Plot, Table, curve
from ._fits import at_step, is_picture
from ._learning import frame, swath, theory
from ._page import destination, named_colors, render, spoken
from ._pictures import brightness, data_uri, largest_magnitude, signed
from ._tables import key_numbers, when
from ._text import listed, number, percent, plural
from ._verdict import verdict


def write_comparison(runs: Sequence[Run], path: str | os.PathLike) -> Path:
    """Write a page that shows runs side by side, offline in one file like a report.

    The verdict and the key numbers of each run, the configuration values in which they differ, the residual of every
    band with the runs' curves overlaid, one table of the bands, and for images the last fits.

    Args:
        runs: two runs or more that have ended.
        path: where to write the page.

    Returns:
        The path of the page.

    Raises:
        InputError: fewer than two runs, one that has not ended, or a folder that does not exist.
    """
    if len(runs) < 2:
        raise InputError(f"`runs` must be two runs or more, got {len(runs)}")
    target = destination(path)
    said = [verdict(run) for run in runs]
    evidence = [Evidence(run) for run in runs]
    names = _names(runs)
    figures = [_residuals(names, evidence), _losses(names, evidence)]
    sections = [
        ("What was learned when", "The residual of every band, one color per run.", figures),
        ("The bands in numbers", "One group of columns per run.", [_table(names, evidence)]),
    ]
    if different := _differences(names, runs):
        sections.insert(0, ("What differs", "The configuration values that are not the same in all runs.", [different]))
    if any(is_picture(run.problem) for run in runs):
        sections.insert(-1, ("The last fits", "The residuals share one color scale.", [_pictures(names, evidence)]))
    page = render(
        title=f"{plural(len(runs), 'run').capitalize()} compared",
        eyebrow=" · ".join(names),
        verdicts=[
            spoken(run, one, name=name, setting=_setting(run), paragraphs=[], numbers=key_numbers(e))
            for name, one, run, e in zip(names, said, runs, evidence, strict=True)
        ],
        numbers=[],
        sections=sections,
        about=None,
        colors=named_colors({"run": _palette.unordered(len(runs))}),
    )
    write_atomic(target, page.encode())
    return target


def _names(runs: Sequence[Run]) -> list[str]:
    """Directory names, numbered where they are the same."""
    names = [run.directory.resolve().name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({index})" for index, name in enumerate(names, 1)]


def _setting(run: Run) -> str:
    text = f"{describe_model(run)} on {describe_problem(run)}"
    return text[0].upper() + text[1:]


def _flat(run: Run) -> dict[str, Any]:
    """The configuration as `section.key` -> value."""
    data = msgspec.to_builtins(run.config)
    flat = {key: value for key, value in data.items() if not isinstance(value, dict)}
    for section, values in data.items():
        if isinstance(values, dict):
            flat |= {f"{section}.{key}": value for key, value in values.items()}
    return flat


def _differences(names: list[str], runs: Sequence[Run]) -> Figure | None:
    """The configuration values that are not the same in all runs."""
    flat = [_flat(run) for run in runs]
    keys = [key for key in dict.fromkeys(itertools.chain(*flat)) if key != "name"]
    missing = object()
    differing = [key for key in keys if any(f.get(key, missing) != flat[0].get(key, missing) for f in flat)]
    if not differing:
        return None
    rows = [(key, *(_value(f[key]) if key in f else "–" for f in flat)) for key in differing]
    return Figure(
        key="differences",
        alt="Table of the settings that differ: "
        + "; ".join(f"{row[0]}: {' against '.join(row[1:])}" for row in rows)
        + ".",
        caption="Everything else in the configurations is the same.",
        columns={"setting": differing} | {n: [row[i] for row in rows] for i, n in enumerate(names, 1)},
        table=Table(head=("setting", *names), rows=rows),
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value, 6)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "default" if value is None else str(value)


def _band_names(evidence: Sequence[Evidence]) -> list[str]:
    """All bands of all runs, in order of appearance."""
    return list(dict.fromkeys(name for e in evidence for name in e.band_names))


def _residuals(names: list[str], evidence: Sequence[Evidence]) -> Figure:
    """One panel per band, one color per run."""
    bands = _band_names(evidence)
    columns: dict[str, Any] = {}
    traces = []
    largest = max(frame(e) for e in evidence)
    for index, (name, e) in enumerate(zip(names, evidence, strict=True)):
        columns[f"{name} step"] = e.steps
        seen = False
        for panel, band in enumerate(bands):
            if band not in e.band_names:
                continue
            at = e.band_names.index(band)
            column, color = f"{name} {band}", f"--run-{index}"
            group: dict[str, Any] = {"legendgroup": name, "panel": panel}
            columns[f"{column} measured"] = e.amplitudes[:, at]
            more = {"showlegend": not seen, **swath(e.prediction is not None), **group}
            traces.append(curve(f"{name} step", f"{column} measured", name, color, **more))
            seen = True
            if e.predicted_amplitudes is not None:
                columns[f"{column} predicted"] = e.predicted_amplitudes[:, at]
                traces.append(theory(f"{name} step", f"{column} predicted", f"{name}, predicted", color, **group))
    predicted = any(e.prediction is not None for e in evidence)
    return Figure(
        key="residuals",
        alt=f"Residual amplitude against step for {listed(bands)}, the curves of {listed(names)} overlaid.",
        caption="Root mean square of the residual in each band, as a fraction of its start; the dotted line is 1/e."
        + (" Dashed: predicted by each run’s kernel, frozen at its initialization." if predicted else ""),
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="residual, relative to start", log=largest > 20, range=(0.0, 1.04 * largest)),
            panels=bands,
            lines=[{"axis": "y", "at": float(np.exp(-1)), "text": ""}],
            keys={"predicted": "dash"} if predicted else {},
            height=230,
        ),
    )


def _losses(names: list[str], evidence: Sequence[Evidence]) -> Figure:
    """Training losses, and held-out ones dotted."""
    columns, traces = {}, []
    for index, (name, e) in enumerate(zip(names, evidence, strict=True)):
        columns |= {f"{name} step": e.steps, f"{name} training": e.loss}
        color = f"--run-{index}"
        group: dict[str, Any] = {"legendgroup": name}
        traces.append(curve(f"{name} step", f"{name} training", name, color, **group))
        if e.test_loss is not None:
            columns[f"{name} held out"] = e.test_loss
            more = {"dash": "dot", "part": "held out", "showlegend": False, **group}
            traces.append(curve(f"{name} step", f"{name} held out", f"{name}, held out", color, **more))
    ends = [f"{name} {number(e.loss[-1])}" for name, e in zip(names, evidence, strict=True)]
    held_out = any(e.test_loss is not None for e in evidence)
    return Figure(
        key="loss",
        alt=f"Training loss against step; at the end {', '.join(ends)}.",
        caption=f"Training loss{'; dotted: held out' if held_out else ''}.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="loss", log=True),
            keys={"held out": "dot"} if held_out else {},
            height=340,
        ),
    )


def _table(names: list[str], evidence: Sequence[Evidence]) -> Figure:
    """Share, learning step and remainder of every band in every run."""
    bands = _band_names(evidence)
    found = [{band["name"]: band for band in e.summary["bands"]} for e in evidence]
    keys = ("share", "measured_step", "measured_left")

    def cells(band: dict[str, Any] | None) -> tuple[str, ...]:
        if band is None:
            return ("–",) * len(keys)
        return (
            percent(band["share"]),
            when(band["measured_step"], never="not yet"),
            percent(band["measured_left"]),
        )

    rows = [(name, *(cell for one in found for cell in cells(one.get(name)))) for name in bands]
    columns = {"band": bands} | {
        f"{name} {key.replace('_', ' ')}": [one[band][key] if band in one else None for band in bands]
        for name, one in zip(names, found, strict=True)
        for key in keys
    }
    return Figure(
        key="bands",
        alt="Table of the bands: "
        + "; ".join(
            f"{row[0]}: " + ", ".join(f"{name} step {row[3 * i + 2]}" for i, name in enumerate(names)) for row in rows
        )
        + ".",
        caption="Share of the first residual, the step at which 1/e of the band’s amplitude is left, and what is left "
        "at the end of each run.",
        columns=columns,
        table=Table(
            head=("", *("share", "learned at step", "left") * len(names)),
            rows=rows,
            groups=[("band", 1), *((name, 3) for name in names)],
        ),
    )


def _pictures(names: list[str], evidence: Sequence[Evidence]) -> Figure:
    """Target, last fit and residual of every run that is about a picture."""
    shown = [(name, e) for name, e in zip(names, evidence, strict=True) if is_picture(e.run.problem)]
    residuals = [e.residual(len(e.steps) - 1) for _, e in shown]
    largest = largest_magnitude(*residuals)
    pictures, columns = [], {}
    for (name, e), residual in zip(shown, residuals, strict=True):
        problem = e.run.problem
        assert problem.grid is not None
        shape = problem.grid.shape[0], problem.grid.shape[1]
        source = data_uri(brightness(problem.y, shape))
        pictures.append(Picture(source=source, alt=f"the target of {name}", label=f"{name}, target"))
        columns[f"{name} target"] = problem.y.astype(np.float32).ravel()
        label = f"{name}, {at_step(e, len(e.steps) - 1)}"
        fit = e.output(len(e.steps) - 1)
        columns[f"{name} fit"] = fit.astype(np.float32).ravel()
        pictures.append(Picture(source=data_uri(brightness(fit, shape)), alt=f"the fit of {label}", label=label))
        source = data_uri(signed(residual, shape, largest))
        pictures.append(Picture(source=source, alt=f"the residual of {label}", label=f"{name}, residual"))
    return Figure(
        key="fits",
        alt=f"The last fits and residuals of {listed([name for name, _ in shown])}.",
        caption="The last fit of every run and its residual f − y.",
        columns=columns,
        pictures=pictures,
        across=3,
        scale=(f"−{number(largest)}", "0", number(largest)),
    )
