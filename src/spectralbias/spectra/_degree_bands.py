"""Bands of degrees on the sphere, without a basis."""

import itertools
import math

import equinox as eqx
import numpy as np

from .._core.errors import InputError
from .._core.gegenbauer import multiplicity
from .._core.sphere import NORM_TOLERANCE, unit_vectors
from ..problems import Problem
from ._band_kinds import Bands
from ._degree_energy import pair_energies
from ._degrees import as_degrees

# Without a choice of degrees, those from 0 up to this one that have no more harmonics than there are samples.
MAX_DEFAULT_DEGREE = 10


class DegreeBands(Bands):
    """Energy in all harmonics of each degree, estimated from random points of the sphere as by `degree_energies`.

    The estimate is unbiased, and 0 in place of a value below 0. It does not see on n points what other degrees add up
    to: a residual of mean square σ² makes every band scatter by about σ²√(2N)/n, N the number of harmonics of its
    degree. Energies far below that are noise.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    num_samples: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    degrees: tuple[int, ...] = eqx.field(static=True)
    x: np.ndarray
    weights: np.ndarray

    def _energy(self, r: np.ndarray) -> np.ndarray:
        columns = np.moveaxis(r, -2, 0).reshape(self.num_samples, -1) * self.weights[:, None]
        energies = pair_energies(self.degrees, self.x, columns)
        energies = energies.reshape(len(self.degrees), *r.shape[:-2], r.shape[-1]).sum(axis=-1)
        return np.maximum(np.moveaxis(energies, 0, -1), 0.0)


def degree_bands(problem: Problem, degrees) -> DegreeBands:
    """Bands of the given degrees, of those that the problem's basis names, or of the lowest ones."""
    norms = np.linalg.norm(problem.x.reshape(problem.num_samples, -1), axis=1)
    if problem.x.ndim != 2 or problem.x.shape[1] < 2 or np.abs(norms - 1).max() > NORM_TOLERANCE:
        raise InputError(
            f'bands by="degree" need inputs on the unit sphere, got `x` of shape {problem.x.shape} with norms from '
            f"{norms.min():.3g} to {norms.max():.3g}: divide each input by its norm, or choose other bands"
        )
    points = unit_vectors("x", problem.x)
    n, dim = points.shape
    weights = np.ones(n)
    if problem.measure is None:
        _check_uniform(points)
    else:
        density = problem.measure.density(points)
        if density.min() <= 0:
            raise InputError(f"the problem's `measure` has density 0 at row {density.argmin()} of `x`: correct it")
        weights = 1 / density
    chosen = _default_degrees(problem, n, dim) if degrees is None else as_degrees(degrees, "degrees")
    if len(set(chosen)) < len(chosen):
        raise InputError(f"`degrees` must name none twice, got {chosen}")
    return DegreeBands(
        tuple(f"degree {k}" for k in chosen),
        "degree",
        n,
        problem.y.shape[1:],
        degrees=tuple(chosen),
        x=points,
        weights=weights,
    )


def _check_uniform(x: np.ndarray) -> None:
    """Refuse points whose mean or covariance is not that of the uniform measure: the tests of Rayleigh and Bingham.

    For uniform points the energy of the function 1 in a degree of N harmonics is 0 ± √(2N)/n.
    """
    n, dim = x.shape
    for k, what in ((1, "mean"), (2, "covariance")):
        (energy,) = pair_energies([k], x, np.ones((n, 1)))[:, 0]
        deviations = energy * n / math.sqrt(2 * multiplicity(k, dim))
        if deviations > 15:
            raise InputError(
                f'bands by="degree" need random inputs of known measure, and the {what} of `x` is {deviations:.0f} '
                "standard deviations from that of uniform ones: give the problem its `measure`"
            )


def _default_degrees(problem: Problem, n: int, dim: int) -> list[int]:
    named = [name.removeprefix("degree ") for name in problem.basis or {} if name.startswith("degree ")]
    if named and all(name.isdecimal() for name in named):
        return [int(name) for name in named]
    small = itertools.takewhile(lambda k: multiplicity(k, dim) <= n, range(MAX_DEFAULT_DEGREE + 1))
    return list(small)
