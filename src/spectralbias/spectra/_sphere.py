"""Mercer eigenvalues on the sphere, each by the method that keeps its digits."""

import contextlib
import functools
import operator
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from .._core.errors import InputError, unknown
from .._core.gegenbauer import check_degree_and_dim, multiplicities
from ..kernels import InfiniteKernel, arc_cosine
from ..kernels._precise import Bound, is_kinked, precise_profile
from ._arc_cosine_spectrum import as_arc_cosine_sum
from ._end_series import kinks, leading_eigenvalues, relative_tail
from ._funk_hecke import ROUNDING, float_eigenvalues, precise_eigenvalues
from ._sphere_spectrum import SphereSpectrum, SphereStatus

CLOSED_FORM = "closed form"
KINKS = "kinks at t = ±1 (asymptotic series)"
ORDERS = 24  # kinks that the series takes into account
AGREEMENT = 1e-13  # of the series and the quadrature where the one hands over to the other
WHICH = {"ntk": 0, "nngp": 1}


class _Eigenvalues(NamedTuple):
    """`mpmath.mpf` values, relative errors, a method for each, the precision of the work, and κ(1)."""

    values: list[Any]
    errors: np.ndarray
    methods: list[str]
    precision: str
    trace: float


def sphere_spectrum(kernel: Any, dim: int, max_degree: int, *, which: Literal["ntk", "nngp"] = "ntk") -> SphereSpectrum:
    """Mercer eigenvalues μ_0 … μ_K of a kernel κ(⟨x, x'⟩) on the unit sphere S^(dim-1).

    In the uniform probability measure     κ(⟨x, x'⟩) = Σ_k μ_k Σ_{j ≤ N(dim, k)} Y_kj(x) Y_kj(x'), with

        μ_k = Γ(dim/2)/(√π Γ((dim-1)/2)) ∫ κ(t) P_k(t) (1 - t²)^((dim-3)/2) dt,   P_k(1) = 1.

    Gradient flow learns the degree-k part of a target as e^(-μ_k t), in the limit of many samples and large width.

    Args:
        kernel: an object with `.profile(cosine, dim=…)`, such as `kernels.cao_kernel()`; or a function of the cosine.
            A function that also takes `mpmath.mpf` numbers and returns them, as `lambda t: (1 + t) ** 3`, is evaluated
            with as many digits as its eigenvalues need; any other one with the digits of float64.
            `functools.partial(kernels.arc_cosine, degree=…)` has a closed form.
        dim: ambient dimension, 2 or more.
        max_degree: K, 0 or more.
        which: the `"ntk"` of a kernel object, or its `"nngp"` kernel.

    Returns:
        A `SphereSpectrum`.

    Raises:
        InputError: a degree below 0, a dim below 2, a profile that is not finite, or that is not positive definite.

    Cost and precision:
        One hidden ReLU-like layer without biases: a closed form, full float64 precision at any degree and dim, in
        milliseconds. More layers, biases, and the smooth activations with closed forms: quadrature with as many digits
        as it takes, 0.1 to 1 s; for ReLU-like activations from about degree 40 on an asymptotic series, checked against
        the quadrature. Other functions: float64 quadrature, which loses eigenvalues below about
        1e-16 κ(1)/√N(dim, k); those count as 0 with an infinite `.errors`. Every degree says how it was computed, and
        how large its relative error is estimated to be.

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
    dim, max_degree = whole("dim", dim), whole("max_degree", max_degree)
    check_degree_and_dim(max_degree, dim)
    if which not in WHICH:
        raise unknown("kernel `which`", which, WHICH)
    is_partial = isinstance(kernel, functools.partial) and kernel.func is arc_cosine
    if is_partial and (kernel.args or kernel.keywords.get("degree") not in (0, 1)):
        raise InputError("a partial `arc_cosine` must fix its `degree` to 0 or 1 and leave the cosine open")
    if which == "nngp" and not isinstance(kernel, InfiniteKernel):
        raise InputError(f"only a kernel of infinite width has an NNGP kernel, got {type(kernel).__name__}")
    known = isinstance(kernel, InfiniteKernel) or is_partial
    profile = precise_profile(kernel, dim, WHICH[which]) if known else _of_mpmath(kernel)
    closed = as_arc_cosine_sum(kernel, dim, WHICH[which])
    if closed is not None:
        count = max_degree + 1
        values, trace = closed.eigenvalues(dim, max_degree), sum(closed)
        found = _Eigenvalues(values, np.full(count, ROUNDING), [CLOSED_FORM] * count, "mpmath, 96 bits", trace)
    elif profile is None:
        found = _in_float64(kernel, dim, max_degree, WHICH[which])
    elif known:
        layers = getattr(kernel, "depth", 1) if is_kinked(kernel) else 0
        found = _precise(profile, dim, max_degree, layers)
        if isinstance(kernel, InfiniteKernel) and kernel.method == "quadrature":
            found = _between(
                found, *(_bound(kernel, dim, max_degree, WHICH[which], side) for side in ("below", "above"))
            )
    else:
        _check_finite(profile)
        found = _precise(profile, dim, max_degree, 0)
    return _result(found, dim, max_degree)


def whole(name: str, value: Any) -> int:
    """`value` as an int; 3.0 and True are not whole numbers."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"`{name}` must be a whole number, got {value!r}") from None


