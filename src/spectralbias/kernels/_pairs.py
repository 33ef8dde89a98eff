"""The geometry of pairs of inputs, right to the last digits also where two of them are nearly (anti)parallel."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._covariance import Covariance, acute_cosine, root

# Pairs of smaller sine are near: a rounded cosine would cost 1/sine of the digits of the angle.
NEAR = 0.1
# Up to this many coordinates the error-free way costs as little for every pair as a matrix product.
FEW_COORDINATES = 4
# Rows that are searched, and pairs that are treated, at a time.
ROWS, PAIRS = 32, 128


def _half(value: Array) -> Array:
    """The upper half of the bits, so that products of two halves are exact, contracted to an FMA or not."""
    info = jnp.finfo(value.dtype)
    return jax.lax.reduce_precision(value, info.nexp, (info.nmant - 1) // 2)


def norms(x: Float[Array, "n dim"]) -> tuple[Array, Array]:
    """‖x‖ and x/‖x‖ (0 for a zero vector)."""
    norm = root(jnp.sum(x**2, axis=1))
    return norm, x / jnp.where(norm > 0, norm, 1)[:, None]


def on_diagonal(n: int) -> Bool[Array, "n n"]:
    """Whether a pair is a point with itself."""
    index = jnp.arange(n)
    return index[:, None] == index[None, :]


def _total(terms: Float[Array, "dim ..."]) -> Float[Array, "1 ..."]:
    """The sum over coordinates; unrolled where they are few, so that the loop over pairs stays the inner one."""
    if len(terms) > FEW_COORDINATES:
        return jnp.sum(terms, axis=0, keepdims=True)
    return functools.reduce(jnp.add, [terms[k : k + 1] for k in range(len(terms))])


def pair_covariance(x: Float[Array, "dim ..."], y: Float[Array, "dim ..."]) -> Covariance:
    """The moments of given pairs, coordinates first; the sine is that of the part of y that is orthogonal to x."""
    square1, square2, product = _total(x**2), _total(y**2), _total(x * y)
    safe1, safe2 = (jnp.where(square > 0, square, 1) for square in (square1, square2))
    upper, factor = _half(x), _half(product / safe1)
    rest = (y - factor * upper) - factor * (x - upper)
    # What the short factor left over along x is small, so its rounding is harmless.
    rest = rest - _total(rest * x) / safe1 * x
    sine = jnp.where((square1 > 0) & (square2 > 0), jnp.sqrt(_total(rest**2) / safe2), 1)
    distance = _total((y - jnp.where(product < 0, -1, 1) * x) ** 2)
    cosine = acute_cosine(product, square1, square2)
    return Covariance(*(m[0] for m in (product, square1, square2, cosine, sine, product < 0, distance)))


def refine(
    grams: tuple[Array, ...],
    flagged: Bool[Array, " n1"],
    x1: Float[Array, "n1 dim"],
    x2: Float[Array, "n2 dim"],
    same: bool,
    function: Callable[[Array, Array], tuple[Array, ...]],
) -> tuple[Array, ...]:
    """Replace the entries of near pairs, all of which lie in flagged rows, by `function` of them, coordinates first.

    Off the diagonal if `same`. Two loops over lists of fixed size: any number of near pairs is right, few are fast.
    """
    n1, n2 = len(x1), len(x2)
    rows = jnp.nonzero(flagged, size=n1 + ROWS, fill_value=n1)[0]
    units1, units2 = norms(x1)[1], norms(x2)[1]

    def some_rows(state):
        start, grams = state
        i = jax.lax.dynamic_slice(rows, (start,), (ROWS,))
        cosine = jnp.matmul(units1[jnp.minimum(i, n1 - 1)], units2.T, precision="highest")
        near = (jnp.abs(cosine) > np.sqrt(1 - NEAR**2)) & (i < n1)[:, None]
        if same:
            near &= i[:, None] != jnp.arange(n2)[None, :]
        count = jnp.cumsum(near.ravel())

        def some_pairs(state):
            done, grams = state
            where = jnp.searchsorted(count, done + 1 + jnp.arange(PAIRS))
            # Beyond the last pair the row is n1: read from the last row, and dropped.
            first, second = jnp.append(i, n1)[where // n2], where % n2
            values = function(x1[jnp.minimum(first, n1 - 1)].T, x2[second].T)
            grams = tuple(g.at[first, second].set(v, mode="drop") for g, v in zip(grams, values, strict=True))
            return done + PAIRS, grams

        _, grams = jax.lax.while_loop(lambda state: state[0] < count[-1], some_pairs, (0, grams))
        return start + ROWS, grams

    total = jnp.sum(flagged)
    return jax.lax.while_loop(lambda state: state[0] < total, some_rows, (0, grams))[1]


def near_rows(near: Bool[Array, "n1 n2"], same: bool) -> Bool[Array, " n1"]:
    """Whether a row has a near pair, off the diagonal if `same`."""
    n1, n2 = near.shape
    if same:
        near = near & ~on_diagonal(n1)
    # In two steps, of which the first runs over pairs side by side: twice as fast as one reduction.
    whole = n2 // 16 * 16
    blocks = jnp.any(near[:, :whole].reshape(n1, 16, whole // 16), axis=1)
    return jnp.any(blocks, axis=1) | jnp.any(near[:, whole:], axis=1)


def _products(x1: Array, x2: Array, same: bool) -> tuple[Array, Array, Array]:
    """⟨x, x'⟩, ‖x‖², ‖x'‖², broadcast together; the diagonal is ‖x‖² exactly."""
    square1, square2 = jnp.sum(x1**2, axis=1)[:, None], jnp.sum(x2**2, axis=1)[None, :]
    product = jnp.matmul(x1, x2.T, precision="highest")
    if same:
        product = jnp.where(on_diagonal(len(x1)), square1, product)
    return product, square1, square2


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _sine_and_distance(x1: Array, x2: Array, same: bool) -> tuple[Array, Array]:
    """What products of all pairs alone do not tell to the last digit."""
    if x1.shape[1] <= FEW_COORDINATES:
        pairs = pair_covariance(x1.T[:, :, None], x2.T[:, None, :])
        return pairs.sine, pairs.distance
    product, square1, square2 = _products(x1, x2, same)
    plain = Covariance.of_products(product, square1, square2)
    sine = plain.sine
    if same:
        sine = jnp.where(on_diagonal(len(x1)) & (square1 > 0), 0, sine)

    def function(x, y):
        pairs = pair_covariance(x, y)
        return pairs.sine, pairs.distance

    flagged = near_rows(plain.sine < NEAR, same)
    sine, distance = refine((sine, plain.distance), flagged, x1, x2, same, function)
    return sine, distance


@_sine_and_distance.defjvp
def _sine_and_distance_jvp(same, primals, tangents):
    """From sin² = 1 - cos² with the accurate sine; at a cusp (x = x', or a zero vector) its derivative counts as 0."""
    (product, square1, square2), (dp, d1, d2) = jax.jvp(lambda a, b: _products(a, b, same), primals, tangents)
    sine, distance = _sine_and_distance(*primals, same)
    end = jnp.where(product < 0, -1, 1).astype(product.dtype)
    safe1, safe2 = (jnp.where(q > 0, q, 1) for q in (square1, square2))
    cosine = acute_cosine(product, square1, square2)
    dcosine = end * dp / (jnp.sqrt(safe1) * jnp.sqrt(safe2)) - cosine * (d1 / safe1 + d2 / safe2) / 2
    regular = (sine > 0) & (square1 > 0) & (square2 > 0)
    dsine = jnp.where(regular, -cosine * dcosine / jnp.where(regular, sine, 1), 0)
    return (sine, distance), (dsine, d1 + d2 - 2 * end * dp)


def gram_covariance(x1: Float[Array, "n1 dim"], x2: Float[Array, "n2 dim"], same: bool) -> Covariance:
    """The moments of all pairs of inputs, differentiable; `same` says that x2 is x1."""
    product, square1, square2 = _products(x1, x2, same)
    sine, distance = _sine_and_distance(x1, x2, same)
    cosine = acute_cosine(product, square1, square2)
    return Covariance(product, square1, square2, cosine, sine, product < 0, distance)
