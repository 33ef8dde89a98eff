"""Corollary 2.5: linear convergence, and how the width that is asked for grows with the number of samples."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import INK, MUTED, THEORY, band, legend, panels, unordered
from .._statistics import Interval, all_of, decide, interval, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._drift import kernel_along
from ._setting import Truncation, inputs, network, ntk, outputs, start_residual, truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Room for rounding.
ROUNDING = 1e-9


class Convergence(Truncation, frozen=True, kw_only=True):
    """Trainings beside the bound on Σ r².

    Attributes:
        largest: take the largest eigenvalue of Θ_0 for the smallest: a negative control.
    """

    seeds: tuple[int, ...] = tuple(range(20))
    horizon: float = 64.0
    largest: bool = False


def bound(times: np.ndarray, rate: float) -> np.ndarray:
    """The corollary's bound on Σ r² over Σ r_0², λ being that of Θ/n."""
    return dynamics.linear_convergence(np.concatenate([[0.0], times]), eigenvalue=float(rate)).right[1:]


def measure(settings: Convergence) -> dict[str, np.ndarray]:
    """Σ r_t² over Σ r_0² and its bound, (seeds, widths, T), and λ over n, (seeds, widths)."""
    s = settings
    shape = (len(s.seeds), len(s.widths))
    left, rates = np.empty((*shape, len(s.times))), np.empty(shape)
    bounds = np.empty_like(left)
    for i, seed in enumerate(s.seeds):
        for j, width in enumerate(s.widths):
            found = truth(s.key, width, seed)
            left[i, j] = np.mean(found.residuals**2, axis=1)
            rates[i, j] = np.linalg.eigvalsh(found.start_ntk)[-1 if s.largest else 0] / s.num_samples
            bounds[i, j] = bound(s.times, rates[i, j])
    return {"widths": np.array(s.widths), "times": s.times, "left": left, "bounds": bounds, "rates": rates}


