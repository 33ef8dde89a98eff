"""How wide the regions of the first layer are: a matter of the number of inputs."""

import functools
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ... import regions
from .._figures import ACCENT, MUTED, SECOND, THEORY, band, legend, panels, plain_log
from .._statistics import all_of, interval, log_slope, within
from .._study import Control, Numbers, Study, Verdict
from ._setting import EPOCH, Picture, num_features, octaves, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("trained", "at the start", "random directions")
# Exponents of the inradius in the number of octaves that count as 1.
LOW, HIGH = 0.75, 1.25
# Ratios of inradii that count as 1.
SAME = 0.15


class Octaves(Picture, frozen=True, kw_only=True):
    """Networks of more and more octaves.

    Attributes:
        points: random points of the cube of encoded inputs, whose regions are measured, for the largest L; for others
            as many more as L is smaller, as their inradii scatter more.
        inputs_read: how many inputs the hyperplanes have, 0 for all of the encoding: a negative control.
        random_inputs: how many of them hyperplanes of random directions have, as a share: a negative control.
    """

    inputs: tuple[str, ...] = ("4 octaves", "16 octaves")
    width: int = 256
    depth: int = 1
    steps: int = 60
    snapshots: tuple[int, ...] = (0, 60)
    points: int = 3
    inputs_read: int = 0
    random_inputs: float = 1.0


