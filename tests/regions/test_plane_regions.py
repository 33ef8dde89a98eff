"""Exact regions in a plane: against rational arithmetic, a fine grid, an arrangement of lines, the network itself."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rational_regions import distinct_vertices_and_edges, rational_pattern, rational_regions
from spectralbias import models, regions


@dataclasses.dataclass(frozen=True)
class Net:
    """A ReLU network as a plain function; `weights` (out, in)."""

    weights: list
    biases: list
    activation: object = jax.nn.relu

    def __call__(self, x):
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = self.activation(w @ x + b)
        return self.weights[-1] @ x + self.biases[-1]

    def patterns(self, x):
        """z > 0 of all hidden units, in NumPy."""
        bits = []
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = x @ w.T + b
            bits.append(z > 0)
            x = np.maximum(z, 0)
        return np.concatenate(bits, axis=1)


def random_net(seed, *sizes, draw=None):
    rng = np.random.default_rng(seed)
    draw = draw or (lambda *shape: rng.normal(size=shape))
    pairs = list(itertools.pairwise(sizes))
    return Net([draw(b, a) for a, b in pairs], [draw(b) for _, b in pairs])


def whole_numbers(seed):
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.integers(-2, 3, shape).astype(float)


def euler(found):
    return found.num_vertices - found.num_edges + len(found.cells)


def check_maps(model, found, origin=None, axes=None, bound=1e-9):
    """f at random points of random polygons, and the window's area."""
    rng = np.random.default_rng(0)
    u = rng.uniform(found.lower, found.upper, (3000, 2))
    x = u if origin is None else origin + np.tensordot(u, axes, 1)
    f = np.asarray(jax.jit(jax.vmap(model))(jnp.asarray(x))).reshape(len(u), -1)
    at = found.locate(u)
    assert np.abs(np.einsum("ncd,nd->nc", found.maps[at], np.c_[u, np.ones(len(u))]) - f).max() < bound
    window = np.prod(np.subtract(found.upper, found.lower))
    assert abs(found.areas.sum() / window - 1) < 1e-9
    assert found.areas.min() > 0
    return found


@pytest.fixture(scope="module")
def network():
    return random_net(0, 2, 14, 14, 1)


@pytest.fixture(scope="module")
def found(network):
    return regions.plane_regions(network, -1.5, 1.5)


@pytest.mark.parametrize(
    "net",
    [
        random_net(
            3, 2, 8, 8, 1, draw=lambda *shape: np.round(16 * np.random.default_rng(shape).normal(size=shape)) / 16
        ),
        random_net(0, 2, 8, 8, 1, draw=whole_numbers(0)),
        random_net(0, 2, 8, 8, 1, draw=whole_numbers(5)),
    ],
    ids=["random", "whole numbers", "other whole numbers"],
)
def test_regions_equal_those_of_rational_arithmetic(net):
    """Whole numbers: lines through one point, identical ones, units that are zero in whole regions."""
    expected = rational_regions(net.weights[:-1], net.biases[:-1], -2, 2)
    found = check_maps(net, regions.plane_regions(net, -2, 2))
    assert found.count == len(expected) > 50
    assert (found.num_vertices, found.num_edges) == distinct_vertices_and_edges(expected)
    assert euler(found) == 1
    patterns = [rational_pattern(net.weights[:-1], net.biases[:-1], point) for point in found.points]
    areas = dict(zip(patterns, found.areas, strict=True))
    exact = {region.pattern: region.area for region in expected}
    assert areas.keys() == exact.keys()
    assert max(abs(area - float(exact[pattern])) for pattern, area in areas.items()) < 1e-13
    corners = {tuple(np.round([float(c) for c in p], 9) + 0.0) for region in expected for p in region.corners}
    assert {tuple(p) for p in np.round(found.subdivision.vertices, 9) + 0.0} == corners


