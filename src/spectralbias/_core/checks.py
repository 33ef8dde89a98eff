"""Checks of arguments that are known before anything is traced."""

import operator
from typing import Any

import numpy as np

from .errors import InputError


def real_array(name: str, value: Any) -> np.ndarray:
    """`value` as an array of its own dtype on the host, or an `InputError` for text, complex numbers or ragged rows."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"`{name}` must be an array of numbers, got rows of different lengths") from None
    if array.dtype.kind not in "biuf" and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"`{name}` must be an array of real numbers, got dtype {array.dtype}")
    return array


def finite_array(name: str, value: Any, *, ndim: int | tuple[int, ...] | None = None) -> np.ndarray:
    """`value` as a float64 array on the host, or an `InputError` for text, NaN, infinity or the wrong rank."""
    array = real_array(name, value).astype(np.float64)
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and array.ndim not in allowed:
        ranks = " or ".join(map(str, allowed))
        raise InputError(f"`{name}` must be an array of rank {ranks}, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(array))[0]
        raise InputError(
            f"`{name}` has a value that is not finite ({array[tuple(where)]} at index "
            f"{tuple(int(i) for i in where)}): remove or impute it"
        )
    return array


def positive(name: str, value: float) -> None:
    """Refuse zero, negative and non-finite numbers."""
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"`{name}` must be a positive number, got {value}")


def same_samples(x: np.ndarray, y: np.ndarray, names: tuple[str, str] = ("x", "y")) -> None:
    """Refuse inputs and targets that do not pair up."""
    if x.shape[0] != y.shape[0]:
        raise InputError(f"`{names[0]}` and `{names[1]}` must have as many rows, got {x.shape[0]} and {y.shape[0]}")


def samples_and_outputs(
    residuals: Any, num_samples: int, outputs: tuple[int, ...], name: str = "residuals"
) -> np.ndarray:
    """Residuals (…, n) of a scalar or (…, n, c) of a vector model as a float64 array (…, n, c), c = 1 for a scalar."""
    r = np.asarray(residuals, dtype=np.float64)
    expected = (num_samples, *outputs)
    if r.ndim < len(expected) or r.shape[r.ndim - len(expected) :] != expected:
        raise InputError(f"`{name}` must end in shape {expected}, got {r.shape}")
    return r if outputs else r[..., None]


def whole(name: str, value: Any, least: int) -> int:
    """`value` as an int that is at least `least`; 3.0 and True are not whole numbers."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_) or number < least:
        raise InputError(f"`{name}` must be whole and at least {least}, got {value!r}")
    return number
