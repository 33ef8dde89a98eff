"""The same weights in Equinox, Flax (linen and NNX) and PyTorch give the same kernel."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import models
from spectralbias.kernels import NTKOperator, _plan, empirical_ntk, explain_ntk
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


def torch_mlp():
    nn = torch.nn
    net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    in_jax = models.from_function(
        lambda p, x: jnp.tanh(jnp.tanh(x @ p[0][0] + p[0][1]) @ p[1][0] + p[1][1]) @ p[2][0] + p[2][1],
        jax.tree.map(jnp.asarray, MLP),
    )
    return net, models.from_torch(copied_to_torch(net, MLP).double()), in_jax


def assert_close(one, other, tolerance=1e-10):
    assert one.shape == other.shape
    assert np.max(np.abs(np.asarray(one) - np.asarray(other))) <= tolerance * np.max(np.abs(other))


def test_a_torch_module_through_the_public_functions():
    _, module, in_jax = torch_mlp()
    theta = np.asarray(empirical_ntk(in_jax, X))
    for settings in ({}, {"method": "structured"}, {"method": "jacobian"}, {"batch_size": 2}):
        assert_close(empirical_ntk(module, X, **settings), theta)
    assert_close(empirical_ntk(module, X, X[:2], batch_size=2), theta[:, :2])
    assert_close(empirical_ntk(module, X, outputs="mean"), np.einsum("ijaa->ij", theta) / 2)
    explanation, in_jax_rows = explain_ntk(module, X), explain_ntk(in_jax, X).rows
    names = [f"{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]
    assert [row.name for row in explanation.rows] == names
    assert sum(row.share for row in explanation.rows) == pytest.approx(1)
    assert [row.form for row in explanation.rows[::2]] == [row.form for row in in_jax_rows[::2]]
    assert all(row.form.startswith("with") for row in explanation.rows[1::2])
    assert explanation.operations == sum(row.operations for row in in_jax_rows)
    assert str(explanation).startswith("parameter")


def test_a_part_of_a_torch_module(refuses):
    net, module, in_jax = torch_mlp()
    layers = [
        empirical_ntk(in_jax, X, parameters=lambda m, i=i: m.params[i]) for i in range(3)
    ]  # fmt: skip
    for number, theta in zip((0, 2, 4), layers, strict=True):
        assert_close(empirical_ntk(module, X, parameters=lambda m, i=number: m[i]), theta)
    assert_close(empirical_ntk(module, X, parameters=lambda m: [m[0].weight, m[0].bias, m[4]]), layers[0] + layers[2])
    bias = empirical_ntk(in_jax, X, parameters=lambda m: m.params[1][1])
    assert_close(empirical_ntk(module, X, parameters=lambda m: m[2].bias), bias)
    rows = explain_ntk(module, X, parameters=lambda m: m[2].bias).rows
    assert [row.form for row in rows] == 3 * ["not selected"] + ["gradient"] + 2 * ["not selected"]
    v = np.random.default_rng(0).standard_normal((5, 2))
    product = NTKOperator(module, X, parameters=lambda m: m[2].bias).mv(v)
    assert_close(product, np.einsum("ijab,jb->ia", bias, v))
    with refuses("`parameters` selects no parameter"):
        empirical_ntk(module, X, parameters=lambda m: m[1])
    with refuses("`parameters`", "function"):
        empirical_ntk(module, X, parameters=True)
    unused = torch.nn.Sequential(net)
    unused.extra = torch.nn.Linear(2, 2).double()
    unused.forward = lambda x: net(x)
    assert not np.any(empirical_ntk(models.from_torch(unused), X, parameters=lambda m: m.extra))


@pytest.mark.parametrize("budget", [0, 2**30], ids=["evaluated again", "kept factors"])
def test_the_operator_of_a_torch_module(budget, monkeypatch):
    _, module, in_jax = torch_mlp()
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", budget)
    operator = NTKOperator(module, X, batch_size=2)
    assert (operator.factors is None) == (budget == 0)
    v = np.random.default_rng(0).standard_normal((5, 2))
    assert_close(operator.mv(v), NTKOperator(in_jax, X).mv(v))


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
