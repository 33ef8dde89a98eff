"""Theorem 4.3: the eigenvalues on the sphere."""

import itertools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import kernels, problems, spectra
from ..._core.gegenbauer import gegenbauer_sequence
from .._figures import INK, MUTED, THEORY, band, legend, panels, unordered
from .._statistics import all_of, decide, interval
from .._study import Control, Numbers, Settings, Study, Verdict
from ._training import double_precision, keys

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Modes of the Gram that the figure shows.
_SHOWN = 150


class Eigenvalues(Settings, frozen=True, kw_only=True):
    """Where closed forms are compared with samples.

    Attributes:
        dims: ambient dimensions.
        max_degree: the last degree that is compared.
        num_samples: points whose pairs are averaged over.
        gram_samples: n of the Gram whose eigenvalues are computed, at most as many.
        kernel: `"cao"`; `"bowman"`, a kernel with biases, is the negative control.
    """

    dims: tuple[int, ...] = (3, 5, 10)
    max_degree: int = 6
    num_samples: int = 1000
    gram_samples: int = 500
    kernel: str = "cao"


def measure(settings: Eigenvalues) -> dict[str, np.ndarray]:
    """Closed forms; Monte Carlo over all pairs, E κ P_k = μ_k; eigenvalues of Θ/n, averaged over each multiplicity."""
    kernel = kernels.cao_kernel() if settings.kernel == "cao" else kernels.bowman_kernel()
    degrees, dims = np.arange(settings.max_degree + 1), settings.dims
    n, m = settings.num_samples, settings.gram_samples
    # Above the diagonal, where pairs are independent enough.
    pairs = np.triu_indices(n, 1)
    closed = np.empty((len(dims), len(degrees)))
    sampled = np.empty((len(settings.seeds), *closed.shape))
    clusters, expected = np.empty((len(settings.seeds), len(dims), 3)), np.empty((len(dims), 3))
    shown = np.empty((len(settings.seeds), _SHOWN))
    for j, dim in enumerate(dims):
        spectrum = spectra.sphere_spectrum(kernel, dim, settings.max_degree)
        closed[j] = spectrum.eigenvalues
        largest = np.argsort(spectrum.eigenvalues)[::-1][:3]
        expected[j] = spectrum.eigenvalues[largest]
        ends = np.cumsum([0, *(spectrum.multiplicities[k] for k in largest)])
        for i, seed in enumerate(settings.seeds):
            x = problems.Sphere(dim).sample(n, key=keys(seed)[0])
            with double_precision():
                gram = np.asarray(kernel.ntk(x))
            values, cosines = gram[pairs], np.clip((x @ x.T)[pairs], -1, 1)
            polynomials = gegenbauer_sequence(dim, cosines)
            sampled[i, j] = [np.mean(values * p) for _, p in zip(degrees, polynomials, strict=False)]
            count = _SHOWN if dim == dims[-1] else int(ends[-1])
            top = spectra.eigenmodes(gram[:m, :m], num_modes=count).eigenvalues
            clusters[i, j] = [top[a:b].mean() for a, b in itertools.pairwise(ends)]
            if dim == dims[-1]:
                shown[i] = top
    nonzero = np.flatnonzero(closed[-1])
    order = nonzero[np.argsort(closed[-1][nonzero])[::-1]]
    sizes = [spectra.multiplicity(int(k), dims[-1]) for k in order]
    return {
        "dims": np.array(dims),
        "degrees": degrees,
        "closed": closed,
        "sampled": sampled,
        "clusters": clusters,
        "clusters_expected": expected,
        "spectrum": shown,
        "spectrum_expected": np.repeat(closed[-1][order], sizes)[:_SHOWN],
    }


