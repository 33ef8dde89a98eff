"""Against the explicit Jacobian, taken by forward mode in one flat vector of all parameters."""

from unittest.mock import patch

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spectralbias import models
from spectralbias.kernels import _structured, empirical_ntk, explain_ntk
from spectralbias.kernels._factors import Factors, flat
from spectralbias.kernels._plan import plan
from spectralbias.kernels._structured import contributions
from weight_uses import OBSTACLES, STRUCTURED, weight

KEYS = iter(jax.random.split(jax.random.key(5), 50))
RNG = np.random.default_rng(9)
VECTORS, SEQUENCES, IMAGES = weight(5, 3), weight(4, 3, 4), weight(3, 2, 6, 5)
TOKENS = jnp.asarray(RNG.integers(0, 7, (4, 3)))


class Network(eqx.Module):
    """Layers by name, and what is done with them."""

    layers: dict
    apply: object = eqx.field(static=True)

    def __call__(self, x):
        return self.apply(self.layers, x)


def network(apply, **layers):
    """With all parameters drawn at random: Equinox starts biases, scales and shifts at 0 and 1."""
    drawn = jax.tree.map(lambda a: 0.6 * weight(*a.shape) if eqx.is_inexact_array(a) else a, layers)
    return Network(drawn, apply)


def linear(*sizes, **settings):
    return eqx.nn.Linear(*sizes, key=next(KEYS), **settings)


def convolution(*settings, **more):
    return eqx.nn.Conv2d(*settings, key=next(KEYS), **more)


def cnn(m, x):
    h = jnp.tanh(m["b"](jax.nn.relu(m["a"](x))))
    return m["last"](eqx.nn.MaxPool2d(2)(h).reshape(-1))


def residual_cnn(m, x):
    h = m["a"](x)
    h = h + m["b"](jax.nn.gelu(m["norm"](h)))
    return m["last"](h.mean((1, 2)))


def decoder(m, x):
    return m["up"](jnp.tanh(m["a"](x))).mean((1, 2))


def residual(m, x):
    h = m["first"](x)
    for block, norm in (("a", "norm_a"), ("b", "norm_b")):
        h = h + jnp.tanh(m[block](m[norm](h)))
    return m["last"](h)[0]


def autoencoder(m, x):
    h = jnp.tanh(m["middle"](jnp.tanh(m["outer"](x))))
    return m["outer"].weight.T @ jnp.tanh(m["middle"].weight.T @ h) + m["shift"]


def gru(m, x):
    return m["last"](lax.scan(lambda h, u: (m["cell"](u, h), None), jnp.zeros(4), x)[0])


def lstm(m, x):
    return m["last"](lax.scan(lambda h, u: (m["cell"](u, h), None), (jnp.zeros(4), jnp.zeros(4)), x)[0][0])


def transformer(m, i):
    h = jax.vmap(m["words"])(i) + m["places"]
    n = jax.vmap(m["norm_a"])(h)
    h = h + m["attention"](n, n, n, mask=jnp.tril(jnp.ones((3, 3), bool)))
    h = h + jax.vmap(m["mlp"])(jax.vmap(m["norm_b"])(h))
    return h[-1] @ m["words"].weight.T


def bag_of_words(m, i):
    return m["last"](jnp.tanh(jax.vmap(m["words"])(i).sum(0)))


def antisymmetric():
    model = models.MLP(3, 2, 5, 2, bias_std=0.7, antisymmetric=True, parameterization="ntk", key=next(KEYS))
    return eqx.tree_at(lambda m: m.mirror, model, jax.tree.map(lambda p: 1.1 * p + 0.05, model.mirror))


