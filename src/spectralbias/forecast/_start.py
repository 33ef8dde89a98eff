"""A network, or its limit, before training: its modes, and what its frozen kernel does."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._core.errors import InputError
from ..dynamics import Frozen, frozen
from ..kernels import NTKOperator, empirical_ntk
from ..kernels._plan import checked_inputs
from ..problems import Problem
from ..spectra import DENSE_LIMIT, Modes, eigenmodes
from ._limit import on_host


class Start(NamedTuple):
    """Inputs as the network reads them, modes of Θ/n, and training with Θ frozen."""

    x: Array
    modes: Modes
    frozen: Frozen


@eqx.filter_jit
def _outputs(model: Any, x: Array) -> Array:
    return jax.vmap(model)(x)


def outputs(model: Any, x: Array) -> np.ndarray:
    """f(x) in float64."""
    return np.asarray(_outputs(model, x), np.float64)


def of_network(model: Any, problem: Problem) -> Start:
    """By the network's own kernel: all modes up to 4000 values, above them the largest and a Krylov space."""
    x = checked_inputs(model, "x", problem.x)
    f0 = outputs(model, x)
    if f0.shape != problem.y.shape:
        raise InputError(f"the model's outputs have shape {f0.shape} and the targets {problem.y.shape}")
    kernel = empirical_ntk(model, x) if f0.size <= DENSE_LIMIT else NTKOperator(model, x)
    cross = f0_test = None
    if problem.x_test is not None:
        x_test = checked_inputs(model, "x_test", problem.x_test)
        cross, f0_test = empirical_ntk(model, x_test, x), outputs(model, x_test)
    modes = eigenmodes(kernel)
    basis = modes if modes.is_complete else kernel
    return Start(x, modes, frozen(basis, f0 - problem.y, cross=cross, f0_test=f0_test))


def of_kernel(kernel: Any, problem: Problem) -> Start:
    """By a kernel of one output, the same for each output, from f = 0."""
    if problem.y.size > DENSE_LIMIT:
        raise InputError(
            f"a kernel on {problem.y.size} values is too large (at most {DENSE_LIMIT}): use fewer samples, a grid with "
            "a positional encoding or Fourier features, or the network itself"
        )
    cross = f0_test = None
    if problem.x_test is not None and problem.y_test is not None:
        cross, f0_test = _of_each_output(on_host(kernel, problem.x_test, problem.x), problem), 0 * problem.y_test
    modes = eigenmodes(_of_each_output(on_host(kernel, problem.x), problem))
    return Start(jnp.asarray(problem.x), modes, frozen(modes, -problem.y, cross=cross, f0_test=f0_test))


def _of_each_output(gram: np.ndarray, problem: Problem) -> np.ndarray:
    """Θ ⊗ I."""
    count = problem.num_outputs
    return gram if count is None else np.einsum("ij,ab->ijab", gram, np.eye(count))
