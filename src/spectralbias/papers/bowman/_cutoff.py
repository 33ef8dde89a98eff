"""The cut-off of learning: at time t the degrees with σ_k t above 1 are learned, those below are not."""

import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from ... import dynamics, spectra
from .._figures import INK, MUTED, THEORY, band, degree_colors, legend, panels
from .._statistics import vote
from .._study import Control, Numbers, Settings, Study, Verdict
from ._setting import inputs, network, single_precision, sphere_eigenvalues, sphere_rule, target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# σ_k t from which on a degree counts as due, and up to which it does not.
DUE, EARLY = 4.0, 0.1
# What may be left of a degree that is due, and what must be left of one that is not.
LEARNED, UNLEARNED = 0.2, 0.8


class Projected(NamedTuple):
    """A training seen from the sphere: the residual in harmonics, (T, functions)."""

    times: np.ndarray
    steps: np.ndarray
    coefficients: np.ndarray


class OnSphere(Settings, frozen=True, kw_only=True):
    """Training on random samples of S², with the residual on the whole sphere.

    Attributes:
        activation: of the network.
        degrees: of the target, with equal parts, ‖f*‖ = 1.
        num_samples: n.
        width: m, of each of the two opposite copies.
        learning_rate: η.
        steps: of gradient descent.
        records: log-spaced records per factor of ten.
        latitudes: of the rule for the sphere.
        shift: predict degree k with the eigenvalue of degree k + shift: anything but 0 is a negative control.
    """

    activation: str = "tanh"
    degrees: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    num_samples: int = 2000
    width: int = 128
    learning_rate: float = 0.5
    steps: int = 800
    records: int = 12
    latitudes: int = 8
    shift: int = 0


@functools.lru_cache(maxsize=256)
def train(settings: OnSphere, seed: int) -> Projected:
    """Train in float32; what is seen are forward passes on the rule."""
    x, points, e = inputs(settings.num_samples, seed), sphere_rule(settings.latitudes), settings
    amplitudes = (len(e.degrees) ** -0.5,) * len(e.degrees)
    functions = spectra.spherical_harmonics(e.degrees, points.x)
    with single_precision():
        on_points = np.asarray(points.x, np.float32)
        outputs = _outputs()
        trajectory = dynamics.train(
            network(e.activation, e.width, seed),
            x,
            target(x, seed, e.degrees, amplitudes),
            learning_rate=e.learning_rate,
            steps=e.steps,
            record=dynamics.log_spaced(e.steps, dense=4, per_decade=e.records),
            probes={"f": lambda m, *_: outputs(m, on_points)},
        )
    residuals = trajectory.records["f"] - target(points.x, seed, e.degrees, amplitudes)
    return Projected(trajectory.times, trajectory.steps, points.coefficients(residuals, functions))


@functools.cache
def _outputs():
    """f on points, compiled once for all repetitions."""
    import equinox as eqx
    import jax

    return eqx.filter_jit(lambda model, x: jax.vmap(model)(x))


def by_degree(coefficients: np.ndarray, degrees: tuple[int, ...]) -> np.ndarray:
    """The norm of each degree's part, (T, degrees)."""
    ends = np.cumsum([spectra.multiplicity(k, 3) for k in degrees])[:-1]
    return np.stack([np.linalg.norm(part, axis=1) for part in np.split(coefficients, ends, axis=1)], axis=1)


def measure(settings: OnSphere) -> dict[str, np.ndarray]:
    """What is left of each degree on the sphere, over its start, (seeds, T, degrees), and its prediction."""
    plain = msgspec.structs.replace(settings, seeds=(), shift=0)
    runs = [train(plain, seed) for seed in settings.seeds]
    norms = np.stack([by_degree(run.coefficients, settings.degrees) for run in runs])
    eigenvalues = sphere_eigenvalues(settings.activation, max(settings.degrees) + settings.shift)
    eigenvalues = eigenvalues[np.array(settings.degrees) + settings.shift]
    return {
        "times": runs[0].times,
        "degrees": np.array(settings.degrees),
        "eigenvalues": eigenvalues,
        "left": norms / norms[:, :1],
        "predicted": dynamics.discrete_decay(eigenvalues, runs[0].steps, settings.learning_rate),
        "reached": np.stack([dynamics.crossing(runs[0].times, values, level=LEARNED) for values in norms]),
        "stopping": np.array([dynamics.stopping_time(rate, 1.0, LEARNED) for rate in eigenvalues.tolist()]),
    }


