"""How a layer's stored numbers are drawn and how they enter the forward pass."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import unknown
from .._core.names import PARAMETERIZATIONS


class LayerRule(eqx.Module):
    """One layer z = weight_scale · W h + bias_scale · b: the law of W and b, and the two scales.

    `weight_std` and `bias_std` are the standard deviations of the *stored* entries; a bias_scale of 0 means no bias.
    """

    distribution: Literal["normal", "uniform"] = eqx.field(static=True, default="normal")
    weight_std: float = eqx.field(static=True, default=1.0)
    bias_std: float = eqx.field(static=True, default=1.0)
    weight_scale: float = eqx.field(static=True, default=1.0)
    bias_scale: float = eqx.field(static=True, default=0.0)


def unit_draws(distribution: str, count: int, dtype, key: Array) -> Array:
    """Independent draws of mean 0 and standard deviation 1."""
    if distribution == "uniform":
        return jax.random.uniform(key, (count,), dtype, -1.0, 1.0) * jnp.asarray(3.0, dtype) ** 0.5
    return jax.random.normal(key, (count,), dtype)


# (index of the layer, number of layers, fan_in) -> rule
Parameterization = Callable[[int, int, int], LayerRule]


def parameterization(name: str | Parameterization, weight_std: float, bias_std: float) -> Parameterization:
    """The rule of that name.

    `"ntk"`: W, b ~ N(0, 1), z = weight_std/√fan_in · W h + bias_std · b.
    `"standard"`: the same function at the start, with the scales moved into the stored numbers.
    `"torch"`: W, b ~ U(-1/√fan_in, 1/√fan_in), z = W h + b; the two stds do not enter.
    """
    if callable(name):
        return name
    if name == "ntk":
        return lambda index, count, fan_in: LayerRule(
            weight_scale=weight_std / float(np.sqrt(fan_in)), bias_scale=bias_std
        )
    if name == "standard":
        return lambda index, count, fan_in: LayerRule(
            weight_std=weight_std / float(np.sqrt(fan_in)), bias_std=bias_std, bias_scale=float(bias_std > 0)
        )
    if name == "torch":
        return lambda index, count, fan_in: LayerRule(
            distribution="uniform",
            weight_std=1 / float(np.sqrt(3 * fan_in)),
            bias_std=1 / float(np.sqrt(3 * fan_in)),
            bias_scale=1.0,
        )
    raise unknown("parameterization", name, PARAMETERIZATIONS)
