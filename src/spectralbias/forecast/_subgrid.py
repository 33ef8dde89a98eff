"""A large grid seen on a part of its nodes, where the Gram is small: how far waves are from the true modes."""

import math
from typing import Any

import equinox as eqx
import numpy as np

from ..dynamics import log_spaced
from ..problems import Grid, Problem
from ._motion import Motion, motion
from ._start import of_kernel, of_network
from ._stationary import wave_modes

# Nodes of the part.
NODES = 1024


class Seen(eqx.Module):
    """What the part of the grid shows.

    Attributes:
        difference: largest ‖r_waves - r‖/‖r(0)‖ over the steps, r by the exact modes there: of the network's own
            kernel, or of the kernel where no network is given.
        motion: of the network there; None without one.
    """

    difference: float = eqx.field(static=True)
    motion: Motion | None


def subgrid(problem: Problem, nodes: int = NODES) -> Problem:
    """Every k-th node along each axis, about so many in all, with the coordinates spread over the same window."""
    assert problem.grid is not None
    shape = problem.grid.shape
    stride = max(1, math.ceil((problem.num_samples / nodes) ** (1 / len(shape))))
    sizes = tuple(max(2, size // stride) for size in shape)
    axes = [np.arange(size) * (full // size) for size, full in zip(sizes, shape, strict=True)]
    chosen = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), shape).ravel()
    length = problem.grid.periodic_length
    cells = [length * (np.arange(size) + 0.5) / size for size in sizes]
    first = problem.x[0] - [length / (2 * full) for full in shape]
    x = first + np.stack(np.meshgrid(*cells, indexing="ij"), axis=-1).reshape(-1, len(shape))
    return Problem(x, problem.y[chosen], grid=Grid(sizes, length, problem.grid.unit))


def compare_on_subgrid(
    kernel: Any, network: Any, problem: Problem, rate: float, steps: int, momentum: float, few: int
) -> Seen:
    """The same forecast on a part of the nodes, by waves and by the exact modes."""
    outputs = problem.num_outputs or 1
    part = subgrid(problem, NODES // outputs)
    start = of_kernel(kernel, part) if network is None else of_network(network, part)
    exact = start.frozen
    waves = wave_modes(kernel, part, -part.y if network is None else exact.residuals_at([0], rate)[0])
    at = [step for step in log_spaced(steps, dense=3, per_decade=5) if step]
    residuals = exact.residuals_at([0, *at], rate, momentum)
    scale = float(np.linalg.norm(residuals[0]))
    others = [waves.residual_at(step, rate, momentum) for step in at]
    difference = max(float(np.linalg.norm(a - b)) / scale for a, b in zip(residuals[1:], others, strict=True))
    if network is None:
        return Seen(difference, None)
    return Seen(difference, motion(network, start, rate, steps, momentum, few))
