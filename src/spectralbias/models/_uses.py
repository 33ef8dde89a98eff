"""What a program does with each of its parameters: where it acts on the output, or what stands in the way.

A parameter is followed through equations that only move its entries or multiply them by a number, and into the bodies
of scans, to the equations that use it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array

from ._jaxpr import execute, scan_counts, shape_of
from ._sites import Geometry, geometry

Path = tuple[int, ...]

# Equations that move entries without changing them; those that also repeat entries are told apart by their size.
_MOVES = {"reshape", "transpose", "squeeze", "rev", "copy", "convert_element_type", "slice", "broadcast_in_dim"}


class View(NamedTuple):
    """An array whose entries are entries of one parameter, times `scale`."""

    leaf: int
    moves: tuple[core.JaxprEqn | None, ...] = ()  # None: one slice per iteration of a scan
    scale: float = 1.0
    stacked: tuple[bool, ...] = ()  # for each scan around: is there one slice per iteration?
    repeated: bool = False  # entries stand in several places

    def moved(self, equation: core.JaxprEqn, operand: int, factor: float) -> "View":
        """The view after an equation that moves its entries and multiplies them by a number."""
        before, after = math.prod(shape_of(equation.invars[operand])), math.prod(shape_of(equation.outvars[0]))
        repeated = self.repeated or after > before
        return self._replace(moves=(*self.moves, equation), scale=self.scale * factor, repeated=repeated)

    def labels(self, shape: tuple[int, ...], jaxpr: core.Jaxpr) -> np.ndarray:
        """The flat index in the parameter of every entry, with one leading axis per stacked scan."""
        return _moved(np.arange(math.prod(shape), dtype=np.int32).reshape(shape), self.moves, jaxpr)


def _moved(labels: np.ndarray, moves: Sequence[core.JaxprEqn | None], jaxpr: core.Jaxpr) -> np.ndarray:
    for index, move in enumerate(moves):
        if move is None:
            return np.stack([_moved(piece, moves[index + 1 :], jaxpr) for piece in labels])
        if move.primitive.name in _MOVES - {"convert_element_type"}:
            with jax.ensure_compile_time_eval():
                labels = np.asarray(execute(jaxpr, move, [labels])[0])
    return labels


class Site(NamedTuple):
    """One equation through which a parameter acts on the output.

    `path` is the number of the equation, after the numbers of the scans around it, whose lengths are `lengths`.
    """

    path: Path
    lengths: tuple[int, ...]
    view: View
    geometry: Geometry
    shape: tuple[int, ...]

    def left(self, other: Array) -> Array:
        """What multiplies the parameter, with the axes of the scans in front, as (groups, positions[, rows])."""
        arrange = self.geometry.left
        for _ in self.lengths:
            arrange = jax.vmap(arrange)
        return self._spread(arrange(other))

    def right(self, delta: Array) -> Array:
        """The gradient of the output, with the axes of the scans in front, as (groups, positions, columns)."""
        arrange = self.geometry.right
        for _ in self.lengths:
            arrange = jax.vmap(arrange)
        return self._spread(arrange(delta))

    def gradient(self, other: Array, delta: Array) -> Array:
        """The gradient of what the equation sees of the parameter, as (groups, rows, columns)."""
        outer = self.geometry.outer
        for _ in self.lengths:
            outer = jax.vmap(outer)
        found = outer(other, delta)
        positions = tuple(axis for axis in range(len(self.lengths)) if not self.view.stacked[axis])
        return self.view.scale * found.sum(positions).reshape(-1, *found.shape[-2:])

    def _spread(self, array: Array) -> Array:
        """(scans…, groups, positions, …) as (groups, positions, …): stacked scans are groups, others positions."""
        depth = len(self.lengths)
        groups = [axis for axis in range(depth) if self.view.stacked[axis]]
        positions = [axis for axis in range(depth) if not self.view.stacked[axis]]
        rest = list(range(depth + 2, array.ndim))
        ordered = array.transpose([*groups, depth, *positions, depth + 1, *rest])
        split = len(groups) + 1
        return ordered.reshape(
            math.prod(ordered.shape[:split]), math.prod(ordered.shape[split : depth + 2]), *ordered.shape[depth + 2 :]
        )


class Use(NamedTuple):
    """All sites of one parameter, or the reason why it has none.

    `clusters` are sites that see the same entries (`True`: with rows and columns exchanged), so that their gradients
    add up; different clusters see different entries.
    """

    rule: Literal["product", "elementwise", "jacobian", "unused"]
    reason: str
    clusters: tuple[tuple[tuple[Site, bool], ...], ...] = ()
    bias: tuple[int, float] | None = None  # parameter whose gradient is the sum over positions of δ, times a factor

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of all clusters."""
        return tuple(site for cluster in self.clusters for site, _ in cluster)


