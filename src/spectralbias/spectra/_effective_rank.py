"""How many eigenvalues carry a spectrum."""

import math
import sys
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import ArrayLike

from .._core.checks import finite_array
from .._core.errors import InputError, unknown

Kind = Literal["trace", "entropy", "participation"]

# Negative eigenvalues of a positive semi-definite matrix, as a fraction of the largest, that rounding explains.
ROUNDING = 1e-5


def effective_rank(
    eigenvalues: ArrayLike | Sequence[float],
    multiplicities: ArrayLike | Sequence[int] | None = None,
    *,
    kind: Kind = "trace",
) -> float:
    """How many equal eigenvalues would have the same trace, entropy or purity.

    "trace": Σλ/λ_max. "entropy": exp(-Σ p log p), p = λ/Σλ. "participation": (Σλ)²/Σλ². Sums run over all eigenvalues
    with their multiplicities. Each lies between 1 and the number of positive eigenvalues, which equal ones reach.

    Args:
        eigenvalues: λ of a positive semi-definite operator, in any order, (k,). Negative values down to -1e-5 λ_max
            are rounding errors and count as 0.
        multiplicities: how often each occurs, (k,), integers of any size; once by default.
        kind: which definition.

    Returns:
        A number of at least 1; infinity beyond the range of float64.

    Raises:
        InputError: a spectrum with a negative eigenvalue or without a positive one, an unknown kind.

    Cost and precision:
        k operations on logarithms: multiplicities may exceed the range of float64.

    Example:
        >>> from spectralbias import spectra
        >>> spectra.effective_rank([1.0, 0.5], [1, 2])
        2.0

    References:
        Trace: Vershynin 2018, High-Dimensional Probability, sec. 5.6; r_0 of Bartlett, Long, Lugosi and Tsigler 2020,
        Benign overfitting in linear regression, whose R_0 is the participation ratio. Entropy: Roy and Vetterli 2007,
        The effective rank.
    """
    values = finite_array("eigenvalues", eigenvalues, ndim=1)
    largest = np.max(values, initial=0.0)
    if largest <= 0:
        raise InputError("`eigenvalues` has no positive value: an effective rank needs one")
    if np.min(values) < -ROUNDING * largest:
        raise InputError(
            f"`eigenvalues` of a positive semi-definite operator are 0 or more, got {np.min(values)} beside {largest}"
        )
    with np.errstate(divide="ignore"):
        return from_logarithms(np.log(np.maximum(values, 0)), _log_counts(multiplicities, len(values)), kind=kind)


def _log_counts(multiplicities: ArrayLike | Sequence[int] | None, size: int) -> np.ndarray:
    """Logarithms of the multiplicities, which may be Python integers beyond the range of float64."""
    if multiplicities is None:
        return np.zeros(size)
    counts = list(multiplicities)  # pyright: ignore[reportArgumentType]
    if len(counts) != size:
        raise InputError(f"`multiplicities` must have one integer per eigenvalue, {size}, got {len(counts)}")
    wrong = [count for count in counts if int(count) != count or count < 0]
    if wrong:
        raise InputError(f"`multiplicities` must be integers, 0 or more, got {wrong[0]}")
    return np.array([math.log(int(count)) if count > 0 else -math.inf for count in counts])


def from_logarithms(log_eigenvalues: np.ndarray, log_multiplicities: np.ndarray, *, kind: Kind) -> float:
    """`effective_rank` of eigenvalues that float64 cannot hold; -inf is an eigenvalue of 0."""
    if kind not in get_args(Kind):
        raise unknown("kind of effective rank", kind, get_args(Kind))
    present = np.isfinite(log_eigenvalues) & np.isfinite(log_multiplicities)
    if not np.any(present):
        raise InputError("`eigenvalues` has no positive value: an effective rank needs one")
    values, counts = log_eigenvalues[present], log_multiplicities[present]
    values = values - np.max(values)
    total = np.logaddexp.reduce(counts + values)
    if kind == "trace":
        logarithm = total
    elif kind == "participation":
        logarithm = 2 * total - np.logaddexp.reduce(counts + 2 * values)
    else:
        logarithm = np.sum(np.exp(counts + values - total) * (total - values))
    return math.exp(logarithm) if logarithm < math.log(sys.float_info.max) else math.inf
