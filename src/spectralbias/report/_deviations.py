"""Why training left the frozen kernel's prediction, band by band and mode by mode."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runs._files import write_atomic
from . import _palette
from ._deviation_words import PARTS, about_points, among, shown, title
from ._evidence import Evidence
from ._figure import STEPS, Axis, Figure, Plot, curve, points, thin
from ._style import INK, MUTED, drawing, logarithmic_from_zero, png
from ._text import number, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Dashes of the parts, for those who do not see the colors, in Plotly and in matplotlib.
_DASHES = {"sampling": ("solid", (1, 0)), "width": ("7px,3px", (5, 2)), "motion": ("2px,2px", (1.5, 1.5))}
_MOST_MODES = 1000


def _curves(evidence: Evidence) -> tuple[np.ndarray, list[tuple[str, dict[str, np.ndarray]]]]:
    """Steps, and for each band shown the deviation and its parts, relative to the band's start."""
    data, summary = evidence.deviations, evidence.info["deviations"]
    assert data is not None
    names = data.attrs["band_names"]
    present = [part for part in PARTS if f"band_{part}" in data]
    found = []
    for band in shown(summary):
        index = names.index(band["name"])
        start = float(data["band_measured"][0, index])
        parts = ("deviation", *present)
        found.append(
            (
                title(band, summary["band_kind"]),
                {part: data[f"band_{part}"][:, index].to_numpy() / start for part in parts},
            )
        )
    return data["step"].to_numpy(), found


def parts(evidence: Evidence) -> Figure:
    """The deviation in each band and its signed parts, against the step."""
    steps, bands = _curves(evidence)
    summary = evidence.info["deviations"]
    columns: dict[str, Any] = {"step": steps}
    traces = []
    for panel, (name, curves) in enumerate(bands):
        for part, values in curves.items():
            columns[f"{name} {part}"] = values
            more = {"panel": panel, "legendgroup": part, "showlegend": panel == 0}
            if part == "deviation":
                traces.append(curve("step", f"{name} {part}", "deviation", "--ink", width=2.6, **more))
            else:
                color, dash = f"--part-{list(PARTS).index(part)}", _DASHES[part][0]
                traces.append(curve("step", f"{name} {part}", PARTS[part], color, dash=dash, width=2, **more))
    said = [f"{title(band, summary['band_kind'])} {among(band)}" for band in shown(summary)]
    return Figure(
        key="deviations",
        alt="Deviation from the frozen kernel's prediction against step, one panel per band, with its parts; at the "
        f"end, relative to the band's start: {'; '.join(said)}.",
        caption=_caption(summary),
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="deviation, relative to the band’s start", format="~%", switch=False),
            panels=[name for name, _ in bands],
            free=True,
            height=230,
            lines=[{"axis": "y", "at": 0.0, "text": ""}],
        ),
    )


def _caption(summary: dict[str, Any]) -> str:
    several = len(summary["bands"]) > len(shown(summary))
    which = f"{len(shown(summary))} strong bands" if several else "each band"
    text = (
        f"Dark: how far the residual in {which} is from what the frozen kernel predicts, relative to the band’s start. "
        "It is positive if the residual ends above the prediction, and changes sign where the deviation turns round. "
        "Colored: its parts, taken along it, so that they add up to it. "
        f"{about_points(summary)} The prediction and the parts are computed from kernels, and add up to the measured "
        f"residual within {percent(summary['identity_error'])} of its start."
    )
    if summary["share_in_modes"] < 0.999:
        text += (
            f" Only the largest {summary['num_modes']:,} modes were used; they hold "
            f"{percent(summary['share_in_modes'])} of the first residual."
        )
    if summary["replay_difference"] > 0:
        text += f" For this training was repeated; it came out within {percent(summary['replay_difference'])}."
    return text


