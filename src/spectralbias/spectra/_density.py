"""The spectral density of Θ/n where the whole spectrum is too large: stochastic Lanczos quadrature."""

import enum
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float
from scipy.sparse.linalg import LinearOperator

from .._core.checks import finite_array, positive, whole
from .._core.errors import InputError
from ..kernels import NTKOperator
from ._krylov import tridiagonalize
from ._source import source


class SpectralDensityStatus(enum.Enum):
    """What the quadrature stands on."""

    exact = "the Krylov spaces of all probes are complete: the only error is that of averaging over probes"
    quadrature = "nodes stand for groups of eigenvalues, one at a time at the ends of the spectrum"


class Count(NamedTuple):
    """A number of eigenvalues.

    Attributes:
        value: the estimate, of the shape of the threshold.
        stderr: its standard error over probes.
        quadrature_error: bound on what the quadrature adds: the weight of the nodes next to the threshold.
    """

    value: np.ndarray | np.float64
    stderr: np.ndarray | np.float64
    quadrature_error: np.ndarray | np.float64


class SpectralDensity(eqx.Module):
    """How the eigenvalues of Θ/n are distributed: a Gauss quadrature for each probe.

    Attributes:
        nodes: Ritz values of Θ/n, descending, (probes, steps).
        weights: probability that an eigenvalue is at the node, (probes, steps); each row adds up to 1.
        is_exact: whether a probe's Krylov space is complete, so that its nodes are eigenvalues, (probes,).
        size: number of eigenvalues, n c.
        trace: the trace of Θ/n, exact for a Gram, otherwise the mean over probes.
        trace_stderr: its standard error over probes, 0 for a Gram.
        resolution: eigenvalues below this fraction of the largest are rounding errors of Θ.
        method: the algorithm.
        precision: the dtype of the computation, and that of Θ.
        status: a `SpectralDensityStatus`.
    """

    nodes: Float[np.ndarray, "probes steps"]
    weights: Float[np.ndarray, "probes steps"]
    is_exact: Bool[np.ndarray, " probes"]
    size: int = eqx.field(static=True)
    trace: float = eqx.field(static=True)
    trace_stderr: float = eqx.field(static=True)
    resolution: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: SpectralDensityStatus = eqx.field(static=True)

    @property
    def largest(self) -> float:
        """The largest node: at most the largest eigenvalue, and after tens of steps that eigenvalue."""
        return float(np.max(self.nodes))

    def count_above(self, threshold: ArrayLike) -> Count:
        """How many eigenvalues of Θ/n are above a threshold, or above each of several.

        Args:
            threshold: λ, a number or an array.

        Returns:
            `Count(value, stderr, quadrature_error)`. What a probe sees above the threshold differs from the weight of
            its nodes there by at most the larger weight of the two nodes around it (Chebyshev, Markov, Stieltjes).
            Small eigenvalues share one node: a count among them needs more steps.
        """
        thresholds = finite_array("threshold", threshold)
        above = self.nodes > thresholds[..., None, None]
        counts = self.size * np.sum(above * self.weights, axis=-1)
        last = np.sum(above, axis=-1)  # nodes are descending: the first `last` of them are above
        padded = np.pad(self.weights, ((0, 0), (1, 1)))
        rows = np.arange(len(padded))
        around = np.maximum(padded[rows, last], padded[rows, last + 1]) * ~self.is_exact
        return Count(np.mean(counts, axis=-1), _stderr(counts), self.size * np.mean(around, axis=-1))

    def density(self, grid: ArrayLike, *, width: float = 0.1) -> Float[np.ndarray, " g"]:
        """The fraction of eigenvalues per decade, smoothed with a Gaussian in log₁₀ λ.

        Its integral over log₁₀ λ is the fraction of eigenvalues above `resolution` times the largest; what lies below
        is rounding, and left out.

        Args:
            grid: values of λ, positive, (g,).
            width: standard deviation of the Gaussian, in decades.

        Returns:
            Density at the grid, (g,). `density_stderr` is its standard error over probes.
        """
        return np.mean(self._densities(grid, width), axis=0)

    def density_stderr(self, grid: ArrayLike, *, width: float = 0.1) -> Float[np.ndarray, " g"]:
        """Standard error over probes of `density` at the same grid, (g,)."""
        return np.asarray(_stderr(self._densities(grid, width).T))

    def _densities(self, grid: ArrayLike, width: float) -> Float[np.ndarray, "probes g"]:
        positive("width", width)
        points = finite_array("grid", grid, ndim=1)
        if np.any(points <= 0):
            raise InputError(f"`grid` is on a logarithmic axis: its values must be positive, got {np.min(points)}")
        resolved = self.nodes > max(self.resolution * self.largest, 0.0)
        logs, weights = np.log10(np.where(resolved, self.nodes, 1.0)), np.where(resolved, self.weights, 0.0)
        return np.stack(
            [
                np.exp(-(((np.log10(points)[:, None] - log) / width) ** 2) / 2) @ weight / (width * np.sqrt(2 * np.pi))
                for log, weight in zip(logs, weights, strict=True)
            ]
        )


