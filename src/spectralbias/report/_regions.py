"""Regions and gradient confusion: what neighbors share along the training, and where the regions are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..regions import cosine_density
from ..runs._files import write_atomic
from . import _palette
from ._evidence import Evidence
from ._figure import STEPS, Axis, Figure, Plot, Table, curve, points, thin
from ._fits import is_signal
from ._region_pictures import boundaries, draw_boundaries
from ._regions_words import about_pairs, about_window, between, distant, neighbors, strong_bands, two_decimals
from ._style import ACCENT, INK, MUTED, SECOND, drawing, logarithmic_from_zero, png
from ._text import number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The two sets of pairs as figures show them: color and dash in Plotly, color and dashes in matplotlib.
_LOOKS = {"neighbors": ("--accent", "solid", ACCENT, (1, 0)), "distant": ("--second", "7px,3px", SECOND, (5, 2))}
# Points of a density of cosines; density below which it is not drawn.
_POINTS, _FLOOR = 201, 0.01
_MOST_SAMPLES = 2000


def _pair_names(summary: dict[str, Any]) -> dict[str, str]:
    return {"neighbors": neighbors(summary), "distant": distant(summary)}


def along(evidence: Evidence) -> Figure:
    """Regions, confusion and the bands of the fit on one axis of steps."""
    data, summary = evidence.regions, evidence.info["regions"]
    assert data is not None
    names, steps = _pair_names(summary), data["step"].to_numpy()
    columns: dict[str, Any] = {"step": steps}
    traces = []
    panels = []

    def add(column: str, values: np.ndarray, name: str, color: str, dash: str = "solid", **more: Any) -> None:
        more = {"panel": len(panels) - 1, **more}
        if not name:
            traces.append(curve(steps, values, "", color, width=1, hoverinfo="skip", showlegend=False, **more))
            return
        columns[column] = values
        trace = curve("step", column, name, color, dash=dash, width=2, **more)
        traces.append({**trace, "mode": "lines+markers", "marker": {"color": color, "size": 4}})

    for which, name in enumerate(names):
        color, dash = _LOOKS[name][:2]
        panels.append(f"{name if name == 'neighbors' else 'distant pairs'}: differing units")
        values = data["hamming_of_live"][:, which].to_numpy()
        add(f"{name} differ in", values, names[name], color, dash, legendgroup=name)
        add("", np.zeros(len(steps)), "", "--line")
    panels.append("mean |cos| of their gradients")
    for which, name in enumerate(names):
        color, dash = _LOOKS[name][:2]
        values = data["mean_abs_cosine"][:, which].to_numpy()
        add(f"{name} mean |cos|", values, names[name], color, dash, legendgroup=name, showlegend=False)
    bands = strong_bands(summary)
    if bands:
        panels.append("the fit, over the target")
    for band in bands:
        index = data.attrs["band_names"].index(band["name"])
        add(f"{band['name']} in the fit", data["amplitude"][:, index].to_numpy(), band["name"], f"--band-{index}")
    panels.append("regions per sample")
    distinct = data["num_distinct"].to_numpy() / summary["num_samples"]
    add("distinct patterns per sample", distinct, "distinct patterns of the samples", "--ink")
    if "region_count" in data:
        exact = data["region_count"].to_numpy() / summary["num_samples"]
        add("regions per sample", exact, "all regions", "--muted", "2px,2px")
    return Figure(
        key="regions",
        alt=f"Regions, gradient confusion and the fit against step: {_said(summary)}.",
        caption="Everything on one axis of steps, to see what comes first. Differing units: active for "
        "one sample and not for the other, or on another linear piece. |cos| = 1: what a step does for the loss of one "
        "sample it does for that of the other, or against it. In the fit, 1 means as much of that part as the target "
        f"has. {about_pairs(summary)}",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=STEPS,
            y=Axis(title="as a fraction", format="~%"),
            panels=panels,
            stacked=True,
            free=True,
            height=105,
        ),
    )


def _said(summary: dict[str, Any]) -> str:
    """Start and end of both sets, for a reader who does not see the figure."""
    found = []
    for name in _LOOKS:
        start, end = (summary[name][when] for when in ("start", "end"))
        found.append(
            f"{name} differ in {percent(start['of_live'])} of the units at the start and {percent(end['of_live'])} at "
            f"the end, mean |cos| {two_decimals(start['mean_abs_cosine'])} and {two_decimals(end['mean_abs_cosine'])}"
        )
    first, last = summary["distinct"]
    return "; ".join([*found, f"distinct patterns {first:,} and {last:,} of {summary['num_samples']:,} samples"])


def _density(evidence: Evidence, when: int, which: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The density of the cosines at a snapshot; None where no gradient is there."""
    data = evidence.regions
    assert data is not None
    cosines = data["cosine"][when, which].to_numpy().astype(np.float64)
    cosines = cosines[np.isfinite(cosines)]
    return cosine_density(cosines, points=_POINTS) if len(cosines) > 1 else None


