"""An orthonormal basis of the spherical harmonics of a degree, in any dimension."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.errors import InputError
from .._core.gegenbauer import float_multiplicity, multiplicity
from .._core.sphere import unit_vectors
from ._degrees import as_degrees

MAX_MULTIPLICITY = 5000


def spherical_harmonics(degree: int | Sequence[int] | np.ndarray, x: ArrayLike) -> Float[np.ndarray, "n harmonics"]:
    """Real spherical harmonics Y_j(x), j <= N(dim, k), orthonormal in the uniform probability measure of S^(dim-1).

    By separation of the last coordinate, x = (sin θ · x', cos θ):

        Y(x) = p_l(θ) Y'(x'),   p_l ∝ sin^l θ · C^(l + dim/2 - 1)_(k-l)(cos θ),   0 <= l <= k,

    where Y' runs over the harmonics of degree l on S^(dim-2), down to √2 cos lφ and √2 sin lφ on the circle. In dim 3
    these are the usual real harmonics times √(4π), up to sign.

    Args:
        degree: k, 0 or more, or several degrees. In dim 3 up to 2499, and anywhere while N(dim, k) is at most 5000.
        x: unit vectors (n, dim), dim 2 or more. Norms may differ from 1 by 1e-6: only the direction counts.

    Returns:
        float64 array (n, N(dim, k)), in order of l; for several degrees their columns side by side.

    Raises:
        InputError: a degree that is negative or has more than 5000 harmonics, a dim below 2, points off the sphere.

    Cost and precision:
        O(n N) memory, and about as many operations in dims 2 and 3; times k in higher ones. The p_l are found by a
        recurrence from l = k down, with a separate exponent, and scaled by the addition theorem Σ_j Y_j² = N. So they
        keep relative accuracy where they are tiny, poles included. The error is about k times the rounding of x.

    Example:
        >>> import numpy as np
        >>> from spectralbias import spectra
        >>> y = spectra.spherical_harmonics(2, np.eye(3))
        >>> y.shape, np.round(np.sum(y**2, axis=1), 12)
        ((3, 5), array([5., 5., 5.]))

    References:
        Müller 1966, Spherical Harmonics, sec. 11 (the separation). The recurrence follows from Gegenbauer's equation.
    """
    degrees = as_degrees(degree)
    points = unit_vectors("x", x)
    dim = points.shape[1]
    for k in degrees:
        count = multiplicity(k, dim)
        if count > MAX_MULTIPLICITY:
            shown = str(count) if count < 10**15 else f"{float_multiplicity(k, dim):.3g}"
            raise InputError(
                f"`degree` {k} in dim {dim} has {shown} harmonics, and at most {MAX_MULTIPLICITY} are formed: "
                "use degree_projection or degree_energies, which need no basis"
            )
    if dim == 2:
        angle = np.arctan2(points[:, 1], points[:, 0])
        return np.hstack([_waves(k, angle) for k in degrees])
    top = max(degrees)
    if top <= 1:  # in closed form, as dims are in the thousands here
        in_order = np.hstack([points[:, :1:-1], points[:, :2]])
        first = [np.ones((len(points), 1)), math.sqrt(dim) * in_order]
        return np.hstack([first[k] for k in degrees])
    below = _circle(top, points[:, :2])
    for d in range(3, dim):
        below = [_from_below(k, points[:, :d], below) for k in range(top + 1)]
    return np.hstack([_from_below(k, points, below) for k in degrees])


def _circle(max_degree: int, x: np.ndarray) -> list[np.ndarray]:
    """The harmonics of every degree up to the highest, at points (n, 2) of any length."""
    angle = np.arctan2(x[:, 1], x[:, 0])
    return [_waves(l, angle) for l in range(max_degree + 1)]


def _waves(degree: int, angle: np.ndarray) -> np.ndarray:
    """1, or √2 cos lφ and √2 sin lφ, as columns."""
    if degree == 0:
        return np.ones((len(angle), 1))
    return math.sqrt(2) * np.stack([np.cos(degree * angle), np.sin(degree * angle)], axis=1)


def _from_below(degree: int, x: np.ndarray, below: list[np.ndarray]) -> np.ndarray:
    """Harmonics of one degree at points (n, d) of any length from those of all degrees l <= k in d - 1 dimensions."""
    radial = _radial(degree, x.shape[1], x[:, -1], np.linalg.norm(x[:, :-1], axis=1))
    return np.hstack([p[:, None] * harmonics for p, harmonics in zip(radial, below[: degree + 1], strict=True)])


def _radial(degree: int, dim: int, height: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """p_l of all orders l <= k, (k + 1, n), at (sin θ, cos θ) proportional to (radius, height).

    Gegenbauer's equation relates neighbors in l: A_l p_l = (2l + dim - 1) cot θ p_(l+1) - A_(l+1) p_(l+2), with
    A_l² = (k - l)(k + l + dim - 2). Downward it is stable, as the p_l grow where they do not oscillate.
    """
    pole = radius <= 1e-300 * np.abs(height)
    cotangent = height / np.where(pole, 1, radius)
    cotangent[pole] = 0
    ladder = [math.sqrt((degree - l) * (degree + l + dim - 2)) for l in range(degree + 1)]
    values, exponents = np.zeros((degree + 1, len(height))), np.zeros((degree + 1, len(height)), np.int64)
    above, current, exponent = np.zeros_like(height), np.ones_like(height), np.zeros(len(height), np.int64)
    values[degree] = current
    for l in range(degree - 1, -1, -1):
        above, current = current, ((2 * l + dim - 1) * cotangent * current - ladder[l + 1] * above) / ladder[l]
        shift = np.frexp(np.maximum(np.abs(above), np.abs(current)))[1]
        above, current, exponent = np.ldexp(above, -shift), np.ldexp(current, -shift), exponent + shift
        values[l], exponents[l] = current, exponent
    values = np.ldexp(values, np.maximum(exponents - exponents.max(axis=0), -4000).astype(np.int32))
    inner = np.array([float_multiplicity(l, dim - 1) for l in range(degree + 1)])
    scale = np.sqrt(multiplicity(degree, dim) / (inner @ values**2))
    values = values * scale
    values[:, pole] = 0
    values[0, pole] = math.sqrt(multiplicity(degree, dim)) * np.where(height[pole] < 0, (-1) ** degree, 1)
    return values
