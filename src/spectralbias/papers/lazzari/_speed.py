"""What goes with the measured speed of learning: local regions and confusion, or the NTK."""

import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from ... import dynamics, kernels, problems, regions, spectra
from .._figures import INK, MUTED, band, legend, logarithmic_from_zero, panels, unordered
from .._statistics import all_of, interval, within
from .._study import Control, Numbers, Outcome, Settings, Study, Verdict
from . import _signal
from ._drawing import FLOOR, input_colors
from ._setting import Signal, codes, cosines, double_precision, names, patterns, trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The quantities, in the order of the arrays.
QUANTITIES = ("local regions", "−confusion", "Θ at the start", "Θ measured")
REGIONS, CONFUSION, START, NOW = range(4)


class Ranked(Signal, frozen=True, kw_only=True):
    """Trainings whose speeds are compared.

    Attributes:
        looked: snapshots (their places) between which speeds are measured.
        mixed: put the values of local regions and of confusion in a random order: a negative control.
    """

    looked: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    mixed: bool = False


class Speeds(NamedTuple):
    """Between snapshots: measured speeds (T - 1, bands), and the quantities (4, T - 1, bands) at the earlier one."""

    speeds: np.ndarray
    quantities: np.ndarray


@functools.lru_cache(maxsize=512)
def _speeds(settings: Ranked, name: str, seed: int) -> Speeds:
    run, at = trained(settings, name, seed), settings.looked
    n, earlier = settings.num_samples, list(at[:-1])
    grid = problems.Grid((n,), unit="cycles")
    parts = spectra.bands(problems.Problem(problems.coordinates(n), run.y, grid=grid))
    energies = np.array([parts.energy(run.residuals[index]) for index in at])
    with double_precision():
        grams = {i: np.asarray(kernels.empirical_ntk(run.models[i], run.x), float) for i in {0, *earlier}}
    kernel = [
        [dynamics.kernel_speeds(grams[which], run.residuals[i], parts) for which, i in zip(some, earlier, strict=True)]
        for some in ([0] * len(earlier), earlier)
    ]
    count = energies.shape[1]
    local = patterns(settings, name, seed).hamming[earlier, :, 0].sum(axis=1)
    confusion = cosines(settings, name, seed, at).mean_abs[:-1, 0]
    scalars = [np.repeat(values[:, None], count, axis=1) for values in (local, -confusion)]
    return Speeds(dynamics.measured_speeds(run.steps[list(at)], energies), np.stack([*scalars, *kernel]))


def measure(settings: Ranked) -> dict[str, np.ndarray]:
    """Rank correlations in each repetition: overall and across bands (seeds, 4), in each band (seeds, 4, bands)."""
    plain = msgspec.structs.replace(settings, seeds=(), mixed=False)
    found, curves, everything = [], [], []
    for seed in settings.seeds:
        each = [_speeds(plain, name, seed) for name in settings.inputs]
        speeds, quantities = (np.stack(values) for values in zip(*each, strict=True))
        order = np.random.default_rng([seed, 3])
        for index in (REGIONS, CONFUSION) if settings.mixed else ():
            values = quantities[:, index].reshape(-1, quantities.shape[-1])
            quantities[:, index] = order.permutation(values.ravel()).reshape(quantities[:, index].shape)
        everything.append(np.stack([speeds, quantities[:, NOW]]))
        named = {name: quantities[:, index] for index, name in enumerate(QUANTITIES)}
        found.append(regions.rank_correlations(speeds, named, resamples=0))
        most = settings.inputs[-1]
        run, cosine = trained(plain, most, seed), cosines(plain, most, seed, settings.looked)
        progress = spectra.frequency_progress(run.residuals + run.y, run.y, settings.grid)
        local = patterns(plain, most, seed).hamming[list(settings.looked), :, 0].sum(axis=1)
        errors = progress.errors[list(settings.looked)]
        curves.append(np.stack([local / local[0], cosine.mean_abs[:, 0], errors[:, 0], errors[:, -1]]))
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots)[list(settings.looked)],
        "frequencies": np.array(settings.frequencies),
        "overall": np.stack([one.overall for one in found]),
        "per_band": np.stack([one.per_band for one in found]),
        "across_bands": np.stack([one.across_bands for one in found]),
        "curves": np.stack(curves),
        "speeds": np.stack(everything),
        "learning_rate": np.array(settings.learning_rate if settings.optimizer == "gd" else np.nan),
    }


def _differences(correlations: np.ndarray) -> list:
    """Of regions and of confusion, to both kernels: intervals over repetitions."""
    return [
        interval(correlations[:, one] - correlations[:, kernel])
        for one in (REGIONS, CONFUSION)
        for kernel in (START, NOW)
    ]


