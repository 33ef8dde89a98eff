"""Theorem 4.2: the bound on the retained modes, along gradient descent with the kernel and with real networks."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics, kernels, models, problems, spectra
from .._figures import (
    INK,
    MUTED,
    THEORY,
    band,
    legend,
    panels,
    plain_log,
    ticks_at,
    unordered,
)
from .._statistics import all_of, decide, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._training import exact_gram, keys, single_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR = 0.5
# Where the step on the sphere is: at a cosine that is not 0, so that even degrees are in it, which can be learned.
STEP_AT = 0.3


class Bound(Settings, frozen=True, kw_only=True):
    """Trainings along which the bound is evaluated.

    Attributes:
        dim: ambient dimension.
        cut: V holds the harmonics of the degrees up to this one whose eigenvalue is not 0.
        counts: numbers of samples n of kernel gradient descent.
        widths: of the networks, each of the two opposite copies.
        network_samples: n of the networks.
        kernel_steps: steps T of kernel gradient descent.
        network_steps: of the networks.
        rate: c = η θ².
        output_scale: θ.
        target: `"harmonics"`, or `"step"` for sign(⟨ζ, x⟩ - 0.3).
        largest_rate: take the rate of the largest eigenvalue for the bound: the negative control.
    """

    dim: int = 5
    cut: int = 2
    counts: tuple[int, ...] = (100, 200, 400, 800)
    widths: tuple[int, ...] = (64, 256, 1024)
    network_samples: int = 200
    kernel_steps: int = 100_000
    network_steps: int = 600
    rate: float = 1.0
    output_scale: float = 4.0
    target: str = "harmonics"
    largest_rate: bool = False


def _problem(settings: Bound, num_samples: int, seed: int) -> "problems.Problem":
    common = {"dim": settings.dim, "num_samples": num_samples, "num_test": 0, "key": keys(seed)[0]}
    if settings.target == "step":
        return problems.ridge(lambda t: np.where(t >= STEP_AT, 1.0, -1.0), **common)
    return problems.harmonics(degrees=(1, 2, 4), **common)


def _retained(settings: Bound) -> tuple[list[int], np.ndarray, float]:
    """Degrees in V, the eigenvalue of each of its columns, and the largest that is left out."""
    spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), settings.dim, settings.cut + 4)
    degrees = [k for k in range(settings.cut + 1) if spectrum.eigenvalues[k] > 0]
    sizes = [spectrum.multiplicities[k] for k in degrees]
    return (
        degrees,
        np.repeat(spectrum.eigenvalues[degrees], sizes),
        float(spectrum.eigenvalues[settings.cut + 1 :].max()),
    )


def _bound(settings: Bound, residuals: np.ndarray, x: np.ndarray, steps: np.ndarray) -> "dynamics.DecayBound":
    degrees, eigenvalues, following = _retained(settings)
    functions = spectra.spherical_harmonics(degrees, x)
    if settings.largest_rate:
        eigenvalues = np.full_like(eigenvalues, eigenvalues.max())
    return dynamics.decay_bound(
        residuals, functions, eigenvalues, steps=steps, learning_rate=settings.rate, next_eigenvalue=following
    )


@functools.lru_cache(maxsize=128)
def _kernel_descent(settings: Bound, num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals of exact gradient descent with κ, (T, n), the points, and the steps."""
    problem = _problem(settings, num_samples, seed)
    steps = np.array(dynamics.log_spaced(settings.kernel_steps, dense=20, per_decade=24))
    frozen = dynamics.frozen(exact_gram(problem.x), -problem.y)
    return frozen.residuals_at(steps, settings.rate), problem.x, steps