def _instants(evidence: Evidence) -> dict[str, int]:
    """The snapshots of which densities are shown: start, middle and end."""
    data = evidence.regions
    assert data is not None
    steps = data["step"].to_numpy()
    return {f"step {steps[when]:,}": when for when in (0, (len(steps) - 1) // 2, len(steps) - 1)}


def confusion(evidence: Evidence) -> Figure:
    """Densities of the cosines at the start, in the middle and at the end."""
    summary = evidence.info["regions"]
    names, instants = _pair_names(summary), _instants(evidence)
    columns: dict[str, Any] = {}
    traces = []
    for panel, (title, when) in enumerate(instants.items()):
        for which, name in enumerate(names):
            found = _density(evidence, when, which)
            if found is None:
                continue
            grid, density = found
            columns.setdefault("cosine", grid)
            columns[f"{name} at {title}"] = density
            color, dash = _LOOKS[name][:2]
            more = {"panel": panel, "legendgroup": name, "showlegend": panel == 0}
            traces.append(curve("cosine", f"{name} at {title}", names[name], color, dash=dash, **more))
    end = {name: summary[name]["end"] for name in names}
    said = "; ".join(
        f"{name}: {percent(one['share_negative'])} below 0, {percent(one['share_parallel'])} with |cos| above 0.9"
        for name, one in end.items()
    )
    return Figure(
        key="confusion",
        alt=f"Density of the cosine of the gradients of a pair at {', '.join(instants)}. At the end {said}.",
        caption="Gradient confusion: how the gradients of the losses of two samples lie to each other. A peak at 0: "
        "the network can fit one without touching the other. Peaks at ±1: it can only move both. Below 0 a step that "
        f"helps one harms the other. At the end, {said}.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title="cosine of the gradients", switch=False),
            y=Axis(title="density", log=True, floor=_FLOOR, floor_label="less"),
            panels=list(instants),
            height=230,
        ),
    )


def where(evidence: Evidence) -> Figure | None:
    """Where the regions are: boundaries over the image, or along the interval."""
    kind = evidence.info["regions"]["exact"]["kind"]
    return {"plane": _in_plane, "interval": _on_interval}.get(kind, lambda _: None)(evidence)


def _in_plane(evidence: Evidence) -> Figure:
    data, exact = evidence.regions, evidence.info["regions"]["exact"]
    assert data is not None
    columns: dict[str, Any] = {"regions at the start": exact["counts"][:1], "regions at the end": exact["counts"][1:]}
    if "density" in data and evidence.run.problem.grid is not None:
        rows = np.flatnonzero(np.isfinite(data["density"].to_numpy()))
        row, column = np.unravel_index(rows, evidence.run.problem.grid.shape)
        columns = {"row": row, "column": column}
        columns |= {name: data[name].to_numpy()[rows] for name in ("density", "detail", "error")}
    pictures = boundaries(evidence)
    return Figure(
        key="boundaries",
        alt=f"Boundaries of the linear regions over the target: {exact['counts'][0]:,} at the start, "
        f"{exact['counts'][1]:,} at the end.",
        caption=f"The regions in which the network is linear, over the target. {about_window(evidence.info['regions'])}"
        " Where the lines are dense the network can bend, elsewhere it is a plane. Their color is that of the layer "
        "whose unit switches there, from blue, the first, to orange, the last.",
        columns=columns,
        pictures=pictures,
        across=2,
    )


def _on_interval(evidence: Evidence) -> Figure:
    data, exact = evidence.regions, evidence.info["regions"]["exact"]
    assert data is not None
    problem = evidence.run.problem
    order = np.argsort(problem.x[:, 0], kind="stable")
    x = problem.x[order, 0]
    columns: dict[str, Any] = {"x": x}
    traces = []
    outputs = evidence.output(len(evidence.steps) - 1).reshape(len(x), -1)
    columns["target"] = problem.y.reshape(len(x), -1)[order, 0]
    columns["fit at the end"] = outputs[order, 0]
    traces.append(curve("x", "target", "target", "--muted", width=1.2, panel=0))
    traces.append(curve("x", "fit at the end", "fit at the end", "--accent", width=1.8, panel=0))
    edges = np.linspace(exact["lower"][0], exact["upper"][0], min(len(x), 128) + 1)
    columns["place"] = (edges[1:] + edges[:-1]) / 2
    for name, when, color, dash in (
        ("first_breakpoint", "start", "--muted", "2px,2px"),
        ("breakpoint", "end", "--second", "solid"),
    ):
        label = f"boundaries at the {when}"
        columns[label] = np.histogram(data[name].to_numpy(), edges)[0]
        shape = {"color": color, "dash": dash, "width": 1.6, "shape": "hvh"}
        traces.append({**curve("place", label, label, color, panel=1), "line": shape})
    counts = exact["counts"]
    return Figure(
        key="boundaries",
        alt=f"Target, fit, and where the linear regions end: {counts[0]:,} regions at the start, {counts[1]:,} at the "
        "end.",
        caption=f"Above: the target and the fit. Below: how many boundaries of regions lie in each of "
        f"{len(edges) - 1} equal parts. {about_window(evidence.info['regions'])}",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title="x", switch=False),
            y=Axis(title="value, number", switch=False),
            panels=["target and fit", "boundaries of regions"],
            stacked=True,
            height=150,
        ),
    )


