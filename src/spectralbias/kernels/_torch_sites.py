"""Where the parameters of a PyTorch module enter its products, and the two factors that each product gives."""

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import torch


Kind = Literal["linear", "matrix", "lookup", "convolution"]


class Site(NamedTuple):
    """One product with a parameter: `"linear"` is h Wᵀ, `"matrix"` is h W, `"lookup"` takes rows of a table.

    `size` is the shape of the parameter, `shape` and `dtype` are those of the output.
    """

    kind: Kind
    weight: str
    bias: str | None
    size: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: "torch.dtype"
    settings: Mapping[str, Any]


# visit(site, h, z) returns what takes the place of z.
Visit = Callable[[Site, "torch.Tensor", "torch.Tensor"], "torch.Tensor"]

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_ATTENTION = (
    "query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight", "in_proj_bias", "bias_k", "bias_v",
    "add_zero_attn", "dropout_p", "out_proj_weight", "out_proj_bias",
)  # fmt: skip


@functools.cache
def _products() -> dict[Callable, tuple[Kind, tuple[str, ...]]]:
    """The kind and the names of the arguments of every function that is a product."""
    import torch
    from torch.nn import functional

    matrix: tuple[Kind, tuple[str, ...]] = "matrix", ("input", "weight")
    convolution: tuple[Kind, tuple[str, ...]] = "convolution", _CONVOLUTION
    return {
        functional.linear: ("linear", ("input", "weight", "bias")),
        functional.embedding: ("lookup", ("input", "weight", "padding_idx")),
        functional.conv1d: convolution,
        functional.conv2d: convolution,
        functional.conv3d: convolution,
        torch.matmul: matrix,
        torch.Tensor.matmul: matrix,
        torch.Tensor.__matmul__: matrix,
    }


