"""What the studies share: inputs of coordinate networks, signals and pictures, and trainings with snapshots.

Coordinates are encoded before training, and filled up with zero columns to one width for all inputs of a study. The
rows of the first layer that belong to them start at zero and stay there, so that the network is the one that reads the
encoding; and one compiled program serves them all.
"""

import functools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import dynamics, models, problems, regions
from ..._core.errors import InputError
from .._study import Settings

OCTAVES = re.compile(r"(\d+) octaves?")
# Points of the density of a cosine on [-1, 1].
POINTS = 101
# Steps of Adam in an epoch of the paper: 512² pixels in batches of 8192.
EPOCH = 32
# Photographs that two cores learn in minutes.
DESKTOP: dict[str, Any] = {
    "size": 64, "width": 128, "batch": 1024, "steps": 1200,
    "snapshots": (0, 1, 3, 10, 30, 100, 200, 400, 800, 1200), "source": "auto",
}  # fmt: skip
INTERVAL = re.compile(r"\[(-?\d+(?:\.\d+)?), (-?\d+(?:\.\d+)?)\]")


def single_precision():
    """Networks are trained in float32, whatever the user's JAX is set to."""
    import jax

    return jax.enable_x64(False)


def double_precision():
    """Exact regions and kernels are computed in float64."""
    import jax

    return jax.enable_x64(True)


def octaves(name: str) -> int | None:
    """How many octaves an input called `"7 octaves"` has; None for an interval, such as `"[-1, 1]"`."""
    found = OCTAVES.fullmatch(name)
    return int(found[1]) if found else None


def interval(name: str) -> tuple[float, float]:
    """Lower and upper end of an input such as `"[-1, 1]"`."""
    found = INTERVAL.fullmatch(name)
    if not found:
        raise InputError(f'an input must be called "[lower, upper]" or "… octaves", got {name!r}')
    return float(found[1]), float(found[2])


def encoding(name: str) -> Any:
    """γ of that name, from the coordinates of `positions`."""
    count = octaves(name)
    return models.encodings.Identity() if count is None else models.encodings.PositionalEncoding(count)