def density(evidence: Evidence) -> Figure | None:
    """Local number of regions against the target's detail and the error; None where there is no grid."""
    data, exact = evidence.regions, evidence.info["regions"]["exact"]
    assert data is not None
    if exact.get("with_detail") is None:
        return None
    rows = np.flatnonzero(np.isfinite(data["density"].to_numpy()))
    rows = rows[thin(len(rows), _MOST_SAMPLES)]
    columns = {name: data[name].to_numpy()[rows] for name in ("density", "detail", "error")}
    titles = {"detail": "detail of the target", "error": "error at the end"}
    correlations = {"detail": exact["with_detail"], "error": exact["with_error"]}
    traces, panels = [], []
    for panel, (name, title) in enumerate(titles.items()):
        panels.append(f"{name}: ρ = {_signed(correlations[name])}")
        more = {"panel": panel, "showlegend": False, "marker": {"opacity": 0.45}}
        hover = f"%{{x:.3g}} regions per sample<br>{title} %{{y:.3g}}<extra></extra>"
        traces.append(points("density", name, title, "--accent", size=4, hovertemplate=hover, **more))
    return Figure(
        key="density",
        alt=f"Detail of the target and error against the local number of regions: {'; '.join(panels)}.",
        caption="Each point is a sample: how many regions its cell meets, how much the target varies around it "
        "(standard deviation), and how large the error is there (root mean square). ρ is their rank correlation: "
        "positive with detail, if the regions are where the target needs them.",
        columns=columns,
        plot=Plot(
            traces=traces,
            x=Axis(title="regions per sample", log=True, floor=_few(columns["density"]), floor_label="fewer"),
            y=Axis(title="in units of the target", switch=False),
            panels=panels,
            free=True,
            height=230,
        ),
    )


def _few(density: np.ndarray) -> float:
    """Where a logarithmic axis of densities begins: samples without a region near them are drawn there."""
    return float(np.min(density, where=density > 0, initial=max(density.max(), 1e-12))) / 2


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{'−' if value < 0 else '+' if value > 0 else ''}{number(abs(value), 2)}"


def layers(evidence: Evidence) -> Figure:
    """Units, dead ones, and where pairs differ, layer by layer."""
    data, summary = evidence.regions, evidence.info["regions"]
    assert data is not None
    hamming, units = data["hamming"].to_numpy(), np.array(summary["units"])
    start, end = (hamming[when] / units for when in (0, -1))
    dead = np.array(summary["dead"])
    rows = [
        (
            f"layer {layer + 1}",
            f"{count:,}",
            *(percent(values[which, layer]) for which in (0, 1) for values in (start, end)),
            *(f"{dead[when, layer]:,}" for when in (0, 1)),
        )
        for layer, count in enumerate(units)
    ]
    columns: dict[str, Any] = {"layer": np.arange(1, len(units) + 1), "units": units}
    for which, name in enumerate(_LOOKS):
        columns |= {f"{name} at the start": start[which], f"{name} at the end": end[which]}
    columns |= {"dead at the start": dead[0], "dead at the end": dead[1]}
    return Figure(
        key="region-layers",
        alt=f"Table of the layers: units in which pairs differ, and dead units: {dead[0].sum():,} at the start and "
        f"{dead[1].sum():,} at the end of {units.sum():,}.",
        caption="Layer by layer: the share of its units in which a pair differs, and dead units, which are inactive "
        f"for every sample.{between(summary)}",
        columns=columns,
        table=Table(
            head=("", "", *("start", "end") * 3),
            rows=rows,
            groups=[("layer", 1), ("units", 1), ("neighbors differ in", 2), ("distant pairs in", 2), ("dead", 2)],
        ),
    )


