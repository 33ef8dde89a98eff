"""The eigenbasis of a frozen kernel on a population, and the kernel's products with training residuals."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array
from .._core.errors import InputError
from ..kernels import NTKOperator, empirical_ntk
from ..spectra import DENSE_LIMIT, Modes, eigenmodes
from ._kernel_path import KernelPath, in_float64

# Bytes of one block of rows of Θ_0(P, x).
BLOCK_BYTES = 2**28


class Basis(eqx.Module):
    """Functions φ_i on the points, orthonormal in the population's measure.

    Attributes:
        functions: (m, k) for one output, (m, c, k) for c.
        weights: of the points, (m,).
    """

    functions: Float[np.ndarray, "m *c k"]
    weights: Float[np.ndarray, " m"]

    @property
    def weighted(self) -> Float[np.ndarray, "mc k"]:
        """w_p φ_i(p), flat."""
        weights = self.weights.reshape(-1, *[1] * (self.functions.ndim - 1))
        return (self.functions * weights).reshape(-1, self.functions.shape[-1])

    def project(self, values: Float[np.ndarray, "N m ..."]) -> Float[np.ndarray, "N k"]:
        """⟨values, φ_i⟩."""
        return values.reshape(len(values), -1) @ self.weighted


class Frozen(NamedTuple):
    """A frozen kernel K: eigenvalues and eigenfunctions of T_K, and K(P, x) where points are not the training inputs.

    `cross` is (m, n) where K stands for K ⊗ 1, and None for the network's own kernel at the start.
    """

    eigenvalues: Float[np.ndarray, " k"]
    basis: Basis
    cross: np.ndarray | None
    is_initial: bool


def frozen_kernel(path: KernelPath, kernel: Any, cross: ArrayLike | None, num_modes: int | None) -> Frozen:
    """The frozen kernel from any of the forms in which `damped_deviations` takes it."""
    outputs = path.recorded.shape[2:]
    shared = False
    if kernel is None:
        modes = _initial_modes(path, outputs, num_modes)
    elif isinstance(kernel, Modes):
        modes = kernel if num_modes is None else kernel.top(num_modes)
        if not path.on_train or modes.num_samples != len(path.x) or modes.outputs != outputs:
            raise InputError("`Modes` as a frozen kernel must be those on the training inputs, where the deviation is")
    else:
        if hasattr(kernel, "ntk"):
            with jax.enable_x64(True):
                x, x_train = (jnp.asarray(points, jnp.float64) for points in (path.x, path.x_train))
                cross = None if path.on_train else np.asarray(kernel.ntk(x, x_train))
                kernel = np.asarray(kernel.ntk(x))
        gram = finite_array("kernel", kernel, ndim=(2, 4))
        shared = gram.ndim == 2 and outputs != ()
        _check_gram(gram, path, outputs)
        modes = eigenmodes(_with_weights(gram, path.weights), num_modes=num_modes)
    basis = Basis(_functions(modes, path.weights, outputs, shared), path.weights)
    eigenvalues = np.repeat(modes.eigenvalues, outputs[0]) if shared else modes.eigenvalues
    matrix = None if path.on_train or kernel is None else _checked_cross(path, cross, outputs, shared)
    return Frozen(eigenvalues, basis, matrix, kernel is None)


def _initial_modes(path: KernelPath, outputs: tuple[int, ...], num_modes: int | None) -> Modes:
    """Modes of Θ_0 on the population."""
    size = len(path.x) * (outputs[0] if outputs else 1)
    even = np.allclose(path.weights, 1 / len(path.x), rtol=1e-12)
    with jax.enable_x64(True):
        model, x = in_float64(path.model), jnp.asarray(path.x, jnp.float64)
        if size > 2 * DENSE_LIMIT and even:
            return eigenmodes(NTKOperator(model, x), num_modes=num_modes)
        return eigenmodes(_with_weights(np.asarray(empirical_ntk(model, x)), path.weights), num_modes=num_modes)


def _check_gram(gram: np.ndarray, path: KernelPath, outputs: tuple[int, ...]) -> None:
    m = len(path.x)
    if gram.shape not in ((m, m), (m, m, *outputs, *outputs)):
        where = "the training inputs" if path.on_train else "the points of the population"
        more = f" or {(m, m, *outputs, *outputs)}" if outputs else ""
        raise InputError(f"`kernel` must be a Gram on {where}, of shape {(m, m)}{more}, got {gram.shape}")


def _with_weights(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """m √w_p K(p, q) √w_q, whose eigenvalues over m are those of T_K."""
    roots = np.sqrt(len(weights) * weights)
    return gram * np.multiply.outer(roots, roots).reshape(len(weights), -1, *[1] * (gram.ndim - 2))


def _functions(modes: Modes, weights: np.ndarray, outputs: tuple[int, ...], shared: bool) -> np.ndarray:
    """φ_i on the points from the unit eigenvectors of the weighted Gram."""
    if not shared:
        values = modes.eigenvectors.reshape(len(weights), *outputs, -1)
        return values / np.sqrt(weights).reshape(-1, *[1] * (values.ndim - 1))
    (c,) = outputs
    values = modes.eigenvectors / np.sqrt(weights)[:, None]
    return np.einsum("mk,ab->makb", values, np.eye(c)).reshape(len(weights), c, -1)


def _checked_cross(path: KernelPath, cross: ArrayLike | None, outputs: tuple[int, ...], shared: bool) -> np.ndarray:
    """K(P, x) as it was given."""
    m, n = len(path.x), len(path.x_train)
    if cross is None:
        raise InputError("the points are not the training inputs: give `cross` = K(points, x) beside the Gram `kernel`")
    matrix = finite_array("cross", cross, ndim=(2, 4))
    expected = (m, n) if shared else (m, n, *outputs, *outputs)
    if matrix.shape != expected:
        raise InputError(f"`cross` must be K(points, x) of shape {expected}, got {matrix.shape}")
    return matrix


def times(block: np.ndarray, residuals: Float[np.ndarray, "N n *c"]) -> Float[np.ndarray, "N p *c"]:
    """A block of rows of a kernel times residuals on the training inputs; (p, n) stands for itself ⊗ 1."""
    if block.ndim == 2:
        return np.moveaxis(np.tensordot(residuals, block, axes=(1, 1)), -1, 1)
    return np.tensordot(residuals, block, axes=((1, 2), (1, 3)))


def frozen_on_train(path: KernelPath, frozen: Frozen) -> Float[np.ndarray, "N k"]:
    """(1/n) Σ_i ⟨K(·, x_i), φ⟩ r_s(x_i) at every node."""
    if path.on_train:  # T_K and its version on n samples are one
        return frozen.eigenvalues * frozen.basis.project(path.train_residuals)
    if frozen.cross is None:
        return initial_on_train(path, frozen.basis)
    return frozen.basis.project(times(frozen.cross, path.train_residuals)) / len(path.x_train)


def initial_on_train(path: KernelPath, basis: Basis) -> Float[np.ndarray, "N k"]:
    """(1/n) Σ_i ⟨Θ_0(·, x_i), φ⟩ r_s(x_i) at every node, from blocks of rows of Θ_0(P, x)."""
    outputs = path.train_residuals[0, 0].size
    rows = max(1, BLOCK_BYTES // (8 * len(path.x_train) * outputs**2))
    found = np.empty((len(path.nodes), len(path.x), *path.train_residuals.shape[2:]))
    with jax.enable_x64(True):
        model, x_train = in_float64(path.model), jnp.asarray(path.x_train, jnp.float64)
        for start in range(0, len(path.x), rows):
            points = jnp.asarray(path.x[start : start + rows], jnp.float64)
            block = np.asarray(empirical_ntk(model, points, x_train))
            found[:, start : start + rows] = times(block, path.train_residuals)
    return basis.project(found) / len(path.x_train)
