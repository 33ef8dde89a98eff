"""Kernels of networks of one shape behind many encodings, compiled once."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..models import MLP


class _Layer(eqx.Module):
    """z = weight_scale · h W + bias_scale · b, with scales that are numbers and not part of the program."""

    weight: Array
    bias: Array
    weight_scale: Array
    bias_scale: Array


def _passes(activation: Callable, layers: tuple[_Layer, ...], h: Array) -> tuple[list[Array], list[Array]]:
    """h_l of every layer, and ∂f/∂z_l, of all inputs."""
    inputs, slopes = [], []
    slope = jax.vmap(jax.vmap(jax.grad(activation)))
    for index, layer in enumerate(layers):
        inputs.append(h)
        z = layer.weight_scale * (h @ layer.weight) + layer.bias_scale * layer.bias
        if index + 1 < len(layers):
            slopes.append(slope(z))
            h = jax.vmap(jax.vmap(activation))(z)
    backward = [jnp.ones((len(h), 1), h.dtype)]
    for layer, gate in zip(layers[:0:-1], slopes[::-1], strict=True):
        backward.insert(0, layer.weight_scale * (backward[0] @ layer.weight.T) * gate)
    return inputs, backward


@eqx.filter_jit
def _kernel(activation: Callable, layers: tuple[_Layer, ...], x1: Array, x2: Array) -> Array:
    """Σ_l (s_w² h h'ᵀ + s_b²) ∘ δ δ'ᵀ."""
    total = jnp.zeros((len(x1), len(x2)), x1.dtype)
    first, second = _passes(activation, layers, x1), _passes(activation, layers, x2)
    for layer, h1, d1, h2, d2 in zip(layers, *first, *second, strict=True):
        total += (layer.weight_scale**2 * (h1 @ h2.T) + layer.bias_scale**2) * (d1 @ d2.T)
    return total


def network_kernel(
    model: MLP, x: Float[np.ndarray, "N dim"], trains: np.ndarray, num_features: int
) -> Float[np.ndarray, "N n"]:
    """Θ between all inputs and those that train, for a network of one output.

    What `kernels.empirical_ntk` gives. Features are filled up with zeros to `num_features`, so that networks that
    differ in their encoding alone share one compiled program.
    """
    features = np.asarray(jax.vmap(model.encoding)(jnp.asarray(x, jnp.float32)))
    missing = num_features - features.shape[1]
    features = jnp.asarray(np.pad(features, ((0, 0), (0, missing))))
    layers = [_layer(layer) for layer in model.layers]
    layers[0] = eqx.tree_at(lambda one: one.weight, layers[0], jnp.pad(layers[0].weight, ((0, missing), (0, 0))))
    return np.asarray(_kernel(model.activation, tuple(layers), features, features[trains]))


def _layer(layer: Any) -> _Layer:
    bias = jnp.zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
    scales = (layer.weight_scale, 0.0 if layer.bias is None else layer.bias_scale)
    return _Layer(layer.weight, bias, *(jnp.asarray(scale) for scale in scales))
