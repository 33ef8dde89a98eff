"""What the parameters of a traced model contribute to Θ, from one forward and one backward pass per output."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ..models._reader import Program, arrays_of, read_program
from ..models._uses import Site
from ._factors import Contributions, Factors, Gradient


def contributions(model: PyTree, x: Array, leaves: tuple[int, ...], *, explicit: bool = False) -> Contributions:
    """The contributions of these parameters at the samples x (n, …); all as explicit gradients where wanted."""
    program = read_program(model, x)
    arrays = arrays_of(model)
    products = [leaf for leaf in leaves if program.uses[leaf].rule == "product" and not explicit]
    sites = [site for leaf in products for site in program.uses[leaf].sites]
    biases = {leaf: _bias(program, leaf, leaves) for leaf in products}
    covered = {use.bias[0] for leaf, factor in biases.items() if factor and (use := program.uses[leaf]).bias}
    others = [leaf for leaf in leaves if leaf not in covered and leaf not in products]

    def one(xi):
        def forward(taps, weights):
            given = list(arrays)
            for leaf, weight in weights.items():
                given[program.parameters[leaf]] = weight
            output, left = program(given, xi, taps, sites)
            return jnp.atleast_1d(output), left

        weights = {leaf: arrays[program.parameters[leaf]] for leaf in others}
        output, pullback, left = jax.vjp(forward, program.taps(sites), weights, has_aux=True)
        deltas, gradients = jax.vmap(pullback)(jnp.eye(output.size, dtype=output.dtype))
        return left, deltas, gradients

    left, deltas, gradients = jax.vmap(one)(x)
    found: Contributions = {
        leaf: tuple(_factors(cluster, left, deltas, biases[leaf]) for cluster in program.uses[leaf].clusters)
        for leaf in products
    }
    return found | {leaf: (Gradient(g.reshape(*g.shape[:2], -1)),) for leaf, g in gradients.items()}


def _bias(program: Program, leaf: int, leaves: tuple[int, ...]) -> float:
    """The factor of the bias that a product carries along; 0 if there is none, or if it is not wanted."""
    bias = program.uses[leaf].bias
    return bias[1] if bias is not None and bias[0] in leaves else 0.0


def _factors(cluster: tuple[tuple[Site, bool], ...], left: dict, deltas: dict, bias: float) -> Factors:
    """The sites of one cluster as one sum of outer products."""
    rows = {site.geometry.rows for site, _ in cluster}
    ones, twos = [], []
    for site, transposed in cluster:
        one, two = _sides(site, left, deltas)
        if site.geometry.rows is not None and len(rows) > 1:  # a table that is a matrix elsewhere
            one = jax.nn.one_hot(one, site.geometry.rows, dtype=two.dtype)
        ones.append(two if transposed else one)
        twos.append(one if transposed else two)
    return Factors(_joined(ones), _joined(twos), bias, rows.pop() if len(rows) == 1 else None)


def _joined(sides: list[Array]) -> Array:
    """One after the other along the positions."""
    outputs = max(side.shape[1] for side in sides)
    whole = [jnp.broadcast_to(side, (side.shape[0], outputs, *side.shape[2:])) for side in sides]
    return jnp.concatenate(whole, axis=3) if len(whole) > 1 else sides[0]


def _sides(site: Site, left: dict, deltas: dict) -> tuple[Array, Array]:
    """(n, 1, groups, positions[, rows]) and (n, c, groups, positions, columns) of a site."""
    one = jax.vmap(site.spread)(left[site.path, site.geometry.operand])[:, None]
    arrange = site.geometry.right
    for _ in site.lengths:
        arrange = jax.vmap(arrange)
    two = jax.vmap(jax.vmap(lambda delta: site.spread(arrange(delta))))(deltas[site.path])
    return one, two if site.view.scale == 1 else site.view.scale * two
