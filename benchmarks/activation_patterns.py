"""Activation patterns of every pixel of an image, beside a jitted forward pass of the same points, in float32.

262,144 pixels, 4 hidden layers of 512 units. Times are the fastest of several turns in one process, compiled before.
The forward pass is the faster one of all points at once and of batches. The peak memory is that of a process of its
own, from the first import.
"""

import functools
import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _common import save, seconds

from spectralbias import models, regions

SIDE, WIDTH, DEPTH, BATCH = 512, 512, 4, 4096
INPUTS = {"2 inputs": None, "positional encoding of 8 frequencies": models.encodings.PositionalEncoding(8)}
PAIRS = 50_000


def setting(name):
    line = np.linspace(-1, 1, SIDE, endpoint=False, dtype=np.float32)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    model = models.coordinate_network(2, 3, width=WIDTH, depth=DEPTH, encoding=INPUTS[name], key=jax.random.key(0))
    return model, x


@functools.partial(jax.jit, static_argnums=2)
def forward(arrays, x, structure):
    return jax.vmap(jax.tree.unflatten(structure, arrays))(x)


def peak_bytes():
    """Of this process alone: what `getrusage` reports begins with the size of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def peak(name):
    """One call from start to end, in this process."""
    model, x = setting(name)
    started = time.perf_counter()
    patterns = regions.activation_patterns(model, x)
    spent = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds_with_compilation": spent,
                "peak_gb": peak_bytes() / 1e9,
                "bytes_of_patterns": patterns.bits.nbytes,
            }
        )
    )


def main():
    bars, results = {}, {}
    for name in INPUTS:
        model, x = setting(name)
        arrays, structure = jax.tree.flatten(model)
        points = jnp.asarray(x)

        def at_once(arrays=arrays, structure=structure, points=points):
            forward(arrays, points, structure).block_until_ready()

        def batched(arrays=arrays, structure=structure, points=points):
            found = [forward(arrays, points[i : i + BATCH], structure) for i in range(0, len(points), BATCH)]
            jax.block_until_ready(found)

        def ours(model=model, x=x):
            return regions.activation_patterns(model, x)

        calls = {"forward, at once": at_once, "forward, in batches": batched, "patterns": ours}
        best = {}
        for call in calls.values():
            call()
        for _ in range(3):  # in turns, so that a disturbance meets all of them
            for key, call in calls.items():
                best[key] = min(best.get(key, np.inf), seconds(call, repeats=1)["min"])
        ratio = best["patterns"] / min(best["forward, at once"], best["forward, in batches"])
        patterns = ours()
        pairs = regions.pairs.uniform(len(x), PAIRS, seed=0)
        best["number of distinct patterns"] = seconds(lambda p=patterns: p.num_distinct, repeats=3)["min"]
        best["dead units"] = seconds(lambda p=patterns: p.num_dead, repeats=3)["min"]
        best["Hamming distances of 50,000 pairs"] = seconds(
            lambda p=patterns, q=pairs: regions.hamming_distance(p, q), repeats=3
        )["min"]
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, check=True)
        results[name] = {"seconds": best, **json.loads(done.stdout.splitlines()[-1])}
        results[name] |= {"distinct": patterns.num_distinct, "dead": patterns.num_dead}
        bars[f"{name}: at most 2 × a forward pass"] = ratio, 2, ratio <= 2
        memory = results[name]["peak_gb"]
        bars[f"{name}: under 1 GB"] = memory, 1, memory < 1
    return save("activation_patterns", bars, results=results)


if __name__ == "__main__":
    sys.exit(peak(sys.argv[1]) if len(sys.argv) > 1 else main())
