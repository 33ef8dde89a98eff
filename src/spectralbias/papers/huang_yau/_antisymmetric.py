"""Parity: from f = 0 with two opposite copies an odd level adds nothing at all."""

from typing import TYPE_CHECKING, Literal

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
Method = Literal["closed", "contract", "tensor"]
# Rounding errors below this are drawn there.
FLOOR = 1e-18


class Parity(Settings, frozen=True, kw_only=True):
    """Odd levels beside the ones below.

    Attributes:
        width: m, of each copy.
        num_samples: n.
        num_first: inputs of the first argument of the kernels, the others among them.
        dim: d.
        horizon: T.
        antisymmetric: two opposite copies; one alone is the negative control.
    """

    seeds: tuple[int, ...] = tuple(range(12))
    width: int = 256
    num_samples: int = 4
    num_first: int = 8
    dim: int = 6
    horizon: float = 4.0
    antisymmetric: bool = True


def measure(settings: Parity) -> dict[str, np.ndarray]:
    """Changes of f from p = 2 to 3, and from 4 to 5, over r_0, (seeds, 2, T); mean |K^r|, r = 2 … 5, (seeds, 4)."""
    s = settings
    times = s.horizon * 2.0 ** np.arange(-OCTAVES, 1)
    changes, sizes = np.empty((len(s.seeds), 2, len(times))), np.empty((len(s.seeds), 4))
    for i, seed in enumerate(s.seeds):
        points = inputs(s.num_first, seed, s.dim)
        x, x_test = points[: s.num_samples], points[s.num_samples :]
        model = network(s.width, seed, dim=s.dim, antisymmetric=s.antisymmetric)
        y = outputs(model, x) - start_residual(s.num_samples, seed)
        found = {}
        # Each pair with one method: what is compared has the same error of the integrator.
        methods: dict[int, Method] = {2: "closed", 3: "contract", 4: "tensor", 5: "tensor"}
        for order, method in methods.items():
            found[order] = dynamics.hierarchy(
                model, x, y, np.concatenate([[0.0], times]), order=order, method=method, x_test=x_test, rtol=1e-12
            ).residuals[1:]
        changes[i] = [root_mean_square(found[p] - found[p - 1]) for p in (3, 5)]
        with double_precision():
            kernels = dynamics.hierarchy_kernels(model, [points, x, x, x, x], 5)
        sizes[i] = [np.abs(np.asarray(k)).mean() for k in kernels]
    return {"times": times, "changes": changes, "sizes": sizes}


def judge(numbers: Numbers) -> Verdict:
    """Nothing changes, to rounding."""
    largest = numbers["changes"].max(axis=(0, 2))
    sizes = np.median(numbers["sizes"], axis=0)
    return Verdict(
        decide(float(largest.max()) <= EQUAL, len(numbers["changes"])),
        f"From p = 2 to 3 f changes by at most {largest[0]:.1g} of r_0, from p = 4 to 5 by at most {largest[1]:.1g}, "
        f"at any time and in any of {len(numbers['changes'])} repetitions. At the start the means of |K^(r)| are "
        + ", ".join(f"{size:.1g} (r = {r})" for r, size in zip((2, 3, 4, 5), sizes, strict=True))
        + ".",
        (
            ("largest change from p = 2 to 3", f"{largest[0]:.1g}"),
            ("largest change from p = 4 to 5", f"{largest[1]:.1g}"),
            *((f"mean |K^({r})|, median", f"{size:.1g}") for r, size in zip((2, 3, 4, 5), sizes, strict=True)),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The changes against time, and the sizes of the kernels at the start."""
    times, colors = numbers["times"], unordered(2)
    with panels(2, ratios=(1.3, 1)) as (drawn, (left, right)):
        for k, (name, color) in enumerate(zip(("p = 2 to 3", "p = 4 to 5"), colors, strict=True)):
            band(left, times, np.maximum(numbers["changes"][:, k], FLOOR), color, name, marker="o", markersize=2.5)
        left.axhline(EQUAL, color=MUTED, **THEORY)
        left.text(times[-1], EQUAL * 1.5, "criterion", color=MUTED, fontsize=7, ha="right", va="bottom")
        left.set(xscale="log", yscale="log", xlabel="time t", ylabel="change of f, over $r_0$")
        left.set_ylim(FLOOR / 3, 1)
        legend(left, loc="upper left", fontsize=7)
        orders = np.arange(2, 6)
        values = np.maximum(numbers["sizes"], FLOOR)
        for k, r in enumerate(orders):
            right.plot(np.full(len(values), r), values[:, k], "o", color=colors[r % 2], markersize=3, alpha=0.6)
        right.set(yscale="log", xlabel="r", ylabel="mean $|K^{(r)}|$ at the start", xticks=orders)
        right.set_ylim(FLOOR / 3, 10)
        for ax in (left, right):
            ax.text(0.97, 0.06, "0 is drawn at $10^{-18}$", transform=ax.transAxes, color=MUTED, fontsize=7, ha="right")
    return drawn


_FAST = Parity()

STUDIES = (
    Study(
        "huang-yau-antisymmetric",
        "Huang & Yau 2020, Theorem 2.3, 𝔎^(r) = 0 for odd r",
        "With two opposite copies, f = 0 at the start, K^(3) and K^(5) are 0 there, and an odd level p of the "
        "hierarchy equals p − 1.",
        "From p = 2 to 3, and from 4 to 5, no f on a training point changes by more than 1e-12 of the root mean square "
        "of r_0, root mean square, at any time, in any repetition.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, seeds=tuple(range(20)), width=4096, horizon=16.0),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control("one copy alone", lambda settings: msgspec.structs.replace(settings, antisymmetric=False)),
        note="The paper's limits of odd order vanish; here the kernels themselves do. K^(r) changes by (−1)^r when all "
        "output weights change their sign, and the two copies cancel. One hidden layer, tanh, n = 4 unit inputs in "
        "R^6, T = 4.",
    ),
)
