"""How much every layer can stretch what it reads, and all of them together."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree
from scipy.sparse.linalg import LinearOperator, svds

from ..models._kinks import Kink
from ..models._reader import arrays_of
from ._layer_maps import LayerMap, Layers, factors, matrix, precise, read_layers, refuse_crossed, row_norms

# Entries of a matrix whose singular values are computed all at once.
_DENSE = 2**20

# Of the eigenvalue that Lanczos iteration finds, the square of the norm.
_TOLERANCE: Any = 1e-11


class SpectralNorms(eqx.Module):
    """Largest singular values of the layers of a network.

    Attributes:
        names: of each layer, the last one gives the outputs, (layers + 1,).
        values: ‖W_l‖₂, (layers + 1,).
        lipschitz: the network changes by at most so much per change of its input, or of its encoded input: the product
            of the norms, or NaN where that is no bound: where layers do not form a chain (residual networks), with
            units that jump or have unknown slopes, and with max pooling or other functions between layers.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    values: Float[np.ndarray, " layers"]
    lipschitz: float = eqx.field(static=True)

    @property
    def product(self) -> float:
        """Π ‖W_l‖₂."""
        return float(np.prod(self.values))


def spectral_norms(model: PyTree, x: ArrayLike) -> SpectralNorms:
    """The spectral norm of every layer, as a linear map from the outputs of the units before it to what its own read.

    The norms grow in training as the network learns steep functions; their product bounds how steep it can be. Each row
    is that of its unit as it acts, times the steepest slope of the unit: 1 for ReLU, leaky ReLU and abs.

    Args:
        model: any callable pytree with elementwise piecewise-linear nonlinearities. A convolution is the linear map on
            an image of that size, average pooling before it included; two copies side by side are one layer.
        x: inputs (n, …); only their shape matters.

    Returns:
        `SpectralNorms`, from the first layer, which reads x or its encoding, to the outputs.

    Raises:
        InputError: a model without piecewise-linear units; units that read no linear map, such as a maximum over
            positions.

    Cost and precision:
        Float64. Layers with up to 2^20 weights: all singular values. Larger ones, such as convolutions: by Lanczos
        iteration, to ten digits where the two largest are apart, each step of which is a product of the layer and one
        of its transpose.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, "scalar", 256, 2, parameterization="torch", key=jax.random.key(0))
        >>> norms = regions.spectral_norms(model, jax.numpy.ones((1, 2)))
        >>> norms.names, norms.values.shape, norms.product == norms.lipschitz
        (('layer 1', 'layer 2', 'output'), (3,), True)

    References:
        Lazzari & Liu 2023: spectral norms of the weights and their product.
    """
    with jax.enable_x64(True):
        exact, inputs = precise(model, x)
        layers, arrays = read_layers(exact, inputs), arrays_of(exact)
        names = (*(f"layer {number + 1}" for number in range(len(layers.maps) - 1)), "output")
        for name, layer in zip(names, layers.maps, strict=True):
            refuse_crossed(layer, name if name == "output" else f"the units of {name}", "it has no spectral norm")
        scales = [*(factors(groups) for groups in layers.units.layers), np.ones(layers.maps[-1].shape[0])]
        values = np.array([_norm(*pair, arrays) for pair in zip(layers.maps, scales, strict=True)])
    return SpectralNorms(names, values, float(np.prod(values)) if _bounded(layers) else math.nan)


def _norm(layer: LayerMap, scale: np.ndarray, arrays: list[Array]) -> float:
    """The largest singular value of a layer whose rows are multiplied by `scale`."""
    rows, columns = layer.shape
    if rows == 1:
        return float(row_norms(layer, arrays)[0] * abs(scale[0]))
    if rows * columns <= _DENSE:
        return float(np.linalg.norm(scale[:, None] * matrix(layer, arrays), 2))

    def product(vector):
        return scale * np.asarray(_linear(layer, arrays, jnp.asarray(vector.ravel())))

    def transposed(vector):
        return np.asarray(_transposed(layer, arrays, jnp.asarray(scale * vector.ravel())))

    operator: Any = LinearOperator
    operator = operator((rows, columns), matvec=product, rmatvec=transposed, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(min(rows, columns))
    found: Any = svds(operator, k=1, v0=start, tol=_TOLERANCE, return_singular_vectors=False)
    return float(found[0])


@eqx.filter_jit
def _linear(layer: LayerMap, arrays: list[Array], vector: Array) -> Array:
    return layer.linear(arrays, vector)


@eqx.filter_jit
def _transposed(layer: LayerMap, arrays: list[Array], vector: Array) -> Array:
    return layer.transposed(arrays, vector)


def _bounded(layers: Layers) -> bool:
    """Whether norms of the layers multiply to a bound: a chain of continuous functions with known slopes."""
    units = layers.units
    chain = all(layer.reads == {number - 1} for number, layer in enumerate(layers.maps))
    return chain and not units.gates and not units.bends and all(_continuous(kink) for kink in units.kinks)


def _continuous(kink: Kink) -> bool:
    """Whether the pieces are known and meet at the breakpoints."""
    lines = list(zip(kink.slopes, kink.intercepts, strict=True))
    for point, before, after in zip(kink.breakpoints, lines[:-1], lines[1:], strict=True):
        numbers = [number for number in (*before, *after) if number is not None]
        if len(numbers) < 4:
            return False
        left, right = numbers[0] * point + numbers[1], numbers[2] * point + numbers[3]
        if not math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-6):
            return False
    return True
