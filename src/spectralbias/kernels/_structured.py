"""The NTK of a fully connected network from layer inputs and output gradients, without any Jacobian.

A layer z = s W h + b contributes s² ⟨h, h'⟩ ⟨δ, δ'⟩ to Θ by its weight and ⟨δ, δ'⟩ by its bias, with δ = ∂f/∂z: two
thin matrix products in place of an n × P Jacobian.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..models import MLP


class LayerFactor(eqx.Module):
    """What one layer contributes to Θ: (weight_scale² ⟨h, h'⟩ + bias_scale²) ⟨δ, δ'⟩."""

    inputs: Float[Array, "n fan_in"]
    deltas: Float[Array, "n outputs fan_out"]
    weight_scale: float = eqx.field(static=True)
    bias_scale: float = eqx.field(static=True)


def layer_factors(model: MLP, x: Float[Array, "n dim"]) -> tuple[LayerFactor, ...]:
    """Inputs and output gradients of every layer at every sample, from one forward and one backward pass per output."""
    num_outputs = 1 if model.out_size == "scalar" else model.out_size
    features = jax.vmap(model.encoding)(x)

    def forward(taps):
        """Outputs (n, c) when `taps` are added to the preactivations, and the layers' inputs."""
        total = jnp.zeros((x.shape[0], num_outputs), features.dtype)
        inputs = []
        for (sign, layers), chain_taps in zip(model.chains, taps, strict=True):
            h = features
            for layer, tap in zip(layers, chain_taps, strict=True):
                inputs.append(h)
                z = layer(h) + tap
                h = model.activation(z)
            total = total + sign * z
        return total, inputs

    taps = [
        [jnp.zeros((x.shape[0], layer.weight.shape[1]), features.dtype) for layer in layers]
        for _, layers in model.chains
    ]
    _, pullback, inputs = jax.vjp(forward, taps, has_aux=True)

    def deltas_of(output):
        """∂f_output/∂z of every layer: samples do not mix, so one cotangent serves all of them."""
        cotangent = jnp.zeros((num_outputs,), features.dtype).at[output].set(1)
        return pullback(jnp.broadcast_to(cotangent, (x.shape[0], num_outputs)))[0]

    deltas = jax.vmap(deltas_of, out_axes=1)(jnp.arange(num_outputs))
    layers = [layer for _, chain in model.chains for layer in chain]
    return tuple(
        LayerFactor(h, delta, layer.weight_scale, 0.0 if layer.bias is None else layer.bias_scale)
        for layer, h, delta in zip(layers, inputs, jax.tree.leaves(deltas), strict=True)
    )


def contract(
    factors1: tuple[LayerFactor, ...], factors2: tuple[LayerFactor, ...], *, mean: bool
) -> Float[Array, "..."]:
    """Σ over layers of the factors' contributions: (n1, n2, c, c), or its mean over outputs (n1, n2)."""
    total = jnp.zeros((), factors1[0].deltas.dtype)
    for one, two in zip(factors1, factors2, strict=True):
        products = one.weight_scale**2 * jnp.matmul(one.inputs, two.inputs.T, precision="highest") + one.bias_scale**2
        n1, c, _ = one.deltas.shape
        n2 = two.deltas.shape[0]
        if mean:
            flat1, flat2 = one.deltas.reshape(n1, -1), two.deltas.reshape(n2, -1)
            total = total + products * jnp.matmul(flat1, flat2.T, precision="highest") / c
        else:
            flat1, flat2 = one.deltas.reshape(n1 * c, -1), two.deltas.reshape(n2 * c, -1)
            deltas = jnp.matmul(flat1, flat2.T, precision="highest").reshape(n1, c, n2, c)
            total = total + products[:, None, :, None] * deltas
    return total if mean else jnp.swapaxes(total, 1, 2)
