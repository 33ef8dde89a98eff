"""Activation patterns: on which side of its breakpoints every unit of a network is."""

import enum
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, PyTree, UInt8

from .._core.checks import whole
from .._core.errors import InputError
from ..kernels._plan import checked_inputs
from ..models._reader import arrays_of, read_program
from ..models._torch import TorchModel
from ._torch_units import torch_patterns
from ._units import Group, Units, layer_values, read_units

# Bytes of what the units of one batch read.
_BATCH = 2**25


class PatternsStatus(enum.Enum):
    """What a pattern tells about the network."""

    complete = "every nonlinearity is a unit: where the pattern is the same the network is one affine map of its input"
    encoded = (
        "the input is bent before the first unit, by an encoding: where the pattern is the same the network is one "
        "affine map of the encoded input"
    )
    gates = (
        "the network also compares values with each other (max pooling, sorting): these choices are no units, and "
        "where the pattern is the same the network may have several affine maps"
    )
    bent = "the network has smooth nonlinearities behind its first units: the pattern is that of its other units"


class ActivationPatterns(eqx.Module):
    """Activation patterns of n samples, packed.

    A unit with b breakpoints has b bits, one after the other: z > breakpoint. That of a ReLU is 1 where it is active.
    A layer is all units with as many units before them, on the longest path from the input. Every layer starts at a
    byte, and its last byte is filled up with zeros.

    Attributes:
        bits: (n, bytes), the first bit of a byte is its highest, as in `numpy.packbits`.
        offsets: where each layer starts and the last one ends, in bytes, (layers + 1,).
        sizes: bits of each layer, (layers,).
        units: units of each layer, (layers,).
        names: of each layer, (layers,).
        groups: per layer the groups of units with the same function, in the order of their bits.
        others: what is not linear in the network and no unit: names of JAX's primitives or PyTorch's functions.
        precision: the dtype in which the network was evaluated.
        status: a `PatternsStatus`.
    """

    bits: UInt8[np.ndarray, "n bytes"]
    offsets: np.ndarray
    sizes: np.ndarray
    units: np.ndarray
    names: tuple[str, ...] = eqx.field(static=True)
    groups: tuple[tuple[Group, ...], ...] = eqx.field(static=True)
    others: tuple[str, ...] = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: PatternsStatus = eqx.field(static=True)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.bits)

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.sizes)

    @property
    def num_bits(self) -> int:
        """Bits of one pattern."""
        return int(self.sizes.sum())

    @property
    def num_units(self) -> int:
        """Units of the network."""
        return int(self.units.sum())

    def layer(self, layer: int) -> Bool[np.ndarray, "n bits"]:
        """The bits of one layer; -1 is the last."""
        return self._unpacked(self.bits, layer)

    def _unpacked(self, packed: np.ndarray, layer: int) -> np.ndarray:
        if not -self.num_layers <= layer < self.num_layers:
            raise InputError(f"`layer` must be below {self.num_layers}, the number of layers, got {layer}")
        layer %= self.num_layers
        columns = packed[:, self.offsets[layer] : self.offsets[layer + 1]]
        return np.unpackbits(columns, axis=1, count=int(self.sizes[layer])).astype(bool)

    @property
    def num_distinct(self) -> int:
        """Number of distinct patterns among the samples.

        At most n, and a lower bound on the number of linear regions: where it is near n, more samples would show more.
        `plane_regions` and `line_regions` count exactly.
        """
        return count_distinct(self.bits)

    @property
    def dead(self) -> Bool[np.ndarray, " units"]:
        """Which units are on one same flat piece for every sample: they pass nothing on, and no gradient back.

        A dead ReLU is zero on all samples. A hard-tanh may be dead at -1 or at 1; leaky ReLU and abs never are.
        """
        every = np.bitwise_and.reduce(self.bits, axis=0)[None]
        some = np.bitwise_or.reduce(self.bits, axis=0)[None]
        dead = []
        for number, groups in enumerate(self.groups):
            low, high = self._unpacked(every, number)[0], self._unpacked(some, number)[0]
            stop = np.cumsum([group.bits for group in groups])[:-1]
            for group, on, ever in zip(groups, np.split(low, stop), np.split(high, stop), strict=True):
                flat = np.array([slope == 0 for slope in group.slopes])
                same = (on == ever).reshape(group.count, -1).all(axis=1)
                dead.append(same & flat[on.reshape(group.count, -1).sum(axis=1)])
        return np.concatenate(dead)

    @property
    def dead_per_layer(self) -> np.ndarray:
        """Number of dead units of each layer, (layers,)."""
        return np.add.reduceat(self.dead, np.append(0, np.cumsum(self.units)[:-1]), dtype=np.int64)

    @property
    def num_dead(self) -> int:
        """Number of dead units."""
        return int(self.dead.sum())


