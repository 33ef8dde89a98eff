"""Measurements that training can take."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from ..kernels import empirical_ntk


def drift(reference: ArrayLike, x: ArrayLike) -> Callable[[Any, Array, Array, int], np.ndarray]:
    """A probe of kernel drift, ‖Θ_t - Θ_0‖/‖Θ_0‖ in the Frobenius norm.

    Args:
        reference: Θ_0(x, x), averaged over outputs for a vector model: (n, n).
        x: the inputs on which Θ_t is computed, all of the training ones or a part.

    Returns:
        A function for `train(…, probes={"drift": Probe(drift(gram, x), steps)})`.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, kernels, models
        >>> model, x = models.MLP(3, "scalar", 64, 1, key=jax.random.key(0)), jax.numpy.eye(3)
        >>> probe = dynamics.Probe(dynamics.drift(kernels.empirical_ntk(model, x), x), steps=(0, 10))
        >>> run = dynamics.train(model, x, jax.numpy.ones(3), learning_rate=0.1, steps=10, probes={"drift": probe})
        >>> run.records["drift"].shape
        (2,)
    """
    reference, points = jnp.asarray(reference), jnp.asarray(x)
    scale = jnp.linalg.norm(reference)

    def probe(model: Any, x: Array, y: Array, step: int) -> np.ndarray:
        gram = empirical_ntk(model, points, outputs="mean")
        return np.asarray(jnp.linalg.norm(gram - reference) / scale, np.float64)

    return probe