def write_picture(evidence: Evidence, path: Path) -> None:
    """Regions, confusion and the fit for a paper, 7 inches wide at 200 dots per inch."""
    kind = evidence.info["regions"]["exact"]["kind"]
    with drawing(7, 3) as figure:
        panels = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
        if kind == "plane":
            _boundaries_panel(panels[0], evidence)
        elif kind == "interval" and is_signal(evidence.run.problem):
            _interval_panel(panels[0], evidence)
        else:
            _cosines_panel(panels[0], evidence, 0)
        _along_panel(panels[1], evidence)
        _cosines_panel(panels[2], evidence, -1)
        write_atomic(path, png(figure))  # pyright: ignore[reportArgumentType]


def _boundaries_panel(axes: "Axes", evidence: Evidence) -> None:
    draw_boundaries(axes, evidence, "", scale=0.5)
    axes.set_title(f"{evidence.info['regions']['exact']['counts'][1]:,} regions")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)


def _interval_panel(axes: "Axes", evidence: Evidence) -> None:
    """Target and fit, and below them every boundary of a region."""
    data, problem = evidence.regions, evidence.run.problem
    assert data is not None
    order = np.argsort(problem.x[:, 0], kind="stable")
    x, last = problem.x[order, 0], evidence.output(len(evidence.steps) - 1)
    target, fit = (values.reshape(len(x), -1)[order, 0] for values in (problem.y, last))
    axes.plot(x, target, color=MUTED, linewidth=0.9, label="target")
    axes.plot(x, fit, color=ACCENT, linewidth=1.3, label="fit")
    low, high = float(min(target.min(), fit.min())), float(max(target.max(), fit.max()))
    size = 0.12 * (high - low)
    places = data["breakpoint"].to_numpy()
    axes.vlines(places, low - 2 * size, low - size, color=SECOND, linewidth=0.35, label="boundaries of regions")
    axes.set(xlim=(x[0], x[-1]), ylim=(low - 2.3 * size, high + 2.4 * size), xlabel="x")
    axes.set_title(f"{len(places) + 1:,} regions")
    axes.legend(frameon=False, fontsize=6, loc="upper left", ncols=3, handlelength=1.2, columnspacing=0.8)


def _along_panel(axes: "Axes", evidence: Evidence) -> None:
    """Confusion of neighbors and the bands of the fit against the step."""
    data, summary = evidence.regions, evidence.info["regions"]
    assert data is not None
    steps = data["step"].to_numpy()
    last, floor = max(int(steps[-1]), 2), STEPS.floor or 0.4
    logarithmic_from_zero(axes, last, floor)
    axes.set_xlim(floor * 0.85, last)
    axes.set_xlabel("step")
    at = np.maximum(steps, floor)
    colors, _ = _palette.bands(len(data.attrs["band_names"]), evidence.band_kind)
    for band in strong_bands(summary):
        index = data.attrs["band_names"].index(band["name"])
        axes.plot(at, data["amplitude"][:, index], color=colors[index], linewidth=1.3, label=band["name"])
    axes.plot(at, data["mean_abs_cosine"][:, 0], color=INK, linewidth=1.6, dashes=(4, 1.5), label="mean |cos|")
    of_live = data["hamming_of_live"][:, 0].to_numpy()
    label = f"differing units / {percent(of_live.max())}"
    axes.plot(at, of_live / max(of_live.max(), 1e-300), color=MUTED, linewidth=1.6, dashes=(1.5, 1.5), label=label)
    axes.set_ylim(0, 1.05 * max(1.0, min(1.5, float(np.nanmax(data["amplitude"], initial=1.0)))))
    axes.set_title(f"{neighbors(summary)}, and the fit")
    style: Any = {"fontsize": 6, "handlelength": 1.8, "columnspacing": 1.0, "borderaxespad": 0.2}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2, **style)


def _cosines_panel(axes: "Axes", evidence: Evidence, when: int) -> None:
    """The density of the cosines at a snapshot."""
    data, summary = evidence.regions, evidence.info["regions"]
    assert data is not None
    top = 10 * _FLOOR
    for which, (name, text) in enumerate(_pair_names(summary).items()):
        found = _density(evidence, when, which)
        if found is None:
            continue
        grid, values = found
        color, dashes = _LOOKS[name][2:]
        axes.plot(grid, np.maximum(values, _FLOOR), color=color, linewidth=1.4, dashes=dashes, label=text)
        top = max(top, float(values.max()))
    axes.set(yscale="log", xlim=(-1, 1), ylim=(_FLOOR, 3 * top), xlabel="cosine of the gradients", ylabel="density")
    axes.set_title(f"gradients at step {int(data['step'][when]):,}")
    axes.legend(frameon=False, fontsize=6, loc="upper left", handlelength=1.8, borderaxespad=0.2)
