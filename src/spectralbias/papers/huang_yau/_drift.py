"""Corollary 2.4: how far the NTK moves, against the width and time; and ReLU, which is outside of it."""

import functools
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ... import dynamics
from .._figures import MUTED, THEORY, band, legend, panels, plain_log, ticks_at, unordered
from .._statistics import all_of, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import double_precision, inputs, network, ntk, outputs, start_residual

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drift(Settings, frozen=True, kw_only=True):
    """The kernel along training.

    Attributes:
        widths: m.
        num_samples: n.
        dim: d.
        learning_rate: of gradient descent, small enough for gradient flow.
        octaves: the kernel is looked at from T/2^octaves to T, by factors of 2.
        horizon: T.
        foreign: the distance to the kernel of another draw of the weights: a negative control.
    """

    seeds: tuple[int, ...] = tuple(range(48))
    widths: tuple[int, ...] = (256, 1024, 4096)
    num_samples: int = 4
    dim: int = 6
    learning_rate: float = 1 / 32
    octaves: int = 6
    horizon: float = 8.0
    foreign: bool = False

    @property
    def steps(self) -> np.ndarray:
        """At which the kernel is looked at."""
        return np.round(self.horizon * 2.0 ** np.arange(-self.octaves, 1) / self.learning_rate).astype(int)


