"""Which encoding to use, as one page: every candidate's PSNR, the pick, and what the network would draw with it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runs._files import write_atomic
from . import _palette
from ._advice_picture import advice_figure
from ._advice_views import (
    WIDEST,
    View,
    colors,
    compared,
    detail,
    finest_trained,
    frame,
    named_ends,
    shades,
    spectrum,
    table_columns,
    trained_pixels,
    views,
)
from ._advice_words import decibels, headline, table_head, table_rows
from ._figure import MAX_POINTS, STEPS, Axis, Figure, Picture, Plot, Table, curve, escape, thin
from ._page import Recipe, destination, named_colors, render
from ._pictures import brightness, data_uri
from ._style import png
from ._text import number, plural

if TYPE_CHECKING:
    from ..forecast import Advice

_HEIGHT = 430
# Two names at the ends of curves lie so many pixels apart.
_GAP = 15
_OPTIMIZERS = {"gd": "gradient descent", "adam": "Adam"}


def write_advice(
    advice: "Advice",
    path: str | os.PathLike,
    *,
    name: str = "",
    recipe: Sequence[tuple[str, str]] = (),
    picture: str | os.PathLike | None = None,
) -> Path:
    """Write an advice about encodings: one HTML file that opens anywhere, offline, and a picture for papers.

    The page holds the predicted PSNR of every encoding along the training, the table, the pick and why, what to
    doubt, and what the network would draw with the pick and with raw coordinates, beside the spectra.

    Args:
        advice: from `forecast.recommend_encoding`.
        path: where to write the page.
        name: of the image or the signal, for the title.
        recipe: (sentence, code) one after another: how to train with the pick.
        picture: where to write the picture; beside the page as .png by default.

    Returns:
        The path of the page.

    Raises:
        InputError: the folder of `path` does not exist.

    Cost and precision:
        About a second and 5 MB, of which 4.8 MB are Plotly. Pictures above 256 pixels are reduced.

    Example:
        >>> from spectralbias import forecast, report
        >>> advice = forecast.recommend_encoding("photo.png", steps=2000)  # doctest: +SKIP
        >>> report.write_advice(advice, "advice.html", name="photo.png")  # doctest: +SKIP
        PosixPath('advice.html')
    """
    target = destination(path)
    beside = destination(target.with_suffix(".png") if picture is None else picture)
    shown = views(advice)
    page = render(
        title=f"Which encoding for {name or _what(advice)}?",
        eyebrow=" · ".join(_setting(advice)),
        verdicts=[
            {
                "name": "",
                "numbers": [],
                "headline": headline(advice),
                "paragraphs": [advice.why],
                "warnings": [],
            }
        ],
        numbers=_numbers(advice),
        sections=[
            (
                "How good each encoding gets",
                f"The predicted PSNR on {_samples(advice)} that do not train, before anything is trained.",
                [_curves(advice), _table(advice)],
            ),
            *([("What to doubt", " ".join(advice.notes), [])] if advice.notes else []),
            ("What the network draws", _drawn_sentence(advice), _drawings(advice, shown)),
        ],
        recipe=Recipe(f"Train with {advice.pick.label}", list(recipe)) if recipe else None,
        about=None,
        colors=_all_colors(advice, len(shown[0].steps)),
    )
    write_atomic(target, page.encode())
    write_atomic(beside, png(advice_figure(advice, shown=shown)))  # pyright: ignore[reportArgumentType]
    return target


def _all_colors(advice: "Advice", count: int) -> dict[str, list[tuple[str, str]]]:
    """CSS variables of the encodings and of the instants."""
    return named_colors(
        {"choice": colors([choice.label for choice in advice.table], pick=0), "time": _palette.times(max(count, 2))}
    )


def _what(advice: "Advice") -> str:
    return {1: "this signal", 2: "this image"}.get(len(advice.shape), "these data")


def _samples(advice: "Advice") -> str:
    return "the pixels" if len(advice.shape) == 2 else "the samples"


def _setting(advice: "Advice") -> list[str]:
    size = " × ".join(f"{side:,}" for side in (advice.shape[::-1] if len(advice.shape) == 2 else advice.shape))
    unit = "pixels" if len(advice.shape) == 2 else "samples"
    return [f"{size} {unit}", _OPTIMIZERS.get(advice.optimizer, advice.optimizer), plural(advice.budget, "step")]


def _numbers(advice: "Advice") -> list[dict[str, str]]:
    """The strip of key numbers."""
    pick, raw = advice.pick, compared(advice)
    entries = [("the pick", pick.label, f"best of {len(advice.table)}")]
    entries.append(("held out", decibels(pick.psnr), f"after {plural(advice.budget, 'step')}"))
    entries.append(("on what trains", decibels(pick.train_psnr), "the same network"))
    if raw is not None:
        entries.append((raw.label, decibels(raw.psnr), "held out"))
    if len(advice.table) > 1:
        worst = advice.table[-1]
        entries.append(("the worst", decibels(worst.psnr), worst.label))
    entries.append(("asked in", f"{number(advice.seconds, 2)} s", "nothing was trained"))
    return [{"label": label, "value": value, "note": note} for label, value, note in entries]


def _curves(advice: "Advice") -> Figure:
    """PSNR on what is held out over the steps: one curve for each encoding, the pick on top."""
    low, high = frame(advice)
    # The plot is lower where the page is narrow.
    named = named_ends(advice, gap=_GAP * (high - low) / 330, bottom=low)
    columns: dict[str, Any] = {"step": advice.steps}
    traces, ends = [], []
    for index in reversed(range(len(advice.table))):
        choice, color = advice.table[index], f"--choice-{index}"
        columns[choice.label] = np.asarray(choice.held_out, float)
        hover = f"{escape(choice.label)}: %{{y:.1f}} dB at step %{{x:,.0f}}<extra></extra>"
        style: dict[str, Any] = {"showlegend": False, "hovertemplate": hover, "width": 3.5 if index == 0 else 1.3}
        traces.append(curve("step", choice.label, choice.label, color, **style))
    for index in named:
        choice, pick = advice.table[index], index == 0
        text = f"<b>{escape(choice.label)}</b>" if pick else escape(choice.label)
        ends.append(
            {
                "x": [int(advice.steps[-1])],
                "y": [float(choice.psnr)],
                "mode": "markers+text" if pick else "text",
                "marker": {"color": f"--choice-{index}", "size": 9},
                "text": [f" {text}"],
                "textposition": "middle right",
                "textfont": {"color": f"--choice-{index}", "size": 12},
                "cliponaxis": False,
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    best = ", ".join(f"{choice.label} {decibels(choice.psnr)}" for choice in advice.table[:5])
    unnamed = "" if len(named) == len(advice.table) else " Where names would overlap, the better curve is named."
    return Figure(
        key="psnr",
        alt=f"Predicted PSNR against step of {plural(len(advice.table), 'encoding')}. At the budget: {best}.",
        caption="Predicted PSNR on what is held out, 10 log₁₀(1/mean square error) for values scaled to [0, 1]. Thick: "
        "the pick. Blue: positional encodings, orange: Gaussian Fourier features, gray: raw coordinates; the stronger "
        "the color, the higher the frequencies." + unnamed,
        columns=columns,
        plot=Plot(
            traces=[*traces, *ends],
            x=STEPS,
            y=Axis(title="held-out PSNR (dB)", switch=False, range=(low, high)),
            height=_HEIGHT,
            room=8 + 7 * max(len(advice.table[index].label) for index in [0, *named]),
        ),
    )


def _table(advice: "Advice") -> Figure:
    """The encodings in the order of their PSNR at the budget."""
    head, rows = table_head(advice), table_rows(advice)
    main = "; ".join(f"{row[0]} {row[1]}" for row in rows[:6])
    columns: dict[str, Any] = {"encoding": [choice.label for choice in advice.table]}
    columns["held out"] = [choice.psnr for choice in advice.table]
    for title, index in zip(head[2:-2], table_columns(advice)[:-1], strict=True):
        columns[f"held out {title}"] = [float(choice.held_out[index]) for choice in advice.table]
    columns["trained on"] = [choice.train_psnr for choice in advice.table]
    columns["how"] = [choice.method for choice in advice.table]
    return Figure(
        key="encodings",
        alt=f"Table of the encodings, best first, PSNR in dB: {main}.",
        caption="PSNR in dB, predicted: on what is held out at the budget and at earlier steps, and at the budget on "
        "what trains. Where the last is far above the first, the network fills the gaps with what is not in the data.",
        columns=columns,
        table=Table(head=head, rows=rows, swatches=[f"--choice-{index}" for index in range(len(rows))]),
    )


def _drawn_sentence(advice: "Advice") -> str:
    other = compared(advice)
    against = "" if other is None else f", and with {other.label} to compare"
    return f"Predicted with {advice.pick.label}{against}; a lattice of samples trains, all are shown."


def _drawings(advice: "Advice", shown: list[View]) -> list[Figure]:
    """The predictions, and the spectra below them."""
    figures: list[Figure] = []
    if len(advice.shape) == 2:
        figures += [_pictures(advice, view) for view in shown]
        figures += [_detail(advice, shown)]
    elif len(advice.shape) == 1:
        figures += [_signals(advice, shown)]
    return [*figures, _spectra(advice, shown)]


def at(step: int | np.integer) -> str:
    """`step 200`."""
    return f"step {int(step):,}"


def _uri(values: np.ndarray, *, reduce: bool = True) -> str:
    """A picture of values (rows, columns, c) in [0, 1]."""
    shape = values.shape[:2]
    pixels = brightness(values.reshape(-1, values.shape[2]) if values.shape[2] == 3 else values.ravel(), shape)
    if reduce and max(shape) > WIDEST:
        from PIL import Image

        columns, rows = (max(1, round(side * WIDEST / max(shape))) for side in shape[::-1])
        pixels = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
    return data_uri(pixels)


def _pictures(advice: "Advice", view: View) -> Figure:
    """The target, and what the network draws at a few steps."""
    label = view.choice.label
    reached = np.interp(np.log1p(view.steps), np.log1p(advice.steps), np.asarray(view.choice.held_out, float))
    drawn = [Picture(source=_uri(shades(advice, advice.values)), alt="the target", label="target")]
    for step, values, psnr in zip(view.steps, view.pictures, reached, strict=True):
        said = f"{at(step)}: {decibels(float(psnr))}"
        drawn.append(Picture(source=_uri(shades(advice, values)), alt=f"the prediction at {at(step)}", label=said))
    reduced = f" Reduced to {WIDEST} pixels." if max(advice.shape) > WIDEST else ""
    return Figure(
        key=f"pictures-{'pick' if view.choice is advice.pick else 'compared'}",
        alt=f"The target, and the predictions with {label} at {', '.join(at(step) for step in view.steps)}.",
        caption=f"`{label}`: the target and what the network is predicted to draw, with the PSNR on what is held out."
        + reduced,
        columns={"step": view.steps, "held-out PSNR": reached},
        pictures=drawn,
        across=4,
    )


def _detail(advice: "Advice", shown: list[View]) -> Figure:
    """A square at the size of its pixels: the target, what of it trains, and the predictions."""
    last = [view.pictures[-1] for view in shown]
    square = detail(advice)
    panels = [("target", advice.values), ("what trains", trained_pixels(advice, advice.values))]
    panels += [(f"{view.choice.label}, {at(view.steps[-1])}", values) for view, values in zip(shown, last, strict=True)]
    pictures = [
        Picture(source=_uri(shades(advice, values[square]), reduce=False), alt=text, label=text)
        for text, values in panels
    ]
    side = square[0].stop - square[0].start
    return Figure(
        key="detail",
        alt=f"A square of {side} × {side} pixels: {', '.join(text for text, _ in panels)}.",
        caption=f"The square of {side} × {side} pixels with most structure, as it is. Gray in the second picture: what "
        "does not train.",
        columns={
            "row": np.arange(square[0].start, square[0].stop),
            "column": np.arange(square[1].start, square[1].stop),
        },
        pictures=pictures,
        across=4,
    )


def _signals(advice: "Advice", shown: list[View]) -> Figure:
    """Signals: the target and the predictions as curves, one panel for each encoding."""
    some = thin(advice.shape[0], MAX_POINTS // 2)
    trains = np.asarray(advice.trains).reshape(-1)
    columns: dict[str, Any] = {"sample": some, "target": advice.values[some, 0]}
    columns |= {"sample that trains": some[trains[some]], "trained on": advice.values[some[trains[some]], 0]}
    traces = []
    for panel, view in enumerate(shown):
        first = {"showlegend": panel == 0, "panel": panel}
        traces.append(curve("sample", "target", "target", "--ink", width=1.2, legendgroup="target", **first))
        for index, (step, values) in enumerate(zip(view.steps, view.pictures, strict=True)):
            column = f"{view.choice.label} at {at(step)}"
            columns[column] = values[some, 0]
            traces.append(curve("sample", column, at(step), f"--time-{index}", legendgroup=at(step), **first))
    spread = advice.values[..., 0]
    pad = 0.15 * float(np.ptp(spread))
    return Figure(
        key="signals",
        alt=f"The signal, and the predictions with {' and '.join(view.choice.label for view in shown)}.",
        caption="The target and what the network is predicted to output. Every second sample trains.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title="sample", switch=False),
            y=Axis(title="value", switch=False, range=(float(spread.min()) - pad, float(spread.max()) + pad)),
            panels=[view.choice.label for view in shown],
            stacked=True,
            height=220,
        ),
    )


def _spectra(advice: "Advice", shown: list[View]) -> Figure:
    """Amplitude against frequency: of the target and of the predictions, one panel for each encoding."""
    target = spectrum(advice, advice.values)
    columns: dict[str, Any] = {"frequency": np.arange(len(target)), "target": target}
    traces = []
    for panel, view in enumerate(shown):
        first = {"showlegend": panel == 0, "panel": panel}
        for index, (step, rms) in enumerate(zip(view.steps, view.spectra, strict=True)):
            column = f"{view.choice.label} at {at(step)}"
            columns[column] = rms
            traces.append(curve("frequency", column, at(step), f"--time-{index}", legendgroup=at(step), **first))
        traces.append(curve("frequency", "target", "target", "--ink", width=1.4, legendgroup="target", **first))
    edge = finest_trained(advice)
    positive = target[np.isfinite(target) & (target > 0)]
    floor = float(positive.min()) / 10 if len(positive) else 1e-6
    per = "cycles per image" if len(advice.shape) == 2 else "cycles per window"
    return Figure(
        key="spectra",
        alt="Fourier amplitude of the target and of the predictions against frequency, with "
        f"{' and '.join(view.choice.label for view in shown)}.",
        caption="Root mean square of the Fourier coefficients "
        f"{'with each rounded |k|' if len(advice.shape) > 1 else 'at each frequency'}. Where a prediction lies "
        "below the target, these frequencies are not learned yet. Right of the dotted line the samples that train "
        "cannot tell a frequency from a lower one: what stands there is a guess.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title=f"frequency ({per})", log=True, floor=0.4),
            y=Axis(title="", log=True, floor=floor, floor_label="less"),
            panels=[f"{view.choice.label}: Fourier amplitude" for view in shown],
            lines=[{"axis": "x", "at": edge, "text": "", "place": "start"}],
            height=280,
        ),
    )
