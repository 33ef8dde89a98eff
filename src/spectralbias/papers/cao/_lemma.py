"""Lemma 4.1: sampled eigenfunctions are nearly orthonormal."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import spectra
from .._figures import MUTED, THEORY, band, degree_colors, legend, panels, plain_log, ticks_at
from .._statistics import all_of, interval, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._training import keys, measure_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sampling(Settings, frozen=True, kw_only=True):
    """How many points, and which functions on them.

    Attributes:
        dim: ambient dimension.
        cuts: V holds all harmonics up to such a degree; r and M² grow with it.
        counts: numbers of points n.
        inputs: `"uniform"`; another measure is the negative control.
        delta: the bound is to hold with probability 1 - δ.
    """

    dim: int = 10
    cuts: tuple[int, ...] = (1, 2, 3)
    counts: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 8000)
    inputs: str = "uniform"
    delta: float = 0.1


def measure(settings: Sampling) -> dict[str, np.ndarray]:
    """‖VᵀV - I‖_max, (seeds, cuts, counts), and the right-hand side of the lemma without its constant C."""
    degrees = tuple(range(max(settings.cuts) + 1))
    sizes = np.array([spectra.multiplicity(degree, settings.dim) for degree in degrees])
    r = np.cumsum(sizes)[list(settings.cuts)]
    deviations = np.empty((len(settings.seeds), len(settings.cuts), len(settings.counts)))
    for row, seed in enumerate(settings.seeds):
        x = measure_of(settings.inputs, settings.dim, seed).sample(max(settings.counts), key=keys(seed)[1])
        functions = spectra.spherical_harmonics(degrees, x)
        for column, n in enumerate(settings.counts):
            gram = functions[:n].T @ functions[:n] / n
            off = np.abs(gram - np.eye(len(gram)))
            deviations[row, :, column] = [np.max(off[:size, :size]) for size in r]
    # |φ|² ≤ N(dim, k) by the addition theorem, and N grows with k: M² of a cut is that of its last degree.
    counts, square = np.array(settings.counts), sizes[list(settings.cuts)]
    return {
        "counts": counts,
        "deviations": deviations,
        "scale": square[:, None] * np.sqrt(np.log(r / settings.delta)[:, None] / counts),
        "functions": r,
        "squares": square,
        "dim": np.array(settings.dim),
        "cuts": np.array(settings.cuts),
    }


def judge(numbers: Numbers) -> Verdict:
    """The slope in n is -1/2 at every cut, and no larger constant is needed as M² and r grow."""
    cuts, counts, deviations = numbers["cuts"], numbers["counts"], numbers["deviations"]
    slopes = [log_slope(counts, values) for values in np.moveaxis(deviations, 1, 0)]
    constants = np.exp(np.mean(np.log(deviations / numbers["scale"]), axis=2))
    growth = [interval(change) for change in np.diff(np.log(constants), axis=1).T]
    middle = np.median(deviations, axis=0)
    listed = ", ".join(f"{value:.2g}" for value in np.median(constants, axis=0))
    shrinks = all(found.high <= 0 for found in growth)
    return Verdict(
        all_of(*(within(slope, -0.6, -0.4) for slope in slopes), *(within(found, -np.inf, 0) for found in growth)),
        f"With all harmonics up to degree {_joined(cuts)} ‖VᵀV − I‖_max falls as n to the power "
        f"{_joined(f'{slope.value:.2f}' for slope in slopes)}, to {_joined(f'{value:.2g}' for value in middle[:, -1])} "
        f"at n = {counts[-1]:,}. Over M² √(log(r/δ)/n) it is {listed}: the constant C "
        + ("does not grow with the cut." if shrinks else "grows with the cut, or may."),
        (
            *(
                (f"slope in n, degrees up to {cut} (r = {r}, M² = {square})", slope.text())
                for cut, r, square, slope in zip(cuts, numbers["functions"], numbers["squares"], slopes, strict=True)
            ),
            ("deviation over M² √(log(r/δ)/n), by cut", listed),
            ("change of its logarithm from cut to cut", "; ".join(found.text(2) for found in growth)),
        ),
    )


def _joined(values: Iterable) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}"


def figure(numbers: Numbers) -> "Figure":
    """The deviation against n, with lines n^(-1/2), and the constant that the bound would need."""
    counts, cuts = numbers["counts"], numbers["cuts"]
    with panels(2, ratios=(1.3, 1)) as (drawn, (left, right)):
        for cut, r, values, scale, color in zip(
            cuts, numbers["functions"], np.moveaxis(numbers["deviations"], 1, 0), numbers["scale"],
            degree_colors(cuts), strict=True,
        ):  # fmt: skip
            band(left, counts, values, color, f"degrees ≤ {cut}, r = {r}", marker="o", markersize=3)
            line = np.exp(np.mean(np.log(values) + np.log(counts) / 2))
            left.plot(counts, line / np.sqrt(counts), color=color, **THEORY)
            band(right, counts, values / scale, color, marker="o", markersize=3)
        left.plot([], [], color=MUTED, label="$\\propto n^{-1/2}$", **THEORY)
        for ax in (left, right):
            ticks_at(ax, counts)
            ax.tick_params(axis="x", labelsize=6.5)
            ax.set(yscale="log", xlabel="samples n")
            plain_log(ax.yaxis)
        left.set_ylabel("$\\|V^\\top V - I\\|_{\\max}$")
        right.set_ylabel("over  $M^2\\sqrt{\\log(r/\\delta)/n}$")
        legend(left, loc="best")
    return drawn


_FAST = Sampling()

STUDIES = (
    Study(
        "cao-lemma-4-1",
        "Cao et al. 2021, Lemma 4.1",
        "The eigenfunctions, sampled on n points, are orthonormal up to ‖VᵀV − I‖_max ≤ C M² √(log(r/δ)/n).",
        "For V with all harmonics up to degree 1, 2 and 3 the slope of log ‖VᵀV − I‖_max in log n and its 95 % "
        "interval lie within 0.1 of −1/2; and ‖VᵀV − I‖_max over M² √(log(r/δ)/n), with M² = N(d, cut) and δ = 0.1, "
        "does not grow from one cut to the next: the mean of its logarithm over n falls, with 95 % confidence.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, counts=(500, 1000, 2000, 4000, 8000, 16000)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "inputs from an anisotropic distribution, for which harmonics are not orthogonal",
            lambda settings: msgspec.structs.replace(settings, inputs="anisotropic"),
        ),
        note="V holds all harmonics up to a degree: the cut is at the boundary of a multiplicity. Hoeffding's "
        "inequality for each entry gives the lemma, with constants that are far from reached: what is tested is the "
        "dependence on n, and that M² and r account for the cut.",
    ),
)
