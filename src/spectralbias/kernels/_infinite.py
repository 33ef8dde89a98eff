"""Infinite-width kernels of fully connected networks."""

import operator
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array

from .._core.checks import positive
from .._core.errors import InputError
from ._covariance import Covariance
from ._dual import Dual, Polynomial, dual
from ._infinite_kernel import InfiniteKernel
from ._piecewise_dual import PiecewiseDual
from ._quadrature import QuadratureDual, warn_beyond


def expectations(dual: Dual, inputs: Covariance) -> tuple[Covariance, Array]:
    """The second moments of σ(u), σ(v) and E σ'(u)σ'(v) for Gaussians of this covariance."""
    if isinstance(dual, PiecewiseDual):
        return dual.layer(inputs)
    second, first = dual.moments(inputs.product, inputs.square1, inputs.square2)
    squares = dual.second_moment(inputs.square1), dual.second_moment(inputs.square2)
    return Covariance.of_products(second, *squares), first


class TwoLayerKernel(InfiniteKernel):
    """Θ = inner · ⟨x, x'⟩ κ₁ + outer · κ₂ and NNGP = variance · κ₂: ReLU, one hidden layer, no biases."""

    inner: float = eqx.field(static=True)
    outer: float = eqx.field(static=True)
    variance: float = eqx.field(static=True)

    @property
    def _kinked(self) -> bool:
        return True

    @property
    def _homogeneous(self) -> bool:
        return True

    def _pair(self, inputs: Covariance, dim: int) -> tuple[Array, Array]:
        outputs, first = PiecewiseDual(0.0, 1.0).layer(inputs)
        ntk = self.inner * inputs.product * first + self.outer * outputs.product
        return ntk, self.variance * outputs.product


def cao_kernel() -> TwoLayerKernel:
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
    return TwoLayerKernel(1.0, 2.0, 2.0)


def bietti_mairal_kernel() -> TwoLayerKernel:
    """The limit of Θ for f(x) = √(2/m) Σ_j v_j σ(w_j · x) with all parameters N(0, 1): κ = 2 (⟨x, x'⟩ κ₁ + κ₂).

    On the unit sphere with t = ⟨x, x'⟩: κ(t) = [2t(π - arccos t) + √(1-t²)]/π, κ(1) = 2. Much of the literature uses
    this one; `cao_kernel` is not proportional to it, since there the two layers have different variances.

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)` and `.profile(cosine, dim=…)`.

    Example:
        >>> from spectralbias import kernels
        >>> round(float(kernels.bietti_mairal_kernel().profile(1.0, dim=10)), 6)
        2.0

    References:
        Bietti & Mairal 2019, sec. 2.2.
    """
    return TwoLayerKernel(2.0, 2.0, 2.0)


class FullyConnectedKernel(InfiniteKernel):
    """The kernel of `infinite_ntk`."""

    dual: Dual
    depth: int = eqx.field(static=True)
    weight_variance: float = eqx.field(static=True)
    bias_variance: float = eqx.field(static=True)

    @property
    def _kinked(self) -> bool:
        return isinstance(self.dual, PiecewiseDual)

    @property
    def _homogeneous(self) -> bool:
        return self._kinked and self.bias_variance == 0

    @property
    def method(self) -> str:
        """How the Gaussian expectations of the activation are computed: `"closed form"` or `"quadrature"`."""
        return self.dual.method

    @property
    def error(self) -> float:
        """Estimated relative error of one layer's expectations, for variances up to 10; 0 for a closed form."""
        return self.dual.error

    def _check_scale(self, square: float, dim: int) -> None:
        weight, bias = self.weight_variance, self.bias_variance
        if isinstance(self.dual, QuadratureDual):
            warn_beyond(self.dual, weight * square / dim + bias, self.depth, weight, bias)

    def _pair(self, inputs: Covariance, dim: int) -> tuple[Array, Array]:
        weight, bias = self.weight_variance, self.bias_variance

        def layer(_, carry):
            state, ntk = carry
            outputs, first = expectations(self.dual, state)
            state = outputs.affine(weight, bias)
            return state, state.product + weight * first * ntk

        state = inputs.affine(weight / dim, bias)
        # A loop, not a chain: ten layers would take seconds to compile.
        state, ntk = jax.lax.fori_loop(0, self.depth, layer, (state, state.product))
        return ntk, state.product


def infinite_ntk(
    depth: int,
    activation: str | Callable[[Array], Array] | Polynomial = "relu",
    *,
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> FullyConnectedKernel:
    """The limit of Θ for `MLP(…, parameterization="ntk", weight_std=√weight_variance, bias_std=√bias_variance)`.

    With Σ⁰ = weight_variance ⟨x, x'⟩/dim + bias_variance and Θ⁰ = Σ⁰, every hidden layer gives
    Σ ← weight_variance E[σσ] + bias_variance and Θ ← Σ + weight_variance E[σ'σ'] Θ.

    Args:
        depth: number of hidden layers.
        activation: a name of `models.activation`, any elementwise function, or a NumPy polynomial.
        weight_variance: variance of √fan_in · W in every layer, the output included.
        bias_variance: variance of every bias.

    Returns:
        An object with `.ntk(x1, x2)`, `.nngp(x1, x2)`, `.profile(cosine, dim=…)` and `.method`.

    Raises:
        InputError: depth below 1 or not an integer, an unknown activation, a variance that is negative.

    Cost and precision:
        For ReLU, leaky ReLU and absolute value without biases, and for every kernel on inputs of one norm: one matrix
        product and one polynomial per pair, where a short one is exact (the first three: up to 30 layers in float32, 10
        in float64). Else, and with one norm inside `jax.jit`, the expectations of every layer at every pair. With ReLU,
        leaky ReLU and absolute value identical, nearly identical and nearly opposite points keep 10 digits in float64;
        in float32 entries are right to 1e-6 √(Θ(x, x) Θ(x', x')) or better up to 10 layers. Derivatives with respect
        to inputs are finite everywhere: at a cusp, x = x' or x = 0, the angle's counts as 0.

    Example:
        >>> from spectralbias import kernels
        >>> round(float(kernels.infinite_ntk(1).profile(1.0, dim=2)), 6)
        2.0

    References:
        Jacot, Gabriel, Hongler 2018, theorem 1; Cho & Saul 2009.
    """
    try:
        depth = operator.index(depth)
    except TypeError:
        raise InputError(f"`depth` must be an integer, got {depth!r}") from None
    if depth < 1:
        raise InputError(f"`depth` must be 1 or more hidden layers, got {depth}")
    positive("weight_variance", weight_variance)
    if not 0 <= bias_variance < float("inf"):
        raise InputError(f"`bias_variance` must be 0 or more, got {bias_variance}")
    return FullyConnectedKernel(dual(activation), depth, float(weight_variance), float(bias_variance))
