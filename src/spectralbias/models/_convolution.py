"""A convolution without padding."""

import equinox as eqx
import jax
from jaxtyping import Array, Float


class Convolution(eqx.Module):
    """Patches of a picture times the same weights (out, in, rows, columns), plus a bias (out,).

    Attributes:
        weight: the filters.
        bias: one for each filter.
        stride: from one patch to the next.
    """

    weight: Array
    bias: Array
    stride: int = eqx.field(static=True, default=1)

    def __call__(self, h: Float[Array, "channels rows columns"]) -> Float[Array, "out _ _"]:
        """Preactivations: as many rows and columns as patches fit."""
        strides = (self.stride, self.stride)
        z = jax.lax.conv_general_dilated(h[None], self.weight, strides, "VALID")[0]
        return z + self.bias[:, None, None]
