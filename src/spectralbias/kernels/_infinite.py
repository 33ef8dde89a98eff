"""Infinite-width kernels of ReLU networks."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._core.checks import positive
from .._core.errors import InputError
from ._arc_cosine import arc_cosine


class InfiniteKernel(eqx.Module):
    """The NTK and the NNGP kernel of an infinitely wide network, functions of ⟨x, x'⟩, ‖x‖² and ‖x'‖²."""

    @abc.abstractmethod
    def _pair(self, product: Array, square1: Array, square2: Array, dim: int) -> tuple[Array, Array]:
        """(ntk, nngp) of inputs with these inner products and squared norms, broadcast together."""

    def _checked_gram(self, x1: ArrayLike, x2: ArrayLike | None) -> tuple[Array, Array]:
        x1 = jnp.asarray(x1)
        x2 = x1 if x2 is None else jnp.asarray(x2)
        if x1.ndim != 2 or x2.ndim != 2 or x1.shape[1] != x2.shape[1]:
            raise InputError(f"inputs must have shapes (n1, dim) and (n2, dim), got {x1.shape} and {x2.shape}")
        if not (jnp.issubdtype(x1.dtype, jnp.floating) and jnp.issubdtype(x2.dtype, jnp.floating)):
            raise InputError(f"inputs must be floating-point, got {x1.dtype} and {x2.dtype}: use x.astype(float)")
        return _gram(self, x1, x2)

    def ntk(self, x1: ArrayLike, x2: ArrayLike | None = None) -> Array:
        """Θ(x1, x2) of shape (n1, n2); x2 = x1 by default."""
        return self._checked_gram(x1, x2)[0]

    def nngp(self, x1: ArrayLike, x2: ArrayLike | None = None) -> Array:
        """E f(x1) f(x2) over initializations, of shape (n1, n2); x2 = x1 by default."""
        return self._checked_gram(x1, x2)[1]

    def profile(self, cosine: ArrayLike, *, dim: int) -> Array:
        """Θ of two points of the unit sphere in R^dim as a function of their cosine."""
        cosine = jnp.asarray(cosine)
        return self._pair(cosine, jnp.ones_like(cosine), jnp.ones_like(cosine), dim)[0]


@eqx.filter_jit
def _gram(kernel: InfiniteKernel, x1: Array, x2: Array) -> tuple[Array, Array]:
    """(ntk, nngp) of all pairs of inputs."""
    square1, square2 = jnp.sum(x1**2, axis=1)[:, None], jnp.sum(x2**2, axis=1)[None, :]
    return kernel._pair(x1 @ x2.T, square1, square2, x1.shape[1])


def _relu_expectations(product: Array, square1: Array, square2: Array) -> tuple[Array, Array]:
    """E σσ and E σ'σ' of ReLU over Gaussians with this covariance; 0 where a variance is 0."""
    scale = jnp.sqrt(square1) * jnp.sqrt(square2)
    cosine = jnp.clip(product / jnp.where(scale > 0, scale, 1), -1, 1)
    return scale * arc_cosine(cosine, 1), jnp.where(scale > 0, arc_cosine(cosine, 0), 0)


class CaoKernel(InfiniteKernel):
    """The kernel of `cao_kernel`."""

    def _pair(self, product: Array, square1: Array, square2: Array, dim: int) -> tuple[Array, Array]:
        second, first = _relu_expectations(product, square1, square2)
        return product * first + 2 * second, 2 * second


def cao_kernel() -> CaoKernel:
    """The limit of Θ/θ² for `models.cao_network`: κ(x, x') = ⟨x, x'⟩ κ₁ + 2 κ₂.

    On the unit sphere with t = ⟨x, x'⟩: κ(t) = [3t(π - arccos t) + 2√(1-t²)]/2π, κ(1) = 3/2.

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)` and `.profile(cosine, dim=…)`.

    Example:
        >>> from spectralbias import kernels
        >>> round(float(kernels.cao_kernel().profile(1.0, dim=10)), 6)
        1.5

    References:
        Cao et al. 2021, sec. 3. The 2 is there because Var W₁ = 2/m and Var W₂ = 1/m.
    """
    return CaoKernel()


class ReLUKernel(InfiniteKernel):
    """The kernel of `infinite_ntk(depth, "relu")`."""

    depth: int = eqx.field(static=True)
    weight_variance: float = eqx.field(static=True)
    bias_variance: float = eqx.field(static=True)

    def _pair(self, product: Array, square1: Array, square2: Array, dim: int) -> tuple[Array, Array]:
        weight, bias = self.weight_variance, self.bias_variance
        ntk = covariance = weight * product / dim + bias
        variance1, variance2 = weight * square1 / dim + bias, weight * square2 / dim + bias
        for _ in range(self.depth):
            second, first = _relu_expectations(covariance, variance1, variance2)
            covariance = weight * second + bias
            variance1, variance2 = weight * variance1 / 2 + bias, weight * variance2 / 2 + bias
            ntk = covariance + weight * first * ntk
        return ntk, covariance


def infinite_ntk(
    depth: int, activation: str = "relu", *, weight_variance: float = 2.0, bias_variance: float = 0.0
) -> ReLUKernel:
    """The limit of Θ for `MLP(…, parameterization="ntk", weight_std=√weight_variance, bias_std=√bias_variance)`.

    With Σ⁰ = weight_variance ⟨x, x'⟩/dim + bias_variance and Θ⁰ = Σ⁰, every hidden layer gives
    Σ ← weight_variance E[σσ] + bias_variance and Θ ← Σ + weight_variance E[σ'σ'] Θ.

    Args:
        depth: number of hidden layers.
        activation: `"relu"`, whose expectations are arc-cosine kernels.
        weight_variance: variance of √fan_in · W in every layer, the output included.
        bias_variance: variance of every bias.

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)` and `.profile(cosine, dim=…)`.

    Raises:
        InputError: depth below 1, another activation, a variance that is negative.

    Cost and precision:
        n1 n2 arccosines per layer. In float32 the angle of nearly parallel inputs costs half of the digits: compute
        in float64 where small eigenvalues matter.

    Example:
        >>> from spectralbias import kernels
        >>> round(float(kernels.infinite_ntk(1).profile(1.0, dim=2)), 6)
        2.0

    References:
        Jacot, Gabriel, Hongler 2018, theorem 1; Cho & Saul 2009.
    """
    if depth < 1:
        raise InputError(f"`depth` must be 1 or more hidden layers, got {depth}")
    if activation != "relu":
        raise InputError(f'`activation` must be "relu" for a closed-form kernel, got {activation!r}')
    positive("weight_variance", weight_variance)
    if not 0 <= bias_variance < float("inf"):
        raise InputError(f"`bias_variance` must be 0 or more, got {bias_variance}")
    return ReLUKernel(depth, float(weight_variance), float(bias_variance))