def judge(numbers: Numbers) -> Verdict:
    """Σ r² ≤ e^(-λt/2n) Σ r_0² in every training."""
    ratio = numbers["left"] / numbers["bounds"]
    held = np.all(ratio <= 1 + ROUNDING, axis=2)
    end = numbers["left"][..., -1]
    # Σ r² falls at first as e^(-2λt/n) or faster, four times what is claimed.
    fast = numbers["left"] * np.exp(2 * numbers["rates"][..., None] * numbers["times"])
    quarter = np.all(fast <= 1 + ROUNDING, axis=2)
    return Verdict(
        decide(bool(held.all()), len(held)),
        f"The bound holds in {held.sum()} of {held.size} trainings, from m = {numbers['widths'][0]:,} to "
        f"{numbers['widths'][-1]:,}. At t = {numbers['times'][-1]:g} Σ r² is {np.median(end):.1g} of its start, where "
        f"the bound is {np.median(numbers['bounds'][..., -1]):.1g} (medians). Four times the rate, that of the frozen "
        f"kernel, is kept to in {quarter.sum()} of {quarter.size}.",
        (
            ("trainings in which the bound holds", f"{held.sum()} of {held.size}"),
            ("largest Σ r² over the bound", f"{ratio.max():.3g}"),
            ("trainings as fast as e^(−2λt/n)", f"{quarter.sum()} of {quarter.size}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Σ r² against time, beside the bound; their ratio for each width."""
    times, widths = numbers["times"], numbers["widths"]
    with panels(2) as (drawn, (left, right)):
        bounds = numbers["bounds"]
        band(left, times, numbers["left"][:, -1], unordered(1)[0], f"trained, m = {widths[-1]:,}")
        band(left, times, bounds[:, -1], INK, "bound  $e^{-\\lambda t/2n}$", **THEORY)
        left.set(xlabel="time t", ylabel="$\\Sigma\\,r^2\\;/\\;\\Sigma\\,r_0^2$", yscale="log", xlim=(0, times[-1]))
        legend(left, loc="lower left", fontsize=7)
        for j, (width, color) in enumerate(zip(widths, unordered(len(widths)), strict=True)):
            band(
                right, times, numbers["left"][:, j] / bounds[:, j], color, f"m = {width:,}", marker="o", markersize=2.5
            )
        right.axhline(1, color=INK, **THEORY)
        right.set(xscale="log", yscale="log", xlabel="time t", ylabel="$\\Sigma\\,r^2$ over the bound")
        legend(right, loc="lower left", fontsize=7)
    return drawn


class Samples(Settings, frozen=True, kw_only=True):
    """Trainings to a hundredth of the residual, for several numbers of samples.

    Attributes:
        counts: n.
        width: m.
        dim: d.
        left: training ends where the frozen kernel's slowest mode is down to this.
        rate: learning rate, in units of 1/λ_max of Θ_0/n.
        records: times at which the kernel is looked at.
        error: of the frozen kernel's prediction, relative to r_0, that counts as small.
        largest: take the largest eigenvalue of Θ_0 for the smallest: a negative control.
    """

    counts: tuple[int, ...] = (4, 8, 16)
    width: int = 512
    dim: int = 10
    left: float = 0.01
    rate: float = 0.5
    records: int = 9
    error: float = 0.05
    largest: bool = False


@functools.lru_cache(maxsize=1024)
def _trained(settings: Samples, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Eigenvalues of Θ_0; times; ‖Θ_t - Θ_0‖; ‖f - f̃‖/‖r_0‖ of the frozen kernel; Σ r²/Σ r_0²."""
    s = settings
    x, model = inputs(count, seed, s.dim), network(s.width, seed, dim=s.dim)
    r = start_residual(count, seed)
    y, start = outputs(model, x) - r, ntk(model, x)
    eigenvalues = np.linalg.eigvalsh(start)
    learning_rate = s.rate * count / eigenvalues[-1]
    last = int(np.ceil(np.log(1 / s.left) * count / eigenvalues[0] / learning_rate))
    steps = np.unique(np.round(np.geomspace(1, last, s.records)).astype(int))
    kernels, residuals = kernel_along(model, x, y, learning_rate, steps)
    moved = np.linalg.norm(kernels - start, 2, axis=(1, 2))
    frozen = dynamics.frozen(start, r).residuals_at(steps, learning_rate)
    error = np.linalg.norm(residuals - frozen, axis=1) / np.linalg.norm(r)
    return eigenvalues, steps * learning_rate, moved, error, np.mean(residuals**2, axis=1)


def measure_samples(settings: Samples) -> dict[str, np.ndarray]:
    """Widths from which on the kernel moves by less than λ/2, and the frozen kernel's prediction is good.

    Both fall as 1/m. Also n/λ, whether the bound held, and the end of the time window, each (seeds, counts), and times
    and errors of the frozen kernel, (seeds, counts, T).
    """
    s = settings
    plain = msgspec.structs.replace(s, seeds=(), counts=(), largest=False, error=0.0)
    runs = [[_trained(plain, n, i) for n in s.counts] for i in s.seeds]
    shape = (len(s.seeds), len(s.counts))
    found = {name: np.empty(shape) for name in ("inverse_rates", "moving", "predicted", "held", "window")}
    curves = np.empty((2, *shape, s.records))
    for index in np.ndindex(shape):
        eigenvalues, times, moved, error, left = runs[index[0]][index[1]]
        n, smallest = s.counts[index[1]], eigenvalues[-1 if s.largest else 0]
        found["inverse_rates"][index] = n / smallest
        found["moving"][index] = s.width * moved.max() / (smallest / 2)
        found["predicted"][index] = s.width * error.max() / s.error
        found["held"][index] = np.all(left <= bound(times, smallest / n) * (1 + ROUNDING))
        found["window"][index] = dynamics.hierarchy_window(s.width, 2, eigenvalue=smallest / n).time
        # Few steps have fewer different times: the last one is repeated.
        curves[(slice(None), *index)] = np.pad([times, error], ((0, 0), (0, s.records - len(times))), "edge")
    return {
        "counts": np.array(s.counts),
        "width": np.array(s.width),
        "error": np.array(s.error),
        "times": curves[0],
        "errors": curves[1],
        **found,
    }


def _slope(x: np.ndarray, y: np.ndarray) -> Interval:
    """The exponent of y in x, both different in each repetition."""
    return interval(np.array([np.polyfit(np.log(a), np.log(b), 1)[0] for a, b in zip(x, y, strict=True)]))


def judge_samples(numbers: Numbers) -> Verdict:
    """No more than the third power of n/λ; the bound in every training."""
    moving, predicted = (_slope(numbers["inverse_rates"], numbers[kind]) for kind in ("moving", "predicted"))
    in_n = log_slope(numbers["counts"], numbers["moving"])
    held, counts = numbers["held"].astype(bool), numbers["counts"]
    at_end = np.exp(np.mean(np.log(np.stack([numbers["moving"][:, -1], numbers["predicted"][:, -1]])), axis=1))
    ends = numbers["times"][:, -1, -1]
    return Verdict(
        all_of(within(moving, -np.inf, 3.0), within(predicted, -np.inf, 3.0), decide(bool(held.all()), len(held))),
        f"The width from which on Θ moves by less than λ/2 grows as n/λ to the power {moving.text(2)} (as n to the "
        f"power {in_n.text(2)}), that for a frozen kernel within {100 * float(numbers['error']):g} % of r_0 as n/λ to "
        f"the power {predicted.text(2)}; the theorem asks for 3. For n = {counts[-1]} they are {at_end[0]:.2g} and "
        f"{at_end[1]:.2g}. Σ r² ≤ e^(−λt/2n) Σ r_0² holds in {held.sum()} of {held.size} trainings, all at m = "
        f"{int(numbers['width']):,}.",
        (
            ("exponent in n/λ, kernel", moving.text()),
            ("exponent in n, kernel", in_n.text()),
            ("exponent in n/λ, prediction", predicted.text()),
            ("trainings in which the bound holds", f"{held.sum()} of {held.size}"),
            (
                f"time window of the theorem over the length of training, n = {counts[-1]}",
                f"{np.median(numbers['window'][:, -1] / ends):.1g}",
            ),
        ),
    )


def figure_samples(numbers: Numbers) -> "Figure":
    """Widths against n/λ; the frozen kernel's error against time, with the end of the theorem's window."""
    counts, colors = numbers["counts"], unordered(2)
    with panels(2) as (drawn, (left, right)):
        middle = np.exp(np.mean(np.log(numbers["inverse_rates"]), axis=0))
        error = 100 * float(numbers["error"])
        for kind, color, name in (
            ("moving", colors[0], "Θ moves by less than λ/2"),
            ("predicted", colors[1], f"frozen kernel within {error:g} %"),
        ):
            left.plot(numbers["inverse_rates"].T, numbers[kind].T, color=color, alpha=0.2, linewidth=0.7)
            line = np.exp(np.mean(np.log(numbers[kind]), axis=0))
            left.plot(middle, line, "o-", color=color, markersize=3, label=name)
        start = np.exp(np.mean(np.log(numbers["moving"][:, 0])))
        left.plot(middle, start * (middle / middle[0]) ** 3, color=MUTED, label="theorem  $(n/\\lambda)^3$", **THEORY)
        left.set(xscale="log", yscale="log", xlabel="$n/\\lambda$", ylabel="width m that is enough")
        legend(left, loc="upper left", fontsize=7)
        for k, (n, color) in enumerate(zip(counts, unordered(len(counts)), strict=True)):
            times = np.exp(np.mean(np.log(numbers["times"][:, k]), axis=0))
            band(right, times, numbers["errors"][:, k], color, f"n = {n}")
            window = np.median(numbers["window"][:, k])
            right.axvline(window, color=color, linewidth=0.8, linestyle=(0, (1, 1.6)))
        right.plot([], [], color=MUTED, linewidth=0.8, linestyle=(0, (1, 1.6)), label="time window")
        right.set(xscale="log", yscale="log", xlabel="time t", ylabel="error of the frozen kernel, over $r_0$")
        legend(right, loc="lower right", fontsize=7)
    return drawn


_CONVERGENCE, _SAMPLES = Convergence(), Samples()
_LARGEST = Control(
    "the largest eigenvalue of Θ_0 in place of the smallest", lambda s: msgspec.structs.replace(s, largest=True)
)

STUDIES = (
    Study(
        "huang-yau-convergence",
        "Huang & Yau 2020, Corollary 2.5",
        "Training converges at a linear rate: Σ r_t² ≤ e^(−λt/2n) Σ r_0², λ the smallest eigenvalue of K²_0.",
        "The bound holds at every recorded time, in every training.",
        fast=_CONVERGENCE,
        paper=msgspec.structs.replace(_CONVERGENCE, seeds=tuple(range(40)), widths=(16, 64, 256, 1024, 4096)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=_LARGEST,
        note="The theorem has n for Σ r_0², up to a constant. The frozen kernel's rate is 2λ/n; the theorem leaves "
        "room for the kernel's motion, and takes a quarter of it. One hidden layer, tanh, n = 4 unit inputs in R^6, "
        "T = 64.",
    ),
    Study(
        "huang-yau-samples",
        "Huang & Yau 2020, Corollary 2.5 and Theorem 2.6",
        "A width m ≳ (n/λ)³ is enough for linear convergence, and for the frozen kernel to describe it.",
        "The widths from which on ‖Θ_t − Θ_0‖ ≤ λ/2, and from which on the frozen kernel's prediction is within 5 % of "
        "r_0, to the end of training, grow as n/λ to a power of at most 3, with 95 % confidence; the bound "
        "Σ r_t² ≤ e^(−λt/2n) Σ r_0² holds in every training.",
        fast=_SAMPLES,
        paper=msgspec.structs.replace(_SAMPLES, seeds=tuple(range(20)), counts=(4, 8, 16, 32, 64), width=4096),
        measure=measure_samples,
        judge=judge_samples,
        figure=figure_samples,
        control=_LARGEST,
        note="Measured at one width and scaled by 1/m, as both fall. The first condition is what the proof asks for; "
        "training converges without it, too. One hidden layer, tanh, unit inputs in R^10, of which more than 10 are "
        "linearly dependent: the theorems ask for no more than 2p + 1 independent ones. λ falls as n grows. Gradient "
        "descent to a hundredth of r_0 in the slowest mode. The theorem's window, t ≲ √(λm/n) and m^(1/3), is far "
        "shorter than training; what is predicted stays good beyond it.",
    ),
)
