"""How far samples are from the nearest boundary of their linear region."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.checks import whole
from .._core.errors import InputError
from ..kernels._plan import checked_inputs
from ..models._reader import arrays_of, read_program
from ._layer_maps import Layers, precise, read_layers, refuse_crossed, row_norms
from ._units import Group, layer_values, read_units

# Bytes of what the units of one batch read, and of its tangents.
_BATCH = 2**25


def boundary_distance(
    model: PyTree,
    x: ArrayLike,
    *,
    space: Literal["layer", "input"] = "layer",
    per_layer: bool = False,
    batch_size: int | None = None,
) -> Float[np.ndarray, "..."]:
    """How far every sample is from the nearest place where a unit switches: min_j |z_j - breakpoint| / ‖∇z_j‖.

    Samples in wide regions are far from all boundaries. The gradient of z_j = w_j·h + b_j is taken in one of two
    spaces.

    `"layer"`: in the layer's own input h, so that ‖∇z_j‖ = ‖w_j‖. This is the paper's distance. It compares layers of
    one network with each other over training; but for the first layer it is no distance between inputs.

    `"input"`: in x. Within a linear region z_j is affine in x, and where the network is piecewise linear the minimum
    over all units is exactly the distance from x to the boundary of its region (of its activation pattern). Through a
    curved encoding it is that of the linearized network.

    Args:
        model: any callable pytree with elementwise piecewise-linear nonlinearities.
        x: inputs (n, …).
        space: `"layer"` or `"input"`.
        per_layer: whether to give the minimum of each layer.
        batch_size: samples that are treated at once; chosen by memory if None.

    Returns:
        (n,), or with `per_layer` (n, layers). Infinite where no unit can switch.

    Raises:
        InputError: a model without piecewise-linear units; with `"layer"`, units that read no linear map, such as a
            maximum over positions.

    Cost and precision:
        `"layer"`: a forward pass, and once for every call the rows w_j, in float64, by as many products as the layer
        has inputs. They are those of the layer as it acts, with its scales, from the outputs of the units before it to
        z. In a convolution each position has its own row: at a padded border only the taps count that meet the input.
        `"input"`: as many forward passes as x has coordinates. z is in the dtype of the parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> from spectralbias import models, regions
        >>> model = models.from_function(lambda w, x: jnp.abs(w * x - 1).sum(), jnp.array(4.0))
        >>> regions.boundary_distance(model, jnp.array([[0.0], [0.5]]))
        array([0.25, 0.25])

    References:
        Hanin & Rolnick 2019, Complexity of Linear Regions in Deep Networks, for the distance in x. Lazzari & Liu 2023:
        mean over samples of the distance in each layer's own input.
    """
    if space not in ("layer", "input"):
        raise InputError(f'`space` must be "layer" or "input", got {space!r}')
    x = checked_inputs(model, "x", x)
    units = read_units(model, x)
    n, features = len(x), math.prod(x.shape[1:])
    per_sample = 4 * sum(math.prod((*k.lengths, *k.shape)) * k.dtype.itemsize for k in units.kinks)
    size = max(1, _BATCH // per_sample) if batch_size is None else whole("batch_size", batch_size, 1)
    size = -(-n // -(-n // min(n, size)))
    if space == "layer":
        with jax.enable_x64(True):
            exact, inputs = precise(model, x)
            layers = read_layers(exact, inputs)
            for number, layer in enumerate(layers.maps[:-1]):
                refuse_crossed(layer, f"layer {number + 1}", 'take `space="input"`')
            found = [row_norms(layer, arrays_of(exact)) for layer in layers.maps[:-1]]
        norms = tuple(jnp.asarray(one, x.dtype) for one in found)
        flat = read_layers(model, x)
        parts = [_in_layers(flat, arrays_of(model), norms, batch) for batch in _batches(x, size)]
    else:
        basis = jnp.eye(features, dtype=x.dtype).reshape(features, *x.shape[1:])
        parts = [_in_inputs(model, basis, batch) for batch in _batches(x, size)]
    distances = np.concatenate([np.asarray(part, np.float64) for part in parts])[:n]
    return distances if per_layer else distances.min(axis=1)


def _batches(x: Array, size: int):
    """Batches of one size, the last one filled up with its last sample."""
    host = np.asarray(x)
    for start in range(0, len(host), size):
        batch = host[start : start + size]
        yield jnp.asarray(np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)]))


def _smallest(groups: Sequence[Group], values: Sequence[Array], norms: Array) -> Array:
    """The smallest distance of the units of one layer."""
    distances, start = [], 0
    for group, z in zip(groups, values, strict=True):
        points = jnp.asarray(group.breakpoints, z.dtype)
        away = jnp.min(jnp.abs(z[:, None] - points[None, :]), axis=1)
        norm = norms[start : start + group.count]
        distances.append(jnp.min(jnp.where(norm > 0, away / jnp.where(norm > 0, norm, 1), jnp.inf)))
        start += group.count
    return jnp.min(jnp.stack(distances))


@eqx.filter_jit
def _in_layers(layers: Layers, arrays: Sequence[Array], norms: tuple[Array, ...], x: Array) -> Array:
    """Distances (n, layers), with the norms of the rows of every layer."""
    units = layers.units

    def one(xi):
        values = layer_values(layers.program, units, arrays, xi)
        return jnp.stack(
            [_smallest(groups, z, norm) for groups, z, norm in zip(units.layers, values, norms, strict=True)]
        )

    return jax.vmap(one)(x)


@eqx.filter_jit
def _in_inputs(model: Any, basis: Array, x: Array) -> Array:
    """Distances (n, layers), with the gradients of z in x, one coordinate after the other."""
    program, units, arrays = read_program(model, x).jaxpr, read_units(model, x), arrays_of(model)

    def one(xi):
        def values(xi):
            return layer_values(program, units, arrays, xi)

        def add(squares, direction):
            _, moved = jax.jvp(values, (xi,), (direction,))
            return jax.tree.map(lambda s, m: s + m**2, squares, moved), None

        z = values(xi)
        squares, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, z), basis)
        return jnp.stack(
            [
                _smallest(groups, z, jnp.sqrt(jnp.concatenate(square)))
                for groups, z, square in zip(units.layers, z, squares, strict=True)
            ]
        )

    return jax.vmap(one)(x)
