"""Optimizers by name, and what is known about their dynamics."""

import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import optax

from .._core.checks import positive
from .._core.errors import InputError, unknown
from .._core.names import OPTIMIZERS


class Optimizer(eqx.Module):
    """An Optax transformation and its place in the theory.

    Attributes:
        name: as given.
        learning_rate: η.
        transform: the Optax transformation.
        momentum: β where the update is gradient descent with heavy-ball momentum (0 for plain), None otherwise: then
            the frozen kernel has no closed-form prediction and the time axis is the step.
    """

    name: str = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    transform: optax.GradientTransformation = eqx.field(static=True)
    momentum: float | None = eqx.field(static=True)


@functools.lru_cache(maxsize=256)
def _build(name: str, learning_rate: float, options: tuple[tuple[str, Any], ...]) -> Optimizer:
    settings = dict(options)
    function = optax.sgd if name == "gd" else getattr(optax, name, None)
    if function is None:
        raise InputError(f"optimizer `{name}` is not in this version of Optax ({optax.__version__})")
    try:
        transform = function(learning_rate, **settings)
    except TypeError as error:
        raise InputError(f"options {settings} do not fit the optimizer `{name}`: {error}") from None
    heavy_ball = name in ("gd", "sgd") and not settings.get("nesterov", False)
    momentum = float(settings.get("momentum") or 0.0) if heavy_ball else None
    return Optimizer(name, learning_rate, transform, momentum)


def optimizer(name: str, learning_rate: float, options: Mapping[str, Any] | None = None) -> Optimizer:
    """The optimizer of that name; the same arguments give the same object, so nothing is compiled twice.

    Args:
        name: `"gd"` or an Optax optimizer that needs nothing but gradients.
        learning_rate: η, above 0.
        options: further keyword arguments of the Optax function, e.g. `{"momentum": 0.9}`.

    Raises:
        InputError: an unknown name, options that the optimizer does not take, a learning rate that is not positive.

    Example:
        >>> from spectralbias import dynamics
        >>> dynamics.optimizer("sgd", 0.1, {"momentum": 0.9}).momentum
        0.9
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    positive("learning_rate", learning_rate)
    return _build(name, float(learning_rate), tuple(sorted((options or {}).items())))
