"""Parity: from f = 0 with two opposite copies an odd level adds nothing at all."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import MUTED, THEORY, band, legend, panels, unordered
from .._statistics import decide
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import OCTAVES, double_precision, inputs, network, outputs, root_mean_square, start_residual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EQUAL = 1e-12
# Rounding errors below this are drawn there.
FLOOR = 1e-18


class Parity(Settings, frozen=True, kw_only=True):
    """Odd levels beside the ones below.

    Attributes:
        width: m, of each copy.
        num_samples: n.
        num_first: inputs of the first argument of the kernels, the others among them.
        dim: d.
        order: the highest p, odd.
        horizon: T.
        antisymmetric: two opposite copies; one alone is the negative control.
    """

    seeds: tuple[int, ...] = tuple(range(12))
    width: int = 256
    num_samples: int = 4
    num_first: int = 8
    dim: int = 6
    order: int = 3
    horizon: float = 4.0
    antisymmetric: bool = True


def measure(settings: Parity) -> dict[str, np.ndarray]:
    """Changes of f from p - 1 to odd p, over r_0, (seeds, pairs, T); mean |K^r|, r = 2 … order, (seeds, order - 1)."""
    s = settings
    times = s.horizon * 2.0 ** np.arange(-OCTAVES, 1)
    at, odd = np.concatenate([[0.0], times]), range(3, s.order + 1, 2)
    changes, sizes = np.empty((len(s.seeds), len(odd), len(times))), np.empty((len(s.seeds), s.order - 1))
    for i, seed in enumerate(s.seeds):
        points = inputs(s.num_first, seed, s.dim)
        x, x_test = points[: s.num_samples], points[s.num_samples :]
        model = network(s.width, seed, dim=s.dim, antisymmetric=s.antisymmetric)
        y = outputs(model, x) - start_residual(s.num_samples, seed)
        # Each pair with one integrator: what is compared has the same error.
        found = [
            dynamics.hierarchy(
                model, x, y, at, order=p, method="tensor" if p > 3 else "auto", x_test=x_test, rtol=1e-12
            ).residuals[1:]
            for p in range(2, s.order + 1)
        ]  # fmt: skip
        changes[i] = [root_mean_square(found[p - 2] - found[p - 3]) for p in odd]
        with double_precision():
            kernels = dynamics.hierarchy_kernels(model, [points, *[x] * (s.order - 1)], s.order)
        sizes[i] = [np.abs(np.asarray(k)).mean() for k in kernels]
    return {"times": times, "changes": changes, "sizes": sizes}


def judge(numbers: Numbers) -> Verdict:
    """Nothing changes, to rounding."""
    largest = {3 + 2 * k: float(value) for k, value in enumerate(numbers["changes"].max(axis=(0, 2)))}
    sizes = {2 + k: float(value) for k, value in enumerate(np.median(numbers["sizes"], axis=0))}
    listed = ", ".join(f"{value:.1g} (r = {r})" for r, value in sizes.items())
    return Verdict(
        decide(max(largest.values()) <= EQUAL, len(numbers["changes"])),
        "f changes by at most "
        + ", ".join(f"{value:.1g} of r_0 from p = {p - 1} to {p}" for p, value in largest.items())
        + f", at any time and in any of {len(numbers['changes'])} repetitions. At the start the means of |K^(r)| are "
        f"{listed}.",
        (
            *((f"largest change from p = {p - 1} to {p}", f"{value:.1g}") for p, value in largest.items()),
            *((f"mean |K^({r})|, median", f"{value:.1g}") for r, value in sizes.items()),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The changes against time, and the sizes of the kernels at the start."""
    times, colors = numbers["times"], unordered(2)
    with panels(2, ratios=(1.3, 1)) as (drawn, (left, right)):
        for k in range(numbers["changes"].shape[1]):
            name, values = f"p = {2 + 2 * k} to {3 + 2 * k}", np.maximum(numbers["changes"][:, k], FLOOR)
            band(left, times, values, colors[k], name, marker="o", markersize=2.5)
        left.axhline(EQUAL, color=MUTED, **THEORY)
        left.text(times[-1], EQUAL * 1.5, "criterion", color=MUTED, fontsize=7, ha="right", va="bottom")
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="change of f, over $r_0$")
        left.set_ylim(FLOOR / 3, 1)
        legend(left, loc="upper left", fontsize=7)
        values = np.maximum(numbers["sizes"], FLOOR)
        orders = 2 + np.arange(values.shape[1])
        for k, r in enumerate(orders):
            right.plot(np.full(len(values), r), values[:, k], "o", color=colors[r % 2], markersize=3, alpha=0.6)
        right.set(yscale="log", xlabel="r", ylabel="mean $|K^{(r)}|$ at the start", xticks=orders)
        right.set_xlim(orders[0] - 0.5, orders[-1] + 0.5)
        right.set_ylim(FLOOR / 3, 10)
        for ax in (left, right):
            ax.text(0.97, 0.06, "0 is drawn at $10^{-18}$", transform=ax.transAxes, color=MUTED, fontsize=7, ha="right")
    return drawn


_FAST = Parity()

STUDIES = (
    Study(
        "huang-yau-antisymmetric",
        "Huang & Yau 2020, Theorem 2.3, 𝔎^(r) = 0 for odd r",
        "With two opposite copies, f = 0 at the start, K^(r) is 0 there for odd r, and an odd level p of the hierarchy "
        "equals p − 1.",
        "From p = 2 to 3, and from 4 to 5 in the larger setting, f on the training points changes by no more than "
        "1e-12 of r_0, root mean squares, at any time, in any repetition.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, seeds=tuple(range(20)), width=4096, order=5, horizon=16.0),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control("one copy alone", lambda settings: msgspec.structs.replace(settings, antisymmetric=False)),
        note="The paper's limits of odd order vanish; here the kernels themselves do. K^(r) changes by (−1)^r when all "
        "output weights change their sign, and the two copies cancel. One hidden layer, tanh, n = 4 unit inputs in "
        "R^6, T = 4.",
    ),
)
