"""Kernels of networks of one shape behind many encodings, compiled once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..models import MLP
from ..models._mlp import Linear
from ..models._parameterization import Parameterization
from ..models._parameterization import parameterization as find_parameterization


class ScaledLayer(eqx.Module):
    """z = weight_scale · h W + bias_scale · b, with scales that are numbers and not part of the program."""

    weight: Array
    bias: Array
    weight_scale: Array
    bias_scale: Array

    def __call__(self, h: Float[Array, "n in"]) -> Float[Array, "n out"]:
        """Preactivations."""
        return self.weight_scale * (h @ self.weight) + (self.bias_scale * self.bias)[None, :]


def _passes(activation: Callable, layers: tuple[ScaledLayer, ...], h: Array) -> tuple[list[Array], list[Array]]:
    """h_l of every layer, and ∂f/∂z_l, of all inputs."""
    inputs, slopes = [], []
    slope = jax.vmap(jax.vmap(jax.grad(activation)))
    for index, layer in enumerate(layers):
        inputs.append(h)
        z = layer(h)
        if index + 1 < len(layers):
            slopes.append(slope(z))
            h = jax.vmap(jax.vmap(activation))(z)
    backward = [jnp.ones((len(h), 1), h.dtype)]
    for layer, gate in zip(layers[:0:-1], slopes[::-1], strict=True):
        backward.insert(0, layer.weight_scale * (backward[0] @ layer.weight.T) * gate)
    return inputs, backward


@eqx.filter_jit
def _kernel(activation: Callable, layers: tuple[ScaledLayer, ...], x1: Array, x2: Array) -> Array:
    """Σ_l (s_w² h h'ᵀ + s_b²) ∘ δ δ'ᵀ."""
    total = jnp.zeros((len(x1), len(x2)), x1.dtype)
    first, second = _passes(activation, layers, x1), _passes(activation, layers, x2)
    for layer, h1, d1, h2, d2 in zip(layers, *first, *second, strict=True):
        total += (layer.weight_scale**2 * (h1 @ h2.T) + layer.bias_scale**2) * (d1 @ d2.T)
    return total


class Population(NamedTuple):
    """Random networks of one output and one shape, for any encoding with at most `num_features` features."""

    networks: tuple[MLP, ...]
    rule: Parameterization
    num_features: int

    def scaled(
        self, index: int, features: Float[np.ndarray, "N features"]
    ) -> tuple[tuple[ScaledLayer, ...], Float[Array, "N all"]]:
        """The layers of one network for so many features, and the features filled up with zeros."""
        model, count = self.networks[index], features.shape[1]
        laid = jnp.asarray(np.pad(features, ((0, 0), (0, self.num_features - count))), jnp.float32)
        # The first layer was drawn for all features: as if for so many.
        drawn, wanted = (self.rule(0, model.depth + 1, size) for size in (self.num_features, count))
        first = model.layers[0]
        weight = jnp.asarray(np.asarray(first.weight) * (wanted.weight_std / drawn.weight_std), first.weight.dtype)
        bias = None
        if first.bias is not None:
            bias = jnp.asarray(np.asarray(first.bias) * (wanted.bias_std / drawn.bias_std), first.bias.dtype)
        layers = [Linear(weight, bias, wanted.weight_scale, wanted.bias_scale), *model.layers[1:]]
        return tuple(map(_layer, layers)), laid

    def kernel(
        self, index: int, features: Float[np.ndarray, "N features"], trains: np.ndarray
    ) -> Float[np.ndarray, "N n"]:
        """Θ between all inputs, as features γ(x), and those that train, for one network.

        What `kernels.empirical_ntk` gives. Features are filled up with zeros, so that there is one compiled program.
        """
        layers, laid = self.scaled(index, features)
        return np.asarray(_kernel(self.networks[index].activation, layers, laid, laid[trains]))


def population(
    *,
    width: int,
    depth: int,
    activation: str,
    parameterization: str,
    bias_std: float,
    num_features: int,
    keys: Sequence[Array],
) -> Population:
    """Draw networks, one for each key, with weights of variance 2/fan_in where the parameterization leaves it open."""
    rule = find_parameterization(parameterization, 2**0.5, bias_std)
    networks = [
        MLP(num_features, "scalar", width, depth, activation=activation, parameterization=rule, key=key) for key in keys
    ]
    return Population(tuple(networks), rule, num_features)


def _layer(layer: Linear) -> ScaledLayer:
    bias = jnp.zeros(layer.weight.shape[1]) if layer.bias is None else layer.bias
    scales = (layer.weight_scale, 0.0 if layer.bias is None else layer.bias_scale)
    return ScaledLayer(layer.weight, bias, *(jnp.asarray(scale, jnp.float32) for scale in scales))