def _result(found: _Eigenvalues, dim: int, max_degree: int) -> SphereSpectrum:
    errors = np.where(
        [v == 0 and np.isfinite(e) for v, e in zip(found.values, found.errors, strict=True)], 0.0, found.errors
    )
    negative = [k for k, v in enumerate(found.values) if v < 0]
    if negative:
        k = negative[0]
        raise _not_positive(dim, k, mpmath.nstr(found.values[k], 4))
    counts = multiplicities(max_degree, dim)
    with mpmath.workprec(96):
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
        methods=tuple(found.methods),
        precision=found.precision,
        status=SphereStatus.resolved if np.all(np.isfinite(errors)) else SphereStatus.unresolved,
    )


def _precise(profile: Callable[[Any], Any], dim: int, max_degree: int, layers: int) -> _Eigenvalues:
    """By quadrature; where `layers` have kinks, from some degree on by the kinks' series, once the two agree."""
    first = max_degree
    if layers:
        with mpmath.workprec(250):
            ends = kinks(profile, ORDERS, 2 * layers + 4)
        degrees = np.arange(2 * ORDERS, max_degree + 1, dtype=float)
        trusted = relative_tail(ends, dim, degrees)[1] < AGREEMENT if len(degrees) else np.zeros(0, bool)
        if trusted.any():
            first = min(max_degree, int(degrees[np.argmax(trusted)]) + 8)
    while True:
        values, errors, bits = precise_eigenvalues(profile, dim, first)
        if first == max_degree:
            break
        overlap = list(range(first - 7, first + 1))
        series, _ = _from_kinks(ends, dim, overlap)
        apart = max(float(abs(s / values[k] - 1)) for s, k in zip(series, overlap, strict=True) if values[k])
        if apart <= AGREEMENT:
            break
        first = min(max_degree, 2 * first)
    digits = int(bits * np.log10(2))
    quadrature = f"quadrature in the angle, {digits} digits"
    methods = [quadrature if v else f"0 to {digits} digits of κ(1)" for v in values]
    if first < max_degree:
        rest = list(range(first + 1, max_degree + 1))
        series, estimates = _from_kinks(ends, dim, rest)
        values, errors = values + series, np.concatenate([errors, estimates])
        methods += [KINKS if v else "0: the kinks at t = 1 and t = -1 cancel" for v in series]
    # At t = 1 an arccosine loses half of the digits.
    with mpmath.workprec(256):
        trace = float(profile(mpmath.mpf(1)))
    return _Eigenvalues(values, errors, methods, f"mpmath, {bits} bits", trace)


def _bound(kernel: InfiniteKernel, dim: int, max_degree: int, which: int, side: Bound) -> list[Any]:
    profile = precise_profile(kernel, dim, which, side)
    assert profile is not None
    return _precise(profile, dim, max_degree, 0).values


def _between(found: _Eigenvalues, below: list[Any], above: list[Any]) -> _Eigenvalues:
    """With the errors that bounds of the activation's Hermite coefficients leave."""
    errors, methods = found.errors.copy(), list(found.methods)
    for k, (low, value, high) in enumerate(zip(below, found.values, above, strict=True)):
        errors[k] = np.inf
        methods[k] = "below what the activation's Hermite coefficients resolve"
        if low > 0 and high - low < value:
            errors[k] = found.errors[k] + float((high - low) / value)
            methods[k] = f"Hermite series, {found.methods[k]}"
    values = [v if np.isfinite(e) else mpmath.mpf(0) for v, e in zip(found.values, errors, strict=True)]
    return found._replace(values=values, errors=errors, methods=methods)