def damping(evidence: Evidence) -> Figure:
    """Each mode's deviation, and what it would be without damping, against its eigenvalue."""
    data = evidence.deviations
    assert data is not None
    eigenvalues = data["eigenvalue"].to_numpy()
    rows = np.flatnonzero(eigenvalues > 0)
    rows = rows[thin(len(rows), _MOST_MODES)]
    first = float(np.linalg.norm(data["measured"][0].to_numpy()))
    deviation = np.abs(data["deviation"][-1].to_numpy()[rows]) / first
    undamped = np.abs(data["undamped"][-1].to_numpy()[rows]) / first
    values, step, end = eigenvalues[rows], int(data["step"][-1]), float(data["time"][-1])
    floor = float(max(np.max(deviation, initial=0.0), np.max(undamped, initial=0.0)) * 1e-6) or 1e-6
    columns = {"mode": rows + 1, "eigenvalue": values, "without damping": undamped, "deviation": deviation}
    hover = "mode %{customdata[0]:,d}<br>λ = %{x:.3g}<br>%{y:.2~%} of the first residual"
    traces = [
        points("eigenvalue", "without damping", "without damping", "--muted", size=6, symbol="circle-open"),
        points("eigenvalue", "deviation", "deviation", "--accent", size=5, marker={"opacity": 0.8}),
    ]
    strongest = values[0] * end
    kept = -np.expm1(-strongest) / strongest
    slow = int(np.sum(values * end < 1))
    return Figure(
        key="damping",
        alt=f"Deviation at step {step:,} against eigenvalue, with and without damping, of {plural(len(rows), 'mode')}: "
        f"the fastest keeps {percent(kept)} of a constant force, and {plural(slow, 'mode')} more than 63 %.",
        caption="Every mode twice. Open: what drives it away from the prediction, added up over all steps. Filled: the "
        "deviation that is left of it, for a mode corrects itself, the faster the larger its eigenvalue λ is. Of a "
        f"constant force it keeps (1 − e^(−λt))/(λt): the fastest {percent(kept)}. Left of the line, λ = 1/t with t = "
        f"{number(end)}, there is hardly any damping.",
        columns=columns,
        plot=Plot(
            traces=[{**trace, "custom": ["mode"], "hovertemplate": hover} for trace in traces],
            x=Axis(title="eigenvalue of the frozen kernel", log=True),
            y=Axis(title="relative to the first residual", log=True, floor=floor, floor_label="less", format="~%"),
            lines=[{"axis": "x", "at": 1 / end, "text": " λ = 1/t ", "place": "end", "left": slow > len(rows) / 2}],
        ),
    )


def write_picture(evidence: Evidence, path: Path) -> None:
    """The first figure for a paper, 7 inches wide at 200 dots per inch."""
    steps, bands = _curves(evidence)
    with drawing(7, 2.6 if len(bands) > 1 else 3) as figure:
        axes = figure.subplots(1, len(bands), squeeze=False)[0]
        for panel, (name, curves) in zip(axes, bands, strict=True):
            _panel(panel, steps, name, curves)
        axes[0].set_ylabel("deviation, relative to start")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(handles))
        write_atomic(path, png(figure))  # pyright: ignore[reportArgumentType]


def _panel(axes: "Axes", steps: np.ndarray, name: str, curves: dict[str, np.ndarray]) -> None:
    last, floor = max(int(steps[-1]), 2), STEPS.floor or 0.4
    logarithmic_from_zero(axes, last, floor)
    axes.set_xlim(floor * 0.85, last)
    axes.set_xlabel("step")
    axes.set_title(name)
    axes.axhline(0, color=MUTED, linewidth=0.7, dashes=(1, 2), zorder=0)
    at = np.maximum(steps, floor)
    colors, _ = _palette.unordered(len(PARTS))
    for part, values in curves.items():
        if part == "deviation":
            axes.plot(at, values, color=INK, linewidth=2, label="deviation")
        else:
            color = colors[list(PARTS).index(part)]
            axes.plot(at, values, color=color, linewidth=1.3, dashes=_DASHES[part][1], label=PARTS[part])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %".replace("-", "−"))
