"""A density of cosines: smooth inside, and honest at its ends -1 and 1."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import scipy.fft
import scipy.optimize
from jaxtyping import ArrayLike, Float

from .._core.checks import positive, whole
from .._core.errors import InputError
from ._confusion import checked_cosines

# Cells into which the cosines are sorted first.
CELLS = 4096

# The largest bandwidth that is chosen.
WIDEST = 0.2

# Times 1/bandwidth: the order beyond which no term of the cosine series is as large as a rounding error.
LAST = 6.0


def cosine_density(
    cosines: ArrayLike | Sequence[float], *, points: int = 201, bandwidth: float | None = None
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """The probability density of cosines on [-1, 1].

    The sum of Gaussians around the cosines, each of them reflected at -1 and 1 as often as it takes: what would flow
    out comes back, so that the integral is 1 and a peak at an end is as high as it is. It solves the heat equation on
    [-1, 1], ∂_t p = (1/2) ∂_xx p with ∂_x p = 0 at the ends, from the sample to t = bandwidth².

    Args:
        cosines: (p,); nan is left out.
        points: of the grid, ends included.
        bandwidth: standard deviation of the Gaussians. By default the fixed point of Botev et al., which assumes no
            shape, but no less than the distance of two points of the grid, and no more than 0.2: all cosines at 1
            give a peak of that width, whose integral is their share.

    Returns:
        The grid from -1 to 1, and the density on it, both (points,). The trapezoid rule gives 1 up to 1e-6 for a
        bandwidth of half the distance of two points or more.

    Raises:
        InputError: no cosines, or cosines beyond -1 and 1; fewer than 3 points; a bandwidth that is not positive.

    Cost and precision:
        One cosine transform of 4096 cells: a cosine is moved by up to 1/4096.

    Example:
        >>> import numpy as np
        >>> from spectralbias import regions
        >>> grid, density = regions.cosine_density([1.0, 1.0, -1.0, 0.2])
        >>> grid.shape, round(float(np.trapezoid(density, grid)), 6)
        ((201,), 1.0)

    References:
        Botev, Grotowski & Kroese 2010, Kernel density estimation via diffusion, Annals of Statistics 38, Algorithm 1.
    """
    points = whole("points", points, 3)
    found = checked_cosines(cosines)
    found = found[~np.isnan(found)]
    if len(found) == 0:
        raise InputError("no pair has a cosine, as all are nan: there is no density")
    if bandwidth is not None:
        positive("bandwidth", bandwidth)
    weights = np.histogram(found, CELLS, (-1.0, 1.0))[0] / len(found)
    # Coefficients of the even extension, on [0, 1] in place of [-1, 1]: Σ w_i cos(π k (i + 1/2)/CELLS).
    coefficients = np.asarray(scipy.fft.dct(weights)) / 2
    if bandwidth is None:
        bandwidth = float(np.clip(_fixed_point(coefficients, len(found)), 2 / (points - 1), WIDEST))
    grid = np.linspace(-1.0, 1.0, points)
    orders = np.arange(min(CELLS, 2 + int(LAST / bandwidth)))
    damped = coefficients[orders] * np.exp(-((np.pi * orders * bandwidth / 2) ** 2) / 2)
    damped[0] /= 2
    return grid, np.maximum(np.cos(np.pi * np.outer((grid + 1) / 2, orders)) @ damped, 0.0)


def _fixed_point(coefficients: Float[np.ndarray, " k"], count: int) -> float:
    """The bandwidth t^(1/2) that is best for a sample of this size if p is the estimate itself; 0 where there is none.

    The mean squared error of the density is least at t = (2 n √π ‖p''‖²)^(-2/5) on [0, 1], and every ‖p^(s)‖² is
    estimated with the t that is best for it, which needs ‖p^(s+1)‖², down from s = 7.
    """
    squares, orders = coefficients[1:] ** 2, (np.pi * np.arange(1, len(coefficients))) ** 2

    def roughness(s: int, time: float) -> float:
        """‖p^(s)‖² of the estimate at this time."""
        return 2 * float(np.sum(orders**s * squares * np.exp(-orders * time)))

    def gap(time: float) -> float:
        value = roughness(7, time)
        for s in range(6, 1, -1):
            odd = float(np.prod(np.arange(1, 2 * s, 2))) / np.sqrt(2 * np.pi)
            value = roughness(s, ((1 + 0.5 ** (s + 0.5)) / 3 * 2 * odd / (count * value)) ** (2 / (3 + 2 * s)))
        return time - (2 * count * np.sqrt(np.pi) * value) ** -0.4

    shortest, longest = 1e-8, WIDEST**2 / 4
    if not gap(shortest) < 0 < gap(longest):
        return 0.0 if gap(shortest) >= 0 else WIDEST
    return 2 * math.sqrt(cast(float, scipy.optimize.brentq(gap, shortest, longest)))
