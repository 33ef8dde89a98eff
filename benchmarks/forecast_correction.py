"""Forecasts with the kernel in motion (order 4) against the frozen kernel and 10 trainings of each network and target.

Smooth antisymmetric networks in the NTK parameterization, gradient descent at 1/λ_max of each network, float64. The
budget of 3000 steps is that of `forecast_times.py`; figures are also given at the step at which the frozen kernel
expects 90 % of the energy to be learned, which is known before training.

- Error: of the residual, over ‖r(0)‖, as a root mean square over the recorded steps (all up to 100, then log-spaced).
- Factor: by how much order 4 divides the error of the frozen kernel. A run whose hierarchy lost its definiteness, or
  stopped, counts as 1: there `forecast` takes the frozen kernel.
- Negative controls: the correction of another seed, and the correction with the other sign.

Runs are cached (`.cache/forecast_correction`, 15 minutes on two cores): the benchmark resumes, and
`--cached` takes only the networks and targets that are complete.

Frequencies, encodings and activations were tried on signals of frequencies 1, 3 and 2, 5 and on a part of skimage's
coins; the targets here are others. Networks without an encoding are where it falls short.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _common import save

from spectralbias import dynamics, kernels, models, problems, spectra
from spectralbias.dynamics import HierarchyStatus
from spectralbias.forecast._corrected import corrected
from spectralbias.models.encodings import PositionalEncoding

CACHE = Path(__file__).parent / ".cache" / "forecast_correction"
STEPS, SEEDS = 3000, 10
ENOUGH, LEARNED = 1e-3, 0.9
FACTOR = 3
VALID = HierarchyStatus.valid.name


class Network(NamedTuple):
    """What is trained."""

    activation: str
    width: int
    depth: int
    frequencies: int
    bias_std: float = 0.1


GELU, TANH, DEEP = Network("gelu", 256, 1, 3), Network("tanh", 128, 1, 3), Network("softplus", 128, 2, 2)
RAW_GELU, RAW_TANH = Network("gelu", 256, 1, 0, 1.0), Network("tanh", 256, 1, 0, 1.0)
ENCODED = [(name, network) for network in (GELU, TANH) for name in ("signal", "patch", "scattered")] + [("patch", DEEP)]
RAW = [("signal", RAW_GELU), ("scattered", RAW_TANH)]


def signal():
    """Sums of sines that are no whole number of waves, with held-out samples between."""
    return problems.signal(frequencies=(1.5, 4.0, 6.5), amplitudes=(1.0, 0.7, 0.5), num_samples=128, key=KEY)


def patch():
    """The astronaut's face in 11 × 11 pixels, around its mean."""
    import skimage.data

    part = skimage.data.astronaut()[32:186, 140:294].mean(axis=2) / 255
    part = part.reshape(11, 14, 11, 14).mean(axis=(1, 3))
    return problems.Problem(problems.coordinates(part.shape), (part - part.mean()).ravel())


def scattered():
    """A bump and a wave at 100 random points of a square, 50 held out."""
    x, x_test = np.split(np.random.default_rng(8).uniform(-1, 1, (150, 2)), [100])

    def target(x):
        bump = np.exp(-4 * ((x[:, 0] - 0.3) ** 2 + (x[:, 1] + 0.2) ** 2))
        return 2 * bump - 0.8 + 0.5 * np.sin(np.pi * (x[:, 0] + 2 * x[:, 1]))

    return problems.Problem(x, target(x), x_test=x_test, y_test=target(x_test))


KEY = jax.random.key(88)
TARGETS = {"signal": signal, "patch": patch, "scattered": scattered}


def of_network(network, problem, seed):
    """The network of a seed."""
    return models.MLP(
        problem.x.shape[1], "scalar", network.width, network.depth, activation=network.activation,
        bias_std=network.bias_std, antisymmetric=True, key=jax.random.key(seed),
        encoding=PositionalEncoding(network.frequencies) if network.frequencies else None,
    )  # fmt: skip


