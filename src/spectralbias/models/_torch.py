"""PyTorch modules as models, and arrays from one library to the other."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._core.errors import InputError

if TYPE_CHECKING:
    import torch

_REFUSAL = (
    "a PyTorch module cannot be traced by JAX: `from_torch` is for `empirical_ntk`, `NTKOperator`, "
    "`activation_patterns` and `gradient_cosine`; for anything else write the network in JAX"
)


class TorchModel:
    """f(x) = module(x[None])[0], outside of any program that JAX traces.

    It is no pytree of parameters: taking it apart raises a `TypeError`.
    """

    def __init__(self, module: "torch.nn.Module"):
        self.module = module

    def __call__(self, x: ArrayLike) -> Array:
        """f(x) of one input."""
        import torch

        with torch.no_grad():
            return to_jax(one_output(self.module(to_torch(self, x)[None])))

    @property
    def parameters(self) -> "dict[str, torch.Tensor]":
        """What requires a gradient, by name; a parameter that is used twice has one name."""
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}


def _refuse(*_: Any) -> Any:
    raise TypeError(_REFUSAL)


jax.tree_util.register_pytree_node(TorchModel, _refuse, _refuse)


def from_torch(module: Any) -> TorchModel:
    """A model from a PyTorch module: f(x) = module(x[None])[0].

    The module is given one input as a batch of one, because PyTorch modules are written for batches; recurrent and
    attention layers need `batch_first=True`. It is not copied: what changes its weights changes the model.

    Args:
        module: a `torch.nn.Module` in evaluation mode. Its parameters are those with `requires_grad`.

    Returns:
        An object that maps one input (*input_shape) to () or (c,). `empirical_ntk`, `NTKOperator` and `gradient_cosine`
        differentiate it with `torch.func`. JAX cannot trace it: elsewhere it raises a `TypeError`.

    Raises:
        InputError: no module, no parameters, dropout or batch normalization in training mode.

    Example:
        >>> import jax
        >>> import torch
        >>> from spectralbias import models
        >>> model = models.from_torch(torch.nn.Linear(3, 2))
        >>> model(jax.numpy.ones(3)).shape
        (2,)
    """
    import torch

    if not isinstance(module, torch.nn.Module) or isinstance(module, torch.jit.ScriptModule):
        got = f"the class {module.__name__}" if isinstance(module, type) else f"an object of {type(module).__name__}"
        raise InputError(f"`module` must be an instance of `torch.nn.Module` that is not scripted, got {got}")
    if any(isinstance(value, torch.nn.parameter.UninitializedParameter) for value in module.parameters()):
        raise InputError("`module` has lazy layers without parameters: call it once on a batch")
    model = TorchModel(module)
    if not model.parameters:
        raise InputError("`module` has no parameters that require a gradient")
    refuse_training(module)
    return model


def refuse_training(module: "torch.nn.Module") -> None:
    """An `InputError` for layers that draw at random, or mix the samples of a batch, in training mode."""
    from torch import nn

    dropout = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout
    statistics = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm
    for name, layer in module.named_modules():
        rate = getattr(layer, "p", getattr(layer, "dropout", 0.0))
        random = isinstance(layer, (*dropout, nn.RNNBase, nn.MultiheadAttention)) and rate > 0
        if layer.training and (random or isinstance(layer, (*statistics, nn.RReLU))):
            where = f"layer `{name}`" if name else "the module"
            raise InputError(f"{where} ({type(layer).__name__}) is in training mode: call `module.eval()` first")


def one_output(f: Any) -> "torch.Tensor":
    """The output of a batch of one; () where the module drops all axes of length 1."""
    shape = tuple(f.shape) if hasattr(f, "shape") else None
    if shape is None or len(shape) > 2 or shape[:1] not in ((), (1,)):
        got = type(f).__name__ if shape is None else f"shape {shape}"
        raise InputError(f"the module must map a batch (1, …) to a tensor (1,) or (1, c), got {got}")
    if not f.dtype.is_floating_point:
        raise InputError(f"the module must have real outputs, got {f.dtype}")
    return f if shape == () else f[0]


def to_torch(model: TorchModel, x: ArrayLike) -> "torch.Tensor":
    """Inputs on the device of the parameters, in their dtype unless they are whole numbers; not copied if possible."""
    import torch

    first = next(iter(model.parameters.values()))
    try:
        shared = isinstance(x, jax.Array) and {device.platform for device in x.devices()} == {"cpu"}
        tensor = torch.from_dlpack(x) if shared else torch.from_numpy(np.array(x))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
        raise TypeError(_REFUSAL) from None
    return tensor.to(first.device, first.dtype if tensor.is_floating_point() else torch.int64)


def to_jax(tensor: "torch.Tensor") -> Array:
    """The tensor as an array on JAX's default device, not copied if it is there already."""
    tensor = tensor.detach().contiguous()
    shared = tensor.device.type == "cpu" or jax.default_backend() == "gpu"
    return jax.device_put(jnp.from_dlpack(tensor if shared else tensor.cpu()), jax.devices()[0])
