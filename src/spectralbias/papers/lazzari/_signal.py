"""A sum of sines in one dimension: which units tell points apart, and which frequencies are learned when."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import spectra
from .._figures import band, degree_colors, legend, panels
from .._statistics import all_of, vote
from .._study import Control, Numbers, Study, Verdict
from ._drawing import FLOOR, along_training, with_inputs
from ._setting import Signal, codes, every, names, patterns, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE = "Lazzari & Liu 2023, signal in one dimension, "
# Local distances are at most this share of distant ones.
FAR_BELOW = 0.5
# Of a frequency that is not learned more than this is wrong, and of one that is learned less than that.
UNLEARNED, LEARNED = 0.8, 0.2


def measure_hamming(settings: Signal) -> dict[str, np.ndarray]:
    """Mean Hamming distances of local and of distant pairs, (seeds, inputs, T, 2), and distinct patterns."""
    found = every(settings, patterns)
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "units": np.array(settings.width * settings.depth),
        "samples": np.array(settings.num_samples),
        "hamming": np.array([[one.hamming[..., :2].sum(axis=1) for one in row] for row in found]),
        "distinct": np.array([[one.distinct for one in row] for row in found]),
    }


def judge_hamming(numbers: Numbers) -> Verdict:
    """Local below distant, and the order of the inputs."""
    local, far = np.moveaxis(numbers["hamming"].mean(axis=2), -1, 0)
    below = np.all(local <= FAR_BELOW * far, axis=1)
    ordered = np.all(np.diff(local, axis=1) > 0, axis=1)
    inputs, units, count = names(numbers["inputs"]), int(numbers["units"]), len(local)
    middle, share = np.median(local, axis=0), 100 * np.median(local / far, axis=0)
    curves = np.median(numbers["hamming"], axis=0)
    listed = ", ".join(f"{name} {a:.2g}" for name, a in zip(inputs, middle, strict=True))
    return Verdict(
        all_of(vote(below), vote(ordered)),
        f"Neighbors differ in so many of {units} units, on average over the training: {listed} (medians of {count} "
        f"repetitions); in this order in {ordered.sum()} of them. This is {share.min():.0f} to {share.max():.0f} % of "
        f"what distant points differ in, and below half of it for every input in {below.sum()}.",
        tuple(
            (
                f"{name}: local; distant; distinct patterns of {int(numbers['samples'])} points",
                f"{a[0, 0]:.2f} → {a[-1, 0]:.2f}; {a[0, 1]:.1f} → {a[-1, 1]:.1f}; {distinct:.0f}",
            )
            for name, a, distinct in zip(inputs, curves, np.median(numbers["distinct"][:, :, -1], axis=0), strict=True)
        ),
    )


def figure_hamming(numbers: Numbers) -> "Figure":
    """Both distances along training."""
    local, far = np.moveaxis(numbers["hamming"], -1, 0)
    with panels(2) as (drawn, axes):
        for ax, values, title in ((axes[0], local, "neighbors"), (axes[1], far, "opposite ends")):
            along_training(ax, numbers["steps"], values, numbers["inputs"])
            ax.set(title=title, ylabel=f"Hamming distance, of {int(numbers['units'])} units")
        axes[0].set_yscale("log")
        axes[1].set_ylim(0, None)
        with_inputs(drawn, axes[0])
    return drawn


def measure_frequencies(settings: Signal) -> dict[str, np.ndarray]:
    """Relative error of each frequency, (seeds, inputs, T, frequencies), and mean squares (seeds, inputs, T)."""
    runs = every(settings, trained)
    progress = [
        [spectra.frequency_progress(run.residuals + run.y, run.y, settings.grid) for run in row] for row in runs
    ]
    return {
        "inputs": codes(settings.inputs),
        "steps": np.array(settings.snapshots),
        "frequencies": np.array(settings.frequencies),
        "errors": np.array([[one.errors for one in row] for row in progress]),
        "amplitudes": np.array([[one.amplitudes for one in row] for row in progress]),
        "mean_square": np.array([[run.mean_square for run in row] for row in runs]),
        "target_square": np.array([[np.mean(run.y**2) for run in row] for row in runs]),
    }


def _rank_correlation(errors: np.ndarray) -> np.ndarray:
    """Spearman's ρ of errors (…, frequencies) with the frequency."""
    from scipy.stats import rankdata

    ranks = rankdata(errors, axis=-1)
    count = ranks.shape[-1]
    centered, order = ranks - ranks.mean(axis=-1, keepdims=True), np.arange(count) - (count - 1) / 2
    return centered @ order / np.sqrt(np.sum(centered**2, axis=-1) * np.sum(order**2))


