"""The infinite-width kernel of a network, read from how its layers are scaled."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike

from ..kernels import EncodedKernel, encoded_kernel, infinite_ntk
from ..models import MLP, encodings


class ScaledKernel(eqx.Module):
    """scale · Θ: of a network whose output is multiplied by √scale."""

    kernel: EncodedKernel
    scale: float = eqx.field(static=True)

    def ntk(self, x1: ArrayLike, x2: ArrayLike | None = None) -> Array:
        """Θ(x1, x2)."""
        return self.scale * self.kernel.ntk(x1, x2)

    def stationary(self, difference: ArrayLike) -> Array:
        """Θ as a function of x - x'."""
        return self.scale * self.kernel.stationary(difference)

    @property
    def encoding(self) -> Any:
        """What the network reads in place of its input."""
        return self.kernel.encoding


def limit_kernel(model: Any) -> ScaledKernel | None:
    """The kernel that Θ tends to as the network gets wider, or None where none is known.

    Known for an `MLP` in the NTK parameterization: entries of variance 1, one weight_std and bias_std in all layers.
    """
    if not isinstance(model, MLP):
        return None
    stds = np.array([layer.weight_scale * layer.weight.shape[0] ** 0.5 for layer in model.layers])
    biases = np.array([layer.bias_scale for layer in model.layers])
    scale = float(stds[-1] / stds[0])
    biases[-1] /= scale
    hidden = [float(np.mean(np.square(layer.weight))) for layer in model.layers]
    sizes = [layer.weight.size for layer in model.layers]
    entries = all(abs(mean - 1) < 6 * np.sqrt(2 / size) for mean, size in zip(hidden, sizes, strict=True))
    if not (entries and np.allclose(stds[:-1], stds[0]) and np.allclose(biases, biases[0])):
        return None
    variances = {"weight_variance": float(stds[0]) ** 2, "bias_variance": float(biases[0]) ** 2}
    kernel = infinite_ntk(model.depth, model.activation, **variances)
    return ScaledKernel(encoded_kernel(kernel, model.encoding), scale**2)


def is_stationary(kernel: Any) -> bool:
    """Whether Θ is a function of x - x'."""
    encoding = getattr(kernel, "encoding", None)
    return isinstance(encoding, encodings.PositionalEncoding | encodings.FourierFeatures)


def is_periodic(kernel: Any) -> bool:
    """Whether Θ is a function of x - x' of period 2 in every coordinate."""
    return isinstance(getattr(kernel, "encoding", None), encodings.PositionalEncoding)


def on_host(kernel: Any, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """Θ(x1, x2) in float64."""
    with jax.enable_x64(True):
        return np.asarray(kernel.ntk(x1, x2), np.float64)
