"""Angles between the hyperplanes of all hidden units."""

import equinox as eqx
import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PyTree

from .._core.errors import InputError
from ..models._reader import arrays_of
from ._layer_maps import factors, matrix, precise, read_layers, refuse_crossed

# Units for which the matrix of cosines takes 2 GB.
_MOST = 16_000


class HyperplaneAngles(eqx.Module):
    """Cosines between the weight rows of all hidden units.

    Attributes:
        cosines: (units, units), layer after layer; NaN for a row of zeros.
        offsets: where each layer starts and the last one ends, (layers + 1,).
        names: of each layer.
    """

    cosines: Float[np.ndarray, "units units"]
    offsets: np.ndarray
    names: tuple[str, ...] = eqx.field(static=True)


def hyperplane_angles(model: PyTree, x: ArrayLike) -> HyperplaneAngles:
    """Cosine of the angle between every two hyperplanes w·h + b = 0 of the hidden units, without their biases.

    Random rows are nearly orthogonal. Rows that become parallel in training move their boundaries together: they cut
    the input in few directions.

    Args:
        model: any callable pytree with elementwise piecewise-linear nonlinearities.
        x: inputs (n, …); only their shape matters.

    Returns:
        `HyperplaneAngles`. Units of different layers live in different spaces. As in the paper shorter rows, such as
        those of the first layer, are filled up with zeros at their end: cosines between layers compare weights by their
        number, and mean something only if the units before them do.

    Raises:
        InputError: a model without piecewise-linear units, or with more than 16,000 (the cosines would take 2 GB);
            units that read no linear map.

    Cost and precision:
        Float64, one product of the matrix of all rows with itself. Rows are those of the layer as it acts, from the
        outputs of the units before it; a unit that is active where -w·h is positive has the row -w.

    Example:
        >>> import jax
        >>> from spectralbias import models, regions
        >>> model = models.MLP(2, "scalar", 64, 3, parameterization="torch", key=jax.random.key(0))
        >>> angles = regions.hyperplane_angles(model, jax.numpy.ones((1, 2)))
        >>> angles.cosines.shape, angles.offsets
        ((192, 192), array([  0,  64, 128, 192]))

    References:
        Lazzari & Liu 2023, where all hidden layers have one width and only the first is filled up.
    """
    with jax.enable_x64(True):
        exact, inputs = precise(model, x)
        layers = read_layers(exact, inputs)
        hidden = layers.maps[:-1]
        offsets = np.append(0, np.cumsum([layer.shape[0] for layer in hidden]))
        if offsets[-1] > _MOST:
            raise InputError(f"the model has {offsets[-1]} units: the cosines of more than {_MOST} are not computed")
        names = tuple(f"layer {number + 1}" for number in range(len(hidden)))
        for name, layer in zip(names, hidden, strict=True):
            refuse_crossed(layer, f"the units of {name}", "they have no hyperplanes")
        rows = np.zeros((offsets[-1], max(layer.shape[1] for layer in hidden)))
        for start, layer, groups in zip(offsets, hidden, layers.units.layers, strict=False):
            one = factors(groups)[:, None] * matrix(layer, arrays_of(exact))
            norms = np.linalg.norm(one, axis=1, keepdims=True)
            rows[start : start + len(one), : one.shape[1]] = one / np.where(norms > 0, norms, np.nan)
    cosines = rows @ rows.T
    return HyperplaneAngles(np.clip(cosines, -1.0, 1.0, out=cosines), offsets, names)
