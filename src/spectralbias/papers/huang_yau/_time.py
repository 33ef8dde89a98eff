"""Theorem 2.6: how the error of the truncated hierarchy begins in time."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .._figures import MUTED, THEORY, band, legend, panels, unordered
from .._statistics import all_of, log_slope, within
from .._study import Control, Numbers, Study, Verdict
from ._setting import Truncation, root_mean_square, truncated, truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The first times, over which exponents are fitted.
FIRST = 3


def measure(settings: Truncation) -> dict[str, np.ndarray]:
    """Root mean square errors of f, over r_0, and of K², (seeds, orders, T)."""
    s = settings
    (width,) = s.widths
    shape = (len(s.seeds), len(s.orders), len(s.times))
    f, kernel = np.empty(shape), np.empty(shape)
    for i, seed in enumerate(s.seeds):
        real = truth(s.key, width, seed)
        # K² is known at the end of a training: one for every time.
        ends = [truth(msgspec.structs.replace(s, horizon=float(t)).key, width, seed).ntk for t in s.times]
        for k, order in enumerate(s.orders):
            found, clock = truncated(s.key, width, seed, order), int(s.slow_clock)
            f[i, k] = root_mean_square(found.residuals[clock] - real.residuals)
            kernel[i, k] = root_mean_square(found.ntk[clock] - np.stack(ends), (-2, -1))
    return {"width": np.array(width), "orders": np.array(s.orders), "times": s.times, "f": f, "kernel": kernel}


def judge(numbers: Numbers) -> Verdict:
    """p for f, p - 1 for K²."""
    times, orders = numbers["times"][:FIRST], [int(p) for p in numbers["orders"]]
    of_f, of_kernel = (
        {p: log_slope(times, numbers[kind][:, k, :FIRST]) for k, p in enumerate(orders)} for kind in ("f", "kernel")
    )
    listed = ", ".join(f"{of_f[p].text(2)} (p = {p})" for p in orders)
    kernels = ", ".join(f"{of_kernel[p].text(2)} (p = {p})" for p in orders)
    return Verdict(
        all_of(
            *(within(of_f[p], p - 0.15, p + 0.15) for p in orders),
            *(within(of_kernel[p], p - 1.15, p - 0.85) for p in orders),
        ),
        f"From t = {times[0]:g} to {times[-1]:g} the error on f goes with t to the power {listed}, that on K² to the "
        f"power {kernels}.",
        (
            *((f"exponent of f, p = {p}", of_f[p].text()) for p in orders),
            *((f"exponent of K², p = {p}", of_kernel[p].text()) for p in orders),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Errors on f and on K² against time, with the powers of theory through the first point."""
    times, orders, colors = numbers["times"], numbers["orders"], unordered(len(numbers["orders"]))
    with panels(2) as (drawn, axes):
        for ax, kind, name, less in zip(
            axes, ("f", "kernel"), ("error on f, over $r_0$", "error on $K^{(2)}$"), (0, 1), strict=True
        ):
            for k, (p, color) in enumerate(zip(orders, colors, strict=True)):
                values = numbers[kind][:, k]
                band(ax, times, values, color, f"p = {p}", marker="o", markersize=2.5)
                start = np.exp(np.mean(np.log(values[:, 0])))
                ax.plot(times, start * (times / times[0]) ** (p - less), color=MUTED, **THEORY)
            ax.plot([], [], color=MUTED, label="$\\propto t^{p}$" if not less else "$\\propto t^{p-1}$", **THEORY)
            ax.set(xscale="log", yscale="log", xlabel="time t", ylabel=name)
            legend(ax, loc="lower right", fontsize=7)
        axes[0].text(
            0.03, 0.97, f"m = {int(numbers['width']):,}", transform=axes[0].transAxes, va="top", color=MUTED, fontsize=7
        )
    return drawn


_FAST = Truncation(seeds=tuple(range(10)), widths=(256,))

STUDIES = (
    Study(
        "huang-yau-truncation-time",
        "Huang & Yau 2020, Theorem 2.6",
        "At first the error of the hierarchy truncated at level p grows as t^p on f, and as t^(p−1) on K².",
        "Exponents of the errors in t from T/64 to T/16, T = 4, are within 0.15 of p and of p − 1, with their 95 % "
        "intervals, for p = 2 to 5.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, seeds=tuple(range(40)), widths=(512,)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the clock of the hierarchy 1 % slow", lambda settings: msgspec.structs.replace(settings, slow_clock=True)
        ),
        note="(1 + t) t^(p−1) min(t, n/λ) in the theorem is t^p at first. One hidden layer, tanh, n = 4 unit inputs in "
        "R^6. The theorem is for even p; odd ones behave alike here, and gain a power of t over the level below, where "
        "they gain none of m.",
    ),
)
