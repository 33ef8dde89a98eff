"""Learning times under Adam before training, against trainings on three targets held out from all tuning.

Every second node of a 32 × 32 photograph (n = 256), or of a signal of 256 samples (n = 128), around its mean, behind a
positional encoding of 4 frequencies; antisymmetric ReLU networks, 1000 steps. The modes are those of the kernel at the
start, with at least 0.1 % of the energy; a time that only the forecast or only the training has within the budget
counts as an error of 100 %.

- Forecast: the optimizer on the linearized network (`forecast._preconditioned`).
- Probe: J P Jᵀ with P = 1/(√v̂ + ε) as it is after 30 steps of training, from there on.
- Negative control: the kernel without P, at the one rate that fits each training best in hindsight.

A forecast is offered where the kernel is expected to move by at most FURTHEST_DRIFT. Trainings are cached
(`.cache/forecast_adam`, about 10 minutes on two cores): the benchmark resumes.
"""

import itertools
import json
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from _common import save
from _times_trainings import HELD_OUT, learned
from jax.flatten_util import ravel_pytree

from spectralbias import dynamics, kernels, models
from spectralbias.dynamics._trainer import Trainer
from spectralbias.forecast._preconditioned import FURTHEST_DRIFT, preconditioned
from spectralbias.models.encodings import PositionalEncoding
from spectralbias.spectra import eigenmodes

CACHE = Path(__file__).parent / ".cache" / "forecast_adam"
TUNING = ("china", "gravel", "chirp", "three sines")
# Width, hidden layers, parameterization.
NETWORKS = ((256, 1, "ntk"), (128, 2, "ntk"), (256, 1, "torch"), (128, 2, "torch"))
RATES = (1e-3, 1e-4)
# On the signal and the first network.
OTHERS = (("adamw", 1e-3), ("amsgrad", 1e-3), ("nadam", 1e-3), ("rmsprop", 1e-4), ("adagrad", 1e-2))
STEPS, PROBE, ENOUGH, SEED = 1000, 30, 1e-3, 0
LARGEST_ERROR, BETA1, BETA2, EPSILON = 0.3, 0.9, 0.999, 1e-8


def network(problem, width, depth, parameterization):
    """Zero at the start."""
    return models.MLP(
        problem.x.shape[1], "scalar", width, depth, bias_std=0.1, parameterization=parameterization,
        encoding=PositionalEncoding(4), antisymmetric=True, key=jax.random.key(SEED),
    )  # fmt: skip


def errors(measured, predicted):
    """Relative errors of learning times; 1 where only one of the two is within the budget."""
    both, either = (measured <= STEPS) & (predicted <= STEPS), (measured <= STEPS) | (predicted <= STEPS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(both, np.abs(predicted - measured) / measured, 1.0)[either]


def quantile(error, share):
    """None where nothing was learned within the budget."""
    return float(np.quantile(error, share)) if len(error) else None


def by_probe(model, x, y, rate, at):
    """Adam with the P of a probe: modes of J P Jᵀ/n, each with Adam's own average of gradients."""
    trainer = Trainer(model, x, y, dynamics.optimizer("adam", rate), batch_size=None, key=jax.random.key(0))
    now = trainer._advance(trainer.initial, PROBE)
    adam, network = now.optimizer_state[0], trainer.model(now)
    nu, mu = (np.asarray(ravel_pytree(part)[0], float) for part in (adam.nu, adam.mu))
    rest = models.partition(network)[1]
    flat, unravel = ravel_pytree(now.parameters)
    gradients = jax.jit(jax.vmap(jax.grad(lambda p, one: models.combine(unravel(p), rest)(one)), in_axes=(None, 0)))
    jacobian = np.concatenate([np.asarray(gradients(flat, part), float) for part in np.array_split(x, 8)])
    p = 1 / (np.sqrt(nu / (1 - BETA2**PROBE)) + EPSILON)
    values, vectors = np.linalg.eigh((jacobian * p) @ jacobian.T / len(x))
    left, average = vectors.T @ trainer.residuals(network, trainer.x, trainer.y), vectors.T @ (jacobian @ (p * mu))
    found = {PROBE: vectors @ left}
    for step in range(PROBE + 1, STEPS + 1):
        average = BETA1 * average + (1 - BETA1) * values * left
        left = left - rate * average / (1 - BETA1**step)
        found[step] = vectors @ left
    return np.array([found[step] for step in at if step >= PROBE])


def of_training(name, width, depth, parameterization, optimizer, rate):
    """What is measured and forecast in one training, from the cache or from now on in it."""
    file = CACHE / f"{name}-{width}-{depth}-{parameterization}-{optimizer}-{rate:g}.json"
    if file.exists():
        return json.loads(file.read_text())
    problem = learned(name)
    model, at = network(problem, width, depth, parameterization), np.array(dynamics.log_spaced(STEPS))
    x = jnp.asarray(problem.x, jnp.float32)
    modes = eigenmodes(kernels.empirical_ntk(model, x))
    started = time.perf_counter()
    found = preconditioned(model, problem, optimizer, rate, STEPS, at, furthest_drift=np.inf)
    spent = time.perf_counter() - started
    started = time.perf_counter()
    run = dynamics.train(model, x, problem.y, learning_rate=rate, steps=STEPS, optimizer=optimizer, record=at)
    trained = time.perf_counter() - started
    left = np.asarray(run.residuals, float)
    energy = modes.project(left[0]) ** 2
    enough = energy >= ENOUGH * energy.sum()

    def times(residuals):
        return dynamics.crossing(at, modes.project(residuals))[enough]

    measured, predicted = times(left), times(found.residuals)
    error = errors(measured, predicted)
    size, expected = np.sum(left**2, axis=1), np.sum(found.residuals**2, axis=1)
    credible = expected >= 0.01 * expected[0]
    result = {
        "problem": name, "width": width, "depth": depth, "parameterization": parameterization,
        "optimizer": optimizer, "learning_rate": rate, "drift": found.drift,
        "modes": len(error), "median_error": quantile(error, 0.5), "error_90": quantile(error, 0.9),
        "loss_factor_to_1_percent": float(np.exp(np.median(np.abs(np.log(expected / size)[credible])))),
        "largest_loss_factor_to_1_percent": float(np.exp(np.max(np.abs(np.log(expected / size)[credible])))),
        "loss_left": float(size[-1] / size[0]), "forecast_seconds": spent, "training_seconds": trained,
    }  # fmt: skip
    # The control: one clock for all modes, the best there is.
    start, values = modes.project(left[0]), modes.eigenvalues
    clocks = [
        dynamics.crossing(at, start * (1 - rate * values) ** at[:, None])[enough]
        for rate in np.geomspace(1e-4, 1.9, 60) / values[0]
    ]
    plain = [quantile(errors(measured, one), 0.5) for one in clocks]
    result["plain_kernel_median_error"] = min((one for one in plain if one is not None), default=None)
    if optimizer == "adam":
        # Modes that were learned in the probe are no forecast.
        late = measured > PROBE
        probed = times(np.concatenate([left[at < PROBE], by_probe(model, x, problem.y, rate, at)]))
        for key, one in (("late_median_error", predicted), ("probe_late_median_error", probed)):
            result[key] = quantile(errors(measured[late], one[late]), 0.5)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result) + "\n")
    shown = (
        "drift",
        "median_error",
        "error_90",
        "plain_kernel_median_error",
        "probe_late_median_error",
        "late_median_error",
    )
    print(file.stem, {key: round(result[key], 3) for key in shown if result.get(key) is not None}, flush=True)
    return result


