"""Theorem 4.3: how the eigenvalues on the sphere decay, in the degree and in the dimension."""

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import kernels, spectra
from .._figures import INK, MUTED, THEORY, degree_colors, legend, panels, ticks_at, unordered
from .._statistics import decide
from .._study import Control, Numbers, Outcome, Settings, Study, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DegreeDecay(Settings, frozen=True, kw_only=True):
    """Degrees far above the dimension.

    Attributes:
        dims: ambient dimensions.
        max_degree: the last degree; exponents are fitted from a quarter of it on.
        which: `"ntk"`; `"nngp"`, a smoother kernel, is the negative control.
    """

    seeds: tuple[int, ...] = ()
    dims: tuple[int, ...] = (3, 5, 10)
    max_degree: int = 1000
    which: str = "ntk"


def measure_degrees(settings: DegreeDecay) -> dict[str, np.ndarray]:
    """log μ_k over even k, the exponents, and log of lim μ_k k^dim."""
    found = [
        spectra.sphere_spectrum(kernels.cao_kernel(), dim, settings.max_degree, which=settings.which)  # pyright: ignore
        for dim in settings.dims
    ]
    even = np.arange(2, settings.max_degree + 1, 2)
    fits = [spectrum.decay_exponent() for spectrum in found]
    # 2^(d-1) Γ((d+1)/2)²/π², d = dim - 1.
    limits = [(dim - 2) * math.log(2) + 2 * math.lgamma(dim / 2) - 2 * math.log(math.pi) for dim in settings.dims]
    return {
        "dims": np.array(settings.dims),
        "degrees": even,
        "log_eigenvalues": np.stack([spectrum.log_eigenvalues[even] for spectrum in found]),
        "exponents": np.array([fit.exponent for fit in fits]),
        "log_limits": np.array(limits),
    }


def judge_degrees(numbers: Numbers) -> Verdict:
    """The exponents are -dim, and the prefactor is the limit's."""
    dims, exponents = numbers["dims"], numbers["exponents"]
    last = numbers["degrees"][-1] + dims / 2 - 1
    ratios = np.exp(numbers["log_eigenvalues"][:, -1] + dims * np.log(last) - numbers["log_limits"])
    good = bool(np.all(np.abs(exponents + dims) <= 0.05) and np.all(np.abs(ratios - 1) <= 0.05))
    listed = ", ".join(f"{p:.3f} (dim {dim})" for p, dim in zip(exponents, dims, strict=True))
    return Verdict(
        decide(good),
        f"The exponents of μ_k in k, even, are {listed}; theory is −dim. At the last degree μ_k k^dim is within "
        f"{100 * np.max(np.abs(ratios - 1)):.2g} % of its limit.",
        (("exponents", listed), ("μ_k k^dim over its limit", ", ".join(f"{r:.4f}" for r in ratios))),
    )


def figure_degrees(numbers: Numbers) -> "Figure":
    """μ_k against k, and the exponent between neighboring degrees."""
    k, dims = numbers["degrees"], numbers["dims"]
    with panels(2, ratios=(1, 1)) as (drawn, (left, right)):
        for dim, color, logs, limit in zip(
            dims, unordered(len(dims)), numbers["log_eigenvalues"], numbers["log_limits"], strict=True
        ):
            left.plot(k, logs / np.log(10), color=color, label=f"dim {dim}")
            left.plot(k, (limit - dim * np.log(k)) / np.log(10), color=color, **THEORY)
            local = np.diff(logs) / np.diff(np.log(k))
            right.plot(np.sqrt(k[1:] * k[:-1]), local, color=color)
            right.axhline(-dim, color=color, **THEORY)
            right.text(k[-1], -dim + 0.15, f"−{dim}", color=color, ha="right", va="bottom", fontsize=7)
        left.plot([], [], color=MUTED, label="limit  $\\propto k^{-\\mathrm{dim}}$", **THEORY)
        left.set(xscale="log", xlabel="degree k, even", ylabel="$\\log_{10}\\,\\mu_k$")
        left.set_ylim(1.08 * float(numbers["log_eigenvalues"].min()) / np.log(10), 1)
        legend(left, loc="lower left")
        right.set(xscale="log", xlabel="degree k, even", ylabel="local exponent of $\\mu_k$ in k")
    return drawn


