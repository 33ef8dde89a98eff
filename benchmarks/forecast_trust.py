"""Whether a forecast knows when not to be trusted: narrow to wide networks, small to large targets, up to the edge.

Targets of 64 samples, 1000 steps. The thresholds were set on china, a chirp, camera, astronaut and doppler, and hold on
others. A forecast fails where the median error of its learning times is above 15 %, the loss curve is off by 15 % of
the root of its start somewhere, or the training diverges.
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from _common import save
from _times_trainings import BIAS, FREQUENCIES, learned
from forecast_times import ENOUGH, LARGEST_ERROR

from spectralbias import dynamics, forecast, models, problems
from spectralbias.models.encodings import PositionalEncoding

SAMPLES, STEPS = 64, 1000
TARGETS = ("moon", "coffee", "blocks")
# Activation, width, depth, factor on the target, share of the stability limit.
CASES = (
    *(("relu", width, depth, 1.0, 0.5) for width, depth in itertools.product((16, 64, 256, 1024), (1, 2, 3))),
    *((activation, width, 2, 1.0, 0.5) for activation in ("tanh", "gelu") for width in (32, 128)),
    *(("relu", 256, 2, scale, 0.5) for scale in (3.0, 10.0, 30.0)),
    *(("relu", width, 2, 1.0, share) for width in (64, 512) for share in (0.1, 0.85, 0.95, 0.98, 1.02)),
)


def of_case(problem, activation, width, depth, scale, share):
    """One training, and what was said of it before."""
    problem = problems.Problem(problem.x, scale * problem.y)
    model = models.MLP(
        problem.x.shape[1], "scalar", width, depth, activation=activation, bias_std=BIAS, antisymmetric=True,
        encoding=PositionalEncoding(FREQUENCIES), key=jax.random.key(0),
    )  # fmt: skip
    limit = forecast.forecast(model, problem, steps=1, level="empirical").stability_limit
    found = forecast.forecast(model, problem, learning_rate=share * limit, steps=STEPS, level="empirical")
    run = dynamics.train(
        model, jnp.asarray(problem.x, jnp.float32), problem.y, learning_rate=share * limit, steps=STEPS,
        record=dynamics.log_spaced(STEPS),
    )  # fmt: skip
    diverged = len(run.loss) < len(found.loss) or not run.loss[-1] < run.loss[0]
    result = {
        "activation": activation, "width": width, "depth": depth, "scale": scale, "share_of_limit": share,
        "trust": found.trust.status.name, "diverged": bool(diverged),
    }  # fmt: skip
    if diverged:
        return {**result, "failed": True}
    enough = found.shares >= ENOUGH
    measured = dynamics.crossing(run.steps, found.modes.project(np.asarray(run.residuals, float)))[enough]
    predicted = found.learning_times[enough]
    both = (measured <= STEPS) & (predicted <= STEPS)
    with np.errstate(invalid="ignore"):
        error = np.where(both, np.abs(predicted - measured) / measured, 1.0)[(measured <= STEPS) | (predicted <= STEPS)]
    median = float(np.median(error))
    curve = float(np.max(np.abs(np.sqrt(run.loss) - np.sqrt(found.loss))) / np.sqrt(run.loss[0]))
    return {
        **result,
        "drift": found.motion.drift,
        "linearization_error": found.motion.error,
        "median_error": median,
        "loss_error": curve,
        "failed": median > LARGEST_ERROR or curve > LARGEST_ERROR,
    }


def main():
    rows = []
    for name in TARGETS:
        whole = learned(name)
        every = whole.num_samples // SAMPLES
        problem = problems.Problem(whole.x[::every], whole.y[::every])
        for case in CASES:
            rows.append({"target": name, **of_case(problem, *case)})
            print(rows[-1], flush=True)
    trusted = [row for row in rows if row["trust"] == "good"]
    failed = [row for row in rows if row["failed"]]
    beyond = [row for row in rows if row["trust"] == "none"]
    summary = {
        "cases": len(rows),
        "trusted": len(trusted),
        "failed": len(failed),
        "trusted_and_failed": sum(row["failed"] for row in trusted),
        "doubted_but_right": sum(row["trust"] == "doubtful" and not row["failed"] for row in rows),
        "beyond_the_limit": len(beyond),
        "beyond_the_limit_and_diverged": sum(row["diverged"] for row in beyond),
        "worst_trusted_median_error": max(row.get("median_error", np.inf) for row in trusted),
        "worst_trusted_loss_error": max(row.get("loss_error", np.inf) for row in trusted),
    }
    bars = {
        "median error of learning times, worst forecast called good": (
            summary["worst_trusted_median_error"], LARGEST_ERROR, summary["worst_trusted_median_error"] <= LARGEST_ERROR
        ),
        "forecasts that failed, and were called good": (
            summary["trusted_and_failed"], 0, summary["trusted_and_failed"] == 0
        ),
        "forecasts called good": (len(trusted), len(rows) / 4, len(trusted) >= len(rows) / 4),
    }  # fmt: skip
    return save(
        "forecast_trust",
        bars,
        setting={"samples": SAMPLES, "steps": STEPS, "targets": list(TARGETS)},
        summary=summary,
        cases=rows,
    )


if __name__ == "__main__":
    sys.exit(main())