def kernel_along(
    model: Any, x: np.ndarray, y: np.ndarray, learning_rate: float, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """K² on the training inputs, (T, n, n), and residuals, (T, n), at these steps of gradient descent."""
    every = tuple(int(step) for step in steps)
    with double_precision():
        run = dynamics.train(
            model, x, y, learning_rate=learning_rate, steps=every[-1], record=(0, *every),
            probes={"ntk": dynamics.Probe(lambda m, *_: ntk(m, x), every)},
        )  # fmt: skip
    return np.asarray(run.records["ntk"]), run.residuals[1:]


@functools.lru_cache(maxsize=1024)
def _path(settings: Drift, width: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K² along training, at its start, and that of another draw."""
    s = settings
    x, model = inputs(s.num_samples, seed, s.dim), network(width, seed, dim=s.dim)
    y = outputs(model, x) - start_residual(s.num_samples, seed)
    other = network(width, 1000 + seed, dim=s.dim)
    return kernel_along(model, x, y, s.learning_rate, s.steps)[0], ntk(model, x), ntk(other, x)


def measure(settings: Drift) -> dict[str, np.ndarray]:
    """max |K²_t - K²_0| over its entries, (seeds, widths, T)."""
    plain = msgspec.structs.replace(settings, seeds=(), widths=(), foreign=False)
    found = np.empty((len(settings.seeds), len(settings.widths), len(settings.steps)))
    for i, seed in enumerate(settings.seeds):
        for j, width in enumerate(settings.widths):
            path, start, other = _path(plain, width, seed)
            found[i, j] = np.abs(path - (other if settings.foreign else start)).max(axis=(1, 2))
    return {
        "widths": np.array(settings.widths),
        "times": settings.steps * settings.learning_rate,
        "drifts": found,
    }


def judge(numbers: Numbers) -> Verdict:
    """-1 in m at every time; no faster than t (1 + t)."""
    widths, times, drifts = numbers["widths"], numbers["times"], numbers["drifts"]
    by_width = [log_slope(widths, drifts[..., k]) for k in range(len(times))]
    bounded = log_slope(times, drifts[:, -1] / (times * (1 + times)))
    early = log_slope(times[:2], drifts[:, -1, :2])
    return Verdict(
        all_of(*(within(slope, -1.15, -0.85) for slope in (by_width[0], by_width[-1])), within(bounded, -np.inf, 0.0)),
        f"‖K²_t − K²_0‖_max goes with m to the power {by_width[0].text(2)} at t = {times[0]:g} and "
        f"{by_width[-1].text(2)} at t = {times[-1]:g}. Over t(1 + t) it goes with t to the power {bounded.text(2)}; at "
        f"first it is proportional to t to the power {early.text(2)}.",
        (
            *((f"slope in m, t = {t:g}", slope.text()) for t, slope in zip(times, by_width, strict=True)),
            ("slope in t over t(1 + t)", bounded.text()),
            ("slope in t at first", early.text()),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """Against the width at the first and last time; against time for each width."""
    widths, times, drifts = numbers["widths"], numbers["times"], numbers["drifts"]
    first, last = unordered(2)
    name = "$\\max\\,|K^{(2)}_t - K^{(2)}_0|$"
    with panels(2) as (drawn, (left, right)):
        for k, color in ((-1, last), (0, first)):
            band(left, widths, drifts[..., k], color, f"t = {times[k]:g}", marker="o", markersize=3)
            line = np.exp(np.mean(np.log(drifts[..., k]) + np.log(widths)))
            left.plot(widths, line / widths, color=MUTED, label="$\\propto m^{-1}$" if k == 0 else None, **THEORY)
        ticks_at(left, widths)
        left.set(yscale="log", xlabel="width m", ylabel=name)
        legend(left, loc="lower left")
        for j, (width, color) in enumerate(zip(widths, unordered(len(widths)), strict=True)):
            band(right, times, drifts[:, j], color, f"m = {width:,}", marker="o", markersize=2)
        height = np.exp(np.mean(np.log(drifts[:, 0, 0]))) / (times[0] * (1 + times[0]))
        right.plot(times, height * times * (1 + times), color=MUTED, label="$\\propto t(1+t)$", **THEORY)
        right.set(xscale="log", yscale="log", xlabel="time t", ylabel=name)
        plain_log(right.xaxis)
        legend(right, loc="upper left", fontsize=7)
    return drawn


class Kinks(Settings, frozen=True, kw_only=True):
    """The kernel before and after training, for activations with and without a kink.

    Attributes:
        widths: m.
        kinked: an activation with a kink; a smooth one is a negative control.
        smooth: activations without.
        num_samples: n inputs, orthonormal: each sees its own kinks only.
        dim: d.
        horizon: T.
        learning_rate: of gradient descent.
    """

    seeds: tuple[int, ...] = tuple(range(40))
    widths: tuple[int, ...] = (256, 1024, 4096)
    kinked: str = "relu"
    smooth: tuple[str, ...] = ("softplus", "tanh")
    num_samples: int = 4
    dim: int = 6
    horizon: float = 8.0
    learning_rate: float = 0.1


@functools.lru_cache(maxsize=2048)
def _moved(settings: Kinks, activation: str, width: int, seed: int) -> tuple[float, float]:
    """‖Θ_T - Θ_0‖/‖Θ_0‖, and the fraction of the preactivations that changed their sign."""
    s, generator = settings, np.random.default_rng([seed, 2])
    x = np.linalg.qr(generator.standard_normal((s.dim, s.dim)))[0][: s.num_samples]
    model = network(width, seed, dim=s.dim, activation=activation)
    y = outputs(model, x) - generator.choice([-1.0, 1.0], s.num_samples)
    with double_precision():
        steps = round(s.horizon / s.learning_rate)
        run = dynamics.train(model, x, y, learning_rate=s.learning_rate, steps=steps, record=(0, steps))
        signs = [np.asarray(m.layers[0](x)) > 0 for m in (model, run.model)]
    start = ntk(model, x)
    moved = np.linalg.norm(ntk(run.model, x) - start) / np.linalg.norm(start)
    return float(moved), float(np.mean(signs[0] != signs[1]))


def measure_kinks(settings: Kinks) -> dict[str, np.ndarray]:
    """Drift and flipped fraction, (seeds, activations, widths); the activation with a kink comes first."""
    s = settings
    plain = msgspec.structs.replace(s, seeds=(), widths=(), kinked="", smooth=())
    found = np.array([[[_moved(plain, a, m, i) for m in s.widths] for a in (s.kinked, *s.smooth)] for i in s.seeds])
    return {
        "widths": np.array(s.widths),
        "drifts": found[..., 0],
        "flipped": found[..., 1],
        "kink": np.array([int(a == "relu") for a in (s.kinked, *s.smooth)]),
    }


def judge_kinks(numbers: Numbers) -> Verdict:
    """-1/2 for the first activation, -1 for the others."""
    widths, drifts = numbers["widths"], numbers["drifts"]
    slopes = [log_slope(widths, drifts[:, k]) for k in range(drifts.shape[1])]
    first = "ReLU" if numbers["kink"][0] else "the activation in place of ReLU"
    names = (first, "softplus", "tanh")[: len(slopes)]
    flips = log_slope(widths, numbers["flipped"][:, 0])
    listed = ", ".join(f"{slope.text(2)} ({name})" for name, slope in zip(names, slopes, strict=True))
    end = np.exp(np.mean(np.log(drifts[:, :, -1]), axis=0))
    return Verdict(
        all_of(within(slopes[0], -0.65, -0.35), *(within(slope, -1.15, -0.85) for slope in slopes[1:])),
        f"‖Θ_T − Θ_0‖/‖Θ_0‖ goes with m to the power {listed}. At m = {widths[-1]:,} it is {end[0]:.1g} for {first} "
        f"and {end[-1]:.1g} for tanh. The fraction of preactivations that change their sign goes with m to the power "
        f"{flips.text(2)}, for {first}.",
        (
            *((f"slope in m, {name}", slope.text()) for name, slope in zip(names, slopes, strict=True)),
            ("slope of the changed signs", flips.text()),
        ),
    )


def figure_kinks(numbers: Numbers) -> "Figure":
    """Drift and changed signs against the width."""
    widths, drifts = numbers["widths"], numbers["drifts"]
    names = ("ReLU" if numbers["kink"][0] else "in place of ReLU", "softplus", "tanh")
    with panels(2) as (drawn, (left, right)):
        for k, (name, color) in enumerate(zip(names, unordered(3), strict=True)):
            band(left, widths, drifts[:, k], color, name, marker="o", markersize=3)
            band(right, widths, numbers["flipped"][:, k], color, name, marker="o", markersize=3)
        for ax, values, power in ((left, drifts[:, 0], 0.5), (left, drifts[:, 2], 1.0),
                                  (right, numbers["flipped"][:, 0], 0.5)):  # fmt: skip
            line = np.exp(np.mean(np.log(values) + power * np.log(widths)))
            style = THEORY if power == 0.5 else {"linestyle": (0, (1, 1.6)), "linewidth": 0.9}
            label = "$\\propto m^{-1/2}$" if power == 0.5 else "$\\propto m^{-1}$"
            ax.plot(widths, line / widths**power, color=MUTED, label=label, **style)
        for ax, name in (
            (left, "$\\|\\Theta_T - \\Theta_0\\| / \\|\\Theta_0\\|$"),
            (right, "fraction of changed signs"),
        ):
            ticks_at(ax, widths)
            ax.set(yscale="log", xlabel="width m", ylabel=name)
        legend(left, loc="lower left", fontsize=7)
    return drawn


_DRIFT, _KINKS = Drift(), Kinks()
_MORE = (64, 256, 1024, 4096)

STUDIES = (
    Study(
        "huang-yau-drift",
        "Huang & Yau 2020, Corollary 2.4",
        "The NTK moves by ‖K²_t − K²_0‖_max ≲ t(1 + t)/m, up to powers of ln m.",
        "The exponent in m lies within 0.15 of −1 with its 95 % interval, at the first and at the last time; the "
        "exponent in t of the drift over t(1 + t), at the largest width, is negative with 95 % confidence.",
        fast=_DRIFT,
        paper=msgspec.structs.replace(_DRIFT, seeds=tuple(range(64)), widths=_MORE, octaves=8, learning_rate=1 / 64),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the distance to the kernel of another draw of the weights in place of that to K²_0",
            lambda settings: msgspec.structs.replace(settings, foreign=True),
        ),
        note="One hidden layer, tanh, n = 4 unit inputs in R^6, r_0 of mean square 1; gradient descent with small "
        "steps. The residual decays, so that the kernel comes to rest where the bound goes on to grow.",
    ),
    Study(
        "huang-yau-relu",
        "Huang & Yau 2020, Assumption 2.1 and Corollary 2.4",
        "Smooth activations are needed: for tanh and softplus the NTK moves by 1/m, for ReLU by m^(−1/2).",
        "The exponents of ‖Θ_T − Θ_0‖/‖Θ_0‖ in m lie with their 95 % intervals within 0.15 of −1/2 for ReLU, and "
        "within 0.15 of −1 for tanh and softplus.",
        fast=_KINKS,
        paper=msgspec.structs.replace(
            _KINKS, seeds=tuple(range(64)), widths=(*_KINKS.widths, 16384), learning_rate=0.02
        ),
        measure=measure_kinks,
        judge=judge_kinks,
        figure=figure_kinks,
        control=Control(
            "softplus in place of ReLU", lambda settings: msgspec.structs.replace(settings, kinked="softplus")
        ),
        note="The order of ReLU is ours: the paper's assumption leaves it out. One hidden layer; preactivations move "
        "by m^(−1/2), and as many of them cross the kink. An input's own residual moves only the units that it "
        "switches on, so that more of them are switched off than on: a mean of the order m^(−1/2), under fluctuations "
        "of the order m^(−3/4). With orthonormal inputs, n = 4, no other effect hides it; T = 8.",
    ),
)
