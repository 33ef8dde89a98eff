"""Regions per pixel: against the exact regions of each pixel, and regions that meet many samples of it."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from spectralbias import models, regions

LOWER, UPPER = np.array([-1.0, -0.5]), np.array([1.0, 0.7])


@pytest.fixture(scope="module")
def model():
    return models.MLP(2, "scalar", 24, 2, parameterization="torch", key=jr.key(0))


@pytest.fixture(scope="module")
def found(model):
    return regions.plane_regions(model, LOWER, UPPER)


def test_a_pixel_meets_as_many_regions_as_a_window_of_its_size_has(model, found):
    density = regions.region_density(found, (5, 4))
    size = (UPPER - LOWER) / [5, 4]
    counts = [
        [regions.plane_regions(model, LOWER + size * [i, j], LOWER + size * [i + 1, j + 1]).count for j in range(4)]
        for i in range(5)
    ]
    assert np.array_equal(density, counts)
    assert density.max() > 10
    assert regions.region_density(found, (1, 1)).tolist() == [[found.count]]


def test_samples_of_a_pixel_see_no_more_regions(found):
    density = regions.region_density(found, (20, 24))
    rng = np.random.default_rng(0)
    points = rng.uniform(LOWER, UPPER, (200_000, 2))
    pixel = ((points - LOWER) / (UPPER - LOWER) * [20, 24]).astype(int) @ [24, 1]
    pairs = np.unique(np.stack([pixel, found.locate(points)]), axis=1)
    seen = np.bincount(pairs[0], minlength=480).reshape(20, 24)
    assert np.all(seen <= density)
    assert np.mean(seen == density) > 0.8


def test_lengths_and_centers_add_up(found):
    lengths = np.linalg.norm(found.segments[:, 1] - found.segments[:, 0], axis=1)
    boundary = regions.region_density(found, (7, 9), measure="boundary")
    assert np.isclose(boundary.mean() * np.prod(UPPER - LOWER), lengths.sum(), rtol=1e-12)
    centers = regions.region_density(found, (7, 9), measure="centers")
    assert centers.sum() == found.count
    one = regions.region_density(found, (1, 9), measure="boundary")
    assert np.allclose(one[0], boundary.mean(axis=0), rtol=1e-12)


def test_lines_through_the_corners_of_pixels():
    """All lines pass through the origin, which four pixels share; one lies between pixels."""
    angles = np.array([0.0, 0.3, 1.1, 2.0])
    normals = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = regions.plane_regions(lambda x: jnp.sum(jax.nn.relu(normals @ x)), -1, 1)
    assert found.count == 8
    assert regions.region_density(found, (2, 2)).tolist() == [[2, 3], [3, 2]]
    assert regions.region_density(found, (4, 4))[0, 0] <= 3


def test_along_segments(model):
    start, end = np.array([[-1.0, -1.0], [0.0, -1.0]]), np.array([[1.0, 1.0], [0.3, 1.0]])
    found = regions.line_regions(model, start, end)
    density = regions.region_density(found, 8)
    for i in range(2):
        for j in range(8):
            a, b = (start[i] + t / 8 * (end[i] - start[i]) for t in (j, j + 1))
            assert density[i, j] == regions.line_regions(model, a, b).counts[0]
    assert regions.region_density(found, 5, measure="centers").sum(axis=1).tolist() == found.counts.tolist()
    assert (regions.region_density(found, 5, measure="boundary").mean(axis=1) == found.counts - 1).all()
    one = regions.line_regions(model, start[0], end[0])
    assert np.array_equal(regions.region_density(one, 8), density[0])


def test_what_cannot_be_done_is_refused(refuses, found):
    with refuses("`shape`", "(rows, columns)"):
        regions.region_density(found, 8)
    with refuses("`shape`", "at least 1"):
        regions.region_density(found, (0, 3))
    with refuses("measure", "boundary"):
        regions.region_density(found, (2, 3), measure="boundaries")
