"""The bound of Cao et al. on how fast the largest modes are learned, evaluated along a training."""

from collections.abc import Sequence

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import finite_array, positive
from .._core.errors import InputError


class DecayBound(eqx.Module):
    """What a training leaves of the retained modes, and what the theorem allows.

    Attributes:
        steps: recorded steps T, (T,).
        left: n^(-1/2) ‖Vᵀ r^(T)‖, (T,).
        allowed: 2 (1 - ηλ)^T n^(-1/2) ‖Vᵀ y‖, the bound with ε = 0, (T,).
        eigenvalue: λ, the smallest retained one.
        learning_rate: η.
    """

    steps: np.ndarray
    left: Float[np.ndarray, " T"]
    allowed: Float[np.ndarray, " T"]
    eigenvalue: float = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)

    @property
    def epsilon(self) -> float:
        """The smallest ε with which the bound holds at every recorded step; 0 where none is needed."""
        return float(np.max(self.left - self.allowed, initial=0.0))


def decay_bound(
    residuals: ArrayLike | Sequence[Sequence[float]],
    functions: ArrayLike | Sequence[Sequence[float]],
    eigenvalues: ArrayLike | Sequence[float],
    *,
    steps: ArrayLike | Sequence[float],
    learning_rate: float,
    next_eigenvalue: float | None = None,
) -> DecayBound:
    """How much of the largest modes is left along a training, beside the bound 2 (1 - ηλ)^T n^(-1/2) ‖Vᵀ y‖ + ε.

    The columns of V are the eigenfunctions φ_1 … φ_r of the limiting kernel on the data, over √n; λ is the smallest of
    their eigenvalues. The bound is for any target. ‖Vᵀ y‖ is taken from the residual at step 0, which is -y for a
    network that starts at 0.

    Args:
        residuals: r = f - y at the recorded steps, (T, n).
        functions: φ_1 … φ_r on the training points, (n, r), with mean square 1 in the measure of the inputs.
        eigenvalues: their eigenvalues (r,), those of the operator, so that mode i decays as (1 - ηλ_i)^T.
        steps: the recorded steps (T,), increasing from 0.
        learning_rate: η.
        next_eigenvalue: the largest eigenvalue that is not retained. The theorem needs a gap: a cut through a
            multiplicity is refused.

    Returns:
        `DecayBound`, with `.left`, `.allowed` and the smallest `.epsilon`.

    Raises:
        InputError: shapes that do not fit, steps that do not begin at 0, a rate ηλ outside (0, 1), no gap.

    Cost and precision:
        T n r multiplications in float64.

    Example:
        One mode at the rate 1/2, and a rest that is never learned:

        >>> from spectralbias import dynamics
        >>> left = [[1.0, 1.0], [0.5, 0.5], [0.5, 0.5]]
        >>> bound = dynamics.decay_bound(left, [[1.0], [1.0]], [0.5], steps=[0, 1, 2], learning_rate=1.0)
        >>> bound.left, bound.allowed, bound.epsilon
        (array([1. , 0.5, 0.5]), array([2. , 1. , 0.5]), 0.0)

    References:
        Cao et al. 2021, Theorem 4.2 (arXiv v3). With their step η and scale θ, ηλ here is η m θ² λ.
    """
    r = finite_array("residuals", residuals, ndim=2)
    phi = finite_array("functions", functions, ndim=2)
    retained = finite_array("eigenvalues", eigenvalues, ndim=1)
    at = finite_array("steps", steps, ndim=1)
    positive("learning_rate", learning_rate)
    if r.shape != (len(at), len(phi)):
        raise InputError(
            f"`residuals` must have shape (steps, n) = {(len(at), len(phi))} for these `steps` and `functions`, "
            f"got {r.shape}"
        )
    if phi.shape[1] != len(retained) or not len(retained):
        raise InputError(f"`eigenvalues` must have one value for each of the {phi.shape[1]} `functions`")
    if not len(at) or at[0] != 0 or np.any(np.diff(at) <= 0):
        raise InputError("`steps` must increase from 0, where ‖Vᵀ y‖ is read off")
    smallest = float(retained.min())
    if next_eigenvalue is not None and not smallest > next_eigenvalue:
        raise InputError(
            f"the smallest of `eigenvalues`, {smallest:.6g}, must exceed `next_eigenvalue`, {next_eigenvalue:.6g}: "
            "cut between different eigenvalues"
        )
    rate = learning_rate * smallest
    if not 0 < rate < 1:
        raise InputError(f"`learning_rate` times the smallest of `eigenvalues` must lie in (0, 1), got {rate:.6g}")
    left = np.linalg.norm(r @ phi, axis=1) / len(phi)
    return DecayBound(at, left, 2 * (1 - rate) ** at * left[0], smallest, float(learning_rate))