def _evidence(numbers: Numbers) -> tuple[tuple[str, str], ...]:
    per_band = np.nanmean(numbers["per_band"], axis=2)
    return tuple(
        (f"{name}: in a band, overall, across bands",
         ", ".join(interval(values[:, i]).text(2) if np.all(np.isfinite(values[:, i])) else "says nothing"
                   for values in (per_band, numbers["overall"], numbers["across_bands"])))
        for i, name in enumerate(QUANTITIES)
    )  # fmt: skip


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:.2f} ({name})" for name, value in zip(QUANTITIES, values, strict=True))


def judge_networks(numbers: Numbers) -> Verdict:
    """In one band: which network learns it faster, and when."""
    per_band = np.nanmean(numbers["per_band"], axis=2)
    differences = _differences(per_band)
    return Verdict(
        all_of(*(within(one, 0.0, np.inf) for one in differences)),
        f"Within a frequency band the rank correlation with the measured speed, over inputs and times, is "
        f"{_listed(per_band.mean(axis=0))}, in the mean of bands and of {len(per_band)} repetitions; the smallest "
        f"difference between regions or confusion and a kernel is "
        f"{min(differences, key=lambda one: one.value).text(2)}.",
        _evidence(numbers),
    )


def judge_overall(numbers: Numbers) -> Verdict:
    """Bands, networks and times together."""
    overall, across = numbers["overall"], numbers["across_bands"]
    best = interval(overall[:, [REGIONS, CONFUSION]].max(axis=1) - overall[:, NOW])
    return Verdict(
        within(best, 0.0, np.inf),
        f"Over inputs, times and frequency bands together the rank correlation with the measured speed is "
        f"{_listed(overall.mean(axis=0))}, in the mean of {len(overall)} repetitions: the better of regions and "
        f"confusion is {best.text(2)} above the measured Θ. Of one network at one time only a kernel says which band "
        f"is faster: {across[:, START].mean():.2f} (at the start) and {across[:, NOW].mean():.2f} (measured).",
        _evidence(numbers),
    )


def _correlations(ax: "Axes", numbers: Numbers) -> None:
    """Each repetition, and the mean."""
    kinds = {
        "in a band": np.nanmean(numbers["per_band"], axis=2),
        "all together": numbers["overall"],
        "across bands": numbers["across_bands"],
    }
    for place, values in enumerate(kinds.values()):
        for index, color in enumerate(unordered(4)):
            where, found = place + 0.19 * (index - 1.5), values[:, index]
            if np.all(np.isfinite(found)):
                ax.plot(np.full(len(found), where), found, "o", color=color, alpha=0.35, markersize=3)
                label = QUANTITIES[index] if place == 0 else None
                ax.plot([where - 0.07, where + 0.07], [found.mean()] * 2, color=color, label=label)
    ax.axhline(0, color=MUTED, linewidth=0.7)
    ax.set_xticks(range(3), list(kinds))
    ax.set(ylabel="rank correlation with the speed", ylim=(min(-0.15, ax.get_ylim()[0]), 1.3), yticks=(0, 0.5, 1))
    legend(ax, loc="upper right", ncols=2, fontsize=6.5)


def figure_first(numbers: Numbers) -> "Figure":
    """What comes first with the most octaves; rank correlations."""
    steps, frequencies = np.maximum(numbers["steps"], FLOOR), numbers["frequencies"]
    labels = (
        "local Hamming distance", "local mean |cos|", f"error of k = {frequencies[0]}", f"error of k = "
        f"{frequencies[-1]}"
    )  # fmt: skip
    with panels(2, width=7.6, height=2.9, ratios=(1, 1.15)) as (drawn, (left, right)):
        for index, (label, color) in enumerate(zip(labels, (*unordered(2), MUTED, INK), strict=True)):
            style = {"linestyle": (0, (3.5, 2))} if index >= 2 else {}
            band(left, steps, numbers["curves"][:, index], color, label, **style)
        logarithmic_from_zero(left, steps[-1], FLOOR)
        left.set(xlabel="step", ylim=(0, 1.3), xlim=(steps[0], steps[-1]), ylabel="over the first, or as it is")
        left.set_title(names(numbers["inputs"])[-1])
        legend(left, loc="lower left", fontsize=6.5)
        _correlations(right, numbers)
    return drawn