MODELS = {
    "mlp": (eqx.nn.MLP(3, 2, 5, 2, activation=jnp.tanh, key=next(KEYS)), VECTORS),
    "antisymmetric": (antisymmetric(), VECTORS),
    "cnn": (
        network(
            cnn, a=convolution(2, 4, 3, padding=1), b=convolution(4, 4, (3, 2), stride=(1, 2), groups=2),
            last=linear(12, 2)
        ), IMAGES,
    ),
    "residual cnn": (
        network(
            residual_cnn, a=convolution(2, 4, 3, dilation=2), norm=eqx.nn.GroupNorm(2, 4),
            b=convolution(4, 4, 3, padding="SAME", use_bias=False), last=linear(4, 2),
        ), IMAGES,
    ),
    "decoder": (
        network(decoder, a=convolution(2, 3, 2), up=eqx.nn.ConvTranspose2d(3, 2, 3, stride=2, key=next(KEYS))), IMAGES
    ),
    "residual": (
        network(
            residual, first=linear(3, 4), a=linear(4, 4), b=linear(4, 4), norm_a=eqx.nn.LayerNorm(4),
            norm_b=eqx.nn.RMSNorm(4), last=linear(4, 1),
        ), VECTORS,
    ),
    "tied autoencoder": (
        network(autoencoder, outer=linear(3, 4), middle=linear(4, 2), shift=jnp.zeros(3)), VECTORS
    ),
    "gru": (network(gru, cell=eqx.nn.GRUCell(4, 4, key=next(KEYS)), last=linear(4, 2)), SEQUENCES),
    "lstm": (network(lstm, cell=eqx.nn.LSTMCell(4, 4, key=next(KEYS)), last=linear(4, 2)), SEQUENCES),
    "transformer": (
        network(
            transformer, words=eqx.nn.Embedding(7, 4, key=next(KEYS)), places=jnp.zeros((3, 4)),
            attention=eqx.nn.MultiheadAttention(2, 4, use_query_bias=True, use_output_bias=True, key=next(KEYS)),
            norm_a=eqx.nn.LayerNorm(4), norm_b=eqx.nn.LayerNorm(4),
            mlp=eqx.nn.MLP(4, 4, 8, 1, activation=jax.nn.gelu, key=next(KEYS)),
        ), TOKENS,
    ),
    "bag of words": (
        network(bag_of_words, words=eqx.nn.Embedding(7, 4, key=next(KEYS)), last=linear(4, "scalar")), TOKENS
    ),
}  # fmt: skip


def flat_output(function):
    return lambda p, x: function(p, x).reshape(-1)


def functions(table):
    return {name: (models.from_function(flat_output(one[0]), one[1]), one[2]) for name, one in table.items()}


# Those that lead to factors of a shape of their own.
FUNCTIONS = functions(
    {
        name: STRUCTURED[name]
        for name in (
            "scaled", "scaled by a root", "queries, keys and values at once", "split", "a sum of powers",
            "a quadratic form", "groups", "heads", "tokens", "a bias after a transpose", "low rank, multiplied first",
            "two layers with one weight", "columns", "one row", "rows and columns of one square", "tied unembedding",
            "images with holes, in groups", "signals", "enlarged images", "recurrent", "stacked, from the last one",
            "nested",
        )
    }
)  # fmt: skip
FALLBACKS = functions(OBSTACLES)


def expected_ntk(jacobian, model, x):
    j = jacobian(model, x)
    return np.einsum("iap,jbp->ijab", j, j)


def assert_close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    assert np.max(np.abs(np.asarray(actual) - expected)) <= tolerance * np.max(np.abs(expected))


def matrix(theta, expected):
    """Θ of a scalar model with the axes of its one output."""
    return np.asarray(theta).reshape(expected.shape)


def fell_back(model, x):
    """The parameters above 1 % of all whose Jacobians are contracted."""
    rows = explain_ntk(model, x).rows
    assert sum(row.share for row in rows) == pytest.approx(1)
    return {row.name for row in rows if row.rule.startswith("jacobian") and row.share > 0.01}


def every_way(model, x):
    """Θ by size and from factors, and its means over outputs from factors by the other way and from gradients."""
    leaves = plan(model, x).leaves

    @eqx.filter_jit
    def grams(model, x):
        chosen = flat(contributions(model, x, leaves))
        with patch.object(_structured, "_smaller", lambda *cluster: (_structured._factors(*cluster),)):
            factors = flat(contributions(model, x, leaves))
        explicit = flat(contributions(model, x, leaves, explicit=True))
        assert any(isinstance(one, Factors) for one in factors)
        assert not any(isinstance(one, Factors) for one in explicit)

        def total(parts, mean, *way):
            return sum(one.gram(one, mean, *way) if isinstance(one, Factors) else one.gram(one, mean) for one in parts)

        full = total(chosen, False), total(factors, False, "factors")
        return [jnp.swapaxes(theta, 1, 2) for theta in full], (total(factors, True, "product"), total(explicit, True))

    return grams(model, x)