def positions(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Coordinates (n, dim) in the paper's conventions: i/n on an interval, `linspace(0, 1)` where they are encoded."""
    if octaves(name) is not None:
        return problems.coordinates(shape, lower=0.0, upper=1.0, nodes="ends")
    lower, upper = interval(name)
    return problems.coordinates(shape, lower=lower, upper=upper, nodes="left")


def num_features(name: str, dim: int) -> int:
    """Inputs of the first layer."""
    return encoding(name).out_size(dim)


@functools.lru_cache(maxsize=16)
def features(name: str, shape: tuple[int, ...], width: int) -> np.ndarray:
    """γ of the positions (n, width), with columns of zeros behind."""
    import jax

    x = positions(name, shape)
    with double_precision():
        encoded = np.asarray(jax.vmap(encoding(name))(x))
    return np.pad(encoded, ((0, 0), (0, width - encoded.shape[1])))


def network(name: str, dim: int, width: int, depth: int, num_outputs: Any, padded: int, seed: int) -> Any:
    """The network of the paper for that input, PyTorch's initialization, on features filled up to `padded` columns."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    with single_precision():
        count = num_features(name, dim)
        model = models.coordinate_network(count, num_outputs, width=width, depth=depth, key=jax.random.key(seed))
        return eqx.tree_at(
            lambda m: m.layers[0].weight, model, replace_fn=lambda w: jnp.pad(w, ((0, padded - count), (0, 0)))
        )


def on_positions(model: Any, name: str, dim: int) -> Any:
    """The same function as a network that reads positions, through its encoding."""
    import equinox as eqx

    count = num_features(name, dim)
    return eqx.tree_at(
        lambda m: (m.layers[0].weight, m.encoding), model, (model.layers[0].weight[:count], encoding(name))
    )


def without_padding(model: Any, name: str, dim: int) -> Any:
    """The same network on its own features, without the columns of zeros."""
    import equinox as eqx

    return eqx.tree_at(lambda m: m.layers[0].weight, model, replace_fn=lambda w: w[: num_features(name, dim)])


class Trainings(Settings, frozen=True, kw_only=True):
    """Networks of the paper on a grid of samples, trained with Adam.

    Attributes:
        inputs: what they read. `"8 octaves"` are sines and cosines of 2^l π x, l = 0 … 7: the paper's L = 8 for images.
            For the signal its L = 3 and L = 6 are 4 and 7 octaves.
        width: units of each hidden layer.
        depth: number of hidden layers.
        steps: of Adam.
        batch: samples in each step; 0 for all.
        snapshots: steps at which the network is kept.
        learning_rate: of it.
        optimizer: Adam, as in the paper, or another of `dynamics.train`.
        windows: in which local pairs are drawn.
        local_pairs: in each of them.
        far_pairs: from opposite ends of a signal, or opposite quadrants of a picture.
        shuffled: put the samples in a random order before pairs are drawn: a negative control.
        exchanged: networks of the last input under the name of the first, and so on: a negative control.
    """

    inputs: tuple[str, ...] = ("[0, 1]", "[-1, 1]", "3 octaves", "6 octaves")
    width: int = 64
    depth: int = 4
    steps: int = 300
    batch: int = 0
    snapshots: tuple[int, ...] = (0, 1, 5, 20, 50, 100, 200, 300)
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    windows: int = 25
    local_pairs: int = 100
    far_pairs: int = 2000
    shuffled: bool = False
    exchanged: bool = False

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the grid."""
        raise NotImplementedError

    @property
    def targets(self) -> tuple:
        """What the target depends on, besides the seed."""
        raise NotImplementedError

    @property
    def key(self) -> tuple:
        """What a training depends on, besides its input and seed."""
        widest = max(num_features(name, len(self.grid)) for name in self.inputs)
        training = self.width, self.depth, self.steps, self.batch, self.snapshots, self.learning_rate, self.optimizer
        return self.grid, self.targets, training, widest

    def pairs(self, seed: int) -> tuple[np.ndarray, ...]:
        """Local pairs, distant pairs, and any two samples, (p, 2) each."""
        return _pairs(self.grid, *self.drawing, seed)

    @property
    def drawing(self) -> tuple:
        """What pairs depend on."""
        return self.windows, self.local_pairs, self.far_pairs, self.shuffled


class Signal(Trainings, frozen=True, kw_only=True):
    """Networks that learn a sum of sines on [0, 1).

    Attributes:
        num_samples: N.
        frequencies: of the target, in cycles; the phases are drawn in each repetition.
    """

    num_samples: int = 256
    frequencies: tuple[int, ...] = (5, 10, 15, 20, 25, 30, 35)

    @property
    def grid(self) -> tuple[int, ...]:
        """(N,)."""
        return (self.num_samples,)

    @property
    def targets(self) -> tuple:
        """What the target depends on, besides the seed."""
        return self.frequencies


class Picture(Trainings, frozen=True, kw_only=True):
    """Networks that learn a photograph; repetition i learns photograph i modulo their number.

    Attributes:
        size: pixels along each side.
        pictures: how many photographs.
        data: a folder of images in place of those of scikit-learn and scikit-image.
        source: of `problems.natural_images`.
    """

    inputs: tuple[str, ...] = ("[0, 1]", "[-1, 1]", "2 octaves", "4 octaves")
    windows: int = 100
    local_pairs: int = 25
    size: int = 16
    pictures: int = 5
    data: str = ""
    source: str = "scikit-learn"

    @property
    def grid(self) -> tuple[int, ...]:
        """(rows, columns)."""
        return self.size, self.size

    @property
    def targets(self) -> tuple:
        """What the target depends on, besides the seed."""
        return self.size, self.pictures, self.data, self.source


@functools.lru_cache(maxsize=64)
def _pairs(
    grid: tuple[int, ...], windows: int, local: int, far: int, shuffled: bool, seed: int
) -> tuple[np.ndarray, ...]:
    found = (
        regions.pairs.local(grid, windows=windows, per_window=local, seed=seed),
        regions.pairs.opposite_quadrants(grid, far, seed=seed),
        regions.pairs.uniform(math.prod(grid), far, seed=seed),
    )
    if not shuffled:
        return found
    order = np.random.default_rng([seed, 2]).permutation(math.prod(grid))
    return tuple(order[some] for some in found)


class Trained(NamedTuple):
    """A training: the network at its snapshots with its residuals (T, n[, c]), the features and the targets."""

    steps: np.ndarray
    models: tuple[Any, ...]
    x: np.ndarray
    y: np.ndarray
    residuals: np.ndarray

    @property
    def mean_square(self) -> np.ndarray:
        """The paper's loss: the mean of (f - y)² over samples and channels, (T,)."""
        return np.mean(self.residuals.reshape(len(self.residuals), -1).astype(float) ** 2, axis=1)


def train(
    model: Any, x: np.ndarray, y: np.ndarray, *, steps: int, snapshots: tuple[int, ...], rate: float,
    batch: int = 0, seed: int = 0, optimizer: str = "adam",
) -> Trained:  # fmt: skip
    """Training from this network, by default with Adam and PyTorch's constants."""
    import jax

    with single_precision():
        found = dynamics.train(
            model, x, y, learning_rate=rate, steps=steps, optimizer=optimizer, batch_size=batch or None,
            record=tuple(sorted({0, steps, *snapshots})), key=jax.random.key(seed),
            probes={"parameters": dynamics.Probe(lambda m, x, y, step: models.partition(m)[0], snapshots)},
        )  # fmt: skip
        rest = models.partition(model)[1]
        stacked = found.records["parameters"]
        kept = tuple(
            models.combine(jax.tree.map(lambda leaf, i=i: jax.numpy.asarray(leaf[i]), stacked), rest)
            for i in range(len(snapshots))
        )
    where = np.searchsorted(found.steps, snapshots)
    return Trained(np.array(snapshots), kept, x, y, np.asarray(found.residuals[where]))


def signal_target(num_samples: int, frequencies: tuple[int, ...], seed: int) -> np.ndarray:
    """y = Σ sin(2π k i/N + 2π φ_k), with φ uniform in [0, 1)."""
    phases = np.random.default_rng([seed, 1]).uniform(size=len(frequencies))
    t = np.arange(num_samples) / num_samples
    return np.sin(2 * math.pi * (np.outer(t, frequencies) + phases)).sum(axis=1)


@functools.lru_cache(maxsize=8)
def photographs(size: int, count: int, data: str, source: str) -> dict[str, np.ndarray]:
    """name -> colors (size², 3)."""
    chosen: Any = {"directory": data} if data else {"source": source}
    return {name: found.y for name, found in problems.natural_images(size, count=count, **chosen).items()}


@functools.lru_cache(maxsize=512)
def _trained(key: tuple, name: str, seed: int) -> Trained:
    grid, targets, (width, depth, steps, batch, snapshots, rate, optimizer), padded = key
    if len(grid) == 1:
        y = signal_target(grid[0], targets, seed)
    else:
        pictures = list(photographs(*targets).values())
        y = pictures[seed % len(pictures)]
    model = network(name, len(grid), width, depth, "scalar" if y.ndim == 1 else 3, padded, seed)
    return train(
        model, features(name, grid, padded), y, steps=steps, snapshots=snapshots, rate=rate, batch=batch, seed=seed,
        optimizer=optimizer,
    )  # fmt: skip


def trained(settings: Trainings, name: str, seed: int) -> Trained:
    """One training; studies that look at the same one share it."""
    return _trained(settings.key, name, seed)


class Patterns(NamedTuple):
    """Activation patterns at every snapshot.

    Hamming distances are means over local pairs, distant ones, and any, (T, layers, 3); the number of distinct patterns
    is (T,), that of dead units (T, layers).
    """

    hamming: np.ndarray
    distinct: np.ndarray
    dead: np.ndarray


@functools.lru_cache(maxsize=1024)
def _patterns(key: tuple, name: str, seed: int, drawing: tuple) -> Patterns:
    run, chosen, found = _trained(key, name, seed), _pairs(key[0], *drawing, seed), []
    with single_precision():
        for model in run.models:
            patterns = regions.activation_patterns(model, run.x)
            distances = [regions.hamming_distance(patterns, some, per_layer=True).mean(axis=0) for some in chosen]
            found.append((np.stack(distances, axis=-1), patterns.num_distinct, patterns.dead_per_layer))
    return Patterns(*(np.array(values) for values in zip(*found, strict=True)))


def patterns(settings: Trainings, name: str, seed: int) -> Patterns:
    """What patterns say about one training."""
    return _patterns(settings.key, name, seed, settings.drawing)


def every(settings: Trainings, look: Callable[[Trainings, str, int], Any]) -> list[list[Any]]:
    """What is found in each repetition with each input."""
    inputs = settings.inputs[::-1] if settings.exchanged else settings.inputs
    return [[look(settings, name, seed) for name in inputs] for seed in settings.seeds]


def codes(inputs: tuple[str, ...]) -> np.ndarray:
    """Names of inputs as numbers (inputs, 3): lower, upper, octaves; for what figures and verdicts are made of."""
    return np.array([(0.0, 0.0, octaves(name)) if octaves(name) else (*interval(name), 0.0) for name in inputs])


def names(coded: np.ndarray) -> list[str]:
    """The inverse of `codes`."""
    return [f"{int(k)} octave{'s' if k > 1 else ''}" if k else f"[{low:g}, {high:g}]" for low, high, k in coded]


class Cosines(NamedTuple):
    """Cosines of loss gradients of local and of distant pairs at some snapshots.

    Their mean absolute value, mean, share below 0, share with |cos| > 0.9, each (T, 2); their density (T, 2, points).
    """

    mean_abs: np.ndarray
    mean: np.ndarray
    negative: np.ndarray
    parallel: np.ndarray
    density: np.ndarray


@functools.lru_cache(maxsize=1024)
def _cosines(key: tuple, name: str, seed: int, drawing: tuple, points: int, at: tuple[int, ...]) -> Cosines:
    run, chosen, found = _trained(key, name, seed), _pairs(key[0], *drawing, seed)[:2], []
    count = len(chosen[0])
    with single_precision():
        for index in at:
            model = run.models[index]
            both = regions.gradient_cosine(model, run.x, run.y, np.concatenate(chosen))
            each = []
            for cosines in (both[:count], both[count:]):
                summary = regions.confusion_summary(cosines)
                density = regions.cosine_density(cosines, points=points)[1]
                each.append(
                    (summary.mean_abs, np.nanmean(cosines), summary.share_negative, summary.share_parallel, density)
                )
            found.append([np.array(values) for values in zip(*each, strict=True)])
    return Cosines(*(np.array(values) for values in zip(*found, strict=True)))


def cosines(settings: Trainings, name: str, seed: int, at: tuple[int, ...]) -> Cosines:
    """What gradients say about one training, at these of its snapshots."""
    return _cosines(settings.key, name, seed, settings.drawing, POINTS, at)
