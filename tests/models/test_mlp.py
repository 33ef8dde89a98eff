import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from spectralbias import models
from spectralbias.models import MLP

KEY = jax.random.key(5)
X = np.random.default_rng(0).standard_normal((6, 3))


def outputs(model, x=X):
    return np.asarray(jax.jit(jax.vmap(model))(jnp.asarray(x)))


def plain_forward(layers, x, parameterization, activation, weight_std, bias_std, output_scale):
    """One chain of layers in NumPy, from the definition of each parameterization."""
    h = x
    for i, layer in enumerate(layers):
        w = np.asarray(layer.weight)
        b = np.zeros(w.shape[1]) if layer.bias is None else np.asarray(layer.bias)
        ntk = parameterization == "ntk"
        z = weight_std / np.sqrt(len(w)) * (h @ w) + bias_std * b if ntk else h @ w + b
        h = activation(z) if i < len(layers) - 1 else output_scale * z
    return h


ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
CASES = [
    ("ntk", "relu", 1, "scalar", 0.0, 1.0, False),
    ("ntk", "relu", 3, 2, 0.3, 0.5, False),
    ("ntk", "tanh", 2, "scalar", 1.1, 2.0, True),
    ("standard", "relu", 2, 3, 0.0, 1.5, True),
    ("standard", "tanh", 1, "scalar", 0.4, 1.0, False),
    ("torch", "relu", 2, 1, 0.0, 1.0, False),
    ("torch", "tanh", 2, "scalar", 0.7, 0.25, True),
]


