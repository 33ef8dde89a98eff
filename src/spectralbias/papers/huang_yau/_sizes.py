"""Theorem 2.3: how small the kernels of the hierarchy are at the start, against the width."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import MUTED, THEORY, band, legend, panels, ticks_at, unordered
from .._statistics import all_of, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import double_precision, inputs, last_octaves, network

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sizes(Settings, frozen=True, kw_only=True):
    """Kernels of networks at their start, on the same inputs in each repetition.

    Attributes:
        widths: m.
        order: the last r.
        num_samples: n, for all arguments but the first.
        num_first: inputs for the first argument, the others among them.
        dim: d.
        centered: look at the kernel less that of another draw of the weights: a negative control.
    """

    seeds: tuple[int, ...] = tuple(range(24))
    widths: tuple[int, ...] = (256, 2048)
    order: int = 5
    num_samples: int = 4
    num_first: int = 8
    dim: int = 6
    centered: bool = False


@functools.lru_cache(maxsize=8)
def _means(settings: Sizes) -> np.ndarray:
    """Mean |K^r| over all entries, and over those of the difference of two draws, (2, seeds, widths, orders)."""
    s = settings
    points = inputs(s.num_first, 0, s.dim)
    arguments = [points, *[points[: s.num_samples]] * (s.order - 1)]
    means = np.empty((2, len(s.seeds), len(s.widths), s.order - 1))
    for j, width in enumerate(s.widths):
        with double_precision():
            found = [
                [np.asarray(k) for k in dynamics.hierarchy_kernels(network(width, i, dim=s.dim), arguments, s.order)]
                for i in s.seeds
            ]
        for i, kernels in enumerate(found):
            for k, (one, other) in enumerate(zip(kernels, found[i - 1], strict=True)):
                means[:, i, j, k] = np.abs(one).mean(), np.abs(one - other).mean() / np.sqrt(2)
    return means


def measure(settings: Sizes) -> dict[str, np.ndarray]:
    """Sizes of the kernels, and how much they differ from draw to draw, (seeds, widths, orders)."""
    s = settings
    means = _means(msgspec.structs.replace(s, centered=False))
    return {
        "widths": np.array(s.widths),
        "orders": np.arange(2, s.order + 1),
        "sizes": means[1 if s.centered else 0],
        "fluctuations": means[1],
    }


def power(order: int) -> float:
    """Of 1/m in the size of K^r, and of its fluctuation."""
    return order / 2 - 1 if order % 2 == 0 else (order - 1) / 2


def judge(numbers: Numbers) -> Verdict:
    """Exponents of K³ and more over the last three octaves."""
    widths = numbers["widths"]
    last = last_octaves(widths)
    widths = widths[last]
    found, beside, outcomes = {}, {}, []
    for k, order in enumerate(numbers["orders"]):
        r = int(order)
        found[r] = log_slope(widths, numbers["sizes"][:, last, k])
        # Each draw is in two differences: every second one is independent.
        beside[r] = log_slope(widths, numbers["fluctuations"][1::2, last, k])
        if r >= 3:
            tolerance = 0.15 if r <= 4 else 0.3
            low = -np.inf if r > 5 else -power(r) - tolerance
            outcomes.append(within(found[r], low, -power(r) + tolerance))
    listed = ", ".join(f"{slope.text(2)} (r = {r})" for r, slope in found.items())
    return Verdict(
        all_of(*outcomes),
        f"From m = {widths[0]:,} to {widths[-1]:,} the mean of |K^(r)| over its entries goes with m to the power "
        f"{listed}; theory is {', '.join(f'−{power(r):g}' for r in found if r > 2)} for r = 3 to {max(found)}. From "
        f"one draw of the weights to another K^(r) differs by m to the power "
        + ", ".join(f"{slope.value:.2f} (r = {r})" for r, slope in beside.items())
        + "; theory is −(r − 1)/2.",
        (
            *((f"slope of mean |K^({r})|", slope.text()) for r, slope in found.items()),
            *((f"slope of the fluctuation of K^({r})", slope.text()) for r, slope in beside.items()),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Sizes and fluctuations against the width, with the lines of theory."""
    widths, orders, colors = numbers["widths"], numbers["orders"], unordered(len(numbers["orders"]))
    with panels(2) as (drawn, axes):
        for ax, kind, name in zip(
            axes, ("sizes", "fluctuations"), ("mean $|K^{(r)}|$", "change from draw to draw"), strict=True
        ):
            for k, (r, color) in enumerate(zip(orders, colors, strict=True)):
                values = numbers[kind][..., k]
                band(ax, widths, values, color, f"r = {r}", marker="o", markersize=3)
                exponent = power(int(r)) if kind == "sizes" else (r - 1) / 2
                line = np.exp(np.mean(np.log(values) + exponent * np.log(widths)))
                ax.plot(widths, line / widths**exponent, color=MUTED, **THEORY)
            ax.plot([], [], color=MUTED, label="theory", **THEORY)
            ticks_at(ax, widths)
            ax.set(yscale="log", xlabel="width m", ylabel=name)
        legend(axes[0], loc="lower left", fontsize=7, ncols=2)
    return drawn


_FAST = Sizes()

STUDIES = (
    Study(
        "huang-yau-kernel-sizes",
        "Huang & Yau 2020, Theorem 2.3",
        "At the start K^(r) is of the order m^(−(r/2−1)) for even r, and of the order m^(−(r−1)/2) for odd r, for "
        "which the limit vanishes.",
        "Exponents of the mean of |K^(r)| in m over the last three octaves of widths, with their 95 % intervals: "
        "within 0.15 of −1 for r = 3 and 4, within 0.3 of −2 for r = 5, −1.7 or below for r = 6.",
        fast=_FAST,
        paper=msgspec.structs.replace(
            _FAST, seeds=tuple(range(40)), widths=(64, 128, 256, 512, 1024, 2048, 4096), order=6
        ),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the kernel less that of another draw of the weights",
            lambda settings: msgspec.structs.replace(settings, centered=True),
        ),
        note="One hidden layer, tanh, unit inputs in R^6, the same in each repetition: eight for the first argument, "
        "four of them for the others. One hidden layer makes K^(r) at the start m^(1−r/2) times a mean of m "
        "independent terms. What K^(r) differs by from draw to draw is of the order m^(−(r−1)/2) for all r: K⁴ has a "
        "mean above that, which the control takes away, K³ and K⁵ have none. The mean of K⁶, of the order m^(−2), is "
        "small beside its fluctuations below m ≈ 10⁴.",
    ),
)
