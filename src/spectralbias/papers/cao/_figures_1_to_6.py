"""Figures 1 to 6: projections of the residual on zonal harmonics along training."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import kernels, spectra
from .._figures import MUTED, THEORY, band, degree_colors, legend, logarithmic_from_zero, panels, plain_log
from .._statistics import all_of, decide, interval, vote
from .._study import Control, Numbers, Outcome, Study, Verdict
from ._training import Experiment, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPEN = (
    "The paper gives dim 10, n = 1000 and m = 4096, and neither learning rate nor output scale. Here c = ηθ² = 2 and "
    "θ = 4 with an antisymmetric start, so that f = 0 at first and the network stays lazy. Targets are sums of "
    "harmonics of unit L² norm. "
)
# Where step 0 stands on a logarithmic axis, and how far the lines of Figure 2 follow a curve down.
FLOOR = 0.5
_WINDOW = 0.2


def _changed(**changes) -> Callable[[Experiment], Experiment]:
    return lambda settings: msgspec.structs.replace(settings, **changes)


_SHUFFLED = Control("the targets in random order", _changed(shuffled=True))
_SWAPPED = Control("the labels of the lowest and of the highest degree exchanged", _changed(swapped=True))


def _names(numbers: Numbers) -> list[str]:
    return [f"k = {int(degree)}" for degree in numbers["degrees"]]


def _in_order(numbers: Numbers) -> np.ndarray:
    """In which repetitions each degree is learned before the next."""
    learned = numbers["learned"]
    return np.all(learned[:, :-1] < learned[:, 1:], axis=1)


def _starts(numbers: Numbers) -> Outcome:
    """Whether the amplitudes at the start are those of the target; the first residual is -y."""
    expected = -numbers["amplitudes"]
    ranges = [interval(values, 0.999) for values in numbers["start"].T]
    inside = [found.low <= value <= found.high for found, value in zip(ranges, expected, strict=True)]
    return decide(all(inside), len(numbers["start"]))


def _steps(values: np.ndarray, last: int) -> str:
    middle = float(np.median(values))
    return f"{middle:,.0f}" if np.isfinite(middle) else f"over {last:,}"


def _judge(numbers: Numbers, *, starts: bool) -> Verdict:
    ordered, last = _in_order(numbers), int(numbers["steps"][-1])
    outcomes = [vote(ordered)] + ([_starts(numbers)] if starts else [])
    times = ", ".join(
        f"{_steps(values, last)} ({name})" for name, values in zip(_names(numbers), numbers["learned"].T, strict=True)
    )
    amplitudes = ", ".join(f"{value:.2f}" for value in np.abs(numbers["start"].mean(axis=0)))
    began = f" The mean projections at the start are {amplitudes}" if starts else ""
    stated = "" if not starts else ", as stated." if outcomes[1] is Outcome.holds else ", which are not the target's."
    return Verdict(
        all_of(*outcomes),
        f"Lower degrees are learned before higher ones in {ordered.sum()} of {len(ordered)} repetitions; the median "
        f"steps to 1/e are {times}.{began}{stated}",
        (
            ("in order", f"{ordered.sum()} of {len(ordered)}"),
            *(
                (f"step to 1/e, {name}", f"{_steps(measured, last)}, frozen kernel {_steps(predicted, last)}")
                for name, measured, predicted in zip(
                    _names(numbers), numbers["learned"].T, numbers["learned_predicted"].T, strict=True
                )
            ),
        ),
    )


def judge_stated(numbers: Numbers) -> Verdict:
    """The order, and the amplitudes at the start."""
    return _judge(numbers, starts=True)


def judge_order(numbers: Numbers) -> Verdict:
    """The order alone, where the paper does not give amplitudes."""
    return _judge(numbers, starts=False)


def figure(numbers: Numbers) -> "Figure":
    """Projections along training, and the step at which each degree is learned."""
    steps, colors = np.maximum(numbers["steps"], FLOOR), degree_colors(numbers["degrees"])
    with panels(2, ratios=(1.9, 1)) as (drawn, (left, right)):
        for index, (color, name) in enumerate(zip(colors, _names(numbers), strict=True)):
            band(left, steps, numbers["train"][:, :, index], color, name)
            left.plot(steps, np.median(numbers["predicted"][:, :, index], axis=0), color=color, **THEORY)
            for shift, key, face in ((-0.14, "learned", color), (0.14, "learned_predicted", "none")):
                at = numbers[key][:, index]
                spread = index + shift + np.linspace(-0.06, 0.06, len(at))
                right.scatter(spread, at, s=13, facecolors=face, edgecolors=color, linewidths=0.8)
                if late := int(np.sum(~np.isfinite(at))):
                    right.text(index + shift, 1.0, f"↑{late}", transform=right.get_xaxis_transform(), color=color,
                               ha="center", va="bottom", fontsize=7)  # fmt: skip
        left.plot([], [], color=MUTED, label="frozen kernel", **THEORY)
        logarithmic_from_zero(left, steps[-1], FLOOR)
        left.set(xlabel="step", ylabel="projection  $\\hat a_k$", xlim=(FLOOR, steps[-1]))
        left.set_ylim(0, None)
        legend(left, loc="best")
        right.scatter([], [], s=13, color=MUTED, label="network")
        right.scatter([], [], s=13, facecolors="none", edgecolors=MUTED, linewidths=0.8, label="frozen kernel")
        right.set(yscale="log", ylabel="step to 1/e", xlim=(-0.5, len(colors) - 0.5))
        right.set_xticks(range(len(colors)), _names(numbers))
        right.tick_params(axis="x", length=0)
        legend(right, loc="upper left", handlelength=1)
    return drawn


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
    listed = ", ".join(f"{ratio:.2f} ({name})" for ratio, name in zip(ratios, _names(numbers), strict=True))
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
                _names(numbers), rates.T, numbers["rate_population"], numbers["rate_sample"], strict=True
            )
        ),
    )


def figure_decay(numbers: Numbers) -> "Figure":
    """One panel for each degree, on its own time scale: |â| on a logarithmic axis, and the lines of theory."""
    steps, names = numbers["steps"], _names(numbers)
    with panels(len(names)) as (drawn, axes):
        for index, (ax, color, name) in enumerate(zip(axes, degree_colors(numbers["degrees"]), names, strict=True)):
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


_ORDER = (
    "In at least 9 of 10 repetitions each projection falls to 1/e of its start, for good, before that of the next "
    "degree does."
)
_STATED = _ORDER + " The mean projections at the start lie within their 99.9 % intervals around the stated amplitudes."


def paper(fast: Experiment, steps: int = 4500) -> Experiment:
    """The sizes of the paper, long enough for degree 4."""
    return msgspec.structs.replace(fast, num_samples=1000, num_test=1000, width=4096, steps=steps)


def _study(name: str, source: str, claim: str, fast: Experiment, control: Control, note: str = "", **more) -> Study:
    given = {"criterion": _ORDER, "judge": judge_order, "measure": look, "figure": figure, "steps": 4500} | more
    steps = given.pop("steps")
    return Study(name, source, claim, fast=fast, paper=paper(fast, steps), control=control, note=OPEN + note, **given)


FIRST = Experiment(num_samples=250, steps=1400)
_MISSPECIFIED = (
    "Spherical harmonics are not the eigenfunctions for these inputs. What remains true: the kernel on the actual "
    "points, with its own modes, predicts every curve (dashed), and low degrees still lie mostly in its large modes. "
)

STUDIES = (
    _study(
        "cao-figure-1a",
        "Cao et al. 2021, Figure 1a",
        "With amplitudes (1, 1, 1) the projection on degree 1 vanishes first, then degree 2, then degree 4.",
        FIRST,
        _SHUFFLED,
        criterion=_STATED,
        judge=judge_stated,
    ),
    _study(
        "cao-figure-1b",
        "Cao et al. 2021, Figure 1b",
        "With amplitudes (1, 3, 5) the order is the same: larger amplitudes do not make high degrees faster.",
        Experiment(amplitudes=(1.0, 3.0, 5.0)),
        _SWAPPED,
        criterion=_STATED,
        judge=judge_stated,
    ),
    _study(
        "cao-figure-2",
        "Cao et al. 2021, Figure 2",
        "On a logarithmic scale the projections fall along roughly straight lines, steeper for lower degrees, whose "
        "slopes are those of (1 − cμ_k)^T.",
        FIRST,
        _SWAPPED,
        "On n points the kernel's tail adds its trace over n to every rate; for degree 4, with 660 harmonics, that is "
        "most of it.",
        measure=measure_decay,
        judge=judge_decay,
        figure=figure_decay,
        criterion="Lines are fitted to log |â_k| from the start down to a fifth. Lower degrees are steeper in at least "
        "9 of 10 repetitions; the lines explain 90 % of the variance in the median; the median rates are within 30 % "
        "of −log(1 − cμ_k) for k = 1, 2, and for k = 4 of the same with the trace of the tail over n added to μ_4.",
    ),
    _study(
        "cao-figure-3a",
        "Cao et al. 2021, Figure 3a",
        "The order holds for targets that are no harmonics: a sum of cosines of ⟨ζ, x⟩, with all even degrees in it.",
        Experiment(target="cosines"),
        _SWAPPED,
        "The arguments of the cosines are not published; here Σ cos(a √10 ⟨ζ, x⟩), a = 1, 2, 3. The target is even, so "
        "the degrees looked at are 0, 2 and 4.",
    ),
    _study(
        "cao-figure-3b",
        "Cao et al. 2021, Figure 3b",
        "The order holds for a sum of even powers of ⟨ζ, x⟩.",
        Experiment(target="powers"),
        _SWAPPED,
        "The powers are not published; here Σ (√10 ⟨ζ, x⟩)^p/10, p = 2, 4, 6. Degrees 0, 2 and 4 are looked at.",
        steps=6000,
    ),
    _study(
        "cao-figure-4",
        "Cao et al. 2021, Figure 4",
        "The order holds for inputs from a density that is constant on each of two half-spheres.",
        Experiment(inputs="piecewise"),
        _SWAPPED,
        _MISSPECIFIED + "The half-spheres have the weights 1/4 and 3/4.",
    ),
    _study(
        "cao-figure-5",
        "Cao et al. 2021, Figure 5",
        "The order holds for inputs from a normalized anisotropic normal distribution.",
        Experiment(inputs="anisotropic", num_samples=600, steps=500),
        _SWAPPED,
        _MISSPECIFIED + "Each repetition draws its own covariance AᵀA/‖A‖₂. Where a few directions carry most of the "
        "inputs, degree 4 can be learned before degree 2: the order is the rule and no theorem. One of the first ten "
        "draws is such a case at every n up to 2000; with 200 or 400 samples a narrow network adds a second one, so "
        "that the fast setting has 600.",
    ),
    _study(
        "cao-figure-6",
        "Cao et al. 2021, Figure 6",
        "The order holds for inputs from a normalized mixture of normal distributions.",
        Experiment(inputs="mixture"),
        _SWAPPED,
        _MISSPECIFIED + "The mixture's parameters are not published; here three components of equal weight around "
        "independent unit vectors, with noise as long as they are.",
    ),
)
