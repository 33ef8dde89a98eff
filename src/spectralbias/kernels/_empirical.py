"""The NTK of a network of finite width."""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, PyTree

from .._core.errors import InputError, unknown
from ..models._torch import TorchModel
from ._factors import contract
from ._plan import Selection, checked_inputs, evaluate, plan
from ._structured import contributions

METHODS = ("auto", "structured", "jacobian")


@eqx.filter_jit
def _whole(model: PyTree, x: Array, leaves: tuple[int, ...], explicit: bool, mean: bool) -> Array:
    """Θ(x, x) in one piece."""
    found = contributions(model, x, leaves, explicit=explicit)
    return contract(found, found, mean=mean)


_contract = eqx.filter_jit(contract)


def empirical_ntk(
    model: PyTree,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    method: Literal["auto", "structured", "jacobian"] = "auto",
    batch_size: int | None = None,
    outputs: Literal["full", "mean"] = "full",
    parameters: Selection = None,
) -> Array:
    """Θ(x, x') = ⟨∂f(x)/∂θ, ∂f(x')/∂θ⟩ of a model as it is, with no factor 1/m.

    The model is traced once, and each parameter is treated by what the program does with it: a matrix product
    z_t = Wᵀ h_t at positions t, a convolution or a lookup in a table contributes Σ_ts ⟨h_t, h'_s⟩ ⟨δ_t, δ'_s⟩ with
    δ = ∂f/∂z, from thin matrix products and without a Jacobian. `explain_ntk` shows what was found.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x1: inputs (n1, dim), or (n1, *input_shape).
        x2: inputs (n2, …); x1 by default.
        method: `"auto"` uses the structure of each parameter where there is one and its Jacobian elsewhere;
            `"structured"` refuses a model with a parameter that has none; `"jacobian"` contracts the explicit Jacobians
            of all parameters.
        batch_size: samples per tile; chosen so that a tile stays below 1 GiB by default. It need not divide n.
        outputs: `"full"` keeps every pair of outputs, `"mean"` averages the diagonal ones.
        parameters: a part of the parameters, as a function that picks it (`lambda m: m.layers[0]`) or as a tree of
            booleans; all by default. The kernels of parts that do not overlap add up to Θ.

    Returns:
        (n1, n2) for a scalar model, (n1, n2, c, c) for a vector one, (n1, n2) with `outputs="mean"`.

    Raises:
        InputError: non-finite inputs, a model with a matrix output, an unknown method, a selection of nothing.

    Cost and precision:
        For a fully connected network n² Σ (fan_in + fan_out) multiplications, in place of n² P for Jacobians. In the
        dtype of the parameters.

    Example:
        >>> import jax
        >>> from spectralbias import kernels, models
        >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
        >>> kernels.empirical_ntk(model, jax.numpy.eye(3)).shape
        (3, 3)
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if outputs not in ("full", "mean"):
        raise unknown("choice of outputs", outputs, ("full", "mean"))
    if batch_size is not None and batch_size < 1:
        raise InputError(f"`batch_size` must be 1 or more, got {batch_size}")
    x1 = checked_inputs(model, "x1", x1)
    x2 = None if x2 is None else checked_inputs(model, "x2", x2)
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise InputError(f"`x1` and `x2` must hold inputs of one shape, got {x1.shape[1:]} and {x2.shape[1:]}")
    known = plan(model, x1, parameters, explicit=method == "jacobian")
    for leaf in known.leaves if method == "structured" else ():
        if known.parameters[leaf].rule.startswith("jacobian"):
            raise InputError(
                f"`{known.parameters[leaf].name}` has no structure to use ({known.parameters[leaf].rule}): "
                "take method `auto`, which contracts its Jacobian"
            )
    mean = known.output_shape == () or outputs == "mean"
    batch_size = batch_size or known.batch_size(mean)
    if x2 is None and len(x1) <= batch_size and not isinstance(model, TorchModel):
        theta = _whole(model, x1, known.leaves, known.explicit, mean)
    else:
        theta = _tiled(lambda x: evaluate(model, x, known.leaves, known.explicit), x1, x2, batch_size, mean)
    return theta.reshape(theta.shape[:2] + 2 * (() if mean else known.output_shape))


def _tiled(part, x1: Array, x2: Array | None, batch_size: int, mean: bool) -> Array:
    """Θ tile by tile, so that the contributions of two batches exist at a time; half of the tiles of x1 with itself."""
    columns = x1 if x2 is None else x2
    rows: list[list[Array]] = []
    for i, start1 in enumerate(range(0, len(x1), batch_size)):
        one = part(x1[start1 : start1 + batch_size])
        row = []
        for j, start2 in enumerate(range(0, len(columns), batch_size)):
            if x2 is None and j < i:
                row.append(_transposed(rows[j][i]))
            else:
                two = one if x2 is None and i == j else part(columns[start2 : start2 + batch_size])
                row.append(_contract(one, two, mean=mean))
        rows.append(row)
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in rows], axis=0)


def _transposed(tile: Array) -> Array:
    """Θ(x', x) from Θ(x, x')."""
    return tile.transpose(*range(1, -1, -1), *range(tile.ndim - 1, 1, -1))
