"""Trainings whose learning times are forecast: cached, one file per training, so that the benchmark resumes."""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _advice_trainings import split, target

from spectralbias import dynamics, models, problems
from spectralbias.models.encodings import PositionalEncoding

CACHE = Path(__file__).parent / ".cache" / "forecast_times"
# Width and frequencies were chosen on the first four; that the motion of the kernel widens the band, on all of TUNING.
TUNING = ("china", "chelsea", "gravel", "chirp", "camera", "astronaut", "doppler")
HELD_OUT = ("coffee", "brick", "blocks")
SIZE, FREQUENCIES, BIAS, STEPS, SEEDS = 32, 4, 0.1, 3000, 30
# The network whose modes the others are looked at in; no seed of a training.
REFERENCE = 1000


def learned(name):
    """What is learned: every second node along each axis, 16 × 16 pixels or 128 samples, around its mean."""
    if name == "chirp":
        t = (np.arange(256) + 0.5) / 256
        values = np.sin(2 * np.pi * (2 * t + 10 * t**2)) + 0.3 * (t > 0.6)
    else:
        values = target(name, SIZE)
    x, trains = split(values.shape)
    y = values.ravel()[trains]
    return problems.Problem(x[trains], y - y.mean())


def network(problem, width, key, frequencies=FREQUENCIES):
    """One hidden layer of ReLU behind a positional encoding, zero at the start."""
    return models.MLP(
        problem.x.shape[1], "scalar", width, 1, bias_std=BIAS, encoding=PositionalEncoding(frequencies),
        antisymmetric=True, key=key,
    )  # fmt: skip


def residuals(name, width, seed, learning_rate):
    """Steps (T,) and residuals (T, n) of one training, from the cache or from now on in it."""
    file = CACHE / f"{name}-{width}-{seed}.npz"
    if file.exists():
        with np.load(file) as stored:
            if np.isclose(stored["learning_rate"], learning_rate, rtol=1e-4):
                return stored["steps"], stored["residuals"].astype(float)
    problem = learned(name)
    started = time.perf_counter()
    run = dynamics.train(
        network(problem, width, jax.random.key(seed)), jnp.asarray(problem.x, jnp.float32), problem.y,
        learning_rate=learning_rate, steps=STEPS, record=dynamics.log_spaced(STEPS),
    )  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(run.residuals, np.float32)
    np.savez(file, steps=run.steps, residuals=values, learning_rate=learning_rate, loss=run.loss)
    print(file.stem, f"{time.perf_counter() - started:.1f} s", f"loss {run.loss[-1] / run.loss[0]:.1e}", flush=True)
    return np.asarray(run.steps), values.astype(float)