@given(st.integers(0, 10**6), st.booleans())
def test_networks_of_whole_numbers_equal_rational_arithmetic(seed, biased):
    """Many lines through one point, along edges, or everywhere zero: nothing is lost, and nothing counted twice."""
    net = random_net(0, 2, 5, 5, 1, draw=whole_numbers(seed))
    net = net if biased else dataclasses.replace(net, biases=[0 * b for b in net.biases])
    model = models.MLP(2, "scalar", 5, 2, parameterization="torch", key=jr.key(0))
    layers = [dataclasses.replace(layer, weight=jnp.asarray(w.T), bias=jnp.asarray(b))
              for layer, w, b in zip(model.layers, net.weights, net.biases, strict=True)]  # fmt: skip
    found = regions.plane_regions(eqx.tree_at(lambda m: m.layers, model, tuple(layers)), -1, 1)
    expected = rational_regions(net.weights[:-1], net.biases[:-1], -1, 1)
    assert (found.num_vertices, found.num_edges) == distinct_vertices_and_edges(expected)
    exact = {region.pattern: float(region.area) for region in expected}
    patterns = [rational_pattern(net.weights[:-1], net.biases[:-1], point) for point in found.points]
    ours = dict(zip(patterns, found.areas, strict=True))
    assert ours.keys() == exact.keys()
    assert found.count == len(exact) == len(expected)
    assert max(abs(ours[pattern] - exact[pattern]) for pattern in exact) < 1e-13


