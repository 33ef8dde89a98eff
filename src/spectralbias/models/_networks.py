"""The networks of the papers, as fully connected networks with the papers' scales."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Array

from .._core.checks import positive
from ._mlp import MLP
from ._parameterization import LayerRule


def cao_network(dim: int, width: int, *, output_scale: float = 1.0, antisymmetric: bool = False, key: Array) -> MLP:
    """The two-layer ReLU network of Cao et al. in one learning rate: f(x) = (θ/√m) Σ_j v_j σ(w_j · x).

    w_j ~ N(0, 2 I), v_j ~ N(0, 1), no biases, both layers trained, θ = output_scale, m = width. This is the paper's
    θ √m W_2 σ(W_1 x) with W_1 = w/√m and W_2 = v/√m. As m grows, Θ → θ² `kernels.cao_kernel()`, and the
    paper's learning rate η = c/(m θ²) is c/θ² here.

    Args:
        dim: ambient dimension of the inputs.
        width: hidden units m.
        output_scale: θ; large is lazier.
        antisymmetric: start at f = 0 with two opposite copies.
        key: PRNG key.

    References:
        Cao, Fang, Wu, Zhou, Gu 2021, sec. 3.
    """

    def rule(index: int, count: int, fan_in: int) -> LayerRule:
        return LayerRule(weight_std=2**0.5) if index == 0 else LayerRule(weight_scale=fan_in**-0.5)

    return MLP(
        dim,
        "scalar",
        width,
        1,
        parameterization=rule,
        output_scale=output_scale,
        antisymmetric=antisymmetric,
        key=key,
    )


def bowman_network(
    dim: int,
    width: int,
    *,
    activation: str | Callable[[Array], Array],
    antisymmetric: bool = True,
    key: Array,
) -> MLP:
    """The two-layer network of Bowman & Montúfar: f(x) = (1/√m) Σ_j a_j σ(w_j · x + b_j) + b_0, m = width.

    All entries of w, b, a and b_0 are drawn from N(0, 1) and trained. As m grows,
    Θ → `kernels.bowman_kernel(activation)`.

    With `antisymmetric` there are two copies of this width, f = (g(θ₁) - g(θ₂))/√2 with θ₁ = θ₂ at the start: f = 0
    there, and Θ is that of one copy. This is the paper's doubling of 2m units, up to b_0, of which there are two.

    Args:
        dim: ambient dimension of the inputs.
        width: hidden units m, of one copy.
        activation: a name or an elementwise function; the theorems ask for two bounded derivatives.
        antisymmetric: start at f = 0 with two opposite copies.
        key: PRNG key.

    Raises:
        InputError: sizes below 1, an unknown activation.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> model = models.bowman_network(3, 64, activation="tanh", antisymmetric=False, key=jax.random.key(0))
        >>> models.count_parameters(model) == 64 * 3 + 2 * 64 + 1
        True

    References:
        Bowman & Montúfar 2022, sec. 2.
    """

    def rule(index: int, count: int, fan_in: int) -> LayerRule:
        return LayerRule(weight_scale=1.0 if index == 0 else fan_in**-0.5, bias_scale=1.0)

    return MLP(
        dim, "scalar", width, 1, activation=activation, parameterization=rule, antisymmetric=antisymmetric, key=key
    )


def huang_yau_network(
    dim: int,
    width: int,
    depth: int,
    *,
    activation: str | Callable[[Array], Array],
    weight_std: float = 1.0,
    output_std: float = 1.0,
    antisymmetric: bool = False,
    key: Array,
) -> MLP:
    """The network of Huang & Yau: f(x) = a · x_H with x_l = σ(W_l x_{l-1})/√m and x_0 = x, H = depth, m = width.

    Entries of W_l are drawn from N(0, weight_std²), those of a from N(0, output_std²). No biases; all is trained. The
    first layer has no factor 1/√dim: scale the inputs to ‖x‖ of order 1. In this parametrization Θ moves by 1/m, and
    the kernels K^r of `dynamics.hierarchy_kernels` shrink with m.

    Layer l of `model.layers` holds W_l, the last one a. Its part of Θ, the paper's G^(l), is
    `kernels.empirical_ntk(model, x, parameters=lambda m: m.layers[l - 1])`; the parts add up to Θ.

    Args:
        dim: ambient dimension of the inputs.
        width: units m of each hidden layer.
        depth: number of hidden layers H.
        activation: a name or an elementwise function; the theorems ask for a smooth one, which ReLU is not.
        weight_std: standard deviation of the entries of W_l.
        output_std: standard deviation of the entries of a.
        antisymmetric: start at f = 0 with two opposite copies of this width; K³, K⁵, … are then 0 at the start.
        key: PRNG key.

    Raises:
        InputError: sizes below 1, an unknown activation, a standard deviation that is not positive.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> model = models.huang_yau_network(3, 64, 2, activation="tanh", key=jax.random.key(0))
        >>> models.count_parameters(model) == 64 * 3 + 64 * 64 + 64
        True

    References:
        Huang & Yau 2020, sec. 1.1.
    """
    positive("weight_std", weight_std)
    positive("output_std", output_std)

    def rule(index: int, count: int, fan_in: int) -> LayerRule:
        return LayerRule(
            weight_std=output_std if index == count - 1 else weight_std,
            weight_scale=1.0 if index == 0 else fan_in**-0.5,
        )

    return MLP(
        dim, "scalar", width, depth, activation=activation, parameterization=rule, antisymmetric=antisymmetric, key=key
    )


def coordinate_network(
    dim: int,
    out_size: int | Literal["scalar"],
    *,
    width: int = 256,
    depth: int = 3,
    encoding: Callable[[Array], Array] | None = None,
    activation: str | Callable[[Array], Array] = "relu",
    parameterization: str = "torch",
    output_scale: float = 1.0,
    antisymmetric: bool = False,
    key: Array,
) -> MLP:
    """A coordinate network (implicit neural representation): an `MLP` that reads γ(x) in place of x.

    Args:
        dim: number of coordinates.
        out_size: number of channels, or `"scalar"`.
        width: units of each hidden layer.
        depth: number of hidden layers.
        encoding: γ, a module of `models.encodings`; none by default.
        activation: a name or an elementwise function.
        parameterization: `"torch"` (what people train) or `"ntk"`, `"standard"`.
        output_scale: factor on the output; large is lazier.
        antisymmetric: start at f = 0 with two opposite copies.
        key: PRNG key.

    References:
        Lazzari & Liu 2023, sec. 3; Tancik et al. 2020.
    """
    return MLP(
        dim,
        out_size,
        width,
        depth,
        encoding=encoding,
        activation=activation,
        parameterization=parameterization,
        output_scale=output_scale,
        antisymmetric=antisymmetric,
        key=key,
    )