def assert_all_equal_the_explicit_product(model, x, expected):
    full, mean = every_way(model, x)
    for theta in full:
        assert_close(theta, expected)
    for theta in mean:
        assert_close(theta, np.einsum("ijaa->ij", expected) / expected.shape[-1])


@pytest.mark.parametrize("name", MODELS)
def test_architectures_equal_the_explicit_jacobian_product_without_falling_back(name, jacobian):
    model, x = MODELS[name]
    expected = expected_ntk(jacobian, model, x)
    assert fell_back(model, x) == set()
    assert_close(matrix(empirical_ntk(model, x, method="structured"), expected), expected)
    assert_all_equal_the_explicit_product(model, x, expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_use_of_a_weight_equals_the_explicit_jacobian_product(name, jacobian):
    model, x = FUNCTIONS[name]
    assert fell_back(model, x) == set()
    assert_all_equal_the_explicit_product(model, x, expected_ntk(jacobian, model, x))


@pytest.mark.parametrize("name", ["cnn", "bag of words"])
def test_tiles_of_two_sets_of_inputs(name, jacobian):
    model, x = MODELS[name]
    expected = expected_ntk(jacobian, model, x)
    theta = empirical_ntk(model, x, x[:2], batch_size=2)
    assert_close(matrix(theta, expected[:, :2]), expected[:, :2])
    mean = np.einsum("ijaa->ij", expected) / expected.shape[-1]
    assert_close(empirical_ntk(model, x, outputs="mean", batch_size=2), mean)


@pytest.mark.parametrize("name", [name for name in FALLBACKS if name != "loop"])
def test_what_has_no_structure_is_right_and_is_reported(name, jacobian, refuses):
    model, x = FALLBACKS[name]
    expected = expected_ntk(jacobian, model, x)
    np.testing.assert_allclose(empirical_ntk(model, x), expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))
    assert fell_back(model, x) == {row.name for row in explain_ntk(model, x).rows}
    with refuses("no structure", "`auto`"):
        empirical_ntk(model, x, method="structured")


def test_a_loop_of_unknown_length_has_no_reverse_mode():
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        empirical_ntk(*FALLBACKS["loop"])


def test_a_selection_that_leaves_out_what_has_no_structure_is_structured():
    model = models.from_function(lambda p, x: p["a"] @ x + jnp.exp(p["b"]), {"a": weight(2, 3), "b": weight(2)})
    x = np.asarray(VECTORS)
    theta = empirical_ntk(model, x, method="structured", parameters=lambda m: m.params["a"])
    np.testing.assert_allclose(theta, (x @ x.T)[:, :, None, None] * np.eye(2), rtol=1e-12)


@pytest.mark.parametrize("name", ["antisymmetric", "bag of words"])
def test_theta_is_the_sum_over_parts(name):
    model, x = MODELS[name]
    theta = np.asarray(empirical_ntk(model, x))
    leaves, structure = jax.tree.flatten(model)
    numbers = [i for i, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf)]
    parts = [
        empirical_ntk(model, x, parameters=jax.tree.unflatten(structure, [i in part for i in range(len(leaves))]))
        for part in (numbers[:1], numbers[1:2], numbers[2:])
    ]
    assert_close(sum(parts), theta, 1e-12)


def test_a_part_is_picked_by_a_function_a_tree_or_a_prefix(jacobian):
    model, x = MODELS["mlp"]
    j = jacobian(model, x).reshape(5, 2, -1)
    sizes = [layer.weight.size + layer.bias.size for layer in model.layers]
    first = j[:, :, : sizes[0]]
    expected = np.einsum("iap,jbp->ijab", first, first)
    nothing = jax.tree.map(lambda _: False, model)
    tree = eqx.tree_at(lambda m: (m.layers[0].weight, m.layers[0].bias), nothing, (True, True))
    prefix = eqx.tree_at(lambda m: m.layers, nothing, (True, False, False))
    for parameters in (lambda m: m.layers[0], lambda m: [m.layers[0].bias, m.layers[0].weight], tree, prefix):
        assert_close(empirical_ntk(model, x, parameters=parameters), expected)
    bias, last = j[:, :, sizes[0] - 5 : sizes[0]], j[:, :, -2:]
    part = empirical_ntk(model, x, parameters=lambda m: (m.layers[0].bias, m.layers[-1].bias))
    assert_close(part, np.einsum("iap,jbp->ijab", *2 * [np.concatenate([bias, last], axis=2)]))
    assert_close(empirical_ntk(model, x, parameters=True), np.asarray(empirical_ntk(model, x)), 1e-13)


