"""The truncated neural tangent hierarchy: how a network of finite width trains, from its derivatives at the start."""

import enum
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._core.checks import finite_array, positive, same_samples, whole
from .._core.errors import InputError, unknown
from ..models._kinks import find_nonlinearities
from ..models._reader import read_program
from ..spectra import Modes, eigenmodes
from ._decay import whole_steps
from ._hierarchy_copies import one_copy
from ._hierarchy_kernels import checked_model
from ._hierarchy_products import Products
from ._hierarchy_tensor import MAX_SAMPLES, integrate_tensors
from ._slow_kernel import Rate, Solved, integrate

Method = Literal["auto", "closed", "contract", "tensor"]
ORDERS = (2, 3, 4, 5, 6)
# A negative eigenvalue of Θ̃/n counts once it could make a residual grow by this factor, less one, in all the time.
GROWTH_ALLOWED = 0.01


class KinkWarning(UserWarning):
    """The model has kinks, which the hierarchy cannot see."""


class HierarchyStatus(enum.Enum):
    """How far the truncated hierarchy can be trusted."""

    valid = "the truncated kernel stayed positive"
    lost_definiteness = (
        "the truncated kernel has a negative eigenvalue: from then on the hierarchy makes a residual grow, and its "
        "prediction has no meaning"
    )
    stopped = "the integration did not get to the last time: the truncated hierarchy diverges"


class Hierarchy(eqx.Module):
    """A prediction of training by the hierarchy truncated at some order.

    Attributes:
        times: t, (T,).
        steps: of gradient descent, (T,), or None for gradient flow.
        predictions: f on the training inputs, (T, n); NaN where the integration did not come.
        residuals: f - y, (T, n).
        test_predictions: f on the test points, (T, n_test), or None.
        ntk: Θ̃ on the training inputs, (T, n, n), where it was asked for.
        error_estimate: root mean square over the training inputs of the change from the order below that has another
            power of the width, (T,): p - 2 for even p ≥ 4, p - 1 for odd p; None for p = 2.
        order: p.
        method: `"closed"`, `"contract"` or `"tensor"`.
        valid_until: the time until which the truncated kernel stayed positive.
        panel_times: where λ_min was looked at, (N,).
        smallest_eigenvalues: λ_min(Θ̃/n) there, (N,).
        has_kinks: whether the model has kinks (ReLU): what crossing them does to the kernel is missing here.
        precision: the dtype of the computation.
        status: a `HierarchyStatus`.
    """

    times: Float[np.ndarray, " T"]
    steps: np.ndarray | None
    predictions: Float[np.ndarray, "T n"]
    residuals: Float[np.ndarray, "T n"]
    test_predictions: Float[np.ndarray, "T n_test"] | None
    ntk: Float[np.ndarray, "T n n"] | None
    error_estimate: Float[np.ndarray, " T"] | None
    order: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    valid_until: float = eqx.field(static=True)
    panel_times: Float[np.ndarray, " N"]
    smallest_eigenvalues: Float[np.ndarray, " N"]
    has_kinks: bool = eqx.field(static=True)
    precision: str = eqx.field(static=True)
    status: HierarchyStatus = eqx.field(static=True)

    def modes(self, index: int = -1, *, num_modes: int | None = None) -> Modes:
        """Eigenmodes of Θ̃/n at a recorded time; needs `keep_ntk`."""
        if self.ntk is None:
            raise InputError("the kernel was not kept: use `hierarchy(…, keep_ntk=True)`")
        return eigenmodes(self.ntk[index], num_modes=num_modes)


