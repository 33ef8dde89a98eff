"""Probes of activation patterns and of gradient confusion, for `dynamics.train(…, probes=…)`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, ArrayLike

from ._confusion import LossName, confusion_summary, gradient_pairs
from ._hamming import hamming_distance
from ._patterns import activation_patterns

__all__ = ["confusion_probe", "pattern_probe"]

Measurement = Callable[[Any, Array, Array, int], dict[str, np.ndarray]]


def pattern_probe(pairs: ArrayLike | Sequence[Sequence[int]]) -> Measurement:
    """A probe of activation patterns on the training inputs.

    Args:
        pairs: numbers of samples (p, 2), e.g. from `regions.pairs`.

    Returns:
        A function for `dynamics.Probe(…, steps)` that measures

        - `hamming`: mean Hamming distance of the pairs in each layer, (layers,);
        - `same_region`: the share of the pairs with one pattern, ();
        - `num_distinct`: number of distinct patterns of all training inputs, ();
        - `dead`: units of each layer that never leave one flat piece, (layers,).

    Raises:
        InputError: when it measures, as `activation_patterns` and `hamming_distance`.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems, regions
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.coordinate_network(1, "scalar", width=16, depth=2, key=jax.random.key(1))
        >>> pairs = regions.pairs.uniform(32, 50, seed=0)
        >>> probe = dynamics.Probe(regions.probes.pattern_probe(pairs), steps=(0, 10))
        >>> run = dynamics.train(
        ...     model, problem.x, problem.y, learning_rate=0.01, steps=10, probes={"regions": probe}
        ... )
        >>> run.records["regions"]["hamming"].shape
        (2, 2)

    References:
        Lazzari & Liu 2023, sec. 4.
    """
    pairs = np.asarray(pairs)

    def probe(model: Any, x: Array, y: Array, step: int) -> dict[str, np.ndarray]:
        patterns = activation_patterns(model, x)
        distances = hamming_distance(patterns, pairs, per_layer=True)
        return {
            "hamming": distances.mean(axis=0),
            "same_region": np.mean(np.all(distances == 0, axis=1)),
            "num_distinct": np.asarray(patterns.num_distinct),
            "dead": np.asarray(patterns.dead_per_layer),
        }

    return probe


def confusion_probe(pairs: ArrayLike | Sequence[Sequence[int]], *, loss: LossName = "squared") -> Measurement:
    """A probe of gradient confusion on the training data.

    Args:
        pairs: numbers of samples (p, 2), e.g. from `regions.pairs`.
        loss: of one sample, as in `gradient_cosine`.

    Returns:
        A function for `dynamics.Probe(…, steps)` that measures what `confusion_summary` says of the pairs: `mean_abs`,
        `share_negative`, `share_parallel`, `bound`, each (), and `percentiles`.

    Raises:
        InputError: when it measures, as `gradient_pairs`.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems, regions
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.coordinate_network(1, "scalar", width=16, depth=2, key=jax.random.key(1))
        >>> pairs = regions.pairs.uniform(32, 50, seed=0)
        >>> probe = dynamics.Probe(regions.probes.confusion_probe(pairs), steps=(0, 10))
        >>> run = dynamics.train(
        ...     model, problem.x, problem.y, learning_rate=0.01, steps=10, probes={"confusion": probe}
        ... )
        >>> run.records["confusion"]["mean_abs"].shape
        (2,)

    References:
        Lazzari & Liu 2023, sec. 4; Sankararaman et al. 2020.
    """
    pairs = np.asarray(pairs)

    def probe(model: Any, x: Array, y: Array, step: int) -> dict[str, np.ndarray]:
        summary = confusion_summary(gradient_pairs(model, x, y, pairs, loss=loss))
        names = ("mean_abs", "share_negative", "share_parallel", "bound", "percentiles")
        return {name: np.asarray(getattr(summary, name), np.float64) for name in names}

    return probe
