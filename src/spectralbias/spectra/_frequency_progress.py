"""How much of each frequency of a target a function has, over training."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float, Int

from .._core.checks import finite_array, samples_and_outputs
from .._core.errors import InputError
from ._radial import frequency_radius

# A ring with less than this part of the target's energy has no amplitude to compare with.
NO_ENERGY = 1e-20


class FrequencyProgress(eqx.Module):
    """Amplitudes in rings |k| = 0, 1, 2, … of functions, over those of their target.

    Attributes:
        frequencies: |k| of the rings in which the target has energy, in cycles per grid length, (rings,).
        shares: of the target's energy in each ring, (rings,).
        amplitudes: √(Σ |f̂_k|² / Σ |ŷ_k|²), sums over a ring and over outputs, (…, rings): 1 where f has as much of a
            frequency as the target has.
        errors: √(Σ |f̂_k - ŷ_k|² / Σ |ŷ_k|²), (…, rings): 0 where f has the right amplitudes and phases.
    """

    frequencies: Int[np.ndarray, " rings"]
    shares: Float[np.ndarray, " rings"]
    amplitudes: Float[np.ndarray, "... rings"]
    errors: Float[np.ndarray, "... rings"]


def frequency_progress(
    predictions: ArrayLike | Sequence, target: ArrayLike | Sequence[float], shape: tuple[int, ...]
) -> FrequencyProgress:
    """The amplitude of every frequency of a target that predictions have, |f̂_k| / |ŷ_k|, on a regular grid.

    On a signal a ring is one frequency; on an image it holds all k whose |k| rounds to the same number. An amplitude
    alone can be right by chance: `.errors` compares phases too.

    Args:
        predictions: f on the grid in row-major order, (…, n) or (…, n, c), e.g. over training steps.
        target: y on the grid, (n,) or (n, c).
        shape: nodes along each axis, with product n.

    Returns:
        `FrequencyProgress`, for the rings in which the target has energy.

    Raises:
        InputError: predictions of other samples or outputs than the target; a target of zeros.

    Cost and precision:
        One FFT per prediction, in float64. Predictions that are not finite give NaN or infinity.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> x = 2 * np.pi * np.arange(16) / 16
        >>> target = np.sin(2 * x) + np.sin(5 * x)
        >>> progress = spectra.frequency_progress([0 * x, 0.9 * np.sin(2 * x), target], target, (16,))
        >>> progress.frequencies, progress.amplitudes.round(6)
        (array([2, 5]), array([[0. , 0. ],
               [0.9, 0. ],
               [1. , 1. ]]))
    """
    y = finite_array("target", target, ndim=(1, 2))
    if len(shape) == 0 or min(shape) < 1 or len(y) != np.prod(shape):
        raise InputError(f"`shape` must be that of a grid of the {len(y)} nodes of `target`, got {shape}")
    f = samples_and_outputs(predictions, len(y), y.shape[1:], "predictions")
    radius = np.rint(frequency_radius(tuple(shape))).astype(int).ravel()
    order = np.argsort(radius, kind="stable")
    frequencies, starts = np.unique(radius[order], return_index=True)

    def energy(values: np.ndarray) -> np.ndarray:
        lead, outputs = values.shape[:-2], values.shape[-1]
        axes = tuple(range(-len(shape) - 1, -1))
        with np.errstate(over="ignore", invalid="ignore"):
            transformed = np.fft.fftn(values.reshape(*lead, *shape, outputs), axes=axes) / len(y)
            power = np.sum(np.abs(transformed) ** 2, axis=-1).reshape(*lead, len(y))
            return np.add.reduceat(power[..., order], starts, axis=-1)

    whole = y.reshape(len(y), -1)
    of_target = energy(whole)
    total = of_target.sum()
    if total == 0:
        raise InputError("`target` is zero everywhere: it has no frequencies to compare with")
    there = of_target > NO_ENERGY * total
    return FrequencyProgress(
        frequencies[there],
        of_target[there] / total,
        np.sqrt(energy(f)[..., there] / of_target[there]),
        np.sqrt(energy(f - whole)[..., there] / of_target[there]),
    )
