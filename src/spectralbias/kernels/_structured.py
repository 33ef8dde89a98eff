"""What the parameters of a traced model contribute to Θ, from one forward and one backward pass per output."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..models._reader import Program, arrays_of, read_program
from ..models._uses import Site
from ._factors import CACHE, Contribution, Contributions, Factors, Gradient

Cluster = tuple[tuple[Site, bool], ...]

# (f (c,), target (c,), jax.numpy or torch) ↦ (g (c,), s) such that ∂ℓ/∂f = s g: s keeps squares of g in range.
Loss = Callable[[Any, Any, Any], tuple[Any, Any]]


def contributions(model: PyTree, x: Array, leaves: tuple[int, ...], *, explicit: bool = False) -> Contributions:
    """The contributions of these parameters at the samples x (n, …); all as explicit gradients where wanted."""

    def basis(output, _):
        return jnp.eye(output.size, dtype=output.dtype), None

    return _contributions(model, x, None, leaves, basis, explicit)[0]


def loss_contributions(
    model: PyTree, x: Array, targets: Array, leaves: tuple[int, ...], loss: Loss
) -> tuple[Contributions, Array]:
    """∇ℓ/s of every sample as contributions of one output, and s (n,): one backward pass, however many outputs."""

    def seed(output, target):
        direction, scale = loss(output, target, jnp)
        return direction[None], scale

    return _contributions(model, x, targets, leaves, seed, False)


def _contributions(
    model: PyTree, x: Array, targets: Array | None, leaves: tuple[int, ...], seeds: Callable, explicit: bool
) -> tuple[Contributions, Any]:
    """The contributions to the combinations (k, c) of outputs in `seeds(output, target)`, and what else it returns."""
    program = read_program(model, x)
    arrays = arrays_of(model)
    products = [leaf for leaf in leaves if program.uses[leaf].rule == "product" and not explicit]
    sites = [site for leaf in products for site in program.uses[leaf].sites]
    biases = {leaf: _bias(program, leaf, leaves) for leaf in products}
    covered = {use.bias[0] for leaf, factor in biases.items() if factor and (use := program.uses[leaf]).bias}
    rest = [leaf for leaf in leaves if leaf not in covered and leaf not in products]

    def one(xi, target):
        def forward(taps, weights):
            given = list(arrays)
            for leaf, weight in weights.items():
                given[program.parameters[leaf]] = weight
            output, others = program(given, xi, taps, sites)
            return jnp.atleast_1d(output), others

        weights = {leaf: arrays[program.parameters[leaf]] for leaf in rest}
        output, pullback, others = jax.vjp(forward, program.taps(sites), weights, has_aux=True)
        basis, aside = seeds(output, target)
        if len(basis) == 1:  # without a further axis, for which convolutions are transposed
            deltas, gradients = jax.tree.map(lambda a: a[None], pullback(basis[0]))
        else:
            deltas, gradients = jax.vmap(pullback)(basis)
        return (others, deltas), gradients, aside

    seen, gradients, aside = jax.vmap(one)(x, targets)
    found: Contributions = {
        leaf: tuple(one for cluster in program.uses[leaf].clusters for one in _smaller(cluster, seen, biases[leaf]))
        for leaf in products
    }
    return found | {leaf: (Gradient(g.reshape(*g.shape[:2], -1)),) for leaf, g in gradients.items()}, aside


def _bias(program: Program, leaf: int, leaves: tuple[int, ...]) -> float:
    """The factor of the bias that a product carries along; 0 if there is none, or if it is not wanted."""
    bias = program.uses[leaf].bias
    return bias[1] if bias is not None and bias[0] in leaves else 0.0


def _smaller(cluster: Cluster, seen: tuple[dict, dict], bias: float) -> tuple[Contribution, ...]:
    """The sites of one cluster as factors, or multiplied out where the gradient is smaller than they are.

    Then a few samples are treated at a time: the patches of a convolution are larger than everything else.
    """
    shapes = jax.eval_shape(lambda seen: _factors(cluster, seen, bias), seen)
    n, size = len(shapes.right), shapes.size(False)
    both = shapes.left.size + shapes.right.size
    if size.positions == 1 or n * size.outputs * size.groups * size.rows * size.columns > both:
        return (_factors(cluster, seen, bias),)

    def explicit(sample):
        others, deltas = sample
        total = jnp.zeros((), shapes.right.dtype)
        for site, transposed in cluster:
            over_outputs = jax.vmap(site.gradient, (None, 0))
            found = over_outputs(others[site.path, site.geometry.operand], deltas[site.path])
            total = total + (found.swapaxes(2, 3) if transposed else found)
        values = [total.reshape(len(total), -1)]
        if bias:
            ((site, _),) = cluster
            values.append(bias * jax.vmap(site.right)(deltas[site.path]).sum(axis=2).reshape(len(total), -1))
        return values

    others, deltas = ({key: one[key] for key in keys} for one, keys in zip(seen, _keys(cluster), strict=True))
    batch = max(1, CACHE * n // (both * shapes.right.dtype.itemsize))
    return tuple(Gradient(values) for values in jax.lax.map(explicit, (others, deltas), batch_size=min(n, batch)))


def _keys(cluster: Cluster) -> tuple[set, set]:
    """Which operands and which gradients belong to a cluster."""
    return {(site.path, site.geometry.operand) for site, _ in cluster}, {site.path for site, _ in cluster}


def _factors(cluster: Cluster, seen: tuple[dict, dict], bias: float) -> Factors:
    """The sites of one cluster as one sum of outer products."""
    rows = {site.geometry.rows for site, _ in cluster}
    mixed = len(rows) > 1 or any(transposed for _, transposed in cluster)
    ones, twos = [], []
    for site, transposed in cluster:
        one = jax.vmap(site.left)(seen[0][site.path, site.geometry.operand])[:, None]
        two = site.view.scale * jax.vmap(jax.vmap(site.right))(seen[1][site.path])
        if site.geometry.rows is not None and mixed:  # a table that is a matrix elsewhere
            one = jax.nn.one_hot(one, site.geometry.rows, dtype=two.dtype)
        elif site.geometry.rows is None:  # products in half precision, say, are not added up in it
            one = one.astype(jnp.promote_types(one.dtype, two.dtype))
        ones.append(two if transposed else one)
        twos.append(one if transposed else two)
    return Factors(_joined(ones), _joined(twos), bias, None if mixed else rows.pop())


def _joined(sides: list[Array]) -> Array:
    """One after the other along the positions."""
    outputs = max(side.shape[1] for side in sides)
    whole = [jnp.broadcast_to(side, (side.shape[0], outputs, *side.shape[2:])) for side in sides]
    return jnp.concatenate(whole, axis=3) if len(whole) > 1 else sides[0]
