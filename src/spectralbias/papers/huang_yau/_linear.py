"""A network for which the hierarchy closes: linear units, one hidden layer, one input."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import MUTED, THEORY, band, legend, panels, plain_log, unordered
from .._statistics import decide
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import double_precision, network, ntk, outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLOSED = 1e-10
# Rounding errors below this are drawn there.
FLOOR = 1e-17


class Linear(Settings, frozen=True, kw_only=True):
    """A linear network on one input.

    Attributes:
        width: m.
        order: the last r.
        dim: d.
        norm: of the input; 1 in the identity, anything else is a negative control.
        horizons: times at which training ends.
    """

    seeds: tuple[int, ...] = tuple(range(12))
    width: int = 64
    order: int = 5
    dim: int = 6
    norm: float = 1.0
    horizons: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)


def measure(settings: Linear) -> dict[str, np.ndarray]:
    """Errors of K^(r+2) = 4 K^r/m, (seeds, order - 2), and of (K²)² - 4 f²/m along training, (seeds, T), relative.

    The target is f - 2: f moves by 2.
    """
    s = settings
    closure = np.empty((len(s.seeds), s.order - 2))
    conserved, moved = np.empty((len(s.seeds), len(s.horizons))), np.empty((len(s.seeds), len(s.horizons)))
    for i, seed in enumerate(s.seeds):
        x = np.random.default_rng([seed, 3]).standard_normal((1, s.dim))
        x *= s.norm / np.linalg.norm(x)
        model = network(s.width, seed, dim=s.dim, activation="identity")
        start = outputs(model, x)
        with double_precision():
            found = dynamics.hierarchy_kernels(model, x, s.order)
        kernels = [start.item(), *(np.asarray(k).item() for k in found)]
        for k in range(s.order - 2):
            expected = 4 * kernels[k] / s.width
            closure[i, k] = abs(kernels[k + 2] - expected) / abs(expected)
        invariant = kernels[1] ** 2 - 4 * kernels[0] ** 2 / s.width
        for k, horizon in enumerate(s.horizons):
            run = dynamics.gradient_flow(model, x, start - 2.0, [0.0, horizon], rtol=1e-12, atol=1e-14)
            f, theta = outputs(run.model, x).item(), ntk(run.model, x).item()
            conserved[i, k] = abs(theta**2 - 4 * f**2 / s.width - invariant) / invariant
            moved[i, k] = abs(theta**2 - kernels[1] ** 2) / invariant
    return {
        "width": np.array(s.width),
        "times": np.array(s.horizons),
        "closure": closure,
        "conserved": conserved,
        "moved": moved,
    }


def judge(numbers: Numbers) -> Verdict:
    """Both close to 1e-10."""
    closure, conserved = float(numbers["closure"].max()), float(numbers["conserved"].max())
    moved = float(np.median(numbers["moved"][:, -1]))
    last = numbers["closure"].shape[1] + 2
    return Verdict(
        decide(max(closure, conserved) <= CLOSED, len(numbers["closure"])),
        f"K^(r+2) = (4/m) K^(r) holds up to {closure:.1g}, for r + 2 = 3 to {last}, and (K²)² − 4f²/m is kept along "
        f"training up to {conserved:.1g}, where (K²)² itself changes by {100 * moved:.2g} % (median).",
        (
            ("largest relative error of K^(r+2) = (4/m) K^(r)", f"{closure:.1g}"),
            ("largest relative change of (K²)² − 4f²/m", f"{conserved:.1g}"),
            ("relative change of (K²)² at the end, median", f"{moved:.2g}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """What changes along training and what does not; the error of the closure for each order."""
    times, colors = numbers["times"], unordered(2)
    with panels(2, ratios=(1.3, 1)) as (drawn, (left, right)):
        band(left, times, numbers["moved"], colors[0], "$(K^{(2)})^2$", marker="o", markersize=3)
        kept = np.maximum(numbers["conserved"], FLOOR)
        band(left, times, kept, colors[1], "$(K^{(2)})^2 - 4f^2/m$", marker="o", markersize=3)
        left.axhline(CLOSED, color=MUTED, **THEORY)
        left.text(times[0], CLOSED * 1.5, "criterion", color=MUTED, fontsize=7, va="bottom")
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="relative change")
        left.set_ylim(FLOOR / 3, 3)
        plain_log(left.xaxis)
        legend(left, loc="center right", fontsize=7)
        orders = 3 + np.arange(numbers["closure"].shape[1])
        values = np.maximum(numbers["closure"], FLOOR)
        for k, r in enumerate(orders):
            right.plot(np.full(len(values), r), values[:, k], "o", color=colors[1], markersize=3, alpha=0.6)
        right.axhline(CLOSED, color=MUTED, **THEORY)
        right.set(yscale="log", xlabel="r + 2", ylabel="error of $K^{(r+2)} = (4/m)\\,K^{(r)}$", xticks=orders)
        right.set_xlim(orders[0] - 0.5, orders[-1] + 0.5)
        right.set_ylim(FLOOR / 3, 3)
    return drawn


_FAST = Linear()

STUDIES = (
    Study(
        "huang-yau-linear-closure",
        "Huang & Yau 2020, Theorem 2.3, the hierarchy of a linear network",
        "For linear units, one hidden layer and one input of norm 1 the hierarchy closes: K^(r+2) = (4/m) K^(r), so "
        "that (K²)² − 4f²/m stays as it is along training.",
        "All relative errors are at most 1e-10, in every repetition.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, width=4096, order=6, horizons=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control("an input of norm 1.1", lambda settings: msgspec.structs.replace(settings, norm=1.1)),
        note="The closure is ours: it is what the hierarchy of the paper becomes for f = a·Wx/√m, with K^(1) = f. The "
        "target is f − 2 at the start.",
    ),
)
