"""Images and signals, and the networks that are trained on every second node of them: cached, one file per training."""

import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from spectralbias import dynamics, kernels, models, problems

CACHE = Path(__file__).parent / ".cache" / "encoding_advice"
TUNING = ("china", "chelsea", "gravel")
HELD_OUT = ("flower", "astronaut", "camera", "coffee", "rocket", "text", "brick", "hubble_deep_field", "moon")
SIGNALS = ("row of a photograph", "doppler", "blocks")
SIZE, SIGNAL_SIZE, WIDTH, DEPTH, STEPS, ADAM_RATE, BIAS = 64, 256, 256, 3, 1500, 1e-3, 0.1
OPTIMIZERS = ("gd", "adam")
RECORD = (0, 1, 3, 10, 30, 100, 200, 300, 500, 700, 1000, 1500)
# Draws the Gaussian frequencies.
KEY = 7


def target(name, size=SIZE):
    """Values on a grid: (size, size), or (SIGNAL_SIZE,)."""
    if name == "row of a photograph":
        photograph = target("camera", SIGNAL_SIZE)
        return photograph[SIGNAL_SIZE // 3]
    t = (np.arange(SIGNAL_SIZE) + 0.5) / SIGNAL_SIZE
    if name == "doppler":  # Donoho and Johnstone 1994
        return 0.5 + np.sqrt(t * (1 - t)) * np.sin(2.1 * np.pi / (t + 0.05))
    if name == "blocks":
        jumps, heights = (0.1, 0.23, 0.4, 0.65, 0.81), (0.4, -0.3, 0.5, -0.4, 0.3)
        return 0.3 + sum(height * (t >= jump) for jump, height in zip(jumps, heights, strict=True))
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(f"{name}.jpg")
    else:
        import skimage.data

        pixels = getattr(skimage.data, name)()
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side]
    return problems.image(square, size=size).y.reshape(size, size)


def split(shape):
    """Coordinates (n, dim) of a grid over [-1, 1], and which of its nodes train."""
    even = np.meshgrid(*[np.arange(size) % 2 == 0 for size in shape], indexing="ij")
    return problems.coordinates(shape), np.logical_and.reduce(even).ravel()


def psnr(error):
    """Of a mean square error, for values in [0, 1], in dB."""
    return -10 * np.log10(error)


def train(name, label, encoding, optimizer, *, seed=0, size=SIZE, steps=STEPS):
    """The held-out PSNR over the steps of one training, from the cache or from now on in it."""
    file = CACHE / f"{name}-{label}-{seed}-{optimizer}-{size}-{steps}.json".replace(" ", "_")
    if file.exists():
        return json.loads(file.read_text())
    y = target(name, size)
    x, trains = split(y.shape)
    y = y.ravel() - y.ravel()[trains].mean()
    # Gradient descent with the kernel's parameterization, Adam with PyTorch's, as people use them.
    parameterization = "ntk" if optimizer == "gd" else "torch"
    model = models.MLP(
        x.shape[1], "scalar", WIDTH, DEPTH, bias_std=BIAS, encoding=encoding, parameterization=parameterization,
        antisymmetric=True, key=jax.random.key(seed),
    )  # fmt: skip
    inputs, held_out = (jnp.asarray(x[choice], jnp.float32) for choice in (trains, ~trains))
    rate = ADAM_RATE
    if optimizer == "gd":
        gram = np.asarray(kernels.empirical_ntk(model, inputs), np.float64)
        rate = float(len(inputs) / np.linalg.eigvalsh(gram)[-1])

    def held_out_error(model, x, targets, state):
        return np.mean((np.asarray(jax.vmap(model)(held_out), np.float64) - y[~trains]) ** 2)

    start = time.perf_counter()
    run = dynamics.train(
        model, inputs, y[trains], learning_rate=rate, steps=steps, optimizer=optimizer,
        record=[step for step in RECORD if step <= steps], probes={"held_out": held_out_error},
    )  # fmt: skip
    record = {
        "steps": [int(step) for step in run.steps],
        "held_out": np.round(psnr(run.records["held_out"]), 3).tolist(),
        "train": np.round(psnr(2 * run.loss), 3).tolist(),
        "learning_rate": rate,
        "seconds": round(time.perf_counter() - start, 2),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record) + "\n")
    print(file.stem, record["held_out"][-1], record["seconds"], flush=True)
    return record
