"""`spectralbias run` as a whole process against the training loop alone.

Two bare loops are timed in this process: the one that the library uses (samples in blocks that fit the cache), stripped
of recording and storage, and the one that people write (a lax.scan over value-and-grad of the whole batch; 200 steps,
scaled up). The bars are on the first, which is the harder one.
"""

import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
from _common import save

from spectralbias import models, runs
from spectralbias.dynamics import Trainer, optimizer
from spectralbias.runs._build import build_model, build_problem


def whole_process(*arguments):
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "spectralbias", "run", *arguments]
        start = time.perf_counter()
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


def blocked_loop(config, model, problem):
    """All steps by the library's own jitted loop, nothing recorded."""
    rate = config.training.learning_rate
    trainer = Trainer(model, problem.x, problem.y, optimizer("gd", rate), batch_size=None, key=jax.random.key(0))
    start = time.perf_counter()
    state = trainer._advance(trainer.initial, config.training.steps)
    jax.block_until_ready(state.parameters)
    return time.perf_counter() - start


def plain_loop(config, model, problem, steps=200):
    """A lax.scan over full-batch gradients, extrapolated from the second call to all steps."""
    parameters, rest = models.partition(model)
    x, y = jnp.asarray(problem.x, jnp.float32), jnp.asarray(problem.y, jnp.float32)

    def loss(p):
        return jnp.mean((jax.vmap(models.combine(p, rest))(x) - y) ** 2) / 2

    @jax.jit
    def advance(p):
        def step(p, _):
            return jax.tree.map(lambda a, g: a - config.training.learning_rate * g, p, jax.grad(loss)(p)), None

        return jax.lax.scan(step, p, None, length=steps)[0]

    jax.block_until_ready(advance(parameters))
    start = time.perf_counter()
    jax.block_until_ready(advance(parameters))
    return (time.perf_counter() - start) * config.training.steps / steps


def main():
    config = runs.default_config()
    problem = build_problem(config)
    model = build_model(config, problem)
    default, quick = whole_process(), whole_process("--quick")
    bare = blocked_loop(config, model, problem)
    plain = plain_loop(config, model, problem)
    limit = 2 * bare + 15
    return save(
        "default_run",
        {
            "the default run takes less than 60 s": (default, 60, default < 60),
            "the default run takes at most 2 x the bare training loop + 15 s": (default, limit, default <= limit),
        },
        default_run_s=default,
        quick_run_s=quick,
        bare_blocked_loop_s=bare,
        plain_scan_loop_s=plain,
    )


if __name__ == "__main__":
    sys.exit(main())
