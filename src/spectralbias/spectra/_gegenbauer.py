"""The public name of the sphere's polynomials."""

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.gegenbauer import gegenbauer as _gegenbauer


def gegenbauer(degree: int, dim: int, t: ArrayLike) -> Float[np.ndarray, "..."]:
    """P_k(t), the Gegenbauer polynomial of the sphere S^(dim-1) with P_k(1) = 1.

    √N(dim, k) P_k(⟨ζ, x⟩) is the zonal harmonic of degree k around ζ, with mean square 1 on the sphere.

    Args:
        degree: k, 0 or more.
        dim: ambient dimension, 2 or more.
        t: cosines in [-1, 1], any shape.

    Returns:
        float64 array of the shape of `t`.

    Raises:
        InputError: a negative degree, dim below 2.

    Cost and precision:
        k multiplications per value; the three-term recurrence is stable on [-1, 1].

    Example:
        >>> from spectralbias import spectra
        >>> float(spectra.gegenbauer(2, 3, 0.5))
        -0.125
    """
    return _gegenbauer(degree, dim, t)
