"""Eigenvalues of a profile by quadrature in the angle: with as many digits as it takes, or in float64."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import scipy.special
from jaxtyping import Float

from .._core.gegenbauer import gegenbauer_sequence, multiplicities, multiplicity

MAX_NODES = 6000
# Bits by which each eigenvalue must exceed the rounding of the sum that it is.
SPARE_BITS = 64
# An eigenvalue below the rounding is taken for 0 if the last one above it, of its parity, is larger by so many bits:
# those of a smooth kernel fall fast, but not so far in one step.
GAP_BITS = 100
# Of the conversion to float64, and of its logarithm.
ROUNDING = 2.0**-52


def _rounded(value: Any, bits: int) -> int:
    return int(mpmath.floor(mpmath.ldexp(value, bits)))


@functools.lru_cache(maxsize=16)
def _gauss_legendre(count: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Positive nodes and their weights on [-1, 1], times 2^bits, for an even count, by Newton's method.

    Each step doubles the digits, so that all but the last two are made with fewer bits.
    """
    if bits > 160:
        fewer = bits // 2 + 16
        x = _gauss_legendre(count, fewer)[0] << bits - fewer
    else:
        x = np.array([int(value * 2.0**60) << bits >> 60 for value in _float_nodes(count)], object)
    one = 1 << bits
    previous = np.full_like(x, one)
    for _ in range(64):
        previous, current = np.full_like(x, one), x
        for k in range(1, count):
            previous, current = current, ((2 * k + 1) * (x * current >> bits) - k * previous) // (k + 1)
        slope = count * ((x * current >> bits) - previous)
        step = current * ((x * x >> bits) - one) // slope
        x = x - step
        if max(abs(int(s)) for s in step) <= 1 << 6:
            break
    # At a node P_n vanishes, and the weight is 2 (1 - x²)/(n P_{n-1})².
    weights = 2 * (one - (x * x >> bits)) * one // (count * count * (previous * previous >> bits))
    return x, weights


