"""Any model, started at f = 0."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._core.errors import InputError
from ._mlp import MLP
from ._parameters import combine, partition


class AntisymmetricModel(eqx.Module):
    """f(x) = (g(θ₁; x) - g(θ₂; x))/√2; what is no parameter belongs to both copies."""

    model: Any  # g(θ₁; ·)
    mirror: PyTree  # θ₂, and None where g has no parameter

    def __call__(self, x: Array) -> Array:
        """f(x) of one input."""
        mirrored = combine(self.mirror, partition(self.model)[1])
        return 2**-0.5 * (jnp.asarray(self.model(x)) - jnp.asarray(mirrored(x)))


def antisymmetric(model: PyTree) -> AntisymmetricModel:
    """A model that starts at f = 0 with the kernel of the given one: f(x) = (g(θ₁; x) - g(θ₂; x))/√2.

    g is the given model. θ₁ and θ₂ are equal at the start and both are trained. So f = 0 there, up to rounding, and
    Θ_f = (Θ_g + Θ_g)/2 = Θ_g. A network at its initialization is not 0: it adds a random function to what is to be
    learned, which must be unlearned first, and which theory knows nothing about. For our own networks
    `antisymmetric=True` does the same.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,). It is not changed; its present
            parameters are those of both copies. Leaves in a `Fixed`, and everything else that is no parameter, are held
            once and shared.

    Returns:
        A model with twice as many parameters.

    Raises:
        InputError: a model without parameters, or one that is antisymmetric already.
        TypeError: a PyTorch module, which is not trained here.

    Cost and precision:
        A copy of the parameters. A call costs as much as two of g.

    Example:
        >>> import equinox as eqx
        >>> import jax
        >>> from spectralbias import models
        >>> network = eqx.nn.MLP(3, "scalar", 16, 2, key=jax.random.key(0))
        >>> model = models.antisymmetric(network)
        >>> float(model(jax.numpy.ones(3)))
        0.0

    References:
        The "doubling trick" of Chizat, Oyallon & Bach 2019, On Lazy Training in Differentiable Programming, and of
        Bowman & Montúfar 2022. There g has no factor 1/√2 and a width of 2m counts both copies.
    """
    if isinstance(model, AntisymmetricModel) or (isinstance(model, MLP) and model.mirror is not None):
        raise InputError(
            "`model` is antisymmetric already, and f = 0: use it as it is, or build it with `antisymmetric=False`"
        )
    parameters = partition(model)[0]  # refuses a PyTorch module
    if not jax.tree.leaves(parameters):
        raise InputError(
            "`model` has no parameters (no floating-point array leaf that is not `Fixed`): there is nothing to copy"
        )
    return AntisymmetricModel(model, jax.tree.map(jnp.array, parameters))