def figure_speeds(numbers: Numbers) -> "Figure":
    """Measured speeds against those of the measured Θ; rank correlations."""
    speeds, rate = numbers["speeds"], float(numbers["learning_rate"])
    with panels(2, width=7.6, height=2.9, ratios=(1, 1.15)) as (drawn, (left, right)):
        for index, (name, color) in enumerate(
            zip(names(numbers["inputs"]), input_colors(len(numbers["inputs"])), strict=True)
        ):
            measured, predicted = (speeds[:, which, index].ravel() for which in (0, 1))
            shown = (measured > 0) & (predicted > 0)
            left.plot(predicted[shown], measured[shown], ".", color=color, markersize=2.5, alpha=0.6, label=name)
        if np.isfinite(rate):
            ends = np.array(left.get_xlim())
            ends[0] = speeds[:, 1][speeds[:, 1] > 0].min()
            left.plot(ends, rate * ends, color=INK, linewidth=0.9, label="η v")
        left.set(
            xscale="log", yscale="log", xlabel="v, the speed that Θ measured says", ylabel="measured speed per step"
        )
        legend(left, loc="upper left", fontsize=6.5, handlelength=1.0)
        _correlations(right, numbers)
    return drawn


def _settings(other: Settings, looked: tuple[int, ...]) -> Ranked:
    return Ranked(**{field: getattr(other, field) for field in Signal.__struct_fields__}, looked=looked)


_SIGNAL = _signal.STUDIES[0]
_FAST = _settings(_SIGNAL.fast, (0, 1, 2, 3, 4, 5, 6, 7))
_PAPER = _settings(_SIGNAL.paper, (0, 1, 2, 5, 7, 9, 13, 17, 25))
_NOTE = (
    "Speeds are −Δ log of the amplitude of the residual at each frequency of the target, per step, between "
    "snapshots. The quantities are those at the earlier one: the local Hamming distance; the mean |cos| of gradients "
    "of neighbors, negated; and ⟨r, Θr/n⟩/⟨r, r⟩ in the band, with Θ at the start and Θ of that moment, both with the "
    "residual of that moment. Rank correlations are Spearman's, in each repetition over the four inputs. "
)

_CRITERION = (
    "Over inputs, times and bands together the rank correlation with the measured speed is higher for the better of "
    "local regions and confusion than for Θ measured, with 95 % confidence over repetitions."
)


def _descent(settings: Ranked) -> Ranked:
    """A few steps of gradient descent, each small."""
    return msgspec.structs.replace(
        settings, optimizer="gd", learning_rate=0.05, steps=50, snapshots=(0, 1, 5, 20, 50), looked=(0, 1, 2, 3, 4)
    )


def _adam(settings: Ranked) -> Ranked:
    """Adam on the same signals."""
    other = _FAST if settings.num_samples == _FAST.num_samples else _PAPER
    return msgspec.structs.replace(other, seeds=settings.seeds)


STUDIES = (
    Study(
        "lazzari-speed-networks",
        _signal.SOURCE + "speed of learning within a frequency band",
        "Which network learns a frequency faster, and when, goes with its local regions and its gradient confusion "
        "more closely than with what the NTK says, frozen or measured.",
        "Within each band the rank correlation with the measured speed over inputs and times, averaged over bands, is "
        "higher for local regions and for confusion than for Θ at the start and for Θ measured, all four with 95 % "
        "confidence over repetitions.",
        fast=_FAST,
        paper=_PAPER,
        measure=measure,
        judge=judge_networks,
        figure=figure_first,
        control=Control(
            "local regions and confusion in a random order",
            lambda settings: msgspec.structs.replace(settings, mixed=True),
        ),
        note=_NOTE + "Within a band only: regions and confusion are one number for all frequencies.",
    ),
    Study(
        "lazzari-speed-ntk",
        _signal.SOURCE + "speed of learning with Adam",
        "The NTK does not capture the dynamics of real networks, and regions do: trained with Adam, local regions or "
        "confusion go with the measured speed more closely than the NTK.",
        _CRITERION,
        fast=_FAST,
        paper=_PAPER,
        measure=measure,
        judge=judge_overall,
        figure=figure_speeds,
        control=Control("gradient descent in place of Adam", _descent),
        note=_NOTE + "This is the paper's thesis as a number. Which frequency of one network is faster only a kernel "
        "says. The difference is small with all times, and 0.2 without the first 20 steps. The control shows where it "
        "comes from: Adam rescales every parameter's gradient, and Θ does not know it.",
    ),
    Study(
        "lazzari-speed-descent",
        _signal.SOURCE + "speed of learning with gradient descent",
        "The NTK does not capture the dynamics of real networks, and regions do, also with gradient descent, for which "
        "it is made.",
        _CRITERION,
        fast=_descent(_FAST),
        paper=_descent(_PAPER),
        measure=measure,
        judge=judge_overall,
        figure=figure_speeds,
        expected=Outcome.fails,
        control=Control("Adam in place of gradient descent", _adam),
        note=_NOTE + "The paper trains with Adam only. With gradient descent the speed of the squared residual is that "
        "of Θ_t by definition, while steps are small; that of Θ at the start is nearly as good for 50 steps.",
    ),
)