def _float_nodes(count: int) -> np.ndarray:
    """The positive nodes in float64."""
    index = np.arange(1, count // 2 + 1)
    x = np.cos(np.pi * (index - 0.25) / (count + 0.5))
    for _ in range(3):
        previous, current = np.ones_like(x), x
        for k in range(1, count):
            previous, current = current, ((2 * k + 1) * x * current - k * previous) / (k + 1)
        x = x - current * (x**2 - 1) / (count * (x * current - previous))
    return x


def precise_eigenvalues(profile: Callable[[Any], Any], dim: int, max_degree: int) -> tuple[list[Any], np.ndarray, int]:
    """Eigenvalues of degrees 0 … max_degree of a profile that takes and gives `mpmath.mpf`, as such numbers.

    μ_k = c ∫ κ(cos θ) P_k(cos θ) sin^(dim-2) θ dθ by two Gauss rules in θ, whose difference is the error. The integrand
    is analytic in θ where the kernel is, kinks at t = ±1 included. Bits are added until each eigenvalue is far above
    the rounding, or is taken for 0.

    Returns:
        The eigenvalues, their estimated relative errors, and the bits used: a 0 is one to that many bits of κ, or one
        that is not resolved, with an infinite error.
    """
    bits = SPARE_BITS + multiplicity(max_degree, dim).bit_length() + 3 * max(max_degree, 1).bit_length() + 16
    largest = max(1024, bits)
    while True:
        values, error, scale = _converged(profile, dim, max_degree, bits)
        floor = mpmath.ldexp(scale, SPARE_BITS - bits)
        resolved = [abs(v) > max(floor, 2 * e) for v, e in zip(values, error, strict=True)]
        settled = [_settled(values[p::2], resolved[p::2], floor, scale) for p in (0, 1)]
        if bits == largest or all(settled) or max(error) > floor:  # more bits do not help where nodes are too few
            break
        bits = 2 * bits if 4 * bits <= largest else largest
    found = [v if r else mpmath.mpf(0) for v, r in zip(values, resolved, strict=True)]
    relative = [
        float(e / abs(v)) + ROUNDING if r else 0.0 if settled[k % 2] and e <= floor else math.inf
        for k, (v, e, r) in enumerate(zip(values, error, resolved, strict=True))
    ]
    return found, np.array(relative), bits


def _settled(values: list[Any], resolved: list[bool], floor: Any, scale: Any) -> bool:
    """Whether all are resolved, or the last that is stands far above those that are not.

    The others vanish: a polynomial, an even or an odd kernel.
    """
    last = next((abs(v) for v, r in zip(values[::-1], resolved[::-1], strict=True) if r), scale)
    return all(resolved) or scale == 0 or last > mpmath.ldexp(floor, GAP_BITS)


def _converged(profile: Callable[[Any], Any], dim: int, max_degree: int, bits: int) -> tuple[list[Any], list[Any], Any]:
    """Eigenvalues, their absolute errors, and the size of the integrand, with nodes added until two rules agree."""
    count = 2 * math.ceil((16 + bits / 3 + 0.8 * (max_degree + dim)) / 2)
    values, scale = _by_rule(profile, dim, max_degree, count, bits)
    while True:
        count = 2 * math.ceil(0.65 * count)
        finer, scale = _by_rule(profile, dim, max_degree, count, bits)
        error = [abs(a - b) for a, b in zip(values, finer, strict=True)]
        noise = mpmath.ldexp(scale, 16 - bits)
        if all(e <= mpmath.ldexp(abs(v), -50) + noise for e, v in zip(error, finer, strict=True)):
            return finer, error, scale
        if count > MAX_NODES:
            return finer, error, scale
        values = finer


def _by_rule(profile: Callable[[Any], Any], dim: int, max_degree: int, count: int, bits: int) -> tuple[list[Any], Any]:
    """Eigenvalues by one Gauss rule, and the mean of |κ|; t and -t together, since P_k(-t) = (-1)^k P_k(t)."""
    x, weights = _gauss_legendre(count, bits)
    with mpmath.workprec(bits + 40):
        total = mpmath.gammaprod([mpmath.mpf(dim) / 2], [mpmath.mpf(1) / 2, mpmath.mpf(dim - 1) / 2])
        cosines, even, odd, scale = [], [], [], mpmath.mpf(0)
        for node, weight in zip(x, weights, strict=True):
            # θ = π(1 - x)/2: the cosine is the sine of πx/2.
            angle = mpmath.ldexp(mpmath.mpf(int(node)), -bits - 1) * mpmath.pi
            cosine, sine = mpmath.sin(angle), mpmath.cos(angle)
            one, other = profile(cosine), profile(-cosine)
            mass = total * mpmath.ldexp(mpmath.mpf(int(weight)), -bits - 1) * mpmath.pi * sine ** (dim - 2)
            scale += mass * (abs(one) + abs(other))
            cosines.append(_rounded(cosine, bits))
            even.append(mass * (one + other))
            odd.append(mass * (one - other))
        # The integrand as numbers of about one, whatever the kernel's scale.
        unit = scale if scale else mpmath.mpf(1)
        sides = [np.array([_rounded(v / unit, bits) for v in side], object) for side in (even, odd)]
        t = np.array(cosines, object)
        previous, current = np.full_like(t, 1 << bits), t
        sums = [int(sides[0].sum()) << bits]
        for k in range(1, max_degree + 1):
            sums.append(int(np.dot(sides[k % 2], current)))
            previous, current = current, ((2 * k + dim - 2) * (t * current >> bits) - k * previous) // (k + dim - 2)
        return [mpmath.ldexp(mpmath.mpf(s), -2 * bits) * unit for s in sums], scale


def float_eigenvalues(
    profile: Callable[[np.ndarray], np.ndarray], dim: int, max_degree: int, epsilon: float
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Eigenvalues of a profile that is known to a relative `epsilon` only, and their absolute errors.

    Rounding of κ changes μ_k by up to epsilon · max|κ| · E|P_k|, and E|P_k| ≤ N(dim, k)^(-1/2). That of the rule and of
    the recurrence grows with the number of nodes and the degree, as a random walk.
    """
    sizes = [2 * math.ceil((factor * (max_degree + dim) + extra) / 2) for factor, extra in ((1.0, 160), (1.4, 320))]
    rules = [scipy.special.roots_legendre(size) for size in sizes]
    angle = np.pi / 2 * np.concatenate([x for x, _ in rules])
    values = profile(np.sin(angle))
    log_total = math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2) - 0.5 * math.log(math.pi)
    mass = np.exp(log_total + (dim - 2) * np.log(np.cos(angle)))
    integrand = np.pi / 2 * np.concatenate([weights for _, weights in rules]) * mass * values
    found = []
    for part in (slice(0, sizes[0]), slice(sizes[0], None)):
        polynomials = itertools.islice(gegenbauer_sequence(dim, np.sin(angle[part])), max_degree + 1)
        found.append(np.array([integrand[part] @ p for p in polynomials]))
    coarse, fine = found
    norms = np.array([math.exp(-0.5 * math.log(count)) for count in multiplicities(max_degree, dim)])
    steps = 1 + math.sqrt(max_degree + dim) / 10
    return fine, np.abs(fine - coarse) + epsilon * steps * np.max(np.abs(values)) * norms