def judge_frequencies(numbers: Numbers) -> Verdict:
    """Low frequencies first, and the highest one only with many octaves."""
    errors, inputs, octaves = numbers["errors"], names(numbers["inputs"]), numbers["inputs"][:, 2]
    average = errors.mean(axis=2)
    correlation, middle = _rank_correlation(average), errors.shape[3] // 2
    first = np.all(average[..., :middle].mean(axis=2) < average[..., -middle:].mean(axis=2), axis=1)
    highest = errors[:, :, -1, -1]
    coordinates, most = octaves == 0, octaves == octaves.max()
    reached = np.all(highest[:, most] <= LEARNED, axis=1)
    stuck = np.all(highest[:, coordinates] >= UNLEARNED, axis=1)
    k, count = int(numbers["frequencies"][-1]), len(errors)
    half = len(numbers["frequencies"]) / 2
    end = np.median(errors[:, :, -1], axis=0)
    return Verdict(
        all_of(vote(first), vote(reached), vote(stuck)),
        f"The low half of the frequencies has the smaller errors for every input in {first.sum()} of {count}. After "
        f"{int(numbers['steps'][-1])} steps {100 * np.median(highest[:, coordinates]):.0f} % of frequency {k} is wrong "
        f"for coordinates, and {100 * np.median(highest[:, most]):.2g} % for {inputs[int(np.argmax(octaves))]}.",
        (
            ("mean square of the target, and of the first residual",
             f"{np.mean(numbers['target_square']):.2f} (half the number of frequencies: {half:g}), "
             f"{np.mean(numbers['mean_square'][:, :, 0]):.2f}"),
            *((f"{name}: rank correlation; final errors of {', '.join(map(str, numbers['frequencies']))}",
               f"{rank:.2f}; {', '.join(f'{value:.2f}' for value in row)}")
              for name, rank, row in zip(inputs, np.median(correlation, axis=0), end, strict=True)),
        ),
    )  # fmt: skip


def figure_frequencies(numbers: Numbers) -> "Figure":
    """The error of each frequency along training, one panel for each input."""
    inputs, frequencies = names(numbers["inputs"]), numbers["frequencies"]
    at, colors = np.maximum(numbers["steps"], FLOOR), degree_colors(frequencies)
    with panels(len(inputs), height=2.5) as (drawn, axes):
        for index, (ax, name) in enumerate(zip(axes, inputs, strict=True)):
            for j, (frequency, color) in enumerate(zip(frequencies, colors, strict=True)):
                band(ax, at, numbers["errors"][:, index, :, j], color, str(frequency))
            ax.set(title=name, xlabel="step", xlim=(5, numbers["steps"][-1]), ylim=(0, 1.15), xscale="log")
            if index:
                ax.set_yticklabels([])
        axes[0].set_ylabel("$|\\hat f_k - \\hat y_k|\\,/\\,|\\hat y_k|$")
        legend(axes[0], loc="lower left", title="frequency k", title_fontsize=7, ncols=2, fontsize=6.5)
    return drawn


_FAST = Signal()
# The sizes of the paper: 4 and 7 octaves are its L = 3 and L = 6.
_PAPER = msgspec.structs.replace(
    _FAST,
    inputs=("[0, 1]", "[-1, 1]", "4 octaves", "7 octaves"),
    num_samples=2048,
    frequencies=tuple(range(5, 75, 5)),
    width=128,
    steps=500,
    snapshots=(0, 1, 5, 10, 15, 20, *range(25, 501, 25)),
    local_pairs=250,
    far_pairs=5000,
)

STUDIES = (
    Study(
        "lazzari-signal-hamming",
        SOURCE + "Hamming distances",
        "Neighboring points of a signal share nearly all active units, distant ones do not; and encodings tell "
        "neighbors apart: the local Hamming distance orders [0, 1] < [−1, 1] < few octaves < many octaves.",
        "On average over the training, in 9 of 10 repetitions or more, the mean Hamming distance of neighbors is at "
        "most half of that of points from opposite ends, for every input; and it increases in this order of inputs.",
        fast=_FAST,
        paper=_PAPER,
        measure=measure_hamming,
        judge=judge_hamming,
        figure=figure_hamming,
        control=Control(
            "neighbors in a random order of the samples",
            lambda settings: msgspec.structs.replace(settings, shuffled=True),
        ),
        note="A sum of sines with random phases; four layers of ReLUs with PyTorch's "
        "initialization, Adam on all samples. Neighbors are two points of a window of 2.4 % of the signal. The fast "
        "setting has half the frequencies, and one octave less. In the paper: 1 → 1.7, 1.8 → 2.3, 13 → 14.5, 65 → 56 "
        "of 512 units.",
    ),
    Study(
        "lazzari-signal-frequencies",
        SOURCE + "fits along training",
        "Low frequencies are fitted first, and coordinates do not reach the high ones in the time in which an encoding "
        "with many octaves does.",
        "In 9 of 10 repetitions or more the error, on average over the recorded steps, is smaller for the low half of "
        "the frequencies than for the high half, for every input; and at the end 80 % or more of the highest frequency "
        "is wrong for [0, 1] and [−1, 1], and 20 % or less with the most octaves.",
        fast=_FAST,
        paper=_PAPER,
        measure=measure_frequencies,
        judge=judge_frequencies,
        figure=figure_frequencies,
        control=Control(
            "the networks of encodings under the names of coordinates, and the other way round",
            lambda settings: msgspec.structs.replace(settings, exchanged=True),
        ),
        note="The authors judge from plots of the fit; here it is |f̂_k − ŷ_k|/|ŷ_k| of every frequency k of the "
        "target. All amplitudes are 1, so that the mean square of the target is half their number, 7 in the paper.",
    ),
)
