"""The units of a PyTorch module: a function mode sees every activation function, whichever layer calls it.

The module is evaluated once on x[0], to find out which calls depend on the input and how many units are before each.
After that the same calls, by number, give the values of all samples.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core.errors import InputError
from ..models._torch import TorchModel, one_output, refuse_training, to_torch
from ._torch_functions import BENDS, COMPARISONS, GATES, PRODUCTS, canonical_name, find_unit, may_be_unit
from ._units import Group, Units, no_units

if TYPE_CHECKING:
    import torch


class _Call(NamedTuple):
    """A call that is a unit: its number among the calls that may be one, and where z is among its arguments."""

    number: int
    operand: int | str
    depth: int
    group: Group
    dtype: "torch.dtype"


class _Known(NamedTuple):
    """What is known of a tensor that depends on the input: it is kept, so that its `id` stays its own."""

    tensor: "torch.Tensor"
    depth: int
    flat: bool  # piecewise constant
    serial: int


@functools.cache
def _mode() -> type:
    """A function, because PyTorch is imported when it is used."""
    from torch.overrides import TorchFunctionMode

    class Interceptor(TorchFunctionMode):
        def __init__(self, visit: Callable):
            super().__init__()
            self.visit = visit

        def __torch_function__(self, func, types, args=(), kwargs=None):
            return self.visit(func, args, kwargs or {})

    return Interceptor


def _intercept(visit: Callable) -> AbstractContextManager:
    """A context in which `visit(function, args, kwargs)` takes the place of every function of PyTorch."""
    return _mode()(visit)


def _tensors(values: Any) -> Iterator["torch.Tensor"]:
    """The tensors among arguments or results."""
    import torch

    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


class _Recorder:
    """Follows the input of a module through all functions, on one sample."""

    def __init__(self, x: "torch.Tensor"):
        self.known = {id(x): _Known(x, 0, False, 0)}
        self.calls: dict[int, _Call] = {}  # by the serial number of z
        self.bends: set[tuple[str, int]] = set()
        self.gates: set[str] = set()
        self.candidates = 0
        self.serial = 0

    def moves(self, value: Any) -> bool:
        """Whether a value depends on the input."""
        return id(value) in self.known

    def visit(self, function: Callable, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """One function of PyTorch."""
        name = canonical_name(function)
        number = self.candidates
        self.candidates += may_be_unit(name)
        moving = [self.known[id(tensor)] for tensor in _tensors([*args, *kwargs.values()]) if self.moves(tensor)]
        if not moving:
            return function(*args, **kwargs)
        depth, flat = max(one.depth for one in moving), all(one.flat for one in moving)
        unit = None if flat else find_unit(name, args, kwargs, self.moves)
        if unit is not None:
            self.add(number, self.known[id(_argument(unit.operand, args, kwargs))], unit)
            depth, flat = depth + 1, name in COMPARISONS
        elif not flat and (name in BENDS or (name in PRODUCTS and sum(not one.flat for one in moving) > 1)):
            self.bends.add((name, depth))
        elif not flat and name in GATES:
            self.gates.add(name)
        result = function(*args, **kwargs)
        for tensor in _tensors(result):
            self.serial += 1
            self.known[id(tensor)] = _Known(tensor, depth, flat or not tensor.dtype.is_floating_point, self.serial)
        return result

    def add(self, number: int, z: _Known, unit: Any) -> None:
        """A unit, or another function of what a unit reads."""
        call = self.calls.get(z.serial)
        group = Group(z.tensor.numel(), unit.breakpoints, unit.slopes)
        if call is None:
            self.calls[z.serial] = _Call(number, unit.operand, z.depth, group, z.tensor.dtype)
        elif call.group != group:
            points = tuple(sorted({*call.group.breakpoints, *unit.breakpoints}))
            unknown = group._replace(breakpoints=points, slopes=(None,) * (len(points) + 1))
            self.calls[z.serial] = call._replace(group=unknown)


def _argument(operand: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[operand] if isinstance(operand, int) else kwargs[operand]


@contextmanager
def _as_written() -> Iterator[None]:
    """No gradients, and no fused layers, in which the activation function is not seen."""
    import torch

    mha = torch.backends.mha
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            yield
    finally:
        mha.set_fastpath_enabled(fused)


def _read(model: TorchModel, x: "torch.Tensor") -> tuple[list[_Call], Units]:
    """The calls that are units, by depth, and all that is not linear; from one evaluation at x[0]."""
    import torch

    recorder = _Recorder(x := x[:1])
    state = torch.cuda.get_rng_state(x.device) if x.is_cuda else torch.get_rng_state()
    try:
        with _intercept(recorder.visit):
            f = model.module(x)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        shape = tuple(x.shape)
        raise InputError(f"the module does not take a batch of shape {shape} and {x.dtype}: {reason}") from error
    one_output(f)
    if not torch.equal(state, torch.cuda.get_rng_state(x.device) if x.is_cuda else torch.get_rng_state()):
        raise InputError("the module draws random numbers, e.g. for dropout: call `module.eval()` first")
    calls = sorted(recorder.calls.values(), key=lambda call: (call.depth, call.number))
    if not calls:
        raise no_units([name for name, _ in recorder.bends], list(recorder.gates))
    depths = sorted({call.depth for call in calls})
    layers = tuple(tuple(call.group for call in calls if call.depth == depth) for depth in depths)
    encoding, bends = ({name for name, depth in recorder.bends if (depth > 0) is later} for later in (False, True))
    return calls, Units((), layers, tuple(sorted(encoding)), tuple(sorted(bends)), tuple(sorted(recorder.gates)))


def torch_patterns(
    model: TorchModel, x: Any, batch_bytes: int, batch_size: int | None
) -> tuple[np.ndarray, Units, str]:
    """The packed patterns of a PyTorch module at the samples x (n, …), its units, and its dtype.

    Args:
        model: what `from_torch` returned.
        x: inputs (n, *input_shape).
        batch_bytes: what the units of one batch may take where no batch size is given.
        batch_size: samples that are treated at once.

    Raises:
        InputError: a module without units, in training mode, random, or one that takes another path for another input.
    """
    import torch

    refuse_training(model.module)
    tensor = to_torch(model, x)
    with _as_written():
        calls, units = _read(model, tensor)
        if batch_size is None:
            batch_size = max(1, batch_bytes // sum(call.group.count * call.dtype.itemsize for call in calls))
        packed = []
        for batch in tensor.split(batch_size):
            try:
                layers = torch.func.vmap(lambda xi: _sides(model, xi, calls, units))(batch)
            except RuntimeError:  # something that cannot be mapped over samples, e.g. a recurrent layer
                each = [_sides(model, xi, calls, units) for xi in batch]
                layers = [torch.stack(parts) for parts in zip(*each, strict=True)]
            packed.append(np.concatenate([np.packbits(layer.cpu().numpy(), axis=1) for layer in layers], axis=1))
    return np.concatenate(packed), units, str(calls[0].dtype).removeprefix("torch.")


def _sides(model: TorchModel, xi: "torch.Tensor", calls: Sequence[_Call], units: Units) -> tuple["torch.Tensor", ...]:
    """On which side of its breakpoints every unit is, for one sample, layer by layer."""
    import torch

    wanted = {call.number: call for call in calls}
    found: dict[int, torch.Tensor] = {}
    candidates = 0

    def visit(function, args, kwargs):
        nonlocal candidates
        if may_be_unit(canonical_name(function)):
            call = wanted.get(candidates)
            candidates += 1
            if call is not None:
                z = _argument(call.operand, args, kwargs).flatten()
                sides = [z > point for point in call.group.breakpoints]
                found[call.number] = torch.stack(sides, dim=-1).flatten()
        return function(*args, **kwargs)

    with _intercept(visit):
        model.module(xi[None])
    if len(found) < len(calls) or any(found[call.number].numel() != call.group.bits for call in calls):
        raise InputError("the module takes another path for another input: it has no patterns of one length")
    ordered = iter([found[call.number] for call in calls])
    return tuple(torch.cat([next(ordered) for _ in layer]) for layer in units.layers)
