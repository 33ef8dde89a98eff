"""Which of PyTorch's functions are piecewise linear, and where their breakpoints are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Slopes = tuple[float | None, ...]

# fmt: off
# Functions that bend, or into which a function mode does not look.
BENDS = {
    "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "softplus", "mish", "logsigmoid", "softsign",
    "tanhshrink", "hardswish", "glu", "sin", "cos", "tan", "sinh", "cosh", "atan", "exp", "exp2", "expm1", "log",
    "log1p", "sqrt", "rsqrt", "reciprocal", "pow", "square", "erf", "softmax", "log_softmax", "softmin", "logsumexp",
    "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm", "normalize", "norm", "prod",
    "scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu", "floor",
    "ceil", "round", "remainder", "fmod",
}
# Functions that compare values with each other, where they have no rule for their arguments.
GATES = {
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "amax", "amin", "max", "min", "maximum", "minimum", "fmax", "fmin", "sort", "topk", "kthvalue", "median", "cummax",
    "cummin", "argmax", "argmin", "clamp", "clamp_min", "clamp_max", "gt", "ge", "lt", "le",
}
# Linear where one operand only depends on the input.
PRODUCTS = {"mul", "matmul", "mm", "bmm", "mv", "dot", "einsum", "linear", "bilinear", "div"}

_SAME = {
    "__gt__": "gt", "__ge__": "ge", "__lt__": "lt", "__le__": "le", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "__abs__": "abs", "absolute": "abs", "clip": "clamp", "sgn": "sign",
    "__mul__": "mul", "__rmul__": "mul", "multiply": "mul", "__matmul__": "matmul", "__truediv__": "div",
    "divide": "div", "true_divide": "div", "__pow__": "pow", "_threshold": "threshold",
}
# fmt: on

COMPARISONS = {"gt", "ge", "lt", "le"}
_LARGER, _SMALLER = {"maximum", "fmax", "max"}, {"minimum", "fmin", "min"}


def _between(low: float | None, high: float | None) -> tuple[tuple[float, ...], Slopes]:
    """Clipped values."""
    points = tuple(point for point in (low, high) if point is not None)
    return points, (*(0.0 for _ in range(low is not None)), 1.0, *(0.0 for _ in range(high is not None)))


# name: arguments with their defaults, and breakpoints and slopes from them
_RULES: dict[str, tuple[dict[str, Any], Callable[..., tuple[tuple[float, ...], Slopes]]]] = {
    "relu": ({}, lambda: ((0.0,), (0.0, 1.0))),
    "leaky_relu": ({"negative_slope": 0.01}, lambda slope: ((0.0,), (slope, 1.0))),
    "rrelu": ({"lower": 1 / 8, "upper": 1 / 3}, lambda lower, upper: ((0.0,), ((lower + upper) / 2, 1.0))),
    "prelu": ({}, lambda: ((0.0,), (None, 1.0))),
    "relu6": ({}, lambda: ((0.0, 6.0), (0.0, 1.0, 0.0))),
    "hardtanh": ({"min_val": -1.0, "max_val": 1.0}, _between),
    "hardsigmoid": ({}, lambda: ((-3.0, 3.0), (0.0, 1 / 6, 0.0))),
    "threshold": ({"threshold": None}, lambda point: ((point,), (0.0, 1.0))),
    "hardshrink": ({"lambd": 0.5}, lambda point: ((-point, point), (1.0, 0.0, 1.0))),
    "softshrink": ({"lambd": 0.5}, lambda point: ((-point, point), (1.0, 0.0, 1.0))),
    "abs": ({}, lambda: ((0.0,), (-1.0, 1.0))),
    "sign": ({}, lambda: ((0.0,), (0.0, 0.0))),
    "clamp": ({"min": None, "max": None}, _between),
    "clamp_min": ({"min": None}, lambda low: _between(low, None)),
    "clamp_max": ({"max": None}, lambda high: _between(None, high)),
    **{name: ({"other": None}, lambda low: _between(low, None)) for name in _LARGER},
    **{name: ({"other": None}, lambda high: _between(None, high)) for name in _SMALLER},
    **{name: ({"other": None}, lambda point: ((point,), (None, None))) for name in COMPARISONS},
}


class Unit(NamedTuple):
    """A call that is an elementwise piecewise-linear function of its argument `operand`, a position or a name."""

    operand: int | str
    breakpoints: tuple[float, ...]
    slopes: Slopes


def canonical_name(function: Callable) -> str:
    """The name of a function, whether in place or not, a method, a function or an operator."""
    name = getattr(function, "__name__", "")
    name = _SAME.get(name, name)
    return name[:-1] if name.endswith("_") and not name.startswith("__") else name


def may_be_unit(name: str) -> bool:
    """Whether a function of this name has a rule."""
    return name in _RULES


def find_unit(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], moves: Callable[[Any], bool]) -> Unit | None:
    """The breakpoints of a call, or None where it is no function of one variable with breakpoints that are numbers.

    Args:
        name: its canonical name.
        args: its arguments.
        kwargs: its named arguments.
        moves: whether a value depends on the input of the module.
    """
    if name not in _RULES:
        return None
    defaults, rule = _RULES[name]
    places: dict[str, int | str] = dict(zip(("input", *defaults), range(len(args)), strict=False))
    places |= {key: key for key in kwargs}

    def at(place: int | str) -> Any:
        return args[place] if isinstance(place, int) else kwargs[place]

    operand = places.get("input", "self")
    if name in _LARGER | _SMALLER:
        if "other" not in places or isinstance(at(places["other"]), int):  # a reduction: the number is an axis
            return None
        if moves(at(places["other"])):
            operand, places["other"] = places["other"], operand
    values = [at(places[key]) if key in places else default for key, default in defaults.items()]
    if any(map(moves, values)) or not moves(at(operand)) or not at(operand).dtype.is_floating_point:
        return None
    numbers = [None if value is None else _number(value) for value in values]
    if any(number is None and value is not None for number, value in zip(numbers, values, strict=True)):
        return None
    return Unit(operand, *rule(*numbers))


def _number(value: Any) -> float | None:
    """A number, also where it is a tensor that is one number everywhere."""
    if isinstance(value, int | float):
        return float(value)
    first = value.flatten()[:1]
    return float(first) if first.numel() and bool((value == first).all()) else None
