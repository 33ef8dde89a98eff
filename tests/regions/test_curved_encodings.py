"""Regions behind encodings in sines and cosines: against a fine grid, and as the tolerance goes down."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import ndimage

from spectralbias import models, regions

WINDOW = (-0.4, 0.1), (0.3, 0.5)


def network(encoding):
    return models.coordinate_network(2, "scalar", width=12, depth=2, encoding=encoding, key=jr.key(1))


@pytest.fixture(scope="module")
def octaves():
    """Rectangles: each feature depends on one coordinate."""
    return network(models.encodings.PositionalEncoding(2))


@pytest.fixture(scope="module")
def random():
    """Triangles: each feature depends on both."""
    return network(models.encodings.FourierFeatures(2, 8, 1.0, key=jr.key(3)))


def grid(lower, upper, n):
    axes = [np.linspace(a, b, n) for a, b in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("name", ["octaves", "random"])
def test_regions_behind_an_interpolant(name, request):
    model = request.getfixturevalue(name)
    coarse, fine = (regions.plane_regions(model, *WINDOW, tolerance=tolerance) for tolerance in (1e-2, 1e-3))
    assert fine.status is regions.RegionsStatus.interpolated
    assert len(fine.cells) > len(coarse.cells) > coarse.count
    assert abs(coarse.count - fine.count) <= 1
    x = grid(*WINDOW, 400)
    f = np.asarray(jax.jit(jax.vmap(model))(jnp.asarray(x)))
    errors = []
    for found in (coarse, fine):
        assert np.isclose(found.areas.sum(), 0.28, rtol=1e-9)
        assert found.num_vertices - found.num_edges + len(found.cells) == 1
        assert len(found.areas) == found.count == len(np.unique(found.cells))
        at = found.locate(x)
        errors.append(np.abs(np.einsum("nd,nd->n", found.maps[at, 0], np.c_[x, np.ones(len(x))]) - f).max())
    assert errors[0] < 1e-2 * np.ptp(f)
    assert errors[1] < errors[0] / 5
    # The patterns of a grid: connected parts of one pattern, and the number of the polygon's region.
    bits = regions.activation_patterns(model, x).bits
    code = np.unique(bits, axis=0, return_inverse=True)[1]
    cell = fine.cells[fine.locate(x)]
    pairs = np.unique(np.stack([cell, code]), axis=1, return_counts=True)
    agree = np.zeros(fine.count)
    np.maximum.at(agree, pairs[0][0], pairs[1])
    assert agree.sum() / len(x) > 0.995
    code = code.reshape(400, 400)
    parts = np.concatenate([np.bincount(ndimage.label(code == c)[0].ravel())[1:] for c in np.unique(code)])
    sizes = np.bincount(cell, minlength=fine.count)
    assert np.sum(parts > 60) <= np.sum(sizes > 30)
    assert 50 < np.sum(sizes > 60) <= np.sum(parts > 30)


def test_boundaries_leave_out_the_seams_of_the_interpolant(octaves):
    found = regions.plane_regions(octaves, *WINDOW, tolerance=1e-2)
    assert found.segment_layers.min() >= 0
    density = regions.region_density(found, (1, 1))
    assert density.tolist() == [[found.count]]
    edges = found.subdivision
    seams = (edges.labels < -4) & ~found.between
    assert seams.sum() > 0
    assert len(found.segments) + seams.sum() + (edges.sides[:, 1] < 0).sum() == len(edges.edges)


def test_a_mesh_that_is_too_fine_is_refused(refuses, octaves):
    with refuses("curved", "`max_regions`", "larger `tolerance`"):
        regions.plane_regions(octaves, -1, 1, tolerance=1e-12)
    with refuses("cannot be interpolated", "`floor`"):
        regions.plane_regions(lambda x: jax.nn.relu(jnp.floor(5 * x) + x - 0.3), -1, 1)
