"""Mercer eigenvalues of ReLU kernels with one hidden layer and no biases, in closed form."""

import functools
from typing import Any, NamedTuple

import mpmath

from ..kernels import InfiniteKernel, arc_cosine
from ..kernels._infinite import FullyConnectedKernel, TwoLayerKernel
from ..kernels._piecewise_dual import PiecewiseDual
from ..kernels._precise import arc_cosine_degree

# 29 digits: what is rounded in 10,000 steps of a recurrence stays far below float64.
_BITS = 96


class ArcCosineSum(NamedTuple):
    """κ(t) = constant + linear t + sign a(t) + product t a(t) + absolute b(t).

    a(t) = E sign(u) sign(v) = 1 - 2θ/π is odd, b(t) = E |u||v| = (2/π)(sin θ + (π/2 - θ) t) is even, with u, v of unit
    variance and correlation t = cos θ.
    """

    constant: float = 0.0
    linear: float = 0.0
    sign: float = 0.0
    product: float = 0.0
    absolute: float = 0.0

    def eigenvalues(self, dim: int, max_degree: int) -> list[Any]:
        """μ_0 … μ_max_degree as `mpmath.mpf`; what vanishes is exactly 0, the rest has more digits than float64.

        With A_k = Γ(dim/2) Γ(k/2)/Γ((k + dim)/2): μ_k(a) = (A_k/π)² for odd k, and μ_k(b) = dim (A_{k-1}/(π (k + dim -
        1)))² for even k. Multiplying by t takes k μ_{k-1}/(2k + dim - 2) and (k + dim - 2) μ_{k+1}/(2k + dim - 2).
        """
        with mpmath.workprec(_BITS):
            linear, sign, product, absolute = (mpmath.mpf(c) for c in self[1:])
            squares = _squares(dim, max_degree + 1)
            found = []
            for k in range(max_degree + 1):
                value = mpmath.mpf(self.constant if k == 0 else 0)
                if k == 1:
                    value += linear / dim
                if k % 2:
                    value += sign * squares[k]
                elif k == 0:
                    value += product * squares[1] + absolute * dim * squares[1]
                else:
                    below, above = squares[k - 1], squares[k + 1]
                    value += product * (k * below + (k + dim - 2) * above) / (2 * k + dim - 2)
                    value += absolute * dim * below / (k + dim - 1) ** 2
                found.append(value)
            return found


def _squares(dim: int, max_degree: int) -> dict[int, Any]:
    """μ_k(a) = (A_k/π)² for odd k, by A_{k+2} = A_k k/(k + dim)."""
    half = mpmath.mpf(1) / 2
    value = (mpmath.gammaprod([half * dim, half], [half * (dim + 1)]) / mpmath.pi) ** 2
    found = {1: value}
    for k in range(1, max_degree, 2):
        value = value * k**2 / (k + dim) ** 2
        found[k + 2] = value
    return found


def as_arc_cosine_sum(kernel: Any, dim: int, which: int) -> ArcCosineSum | None:
    """The NTK (0) or NNGP kernel (1) as such a sum; None for every other kernel.

    With σ = m z + d |z|, E σσ = m² t + d² b(t) and E σ'σ' = m² + d² a(t).
    """
    if isinstance(kernel, functools.partial) and kernel.func is arc_cosine:
        if arc_cosine_degree(kernel) == 0:
            return ArcCosineSum(constant=0.25, sign=0.25)
        return ArcCosineSum(linear=0.25, absolute=0.25)
    if not isinstance(kernel, InfiniteKernel) or not kernel._homogeneous:
        return None
    if isinstance(kernel, TwoLayerKernel):
        if which == 1:
            return ArcCosineSum(linear=kernel.variance / 4, absolute=kernel.variance / 4)
        inner, outer = kernel.inner / 4, kernel.outer / 4
        return ArcCosineSum(linear=inner + outer, product=inner, absolute=outer)
    if isinstance(kernel, FullyConnectedKernel) and kernel.depth == 1:
        assert isinstance(kernel.dual, PiecewiseDual)
        scale = kernel.weight_variance**2 / dim
        mean = ((kernel.dual.positive_slope + kernel.dual.negative_slope) / 2) ** 2 * scale
        kink = ((kernel.dual.positive_slope - kernel.dual.negative_slope) / 2) ** 2 * scale
        if which == 1:
            return ArcCosineSum(linear=mean, absolute=kink)
        return ArcCosineSum(linear=2 * mean, product=kink, absolute=kink)
    return None
