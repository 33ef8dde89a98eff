"""What one parameter contributes to Θ, in the form that its use in the model allows.

A parameter W that enters as a matrix product z_t = Wᵀ h_t at positions t has ∂f_c/∂W = Σ_t h_t ⊗ δ_ct with δ = ∂f/∂z.
Its part of Θ is Σ_ts ⟨h_t, h'_s⟩ ⟨δ_ct, δ'_ds⟩: thin matrix products in place of an n × P Jacobian.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from ._cost import Size, Way

# Bytes of explicit gradients that are contracted while they are still in the cache.
CACHE = 4 * 2**20


class Gradient(eqx.Module):
    """∂f_c/∂W of every sample, explicit and flat."""

    values: Float[Array, "n c size"]

    @property
    def outputs(self) -> int:
        """Number of outputs c."""
        return self.values.shape[1]

    def gram(self, other: Any, mean: bool) -> Float[Array, "..."]:
        """⟨∂f_c(x), ∂f_d(x')⟩ as (n1, c, n2, c), or its mean over c = d as (n1, n2)."""
        n1, c, size = self.values.shape
        rows = (n1, c * size) if mean else (n1 * c, size)
        product = jnp.matmul(
            self.values.reshape(rows),
            other.values.reshape(-1, rows[1]).T,
            precision="highest",
        )
        return product / c if mean else product.reshape(n1, c, -1, c)

    def aligned(self, other: Any) -> Float[Array, " n"]:
        """Σ_c ⟨∂f_c(x_i), ∂f_c(x'_i)⟩ of as many samples x_i as x'_i, pair by pair."""
        return jnp.einsum("ncp,ncp->n", self.values, other.values, precision="highest")

    def pull(self, v: Float[Array, "n c"]) -> Any:
        """Σ v_c ∂f_c/∂W over samples and outputs."""
        return jnp.einsum("nc,ncp->p", v, self.values, precision="highest")

    def push(self, direction: Any) -> Float[Array, "n c"]:
        """⟨∂f_c/∂W, direction⟩ of every sample."""
        return jnp.einsum("ncp,p->nc", self.values, direction, precision="highest")


class Factors(eqx.Module):
    """∂f_c/∂W = Σ_t left_ct ⊗ right_ct in every group g, and ρ Σ_t right_ct of a bias that follows the product.

    The axis of outputs of `left` has length 1 where it does not depend on c. Whole numbers in `left`, of shape
    (n, 1, groups, positions), are the rows of an embedding: unit vectors of length `rows`.
    """

    left: Shaped[Array, "n _ groups positions *rows"]
    right: Float[Array, "n c groups positions columns"]
    bias: float = eqx.field(static=True, default=0.0)
    rows: int | None = eqx.field(static=True, default=None)

    @property
    def outputs(self) -> int:
        """Number of outputs c."""
        return self.right.shape[1]

    def size(self, mean: bool) -> Size:
        """The sizes that decide how it is contracted."""
        _, c, groups, positions, columns = self.right.shape
        rows, both = self.rows or self.left.shape[-1], self.left.shape[1] > 1
        lookup = self.rows is not None
        if not mean:
            return Size(c, groups, positions, rows, columns, lookup, both)
        return Size(1, c * groups if both else groups, positions, rows, columns if both else c * columns, lookup)

    def gram(self, other: Any, mean: bool, way: Way | None = None) -> Float[Array, "..."]:
        """⟨∂f_c(x), ∂f_d(x')⟩ as (n1, c, n2, c), or its mean over c = d as (n1, n2); the faster way by default."""
        if mean:
            return self._diagonal().gram(other._diagonal(), False, way)[:, 0, :, 0] / self.outputs
        way = way or self.size(False).faster(len(self.right), len(other.right))
        if way == "product":
            return self._gram_of_products(other)
        products = _equal(self, other) if self.rows else _inner(self.left, other.left)
        return ((products + self.bias**2) * _inner(self.right, other.right)).sum((0, 3, 6))

    def aligned(self, other: "Factors") -> Float[Array, " n"]:
        """Σ_c ⟨∂f_c(x_i), ∂f_c(x'_i)⟩ of as many samples x_i as x'_i, pair by pair."""
        one, two = self._diagonal(), other._diagonal()
        size = one.size(False)
        if size.positions > 1 and size.faster(1, 1) == "product":
            gradients = zip(one.gradients(), two.gradients(), strict=True)
            first, *rest = [a.aligned(b) for a, b in gradients]
            return sum(rest, start=first)
        if self.rows:
            left = (one.left[:, 0, ..., None] == two.left[:, 0, ..., None, :]).astype(self.right.dtype)
        else:
            left = _aligned(one.left, two.left)
        return ((left + self.bias**2) * _aligned(one.right, two.right)).sum((1, 2, 3))

    def _gram_of_products(self, other: "Factors") -> Float[Array, "n1 c n2 c"]:
        """The same from explicit gradients, a few rows of the matrix at a time so that they stay in the cache."""
        n1, n2, c = len(self.right), len(other.right), self.outputs
        total = jnp.zeros((n1, c, n2, c), self.right.dtype)
        whole = self.rows is not None
        pieces1, pieces2 = (one.gradients() if whole else one._of_bias() for one in (self, other))
        for one, two in zip(pieces1, pieces2, strict=True):
            total = total + one.gram(two, False)
        if whole:
            return total
        size = self.size(False)
        per_row = (n1 + n2) * c * size.groups * size.columns * self.right.dtype.itemsize
        count = max(1, min(size.rows, CACHE // per_row))
        pieces = -(-size.rows // count)

        def piece(total, lefts):
            one, two = (Factors(left, whole.right).gradient() for left, whole in zip(lefts, (self, other), strict=True))
            return total + one.gram(two, False), None

        def cut(left):
            padded = jnp.pad(left, [(0, 0)] * 4 + [(0, pieces * count - size.rows)])
            return jnp.moveaxis(padded.reshape(*left.shape[:4], pieces, count), 4, 0)

        return jax.lax.scan(piece, total, (cut(self.left), cut(other.left)))[0]

    def _diagonal(self) -> "Factors":
        """The outputs as more columns (or, where `left` has them too, as more groups): only c = d meet."""
        n, c, groups, positions, columns = self.right.shape
        if c == 1:
            return self
        if self.left.shape[1] == 1:
            right = jnp.moveaxis(self.right, 1, 3).reshape(n, 1, groups, positions, c * columns)
            return Factors(self.left, right, self.bias, self.rows)
        left = self.left.reshape(n, 1, c * groups, *self.left.shape[3:])
        return Factors(left, self.right.reshape(n, 1, c * groups, positions, columns), self.bias, self.rows)

    def gradient(self) -> Gradient:
        """The explicit gradient of the parameter, without the bias."""
        n, c = self.right.shape[:2]
        if self.rows is None:
            left = jnp.broadcast_to(self.left, (n, c, *self.left.shape[2:]))
            values = jnp.einsum("ncgta,ncgtb->ncgab", left, self.right, precision="highest")
        else:
            values = jax.vmap(jax.vmap(_scatter, (None, 0, None)), (0, 0, None))(self.left[:, 0], self.right, self.rows)
        return Gradient(values.reshape(n, c, -1))

    def gradients(self) -> list[Gradient]:
        """The explicit gradients of the parameter and of its bias."""
        return [self.gradient(), *self._of_bias()]

    def _of_bias(self) -> list[Gradient]:
        n, c = self.right.shape[:2]
        return [Gradient(self.bias * self.right.sum(axis=3).reshape(n, c, -1))] if self.bias else []

    def pull(self, v: Float[Array, "n c"]) -> Any:
        """Σ v_c ∂f_c/∂W over samples and outputs, (groups, rows, columns), and the same of the bias."""
        weighted = v[:, :, None, None, None] * self.right
        if self.left.shape[1] == 1:
            weighted = weighted.sum(axis=1, keepdims=True)
        bias = self.bias * weighted.sum((0, 1, 3))
        if self.rows is None:
            return jnp.einsum("nkgta,nkgtb->gab", self.left, weighted, precision="highest"), bias
        rows, values = jnp.moveaxis(self.left[:, 0], 1, 0), jnp.moveaxis(weighted[:, 0], 1, 0)
        groups, columns = len(rows), values.shape[-1]
        return _scatter(rows.reshape(groups, -1), values.reshape(groups, -1, columns), self.rows), bias

    def push(self, direction: Any) -> Float[Array, "n c"]:
        """⟨∂f_c/∂W, direction⟩ of every sample."""
        weight, bias = direction
        if self.rows is None:
            moved = jnp.einsum("nkgta,gab->nkgtb", self.left, weight, precision="highest")
        else:
            moved = jax.vmap(lambda table, rows: table[rows], (0, 2), 2)(weight, self.left)
        moved = moved + jnp.broadcast_to(self.bias * bias[None, None, :, None, :], moved.shape)
        return jnp.einsum("ncgtb->nc", moved * self.right)


def _aligned(one: Array, two: Array) -> Array:
    """⟨one, two⟩ in a group of one row with the same row of the other, with one output: (n, groups, positions, same).

    As a product and not entry by entry: sums along the last axis run three times as fast.
    """
    return jnp.einsum("ngtk,ngsk->ngts", one[:, 0], two[:, 0], precision="highest")


def _scatter(rows: Array, values: Array, size: int) -> Array:
    """Σ_t e_rows(t) ⊗ values_t in every group, of shape (groups, size, columns)."""
    return jax.vmap(lambda r, v: jnp.zeros((size, v.shape[-1]), v.dtype).at[r].add(v))(rows, values)


def _inner(one: Array, two: Array) -> Array:
    """⟨one, two⟩ of all pairs in a group: (groups, n1, c1, positions1, n2, c2, positions2)."""
    (n1, c1, groups, t1, size), (n2, c2, _, t2, _) = one.shape, two.shape
    flat1 = jnp.moveaxis(one, 2, 0).reshape(groups, n1 * c1 * t1, size)
    flat2 = jnp.moveaxis(two, 2, 0).reshape(groups, n2 * c2 * t2, size)
    if groups == 1 and one is two:
        product = _gram(flat1[0])
    elif groups == 1:
        product = jnp.matmul(flat1[0], flat2[0].T, precision="highest")
    else:
        product = jnp.einsum("gik,gjk->gij", flat1, flat2, precision="highest")
    return product.reshape(groups, n1, c1, t1, n2, c2, t2)


@jax.custom_jvp
def _gram(a: Array) -> Array:
    """A Aᵀ, whose derivative D + Dᵀ with D = A' Aᵀ is one product and not two: half of what derivatives of Θ cost."""
    return jnp.matmul(a, a.T, precision="highest")


@_gram.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (a,), (change,) = primals, tangents
    half = jnp.matmul(change, a.T, precision="highest")
    return _gram(a), half + half.T


def _equal(one: Factors, two: Factors) -> Array:
    """Whether the rows are the same, in the layout of `_inner`."""
    rows1, rows2 = jnp.moveaxis(one.left, 2, 0), jnp.moveaxis(two.left, 2, 0)
    return (rows1[..., None, None, None] == rows2[:, None, None, None]).astype(one.right.dtype)


Contribution = Gradient | Factors

# By the parameter's number, or its name in a PyTorch module; uses that see different entries come one by one.
Contributions = dict[Any, tuple[Contribution, ...]]


def contract(ones: PyTree[Contribution], twos: PyTree[Contribution], *, mean: bool) -> Float[Array, "..."]:
    """Σ over parameters of their part of Θ: (n1, n2, c, c), or its mean over outputs (n1, n2)."""
    first, *rest = zip(flat(ones), flat(twos), strict=True)
    total = first[0].gram(first[1], mean)
    for one, two in rest:
        total = total + one.gram(two, mean)
    return total if mean else jnp.swapaxes(total, 1, 2)


def flat(contributions: PyTree[Contribution]) -> list[Contribution]:
    """The contributions as a list."""
    return jax.tree.leaves(contributions, is_leaf=lambda one: isinstance(one, Gradient | Factors))
