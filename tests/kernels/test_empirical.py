import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias import models
from spectralbias.kernels import _plan, empirical_ntk
from spectralbias.models.encodings import FourierFeatures, Interval, PositionalEncoding

KEY = jax.random.key(11)
RNG = np.random.default_rng(4)
X1, X2 = RNG.standard_normal((7, 3)), RNG.standard_normal((4, 3))

MODELS = {
    "scalar": {"out_size": "scalar"},
    "vector with biases": {"out_size": 2, "bias_std": 0.7},
    "antisymmetric": {"out_size": 2, "bias_std": 0.7, "antisymmetric": True, "output_scale": 3.0},
    "standard, tanh": {"out_size": "scalar", "parameterization": "standard", "activation": "tanh", "bias_std": 0.4},
    "torch, gelu": {"out_size": 2, "parameterization": "torch", "activation": "gelu", "output_scale": 0.1},
    "torch, sine": {"out_size": "scalar", "parameterization": "torch", "activation": "sin"},
    "positional": {"out_size": 2, "encoding": PositionalEncoding(1), "depth": 1},
    "fourier": {
        "out_size": "scalar",
        "encoding": FourierFeatures(3, 3, 0.5, key=jax.random.key(1)),
        "antisymmetric": True,
        "depth": 1,
    },
    "own activation, interval": {"out_size": 1, "activation": jnp.cbrt, "encoding": Interval(0.5, 2.0)},
}


def build(name):
    settings = {"in_size": 3, "width": 6, "depth": 2, "key": KEY, **MODELS[name]}
    model = models.MLP(**settings)
    if model.mirror is None:
        return model
    # As after some training: the copies differ.
    return eqx.tree_at(lambda m: m.mirror, model, jax.tree.map(lambda p: 1.1 * p + 0.05, model.mirror))


def expected_ntk(j1, j2, scalar):
    theta = np.einsum("iap,jbp->ijab", j1, j2)
    return theta[:, :, 0, 0] if scalar else theta


def assert_close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert np.max(np.abs(np.asarray(actual) - expected)) <= tolerance * np.max(np.abs(expected))


@pytest.mark.parametrize("name", MODELS)
def test_both_methods_equal_the_explicit_jacobian_product(name, jacobian):
    model = build(name)
    j = jacobian(model, np.concatenate([X1, X2]))
    expected = expected_ntk(j[:7], j[7:], model.out_size == "scalar")
    assert_close(empirical_ntk(model, X1, X2, method="structured"), expected)
    assert_close(empirical_ntk(model, X1, X2, method="jacobian"), expected)


@pytest.mark.parametrize("method", ["structured", "jacobian"])
def test_one_argument_is_twice_the_same_and_the_mean_is_over_equal_outputs(method):
    model = build("vector with biases")
    whole = np.asarray(empirical_ntk(model, X1, X1, method=method))
    assert_close(empirical_ntk(model, X1, method=method), whole, 1e-14)
    mean = np.einsum("ijaa->ij", whole) / 2
    assert_close(empirical_ntk(model, X1, method=method, outputs="mean"), mean, 1e-13)
    assert_close(empirical_ntk(model, X1, method=method, outputs="mean", batch_size=4), mean, 1e-13)


@pytest.mark.parametrize("method", ["structured", "jacobian"])
@pytest.mark.parametrize("batch_size", [3])
def test_tiles_that_do_not_divide_the_samples_change_nothing(method, batch_size, monkeypatch):
    model = build("vector with biases")
    whole = np.asarray(empirical_ntk(model, X1, X2, method=method))
    tiled = empirical_ntk(model, X1, X2, method=method, batch_size=batch_size)
    assert_close(tiled, whole, 1e-14)
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", 1)
    assert_close(empirical_ntk(model, X1[:3], X2[:2], method=method), whole[:3, :2], 1e-14)


