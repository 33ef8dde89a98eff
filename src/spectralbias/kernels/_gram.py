"""Gram matrices of infinite-width kernels: in one compiled pass, or tile by tile into a host array."""

from collections.abc import Callable
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ._pairs import FEW_COORDINATES, NEAR, gram_covariance, near_rows, norms, on_diagonal, pair_covariance, refine
from ._profile import ProfilePolynomial, profile_polynomial

# Points along one side of a tile, and pairs of the largest Gram that is computed in one pass.
TILE = 1024
ONE_PASS = 2**24


@eqx.filter_jit
def _dense(kernel, which: int, x1: Array, x2: Array | None) -> Array:
    """By the layers' recursion on every pair."""
    other = x1 if x2 is None else x2
    gram = kernel._pair(gram_covariance(x1, other, x2 is None), x1.shape[1])[which]
    return jnp.broadcast_to(gram, (len(x1), len(other)))


def _cosines(x1: Array, x2: Array) -> tuple[Array, Array, Array]:
    """‖x‖‖x'‖, cos, and s = √(1 - |cos|) of all pairs; with few coordinates s has every digit."""
    (norm1, unit1), (norm2, unit2) = norms(x1), norms(x2)
    scale = norm1[:, None] * norm2[None, :]
    if x1.shape[1] > FEW_COORDINATES:
        cosine = jnp.matmul(unit1, unit2.T, precision="highest")
        return scale, cosine, jnp.sqrt(jnp.maximum(1 - jnp.abs(cosine), 0))
    pairs = pair_covariance(x1.T[:, :, None], x2.T[:, None, :])
    cosine = jnp.where(pairs.opposite, -pairs.cosine, pairs.cosine)
    return scale, cosine, pairs.sine / jnp.sqrt(1 + pairs.cosine)


@eqx.filter_custom_jvp
def _polynomial(x1: Array, x2: Array | None, *, kernel, which: int, polynomial: ProfilePolynomial) -> Array:
    """By the polynomials of the profile; near pairs of kinked kernels by the recursion, where cos has lost digits."""
    other = x1 if x2 is None else x2
    scale, cosine, s = _cosines(x1, other)
    u, negative = 2 * s - 1, cosine < 0
    total = jnp.zeros_like(s)
    positive_side, negative_side = polynomial.coefficients
    for k in reversed(range(len(positive_side))):
        total = total * u + jnp.where(negative, negative_side[k], positive_side[k])
    if polynomial.zero:
        total = jnp.where(negative, s**polynomial.zero, 1) * total
    gram = scale * total
    if x2 is None:
        own = jnp.sum(x1**2, axis=1) * polynomial.diagonal
        gram = jnp.where(on_diagonal(len(x1)), own[:, None], gram)
    if not kernel._kinked or x1.shape[1] <= FEW_COORDINATES:
        return gram
    flagged = near_rows(jnp.abs(cosine) > np.sqrt(1 - NEAR**2), x2 is None)

    def function(x, y):
        return (kernel._pair(pair_covariance(x, y), len(x))[which],)

    return refine((gram,), flagged, x1, other, x2 is None, function)[0]


@_polynomial.def_jvp
def _polynomial_jvp(primals, tangents, *, kernel, which, polynomial):
    """The derivative of the recursion: of what the polynomials stand for."""
    gram = _polynomial(*primals, kernel=kernel, which=which, polynomial=polynomial)
    tangents = tuple(
        jnp.zeros_like(x) if t is None and x is not None else t for x, t in zip(primals, tangents, strict=True)
    )
    _, tangent = eqx.filter_jvp(lambda x1, x2: _dense(kernel, which, x1, x2), primals, tangents)
    return gram, tangent


@eqx.filter_jit
def _one_pass(kernel, which: int, polynomial: ProfilePolynomial | None, x1: Array, x2: Array | None) -> Array:
    if polynomial is None:
        return _dense(kernel, which, x1, x2)
    return _polynomial(x1, x2, kernel=kernel, which=which, polynomial=polynomial)


@eqx.filter_jit
def _facts(x1: Array, x2: Array | None) -> tuple[Array, Array, Array]:
    """Smallest and largest ‖x‖² (NaN or infinite if a value is), and whether x1 and x2 are equal."""
    squares = jnp.sum(x1**2, axis=1)
    equal = jnp.asarray(False)
    if x2 is not None:
        squares = jnp.concatenate([squares, jnp.sum(x2**2, axis=1)])
        equal = jnp.array_equal(x1, x2)
    return jnp.min(squares), jnp.max(squares), equal


def _refuse_values(x1: Array, x2: Array | None) -> NoReturn:
    """Say why a squared norm is not finite."""
    for name, x in (("x1", x1), ("x2", x2)):
        if x is not None and not bool(jnp.all(jnp.isfinite(x))):
            raise InputError(f"`{name}` has values that are not finite: remove or impute them")
    raise InputError(f"inputs have norms whose squares overflow {x1.dtype}: scale them down")


def _check_output(out: np.ndarray, shape: tuple[int, int], dtype: np.dtype) -> None:
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"`out` must be a writable NumPy array of dtype {dtype} and shape {shape}, got {got}")


def gram(kernel, which: int, x1: Array, x2: Array | None, out: np.ndarray | None) -> Array | np.ndarray:
    """The NTK (0) or NNGP (1) of checked inputs of one dtype, by the fastest way that is right for their values."""
    shape, dtype, dim = (len(x1), len(x1 if x2 is None else x2)), x1.dtype, x1.shape[1]
    if out is not None:
        _check_output(out, shape, dtype)
    polynomial = None
    if kernel._homogeneous:
        polynomial = profile_polynomial(kernel, which, dim, 1.0, dtype.name)
    try:
        smallest, largest, equal = (float(fact) for fact in _facts(x1, x2))
    except jax.errors.ConcretizationTypeError:  # traced by the caller
        if out is not None:
            raise InputError("`out` cannot be filled inside `jax.jit`: call outside of it, or without `out`") from None
        return _one_pass(kernel, which, polynomial, x1, x2)
    if not np.isfinite(largest):
        _refuse_values(x1, x2)
    x2 = None if equal else x2
    # Sums of squares of normalized vectors differ by rounding.
    if polynomial is None and 0 < largest <= smallest * (1 + 16 * float(jnp.finfo(dtype).eps)):
        polynomial = profile_polynomial(kernel, which, dim, largest, dtype.name)
    if out is None and shape[0] * shape[1] <= ONE_PASS:
        return _one_pass(kernel, which, polynomial, x1, x2)
    filled = np.empty(shape, dtype) if out is None else out
    _fill(filled, lambda one, two: _one_pass(kernel, which, polynomial, one, two), x1, x2)
    return jnp.asarray(filled) if out is None else filled


def _fill(out: np.ndarray, function: Callable[[Array, Array | None], Array], x1: Array, x2: Array | None) -> None:
    """Write tile by tile; of a symmetric Gram each pair of points is computed once."""
    for i in range(0, out.shape[0], TILE):
        rows = slice(i, i + TILE)
        for j in range(i if x2 is None else 0, out.shape[1], TILE):
            columns = slice(j, j + TILE)
            if x2 is None and i == j:
                out[rows, columns] = function(x1[rows], None)
                continue
            tile = np.asarray(function(x1[rows], (x1 if x2 is None else x2)[columns]))
            out[rows, columns] = tile
            if x2 is None:
                out[columns, rows] = tile.T