class Run(NamedTuple):
    """Residuals of the training and of both forecasts over ‖r(0)‖, (T, n); held out, over ‖y_test‖."""

    steps: np.ndarray
    trained: np.ndarray
    frozen: np.ndarray
    order4: np.ndarray
    estimate: np.ndarray
    trained_test: np.ndarray
    frozen_test: np.ndarray
    order4_test: np.ndarray
    vectors: np.ndarray
    status: str
    seconds: float


def stored_in(name, network, seed):
    """The file of a run."""
    return CACHE / f"{name}-{'-'.join(map(str, network))}-{seed}.npz"


def is_cached(name, network):
    """Whether all runs were made."""
    return all(stored_in(name, network, seed).exists() for seed in range(SEEDS))


def of_seed(name, network, seed):
    """One training and its forecasts, from the cache or from now on in it."""
    file = stored_in(name, network, seed)
    if file.exists():
        with np.load(file) as stored:
            return Run(*(stored[field] if stored[field].ndim else stored[field].item() for field in Run._fields))
    problem = TARGETS[name]()
    model = of_network(network, problem, seed)
    x, y = jnp.asarray(problem.x), problem.y
    x_test, y_test = (problem.x[:0], y[:0]) if problem.x_test is None else (problem.x_test, problem.y_test)
    gram = np.asarray(kernels.empirical_ntk(model, x))
    modes = spectra.eigenmodes(gram)
    rate = float(1 / modes.eigenvalues[0])
    at = np.array(dynamics.log_spaced(STEPS))
    started = time.perf_counter()
    moving = corrected(model, problem, at, rate)
    spent = time.perf_counter() - started
    probes, tests = {}, [np.zeros((len(at), 0))] * 3
    cross = f0_test = None
    if len(x_test):
        held_out = jnp.asarray(x_test)
        probes["test"] = lambda model, x, y, step: jax.vmap(model)(held_out)
        cross, f0_test = np.asarray(kernels.empirical_ntk(model, held_out, x)), np.zeros(len(x_test))
    still = dynamics.frozen(gram, -y, cross=cross, f0_test=f0_test)
    trained = dynamics.train(model, x, y, learning_rate=rate, steps=STEPS, record=at.tolist(), probes=probes)
    if len(x_test):
        predicted = still.predictions_at(at, rate) - y_test
        tests = [trained.records["test"] - y_test, predicted, moving.test_residuals]
    norm, size = np.linalg.norm(y), np.linalg.norm(y_test)
    run = Run(
        at,
        *(one / norm for one in (trained.residuals, still.residuals_at(at, rate), moving.residuals)),
        moving.error_estimate * len(y) ** 0.5 / norm,
        *(one / size for one in tests),
        modes.eigenvectors,
        moving.status.name,
        spent,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **run._asdict())
    print(file.stem, run.status, f"{spent:.1f} s of {time.perf_counter() - started:.1f} s", flush=True)
    return run


def missed(one, other):
    """Root mean square over the steps of ‖one - other‖."""
    return float(np.sqrt(np.mean(np.sum((one - other) ** 2, axis=1))))


def factor(run, until=None, tests=False):
    """By how much order 4 divides the error of the frozen kernel."""
    if run.status != VALID:
        return 1.0
    chosen = (run.trained_test, run.frozen_test, run.order4_test) if tests else (run.trained, run.frozen, run.order4)
    trained, frozen, order4 = (one[:until] for one in chosen)
    return missed(frozen, trained) / missed(order4, trained)


def learning_time_errors(run, forecast):
    """Of modes with enough energy that either learns within the budget; 1 where only one of the two does."""
    enough = (run.trained[0] @ run.vectors) ** 2 >= ENOUGH
    measured, expected = (dynamics.crossing(run.steps, one @ run.vectors)[enough] for one in (run.trained, forecast))
    both = np.isfinite(measured) & np.isfinite(expected)
    either = np.isfinite(measured) | np.isfinite(expected)
    with np.errstate(invalid="ignore"):
        return np.where(both, np.abs(expected - measured) / measured, 1.0)[either]


