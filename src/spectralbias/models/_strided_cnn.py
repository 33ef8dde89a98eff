"""The convolutional network of Lazzari & Liu."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.checks import whole
from .._core.errors import InputError
from ._convolution import Convolution
from ._mlp import Linear

FILTER, STRIDE = 3, 2


class StridedCNN(eqx.Module):
    """The network of `strided_cnn`."""

    convolutions: tuple[Convolution, ...]
    dense: tuple[Linear, ...]
    num_outputs: int | Literal["scalar"] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "channels rows columns"]) -> Float[Array, "..."]:
        """f(x) of one picture: shape () or (num_outputs,)."""
        h = x
        for layer in self.convolutions:
            h = jax.nn.relu(layer(h))
        h = h.reshape(-1)
        *hidden, last = self.dense
        for layer in hidden:
            h = jax.nn.relu(layer(h))
        f = last(h)
        return f[..., 0] if self.num_outputs == "scalar" else f


def strided_cnn(
    *,
    input_shape: Sequence[int] = (1, 28, 28),
    num_outputs: int | Literal["scalar"] = 10,
    channels: Sequence[int] = (32, 64, 96),
    width: int = 256,
    key: Array,
) -> StridedCNN:
    """A convolutional network as Lazzari & Liu have it: strides in place of pooling, so that every unit is a ReLU.

    Convolutions with filters of 3 x 3 at every second place and without padding, each followed by ReLU; then a layer of
    `width` units with ReLU, and the outputs. All weights and biases are U(-1/√fan_in, 1/√fan_in), PyTorch's default.
    With the paper's sizes there are 8352 ReLUs for pictures of MNIST and 11,456 for those of CIFAR.

    Args:
        input_shape: (channels, rows, columns) of the pictures.
        num_outputs: number of outputs, or `"scalar"` for an output of shape ().
        channels: filters of each convolution.
        width: units of the layer behind them.
        key: PRNG key.

    Returns:
        A model of one input of `input_shape`, channels first.

    Raises:
        InputError: numbers below 1, pictures that are too small for the convolutions.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> model = models.strided_cnn(key=jax.random.key(0))
        >>> model(jax.numpy.ones((1, 28, 28))).shape, models.count_parameters(model)
        ((10,), 175338)

    References:
        Lazzari & Liu 2023, the authors' code.
    """
    whole("width", width, 1)
    shape, filters = tuple(input_shape), tuple(channels)
    if len(shape) != 3:
        raise InputError(f"`input_shape` must be (channels, rows, columns), got {shape}")
    for name, sizes in (("input_shape", shape), ("channels", filters)):
        for size in sizes:
            whole(name, size, 1)
    if isinstance(num_outputs, str):
        if num_outputs != "scalar":
            raise InputError(f'`num_outputs` must be "scalar" or 1 or more, got {num_outputs!r}')
    else:
        whole("num_outputs", num_outputs, 1)
    left = shape[1:]
    for _ in filters:
        left = tuple((side - FILTER) // STRIDE + 1 for side in left)
    if min(left) < 1:
        raise InputError(
            f"pictures of {shape[1]} x {shape[2]} pixels are too small for {len(filters)} convolutions: they need "
            f"{2 ** (len(filters) + 1) - 1} pixels or more along each side"
        )
    return _draw(shape[0], filters, math.prod(left), width, num_outputs, jnp.result_type(float), key)


@eqx.filter_jit
def _draw(
    in_channels: int,
    channels: tuple[int, ...],
    pixels: int,
    width: int,
    num_outputs: int | Literal["scalar"],
    dtype,
    key: Array,
) -> StridedCNN:
    """All layers cut from one long draw: a generator takes 0.2 s to compile, per shape."""
    filters = [(b, a, FILTER, FILTER) for a, b in itertools.pairwise((in_channels, *channels))]
    last = channels[-1] if channels else in_channels
    matrices = list(itertools.pairwise((pixels * last, width, 1 if num_outputs == "scalar" else num_outputs)))
    total = sum(math.prod(shape) + shape[0] for shape in filters) + sum((a + 1) * b for a, b in matrices)
    pool, start = jax.random.uniform(key, (total,), dtype, -1.0, 1.0), 0

    def cut(shape: tuple[int, ...], fan_in: int) -> Array:
        nonlocal start
        start += math.prod(shape)
        return pool[start - math.prod(shape) : start].reshape(shape) / math.sqrt(fan_in)

    convolutions = tuple(
        Convolution(cut(shape, math.prod(shape[1:])), cut(shape[:1], math.prod(shape[1:])), STRIDE) for shape in filters
    )
    dense = tuple(Linear(cut((a, b), a), cut((b,), a), 1.0, 1.0) for a, b in matrices)
    return StridedCNN(convolutions, dense, num_outputs)
