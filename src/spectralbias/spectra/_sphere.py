"""Mercer eigenvalues on the sphere, each by the method that keeps its digits."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import mpmath
import numpy as np

from .._core.checks import whole
from .._core.errors import InputError, unknown
from .._core.gegenbauer import multiplicities
from ..kernels import InfiniteKernel, arc_cosine
from ..kernels._precise import is_kinked, precise_profile
from ._arc_cosine_spectrum import as_arc_cosine_sum
from ._float_spectrum import by_float_quadrature
from ._funk_hecke import ROUNDING
from ._mercer import Eigenvalues, not_finite, not_positive
from ._precise_spectrum import asymptotes_of, by_hermite_series, by_quadrature
from ._precision import working_bits
from ._sphere_spectrum import SphereSpectrum, SphereStatus

WHICH = {"ntk": 0, "nngp": 1}


def sphere_spectrum(kernel: Any, dim: int, max_degree: int, *, which: Literal["ntk", "nngp"] = "ntk") -> SphereSpectrum:
    """Mercer eigenvalues μ_0 … μ_K of a kernel κ(⟨x, x'⟩) on the unit sphere S^(dim-1).

    In the uniform probability measure κ(⟨x, x'⟩) = Σ_k μ_k Σ_{j ≤ N(dim, k)} Y_kj(x) Y_kj(x'), with

        μ_k = Γ(dim/2)/(√π Γ((dim-1)/2)) ∫ κ(t) P_k(t) (1 - t²)^((dim-3)/2) dt,   P_k(1) = 1.

    Gradient flow learns the degree-k part of a target as e^(-μ_k t), in the limit of many samples and large width.

    Args:
        kernel: an object with `.profile(cosine, dim=…)`, such as `kernels.cao_kernel()`; or a function of the cosine.
            A function that also takes `mpmath.mpf` numbers and returns them with all their digits, as
            `lambda t: (1 + t) ** 3`, is evaluated with as many digits as its eigenvalues need; any other one with the
            digits of float64. `functools.partial(kernels.arc_cosine, degree=…)` has a closed form.
        dim: ambient dimension, 2 or more.
        max_degree: K, 0 or more.
        which: the `"ntk"` of a kernel object, or its `"nngp"` kernel.

    Returns:
        A `SphereSpectrum`.

    Raises:
        InputError: a degree below 0, a dim below 2, a profile that is not finite, or that is not positive definite; one
            that is 0, or whose κ(1) float64 cannot hold.

    Cost and precision:
        One hidden ReLU-like layer without biases: a closed form, full float64 precision at any degree and dim, in
        milliseconds. More layers, biases, and the smooth activations with closed forms: quadrature with as many digits
        as it takes, 0.1 to 1 s; for ReLU-like activations from about degree 50 on an asymptotic series, checked against
        the quadrature. Other activations: bounds of their Hermite coefficients bound the eigenvalues, which keeps them
        down to about 1e-30 κ(1). Other functions: float64 quadrature, which loses eigenvalues below about
        1e-15 κ(1)/√N(dim, k). What is lost counts as 0 with an infinite `.errors`. Every degree says how it was
        computed, and how large its relative error is estimated to be.

    Example:
        >>> from spectralbias import kernels, spectra
        >>> spectrum = spectra.sphere_spectrum(kernels.cao_kernel(), 10, 4)
        >>> spectrum.eigenvalues.round(6)
        array([3.51333e-01, 7.50000e-02, 5.66900e-03, 0.00000e+00, 5.60000e-05])
        >>> spectrum.multiplicities
        (1, 10, 54, 210, 660)

    References:
        Cao et al. 2021, theorem 4.3; Bach 2017, app. D; Bietti & Mairal 2019. The eigenvalues here are those of the
        probability measure; the rate that the paper states for dim ≫ degree belongs to another normalization.
    """
    dim, max_degree = whole("dim", dim, 2), whole("max_degree", max_degree, 0)
    if which not in WHICH:
        raise unknown("kernel `which`", which, WHICH)
    is_partial = isinstance(kernel, functools.partial) and kernel.func is arc_cosine
    if is_partial and (kernel.args or kernel.keywords.get("degree") not in (0, 1)):
        raise InputError("a partial `arc_cosine` must fix its `degree` to 0 or 1 and leave the cosine open")
    if which == "nngp" and not isinstance(kernel, InfiniteKernel):
        raise InputError(f"only a kernel of infinite width has an NNGP kernel, got {type(kernel).__name__}")
    with working_bits(96):
        return _result(_eigenvalues(kernel, dim, max_degree, which, is_partial), dim, max_degree)


def _eigenvalues(kernel: Any, dim: int, max_degree: int, which: str, is_partial: bool) -> Eigenvalues:
    known = isinstance(kernel, InfiniteKernel) or is_partial
    profile = precise_profile(kernel, dim, WHICH[which]) if known else _of_mpmath(kernel)
    closed = as_arc_cosine_sum(kernel, dim, WHICH[which])
    if closed is not None and profile is not None:
        count = max_degree + 1
        return Eigenvalues(
            closed.eigenvalues(dim, max_degree),
            np.full(count, ROUNDING),
            ["closed form"] * count,
            "mpmath, 96 bits",
            trace=sum(closed),
            asymptotes=asymptotes_of(profile, dim),
        )
    if profile is None:
        return by_float_quadrature(kernel, dim, max_degree, WHICH[which])
    if isinstance(kernel, InfiniteKernel) and kernel.method == "quadrature":
        return by_hermite_series(kernel, dim, max_degree, WHICH[which])
    layers = getattr(kernel, "depth", 1) if known and is_kinked(kernel) else 0
    return by_quadrature(profile, dim, max_degree, layers)


def _result(found: Eigenvalues, dim: int, max_degree: int) -> SphereSpectrum:
    vanishes = np.array([v == 0 for v in found.values]) & np.isfinite(found.errors)
    errors = np.where(vanishes, 0.0, found.errors)
    negative = [k for k, v in enumerate(found.values) if v < 0]
    if negative:
        k = negative[0]
        raise not_positive(dim, k, f"{mpmath.nstr(found.values[k], 4)}")
    if not 0 < found.trace < np.inf:
        raise InputError(
            f"the kernel has κ(1) = {found.trace:g} in float64: a spectrum needs a kernel that is neither 0 nor too "
            "large for numbers"
        )
    counts = multiplicities(max_degree, dim)
    energies = np.array([float(v * n) for v, n in zip(found.values, counts, strict=True)])
    logs = np.array([float(mpmath.log(v)) if v else -np.inf for v in found.values])
    return SphereSpectrum(
        eigenvalues=np.array([float(v) for v in found.values]),
        log_eigenvalues=logs,
        errors=errors,
        energies=energies,
        dim=dim,
        multiplicities=counts,
        trace=found.trace,
        asymptotes=found.asymptotes,
        methods=tuple(found.methods),
        precision=found.precision,
        status=SphereStatus.resolved if np.all(np.isfinite(errors)) else SphereStatus.unresolved,
    )


def _of_mpmath(kernel: Any) -> Callable[[Any], Any] | None:
    """A function of the user's own that takes an `mpmath.mpf` and gives one, or None."""
    if hasattr(kernel, "profile"):
        return None
    if not callable(kernel):
        raise InputError(f"`kernel` must have `.profile(cosine, dim=…)` or be a function of the cosine, got {kernel!r}")
    try:
        values = [kernel(mpmath.mpf(t) / 7) for t in (-3, 0, 5)]
    except Exception:  # whatever a function of arrays makes of a number that it does not know
        return None
    if not any(isinstance(value, mpmath.mpf | mpmath.mpc) for value in values):
        return None

    def evaluate(t: Any) -> Any:
        try:
            value = mpmath.mpmathify(kernel(t))
        except ZeroDivisionError:
            value = mpmath.mpf("nan")
        if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
            raise not_finite(f"{mpmath.nstr(value, 4)}", f"{mpmath.nstr(t, 6)}")
        return value

    return evaluate if _is_exact(evaluate) else None


def _is_exact(kernel: Callable[[Any], Any]) -> bool:
    """Whether a function keeps the digits of its argument: third differences with a `math.acos` inside are rounding."""
    with mpmath.workprec(240):
        step = mpmath.ldexp(1, -40)
        for t in (mpmath.mpf(-3) / 7, mpmath.mpf(5) / 7):
            values = [kernel(t + i * step) for i in (-1, 0, 1, 2)]
            third = values[3] - 3 * values[2] + 3 * values[1] - values[0]
            if abs(third) > mpmath.ldexp(max(map(abs, values)), -70):
                return False
    return True
