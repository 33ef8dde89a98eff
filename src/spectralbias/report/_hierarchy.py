"""How much finite width matters: what the frozen kernel misses, and what a higher order of the hierarchy does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dynamics import compare
from ..runs._files import write_atomic
from ._evidence import WEAK, Evidence
from ._figure import STEPS, Axis, Figure, Plot, Table, curve, points
from ._hierarchy_words import about_modes, errors, explained, shown
from ._style import ACCENT, MUTED, drawing, logarithmic_from_zero, png
from ._tables import when
from ._text import number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# What is missed by more than so many times the most that the frozen kernel misses is not drawn.
BEYOND = 3
_KEYS = ("frozen_error", "corrected_error")


def _names(order: int) -> dict[str, str]:
    return dict(zip(_KEYS, ("frozen kernel", f"order {order}"), strict=True))


def _curves(evidence: Evidence) -> tuple[np.ndarray, list[tuple[str, dict[str, np.ndarray]]]]:
    """Steps, and for each band shown both errors, relative to the band's start."""
    data, summary = evidence.hierarchy, evidence.info["hierarchy"]
    assert data is not None
    names = data.attrs["band_names"]
    found = []
    for band in shown(summary):
        index = names.index(band["name"])
        start = float(evidence.records["band_energy"][0, index]) ** 0.5
        frozen, corrected = (data[f"band_{key}"][:, index].to_numpy() / start for key in _KEYS)
        seen = np.where(corrected <= BEYOND * frozen.max(), corrected, np.nan)
        found.append((band["name"], dict(zip(_KEYS, (frozen, seen), strict=True))))
    return data["step"].to_numpy(), found


def gaps(evidence: Evidence) -> Figure:
    """What both predictions miss in each band, against the step."""
    steps, bands = _curves(evidence)
    summary = evidence.info["hierarchy"]
    order, names = summary["order"], _names(summary["order"])
    columns: dict[str, Any] = {"step": steps}
    traces = []
    for panel, (name, both) in enumerate(bands):
        for key, values in both.items():
            column = f"{name} {names[key]}"
            columns[column] = values
            more = {"panel": panel, "legendgroup": key, "showlegend": panel == 0}
            line = {"color": "--muted", "dash": "7px,3px"} if key == "frozen_error" else {"color": "--accent"}
            traces.append(curve("step", column, names[key], **line, width=2.4, **more))
    said = "; ".join(f"{band['name']} {errors(band, order)}" for band in shown(summary))
    lines = [] if summary["status"] == "valid" else [{"axis": "x", "at": max(summary["valid_until"], 0.4), "text": ""}]
    return Figure(
        key="hierarchy",
        alt=f"What the frozen kernel and order {order} miss against step, one panel per band; at most, relative to the "
        f"band's start: {said}.",
        caption=_caption(summary),
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="missed, relative to the band’s start", format="~%", switch=False),
            panels=[name for name, _ in bands],
            free=True,
            height=230,
            lines=lines,
        ),
    )


def _caption(summary: dict[str, Any]) -> str:
    several = len(summary["bands"]) > len(shown(summary))
    which = f"{len(shown(summary))} strong bands" if several else "each band"
    order = summary["order"]
    text = (
        f"How far the measured residual in {which} is from a prediction, relative to the band’s start. Dashed: the "
        f"prediction of the frozen kernel. Solid: that of order {order}, which follows the kernel’s motion too. What "
        "lies between the curves is explained. Both are computed from the network at its start, without training it."
    )
    if summary["status"] != "valid":
        end = "diverges" if summary["status"] == "stopped" else "has a kernel with a negative eigenvalue"
        text += f" From the dotted line on, at step {summary['valid_until']:,}, order {order} {end}."
    most = max(np.inf if band["corrected_error"] is None else band["corrected_error"] for band in shown(summary))
    if most > BEYOND * max(band["frozen_error"] for band in shown(summary)):
        text += f" Where order {order} misses several times as much as the frozen kernel, it is not drawn."
    if summary["has_kinks"]:
        text += f" What the kinks of `{summary['activation']}` do to the kernel is in neither of them."
    return text


