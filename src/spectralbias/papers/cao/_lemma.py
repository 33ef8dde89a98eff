"""Lemma 4.1: sampled eigenfunctions are nearly orthonormal."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import spectra
from .._figures import INK, MUTED, THEORY, band, legend, panels, ticks_at, unordered
from .._statistics import all_of, decide, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._training import keys, measure_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sampling(Settings, frozen=True, kw_only=True):
    """How many points, and which functions on them.

    Attributes:
        dim: ambient dimension.
        max_degree: V holds all harmonics up to this degree.
        counts: numbers of points n.
        inputs: `"uniform"`; another measure is the negative control.
        delta: the bound is to hold with probability 1 - δ.
    """

    dim: int = 10
    max_degree: int = 2
    counts: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 8000)
    inputs: str = "uniform"
    delta: float = 0.1


def measure(settings: Sampling) -> dict[str, np.ndarray]:
    """‖VᵀV - I‖_max for every n and repetition, and the bound with the constants of Hoeffding's inequality."""
    degrees = tuple(range(settings.max_degree + 1))
    sizes = [spectra.multiplicity(degree, settings.dim) for degree in degrees]
    deviations = np.empty((len(settings.seeds), len(settings.counts)))
    for row, seed in enumerate(settings.seeds):
        x = measure_of(settings.inputs, settings.dim, seed).sample(max(settings.counts), key=keys(seed)[1])
        functions = spectra.spherical_harmonics(degrees, x)
        for column, n in enumerate(settings.counts):
            gram = functions[:n].T @ functions[:n] / n
            deviations[row, column] = np.max(np.abs(gram - np.eye(len(gram))))
    # |φ|² ≤ N(dim, k) by the addition theorem, so each entry is a mean of n values in [-M², M²].
    counts, square, r = np.array(settings.counts), max(sizes), sum(sizes)
    return {
        "counts": counts,
        "deviations": deviations,
        "bound": square * np.sqrt(2 * np.log(2 * r**2 / settings.delta) / counts),
        "functions": np.array(r),
        "dim": np.array(settings.dim),
        "max_degree": np.array(settings.max_degree),
    }


def judge(numbers: Numbers) -> Verdict:
    """The slope is -1/2, and the bound is kept."""
    slope = log_slope(numbers["counts"], numbers["deviations"])
    repetitions = len(numbers["deviations"])
    kept = bool(np.all(numbers["deviations"] <= numbers["bound"]))
    middle = np.median(numbers["deviations"], axis=0)
    return Verdict(
        all_of(within(slope, -0.6, -0.4), decide(kept, repetitions)),
        f"‖VᵀV − I‖_max of {int(numbers['functions'])} harmonics falls as n to the power {slope.text()} (95 %), from "
        f"{middle[0]:.2g} at n = {numbers['counts'][0]:,} to {middle[-1]:.2g} at n = {numbers['counts'][-1]:,}; "
        + ("all values keep" if kept else "not all values keep")
        + " the bound M² √(2 log(2r²/δ)/n).",
        (
            ("slope in n", slope.text()),
            ("largest deviation over its bound", f"{np.max(numbers['deviations'] / numbers['bound']):.2g}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The deviation against n, with the line n^(-1/2) and the bound."""
    counts, color = numbers["counts"], unordered(1)[0]
    with panels(1, width=3.8, height=2.8) as (drawn, (ax,)):
        band(
            ax, counts, numbers["deviations"], color, f"{int(numbers['functions'])} harmonics", marker="o", markersize=3
        )
        line = np.exp(np.mean(np.log(numbers["deviations"]) + np.log(counts) / 2))
        ax.plot(counts, line / np.sqrt(counts), color=INK, label="$\\propto n^{-1/2}$", **THEORY)
        ax.plot(counts, numbers["bound"], color=MUTED, label="Hoeffding's bound, δ = 0.1", linewidth=1)
        ticks_at(ax, counts)
        ax.set(yscale="log", xlabel="samples n", ylabel="$\\|V^\\top V - I\\|_{\\max}$")
        legend(ax, loc="best")
    return drawn


_FAST = Sampling()

STUDIES = (
    Study(
        "cao-lemma-4-1",
        "Cao et al. 2021, Lemma 4.1",
        "The eigenfunctions, sampled on n points, are orthonormal up to ‖VᵀV − I‖_max ≤ C M² √(log(r/δ)/n).",
        "The slope of log ‖VᵀV − I‖_max in log n and its 95 % interval lie within 0.1 of −1/2, and every value keeps "
        "the bound with the constants of Hoeffding's inequality, M² √(2 log(2r²/δ)/n), M² the largest multiplicity.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, max_degree=3, counts=(500, 1000, 2000, 4000, 8000, 16000)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "inputs from an anisotropic distribution, for which harmonics are not orthogonal",
            lambda settings: msgspec.structs.replace(settings, inputs="anisotropic"),
        ),
        note="V holds all harmonics up to a degree: the cut is at the boundary of a multiplicity.",
    ),
)
