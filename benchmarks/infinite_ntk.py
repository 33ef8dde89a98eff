"""Infinite-width ReLU NTKs against the bare matrix product X Xᵀ and the recursion over layers: n = 2000, float32.

The recursion is the public recipe (arc-cosine kernels, layer by layer), jitted as one program without the squared norms
that do not change. All are timed in one process, interleaved; ours is an eager call, with all its checks. The tiles
are written in a process of their own: its peak memory, less what it held after a small Gram, and less the result.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from _common import save, seconds

from spectralbias import kernels

N, DIM, DEPTHS = 2000, 100, (3, 10)
LARGE = 20_000

TILES = f"""
import resource, sys
import numpy as np
from spectralbias import kernels

kernel = kernels.infinite_ntk(3, bias_variance=float(sys.argv[1]))
x = np.random.default_rng(0).standard_normal(({LARGE}, {DIM})).astype(np.float32)
small = 2 * 1024 + {LARGE} % 1024
kernel.ntk(x[:small], out=np.empty((small, small), np.float32))
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
out = np.empty(({LARGE}, {LARGE}), np.float32)
kernel.ntk(x, out=out)
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - out.nbytes)
"""


def recursion(depth):
    """The NTK of He initialization by its layers, as it is published."""

    @jax.jit
    def ntk(x):
        norms = jnp.linalg.norm(x, axis=1)
        scale = norms[:, None] * norms[None, :] * (2 / x.shape[1])
        cosine = jnp.clip((x @ x.T) / (norms[:, None] * norms[None, :]), -1, 1)
        theta = cosine
        for _ in range(depth):
            angle = jnp.arccos(cosine)
            active = 1 - angle / jnp.pi
            cosine = (jnp.sqrt(1 - cosine**2) + (jnp.pi - angle) * cosine) / jnp.pi
            theta = jnp.clip(cosine, -1, 1) + active * theta
        return scale * theta

    return ntk


def data():
    """Random points; the same with 1 % replaced by copies of others, 1e-4 apart; random points of one norm."""
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((N, DIM))
    doubled = plain.copy()
    doubled[: N // 100] = plain[-(N // 100) :] + 1e-5 * rng.standard_normal((N // 100, DIM))
    units = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    return {name: jnp.asarray(x, jnp.float32) for name, x in (("random", plain), ("1% near", doubled), ("unit", units))}


def main():
    inputs = data()
    product = jax.jit(lambda x: x @ x.T)
    calls = {"X Xᵀ": lambda: product(inputs["random"]).block_until_ready()}
    for depth in DEPTHS:
        plain, biased = kernels.infinite_ntk(depth), kernels.infinite_ntk(depth, bias_variance=0.1)
        layers = recursion(depth)
        calls[f"recursion, depth {depth}"] = lambda f=layers: f(inputs["random"]).block_until_ready()
        calls[f"depth {depth}"] = lambda k=plain: k.ntk(inputs["random"]).block_until_ready()
        calls[f"depth {depth}, 1% near"] = lambda k=plain: k.ntk(inputs["1% near"]).block_until_ready()
        calls[f"depth {depth}, biases, one norm"] = lambda k=biased: k.ntk(inputs["unit"]).block_until_ready()
        calls[f"depth {depth}, biases"] = lambda k=biased: k.ntk(inputs["random"]).block_until_ready()
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(10):
        for name, call in calls.items():
            times[name].append(seconds(call, repeats=1 if "recursion" in name or name.endswith("biases") else 6)["min"])
    best = {name: min(values) for name, values in times.items()}

    bars = {}
    for depth in DEPTHS:
        for suffix in ("", ", 1% near", ", biases, one norm"):
            ratio = best[f"depth {depth}{suffix}"] / best["X Xᵀ"]
            bars[f"depth {depth}{suffix}: at most 3 times the jitted X Xᵀ"] = (ratio, 3, ratio <= 3)
            ratio = best[f"recursion, depth {depth}"] / best[f"depth {depth}{suffix}"]
            bars[f"depth {depth}{suffix}: at least 10 times faster than the jitted recursion"] = (
                ratio,
                10,
                ratio >= 10,
            )
    memory = {}
    for name, bias in (("without biases", 0.0), ("with biases", 0.1)):
        run = subprocess.run([sys.executable, "-c", TILES, str(bias)], capture_output=True, text=True, check=True)
        memory[name] = int(run.stdout) / 1e6
        bars[f"n = {LARGE} into a host array {name}: at most 200 MB above the result"] = (
            memory[name],
            200,
            memory[name] <= 200,
        )
    wide = np.asarray(inputs["1% near"], np.float64)
    with jax.enable_x64(True):
        exact = np.asarray(kernels.infinite_ntk(3).ntk(wide))
    near = np.asarray(kernels.infinite_ntk(3).ntk(inputs["1% near"]))
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    old = np.asarray(recursion(3)(inputs["1% near"]))
    return save(
        "infinite_ntk",
        bars,
        milliseconds={name: 1e3 * value for name, value in best.items()},
        all_seconds=times,
        megabytes_above_result=memory,
        largest_error_float32={
            "ours": float(np.max(np.abs(near - exact) / scale)),
            "recursion": float(np.max(np.abs(old - exact) / scale)),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
