"""The deterministic bounds on the deviation: damped, for the modes above a cut, and undamped, for all of them."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import INK, MUTED, THEORY, band, degree_colors, legend, panels
from .._statistics import decide
from .._study import Control, Numbers, Study, Verdict
from ._identity import larger
from ._setting import Flow, flow, kernel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAST_DEGREES = (0, 1, 2, 3)
DOTTED = {"linestyle": (0, (1, 1.6)), "linewidth": 0.9}
# All harmonics up to a degree: the cuts between multiplicities.
CUTS = (1, 4, 9, 16)


class Bounds(Flow, frozen=True, kw_only=True):
    """Trainings along which bounds are evaluated.

    Attributes:
        largest_rate: damp every cut with the largest eigenvalue: the negative control.
    """

    largest_rate: bool = False


def measure(settings: Bounds) -> dict[str, np.ndarray]:
    """Left-hand sides over right-hand sides from the first recorded time on, (seeds, activations, cuts + 1, T).

    The last of the cuts is the undamped bound on the whole deviation.
    """
    ratios, sides, times = [], [], np.zeros(0)
    for seed in settings.seeds:
        for activation in settings.activations:
            found = dynamics.damped_deviations(flow(settings, activation, seed), kernel(activation))
            bounds = [found.damped_bound(count) for count in CUTS]
            if settings.largest_rate:
                fastest = dynamics.deviation_bound(found.times, found.source_sup, found.eigenvalues[0])
                bounds = [(left, fastest) for left, _ in bounds]
            bounds.append(found.undamped_bound())
            times = found.times[1:]
            sides.append([[left[1:], right[1:]] for left, right in bounds])
            ratios.append([left[1:] / right[1:] for left, right in bounds])
    shape = (len(settings.seeds), len(settings.activations), len(CUTS) + 1)
    return {
        "times": times,
        "cuts": np.array(CUTS),
        "ratios": np.reshape(ratios, (*shape, len(times))),
        "sides": np.reshape(sides, (*shape, 2, len(times))),
    }


def judge(numbers: Numbers) -> Verdict:
    """No ratio exceeds 1."""
    ratios, cuts = numbers["ratios"], numbers["cuts"]
    largest = ratios.max(axis=(0, 1, 3))
    names = [*(f"k = {k}" for k in cuts), "undamped"]
    listed = ", ".join(f"{value:.2f} ({name})" for value, name in zip(largest, names, strict=True))
    tightest = np.median(ratios.max(axis=(2, 3)))
    return Verdict(
        decide(bool(np.all(ratios <= 1)), len(ratios)),
        f"The largest deviation over its bound, at any of {len(numbers['times'])} times, for any of three activations "
        f"and in any of {len(ratios)} repetitions, is {listed}.",
        (
            *((f"largest ratio, {name}", f"{value:.3f}") for value, name in zip(largest, names, strict=True)),
            ("median over trainings of the largest ratio", f"{tightest:.3f}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """For the first activation the deviation and its bound; all ratios."""
    times, cuts, ratios = numbers["times"], numbers["cuts"], numbers["ratios"]
    colors = [*degree_colors(LAST_DEGREES), MUTED]
    names = [*(f"k = {k}" for k in cuts), "all, undamped"]
    with panels(2, ratios=(1, 1.1)) as (drawn, (left, right)):
        for index in (0, 1, 4):
            measured, allowed = (numbers["sides"][:, 0, index, side] for side in (0, 1))
            band(left, times, measured, colors[index], names[index])
            left.plot(times, np.median(allowed, axis=0), color=colors[index], **THEORY)
        left.plot([], [], color=MUTED, label="bound", **THEORY)
        left.set(yscale="log", xlabel="time t", ylabel="$\\|P_k(r_t - e^{-T_K t}\\,r_0)\\|$", xlim=(0, times[-1]))
        left.set_ylim(8e-3, 5)
        legend(left, loc="lower right", ncols=2)
        for index, (name, color) in enumerate(zip(names, colors, strict=True)):
            # All activations and repetitions together.
            each = ratios[:, :, index].reshape(-1, len(times))
            right.plot(times, each.max(axis=0), color=color, linewidth=1.5, label=name)
            right.plot(times, np.median(each, axis=0), color=color, **DOTTED)
        right.plot([], [], color=MUTED, linewidth=1.5, label="largest")
        right.plot([], [], color=MUTED, label="median", **DOTTED)
        right.axhline(1, color=INK, **THEORY)
        right.set(xlabel="time t", ylabel="deviation over its bound", xlim=(0, times[-1]))
        right.set_ylim(0, max(1.6, 1.3 * float(ratios.max())))
        legend(right, loc="upper right", ncols=3)
    return drawn


_FAST = Bounds()

STUDIES = (
    Study(
        "bowman-damped-bound",
        "Bowman & Montúfar 2022, bounds on damped deviations",
        "‖P_k(r_t − exp(−t T_K) r_0)‖ ≤ (1 − e^(−σ_k t))/σ_k times the largest ‖(T_K − T_n^s) r_s‖ until then, on the "
        "whole sphere; and ≤ t times it for all modes together.",
        "The ratio of the two sides is at most 1 at every recorded time, for tanh, softplus and ReLU, for all "
        "harmonics up to degree 0, 1, 2 and 3 (k = 1, 4, 9, 16) and for the undamped bound, in every repetition.",
        fast=_FAST,
        paper=larger(_FAST),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the largest eigenvalue σ_1 in place of σ_k",
            lambda settings: msgspec.structs.replace(settings, largest_rate=True),
        ),
        note="The frozen kernel is K^∞. These are the trainings of `bowman-identity-population`. P_k is only used at "
        "the boundaries of multiplicities.",
    ),
)
