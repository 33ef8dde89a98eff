"""Real Fourier modes of a periodic box, and the coefficients of functions on scattered points."""

import math
from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Bool, Float, Int

from .._core.checks import finite_array, positive, same_samples
from .._core.errors import InputError
from ._radial import RadialSpectrum, in_rings

# More modes than this are a mistake in `max_frequency`: there are about (volume of the ball) x max_frequency^dim.
MOST_MODES = 100_000


class FourierModes(eqx.Module):
    """Real Fourier modes at points.

    Attributes:
        values: 1, √2 cos(2π⟨k, x⟩/L), √2 sin(2π⟨k, x⟩/L) at the points, (n, p).
        frequencies: k of each mode, in cycles per length, (p, dim).
        is_sine: which modes are the sines, (p,).
    """

    values: Float[np.ndarray, "n p"]
    frequencies: Int[np.ndarray, "p dim"]
    is_sine: Bool[np.ndarray, " p"]

    @property
    def radius(self) -> Float[np.ndarray, " p"]:
        """|k| of each mode, (p,)."""
        return np.sqrt(np.sum(self.frequencies**2, axis=1))


class FourierCoefficients(eqx.Module):
    """Coefficients of a function on scattered points.

    Attributes:
        coefficients: a_j of f(x) ≈ Σ_j a_j φ_j(x), (p,), or (p, c) for c outputs.
        frequencies: k of each mode, (p, dim).
        is_sine: which modes are the sines, (p,).
        length: the period L.
        condition_number: largest over smallest singular value of the modes at the points, the ridge included. Noise
            in the values can be this many times larger in the coefficients.
        misfit: root mean square of what the modes leave of the values, over all outputs.
        method: the algorithm.
    """

    coefficients: Float[np.ndarray, "p ..."]
    frequencies: Int[np.ndarray, "p dim"]
    is_sine: Bool[np.ndarray, " p"]
    length: float = eqx.field(static=True)
    condition_number: float = eqx.field(static=True)
    misfit: float = eqx.field(static=True)
    method: str = eqx.field(static=True)

    @property
    def radius(self) -> Float[np.ndarray, " p"]:
        """|k| of each mode, (p,)."""
        return np.sqrt(np.sum(self.frequencies**2, axis=1))

    def evaluate(self, x: ArrayLike) -> Float[np.ndarray, "n ..."]:
        """Σ_j a_j φ_j at points (n, dim): (n,), or (n, c)."""
        return _values(_points(x), self.frequencies, self.is_sine, self.length) @ self.coefficients

    def radial_spectrum(self) -> RadialSpectrum:
        """Energy in rings of rounded |k|, summed over outputs: that of `radial_spectrum` on a grid."""
        return in_rings(self.radius, np.sum(self.coefficients.reshape(len(self.radius), -1) ** 2, axis=1))


def fourier_modes(
    x: ArrayLike | Sequence[Sequence[float]], max_frequency: float, *, length: float = 2.0
) -> FourierModes:
    """The real Fourier modes of a periodic box with |k| up to `max_frequency`, at points x.

    1, and for one of each pair ±k of integer vectors: √2 cos(2π⟨k, x⟩/L), √2 sin(2π⟨k, x⟩/L). They are orthonormal for
    the uniform probability measure on a box of side L, and on a regular grid whose axes all have more than
    2 · max_frequency nodes.

    Args:
        x: points (n, dim), anywhere: the modes have period L.
        max_frequency: largest |k|, in cycles per length.
        length: the period L of every coordinate; 2 for the window [-1, 1].

    Returns:
        `FourierModes`, by growing |k|; a cosine stands before its sine.

    Raises:
        InputError: points that are not (n, dim), a negative frequency, more than 100,000 modes.

    Cost and precision:
        n p sines and cosines in float64.

    Example:
        >>> from spectralbias import spectra
        >>> modes = spectra.fourier_modes([[0.0], [0.5]], 1)
        >>> modes.frequencies.ravel().tolist(), modes.values.round(2).tolist()
        ([0, 1, 1], [[1.0, 1.41, 0.0], [1.0, 0.0, 1.41]])
    """
    points = _points(x)
    positive("length", length)
    frequencies, is_sine = _lattice(points.shape[1], max_frequency)
    return FourierModes(_values(points, frequencies, is_sine, length), frequencies, is_sine)


def _points(x: ArrayLike | Sequence[Sequence[float]]) -> np.ndarray:
    points = finite_array("x", x)
    if points.ndim != 2 or points.shape[1] == 0:
        raise InputError(f"`x` must have shape (n, dim), got {points.shape}: use x[:, None] for one column")
    return points