def judge(numbers: Numbers) -> Verdict:
    """Closed form and samples agree, odd degrees from 3 on vanish, and the Gram has these eigenvalues."""
    closed, sampled, repetitions = numbers["closed"], numbers["sampled"], len(numbers["sampled"])
    ranges = [[interval(sampled[:, j, k], 0.999) for k in range(closed.shape[1])] for j in range(len(closed))]
    inside = [r.low <= value <= r.high for row, values in zip(ranges, closed, strict=True)
              for r, value in zip(row, values, strict=True)]  # fmt: skip
    odd = numbers["degrees"][3::2]
    vanish = bool(np.all(closed[:, odd] == 0)) and all(row[k].low <= 0 <= row[k].high for row in ranges for k in odd)
    present = all(row[k].low > 0 for row in ranges for k in (0, 1, 2, 4))
    ratios = numbers["clusters"].mean(axis=0) / numbers["clusters_expected"]
    outcome = all_of(
        decide(all(inside), repetitions),
        decide(vanish, repetitions),
        decide(present, repetitions),
        decide(bool(np.all(np.abs(ratios - 1) <= 0.1)), repetitions),
    )
    largest_odd = float(np.max(np.abs(closed[:, odd])))
    return Verdict(
        outcome,
        f"{sum(inside)} of {len(inside)} eigenvalues lie in the 99.9 % intervals of the samples. Odd degrees from 3 on "
        + ("are zero in both" if vanish else f"are not zero: the largest is {largest_odd:.2g}")
        + f"; the three largest eigenvalues of Θ/n are within {100 * np.max(np.abs(ratios - 1)):.1f} % of theory.",
        (
            ("in the samples' intervals", f"{sum(inside)} of {len(inside)}"),
            ("largest closed form at odd k ≥ 3", f"{largest_odd:.2g}"),
            ("Nyström over closed form", ", ".join(f"{value:.3f}" for value in ratios.ravel())),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Eigenvalues by degree, from the formula and from samples; the sorted spectrum of one Gram."""
    degrees, dims = numbers["degrees"], numbers["dims"]
    with panels(2, ratios=(1.4, 1), height=2.9) as (drawn, (left, right)):
        for j, (dim, color) in enumerate(zip(dims, unordered(len(dims)), strict=True)):
            shift = 0.16 * (j - (len(dims) - 1) / 2)
            found = [interval(values, 0.999) for values in numbers["sampled"][:, j].T]
            nonzero = numbers["closed"][j] > 0
            left.scatter(degrees[nonzero] + shift, numbers["closed"][j][nonzero], s=30, facecolors="none",
                         edgecolors=color, linewidths=0.9)  # fmt: skip
            for k in degrees:
                low, high = max(found[k].low, 1e-12), max(found[k].high, 1e-12)
                if nonzero[k]:
                    left.plot([k + shift] * 2, [low, high], color=color, linewidth=1.2)
                    left.plot([k + shift], [max(found[k].value, 1e-12)], ".", color=color, markersize=4)
                else:
                    left.plot([k + shift], [high], marker="v", color=color, markersize=3.5, markerfacecolor="none",
                              markeredgewidth=0.8)  # fmt: skip
            left.plot([], [], "o", color=color, markersize=4, label=f"dim {dim}")
        left.scatter([], [], s=30, facecolors="none", edgecolors=MUTED, linewidths=0.9, label="closed form")
        left.plot([], [], marker=".", markersize=4, color=MUTED, linewidth=1.2, label="samples, 99.9 %")
        left.plot([], [], "v", color=MUTED, markersize=3.5, markerfacecolor="none", label="upper end, where μ = 0")
        left.set(yscale="log", xlabel="degree k", ylabel="eigenvalue $\\mu_k$")
        left.set_xticks(degrees)
        left.set_ylim(0.3 * min(numbers["closed"][numbers["closed"] > 0].min(), 1e-6), 3)
        legend(left, loc="upper right", ncols=2)
        index = np.arange(1, numbers["spectrum"].shape[1] + 1)
        expected = numbers["spectrum_expected"]
        band(right, index, numbers["spectrum"], unordered(len(dims))[-1], "Θ/n")
        right.plot(index[: len(expected)], expected, color=INK, label="closed form, repeated", **THEORY)
        right.set(
            xscale="log", yscale="log", xlabel=f"mode, dim {dims[-1]}", ylabel="eigenvalue", xlim=(0.9, len(index))
        )
        legend(right, loc="lower left")
    return drawn


_FAST = Eigenvalues()

STUDIES = (
    Study(
        "cao-theorem-4-3",
        "Cao et al. 2021, Theorem 4.3",
        "On the sphere the kernel has one eigenvalue μ_k for each degree, with the multiplicity N(d, k), and μ_k = 0 "
        "for odd k ≥ 3.",
        "Every closed form up to degree 6 lies in the 99.9 % interval of the mean of κ P_k over pairs of points; odd "
        "degrees from 3 on are exactly 0 and their intervals contain 0; those of degrees 0, 1, 2, 4 do not. The three "
        "largest eigenvalues of Θ/n, averaged over their multiplicity, are within 10 %.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, num_samples=3000, gram_samples=2000),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control("a kernel with biases", lambda s: msgspec.structs.replace(s, kernel="bowman")),
    ),
)