class DimDecay(Settings, frozen=True, kw_only=True):
    """Dimensions far above the degree.

    Attributes:
        degrees: degrees whose eigenvalue is not 0.
        dims: ambient dimensions.
        published_prefactor: use (d - 1)/2π in place of the constant c_d of the probability measure: the control.
    """

    seeds: tuple[int, ...] = ()
    degrees: tuple[int, ...] = (2, 4, 6)
    dims: tuple[int, ...] = (300, 1000, 3000)
    published_prefactor: bool = False


def measure_dims(settings: DimDecay) -> dict[str, np.ndarray]:
    """log μ_k for each dimension, and the exponents in d = dim - 1."""
    d = np.array(settings.dims, float) - 1
    kernel, last = kernels.cao_kernel(), max(settings.degrees)
    logs = np.stack([spectra.sphere_spectrum(kernel, dim, last).log_eigenvalues for dim in settings.dims], axis=1)
    if settings.published_prefactor:
        # c_d = Γ((d+1)/2)/(√π Γ(d/2)) enters μ_k squared.
        constant = np.array([math.lgamma((v + 1) / 2) - math.lgamma(v / 2) - math.log(math.pi) / 2 for v in d])
        logs = logs + 2 * (np.log((d - 1) / (2 * math.pi)) - constant)
    degrees = list(settings.degrees)
    return {
        "degrees": np.array(degrees),
        "d": d,
        "log_eigenvalues": logs[degrees],
        "exponents": np.polyfit(np.log(d), logs[degrees].T, 1)[0],
    }


def judge_dims(numbers: Numbers) -> Verdict:
    """Whether the eigenvalues decay no faster than published; the corrected rate is in the sentence."""
    k, exponents = numbers["degrees"], numbers["exponents"]
    published = bool(np.all(exponents >= -(k - 1) - 0.1))
    corrected = bool(np.all(np.abs(exponents + k) <= 0.1))
    listed = ", ".join(f"{p:.2f} (k = {degree})" for p, degree in zip(exponents, k, strict=True))
    rate = (
        "d^(−k)"
        if corrected
        else "d^(−k+1)"
        if np.all(np.abs(exponents + k - 1) <= 0.1)
        else "neither d^(−k+1) nor d^(−k)"
    )
    return Verdict(
        Outcome.holds if published else Outcome.fails,
        f"The exponents of μ_k in d are {listed}; the published lower bound d^(−k+1) asks for −k + 1 or more. "
        f"The rate is {rate}"
        + (", as Σ N(d, k) μ_k = κ(1) demands: N(d, k) alone grows as d^k." if corrected else "."),
        (("exponents in d", listed), ("published", "−k + 1"), ("corrected", "−k")),
    )


def judge_low(numbers: Numbers) -> Verdict:
    """Whether μ_0 and μ_1 stay away from 0 as the dimension grows."""
    exponents = numbers["exponents"]
    shown = np.round(exponents, 2) + 0.0  # no "-0.00"
    exact = np.log(3 / (4 * (numbers["d"] + 1)))
    error = float(np.max(np.abs(np.expm1(numbers["log_eigenvalues"][1] - exact))))
    known = (
        "μ_1 is 3/(4 dim), to rounding: it falls, and only N(d, 1) μ_1 = 3/4 does not."
        if error <= 1e-12
        else f"μ_1 over 3/(4 dim) − 1 is up to {error:.2g}."
    )
    return Verdict(
        Outcome.holds if np.all(exponents >= -0.1) else Outcome.fails,
        f"The exponents in d are {shown[0]:.2f} (μ_0) and {shown[1]:.2f} (μ_1); Ω(1) asks for 0 or more. " + known,
        (
            ("exponents in d", f"{exponents[0]:.3f} (k = 0), {exponents[1]:.3f} (k = 1)"),
            ("published", "0 or more"),
            ("μ_1 over 3/(4 dim) − 1, the largest", f"{error:.1g}"),
        ),
    )


