"""What the program reader finds, by hand: the equations that a person would underline in each function."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spectralbias import models
from spectralbias.models._reader import read_program
from weight_uses import BOTH, IMAGES, OBSTACLES, SQUARE, STRUCTURED, TOKENS, WORDS, B, W, X, dense, weight

KEY = jax.random.key(2)


def read(function, parameters, x):
    """The uses by the last key of a parameter; those of a single array as the use of "w"."""
    single = not isinstance(parameters, dict)

    def apply(p, x):
        f = function(p["w"] if single else p, x)
        return f.reshape(-1)

    program = read_program(models.from_function(apply, {"w": parameters} if single else parameters), x)
    return {name.split("'")[1]: use for name, use in zip(program.names, program.uses, strict=True)}


@pytest.mark.parametrize("name", STRUCTURED)
def test_weights_are_found_with_their_biases(name):
    function, parameters, x, expected = STRUCTURED[name]
    uses = read(function, parameters, x)
    names = list(uses)
    for key, known in (expected if isinstance(expected, dict) else {"w": expected}).items():
        use = uses[key]
        if isinstance(known, str):  # a bias
            assert use.rule == "elementwise"
            assert use.reason == f"bias of .params['{known}']"
            assert names[uses[known].bias[0]] == key
        else:
            assert (use.rule, use.reason, len(use.sites), len(use.clusters)) == known
            has_bias = isinstance(expected, dict) and key in expected.values()
            assert (use.bias is not None) == has_bias


def test_the_factor_of_a_bias_makes_up_for_the_scales_around_it():
    # z = W x, f = 0.5 z / 4 - 2 b, with right = 0.5 ∂f/∂z = 1/16: ∂f/∂b = -2 = -32 right.
    use = read(lambda p, x: ((0.5 * p["w"]) @ x) / 4 + (-2.0) * p["b"], BOTH, X)["w"]
    assert use.sites[0].view.scale == 0.5
    assert use.bias == (0, -16.0)


def test_scans_around_a_site():
    (site,) = read(*STRUCTURED["nested"][:3])["w"].sites
    assert site.lengths == (2, 5)
    assert site.view.stacked == (True, False)
    (site,) = read(*STRUCTURED["recurrent"][:3])["v"].sites
    assert site.lengths == (5,)
    assert site.view.stacked == (False,)


ELEMENTWISE = {
    "bias": (lambda p, x: jnp.tanh(x + p) @ x, weight(3), X),
    "learned positions": (lambda p, x: jnp.tanh(x + p).sum(0), weight(5, 3), TOKENS),
    "scale": (lambda p, x: jnp.tanh(x * p), weight(3), X),
    "one plus a scale": (lambda p, x: jnp.tanh(x * (1 + p)), weight(3), X),
    "a number": (lambda p, x: p * x, weight(), X),
    "used twice": (lambda p, x: jnp.tanh(x + p) + p, weight(3), X),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_is_added_or_multiplied_entry_by_entry(name):
    use = read(*ELEMENTWISE[name])["w"]
    assert use.rule == "elementwise"
    assert use.reason == ("scale" if "scale" in name or name == "a number" else "bias")


NOT_FUSED = {
    "used twice": lambda p, x: jnp.tanh(dense(p, x)) + p["b"],
    "the product is used elsewhere too": lambda p, x: (
        jnp.tanh(dense(p, x)) + p["w"] @ x + (lambda z: z + z)(p["w"] @ x)
    ),
    "the product has two readers": lambda p, x: (lambda z: jnp.tanh(z + p["b"]) * z)(p["w"] @ x),
    "along another axis": lambda p, x: jnp.tanh(jnp.outer(p["w"] @ x, x[:1])[:, 0] + p["b"]),
    "the weight has two products": lambda p, x: jnp.tanh(p["w"] @ x + p["b"]) + p["w"] @ x**2,
    "half of the product, twice": lambda p, x: jnp.concatenate(2 * [(p["w"] @ x)[:2]]) + p["b"],
    "half of the product, broadcast": lambda p, x: jnp.broadcast_to((p["w"] @ x)[:2], (2, 2)).reshape(-1) + p["b"],
}


@pytest.mark.parametrize("name", NOT_FUSED)
def test_a_bias_that_is_not_the_sum_of_the_products_gradients_stays_alone(name):
    uses = read(NOT_FUSED[name], BOTH, X)
    assert uses["w"].bias is None
    assert (uses["b"].rule, uses["b"].reason) == ("elementwise", "bias")


def test_a_bias_per_token_stays_alone_and_one_per_channel_goes_along():
    per_token = read(lambda p, x: (x @ p["w"].T + p["b"][:, None]).sum(0), {"w": W, "b": weight(5)}, TOKENS)
    assert per_token["w"].bias is None
    image = read(
        lambda p, x: lax.conv(x[None], p["w"], (1, 1), "SAME")[0] + p["b"][:, None, None],
        {"w": weight(2, 4, 3, 2), "b": weight(2)},
        IMAGES,
    )  # fmt: skip
    assert image["w"].bias == (0, 1.0)


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_has_no_structure_is_said_with_the_reason(name):
    function, parameters, x, reason = OBSTACLES[name]
    use = read(function, parameters, x)["w"]
    assert use.rule == "jacobian"
    assert reason in use.reason
    assert use.sites == ()


def test_parameters_without_influence():
    uses = read(lambda p, x: x.sum() + 0 * p["s"].size, {"s": weight(2), "w": W}, X)
    assert {use.rule for use in uses.values()} == {"unused"}


def test_equinox_layers():
    class Model(eqx.Module):
        words: eqx.nn.Embedding
        attention: eqx.nn.MultiheadAttention
        norm: eqx.nn.LayerNorm
        cell: eqx.nn.GRUCell

        def __call__(self, i):
            h = jax.vmap(self.words)(i)
            h = jax.vmap(self.norm)(h + self.attention(h, h, h))
            return lax.scan(lambda s, u: (self.cell(u, s), None), jnp.zeros(4), h)[0]

    attention = eqx.nn.MultiheadAttention(2, 4, use_query_bias=True, key=KEY)
    model = Model(eqx.nn.Embedding(6, 4, key=KEY), attention, eqx.nn.LayerNorm(4), eqx.nn.GRUCell(4, 4, key=KEY))
    program = read_program(model, WORDS)
    reasons = {name: use.reason for name, use in zip(program.names, program.uses, strict=True)}
    assert reasons == {
        ".words.weight": "lookup",
        ".attention.query_proj.weight": "matrix product",
        ".attention.query_proj.bias": "bias of .attention.query_proj.weight",
        ".attention.key_proj.weight": "matrix product",
        ".attention.value_proj.weight": "matrix product",
        ".attention.output_proj.weight": "matrix product",
        ".norm.weight": "scale",
        ".norm.bias": "bias",
        ".cell.weight_ih": "matrix product",
        ".cell.weight_hh": "matrix product",
        ".cell.bias": "bias of .cell.weight_ih",
        ".cell.bias_n": "bias",
    }


def test_a_program_is_traced_once_per_structure():
    traced = []

    def apply(p, x):
        traced.append(x.shape)
        return jnp.tanh(p @ x)

    first = read_program(models.from_function(apply, W), X)
    assert read_program(models.from_function(apply, 2 * W), X + 1) is first
    assert len(traced) == 1
    read_program(models.from_function(apply, SQUARE), X)
    read_program(models.from_function(apply, W.astype(jnp.float32)), X)
    assert len(traced) == 3


def test_running_the_program_gives_the_output_and_what_multiplies_the_parameters():
    model = models.from_function(dense, {"w": jnp.arange(12.0).reshape(4, 3), "b": B})
    program = read_program(model, X)
    use = program.uses[1]
    (site,) = use.sites
    x = jnp.array([1.0, -2.0, 3.0])
    taps = {site.path: jnp.arange(4.0)}
    output, found = program([model.params["b"], model.params["w"]], x, taps, use.sites)
    np.testing.assert_allclose(output, model(x) + np.arange(4))
    np.testing.assert_allclose(found[site.path, site.geometry.operand], x)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda p, x: jnp.outer(p[0], x), ("scalar () or a vector (c,)", "(3, 3)")),
        (lambda p, x: (p @ x, x), ("one array", "tuple")),
        (lambda p, x: jnp.argmax(p @ x), ("real", "int")),
        (lambda p, x: p @ x + 1j, ("real", "complex128")),
        (lambda p, x: p @ x[:2], ("(3,)", "float64", "dot_general")),
    ],
)
def test_models_that_cannot_be_read_are_refused(function, words, refuses):
    with refuses(*words):
        read_program(models.from_function(function, W), X)


def test_errors_that_are_not_about_shapes_are_the_users_own():
    with pytest.raises(KeyError, match="missing"):
        read_program(models.from_function(lambda p, x: p["missing"], BOTH), X)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        read_program(models.from_function(lambda p, x: p @ x if x[0] > 0 else x, W), X)
    with pytest.raises(ValueError, match="dot_general") as caught:
        read_program(models.from_function(lambda p, x: p @ x[:2], W), X)
    assert isinstance(caught.value.__cause__, TypeError)
