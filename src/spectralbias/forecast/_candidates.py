"""Encodings to choose from, by name."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ..models import encodings

OCTAVES = (1, 2, 3, 4, 6, 8)
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
RAW = ("raw [0, 1]", "raw [-1, 1]")
# Random frequencies of the Gaussian features.
NUM_FEATURES = 128
EXAMPLES = '"raw [0, 1]", "raw [-1, 1]", "positional 4" (octaves from 1 to 12), "gaussian 2" (scale, above 0)'


def default_names() -> tuple[str, ...]:
    """Raw coordinates in both ranges, octaves, and scales of Gaussian frequencies."""
    return (*RAW, *(f"positional {count}" for count in OCTAVES), *(f"gaussian {scale:g}" for scale in SCALES))


def encoding(name: str, dim: int, key: Array) -> Callable[[Array], Array]:
    """The encoding of that name, on coordinates in [-1, 1]; its Gaussian frequencies in cycles per unit."""
    if name == RAW[0]:
        return encodings.Interval(0.0, 1.0)
    if name == RAW[1]:
        return encodings.Identity()
    found = re.fullmatch(r"(positional|gaussian) (\d+(?:\.\d+)?)", name)
    if found:
        number = float(found[2])
        if found[1] == "positional" and number in range(1, 13):
            return encodings.PositionalEncoding(int(number))
        if found[1] == "gaussian" and number > 0:
            return encodings.FourierFeatures(dim, NUM_FEATURES, number, key=key)
    raise InputError(f"unknown encoding {name!r}: use names like {EXAMPLES}")


def candidates(names: Sequence[Any] | None, dim: int, key: Array | None) -> dict[str, Callable[[Array], Array]]:
    """Label -> encoding."""
    names = default_names() if names is None else names
    if isinstance(names, str) or not len(names):
        raise InputError(f"`encodings` must be a list of at least one name, like {EXAMPLES}, got {names!r}")
    key = jax.random.key(0) if key is None else key
    return {str(name): encoding(str(name), dim, key) for name in names}


def waves(encoding: Any, dim: int) -> np.ndarray | None:
    """ω_j of ⟨γ(x), γ(x')⟩ = Σ_j cos(ω_j · (x - x')), (count, dim); None where it is no such sum."""
    if isinstance(encoding, encodings.PositionalEncoding):
        octaves = np.pi * 2.0 ** np.arange(encoding.num_frequencies)
        return np.concatenate([octaves[:, None] * row for row in np.eye(dim)])
    if isinstance(encoding, encodings.FourierFeatures):
        return 2 * np.pi * np.asarray(encoding.frequencies.value, float)
    return None


def features(encoding: Any, x: np.ndarray) -> np.ndarray:
    """γ(x) of inputs (n, dim), in any order of the features."""
    frequencies = waves(encoding, x.shape[1])
    if frequencies is None:
        return np.asarray(jax.vmap(encoding)(jnp.asarray(x)))
    angles = x @ frequencies.T
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
