"""The theorems of Bowman & Montúfar on networks: right-hand sides, and the sizes that they ask for."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import positive, whole
from .._core.errors import InputError
from ._deviation_bounds import damping_factor, increasing_times, not_negative

EXPLICIT = "explicit"
ORDER_OF_MAGNITUDE = "order of magnitude"


class LowComplexityBound(eqx.Module):
    """The right-hand side of `low_complexity_bound`, and its parts.

    Attributes:
        times: t, (T,).
        decaying: e^(-λ_k t) n^(-1/2)‖y‖, (T,).
        sampling: 4κ ‖f*‖ √(10 log(2/δ))/((σ_k - σ_{k+1}) √n).
        outside: 2ε', for what the first k eigenfunctions do not hold of the target.
        epsilon: ε, for the finite width.
        num_samples: n.
        samples_needed: 128 κ² log(2/δ)/(σ_k - σ_{k+1})²; with fewer samples the theorem says nothing.
        probability: 1 - 3δ.
        constants: `"explicit"`.
    """

    times: Float[np.ndarray, " T"]
    decaying: Float[np.ndarray, " T"]
    sampling: float
    outside: float
    epsilon: float
    num_samples: int = eqx.field(static=True)
    samples_needed: float = eqx.field(static=True)
    probability: float = eqx.field(static=True)
    constants: str = eqx.field(static=True, default=EXPLICIT)

    @property
    def right(self) -> Float[np.ndarray, " T"]:
        """The whole right-hand side, (T,)."""
        return self.decaying + self.sampling + self.outside + self.epsilon

    @property
    def enough_samples(self) -> bool:
        """Whether n is what the theorem asks for."""
        return self.num_samples >= self.samples_needed


def low_complexity_bound(
    times: ArrayLike | Sequence[float],
    *,
    gram_eigenvalue: float,
    eigenvalue: float,
    next_eigenvalue: float,
    kappa: float,
    target_norm: float,
    function_norm: float,
    num_samples: int,
    outside: float = 0.0,
    epsilon: float = 0.0,
    delta: float = 0.05,
) -> LowComplexityBound:
    """What is left on the training points of a target that lies in the first k eigenfunctions, nearly.

    With probability 1 - 3δ over samples and weights, for every t up to the horizon that the width was chosen for,

        n^(-1/2)‖r_t‖ ≤ e^(-λ_k t) n^(-1/2)‖y‖ + 4κ ‖f*‖ √(10 log(2/δ))/((σ_k - σ_{k+1}) √n) + 2ε' + ε,

    if n ≥ 128 κ² log(2/δ)/(σ_k - σ_{k+1})² and the width is large enough for ε. The second term does not depend on the
    smallest eigenvalues of the Gram, which bounds for arbitrary labels do.

    Args:
        times: t, increasing from 0, (T,).
        gram_eigenvalue: λ_k of the infinite-width Gram over n, on the training points.
        eigenvalue: σ_k of the integral operator, the last one that is kept; k counts multiplicities.
        next_eigenvalue: σ_{k+1}, which must be smaller.
        kappa: κ = sup_x K(x, x)^(1/2) at infinite width.
        target_norm: n^(-1/2)‖y‖.
        function_norm: ‖f*‖ in L² of the inputs' measure.
        num_samples: n.
        outside: ε' = sup |(I - P_k) f*|.
        epsilon: ε of the width; the order of magnitude is m ~ dim T² ‖f*‖² (1 + T‖f*‖)²/ε².
        delta: δ, in (0, 1/3).

    Returns:
        `LowComplexityBound`, with `.right` and `.samples_needed`.

    Raises:
        InputError: no gap, negative or non-finite values, δ outside of (0, 1/3).

    Cost and precision:
        A formula. Its constants are as we recall them, and were not compared with the text of the paper. The study
        `bowman-low-complexity` evaluates it along trainings, where it is far from tight.

    Example:
        >>> from spectralbias import dynamics
        >>> found = dynamics.low_complexity_bound(
        ...     [0.0, 10.0], gram_eigenvalue=1.5, eigenvalue=1.5, next_eigenvalue=0.2, kappa=1.5, target_norm=1.0,
        ...     function_norm=1.0, num_samples=10_000)
        >>> found.right.round(3), round(found.samples_needed), found.enough_samples
        (array([1.28, 0.28]), 629, True)

    References:
        Bowman & Montúfar 2022, the theorem on over-parameterized networks and targets of low complexity; Su & Yang
        2019, for the first layer alone.
    """
    at = increasing_times(times)
    for name, value in {
        "gram_eigenvalue": gram_eigenvalue, "next_eigenvalue": next_eigenvalue, "target_norm": target_norm,
        "function_norm": function_norm, "outside": outside, "epsilon": epsilon,
    }.items():  # fmt: skip
        not_negative(name, value)
    positive("eigenvalue", eigenvalue)
    positive("kappa", kappa)
    n = whole("num_samples", num_samples, 1)
    gap, kappa = float(eigenvalue) - float(next_eigenvalue), float(kappa)
    if not gap > 0:
        raise InputError(
            f"`eigenvalue`, {eigenvalue:.6g}, must exceed `next_eigenvalue`, {next_eigenvalue:.6g}: "
            "cut between different eigenvalues"
        )
    if not 0 < delta < 1 / 3:
        raise InputError(f"`delta` must lie between 0 and 1/3, got {delta}: the bound has probability 1 - 3δ")
    confidence = math.log(2) - math.log(delta)
    return LowComplexityBound(
        times=at,
        decaying=np.exp(-float(gram_eigenvalue) * at) * float(target_norm),
        sampling=4 * kappa * float(function_norm) * math.sqrt(10 * confidence / n) / gap,
        outside=2 * float(outside),
        epsilon=float(epsilon),
        num_samples=n,
        samples_needed=confidence * 128 * (kappa / gap) * (kappa / gap),
        probability=1 - 3 * delta,
    )


class UnderparameterizedBound(NamedTuple):
    """What the under-parameterized theorem allows, up to constants and logarithms.

    Attributes:
        right: the bound at the given times, (T,).
        width: ‖f*‖_∞ (1 + T‖f*‖_∞) √(dim/m), what a finite width adds to the source.
        sampling: ‖f*‖ (1 + T‖f*‖) √(p/n), what finitely many samples add.
        horizon: T.
        constants: `"order of magnitude"`.
    """

    right: Float[np.ndarray, " T"]
    width: float
    sampling: float
    horizon: float
    constants: str = ORDER_OF_MAGNITUDE


def underparameterized_bound(
    times: ArrayLike | Sequence[float],
    *,
    eigenvalue: float = 0.0,
    dim: int,
    width: int,
    num_samples: int,
    num_parameters: int | None = None,
    function_norm: float = 1.0,
    sup_norm: float | None = None,
) -> UnderparameterizedBound:
    """How far the first k modes are from the frozen kernel's off the training set, if n is far above the parameters.

    ‖P_k (r_t - e^(-T_K t) r_0)‖ ≤ (1 - e^(-σ_k t))/σ_k · O(‖f*‖_∞ (1 + T‖f*‖_∞) √(dim/m) + ‖f*‖ (1 + T‖f*‖) √(p/n))

    for all t ≤ T, the last of `times`, in L² of the inputs' measure, with high probability. K is the kernel at infinite
    width. With `eigenvalue` 0 this is the bound t · O(…) on the whole deviation.

    Args:
        times: t, increasing from 0, (T,).
        eigenvalue: σ_k, the smallest one that P_k keeps.
        dim: dim of the inputs.
        width: m.
        num_samples: n.
        num_parameters: p; by default m dim + 2m + 1, that of `models.bowman_network` without the second copy.
        function_norm: ‖f*‖ in L².
        sup_norm: ‖f*‖_∞; by default `function_norm`, below which it cannot lie.

    Returns:
        `UnderparameterizedBound`, with `.right` and the two parts of its source.

    Raises:
        InputError: sizes below 1, negative or non-finite values, a `sup_norm` below `function_norm`.

    Cost and precision:
        An order of magnitude: constants and logarithms are left out. The powers are as we recall them, and were not
        compared with the text of the paper. Those of n and m were checked: measured deviations fall as n^(-1/2) and as
        m^(-1/2), in the studies `bowman-samples` and `bowman-width`.

    Example:
        >>> from spectralbias import dynamics
        >>> sizes = {"dim": 3, "width": 10_000, "num_samples": 10**8}
        >>> found = dynamics.underparameterized_bound([0.0, 2.0], eigenvalue=1.0, **sizes)
        >>> found.right.round(3), found.constants
        (array([0.   , 0.103]), 'order of magnitude')

    References:
        Bowman & Montúfar 2022, the under-parameterized theorem.
    """
    at = increasing_times(times)
    dim, m, n = whole("dim", dim, 1), whole("width", width, 1), whole("num_samples", num_samples, 1)
    p = _parameters(dim, m) if num_parameters is None else whole("num_parameters", num_parameters, 1)
    not_negative("eigenvalue", eigenvalue)
    not_negative("function_norm", function_norm)
    largest = function_norm if sup_norm is None else sup_norm
    not_negative("sup_norm", largest)
    if largest < function_norm:
        raise InputError(f"`sup_norm`, {largest:.6g}, cannot be below `function_norm`, {function_norm:.6g}")
    horizon = float(at[-1])
    by_width = largest * (1 + horizon * largest) * math.sqrt(dim / m)
    by_samples = function_norm * (1 + horizon * function_norm) * math.sqrt(p / n)
    factor = damping_factor([eigenvalue], at)[:, 0]
    return UnderparameterizedBound(factor * (by_width + by_samples), by_width, by_samples, horizon)


class Sizes(NamedTuple):
    """What `underparameterized_sizes` asks for, as orders of magnitude.

    Attributes:
        width: m = dim T²/ε².
        num_parameters: p = m dim + 2m + 1.
        num_samples: n = p T²/ε².
        constants: `"order of magnitude"`.
    """

    width: float
    num_parameters: float
    num_samples: float
    constants: str = ORDER_OF_MAGNITUDE


def underparameterized_sizes(dim: int, horizon: float, epsilon: float) -> Sizes:
    """The width and the samples with which the deviation is ε (1 - e^(-σ_k t))/σ_k in every mode, up to a time T.

    m = dim T²/ε² and n = p T²/ε², for a target of order 1. So n is far above the number of parameters p.

    Args:
        dim: dim of the inputs.
        horizon: T, such as a `stopping_time`.
        epsilon: ε.

    Returns:
        `Sizes`, as orders of magnitude: constants and logarithms are left out.

    Raises:
        InputError: a `dim` below 1, a horizon or an ε that is not positive.

    Example:
        >>> from spectralbias import dynamics
        >>> found = dynamics.underparameterized_sizes(3, horizon=10.0, epsilon=0.1)
        >>> round(found.width), f"{found.num_samples:.1e}"
        (30000, '1.5e+09')

    References:
        Bowman & Montúfar 2022, the corollary of the under-parameterized theorem; the powers are as we recall them.
    """
    dim = whole("dim", dim, 1)
    positive("horizon", horizon)
    positive("epsilon", epsilon)
    factor = (horizon / epsilon) * (horizon / epsilon)
    width = dim * factor
    parameters = _parameters(dim, width)
    return Sizes(width, parameters, parameters * factor)


class Width(NamedTuple):
    """What `overparameterized_width` asks for.

    Attributes:
        width: m = dim n⁵/(ε² λ_n(Θ)⁴); infinity beyond float64.
        constants: `"order of magnitude"`.
    """

    width: float
    constants: str = ORDER_OF_MAGNITUDE


def overparameterized_width(dim: int, num_samples: int, smallest_eigenvalue: float, epsilon: float) -> Width:
    """The width with which training follows the frozen kernel on the training points for all time, up to ε.

    r_t = e^(-Θt/n) r_0 + δ(t) with n^(-1/2)‖δ(t)‖ ≤ ε for all t, for m of order dim n⁵/(ε² λ_n(Θ)⁴), Θ the Gram of the
    kernel at infinite width, undivided. In terms of λ = λ_n(Θ)/n, an eigenvalue of Θ/n as everywhere in this library,
    that is dim n/(ε² λ⁴). It is what a proof needs, and far from what training needs: see `bowman-overparameterized`.

    Args:
        dim: dim of the inputs.
        num_samples: n.
        smallest_eigenvalue: λ, the smallest eigenvalue of Θ/n.
        epsilon: ε.

    Returns:
        `Width`, an order of magnitude: constants and logarithms are left out.

    Raises:
        InputError: sizes below 1, a λ or an ε that is not positive.

    Cost and precision:
        The powers are as we recall them, and were not compared with the text of the paper. That of ε was checked: in
        the study `bowman-overparameterized` the deviation falls as m^(-1/2).

    Example:
        >>> from spectralbias import dynamics
        >>> f"{dynamics.overparameterized_width(3, 10, 0.01, 0.1).width:.0e}"
        '3e+11'

    References:
        Bowman & Montúfar 2022, the theorem on over-parameterized networks for all time; Arora et al. 2019, for the
        first layer of a ReLU network.
    """
    dim, n = whole("dim", dim, 1), whole("num_samples", num_samples, 1)
    positive("smallest_eigenvalue", smallest_eigenvalue)
    positive("epsilon", epsilon)
    log_width = math.log(dim) + math.log(n) - 4 * math.log(smallest_eigenvalue) - 2 * math.log(epsilon)
    return Width(math.exp(log_width) if log_width < 709 else math.inf)


def _parameters(dim: int, width: float) -> float:
    """p = m dim + 2m + 1 of f(x) = (1/√m) Σ a_j σ(w_j · x + b_j) + b_0."""
    return width * (dim + 2) + 1
