"""Products with Θ that is never formed: n = 200,000 samples, MLP 3 x 512, float32.

Memory is the peak of a process of its own, above its peak when data, model and libraries were there. The baseline of
the time is one vector-Jacobian and one Jacobian-vector product, each jitted, on batches of the size that suits it best.
"""

import json
import resource
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _common import save, seconds

from spectralbias import kernels, models

N, DIM = 200_000, 64
BATCHES = (2000, 4000, 8000, 20_000)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def setup(n):
    model = models.MLP(DIM, "scalar", 512, 3, key=jax.random.key(0))
    return model, jax.random.normal(jax.random.key(1), (n, DIM)), jax.random.normal(jax.random.key(2), (n,))


def measure_memory():
    model, x, v = setup(N)
    before = peak()
    kernels.NTKOperator(model, x).mv(v).block_until_ready()
    print(json.dumps({"above_data_gb": (peak() - before) / 1e9, "data_gb": (x.nbytes + v.nbytes) / 1e9}))


def baselines(model, x, v):
    """Jᵀ v and J u over batches, each in a function of its own."""
    parameters, rest = models.partition(model)

    def apply(p, xs):
        return jax.vmap(models.combine(p, rest))(xs)

    @jax.jit
    def vjp(p, xs, vs):
        def step(total, batch):
            gradient = jax.vjp(lambda q: apply(q, batch[0]), p)[1](batch[1])[0]
            return jax.tree.map(jnp.add, total, gradient), None

        return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, p), (xs, vs))[0]

    @jax.jit
    def jvp(p, u, xs):
        return jax.lax.map(lambda batch: jax.jvp(lambda q: apply(q, batch), (p,), (u,))[1], xs)

    best = {"vjp": float("inf"), "jvp": float("inf")}
    for size in BATCHES:
        xs, vs = x.reshape(-1, size, DIM), v.reshape(-1, size)
        direction = jax.block_until_ready(vjp(parameters, xs, vs))
        jax.block_until_ready(jvp(parameters, direction, xs))
        for _ in range(2):
            seconds_vjp = seconds(lambda xs=xs, vs=vs: jax.block_until_ready(vjp(parameters, xs, vs)), repeats=1)
            best["vjp"] = min(best["vjp"], seconds_vjp["min"])
            seconds_jvp = seconds(lambda u=direction, xs=xs: jax.block_until_ready(jvp(parameters, u, xs)), repeats=1)
            best["jvp"] = min(best["jvp"], seconds_jvp["min"])
    return best


def main():
    memory = json.loads(subprocess.run([sys.executable, __file__, "memory"], capture_output=True, check=True).stdout)
    model, x, v = setup(N)
    operator = kernels.NTKOperator(model, x)
    operator.mv(v).block_until_ready()
    ours, best = float("inf"), {"vjp": float("inf"), "jvp": float("inf")}
    for _ in range(3):
        ours = min(ours, seconds(lambda: operator.mv(v).block_until_ready(), repeats=2)["min"])
        best = {name: min(time, best[name]) for name, time in baselines(model, x, v).items()}
    ratio = ours / sum(best.values())
    kept = kernels.NTKOperator(model, x[:10_001])
    ways = {"kept_factors": kept, "vjp_and_jvp": eqx.tree_at(lambda o: o.factors, kept, None)}
    products = {name: np.asarray(way.mv(v[:10_001])) for name, way in ways.items()}
    times = {
        name: seconds(lambda way=way: way.mv(v[:10_001]).block_until_ready(), repeats=5)["min"]
        for name, way in ways.items()
    }
    one, two = products.values()
    difference = float(np.max(np.abs(one - two)) / np.max(np.abs(two)))
    return save(
        "ntk_operator",
        {
            "peak memory of one product above the data, GB": (
                memory["above_data_gb"],
                1.5,
                memory["above_data_gb"] < 1.5,
            ),
            "time over one vjp and one jvp": (ratio, 1.2, ratio <= 1.2),
        },
        memory=memory,
        seconds={"operator": ours, **best},
        seconds_at_10001_samples=times,
        difference_between_the_two_ways=difference,
    )


if __name__ == "__main__":
    sys.exit(measure_memory() if sys.argv[1:] == ["memory"] else main())
