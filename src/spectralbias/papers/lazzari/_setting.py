"""What the studies share: inputs of coordinate networks, signals and pictures, and trainings with snapshots.

Coordinates are encoded before training, and filled up with zero columns to one width for all inputs of a study. The
rows of the first layer that belong to them start at zero and stay there, so that the network is the one that reads the
encoding; and one compiled program serves them all.
"""

import functools
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ... import dynamics, models, problems
from ..._core.errors import InputError
from .._study import Settings

OCTAVES = re.compile(r"(\d+) octaves?")
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


def _interval(name: str) -> tuple[float, float]:
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
    lower, upper = _interval(name)
    return problems.coordinates(shape, lower=lower, upper=upper, nodes="left")


def num_features(name: str, dim: int) -> int:
    """Inputs of the first layer."""
    return encoding(name).out_size(dim)


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


class Signal(Settings, frozen=True, kw_only=True):
    """Networks that learn a sum of sines on [0, 1).

    Attributes:
        inputs: what they read. `"4 octaves"` are the frequencies 2^l π, l = 0 … 3, which the paper calls L = 3.
        num_samples: N.
        frequencies: of the target, in cycles; the phases are drawn in each repetition.
        width: units of each hidden layer.
        depth: number of hidden layers.
        steps: of Adam, each on all samples, as an epoch.
        snapshots: steps at which the network is kept.
        learning_rate: of Adam.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    inputs: tuple[str, ...] = ("[0, 1]", "[-1, 1]", "3 octaves", "6 octaves")
    num_samples: int = 256
    frequencies: tuple[int, ...] = (5, 10, 15, 20, 25, 30, 35)
    width: int = 64
    depth: int = 4
    steps: int = 300
    snapshots: tuple[int, ...] = (0, 1, 5, 20, 50, 100, 200, 300)
    learning_rate: float = 1e-3

    @property
    def key(self) -> tuple:
        """What a training depends on, besides its input and seed."""
        widest = max(num_features(name, 1) for name in self.inputs)
        return (
            self.num_samples, self.frequencies, self.width, self.depth, self.steps, self.snapshots, self.learning_rate,
            widest,
        )  # fmt: skip


class Picture(Settings, frozen=True, kw_only=True):
    """Networks that learn a photograph; repetition i learns photograph i modulo their number.

    Attributes:
        inputs: what they read; `"8 octaves"` is the paper's L = 8.
        size: pixels along each side.
        pictures: how many photographs.
        data: a folder of images in place of those of scikit-learn and scikit-image.
        source: of `problems.natural_images`.
        width: units of each hidden layer.
        depth: number of hidden layers.
        steps: of Adam.
        batch: pixels in each step; 0 for all.
        snapshots: steps at which the network is kept.
        learning_rate: of Adam.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    inputs: tuple[str, ...] = ("[0, 1]", "[-1, 1]", "2 octaves", "5 octaves")
    size: int = 20
    pictures: int = 5
    data: str = ""
    source: str = "scikit-learn"
    width: int = 64
    depth: int = 4
    steps: int = 300
    batch: int = 0
    snapshots: tuple[int, ...] = (0, 1, 5, 20, 50, 100, 200, 300)
    learning_rate: float = 1e-3

    @property
    def key(self) -> tuple:
        """What a training depends on, besides its input and seed."""
        widest = max(num_features(name, 2) for name in self.inputs)
        return (
            self.size, self.pictures, self.data, self.source, self.width, self.depth, self.steps, self.batch,
            self.snapshots, self.learning_rate, widest,
        )  # fmt: skip


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
        return np.mean(self.residuals.reshape(len(self.residuals), -1) ** 2, axis=1)

    def pairs(self) -> Iterator[tuple[int, Any]]:
        """Step and network."""
        return zip(self.steps.tolist(), self.models, strict=True)


def train(
    model: Any, x: np.ndarray, y: np.ndarray, *, steps: int, snapshots: tuple[int, ...], rate: float,
    batch: int = 0, seed: int = 0,
) -> Trained:  # fmt: skip
    """Adam with PyTorch's constants, from this network."""
    import jax

    with single_precision():
        found = dynamics.train(
            model, x, y, learning_rate=rate, steps=steps, optimizer="adam", batch_size=batch or None,
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
    return Trained(np.array(snapshots), kept, x, y, np.asarray(found.residuals[where], float))


def signal_target(num_samples: int, frequencies: tuple[int, ...], seed: int) -> np.ndarray:
    """y = Σ sin(2π k i/N + 2π φ_k), with φ uniform in [0, 1)."""
    phases = np.random.default_rng([seed, 1]).uniform(size=len(frequencies))
    t = np.arange(num_samples) / num_samples
    return np.sin(2 * math.pi * (np.outer(t, frequencies) + phases)).sum(axis=1)


@functools.lru_cache(maxsize=512)
def _signal(key: tuple, name: str, seed: int) -> Trained:
    num_samples, frequencies, width, depth, steps, snapshots, rate, padded = key
    model = network(name, 1, width, depth, "scalar", padded, seed)
    return train(
        model, features(name, (num_samples,), padded), signal_target(num_samples, frequencies, seed),
        steps=steps, snapshots=snapshots, rate=rate,
    )  # fmt: skip


def signal(settings: Signal, name: str, seed: int) -> Trained:
    """One training on a signal; studies that look at the same one share it."""
    return _signal(settings.key, name, seed)


@functools.lru_cache(maxsize=8)
def photographs(size: int, count: int, data: str, source: str) -> dict[str, np.ndarray]:
    """name -> colors (size², 3)."""
    chosen: Any = {"directory": data} if data else {"source": source}
    return {name: found.y for name, found in problems.natural_images(size, count=count, **chosen).items()}


@functools.lru_cache(maxsize=512)
def _picture(key: tuple, name: str, seed: int) -> Trained:
    size, count, data, source, width, depth, steps, batch, snapshots, rate, padded = key
    y = list(photographs(size, count, data, source).values())[seed % count]
    model = network(name, 2, width, depth, 3, padded, seed)
    return train(
        model,
        features(name, (size, size), padded),
        y,
        steps=steps,
        snapshots=snapshots,
        rate=rate,
        batch=batch,
        seed=seed,
    )


def picture(settings: Picture, name: str, seed: int) -> Trained:
    """One training on a photograph; studies that look at the same one share it."""
    return _picture(settings.key, name, seed)
