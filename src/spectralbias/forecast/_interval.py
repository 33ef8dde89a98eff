"""How much the learning times of a new initialization of the same architecture scatter."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from ..dynamics import crossing, log_spaced
from ..problems import Problem
from ._moving import slowdown
from ._start import Start, of_network

# Learning times are followed up to so many budgets.
FURTHER = 100
# A mode that one step learns would have the logarithm of 0.
SHORTEST = 1e-3
# Of new networks, in the interval.
COVERED = 0.9


def interval(
    model: Any,
    start: Start,
    problem: Problem,
    initialize: Callable[[Array], Any],
    count: int,
    budget: int,
    rate: float,
    momentum: float,
    key: Array | None,
) -> Float[np.ndarray, "k 2"]:
    """90 % of new networks: from what the frozen kernel of each of `count` does to the residual in the modes of one.

    Where the motion of the kernel of that one changes a learning time, by a factor, the interval is widened by it.
    """
    problem = dataclasses.replace(problem, x_test=None, y_test=None, basis_test=None)
    horizon = FURTHER * budget
    steps = np.array(log_spaced(horizon))
    times = []
    for one in jax.random.split(jax.random.key(0) if key is None else key, count):
        prediction = of_network(initialize(one), problem).frozen
        times.append(crossing(steps, start.modes.project(prediction.residuals_at(steps, rate, momentum))))
    factor = slowdown(model, start, problem, budget, horizon, rate, momentum)
    return of_one_more(np.array(times), float(horizon)) * np.stack([np.minimum(factor, 1), np.maximum(factor, 1)], 1)


def of_one_more(times: Float[np.ndarray, "m k"], horizon: float) -> Float[np.ndarray, "k 2"]:
    """Where one more draw lies with probability 0.9, if logarithms of times are normal: Student's t, for each column.

    A column with an infinity, a time beyond the horizon, has no normal logarithm: it reaches from its smallest value to
    infinity.
    """
    count = len(times)
    logs = np.log(np.clip(times, SHORTEST, horizon))
    half = stats.t.ppf((1 + COVERED) / 2, count - 1) * logs.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    middle = logs.mean(axis=0)
    reached = np.isfinite(times).all(axis=0)
    low = np.where(reached, np.exp(middle - half), np.exp(logs.min(axis=0)))
    return np.stack([low, np.where(reached, np.exp(middle + half), np.inf)], axis=1)
