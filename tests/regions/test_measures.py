"""Distances, norms and angles against weights written out in NumPy, closed forms and brute force."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from spectralbias import models, regions
from spectralbias.regions import _norms


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def affine_layers(model, layers=None):
    """(W, b) of every layer of our MLP as they act, W (out, in)."""
    found = []
    for layer in model.layers if layers is None else layers:
        weight = layer.weight_scale * np.asarray(layer.weight).T
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias_scale * np.asarray(layer.bias)
        found.append((weight, bias))
    return found


def relu_distances(layers, x):
    """For one x and every hidden layer: |z|/‖w‖ and |z|/‖∂z/∂x‖ of its units."""
    h, slope, found = x, np.eye(len(x)), []
    for weight, bias in layers[:-1]:
        z, slope = weight @ h + bias, weight @ slope
        found.append((np.abs(z) / np.linalg.norm(weight, axis=1), np.abs(z) / np.linalg.norm(slope, axis=1)))
        h, slope = np.maximum(z, 0), slope * (z > 0)[:, None]
    return found


@pytest.fixture(scope="module")
def network():
    return models.MLP(2, 3, 7, 3, bias_std=0.4, key=jr.key(0))


FILTERS, SHIFTS, DENSE, BIAS = normal(10, 3, 2, 3, 3), normal(11, 3), normal(12, 3, 4), normal(13, 4)


def convolutional(params, x):
    """A convolution with stride 2 that pads, average pooling, a dense layer, and a sum."""
    filters, shifts, dense, bias = params
    (z,) = jax.lax.conv_general_dilated(x[None], filters, (2, 2), [(1, 1), (1, 1)])
    h = jax.nn.relu(z + shifts[:, None, None]).mean(axis=(1, 2))
    return jax.nn.relu(h @ dense + bias).sum()


@pytest.fixture(scope="module")
def convolution():
    return models.from_function(convolutional, [jnp.asarray(a) for a in (FILTERS, SHIFTS, DENSE, BIAS)])


def convolution_matrix(side):
    """The rows of the convolution on images (2, side, side), (3 · out², 2 · side²)."""
    out = (side + 1) // 2
    matrix = np.zeros((3, out, out, 2, side, side))
    for i, j, k, m in itertools.product(range(out), range(out), range(3), range(3)):
        row, column = 2 * i + k - 1, 2 * j + m - 1
        if 0 <= row < side and 0 <= column < side:
            matrix[:, i, j, :, row, column] += FILTERS[:, :, k, m]
    return matrix.reshape(3 * out**2, 2 * side**2)


def test_distances_of_an_mlp(network):
    x = normal(1, 25, 2)
    direct = [relu_distances(affine_layers(network), xi) for xi in x]
    for number, space in enumerate(("layer", "input")):
        expected = np.array([[layer[number].min() for layer in one] for one in direct])
        found = regions.boundary_distance(network, x, space=space, per_layer=True, batch_size=9)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        found = regions.boundary_distance(network, x, space=space, batch_size=9)
        np.testing.assert_allclose(found, expected.min(axis=1), rtol=1e-12)


def test_the_distance_in_x_is_the_one_at_which_the_pattern_changes(network):
    x = normal(2, 6, 2)
    distance = regions.boundary_distance(network, x, space="input")
    angle = 2 * np.pi * np.arange(2000) / 2000
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for xi, r in zip(x, distance, strict=True):
        inside = regions.activation_patterns(network, np.concatenate([xi[None], xi + 0.999 * r * circle]))
        assert inside.num_distinct == 1
        beyond = regions.activation_patterns(network, np.concatenate([xi[None], xi + 1.01 * r * circle]))
        assert beyond.num_distinct > 1


def test_distances_through_an_encoding_and_several_breakpoints():
    """|z ∓ 1| over the norms, with the derivative of the encoding (sin πx, cos πx) by hand."""
    w, b = normal(3, 2, 5), normal(4, 5)
    encoding = models.encodings.PositionalEncoding(1)

    def apply(params, x):
        return jax.nn.hard_tanh(encoding(x) @ params[0] + params[1]).sum()

    model = models.from_function(apply, [jnp.asarray(w), jnp.asarray(b)])
    x = np.linspace(-0.9, 0.9, 8)[:, None]
    features = np.concatenate([np.sin(np.pi * x), np.cos(np.pi * x)], axis=1)
    z = features @ w + b
    away = np.minimum(np.abs(z - 1), np.abs(z + 1))
    slope = np.pi * np.concatenate([np.cos(np.pi * x), -np.sin(np.pi * x)], axis=1) @ w
    expected = (away / np.linalg.norm(w, axis=0)).min(axis=1)
    np.testing.assert_allclose(regions.boundary_distance(model, x), expected, rtol=1e-12)
    found = regions.boundary_distance(model, x, space="input")
    np.testing.assert_allclose(found, (away / np.abs(slope)).min(axis=1), rtol=1e-10)


def test_units_that_never_switch_have_no_boundary():
    w = np.array([[1.0, 0.0], [0.0, 0.0]])
    model = models.from_function(lambda p, x: jax.nn.relu(x @ p[0] + p[1]).sum(), [jnp.asarray(w), jnp.array([0.5, 2])])
    for space in ("layer", "input"):
        np.testing.assert_allclose(regions.boundary_distance(model, np.array([[0.25, 9.0]]), space=space), 0.75)
    model = models.from_function(lambda p, x: jax.nn.relu(x @ p + 1.0).sum(), jnp.zeros((2, 2)))
    assert regions.boundary_distance(model, np.array([[0.25, 9.0]]))[0] == np.inf


def test_a_convolutional_network(convolution):
    """Rows, norms and distances of the convolution as the matrix that it is; pooling belongs to the dense layer."""
    model, side = convolution, 5
    first = convolution_matrix(side)
    pool = np.kron(np.eye(3), np.full((1, 9), 1 / 9))
    second = DENSE.T @ pool
    x = normal(5, 4, 2, side, side)
    z = x.reshape(4, -1) @ first.T + np.repeat(SHIFTS, 9)
    distances = [np.abs(z) / np.linalg.norm(first, axis=1)]
    z = np.maximum(z, 0) @ second.T + BIAS
    distances.append(np.abs(z) / np.linalg.norm(second, axis=1))
    expected = np.stack([one.min(axis=1) for one in distances], axis=1)
    np.testing.assert_allclose(regions.boundary_distance(model, x, per_layer=True), expected, rtol=1e-12)
    norms = regions.spectral_norms(model, x)
    values = [np.linalg.svd(one)[1][0] for one in (first, second)]
    np.testing.assert_allclose(norms.values, [*values, 2.0], rtol=1e-12)  # the sum of 4 units has norm √4
    np.testing.assert_allclose(norms.lipschitz, 2 * values[0] * values[1], rtol=1e-12)
    angles = regions.hyperplane_angles(model, x)
    rows = np.concatenate([first, np.pad(second, [(0, 0), (0, 50 - 27)])])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(angles.cosines, rows @ rows.T, atol=1e-12)
    np.testing.assert_array_equal(angles.offsets, [0, 27, 31])


def test_norms_by_lanczos_are_those_of_the_dense_matrix(convolution, monkeypatch):
    monkeypatch.setattr(_norms, "_DENSE", 100)
    found = regions.spectral_norms(convolution, np.ones((1, 2, 7, 7))).values[0]
    np.testing.assert_allclose(found, np.linalg.svd(convolution_matrix(7))[1][0], rtol=1e-10)


@pytest.mark.parametrize("antisymmetric", [False, True])
def test_norms_and_angles_of_an_mlp(antisymmetric):
    encoding = models.encodings.PositionalEncoding(2)
    model = models.MLP(1, "scalar", 6, 2, antisymmetric=antisymmetric, encoding=encoding, key=jr.key(1))
    copies = [affine_layers(model)]
    if antisymmetric:
        model = eqx.tree_at(lambda m: m.mirror[1].weight, model, jnp.asarray(3 * normal(1, 6, 6)))
        copies.append(affine_layers(model, model.mirror))
    norms = regions.spectral_norms(model, np.ones((3, 1)))
    single = [[np.linalg.svd(weight)[1][0] for weight, _ in copy] for copy in copies]
    if antisymmetric:
        stacked = np.linalg.svd(np.concatenate([copy[0][0] for copy in copies]))[1][0]
        last = np.linalg.norm(np.concatenate([copy[2][0][0] for copy in copies])) / 2**0.5
        expected = [stacked, max(single[0][1], single[1][1]), last]
    else:
        expected = single[0]
    np.testing.assert_allclose(norms.values, expected, rtol=1e-12)
    np.testing.assert_allclose([norms.product, norms.lipschitz], np.prod(expected), rtol=1e-12)
    assert norms.names == ("layer 1", "layer 2", "output")
    angles = regions.hyperplane_angles(model, np.ones((3, 1)))
    k = len(copies)
    rows = np.zeros((12 * k, 6 * k))
    for c, copy in enumerate(copies):
        rows[6 * c : 6 * c + 6, :4] = copy[0][0]
        rows[6 * (k + c) : 6 * (k + c) + 6, 6 * c : 6 * c + 6] = copy[1][0]
    expected = [[u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u in rows] for v in rows]
    np.testing.assert_allclose(angles.cosines, expected, atol=1e-12)
    np.testing.assert_array_equal(angles.offsets, [0, 6 * k, 12 * k])


def test_the_product_of_norms_is_a_bound_where_it_is_given():
    """Slopes other than 1 count; a residual network is no chain."""
    w = [jnp.asarray(normal(k, 3, 3)) for k in range(2)]

    def chain(params, x):
        for weight in params:
            z = x @ weight
            x = jnp.where(z > 0, 3 * z, z)
        return x

    model = models.from_function(chain, w)
    norms = regions.spectral_norms(model, np.ones((1, 3)))
    values = [np.linalg.svd(np.asarray(weight))[1][0] for weight in w]
    np.testing.assert_allclose(norms.values, [3 * values[0], 3 * values[1], 1.0], rtol=1e-12)
    np.testing.assert_allclose(norms.lipschitz, 9 * values[0] * values[1], rtol=1e-12)
    jacobians = jax.jit(jax.vmap(jax.jacobian(model)))(jnp.asarray(normal(9, 200, 3)))
    steepest = np.linalg.norm(jacobians, 2, axis=(1, 2)).max()
    assert 0.3 * norms.lipschitz < steepest <= norms.lipschitz
    residual = models.from_function(lambda p, x: x + jax.nn.relu(jax.nn.relu(x @ p[0]) @ p[1] + x), w)
    assert np.isnan(regions.spectral_norms(residual, np.ones((1, 3))).lipschitz)
    jump = models.from_function(lambda p, x: (z := x @ p[0]) * (z > 1), w)
    assert np.isnan(regions.spectral_norms(jump, np.ones((1, 3))).lipschitz)
    folded = models.from_function(lambda p, x: jnp.abs(x) @ p, w[0])  # units that read x itself
    np.testing.assert_allclose(regions.spectral_norms(folded, np.ones((1, 3))).lipschitz, values[0], rtol=1e-12)


def test_a_scanned_network_has_the_measures_of_its_layers():
    weights, x = normal(0, 3, 4, 4), normal(1, 5, 4)
    scanned = models.from_function(
        lambda p, x: jax.lax.scan(lambda h, w: (jax.nn.relu(h @ w), None), x, p)[0].sum(), jnp.asarray(weights)
    )
    norms = regions.spectral_norms(scanned, x).values
    np.testing.assert_allclose(norms[:3], [np.linalg.svd(w)[1][0] for w in weights], rtol=1e-12)
    layers = [(w.T, np.zeros(4)) for w in [*weights, weights[0]]]
    with np.errstate(invalid="ignore"):  # gradients in x behind layers that are off
        direct = np.array([[d[0].min() for d in relu_distances(layers, xi)] for xi in x])
    np.testing.assert_allclose(regions.boundary_distance(scanned, x, per_layer=True), direct, rtol=1e-12)


def test_what_belongs_to_the_first_layer():
    """Scales and a shift of the input are an encoding; a hidden scale belongs to the layer that reads it."""
    w = normal(0, 2, 3)
    model = models.from_function(lambda p, x: jax.nn.hard_sigmoid((2 * x + 1) @ (5 * p)).sum(), jnp.asarray(w))
    weight, bias = regions.first_layer(model, np.ones((1, 2)))
    np.testing.assert_allclose(weight, np.repeat(5 / 6 * w.T, 2, axis=0), rtol=1e-15)
    np.testing.assert_allclose(bias, [0.5, -0.5] * 3)
    norms = regions.spectral_norms(model, np.ones((1, 2))).values
    np.testing.assert_allclose(norms, [5 / 6 * np.linalg.svd(w)[1][0], 3**0.5])
    turned = models.from_function(lambda p, x: jax.nn.relu(1 - 2 * (x @ p)).sum(), jnp.asarray(w))
    weight, bias = regions.first_layer(turned, np.ones((1, 2)))
    np.testing.assert_allclose(weight, -2 * w.T)
    np.testing.assert_allclose(bias, 1)


def test_inradius_in_one_dimension():
    """Half the length of the interval between two cuts."""
    cuts = np.array([-0.6, -0.1, 0.35, 0.7])
    weight = np.array([[2.0], [-3.0], [0.5], [1.0]])
    points = np.array([[-0.9], [-0.3], [0.1], [0.2], [0.5], [0.99]])
    ends = np.array([-1, *cuts, 1])
    place = np.searchsorted(cuts, points[:, 0])
    expected = (ends[place + 1] - ends[place]) / 2
    np.testing.assert_allclose(regions.inradius(weight, -weight[:, 0] * cuts, points), expected, atol=1e-9)


def test_inradius_of_boxes_and_triangles():
    """A box cut by axis-parallel lines; a right triangle with legs a, b has the inradius (a + b - √(a² + b²))/2."""
    weight, bias = np.array([[0.0, 3.0], [4.0, 0.0], [0.0, 0.0]]), np.array([-0.6, 2.0, 5.0])
    points = [[0.0, 0.0], [0.0, 0.5], [-0.9, 0.9], [-0.9, -1.0]]
    found = regions.inradius(weight, bias, points, lower=[-1, -2], upper=1)
    np.testing.assert_allclose(found, [0.75, 0.4, 0.25, 0.25], atol=1e-9)
    found = regions.inradius([[0.5, 1.0]], [-1.0], [[0.1, 0.1], [1.9, 0.9]], lower=0, upper=[2, 1])
    np.testing.assert_allclose(found, (3 - 5**0.5) / 2, atol=1e-9)


def test_inradius_by_brute_force():
    """On a fine grid the radius at a point is its distance to the nearest cut or side; the largest in each region."""
    weight, bias = normal(0, 6, 2), 0.5 * normal(1, 6)
    line = np.linspace(-1, 1, 201)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    z = (grid @ weight.T + bias) / np.linalg.norm(weight, axis=1)
    radius = np.minimum(np.abs(z).min(axis=1), (1 - np.abs(grid)).min(axis=1))
    patterns = np.unique(z > 0, axis=0, return_inverse=True)[1].ravel()
    largest = np.zeros(patterns.max() + 1)
    np.maximum.at(largest, patterns, radius)
    points = grid[np.random.default_rng(2).integers(len(grid), size=60)]
    numbers = patterns[
        np.round((points[:, 1] + 1) * 100).astype(int) * 201 + np.round((points[:, 0] + 1) * 100).astype(int)
    ]
    found = regions.inradius(weight, bias, points)
    assert np.all(found >= largest[numbers] - 1e-9)
    assert np.all(found <= largest[numbers] + 0.01)  # half the diagonal of a cell of the grid is 0.0071
    assert len(set(numbers)) > 8


@pytest.mark.parametrize(("frequencies", "published"), [(4, 0.020), (8, 0.038)])
def test_published_inradii(frequencies, published):
    """The modes that Lazzari & Liu show, of 512 units with PyTorch's initialization and 4 features per frequency."""
    rng, dim = np.random.default_rng(0), 4 * frequencies
    weight, bias = rng.uniform(-1, 1, (512, dim)) / dim**0.5, rng.uniform(-1, 1, 512) / dim**0.5
    found = regions.inradius(weight, bias, rng.uniform(-1, 1, (24, dim)))
    np.testing.assert_allclose(np.median(found), published, rtol=0.15)