class _Walk:
    """One pass over a program that collects what happens to every parameter."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        self.shapes = shapes
        self.sites: list[list[Site]] = [[] for _ in shapes]
        self.elementwise: list[list[str]] = [[] for _ in shapes]
        self.obstacles: list[str | None] = [None for _ in shapes]
        self.bias: dict[int, tuple[int, float]] = {}  # parameter of a product -> the bias that follows, and its factor

    def walk(
        self,
        jaxpr: core.Jaxpr,
        views: dict[core.Var, View],
        varying: set[core.Var],
        path: Path = (),
        lengths: tuple[int, ...] = (),
    ) -> None:
        """Go through the equations; `views` and `varying` (what depends on x) are filled on the way."""
        uses = Counter(v for e in jaxpr.eqns for v in e.invars if isinstance(v, core.Var))
        uses.update(v for v in jaxpr.outvars if isinstance(v, core.Var))
        products: dict[core.Var | None, tuple[Site, tuple[core.JaxprEqn, ...], float]] = {}
        for index, equation in enumerate(jaxpr.eqns):
            variables = [v if isinstance(v, core.Var) else None for v in equation.invars]
            seen = [(k, views[v]) for k, v in enumerate(variables) if v in views]
            if any(v in varying for v in variables):
                varying.update(equation.outvars)
            factor = _factor(equation)
            moved = variables[factor[0]] if factor is not None else None
            if factor is not None and moved is not None and moved in products and uses[moved] == 1:
                site, moves, scale = products[moved]
                products[equation.outvars[0]] = site, (*moves, equation), scale * factor[1]
            if not seen:
                continue
            if equation.primitive.name == "scan":
                self._enter(equation, seen, varying, (*path, index), lengths)
                continue
            if factor is not None:
                views[equation.outvars[0]] = seen[0][1].moved(equation, *factor)
                continue
            for operand, view in seen:
                self._use(jaxpr, equation, operand, view, (*path, index), lengths, variables, varying, products, uses)
        for v in jaxpr.outvars:
            if isinstance(v, core.Var) and v in views:
                self.obstacles[views[v].leaf] = "it is an output itself"

    def _use(self, jaxpr, equation, operand, view, path, lengths, variables, varying, products, uses) -> None:
        """Note what one equation does with one view."""
        name = equation.primitive.name
        how = None if view.repeated else geometry(equation, operand)
        if how is not None:
            site = Site(path, lengths, view, how, shape_of(equation.outvars[0]))
            self.sites[view.leaf].append(site)
            products[equation.outvars[0]] = site, (), 1.0
        elif name in ("add", "sub", "mul") and variables[1 - operand] in varying:
            self.elementwise[view.leaf].append("bias" if name != "mul" else "scale")
            other = variables[1 - operand]
            if name == "add" and other in products and uses[other] == 1:
                self._follow(jaxpr, products[other], view)
        else:
            repeated = view.repeated and name == "dot_general"
            self.obstacles[view.leaf] = "its entries are repeated" if repeated else f"`{name}` is applied to it"

    def _follow(self, jaxpr, product, view: View) -> None:
        """Note a bias that is added to a product, the same at all positions: its gradient is a sum of δ."""
        site, moves, scale = product
        entries = _moved(np.arange(math.prod(site.shape), dtype=np.int32).reshape(site.shape), moves, jaxpr)
        total = scale * site.view.scale
        if view.stacked != site.view.stacked or total == 0 or len(np.unique(entries)) != math.prod(site.shape):
            return
        labels = view.labels(self.shapes[view.leaf], jaxpr)
        labels = labels.reshape(-1, *labels.shape[sum(view.stacked) :])[0]  # of the first iteration
        labels = np.broadcast_to(labels, entries.shape)
        at_product = np.empty(entries.size, np.int32)
        at_product[entries.ravel()] = labels.ravel()
        columns = np.asarray(site.geometry.right(at_product.reshape(site.shape)))  # (groups, positions, columns)
        one_each = len(np.unique(columns[:, 0])) == columns[:, 0].size
        if one_each and np.all(columns == columns[:, :1]):
            self.bias[site.view.leaf] = view.leaf, view.scale / total

    def _enter(self, equation, seen, varying, path, lengths) -> None:
        """Walk the body of a scan."""
        parameters = equation.params
        num_consts, num_carry = scan_counts(equation)
        body = parameters["jaxpr"].jaxpr
        views = {}
        for operand, view in seen:
            if operand < num_consts:
                views[body.invars[operand]] = view._replace(stacked=(*view.stacked, False))
            elif operand < num_consts + num_carry:
                self.obstacles[view.leaf] = "a scan changes it"
            else:
                moves = (*view.moves, None)
                views[body.invars[operand]] = view._replace(moves=moves, stacked=(*view.stacked, True))
        inner = {
            v
            for v, outer in zip(body.invars, equation.invars, strict=True)
            if isinstance(outer, core.Var) and outer in varying
        }
        if inner:
            inner |= set(body.invars[num_consts : num_consts + num_carry])  # what is carried varies from some step on
        self.walk(body, views, inner, path, (*lengths, parameters["length"]))


def _clusters(sites: list[Site], shape: tuple[int, ...], jaxpr: core.Jaxpr) -> tuple | None:
    """The sites by the entries that they see, or None where they see some in common in another arrangement."""
    if not sites:
        return ()
    if len(sites) == 1:
        return (((sites[0], False),),)
    clusters: list[tuple[np.ndarray, list[tuple[Site, bool]]]] = []
    for site in sites:
        labels = site.view.labels(shape, jaxpr)
        pieces = labels.reshape(-1, *labels.shape[sum(site.view.stacked) :])
        matrix = np.concatenate([site.geometry.matrix(piece) for piece in pieces])
        for known, members in clusters:
            for transposed in (False, True):
                if np.array_equal(known, matrix.swapaxes(1, 2) if transposed else matrix):
                    members.append((site, transposed))
                    break
            else:
                if np.intersect1d(known, matrix).size:
                    return None
                continue
            break
        else:
            clusters.append((matrix, [(site, False)]))
    return tuple(tuple(members) for _, members in clusters)


def _factor(equation: core.JaxprEqn) -> tuple[int, float] | None:
    """(operand, s) if the entries of the output are s times entries of that operand (plus a number), or None."""
    name, operands = equation.primitive.name, equation.invars
    if name in _MOVES:
        kept = name != "convert_element_type" or jnp.issubdtype(equation.params["new_dtype"], jnp.floating)
        return (0, 1.0) if kept else None
    if name == "neg":
        return 0, -1.0
    numbers = [float(v.val) if isinstance(v, core.Literal) and _is_number(v.val) else None for v in operands]
    if len(numbers) != 2 or None not in numbers or numbers == [None, None]:
        return None
    operand = numbers.index(None)
    number = numbers[1 - operand] or 0.0
    if name == "mul":
        return operand, number
    if name == "div" and operand == 0 and number:
        return operand, 1 / number
    if name == "add":
        return operand, 1.0
    if name == "sub":
        return operand, 1.0 if operand == 0 else -1.0
    return None


def _is_number(value) -> bool:
    return np.ndim(value) == 0 and np.isrealobj(value)


def find_uses(jaxpr: core.Jaxpr, names: Sequence[str], shapes: Sequence[tuple[int, ...]], positions: Sequence[int]):
    """What happens to every parameter."""
    found = _Walk(shapes)
    views = {jaxpr.invars[position]: View(leaf) for leaf, position in enumerate(positions)}
    found.walk(jaxpr, views, {jaxpr.invars[-1]})
    uses = []
    for sites, elementwise, obstacle, shape in zip(
        found.sites, found.elementwise, found.obstacles, shapes, strict=True
    ):
        if obstacle is None and sites and elementwise:
            obstacle = f"it enters as a {elementwise[0]} and in a product"
        clusters = _clusters(sites, shape, jaxpr) if obstacle is None else ()
        if clusters is None:
            obstacle, clusters = "its uses share some of its entries in different arrangements", ()
        if obstacle is not None:
            uses.append(Use("jacobian", obstacle))
        elif sites:
            kinds = sorted({site.geometry.kind for site in sites})
            uses.append(Use("product", " and ".join(kinds), clusters))
        elif elementwise:
            uses.append(Use("elementwise", " and ".join(sorted(set(elementwise)))))
        else:
            uses.append(Use("unused", "it has no influence on the output"))
    for leaf, (bias, factor) in found.bias.items():
        alone = uses[bias].rule == "elementwise" and len(found.elementwise[bias]) == 1
        if alone and uses[leaf].rule == "product" and len(uses[leaf].sites) == 1:
            uses[leaf] = uses[leaf]._replace(bias=(bias, factor))
            uses[bias] = uses[bias]._replace(reason=f"bias of {names[leaf]}")
    return tuple(uses)
