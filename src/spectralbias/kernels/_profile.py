"""A kernel's function of the cosine as two short polynomials in s = √(1 - |cos|), one on each side of cos = 0."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._covariance import Covariance

# What three further coefficients may add to a polynomial, and the largest distance between it and the kernel, in which
# the rounding of the kernel counts too; both relative to the largest value.
TOLERANCE = {"float32": 2e-7, "float64": 3e-15}
LARGEST_ERROR = {"float32": 2e-6, "float64": 4e-14}
MAX_DEGREE = 80
_NODES = np.cos(np.pi * (np.arange(200) + 0.5) / 200)


class ProfilePolynomial(eqx.Module):
    """κ(cos) = Σ_k a_k (2s - 1)^k, times s^zero for negative cosines; a is (2, degree + 1), cos ≥ 0 first.

    `diagonal` is κ(1), `error` the largest distance from the kernel that was seen, relative to its largest value.
    """

    coefficients: np.ndarray
    diagonal: np.ndarray
    zero: int = eqx.field(static=True)
    error: float = eqx.field(static=True)

    @property
    def degree(self) -> int:
        """Degree of both polynomials."""
        return self.coefficients.shape[1] - 1


@eqx.filter_jit
def _samples(kernel, dim: int, square: Array, angle: Array) -> tuple[Array, ...]:
    """(ntk, nngp) over ‖x‖² at angles (m,) from both ends: (2, m)."""
    opposite = jnp.broadcast_to(jnp.array([[False], [True]]), (2, angle.size))
    cosine, sine, half = (jnp.broadcast_to(f, opposite.shape) for f in (jnp.cos(angle), jnp.sin(angle), angle / 2))
    distance = 4 * square * jnp.sin(half) ** 2
    inputs = Covariance(jnp.where(opposite, -square, square) * cosine, square, square, cosine, sine, opposite, distance)
    return tuple(jnp.broadcast_to(k / square, opposite.shape) for k in kernel._pair(inputs, dim))


def _fit(values: np.ndarray, largest: int) -> np.ndarray:
    """Chebyshev coefficients (2, largest + 1) of values at the nodes."""
    basis = np.cos(np.arange(largest + 1)[:, None] * np.arccos(_NODES)[None, :])
    coefficients = 2 / len(_NODES) * values @ basis.T
    coefficients[:, 0] /= 2
    return coefficients


def _fitted(kernel, which: int, dim: int, square: float, dtype: str) -> ProfilePolynomial | None:
    s = (1 + _NODES) / 2
    # The end itself, two angles near it that tell how fast a zero there is left, and the nodes: s = √2 sin(angle/2).
    angles = np.concatenate([[0, 1e-3, 1e-2], 2 * np.arcsin(s / np.sqrt(2))])
    with jax.ensure_compile_time_eval():
        angle = jnp.asarray(angles, dtype)
        values = np.asarray(_samples(kernel, dim, jnp.asarray(square, dtype), angle)[which], np.float64)
    ends, values = values[:, :3], values[:, 3:].copy()
    zero = 0
    if ends[1, 0] == 0 and ends[1, 1] != 0:
        zero = round(np.log10(ends[1, 2] / ends[1, 1]))
        values[1] /= s**zero
    scale = np.max(np.abs(values), axis=1, keepdims=True)
    fit = _fit(values, MAX_DEGREE + 3)
    for degree in range(2, MAX_DEGREE + 1):
        tail = np.sum(np.abs(fit[:, degree + 1 : degree + 4]), axis=1) / scale[:, 0]
        if np.all(tail <= TOLERANCE[dtype]):
            powers = np.array([np.polynomial.chebyshev.cheb2poly(side[: degree + 1]) for side in fit]).astype(dtype)
            error = np.max(np.abs(np.polynomial.polynomial.polyval(_NODES, powers.T) - values) / scale)
            fits = error <= LARGEST_ERROR[dtype]
            return ProfilePolynomial(powers, ends[0, :1].astype(dtype), zero, float(error)) if fits else None
    return None


_remembered = functools.lru_cache(maxsize=256)(_fitted)


def profile_polynomial(kernel, which: int, dim: int, square: float, dtype: str) -> ProfilePolynomial | None:
    """The polynomial of the NTK (0) or NNGP (1) over ‖x‖‖x'‖ on inputs of this ‖x‖²; None where none is short enough.

    The degree is the smallest beyond which the Chebyshev series adds nothing; `error` is the largest at 200 nodes, more
    than twice as many as there are coefficients.
    """
    try:
        return _remembered(kernel, which, dim, square, dtype)
    except TypeError:  # a kernel with arrays, which has no hash
        return _fitted(kernel, which, dim, square, dtype)