def test_a_function_with_shared_and_unused_parameters(jacobian):
    parameters = {"w": jnp.asarray(RNG.standard_normal((3, 2))), "s": jnp.asarray(0.3), "unused": jnp.ones(2)}
    model = models.from_function(lambda p, x: jnp.sin(x @ p["w"]) @ p["w"].T * p["s"] + x, parameters)
    theta = empirical_ntk(model, X1, X2)
    assert theta.shape == (7, 4, 3, 3)
    assert_close(theta, expected_ntk(jacobian(model, X1), jacobian(model, X2), False))


def test_inputs_of_any_shape(jacobian):
    model = models.from_function(lambda p, image: jnp.sum(jnp.tanh(p * image)), jnp.ones((2, 3)))
    images = RNG.standard_normal((5, 2, 3))
    assert_close(empirical_ntk(model, images), expected_ntk(jacobian(model, images), jacobian(model, images), True))


def test_whole_numbers_index_an_embedding_and_are_numbers_to_a_network():
    table = jnp.asarray(RNG.standard_normal((4, 2)))
    model = models.from_function(lambda p, i: jnp.sum(p[i[0]] ** 2), table)
    indices = np.array([[0], [2], [2]])
    rows = 2 * np.asarray(table)[indices[:, 0]]
    same = indices == indices.T
    assert_close(empirical_ntk(model, indices), same * (rows @ rows.T))
    network = build("scalar")
    whole = np.arange(6).reshape(2, 3)
    assert_close(empirical_ntk(network, whole), np.asarray(empirical_ntk(network, whole.astype(float))), 1e-15)


def test_frozen_frequencies_have_no_part_in_it(jacobian):
    model = build("fourier")
    trained = eqx.tree_at(
        lambda m: m.encoding, model, lambda x, b=model.encoding.frequencies.value: model.encoding(x) + 0 * jnp.sum(b)
    )
    assert_close(empirical_ntk(trained, X1), np.asarray(empirical_ntk(model, X1)))


def test_a_single_layer_by_hand():
    # f = s Σ v_j relu(w_j·x): Θ = s² (relu(Wx)·relu(Wx') + x·x' Σ v_j² 1[w_j·x > 0] 1[w_j·x' > 0]).
    model = models.cao_network(3, 6, output_scale=0.7, key=KEY)
    w, v = np.asarray(model.layers[0].weight), np.asarray(model.layers[1].weight)[:, 0]
    z = X1 @ w
    active = v * (z > 0)
    expected = 0.49 / 6 * (np.maximum(z, 0) @ np.maximum(z, 0).T + (X1 @ X1.T) * (active @ active.T))
    assert_close(empirical_ntk(model, X1), expected, 1e-13)


MODEL = build("vector with biases")


@given(st.integers(0, 2**32 - 1), st.permutations(range(7)))
def test_it_is_symmetric_positive_and_equivariant_under_permutations(seed, order):
    x = np.random.default_rng(seed).standard_normal((7, 3))
    theta = np.asarray(empirical_ntk(MODEL, x))
    matrix = theta.transpose(0, 2, 1, 3).reshape(14, 14)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12, atol=1e-12 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * np.trace(matrix)
    np.testing.assert_allclose(empirical_ntk(MODEL, x[order]), theta[order][:, order], rtol=1e-12, atol=1e-12)


def test_the_dtype_is_that_of_the_parameters():
    model = build("vector with biases")
    single = jax.tree.map(lambda p: p.astype(jnp.float32) if eqx.is_array(p) else p, model)
    for method in ("structured", "jacobian"):
        theta = empirical_ntk(single, X1, method=method)
        assert theta.dtype == jnp.float32
        assert_close(theta, np.asarray(empirical_ntk(model, X1)), 1e-5)


