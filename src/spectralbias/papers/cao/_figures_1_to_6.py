"""Figures 1 and 3 to 6: projections of the residual on zonal harmonics along training."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from .._figures import MUTED, THEORY, band, degree_colors, legend, logarithmic_from_zero, panels
from .._statistics import all_of, decide, interval, vote
from .._study import Control, Numbers, Outcome, Study, Verdict
from ._training import Experiment, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPEN = (
    "The paper gives dim 10, n = 1000 and m = 4096, and neither learning rate nor output scale. Here c = ηθ² = 2 and "
    "θ = 4, unless another is given, with an antisymmetric start, so that f = 0 at first and the network stays lazy. "
    "Targets are sums of harmonics of unit L² norm. "
)
# Where step 0 stands on a logarithmic axis.
FLOOR = 0.5
_FRESH = {"linestyle": (0, (1, 1.6)), "linewidth": 0.9}


def _changed(**changes) -> Callable[[Experiment], Experiment]:
    return lambda settings: msgspec.structs.replace(settings, **changes)


ENCODED = Control(
    "the inputs carry the harmonic of degree 4 as one more coordinate, so that it is linear", _changed(encoded=True)
)


def names(numbers: Numbers) -> list[str]:
    return [f"k = {int(degree)}" for degree in numbers["degrees"]]


def _order(learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In which repetitions each degree is learned before the next, and in which the steps do not suffice to tell."""
    reached = np.isfinite(learned)
    broken = np.any((learned[:, :-1] >= learned[:, 1:]) & reached[:, 1:], axis=1)
    complete = reached.all(axis=1)
    return complete & ~broken, ~complete & ~broken


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
    (ordered, undecided), last = _order(numbers["learned"]), int(numbers["steps"][-1])
    outcomes = [vote(ordered, undecided)] + ([_starts(numbers)] if starts else [])
    times = ", ".join(
        f"{_steps(values, last)} ({name})" for name, values in zip(names(numbers), numbers["learned"].T, strict=True)
    )
    amplitudes = ", ".join(f"{value:.2f}" for value in np.abs(numbers["start"].mean(axis=0)))
    began = f" The mean projections at the start are {amplitudes}" if starts else ""
    open_ended = (
        f", and undecided in {undecided.sum()}, where the {last:,} steps do not suffice" if undecided.any() else ""
    )
    left = np.median(numbers["test"][:, -1] / numbers["test"][:, 0], axis=0)
    stated = "" if not starts else ", as stated." if outcomes[1] is Outcome.holds else ", which are not the target's."
    return Verdict(
        all_of(*outcomes),
        f"Lower degrees are learned before higher ones in {ordered.sum()} of {len(ordered)} repetitions"
        f"{open_ended}; the median steps to 1/e are {times}.{began}{stated}",
        (
            ("in order", f"{ordered.sum()} of {len(ordered)}"),
            ("undecided", f"{undecided.sum()} of {len(ordered)}"),
            *(
                (f"step to 1/e, {name}", f"{_steps(measured, last)}, frozen kernel {_steps(predicted, last)}")
                for name, measured, predicted in zip(
                    names(numbers), numbers["learned"].T, numbers["learned_predicted"].T, strict=True
                )
            ),
            (
                "left on fresh points at the end",
                ", ".join(f"{100 * share:.0f} % ({name})" for share, name in zip(left, names(numbers), strict=True)),
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
        for index, (color, name) in enumerate(zip(colors, names(numbers), strict=True)):
            band(left, steps, numbers["train"][:, :, index], color, name)
            left.plot(steps, np.median(numbers["predicted"][:, :, index], axis=0), color=color, **THEORY)
            left.plot(steps, np.median(numbers["test"][:, :, index], axis=0), color=color, **_FRESH)
            for shift, key, face in ((-0.14, "learned", color), (0.14, "learned_predicted", "none")):
                at = numbers[key][:, index]
                spread = index + shift + np.linspace(-0.06, 0.06, len(at))
                right.scatter(spread, at, s=13, facecolors=face, edgecolors=color, linewidths=0.8)
                if late := int(np.sum(~np.isfinite(at))):
                    right.text(index + shift, 1.0, f"↑{late}", transform=right.get_xaxis_transform(), color=color,
                               ha="center", va="bottom", fontsize=7)  # fmt: skip
        left.plot([], [], color=MUTED, label="frozen kernel", **THEORY)
        left.plot([], [], color=MUTED, label="fresh points", **_FRESH)
        logarithmic_from_zero(left, steps[-1], FLOOR)
        left.set(xlabel="step", ylabel="projection  $\\hat a_k$", xlim=(FLOOR, steps[-1]))
        left.set_ylim(0, None)
        legend(left, loc="best")
        right.scatter([], [], s=13, color=MUTED, label="network")
        right.scatter([], [], s=13, facecolors="none", edgecolors=MUTED, linewidths=0.8, label="frozen kernel")
        right.set(yscale="log", ylabel="step to 1/e", xlim=(-0.5, len(colors) - 0.5))
        right.set_xticks(range(len(colors)), names(numbers))
        right.tick_params(axis="x", length=0)
        legend(right, loc="best", handlelength=1)
    return drawn


_ORDER = (
    "In at least 9 of 10 repetitions every projection falls to 1/e of its start, for good, within the steps, and "
    "before that of the next degree does. A repetition whose steps do not suffice is undecided: it is not in order."
)
_STATED = _ORDER + " The mean projections at the start lie within their 99.9 % intervals around the stated amplitudes."


def paper(fast: Experiment, steps: int = 5000) -> Experiment:
    """The sizes of the paper, long enough for degree 4."""
    return msgspec.structs.replace(fast, num_samples=1000, num_test=1000, width=4096, steps=steps)


def study(name: str, source: str, claim: str, fast: Experiment, control: Control, note: str = "", **more) -> Study:
    given = {"criterion": _ORDER, "judge": judge_order, "measure": look, "figure": figure, "steps": 5000} | more
    steps = given.pop("steps")
    return Study(name, source, claim, fast=fast, paper=paper(fast, steps), control=control, note=OPEN + note, **given)


FIRST = Experiment(num_samples=250, steps=1700)
# The target is √(35/3) times that of Figure 1a: θ is larger, too, so that the network stays lazy.
SECOND = Experiment(amplitudes=(1.0, 3.0, 5.0), output_scale=16.0)
LARGER = (
    "The target is more than three times as large as that of Figure 1a; so that the network stays as lazy, θ = 16. "
)
_MISSPECIFIED = (
    "Spherical harmonics are not the eigenfunctions for these inputs. What remains true: the kernel on the actual "
    "points, with its own modes, predicts every curve (dashed), and low degrees still lie mostly in its large modes. "
)

STUDIES = (
    study(
        "cao-figure-1a",
        "Cao et al. 2021, Figure 1a",
        "With amplitudes (1, 1, 1) the projection on degree 1 vanishes first, then degree 2, then degree 4.",
        FIRST,
        ENCODED,
        criterion=_STATED,
        judge=judge_stated,
    ),
    study(
        "cao-figure-1b",
        "Cao et al. 2021, Figure 1b",
        "With amplitudes (1, 3, 5) the order is the same: larger amplitudes do not make high degrees faster.",
        SECOND,
        ENCODED,
        LARGER,
        criterion=_STATED,
        judge=judge_stated,
    ),
    study(
        "cao-figure-3a",
        "Cao et al. 2021, Figure 3a",
        "The order holds for targets that are no harmonics: a sum of cosines of ⟨ζ, x⟩, with all even degrees in it.",
        Experiment(target="cosines"),
        ENCODED,
        "The arguments of the cosines are not published; here Σ cos(a √10 ⟨ζ, x⟩), a = 1, 2, 3. The target is even, so "
        "the degrees looked at are 0, 2 and 4.",
    ),
    study(
        "cao-figure-3b",
        "Cao et al. 2021, Figure 3b",
        "The order holds for a sum of even powers of ⟨ζ, x⟩.",
        Experiment(target="powers", steps=2000),
        ENCODED,
        "The powers are not published; here Σ (√10 ⟨ζ, x⟩)^p/10, p = 2, 4, 6. Degrees 0, 2 and 4 are looked at.",
        steps=6000,
    ),
    study(
        "cao-figure-4",
        "Cao et al. 2021, Figure 4",
        "The order holds for inputs from a density that is constant on each of two half-spheres.",
        Experiment(inputs="piecewise"),
        ENCODED,
        _MISSPECIFIED + "The half-spheres have the weights 1/4 and 3/4.",
    ),
    study(
        "cao-figure-5",
        "Cao et al. 2021, Figure 5",
        "The order holds for inputs from a normalized anisotropic normal distribution.",
        Experiment(inputs="anisotropic", num_samples=300, width=512, steps=1200),
        ENCODED,
        _MISSPECIFIED + "Each repetition draws its own covariance AᵀA/‖A‖₂. Where a few directions carry most of the "
        "inputs, degree 4 can be learned before degree 2: the order is the rule and no theorem. One of the first ten "
        "draws is such a case, for the limiting kernel at every n from 200 to 1000. Degree 4 takes longer with more "
        "samples: n = 300 was chosen so that 1200 steps suffice, and m = 512 because with m = 256 and n = 200 or 400 "
        "the network leaves the order of its kernel in a second draw.",
    ),
    study(
        "cao-figure-6",
        "Cao et al. 2021, Figure 6",
        "The order holds for inputs from a normalized mixture of normal distributions.",
        Experiment(inputs="mixture"),
        ENCODED,
        _MISSPECIFIED + "The mixture's parameters are not published; here three components of equal weight around "
        "independent unit vectors, with noise as long as they are.",
    ),
)