def test_a_part_without_influence_has_no_kernel():
    model = models.from_function(lambda p, x: p["a"] @ x, {"a": weight(2, 3), "unused": weight(4)})
    assert not np.any(empirical_ntk(model, VECTORS, parameters=lambda m: m.params["unused"]))
    assert not np.any(empirical_ntk(models.from_function(lambda p, x: x, weight(2)), VECTORS))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (lambda m: [], ("selects no parameter",)),
        (lambda m: m.activation, ("selects no parameter",)),
        (False, ("selects no parameter",)),
        ([True, False], ("tree of booleans", "another structure")),
        ("layers", ("a function", "tree of booleans", "str")),
    ],
)
def test_selections_of_nothing_are_refused(parameters, words, refuses):
    with refuses("`parameters`", *words):
        empirical_ntk(MODELS["mlp"][0], VECTORS, parameters=parameters)


def test_theta_can_be_differentiated_twice_by_the_parameters():
    model, x = MODELS["tied autoencoder"]
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    direction = jax.tree.map(lambda a: weight(*a.shape), arrays)

    @jax.jit
    def theta(arrays):
        return empirical_ntk(eqx.combine(arrays, rest), x)

    @jax.jit
    def along(arrays):
        return jax.jvp(theta, (arrays,), (direction,))[1]

    def central(function, h=1e-5):
        up, down = (jax.tree.map(lambda a, d, s=s: a + s * d, arrays, direction) for s in (h, -h))
        return np.asarray(function(up) - function(down)) / (2 * h)

    first = along(arrays)
    assert_close(first, central(theta), 1e-7)
    assert_close(jax.jvp(along, (arrays,), (direction,))[1], central(along), 1e-7)
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(theta(a) ** 2)))(arrays)
    inner = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True))
    np.testing.assert_allclose(inner, 2 * jnp.sum(theta(arrays) * first), rtol=1e-9)


def test_it_works_inside_jit_and_over_many_models():
    model, x = MODELS["mlp"]
    expected = np.asarray(empirical_ntk(model, x))
    arrays, rest = eqx.partition(model, eqx.is_array)

    @jax.jit
    def twice(arrays, x):
        model = eqx.combine(arrays, rest)
        return empirical_ntk(model, x), empirical_ntk(model, x[:2], np.asarray(VECTORS), batch_size=3)

    for scale in (1.0, 2.0):
        one, two = twice(jax.tree.map(lambda a, s=scale: s * a, arrays), x)
        eager = empirical_ntk(jax.tree.map(lambda a, s=scale: s * a if eqx.is_array(a) else a, model), x)
        assert_close(one, np.asarray(eager), 1e-13)
        assert_close(two, np.asarray(eager)[:2], 1e-13)
    several = jax.tree.map(lambda a: jnp.stack([a, 0.5 * a]), arrays)
    thetas = jax.vmap(lambda arrays: empirical_ntk(eqx.combine(arrays, rest), x))(several)
    assert_close(thetas[0], expected, 1e-12)
    # The programs that were read inside of a trace are of use outside.
    assert_close(empirical_ntk(model, x), expected, 1e-15)


def test_one_model_in_both_precisions_by_turns():
    model, x = MODELS["bag of words"]
    single = jax.tree.map(lambda p: p.astype(jnp.float32) if eqx.is_inexact_array(p) else p, model)
    expected = np.asarray(empirical_ntk(model, x))
    for wide in (True, False, True):
        with jax.enable_x64(wide):
            theta = empirical_ntk(single, np.asarray(x))
            assert theta.dtype == np.float32
            assert_close(theta, expected, 1e-5)


def test_the_parts_of_one_weight_are_added_up_in_the_precision_of_the_output():
    # Products in half precision: their sums over positions are not.
    w = weight(4, 3).astype(jnp.float32)
    x = np.asarray(VECTORS, np.float32)
    model = models.from_function(lambda p, x: (p.astype(jnp.bfloat16) @ x.astype(jnp.bfloat16)).astype(jnp.float32), w)
    h = np.asarray(jnp.asarray(x).astype(jnp.bfloat16).astype(jnp.float32))
    theta = empirical_ntk(model, x, outputs="mean")
    assert theta.dtype == np.float32
    np.testing.assert_allclose(theta, h @ h.T, rtol=1e-6)
