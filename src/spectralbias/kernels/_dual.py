"""The dual of an activation: its Gaussian expectations, in closed form where there is one."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..models import activation as find_activation
from ..models import activation_name
from ._closed_forms import ClosedForm, ErfDual, GaussianDual, GELUDual, PolynomialDual, SineDual
from ._piecewise_dual import PiecewiseDual
from ._quadrature import QuadratureDual, quadrature_dual, warn_if_rough

Dual = ClosedForm | PiecewiseDual | QuadratureDual
Polynomial = (
    np.polynomial.Polynomial
    | np.polynomial.Chebyshev
    | np.polynomial.Hermite
    | np.polynomial.HermiteE
    | np.polynomial.Laguerre
    | np.polynomial.Legendre
)

_CLOSED_FORMS: dict[str, ClosedForm | PiecewiseDual] = {
    "abs": PiecewiseDual(-1.0, 1.0),
    "cos": SineDual(cosine=True),
    "erf": ErfDual(),
    "gaussian": GaussianDual(),
    "gelu": GELUDual(),
    "identity": PolynomialDual((0.0, 1.0), 0.0),
    "leaky_relu": PiecewiseDual(0.01, 1.0),
    "relu": PiecewiseDual(0.0, 1.0),
    "sin": SineDual(cosine=False),
}


# Beyond the kinks and bends that an activation may have, and within; 0 last.
_POINTS = np.array([*(sign * np.pi * 10.0**power for sign in (1, -1) for power in np.arange(-4, 4)), 0.0])


def dual(activation: str | Callable[[Array], Array] | Polynomial) -> Dual:
    """The expectations of an activation: by a closed form where it has one, else by quadrature.

    A function that is one of the named ones is treated like the name (`jax.nn.relu`, `jnp.sin`, …), and one that is
    linear on either side of 0 like ReLU, however it is spelled. A function by quadrature whose estimated error is
    above 1e-6 gives a `QuadratureWarning`.
    """
    if isinstance(activation, Polynomial):
        return PolynomialDual.of(activation)
    function = find_activation(activation)
    name = activation_name(function)
    if name in _CLOSED_FORMS:
        return _CLOSED_FORMS[name]
    try:
        result = _remembered(function, jnp.result_type(float))
    except TypeError:  # a function with arrays, which has no hash
        result = _of_function(function, jnp.result_type(float))
    if isinstance(result, QuadratureDual):
        warn_if_rough(result)
    return result


def _of_function(function: Callable[[Array], Array], dtype: np.dtype) -> PiecewiseDual | QuadratureDual:
    """By the function's values in the default `dtype`, which says how many terms a series is given."""
    slopes = _slopes(function)
    return quadrature_dual(function) if slopes is None else PiecewiseDual(*slopes)


_remembered = functools.lru_cache(maxsize=64)(_of_function)


def _slopes(function: Callable[[Array], Array]) -> tuple[float, float] | None:
    """The slopes below and above 0 of a function that is linear on either side and 0 at 0."""
    with jax.ensure_compile_time_eval():
        points = jnp.asarray(_POINTS, float)
        values, points = np.asarray(function(points)), np.asarray(points)
    above, below = (values[:-1] / points[:-1]).reshape(2, -1)
    accuracy = 4 * np.finfo(values.dtype).eps
    if values[-1] != 0 or not all(np.allclose(side, side[0], rtol=accuracy, atol=0) for side in (above, below)):
        return None
    return float(below[0]), float(above[0])