def test_every_pattern_of_a_fine_grid_is_there_and_every_point_in_its_polygon(network, found):
    powers = 2.0 ** np.arange(28)
    codes = network.patterns(found.points) @ powers
    assert len(np.unique(codes)) == found.count > 100
    a, b = found.vertices, np.roll(found.vertices, -1, axis=0)
    b[found.offsets[1:] - 1] = a[found.offsets[:-1]]
    counts = np.diff(found.offsets)
    sides = np.minimum(np.arange(counts.max()), counts[:, None] - 1) + found.offsets[:-1, None]
    axis = np.linspace(-1.5, 1.5, 2000)
    seen = []
    for u in np.split(axis, 8):
        grid = np.stack(np.meshgrid(u, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        code = network.patterns(grid) @ powers
        at = found.locate(grid)
        assert np.array_equal(codes[at], code)
        for k in range(counts.max()):
            p, q = (ends[sides[at, k]].T for ends in (a, b))
            left = (q[0] - p[0]) * (grid[:, 1] - p[1]) - (q[1] - p[1]) * (grid[:, 0] - p[0])
            assert left.min() > -1e-12
        seen.append(np.unique(at))
    share = len(np.unique(np.concatenate(seen))) / found.count
    assert 0.9 < share <= 1  # even four million points miss some


def test_areas_add_up_and_maps_are_those_of_the_network(network, found):
    check_maps(network, found)
    assert np.array_equal(found.locate(found.points), np.arange(found.count))
    assert np.array_equal(found.cells, np.arange(found.count))
    assert euler(found) == 1
    assert (found.status, found.tolerance) == (regions.RegionsStatus.exact, 0.0)
    assert len(found.polygons) == found.count
    assert np.allclose([p.mean(axis=0) for p in found.polygons], found.points)


def test_boundaries_are_where_units_are_zero(network, found):
    """Each edge is labelled with a unit whose z is zero at both of its ends, in its layer."""
    middles = found.segments.mean(axis=1)
    edges = found.subdivision
    labels = edges.labels[found.between]
    z, h = [], middles
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        z.append(h @ w.T + b)
        h = np.maximum(z[-1], 0)
    assert np.abs(np.concatenate(z, axis=1)[np.arange(len(labels)), labels]).max() < 1e-12
    assert np.array_equal(found.segment_layers, labels // 14)
    assert found.layer_offsets == (0, 14, 28)
    outer = edges.labels < 0
    assert np.array_equal(outer, edges.sides[:, 1] < 0)
    ends = edges.vertices[edges.edges[outer]]
    assert np.isclose(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum(), 12.0)


@pytest.mark.parametrize("seed", range(3))
def test_one_hidden_layer_has_the_regions_of_an_arrangement_of_lines(seed):
    net = random_net(seed, 2, 60, 1)
    (w, _), (b, _) = net.weights, net.biases
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ w.T + b
    crossing = (corners.max(axis=0) > 0) & (corners.min(axis=0) < 0)
    inside = 0
    for i, j in itertools.combinations(range(60), 2):
        inside += np.abs(np.linalg.solve(w[[i, j]], -b[[i, j]])).max() < 1
    found = regions.plane_regions(net, -1, 1)
    assert found.count == 1 + crossing.sum() + inside > 200
    assert found.num_vertices == inside + 2 * crossing.sum() + 4


def test_neurons_may_be_rescaled(network, found):
    rng = np.random.default_rng(1)
    weights, biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
    for layer in range(2):
        scale = 10.0 ** rng.uniform(-4, 4, 14)
        weights[layer] *= scale[:, None]
        biases[layer] *= scale
        weights[layer + 1] /= scale
    same = regions.plane_regions(Net(weights, biases), -1.5, 1.5)
    assert same.count == found.count
    at = same.locate(found.points)
    assert np.array_equal(np.sort(at), np.arange(found.count))
    assert np.abs(same.areas[at] - found.areas).max() < 1e-13
    assert np.abs(same.maps[at] - found.maps).max() < 1e-9


class Convolutional(eqx.Module):
    """A convolution with a residual connection, a scan over equal layers, and hard-tanh: breakpoints at -1 and 1."""

    filters: jax.Array
    mix: jax.Array
    head: jax.Array

    def __call__(self, x):
        h = jax.lax.conv(x[None, None], self.filters, (1, 1), "SAME")[0]
        h = h + jax.nn.leaky_relu(h)

        def layer(h, w):
            return h + 0.1 * jnp.clip(w @ h, -1.0, 1.0), None

        h, _ = jax.lax.scan(layer, h.ravel(), self.mix)
        return self.head @ jnp.where(h > 0, h, jnp.expm1(0.0) + 0.25 * h)


def test_any_piecewise_linear_network_in_a_plane_of_its_inputs():
    keys = jr.split(jr.key(0), 3)
    model = Convolutional(
        jr.normal(keys[0], (3, 1, 3, 3)), jr.normal(keys[1], (2, 27, 27)), jr.normal(keys[2], (2, 27))
    )
    rng = np.random.default_rng(0)
    origin, axes = rng.normal(size=(3, 3)), rng.normal(size=(2, 3, 3))
    found = regions.plane_regions(model, (-1, 0.5), (1, 0.9), origin=origin, axes=axes)
    check_maps(model, found, origin, axes)
    assert euler(found) == 1
    assert found.layer_offsets == (0, 27, 27 + 54, 27 + 108, 27 + 108 + 27)
    assert set(found.segment_layers.tolist()) == {0, 1, 2, 3}
    x = origin + np.tensordot(found.points, axes, 1)
    assert regions.activation_patterns(model, x).num_distinct == found.count > 500
    u = np.array([[-0.9, 0.6], [0.8, 0.85]])
    along = regions.line_regions(model, *(origin + np.tensordot(u, axes, 1))[:, None])
    t = np.concatenate([[0.0], along.breakpoints[0], [1.0]])
    middles = u[0] + (t[1:] + t[:-1])[:, None] / 2 * (u[1] - u[0])
    assert len(np.unique(found.locate(middles))) == len(middles) > 20
    assert np.abs(found.maps[found.locate(middles), :, :2] @ (u[1] - u[0]) - along.maps[0][:, :, 0]).max() < 1e-9


def test_two_equal_copies_cut_along_each_other():
    """f = 0 at the start of an antisymmetric network; every line is there twice."""
    sizes = {"parameterization": "torch", "key": jr.key(0)}
    both = regions.plane_regions(models.MLP(2, "scalar", 12, 2, antisymmetric=True, **sizes), -1, 1)
    one = regions.plane_regions(models.MLP(2, "scalar", 12, 2, **sizes), -1, 1)
    assert both.count == one.count
    assert np.allclose(np.sort(both.areas), np.sort(one.areas), rtol=0, atol=1e-14)
    assert both.layer_offsets == (0, 24, 48)
    assert np.abs(both.maps).max() == 0


def test_a_network_without_biases_has_regions_that_meet_in_the_origin(found):
    model = models.MLP(2, "scalar", 16, 2, key=jr.key(1))
    cones = check_maps(model, regions.plane_regions(model, -1, 1))
    assert euler(cones) == 1
    assert all(np.abs(p).min(axis=0).max() < 1 and np.any(np.all(np.abs(p) < 1e-12, axis=1)) for p in cones.polygons)


def test_a_network_that_jumps():
    """A step activation: regions of the second layer end where those of the other side do not."""
    rng = np.random.default_rng(0)
    w1, w2, w3 = rng.normal(size=(10, 2)), rng.normal(size=(10, 10)), rng.normal(size=10)

    def model(x):
        return w3 @ jax.nn.relu(w1 @ x + 0.1 * w2 @ jnp.sign(w1 @ x + w2[0]))

    found = check_maps(model, regions.plane_regions(model, -1, 1))
    assert found.count > 50
    assert len(found.segments) == np.sum(found.subdivision.labels >= 0)


def test_float32_networks_are_computed_in_float64():
    model = jax.tree.map(
        lambda a: a.astype(jnp.float32), models.MLP(2, 2, 16, 2, parameterization="torch", key=jr.key(3))
    )
    with jax.enable_x64(False):
        found = regions.plane_regions(model, -1.0, 1.0)
    precise = jax.tree.map(lambda a: a.astype(jnp.float64), model)
    check_maps(precise, found)
    assert (found.precision, found.maps.dtype, found.maps.shape[1:]) == ("float64", np.float64, (2, 3))


def test_an_affine_model_has_one_region():
    found = regions.plane_regions(lambda x: 3 * x[0] - x[1] + 2, 0, (2, 1))
    assert found.count == 1
    assert np.allclose(found.maps, [[[3, -1, 2]]])
    assert found.areas.tolist() == [2.0]
    assert (found.num_vertices, found.num_edges) == (4, 4)


def test_what_cannot_be_done_is_refused(refuses, network):
    with refuses("empty", "lower"):
        regions.plane_regions(network, 1, 1)
    with refuses("empty", "lower"):
        regions.plane_regions(network, (0, 0), (1, -1))
    with refuses("`lower` must be a number or two", "(3,)"):
        regions.plane_regions(network, (0, 0, 0), 1)
    with refuses("`upper`", "not finite"):
        regions.plane_regions(network, 0, np.inf)
    with refuses("more than 10 regions", "max_regions"):
        regions.plane_regions(network, -1, 1, max_regions=10)
    with refuses("both `origin` and `axes`"):
        regions.plane_regions(network, -1, 1, origin=np.zeros(2))
    with refuses("`axes`", "(2, 2)", "(2,)"):
        regions.plane_regions(network, -1, 1, origin=np.zeros(2), axes=np.ones(2))
    with refuses("span"):
        regions.plane_regions(network, -1, 1, origin=np.zeros(2), axes=np.ones((2, 2)))
    with refuses("input of shape (2,)"):
        regions.plane_regions(random_net(0, 3, 4, 1), -1, 1)
    with refuses("`logistic`", "not piecewise linear", "no kinks"):
        regions.plane_regions(dataclasses.replace(network, activation=jax.nn.sigmoid), -1, 1)
    with refuses("`tanh`", "after a kink"):
        regions.plane_regions(dataclasses.replace(network, activation=lambda z: jnp.tanh(jax.nn.relu(z))), -1, 1)
    with refuses("max pooling", "`reduce_max`"):
        regions.plane_regions(lambda x: jnp.max(jax.nn.relu(x)), -1, 1)
    with refuses("parameters that are not finite"):
        regions.plane_regions(_broken(), -1, 1)


def _broken():
    model = models.MLP(2, "scalar", 4, 1, key=jr.key(0))
    return eqx.tree_at(lambda m: m.layers[0].weight, model, model.layers[0].weight.at[0, 0].set(jnp.nan))


def test_points_outside_the_window_are_refused(refuses, found):
    with refuses("window"):
        found.locate([[2.0, 0.0]])
    with refuses("(n, 2)"):
        found.locate([[0.0, 0.0, 0.0]])