def hierarchy(
    model: PyTree,
    x: ArrayLike,
    y: ArrayLike,
    times: ArrayLike | Sequence[float],
    *,
    order: int = 4,
    x_test: ArrayLike | None = None,
    output: int | None = None,
    learning_rate: float | None = None,
    method: Method = "auto",
    keep_ntk: bool = False,
    rtol: float = 1e-6,
    dtype: Literal["float64", "float32"] = "float64",
    progress: Callable[[float], object] | None = None,
) -> Hierarchy:
    """Predict training from the start alone, with the corrections of finite width.

    Under gradient flow ∂_t f = -(1/n) K²·r and ∂_t K^r = -(1/n) K^(r+1)·r. The hierarchy truncated at order p keeps K^p
    as it is at the start. Order 2 is the frozen kernel. Its error on f falls as 1/width, that of orders 4 and 5 as
    1/width², that of 6 as 1/width³; an odd order gains a power of time over the even one below, and none of the width.

    Args:
        model: any callable pytree with smooth activations, at its initialization.
        x: training inputs (n, …).
        y: targets (n,).
        times: t, increasing from 0, (T,); with `learning_rate` the steps of gradient descent.
        order: p, from 2 to 6.
        x_test: further points at which f is predicted.
        output: which output, for a model with several. Training is then that of this output alone, with its target y.
            Outputs that are trained together share their parameters: each moves the kernel of the others, which is not
            this hierarchy.
        learning_rate: predict gradient descent with this η in place of gradient flow, terms of second and third order
            in the step included. For orders up to 4.
        method: `"closed"` for order 2; `"contract"` for 3 and 4, in memory n²; `"tensor"` for small n and any order.
        keep_ntk: keep Θ̃ at every time.
        rtol: tolerance on the residual, relative to its start.
        dtype: of the computation; float32 up to order 3.
        progress: called with the time reached, each time it has about doubled; with tensors not at all. Raise in it to
            stop.

    Returns:
        A `Hierarchy`, with the `.error_estimate` and a `.status` that says whether it can be believed.

    Raises:
        InputError: an order outside 2 … 6, times that do not increase, shapes that differ, several outputs and no
            choice, float32 with an order of 4 or more.

    Warns:
        KinkWarning: the model has kinks.

    Cost and precision:
        `"contract"`: at `rtol` 1e-6 8 derivatives of Θ in each of about log₂(λ_max t) panels of time, and one more for
        every further digit, improved two or three times; each costs 3.5 (order 3) or 11 (order 4) times as much as Θ.
        λ_max t itself does not enter. A panel in which 8 are not enough is halved: errors stay within `rtol` unless Θ̃
        loses its definiteness, and what is wrong then grows. Gradient descent with η λ > 1, whose residuals change
        their sign at every step, is looked at step by step until that has died out.

    Example:
        >>> import jax
        >>> from spectralbias import dynamics, models, problems
        >>> problem = problems.signal(frequencies=(1.0,), num_samples=16, key=jax.random.key(0))
        >>> model = models.MLP(1, "scalar", 128, 1, activation="tanh", bias_std=1.0, key=jax.random.key(1))
        >>> found = dynamics.hierarchy(model, problem.x, problem.y, [0.0, 1.0, 4.0], order=4)
        >>> found.predictions.shape, found.status.name
        ((3, 16), 'valid')

    References:
        Huang & Yau 2020, sec. 2.2 (the truncated hierarchy) and Theorem 2.6. Terms of gradient descent: ours.
    """
    order = whole("order", order, 2)
    if order not in ORDERS:
        raise InputError(f"`order` must be between 2 and {ORDERS[-1]}, got {order}")
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    if dtype not in ("float64", "float32"):
        raise unknown("dtype", dtype, ("float64", "float32"))
    if dtype == "float32" and order >= 4:
        raise InputError(f"order {order} needs float64: its corrections are smaller than the rounding of float32")
    positive("rtol", rtol)
    at, steps = _times(times, learning_rate)
    chosen = _method(method, order, len(np.asarray(x)), learning_rate)
    x, y = finite_array("x", x), finite_array("y", y)
    test = None if x_test is None else finite_array("x_test", x_test)
    same_samples(x, y)
    if test is not None and test.shape[1:] != x.shape[1:]:
        raise InputError(f"`x` and `x_test` must hold inputs of one shape, got {x.shape[1:]} and {test.shape[1:]}")
    with jax.enable_x64(dtype == "float64"):
        kind = jnp.dtype(dtype)
        cast = jax.tree.map(lambda a: jnp.asarray(a, kind) if eqx.is_inexact_array(a) else a, model)
        points = jnp.asarray(x, kind)
        copy = None if chosen == "tensor" else one_copy(cast)
        model = checked_model(cast if copy is None else copy, points, output)
        if y.shape != x.shape[:1]:
            raise InputError(f"`y` must have shape (n,) = {x.shape[:1]}, got {y.shape}")
        kinks = warn_of_kinks(model, points) if order > 2 else has_kinks(model, points)
        test_points = None if test is None else jnp.asarray(test, kind)
        products = Products(model, points, test_points, doubled=copy is not None)

        def solve(order: int) -> Solved:
            if chosen == "tensor" and order > 2:
                return integrate_tensors(products, y, at, order, rtol=rtol, keep_theta=keep_ntk)
            f0, theta0 = (np.asarray(array, np.float64) for array in _start(products))
            rate = None if order == 2 else _rate(products, order, learning_rate)
            options = {"rtol": rtol, "keep_theta": keep_ntk, "learning_rate": learning_rate}
            return integrate(f0, theta0, y, rate, at, progress=progress if order > 2 else None, **options)

        found = solve(order)
        below = None if order == 2 else solve(order - 2 if order % 2 == 0 else order - 1)
    n = len(y)
    status, until = _status(found, at)
    predictions = found.outputs[:, :n]
    missing = len(at) - len(found.thetas)
    return Hierarchy(
        times=at,
        steps=steps,
        predictions=predictions,
        residuals=predictions - y,
        test_predictions=None if test is None else found.outputs[:, n:],
        ntk=np.stack([t[:n] for t in found.thetas] + [np.full((n, n), np.nan)] * missing) if keep_ntk else None,
        error_estimate=None if below is None else _root_mean_square(predictions - below.outputs[:, :n]),
        order=order,
        method=chosen,
        valid_until=until,
        panel_times=found.ends,
        smallest_eigenvalues=found.smallest,
        has_kinks=kinks,
        precision=dtype,
        status=status,
    )


