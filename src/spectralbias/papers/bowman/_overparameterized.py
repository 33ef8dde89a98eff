"""More parameters than samples: training follows the frozen kernel on the training points for all time."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics
from .._figures import INK, MUTED, THEORY, band, legend, logarithmic_from_zero, panels, plain_log, ticks_at, unordered
from .._statistics import all_of, decide, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import gram, inputs, network, single_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR = 0.5
FITTED = 0.05


class Overparameterized(Settings, frozen=True, kw_only=True):
    """Arbitrary labels on few points.

    Attributes:
        dim: ambient dimension; the Gram of few points in high dimension has no tiny eigenvalues.
        num_samples: n.
        widths: m, of each of the two opposite copies.
        activation: of the networks.
        frozen: activation of the frozen kernel; another one is the negative control.
        learning_rate: η.
        steps: of gradient descent, enough to fit all labels.
    """

    seeds: tuple[int, ...] = tuple(range(20))
    dim: int = 10
    num_samples: int = 8
    widths: tuple[int, ...] = (64, 256, 1024, 4096)
    activation: str = "tanh"
    frozen: str = "tanh"
    learning_rate: float = 0.5
    steps: int = 800


def _labels(settings: Overparameterized, seed: int) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(settings.num_samples) < 0.5, -1.0, 1.0)


def _recorded(settings: Overparameterized) -> np.ndarray:
    return np.array(dynamics.log_spaced(settings.steps, dense=10, per_decade=12))


@functools.lru_cache(maxsize=256)
def _residuals(settings: Overparameterized, width: int, seed: int) -> np.ndarray:
    """Of one training, (T, n)."""
    e = settings
    with single_precision():
        return dynamics.train(
            network(e.activation, width, seed, e.dim), inputs(e.num_samples, seed, e.dim), _labels(e, seed),
            learning_rate=e.learning_rate, steps=e.steps, record=_recorded(e).tolist(),
        ).residuals  # fmt: skip


def measure(settings: Overparameterized) -> dict[str, np.ndarray]:
    """n^(-1/2)‖r_t - e^(-Gt) r_0‖ of each training, (seeds, widths, T), and what is left at the end."""
    e, deviations, left, smallest = settings, [], [], []
    plain, steps = msgspec.structs.replace(e, seeds=(), frozen=e.activation), _recorded(e)
    for seed in e.seeds:
        frozen = dynamics.frozen(gram(e.frozen, inputs(e.num_samples, seed, e.dim)), -_labels(e, seed))
        predicted = frozen.residuals_at(steps, e.learning_rate)
        smallest.append(frozen.eigenvalues[-1])
        for width in e.widths:
            residuals = _residuals(plain, width, seed)
            deviations.append(np.linalg.norm(residuals - predicted, axis=1) / np.sqrt(e.num_samples))
            left.append(np.linalg.norm(residuals[-1]) / np.sqrt(e.num_samples))
    shape = (len(e.seeds), len(e.widths))
    needed = [dynamics.overparameterized_width(e.dim, e.num_samples, value, 0.01).width for value in smallest]
    return {
        "widths": np.array(e.widths),
        "times": e.learning_rate * steps,
        "deviations": np.reshape(deviations, (*shape, len(steps))),
        "left": np.reshape(left, shape),
        "smallest": np.array(smallest),
        "needed": np.array(needed),
    }


def judge(numbers: Numbers) -> Verdict:
    """The largest deviation falls as m^(-1/2), and all labels are fitted within the steps."""
    widths, largest = numbers["widths"], numbers["deviations"].max(axis=2)
    slope, left = log_slope(widths, largest), float(numbers["left"].max())
    mean = np.exp(np.mean(np.log(largest), axis=0))
    end = float(np.median(numbers["deviations"][:, -1, -1]))
    return Verdict(
        all_of(within(slope, -0.6, -0.4), decide(left <= FITTED, len(largest))),
        f"The largest deviation over all times goes with m to the power {slope.text(2)}; its geometric mean over "
        f"{len(largest)} repetitions falls from {mean[0]:.2g} at m = {widths[0]:,} to {mean[-1]:.2g} at m = "
        f"{widths[-1]:,}. At the last time at most {left:.1g} of the labels is left, and a deviation of {end:.1g}.",
        (
            ("exponent in m", slope.text()),
            ("largest deviation", ", ".join(f"{value:.2g} (m = {m:,})" for m, value in zip(widths, mean, strict=True))),
            ("left at the end, at most", f"{left:.2g}"),
            ("width that the theorem asks for at 0.01", f"{np.median(numbers['needed']):.0e}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The deviation against time for each width; its largest value against the width."""
    times, widths, colors = numbers["times"], numbers["widths"], unordered(len(numbers["widths"]))
    largest = numbers["deviations"].max(axis=2)
    with panels(2, ratios=(1.3, 1)) as (drawn, (left, right)):
        for index, (width, color) in enumerate(zip(widths, colors, strict=True)):
            band(left, np.maximum(times, FLOOR), numbers["deviations"][:, index], color, f"m = {width:,}")
        logarithmic_from_zero(left, times[-1], FLOOR)
        left.set(xlabel="time t", ylabel="$n^{-1/2}\\,\\|r_t - e^{-Gt}\\,r_0\\|$", xlim=(FLOOR, times[-1]))
        left.set_ylim(0, None)
        legend(left, loc="upper right")
        band(right, widths, largest, INK, "measured", marker="o", markersize=3)
        line = np.exp(np.mean(np.log(largest) + np.log(widths) / 2))
        right.plot(widths, line / np.sqrt(widths), color=MUTED, label="$\\propto m^{-1/2}$", **THEORY)
        ticks_at(right, widths)
        right.set(yscale="log", xlabel="width m", ylabel="largest over all times")
        plain_log(right.yaxis)
        legend(right, loc="upper right")
    return drawn


_FAST = Overparameterized()

STUDIES = (
    Study(
        "bowman-overparameterized",
        "Bowman & Montúfar 2022, over-parameterized theorem for all time",
        "On n training points with any labels r_t = e^(−tG) r_0 + δ(t), G the Gram of infinite width over n, with a "
        "δ that is small for all time if the network is wide: sup_t ‖δ(t)‖ ∝ m^(-1/2).",
        "The slope of the log of the largest n^(-1/2)‖δ(t)‖ in log m lies within 0.1 of −1/2 with its 95 % interval; "
        "and at most 0.05 of the labels is left at the last time, so that all of training is seen.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, dim=16, num_samples=16, widths=(128, 512, 2048, 8192), steps=1500),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the frozen kernel of another activation (softplus)",
            lambda settings: msgspec.structs.replace(settings, frozen="softplus"),
        ),
        note="The labels are random signs. The width that the theorem asks for, dim n⁵/(ε²λ_n⁴) for the undivided "
        "Gram, is an order of magnitude as we recall it; only its dependence on ε is tested. Gradient descent with η "
        "= 0.5, compared with (1 − ηG)^step.",
    ),
)
