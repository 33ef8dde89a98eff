"""Gauss-Hermite rules and Hermite functions of any order."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

# Nodes beyond have weights below 1e-43: what they would add is lost in rounding, but a function may overflow there.
FARTHEST = 14.0
_ROOT = (2 * np.pi) ** -0.25


@functools.cache
def hermite_rule(points: int) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Nodes z and factors c of the Gauss rule of N(0, 1): E f(z) h_k(z) = Σ_j c_j f(z_j) ψ_k(z_j), h_k orthonormal.

    The number of points is even, so that none is 0, where a function may have no derivative.
    """
    zeros, off_diagonal = np.zeros(points), np.sqrt(np.arange(1, points))
    nodes = np.asarray(scipy.linalg.eigh_tridiagonal(zeros, off_diagonal, eigvals_only=True))
    nodes = nodes[np.abs(nodes) < FARTHEST]
    psi = hermite_functions(nodes, points + 1)
    nodes = nodes - psi[points] / (np.sqrt(points) * psi[points - 1])  # one step of Newton's method
    nodes = (nodes - nodes[::-1]) / 2
    psi = hermite_functions(nodes, points)
    # The weight is 1/Σ_k h_k²; only the ψ neither over- nor underflow.
    return nodes, psi[0] / np.sum(psi**2, axis=0)


def hermite_functions(z: Float[np.ndarray, " nodes"], terms: int) -> Float[np.ndarray, "terms nodes"]:
    """ψ_k = h_k √density of N(0, 1) for k < terms, by the three-term recurrence."""
    psi = np.empty((terms, len(z)))
    psi[0] = _ROOT * np.exp(-(z**2) / 4)
    psi[1] = z * psi[0]
    for k in range(1, terms - 1):
        psi[k + 1] = (z * psi[k] - np.sqrt(k) * psi[k - 1]) / np.sqrt(k + 1)
    return psi


def traced_hermite_functions(z: Float[Array, " nodes"], terms: int) -> Float[Array, "terms nodes"]:
    """The same inside a compiled function, which would have to carry a large constant otherwise."""
    k = jnp.arange(terms, dtype=z.dtype)

    def step(pair, k):
        before, now = pair
        return (now, (z * now - jnp.sqrt(k) * before) / jnp.sqrt(k + 1)), now

    return jax.lax.scan(step, (jnp.zeros_like(z), _ROOT * jnp.exp(-(z**2) / 4)), k)[1]
