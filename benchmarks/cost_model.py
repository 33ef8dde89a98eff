"""Does the cost model pick the faster way to contract the factors of a parameter? Timings of both on a grid of sizes.

A layer is a matrix of rows × columns at some positions: 1 for a fully connected layer, the length of a sequence, the
sites of a convolution.
"""

import functools
import itertools
import sys

import equinox as eqx
import jax
import numpy as np
from _common import save, seconds

from spectralbias.kernels._factors import Factors

# positions, rows, columns
LAYERS = [
    (1, 512, 512),
    (1, 64, 10),
    (4, 256, 256),
    (8, 64, 64),
    (16, 512, 512),
    (16, 64, 64),
    (32, 256, 1024),
    (64, 2304, 256),
    (64, 128, 128),
    (64, 32, 32),
    (256, 576, 64),
    (1024, 288, 32),
]
SAMPLES = (32, 128)
OUTPUTS = ((1, True), (10, True), (4, False))


@eqx.filter_jit
def contract(factors, mean, way):
    return factors.gram(factors, mean, way)


def main():
    rows = []
    for (positions, a, b), n, (c, mean) in itertools.product(LAYERS, SAMPLES, OUTPUTS):
        pairs = (n * positions) ** 2 * (c if mean else c**2)
        if max(pairs, n * c * positions * max(a, b)) > 3e8:
            continue
        keys = jax.random.split(jax.random.key(0))
        left = jax.random.normal(keys[0], (n, 1, 1, positions, a))
        factors = Factors(left, jax.random.normal(keys[1], (n, c, 1, positions, b)))
        times = {}
        for way in ("factors", "product"):
            if factors.size(mean).operations(way, n, n) > 1e11:
                continue
            once = functools.partial(contract, factors, mean, way)
            once().block_until_ready()
            times[way] = seconds(lambda once=once: once().block_until_ready(), repeats=5)["min"]
        picked = factors.size(mean).faster(n, n)
        if len(times) == 2:
            row = {"positions": positions, "rows": a, "columns": b, "samples": n, "outputs": c, "mean": mean}
            row |= {"factors_ms": 1e3 * times["factors"], "product_ms": 1e3 * times["product"], "picked": picked}
            rows.append(row | {"loss": times[picked] / min(times.values())})
    losses = np.array([row["loss"] for row in rows])
    share = float(np.mean(losses <= 1.2))
    average = float(np.exp(np.mean(np.log(losses))))

    def loss_of(way):
        ratios = [row[f"{way}_ms"] / min(row["factors_ms"], row["product_ms"]) for row in rows]
        return float(np.exp(np.mean(np.log(ratios))))

    return save(
        "cost_model",
        {
            "share of sizes at which the picked way takes at most 1.2 times the faster one": (share, 0.8, share >= 0.8),
            "geometric mean of picked time over the faster one": (average, 1.15, average <= 1.15),
        },
        worst=sorted(rows, key=lambda row: -row["loss"])[:5],
        always_factors=loss_of("factors"),
        always_product=loss_of("product"),
        rows=rows,
    )


if __name__ == "__main__":
    sys.exit(main())
