"""Derivatives of Θ and of f along gradients of f, as nested Jacobian-vector products: no tensor is formed.

With J = ∂f/∂θ on the training inputs and the vector field X_r(θ) = J(θ)ᵀ r, the kernels of the hierarchy, contracted,
are Lie derivatives: K³·r = ∂Θ along X_r, and K⁴·(r, R) = ∂(K³·r) along X_R.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core.checks import whole
from .._core.errors import InputError
from ..kernels._factors import contract
from ..kernels._plan import plan
from ..kernels._structured import contributions
from ..models import combine, partition


class Output(eqx.Module):
    """One output of a model with several."""

    model: PyTree
    index: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        """f_index(x), of shape ()."""
        return self.model(x)[self.index]


class Products(eqx.Module):
    """A model with one output, at its parameters θ: f, Θ(points, x) and their derivatives along gradients on x.

    Attributes:
        parameters: θ.
        rest: the rest of the model.
        x: training inputs (n, …).
        test: further points (m - n, …) or None: the points are x followed by these.
        leaves: which parameters have an influence, as `kernels` counts them.
        doubled: whether the model stands for (g(θ₁) - g(θ₂))/√2, as `one_copy` says.
    """

    parameters: PyTree
    rest: PyTree
    x: Array
    test: Array | None
    leaves: tuple[int, ...] = eqx.field(static=True)
    doubled: bool = eqx.field(static=True)

    def __init__(self, model: Any, x: Array, test: Array | None = None, *, doubled: bool = False):
        self.parameters, self.rest = partition(model)
        self.x, self.test = x, test
        self.leaves = plan(model, x).leaves
        self.doubled = doubled

    @property
    def points(self) -> Array:
        """x, and the test points after it."""
        return self.x if self.test is None else jnp.concatenate([self.x, self.test])

    def at(self, parameters: PyTree) -> Any:
        """The model with other parameters."""
        return combine(parameters, self.rest)

    def outputs(self, parameters: PyTree) -> Float[Array, " m"]:
        """f at all points."""
        return jax.vmap(self.at(parameters))(self.points)

    def ntk(self, parameters: PyTree) -> Float[Array, "m n"]:
        """Θ(points, x)."""
        model = self.at(parameters)
        here = contributions(model, self.x, self.leaves)
        whole = contract(here, here, mean=True)
        if self.test is None:
            return whole
        return jnp.concatenate([whole, contract(contributions(model, self.test, self.leaves), here, mean=True)])

    def field(self, parameters: PyTree, r: Float[Array, " n"]) -> PyTree:
        """X_r(θ) = Σ_i r_i ∇f(x_i)."""
        return jax.vjp(lambda p: jax.vmap(self.at(p))(self.x), parameters)[1](r)[0]

    def along(self, function: Callable[[PyTree], Any], *vectors: Float[Array, " n"]) -> Callable[[PyTree], Any]:
        """θ ↦ derivative of `function` along X_{v1}, of that along X_{v2}, …; the fields move with θ."""
        for v in vectors:
            function = self._along_one(function, v)
        return function

    def _along_one(self, function: Callable[[PyTree], Any], v: Array) -> Callable[[PyTree], Any]:
        return lambda p: jax.jvp(function, (p,), (self.field(p, v),))[1]


def one_output(model: Any, output: int | None, outputs: tuple[int, ...]) -> Any:
    """The model as one with a single output."""
    if not outputs:
        if output is not None:
            raise InputError("`output` chooses among several outputs, and this model has one")
        return model
    if output is None:
        raise InputError(f"the model has {outputs[0]} outputs: choose one with `output=0` … `output={outputs[0] - 1}`")
    index = whole("output", output, 0)
    if index >= outputs[0]:
        raise InputError(f"`output` must be between 0 and {outputs[0] - 1}, got {output}")
    return Output(model, index)