@functools.cache
def _mode() -> type:
    """A function, because PyTorch is imported when it is used."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    class Interceptor(TorchFunctionMode):
        def __init__(self, names: Mapping[int, str], visit: Visit, elementwise: set[str]):
            super().__init__()
            self.names, self.visit, self.elementwise = names, visit, elementwise

        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is functional.multi_head_attention_forward:
                return self.attend(func, dict(zip(_ATTENTION, args, strict=False)) | (kwargs or {}))
            return self.call(func, *args, **(kwargs or {}))

        def name(self, value: Any) -> str | None:
            return self.names.get(id(value))

        def call(self, func, *args, **kwargs):
            kind, arguments = _products().get(func, (None, ()))
            given = dict(zip(arguments, args, strict=False)) | kwargs
            weight = given.get("weight")
            if kind is None or weight is None or self.name(weight) is None or not _regular(kind, given):
                shifts = [*args, *kwargs.values()] if func.__name__ in _ELEMENTWISE else [given.get("bias")]
                self.elementwise.update(filter(None, map(self.name, shifts)))
                return func(*args, **kwargs)
            parameters = {id(weight), id(given.get("bias"))} & self.names.keys()
            # Detached: what still depends on the parameter does so in another way.
            fixed = [value.detach() if id(value) in parameters else value for value in args]
            named = {key: value.detach() if id(value) in parameters else value for key, value in kwargs.items()}
            z = func(*fixed, **named)
            settings = {key: given[key] for key in (*_CONVOLUTION[3:], "padding_idx") if given.get(key) is not None}
            site = Site(
                kind, self.names[id(weight)], self.name(given.get("bias")), weight.shape, z.shape, z.dtype, settings
            )
            return self.visit(site, given["input"], z)

        def attend(self, func, given: dict[str, Any]):
            """Attention with its two projections outside of it, where they are products."""
            query, weight, bias = (given[key] for key in ("query", "out_proj_weight", "out_proj_bias"))
            one = torch.eye(given["embed_dim_to_check"], dtype=query.dtype, device=query.device)
            if query is given["key"] is given["value"] and self.name(given["in_proj_weight"]) is not None:
                projected = self.call(functional.linear, query, given["in_proj_weight"], given["in_proj_bias"])
                given |= dict(zip(("query", "key", "value"), projected.chunk(3, -1), strict=True))
                given |= {"in_proj_weight": None, "in_proj_bias": None, "use_separate_proj_weight": True}
                given |= {"q_proj_weight": one, "k_proj_weight": one, "v_proj_weight": one}
            if self.name(weight) is None:
                return func(**given)
            attended, scores = func(**given | {"out_proj_weight": one, "out_proj_bias": None})
            return self.call(functional.linear, attended, weight, bias), scores

    return Interceptor


# Functions in which every entry of a parameter scales or shifts entries of the other operand.
_ELEMENTWISE = {
    "add", "add_", "sub", "sub_", "mul", "mul_", "div", "batch_norm", "group_norm", "instance_norm", "layer_norm",
    "rms_norm",
}  # fmt: skip


def intercept(names: Mapping[int, str], visit: Visit, elementwise: set[str] | None = None) -> AbstractContextManager:
    """A context in which `visit` sees every product with a tensor whose `id` is in `names`.

    The tensors are constants of these products. The names of those that scale or shift are put into `elementwise`.
    """
    return _mode()(names, visit, set() if elementwise is None else elementwise)


def _regular(kind: str, given: Mapping[str, Any]) -> bool:
    """Whether the product is the one that `sides` knows."""
    if kind == "lookup":
        return given.get("max_norm") is None and not given.get("scale_grad_by_freq")
    return kind == "convolution" or given["weight"].dim() == 2


def sides(site: Site, h: "torch.Tensor", delta: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """(n, 1, groups, positions, rows) and (n, c, groups, positions, columns) of a product, from h (n, …), δ (n, c, …).

    The first one of a lookup is the numbers of rows (n, 1, 1, positions).
    """
    n, c = delta.shape[:2]
    if site.kind == "convolution":
        return _convolution_sides(site, h, delta)
    right = delta.reshape(n, c, 1, -1, delta.shape[-1])
    if site.kind != "lookup":
        return h.reshape(n, 1, 1, -1, h.shape[-1]), right
    left = h.reshape(n, 1, 1, -1)
    padding = site.settings.get("padding_idx")
    return left, right if padding is None else right * (left != padding % site.size[0])[..., None]


def _convolution_sides(site: Site, h: "torch.Tensor", delta: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """Patches of h under the filter (rows: input channels of a group · filter), and δ."""
    from torch.nn.functional import pad

    n, c = delta.shape[:2]
    window = site.size[2:]
    rank, groups = len(window), site.settings.get("groups", 1)

    def each(name: str, default: int) -> tuple[int, ...]:
        value = site.settings.get(name, default)
        return (value,) * rank if isinstance(value, int) else tuple(value) * (rank if len(value) == 1 else 1)

    strides, dilations = each("stride", 1), each("dilation", 1)
    reach = [d * (k - 1) for d, k in zip(dilations, window, strict=True)]
    padding = site.settings.get("padding", 0)
    if padding in ("same", "valid"):
        margins = [(r // 2, r - r // 2) if padding == "same" else (0, 0) for r in reach]
    else:
        margins = [(p, p) for p in each("padding", 0)]
    patches = pad(h.flatten(0, -rank - 2), [p for margin in reversed(margins) for p in margin])
    for axis in range(rank):
        patches = patches.unfold(2 + axis, reach[axis] + 1, strides[axis])[..., :: dilations[axis]]
    order = 0, 2, 1, *range(4, 4 + rank), 3, *range(4 + rank, 4 + 2 * rank)
    left = patches.unflatten(1, (groups, -1)).unflatten(0, (n, -1)).permute(order)
    left = left.reshape(n, 1, groups, -1, site.size[1] * math.prod(window))
    right = delta.reshape(n, c, -1, groups, site.size[0] // groups, math.prod(delta.shape[-rank:]))
    return left, right.permute(0, 1, 3, 2, 5, 4).reshape(n, c, groups, -1, site.size[0] // groups)
