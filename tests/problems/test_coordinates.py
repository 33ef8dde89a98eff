"""Grids against their definitions, and against NumPy's."""

import numpy as np
import pytest

from spectralbias import problems


def test_the_three_conventions_on_a_line():
    np.testing.assert_allclose(problems.coordinates(5).ravel(), [-0.8, -0.4, 0, 0.4, 0.8], atol=1e-15)
    np.testing.assert_allclose(problems.coordinates(5, nodes="left").ravel(), [-1, -0.6, -0.2, 0.2, 0.6], atol=1e-15)
    np.testing.assert_array_equal(problems.coordinates(9, lower=0, upper=1, nodes="ends").ravel(), np.linspace(0, 1, 9))


def test_those_of_the_paper():
    """The authors' arange(n)/n, 2 arange(n)/n - 1, and linspace(0, 1, n), on a picture of 6 x 4 pixels."""
    rows, columns = np.meshgrid(np.arange(6), np.arange(4), indexing="ij")
    fractions = np.stack([rows.ravel() / 6, columns.ravel() / 4], axis=1)
    np.testing.assert_allclose(problems.coordinates((6, 4), lower=0, nodes="left"), fractions, atol=1e-15)
    np.testing.assert_allclose(problems.coordinates((6, 4), nodes="left"), 2 * fractions - 1, atol=1e-15)
    ends = np.stack([np.linspace(0, 1, 6)[rows.ravel()], np.linspace(0, 1, 4)[columns.ravel()]], axis=1)
    np.testing.assert_allclose(problems.coordinates((6, 4), lower=0, nodes="ends"), ends, atol=1e-15)


def test_centers_are_those_of_images_and_signals(key):
    image = problems.image(np.random.default_rng(0).random((6, 4)))
    np.testing.assert_allclose(problems.coordinates((6, 4)), image.x, atol=1e-15)
    signal = problems.signal(frequencies=(1,), num_samples=8, key=key)
    np.testing.assert_allclose(problems.coordinates(8), signal.x, atol=1e-15)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_they_are_in_row_major_order(dim):
    shape = (2, 3, 4)[:dim]
    x = problems.coordinates(shape, lower=0, upper=1, nodes="left")
    numbers = np.ravel_multi_index(np.rint(x * np.array(shape)).astype(int).T, shape)
    np.testing.assert_array_equal(numbers, np.arange(np.prod(shape)))


def test_bad_arguments(refuses):
    with refuses("lower", "upper", "2"):
        problems.coordinates(4, lower=2)
    with refuses("nodes", "center", "centers"):
        problems.coordinates(4, nodes="center")
    with refuses("shape", "1"):
        problems.coordinates((4, 1), nodes="ends")
    with refuses("shape", "0"):
        problems.coordinates(0)
    with refuses("shape"):
        problems.coordinates(())
