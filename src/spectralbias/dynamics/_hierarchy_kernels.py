"""The kernels of the neural tangent hierarchy: K², K³, … as tensors, as single entries, and contracted."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.checks import finite_array, whole
from .._core.errors import InputError
from ..kernels._plan import checked_inputs, plan
from ..models import combine, partition
from ..models._torch import TorchModel
from ._hierarchy_products import Products, one_output

# Numbers that dense tensors may have, all orders together.
MAX_ENTRIES = 2**27


def hierarchy_kernels(
    model: PyTree, x: ArrayLike | Sequence[ArrayLike], order: int, *, output: int | None = None
) -> tuple[Float[Array, "..."], ...]:
    """K², …, K^order as dense tensors: K² = Θ and K^(r+1)(x_1 … x_r, x') = ⟨∇_θ K^r(x_1 … x_r), ∇_θ f(x')⟩.

    They are the Taylor coefficients of training: ∂_t K^r = -(1/n) Σ_i K^(r+1)(…, x_i) r_i under gradient flow. K^r is
    symmetric in its first two arguments, and in no others.

    Args:
        model: any callable pytree, smooth in its parameters, that maps one input to a scalar () or to (c,).
        x: inputs (n, …) for all arguments; or a list with one array (n_a, …) for each of the `order` arguments, which
            gives a block.
        order: the highest r, 2 or more.
        output: which output, for a model with several.

    Returns:
        (K², …, K^order), K^r of shape (n,)·r; with a block the first r of the `order` lengths.

    Raises:
        InputError: order below 2, non-finite inputs, several outputs and no choice, tensors above 1 GiB.

    Cost and precision:
        n^(order-2) nested derivatives of Θ, each about 3.5 times as expensive as the one below it. Kinks of ReLU have
        no derivatives here: what they add to K³ and beyond is missing.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models
        >>> model = models.MLP(3, "scalar", 16, 1, activation="tanh", key=jax.random.key(0))
        >>> [kernel.shape for kernel in dynamics.hierarchy_kernels(model, jax.numpy.eye(3), 4)]
        [(3, 3), (3, 3, 3), (3, 3, 3, 3)]

    References:
        Huang & Yau 2020, Theorem 2.3.
    """
    order = whole("order", order, 2)
    arguments: list[Any] = list(x) if isinstance(x, list | tuple) else [x] * order
    if len(arguments) != order:
        raise InputError(f"`x` must be one array, or {order} arrays for K^{order}, got {len(arguments)}")
    points = tuple(checked_inputs(model, "x", one) for one in arguments)
    shapes = {one.shape[1:] for one in points}
    if len(shapes) > 1:
        found = " and ".join(map(str, sorted(shapes)))
        raise InputError(f"all arrays of `x` must hold inputs of one shape, got {found}")
    model = checked_model(model, points[0], output)
    sizes = np.cumprod([float(len(one)) for one in points])
    if sizes[1:].sum() > MAX_ENTRIES:
        raise InputError(
            f"K^{order} on these inputs has {sizes[-1]:.3g} entries: use fewer inputs, `hierarchy_entries`, or the "
            "contractions of `kernel_derivative`"
        )
    return _tensors(model, points)


@eqx.filter_jit
def _tensors(model: PyTree, points: tuple[Array, ...]) -> tuple[Array, ...]:
    parameters, rest = partition(model)

    def gradient(p: PyTree, x: Array) -> PyTree:
        return jax.grad(lambda q: combine(q, rest)(x))(p)

    def tower(depth: int) -> Callable[[PyTree], tuple[Array, ...]]:
        """θ ↦ (f, K², …, K^depth)."""
        if depth == 1:
            return lambda p: (jax.vmap(combine(p, rest))(points[0]),)
        below = tower(depth - 1)

        def kernels(p: PyTree) -> tuple[Array, ...]:
            def along(x: Array) -> Array:
                return jax.jvp(lambda q: below(q)[-1], (p,), (gradient(p, x),))[1]

            return (*below(p), jax.vmap(along, out_axes=-1)(points[depth - 1]))

        return kernels

    return tower(len(points))(parameters)[1:]


def hierarchy_entries(
    model: PyTree, x: ArrayLike, indices: ArrayLike | Sequence[Sequence[int]], *, output: int | None = None
) -> Float[Array, " N"]:
    """Single entries K^r(x_i1, …, x_ir), without the tensor.

    Args:
        model: as in `hierarchy_kernels`.
        x: inputs (n, …).
        indices: (N, r): r arguments for each entry, as rows of x.
        output: which output, for a model with several.

    Returns:
        The entries, (N,).

    Raises:
        InputError: as `hierarchy_kernels`; indices that are no rows of x.

    Cost and precision:
        Per entry 3 to 4 times as much for every order.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models
        >>> model = models.MLP(3, "scalar", 16, 1, activation="tanh", key=jax.random.key(0))
        >>> dynamics.hierarchy_entries(model, jax.numpy.eye(3), [[0, 1, 2], [0, 0, 1]]).shape
        (2,)

    References:
        Huang & Yau 2020, Theorem 2.3.
    """
    points = checked_inputs(model, "x", x)
    model = checked_model(model, points, output)
    rows = np.asarray(indices)
    if rows.ndim != 2 or rows.dtype.kind not in "iu" or rows.shape[1] < 2:
        raise InputError(f"`indices` must be whole numbers of shape (N, r) with r of 2 or more, got {rows.shape}")
    if rows.size and not (rows.min() >= 0 and rows.max() < len(points)):
        raise InputError(f"`indices` must be between 0 and n - 1 = {len(points) - 1}, got {rows.min()} … {rows.max()}")
    return _entries(model, points, jnp.asarray(rows))


@eqx.filter_jit
def _entries(model: PyTree, x: Array, rows: Array) -> Array:
    parameters, rest = partition(model)

    def entry(row: Array) -> Array:
        def value(depth: int) -> Callable[[PyTree], Array]:
            if depth == 1:
                return lambda p: combine(p, rest)(x[row[0]])
            below = value(depth - 1)

            def along(p: PyTree) -> Array:
                direction = jax.grad(lambda q: combine(q, rest)(x[row[depth - 1]]))(p)
                return jax.jvp(below, (p,), (direction,))[1]

            return along

        return value(rows.shape[1])(parameters)

    return jax.lax.map(entry, rows)


def kernel_derivative(
    model: PyTree,
    x: ArrayLike,
    *vectors: ArrayLike | Sequence[float],
    x_test: ArrayLike | None = None,
    output: int | None = None,
) -> Float[Array, "m n"]:
    """K³·r, K⁴·(r, R), …: Σ K^(2+k)(·, ·, x_i1, …, x_ik) v1_i1 … vk_ik, with no tensor.

    Under gradient flow Θ̇ = -K³·r/n. The first vector belongs to the third argument of the kernel, and so on.

    Args:
        model: as in `hierarchy_kernels`.
        x: inputs (n, …).
        *vectors: one to four vectors (n,).
        x_test: further points: rows of the result are x and then these.
        output: which output, for a model with several.

    Returns:
        (n, n), or (n + n_test, n).

    Raises:
        InputError: as `hierarchy_kernels`; vectors of another length.

    Cost and precision:
        In the dtype of the parameters. K³·r costs 3.5 times as much as Θ, K⁴·(r, R) about 11 times; memory n².

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models
        >>> model = models.MLP(3, "scalar", 16, 1, activation="tanh", key=jax.random.key(0))
        >>> dynamics.kernel_derivative(model, jax.numpy.eye(3), [1.0, 0.0, -1.0]).shape
        (3, 3)

    References:
        Huang & Yau 2020, Theorem 2.3.
    """
    points = checked_inputs(model, "x", x)
    test = None if x_test is None else checked_inputs(model, "x_test", x_test)
    model = checked_model(model, points, output)
    if not 1 <= len(vectors) <= 4:
        raise InputError(f"give one to four vectors, got {len(vectors)}")
    flat = [finite_array("vectors", v, ndim=1) for v in vectors]
    for v in flat:
        if len(v) != len(points):
            raise InputError(f"`vectors` must have one value for each of the {len(points)} inputs, got {len(v)}")
    products = Products(model, points, test)
    dtype = jnp.result_type(*jax.tree.leaves(products.parameters))
    return _derivative(products, tuple(jnp.asarray(v, dtype) for v in flat))


@eqx.filter_jit
def _derivative(products: Products, vectors: tuple[Array, ...]) -> Array:
    return products.along(products.ntk, *vectors)(products.parameters)


def checked_model(model: Any, x: Array, output: int | None) -> Any:
    """The model with one output, or an `InputError`."""
    if isinstance(model, TorchModel):
        raise InputError(
            "the hierarchy needs derivatives of the kernel, which a PyTorch module does not have here: write the model "
            "in JAX, Equinox or Flax"
        )
    return one_output(model, output, plan(model, x).output_shape)