def _stderr(samples: np.ndarray) -> np.ndarray | np.float64:
    """Standard error of the mean over the last axis."""
    return np.std(samples, axis=-1, ddof=1) / np.sqrt(samples.shape[-1])


def spectral_density(
    gram_or_operator: ArrayLike | NTKOperator | LinearOperator,
    *,
    num_probes: int = 10,
    num_steps: int = 100,
    key: Array,
) -> SpectralDensity:
    """The distribution of the eigenvalues of Θ/n, by stochastic Lanczos quadrature.

    (1/N) Σ_i g(λ_i) ≈ mean over probes z of Σ_j w_j g(θ_j): z has random signs, θ_j are the Ritz values of the Krylov
    space of z, and w_j the squared first entries of the eigenvectors of its tridiagonal matrix. Each probe's sum is
    exact for polynomials g up to degree 2 · num_steps - 1 against zᵀ g(Θ/n) z/N.

    Args:
        gram_or_operator: as in `eigenmodes`. An operator's Gram is never formed.
        num_probes: number of random vectors, 2 or more; errors fall with its square root.
        num_steps: largest dimension of a Krylov space; it ends earlier where the space is complete.
        key: a JAX random key.

    Returns:
        `SpectralDensity`, with `.count_above(threshold)`, `.density(grid)`, `.trace` and standard errors over probes.

    Raises:
        InputError: what `eigenmodes` refuses, fewer than 2 probes, no steps.

    Cost and precision:
        num_probes · num_steps products with Θ and num_probes · num_steps² · n c multiplications, in float64, with full
        reorthogonalization. A relative error of about √(2/(num_probes · N)) for the average of a smooth g.

    Example:
        >>> import jax, numpy as np
        >>> from spectralbias import spectra
        >>> theta = np.diag([8.0, 8.0, 8.0, 4.0])
        >>> density = spectra.spectral_density(theta, key=jax.random.key(0))
        >>> round(float(density.count_above(1.5).value), 6), density.trace
        (3.0, 7.0)

    References:
        Golub and Meurant 2010, Matrices, moments and quadrature, ch. 7 and 11. Ubaru, Chen and Saad 2017, Fast
        estimation of tr(f(A)) via stochastic Lanczos quadrature. Szegő, Orthogonal polynomials, sec. 3.41.
    """
    num_probes, num_steps = whole("num_probes", num_probes, 2), whole("num_steps", num_steps, 1)
    theta = source(gram_or_operator)
    steps = min(num_steps, theta.size)
    nodes, weights = np.zeros((num_probes, steps)), np.zeros((num_probes, steps))
    is_exact = np.zeros(num_probes, bool)
    for i, probe in enumerate(np.asarray(jax.random.rademacher(key, (num_probes, theta.size)), np.float64)):
        space = tridiagonalize(theta.times, probe, steps)
        values, rotation = space.eigh()
        nodes[i] = np.pad(values, (0, steps - len(values)), mode="edge")
        weights[i, : len(values)] = rotation[0] ** 2
        is_exact[i] = space.is_invariant
    traces = theta.size * np.sum(weights * nodes, axis=1)
    is_known = not np.isnan(theta.trace)
    return SpectralDensity(
        nodes,
        weights,
        is_exact,
        theta.size,
        theta.trace if is_known else float(np.mean(traces)),
        0.0 if is_known else float(_stderr(traces)),
        theta.eps * theta.size,
        "stochastic Lanczos quadrature, full reorthogonalization",
        theta.precision,
        SpectralDensityStatus.exact if np.all(is_exact) else SpectralDensityStatus.quadrature,
    )
