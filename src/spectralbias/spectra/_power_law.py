"""Straight lines through logarithms: decay exponents and their errors."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .._core.errors import InputError


class PowerLaw(NamedTuple):
    """y ≈ prefactor · x^exponent.

    Attributes:
        exponent: the slope of log y on log x.
        stderr: its standard error, from the scatter around the line; a curve's lack of straightness counts, too.
        log_prefactor: natural logarithm of the prefactor, which may underflow.
        first: the first degree or dim of the fit.
        last: the last.
    """

    exponent: float
    stderr: float
    log_prefactor: float
    first: int
    last: int


class Asymptote(NamedTuple):
    """What theory says of the highest degrees: μ_k → e^log_prefactor · k^exponent.

    With k + dim/2 - 1 in place of k what is left out is of second order in 1/k.

    Attributes:
        exponent: -dim for kernels of ReLU-like networks, as long as the kinks of both ends do not cancel.
        log_prefactor: natural logarithm of the prefactor.
    """

    exponent: float
    log_prefactor: float


def fit_power_law(
    points: Sequence[int] | np.ndarray, log_x: Float[np.ndarray, " n"], log_y: Float[np.ndarray, " n"]
) -> PowerLaw:
    """Least squares of log y on log x, at three points or more."""
    centered = log_x - log_x.mean()
    slope = float(centered @ log_y / (centered @ centered))
    intercept = float(log_y.mean() - slope * log_x.mean())
    scatter = log_y - intercept - slope * log_x
    stderr = float(np.sqrt(scatter @ scatter / (len(log_x) - 2) / (centered @ centered)))
    return PowerLaw(slope, stderr, intercept, int(points[0]), int(points[-1]))


def dim_exponent(kernel: Any, degree: int, dims: Sequence[int]) -> PowerLaw:
    """The power p of μ_k ~ dim^p for a fixed degree k, fitted over `dims`: the regime dim ≫ k.

    Args:
        kernel: as in `sphere_spectrum`. Note that `infinite_ntk` has a factor 1/dim of its own on the unit sphere.
        degree: k, 0 or more.
        dims: three ambient dimensions or more, increasing; well above the degree.

    Returns:
        A `PowerLaw` in dim. For `cao_kernel` it tends to -k for even k and for k = 1.

    Raises:
        InputError: fewer than three dims, dims that do not increase, an eigenvalue that is 0.

    Example:
        >>> from spectralbias import kernels, spectra
        >>> round(spectra.dim_exponent(kernels.cao_kernel(), 2, [1000, 3000, 10_000]).exponent, 2)
        -2.0

    References:
        Cao et al. 2021, theorem 4.3, which states 1 - k for even k; that would contradict Σ N μ = κ(1).
    """
    from ._sphere import sphere_spectrum

    if len(dims) < 3 or any(b <= a for a, b in itertools.pairwise(dims)):
        raise InputError(f"`dims` must be three dimensions or more, increasing, got {list(dims)}")
    logs = np.array([sphere_spectrum(kernel, dim, degree).log_eigenvalues[degree] for dim in dims])
    if not np.all(np.isfinite(logs)):
        raise InputError(
            f"the eigenvalue of degree {degree} is 0 in dim {dims[int(np.argmin(logs))]}: no power fits it"
        )
    return fit_power_law(dims, np.log(dims), logs)
