"""Learning times of modes before training against 30 trainings on each of three targets held out from all tuning.

Every second node of a 32 × 32 photograph (n = 256), or of a signal of 256 samples (n = 128), around its mean; one
hidden layer of ReLU behind a positional encoding of 4 frequencies, antisymmetric, NTK parameterization; 3000 steps of
gradient descent at 1/λ_max of a reference network. Modes with at least 0.1 % of the energy count.

- Error: each training in the modes of its own network, against the forecast for that network.
- Band: each training in the modes of the reference network, against the interval forecast there from the kernels of
  networks of other seeds, and from the motion of its own. No training enters it.
- Negative control: the same trainings against the frozen kernel of the network with 1 frequency.

The trainings are cached (`.cache/forecast_times`, 40 minutes on two cores): the benchmark resumes, and may be
called with a smaller number of seeds, which is then a bar that does not hold. The targets of the
development are repeated at several widths: how narrow a band can be is a matter of width.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from _common import save
from _times_trainings import (
    BIAS,
    FREQUENCIES,
    HELD_OUT,
    REFERENCE,
    SEEDS,
    SIZE,
    STEPS,
    TUNING,
    learned,
    network,
    residuals,
)

from spectralbias import dynamics, forecast, kernels

# A second budget, in the midst of the learning times.
EARLY = 300
WIDTH, OTHER_WIDTHS, DEVELOPMENT = 4096, (4096, 2048, 1024), ("camera", "astronaut", "doppler")
ENOUGH = 1e-3
LARGEST_ERROR, COVERAGE, WIDEST, WRONG = 0.15, (0.85, 0.97), 0.4, 0.5
NETWORKS, RESAMPLES = 16, 2000


def errors(measured, predicted, budget=STEPS):
    """Relative errors of learning times; 1 where only one of the two is within the budget."""
    either = (measured <= budget) | (predicted <= budget)
    with np.errstate(invalid="ignore"):
        relative = np.abs(predicted - measured) / measured
    return np.where((measured <= budget) & (predicted <= budget), relative, 1.0)[either]


def own_modes(problem, width, seed, rate, left):
    """Of the forecast for one network: learning times as measured and as forecast, and whether it is trusted."""
    model = network(problem, width, jax.random.key(seed))
    found = forecast.forecast(model, problem, learning_rate=rate, steps=STEPS)
    enough = found.shares >= ENOUGH
    measured = dynamics.crossing(left[0], found.modes.project(left[1]))[enough]
    return measured, found.learning_times[enough], found.trust.status.name


def of_budget(pairs, budget):
    """Errors within a budget, and the shares of modes that are out of it on either side."""
    late = np.concatenate([measured > budget for measured, _ in pairs])
    expected = np.concatenate([predicted > budget for _, predicted in pairs])
    each = [errors(*pair, budget) for pair in pairs]
    pooled = np.concatenate(each)
    return {
        "median_error": float(np.median(pooled)),
        "error_90": float(np.quantile(pooled, 0.9)),
        "worst_seed_median_error": max(float(np.median(error)) for error in each),
        "shares_out_of_budget": {
            "both": float(np.mean(late & expected)),
            "measured": float(np.mean(late & ~expected)),
            "forecast": float(np.mean(~late & expected)),
        },
    }


def wrong_times(problem, width, modes, rate):
    """What the frozen kernel of another encoding does to these modes."""
    other = network(problem, width, jax.random.key(REFERENCE), frequencies=1)
    gram = np.asarray(kernels.empirical_ntk(other, jnp.asarray(problem.x, jnp.float32)), float)
    steps = np.array(dynamics.log_spaced(STEPS))
    return dynamics.crossing(steps, modes.project(dynamics.frozen(gram, -problem.y).residuals_at(steps, rate)))


def of_problem(name, width, seeds):
    """One target and one width."""
    problem = learned(name)
    started = time.perf_counter()
    reference = forecast.forecast(
        network(problem, width, jax.random.key(REFERENCE)), problem, steps=STEPS,
        initialize=lambda key: network(problem, width, key), num_networks=NETWORKS, key=jax.random.key(REFERENCE + 1),
    )  # fmt: skip
    spent = time.perf_counter() - started
    rate, enough = reference.learning_rate, reference.shares >= ENOUGH
    predicted, band = reference.learning_times[enough], reference.interval[enough]
    wrong = wrong_times(problem, width, reference.modes, rate)[enough]
    pairs, failed, trust, inside, undecided, judged = [], [], [], [], [], []
    for seed in range(seeds):
        left = residuals(name, width, seed, rate)
        *pair, status = own_modes(problem, width, seed, rate, left)
        pairs.append(pair)
        trust.append(status)
        measured = dynamics.crossing(left[0], reference.modes.project(left[1]))[enough]
        failed.append(errors(measured, wrong))
        within = (measured >= band[:, 0]) & (measured <= band[:, 1])
        # Not learned within the budget: the band is right if it reaches beyond, as far as can be seen.
        open_end = (measured > STEPS) & (band[:, 1] > STEPS)
        counted = (measured <= STEPS) | (predicted <= STEPS)
        inside.append(int(((within | open_end) & counted).sum()))
        undecided.append(int((open_end & counted).sum()))
        judged.append(int(counted.sum()))
    middle = np.sqrt(band[:, 0] * band[:, 1])
    widths = ((band[:, 1] - band[:, 0]) / middle)[predicted <= STEPS]
    return {
        "samples": problem.num_samples,
        "learning_rate": rate,
        "modes": int(enough.sum()),
        "energy": float(reference.shares[enough].sum()),
        **of_budget(pairs, STEPS),
        "after_early_steps": of_budget(pairs, EARLY),
        "coverage": sum(inside) / sum(judged),
        "undecided": sum(undecided) / sum(judged),
        "inside": inside,
        "judged": judged,
        "median_width": float(np.median(widths)),
        "width_quartiles": np.quantile(widths, [0.25, 0.75]).tolist(),
        "wrong_kernel_median_error": float(np.median(np.concatenate(failed))),
        "drift": reference.motion.drift,
        "linearization_error": reference.motion.error,
        "trust": {status: trust.count(status) for status in sorted(set(trust))},
        "forecast_seconds": spent,
    }


def bootstrap(found, count):
    """95 % of the pooled coverage over resampled seeds, the same ones on all targets."""
    inside, judged = (np.array([one[key] for one in found]) for key in ("inside", "judged"))
    seeds = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    return np.quantile(inside[:, seeds].sum(axis=(0, 2)) / judged[:, seeds].sum(axis=(0, 2)), [0.025, 0.975]).tolist()


def of_width(width, names, seeds=SEEDS):
    """These targets, and what they say together."""
    problems = {}
    for name in names:
        problems[name] = of_problem(name, width, seeds)
        shown = ("modes", "median_error", "error_90", "coverage", "median_width", "wrong_kernel_median_error")
        print(width, name, json.dumps({key: problems[name][key] for key in shown}), flush=True)
    found = list(problems.values())
    return {
        "problems": problems,
        "coverage": sum(sum(one["inside"]) for one in found) / sum(sum(one["judged"]) for one in found),
        "coverage_95": bootstrap(found, seeds),
    }


def bars_of(result):
    """What must hold on the targets held out."""
    bars = {}
    for name, found in result["problems"].items():
        bars[f"{name}: median error of learning times"] = found["median_error"], LARGEST_ERROR
        bars[f"{name}: median width of the 90 % band, of the learning time"] = found["median_width"], WIDEST
    bars = {text: (value, limit, value <= limit) for text, (value, limit) in bars.items()}
    low, high = result["coverage_95"]
    holds = COVERAGE[0] <= low and high <= COVERAGE[1]
    bars["coverage of the 90 % band, 95 % of resampled seeds"] = [low, high], list(COVERAGE), holds
    wrong = min(found["wrong_kernel_median_error"] for found in result["problems"].values())
    bars["the kernel of another encoding fails: least median error"] = wrong, WRONG, wrong >= WRONG
    return bars


def main(seeds=SEEDS):
    held_out = of_width(WIDTH, HELD_OUT, seeds)
    development = {width: of_width(width, DEVELOPMENT) for width in OTHER_WIDTHS}
    setting = {
        "width": WIDTH, "size": SIZE, "frequencies": FREQUENCIES, "bias_std": BIAS, "steps": STEPS, "seeds": seeds,
        "least_share": ENOUGH, "tuning": list(TUNING), "held_out": list(HELD_OUT), "reference_seed": REFERENCE,
        "networks": NETWORKS, "early_steps": EARLY,
    }  # fmt: skip
    bars = {"trainings of each target": (seeds, SEEDS, seeds >= SEEDS), **bars_of(held_out)}
    return save("forecast_times", bars, setting=setting, held_out=held_out, development=development)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