def figure_dims(numbers: Numbers) -> "Figure":
    """μ_k against d, with the published and the corrected rate through the first point."""
    d, colors = numbers["d"], degree_colors(numbers["degrees"])
    published = "published, constant" if max(numbers["degrees"]) < 2 else "published  $d^{-k+1}$"
    with panels(1, width=4.2, height=3.0) as (drawn, (ax,)):
        for k, color, logs in zip(numbers["degrees"], colors, numbers["log_eigenvalues"], strict=True):
            y = logs / np.log(10)
            fall = np.log10(d / d[0])
            ax.plot(d + 1, y[0] - max(k - 1, 0) * fall, color=MUTED, **THEORY)
            ax.plot(d + 1, y[0] - k * fall, color=color, linewidth=1)
            ax.plot(d + 1, y, "o", color=color, markersize=4, label=f"k = {k}")
        ax.plot([], [], color=INK, linewidth=1, label="corrected  $d^{-k}$")
        ax.plot([], [], color=MUTED, label=published, **THEORY)
        ticks_at(ax, d + 1)
        ax.set(xlabel="dim", ylabel="$\\log_{10}\\,\\mu_k$")
        legend(ax, loc="lower left")
    return drawn


_DEGREES, _DIMS = DegreeDecay(), DimDecay()
_MORE_DIMS = (300, 1000, 3000, 10_000)
_PREFACTOR = Control(
    "the prefactor (d − 1)/2π in place of that of the probability measure",
    lambda s: msgspec.structs.replace(s, published_prefactor=True),
)

STUDIES = (
    Study(
        "cao-decay-degree",
        "Cao et al. 2021, Theorem 4.3, k ≫ d",
        "For degrees far above the dimension the eigenvalues decay as k^(−d−1), d + 1 = dim.",
        "The exponents fitted over the last three quarters of the even degrees are within 0.05 of −dim, and μ_k k^dim "
        "at the last degree is within 5 % of its limit 2^(d−1) Γ((d+1)/2)²/π².",
        fast=_DEGREES,
        paper=msgspec.structs.replace(_DEGREES, dims=(3, 5, 10, 20), max_degree=10_000),
        measure=measure_degrees,
        judge=judge_degrees,
        figure=figure_degrees,
        control=Control(
            "the kernel of the outputs at the start, which is smoother",
            lambda s: msgspec.structs.replace(s, which="nngp"),
        ),
    ),
    Study(
        "cao-decay-dim",
        "Cao et al. 2021, Theorem 4.3, d ≫ k",
        "For dimensions far above the degree the eigenvalues of even degree are Ω(d^(−k+1)).",
        "The exponents of μ_k in d are at least −k + 1, within 0.1, for k = 2, 4, 6.",
        fast=_DIMS,
        paper=msgspec.structs.replace(_DIMS, dims=_MORE_DIMS),
        measure=measure_dims,
        judge=judge_dims,
        figure=figure_dims,
        control=_PREFACTOR,
        expected=Outcome.fails,
        note="In the uniform probability measure the rate is d^(−k). The published one appears with the prefactor "
        "(d − 1)/2π, which belongs to another normalization of the measure. With the corrected rate, Corollary 4.7 "
        "reads (1 − Ω(d^(−k+1)))^T, with d^(k−1) in its condition on the width.",
    ),
    Study(
        "cao-low-degrees",
        "Cao et al. 2021, Theorem 4.3, μ_0 and μ_1",
        "The eigenvalues of degrees 0 and 1 are Ω(1) in the dimension.",
        "The exponents of μ_0 and of μ_1 in d are at least 0, within 0.1.",
        fast=msgspec.structs.replace(_DIMS, degrees=(0, 1)),
        paper=msgspec.structs.replace(_DIMS, degrees=(0, 1), dims=_MORE_DIMS),
        measure=measure_dims,
        judge=judge_low,
        figure=figure_dims,
        control=_PREFACTOR,
        expected=Outcome.fails,
        note="For fixed k and d → ∞. It holds for μ_0, which tends to 1/π, and not for μ_1, which is 3/(4 dim) in the "
        "uniform probability measure. The published prefactor (d − 1)/2π, squared, is larger by a factor of order d.",
    ),
)
