"""The same weights in Equinox, Flax (linen and NNX) and PyTorch give the same kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import empirical_ntk
from spectralbias.kernels._factors import contract
from spectralbias.kernels._torch import torch_contributions

torch, flax = pytest.importorskip("torch"), pytest.importorskip("flax")
from flax import linen, nnx  # noqa: E402

RNG = np.random.default_rng(6)
X = RNG.standard_normal((5, 3))
IMAGES = RNG.standard_normal((4, 6, 7, 2))  # channels last

# (matrix (in, out), bias) of every layer; filters have shape (height, width, in, out).
MLP = [(RNG.standard_normal(shape), RNG.standard_normal(shape[-1])) for shape in ((3, 6), (6, 5), (5, 2))]
CNN = [
    (RNG.standard_normal(shape) / 3, RNG.standard_normal(shape[-1])) for shape in ((3, 2, 2, 4), (2, 2, 4, 3), (3, 2))
]
STRIDES = 2, 1


def gram_of_torch(module, x):
    _, found = torch_contributions(models.from_torch(module.double()), x)
    return contract(found, found, mean=False)


def copied_to_torch(module, weights):
    """Linear layers of PyTorch hold (out, in), its convolutions (out, in, height, width)."""
    layers = [layer for layer in module if hasattr(layer, "weight")]
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        order = (1, 0) if weight.ndim == 2 else (3, 2, 0, 1)
        layer.weight.data, layer.bias.data = torch.from_numpy(weight.transpose(order).copy()), torch.from_numpy(bias)
    return module


def linen_variables(names, weights):
    return {"params": {name: {"kernel": w, "bias": b} for name, (w, b) in zip(names, weights, strict=True)}}


def copied_to_nnx(layers, weights):
    for layer, (weight, bias) in zip(layers, weights, strict=True):
        layer.kernel, layer.bias = nnx.Param(jnp.asarray(weight)), nnx.Param(jnp.asarray(bias))


def assert_all_equal(grams):
    (_, one), *others = grams.items()
    for name, other in others:
        assert other.shape == one.shape, name
        assert np.max(np.abs(other - one)) <= 1e-12 * np.max(np.abs(one)), name


def test_a_fully_connected_network():
    ours = models.MLP(3, 2, 6, 2, activation="tanh", parameterization="torch", key=jax.random.key(0))
    layers = tuple(models.Linear(jnp.asarray(w), jnp.asarray(b), 1.0, 1.0) for w, b in MLP)
    ours = eqx.tree_at(lambda m: m.layers, ours, layers)

    module = linen.Sequential([linen.Dense(6), jnp.tanh, linen.Dense(5), jnp.tanh, linen.Dense(2)])
    from_linen = models.from_flax(module, linen_variables(("layers_0", "layers_2", "layers_4"), MLP))

    first, second, last = (nnx.Linear(*w.shape, rngs=nnx.Rngs(0)) for w, _ in MLP)
    copied_to_nnx((first, second, last), MLP)
    from_nnx = models.from_flax(nnx.Sequential(first, jnp.tanh, second, jnp.tanh, last))

    nn = torch.nn
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    grams = {
        name: empirical_ntk(model, X) for name, model in (("ours", ours), ("linen", from_linen), ("nnx", from_nnx))
    }
    assert_all_equal(grams | {"torch": gram_of_torch(copied_to_torch(net, MLP), X)})


def test_a_convolutional_network():
    def plain(weights, x):
        """Channels last, one image, in JAX alone."""
        h = x[None]
        for (weight, bias), stride in zip(weights[:2], STRIDES, strict=True):
            numbers = ("NHWC", "HWIO", "NHWC")
            h = jax.lax.conv_general_dilated(h, weight, (stride, stride), "VALID", dimension_numbers=numbers)
            h = jnp.tanh(h + bias[None, None, None])
        return h.mean((0, 1, 2)) @ weights[2][0] + weights[2][1]

    class LinenCNN(linen.Module):
        @linen.compact
        def __call__(self, x):
            h = jnp.tanh(linen.Conv(4, (3, 2), strides=2, padding="VALID")(x))
            h = jnp.tanh(linen.Conv(3, (2, 2), padding="VALID")(h))
            return linen.Dense(2)(h.mean((1, 2)))

    class NNXCNN(nnx.Module):
        def __init__(self):
            rngs = nnx.Rngs(0)
            self.first = nnx.Conv(2, 4, (3, 2), strides=2, padding="VALID", rngs=rngs)
            self.second = nnx.Conv(4, 3, (2, 2), padding="VALID", rngs=rngs)
            self.last = nnx.Linear(3, 2, rngs=rngs)

        def __call__(self, x):
            return self.last(jnp.tanh(self.second(jnp.tanh(self.first(x)))).mean((1, 2)))

    other = NNXCNN()
    copied_to_nnx((other.first, other.second, other.last), CNN)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=2), nn.Tanh(), nn.Conv2d(4, 3, 2), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2),
    )  # fmt: skip
    in_jax = {
        "function": models.from_function(plain, jax.tree.map(jnp.asarray, CNN)),
        "linen": models.from_flax(LinenCNN(), linen_variables(("Conv_0", "Conv_1", "Dense_0"), CNN)),
        "nnx": models.from_flax(other),
    }
    grams = {name: empirical_ntk(model, IMAGES) for name, model in in_jax.items()}
    channels_first = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
    assert_all_equal(grams | {"torch": gram_of_torch(copied_to_torch(net, CNN), channels_first)})
