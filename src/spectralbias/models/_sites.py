"""How a parameter enters an equation: as the matrix of a product, the filter of a convolution, the table of a lookup.

Each of them brings the `other` operand into the form `left` (groups, positions, rows), the gradient δ of the equation's
output into `right` (groups, positions, columns), and the parameter into `matrix` (groups, rows, columns), such that the
gradient of the parameter is `outer` = Σ_positions left ⊗ right in every group.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from ._jaxpr import shape_of


def _grouped(array: Any, *axes: tuple[int, ...]) -> Any:
    """The array with its axes in this order, each tuple of them flattened into one axis."""
    flat = [axis for group in axes for axis in group]
    return array.transpose(flat).reshape([math.prod(array.shape[axis] for axis in group) for group in axes])


class MatrixProduct(NamedTuple):
    """z = dot_general(h, W) or dot_general(W, h), with the parameter as operand `operand`."""

    operand: int
    contracting: tuple[tuple[int, ...], ...]
    batch: tuple[tuple[int, ...], ...]
    ranks: tuple[int, ...]

    @property
    def rows(self) -> int | None:
        """Number of rows of a table; None where `left` holds no row numbers."""
        return None

    @property
    def kind(self) -> str:
        """In words."""
        return "matrix product"

    def _free(self, operand: int) -> tuple[int, ...]:
        taken = {*self.contracting[operand], *self.batch[operand]}
        return tuple(axis for axis in range(self.ranks[operand]) if axis not in taken)

    def other(self, inputs: list) -> Array:
        """h."""
        return inputs[1 - self.operand]

    def left(self, h: Array) -> Array:
        """h as (groups, positions, rows)."""
        other = 1 - self.operand
        return _grouped(h, self.batch[other], self._free(other), self.contracting[other])

    def right(self, delta: Any) -> Any:
        """The output has the axes of the batch, the free ones of operand 0, the free ones of operand 1."""
        batch, first = len(self.batch[0]), len(self._free(0))
        axes = tuple(range(batch)), tuple(range(batch, batch + first)), tuple(range(batch + first, delta.ndim))
        positions, columns = (axes[2], axes[1]) if self.operand == 0 else (axes[1], axes[2])
        return _grouped(delta, axes[0], positions, columns)

    def outer(self, h: Array, delta: Array) -> Array:
        """The gradient of W, (groups, rows, columns)."""
        return jnp.einsum("gta,gtb->gab", self.left(h), self.right(delta), precision="highest")

    def matrix(self, parameter: Any) -> Any:
        """W."""
        own = self.operand
        return _grouped(parameter, self.batch[own], self.contracting[own], self._free(own))


class Convolution(NamedTuple):
    """z = conv_general_dilated(h, W)."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input_dilation: tuple[int, ...]
    filter_dilation: tuple[int, ...]
    specs: tuple[tuple[int, ...], ...]
    filter_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    groups: int
    operand: int = 1

    @property
    def rows(self) -> int | None:
        """Number of rows of a table; None where `left` holds no row numbers."""
        return None

    @property
    def kind(self) -> str:
        """In words."""
        return "convolution"

    def other(self, inputs: list) -> Array:
        """h."""
        return inputs[0]

    def _patches(self, h: Array) -> Array:
        """What lies under the filter: (groups, channels · filter, batch · sites)."""
        input_spec, filter_spec, output_spec = self.specs
        h = h.transpose(input_spec)  # batch, channels, space
        padding = [(0, 0, 0), (0, 0, 0)]
        padding += [(low, high, step - 1) for (low, high), step in zip(self.padding, self.input_dilation, strict=True)]
        h = lax.pad(h, jnp.zeros((), h.dtype), padding)
        window = [self.filter_shape[axis] for axis in filter_spec[2:]]
        sites = [self.output_shape[axis] for axis in output_spec[2:]]
        patches = []
        for offset in np.ndindex(*window):
            start = [o * d for o, d in zip(offset, self.filter_dilation, strict=True)]
            stop = [s + (n - 1) * t + 1 for s, n, t in zip(start, sites, self.strides, strict=True)]
            patches.append(lax.slice(h, (0, 0, *start), (*h.shape[:2], *stop), (1, 1, *self.strides)))
        stacked = jnp.stack(patches, axis=2).reshape(h.shape[0], self.groups, -1, len(patches), math.prod(sites))
        return _grouped(stacked, (1,), (2, 3), (0, 4))

    def left(self, h: Array) -> Array:
        """The patches of h under the filter: (groups, batch · sites, channels · filter)."""
        return self._patches(h).swapaxes(1, 2)

    def right(self, delta: Any) -> Any:
        """(groups, batch · sites, output channels of a group)."""
        return self._channels(delta).swapaxes(1, 2)

    def outer(self, h: Array, delta: Array) -> Array:
        """The gradient of W, (groups, rows, columns), without a transposed copy of the patches."""
        return jnp.einsum("gat,gbt->gab", self._patches(h), self._channels(delta), precision="highest")

    def _channels(self, delta: Any) -> Any:
        """(groups, output channels of a group, batch · sites)."""
        z = delta.transpose(self.specs[2])  # batch, channels, space
        z = z.reshape(z.shape[0], self.groups, z.shape[1] // self.groups, -1)
        return _grouped(z, (1,), (2,), (0, 3))

    def matrix(self, parameter: Any) -> Any:
        """The filter (groups, input channels · filter, output channels of a group)."""
        w = parameter.transpose(self.specs[1])  # output channels, input channels of a group, filter
        return _grouped(w.reshape(self.groups, w.shape[0] // self.groups, -1), (0,), (2,), (1,))


class Lookup(NamedTuple):
    """z = rows of a table along `axis`, by gather or dynamic_slice; `left` is their numbers (1, positions)."""

    axis: int
    shape: tuple[int, ...]
    row_axes: tuple[int, ...]  # where a row's own axes are in the output
    column: int | None  # of the index array of a gather; None for a slice
    operand: int = 0

    @property
    def rows(self) -> int | None:
        """Number of rows of the table; None where `left` holds no row numbers."""
        return self.shape[self.axis]

    @property
    def kind(self) -> str:
        """In words."""
        return "lookup"

    def other(self, inputs: list) -> Array:
        """Which rows."""
        return inputs[1 + self.axis] if self.column is None else inputs[1][..., self.column]

    def left(self, rows: Array) -> Array:
        """Which rows. Both equations clip; where a gather fills in NaN instead, the model has no value."""
        return jnp.clip(rows.reshape(1, -1), 0, self.shape[self.axis] - 1)

    def right(self, delta: Any) -> Any:
        """(1, positions, entries of a row)."""
        others = tuple(axis for axis in range(delta.ndim) if axis not in self.row_axes)
        return _grouped(delta, (), others, self.row_axes)

    def outer(self, rows: Array, delta: Array) -> Array:
        """The gradient of the table, (1, rows, entries of a row)."""
        values = self.right(delta)
        return jnp.zeros((1, self.rows, values.shape[2]), values.dtype).at[0, self.left(rows)[0]].add(values[0])

    def matrix(self, parameter: Any) -> Any:
        """The table (1, rows, entries of a row)."""
        others = tuple(axis for axis in range(parameter.ndim) if axis != self.axis)
        return _grouped(parameter, (), (self.axis,), others)


Geometry = MatrixProduct | Convolution | Lookup


def geometry(equation: JaxprEqn, operand: int) -> Geometry | None:
    """How operand number `operand` enters the equation, or None where it is not one of the three."""
    parameters, name = equation.params, equation.primitive.name
    if name == "dot_general":
        contracting, batch = parameters["dimension_numbers"]
        ranks = tuple(len(shape_of(v)) for v in equation.invars)
        return MatrixProduct(operand, tuple(map(tuple, contracting)), tuple(map(tuple, batch)), ranks)
    if name == "conv_general_dilated" and operand == 1 and parameters["batch_group_count"] == 1:
        return Convolution(
            parameters["window_strides"],
            tuple(map(tuple, parameters["padding"])),
            parameters["lhs_dilation"],
            parameters["rhs_dilation"],
            tuple(map(tuple, parameters["dimension_numbers"])),
            shape_of(equation.invars[1]),
            shape_of(equation.outvars[0]),
            parameters["feature_group_count"],
        )
    if name in ("gather", "dynamic_slice") and operand == 0:
        return _lookup(equation)
    return None


def _lookup(equation: JaxprEqn) -> Lookup | None:
    """Whole rows of a table, one number each; None for other gathers and slices."""
    parameters, shape = equation.params, shape_of(equation.invars[0])
    sizes = parameters["slice_sizes"]
    cut = [axis for axis, (size, whole) in enumerate(zip(sizes, shape, strict=True)) if size != whole]
    if len(cut) != 1 or sizes[cut[0]] != 1:
        return None
    (axis,) = cut
    if equation.primitive.name == "dynamic_slice":
        row_axes = tuple(a for a in range(len(shape)) if a != axis)
        return Lookup(axis, shape, row_axes, None)
    numbers, outside = parameters["dimension_numbers"], parameters["fill_value"]
    if numbers.operand_batching_dims or axis not in numbers.start_index_map:
        return None
    if outside is not None and not np.isnan(outside):  # then rows outside of the table have a value, but no gradient
        return None
    kept = [a for a in range(len(shape)) if a not in numbers.collapsed_slice_dims]
    row_axes = tuple(place for a, place in zip(kept, numbers.offset_dims, strict=True) if a != axis)
    return Lookup(axis, shape, row_axes, numbers.start_index_map.index(axis))
