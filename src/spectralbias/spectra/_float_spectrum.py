"""Eigenvalues of a profile that is known in floating point only."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from .._core.errors import InputError
from ..kernels import InfiniteKernel
from ._funk_hecke import float_eigenvalues
from ._mercer import Eigenvalues, not_finite, not_positive


def _float_profile(kernel: Any, dim: int, which: int) -> Callable[[np.ndarray], np.ndarray]:
    """κ on the host as float64, however many of its digits are right."""

    def evaluate(t: np.ndarray) -> np.ndarray:
        if not isinstance(kernel, InfiniteKernel):
            return kernel.profile(t, dim=dim) if hasattr(kernel, "profile") else kernel(t)
        if which == 0:
            return np.asarray(kernel.profile(jnp.asarray(t), dim=dim))
        points = np.stack([t, np.sqrt((1 - t) * (1 + t)), *[np.zeros_like(t)] * (dim - 2)], axis=1)
        return np.asarray(kernel.nngp(jnp.asarray(points[:1] * 0 + np.eye(1, dim)), jnp.asarray(points)))[0]

    def checked(t: np.ndarray) -> np.ndarray:
        # Ours in float64 for as long as this takes; a user's function has a precision of its own.
        with jax.enable_x64(True) if isinstance(kernel, InfiniteKernel) else contextlib.nullcontext():
            try:
                with np.errstate(all="ignore"):  # what is not finite is refused below
                    values = np.asarray(evaluate(t))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"the kernel could not be evaluated on an array of cosines ({' '.join(str(error).split())[:160]}): "
                    "give a function of NumPy arrays, or one of `mpmath.mpf` numbers"
                ) from None
        if values.shape != t.shape or values.dtype.kind not in "fiu":
            raise InputError(
                f"the kernel must give one real number per cosine, got {values.dtype} of shape {values.shape} for "
                f"cosines of shape {t.shape}"
            )
        if not np.all(np.isfinite(values)):
            at = t[~np.isfinite(values)][0]
            raise not_finite(str(values[~np.isfinite(values)][0]), f"{at:.6g}")
        return values

    return checked


def by_float_quadrature(kernel: Any, dim: int, max_degree: int, which: int) -> Eigenvalues:
    profile = _float_profile(kernel, dim, which)
    ends = profile(np.array([-1.0, 0.0, 1.0]))
    kind = ends.dtype.name if ends.dtype in (np.float16, np.float32) else "float64"
    # Rounding of the profile, of the rule and of the polynomials; the error of an activation's quadrature.
    epsilon = 16 * float(np.finfo(kind).eps) + 4 * (kernel.error if isinstance(kernel, InfiniteKernel) else 0.0)
    values, errors = float_eigenvalues(lambda t: profile(t).astype(np.float64), dim, max_degree, epsilon)
    negative = np.flatnonzero(values < -2 * errors)
    if len(negative):
        k = int(negative[0])
        raise not_positive(dim, k, f"{values[k]:.3g} ± {errors[k]:.1g}")
    resolved = values > 2 * errors
    return Eigenvalues(
        [mpmath.mpf(float(v)) if r else mpmath.mpf(0) for v, r in zip(values, resolved, strict=True)],
        np.where(resolved, errors / np.where(resolved, values, 1), np.inf),
        [f"quadrature in the angle, {kind}" if r else "below what the profile resolves" for r in resolved],
        f"profile in {kind}, to {epsilon:.1g}",
        float(ends[2]),
    )