def modes(evidence: Evidence) -> Figure | None:
    """How far each mode's 1/e step is from both predictions; None where no mode fell as predicted."""
    data, summary = evidence.hierarchy, evidence.info["hierarchy"]
    assert data is not None
    by_frozen = evidence.by_mode
    by_corrected = compare(evidence.steps, evidence.coefficients, data["coefficient"].to_numpy())
    frozen, corrected = by_frozen.relative_errors, by_corrected.relative_errors
    rows = np.flatnonzero((evidence.mode_shares >= WEAK) & (np.isfinite(frozen) | np.isfinite(corrected)))
    if not np.isfinite(corrected[rows]).any():
        return None
    names = _names(summary["order"])
    at = np.maximum(by_frozen.measured_steps[rows], 1.0)
    columns = {
        "mode": rows + 1,
        "share": evidence.mode_shares[rows],
        "measured step": at,
        "frozen kernel": frozen[rows],
        names["corrected_error"]: corrected[rows],
    }
    ends = [1.0, max(10.0, float(at.max()) * 1.2)]
    edge = {"hoverinfo": "skip", "showlegend": False}
    gap = np.full(len(rows), np.nan)
    from_to = np.column_stack([frozen[rows], corrected[rows], gap]).ravel()
    hover = "mode %{customdata[0]:,d}<br>measured %{x:,.3~r}<br>%{y:+.2~%}"
    traces = [
        curve(ends, [-0.1, -0.1], "", "--shade", width=0, **edge),
        curve(ends, [0.1, 0.1], "", "--shade", width=0, fill="tonexty", fillcolor="--shade", **edge),
        curve(ends, [0.0, 0.0], "", "--muted", width=1, **edge),
        curve(np.column_stack([at, at, gap]).ravel(), from_to, "", "--line", width=1, **edge),
        points("measured step", "frozen kernel", "frozen kernel", "--muted", size=8, symbol="circle-open"),
        points("measured step", names["corrected_error"], names["corrected_error"], "--accent", size=7),
    ]
    count = plural(len(rows), "mode")
    return Figure(
        key="hierarchy-modes",
        alt=f"Error of the predicted 1/e step of {count}, by the frozen kernel and by order {summary['order']}. "
        f"{about_modes(summary)}",
        caption=f"How much later than predicted a mode was learned, for the {count} with at least 0.1 % of the first "
        f"residual that fell to 1/e. Open: predicted by the frozen kernel. Filled: by order {summary['order']}. The "
        f"gray band is ±10 %. {about_modes(summary)}{_without(corrected[rows], summary)}".rstrip(),
        columns=columns,
        plot=Plot(
            traces=[
                {**trace, "custom": ["mode"], "hovertemplate": hover} if trace["name"] else trace for trace in traces
            ],
            x=Axis(title="measured step at which 1/e is left", log=True, floor=1.0, floor_label="≤ 1"),
            y=Axis(title="learned later than predicted", format="~%", switch=False),
        ),
    )


def _without(corrected: np.ndarray, summary: dict[str, Any]) -> str:
    """What it means where one of the two points is missing."""
    missing = int(np.sum(~np.isfinite(corrected)))
    if not missing or summary["status"] == "stopped":
        return ""
    those = "the mode" if missing == 1 else f"the {missing} modes"
    return f" By order {summary['order']} {those} without a filled point would not have fallen within this run."


def table(evidence: Evidence) -> Figure:
    """Learning steps, remainders and errors of every band: measured, frozen, and corrected."""
    summary = evidence.info["hierarchy"]
    order, bands, names = summary["order"], summary["bands"], list(evidence.band_names)
    rows = [
        (
            band["name"],
            *learned(band),
            percent(band["frozen_error"]),
            percent(band["corrected_error"]),
            explained(band),
            *(percent(band[f"{key}_left"]) for key in ("measured", "frozen", "corrected")),
        )
        for band in bands
    ]
    keys = [key for key in bands[0] if key not in ("name", "until_valid")]
    columns = {"band": [band["name"] for band in bands]}
    columns |= {key.replace("_", " "): [band[key] for band in bands] for key in keys}
    said = "; ".join(f"{band['name']} {errors(band, order)}" for band in bands)
    which = ("measured", "frozen", f"order {order}")
    return Figure(
        key="hierarchy-bands",
        alt=f"Table of the bands: largest error {said}.",
        caption="Missed: the largest distance from the measured residual in the band, relative to its start. "
        f"Explained: 1 − that of order {order} over that of the frozen kernel, where the latter is at least 0.5 %."
        f"{_held_out(summary)}",
        columns=columns,
        table=Table(
            head=("", *which, *which[1:], "", *which),
            rows=rows,
            groups=[("band", 1), ("learned at step", 3), ("missed", 2), ("explained", 1), ("left at the end", 3)],
            swatches=[f"--band-{names.index(band['name'])}" for band in bands],
        ),
    )


def learned(band: dict[str, Any]) -> tuple[str, str, str]:
    """When the band was learned, and when it was to be by both predictions."""
    measured, frozen = (when(band[f"{key}_step"], never="not yet") for key in ("measured", "frozen"))
    return measured, frozen, when(band["corrected_step"], never="–" if band["corrected_left"] is None else "not yet")


def _held_out(summary: dict[str, Any]) -> str:
    loss = summary["test_loss"]
    if loss is None:
        return ""
    return (
        f" Held-out loss at the end: measured {number(loss['measured'])}, frozen kernel {number(loss['frozen'])}, "
        f"order {summary['order']} {number(loss['corrected'])}."
    )


def write_picture(evidence: Evidence, path: Path) -> None:
    """The first figure for a paper, 7 inches wide at 200 dots per inch."""
    steps, bands = _curves(evidence)
    summary = evidence.info["hierarchy"]
    with drawing(7, 2.6 if len(bands) > 1 else 3) as figure:
        axes = figure.subplots(1, len(bands), squeeze=False)[0]
        for panel, (name, both) in zip(axes, bands, strict=True):
            _panel(panel, steps, name, both, summary)
        axes[0].set_ylabel("missed, relative to start")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(handles))
        write_atomic(path, png(figure))  # pyright: ignore[reportArgumentType]


def _panel(axes: "Axes", steps: np.ndarray, name: str, both: dict[str, np.ndarray], summary: dict[str, Any]) -> None:
    last, floor = max(int(steps[-1]), 2), STEPS.floor or 0.4
    logarithmic_from_zero(axes, last, floor)
    axes.set_xlim(floor * 0.85, last)
    axes.set_xlabel("step")
    axes.set_title(name)
    if summary["status"] != "valid":
        axes.axvline(max(summary["valid_until"], floor), color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    at = np.maximum(steps, floor)
    names = _names(summary["order"])
    axes.plot(at, both["frozen_error"], color=MUTED, linewidth=1.6, dashes=(5, 2), label=names["frozen_error"])
    axes.plot(at, both["corrected_error"], color=ACCENT, linewidth=1.8, label=names["corrected_error"])
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
