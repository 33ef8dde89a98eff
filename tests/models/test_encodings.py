import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectralbias.models import count_parameters
from spectralbias.models.encodings import FourierFeatures, Identity, Interval, PositionalEncoding

KEY = jax.random.key(3)
X = np.array([0.3, -0.85])


@pytest.mark.parametrize(
    ("encoding", "size"),
    [
        (Identity(), 2),
        (PositionalEncoding(1), 4),
        (PositionalEncoding(5), 20),
        (FourierFeatures(2, 7, 3.0, key=KEY), 14),
        (Interval(0.0, 1.0), 2),
    ],
)
def test_the_announced_size_is_the_real_one_and_nothing_is_trained(encoding, size):
    assert encoding.out_size(2) == size
    assert encoding(jnp.asarray(X)).shape == (size,)
    assert count_parameters(encoding) == 0


def test_positional_encoding_equals_its_formula():
    expected = [
        wave(2**octave * np.pi * coordinate) for wave in (np.sin, np.cos) for octave in range(4) for coordinate in X
    ]
    np.testing.assert_allclose(PositionalEncoding(4)(jnp.asarray(X)), expected, rtol=0, atol=1e-13)


def test_fourier_features_equal_their_formula():
    encoding = FourierFeatures(2, 6, 2.5, key=KEY)
    angles = [2 * np.pi * float(row @ X) for row in np.asarray(encoding.frequencies.value)]
    expected = [np.sin(a) for a in angles] + [np.cos(a) for a in angles]
    np.testing.assert_allclose(encoding(jnp.asarray(X)), expected, rtol=0, atol=1e-13)


def test_the_frequencies_are_normal_with_the_given_scale():
    frequencies = np.asarray(FourierFeatures(4, 5000, 3.0, key=KEY).frequencies.value)
    assert frequencies.shape == (5000, 4)
    # Standard errors over 20000 entries: 3/√20000 = 0.02 of the mean, 3/√40000 = 0.015 of the standard deviation.
    assert abs(frequencies.mean()) < 0.1
    assert abs(frequencies.std() - 3.0) < 0.075
    assert abs(np.mean(np.abs(frequencies) < 3.0) - 0.6827) < 0.02


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2), st.lists(st.floats(-3, 3), min_size=2, max_size=2))
def test_encoded_inputs_lie_on_a_sphere_and_their_products_depend_on_the_difference(x1, x2):
    x1, x2 = np.array(x1), np.array(x2)
    positional, fourier = PositionalEncoding(3), FourierFeatures(2, 5, 0.7, key=KEY)
    expected = sum(np.cos(2**octave * np.pi * (x1 - x2)).sum() for octave in range(3))
    assert float(positional(jnp.asarray(x1)) @ positional(jnp.asarray(x2))) == pytest.approx(expected, abs=1e-12)
    assert float(jnp.sum(positional(jnp.asarray(x1)) ** 2)) == pytest.approx(2 * 3, abs=1e-12)
    expected = np.cos(2 * np.pi * np.asarray(fourier.frequencies.value) @ (x1 - x2)).sum()
    assert float(fourier(jnp.asarray(x1)) @ fourier(jnp.asarray(x2))) == pytest.approx(expected, abs=1e-12)
    assert float(jnp.sum(fourier(jnp.asarray(x1)) ** 2)) == pytest.approx(5, abs=1e-12)


def test_positional_encoding_has_period_two_in_every_coordinate_and_no_shorter_one():
    encoding = PositionalEncoding(4)
    here = encoding(jnp.asarray(X))
    np.testing.assert_allclose(encoding(X + jnp.array([2, -4])), here, rtol=0, atol=1e-12)
    assert np.max(np.abs(encoding(X + jnp.array([1, 0])) - here)) > 0.1


def test_whole_numbers_are_encoded_like_floating_point_ones(annotations_unchecked):
    whole, floating = jnp.array([1, 3]), jnp.array([1.0, 3.0])
    for encoding in (PositionalEncoding(2), FourierFeatures(2, 3, 1.0, key=KEY), Interval(0.0, 3.0)):
        with annotations_unchecked():
            np.testing.assert_array_equal(encoding(whole), encoding(floating))


def test_interval_moves_the_ends_to_the_ends():
    moved = Interval(0.25, 4.0)(jnp.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(moved, [0.25, 2.125, 4.0], rtol=1e-15)


def test_arguments_out_of_range_are_refused(refuses):
    with refuses("`num_frequencies`", "0"):
        PositionalEncoding(0)
    with refuses("`num_features`", "0"):
        FourierFeatures(2, 0, 1.0, key=KEY)
    with refuses("`scale`", "-1"):
        FourierFeatures(2, 3, -1.0, key=KEY)
    for lower, upper in ((1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)):
        with refuses("`lower`", "`upper`", lower, upper):
            Interval(lower, upper)
