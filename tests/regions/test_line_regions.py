"""Breakpoints along segments: against the kinks of a dense scan, regions of a plane, and the network itself."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from spectralbias import models, regions


@pytest.fixture(scope="module")
def model():
    return models.MLP(3, 2, 24, 3, parameterization="torch", key=jr.key(0))


@pytest.fixture(scope="module")
def ends():
    return np.random.default_rng(0).uniform(-2, 2, (2, 300, 3))


@pytest.fixture(scope="module")
def many(model, ends):
    return regions.line_regions(model, *ends)


def changes(bits):
    """After which point of a scan the pattern changes."""
    return np.flatnonzero(np.any(bits[1:] != bits[:-1], axis=1))


def test_breakpoints_equal_the_kinks_of_a_dense_scan(model):
    start, end = np.array([-2.0, 1.0, -3.0]), np.array([3.0, 0.5, 2.0])
    found = regions.line_regions(model, start, end)
    t = np.linspace(0, 1, 20001)
    x = jnp.asarray(start + t[:, None] * (end - start))
    f = np.asarray(jax.jit(jax.vmap(model))(x))
    kinks = t[changes(regions.activation_patterns(model, x).bits)]
    assert len(kinks) == len(found.breakpoints) > 50
    assert np.all((kinks <= found.breakpoints) & (found.breakpoints <= kinks + t[1]))
    bent = t[1:-1][np.abs(np.diff(f, 2, axis=0)).max(axis=1) > 1e-11]
    assert np.abs(bent[:, None] - found.breakpoints).min(axis=1).max() < t[1]
    piece = np.searchsorted(found.breakpoints, t)
    assert np.abs(found.maps[piece, :, 0] * t[:, None] + found.maps[piece, :, 1] - f).max() < 1e-9
    assert found.counts.tolist() == [len(found.breakpoints) + 1]
    assert (found.tolerance, found.status) == (0.0, regions.RegionsStatus.exact)
    assert found.resolved.all()


def test_a_breakpoint_is_where_its_unit_is_zero(model, ends, many):
    start, end = (e[np.repeat(np.arange(300), many.counts - 1)] for e in ends)
    h, z = start + many.values[:, None] * (end - start), []
    for layer in model.layers[:-1]:
        z.append(h @ np.asarray(layer.weight) + np.asarray(layer.bias))
        h = np.maximum(z[-1], 0)
    z = np.concatenate(z, axis=1)
    assert np.abs(z[np.arange(len(z)), many.units]).max() < 1e-14
    assert np.array_equal(np.concatenate(many.layers), many.units // 24)
    assert many.layer_offsets == (0, 24, 48, 72)


def test_many_segments_equal_one_after_the_other(model, ends, many):
    assert len(many.breakpoints) == len(many.maps) == len(many.counts) == 300
    for i in (0, 17, 299):
        one = regions.line_regions(model, ends[0, i], ends[1, i])
        assert np.abs(one.breakpoints - many.breakpoints[i]).max() < 1e-13
        assert np.abs(one.maps - many.maps[i]).max() < 1e-12
        back = regions.line_regions(model, ends[1, i], ends[0, i])
        assert np.abs(1 - back.breakpoints[::-1] - one.breakpoints).max() < 1e-13
    assert all(np.all(np.diff(t) > 0) and t[0] > 0 and t[-1] < 1 for t in many.breakpoints if len(t))


def test_a_segment_meets_the_regions_of_a_plane_that_contains_it():
    model = models.MLP(2, "scalar", 24, 3, parameterization="torch", key=jr.key(1))
    plane = regions.plane_regions(model, -1, 1)
    along = regions.line_regions(model, [-1.0, -0.7], [1.0, 0.9])
    t = np.concatenate([[0.0], along.breakpoints, [1.0]])
    middles = np.array([-1.0, -0.7]) + (t[1:] + t[:-1])[:, None] / 2 * np.array([2.0, 1.6])
    at = plane.locate(middles)
    assert len(np.unique(at)) == len(at) == along.counts[0] > 15
    slope = plane.maps[at, 0, :2] @ np.array([2.0, 1.6])
    assert np.abs(slope - along.maps[:, 0, 0]).max() < 1e-12


def test_breakpoints_that_coincide_are_one():
    """Two units that are zero at one point, one of them twice as steep; one that is zero at an end."""

    def model(x):
        return jnp.sum(jax.nn.relu(jnp.stack([x[0] - 1, 2 - 2 * x[0], x[0], x[0] - 4, 0 * x[0]])))

    found = regions.line_regions(model, [0.0], [4.0])
    assert found.breakpoints.tolist() == [0.25]
    assert np.allclose(found.maps, [[[-4.0, 2.0]], [[8.0, -1.0]]])


def test_every_breakpoint_of_an_activation_counts():
    found = regions.line_regions(lambda x: jnp.clip(x, -1, 2) + jnp.abs(x), [-3.0], [3.0])
    assert np.allclose(found.breakpoints, [2 / 6, 3 / 6, 5 / 6])
    assert np.allclose(found.maps[:, 0, 0], [-6, 0, 12, 6])


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_behind_an_encoding_breakpoints_are_those_of_the_network_itself(tolerance):
    encoding = models.encodings.PositionalEncoding(4)
    model = models.coordinate_network(1, "scalar", width=24, depth=2, encoding=encoding, key=jr.key(1))
    found = regions.line_regions(model, [[-1.0], [0.2]], [[1.0], [0.3]], tolerance=tolerance)
    assert (found.tolerance, found.status) == (tolerance, regions.RegionsStatus.interpolated)
    for i, (start, end) in enumerate([(-1.0, 1.0), (0.2, 0.3)]):
        x = jnp.linspace(start, end, 40001)[:, None]
        patterns = regions.activation_patterns(model, x)
        bits = np.concatenate([patterns.layer(0), patterns.layer(1)], axis=1)
        flips = set(zip(*(k.tolist() for k in np.nonzero(bits[1:] != bits[:-1])), strict=True))
        part = slice(*found.offsets[i : i + 2])
        intervals = np.floor(found.values[part] * 40000).astype(int).tolist()
        ours = set(zip(intervals, found.units[part].tolist(), strict=True))
        assert ours <= flips
        assert len(flips - ours) <= (0 if tolerance == 1e-3 else 20)
        assert set(found.layers[i].tolist()) == {0, 1}
        assert len(ours) == len(intervals) == found.counts[i] - 1 > 10
    angles = np.pi * 2.0 ** np.arange(4) * (-1 + 2 * found.breakpoints[0])[:, None]
    (w1, b1), (w2, b2) = ((np.asarray(layer.weight), np.asarray(layer.bias)) for layer in model.layers[:2])
    z = np.concatenate([np.sin(angles), np.cos(angles)], axis=1) @ w1 + b1
    z = np.concatenate([z, np.maximum(z, 0) @ w2 + b2], axis=1)
    assert found.resolved.all()
    assert np.abs(z[np.arange(len(z)), found.units[: len(z)]]).max() < 1e-11
    ends = np.concatenate([[0.0], found.breakpoints[0], [1.0]])
    f = jax.vmap(model)(jnp.asarray(2 * ends - 1)[:, None])
    line = found.maps[0][:, 0]
    assert np.abs(line[:, 0] * ends[:-1] + line[:, 1] - f[:-1]).max() < 1e-9
    assert np.abs(line[:, 0] * ends[1:] + line[:, 1] - f[1:]).max() < 1e-9


def test_what_cannot_be_done_is_refused(refuses, model):
    with refuses("one point"):
        regions.line_regions(model, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with refuses("one shape", "(3,)", "(2,)"):
        regions.line_regions(model, np.zeros(3), np.ones(2))
    with refuses("(s, dim)"):
        regions.line_regions(model, 0.0, 1.0)
    with refuses("`end`", "not finite"):
        regions.line_regions(model, np.zeros(3), [1.0, np.nan, 0.0])
    with refuses("`tolerance`", "positive"):
        regions.line_regions(model, np.zeros(3), np.ones(3), tolerance=0.0)
    with refuses("more than 3 regions", "`max_regions`"):
        regions.line_regions(model, -np.ones(3), np.ones(3), max_regions=3)
    with refuses("`tanh`", "no kinks"):
        regions.line_regions(jnp.tanh, np.zeros(3), np.ones(3))
    with refuses("`sort`"):
        regions.line_regions(lambda x: jax.nn.relu(jnp.sort(x)), np.zeros(3), np.ones(3))
    with refuses("cannot be interpolated", "`floor`"):
        regions.line_regions(lambda x: jax.nn.relu(jnp.floor(5 * x) - 0.3 + x), np.zeros(2), np.ones(2))
