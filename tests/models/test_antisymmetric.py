"""Models that start at f = 0: the wrapper of any model, and `antisymmetric=True` of our own networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectralbias import dynamics, models
from spectralbias.kernels import empirical_ntk, explain_ntk

KEY = jax.random.key(11)
RNG = np.random.default_rng(4)
X, IMAGES = RNG.standard_normal((6, 3)), RNG.standard_normal((3, 2, 6, 5))


class ConvolutionalNetwork(eqx.Module):
    """Two convolutions, max-pooling, a layer."""

    layers: tuple

    def __init__(self, *, key):
        first, second, last = jax.random.split(key, 3)
        self.layers = (
            eqx.nn.Conv2d(2, 4, 3, padding=1, key=first),
            eqx.nn.Conv2d(4, 3, 2, key=second),
            eqx.nn.Linear(12, 2, key=last),
        )

    def __call__(self, x):
        first, second, last = self.layers
        h = jnp.tanh(second(jax.nn.relu(first(x))))
        return last(eqx.nn.MaxPool2d(2, 2)(h).reshape(-1))


def weights(*shape):
    return jnp.asarray(RNG.standard_normal(shape))


def fourier(out_size):
    encoding = models.encodings.FourierFeatures(3, 8, 1.0, key=KEY)
    return models.coordinate_network(3, out_size, width=9, depth=2, encoding=encoding, key=KEY)


# A product at the end is what a compiler may fuse with the difference, which then is not 0.
MODELS = {
    "mlp": (models.MLP(3, "scalar", 8, 2, bias_std=0.4, key=KEY), X),
    "mlp that ends in a product": (models.MLP(3, 2, 8, 1, activation="tanh", output_scale=3.7, key=KEY), X),
    "cao": (models.cao_network(3, 9, output_scale=1.7, key=KEY), X),
    "fourier features": (fourier(2), X),
    "equinox": (eqx.nn.MLP(3, 2, 8, 2, key=KEY), X),
    "convolutions": (ConvolutionalNetwork(key=KEY), IMAGES),
    "function": (
        models.from_function(
            lambda p, x: jnp.sin(x @ p["w"]) @ p["v"], {"w": weights(3, 7), "v": weights(7)}
        ), X,
    ),
    "function, elementwise": (
        models.from_function(lambda p, x: 1.3 * (x * p[0] + 1.1) * p[1], (weights(3), weights(3))), X
    ),
}  # fmt: skip


def is_zero(f):
    """Up to the rounding of one copy's last product, where a compiler fuses the other's with the difference."""
    return np.all(np.abs(f) < 8 * np.finfo(f.dtype).eps)


def outputs(model, x):
    """f of all inputs in the ways that it is computed: compiled for a batch, compiled for one input, one by one."""
    return (
        eqx.filter_jit(lambda model, x: jax.vmap(model)(x))(model, x),
        eqx.filter_jit(lambda model, x: jax.lax.map(model, x))(model, x),
        model(x[0]),
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_starts_at_zero(name, dtype):
    model, x = MODELS[name]
    model = jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, model)
    x = jnp.asarray(x, dtype)
    for f, g in zip(outputs(models.antisymmetric(model), x), outputs(model, x), strict=True):
        assert f.dtype == g.dtype == dtype
        assert f.shape == g.shape
        assert np.any(g)
        assert is_zero(f)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["auto", "structured", "jacobian"])
def test_its_kernel_at_the_start_is_that_of_the_model(name, method):
    model, x = MODELS[name]
    wrapped = models.antisymmetric(model)
    expected = np.asarray(empirical_ntk(model, x, method="jacobian"))
    theta = empirical_ntk(wrapped, x, method=method)
    np.testing.assert_allclose(theta, expected, rtol=0, atol=1e-12 * np.max(np.abs(expected)))
    cross = empirical_ntk(wrapped, x, x[:2], method=method)
    np.testing.assert_allclose(cross, expected[:, :2], rtol=0, atol=1e-12 * np.max(np.abs(expected)))


@pytest.mark.parametrize("name", MODELS)
def test_the_program_reader_sees_both_copies_as_it_sees_the_model(name):
    model, x = MODELS[name]
    rows, wrapped = explain_ntk(model, x).rows, explain_ntk(models.antisymmetric(model), x).rows
    seen = [(row.shape, row.rule.partition(" of ")[0], row.form.partition(" ")[0]) for row in wrapped]
    once = [(row.shape, row.rule.partition(" of ")[0], row.form.partition(" ")[0]) for row in rows]
    assert seen == once + once
    assert models.count_parameters(models.antisymmetric(model)) == 2 * models.count_parameters(model)


def test_it_is_the_difference_of_two_copies():
    model, x = MODELS["convolutions"]
    wrapped = models.antisymmetric(model)
    moved = jax.tree.map(lambda leaf: 1.1 * leaf + 0.05 if eqx.is_inexact_array(leaf) else leaf, model)
    wrapped = eqx.tree_at(lambda m: m.mirror, wrapped, models.partition(moved)[0])
    expected = (jax.vmap(model)(x) - jax.vmap(moved)(x)) / np.sqrt(2)
    np.testing.assert_allclose(jax.vmap(wrapped)(x), expected, rtol=1e-12)
    half = [np.asarray(empirical_ntk(one, x)) for one in (model, moved)]
    np.testing.assert_allclose(empirical_ntk(wrapped, x), (half[0] + half[1]) / 2, rtol=1e-10)


@pytest.mark.parametrize("out_size", ["scalar", 2])
@pytest.mark.parametrize("parameterization", ["ntk", "standard", "torch"])
def test_training_is_that_of_an_antisymmetric_mlp(out_size, parameterization):
    settings = {"activation": "tanh", "bias_std": 0.3, "parameterization": parameterization, "key": KEY}
    own = models.MLP(3, out_size, 16, 2, antisymmetric=True, **settings)
    wrapped = models.antisymmetric(models.MLP(3, out_size, 16, 2, **settings))
    y = RNG.standard_normal(len(X) if out_size == "scalar" else (len(X), out_size))
    one, two = (dynamics.train(model, X, y, learning_rate=0.3, steps=30) for model in (own, wrapped))
    np.testing.assert_array_equal(one.residuals[0], -y)
    np.testing.assert_array_equal(one.residuals, two.residuals)
    np.testing.assert_array_equal(one.model.mirror[0].weight, two.model.mirror.layers[0].weight)
    assert np.max(np.abs(one.residuals[-1])) < 0.9 * np.max(np.abs(y))


def test_both_copies_are_trained_and_what_is_fixed_is_held_once():
    model = fourier("scalar")
    wrapped = models.antisymmetric(model)
    trained = dynamics.train(wrapped, X, X[:, 0], learning_rate=0.1, steps=5).model
    before = model.layers[0].weight
    assert not np.allclose(trained.model.layers[0].weight, before)
    assert not np.allclose(trained.mirror.layers[0].weight, before)
    assert trained.mirror.encoding.frequencies.value is None
    np.testing.assert_array_equal(trained.model.encoding.frequencies.value, model.encoding.frequencies.value)
    assert sum(np.shape(leaf) == (8, 3) for leaf in jax.tree.leaves(wrapped)) == 1


@pytest.mark.parametrize("parameterization", ["ntk", "standard", "torch"])
@pytest.mark.parametrize("bias_std", [0.0, 0.5])
@pytest.mark.parametrize("out_size", ["scalar", 3])
def test_antisymmetric_networks_of_ours_start_at_zero(parameterization, bias_std, out_size):
    model = models.MLP(
        3, out_size, 12, 2, antisymmetric=True, parameterization=parameterization, bias_std=bias_std, key=KEY
    )
    for f in outputs(model, jnp.asarray(X)):
        assert is_zero(f)


@pytest.mark.parametrize(
    "model",
    [
        models.cao_network(3, 9, output_scale=1.7, antisymmetric=True, key=KEY),
        models.bowman_network(3, 9, activation="softplus", key=KEY),
        models.coordinate_network(3, 2, width=9, depth=2, antisymmetric=True, key=KEY),
    ],
    ids=["cao", "bowman", "coordinate"],
)
def test_antisymmetric_networks_of_papers_start_at_zero(model):
    for f in outputs(model, jnp.asarray(X)):
        assert is_zero(f)


def test_flax_modules():
    linen = pytest.importorskip("flax.linen")
    nnx = pytest.importorskip("flax.nnx")
    module = linen.Sequential([linen.Dense(5), jnp.tanh, linen.BatchNorm(use_running_average=True), linen.Dense(2)])
    from_linen = models.from_flax(module, module.init(KEY, jnp.ones((1, 3))))
    rngs = nnx.Rngs(0)
    from_nnx = models.from_flax(nnx.Sequential(nnx.Linear(3, 5, rngs=rngs), jnp.tanh, nnx.Linear(5, 2, rngs=rngs)))
    for model in (from_linen, from_nnx):
        wrapped = models.antisymmetric(model)
        x = jnp.asarray(X, jnp.float32)
        for f in outputs(wrapped, x):
            assert is_zero(f)
        np.testing.assert_allclose(empirical_ntk(wrapped, x), empirical_ntk(model, x), rtol=1e-4, atol=1e-5)
        assert models.count_parameters(wrapped) == 2 * models.count_parameters(model)
        trained = dynamics.train(wrapped, X, RNG.standard_normal((len(X), 2)), learning_rate=0.1, steps=3)
        assert np.any(trained.model(x[0]))


def test_bad_models(refuses):
    for model in (
        models.MLP(3, 2, 4, 1, antisymmetric=True, key=KEY),
        models.bowman_network(3, 4, activation="tanh", key=KEY),
        models.antisymmetric(models.MLP(3, 2, 4, 1, key=KEY)),
    ):
        with refuses("antisymmetric already", "antisymmetric=False"):
            models.antisymmetric(model)
    for model in (jnp.tanh, {"frequencies": models.Fixed(jnp.ones(3))}):
        with refuses("no parameters", "Fixed"):
            models.antisymmetric(model)


def test_a_torch_module_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"PyTorch module cannot be traced by JAX.*write the network in JAX"):
        models.antisymmetric(models.from_torch(torch.nn.Linear(3, 2)))
