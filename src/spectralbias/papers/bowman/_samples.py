"""Sampling: how far the operator of n samples is from that of the sphere, along training."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import dynamics, spectra
from .._figures import MUTED, THEORY, band, legend, panels, plain_log, ticks_at, unordered
from .._statistics import all_of, log_slope, within
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import DEGREES, DIM, gram, inputs, kernel, network, single_precision, sphere_rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Modes of the Gram beyond these many are below 1e-6, and are not learned within the horizon.
MODES = 100
# Degrees up to this one are the top modes of the second panel.
TOP = 2


class Samples(Settings, frozen=True, kw_only=True):
    """Training on more and more samples of one target.

    Attributes:
        counts: n.
        activation: of the kernel, and of networks.
        latitudes: of the rule for the sphere.
        horizon: T.
        records: number of times.
        widths: networks of these widths (each of the two opposite copies) beside the one of infinite width.
        learning_rate: η of these networks.
        even: spread the samples evenly, in place of independent draws: the negative control.
    """

    seeds: tuple[int, ...] = tuple(range(20))
    counts: tuple[int, ...] = (32, 64, 128, 256, 512)
    activation: str = "tanh"
    latitudes: int = 8
    horizon: float = 4.0
    records: int = 21
    widths: tuple[int, ...] = ()
    learning_rate: float = 0.2
    even: bool = False


def _points(settings: Samples, num_samples: int, seed: int) -> np.ndarray:
    if not settings.even:
        return inputs(num_samples, seed)
    # A spiral, turned at random.
    index = np.arange(num_samples) + 0.5
    height, angle = 1 - 2 * index / num_samples, np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - height**2)
    spiral = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
    return spiral @ np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))[0]


def _infinite(settings: Samples, num_samples: int, seed: int) -> tuple[float, float]:
    """The largest ‖(T_K - T_n) r_t‖ and deviation of the top modes, root mean square over targets.

    At infinite width, where training is linear. The targets are all harmonics of degrees 1 to 3, one at a time.
    """
    x, points = _points(settings, num_samples, seed), sphere_rule(settings.latitudes)
    times = np.linspace(0, settings.horizon, settings.records)
    modes = spectra.eigenmodes(gram(settings.activation, x)).top(min(MODES, num_samples))
    cross = gram(settings.activation, points.x, x)
    whole = _sphere_gram(settings)
    top, rates = _top(settings)
    wanted, sources, deviations = spectra.spherical_harmonics(DEGREES, points.x), [], []
    for y, function in zip(spectra.spherical_harmonics(DEGREES, x).T, wanted.T, strict=True):
        frozen = dynamics.frozen(modes, -y, cross=cross, f0_test=np.zeros(len(points.x)))
        on_train, residual = frozen.residuals(times), frozen.predictions(times) - function
        source = residual * points.weights @ whole - on_train @ cross.T / num_samples
        coefficients = points.coefficients(residual, top)
        deviation = coefficients - dynamics.decay(rates, times) * coefficients[0]
        sources.append(points.norm(source).max())
        deviations.append(np.linalg.norm(deviation, axis=1).max())
    return _mean_square(sources), _mean_square(deviations)


def _mean_square(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@functools.cache
def _sphere_gram(settings: Samples) -> np.ndarray:
    return gram(settings.activation, sphere_rule(settings.latitudes).x)


@functools.cache
def _top(settings: Samples) -> tuple[np.ndarray, np.ndarray]:
    """The top harmonics on the rule, and their eigenvalues there."""
    points = sphere_rule(settings.latitudes)
    functions = spectra.spherical_harmonics(range(TOP + 1), points.x)
    applied = _sphere_gram(settings) * points.weights @ functions
    return functions, np.sum(functions * points.weights[:, None] * applied, axis=0)


def _network(settings: Samples, width: int, num_samples: int, seed: int) -> tuple[float, float]:
    """The same of a network that is trained by gradient descent."""
    x, points = _points(settings, num_samples, seed), sphere_rule(settings.latitudes)
    steps, count = round(settings.horizon / settings.learning_rate), (TOP + 1) ** 2
    wanted, sources, deviations = spectra.spherical_harmonics(DEGREES, points.x), [], []
    for y, function in zip(spectra.spherical_harmonics(DEGREES, x).T, wanted.T, strict=True):
        with single_precision():
            trajectory = dynamics.train(
                network(settings.activation, width, seed), x, y, learning_rate=settings.learning_rate, steps=steps,
                record=range(steps + 1),
                record_kernel=dynamics.KernelRecorder(points.x, function, weights=points.weights, quadrature=0),
            )  # fmt: skip
        found = dynamics.damped_deviations(trajectory, kernel(settings.activation))
        deviation = (found.coefficients - found.propagated)[:, :count]
        sources.append(found.source_sup[-1])
        deviations.append(np.linalg.norm(deviation, axis=1).max())
    return _mean_square(sources), _mean_square(deviations)


def measure(settings: Samples) -> dict[str, np.ndarray]:
    """Sources and deviations of the top modes over ‖f*‖, (seeds, widths, counts); width 0 stands for infinity."""
    widths = (0, *settings.widths)
    found = np.empty((2, len(settings.seeds), len(widths), len(settings.counts)))
    for i, seed in enumerate(settings.seeds):
        for j, width in enumerate(widths):
            for k, n in enumerate(settings.counts):
                found[:, i, j, k] = _network(settings, width, n, seed) if width else _infinite(settings, n, seed)
    return {
        "counts": np.array(settings.counts),
        "widths": np.array(widths),
        "sources": found[0],
        "deviations": found[1],
    }


def judge(numbers: Numbers) -> Verdict:
    """Slopes of -1/2 in n, at infinite width and for the widest network."""
    counts, widths = numbers["counts"], numbers["widths"]
    judged = sorted({0, int(np.argmax(widths))})
    slopes = {(kind, j): log_slope(counts, numbers[kind][:, j]) for kind in ("sources", "deviations") for j in judged}
    names = {j: "infinite width" if widths[j] == 0 else f"m = {widths[j]:,}" for j in judged}
    mean = np.exp(np.mean(np.log(numbers["sources"][:, 0]), axis=0))
    of_source = " and ".join(f"{slopes[('sources', j)].text(2)} ({names[j]})" for j in judged)
    of_deviation = " and ".join(slopes[("deviations", j)].text(2) for j in judged)
    return Verdict(
        all_of(*(within(slope, -0.6, -0.4) for slope in slopes.values())),
        f"sup ‖(T_K − T_n^s) r_s‖ goes with n to the power {of_source}, the deviation of the modes of degrees up to "
        f"{TOP} to the power {of_deviation}; from n = {counts[0]:,} to {counts[-1]:,} the geometric mean over "
        f"{len(numbers['sources'])} repetitions falls from {mean[0]:.2g} to {mean[-1]:.2g} of ‖f*‖.",
        tuple(
            (
                f"slope of the {'source' if kind == 'sources' else 'deviation of the top modes'}, {names[j]}",
                slope.text(),
            )
            for (kind, j), slope in slopes.items()
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """The source and the deviation of the top modes against n."""
    counts, widths = numbers["counts"], numbers["widths"]
    with panels(2) as (drawn, axes):
        labels = (
            "$\\sup_s\\|(T_K - T_n^s)\\,r_s\\|$",
            f"$\\sup_t\\|P_{{{(TOP + 1) ** 2}}}(r_t - e^{{-T_K t}}\\,r_0)\\|$",
        )
        for ax, kind, label in zip(axes, ("sources", "deviations"), labels, strict=True):
            for j, color in enumerate(unordered(len(widths))):
                name = "infinite width" if widths[j] == 0 else f"m = {widths[j]:,}"
                band(ax, counts, numbers[kind][:, j], color, name, marker="o", markersize=3)
            line = np.exp(np.mean(np.log(numbers[kind][:, 0]) + np.log(counts) / 2))
            ax.plot(counts, line / np.sqrt(counts), color=MUTED, label="$\\propto n^{-1/2}$", **THEORY)
            ticks_at(ax, counts)
            ax.set(yscale="log", xlabel="samples n", ylabel=f"{label}  over $\\|f^*\\|$")
            plain_log(ax.yaxis)
        legend(axes[0], loc="lower left")
    return drawn


_FAST = Samples()

STUDIES = (
    Study(
        "bowman-samples",
        "Bowman & Montúfar 2022, sampling part of the deviation",
        "n samples in place of the whole sphere move training by O(n^(-1/2)): sup_s ‖(T_K − T_n^s) r_s‖ and the "
        "deviation of the top modes fall as n^(-1/2), at a width that is large enough.",
        "The slopes of log sup_s ‖(T_K − T_n^s) r_s‖, and of the log of the largest deviation of the modes of degrees "
        "up to 2, in log n, over 16 times in n, lie within 0.1 of −1/2 with their 95 % intervals: at infinite width, "
        "and for the widest network, if there is one.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, seeds=tuple(range(20)), widths=(64, 8192)),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "samples that are spread evenly, in place of independent draws",
            lambda settings: msgspec.structs.replace(settings, even=True),
        ),
        note="At infinite width training is linear, and exact at any n. The targets are the harmonics of degrees 1, 2 "
        "and 3, one at a time, and the root mean square over them counts. The bound of the paper, √(p/n) with the "
        "number of parameters p, is uniform over all networks near the start; the measured deviation has no factor "
        "√p. In the larger setting a network of small width reaches a floor.",
    ),
)
