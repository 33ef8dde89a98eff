"""What every infinite-width kernel is: two functions of pairs of inputs, and their Gram matrices."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError
from ._arc_cosine import checked_cosine
from ._covariance import Covariance
from ._gram import gram


class InfiniteKernel(eqx.Module):
    """The NTK and the NNGP kernel of an infinitely wide network, functions of ⟨x, x'⟩, ‖x‖² and ‖x'‖².

    A subclass defines `_pair`, and `_kinked`, `_homogeneous` and `method` where they differ from what is here.
    """

    @abc.abstractmethod
    def _pair(self, inputs: Covariance, dim: int) -> tuple[Array, Array]:
        """(ntk, nngp) of pairs of inputs in R^dim, with `inputs` their plain ⟨x, x'⟩, ‖x‖², ‖x'‖², not divided by dim.

        The shapes are any that broadcast together. Smooth kernels read `inputs.product`, `.square1`, `.square2` only.
        """

    @property
    def _kinked(self) -> bool:
        """Whether it has a cusp at parallel inputs, so that `sine` and `distance` of near pairs must be exact."""
        return False

    @property
    def _homogeneous(self) -> bool:
        """Whether it is ‖x‖ ‖x'‖ times a function of the cosine."""
        return False

    @property
    def method(self) -> str:
        """How its Gaussian expectations are computed."""
        return "closed form"

    def _check_scale(self, square: float, dim: int) -> None:
        """Warn where inputs of this ‖x‖² leave the range in which quadrature is accurate."""

    @property
    def error(self) -> float:
        """Estimated relative error of one layer's Gaussian expectations; 0 where they are closed forms."""
        return 0.0

    def _gram(self, which: int, x1: ArrayLike, x2: ArrayLike | None, out: np.ndarray | None) -> Array | np.ndarray:
        x1 = _checked("x1", x1)
        x2 = None if x2 is None or x2 is x1 else _checked("x2", x2)
        if x2 is not None and x1.shape[1] != x2.shape[1]:
            raise InputError(f"`x1` and `x2` must have one dim, got shapes {x1.shape} and {x2.shape}")
        # Half precision would leave two digits of the angle.
        dtype = jnp.result_type(x1, jnp.float32 if x2 is None else x2, jnp.float32)
        if self.method == "quadrature" and not any(is_traced(x) for x in (x1, x2)):
            square = max(float(jnp.max(jnp.sum(x**2, axis=1))) for x in (x1, x2) if x is not None)
            self._check_scale(square, x1.shape[1])
        return gram(self, which, x1.astype(dtype), None if x2 is None else x2.astype(dtype), out)

    def ntk(self, x1: ArrayLike, x2: ArrayLike | None = None, *, out: np.ndarray | None = None) -> Array | np.ndarray:
        """Θ(x1, x2) of shape (n1, n2), in the dtype of the inputs.

        Args:
            x1: inputs (n1, dim), floating-point.
            x2: inputs (n2, dim); x1 by default, where each pair is computed once if the Gram is large.
            out: a NumPy array or memory map (n1, n2) to write into tile by tile, in no more memory than itself and
                a few tiles.

        Returns:
            A JAX array, or `out`.

        Raises:
            InputError: integers, NaN or infinity, a wrong rank, another dim, an `out` of another shape or dtype.
        """
        return self._gram(0, x1, x2, out)

    def nngp(self, x1: ArrayLike, x2: ArrayLike | None = None, *, out: np.ndarray | None = None) -> Array | np.ndarray:
        """E f(x1) f(x2) over initializations, of shape (n1, n2); arguments as for `ntk`."""
        return self._gram(1, x1, x2, out)

    def profile(self, cosine: ArrayLike, *, dim: int) -> Array:
        """Θ of two points of the unit sphere in R^dim as a function of their cosine in [-1, 1], of any shape."""
        return _profile(self, checked_cosine(cosine), dim)


@eqx.filter_jit
def _profile(kernel: InfiniteKernel, cosine: Array, dim: int) -> Array:
    one = jnp.ones_like(cosine)
    return kernel._pair(Covariance.of_products(cosine, one, one), dim)[0]


def is_traced(x: Array | None) -> bool:
    """Whether the values of x are not known yet, inside a transformation of JAX."""
    try:
        _ = x is None or bool(x[0, 0] == 0)
    except jax.errors.ConcretizationTypeError:
        return True
    return False


def _checked(name: str, x: ArrayLike) -> Array:
    """Inputs (n, dim) as a floating-point JAX array, or an `InputError`."""
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be an array of numbers: {str(error).splitlines()[0]}") from None
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0:
        raise InputError(f"`{name}` must have shape (n, dim) with n and dim of 1 or more, got {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"`{name}` must be floating-point, got {x.dtype}: use {name}.astype(float)")
    return x
