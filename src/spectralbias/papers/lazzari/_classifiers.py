"""What the studies of real data share: pictures with classes, networks that learn them, and the pairs compared.

The paper trains with cross-entropy, which `dynamics.train` has not: the theory of this library is that of squared
error.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ... import models, problems, regions
from ..._core.errors import InputError
from .._study import Settings
from ._setting import single_precision

# The folder that the binary version of CIFAR-10 comes in.
CIFAR_10 = "cifar-10-batches-bin"
# Points of the density of a cosine on [-1, 1].
POINTS = 101


class Classifiers(Settings, frozen=True, kw_only=True):
    """Networks that learn classes of pictures with Adam and cross-entropy.

    Attributes:
        convolutional: `models.strided_cnn` in place of a fully connected network.
        num_samples: training samples; fewer where there are not so many.
        width: units of each hidden layer, or of the one behind convolutions.
        depth: number of hidden layers of the fully connected network.
        channels: filters of each convolution.
        steps: of Adam.
        batch: samples in each step.
        snapshots: steps at which the network is looked at.
        confused: the step, one of the snapshots, at which gradients are compared.
        learning_rate: of Adam.
        anchors: samples of which pairs are looked for.
        per_anchor: neighbors, and distant samples, of each.
        data: files of the user in place of scikit-learn's digits.
        components: principal components that are left of the pictures, 0 for all: few are a negative control.
        same_class: neighbors of the same class: a negative control.
    """

    convolutional: bool = False
    num_samples: int = 800
    width: int = 64
    depth: int = 4
    channels: tuple[int, ...] = (8, 16, 24)
    steps: int = 160
    batch: int = 128
    snapshots: tuple[int, ...] = (0, 10, 20, 40, 80, 120, 160)
    confused: int = 80
    learning_rate: float = 1e-3
    anchors: int = 100
    per_anchor: int = 10
    data: str = ""
    components: int = 0
    same_class: bool = False


class Pictures(NamedTuple):
    """Pixels in [0, 1], (n, channels, rows, columns), and classes (n,) below `count`."""

    pixels: np.ndarray
    classes: np.ndarray
    count: int


def digits(num_samples: int, side: int, seed: int) -> Pictures:
    """Scikit-learn's digits, drawn at random, with `side` pixels along each side: 8, or enlarged."""
    import jax
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    chosen = np.random.default_rng([seed, 3]).permutation(len(pixels))[:num_samples]
    small = (np.asarray(pixels)[chosen] / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    if side != 8:
        small = jax.image.resize(small, (len(small), 1, side, side), "bilinear")
    return Pictures(np.asarray(small), np.asarray(classes)[chosen], 10)


def pictures_in(data: str, num_samples: int, seed: int) -> Pictures:
    """Those of MNIST or Fashion-MNIST, CIFAR-10 or CIFAR-100, whichever files are there."""
    import jax

    place = Path(data)
    options: dict[str, Any] = {"max_samples": num_samples, "key": jax.random.key(seed)}
    if any(place.glob("train-images*")):
        found = problems.mnist(place, **options)
    elif any((place / name).exists() for name in ("cifar-100-binary", "train.bin")) or place.name == "train.bin":
        found = problems.cifar100(place, **options)
    elif place.suffix == ".bin" or any(place.glob("data_batch_*.bin")) or (place / CIFAR_10).exists():
        found = problems.cifar10(place, **options)
    else:
        raise InputError(f"{data!r} has no files of MNIST, Fashion-MNIST, CIFAR-10 or CIFAR-100 in it")
    channels = 3 if found.x.shape[1] % 3 == 0 else 1
    side = math.isqrt(found.x.shape[1] // channels)
    pixels = found.x.reshape(-1, channels, side, side).astype(np.float32)
    return Pictures(pixels, np.argmax(found.y, axis=1), found.y.shape[1])


def projected(x: np.ndarray, components: int) -> np.ndarray:
    """What the first principal components leave of samples (n, …): they lie on a line, or in a plane."""
    flat = x.reshape(len(x), -1)
    mean = flat.mean(axis=0)
    directions = np.linalg.svd(flat - mean, full_matrices=False)[2][:components]
    return (mean + (flat - mean) @ directions.T @ directions).reshape(x.shape).astype(np.float32)


def inputs(settings: Classifiers, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Pixels with mean 1/2 and deviation 1/2 taken out, as the paper has them; classes; and how many there are."""
    s = settings
    if s.data:
        found = pictures_in(s.data, s.num_samples, seed)
    else:
        # Convolutions with stride 2 need a side of 7 pixels for two of them, 15 for three.
        found = digits(s.num_samples, 16 if s.convolutional and len(s.channels) > 2 else 8, seed)
    x = 2 * found.pixels - 1
    if s.components:
        x = projected(x, s.components)
    return x if s.convolutional else x.reshape(len(x), -1), found.classes, found.count


def network(settings: Classifiers, shape: tuple[int, ...], num_classes: int, seed: int) -> Any:
    """One of the paper's two networks, with PyTorch's initialization."""
    import jax

    s, key = settings, jax.random.key(seed)
    if s.convolutional:
        return models.strided_cnn(
            input_shape=shape, num_outputs=num_classes, channels=s.channels, width=s.width, key=key
        )
    return models.coordinate_network(shape[0], num_classes, width=s.width, depth=s.depth, key=key)


@functools.lru_cache(maxsize=8)
def _steps(static: Any, rate: float) -> Any:
    """A compiled function: Adam on the batches that are given, one after the other."""
    import jax
    import optax

    optimizer = optax.adam(rate)

    def loss(parameters, x, y):
        logits = jax.vmap(models.combine(parameters, static.tree))(x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def run(parameters, state, x, y, batches):
        def step(carry, batch):
            parameters, state = carry
            value, gradient = jax.value_and_grad(loss)(parameters, x[batch], y[batch])
            updates, state = optimizer.update(gradient, state, parameters)
            return (optax.apply_updates(parameters, updates), state), value

        return jax.lax.scan(step, (parameters, state), batches)

    return optimizer, run


class _Static:
    """What of a model is not trained; equal wherever the models have the same structure."""

    def __init__(self, tree: Any):
        import jax

        self.tree, self._key = tree, jax.tree.structure(tree)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self._key == other._key


def train(
    model: Any, x: np.ndarray, y: np.ndarray, *, steps: int, snapshots: tuple[int, ...], batch: int, rate: float,
    seed: int,
) -> tuple[tuple[Any, ...], np.ndarray]:  # fmt: skip
    """Adam on cross-entropy, epoch by epoch: the network at its snapshots, and the loss of every step."""
    import jax.numpy as jnp

    n, batch = len(x), min(batch, len(x))
    draws = np.random.default_rng([seed, 4])
    epochs = -(-steps // (n // batch))
    order = np.concatenate([draws.permutation(n)[: n // batch * batch] for _ in range(epochs)]).reshape(-1, batch)[
        :steps
    ]
    parameters, rest = models.partition(model)
    optimizer, run = _steps(_Static(rest), rate)
    state, losses, kept = optimizer.init(parameters), [], []
    samples, classes, order = jnp.asarray(x), jnp.asarray(y), jnp.asarray(order)
    # Pieces of one length, so that one program is compiled.
    piece = math.gcd(*snapshots, steps)
    for step in range(0, steps + 1, piece):
        if step in snapshots:
            kept.append(models.combine(parameters, rest))
        if step < steps:
            (parameters, state), values = run(parameters, state, samples, classes, order[step : step + piece])
            losses.append(np.asarray(values))
    return tuple(kept), np.concatenate(losses)


def pairs(settings: Classifiers, x: np.ndarray, classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest samples of another class, and farthest samples of any."""
    s = settings
    anchors, count = min(s.anchors, len(x)), s.per_anchor
    if s.same_class:  # no more than there are in the smallest class
        count = min(count, int(np.unique(classes, return_counts=True)[1].min()) - 1)
    kind = "same" if s.same_class else "different"
    near = regions.pairs.nearest(x, anchors, count, labels=classes, classes=kind, seed=seed)
    return near, regions.pairs.farthest(x, anchors, count, seed=seed)


@functools.lru_cache(maxsize=64)
def _trained(settings: Classifiers, seed: int) -> tuple[Any, ...]:
    s = settings
    with single_precision():
        x, classes, count = inputs(s, seed)
        model = network(s, x.shape[1:], count, seed)
        kept, _ = train(
            model, x, classes, steps=s.steps, snapshots=s.snapshots, batch=s.batch, rate=s.learning_rate, seed=seed
        )
    return x, classes, kept


def trained(settings: Classifiers, seed: int) -> tuple[Any, ...]:
    """Inputs, classes, and the network at its snapshots; shared by studies that differ in what they look at."""
    plain: Mapping[str, Any] = {"seeds": (), "anchors": 0, "per_anchor": 0, "same_class": False, "confused": 0}
    return _trained(msgspec.structs.replace(settings, **plain), seed)


def hamming(settings: Classifiers, seed: int) -> tuple[np.ndarray, int]:
    """Mean Hamming distances of neighbors and distant samples (T, 2), and the number of units."""
    x, classes, kept = trained(settings, seed)
    chosen, found, units = pairs(settings, x, classes, seed), [], 0
    with single_precision():
        for model in kept:
            patterns = regions.activation_patterns(model, x)
            units = patterns.num_units
            found.append([regions.hamming_distance(patterns, some).mean() for some in chosen])
    return np.array(found), units


@functools.cache
def _outputs() -> Any:
    import equinox as eqx
    import jax

    return eqx.filter_jit(lambda model, x: jax.vmap(model)(x))


def right(settings: Classifiers, seed: int) -> np.ndarray:
    """Share of the training samples whose class the network says, (T,)."""
    x, classes, kept = trained(settings, seed)
    with single_precision():
        return np.array([np.mean(np.argmax(_outputs()(model, x), axis=1) == classes) for model in kept])


def cosines(settings: Classifiers, seed: int) -> np.ndarray:
    """Cosines of the loss gradients of neighbors and of distant samples, (2, pairs)."""
    x, classes, kept = trained(settings, seed)
    model = kept[settings.snapshots.index(settings.confused)]
    with single_precision():
        return np.stack(
            [
                regions.gradient_cosine(model, x, classes, some, loss="cross_entropy")
                for some in pairs(settings, x, classes, seed)
            ]
        )
