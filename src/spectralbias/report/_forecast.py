"""A forecast as a page of its own, and beside what was measured in a report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runs._files import write_atomic
from . import _palette
from ._evidence import Evidence
from ._figure import STEPS, Axis, Figure, Plot, Table, curve
from ._forecast_words import HEAD, basis, beside, headline, mode_rows, rows, trust
from ._learning import KEYS, swath, theory
from ._style import ACCENT, INK, drawing, logarithmic_from_zero, png
from ._text import number

if TYPE_CHECKING:
    from ..forecast import Forecast


def curves(evidence: Evidence) -> Figure:
    """Residual of each band, measured and forecast."""
    data = evidence.forecast
    assert data is not None
    expected = data["band_amplitude"].to_numpy()
    columns: dict[str, Any] = {"step": evidence.steps}
    traces = []
    for index, name in enumerate(evidence.band_names):
        color = f"--band-{index}"
        group: dict[str, Any] = {"legendgroup": f"band {index}"}
        columns[f"{name} measured"] = evidence.amplitudes[:, index]
        columns[f"{name} forecast"] = _relative(expected)[:, index]
        traces.append(curve("step", f"{name} measured", name, color, **swath(True, len(evidence.band_names)), **group))
        traces.append(theory("step", f"{name} forecast", f"{name}, forecast", color, **group))
    said = "; ".join(f"{row[0]} at step {row[2]}" for row in rows(evidence.info["forecast"]))
    return Figure(
        key="forecast",
        alt=f"Residual amplitude of each band against step, measured and forecast. Forecast to fall to 1/e: {said}.",
        caption="Wide: measured in training. Dashed: forecast before it. Where a curve crosses the dotted line, 1/e, "
        "that band counts as learned.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="residual, relative to start", log=True),
            lines=[{"axis": "y", "at": float(np.exp(-1)), "text": "1/e"}],
            keys=KEYS,
        ),
    )


def loss(evidence: Evidence) -> Figure:
    """Loss and held-out loss, measured and forecast."""
    data = evidence.forecast
    assert data is not None
    columns: dict[str, Any] = {"step": evidence.steps}
    traces = []
    for name, key, values, color in (
        ("training", "loss", evidence.loss, "--ink"),
        ("held out", "test_loss", evidence.test_loss, "--accent"),
    ):
        if values is None:
            continue
        columns[name] = values
        traces.append(curve("step", name, name, color, **swath(True)))
        if key in data:
            columns[f"{name} forecast"] = data[key].to_numpy()
            traces.append(theory("step", f"{name} forecast", f"{name}, forecast", color))
    ends = "; ".join(f"{name} ends at {number(values[-1])}" for name, values in list(columns.items())[1:])
    return Figure(
        key="forecast-loss",
        alt=f"Loss against step, measured and forecast: {ends}.",
        caption="The loss (1/2n) Σ (f − y)². Wide: measured. Dashed: forecast.",
        columns=columns,
        plot=Plot(traces=traces, x=STEPS, y=Axis(title="loss", log=True), keys=KEYS, height=340),
    )


def table(evidence: Evidence) -> Figure:
    """Learning steps and remainders of every band, measured and forecast."""
    summary = evidence.info["forecast"]
    found = []
    for row, measured in zip(rows(summary), summary["score"]["measured"], strict=True):
        at, error, left = beside(measured)
        found.append((row[0], row[1], at, row[2], error, row[3], left, row[4]))
    head = ("", "", "measured", "forecast", "error", "forecast", "measured", "forecast")
    groups = [("band", 1), ("share", 1), ("1/e at step", 3), ("1 % at step", 1), ("left at the end", 2)]
    columns: dict[str, Any] = {"band": [band["name"] for band in summary["bands"]]}
    for key in ("share", "learning_step", "percent_step", "left"):
        columns[f"forecast {key}".replace("_", " ")] = [band[key] for band in summary["bands"]]
    for key in ("learning_step", "left", "error"):
        columns[f"measured {key}".replace("_", " ")] = [one[key] for one in summary["score"]["measured"]]
    return Figure(
        key="forecast-bands",
        alt=f"Table of the bands: {'; '.join(f'{row[0]} measured {row[2]}, forecast {row[3]}' for row in found)}.",
        caption=f"{trust(summary)} {basis(summary)}",
        columns=columns,
        table=Table(head=head, rows=found, groups=groups, swatches=[f"--band-{i}" for i in range(len(found))]),
    )


def _relative(amplitudes: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(amplitudes[0] > 0, amplitudes / amplitudes[0], np.nan)


def write_forecast(
    found: "Forecast", summary: dict[str, Any], path: str | os.PathLike, *, name: str = "", setting: str = ""
) -> Path:
    """Write a forecast: one HTML file that opens anywhere, offline, and a picture beside it."""
    from ._page import destination, named_colors, render

    target = destination(path)
    relative = _relative(found.band_amplitudes)
    columns: dict[str, Any] = {"step": found.steps}
    columns |= {band: relative[:, i] for i, band in enumerate(found.band_names)}
    traces = [curve("step", band, band, f"--band-{i}") for i, band in enumerate(found.band_names)]
    high = min(20.0, max(1.0, float(np.nanmax(relative))))
    falls = "; ".join(f"{row[0]} at step {row[2]}" for row in rows(summary))
    bands_figure = Figure(
        key="forecast",
        alt=f"Forecast residual of each band against step: {falls}.",
        caption="Root mean square of the residual in each band, as a fraction of its start, before any training. Where "
        "a curve crosses the dotted line, 1/e, that band counts as learned.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="residual, relative to start", range=(0.0, 1.04 * high)),
            lines=[{"axis": "y", "at": float(np.exp(-1)), "text": "1/e"}],
        ),
    )
    losses: dict[str, Any] = {"step": found.steps, "training": found.loss}
    loss_traces = [curve("step", "training", "training", "--ink")]
    if found.test_loss is not None:
        losses["held out"] = found.test_loss
        loss_traces.append(curve("step", "held out", "held out", "--accent"))
    ends = "; ".join(f"{key} ends at {number(float(values[-1]))}" for key, values in list(losses.items())[1:])
    loss_figure = Figure(
        key="loss",
        alt=f"Forecast loss against step: {ends}.",
        caption="The loss (1/2n) Σ (f − y)².",
        columns=losses,
        plot=Plot(traces=loss_traces, x=STEPS, y=Axis(title="loss", log=True), height=340),
    )
    tables = [_table("bands", HEAD, rows(summary), True, "Learning times: until 1/e and 1 % of the start are left.")]
    if modes := mode_rows(summary):
        head = ("mode", "share", "1/e step", "90 % of new networks")
        tables.append(_table("modes", head, modes, False, "The modes with the largest shares, over initializations."))
    test = summary["test_loss"]
    page = render(
        title=f"Forecast of {name or 'a training'}",
        eyebrow=setting,
        verdicts=[
            {
                "name": "",
                "numbers": [],
                "headline": headline(summary),
                "paragraphs": [basis(summary)],
                "warnings": [] if summary["trust"]["status"] == "good" else [trust(summary)],
            }
        ],
        numbers=[
            {"label": "budget", "value": f"{summary['steps']:,}", "note": "steps"},
            {"label": "loss then", "value": number(summary["loss"]["last"]), "note": "forecast"},
            *([] if test is None else [{"label": "held out", "value": number(test), "note": "forecast"}]),
            {"label": "trust", "value": summary["trust"]["status"], "note": f"level {summary['level']}"},
        ],
        sections=[
            ("What will be learned when", "Every band decays at its own pace.", [bands_figure, *tables]),
            ("The loss", "What is left of everything together.", [loss_figure]),
        ],
        about=None,
        colors=named_colors({"band": _palette.bands(len(found.band_names), summary["band_kind"])}),
    )
    write_atomic(target, page.encode())
    _write_picture(found, relative, summary, target.with_suffix(".png"))
    return target


def _table(key: str, head: tuple[str, ...], found: list[tuple[str, ...]], colored: bool, caption: str) -> Figure:
    swatches = [f"--band-{i}" for i in range(len(found))] if colored else []
    return Figure(
        key=f"table-{key}",
        alt=f"Table of the {key}: {'; '.join(f'{row[0]} {row[2]}' for row in found)}.",
        caption=caption,
        columns={title: [row[i] for row in found] for i, title in enumerate(head)},
        table=Table(head=head, rows=found, swatches=swatches),
    )


def _write_picture(found: "Forecast", relative: np.ndarray, summary: dict[str, Any], path: Path) -> None:
    colors, _ = _palette.bands(len(found.band_names), summary["band_kind"])
    floor, last = STEPS.floor or 0.4, max(int(found.steps[-1]), 2)
    at = np.maximum(found.steps, floor)
    with drawing(7, 3) as figure:
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            logarithmic_from_zero(axes, last, floor)
            axes.set_xlabel("step")
        for index, band in enumerate(found.band_names):
            left.plot(at, relative[:, index], color=colors[index], label=band)
        left.set_ylabel("residual, relative to start")
        right.set_yscale("log")
        right.plot(at, found.loss, color=INK, label="training")
        if found.test_loss is not None:
            right.plot(at, found.test_loss, color=ACCENT, label="held out")
        right.set_ylabel("loss")
        for axes in (left, right):
            axes.legend(frameon=False, fontsize=7)
        write_atomic(path, png(figure))  # pyright: ignore[reportArgumentType]