def count_distinct(rows: np.ndarray) -> int:
    """The number of distinct rows of a matrix of bytes: by a hash of 64 bits, whose agreement is checked."""
    n, width = rows.shape
    words = np.zeros((n, -(-width // 8)), np.uint64)
    words.view(np.uint8)[:, :width] = rows
    hashes = _hashes(words)
    order = np.argsort(hashes)
    new = hashes[order[1:]] != hashes[order[:-1]]
    same = np.flatnonzero(~new)
    for part in np.array_split(same, 1 + same.size * words.shape[1] // 2**23):
        if not np.array_equal(words[order[part]], words[order[part + 1]]):  # two rows with one hash
            return len(np.unique(words, axis=0))
    return 1 + int(new.sum())


def _hashes(words: np.ndarray) -> np.ndarray:
    """A number of 64 bits for every row."""
    factors = np.random.default_rng(0).integers(2**64, size=words.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.zeros(len(words), np.uint64)
    for column, factor in zip(words.T, factors, strict=True):
        hashes = (hashes ^ column) * factor
        hashes ^= hashes >> np.uint64(32)
    return hashes


@eqx.filter_jit
def _packed(model: PyTree, x: Array) -> Array:
    """The packed patterns of a batch."""
    program, units, arrays = read_program(model, x).jaxpr, read_units(model, x), arrays_of(model)

    def sides(xi):
        layers = layer_values(program, units, arrays, xi)
        return [
            jnp.concatenate([_bits(z, group) for z, group in zip(values, groups, strict=True)])
            for values, groups in zip(layers, units.layers, strict=True)
        ]

    return jnp.concatenate([jnp.packbits(layer, axis=-1) for layer in jax.vmap(sides)(x)], axis=-1)


def _bits(z: Array, group: Group) -> Array:
    points = jnp.asarray(group.breakpoints, z.dtype)
    return (z[:, None] > points[None, :]).reshape(-1)


def activation_patterns(model: Any, x: ArrayLike, *, batch_size: int | None = None) -> ActivationPatterns:
    """On which side of its breakpoints every piecewise-linear unit of a network is, for every sample.

    A network of ReLUs is one affine map wherever its pattern is constant. Samples with the same pattern are in the same
    linear region, or in two of one pattern: the network cannot bend between them. The number of bits in which two
    patterns differ says how many of its units tell two samples apart.

    Args:
        model: any callable pytree whose nonlinearities are elementwise and piecewise linear in any spelling, with
            layers of any kind, or what `models.from_torch` returns.
        x: inputs (n, …).
        batch_size: samples that are treated at once; chosen by memory if None. The last batch is filled up.

    Returns:
        `ActivationPatterns`. Max pooling, sorting and the like are no units, nor are smooth functions: the patterns are
        those of the others, `others` names them and `status` says what follows.

    Raises:
        InputError: a model without piecewise-linear elementwise nonlinearities: its others are named; parameters that
            are not finite.

    Cost and precision:
        A forward pass in the dtype of the parameters, compiled once for every structure and batch; bits are packed on
        the device. Memory: (number of bits)/8 bytes per sample, and a batch. A unit whose z is within rounding of a
        breakpoint may be on another side with another batch size or another machine: compare counts, not single bits.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, "scalar", 32, 3, key=jax.random.key(0))
        >>> patterns = regions.activation_patterns(model, jax.random.normal(jax.random.key(1), (100, 2)))
        >>> patterns.bits.shape, patterns.sizes, patterns.layer(0).shape
        ((100, 12), array([32, 32, 32]), (100, 32))

    References:
        Hanin & Rolnick 2019, Deep ReLU Networks Have Surprisingly Few Activation Patterns. Lazzari & Liu 2023: patterns
        of all hidden layers over all samples.
    """
    x = checked_inputs(model, "x", x)
    size = None if batch_size is None else whole("batch_size", batch_size, 1)
    if isinstance(model, TorchModel):
        return _result(*torch_patterns(model, x, _BATCH, size))
    if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))):
        raise InputError("the model has parameters that are not finite: there are no patterns to compare")
    units = read_units(model, x)
    n, per_sample = len(x), sum(math.prod((*k.lengths, *k.shape)) * k.dtype.itemsize for k in units.kinks)
    size = min(n, max(1, _BATCH // per_sample)) if size is None else min(n, size)
    size = -(-n // -(-n // size))  # batches of equal size
    host, bits, waiting = np.asarray(x), [], None
    for start in range(0, n, size):
        batch = host[start : start + size]
        filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        started = _packed(model, jnp.asarray(filled))
        if waiting is not None:
            bits.append(np.asarray(waiting))
        waiting = started
    bits.append(np.asarray(waiting)[: n - (n - 1) // size * size])
    return _result(np.concatenate(bits), units, units.kinks[0].dtype.name)


def _result(bits: np.ndarray, units: Units, precision: str) -> ActivationPatterns:
    """The patterns with what is known of the units."""
    sizes = np.array([sum(group.bits for group in layer) for layer in units.layers])
    status = PatternsStatus.complete
    for reason, names in (("encoded", units.encoding), ("gates", units.gates), ("bent", units.bends)):
        status = PatternsStatus[reason] if names else status
    return ActivationPatterns(
        bits,
        np.append(0, np.cumsum(-(-sizes // 8))),
        sizes,
        np.array([sum(group.count for group in layer) for layer in units.layers]),
        tuple(f"layer {number + 1}" for number in range(len(sizes))),
        units.layers,
        tuple(sorted({*units.encoding, *units.gates, *units.bends})),
        precision,
        status,
    )
