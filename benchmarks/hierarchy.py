"""The neural tangent hierarchy: what its contracted kernels cost beside Θ, and whole predictions of order 3 and 4.

Ratios are of times in one process, the fastest of several turns, n = 1000, width 1024, two hidden layers.
Each prediction is a process of its own, whose peak memory is read at the end.
"""

import json
import resource
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _common import save, seconds

from spectralbias import dynamics, kernels, models
from spectralbias.dynamics._hierarchy_products import Products

DIM, WIDTH, DEPTH = 10, 1024, 2
# Predictions go on until so much of the first loss is left by the frozen kernel, or λ_max t = 38,000.
LEFT = 0.05


def setting(n, seed=0):
    """The target √d x_1 + d x_2 x_3 on the sphere, and a smooth network."""
    x = np.random.default_rng(seed).standard_normal((n, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = DIM**0.5 * x[:, 0] + DIM * x[:, 1] * x[:, 2]
    return models.MLP(DIM, "scalar", WIDTH, DEPTH, activation="tanh", key=jax.random.key(1)), x, y


@eqx.filter_jit
def _theta(products):
    return products.ntk(products.parameters)


@eqx.filter_jit
def _third(products, r):
    return products.along(products.ntk, r)(products.parameters)


@eqx.filter_jit
def _third_and_fourth(products, r, integral):
    third = products.along(products.ntk, r)
    return jax.jvp(third, (products.parameters,), (products.field(products.parameters, integral),))


def ratios(dtype, n=1000):
    """Times of K³·r, and of K³·r with K⁴·(r, R), over that of Θ."""
    with jax.enable_x64(dtype == "float64"):
        model, x, y = setting(n)
        products = Products(model, jnp.asarray(x, dtype))
        r, integral = jnp.asarray(y, dtype), jnp.asarray(y[::-1].copy(), dtype)
        calls = {
            "Θ": lambda: jax.block_until_ready(_theta(products)),
            "K³·r": lambda: jax.block_until_ready(_third(products, r)),
            "K³·r and K⁴·(r, R)": lambda: jax.block_until_ready(_third_and_fourth(products, r, integral)),
        }
        for call in calls.values():
            call()
        best = dict.fromkeys(calls, np.inf)
        for _ in range(7):  # in turns, so that a disturbance meets all of them
            for name, call in calls.items():
                best[name] = min(best[name], seconds(call, repeats=1)["min"])
    return best


def predict(n, order):
    """One prediction from start to end, in this process."""
    with jax.enable_x64(True):
        model, x, y = setting(n)
        started = time.perf_counter()
        gram = np.asarray(kernels.empirical_ntk(model, x))
        largest = float(np.linalg.eigvalsh(gram / n)[-1])
        end = np.geomspace(380, 38_000, 81)
        frozen = dynamics.frozen(gram, np.asarray(jax.vmap(model)(x)) - y).residuals(np.append(0, end) / largest)
        loss = np.sum(frozen**2, axis=1)
        last = int(np.argmax(loss[1:] <= LEFT * loss[0]))
        times = np.concatenate([[0.0], np.geomspace(0.1, end[last], 30)]) / largest
        found = dynamics.hierarchy(model, x, y, times, order=order, rtol=1e-6)
        spent = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": spent,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
                "status": found.status.name,
                "end": float(end[last]),
                "frozen_loss_left": float(loss[1 + last] / loss[0]),
                "error_estimate": float(found.error_estimate[-1]),
            }
        )
    )


def main():
    bars, results = {}, {}
    for dtype in ("float32", "float64"):
        best = ratios(dtype)
        results[dtype] = best
        for name, limit in (("K³·r", 5), ("K³·r and K⁴·(r, R)", 14)):
            ratio = best[name] / best["Θ"]
            bars[f"{dtype}: {name} at most {limit} × Θ"] = ratio, limit, ratio <= limit
    for n, order, limit, unit in ((256, 4, 600, "seconds"), (1000, 3, 4, "peak_gb")):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, __file__, str(n), str(order)], capture_output=True, check=True)
        found = {**json.loads(done.stdout.splitlines()[-1]), "process_s": time.perf_counter() - started}
        results[f"order {order}, n = {n}"] = found
        value = found["process_s"] if unit == "seconds" else found["peak_gb"]
        bars[f"order {order}, n = {n}: under {limit} {'s' if unit == 'seconds' else 'GB'}"] = (
            value,
            limit,
            value < limit,
        )
    return save("hierarchy", bars, results=results)


if __name__ == "__main__":
    sys.exit(predict(*map(int, sys.argv[1:])) if len(sys.argv) > 1 else main())