@np.errstate(over="ignore", invalid="ignore")
def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """Over the training inputs; what diverges may overflow."""
    return np.linalg.norm(values, axis=1) / np.sqrt(values.shape[1])


def _times(times: Any, learning_rate: float | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Times, and steps where these were given."""
    at = finite_array("times", times, ndim=1)
    if len(at) < 2 or at[0] != 0 or np.any(np.diff(at) <= 0):
        raise InputError("`times` must increase from 0, and have at least two values")
    if learning_rate is None:
        return at, None
    positive("learning_rate", learning_rate)
    steps = whole_steps(at)
    return steps * learning_rate, steps.astype(int)


def _method(method: str, order: int, n: int, learning_rate: float | None) -> str:
    """The method that `"auto"` stands for, or an `InputError` where the one that was asked for cannot do it."""
    can = {
        "closed": order == 2,
        "contract": order in (3, 4),
        "tensor": order > 2 and learning_rate is None and n <= MAX_SAMPLES[order],
    }
    if method == "auto":
        method = "closed" if order == 2 else "contract" if order <= 4 else "tensor"
    if can[method]:
        return method
    if learning_rate is not None and order > 4:
        raise InputError(f"gradient descent is predicted up to order 4, got order {order}: leave `learning_rate` out")
    reason = {
        "closed": f"only order 2 has a closed form, got order {order}",
        "contract": f"contractions are for orders 3 and 4, got order {order}",
        "tensor": f"tensors are for gradient flow and at most n = {MAX_SAMPLES.get(order, 0)} inputs at order {order}, "
        f"got n = {n}",
    }[method]
    raise InputError(f"method `{method}`: {reason}; use `auto`" + (" and order 3 or 4" if order > 4 else ""))


def has_kinks(model: PyTree, x: Array) -> bool:
    """Whether the model has kinks in its inputs, as ReLU has."""
    program = read_program(model, x)
    found = find_nonlinearities(program.jaxpr, [len(program.jaxpr.in_avals) - 1])
    return bool(found.kinks or found.gates)


def warn_of_kinks(model: PyTree, x: Array) -> bool:
    """The same, with a warning to whoever called a public function."""
    kinks = has_kinks(model, x)
    if kinks:
        warnings.warn(
            "the model has kinks, as ReLU has: the hierarchy misses what crossing them does to the kernel, which "
            "is of the order of width^(-1/2); use it for smooth activations",
            KinkWarning,
            stacklevel=3,
        )
    return kinks


@eqx.filter_jit
def _start(products: Products) -> tuple[Array, Array]:
    f0 = products.outputs(products.parameters)
    return jnp.zeros_like(f0) if products.doubled else f0, products.ntk(products.parameters)


def _rate(products: Products, order: int, learning_rate: float | None) -> Rate:
    """How Θ̃ moves, and what a step of gradient descent adds to f beside the kernel's part."""
    kind = products.x.dtype
    eta = () if learning_rate is None else (jnp.asarray(learning_rate, kind),)
    function: Callable = _descent_rate if eta else _flow_rate

    def rate(r: np.ndarray, integral: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        n = len(r)
        arguments = (jnp.asarray(r / n, kind), jnp.asarray(integral / n, kind))
        moving, direct = function(products, *arguments, *eta, order >= 4)
        return np.asarray(moving, np.float64), None if direct is None else np.asarray(direct, np.float64)

    return rate


@eqx.filter_jit
def _flow_rate(products: Products, r: Array, integral: Array, fourth: bool) -> tuple[Array, Array | None]:
    """-K³·r/n, and + K⁴·(r, R)/n²; the vectors come divided by n."""
    third = products.along(products.ntk, r)
    if not fourth:
        value = third(products.parameters)
        return jnp.zeros_like(value) if products.doubled else -value, None
    value, change = jax.jvp(third, (products.parameters,), (products.field(products.parameters, integral),))
    return change / 2 if products.doubled else change - value, None


@eqx.filter_jit
def _descent_rate(
    products: Products, r: Array, integral: Array, eta: Array, fourth: bool
) -> tuple[Array, Array | None]:
    """The same for gradient descent: Taylor's formula along the straight step -η X, X = X_r/n.

    f(θ - ηX) = f - η ∂f·X + (η²/2) ∂²f[X, X] - (η³/6) ∂³f[X, X, X] + …, and Θ likewise up to the second derivative,
    each taken to the order p of the hierarchy at the θ that training has reached.
    """
    start = products.parameters
    step = products.field(start, r)

    def straight(function: Callable, direction: PyTree) -> Callable:
        return lambda p: jax.jvp(function, (p,), (direction,))[1]

    def second(p: PyTree) -> Array:
        direction = products.field(p, r)
        return straight(straight(products.outputs, direction), direction)(p)

    moving, _ = _flow_rate(products, r, integral, fourth)
    if not fourth:
        value = second(start)
        return moving, jnp.zeros_like(value) if products.doubled else eta**2 / 2 * value
    bent, change = jax.jvp(second, (start,), (products.field(start, integral),))
    cubic = straight(straight(straight(products.outputs, step), step), step)(start)
    curved = straight(straight(products.ntk, step), step)(start)
    if products.doubled:
        return moving + eta / 4 * curved, -(eta**2) / 4 * change - eta**3 / 12 * cubic
    moving = moving + eta / 2 * curved
    return moving, eta**2 / 2 * (bent - change) - eta**3 / 6 * cubic


def _status(found: Solved, times: np.ndarray) -> tuple[HierarchyStatus, float]:
    """The status, and until when it was valid."""
    lost = -found.smallest * times[-1] > GROWTH_ALLOWED
    if lost.any():
        first = int(np.argmax(lost))
        return HierarchyStatus.lost_definiteness, float(found.ends[max(0, first - 1)])
    if found.reached < times[-1] * (1 - 1e-9):
        return HierarchyStatus.stopped, float(found.reached)
    return HierarchyStatus.valid, float(times[-1])
