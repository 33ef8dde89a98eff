"""The bands of a problem: which labelled parts of function space fit it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.linalg

from .._core.errors import InputError, unknown
from ..problems import Problem
from ._band_kinds import Bands, BasisBands, SampleBands
from ._degree_bands import degree_bands
from ._frequency_bands import frequency_bands

KINDS = ("degree", "frequency", "class", "basis")


def bands(
    problem: Problem,
    *,
    by: Literal["degree", "frequency", "class", "basis"] | None = None,
    degrees: int | Sequence[int] | np.ndarray | None = None,
    max_frequency: float | None = None,
) -> Bands:
    """The bands of a problem: parts of function space with a name, and the energy of residuals in each.

    By default those that fit: a labelled basis gives one band per label (the span of its functions); a grid gives rings
    of frequencies, octaves for images, and for signals a ring around each frequency that carries the target; classes
    give one band each. Otherwise there is a single band of everything.

    Args:
        problem: the problem.
        by: a kind of bands instead of the one that fits:

            - `"basis"`: the span of each label of the problem's basis.
            - `"degree"`: all spherical harmonics of each degree, for inputs on the unit sphere, without a basis.
              The inputs must be random points: of the problem's `measure`, whose density is divided out, or uniform.
              The energies are unbiased estimates that scatter by about σ²√(2N)/n for a residual of mean square σ², N
              the number of harmonics of the degree; an estimate below 0 counts as 0.
            - `"frequency"`: rings of frequencies. Inputs that are no grid must lie in [-1, 1]; the Fourier modes up to
              `max_frequency` are then fitted to each residual by least squares, in octaves.
            - `"class"`: the samples of each class.
        degrees: for `by="degree"`; otherwise those that the basis names, or those from 0 to 10 that have no more
            harmonics than there are samples.
        max_frequency: for `by="frequency"` of scattered inputs, in cycles per window.

    Returns:
        An object with `.names`, `.kind` and `.energy(residuals)` of shape (…, bands).

    Raises:
        InputError: a kind of bands that the problem has not what it takes for; an option of another kind.

    Cost and precision:
        Of each call of `.energy` with T residuals: n T operations times the size of a basis; an FFT each; for degrees
        n² (2.5 k + 2 T) with the largest degree k; for scattered frequencies a least-squares fit of p modes, 6 n p².

    Example:
        >>> import jax
        >>> from spectralbias import problems, spectra
        >>> problem = problems.harmonics(num_samples=50, num_test=0, key=jax.random.key(0))
        >>> spectra.bands(problem).names
        ('degree 1', 'degree 2', 'degree 4')
        >>> spectra.bands(problem, by="degree", degrees=range(3)).names
        ('degree 0', 'degree 1', 'degree 2')
    """
    if by not in (None, *KINDS):
        raise unknown("kind of bands", by, KINDS)
    for name, value, kind in (("degrees", degrees, "degree"), ("max_frequency", max_frequency, "frequency")):
        if value is not None and by != kind:
            raise InputError(f'`{name}` is for by="{kind}", got by={by!r}: leave it out, or choose that kind')
    match by or _what_fits(problem):
        case "degree":
            return degree_bands(problem, degrees)
        case "frequency":
            return frequency_bands(problem, max_frequency)
        case "class":
            return _class_bands(problem)
        case "basis":
            return _basis_bands(problem)
    labels = np.zeros(problem.num_samples, int)
    return SampleBands(("all",), "all", problem.num_samples, problem.y.shape[1:], labels=labels)


def _what_fits(problem: Problem) -> str | None:
    """The first kind of bands that the problem names; inputs on the sphere alone are no reason for degrees."""
    named = {"basis": problem.basis, "frequency": problem.grid, "class": problem.classes}
    return next((kind for kind, value in named.items() if value is not None), None)


def _basis_bands(problem: Problem) -> BasisBands:
    if problem.basis is None:
        raise InputError('bands by="basis" need a problem with a `basis`: choose other bands, or give it one')
    kind = "degree" if all(name.startswith("degree ") for name in problem.basis) else "basis"
    bases = tuple(scipy.linalg.orth(functions) for functions in problem.basis.values())
    return BasisBands(tuple(problem.basis), kind, problem.num_samples, problem.y.shape[1:], bases=bases)


def _class_bands(problem: Problem) -> SampleBands:
    if problem.classes is None:
        raise InputError('bands by="class" need a problem with `classes` and one-hot targets: choose other bands')
    labels = np.argmax(problem.y, axis=1)
    return SampleBands(problem.classes, "class", problem.num_samples, problem.y.shape[1:], labels=labels)