def judge(numbers: Numbers) -> Verdict:
    """What is due is learned and what is not is left, at every recorded time."""
    left, exponents = numbers["left"], np.outer(numbers["times"], numbers["eigenvalues"])
    due, early = exponents >= DUE, exponents <= EARLY
    good = np.all(np.where(due, left <= LEARNED, True) & np.where(early, left >= UNLEARNED, True), axis=(1, 2))
    worst_due = float(left[:, due].max())
    worst_early = float(left[:, early].min())
    away = np.max(np.abs(np.median(left, axis=0) - numbers["predicted"]), axis=0)
    listed = ", ".join(f"{value:.2f} (k = {k})" for k, value in zip(numbers["degrees"], away, strict=True))
    late = np.median(numbers["reached"], axis=0) / numbers["stopping"]
    stops = [f"{value:.2f} (k = {k})" for k, value in zip(numbers["degrees"], late, strict=True) if np.isfinite(value)]
    last = np.median(left[:, -1], axis=0)
    return Verdict(
        vote(good),
        f"In {good.sum()} of {len(good)} repetitions all degrees with σ_k t ≥ {DUE:g} are learned at every time, and "
        f"no degree with σ_k t ≤ {EARLY:g} is: of the former at most {worst_due:.2f} is left on the sphere, of the "
        f"latter at least {worst_early:.2f}.",
        (
            (f"largest part left where σ_k t ≥ {DUE:g}", f"{worst_due:.3f}"),
            (f"smallest part left where σ_k t ≤ {EARLY:g}", f"{worst_early:.3f}"),
            (f"time to {LEARNED:g} over log(1/{LEARNED:g})/σ_k, median", ", ".join(stops)),
            ("largest distance of the median from (1 − ησ_k)^step", listed),
            (
                f"left at t = {numbers['times'][-1]:g}",
                ", ".join(f"{value:.2f} (k = {k})" for k, value in zip(numbers["degrees"], last, strict=True)),
            ),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """What is left of each degree against time, and against σ_k t."""
    times, degrees = numbers["times"], numbers["degrees"]
    colors = degree_colors(degrees)
    with panels(2, ratios=(1.2, 1), height=2.9) as (drawn, (left, right)):
        for index, (degree, color) in enumerate(zip(degrees, colors, strict=True)):
            values, rate = numbers["left"][:, 1:, index], numbers["eigenvalues"][index]
            band(left, times[1:], values, color, f"k = {degree}")
            left.plot(times[1:], numbers["predicted"][1:, index], color=color, **THEORY)
            right.plot(rate * times[1:], np.median(values, axis=0), ".", color=color, markersize=4)
        left.plot([], [], color=MUTED, label="frozen kernel", **THEORY)
        left.set(xscale="log", xlabel="time t", ylabel="left of degree k on the sphere", ylim=(0, 1.3))
        left.set_xlim(times[1], times[-1])
        legend(left, loc="upper right", ncols=4, handlelength=1.6, columnspacing=1.2)
        exponent = np.geomspace(1e-3, 1e3, 200)
        right.plot(exponent, np.exp(-exponent), color=INK, label="$e^{-\\sigma_k t}$", **THEORY)
        for at, low, high in ((DUE, LEARNED, 1.0), (EARLY, 0.0, UNLEARNED)):
            edges = (at, 1e3) if at == DUE else (1e-3, at)
            right.fill_between(edges, low, high, color=MUTED, alpha=0.15, linewidth=0)
        right.text(np.sqrt(DUE * 1e3), 0.6, "would be\ntoo slow", ha="center", color=MUTED, fontsize=7)
        right.text(np.sqrt(EARLY * 1e-3), 0.4, "would be\ntoo fast", ha="center", color=MUTED, fontsize=7)
        right.set(xscale="log", xlabel="$\\sigma_k\\,t$", ylabel="left on the sphere", xlim=(1e-3, 1e3), ylim=(0, 1.3))
        legend(right, loc="upper right")
    return drawn


_FAST = OnSphere()

STUDIES = (
    Study(
        "bowman-cutoff",
        "Bowman & Montúfar 2022, under-parameterized theorem and its stopping time",
        "Learning stops at an eigenvalue cut-off: at time t the harmonics with σ_k t ≫ 1 are learned on the whole "
        "sphere, and those with σ_k t ≪ 1 are not.",
        "In at least 9 of 10 repetitions, at every recorded time: of every degree with σ_k t ≥ 4 at most 0.2 of the "
        "norm at the start is left on the sphere, and of every degree with σ_k t ≤ 0.1 at least 0.8.",
        fast=_FAST,
        paper=msgspec.structs.replace(_FAST, num_samples=4000, width=512, records=24),
        measure=measure,
        judge=judge,
        figure=figure,
        control=Control(
            "the eigenvalues of the next degree", lambda settings: msgspec.structs.replace(settings, shift=1)
        ),
        note="The target has a random harmonic of each degree from 0 to 5, all of equal norm. There are more samples "
        "than parameters. Gradient descent with η = 0.5, t = η · step, in place of the flow: degree 0 is then faster "
        "than e^(−σ_k t), at the rate of its (1 − ησ_k)^step.",
    ),
)
