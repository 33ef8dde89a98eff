import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from spectralbias.kernels import arc_cosine


def gaussian_expectation(cosine, degree):
    """E over standard normals u, v of correlation c: the one over v in closed form, the one over u by quadrature."""
    with mpmath.workdps(25):
        c = mpmath.mpf(cosine)
        s = mpmath.sqrt(1 - c**2)

        def inner(u):
            if degree == 0:
                return mpmath.ncdf(c * u / s)  # P(v > 0 | u)
            return u * (c * u * mpmath.ncdf(c * u / s) + s * mpmath.npdf(c * u / s))  # u E[max(v, 0) | u]

        return float(mpmath.quad(lambda u: mpmath.npdf(u) * inner(u), [0, 0.5, 1, 2, 4, 8, 14]))


@pytest.mark.parametrize("degree", [0, 1])
@pytest.mark.parametrize("cosine", [-0.99, -0.5, 0.0, 0.3, 0.875, 0.999])
def test_it_is_the_gaussian_expectation(cosine, degree):
    assert float(arc_cosine(cosine, degree)) == pytest.approx(gaussian_expectation(cosine, degree), rel=1e-13)


@pytest.mark.parametrize("cosine", [1.0, 1 - 2.0**-50, 1 - 1e-9, -1 + 1e-9, -1 + 2.0**-50, -1.0])
def test_both_ends_keep_every_digit_of_the_given_cosine(cosine):
    with mpmath.workdps(50):
        c = mpmath.mpf(cosine)
        supplement = mpmath.pi - mpmath.acos(c)
        first = float(supplement / (2 * mpmath.pi))
        second = float((mpmath.sqrt(1 - c**2) + supplement * c) / (2 * mpmath.pi))
    assert float(arc_cosine(cosine, 0)) == pytest.approx(first, rel=1e-15, abs=1e-300)
    # Near -1 the two terms of the formula cancel.
    assert float(arc_cosine(cosine, 1)) == pytest.approx(second, rel=2e-15, abs=1e-300)


def test_values_at_the_ends_are_exact():
    ends = jnp.array([1.0, -1.0])
    np.testing.assert_array_equal(arc_cosine(ends, 0), [0.5, 0.0])
    np.testing.assert_array_equal(arc_cosine(ends, 1), [0.5, 0.0])


def test_the_derivative_of_degree_one_is_degree_zero():
    # d/dc E σ(u)σ(v) = E σ'(u)σ'(v) (Price's theorem).
    cosines = jnp.linspace(-0.95, 0.95, 11)
    slopes = jax.vmap(jax.grad(lambda c: arc_cosine(c, 1)))(cosines)
    np.testing.assert_allclose(slopes, arc_cosine(cosines, 0), rtol=1e-12)


def test_shape_and_dtype_are_kept():
    cosines = jnp.full((2, 3), 0.5, jnp.float32)
    for degree in (0, 1):
        assert arc_cosine(cosines, degree).shape == (2, 3)
        assert arc_cosine(cosines, degree).dtype == jnp.float32


def test_derivatives_at_the_ends_are_finite():
    ends = jnp.array([1.0, -1.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda c: arc_cosine(c, 1)))(ends), [0.5, 0.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda c: arc_cosine(c, 0)))(ends), [0.0, 0.0])
    inner = jnp.array([-0.9, 0.2])
    slopes = jax.vmap(jax.grad(lambda c: arc_cosine(c, 0)))(inner)
    np.testing.assert_allclose(slopes, 1 / (2 * np.pi * np.sqrt(1 - inner**2)), rtol=1e-14)


def test_array_likes_are_taken_and_rounding_counts_as_the_end(annotations_unchecked):
    with annotations_unchecked():
        np.testing.assert_array_equal(arc_cosine([0, 1, -1], 0), [0.25, 0.5, 0.0])
    np.testing.assert_array_equal(arc_cosine(np.array([1 + 2.0**-52, -1 - 2.0**-52]), 1), [0.5, 0.0])
    assert float(arc_cosine(np.float32(1 + 2.0**-23), 1)) == 0.5
    np.testing.assert_array_equal(jax.jit(arc_cosine, static_argnums=1)(2.0, 1), 0.5)


def test_what_is_no_cosine_is_refused(refuses):
    for value in (1 + 1e-12, -1.001, float("nan")):
        with refuses("`cosine`", "[-1, 1]"):
            arc_cosine([0.5, value], 1)
    with refuses("`cosine`", "1.00001"):
        arc_cosine(np.float32(1.00001), 0)


def test_other_degrees_are_refused(refuses):
    for degree in (-1, 2):
        with refuses("`degree`", "0 or 1", degree):
            arc_cosine(0.5, degree)
