"""The convolutional network of Bowman & Montúfar."""

import itertools
import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.checks import whole
from .._core.errors import InputError
from ._convolution import Convolution
from ._mlp import Linear

SIDE, FILTER = 32, 5
CHANNELS, DENSE = (6, 16), (120, 84)


class LeNet5(eqx.Module):
    """The network of `lenet5`."""

    first: Convolution
    second: tuple[Convolution, Convolution]
    dense: tuple[Linear, Linear, Linear]
    num_outputs: int | Literal["scalar"] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "channels 32 32"]) -> Float[Array, "..."]:
        """f(x) of one picture (channels, 32, 32): shape () or (num_outputs,)."""
        h = _pooled(self.first(x))
        one, two = self.second
        h = (_pooled(one(h)) + _pooled(two(h))).reshape(-1)
        *hidden, last = self.dense
        for layer in hidden:
            h = jax.nn.relu(layer(h))
        f = last(h)
        return f[..., 0] if self.num_outputs == "scalar" else f


def _pooled(z: Float[Array, "channels rows columns"]) -> Float[Array, "channels _ _"]:
    """The largest ReLU in every square of 2 x 2."""
    channels, rows, columns = z.shape
    return jax.nn.relu(z).reshape(channels, rows // 2, 2, columns // 2, 2).max((2, 4))


def lenet5(*, in_channels: int = 1, num_outputs: int | Literal["scalar"] = 10, key: Array) -> LeNet5:
    """LeNet-5 as Bowman & Montúfar have it: 32 x 32 pictures, ReLU, max-pooling, 6-16-120-84-10.

    A convolution with 6 filters of 5 x 5, ReLU, the maximum of squares of 2 x 2; two parallel convolutions with 16
    filters of 5 x 5 each, ReLU, the same pooling, and their sum; then layers of 120 and 84 units with ReLU, and the
    outputs. All weights and biases are U(-1/√fan_in, 1/√fan_in), PyTorch's default. With the 10 outputs of the paper
    there are 64,122 parameters.

    Args:
        in_channels: channels of the pictures.
        num_outputs: number of outputs, or `"scalar"` for an output of shape (). The kernel of one output is the same in
            both: the other rows of the last layer have no influence on it.
        key: PRNG key.

    Returns:
        A model of one input (in_channels, 32, 32), channels first.

    Raises:
        InputError: numbers below 1.

    Cost and precision:
        `empirical_ntk` treats the convolutions by their patches, without a Jacobian of the network.

    Example:
        >>> import jax
        >>> from spectralbias import models
        >>> model = models.lenet5(key=jax.random.key(0))
        >>> model(jax.numpy.ones((1, 32, 32))).shape, models.count_parameters(model)
        ((10,), 64122)

    References:
        Bowman & Montúfar 2022 (arXiv 2206.02927), the authors' code. There the layer of 120 units is a convolution with
        filters of 5 x 5 on pictures of 5 x 5, which is the same.
    """
    whole("in_channels", in_channels, 1)
    if isinstance(num_outputs, str):
        if num_outputs != "scalar":
            raise InputError(f'`num_outputs` must be "scalar" or 1 or more, got {num_outputs!r}')
    else:
        whole("num_outputs", num_outputs, 1)
    return _draw(in_channels, num_outputs, jnp.result_type(float), key)


@eqx.filter_jit
def _draw(in_channels: int, num_outputs: int | Literal["scalar"], dtype, key: Array) -> LeNet5:
    """All layers cut from one long draw: a generator takes 0.2 s to compile, per shape."""
    first, second = CHANNELS
    side = ((SIDE - FILTER + 1) // 2 - FILTER + 1) // 2
    filters = [(first, in_channels, FILTER, FILTER), *2 * [(second, first, FILTER, FILTER)]]
    sizes = (second * side**2, *DENSE, 1 if num_outputs == "scalar" else num_outputs)
    matrices = list(itertools.pairwise(sizes))
    total = sum(math.prod(shape) + shape[0] for shape in filters) + sum((a + 1) * b for a, b in matrices)
    pool, start = jax.random.uniform(key, (total,), dtype, -1.0, 1.0), 0

    def cut(shape: tuple[int, ...], fan_in: int) -> Array:
        nonlocal start
        start += math.prod(shape)
        return pool[start - math.prod(shape) : start].reshape(shape) / math.sqrt(fan_in)

    convolutions = [
        Convolution(cut(shape, math.prod(shape[1:])), cut(shape[:1], math.prod(shape[1:]))) for shape in filters
    ]
    dense = [Linear(cut((a, b), a), cut((b,), a), 1.0, 1.0) for a, b in matrices]
    return LeNet5(convolutions[0], (convolutions[1], convolutions[2]), (dense[0], dense[1], dense[2]), num_outputs)
