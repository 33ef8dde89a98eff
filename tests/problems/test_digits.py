import jax
import numpy as np
import pytest

from spectralbias import problems


@pytest.fixture(scope="module")
def digits():
    return problems.digits(key=jax.random.key(0))


def test_images_are_unit_vectors_with_one_class_each(digits):
    assert digits.x.shape == (1438, 64)
    assert digits.x_test.shape == (359, 64)
    assert digits.classes == tuple("0123456789")
    for x, y in ((digits.x, digits.y), (digits.x_test, digits.y_test)):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=0, atol=1e-15)
        assert np.all(np.sort(y, axis=1) == np.eye(10)[9])


def test_every_image_is_there_once_with_its_label(digits):
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    rows = np.hstack([np.vstack([digits.x, digits.x_test]), np.vstack([digits.y, digits.y_test])])
    expected = np.hstack([pixels / np.linalg.norm(pixels, axis=1, keepdims=True), np.eye(10)[labels]])
    assert len(np.unique(rows, axis=0)) == 1797
    np.testing.assert_allclose(np.unique(rows, axis=0), np.unique(expected, axis=0), atol=1e-15)


def test_split_depends_on_the_key(digits):
    np.testing.assert_array_equal(digits.x, problems.digits(key=jax.random.PRNGKey(0)).x)
    assert not np.array_equal(digits.x, problems.digits(key=jax.random.key(1)).x)


def test_no_test_set(key):
    everything = problems.digits(test_fraction=0, key=key)
    assert everything.num_samples == 1797
    assert everything.x_test is None
    assert everything.y_test is None


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (1.0, ("test_fraction", "[0, 1)", "1.0")),
        (-0.1, ("test_fraction", "-0.1")),
        (float("nan"), ("test_fraction", "nan")),
        (0.9999, ("at least 2 training samples", "0.9999")),
    ],
)
def test_refused(fraction, words, key, refuses):
    with refuses(*words):
        problems.digits(test_fraction=fraction, key=key)