def random_directions(weight: np.ndarray, bias: np.ndarray, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hyperplanes at the same distances from 0, in directions that are uniform on the sphere of that dimension."""
    directions = np.random.default_rng([seed, 5]).standard_normal((len(weight), dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions, bias / np.linalg.norm(weight, axis=1)


def num_points(settings: Octaves, name: str) -> int:
    """How many points are drawn with that encoding."""
    widest = max(octaves(one) or 1 for one in settings.inputs)
    return round(settings.points * widest / (octaves(name) or 1))


def inradii(weight: np.ndarray, bias: np.ndarray, points: int, seed: int) -> np.ndarray:
    """Of the regions of points that are uniform in [-1, 1]^dim, (points,)."""
    where = np.random.default_rng([seed, 6]).uniform(-1, 1, (points, weight.shape[1]))
    return regions.inradius(weight, bias, where)


@functools.lru_cache(maxsize=1024)
def _hyperplanes(settings: Octaves, name: str, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of the first layer at the last snapshot (-1) or the first (0), and their shifts."""
    layer = trained(settings, name, seed).models[step].layers[0]
    weight, bias = (
        layer.weight_scale * np.asarray(layer.weight, float),
        layer.bias_scale * np.asarray(layer.bias, float),
    )
    return weight[: settings.inputs_read or num_features(name, 2)].T, bias


@functools.lru_cache(maxsize=1024)
def _own(settings: Octaves, name: str, seed: int, step: int) -> float:
    """The mean inradius of a network's own hyperplanes."""
    return float(inradii(*_hyperplanes(settings, name, seed, step), num_points(settings, name), seed).mean())


@functools.lru_cache(maxsize=1024)
def _random(settings: Octaves, name: str, seed: int, share: float) -> float:
    """The mean inradius with random directions, of a share of as many inputs."""
    weight, bias = _hyperplanes(settings, name, seed, -1)
    turned = random_directions(weight, bias, max(1, round(share * weight.shape[1])), seed)
    return float(inradii(*turned, num_points(settings, name), seed).mean())


def measure(settings: Octaves) -> dict[str, np.ndarray]:
    """Mean inradii (seeds, octaves, kinds)."""
    s, chosen = settings, {}
    for name in s.inputs:  # all inputs are all inputs: so that a control shares them
        read = 0 if s.inputs_read == num_features(name, 2) else s.inputs_read
        chosen[name] = msgspec.structs.replace(s, seeds=(), random_inputs=1.0, inputs_read=read)
    found = [
        [
            (_own(one, name, seed, -1), _own(one, name, seed, 0), _random(one, name, seed, s.random_inputs))
            for name, one in chosen.items()
        ]
        for seed in s.seeds
    ]
    return {
        "octaves": np.array([octaves(name) for name in settings.inputs]),
        "width": np.array(settings.width),
        "step": np.array(settings.steps),
        "inradii": np.array(found),
    }


def _listed(numbers: Numbers, kind: int) -> str:
    return ", ".join(f"{value:.3f}" for value in np.mean(numbers["inradii"][:, :, kind], axis=0))


def judge_growth(numbers: Numbers) -> Verdict:
    """The exponent of the inradius in L, of trained networks."""
    found, count = numbers["inradii"], numbers["octaves"]
    slopes = [log_slope(count, found[:, :, kind]) for kind in range(len(KINDS))]
    shown = ", ".join(str(value) for value in count)
    return Verdict(
        within(slopes[0], LOW, HIGH),
        f"With L = {shown} octaves the mean inradius of the first layer of a trained network is {_listed(numbers, 0)}: "
        f"it goes as L to the power {slopes[0].text(2)}.",
        tuple(
            (f"{name}: mean inradii for L = {shown}; exponent", f"{_listed(numbers, kind)}; {slope.text(2)}")
            for kind, (name, slope) in enumerate(zip(KINDS, slopes, strict=True))
        ),
    )


def judge_dimension(numbers: Numbers) -> Verdict:
    """The same inradius without training, and with random directions."""
    found = np.log(numbers["inradii"])
    ratios = [[interval(found[:, i, 0] - found[:, i, kind]) for i in range(found.shape[1])] for kind in (1, 2)]
    same = np.log(1 + SAME)
    times = [", ".join(f"{np.exp(one.value):.2f}" for one in row) for row in ratios]
    shown = ", ".join(str(value) for value in numbers["octaves"])
    return Verdict(
        all_of(*(within(one, -same, same) for row in ratios for one in row)),
        f"With L = {shown} octaves the inradius of a trained network is {times[0]} times that of the same network "
        f"before training, and {times[1]} times that of hyperplanes of random directions with as many inputs.",
        tuple(
            (f"trained over {KINDS[kind]}, L = {count}",
             f"{np.exp(one.value):.3f} [{np.exp(one.low):.3f}, {np.exp(one.high):.3f}]")
            for kind, row in zip((1, 2), ratios, strict=True)
            for count, one in zip(numbers["octaves"], row, strict=True)
        ),
    )  # fmt: skip


def figure(numbers: Numbers) -> "Figure":
    """Inradii against the number of octaves; ratios to the trained network's."""
    found, count = numbers["inradii"], numbers["octaves"]
    colors = (ACCENT, SECOND, MUTED)
    with panels(2, width=6.4, height=2.7) as (drawn, axes):
        for kind, (name, color) in enumerate(zip(KINDS, colors, strict=True)):
            line = {"marker": "o", "markersize": 3, "linestyle": "-" if kind == 0 else (0, (4, 1.5))}
            band(axes[0], count, found[:, :, kind], color, name, **line)
            if kind:
                band(axes[1], count, found[:, :, 0] / found[:, :, kind], color, f"trained over {name}", **line)
        through = np.exp(np.mean(np.log(found[:, :, 0] / count)))
        axes[0].plot(count, through * count, color="black", label="$\\propto L$", **THEORY)
        axes[1].axhspan(1 / (1 + SAME), 1 + SAME, color="#f0f0f0", linewidth=0, zorder=0)
        for ax in axes:
            ax.set(xscale="log", xlabel="octaves L")
            ax.set_xticks(count, [str(value) for value in count])
            ax.minorticks_off()
        axes[0].set(yscale="log", ylabel=f"mean inradius, {int(numbers['width'])} units")
        plain_log(axes[0].yaxis)
        axes[1].set(ylabel="ratio of inradii", ylim=(0.5, 1.5))
        legend(axes[0], loc="upper left")
        legend(axes[1], loc="upper left")
    return drawn


_FAST = Octaves()
_PAPER = msgspec.structs.replace(
    _FAST,
    inputs=("4 octaves", "8 octaves", "12 octaves", "16 octaves", "20 octaves"), size=512, width=512, depth=4,
    batch=8192, steps=2500 * EPOCH, snapshots=(0, 2500 * EPOCH), points=200, source="auto",
)  # fmt: skip
_DESKTOP = msgspec.structs.replace(
    _PAPER, size=32, width=512, depth=1, batch=0, steps=200, snapshots=(0, 200), points=4, source="scikit-learn"
)

_NOTE = (
    "The regions are those of random points of [−1, 1]^(4L), as in the paper; the encoding itself reaches only a "
    "surface of that cube. In the paper the inradius is .020, .038, .053, .070 and .084 for L = 4, 8, 12, 16 and 20, "
    "after the first epoch and after 2500. All but the paper's setting have one hidden layer."
)

STUDIES = (
    Study(
        "lazzari-inradius",
        "Lazzari & Liu 2023, images, inradius",
        "The more octaves L the encoding has, the wider are the regions of the first layer: their inradius is "
        "proportional to L.",
        "The exponent of the mean inradius in L, with its 95 % interval over repetitions, lies between 0.75 and 1.25.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge_growth,
        figure=figure,
        control=Control(
            "hyperplanes of as many inputs as the least L has, whatever L is",
            lambda settings: msgspec.structs.replace(settings, inputs_read=num_features(settings.inputs[0], 2)),
        ),
        note=_NOTE,
    ),
    Study(
        "lazzari-inradius-dimension",
        "Lazzari & Liu 2023, images, inradius after the first epoch",
        "The growth of the inradius with L is an effect of the number of inputs: the network before training has it, "
        "and so have hyperplanes of random directions.",
        "The mean inradius of trained networks is that of the networks before training, and that of hyperplanes of "
        "random directions at the same distances from 0, within 15 %, with the 95 % interval over repetitions, for "
        "each L.",
        fast=_FAST,
        desktop=_DESKTOP,
        paper=_PAPER,
        measure=measure,
        judge=judge_dimension,
        figure=figure,
        control=Control(
            "hyperplanes of random directions with half as many inputs",
            lambda settings: msgspec.structs.replace(settings, random_inputs=0.5),
        ),
        note=_NOTE,
    ),
)
