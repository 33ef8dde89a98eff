"""Figure 2: the rates at which the projections of Figure 1 fall."""

from typing import TYPE_CHECKING

import numpy as np

from ... import kernels, spectra
from .._figures import MUTED, THEORY, band, degree_colors, legend, panels, plain_log
from .._statistics import all_of, decide, vote
from .._study import Numbers, Verdict
from ._figures_1_to_6 import ENCODED, FIRST, LARGER, SECOND, names, study
from ._training import Experiment, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How far lines follow a curve down.
_WINDOW = 0.2


def measure_decay(settings: Experiment) -> dict[str, np.ndarray]:
    """Rates of decay by straight lines through log |â_k|, from the start down to a fifth, and what theory says."""
    seen = look(settings)
    spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), settings.dim, max(settings.degrees))
    degrees = list(settings.degrees)
    # What is not yet learned when degree k is adds its trace over n to the rate on the training points.
    tail = spectrum.trace - np.cumsum(np.append(0, spectrum.energies))[degrees]
    eigenvalues = spectrum.eigenvalues[degrees]
    rates, straightness = _lines(seen["steps"], seen["train"])
    return {
        **seen,
        "rates": rates,
        "straightness": straightness,
        "rate_population": -np.log1p(-settings.rate * eigenvalues),
        "rate_sample": -np.log1p(-settings.rate * (eigenvalues + tail / settings.num_samples)),
    }


def _lines(steps: np.ndarray, amplitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus the slope of log |â|, and R², of each repetition and degree, while it first falls to a fifth."""
    rates, straightness = np.zeros(amplitudes[:, 0].shape), np.zeros(amplitudes[:, 0].shape)
    for index in np.ndindex(rates.shape):
        relative = amplitudes[index[0], :, index[1]] / amplitudes[index[0], 0, index[1]]
        below = np.flatnonzero(relative < _WINDOW)
        end = max(int(below[0]) if below.size else len(steps), 3)
        logs = np.log(np.maximum(relative[:end], 1e-12))
        fit = np.polyfit(steps[:end], logs, 1)
        rates[index] = -fit[0]
        straightness[index] = 1 - np.var(logs - np.polyval(fit, steps[:end])) / np.var(logs)
    return rates, straightness


def judge_decay(numbers: Numbers) -> Verdict:
    """Straight lines, steeper for lower degrees, with the slopes of theory."""
    rates, count = numbers["rates"], len(numbers["rates"])
    steeper = np.all(rates[:, :-1] > rates[:, 1:], axis=1)
    straight = np.median(numbers["straightness"], axis=0)
    # Degrees 1 and 2 are few against n; degree 4 is not, and learns at the rate of the sample.
    theory = np.append(numbers["rate_population"][:-1], numbers["rate_sample"][-1])
    ratios = np.median(rates, axis=0) / theory
    near = np.abs(ratios - 1) <= 0.3
    outcome = all_of(vote(steeper), decide(bool(np.all(straight >= 0.9)), count), decide(bool(np.all(near)), count))
    listed = ", ".join(f"{ratio:.2f} ({name})" for ratio, name in zip(ratios, names(numbers), strict=True))
    return Verdict(
        outcome,
        f"The median rate of decay is, over that of theory, {listed}; lower degrees are steeper in {steeper.sum()} of "
        f"{count} repetitions, and straight lines explain {100 * straight.min():.0f} % of the variance or more.",
        tuple(
            (
                f"rate per step, {name}",
                f"{np.median(values):.3g}, 1 − cμ gives {population:.3g}, the sample {sample:.3g}",
            )
            for name, values, population, sample in zip(
                names(numbers), rates.T, numbers["rate_population"], numbers["rate_sample"], strict=True
            )
        ),
    )


def figure_decay(numbers: Numbers) -> "Figure":
    """One panel for each degree, on its own time scale: |â| on a logarithmic axis, and the lines of theory."""
    steps, titles = numbers["steps"], names(numbers)
    with panels(len(titles)) as (drawn, axes):
        for index, (ax, color, name) in enumerate(zip(axes, degree_colors(numbers["degrees"]), titles, strict=True)):
            values = numbers["train"][:, :, index]
            until = min(3 / float(np.median(numbers["rates"][:, index])), steps[-1])
            seen = np.searchsorted(steps, until, side="right")
            start = float(np.median(values[:, 0]))
            band(ax, steps[:seen], values[:, :seen], color, "network")
            at = np.array([0, until])
            ax.plot(
                at, start * np.exp(-numbers["rate_population"][index] * at), color=MUTED,
                label="$(1-c\\mu_k)^T$", **THEORY,
            )  # fmt: skip
            ax.plot(
                at, start * np.exp(-numbers["rate_sample"][index] * at), color=color,
                label="with the tail's trace over n", linewidth=1, dashes=(1, 1.5),
            )  # fmt: skip
            ax.set(yscale="log", xlabel="step", title=name, xlim=(0, until))
            plain_log(ax.yaxis)
            ax.set_ylim(max(0.02 * start, float(np.min(values[:, :seen])) * 0.8), 1.6 * start)
        axes[0].set_ylabel("projection  $\\hat a_k$")
        legend(axes[-1], loc="lower left")
    return drawn


_DECAY = {
    "measure": measure_decay,
    "judge": judge_decay,
    "figure": figure_decay,
    "criterion": "Lines are fitted to log |â_k| from the start down to a fifth. Lower degrees are steeper in at least "
    "9 of 10 repetitions; the lines explain 90 % of the variance in the median; the median rates are within 30 % of "
    "−log(1 − cμ_k) for k = 1, 2, and for k = 4 of the same with the trace of the tail over n added to μ_4.",
}

STUDIES = (
    study(
        "cao-figure-2",
        "Cao et al. 2021, Figure 2",
        "On a logarithmic scale the projections fall along roughly straight lines, steeper for lower degrees, whose "
        "slopes are those of (1 − cμ_k)^T.",
        FIRST,
        ENCODED,
        "On n points the kernel's tail adds its trace over n to every rate; for degree 4, with 660 harmonics, that is "
        "most of it.",
        **_DECAY,
    ),
    study(
        "cao-figure-2b",
        "Cao et al. 2021, Figure 2, amplitudes of Figure 1b",
        "With amplitudes (1, 3, 5), too, the projections fall along roughly straight lines, steeper for lower degrees, "
        "whose slopes are those of (1 − cμ_k)^T.",
        SECOND,
        ENCODED,
        LARGER + "With θ = 4 it does not hold: degree 4 then falls 1.5 times as fast as theory says, and 1.1 times "
        "with θ = 8 or 16.",
        **_DECAY,
    ),
)
