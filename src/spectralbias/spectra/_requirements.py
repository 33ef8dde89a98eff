"""How many samples, how much width and how many steps the theorems ask for."""

import math
from typing import NamedTuple

import numpy as np

from .._core.checks import positive, whole
from .._core.errors import InputError
from ._sphere_spectrum import SphereSpectrum


class Requirements(NamedTuple):
    """What theorem 4.2 of Cao et al. asks for, as orders of magnitude: constants and logarithms are left out.

    Numbers that exceed float64 are inf.

    Attributes:
        degrees: the degrees whose eigenvalue is at least that of the given degree, largest eigenvalue first.
        num_functions: r, how many harmonics these are.
        eigenvalue: λ_r, that of the given degree; the rate of the theorem is the smallest one that is kept.
        gap: λ_r - λ_{r+1}.
        steps: T = log(2/ε)/λ_r at learning rate 1: the theorem's 2 (1 - λ_r)^T is then ε.
        samples: max(1/gap², M⁴ r²)/ε², with M² = N(dim, k) for the largest k that is kept.
        samples_from_gap: its first part.
        samples_from_functions: its second part.
        width: that of a polynomial in T, 1/λ_r and 1/ε, whose power is not stated: their product.
    """

    degrees: tuple[int, ...]
    num_functions: int
    eigenvalue: float
    gap: float
    steps: float
    samples: float
    samples_from_gap: float
    samples_from_functions: float
    width: float


def theorem_requirements(spectrum: SphereSpectrum, degree: int, *, epsilon: float = 0.1) -> Requirements:
    """What the theorem on kernel-regime convergence asks for, so that the parts up to a degree are learned up to ε.

    With n ≥ max(1/gap², M⁴ r²)/ε² samples, width m ≥ poly(T, 1/λ_r, 1/ε) and θ ~ ε:
    ‖V_rᵀ(y - ŷ_T)‖/√n ≤ 2 (1 - λ_r)^T ‖V_rᵀ y‖/√n + ε. The cut is made between different eigenvalues only.

    These are what a proof needs, and far from what training needs: the measured thresholds are
    in the studies `cao-sample-threshold` and `cao-width-threshold`.

    Args:
        spectrum: of `sphere_spectrum`, with some degrees beyond the given one.
        degree: the last degree that must be learned; its eigenvalue must not be 0.
        epsilon: ε, in (0, 1).

    Returns:
        `Requirements`.

    Raises:
        InputError: a degree outside of the spectrum or with eigenvalue 0, ε outside of (0, 1).

    Example:
        >>> from spectralbias import kernels, spectra
        >>> spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), 10, 8)
        >>> needed = spectra.theorem_requirements(spectrum, 2)
        >>> needed.degrees, needed.num_functions, round(needed.steps)
        ((0, 1, 2), 65, 528)

    References:
        Cao et al. 2021, theorem 4.2, corollaries 4.6 and 4.7.
    """
    degree = whole("degree", degree, 0)
    if degree > spectrum.max_degree:
        raise InputError(f"`degree` must be between 0 and the spectrum's {spectrum.max_degree}, got {degree}")
    positive("epsilon", epsilon)
    if epsilon >= 1:
        raise InputError(f"`epsilon` must be below 1, got {epsilon}")
    logs = spectrum.log_eigenvalues
    if not np.isfinite(logs[degree]):
        raise InputError(f"the eigenvalue of degree {degree} is 0: no width and no time is enough to learn it")
    order = np.argsort(-logs, kind="stable")
    kept = tuple(int(k) for k in order if logs[k] >= logs[degree])
    rest = [logs[k] for k in order if logs[k] < logs[degree]]
    if not rest or degree > spectrum.max_degree - 2:
        raise InputError(
            f"the eigenvalue that follows that of degree {degree} may lie beyond the spectrum, which ends at degree "
            f"{spectrum.max_degree}: compute it to a larger `max_degree`"
        )
    count = sum(spectrum.multiplicities[k] for k in kept)
    log_gap = logs[degree] + math.log(-math.expm1(rest[0] - logs[degree]))
    log_epsilon = math.log(epsilon)
    log_steps = math.log(math.log(2 / epsilon)) - logs[degree]
    from_gap = -2 * log_gap - 2 * log_epsilon
    largest = max(spectrum.multiplicities[k] for k in kept)
    from_functions = 2 * math.log(largest) + 2 * math.log(count) - 2 * log_epsilon
    return Requirements(
        degrees=kept,
        num_functions=count,
        eigenvalue=float(np.exp(logs[degree])),
        gap=_exp(log_gap),
        steps=_exp(log_steps),
        samples=_exp(max(from_gap, from_functions)),
        samples_from_gap=_exp(from_gap),
        samples_from_functions=_exp(from_functions),
        width=_exp(log_steps - logs[degree] - log_epsilon),
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
