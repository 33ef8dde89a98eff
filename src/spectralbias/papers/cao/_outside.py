"""A target outside the RKHS: Theorem 4.2 holds for any labels."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import kernels, spectra
from .._figures import INK, THEORY, band, legend, logarithmic_from_zero, panels, plain_log, unordered
from .._statistics import all_of, decide
from .._study import Numbers, Study, Verdict
from ._bound import CONTROL, CRITERION, FAST, FLOOR, NOTE, PAPER, STEP_AT, Bound, judge, measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def norm_by_degree(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Even degrees K, and Σ a_k²/μ_k of the step over even k from 2 to K, relative to the first term."""
    degrees = np.arange(2, 201, 2)
    spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), dim, int(degrees[-1]))
    # ∫ over t ≥ τ of P_k(t) (1 - t²)^((dim-3)/2) is (1 - τ²)^((dim-1)/2) P_{k-1}(τ)/(dim - 1), P in dimension dim + 2.
    zonal = np.array([float(spectra.gegenbauer(int(k) - 1, dim + 2, STEP_AT)) for k in degrees])
    sizes = np.array([float(spectrum.multiplicities[k]) for k in degrees])
    sums = np.cumsum(sizes * zonal**2 / spectrum.eigenvalues[degrees])
    return degrees, sums / sums[0]


def growth(settings: Bound) -> dict[str, np.ndarray]:
    """The bound, and Σ a_k²/μ_k over the even degrees of the step, which would be finite in the RKHS."""
    degrees, norm = norm_by_degree(settings.dim)
    return {**measure(settings), "degrees": degrees, "norm": norm}


def judge_outside(numbers: Numbers) -> Verdict:
    """The bound is kept, and the target is outside."""
    said = judge(numbers)
    late = numbers["degrees"] >= 50
    power = float(np.polyfit(np.log(numbers["degrees"][late]), np.log(numbers["norm"][late]), 1)[0])
    return Verdict(
        all_of(said.outcome, decide(power >= 1)),
        f"Σ a_k²/μ_k over even k grows as degree to the power {power:.2f}: the step is outside the RKHS. "
        + said.sentence,
        (("growth of the RKHS norm squared", f"degree^{power:.2f}"), *said.evidence),
    )


def figure_outside(numbers: Numbers) -> "Figure":
    """The divergence of the norm, the bound, and ε."""
    kernel, network = unordered(2)
    with panels(3, ratios=(1, 1.3, 1)) as (drawn, (norm, curves, shrinking)):
        norm.plot(numbers["degrees"], numbers["norm"], color=INK, linewidth=1.5)
        norm.set(
            xscale="log", yscale="log", xlabel="largest degree K", ylabel="$\\sum_{k\\leq K} a_k^2/\\mu_k$, even k"
        )
        until = numbers["network_steps"][-1]
        for kind, color, label in (("kernel", kernel, "kernel"), ("network", network, "network")):
            steps = np.maximum(numbers[f"{kind}_steps"], FLOOR)
            seen = np.arange(len(steps)) <= np.searchsorted(steps, until)
            band(curves, steps[seen], numbers[f"{kind}_left"][:, -1][:, seen], color, label)
            sizes = numbers["counts" if kind == "kernel" else "widths"]
            epsilon = np.maximum(numbers[f"{kind}_epsilon"], 1e-9)
            band(shrinking, sizes, epsilon, color, "in n" if kind == "kernel" else "in m", marker="o", markersize=3)
        curves.plot(
            np.maximum(numbers["network_steps"], FLOOR), numbers["network_allowed"], color=INK,
            label="$2(1-c\\lambda)^T$", **THEORY,
        )  # fmt: skip
        logarithmic_from_zero(curves, until, FLOOR)
        curves.set(
            yscale="log", xlabel="step T", ylabel="$\\|V^\\top r^{(T)}\\|\\;/\\;\\|V^\\top y\\|$", xlim=(FLOOR, until)
        )
        curves.set_ylim(5e-4, 3)
        legend(curves, loc="lower left")
        shrinking.set(xscale="log", yscale="log", xlabel="samples n, or width m", ylabel="smallest ε, relative")
        plain_log(shrinking.xaxis, shrinking.yaxis)
        legend(shrinking, loc="best")
    return drawn


STUDIES = (
    Study(
        "cao-outside-rkhs",
        "Cao et al. 2021, Theorem 4.2 (any labels)",
        "A step on the sphere, sign(⟨ζ, x⟩ − 0.3), is not in the RKHS of the kernel and obeys the same bound.",
        CRITERION + " Besides, Σ a_k²/μ_k over the even degrees up to K grows at least as K.",
        fast=msgspec.structs.replace(FAST, target="step"),
        paper=msgspec.structs.replace(PAPER, target="step"),
        measure=growth,
        judge=judge_outside,
        figure=figure_outside,
        control=CONTROL,
        note=NOTE + "The step has odd degrees above 1, too, of eigenvalue 0: those alone put it outside.",
    ),
)
