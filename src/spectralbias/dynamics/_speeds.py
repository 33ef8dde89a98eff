"""How fast each band is being learned at a time: as measured, and as a kernel says."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array
from .._core.errors import InputError
from ..spectra import Bands


def measured_speeds(
    steps: ArrayLike | Sequence[float], energies: ArrayLike | Sequence
) -> Float[np.ndarray, "... bands"]:
    """The rate at which the residual's amplitude in each band falls, between recorded steps.

    v_b = -Δ log √E_b / Δ step: a band that decays as e^(-v step) has this v. It is negative where a band grows.

    Args:
        steps: recorded steps (T,), increasing.
        energies: E_b = mean square of the residual in each band, (T, bands).

    Returns:
        (T - 1, bands), per step; NaN where a band has no energy.

    Raises:
        InputError: steps that do not increase, or other numbers of steps and energies.

    Example:
        >>> import numpy as np
        >>> from spectralbias import dynamics
        >>> steps = np.array([0, 10, 30])
        >>> dynamics.measured_speeds(steps, np.exp(-2 * 0.05 * steps[:, None])).round(6)
        array([[0.05],
               [0.05]])
    """
    at, e = finite_array("steps", steps, ndim=1), np.asarray(energies, np.float64)
    if e.ndim != 2 or len(e) != len(at) or len(at) < 2 or np.any(np.diff(at) <= 0):
        raise InputError(
            f"`steps` must increase, and `energies` have one row for each: got {at.shape} steps and {e.shape} energies"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(e > 0, np.log(np.where(e > 0, e, 1.0)) / 2, np.nan)
    return -np.diff(logs, axis=0) / np.diff(at)[:, None]


def kernel_speeds(kernel: Any, residual: ArrayLike, bands: Bands) -> Float[np.ndarray, " bands"]:
    """The rate at which a kernel makes the residual's amplitude in each band fall, now.

    With ṙ = -Θ r/n and ⟨·, ·⟩_b the inner product of the parts of functions in band b,

        v_b = -d/dt log ‖r‖_b = ⟨r, Θ r/n⟩_b / ⟨r, r⟩_b.

    It is an eigenvalue of Θ/n where the band is one eigenfunction, and counts what other bands bring in where Θ mixes
    them. It is the speed of gradient flow; gradient descent with a learning rate η goes at about η v_b per step.

    Args:
        kernel: Θ on the training inputs: a Gram (n, n), which acts on every output alike, or an operator with `.mv`
            such as `kernels.NTKOperator`.
        residual: r, (n,) or (n, c).
        bands: what `spectra.bands` returns.

    Returns:
        (bands,), per unit of time; NaN where a band has no energy.

    Raises:
        InputError: a kernel of another size than the residual.

    Cost and precision:
        One product Θ r, and three energies. In float64, beyond the kernel.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, kernels, models, problems, spectra
        >>> problem = problems.signal(frequencies=(1.0, 3.0), num_samples=32, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 64, 1, bias_std=1.0, antisymmetric=True, key=jax.random.key(1))
        >>> gram = kernels.empirical_ntk(model, problem.x)
        >>> dynamics.kernel_speeds(gram, -problem.y, spectra.bands(problem)).shape
        (2,)
    """
    r = finite_array("residual", residual, ndim=(1, 2))
    if hasattr(kernel, "mv"):
        action = np.asarray(kernel.mv(r), np.float64)
    else:
        gram = finite_array("kernel", kernel, ndim=2)
        if gram.shape != (len(r), len(r)):
            raise InputError(f"`kernel` must be ({len(r)}, {len(r)}) for the {len(r)} residuals, got {gram.shape}")
        action = gram @ r
    action = action / len(r)
    size = np.linalg.norm(action)
    if size == 0:
        return np.where(bands.energy(r) > 0, 0.0, np.nan)
    # Energies are squares of seminorms: their inner product by polarization, of two functions of one size.
    scale = np.linalg.norm(r) / size
    cross = (bands.energy(r + scale * action) - bands.energy(r - scale * action)) / (4 * scale)
    own = bands.energy(r)
    return np.divide(cross, own, out=np.full(own.shape, np.nan), where=own > 0)
