"""Kinks are found in every spelling; the expected functions are written in NumPy, the values by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from spectralbias import models
from spectralbias.models._jaxpr import inline
from spectralbias.models._kinks import Kink, find_nonlinearities
from spectralbias.models._root_values import root_values

Z = jnp.array([-2.0, 0.5, 3.0])


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def relu(z):
    return np.maximum(z, 0)


def leaky(slope):
    return lambda z: np.where(z > 0, z, slope * z)


# name: spelling, the function in NumPy, its breakpoints
PIECEWISE_LINEAR = {
    "jax.nn.relu": (jax.nn.relu, relu, (0,)),
    "maximum": (lambda x: jnp.maximum(x, 0), relu, (0,)),
    "maximum, exchanged": (lambda x: jnp.maximum(0.0, x), relu, (0,)),
    "where": (lambda x: jnp.where(x > 0, x, 0.0), relu, (0,)),
    "where, exchanged": (lambda x: jnp.where(x < 0, 0, x), relu, (0,)),
    "where of arrays": (lambda x: jnp.where(x >= 0, x, jnp.zeros_like(x)), relu, (0,)),
    "select": (lambda x: jax.lax.select(x > 0, x, jnp.zeros_like(x)), relu, (0,)),
    "mask": (lambda x: x * (x > 0), relu, (0,)),
    "half sum": (lambda x: (x + jnp.abs(x)) / 2, relu, (0,)),
    "clip": (lambda x: jnp.clip(x, 0), relu, (0,)),
    "clamp": (lambda x: jax.lax.clamp(0.0, x, jnp.inf), relu, (0,)),
    "minus minimum": (lambda x: x - jnp.minimum(x, 0), relu, (0,)),
    "heaviside": (lambda x: jnp.heaviside(x, 0) * x, relu, (0,)),
    "fmax": (lambda x: jnp.fmax(x, 0.0), relu, (0,)),
    "nan to zero": (lambda x: jnp.where(jnp.isnan(x), 0.0, jnp.maximum(x, 0)), relu, (0,)),
    "checkpoint": (jax.checkpoint(jax.nn.relu), relu, (0,)),
    "vmap": (jax.vmap(jax.nn.relu), relu, (0,)),
    "jit": (jax.jit(lambda x: jnp.maximum(x, 0)), relu, (0,)),
    "sign": (lambda x: x * (jnp.sign(x) + 1) / 2, relu, (0,)),
    "squared mask": (lambda x: x * jnp.square(x > 0), relu, (0,)),
    "leaky_relu": (lambda x: jax.nn.leaky_relu(x, 0.25), leaky(0.25), (0,)),
    "where leaky": (lambda x: jnp.where(x > 0, x, 0.1 * x), leaky(0.1), (0,)),
    "maximum leaky": (lambda x: jnp.maximum(x, 0.1 * x), leaky(0.1), (0,)),
    "relu difference": (lambda x: jax.nn.relu(x) - 0.5 * jax.nn.relu(-x), leaky(0.5), (0,)),
    "abs": (jnp.abs, np.abs, (0,)),
    "residual": (lambda x: jax.nn.relu(x) + x, lambda z: relu(z) + z, (0,)),
    "negative part": (lambda x: -jax.nn.relu(-x), lambda z: np.minimum(z, 0), (0,)),
    "affine": (lambda x: jax.nn.relu(2 * x + 1), lambda z: relu(2 * z + 1), (-0.5,)),
    "nested": (lambda x: jax.nn.relu(1 - jnp.abs(x)), lambda z: relu(1 - np.abs(z)), (-1, 0, 1)),
    "relu6": (jax.nn.relu6, lambda z: np.clip(z, 0, 6), (0, 6)),
    "hard_tanh": (jax.nn.hard_tanh, lambda z: np.clip(z, -1, 1), (-1, 1)),
    "clip on both sides": (lambda x: jnp.clip(x, -1, 2), lambda z: np.clip(z, -1, 2), (-1, 2)),
    "hard_sigmoid": (jax.nn.hard_sigmoid, lambda z: np.clip(z + 3, 0, 6) / 6, (-3, 3)),
    "band": (lambda x: jnp.where((x > 0) & ~(x >= 1), x, 0.0), lambda z: np.where((z > 0) & (z < 1), z, 0), (0, 1)),
    "outside": (
        lambda x: jnp.where((x < -1) | (x > 1), x, 0.0),
        lambda z: np.where(np.abs(z) > 1, z, 0),
        (-1, 1),
    ),
    "xor": (
        lambda x: jnp.where((x > 0) ^ (x > 1), x, 0.0),
        lambda z: np.where((z > 0) & (z < 1), z, 0),
        (0, 1),
    ),
    "jump": (jnp.sign, np.sign, (0,)),
}


def analyze(function, *arguments, inputs=(0,)):
    program = inline(jax.make_jaxpr(function)(*arguments))
    return program, find_nonlinearities(program, inputs)


@pytest.mark.parametrize("name", PIECEWISE_LINEAR)
def test_every_spelling_gives_the_pieces_of_the_function(name):
    spelling, reference, breakpoints = PIECEWISE_LINEAR[name]
    _, found = analyze(spelling, Z)
    assert found.gates == ()
    assert found.obstacle is None
    (kink,) = found.kinks
    assert (kink.path, kink.output, kink.shape, kink.lengths) == ((-1,), 0, (3,), ())
    assert kink.breakpoints == breakpoints
    assert kink.piecewise_linear
    near = np.array(breakpoints)[:, None] + np.array([-1e-9, 1e-9])
    z = np.concatenate([np.linspace(-9, 9, 1234) + 1e-5, near.ravel()])
    piece = np.searchsorted(kink.breakpoints, z)
    lines = np.array(kink.slopes)[piece] * z + np.array(kink.intercepts)[piece]
    np.testing.assert_allclose(lines, reference(z), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(lines, np.asarray(spelling(jnp.asarray(z))), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "breakpoints", "slopes", "obstacle"),
    [
        (jax.nn.elu, (0,), (None, 1), "expm1"),
        (jax.nn.celu, (0,), (None, 1), "expm1"),
        (jax.nn.hard_swish, (-3, 3), (0, None, 1), "mul"),
        (jax.nn.sparse_plus, (-1, 1), (0, None, 1), "integer_pow"),
        (lambda x: jnp.where(x > 0, x, jnp.tanh(x)), (0,), (None, 1), "tanh"),
    ],
)
def test_half_bent_functions_keep_their_breakpoints(function, breakpoints, slopes, obstacle):
    _, found = analyze(function, Z)
    (kink,) = found.kinks
    assert kink.breakpoints == breakpoints
    assert kink.slopes == slopes
    assert not kink.piecewise_linear
    assert found.obstacle == obstacle


@pytest.mark.parametrize(
    ("function", "obstacle"),
    [
        (jnp.tanh, "tanh"),
        (jnp.sin, "sin"),
        (jax.nn.gelu, "integer_pow"),
        (jax.nn.silu, "logistic"),
        (jax.nn.softplus, "exp"),
        (lambda x: x * x, "mul"),
        (lambda x: 1 / x, "div"),
        (lambda x: x @ x, "dot_general"),
        (lambda x: x / jnp.sum(x), "div"),
        (lambda x: jnp.sum(x) * x, "mul"),
        (jnp.prod, "reduce_prod"),
        (jnp.floor, "floor"),
        (lambda x: x.astype(int) * 1.0, "convert_element_type"),
        (lambda x: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: c * 2, x), "while"),
        (lambda x: jax.lax.cond(x[0] > 0, jnp.abs, jnp.negative, x), "cond"),
        (lambda x: jnp.abs(jnp.fft.rfft(x)), "abs"),
        (lambda x: jax.nn.relu(jnp.sin(x)), "sin"),
    ],
)
def test_what_is_not_piecewise_linear_is_named(function, obstacle):
    _, found = analyze(function, Z)
    assert found.obstacle == obstacle


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2 * x + 1,
        lambda x: jnp.maximum(x, 0) + jnp.minimum(x, 0),
        lambda x: jnp.where(x > 0, x, x),
        lambda x: jnp.where(x != x, 0.0, x),
        lambda x: jnp.minimum(x, jnp.inf),
        lambda x: jnp.roll(x, 1)[::-1].reshape(3, 1) * jnp.ones((3, 1)),
        lambda x: x + 0 * jnp.abs(x),
        lambda x: jnp.real(jnp.fft.ifft(jnp.fft.fft(x) * jnp.arange(3))),
        lambda x: jnp.where(jnp.arange(3) > 1, x, -x),
        lambda x: jax.random.bernoulli(jax.random.key(0), 0.5, (3,)) * x,
        lambda x: (jnp.abs(x), x)[1],
        lambda x: jax.nn.relu(jnp.ones(3)) + jnp.cumsum(x),
    ],
)
def test_linear_programs_have_none(function):
    _, found = analyze(function, Z)
    assert (found.kinks, found.gates, found.obstacle) == ((), (), None)


@pytest.mark.parametrize(
    ("function", "gates"),
    [
        (jnp.max, ["reduce_max"]),
        (jnp.sort, ["sort"]),
        (lambda x: jnp.maximum(x, x[::-1]), ["max"]),
        (lambda x: jnp.maximum(x, jnp.arange(3.0)), ["max"]),
        (lambda x: x[jnp.argmax(x)], ["argmax"]),
        (lambda x: jnp.where(x > x[::-1], x, 0), ["gt"]),
        (lambda x: eqx.nn.MaxPool1d(2)(x[None]), ["reduce_window_max"]),
    ],
)
def test_comparisons_between_entries_are_gates(function, gates):
    _, found = analyze(function, Z)
    assert [gate.primitive for gate in found.gates] == gates
    assert found.kinks == ()
    assert found.obstacle is None


def test_functions_of_parameters_alone_do_not_count():
    _, found = analyze(lambda w, x: jnp.exp(jax.nn.relu(w)) @ x, jnp.ones((2, 3)), Z, inputs=(1,))
    assert (found.kinks, found.gates, found.bends) == ((), (), ())


def test_a_slope_that_is_a_parameter_is_none():
    spellings = [
        lambda p, x: jnp.where(x >= 0, x, p * x),
        lambda p, x: jnp.maximum(x, 0) + p * jnp.minimum(x, 0),
        lambda p, x: x * jnp.where(x > 0, 1, p),
    ]
    for spelling in spellings:
        for p in (0.25, jnp.array([0.1, 0.2, 0.3])):
            _, found = analyze(spelling, p, Z, inputs=(1,))
            (kink,) = found.kinks
            assert (kink.breakpoints, kink.slopes, kink.intercepts) == ((0,), (None, 1), (0, 0))
            assert kink.piecewise_linear
            assert (found.gates, found.obstacle) == ((), None)


def test_prelu_of_equinox():
    layer, dynamic = eqx.nn.PReLU(0.3), lambda layer, x: layer(x)
    leaves, treedef = jax.tree.flatten(layer)
    _, found = analyze(lambda p, x: dynamic(jax.tree.unflatten(treedef, [p]), x), leaves[0], Z, inputs=(1,))
    (kink,) = found.kinks
    assert kink.slopes == (None, 1)


def test_one_site_per_variable_however_often_it_is_used():
    _, found = analyze(lambda x: jnp.concatenate([jax.nn.relu(x), jnp.clip(x, -1, 1)]), Z)
    (kink,) = found.kinks
    assert kink.breakpoints == (-1, 0, 1)
    assert kink.slopes == (0, None, 1, None)
    assert kink.intercepts == (None, 0, 0, None)


def test_what_does_not_reach_the_output_is_not_reported():
    def function(x):
        jnp.abs(x).sum()
        return x * (x > x)

    _, found = analyze(function, Z)
    assert found.kinks == ()


def test_a_mask_of_one_variable_on_another_is_piecewise_linear():
    program, found = analyze(lambda x: (x[::-1] > 0) * x, Z)
    (kink,) = found.kinks
    assert kink.breakpoints == (0,)
    assert (found.gates, found.obstacle) == ((), None)
    _, (z,) = root_values(program, [Z], [kink])
    np.testing.assert_array_equal(z, Z[::-1])


def test_a_kink_is_static_and_hashable():
    _, found = analyze(jax.nn.relu, Z)
    _, again = analyze(lambda x: jnp.maximum(x, 0), Z)
    assert isinstance(found.kinks[0], Kink)
    assert jax.tree.leaves(found) == []
    assert hash(found.kinks[0]) == hash(again.kinks[0])
    assert found.kinks == again.kinks


def in_layers(model, x):
    """What a model becomes when its arrays are arguments: the program, its arguments, and what is found."""
    arrays, static = eqx.partition(model, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)

    def function(*arguments):
        return eqx.combine(jax.tree.unflatten(treedef, arguments[:-1]), static)(arguments[-1])

    return *analyze(function, *leaves, x, inputs=(len(leaves),)), leaves


@pytest.mark.parametrize("use_bias", [True, False])
def test_preactivations_of_an_mlp(use_bias):
    mlp = eqx.nn.MLP(3, 2, 5, 3, use_bias=use_bias, final_activation=jnp.abs, key=jr.key(0))
    program, found, leaves = in_layers(mlp, Z)
    assert [kink.shape for kink in found.kinks] == [(5,), (5,), (5,), (2,)]
    assert [kink.slopes for kink in found.kinks] == [(0, 1)] * 3 + [(-1, 1)]
    assert found.obstacle is None

    def direct(x):
        zs = []
        for layer in mlp.layers:
            zs.append(layer.weight @ x + (layer.bias if layer.use_bias else 0))
            x = jnp.maximum(zs[-1], 0)
        return jnp.abs(zs[-1]), zs

    xs = jnp.asarray(normal(1, 7, 3))

    @jax.jit
    def batched(leaves, xs):
        return jax.vmap(lambda x: root_values(program, [*leaves, x], found.kinks))(xs)

    (f,), zs = batched(leaves, xs)
    expected_f, expected_zs = jax.vmap(direct)(xs)
    np.testing.assert_allclose(f, expected_f, rtol=1e-13)
    for z, expected in zip(zs, expected_zs, strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
@pytest.mark.parametrize("parameterization", ["ntk", "standard", "torch"])
def test_the_networks_of_this_package_have_one_site_per_hidden_layer(activation, parameterization):
    model = models.MLP(
        3, "scalar", 4, 2, activation=activation, parameterization=parameterization, bias_std=0.1, key=jr.key(0)
    )
    _, found, _ = in_layers(model, Z)
    assert [(kink.shape, kink.breakpoints) for kink in found.kinks] == [((4,), (0,))] * 2
    assert (found.gates, found.obstacle) == ((), None)


def test_an_encoding_is_the_obstacle_and_the_kinks_behind_it_are_found():
    model = models.coordinate_network(
        2, 1, width=4, depth=2, encoding=models.encodings.PositionalEncoding(2), key=jr.key(0)
    )
    _, found, _ = in_layers(model, jnp.zeros(2))
    assert found.obstacle in ("sin", "cos")
    assert [kink.shape for kink in found.kinks] == [(4,), (4,)]


def test_a_convolutional_network():
    keys = jr.split(jr.key(0), 2)
    first, second = eqx.nn.Conv2d(1, 3, 3, key=keys[0]), eqx.nn.Conv2d(3, 2, 2, stride=2, key=keys[1])

    def network(leaves, x):
        w1, b1, w2, b2 = leaves
        first_ = eqx.tree_at(lambda c: (c.weight, c.bias), first, (w1, b1))
        second_ = eqx.tree_at(lambda c: (c.weight, c.bias), second, (w2, b2))
        h = jax.nn.relu(first_(x))
        return jnp.mean(jnp.where(second_(h) > 0, second_(h), 0), axis=(1, 2))

    leaves = (first.weight, first.bias, second.weight, second.bias)
    x = jnp.asarray(normal(2, 1, 6, 6))
    program = inline(jax.make_jaxpr(network)(leaves, x))
    found = find_nonlinearities(program, (4,))
    assert found.obstacle is None
    # The second layer is written twice: its two outputs are two variables for the reader.
    assert {kink.shape for kink in found.kinks} == {(3, 4, 4), (2, 2, 2)}
    _, zs = root_values(program, [*leaves, x], found.kinks)
    np.testing.assert_allclose(zs[0], first(x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(zs[1], second(jax.nn.relu(first(x))), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_recurrent_network(reverse):
    w, u, xs = jnp.asarray(normal(0, 4, 4)), jnp.asarray(normal(1, 4, 2)), jnp.asarray(normal(2, 5, 2))

    def network(w, u, xs):
        def step(h, x):
            h = jax.nn.relu(w @ h + u @ x)
            return h, h.sum()

        return jax.lax.scan(step, jnp.zeros(4), xs, reverse=reverse)

    program, found = analyze(network, w, u, xs, inputs=(2,))
    (kink,) = found.kinks
    assert (kink.shape, kink.lengths, kink.breakpoints) == ((4,), (5,), (0,))
    assert len(kink.path) == 2
    outputs, (z,) = jax.jit(lambda *arguments: root_values(program, arguments, found.kinks))(w, u, xs)
    h, expected = np.zeros(4), np.zeros((5, 4))
    for t in range(5)[:: -1 if reverse else 1]:
        expected[t] = w @ h + u @ xs[t]
        h = np.maximum(expected[t], 0)
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(outputs[0], h, rtol=1e-12)


def test_layers_stacked_in_a_scan_in_a_scan():
    w, x = jnp.asarray(normal(0, 3, 2, 4, 4)), jnp.asarray(normal(1, 4))

    def network(w, x):
        def block(x, w):
            return jax.lax.scan(lambda h, w: (jnp.abs(w @ h), None), x, w)[0] + x, None

        return jax.lax.scan(jax.checkpoint(block), x, w)[0]

    program, found = analyze(network, w, x, inputs=(1,))
    (kink,) = found.kinks
    assert kink.lengths == (3, 2)
    assert found.obstacle is None
    (f,), (z,) = jax.jit(lambda *arguments: root_values(program, arguments, found.kinks))(w, x)
    assert z.shape == (3, 2, 4)
    w, x = np.asarray(w), np.asarray(x)
    for i in range(3):
        h = x
        for j in range(2):
            np.testing.assert_allclose(z[i, j], w[i, j] @ h, rtol=1e-12, atol=1e-14)
            h = np.abs(w[i, j] @ h)
        x = h + x
    np.testing.assert_allclose(f, x, rtol=1e-12)


def test_a_carried_value_may_be_the_variable_itself():
    def network(w, x):
        return jax.lax.scan(lambda h, w: (w @ jax.nn.relu(h), None), x, w)[0]

    w = jnp.asarray(normal(0, 3, 3, 3))
    program, found = analyze(network, w, Z, inputs=(1,))
    (kink,) = found.kinks
    assert kink.path[-1] == -1
    _, (z,) = root_values(program, [w, Z], found.kinks)
    np.testing.assert_allclose(z[0], Z)
    np.testing.assert_allclose(z[1], w[0] @ np.maximum(Z, 0), rtol=1e-12)


def test_a_loop_over_a_fixed_range():
    w = jnp.asarray(normal(0, 3, 3))
    _, found = analyze(lambda w, x: jax.lax.fori_loop(0, 4, lambda _, h: jax.nn.relu(w @ h), x), w, Z, inputs=(1,))
    (kink,) = found.kinks
    assert kink.lengths == (4,)
    assert found.obstacle is None


def test_a_gated_recurrent_cell_is_not_piecewise_linear():
    cell = eqx.nn.GRUCell(3, 4, key=jr.key(0))
    _, found = analyze(lambda x: cell(x, jnp.zeros(4)), Z)
    assert found.kinks == ()
    assert found.obstacle == "logistic"


def test_attention_and_layer_norm_are_named():
    _, found = analyze(eqx.nn.LayerNorm(3), Z)
    assert found.obstacle in ("square", "integer_pow", "mul", "rsqrt")
    w = jnp.asarray(normal(0, 3, 4))
    x = jnp.ones((5, 3))
    _, found = analyze(lambda x: (x @ w) @ (x @ w).T, x)
    assert found.obstacle == "dot_general"
    _, found = analyze(lambda x: jax.nn.softmax(x, axis=-1), x)
    assert found.obstacle == "exp"
    assert [gate.primitive for gate in found.gates] == ["reduce_max"]


def test_rules_of_differentiation_are_looked_into():
    @jax.custom_vjp
    def layer(w, x):
        return jnp.maximum(w @ x, 0)

    layer.defvjp(lambda w, x: (layer(w, x), (w, x)), lambda wx, t: (wx[0], wx[1]))
    w = jnp.asarray(normal(0, 2, 3))
    program, found = analyze(lambda w, x: layer(w, x).sum(), w, Z, inputs=(1,))
    _, (z,) = root_values(program, [w, Z], found.kinks)
    np.testing.assert_allclose(z, w @ Z, rtol=1e-13)


def test_programs_with_calls_in_them_give_the_same():
    mlp = eqx.nn.MLP(3, 2, 5, 2, activation=jax.nn.hard_tanh, key=jr.key(0))
    program = jax.make_jaxpr(jax.jit(lambda x: mlp(x)))(Z)
    found = find_nonlinearities(program, (0,))
    inlined = find_nonlinearities(inline(program), (0,))
    assert [k.breakpoints for k in found.kinks] == [k.breakpoints for k in inlined.kinks] == [(-1, 1)] * 2
    _, zs = root_values(program, [Z], found.kinks)
    _, expected = root_values(inline(program), [Z], inlined.kinks)
    for z, other in zip(zs, expected, strict=True):
        np.testing.assert_allclose(z, other, rtol=1e-13)


def _layers(*activations):
    """A network whose layer k has activation k, with weights that are constants of the program."""

    def network(x):
        for k, activation in enumerate(activations):
            w = normal(k, 6, x.size)
            x = activation(w @ x / np.sqrt(x.size) + normal(k + 9, 6))
        return x.sum()

    return network


def _residual(x):
    for k in range(3):
        w = normal(k, 2, 3, 3)
        x = x + w[0] @ jax.nn.relu(w[1] @ x)
    return jnp.abs(x).sum()


def _tied_masks(x):
    w = normal(0, 2, 3, 3)
    gate = (w[0] @ x > 0.5) & (w[1] @ x < 1)
    return jnp.sum(jnp.where(gate[::-1], w[1] @ x, jax.nn.relu6(w[0] @ x + 3)))


def _recurrent(x):
    w = normal(0, 3, 3)
    h, hs = jax.lax.scan(lambda h, _: (jax.nn.hard_tanh(w @ h + x), jnp.abs(h)), jnp.zeros(3), None, length=4)
    return h.sum() + hs.sum()


@pytest.mark.parametrize(
    "network",
    [
        _layers(jax.nn.relu, jax.nn.relu, jnp.abs),
        _layers(jax.nn.leaky_relu, lambda z: z * (z > 0), jax.nn.hard_sigmoid),
        _layers(lambda z: jax.nn.relu(z) - jax.nn.relu(z - 1), lambda z: jnp.sign(z) * z + jnp.clip(z, -1, 1)),
        _layers(lambda z: jnp.piecewise(z, [z < -1, z > 1], [lambda z: -z, lambda z: 2 * z - 1, 0.0])),
        _layers(lambda z: jnp.select([z < 0, z < 1], [0 * z, z], 1.0)),
        _residual,
        _tied_masks,
        _recurrent,
    ],
)
def test_where_all_patterns_agree_the_network_is_affine(network):
    program, found = analyze(network, Z)
    assert (found.gates, found.obstacle) == ((), None)
    t = jnp.linspace(-2, 2, 2001)[:, None]
    x = t * jnp.array([[1.0, -0.7, 0.4]]) + 0.1
    (f,), zs = jax.jit(jax.vmap(lambda x: root_values(program, [x], found.kinks)))(x)
    pieces = [np.searchsorted(kink.breakpoints, z).reshape(len(z), -1) for kink, z in zip(found.kinks, zs, strict=True)]
    pattern = np.concatenate(pieces, axis=1)
    same = np.all((pattern[:-2] == pattern[1:-1]) & (pattern[1:-1] == pattern[2:]), axis=1)
    bent = np.abs(np.diff(np.asarray(f), 2)) > 1e-10
    assert not np.any(bent & same)
    assert np.any(bent)
    assert np.mean(same) > 0.9


def test_a_value_at_the_breakpoint_counts_to_the_piece_below():
    program, found = analyze(jax.nn.relu, Z)
    _, (z,) = root_values(program, [jnp.array([-1.0, 0.0, 1.0])], found.kinks)
    np.testing.assert_array_equal(jnp.searchsorted(jnp.array(found.kinks[0].breakpoints), z), [0, 0, 1])


def test_in_float32_the_breakpoints_are_those_of_the_numbers_used():
    x = jnp.ones(3, jnp.float32)
    _, found = analyze(lambda x: jax.nn.relu(x - 0.1), x)
    (kink,) = found.kinks
    assert kink.dtype == jnp.float32
    assert kink.breakpoints == (float(np.float32(0.1)),)
