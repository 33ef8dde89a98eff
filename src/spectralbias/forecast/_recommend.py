"""Which encoding lets a network learn a picture or a signal best within a budget of steps: before any training."""

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np
import scipy.ndimage
from jaxtyping import Array, ArrayLike, Float

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError, unknown
from ..kernels import InfiniteKernel, infinite_ntk
from ..models.encodings import PositionalEncoding
from ..problems import Problem, coordinates, image
from ._candidates import candidates, features, waves
from ._learners import Learner, Target, centered, dense_learner, krylov_learner, wave_learner
from ._limit import on_host
from ._network_kernel import Population, population
from ._probe import first_steps
from ._words import notes, why

OPTIMIZERS = ("gd", "adam")
# Pixels along the longer side that are looked at by default.
LONGEST = 512
# Nodes of a grid on which Grams are formed, and of the one that corrects a larger grid.
DENSE_NODES, CORRECTION_NODES = 4096, 2304
# Nodes up to which a kernel without a period is followed.
KRYLOV_NODES, KRYLOV_DIM = 32768, 250
# Angles at which the kernel is tabulated.
ANGLES = 20_001
# No mean square error is smaller than rounding.
TINY = 1e-16
# Adam at a learning rate of 0.001 is as far after a step as gradient descent at 1/λ_max is after so many, with the
# kernel of infinite width, in which biases count for more. Calibrated on three photographs that are not among those of
# the table in the documentation. This is for what follows after its first steps, which are taken.
ADAM_RATE, ADAM_PACE, ADAM_BIAS, FIRST_STEPS = 1e-3, 40.0, 0.5, 100
# A kernel fits its samples to any digit, Adam does not: errors below count as this.
SETTLED = 1e-8


class Choice(eqx.Module):
    """An encoding, and what is expected with it.

    Attributes:
        label: its name.
        encoding: a module of `models.encodings`, for coordinates in [-1, 1].
        held_out: expected PSNR on the nodes that do not train, in dB, at the steps of the advice, (T,).
        train: the same on the nodes that train, (T,).
        method: how it was found.
        learner: the frozen kernel that `.predictions` asks, with its learning rate `rate`; a step counts as `pace`.
        shape: of the grid; `scale` and `offset` take the learner's values to the units of the target.
    """

    label: str = eqx.field(static=True)
    encoding: Any
    held_out: Float[np.ndarray, " T"]
    train: Float[np.ndarray, " T"]
    method: str = eqx.field(static=True)
    learner: Learner
    rate: float = eqx.field(static=True)
    pace: float = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    offset: float = eqx.field(static=True)

    @property
    def psnr(self) -> float:
        """Expected PSNR on the nodes that do not train, at the end of the budget, in dB."""
        return float(self.held_out[-1])

    @property
    def train_psnr(self) -> float:
        """The same on the nodes that train."""
        return float(self.train[-1])

    def predictions(self, steps: Sequence[int]) -> Float[np.ndarray, "T *grid c"]:
        """The expected picture or signal after these numbers of steps, (T, *grid, c), in the units of the target."""
        target = self.learner.target
        found = self.learner.predictions([round(self.pace * step) for step in steps], self.rate) + target.mean
        if target.shape != self.shape:
            zoom = [1, *(full / part for full, part in zip(self.shape, target.shape, strict=True)), 1]
            found = np.asarray(scipy.ndimage.zoom(found, zoom, order=1, mode="nearest", grid_mode=True))
        return self.offset + self.scale * found


