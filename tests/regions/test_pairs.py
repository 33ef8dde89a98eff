"""Pairs lie where they should; neighbours are those of an explicit matrix of distances."""

import numpy as np
import pytest

from spectralbias import regions
from spectralbias.regions import pairs


def coordinates(numbers, shape):
    """(samples, axes) of sample numbers."""
    return np.stack(np.unravel_index(numbers, shape), axis=-1)


@pytest.mark.parametrize(
    ("shape", "count", "low", "high"),
    [((2048,), 25 * 250, 26, 2020), ((512, 512), 100 * 500, 30, 480)],
)
def test_local_windows_of_the_paper(shape, count, low, high):
    found = pairs.local(shape, seed=0)
    assert found.shape == (count, 2)
    assert found.dtype == np.int64
    windows = coordinates(found, shape).reshape(25 if len(shape) == 1 else 100, -1, len(shape))
    first, last = windows.min(axis=1), windows.max(axis=1)
    assert np.all(last - first < 50)
    assert np.all(first >= low - 25)
    assert np.all(last < high + 25)
    assert np.all((last - first).mean() > 45)  # whole windows are used
    assert np.ptp(first[:, 0]) > 0.8 * (high - low)
    assert np.all(found[:, 0] != found[:, 1])


def test_local_on_any_grid():
    found = pairs.local((20, 7), windows=40, size=3, per_window=36, seed=3)
    assert found.shape == (1440, 2)
    places = coordinates(found, (20, 7))
    assert np.all(np.abs(places[:, 0] - places[:, 1]) <= 2)
    np.testing.assert_array_equal(places.reshape(-1, 2).min(axis=0), 0)  # windows reach both ends
    np.testing.assert_array_equal(places.reshape(-1, 2).max(axis=0), [19, 6])
    margin = pairs.local(30, windows=50, size=4, per_window=5, margin=(10, 12), seed=3)
    assert margin.min() >= 10 - 2
    assert margin.max() <= 30 - 12 - 1 + 1
    np.testing.assert_array_equal(pairs.local((20, 7), windows=40, size=3, per_window=36, seed=3), found)
    assert not np.array_equal(pairs.local((20, 7), windows=40, size=3, per_window=36, seed=4), found)
    assert pairs.local((2, 2), seed=0).shape == (50_000, 2)


def test_equal_samples_where_they_are_wanted():
    """Of 9 samples two are equal with probability 1/9; all other pairs are equally likely."""
    found = pairs.local((3, 3), windows=1, size=3, per_window=90_000, distinct=False, seed=0)
    assert abs(np.mean(found[:, 0] == found[:, 1]) - 1 / 9) < 0.005
    found = pairs.local((3, 3), windows=1, size=3, per_window=90_000, seed=0)
    counts = np.bincount(found[:, 0] * 9 + found[:, 1], minlength=81).reshape(9, 9)
    np.testing.assert_array_equal(np.diag(counts), 0)
    assert np.all(np.abs(counts[~np.eye(9, dtype=bool)] - 1250) < 5 * 1250**0.5)


def test_opposite_quadrants_of_the_paper():
    found = pairs.opposite_quadrants((2048,), seed=0)
    assert found.shape == (5000, 2)
    np.testing.assert_array_equal([found.min(axis=0), found.max(axis=0) + 1], [[0, 1200], [800, 2047]])
    found = coordinates(pairs.opposite_quadrants((512, 512), seed=0), (512, 512))
    assert found.shape == (50_000, 2, 2)
    low, high = found.min(axis=1), found.max(axis=1)
    np.testing.assert_array_equal([low.min(axis=0), low.max(axis=0)], [[0, 0], [224, 224]])
    np.testing.assert_array_equal([high.min(axis=0), high.max(axis=0)], [[275, 275], [510, 510]])
    falling = found[:, 0, 1] < found[:, 1, 1]  # the first row is the near one
    assert np.all(found[:, 0, 0] < found[:, 1, 0])
    assert abs(falling.mean() - 0.5) < 0.01


def test_opposite_quadrants_on_any_grid():
    found = coordinates(pairs.opposite_quadrants((64, 32), 1000, seed=1), (64, 32))
    np.testing.assert_array_equal(found[:, 0, 0].max(), 27)  # 225/512 of 64 rows: [0, 28)
    np.testing.assert_array_equal(found[:, 1, 0].min(), 35)
    np.testing.assert_array_equal(found.reshape(-1, 2).max(axis=0), [63, 31])
    found = pairs.opposite_quadrants((2, 2), 100, seed=1)
    assert {tuple(pair) for pair in found.tolist()} == {(0, 3), (1, 2)}
    found = pairs.opposite_quadrants(10, 100, near=(1, 2), far=(8, 9), seed=1)
    np.testing.assert_array_equal(np.unique(found, axis=0), [[1, 8]])


