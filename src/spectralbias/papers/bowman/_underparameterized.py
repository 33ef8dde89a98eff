"""More samples than parameters: the top modes follow the frozen kernel on the whole sphere."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics, spectra
from .._figures import MUTED, THEORY, band, degree_colors, legend, panels, plain_log, ticks_at, unordered
from .._statistics import all_of, decide, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._cutoff import OnSphere, train
from ._setting import DIM, sphere_eigenvalues

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Degrees whose harmonics are the top modes, one cut after each.
DEGREES = (0, 1, 2)
CUTS = (1, 4, 9)
SMALL = 0.1


class Sizes(Settings, frozen=True, kw_only=True):
    """Networks and their numbers of samples.

    Attributes:
        widths: m, of each of the two opposite copies.
        samples_per_parameter: n/p at the smallest width; n/p grows with m, as the corollary asks for.
        fixed_samples: the same few samples for all networks: the negative control.
        training: how they are trained.
    """

    seeds: tuple[int, ...] = tuple(range(20))
    widths: tuple[int, ...] = (8, 16, 32)
    samples_per_parameter: float = 4.0
    fixed_samples: int | None = None
    training: OnSphere = OnSphere(seeds=(), degrees=(0, 1, 2, 3), learning_rate=0.2, steps=50, latitudes=6)


def _parameters(width: int) -> int:
    """Of two copies of (1/√m) Σ a_j σ(w_j · x + b_j) + b_0."""
    return 2 * (width * (DIM + 2) + 1)


def _samples(settings: Sizes, width: int) -> int:
    if settings.fixed_samples is not None:
        return settings.fixed_samples
    return round(settings.samples_per_parameter * width / settings.widths[0] * _parameters(width))


def measure(settings: Sizes) -> dict[str, np.ndarray]:
    """The smallest ε of each network over ‖f*‖ = 1, (seeds, widths, cuts), and deviations (seeds, widths, T, cuts)."""
    e = settings.training
    eigenvalues = sphere_eigenvalues(e.activation, max(e.degrees))
    rates = np.repeat(eigenvalues[list(e.degrees)], [spectra.multiplicity(k, DIM) for k in e.degrees])
    epsilon, deviations = [], []
    counts = [_samples(settings, width) for width in settings.widths]
    times = np.zeros(0)
    for seed in settings.seeds:
        for width, n in zip(settings.widths, counts, strict=True):
            run = train(msgspec.structs.replace(e, width=width, num_samples=n), seed)
            predicted = dynamics.discrete_decay(rates, run.steps, e.learning_rate) * run.coefficients[0]
            away = run.coefficients - predicted
            # The factor of gradient descent, (1 - (1 - ησ)^s)/σ, in place of (1 - e^(-σt))/σ.
            factor = (1 - dynamics.discrete_decay(rates, run.steps, e.learning_rate)) / rates
            left = np.stack([np.linalg.norm(away[:, :k], axis=1) for k in CUTS], axis=1)
            allowed = np.stack([factor[:, k - 1] for k in CUTS], axis=1)
            epsilon.append(np.max(left[1:] / allowed[1:], axis=0))
            deviations.append(left)
            times = run.times
    shape = (len(settings.seeds), len(settings.widths))
    source = [
        dynamics.underparameterized_bound(
            times, dim=DIM, width=2 * width, num_samples=n, num_parameters=_parameters(width), sup_norm=_sup_norm(e)
        )
        for width, n in zip(settings.widths, counts, strict=True)
    ]
    return {
        "widths": np.array(settings.widths),
        "counts": np.array(counts),
        "parameters": np.array([_parameters(width) for width in settings.widths]),
        "times": times,
        "rates": rates[np.array(CUTS) - 1],
        "epsilon": np.reshape(epsilon, (*shape, len(CUTS))),
        "deviations": np.reshape(deviations, (*shape, len(times), len(CUTS))),
        "theorem": np.array([found.width + found.sampling for found in source]),
    }


def _sup_norm(training: OnSphere) -> float:
    """A bound on |f*|: each harmonic of unit norm is at most √N(dim, k)."""
    sizes = [spectra.multiplicity(k, DIM) for k in training.degrees]
    return float(np.sum(np.sqrt(sizes)) / np.sqrt(len(sizes)))


def judge(numbers: Numbers) -> Verdict:
    """ε is small for the largest network, and falls."""
    largest = numbers["epsilon"].max(axis=2)
    slope = log_slope(numbers["widths"], largest)
    end = float(np.median(largest[:, -1]))
    m, n, p = (int(numbers[name][-1]) for name in ("widths", "counts", "parameters"))
    ratio = numbers["theorem"] / np.median(largest, axis=0)
    return Verdict(
        all_of(within(slope, -np.inf, 0.0), decide(end <= SMALL, len(largest))),
        f"On the whole sphere the smallest ε for which ε(1 − e^(−σ_k t))/σ_k bounds the deviation of the first 1, 4 "
        f"and 9 modes is {end:.2g} of ‖f*‖, in the median, with n = {n:,} samples and p = {p:,} parameters; it goes "
        f"with the width to the power {slope.text(2)}.",
        (
            (f"ε at m = {m}, n = {n:,}", f"{end:.3f}"),
            ("exponent of ε in m", slope.text()),
            ("samples over parameters", ", ".join(f"{a / b:.1f}" for a, b in
                                                  zip(numbers["counts"], numbers["parameters"], strict=True))),
            ("order of magnitude of the theorem over ε", ", ".join(f"{value:.0f}" for value in ratio)),
        ),
    )  # fmt: skip


def figure(numbers: Numbers) -> "Figure":
    """The deviation of the top modes for the largest network, with its bound; ε against the width."""
    times, colors = numbers["times"], degree_colors(DEGREES)
    widths, epsilon = numbers["widths"], numbers["epsilon"]
    end = np.median(epsilon[:, -1].max(axis=1))
    with panels(2, ratios=(1.2, 1)) as (drawn, (left, right)):
        for index, (k, color) in enumerate(zip(CUTS, colors, strict=True)):
            band(left, times[1:], numbers["deviations"][:, -1, 1:, index], color, f"k = {k}")
            factor = dynamics.damping_factor([numbers["rates"][index]], times[1:])[:, 0]
            left.plot(times[1:], end * factor, color=color, **THEORY)
        left.plot([], [], color=MUTED, label="$\\varepsilon\\,(1 - e^{-\\sigma_k t})/\\sigma_k$", **THEORY)
        left.set(yscale="log", xlabel="time t", ylabel="$\\|P_k(r_t - e^{-T_K t}\\,r_0)\\|$", xlim=(0, times[-1]))
        left.set_ylim(1e-3, None)
        left.set_title(f"m = {widths[-1]}, n = {numbers['counts'][-1]:,}, p = {numbers['parameters'][-1]:,}")
        legend(left, loc="lower right", ncols=2)
        largest = epsilon.max(axis=2)
        band(right, widths, largest, unordered(1)[0], "measured", marker="o", markersize=3)
        line = np.exp(np.mean(np.log(largest) + np.log(widths) / 2))
        right.plot(widths, line / np.sqrt(widths), color=MUTED, label="$\\propto m^{-1/2}$", **THEORY)
        ticks_at(right, widths)
        right.set(yscale="log", xlabel="width m", ylabel="smallest ε over $\\|f^*\\|$")
        plain_log(right.yaxis)
        legend(right, loc="upper right")
    return drawn


_FAST = Sizes()

STUDIES = (
    Study(
        "bowman-underparameterized",
        "Bowman & Montúfar 2022, under-parameterized theorem and its corollary",
        "With far more samples than parameters ‖P_k(r_t − exp(−t T_K) r_0)‖ ≤ ε(1 − e^(−σ_k t))/σ_k on the whole "
        "sphere, for all k and all t ≤ T, with an ε that falls as the network grows, n growing as p times its width.",
        "The smallest such ε for k = 1, 4 and 9 has a median of at most 0.1 ‖f*‖ for the largest network, and falls "
        "with the width: the exponent is negative with 95 % confidence.",
        fast=_FAST,
        paper=msgspec.structs.replace(
            _FAST, widths=(8, 16, 32, 64, 128), training=msgspec.structs.replace(_FAST.training, steps=100)
        ),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "40 samples for every network, fewer than parameters",
            lambda settings: msgspec.structs.replace(settings, fixed_samples=40),
        ),
        note="K is the kernel at infinite width, whose eigenfunctions are harmonics. The theorem's own ε is an order "
        "of magnitude, as we recall it, ‖f*‖_∞(1 + T‖f*‖_∞)√(dim/m) + ‖f*‖(1 + T‖f*‖)√(p/n); it is listed beside the "
        "measured one. Gradient descent with η = 0.2 in place of the flow, with its own factor in the bound.",
    ),
)