def _from_kinks(ends: tuple[list[Any], list[Any]], dim: int, degrees: list[int]) -> tuple[list[Any], np.ndarray]:
    relative, errors = relative_tail(ends, dim, np.array(degrees, float))
    with mpmath.workprec(96):
        leading = leading_eigenvalues(dim, degrees)
        return [a * mpmath.mpf(float(b)) for a, b in zip(leading, relative, strict=True)], errors


def _check_finite(profile: Callable[[Any], Any]) -> None:
    for t in (-1, 0, 1):
        value = profile(mpmath.mpf(t))
        if not mpmath.isfinite(value):
            raise InputError(f"the kernel's profile is not finite: {value} at cosine {t}")


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
    if any(isinstance(value, mpmath.mpf) for value in values):
        return lambda t: mpmath.mpf(kernel(t))
    return None


def _float_profile(kernel: Any, dim: int, which: int) -> Callable[[np.ndarray], np.ndarray]:
    """κ on the host as float64, however many of its digits are right."""

    def evaluate(t: np.ndarray) -> np.ndarray:
        if not isinstance(kernel, InfiniteKernel):
            return kernel.profile(t, dim=dim) if hasattr(kernel, "profile") else kernel(t)
        if which == 0:
            return np.asarray(kernel.profile(jnp.asarray(t), dim=dim))
        points = np.stack([t, np.sqrt((1 - t) * (1 + t)), *[np.zeros_like(t)] * (dim - 2)], axis=1)
        return np.asarray(kernel.nngp(jnp.asarray(points[:1] * 0 + np.eye(1, dim)), jnp.asarray(points)))[0]

    def checked(t: np.ndarray) -> np.ndarray:
        # Ours in float64 for as long as this takes; a user's function has a precision of its own.
        with jax.enable_x64(True) if isinstance(kernel, InfiniteKernel) else contextlib.nullcontext():
            try:
                values = np.asarray(evaluate(t))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"the kernel could not be evaluated on an array of cosines ({' '.join(str(error).split())[:160]}): "
                    "give a function of NumPy arrays, or one of `mpmath.mpf` numbers"
                ) from None
        if values.shape != t.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"the kernel must give one real number per cosine, got {values.dtype} of shape {values.shape} for "
                f"cosines of shape {t.shape}"
            )
        if not np.all(np.isfinite(values)):
            at = t[~np.isfinite(values)][0]
            raise InputError(
                f"the kernel's profile is not finite: {values[~np.isfinite(values)][0]} at cosine {at:.6g}"
            )
        return values

    return checked


def _in_float64(kernel: Any, dim: int, max_degree: int, which: int) -> _Eigenvalues:
    profile = _float_profile(kernel, dim, which)
    ends = profile(np.array([-1.0, 0.0, 1.0]))
    kind = "float32" if ends.dtype == np.float32 else "float64"
    # Rounding of the profile, of the rule and of the polynomials; the error of an activation's quadrature.
    epsilon = 16 * float(np.finfo(kind).eps) + 4 * getattr(kernel, "error", 0.0)
    values, errors = float_eigenvalues(lambda t: profile(t).astype(np.float64), dim, max_degree, epsilon)
    negative = np.flatnonzero(values < -errors)
    if len(negative):
        k = int(negative[0])
        raise _not_positive(dim, k, f"{values[k]:.3g} ± {errors[k]:.1g}")
    resolved = values > 2 * errors
    return _Eigenvalues(
        [mpmath.mpf(float(v)) if r else mpmath.mpf(0) for v, r in zip(values, resolved, strict=True)],
        np.where(resolved, errors / np.where(resolved, values, 1), np.inf),
        [f"quadrature in the angle, {kind}" if r else "below what the profile resolves" for r in resolved],
        f"profile in {kind}, to {epsilon:.1g}",
        float(ends[2]),
    )


def _not_positive(dim: int, degree: int, value: str) -> InputError:
    return InputError(
        f"the kernel is not positive definite on the sphere in `dim` {dim}: its eigenvalue of degree {degree} is "
        f"{value}"
    )
