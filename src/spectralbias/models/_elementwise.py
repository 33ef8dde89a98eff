"""What the elementwise equations of a program do to piecewise-linear functions of one variable."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from ._piecewise import (
    UNKNOWN,
    Bend,
    Piecewise,
    add,
    apply,
    compare,
    constant,
    difference,
    div,
    maximum,
    minimum,
    mul,
    scale,
    select,
    sign,
)

# fmt: off
# Elementwise equations that bend; others have a rule of their own.
_BENDING = {
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "asinh", "acosh", "atanh", "sqrt", "rsqrt", "cbrt", "erf", "erfc", "erf_inv", "lgamma", "digamma",
    "square", "pow", "atan2", "rem", "floor", "ceil", "round", "nextafter", "igamma", "igammac", "bessel_i1e",
}
# fmt: on

_COMPARISONS: dict[str, Callable[[float], bool]] = {
    "eq": lambda s: s == 0,
    "ne": lambda s: s != 0,
    "lt": lambda s: s < 0,
    "le": lambda s: s <= 0,
    "gt": lambda s: s > 0,
    "ge": lambda s: s >= 0,
}


def elementwise(equation: JaxprEqn, bend: Bend, functions: Sequence[Piecewise]) -> Piecewise | None:
    """An elementwise equation applied to functions of one variable.

    Args:
        equation: any equation of a program.
        bend: names the equation where it bends a line.
        functions: its operands.

    Returns:
        Its output; None where the equation is not elementwise or its numbers are complex.

    Raises:
        UnknownKinkError: the output has breakpoints that depend on parameters.
    """
    name = equation.primitive.name
    variables: list[Any] = [*equation.invars, *equation.outvars]
    dtypes = [v.aval.dtype for v in variables]
    if any(jnp.issubdtype(dtype, jnp.complexfloating) for dtype in dtypes):
        return None
    boolean, real = jnp.issubdtype(dtypes[0], jnp.bool_), jnp.issubdtype(dtypes[0], jnp.floating)
    match name, *functions:
        case comparison, f, g if comparison in _COMPARISONS:
            return compare(f, g, _COMPARISONS[comparison])
        case "add" | "add_any", f, g:
            return add(f, g)
        case "sub", f, g:
            return difference(f, g)
        case "mul", f, g:
            return mul(f, g, bend)
        case "div", f, g if real:
            return div(f, g, bend)
        case "neg", f:
            return scale(f, -1.0)
        case "abs", f:
            return mul(sign(f), f, bend)
        case "sign", f:
            return sign(f)
        case "max", f, g:
            return maximum(f, g)
        case "min", f, g:
            return minimum(f, g)
        case "clamp", low, f, high:
            return minimum(maximum(f, low), high)
        case "select_n", which, *cases:
            return select(which, *cases)
        case "convert_element_type", f:
            return _converted(equation, bend, f)
        case "copy" | "copy_p" | "stop_gradient" | "reduce_precision", f:
            return f
        case "is_finite", _:
            return constant(1.0)
        case "not", f if boolean:
            return difference(constant(1.0), f)
        case "and", f, g if boolean:
            return minimum(f, g)
        case "or", f, g if boolean:
            return maximum(f, g)
        case "xor", f, g if boolean:
            return compare(f, g, _COMPARISONS["ne"])
        case "integer_pow", f:
            y = equation.params["y"]
            return f if y == 1 else apply(bend, lambda c: _values("power")(c, y), f)
    if name in _BENDING:
        return apply(bend, _values(name), *functions)
    return None


def _converted(equation: JaxprEqn, bend: Bend, f: Piecewise) -> Piecewise:
    """A conversion: from booleans it is linear, to booleans it is z ≠ 0, to integers it cuts off."""
    variable: Any = equation.invars[0]
    before, after = variable.aval.dtype, equation.params["new_dtype"]
    if jnp.issubdtype(after, jnp.bool_):
        return compare(f, constant(0.0), lambda s: s != 0)
    if jnp.issubdtype(before, jnp.floating) and jnp.issubdtype(after, jnp.integer):
        return apply(bend, lambda c: float(math.trunc(c)) if math.isfinite(c) else UNKNOWN, f)
    return f


def _values(primitive: str) -> Callable[..., float]:
    """What an equation does to numbers, where NumPy has a function of that name."""
    function = getattr(np, primitive, None)

    def values(*numbers):
        with np.errstate(all="ignore"):
            return float(function(*numbers)) if isinstance(function, np.ufunc) else UNKNOWN

    return values
