"""The theorems of Huang & Yau: how long, and from which width on, the truncated hierarchy follows training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float

from .._core.checks import positive, whole
from .._core.errors import InputError
from ._deviation_bounds import increasing_times, not_negative
from ._network_bounds import EXPLICIT, ORDER_OF_MAGNITUDE, Width


class HierarchyWindow(NamedTuple):
    """What `hierarchy_window` returns: orders of magnitude, constants and logarithms are left out.

    Attributes:
        time: until when the theorem holds, the smaller of the two that follow.
        from_order: m^(p/(2(p+1))), until when the kernels keep the size they have at the start.
        from_eigenvalue: √(λ m), until when Θ stays positive; infinity where no eigenvalue was given.
        kernel_sizes: of K², …, K^p: m^(1 - r/2) for even r, m^((1-r)/2) for odd r, at a random start.
        even_order: p, or p - 1 where p is odd: the theorem is about even orders.
        constants: `"order of magnitude"`.
    """

    time: float
    from_order: float
    from_eigenvalue: float
    kernel_sizes: tuple[float, ...]
    even_order: int
    constants: str = ORDER_OF_MAGNITUDE


def hierarchy_window(width: int, order: int, *, eigenvalue: float | None = None) -> HierarchyWindow:
    """Until when the hierarchy truncated at order p follows a network of this width.

    t ≤ min{√(λ m), m^(p/(2(p+1)))}, for even p. An odd order has the guarantee of the even one below it, and no more:
    the kernel that it leaves out is as large as the last one that it keeps.

    Args:
        width: m, of each hidden layer.
        order: p, 2 or more.
        eigenvalue: λ, the smallest eigenvalue of Θ/n at the start. (The paper's λ is that of Θ: n times as large.)

    Returns:
        `HierarchyWindow`, with `.time`.

    Raises:
        InputError: a width below 1, an order below 2, an eigenvalue that is not positive.

    Cost and precision:
        An order of magnitude. `hierarchy` says itself whether it left its window: by its `.status` and
        `.error_estimate`.

    Example:
        >>> from spectralbias import dynamics
        >>> found = dynamics.hierarchy_window(10_000, 4, eigenvalue=0.01)
        >>> round(found.time, 6), round(found.from_order), found.constants
        (10.0, 40, 'order of magnitude')

    References:
        Huang & Yau 2020, Theorems 2.3 and 2.6. The remark after Theorem 2.6 takes an odd p, for which it does not hold.
    """
    m, order = whole("width", width, 1), whole("order", order, 2)
    if eigenvalue is not None:
        positive("eigenvalue", eigenvalue)
    even = order - order % 2
    from_order = m ** (even / (2 * (even + 1)))
    from_eigenvalue = math.inf if eigenvalue is None else math.sqrt(eigenvalue) * math.sqrt(m)
    sizes = tuple(float(m) ** -(r // 2 - 1 if r % 2 == 0 else r // 2) for r in range(2, order + 1))
    return HierarchyWindow(min(from_order, from_eigenvalue), from_order, from_eigenvalue, sizes, even)


class HierarchyBounds(eqx.Module):
    """What `hierarchy_bounds` returns: orders of magnitude, constants and logarithms are left out.

    Attributes:
        times: t, (T,).
        predictions: n^(-1/2)‖f - f̃‖ ~ (1 + t) t^(p-1) m^(-p/2) min{t, 1/λ}, (T,).
        ntk: the largest entry of |Θ - Θ̃| ~ (1 + t) t^(p-1) m^(-p/2) (1 + (1 + t) t min{t, 1/λ}/m), (T,).
        drift: the largest entry of |Θ_t - Θ_0| ~ t (1 + t)/m, (T,).
        window: until when the theorem holds, a `HierarchyWindow`.
        constants: `"order of magnitude"`.
    """

    times: Float[np.ndarray, " T"]
    predictions: Float[np.ndarray, " T"]
    ntk: Float[np.ndarray, " T"]
    drift: Float[np.ndarray, " T"]
    window: HierarchyWindow = eqx.field(static=True)
    constants: str = eqx.field(static=True, default=ORDER_OF_MAGNITUDE)

    @property
    def within(self) -> np.ndarray:
        """Which times lie in the window, (T,)."""
        return self.times <= self.window.time


def hierarchy_bounds(
    times: ArrayLike | Sequence[float], *, width: int, order: int, eigenvalue: float
) -> HierarchyBounds:
    """How far the hierarchy truncated at order p can be from the network, and Θ from its start.

    n^(-1/2)‖f - f̃‖ ≲ (1 + t) t^(p-1) m^(-p/2) min{t, 1/λ} on the training inputs, for even p and within the window. An
    odd order has the bound of the even one below it.

    Args:
        times: t, increasing from 0, (T,).
        width: m, of each hidden layer.
        order: p, 2 or more; 2 is the frozen kernel.
        eigenvalue: λ, the smallest eigenvalue of Θ/n at the start. (The paper's λ is that of Θ: n times as large.)

    Returns:
        `HierarchyBounds`, with `.predictions`, `.ntk`, `.drift`, and `.within`.

    Raises:
        InputError: times that do not increase from 0, a width below 1, an order below 2, λ that is not positive.

    Cost and precision:
        An order of magnitude: read powers of m and t from it, and no numbers. The powers are measured in the studies
        `huang-yau-…`.

    Example:
        >>> from spectralbias import dynamics
        >>> found = dynamics.hierarchy_bounds([0.0, 1.0, 9.0], width=10_000, order=4, eigenvalue=0.01)
        >>> [f"{value:.0e}" for value in found.predictions], found.within.tolist()
        (['0e+00', '2e-08', '7e-04'], [True, True, True])

    References:
        Huang & Yau 2020, Theorem 2.6 and Corollary 2.4.
    """
    at = increasing_times(times)
    window = hierarchy_window(width, order, eigenvalue=eigenvalue)
    p, m = window.even_order, float(width)
    common = (1 + at) * at ** (p - 1) * m ** (-p / 2)
    damped = np.minimum(at, 1 / eigenvalue)
    return HierarchyBounds(
        times=at,
        predictions=common * damped,
        ntk=common * (1 + (1 + at) * at * damped / m),
        drift=at * (1 + at) / m,
        window=window,
    )


def hierarchy_width(order: int, *, time: float, eigenvalue: float, epsilon: float) -> Width:
    """The width from which on the hierarchy truncated at order p is within ε of the network until a time.

    The largest of t²/λ and t^(2(p+1)/p), which put t into the window, and of ((1 + t) t^(p-1) min{t, 1/λ}/ε)^(2/p),
    with which n^(-1/2)‖f - f̃‖ ≤ ε; for even p. An odd order needs the width of the even one below it.

    Args:
        order: p, 2 or more; with 2, the width from which on the frozen kernel is enough.
        time: t.
        eigenvalue: λ, the smallest eigenvalue of Θ/n at the start. (The paper's λ is that of Θ: n times as large.)
        epsilon: ε.

    Returns:
        `Width`, an order of magnitude: constants and logarithms are left out.

    Raises:
        InputError: an order below 2; a time, λ or ε that is not positive.

    Example:
        >>> from spectralbias import dynamics
        >>> [round(dynamics.hierarchy_width(p, time=20.0, eigenvalue=0.5, epsilon=0.01).width) for p in (2, 3, 4)]
        [84000, 84000, 5797]

    References:
        Huang & Yau 2020, Theorem 2.6.
    """
    order = whole("order", order, 2)
    for name, value in (("time", time), ("eigenvalue", eigenvalue), ("epsilon", epsilon)):
        positive(name, value)
    p, log_time = order - order % 2, math.log(time)
    log_damped = min(log_time, -math.log(eigenvalue))
    error = math.log1p(time) + (p - 1) * log_time + log_damped - math.log(epsilon)
    logs = (2 * log_time - math.log(eigenvalue), 2 * (p + 1) / p * log_time, 2 / p * error)
    return Width(_exp(max(*logs, 0.0)))


class LinearConvergence(eqx.Module):
    """What `linear_convergence` returns.

    Attributes:
        times: t, (T,).
        right: the bound on (1/n) Σ r² at these times, (T,).
        sharp: what the same argument gives with the factor 2 of the derivative of a square, (T,).
        eigenvalue: λ.
        constants: `"explicit"`.
    """

    times: Float[np.ndarray, " T"]
    right: Float[np.ndarray, " T"]
    sharp: Float[np.ndarray, " T"]
    eigenvalue: float
    constants: str = eqx.field(static=True, default=EXPLICIT)


def linear_convergence(
    times: ArrayLike | Sequence[float], *, eigenvalue: float, initial: float = 1.0
) -> LinearConvergence:
    """The bound (1/n) Σ r_t² ≤ e^(-λt/2) (1/n) Σ r_0² on training, as long as λ_min(Θ_t/n) ≥ λ/2.

    λ is the smallest eigenvalue of Θ/n at the start, so that this is the paper's e^(-λ't/(2n)) with λ' = nλ, that of Θ.
    The same argument gives e^(-λt), which is `.sharp`. The slowest mode sets it: most of the residual decays faster,
    and `frozen` says how each mode does.

    Args:
        times: t, increasing from 0, (T,).
        eigenvalue: λ, 0 or more.
        initial: (1/n) Σ r_0².

    Returns:
        `LinearConvergence`, with `.right`.

    Raises:
        InputError: times that do not increase from 0, a negative λ or `initial`.

    Cost and precision:
        It holds with these constants while λ_min(Θ_t/n) ≥ λ/2. That takes a width: `linear_convergence_width`.

    Example:
        >>> from spectralbias import dynamics
        >>> found = dynamics.linear_convergence([0.0, 2.0], eigenvalue=0.5, initial=4.0)
        >>> found.right.round(2), found.sharp.round(2)
        (array([4.  , 2.43]), array([4.  , 1.47]))

    References:
        Huang & Yau 2020, Corollary 2.5.
    """
    at = increasing_times(times)
    not_negative("eigenvalue", eigenvalue)
    not_negative("initial", initial)
    return LinearConvergence(
        at, initial * np.exp(-eigenvalue * at / 2), initial * np.exp(-eigenvalue * at), float(eigenvalue)
    )


def linear_convergence_width(num_samples: int, eigenvalue: float, epsilon: float) -> Width:
    """The width from which on training gets to a mean square residual of ε at the rate of `linear_convergence`.

    m = log(n/ε)²/λ³, which is (n/λ')³ log(n/ε)² in terms of the paper's λ' = nλ.

    Args:
        num_samples: n.
        eigenvalue: λ, the smallest eigenvalue of Θ/n at the start.
        epsilon: ε, below n.

    Returns:
        `Width`, an order of magnitude: constants and logarithms of m are left out.

    Raises:
        InputError: n below 1; a λ or ε that is not positive; an ε of n or more.

    Example:
        >>> from spectralbias import dynamics
        >>> f"{dynamics.linear_convergence_width(100, 0.01, 0.1).width:.1e}"
        '4.8e+07'

    References:
        Huang & Yau 2020, Corollary 2.5.
    """
    n = whole("num_samples", num_samples, 1)
    positive("eigenvalue", eigenvalue)
    positive("epsilon", epsilon)
    if epsilon >= n:
        raise InputError(f"`epsilon` must be below n = {n}, got {epsilon}: it is the mean square of what is left")
    return Width(_exp(2 * math.log(math.log(n) - math.log(epsilon)) - 3 * math.log(eigenvalue)))


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