def main():
    runs = [
        of_training(name, *shape, "adam", rate)
        for name, shape, rate in itertools.product(reversed(HELD_OUT), NETWORKS, RATES)
    ]
    others = [of_training(HELD_OUT[-1], *NETWORKS[0], name, rate) for name, rate in OTHERS]
    counted = [run for run in runs if run["modes"]]
    offered = [run for run in counted if run["drift"] <= FURTHEST_DRIFT]
    refused = [run for run in counted if run["drift"] > FURTHEST_DRIFT]

    def medians(key, among):
        return [run[key] for run in among if run.get(key) is not None]

    ours, plain = np.array(medians("median_error", offered)), np.array(medians("plain_kernel_median_error", offered))
    summary = {
        "offered": len(offered), "refused": len(refused), "nothing_learned": len(runs) - len(counted),
        "median_error": float(np.median(ours)), "largest_median_error": float(ours.max()),
        "median_error_lazy": float(np.median([r["median_error"] for r in offered if r["drift"] <= 0.1])),
        "median_error_between": [r["median_error"] for r in offered if r["drift"] > 0.1],
        "refused_median_errors": sorted(medians("median_error", refused)),
        "loss_factor_to_1_percent": float(np.median(medians("loss_factor_to_1_percent", offered))),
        "late_modes": {
            "forecast": float(np.median(medians("late_median_error", offered))),
            "probe": float(np.median(medians("probe_late_median_error", offered))),
        },
        "plain_kernel": float(np.median(plain)),
    }  # fmt: skip
    other = max(medians("median_error", others))
    worse = float(np.mean(plain > ours))
    bars = {
        "largest median error of learning times among offered forecasts": (
            summary["largest_median_error"], LARGEST_ERROR, summary["largest_median_error"] <= LARGEST_ERROR
        ),
        "the same, other optimizers": (other, LARGEST_ERROR, other <= LARGEST_ERROR),
        "the kernel without P fails, median error": (
            summary["plain_kernel"], LARGEST_ERROR, summary["plain_kernel"] >= LARGEST_ERROR
        ),
        "share of trainings in which it is worse": (worse, 1.0, worse == 1.0),
    }  # fmt: skip
    setting = {
        "steps": STEPS, "probe": PROBE, "least_share": ENOUGH, "seed": SEED, "furthest_drift": FURTHEST_DRIFT,
        "tuning": list(TUNING), "held_out": list(HELD_OUT),
    }  # fmt: skip
    return save("forecast_adam", bars, setting=setting, summary=summary, runs=runs, others=others)


if __name__ == "__main__":
    sys.exit(main())
