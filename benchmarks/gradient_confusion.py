"""Cosines of the loss gradients of 50,000 pairs of 100,000 samples for a 4 x 512 network, float32, eager second calls.

The bar is against the plain jitted forward pass of the same samples, all at once; a forward pass in batches is faster
and stands beside it. Then pairs that share samples, against the explicit gradients of a few. All are timed in one
process, interleaved.
"""

import resource
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _common import save
from jax.flatten_util import ravel_pytree

from spectralbias import models, regions

KEY = jax.random.key(0)
PAIRS, BATCH, SHARED = 50_000, 2048, 4096
ROUNDS = 3


@eqx.filter_jit
def forward(model, x):
    return jax.vmap(model)(x)


@eqx.filter_jit
def explicit_cosines(model, x, y, i, j):
    """From gradients of the size of the parameters."""
    parameters, rest = models.partition(model)

    def gradient(k):
        slopes = jax.grad(lambda p: jnp.sum((models.combine(p, rest)(x[k]) - y[k]) ** 2))(parameters)
        return ravel_pytree(slopes)[0]

    def cosine(pair):
        one, two = gradient(pair[0]), gradient(pair[1])
        return one @ two / jnp.sqrt((one @ one) * (two @ two))

    return jax.lax.map(cosine, (i, j), batch_size=32)


def interleaved(rivals):
    """The minimum of the time of every function over the rounds, after a first call each; the same of processor time.

    Processor time, of all cores together, says more where other programs run.
    """
    clocks = {"": time.perf_counter, "_processor": time.process_time}
    times = {name + clock: np.inf for name in rivals for clock in clocks}
    for turn in range(ROUNDS + 1):
        for name, function in rivals.items():
            starts = {clock: read() for clock, read in clocks.items()}
            function()
            for clock, read in clocks.items() if turn > 0 else ():
                times[name + clock] = min(times[name + clock], read() - starts[clock])
    return times


def setting(outputs, samples):
    encoding = models.encodings.PositionalEncoding(8) if outputs == 3 else None
    model = models.coordinate_network(2, outputs, width=512, depth=4, encoding=encoding, key=KEY)
    x = jax.random.uniform(jax.random.key(1), (samples, 2), minval=-1.0)
    y = jax.random.normal(jax.random.key(2), (samples,) if outputs == "scalar" else (samples, outputs))
    return model, x, y


def distinct(outputs):
    """Every sample in one pair."""
    model, x, y = setting(outputs, 2 * PAIRS)
    pairs = np.random.default_rng(0).permutation(2 * PAIRS).reshape(PAIRS, 2)
    batches = [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
    times = interleaved(
        {
            "forward": lambda: forward(model, x).block_until_ready(),
            "forward_in_batches": lambda: jax.block_until_ready([forward(model, batch) for batch in batches]),
            "cosines": lambda: regions.gradient_cosine(model, x, y, pairs),
        }
    )
    times["ratio"] = times["cosines"] / times["forward"]
    times["ratio_processor"] = times["cosines_processor"] / times["forward_processor"]
    times["ratio_in_batches"] = times["cosines"] / times["forward_in_batches"]
    few = pairs[:256]
    exact = np.asarray(explicit_cosines(model, x, y, few[:, 0], few[:, 1]))
    times["largest_difference_from_explicit"] = float(np.max(np.abs(regions.gradient_cosine(model, x, y, few) - exact)))
    return times


def shared():
    """Every sample in about 24 pairs."""
    model, x, y = setting(3, SHARED)
    pairs = np.random.default_rng(0).integers(0, SHARED, (PAIRS, 2))
    few = pairs[:256]
    times = interleaved(
        {
            "forward": lambda: forward(model, x).block_until_ready(),
            "cosines": lambda: regions.gradient_cosine(model, x, y, pairs),
            "explicit_256_pairs": lambda: explicit_cosines(model, x, y, few[:, 0], few[:, 1]).block_until_ready(),
        }
    )
    per_pair = times["explicit_256_pairs"] / 256 / (times["cosines"] / PAIRS)
    return times | {"times_faster_than_explicit_per_pair": per_pair}


def main():
    scalar, encoded, common = distinct("scalar"), distinct(3), shared()
    bars = {
        "50,000 cosines, 4 x 512, scalar: over a forward pass of the 100,000 samples": (
            scalar["ratio"], 5, scalar["ratio"] <= 5,
        ),
        "50,000 cosines, 4 x 512, encoding and 3 outputs: over a forward pass of the 100,000 samples": (
            encoded["ratio"], 5, encoded["ratio"] <= 5,
        ),
        "the same, over a forward pass in batches": (encoded["ratio_in_batches"], 5, encoded["ratio_in_batches"] <= 5),
    }  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return save(
        "gradient_confusion", bars, distinct_scalar_s=scalar, distinct_encoded_s=encoded, shared_s=common, peak_gb=peak
    )


if __name__ == "__main__":
    sys.exit(main())
