"""In how many units two activation patterns differ."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import ArrayLike, Shaped

from .._core.errors import InputError
from ._pair_numbers import checked_pairs
from ._patterns import ActivationPatterns

# Bytes of the patterns that are compared at once.
_BLOCK = 2**24


def hamming_distance(
    patterns: ActivationPatterns,
    pairs: ArrayLike | Sequence[Sequence[int]],
    *,
    per_layer: bool = False,
    relative_to: Literal["all", "live"] | None = None,
) -> Shaped[np.ndarray, "..."]:
    """The number of bits in which the activation patterns of two samples differ.

    For ReLUs it is the number of units that are active for one of both only. Two inputs that many units tell apart have
    gradients that need not be parallel; where the distance is 0 both are in one linear region.

    Args:
        patterns: from `activation_patterns`.
        pairs: numbers of samples (p, 2); `regions.pairs` draws them.
        per_layer: whether to give one distance for each layer.
        relative_to: `"all"` for the share of all bits, `"live"` for the share of the bits of units that are not dead.
            Dead units have the same bits for all samples: they agree in every pair, and lower the share of all.

    Returns:
        (p,) or with `per_layer` (p, layers); int64, and float64 for shares. The share of live bits is NaN where there
        are none. Units with several breakpoints (hard-tanh) count each one that lies between the two values.

    Raises:
        InputError: pairs that are not (p, 2) or out of range.

    Cost and precision:
        Exact. Exclusive or and population counts of packed bytes, in blocks of memory.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(1, "scalar", 64, 2, parameterization="torch", key=jax.random.key(0))
        >>> patterns = regions.activation_patterns(model, jax.numpy.linspace(-1, 1, 100)[:, None])
        >>> distances = regions.hamming_distance(patterns, [[0, 0], [0, 1], [0, 99]])
        >>> int(distances[0]), bool(distances[1] < distances[2])
        (0, True)

    References:
        Lazzari & Liu 2023: Hamming distance, per layer and as a ratio to the number of neurons.
    """
    pairs = checked_pairs(pairs, len(patterns))
    if relative_to not in (None, "all", "live"):
        raise InputError(f'`relative_to` must be None, "all" or "live", got {relative_to!r}')
    found = np.empty((len(pairs), patterns.num_layers), np.int64)
    block = max(1, _BLOCK // patterns.bits.shape[1])
    for start in range(0, len(pairs), block):
        first, second = pairs[start : start + block].T
        counts = np.bitwise_count(patterns.bits[first] ^ patterns.bits[second])
        found[start : start + block] = np.add.reduceat(counts, patterns.offsets[:-1], axis=1, dtype=np.int64)
    if not per_layer:
        found = found.sum(axis=1)
    if relative_to is None:
        return found
    sizes = patterns.sizes if relative_to == "all" else _live_bits(patterns)
    total = sizes if per_layer else np.array(sizes.sum())
    with np.errstate(invalid="ignore"):
        return found / np.broadcast_to(total, found.shape)


def _live_bits(patterns: ActivationPatterns) -> np.ndarray:
    """Bits of the units of each layer that are not dead, (layers,)."""
    dead, start, found = patterns.dead, 0, []
    for groups in patterns.groups:
        total = 0
        for group in groups:
            total += len(group.breakpoints) * int((~dead[start : start + group.count]).sum())
            start += group.count
        found.append(total)
    return np.array(found)
