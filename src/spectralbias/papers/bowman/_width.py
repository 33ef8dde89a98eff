"""Width: how far the kernel of m neurons is from its limit, along training on the whole population."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import MUTED, THEORY, band, legend, panels, plain_log, ticks_at, unordered
from .._statistics import all_of, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import DEGREES, double_precision, inputs, kernel, network, target

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Widths(Settings, frozen=True, kw_only=True):
    """Training on every point of a population.

    Attributes:
        widths: m, of each of the two opposite copies.
        num_points: of the population, drawn from S², which is all that is trained on.
        activation: of the networks.
        frozen: activation of the frozen kernel; another one is the negative control.
        horizon: T.
        learning_rate: η.
    """

    seeds: tuple[int, ...] = tuple(range(20))
    widths: tuple[int, ...] = (32, 128, 512, 2048)
    num_points: int = 64
    activation: str = "tanh"
    frozen: str = "tanh"
    horizon: float = 4.0
    learning_rate: float = 0.4


@functools.lru_cache(maxsize=256)
def _train(settings: Widths, width: int, seed: int):
    x = inputs(settings.num_points, seed)
    steps = round(settings.horizon / settings.learning_rate)
    with double_precision():
        return dynamics.train(
            network(settings.activation, width, seed), x, target(x, seed, DEGREES),
            learning_rate=settings.learning_rate, steps=steps, record=range(steps + 1), record_kernel=True,
        )  # fmt: skip


def measure(settings: Widths) -> dict[str, np.ndarray]:
    """Largest sources and deviations over ‖f*‖, (seeds, widths), and the parts of the deviation at the end."""
    plain = msgspec.structs.replace(settings, seeds=(), frozen=settings.activation)
    shape = (len(settings.seeds), len(settings.widths))
    sources, deviations, parts = np.empty(shape), np.empty(shape), np.empty((*shape, 2))
    for i, seed in enumerate(settings.seeds):
        for j, width in enumerate(settings.widths):
            found = dynamics.damped_deviations(_train(plain, width, seed), kernel(settings.frozen))
            scale = np.linalg.norm(found.coefficients[0])
            sources[i, j] = found.source_sup[-1] / scale
            deviations[i, j] = np.linalg.norm(found.coefficients - found.propagated, axis=1).max() / scale
            parts[i, j] = [np.linalg.norm(part[-1]) / scale for part in (found.width, found.motion)]
    return {"widths": np.array(settings.widths), "sources": sources, "deviations": deviations, "parts": parts}


def judge(numbers: Numbers) -> Verdict:
    """Slopes of -1/2 in m."""
    widths = numbers["widths"]
    source, deviation = (log_slope(widths, numbers[kind]) for kind in ("sources", "deviations"))
    by_width, by_motion = (log_slope(widths, numbers["parts"][..., index]) for index in (0, 1))
    mean = np.exp(np.mean(np.log(numbers["sources"]), axis=0))
    return Verdict(
        all_of(*(within(slope, -0.6, -0.4) for slope in (source, deviation))),
        f"sup ‖(T_K − T_n^s) r_s‖ goes with m to the power {source.text(2)}, the deviation to the power "
        f"{deviation.text(2)}; from m = {widths[0]:,} to {widths[-1]:,} the geometric mean of the first over "
        f"{len(numbers['sources'])} repetitions falls from {mean[0]:.2g} to {mean[-1]:.2g} of ‖f*‖.",
        (
            ("slope of the source", source.text()),
            ("slope of the deviation", deviation.text()),
            ("slope of its part Θ_0 in place of K^∞", by_width.text(2)),
            ("slope of its part Θ_t in place of Θ_0", by_motion.text(2)),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The source against the width; the deviation's parts."""
    widths, colors = numbers["widths"], unordered(3)
    with panels(2) as (drawn, (left, right)):
        band(left, widths, numbers["sources"], colors[0], "measured", marker="o", markersize=3)
        left.set_ylabel("$\\sup_s\\|(T_K - T_n^s)\\,r_s\\|$  over $\\|f^*\\|$")
        for index, name in enumerate(("width: $\\Theta_0$ for $K^\\infty$", "motion: $\\Theta_t$ for $\\Theta_0$")):
            band(right, widths, numbers["parts"][..., index], colors[index + 1], name, marker="o", markersize=3)
        right.set_ylabel("part of the deviation at the end")
        for ax, values, power in ((left, numbers["sources"], 0.5), (right, numbers["parts"][..., 0], 0.5),
                                  (right, numbers["parts"][..., 1], 1.0)):  # fmt: skip
            line = np.exp(np.mean(np.log(values) + power * np.log(widths)))
            label = "$\\propto m^{-1/2}$" if power == 0.5 else "$\\propto m^{-1}$"
            style = THEORY if power == 0.5 else {"linestyle": (0, (1, 1.6)), "linewidth": 0.9}
            ax.plot(widths, line / widths**power, color=MUTED, label=label, **style)
            ticks_at(ax, widths)
            ax.set(yscale="log", xlabel="width m")
        plain_log(left.yaxis)
        legend(left, loc="lower left")
        legend(right, loc="lower left")
    return drawn


_FAST = Widths()

STUDIES = (
    Study(
        "bowman-width",
        "Bowman & Montúfar 2022, width part of the deviation",
        "A finite width moves training by O(m^(-1/2)): with the whole population as the training set "
        "sup_s ‖(T_K − T_n^s) r_s‖ and the deviation fall as m^(-1/2).",
        "The slopes of log sup_s ‖(T_K − T_n^s) r_s‖, and of the log of the largest deviation, in log m, over 16 times "
        "or more in m, lie within 0.1 of −1/2 with their 95 % intervals.",
        fast=_FAST,
        paper=msgspec.structs.replace(
            _FAST, seeds=tuple(range(30)), widths=(64, 256, 1024, 4096), num_points=256, learning_rate=0.1
        ),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the frozen kernel of another activation (softplus)",
            lambda settings: msgspec.structs.replace(settings, frozen="softplus"),
        ),
        note="The population is a finite set of points of S², different in each repetition; all of them are trained "
        "on, so that nothing is sampled. What the kernel's motion adds falls faster, about as 1/m, within the horizon.",
    ),
)
