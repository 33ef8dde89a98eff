"""Fully connected networks."""

import itertools
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._core.checks import positive
from .._core.errors import InputError
from ._activations import activation as find_activation
from ._parameterization import LayerRule, Parameterization, unit_draws
from ._parameterization import parameterization as find_parameterization
from .encodings import Identity


class Linear(eqx.Module):
    """z = weight_scale · Wᵀ h + bias_scale · b, with W (in, out) and b (out,) or None.

    W is stored (in, out): the gradient hᵀ δ then comes out in the order in which a processor computes it fastest
    (four times faster than (out, in) for few inputs and many units).
    """

    weight: Array
    bias: Array | None
    weight_scale: float = eqx.field(static=True)
    bias_scale: float = eqx.field(static=True)

    def __call__(self, h: Array) -> Array:
        """Preactivations z (..., out) of inputs h (..., in)."""
        z = self.weight_scale * (h @ self.weight)
        return z if self.bias is None else z + jnp.broadcast_to(self.bias_scale * self.bias, z.shape)


@eqx.filter_jit
def _draw_layers(
    rules: tuple[LayerRule, ...], sizes: tuple[int, ...], output_scale: float, dtype, key: Array
) -> tuple[Linear, ...]:
    """All layers cut from one long draw per distribution: a generator takes 0.2 s to compile, per shape."""
    shapes = list(itertools.pairwise(sizes))
    total = sum((fan_in + 1) * fan_out for fan_in, fan_out in shapes)
    pools = {rule.distribution: unit_draws(rule.distribution, total, dtype, key) for rule in rules}
    layers, start = [], 0
    for rule, (fan_in, fan_out) in zip(rules, shapes, strict=True):
        stop = start + fan_in * fan_out
        weight = rule.weight_std * pools[rule.distribution][start:stop].reshape(fan_in, fan_out)
        bias = rule.bias_std * pools[rule.distribution][stop : stop + fan_out] if rule.bias_scale != 0 else None
        scale = output_scale if len(layers) == len(rules) - 1 else 1.0
        layers.append(Linear(weight, bias, scale * rule.weight_scale, scale * rule.bias_scale))
        start = stop + fan_out
    return tuple(layers)


class MLP(eqx.Module):
    """A fully connected network f(x) = output_scale · W_L h_L, h_{l+1} = σ(W_l h_l), h_0 = γ(x).

    With `parameterization="ntk"` each layer is z = weight_std/√fan_in · W h + bias_std · b with entries N(0, 1), so
    that Θ converges to `kernels.infinite_ntk(depth, activation, weight_variance=weight_std², bias_variance=bias_std²)`
    as the width grows. With `"standard"` the scales are in the stored weights, with `"torch"` the stored weights are
    PyTorch's, U(-1/√fan_in, 1/√fan_in).

    Args:
        in_size: size of the input x.
        out_size: number of outputs c, or `"scalar"` for an output of shape ().
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: a name or an elementwise function.
        parameterization: `"ntk"`, `"standard"`, `"torch"`, or a rule (layer index, number of layers,
            fan_in) -> `LayerRule`.
        weight_std: standard deviation of √fan_in · W as it acts; √2 keeps the scale through ReLU layers.
        bias_std: standard deviation of b as it acts; 0 for no biases.
        output_scale: factor on the output; large is lazier.
        antisymmetric: f = (g(θ₁) - g(θ₂))/√2 with two equal copies of the given width, both trained: f = 0 at
            the start.
        encoding: γ, a module of `models.encodings`; none by default.
        key: PRNG key.

    Raises:
        InputError: sizes below 1, an unknown activation or parameterization, a scale that is not positive.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
        >>> jax.vmap(model)(jax.numpy.ones((5, 3))).shape
        (5,)
    """

    encoding: Callable[[Array], Array]
    layers: tuple[Linear, ...]
    mirror: tuple[Linear, ...] | None
    activation: Callable[[Array], Array] = eqx.field(static=True)
    out_size: int | Literal["scalar"] = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        out_size: int | Literal["scalar"],
        width: int,
        depth: int,
        *,
        activation: str | Callable[[Array], Array] = "relu",
        parameterization: str | Parameterization = "ntk",
        weight_std: float = 2**0.5,
        bias_std: float = 0.0,
        output_scale: float = 1.0,
        antisymmetric: bool = False,
        encoding: Callable[[Array], Array] | None = None,
        key: Array,
    ):
        for name, size in (("in_size", in_size), ("width", width), ("depth", depth)):
            if size < 1:
                raise InputError(f"`{name}` must be 1 or more, got {size}")
        if out_size != "scalar" and (isinstance(out_size, str) or out_size < 1):
            raise InputError(f'`out_size` must be "scalar" or 1 or more, got {out_size!r}')
        positive("weight_std", weight_std)
        positive("output_scale", output_scale)
        if not 0 <= bias_std < float("inf"):
            raise InputError(f"`bias_std` must be 0 or more, got {bias_std}")
        self.encoding = Identity() if encoding is None else encoding
        self.activation = find_activation(activation)
        self.out_size = out_size
        rule = find_parameterization(parameterization, weight_std, bias_std)
        features = self.encoding.out_size(in_size) if hasattr(self.encoding, "out_size") else in_size
        sizes = [features] + [width] * depth + [1 if out_size == "scalar" else out_size]
        rules = tuple(rule(i, depth + 1, fan_in) for i, fan_in in enumerate(sizes[:-1]))
        self.layers = _draw_layers(rules, tuple(sizes), output_scale, jnp.result_type(float), key)
        self.mirror = jax.tree.map(jnp.array, self.layers) if antisymmetric else None

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.layers) - 1

    def __call__(self, x: Array) -> Array:
        """f(x) of one input x (in_size,): shape () or (out_size,)."""
        features = self.encoding(x)
        f = self._outputs(self.layers, features)
        if self.mirror is not None:
            f = 2**-0.5 * (f - self._outputs(self.mirror, features))
        return f[..., 0] if self.out_size == "scalar" else f

    def _outputs(self, layers: tuple[Linear, ...], h: Array) -> Array:
        """The outputs of one copy."""
        for layer in layers[:-1]:
            h = self.activation(layer(h))
        return layers[-1](h)
