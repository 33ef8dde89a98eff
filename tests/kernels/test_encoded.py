import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from spectralbias import kernels, models
from spectralbias.models.encodings import FourierFeatures, Identity, Interval, PositionalEncoding

X = np.random.default_rng(5).uniform(-1, 1, (6, 2))
ENCODINGS = [PositionalEncoding(3), FourierFeatures(2, 8, 1.5, key=jax.random.key(1))]
BASES = [
    kernels.infinite_ntk(3),
    kernels.infinite_ntk(2, "tanh", weight_variance=1.5, bias_variance=0.1),
    kernels.infinite_ntk(2, "gelu", bias_variance=0.3),
    kernels.infinite_ntk(1, "leaky_relu", bias_variance=0.3),
]
CASES = [(base, encoding) for base in BASES for encoding in ENCODINGS]


def differences(x1, x2):
    return x1[:, None, :] - x2[None, :, :]


@pytest.mark.parametrize(("base", "encoding"), CASES)
def test_it_is_the_kernel_of_encoded_inputs_and_a_function_of_their_difference(base, encoding):
    kernel = kernels.encoded_kernel(base, encoding)
    encoded = np.array([encoding(jnp.asarray(x)) for x in X])
    np.testing.assert_allclose(kernel.ntk(X), base.ntk(encoded), rtol=1e-13)
    np.testing.assert_allclose(kernel.nngp(X[:2], X[2:]), base.nngp(encoded[:2], encoded[2:]), rtol=1e-13)
    np.testing.assert_allclose(kernel.stationary(differences(X, X)), kernel.ntk(X), rtol=3e-13)
    shift = np.array([[0.3, -0.7]])
    np.testing.assert_allclose(kernel.ntk(X + shift), kernel.ntk(X), rtol=3e-13)


@pytest.mark.parametrize(("base", "encoding"), CASES)
def test_the_stationary_kernel_is_even_and_largest_at_0(base, encoding):
    kernel = kernels.encoded_kernel(base, encoding)
    difference = differences(X, X)
    np.testing.assert_allclose(kernel.stationary(-difference), kernel.stationary(difference), rtol=1e-15)
    assert np.all(kernel.stationary(difference) <= kernel.stationary(np.zeros(2)) * (1 + 1e-14))
    assert kernel.stationary(difference).shape == (6, 6)


def test_positional_encodings_have_period_2_to_the_last_digit_and_no_shorter_one():
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(2), PositionalEncoding(4))
    difference = np.array([[0.25, -0.5], [0.0, 0.125], [0.75, 1.0]])
    for period in ([2.0, 0.0], [-4.0, 2.0]):
        np.testing.assert_array_equal(kernel.stationary(difference + period), kernel.stationary(difference))
    assert np.all(np.abs(kernel.stationary(difference + np.array([1.0, 0.0])) - kernel.stationary(difference)) > 1e-3)
    grid = (np.arange(8) + 0.5) / 4 - 1
    gram = np.asarray(kernel.ntk(np.stack([grid, np.zeros(8)], axis=1)))
    for shift in range(8):
        np.testing.assert_allclose(np.roll(gram[0], shift), gram[shift], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-1, 1e-4, 1e-8, 1e-11])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_small_differences_keep_their_digits_at_both_ends(scale, end):
    # One frequency and one coordinate: γ is (sin π x, cos π x), and a difference of 1 is the opposite point.
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(1), PositionalEncoding(1))
    difference = end + scale
    with mpmath.workdps(40):
        cosine = mpmath.cos(mpmath.pi * mpmath.mpf(difference))
        angle = mpmath.acos(cosine)
        first = (mpmath.pi - angle) / (2 * mpmath.pi)
        second = (mpmath.sin(angle) + (mpmath.pi - angle) * cosine) / (2 * mpmath.pi)
        expected = 2 * second + 2 * first * cosine  # weight variance 2, dim 2
        drop = 2 - expected
    actual = float(kernel.stationary(np.array([difference])))
    assert actual == pytest.approx(float(expected), rel=1e-10 if end else 1e-13)
    if not end and scale > 1e-5:
        assert 2 - actual == pytest.approx(float(drop), rel=1e-9)


def test_networks_on_encodings_approach_it():
    encoding = PositionalEncoding(2)
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(2), encoding)
    limit = np.asarray(kernel.ntk(X))
    draw = eqx.filter_jit(lambda width, key: models.MLP(2, "scalar", width, 2, encoding=encoding, key=key))
    errors = []
    for width in (128, 1024):
        grams = [np.asarray(kernels.empirical_ntk(draw(width, jax.random.key(seed)), X)) for seed in range(6)]
        errors.append(np.mean([np.linalg.norm(g - limit) / np.linalg.norm(limit) for g in grams]))
    assert errors[1] < 0.08
    # Eight times the width: √8 = 2.8 times less, with a fifth of scatter in either mean.
    assert 1.8 < errors[0] / errors[1] < 4.5


def test_derivatives_are_finite_where_points_coincide():
    for base, encoding in CASES[:2]:
        kernel = kernels.encoded_kernel(base, encoding)
        gradient = jax.grad(lambda d, kernel=kernel: jnp.sum(kernel.stationary(d)))
        assert np.all(np.isfinite(gradient(jnp.zeros((2, 2)))))
        assert np.all(np.isfinite(gradient(jnp.ones((2, 2)))))


def test_float32_stays_float32():
    kernel = kernels.encoded_kernel(kernels.infinite_ntk(2), PositionalEncoding(3))
    single = kernel.stationary(differences(X, X).astype(np.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, kernel.stationary(differences(X, X)), rtol=2e-5)


def test_what_is_not_stationary_and_bad_input_are_refused(refuses):
    base = kernels.infinite_ntk(1)
    for encoding in (Identity(), Interval(0.0, 1.0)):
        kernel = kernels.encoded_kernel(base, encoding)
        np.testing.assert_allclose(kernel.ntk(X), base.ntk(np.asarray(jax.vmap(encoding)(X))), rtol=1e-13)
        with refuses("x - x'", type(encoding).__name__, "`FourierFeatures`"):
            kernel.stationary(X)
    kernel = kernels.encoded_kernel(base, ENCODINGS[1])
    with refuses("`difference`", "(..., 2)", "(5,)"):
        kernel.stationary(np.ones(5))
    with refuses("`difference`", "floating-point", "int64"):
        kernel.stationary(np.ones((5, 2), int))
    with refuses("(n, dim)", "(2,)"):
        kernel.ntk(X[0])
    with refuses("`kernel`", "infinite width", "MLP"):
        kernels.encoded_kernel(models.MLP(2, 1, 4, 1, key=jax.random.key(0)), ENCODINGS[0])
