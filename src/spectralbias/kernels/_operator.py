"""Θ as a linear operator that is never formed."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree
from scipy.sparse.linalg import LinearOperator

from .._core.errors import InputError
from ..models._reader import read_program
from ..models._torch import TorchModel
from . import _plan
from ._factors import Contributions, flat
from ._plan import Selection, checked_inputs, evaluate, plan


@eqx.filter_jit
def _multiply(model: PyTree, batches: Array, vectors: Array, leaves: tuple[int, ...]) -> Array:
    """J (Jᵀ v) over batches (b, batch, …) of inputs and vectors (b, batch[, c])."""
    positions = read_program(model, batches[0]).parameters
    arrays, treedef = jax.tree.flatten(eqx.filter(model, eqx.is_array))
    static = eqx.filter(model, eqx.is_array, inverse=True)
    parameters = {leaf: arrays[positions[leaf]] for leaf in leaves}

    def apply(parameters, x):
        given = list(arrays)
        for leaf, array in parameters.items():
            given[positions[leaf]] = array
        return jax.vmap(eqx.combine(jax.tree.unflatten(treedef, given), static))(x)

    def pull(total, batch):
        x, v = batch
        gradient = jax.vjp(lambda p: apply(p, x), parameters)[1](v)[0]
        return jax.tree.map(jnp.add, total, gradient), None

    def push(x):
        return jax.jvp(lambda p: apply(p, x), (parameters,), (direction,))[1]

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    direction, _ = jax.lax.scan(pull, zeros, (batches, vectors))
    return jax.lax.map(push, batches)


@eqx.filter_jit
def _pulled(factors: Contributions, v: Array) -> list:
    """Jᵀ v of one batch."""
    return [one.pull(v) for one in flat(factors)]


@eqx.filter_jit
def _pushed(factors: Contributions, directions: list) -> Array:
    """J times a direction in the parameters."""
    first, *others = [one.push(direction) for one, direction in zip(flat(factors), directions, strict=True)]
    return sum(others, start=first)


class NTKOperator(eqx.Module):
    """v ↦ Θ v = J (Jᵀ v), in memory that does not grow with n².

    Jᵀ v is one vector-Jacobian product and J of it one Jacobian-vector product, batch by batch. Where the inputs of all
    layers and the outputs' gradients fit into 512 MiB they are kept, and Θ v costs two matrix products per layer.

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x: inputs (n, dim), or (n, *input_shape).
        batch_size: samples per pass; 4096 by default. It need not divide n.
        parameters: a part of the parameters, as in `empirical_ntk`.

    Raises:
        InputError: as `empirical_ntk`.

    Example:
        >>> import jax
        >>> from spectralbias import kernels, models
        >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
        >>> kernels.NTKOperator(model, jax.numpy.eye(3)).mv(jax.numpy.ones(3)).shape
        (3,)
    """

    model: PyTree
    x: Array
    factors: Contributions | None
    evaluate: Callable[[Array], Contributions] | None = eqx.field(static=True)  # of a PyTorch module
    leaves: tuple = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(self, model: PyTree, x: ArrayLike, *, batch_size: int | None = None, parameters: Selection = None):
        if batch_size is not None and batch_size < 1:
            raise InputError(f"`batch_size` must be 1 or more, got {batch_size}")
        self.x = checked_inputs(model, "x", x)
        known = plan(model, self.x, parameters)
        is_module = isinstance(model, TorchModel)
        self.model = None if is_module else model
        self.evaluate = partial(evaluate, model, leaves=known.leaves) if is_module else None
        self.batch_size = min(len(self.x), batch_size or 4096)
        self.outputs, self.leaves, self.dtype = known.output_shape, known.leaves, known.dtype
        self.factors = None
        if known.sample_bytes * len(self.x) <= _plan.MEMORY_BUDGET // 2:
            found = [evaluate(model, batch, self.leaves) for batch in self._parts(self.x)]
            self.factors = jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)

    @property
    def num_samples(self) -> int:
        """Number of inputs n."""
        return len(self.x)

    def _parts(self, array: Array) -> list[Array]:
        """The batches, the last one shorter."""
        return [array[start : start + self.batch_size] for start in range(0, self.num_samples, self.batch_size)]

    def _filled(self, array: Array) -> Array:
        """(batches, batch_size, …); filled up with copies of the first row, at which the model is defined."""
        padding = -self.num_samples % self.batch_size
        padded = jnp.concatenate([array, jnp.broadcast_to(array[:1], (padding, *array.shape[1:]))])
        return padded.reshape(-1, self.batch_size, *array.shape[1:])

    def mv(self, v: ArrayLike) -> Array:
        """Θ v, with v and the result of shape (n,) for a scalar model and (n, c) for a vector one."""
        v = jnp.asarray(v, self.dtype)
        if v.shape != (self.num_samples, *self.outputs):
            raise InputError(f"`v` must have shape {(self.num_samples, *self.outputs)}, got {v.shape}")
        flat_v = v.reshape(self.num_samples, -1)
        if self.factors is not None:
            return _pushed(self.factors, _pulled(self.factors, flat_v)).reshape(v.shape)
        if self.evaluate is not None:
            pulled = [
                _pulled(self.evaluate(x), part)
                for x, part in zip(self._parts(self.x), self._parts(flat_v), strict=True)
            ]
            direction = jax.tree.map(lambda *parts: sum(parts[1:], start=parts[0]), *pulled)
            rows = [_pushed(self.evaluate(x), direction) for x in self._parts(self.x)]
            return jnp.concatenate(rows).reshape(v.shape)
        vectors = self._filled(v)
        counts = jnp.arange(vectors.shape[0] * vectors.shape[1]) < self.num_samples
        vectors = vectors * counts.reshape(*vectors.shape[:2], *(1 for _ in self.outputs))
        product = _multiply(self.model, self._filled(self.x), vectors, self.leaves)
        return product.reshape(-1, *self.outputs)[: self.num_samples]

    def as_linear_operator(self) -> LinearOperator:
        """The (nc, nc) view that SciPy's solvers take, sample-major."""
        return _View(self)

    def _shifted(self, ridge: float, v: Array) -> Array:
        return self.mv(v) + ridge * v

    def as_lineax(self, *, ridge: float = 0.0):
        """Θ + ridge · I as `lineax.linear_solve` takes it: positive semi-definite, on vectors like those of `mv`.

        Args:
            ridge: what is added to the diagonal, 0 or more; `lineax.CG` is slow to converge without it.

        Returns:
            A `lineax.FunctionLinearOperator`.

        Raises:
            InputError: a negative ridge.

        Example:
            >>> import jax, lineax
            >>> from spectralbias import kernels, models
            >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
            >>> theta = kernels.NTKOperator(model, jax.numpy.eye(3)).as_lineax()
            >>> solver = lineax.CG(rtol=1e-4, atol=1e-4)
            >>> lineax.linear_solve(theta, jax.numpy.ones(3), solver).value.shape
            (3,)
        """
        import lineax

        if not 0 <= ridge < float("inf"):
            raise InputError(f"`ridge` must be 0 or more, got {ridge}")
        vector = jax.ShapeDtypeStruct((self.num_samples, *self.outputs), self.dtype)
        return lineax.FunctionLinearOperator(
            eqx.Partial(self._shifted, ridge), vector, lineax.positive_semidefinite_tag
        )


class _View(LinearOperator):
    """The flat view of an `NTKOperator`; it is symmetric, so it is its own adjoint."""

    def __init__(self, operator: NTKOperator):
        size = operator.num_samples * int(np.prod(operator.outputs))
        super().__init__(dtype=np.dtype(np.float64), shape=(size, size))
        self.operator = operator

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        v = np.asarray(x).reshape(self.operator.num_samples, *self.operator.outputs)
        return np.asarray(self.operator.mv(v), np.float64).ravel()

    def _adjoint(self) -> LinearOperator:
        return self
