"""The public names of the sphere's polynomials and of the number of harmonics."""

from typing import Literal

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core import gegenbauer as _core
from .._core.checks import whole
from .._core.errors import InputError
from .._core.sphere import cosines


def gegenbauer(
    degree: int, dim: int, t: ArrayLike, *, normalization: Literal["value", "l2"] = "value"
) -> Float[np.ndarray, "..."]:
    """P_k(t), the Gegenbauer polynomial of the sphere S^(dim-1) with P_k(1) = 1, or √N(dim, k) P_k(t).

    √N(dim, k) P_k(⟨ζ, x⟩) is the zonal harmonic of degree k around ζ, with mean square 1 on the sphere.

    Args:
        degree: k, 0 or more.
        dim: ambient dimension, 2 or more.
        t: cosines in [-1, 1], any shape.
        normalization: `"value"` for P_k, which is 1 at 1; `"l2"` for √N P_k, whose mean square on the sphere is 1.

    Returns:
        float64 array of the shape of `t`.

    Raises:
        InputError: a negative degree, dim below 2, a t beyond [-1, 1] by more than 1e-6, another normalization, more
            than 1e308 harmonics for `"l2"`.

    Cost and precision:
        k multiplications per value; the three-term recurrence is stable on [-1, 1]. A rounding of t itself changes
        P_k by up to k(k + dim - 2)/(dim - 1) times as much, near t = ±1.

    Example:
        >>> from spectralbias import spectra
        >>> float(spectra.gegenbauer(2, 3, 0.5))
        -0.125
    """
    if normalization not in ("value", "l2"):
        raise InputError(f'`normalization` must be "value" or "l2", got {normalization!r}')
    degree, dim = whole("degree", degree, 0), whole("dim", dim, 2)
    return (_core.gegenbauer if normalization == "value" else _core.zonal_harmonic)(degree, dim, cosines("t", t))


def multiplicity(degree: int, dim: int) -> int:
    """N(dim, k), how many linearly independent spherical harmonics of degree k there are on S^(dim-1).

    N(dim, k) = C(k + dim - 1, dim - 1) - C(k + dim - 3, dim - 1).

    Args:
        degree: k, 0 or more.
        dim: ambient dimension, 2 or more.

    Returns:
        An exact int, however large.

    Raises:
        InputError: a negative degree, dim below 2.

    Cost and precision:
        Two binomial coefficients of integers: microseconds in practice, a second where N has 100,000 digits.

    Example:
        >>> from spectralbias import spectra
        >>> spectra.multiplicity(4, 10), spectra.multiplicity(50, 100)
        (660, 11928230580826087938560284005531665980260)
    """
    return _core.multiplicity(whole("degree", degree, 0), whole("dim", dim, 2))
