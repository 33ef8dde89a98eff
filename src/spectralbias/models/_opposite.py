"""Two copies of a network that cancel at the start."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._parameters import Fixed


def unknown_zero() -> Fixed:
    """0, as an array of the model, so that a compiler does not know it."""
    return Fixed(jnp.zeros(()))


def opposite(one: Float[Array, "..."], two: Float[Array, "..."], zero: Fixed) -> Float[Array, "..."]:
    """(one - two)/√2, exactly 0 where they are equal.

    Where both are products a compiler may round one and fuse the other with the difference, which leaves 1e-16. An
    unknown 0 is in between.
    """
    nothing = zero.value.astype(one.dtype)
    return 2**-0.5 * ((one + nothing) - (two + nothing))