@functools.lru_cache(maxsize=128)
def _network_descent(settings: Bound, width: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of a trained network."""
    problem = _problem(settings, settings.network_samples, seed)
    with single_precision():
        model = models.cao_network(
            settings.dim, width, output_scale=settings.output_scale, antisymmetric=True, key=keys(seed)[1]
        )
        trajectory = dynamics.train(
            model,
            problem.x,
            problem.y,
            learning_rate=settings.rate / settings.output_scale**2,
            steps=settings.network_steps,
            record=dynamics.log_spaced(settings.network_steps, dense=20, per_decade=24),
        )
    return trajectory.residuals, problem.x, trajectory.steps


def _evaluate(settings: Bound, runs) -> dict[str, np.ndarray]:
    """Bounds of all repetitions, relative to ‖Vᵀy‖/√n: what is left (seeds, T), what is allowed, and ε (seeds,)."""
    bounds = [_bound(settings, *run) for run in runs]
    return {
        "steps": bounds[0].steps,
        "left": np.stack([found.left / found.left[0] for found in bounds]),
        "allowed": bounds[0].allowed / bounds[0].left[0],
        "epsilon": np.array([found.epsilon / found.left[0] for found in bounds]),
    }


def measure(settings: Bound) -> dict[str, np.ndarray]:
    """The smallest ε for every n, and for every width."""
    plain = msgspec.structs.replace(settings, largest_rate=False, seeds=())
    by_count = [_evaluate(settings, [_kernel_descent(plain, n, s) for s in settings.seeds]) for n in settings.counts]
    by_width = [_evaluate(settings, [_network_descent(plain, m, s) for s in settings.seeds]) for m in settings.widths]
    _, eigenvalues, _ = _retained(settings)
    return {
        "counts": np.array(settings.counts),
        "widths": np.array(settings.widths),
        "network_samples": np.array(settings.network_samples),
        "cut": np.array(settings.cut),
        "retained": np.array(len(eigenvalues)),
        "kernel_steps": by_count[0]["steps"],
        "kernel_left": np.stack([found["left"] for found in by_count], axis=1),
        "kernel_allowed": by_count[0]["allowed"],
        "kernel_epsilon": np.stack([found["epsilon"] for found in by_count], axis=1),
        "network_steps": by_width[0]["steps"],
        "network_left": np.stack([found["left"] for found in by_width], axis=1),
        "network_allowed": by_width[0]["allowed"],
        "network_epsilon": np.stack([found["epsilon"] for found in by_width], axis=1),
    }


def judge(numbers: Numbers) -> Verdict:
    """ε is small at the largest n and the largest m, and shrinks with both."""
    repetitions = len(numbers["kernel_epsilon"])
    slopes, ends, outcomes = {}, {}, []
    for kind, sizes, small in (("kernel", "counts", 0.02), ("network", "widths", 0.05)):
        epsilon = np.maximum(numbers[f"{kind}_epsilon"], 1e-9)
        slopes[kind] = log_slope(numbers[sizes], epsilon)
        ends[kind] = float(np.median(epsilon[:, -1]))
        outcomes += [within(slopes[kind], -np.inf, 0.0), decide(ends[kind] <= small, repetitions)]
    n, m = numbers["counts"][-1], numbers["widths"][-1]
    return Verdict(
        all_of(*outcomes),
        f"For kernel gradient descent the smallest ε is {ends['kernel']:.2g} of n^(-1/2)‖Vᵀy‖ at n = {n:,} and goes "
        f"with n to the power {slopes['kernel'].text(2)}; for networks it is {ends['network']:.2g} at m = {m:,} and "
        f"goes with m to the power {slopes['network'].text(2)}.",
        (
            ("retained harmonics", f"{int(numbers['retained'])}, degrees up to {int(numbers['cut'])}"),
            (f"ε of the kernel, n = {n:,}", f"{ends['kernel']:.2g}"),
            ("slope in n", slopes["kernel"].text(2)),
            (f"ε of networks, m = {m:,}", f"{ends['network']:.2g}"),
            ("slope in m", slopes["network"].text(2)),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """What is left of the retained modes beside the bound, and the smallest ε against n and against m."""
    kernel, network = unordered(2)
    with panels(3, ratios=(1.5, 1, 1)) as (drawn, (curves, by_count, by_width)):
        until = numbers["network_steps"][-1]
        for kind, color, label in (
            ("kernel", kernel, f"kernel, n = {numbers['counts'][-1]:,}"),
            ("network", network, f"network, m = {numbers['widths'][-1]:,}"),
        ):
            steps = numbers[f"{kind}_steps"]
            seen = np.arange(len(steps)) <= np.searchsorted(steps, until)
            band(curves, steps[seen], numbers[f"{kind}_left"][:, -1][:, seen], color, label)
        curves.plot(
            numbers["network_steps"], numbers["network_allowed"], color=INK, label="$2(1-c\\lambda)^T$", **THEORY
        )
        curves.set(
            yscale="log", xlabel="step T", ylabel="$\\|V^\\top r^{(T)}\\|\\;/\\;\\|V^\\top y\\|$", xlim=(0, until)
        )
        curves.set_ylim(5e-4, 3)
        legend(curves, loc="best")
        for ax, kind, sizes, color, label in (
            (by_count, "kernel", "counts", kernel, "samples n"),
            (by_width, "network", "widths", network, "width m"),
        ):
            x, epsilon = numbers[sizes], np.maximum(numbers[f"{kind}_epsilon"], 1e-9)
            band(ax, x, epsilon, color, marker="o", markersize=3)
            line = np.exp(np.mean(np.log(epsilon) + np.log(x) / 2))
            ax.plot(x, line / np.sqrt(x), color=MUTED, label=f"$\\propto {label[-1]}^{{-1/2}}$", **THEORY)
            ticks_at(ax, x)
            ax.set(yscale="log", xlabel=label, ylabel="smallest ε, relative")
            plain_log(ax.yaxis)
            legend(ax, loc="upper right")
    return drawn


FAST = Bound(counts=(100, 200, 400), widths=(16, 64, 256), network_samples=150, network_steps=500)
PAPER = Bound(dim=10, counts=(250, 500, 1000, 2000), widths=(256, 1024, 4096), network_samples=1000, network_steps=1500)
CRITERION = (
    "The smallest ε, relative to n^(-1/2)‖Vᵀy‖, has a median of at most 0.02 at the largest n (kernel gradient "
    "descent) and of at most 0.05 at the largest m (networks); it shrinks with n, and with m: the exponent is negative "
    "with 95 % confidence."
)
CONTROL = Control(
    "the rate of the largest retained eigenvalue in place of the smallest",
    lambda settings: msgspec.structs.replace(settings, largest_rate=True),
)
NOTE = (
    "V holds the harmonics up to degree 2, so the cut is at the boundary of a multiplicity. c = 1; networks have θ = 4 "
    "and an antisymmetric start. "
)

STUDIES = (
    Study(
        "cao-theorem-4-2",
        "Cao et al. 2021, Theorem 4.2",
        "n^(-1/2)‖Vᵀ(y − ŷ^(T))‖ ≤ 2(1 − cλ)^T n^(-1/2)‖Vᵀy‖ + ε, λ the smallest retained eigenvalue: with an ε that "
        "shrinks with n for gradient descent with the kernel, and with m for networks.",
        CRITERION,
        fast=FAST,
        paper=PAPER,
        measure=measure,
        judge=judge,
        figure=figure,
        control=CONTROL,
        note=NOTE + "The target is the sum of a harmonic of degree 1, 2 and 4 each.",
    ),
)