@pytest.mark.parametrize(
    ("name", "activation", "depth", "out_size", "bias_std", "output_scale", "antisymmetric"), CASES
)
def test_it_is_the_network_of_its_definition(name, activation, depth, out_size, bias_std, output_scale, antisymmetric):
    settings = {"bias_std": bias_std, "output_scale": output_scale}
    model = MLP(
        3, out_size, 6, depth, activation=activation, parameterization=name, weight_std=1.3,
        antisymmetric=antisymmetric, key=KEY, **settings,
    )  # fmt: skip
    assert model.depth == depth
    assert (model.layers[0].bias is not None) == (bias_std > 0 or name == "torch")
    if antisymmetric:
        # Training takes the two copies apart: so does noise.
        noise = iter(jax.random.split(jax.random.key(1), 100))
        model = eqx.tree_at(
            lambda m: (m.layers, m.mirror),
            model,
            jax.tree.map(lambda p: p + jax.random.normal(next(noise), p.shape), (model.layers, model.mirror)),
        )
    forward = lambda layers: plain_forward(layers, X, name, ACTIVATIONS[activation], 1.3, **settings)  # noqa: E731
    expected = (forward(model.layers) - forward(model.mirror)) / np.sqrt(2) if antisymmetric else forward(model.layers)
    expected = expected[:, 0] if out_size == "scalar" else expected
    actual = outputs(model)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(model(jnp.asarray(X[4])), expected[4], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parameterization", ["ntk", "standard", "torch"])
def test_antisymmetric_copies_are_equal_but_separate_and_cancel(parameterization):
    model = MLP(3, 2, 6, 2, bias_std=0.5, parameterization=parameterization, antisymmetric=True, key=KEY)
    assert np.all(np.asarray(model(jnp.asarray(X[0]))) == 0)
    assert np.max(np.abs(outputs(model))) < 1e-15
    for one, two in zip(jax.tree.leaves(model.layers), jax.tree.leaves(model.mirror), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one is not two
    single = MLP(3, 2, 6, 2, bias_std=0.5, parameterization=parameterization, key=KEY)
    np.testing.assert_array_equal(single.layers[1].weight, model.layers[1].weight)


def test_standard_is_the_ntk_network_at_the_start():
    both = [
        MLP(3, 2, 6, 2, bias_std=0.4, weight_std=1.2, output_scale=3.0, parameterization=name, key=KEY)
        for name in ("ntk", "standard")
    ]
    np.testing.assert_allclose(outputs(both[0]), outputs(both[1]), rtol=1e-12)
    np.testing.assert_allclose(both[1].layers[1].weight, 1.2 / np.sqrt(6) * both[0].layers[1].weight, rtol=1e-14)


def test_the_variance_at_the_start_is_that_of_the_gaussian_process():
    weight_std, bias_std = 1.3, 0.7
    # For ReLU E h² = E z²/2 at any width, so the recursion of second moments is exact at width 8.
    x = jnp.array([0.8, -0.5, 1.2])
    square = weight_std**2 * float(x @ x) / 3 + bias_std**2
    for _ in range(2):
        square = weight_std**2 * square / 2 + bias_std**2
    draw = eqx.filter_jit(
        eqx.filter_vmap(lambda key: MLP(3, "scalar", 8, 2, weight_std=weight_std, bias_std=bias_std, key=key)(x))
    )
    f = np.asarray(draw(jax.random.split(KEY, 40_000)))
    assert abs(f.mean()) < 5 * f.std() / np.sqrt(f.size)
    assert abs(np.mean(f**2) - square) < 5 * np.std(f**2) / np.sqrt(f.size)
    assert abs(np.mean(f**2) - 1.1 * square) > 5 * np.std(f**2) / np.sqrt(f.size)  # it would see 10 %


def test_torch_draws_from_pytorchs_uniform_distributions():
    model = MLP(7, 100, 100, 1, parameterization="torch", weight_std=9.0, bias_std=0.0, output_scale=0.1, key=KEY)
    for layer, fan_in in zip(model.layers, (7, 100), strict=True):
        bound = 1 / np.sqrt(fan_in)
        for stored in (np.asarray(layer.weight).ravel(), np.asarray(layer.bias)):
            assert np.max(np.abs(stored)) <= bound
            if stored.size > 500:
                assert np.max(np.abs(stored)) > (1 - 10 / stored.size) * bound  # less has probability e⁻¹⁰
            assert scipy.stats.kstest(stored, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert [layer.weight_scale for layer in model.layers] == [1.0, 0.1]


@pytest.mark.parametrize("name", ["ntk", "standard"])
def test_normal_entries_are_independent_with_the_stated_scale(name):
    model = MLP(100, 100, 100, 1, parameterization=name, weight_std=1.5, bias_std=0.8, key=KEY)
    stored = 1.0 if name == "ntk" else 0.15
    for layer in model.layers:
        weight = np.asarray(layer.weight).ravel() / stored
        assert scipy.stats.kstest(weight, scipy.stats.norm.cdf).pvalue > 1e-3
        assert np.std(layer.bias) == pytest.approx(1.0 if name == "ntk" else 0.8, rel=0.3)
    # Correlations of 10⁴ pairs: 5 standard errors are 0.05.
    one, two = (np.asarray(layer.weight).ravel() for layer in model.layers)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert not np.array_equal(one, np.asarray(MLP(100, 100, 100, 1, key=jax.random.key(6)).layers[0].weight).ravel())


def test_an_encoding_is_read_in_place_of_x():
    encoding = models.encodings.PositionalEncoding(2)
    model = MLP(3, 2, 6, 1, encoding=encoding, bias_std=0.5, key=KEY)
    features = np.stack([encoding(x) for x in jnp.asarray(X)])
    expected = plain_forward(model.layers, features, "ntk", ACTIVATIONS["relu"], 2**0.5, 0.5, 1.0)
    np.testing.assert_allclose(outputs(model), expected, rtol=1e-12, atol=1e-13)
    # A function without `out_size` keeps the size.
    model = MLP(3, 2, 6, 1, encoding=jnp.tanh, key=KEY)
    expected = plain_forward(model.layers, np.tanh(X), "ntk", ACTIVATIONS["relu"], 2**0.5, 0.0, 1.0)
    np.testing.assert_allclose(outputs(model), expected, rtol=1e-12, atol=1e-13)


def test_a_model_follows_its_parameters_to_float32():
    model = MLP(3, 2, 6, 1, bias_std=1.0, key=KEY)
    single = jax.tree.map(lambda p: p.astype(jnp.float32) if eqx.is_array(p) else p, model)
    f = outputs(single, X.astype(np.float32))
    assert f.dtype == np.float32
    np.testing.assert_allclose(f, outputs(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"in_size": 0}, ("`in_size`", "0")),
        ({"width": 0}, ("`width`", "0")),
        ({"depth": 0}, ("`depth`", "0")),
        ({"out_size": 0}, ("`out_size`", "0", "scalar")),
        ({"out_size": "vector"}, ("`out_size`", "'vector'", "scalar")),
        ({"activation": "rlu"}, ("activation", "`rlu`", "`relu`")),
        ({"parameterization": "mup"}, ("parameterization", "`mup`", "ntk")),
        ({"weight_std": 0.0}, ("`weight_std`", "0")),
        ({"bias_std": -0.1}, ("`bias_std`", "-0.1")),
        ({"bias_std": float("nan")}, ("`bias_std`", "nan")),
        ({"output_scale": -1.0}, ("`output_scale`", "-1")),
    ],
)
def test_arguments_out_of_range_are_refused(changed, words, refuses):
    arguments = {"in_size": 3, "out_size": 1, "width": 4, "depth": 1, "key": KEY, **changed}
    with refuses(*words):
        MLP(**arguments)
