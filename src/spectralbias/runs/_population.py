"""On which points a run's deviation from the frozen kernel is looked at, and that kernel on them."""

from typing import NamedTuple

import numpy as np

from .._core.errors import InputError, unknown
from ..dynamics import KernelRecorder
from ..models import MLP
from ..problems import Problem
from ..spectra import Bands, bands
from ..spectra._modes import DEFAULT_TOP_MODES
from ._build import build_optimizer, build_trainer, infinite_gram
from ._config import Config
from ._record import Schedule

POINTS = ("auto", "train", "held out")
# At most so many bytes: for the frozen kernel between the points, and between them and the training points; for its
# modes, if their number is not given; for what training keeps.
KERNEL_BYTES, MODES_BYTES, PATH_BYTES = 2**30, 2**28, 2**32


class Population(NamedTuple):
    """The points: held-out ones, which stand for the population, or the training points.

    Attributes:
        held_out: whether they are held out.
        problem: the points, as a problem of their own.
        total: how many held-out or training points there are.
        infinite: whether the frozen kernel is that of infinite width; else it is the network's own at the start.
    """

    held_out: bool
    problem: Problem
    total: int
    infinite: bool

    @property
    def name(self) -> str:
        """Which points they are."""
        return "held out" if self.held_out else "train"

    @property
    def size(self) -> int:
        """How many points there are."""
        return self.problem.num_samples

    @property
    def recorder(self) -> KernelRecorder:
        """What training keeps for them."""
        return KernelRecorder(self.problem.x, self.problem.y) if self.held_out else KernelRecorder()

    @property
    def bands(self) -> Bands:
        """Their bands."""
        return bands(self.problem)


def check_training(config: Config) -> None:
    """Refuse trainings that are no gradient descent with the kernel."""
    if build_optimizer(config, 1.0).momentum is None:
        raise InputError(
            f"deviations are those of gradient descent, with or without momentum: `{config.training.optimizer}` does "
            "not follow the kernel; use optimizer `gd`"
        )
    if config.training.batch_size is not None:
        raise InputError(
            "deviations are those of gradient descent on all samples, and this training takes mini-batches of "
            f"{config.training.batch_size}: leave `batch_size` out"
        )


def choose(config: Config, problem: Problem, model: MLP, points: str) -> Population:
    """The points; `"auto"` takes held-out ones where there are some with the bands of the run."""
    if points not in POINTS:
        raise unknown("choice of `points`", points, POINTS)
    if points == "held out" and problem.x_test is None:
        raise InputError("this run has no held-out samples: look at the training points, with points `train`")
    known = infinite_gram(config, model, problem.x[:1]) is not None
    # At infinite width the kernel is the same for every output.
    room = KERNEL_BYTES / 8 / (1 if known else problem.num_outputs or 1) ** 2
    n = problem.num_samples
    if points == "held out" or (points == "auto" and _has_bands_held_out(problem)):
        most = int(np.sqrt(n**2 / 4 + room) - n / 2)  # of m (m + n) values
        found = Population(True, held_out(problem, most), len(_test(problem)[0]), known)
    else:
        found = Population(False, problem, n, known and n**2 <= room)
    _check_size(config, problem, model, found)
    return found


def _test(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    assert problem.x_test is not None
    assert problem.y_test is not None
    return problem.x_test, problem.y_test


def _has_bands_held_out(problem: Problem) -> bool:
    """Whether there are held-out samples, with bands of the kind that the training samples have."""
    if problem.x_test is None or problem.y_test is None or np.all(problem.y_test == problem.y_test[:1]):
        return False
    return bands(held_out(problem, len(problem.x_test))).kind == bands(problem).kind


def held_out(problem: Problem, most: int) -> Problem:
    """The held-out samples as a problem; of more than `most` those that are evenly spread."""
    x, y = _test(problem)
    kept = np.unique(np.linspace(0, len(x) - 1, max(2, min(len(x), most))).round().astype(int))
    grid = problem.grid
    if grid is not None:
        # A grid that is only shifted, as the one between the samples of a signal, has the same frequencies.
        shifted = len(kept) == len(problem.x) and np.allclose(x - problem.x, (x - problem.x)[:1], atol=1e-9)
        grid = grid if shifted else None
    basis = None if problem.basis_test is None else {name: phi[kept] for name, phi in problem.basis_test.items()}
    return Problem(
        x[kept],
        y[kept],
        measure=problem.measure,
        grid=grid,
        classes=problem.classes,
        names=problem.names,
        basis=basis,
    )


def _check_size(config: Config, problem: Problem, model: MLP, population: Population) -> None:
    """Refuse what would not fit into memory: the residuals that training keeps, in float32 and in float64."""
    trainer = build_trainer(config, problem, model, 1.0)
    looks = len(population.recorder.panels(trainer, config.training.steps).nodes)
    on_points = population.problem.num_targets if population.held_out else 0
    values = looks * (problem.num_targets + 2 * on_points)
    values += len(Schedule(config).record) * (problem.num_targets + on_points)
    if 16 * values > PATH_BYTES:
        raise InputError(
            f"deviations keep {looks:,} residuals of {problem.num_targets + on_points:,} values, "
            f"{16 * values / 2**30:.0f} GB: take smaller data (a picture's `size`, a table's `max_samples`)"
        )


def default_modes(population: Population) -> int | None:
    """All modes of the frozen kernel, or as many (of each output, if it is that of infinite width) as have room."""
    outputs = population.problem.num_outputs or 1
    most = int(MODES_BYTES / 8 / (population.size * outputs))
    if population.problem.num_targets <= most:
        return None
    return max(1, most // outputs if population.infinite else min(most, DEFAULT_TOP_MODES))


def frozen_kernel(
    config: Config, problem: Problem, model: MLP, population: Population
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """K on the points, and between them and the training points; None for the network's own."""
    if not population.infinite:
        return None, None
    points = population.problem.x
    gram = infinite_gram(config, model, points)
    cross = infinite_gram(config, model, points, problem.x) if population.held_out else None
    # Far from the origin an activation may be too rough for the quadrature of its dual.
    known = gram is not None and (cross is not None or not population.held_out)
    return (gram, cross) if known else (None, None)
