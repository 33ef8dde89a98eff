"""Randomness on the host: the same draws whatever JAX's precision, from a JAX key."""

import jax
import numpy as np
from jaxtyping import Array

from .._core.checks import whole
from .._core.errors import InputError


def generator(key: Array) -> np.random.Generator:
    """A NumPy generator seeded with a JAX key, so that draws have all 53 bits even without x64."""
    try:
        bits = np.asarray(jax.random.key_data(key))
    except TypeError:
        bits = None
    if bits is None or bits.ndim != 1:
        kind = f"an array of shape {np.shape(key)}" if hasattr(key, "shape") else repr(key)
        raise InputError(f"`key` must be one PRNG key, such as jax.random.key(0), got {kind}")
    return np.random.default_rng(bits)


def split(num_rows: int, test_fraction: float, max_samples: int | None, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the (training, test) rows: `max_samples` of all rows in random order, cut in two."""
    if not 0 <= test_fraction < 1:
        raise InputError(f"`test_fraction` must lie in [0, 1), got {test_fraction}")
    num_kept = num_rows if max_samples is None else min(num_rows, whole("max_samples", max_samples, 2))
    num_test = max(1, round(test_fraction * num_kept)) if test_fraction else 0
    if num_kept - num_test < 2:
        raise InputError(
            f"a problem needs at least 2 training samples, got {num_kept - num_test} of {num_rows} rows with "
            f"`test_fraction` {test_fraction}: use more rows or a smaller fraction"
        )
    order = generator(key).permutation(num_rows)[:num_kept]
    return order[num_test:], order[:num_test]