def _lattice(dim: int, max_frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (p, dim) of the modes, and which are sines."""
    if not 0 <= max_frequency < math.inf:
        raise InputError(f"`max_frequency` must be 0 or more, got {max_frequency}")
    if max_frequency > MOST_MODES:
        raise _too_many(max_frequency, dim)
    steps = np.arange(-math.floor(max_frequency), math.floor(max_frequency) + 1)
    vectors = np.zeros((1, 0), int)
    for _ in range(dim):
        # Axis by axis, without those that are too long already: the cube around the ball would be far larger.
        if len(vectors) * len(steps) > 100 * MOST_MODES:
            raise _too_many(max_frequency, dim)
        vectors = np.hstack([np.repeat(vectors, len(steps), axis=0), np.tile(steps, len(vectors))[:, None]])
        vectors = vectors[np.sum(vectors**2, axis=1) <= max_frequency**2 * (1 + 1e-12)]
    if len(vectors) > MOST_MODES:
        raise _too_many(max_frequency, dim)
    first = vectors[np.arange(len(vectors)), np.argmax(vectors != 0, axis=1)]
    half = vectors[first > 0]
    half = half[np.lexsort((*-half.T[::-1], np.sum(half**2, axis=1)))]
    frequencies = np.concatenate([np.zeros((1, dim), int), np.repeat(half, 2, axis=0)])
    return frequencies, np.append(False, np.tile([False, True], len(half)))


def _too_many(max_frequency: float, dim: int) -> InputError:
    return InputError(
        f"`max_frequency` = {max_frequency} in {dim} dimensions means more than {MOST_MODES} modes: lower it"
    )


def _values(points: np.ndarray, frequencies: np.ndarray, is_sine: np.ndarray, length: float) -> np.ndarray:
    """The modes at points, (n, p)."""
    if points.shape[1] != frequencies.shape[1]:
        raise InputError(f"`x` must have {frequencies.shape[1]} columns, got {points.shape[1]}")
    angles = 2 * np.pi / length * (points @ frequencies.T)
    values = np.sqrt(2) * np.where(is_sine, np.sin(angles), np.cos(angles))
    values[:, np.all(frequencies == 0, axis=1)] = 1.0
    return values


def fourier_coefficients(
    x: ArrayLike, values: ArrayLike, max_frequency: float, *, length: float = 2.0, ridge: float = 0.0
) -> FourierCoefficients:
    """Fourier coefficients of a function that is known on scattered points, by least squares.

    a = argmin (1/n) ‖Φ a - f‖² + ridge · ‖a‖² over the modes Φ of `fourier_modes`. Without a ridge a function with no
    frequency above `max_frequency` is recovered exactly. Any other leaves a misfit, and part of its high frequencies
    appears as low ones.

    Args:
        x: points (n, dim).
        values: f at the points, (n,), or (n, c) for c outputs.
        max_frequency: largest |k|, in cycles per length.
        length: the period L of every coordinate; it must cover the points.
        ridge: 0 or more; above 0 there may be fewer points than modes.

    Returns:
        `FourierCoefficients`, with condition number, misfit, `.evaluate(x)` and `.radial_spectrum()`.

    Raises:
        InputError: fewer points than modes, or points that do not tell the modes apart, without a ridge.

    Cost and precision:
        A singular value decomposition in float64, about 6 n p² operations. Errors of the values grow by at most the
        condition number.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> x = np.array([[0.0], [0.3], [0.9], [1.6]])
        >>> wave = 3 * np.sin(np.pi * x[:, 0])
        >>> (spectra.fourier_coefficients(x, wave, 1).coefficients / np.sqrt(2)).round(6) + 0.0
        array([0. , 0. , 1.5])
    """
    points, f = _points(x), finite_array("values", values, ndim=(1, 2))
    same_samples(points, f, ("x", "values"))
    if not 0 <= ridge < math.inf:
        raise InputError(f"`ridge` must be 0 or more, got {ridge}")
    modes = fourier_modes(points, max_frequency, length=length)
    n, p = modes.values.shape
    if ridge == 0 and n < p:
        raise InputError(
            f"{p} modes have |k| up to `max_frequency` = {max_frequency}, more than the {n} points: use at most "
            f"{_largest_that_fits(modes.radius, n)}, or a `ridge`"
        )
    left, singular, right = np.linalg.svd(modes.values / np.sqrt(n), full_matrices=False)
    if ridge == 0 and singular[-1] <= np.finfo(float).eps * max(n, p) * singular[0]:
        raise InputError(
            f"the {n} points of `x` do not tell {p} modes apart (singular values {singular[0]:.1e} to "
            f"{singular[-1]:.1e}): "
            "lower `max_frequency`, or use a `ridge`"
        )
    filtered = singular / (singular**2 + ridge)
    coefficients = (right.T * filtered) @ (left.T @ f) / np.sqrt(n)
    smallest = singular[-1] if n >= p else 0.0
    return FourierCoefficients(
        coefficients,
        modes.frequencies,
        modes.is_sine,
        float(length),
        float(np.sqrt((singular[0] ** 2 + ridge) / (smallest**2 + ridge))),
        float(np.sqrt(np.mean((modes.values @ coefficients - f) ** 2))),
        "least squares (singular values)" if ridge == 0 else f"least squares (singular values), ridge {ridge:g}",
    )


def _largest_that_fits(radius: np.ndarray, n: int) -> float:
    """The largest frequency, to two digits after the point, up to which there are at most n modes."""
    beyond = float(radius[n])
    return round((math.ceil(beyond * 100 - 1e-9) - 1) / 100, 2)
