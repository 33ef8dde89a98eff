"""Eigenvalues of a profile that is known to any number of digits."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from ..kernels import InfiniteKernel
from ..kernels._precise import Bound, precise_profile
from ._end_series import asymptote, kinks, leading_eigenvalues, relative_tail
from ._funk_hecke import precise_eigenvalues
from ._mercer import Eigenvalues, not_finite
from ._power_law import Asymptote

KINKS = "kinks at t = ±1 (asymptotic series)"
ORDERS = 24  # kinks that the series takes into account
AGREEMENT = 1e-13  # of the series and the quadrature where the one hands over to the other


def by_quadrature(profile: Callable[[Any], Any], dim: int, max_degree: int, layers: int) -> Eigenvalues:
    """By quadrature; where `layers` have kinks, from some degree on by the kinks' series, once the two agree."""
    _check_finite(profile)
    first, asymptotes = max_degree, (None, None)
    if layers:
        with mpmath.workprec(250):
            ends = kinks(profile, ORDERS, 2 * layers + 4)
            asymptotes = asymptote(ends, dim, 0), asymptote(ends, dim, 1)
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
        pairs = [(s, values[k]) for s, k in zip(series, overlap, strict=True) if values[k]]
        apart = max((float(abs(s / v - 1)) for s, v in pairs), default=0.0)
        if apart <= AGREEMENT:
            break
        first = min(max_degree, 2 * first)
    digits = int(bits * np.log10(2))
    quadrature = f"quadrature in the angle, {digits} digits"
    methods = [
        quadrature if v else f"0 to {digits} digits of κ(1)" if e == 0 else f"not resolved by {digits} digits of κ(1)"
        for v, e in zip(values, errors, strict=True)
    ]
    if first < max_degree:
        rest = list(range(first + 1, max_degree + 1))
        series, estimates = _from_kinks(ends, dim, rest)
        values, errors = values + series, np.concatenate([errors, estimates])
        methods += [KINKS if v else "0: the kinks at t = 1 and t = -1 cancel" for v in series]
    # At t = 1 an arccosine loses half of the digits.
    with mpmath.workprec(256):
        trace = float(profile(mpmath.mpf(1)))
    return Eigenvalues(values, errors, methods, f"mpmath, {bits} bits", trace, asymptotes)


def asymptotes_of(profile: Callable[[Any], Any], dim: int) -> tuple[Asymptote | None, Asymptote | None]:
    """Of even and odd degrees, for a profile of one layer with kinks."""
    with mpmath.workprec(100):
        ends = kinks(profile, 3, 4)
        return asymptote(ends, dim, 0), asymptote(ends, dim, 1)


def by_hermite_series(kernel: InfiniteKernel, dim: int, max_degree: int, which: int) -> Eigenvalues:
    """Of an activation by quadrature, with errors from bounds of its Hermite coefficients."""
    sides: tuple[Bound, ...] = ("below", "estimate", "above")
    profiles = [precise_profile(kernel, dim, which, side) for side in sides]
    below, found, above = (by_quadrature(profile, dim, max_degree, 0) for profile in profiles if profile is not None)
    errors, methods = found.errors.copy(), list(found.methods)
    for k, (low, value, high) in enumerate(zip(below.values, found.values, above.values, strict=True)):
        if low > 0 and high - low < value:
            errors[k] += float((high - low) / value)
            methods[k] = f"Hermite series, {methods[k]}"
        else:
            errors[k] = np.inf
            methods[k] = "below what the activation's Hermite coefficients resolve"
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
            raise not_finite(str(value), str(t))