def test_uniform():
    found = pairs.uniform(7, 42_000, seed=0)
    counts = np.bincount(found[:, 0] * 7 + found[:, 1], minlength=49).reshape(7, 7)
    np.testing.assert_array_equal(np.diag(counts), 0)
    assert np.all(np.abs(counts[~np.eye(7, dtype=bool)] - 1000) < 5 * 1000**0.5)
    assert np.any(np.diff(pairs.uniform(7, 100, distinct=False, seed=0)) == 0)
    np.testing.assert_array_equal(pairs.uniform(1, 3, distinct=False, seed=0), 0)


@pytest.mark.parametrize("classes", ["any", "same", "different"])
@pytest.mark.parametrize("far", [False, True])
def test_neighbours_are_those_of_an_explicit_distance_matrix(classes, far, monkeypatch):
    monkeypatch.setattr(pairs, "_BLOCK", 8 * 60 * 7)  # seven anchors at a time
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 3, 4)) + 5, rng.integers(3, size=60)
    anchors = np.array([5, 0, 17, 59, 3, 3, 20, 21, 22, 23])
    function = regions.pairs.farthest if far else regions.pairs.nearest
    given = x.copy()
    found = function(x, anchors, 4, labels=labels, classes=classes)
    np.testing.assert_array_equal(x, given)
    expected = []
    for i in anchors:
        distance = [np.linalg.norm(x[i] - x[j]) for j in range(60)]
        order = sorted(range(60), key=lambda j: distance[j], reverse=far)
        allowed = {"any": [True] * 60, "same": labels == labels[i], "different": labels != labels[i]}[classes]
        expected += [(i, j) for j in order if j != i and allowed[j]][:4]
    np.testing.assert_array_equal(found, expected)


def test_anchors_are_drawn_without_replacement_and_ties_go_to_the_lower_number():
    x = np.arange(30.0)[:, None]
    found = pairs.nearest(x, 30, 2, seed=1)
    np.testing.assert_array_equal(np.sort(found[::2, 0]), np.arange(30))
    assert not np.array_equal(found[::2, 0], np.arange(30))
    inner = found[(found[:, 0] > 0) & (found[:, 0] < 29)].reshape(-1, 2, 2)
    np.testing.assert_array_equal(inner[:, :, 1], inner[:, 0, :1] + np.array([[-1, 1]]))
    np.testing.assert_array_equal(pairs.nearest(np.zeros((4, 2)), [2], 3), [[2, 0], [2, 1], [2, 3]])


def test_bad_arguments(refuses):
    with refuses("one sample", "two"):
        pairs.local((1, 1), seed=0)
    with refuses("one sample"):
        pairs.uniform(1, seed=0)
    with refuses("`size` 9", "(8, 20)"):
        pairs.local((8, 20), size=9, seed=0)
    with refuses("`size` 1", "no pair"):
        pairs.local((8, 20), size=1, seed=0)
    with refuses("`margin`", "(2, 1)"):
        pairs.local(20, size=4, margin=1, seed=0)
    with refuses("no center"):
        pairs.local(20, size=4, margin=10, seed=0)
    with refuses("`shape`", "(2, 2, 2)"):
        pairs.local((2, 2, 2), seed=0)
    with refuses("opposite"):
        pairs.opposite_quadrants((1, 8), seed=0)
    with refuses("one after the other", "[0, 5)", "[4, 8)"):
        pairs.opposite_quadrants(8, near=(0, 5), far=(4, 8), seed=0)
    x = np.arange(6.0)[:, None]
    with refuses("5 other samples", "`k` = 6"):
        pairs.nearest(x, [0], 6)
    with refuses("sample 3", "1 of a different class", "`k` = 2"):
        pairs.nearest(x, [3], 2, labels=[0, 0, 0, 0, 0, 1], classes="different")
    with refuses("`labels`", "different"):
        pairs.nearest(x, [3], 2, classes="different")
    with refuses("`labels`", "(6,)", "(5,)"):
        pairs.nearest(x, [3], 2, labels=[1] * 5, classes="same")
    with refuses("`classes`", "'other'"):
        pairs.nearest(x, [3], 2, classes="other")
    with refuses("`anchors`", "7 of 6"):
        pairs.nearest(x, 7)
    with refuses("`anchors`", "0 to 5"):
        pairs.nearest(x, [6])
    with refuses("`x`", "two samples"):
        pairs.nearest(x[:1], 1)