def test_a_second_call_traces_nothing():
    traced = []

    def spy(z):
        traced.append(z)
        return jnp.tanh(z)

    model = models.MLP(3, "scalar", 6, 1, activation=spy, key=KEY)
    first = empirical_ntk(model, X1)
    count = len(traced)
    # Other numbers in the same structure, as in a probe during training.
    changed = jax.tree.map(lambda p: 2.0 * p if eqx.is_array(p) else p, model)
    assert np.max(np.abs(empirical_ntk(changed, X1) - first)) > 0.1
    assert len(traced) == count > 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x1": X1[0]}, ("`x1`", "(n, dim)", "(3,)")),
        ({"x1": X1[:0]}, ("`x1`", "(0, 3)")),
        ({"x2": X2[0]}, ("`x2`", "(3,)")),
        ({"x1": X1 * np.nan}, ("`x1`", "not finite")),
        ({"x2": np.full((2, 3), np.inf)}, ("`x2`", "not finite")),
        ({"x2": X2[:, :2]}, ("`x1`", "`x2`", "(3,)", "(2,)")),
        ({"x1": X1[:, :2], "x2": None}, ("(2,)", "float64")),
        ({"x1": X1[None], "x2": None}, ("`x1`", "(n, dim)", "(1, 7, 3)")),
        ({"x1": X1 + 1j}, ("`x1`", "real", "complex128")),
        ({"x1": [[1.0, 2.0], [3.0]]}, ("`x1`", "array of numbers", "list")),
        ({"x2": {"a": 1.0}}, ("`x2`", "array of numbers", "dict")),
        ({"method": "jacobain"}, ("method", "`jacobain`", "`jacobian`")),
        ({"outputs": "trace"}, ("outputs", "`trace`", "mean")),
        ({"batch_size": 0}, ("`batch_size`", "0")),
    ],
)
def test_bad_arguments_are_refused(changed, words, refuses):
    arguments = {"x1": X1, "x2": X2, **changed}
    with refuses(*words):
        empirical_ntk(build("scalar"), **arguments)


def test_layers_in_training_mode_are_refused_and_in_inference_mode_welcome(refuses):
    linear = eqx.nn.Linear(3, 2, key=KEY)
    random = eqx.nn.Sequential([linear, eqx.nn.Dropout(0.5)])
    with refuses("`Dropout`", "training mode", "equinox.nn.inference_mode(model)"):
        empirical_ntk(random, X1)
    expected = np.asarray(empirical_ntk(linear, X1))
    assert_close(empirical_ntk(eqx.nn.inference_mode(random), X1), expected, 1e-15)
    assert_close(empirical_ntk(eqx.nn.Sequential([linear, eqx.nn.Dropout(0.0)]), X1), expected, 1e-15)

    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(2, axis_name="batch", mode="ema")
    for model in (norm, eqx.nn.inference_mode(norm)):

        def apply(p, x, state=state):
            return p["norm"](p["linear"](x), state)[0]

        with_statistics = models.from_function(apply, {"linear": linear, "norm": model})
        if model.inference:
            assert empirical_ntk(with_statistics, X1).shape == (7, 7, 2, 2)
        else:
            with refuses("`BatchNorm`", "training mode", "inference_mode"):
                empirical_ntk(with_statistics, X1)


def test_models_that_cannot_be_used_are_refused(refuses):
    with refuses("(2, 2)", "vector"):
        empirical_ntk(models.from_function(lambda p, x: p * x[:2, None], jnp.ones((2, 2))), X1)
    with refuses("one array", "tuple"):
        empirical_ntk(models.from_function(lambda p, x: (p @ x, x), jnp.ones(3)), X1)
    with refuses("no parameters"):
        empirical_ntk(lambda x: jnp.sum(x), X1)
    with refuses("parameters must be real", "complex128", ".params"):
        empirical_ntk(models.from_function(lambda p, x: jnp.abs(p @ x), jnp.ones(3, complex)), X1)
    with refuses("(3,)", "float64", "dot_general", "(4,)"):
        empirical_ntk(models.from_function(lambda p, x: p @ x, jnp.ones(4)), X1)
    with refuses("`.params`", "no structure", "`exp`", "`auto`"):
        empirical_ntk(models.from_function(lambda p, x: jnp.exp(p) @ x, jnp.ones(3)), X1, method="structured")