def test_encoding_distance():
    encoding = models.encodings.PositionalEncoding(2)
    points = normal(0, 6, 2)
    angles = np.concatenate([np.pi * points, 2 * np.pi * points], axis=1)
    features = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    expected = np.array([[np.linalg.norm(a - b) for a in features] for b in features])
    np.testing.assert_allclose(regions.encoding_distance(encoding, points), expected, atol=1e-12)
    pairs = [[0, 5], [2, 2]]
    np.testing.assert_allclose(regions.encoding_distance(encoding, points, pairs), [expected[0, 5], 0], atol=1e-12)


def test_bad_arguments(network, refuses):
    x = normal(0, 4, 2)
    with refuses("`space`", "'x'"):
        regions.boundary_distance(network, x, space="x")
    smooth = models.MLP(2, "scalar", 4, 2, activation="tanh", key=jr.key(0))
    for function in (regions.boundary_distance, regions.spectral_norms, regions.hyperplane_angles, regions.first_layer):
        with refuses("`tanh`"):
            function(smooth, x)
    pooled = models.from_function(
        lambda p, x: jax.nn.relu(jnp.max((x @ p).reshape(2, 3), axis=0)).sum(), jnp.asarray(normal(1, 2, 6))
    )
    for function in (regions.boundary_distance, regions.spectral_norms, regions.hyperplane_angles, regions.first_layer):
        with refuses("layer 1", "`reduce_max`"):
            function(pooled, x)
    assert regions.boundary_distance(pooled, x, space="input").shape == (4,)

    def normalized(params, x):
        z = x @ params[0]
        return jax.nn.relu(params[1] * ((z - z.mean()) / jnp.std(z))).sum()

    layer_norm = models.from_function(normalized, [jnp.asarray(normal(1, 2, 6)), jnp.ones(6)])
    with refuses("layer 1", "`div`"):
        regions.boundary_distance(layer_norm, x)
    with refuses("`weight`", "(3, 2)", "(2,)"):
        regions.inradius(np.ones((3, 2)), np.ones(2), x)
    with refuses("`points`", "point 1", "0 others"):
        regions.inradius(np.ones((3, 2)), np.ones(3), [[0.0, 0.0], [0.0, 1.5]])
    with refuses("`lower`", "`upper`"):
        regions.inradius(np.ones((3, 2)), np.ones(3), [[0.0, 0.0]], lower=[0.0, 1.0])
    with refuses("`lower`", "(2,)"):
        regions.inradius(np.ones((3, 2)), np.ones(3), [[0.0, 0.0]], lower=[0.0, 1.0, 2.0])
    encoding = models.encodings.PositionalEncoding(2)
    with refuses("`points`", "(4,)"):
        regions.encoding_distance(encoding, x[:, 0])
    with refuses("`pairs`", "0 to 3"):
        regions.encoding_distance(encoding, x, [[0, 4]])
    with refuses("`encoding`", "()"):
        regions.encoding_distance(jnp.sum, x)
