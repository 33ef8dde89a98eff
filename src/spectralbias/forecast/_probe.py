"""The first steps of Adam, for networks that differ in their encoding alone: compiled once."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ._network_kernel import Population, ScaledLayer


def _outputs(activation: Callable, layers: tuple[ScaledLayer, ...], h: Array) -> Array:
    for index, layer in enumerate(layers):
        h = layer(h)
        if index + 1 < len(layers):
            h = jax.vmap(jax.vmap(activation))(h)
    return h


@eqx.filter_jit
def _train(
    activation: Callable,
    layers: tuple[ScaledLayer, ...],
    x: Array,
    trains: Array,
    y: Array,
    rate: Array,
    lengths: Array,
) -> Float[Array, "S N c"]:
    """Outputs at all inputs after each stretch of steps, of f = (g(θ₁) - g(θ₂))/√2 from θ₁ = θ₂."""
    inputs, transform = x[trains], optax.adam(rate)
    one = [(layer.weight, layer.bias) for layer in layers]

    def with_parameters(values: list) -> tuple[ScaledLayer, ...]:
        return tuple(
            ScaledLayer(weight, bias, layer.weight_scale, layer.bias_scale)
            for (weight, bias), layer in zip(values, layers, strict=True)
        )

    def of_both(pair: list, x: Array) -> Array:
        first, second = (_outputs(activation, with_parameters(values), x) for values in pair)
        return (first - second) / 2**0.5

    def loss(pair: list) -> Array:
        return jnp.sum((of_both(pair, inputs) - y) ** 2) / (2 * len(y))

    def step(_, carry):
        pair, state = carry
        updates, state = transform.update(jax.grad(loss)(pair), state)
        return optax.apply_updates(pair, updates), state

    def stretch(carry, length):
        carry = jax.lax.fori_loop(0, length, step, carry)
        return carry, of_both(carry[0], x)

    return jax.lax.scan(stretch, ([one, one], transform.init([one, one])), lengths)[1]


def first_steps(
    drawn: Population,
    features: Float[np.ndarray, "N features"],
    trains: np.ndarray,
    values: Float[np.ndarray, "N c"],
    rate: float,
    steps: np.ndarray,
) -> Float[np.ndarray, "T 2"]:
    """Mean square errors of the nodes that train and of the others after these numbers of steps, by training.

    One output of the network for each channel of the values.
    """
    layers, laid = drawn.scaled(0, features)
    last = layers[-1]
    channels = values.shape[1]
    # More outputs than one, with the same weights at the start: f = 0 whatever they are.
    wide = ScaledLayer(
        jnp.tile(last.weight, (1, channels)), jnp.tile(last.bias, channels), last.weight_scale, last.bias_scale
    )
    found = _train(
        drawn.networks[0].activation,
        (*layers[:-1], wide),
        laid,
        jnp.asarray(np.flatnonzero(trains)),
        jnp.asarray(values[trains], laid.dtype),
        jnp.asarray(rate, laid.dtype),
        jnp.asarray(np.diff([0, *steps])),
    )
    left = np.mean((np.asarray(found, np.float64) - values) ** 2, axis=-1)
    return np.stack([left[:, trains].mean(axis=1), left[:, ~trains].mean(axis=1)], axis=1)