def geometric(values):
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def of_target(name, network):
    """10 seeds of one network on one target."""
    runs = [of_seed(name, network, seed) for seed in range(SEEDS)]
    valid = [run for run in runs if run.status == VALID]
    left = [np.sum(run.frozen**2, axis=1) for run in runs]
    early = [int(np.argmax(one <= 1 - LEARNED)) + 1 if one[-1] <= 1 - LEARNED else None for one in left]
    statuses = [run.status for run in runs]
    result = {
        "target": name,
        **network._asdict(),
        "samples": len(runs[0].vectors),
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "frozen_misses": [missed(run.frozen, run.trained) for run in runs],
        "order_4_misses": [missed(run.order4, run.trained) for run in valid],
        "factors": [factor(run) for run in runs],
        "factor": geometric([factor(run) for run in runs]),
        "factor_until_most_is_learned": geometric([factor(run, until) for run, until in zip(runs, early, strict=True)]),
        "steps_until_most_is_learned": [
            int(run.steps[(until or 0) - 1]) for run, until in zip(runs, early, strict=True)
        ],
        "trained_energy_left": [float(np.sum(run.trained[-1] ** 2)) for run in runs],
        "held_out_factor": geometric([factor(run, tests=True) for run in runs]) if runs[0].trained_test.size else None,
        "frozen_learning_times": float(np.median(np.concatenate([learning_time_errors(r, r.frozen) for r in runs]))),
    }
    if valid:
        other = valid[1:] + valid[:1]
        result |= {
            "order_4_learning_times": float(
                np.median(np.concatenate([learning_time_errors(run, run.order4) for run in valid]))
            ),
            "frozen_learning_times_where_valid": float(
                np.median(np.concatenate([learning_time_errors(run, run.frozen) for run in valid]))
            ),
            "estimate_over_error": [
                float(np.sqrt(np.mean(run.estimate**2))) / missed(run.order4, run.trained) for run in valid
            ],
            "wrong_seed": geometric(
                [
                    missed(run.frozen, run.trained) / missed(run.frozen + wrong.order4 - wrong.frozen, run.trained)
                    for run, wrong in zip(valid, other, strict=True)
                ]
            ),
            "wrong_sign": geometric(
                [missed(run.frozen, run.trained) / missed(2 * run.frozen - run.order4, run.trained) for run in valid]
            ),
        }
    print(name, *network, {k: v for k, v in result.items() if isinstance(v, float | dict)}, flush=True)
    return result


def main(only_cached=False):
    jax.config.update("jax_enable_x64", True)
    encoded, raw = (
        [of_target(name, network) for name, network in some if not only_cached or is_cached(name, network)]
        for some in (ENCODED, RAW)
    )
    every = [value for one in encoded for value in one["factors"]]
    bars = {f"{one['activation']}, width {one['width']}, {one['target']}: factor": one["factor"] for one in encoded}
    bars["all: factor"] = geometric(every)
    bars = {text: (value, FACTOR, value >= FACTOR) for text, value in bars.items()}
    valid = [
        (value, one)
        for one in encoded + raw
        for value in one["factors"]
        if value != 1.0  # lost, or stopped: it says so
    ]
    least = min(value for value, _ in valid)
    seen = ", raw coordinates too" if raw else ""
    bars[f"every run improves or says that it lost its definiteness{seen}: least factor"] = least, 1, least > 1
    cautious = min(value for one in encoded + raw for value in one.get("estimate_over_error", []))
    bars["the error estimate is never too small: least ratio to the error"] = cautious, 1, cautious >= 1
    for control in ("wrong_seed", "wrong_sign"):
        value = max(one.get(control, 0.0) for one in encoded)
        bars[f"{control.replace('_', ' ')} fails: largest factor"] = value, FACTOR, value < FACTOR
    setting = {"steps": STEPS, "seeds": SEEDS, "learned": LEARNED, "complete": len(encoded + raw) == len(ENCODED + RAW)}
    return save("forecast_correction", bars, setting=setting, encoded=encoded, raw=raw)


if __name__ == "__main__":
    sys.exit(main("--cached" in sys.argv[1:]))
