"""Θ as a linear operator that is never formed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PyTree
from scipy.sparse.linalg import LinearOperator

from .._core.errors import InputError
from ..models import combine, partition
from ._plan import checked_inputs, plan


@eqx.filter_jit
def _multiply(model: PyTree, batches: Array, vectors: Array) -> Array:
    """J (Jᵀ v) over batches (b, batch, …) of inputs and vectors (b, batch[, c])."""
    parameters, rest = partition(model)

    def apply(p, x):
        return jax.vmap(combine(p, rest))(x)

    def pull(total, batch):
        x, v = batch
        gradient = jax.vjp(lambda p: apply(p, x), parameters)[1](v)[0]
        return jax.tree.map(jnp.add, total, gradient), None

    def push(x):
        return jax.jvp(lambda p: apply(p, x), (parameters,), (direction,))[1]

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    direction, _ = jax.lax.scan(pull, zeros, (batches, vectors))
    return jax.lax.map(push, batches)


class NTKOperator(eqx.Module):
    """v ↦ Θ v by one vector-Jacobian and one Jacobian-vector product, in memory that does not grow with n².

    Args:
        model: any callable pytree that maps one input to a scalar () or to (c,).
        x: inputs (n, dim), or (n, *input_shape).
        batch_size: samples per pass; 4096 by default. It need not divide n.

    Example:
        >>> import jax
        >>> from spectralbias import kernels, models
        >>> model = models.MLP(3, "scalar", 64, 2, key=jax.random.key(0))
        >>> kernels.NTKOperator(model, jax.numpy.eye(3)).mv(jax.numpy.ones(3)).shape
        (3,)
    """

    model: PyTree
    x: Array
    batch_size: int = eqx.field(static=True)
    outputs: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, model: PyTree, x: ArrayLike, *, batch_size: int | None = None):
        self.model = model
        self.x = checked_inputs(model, "x", x)
        self.batch_size = min(len(self.x), 4096 if batch_size is None else batch_size)
        self.outputs = plan(model, self.x).output_shape
        if self.batch_size < 1:
            raise InputError(f"`batch_size` must be 1 or more, got {batch_size}")

    @property
    def num_samples(self) -> int:
        """Number of inputs n."""
        return len(self.x)

    def mv(self, v: ArrayLike) -> Array:
        """Θ v, with v and the result of shape (n,) for a scalar model and (n, c) for a vector one."""
        v = jnp.asarray(v, jnp.result_type(*jax.tree.leaves(partition(self.model)[0])))
        if v.shape != (self.num_samples, *self.outputs):
            raise InputError(f"`v` must have shape {(self.num_samples, *self.outputs)}, got {v.shape}")
        padding = -self.num_samples % self.batch_size

        def batched(array, filler):
            padded = jnp.concatenate([array, jnp.broadcast_to(filler, (padding, *array.shape[1:]))])
            return padded.reshape(-1, self.batch_size, *array.shape[1:])

        # Copies of the first input, at which the model is known to be defined, with weight 0.
        product = _multiply(self.model, batched(self.x, self.x[:1]), batched(v, jnp.zeros_like(v[:1])))
        return product.reshape(-1, *self.outputs)[: self.num_samples]

    def as_linear_operator(self) -> LinearOperator:
        """The (nc, nc) view that SciPy's solvers take, sample-major."""
        return _View(self)


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