class Advice(eqx.Module):
    """Encodings in the order of what is expected of them.

    Attributes:
        table: the choices, best first.
        steps: (T,), from 1 to the budget.
        optimizer: `"gd"` or `"adam"`.
        values: the target on its grid, (*grid, c).
        trains: which nodes train, (*grid): every second one along each axis.
        why: why the pick is the pick, in a sentence or two.
        notes: what to doubt, in sentences.
        seconds: what the advice took.
    """

    table: tuple[Choice, ...]
    steps: np.ndarray
    optimizer: str = eqx.field(static=True)
    values: Float[np.ndarray, "*grid c"]
    trains: np.ndarray
    why: str = eqx.field(static=True)
    notes: tuple[str, ...] = eqx.field(static=True)
    seconds: float = eqx.field(static=True)

    @property
    def pick(self) -> Choice:
        """The encoding to use."""
        return self.table[0]

    @property
    def budget(self) -> int:
        """Number of steps."""
        return int(self.steps[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return self.values.shape[:-1]


class _Network(NamedTuple):
    """What all candidates share."""

    population: Population
    limit: Callable[[np.ndarray], np.ndarray]
    kernel: Any
    optimizer: str
    learning_rate: float | Literal["auto"]

    @property
    def adam_rate(self) -> float:
        """Of Adam."""
        return ADAM_RATE if self.learning_rate == "auto" else float(self.learning_rate)

    @property
    def pace(self) -> float:
        """Steps of gradient descent at 1/λ_max for one step."""
        return 1.0 if self.optimizer == "gd" else ADAM_PACE * self.adam_rate / ADAM_RATE

    def rate(self, learner: Learner) -> float:
        """η of gradient descent."""
        if self.optimizer == "gd" and self.learning_rate != "auto":
            limit = 2 / learner.largest
            if self.learning_rate >= limit:
                raise InputError(f"the learning rate {self.learning_rate:g} is above the stability limit {limit:.3g}")
            return float(self.learning_rate)
        return 1 / learner.largest

    def errors(self, learner: Learner, steps: np.ndarray) -> Float[np.ndarray, "T 2"]:
        """After steps of the optimizer."""
        return learner.errors([round(self.pace * step) for step in steps], self.rate(learner))


def recommend_encoding(
    image_or_signal: str | os.PathLike | ArrayLike | Problem,
    *,
    steps: int,
    optimizer: Literal["gd", "adam"] = "gd",
    learning_rate: float | Literal["auto"] = "auto",
    width: int = 256,
    depth: int = 3,
    activation: str = "relu",
    bias_std: float = 0.1,
    encodings: Sequence[str] | None = None,
    size: int | None = LONGEST,
    color: bool = False,
    key: Array | None = None,
) -> Advice:
    """Rank input encodings by the error that a network will have between the samples it is trained on.

    Every second node along each axis trains, the others are held out. What a network of this shape learns of the target
    within the budget is read from its kernel, without training. Up to 64 × 64 nodes this is the kernel of networks of
    this width. On larger grids it is the kernel of infinite width, for which an FFT stands (positional encodings: the
    modes are waves; Gaussian features: products by FFT in a Krylov space; raw coordinates: a grid of 64 × 64), and what
    finite width costs is added as it is on a part of the nodes.

    Args:
        image_or_signal: an image file; an array (rows, columns[, 3]) as for `problems.image`, or a signal (n,); or a
            `Problem` on a grid.
        steps: the budget.
        optimizer: `"gd"`, or `"adam"`: its first 100 steps are taken; from there on a step counts as 40 of gradient
            descent, which was calibrated.
        learning_rate: η; for gradient descent 1/λ_max by default, for Adam 0.001.
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: a name.
        bias_std: of the biases, for gradient descent in the NTK parameterization. Adam is in PyTorch's.
        encodings: names such as `"raw [-1, 1]"`, `"positional 4"`, `"gaussian 0.5"`; a choice of 13 by default.
        size: pixels along the longer side of a larger image, as for `problems.image`; None for all.
        color: learn red, green and blue in place of gray.
        key: PRNG key of Gaussian frequencies and of networks.

    Returns:
        `Advice` with `.pick`, and `.table`, the choices with their PSNR curves.

    Raises:
        InputError: one pixel, one color, fewer than 8 samples along an axis, a budget of 0, an unknown optimizer or
            encoding, NaN, a `Problem` without a grid, a learning rate above the stability limit.

    Cost and precision:
        Some 0.3 seconds for each encoding, and one for Adam. How good it is, is measured in the documentation.

    Example:
        >>> import numpy as np
        >>> from spectralbias import forecast
        >>> t = np.linspace(0, 1, 64, endpoint=False)
        >>> advice = forecast.recommend_encoding(np.sin(40 * t**2), steps=300, encodings=["raw [0, 1]", "gaussian 2"])
        >>> advice.pick.label
        'gaussian 2'

    References:
        Tancik et al. 2020; the kernel's prediction: Jacot, Gabriel and Hongler 2018.
    """
    start = time.perf_counter()
    if optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)
    if learning_rate != "auto":
        positive("learning_rate", learning_rate)
    budget = whole("steps", steps, 1)
    values, offset, scale = _values(image_or_signal, size, color)
    shape = values.shape[:-1]
    key = jax.random.key(0) if key is None else key
    named = candidates(encodings, len(shape), key)
    count = int(np.clip(DENSE_NODES // 4 // (min(np.prod(shape), DENSE_NODES) // 2 ** len(shape)), 1, 8))
    drawn = population(
        width=width,
        depth=depth,
        activation=activation,
        parameterization="ntk" if optimizer == "gd" else "torch",
        bias_std=bias_std,
        num_features=max(one.out_size(len(shape)) for one in named.values()),
        keys=list(jax.random.split(jax.random.fold_in(key, 1), count)),
    )
    kernel = infinite_ntk(
        depth, activation, weight_variance=2.0, bias_variance=(bias_std if optimizer == "gd" else ADAM_BIAS) ** 2
    )
    network = _Network(drawn, tabulated(kernel), kernel, optimizer, learning_rate)
    at = np.unique(np.round(np.geomspace(1, budget, 25)).astype(int))
    target = centered((values - offset) / scale)
    found = []
    for label, encoding in named.items():
        learner, errors, method = _forecast(network, encoding, target, at)
        train, held_out = -10 * np.log10(np.maximum(errors, TINY)).T
        rate = network.rate(learner)
        found.append(
            Choice(label, encoding, held_out, train, method, learner, rate, network.pace, shape, scale, offset)
        )
    table = tuple(sorted(found, key=lambda choice: -choice.psnr))
    variance = float(np.mean(target.values[~target.trains] ** 2))
    return Advice(
        table=table,
        steps=at,
        optimizer=optimizer,
        values=values,
        trains=target.trains,
        why=why(table, budget),
        notes=notes(table, optimizer, -10 * math.log10(variance), learning_rate),
        seconds=time.perf_counter() - start,
    )


def _values(image_or_signal: Any, size: int | None, color: bool) -> tuple[np.ndarray, float, float]:
    """The target (*grid, c) with an even number of nodes along each axis, and what takes it to [0, 1]."""
    offset, scale = 0.0, 1.0
    if isinstance(image_or_signal, Problem):
        if image_or_signal.grid is None:
            raise InputError("the problem has no grid: give an image, a signal, or a problem on a grid")
        values = image_or_signal.y.reshape(*image_or_signal.grid.shape, -1)
    elif not isinstance(image_or_signal, str | os.PathLike) and np.ndim(image_or_signal) == 1:
        values = finite_array("signal", image_or_signal)[:, None]
    else:
        problem = image(image_or_signal, size=size, color=color)
        assert problem.grid is not None
        return _even(problem.y.reshape(*problem.grid.shape, -1)), offset, scale
    values = _even(values)
    offset, scale = float(values.min()), float(np.ptp(values))
    if scale == 0:
        raise InputError("the signal is constant: there is nothing to learn")
    return values, offset, scale


def _even(values: np.ndarray) -> np.ndarray:
    """Without the last node of an axis that has an odd number of them."""
    shape = values.shape[:-1]
    if min(shape) < 8:
        raise InputError(f"the target has {' x '.join(map(str, shape))} samples: at least 8 along each axis are needed")
    return values[tuple(slice(count - count % 2) for count in shape)]


def _reduced(target: Target, nodes: int) -> tuple[Target, float]:
    """Means over blocks, so that at most so many nodes are left, and the mean square of what is lost."""
    factor = max(1, math.ceil((np.prod(target.shape) / nodes) ** (1 / len(target.shape)) - 1e-9))
    if factor == 1:
        return target, 0.0
    sizes = [2 * max(4, size // (2 * factor)) for size in target.shape]
    blocks = [
        np.linspace(0, size, part + 1).round().astype(int)[:-1] for size, part in zip(target.shape, sizes, strict=True)
    ]
    values = target.values + target.mean
    for axis, (starts, size) in enumerate(zip(blocks, target.shape, strict=True)):
        counts = np.diff([*starts, size])
        values = np.add.reduceat(values, starts, axis=axis) / np.expand_dims(
            counts, tuple(a for a in range(values.ndim) if a != axis)
        )
    part = centered(values)
    lost = np.mean((target.values + target.mean) ** 2) - np.mean(values**2)
    return part, max(float(lost), 0.0)


def _forecast(
    network: _Network, encoding: Any, target: Target, steps: np.ndarray
) -> tuple[Learner, Float[np.ndarray, "T 2"], str]:
    """What is learned, mean square errors of train and held-out nodes, and how they were found."""
    large, gd = np.prod(target.shape) > DENSE_NODES, network.optimizer == "gd"
    if gd and (not large or waves(encoding, len(target.shape)) is None):
        part, lost = _reduced(target, DENSE_NODES)
        learner, errors = _of_networks(network, encoding, part, steps)
        return learner, errors + lost, "kernel of the network" + (", coarse grid" if large else "")
    learner, lost, method = _limit_learner(network, encoding, target, int(steps[-1]))
    errors = network.errors(learner, steps) + lost
    part = _reduced(target, CORRECTION_NODES)[0] if large else target
    part_learner = _limit_learner(network, encoding, part, int(steps[-1]))[0] if large else learner
    same = network.errors(part_learner, steps) if large else errors
    if gd:
        own = _of_networks(network, encoding, part, steps)[1]
    else:
        own = _after_first_steps(network, encoding, part, part_learner, steps, same)
    how = "corrected for width" if gd else "after first steps of Adam"
    return learner, np.maximum(errors + own - same, TINY), f"{method}, {how}"


def _after_first_steps(
    network: _Network, encoding: Any, target: Target, learner: Learner, steps: np.ndarray, same: np.ndarray
) -> Float[np.ndarray, "T 2"]:
    """Errors of the first steps, as they are, and then in proportion to those of the kernel."""
    first = np.unique([*steps[steps <= FIRST_STEPS], min(FIRST_STEPS, int(steps[-1]))])
    inputs, values = features(encoding, coordinates(target.shape)), target.values
    taken = first_steps(
        network.population,
        inputs,
        target.trains.ravel(),
        values.reshape(-1, values.shape[-1]),
        network.adam_rate,
        first,
    )
    there = np.maximum(network.errors(learner, first[-1:])[0], SETTLED)
    later = taken[-1] * np.maximum(same, SETTLED) / there
    begun = np.searchsorted(first, steps).clip(max=len(first) - 1)
    return np.where((steps <= FIRST_STEPS)[:, None], taken[begun], later)


def _of_networks(
    network: _Network, encoding: Any, target: Target, steps: np.ndarray
) -> tuple[Learner, Float[np.ndarray, "T 2"]]:
    """By the kernels of networks; errors are averaged in dB."""
    inputs, trains = features(encoding, coordinates(target.shape)), target.trains.ravel()
    learners = [
        dense_learner(network.population.kernel(index, inputs, trains), target)
        for index in range(len(network.population.networks))
    ]
    logs = [np.log(np.maximum(network.errors(one, steps), TINY)) for one in learners]
    return learners[0], np.exp(np.mean(logs, axis=0))


def _limit_learner(network: _Network, encoding: Any, target: Target, steps: int) -> tuple[Learner, float, str]:
    """By the kernel of infinite width, with the mean square of what a coarser grid does not have, and the method."""
    dim = len(target.shape)
    frequencies = waves(encoding, dim)
    if frequencies is None:
        part, lost = _reduced(target, DENSE_NODES)
        inputs = features(encoding, coordinates(part.shape))
        return dense_learner(on_host(network.kernel, inputs, inputs[part.trains.ravel()]), part), lost, "Gram"

    def of_differences(axes: list[np.ndarray]) -> np.ndarray:
        """Θ from Σ_j cos(ω_j · d), on the grid of differences that the axes span."""
        phases = [np.exp(1j * np.outer(column, d)) for column, d in zip(frequencies.T, axes, strict=True)]
        cosines = np.real(phases[0].sum(axis=0) if dim == 1 else phases[0].T @ phases[1])
        return network.limit(cosines / len(frequencies))

    if isinstance(encoding, PositionalEncoding):
        return wave_learner(of_differences([2 * np.arange(size) / size for size in target.shape]), target), 0.0, "FFT"
    part, lost = _reduced(target, KRYLOV_NODES)
    count = 40 + 2 * math.isqrt(round(network.pace * steps))
    return (
        krylov_learner(of_differences, part, [2 / size for size in part.shape], min(count, KRYLOV_DIM)),
        lost,
        "FFT, Krylov",
    )


def tabulated(kernel: InfiniteKernel) -> Callable[[np.ndarray], np.ndarray]:
    """Θ as a function of the cosine between sums of waves, whose square norm is half their number, in any number.

    As of unit vectors in the plane. Interpolated in the angle, in which it is smooth: to 1e-8.
    """
    angles = np.linspace(0, np.pi, ANGLES)
    with jax.enable_x64(True):
        values = np.asarray(kernel.profile(np.cos(angles), dim=2), np.float64)
    return lambda cosines: np.interp(np.arccos(np.clip(cosines, -1.0, 1.0)), angles, values)
