"""The kernel along training in closed form, to the first order in 1/width."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, PyTree

from .._core.checks import finite_array, same_samples
from .._core.errors import InputError
from ..kernels import empirical_ntk
from ._decay import checked_times
from ._deviation_bounds import damping_factor
from ._hierarchy import warn_of_kinks
from ._hierarchy_kernels import _derivative, checked_model
from ._hierarchy_products import Products
from ._kernel_path import in_float64

# Singular values of a matrix of integrals below this share of the largest one are left out.
RANK_TOLERANCE = 1e-9


class NextToLeading(eqx.Module):
    """Θ_0 + Θ^(1)(t), what `next_to_leading_ntk` returns.

    Attributes:
        times: t, (T,); infinity is the end of training.
        initial: Θ_0, (n, n).
        correction: Θ^(1)(t), (T, n, n), of the order of 1/width.
        eigenvalues: λ of Θ_0/n, descending, (n,).
        eigenvectors: of Θ_0, columns, (n, n).
        contractions: how many times K⁴ was contracted.
        has_kinks: whether the model has kinks (ReLU): what crossing them does is missing.
    """

    times: Float[np.ndarray, " T"]
    initial: Float[np.ndarray, "n n"]
    correction: Float[np.ndarray, "T n n"]
    eigenvalues: Float[np.ndarray, " n"]
    eigenvectors: Float[np.ndarray, "n n"]
    contractions: int = eqx.field(static=True)
    has_kinks: bool = eqx.field(static=True)

    @property
    def ntk(self) -> Float[np.ndarray, "T n n"]:
        """Θ_0 + Θ^(1)(t)."""
        return self.initial + self.correction

    @property
    def in_modes(self) -> Float[np.ndarray, "T n n"]:
        """Vᵀ Θ^(1)(t) V/n: its diagonal is how much every eigenvalue moves, to this order."""
        return self.eigenvectors.T @ self.correction @ self.eigenvectors / len(self.initial)


def next_to_leading_ntk(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    times: ArrayLike | Sequence[float],
    *,
    output: int | None = None,
) -> NextToLeading:
    """Θ along gradient flow up to the first order in 1/width, in closed form: no equation is solved.

    With eigenpairs (λ_i, e_i) of Θ_0/n and Δ_i = e_i · (f_0 - y),

        Θ^(1)(t) = -(1/n) Σ_i (K³·e_i) Δ_i φ_i(t) + (1/n²) Σ_ij K⁴·(e_i, e_j) Δ_i Δ_j I_ij(t),

    φ_i = (1 - e^(-λ_i t))/λ_i and I_ij = (φ_i - (1 - e^(-(λ_i + λ_j) t))/(λ_i + λ_j))/λ_j, which ends at
    1/(λ_i (λ_i + λ_j)). It says where training takes the kernel, and how far, before any training. `hierarchy` of order
    4 solves for the residual under the moving kernel; here the residual is that of the frozen one, which makes a
    difference of the order of 1/width².

    Args:
        model: any callable pytree with smooth activations, at its initialization.
        x: training inputs (n, …).
        y: targets (n,).
        times: t, (T,), 0 or more, infinity included.
        output: which output, for a model with several. Training is then that of this output alone.

    Returns:
        `NextToLeading`, with `.ntk`, `.correction` and `.in_modes`.

    Raises:
        InputError: shapes that differ, negative times, several outputs and no choice; t = ∞ where Θ_0/n has an
            eigenvalue 0: the sums then grow for ever.

    Warns:
        KinkWarning: the model has kinks.

    Cost and precision:
        In float64. At every time one contraction of K³ and one of K⁴ for each singular value of Δ_i Δ_j I_ij, of which
        there are about ten: they fall off exponentially. No tensor is formed.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> from spectralbias import dynamics, models
        >>> x = np.eye(4)
        >>> model = models.huang_yau_network(4, 256, 1, activation="tanh", key=jax.random.key(0))
        >>> found = dynamics.next_to_leading_ntk(model, x, np.array([1.0, -1.0, 0.5, 0.0]), [0.0, 1.0, np.inf])
        >>> found.ntk.shape, found.in_modes.shape
        ((3, 4, 4), (3, 4, 4))

    References:
        Dyer & Gur-Ari 2020, Asymptotics of Wide Networks from Feynman Diagrams, the next-to-leading-order kernel; their
        loss has no 1/n.
    """
    at = checked_times(times)
    x, y = finite_array("x", x), finite_array("y", y)
    same_samples(x, y)
    n = len(x)
    with jax.enable_x64(True):
        points = jnp.asarray(x, jnp.float64)
        model = checked_model(in_float64(model), points, output)
        if y.shape != (n,):
            raise InputError(f"`y` must have shape (n,) = {(n,)}, got {y.shape}")
        kinks = warn_of_kinks(model, points)
        initial = np.asarray(empirical_ntk(model, points))
        values, vectors = np.linalg.eigh((initial + initial.T) / (2 * n))
        values, vectors = values[::-1], vectors[:, ::-1]
        if np.isinf(at).any() and values[-1] <= n * np.finfo(float).eps * values[0]:
            raise InputError(
                f"`times` includes infinity, but Θ/n has an eigenvalue of {values[-1]:.2g}: its mode is never learned, "
                "and moves the kernel for ever; leave repeated inputs out, or end at a finite time"
            )
        gaps = vectors.T @ (np.asarray(jax.vmap(model)(points)) - y)
        products = Products(model, points)
        corrections, count = [], 0
        for time in at:
            first = vectors @ (gaps * damping_factor(values, [min(time, np.finfo(float).max)])[0])
            correction = -np.asarray(_derivative(products, (jnp.asarray(first / n),)))
            left, sizes, right = np.linalg.svd(np.outer(gaps, gaps) * _second_integrals(values, time))
            for k in np.flatnonzero(sizes > RANK_TOLERANCE * max(sizes[0], np.finfo(float).tiny)):
                pair = (vectors @ left[:, k] * sizes[k] / n, vectors @ right[k] / n)
                correction = correction + np.asarray(_derivative(products, tuple(map(jnp.asarray, pair))))
                count += 1
            corrections.append(correction)
    return NextToLeading(at, initial, np.stack(corrections), values, vectors, count, kinks)


def _second_integrals(rates: Float[np.ndarray, " n"], time: float) -> Float[np.ndarray, "n n"]:
    """I_ij = ∫_{t > s > s'} e^(-λ_i s - λ_j s')."""
    one, two = rates[:, None], rates[None, :]
    if np.isinf(time):
        return 1 / (one * (one + two))
    reach = damping_factor(rates, [time])[0]
    # Σ of two rates below 1/t: the closed form would be a difference of equal numbers.
    slow = (np.abs(one) + np.abs(two)) * time < 1
    closed = (reach[:, None] - np.exp(-one * time) * reach[None, :]) / np.where(slow, 1.0, one + two)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    s, weights = time * (nodes + 1) / 2, time * weights / 2
    smooth = np.einsum("si,sj,s->ij", np.exp(-np.outer(s, rates)), damping_factor(rates, s), weights)
    return np.where(slow, smooth, closed)
