import jax
import numpy as np
import pytest
import scipy.integrate

from spectralbias import problems
from spectralbias.problems import AnisotropicSphere, MixtureSphere, PiecewiseSphere, Sphere

KEY = jax.random.key(3)
ANISOTROPIC = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 0.4]])
MEASURES = {
    "uniform": Sphere(3),
    "half-spheres": PiecewiseSphere(3, direction=(1.0, -2.0, 2.0)),
    "belts": PiecewiseSphere(3, (0.2, 0.1, 0.0, 0.7), edges=(-0.7, 0.1, 0.8)),
    "anisotropic": AnisotropicSphere(ANISOTROPIC),
    "mixture": MixtureSphere([[2.0, 0.0, 1.0], [0.0, -1.0, 0.5]], (0.5, 1.2), (0.3, 0.7)),
}


def within(sample, expected, errors=5):
    """Whether means over samples are within so many standard errors of what is expected."""
    return np.all(np.abs(sample.mean(axis=0) - expected) <= errors * sample.std(axis=0) / np.sqrt(len(sample)) + 1e-12)


def product_rule(num):
    """Points and weights of total 1 on S²: Gauss's rule in the height times equal angles."""
    height, weights = np.polynomial.legendre.leggauss(num)
    angle = 2 * np.pi * (np.arange(2 * num) + 0.5) / (2 * num)
    radius = np.sqrt(1 - height**2)
    x = np.stack([np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), np.outer(height, 1 + 0 * angle)])
    return x.reshape(3, -1).T, np.repeat(weights / 2 / len(angle), len(angle))


@pytest.mark.parametrize("name", MEASURES)
def test_draws_are_unit_vectors_that_depend_on_the_key_alone(name):
    measure = MEASURES[name]
    x = measure.sample(500, key=KEY)
    assert (x.shape, x.dtype) == ((500, 3), np.float64)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=0, atol=4e-16)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            np.testing.assert_array_equal(measure.sample(500, key=jax.random.key(3)), x)
    assert not np.any(measure.sample(500, key=jax.random.key(4)) == x)
    assert measure.sample(0, key=KEY).shape == (0, 3)


@pytest.mark.parametrize("name", ["uniform", "anisotropic", "mixture"])
def test_smooth_densities_have_total_one_and_the_moments_of_the_draws(name):
    measure = MEASURES[name]
    x, weights = product_rule(60)
    weights = weights * measure.density(x)
    assert weights.sum() == pytest.approx(1, abs=1e-10)
    moments = lambda points: np.concatenate(  # noqa: E731
        [points, np.einsum("ni,nj->nij", points, points).reshape(-1, 9), points**3], axis=1
    )
    assert within(moments(measure.sample(40_000, key=KEY)), weights @ moments(x))


@pytest.mark.parametrize("name", MEASURES)
def test_draws_weighted_by_one_over_the_density_are_uniform(name):
    # E_p[g/p] = the uniform mean of g, over the points where p > 0.
    measure = MEASURES[name]
    x = measure.sample(40_000, key=KEY)
    ones = np.ones(len(x))
    covered = 1.0 if name != "belts" else 1 - (0.8 - 0.1) / 2
    assert within((ones / measure.density(x))[:, None], covered)
    if name != "belts":
        products = np.einsum("ni,nj->nij", x, x).reshape(-1, 9)
        assert within(products / measure.density(x)[:, None], np.eye(3).ravel() / 3)
        assert within(x / measure.density(x)[:, None], np.zeros(3))


@pytest.mark.parametrize("dim", [2, 3, 10, 400])
def test_half_spheres_have_their_shares_and_are_uniform_inside(dim):
    direction = np.random.default_rng(0).standard_normal(dim)
    measure = PiecewiseSphere(dim, direction=direction)
    x = measure.sample(20_000, key=KEY)
    cosine = x @ direction / np.linalg.norm(direction)
    upper = cosine >= 0
    assert within(upper[:, None], 0.75)
    np.testing.assert_allclose(measure.density(x), np.where(upper, 1.5, 0.5), rtol=1e-13)
    for half in (upper, ~upper):  # given the half, the squares have the uniform mean 1/dim in every direction
        assert within(cosine[half, None] ** 2, 1 / dim)
        assert within(x[half] ** 2, 1 / dim)


@pytest.mark.parametrize("dim", [2, 3, 6])
def test_bands_of_latitude_have_their_shares_and_the_cosines_law_inside(dim):
    edges, weights = (-0.9, -0.2, 0.5), np.array([0.1, 0.4, 0.2, 0.3])
    measure = PiecewiseSphere(dim, weights, edges=edges)
    x = measure.sample(20_000, key=KEY)
    cosine = x[:, 0]
    band = np.digitize(cosine, edges)
    assert within(band[:, None] == np.arange(4), weights)
    ends = (-1.0, *edges, 1.0)
    # In the angle, where the law sin^(dim-2) is smooth.
    moment = lambda j, p: scipy.integrate.quad(  # noqa: E731
        lambda a: np.cos(a) ** p * np.sin(a) ** (dim - 2), np.arccos(ends[j + 1]), np.arccos(ends[j])
    )[0]
    total = sum(moment(j, 0) for j in range(4))
    for j in range(4):
        np.testing.assert_allclose(measure.density(x[band == j]), weights[j] * total / moment(j, 0), rtol=1e-10)
        expected = [moment(j, p) / moment(j, 0) for p in (1, 2)]
        assert within(cosine[band == j, None] ** [1, 2], expected)
    across = x[:, 1:] / np.linalg.norm(x[:, 1:], axis=1, keepdims=True)
    assert within(across, np.zeros(dim - 1))
    assert within(across**2, np.full(dim - 1, 1 / (dim - 1)))


def test_a_small_cap_in_many_dimensions_is_sampled_to_its_last_digit():
    # Its share of the sphere is about 1e-26: the quantile 1 - 1e-26 has no digits, its mirror image has all.
    measure = PiecewiseSphere(200, (0.5, 0.5), edges=(0.7,))
    cosine = measure.sample(2000, key=KEY)[:, 0]
    upper = cosine >= 0.7
    assert within(upper[:, None], 0.5)
    assert len(np.unique(cosine[upper])) == upper.sum()
    # Near its edge c the law is an exponential of mean (1 - c²)/((dim - 3) c), up to 1/dim.
    assert np.mean(cosine[upper] - 0.7) == pytest.approx(0.51 / (197 * 0.7), rel=0.1)


def test_the_anisotropic_density_does_not_depend_on_the_scale_and_is_one_for_the_identity():
    x = Sphere(3).sample(50, key=KEY)
    density = AnisotropicSphere(ANISOTROPIC).density(x)
    quadratic = np.einsum("ni,ij,nj->n", x, np.linalg.inv(ANISOTROPIC), x)
    np.testing.assert_allclose(density, np.linalg.det(ANISOTROPIC) ** -0.5 * quadratic**-1.5, rtol=1e-13)
    np.testing.assert_allclose(AnisotropicSphere(1e-200 * ANISOTROPIC).density(x), density, rtol=1e-12)
    np.testing.assert_allclose(AnisotropicSphere(5 * np.eye(3)).density(x), 1, rtol=1e-13)


def test_a_random_covariance_is_that_of_cao_et_al():
    measure = AnisotropicSphere.random(10, key=KEY)
    assert measure.dim == 10
    # ‖AᵀA‖₂ = ‖A‖₂², so that ‖Σ‖₂ = ‖A‖₂ and Tr Σ ‖Σ‖₂ = ‖A‖_F², which has mean dim² and variance 2 dim².
    values = [np.linalg.eigvalsh(AnisotropicSphere.random(10, key=jax.random.key(i)).covariance) for i in range(50)]
    squares = np.array([value.sum() * value[-1] for value in values])
    assert within(squares[:, None], 100)
    assert squares.std() == pytest.approx(200**0.5, rel=0.4)
    assert not np.allclose(measure.covariance, AnisotropicSphere.random(10, key=jax.random.key(4)).covariance)


@pytest.mark.parametrize("dim", [2, 3, 10, 60])
@pytest.mark.parametrize("length", [0.0, 0.3, 4.0, 40.0])
def test_the_mixtures_density_is_the_integral_over_the_radius(dim, length):
    # ∫ r^(dim-1) e^(rc - r²/2) dr is, by reflection, a parabolic cylinder function.
    import mpmath

    measure = MixtureSphere(length * np.eye(1, dim), 1.0)
    cosines = np.array([-1.0, -0.4, 0.0, 0.7, 1.0])
    x = np.zeros((5, dim))
    x[:, 0], x[:, 1] = cosines, np.sqrt(1 - cosines**2)
    with mpmath.workdps(50):
        scale = mpmath.gamma(dim) * mpmath.exp(-(mpmath.mpf(length) ** 2) / 2)
        scale /= mpmath.mpf(2) ** (mpmath.mpf(dim) / 2 - 1) * mpmath.gamma(mpmath.mpf(dim) / 2)
        values = [length * mpmath.mpf(t) for t in cosines]
        expected = [float(scale * mpmath.exp(c**2 / 4) * mpmath.pcfd(-dim, -c)) for c in values]
    np.testing.assert_allclose(measure.density(x), expected, rtol=1e-11)


def test_components_have_their_weights():
    means = 30 * np.eye(3)
    measure = MixtureSphere(means, 1.0, (0.2, 0.3, 0.5))
    nearest = np.argmax(measure.sample(10_000, key=KEY), axis=1)
    assert within(nearest[:, None] == np.arange(3), [0.2, 0.3, 0.5])


def test_a_random_mixture():
    measure = MixtureSphere.random(5, 4, key=KEY)
    assert (measure.dim, measure.means.shape) == (5, (4, 5))
    np.testing.assert_allclose(np.linalg.norm(measure.means, axis=1), 1)
    np.testing.assert_allclose(measure.scales, 5**-0.5)
    np.testing.assert_allclose(measure.weights, 0.25)
    assert np.all(MixtureSphere.random(5, scale=0.1, key=KEY).scales == 0.1)


def test_measures_are_compared_by_their_values():
    assert Sphere(4) == Sphere(4)
    assert PiecewiseSphere(4) == PiecewiseSphere(4)
    assert PiecewiseSphere(4) != PiecewiseSphere(4, (0.5, 0.5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sphere(1), ("`dim`", "at least 2", "got 1")),
        (lambda: Sphere(2.5), ("`dim`", "2.5")),
        (lambda: PiecewiseSphere(1), ("`dim`", "got 1")),
        (lambda: PiecewiseSphere(3, (0.5, 0.6)), ("`weights`", "add up to 1", "0.6")),
        (lambda: PiecewiseSphere(3, (-0.5, 1.5)), ("`weights`", "-0.5")),
        (lambda: PiecewiseSphere(3, (0.5, 0.25, 0.25)), ("`weights`", "one more", "3 and 1")),
        (lambda: PiecewiseSphere(3, edges=(1.0,)), ("`edges`", "between -1 and 1")),
        (lambda: PiecewiseSphere(3, (0.2, 0.4, 0.4), edges=(0.5, 0.2)), ("`edges`", "increase")),
        (lambda: PiecewiseSphere(1000, edges=(0.9,)), ("`edges`", "1e-300", "0.032")),
        (lambda: PiecewiseSphere(3, direction=(0.0, 0.0, 0.0)), ("`direction`", "not all 0")),
        (lambda: PiecewiseSphere(3, direction=(1.0, 0.0)), ("`direction`", "3")),
        (lambda: AnisotropicSphere(np.ones((2, 3))), ("`covariance`", "(2, 3)")),
        (lambda: AnisotropicSphere([[1.0, 1.0], [0.0, 1.0]]), ("`covariance`", "symmetric")),
        (lambda: AnisotropicSphere([[1.0, 2.0], [2.0, 1.0]]), ("`covariance`", "positive definite", "-1")),
        (lambda: AnisotropicSphere.random(1, key=KEY), ("`dim`", "got 1")),
        (lambda: MixtureSphere(np.ones(3), 1.0), ("`means`", "rank 2")),
        (lambda: MixtureSphere(np.ones((2, 3)), 0.0), ("`scales`", "positive", "0.0")),
        (lambda: MixtureSphere(np.ones((2, 3)), (1.0, 1.0, 1.0)), ("`scales`", "2 `means`", "got 3")),
        (lambda: MixtureSphere(np.ones((2, 3)), 1.0, (0.5, 0.2)), ("`weights`", "add up to 1")),
        (lambda: MixtureSphere.random(3, 0, key=KEY), ("`num_components`", "got 0")),
        (lambda: Sphere(3).sample(-1, key=KEY), ("`count`", "-1")),
        (lambda: Sphere(3).sample(2, key=None), ("`key`", "jax.random.key(0)")),
        (lambda: Sphere(3).density(np.ones((2, 3))), ("`x`", "unit sphere", "1.73", "row 0")),
        (lambda: Sphere(3).density(np.eye(4)), ("`x`", "dim = 3", "(4, 4)")),
    ],
)
def test_refused(make, words, refuses, annotations_unchecked):
    with annotations_unchecked(), refuses(*words):
        make()


@pytest.mark.parametrize("name", MEASURES)
def test_harmonics_draw_their_points_from_a_measure(name):
    measure = MEASURES[name]
    problem = problems.harmonics(measure=measure, degrees=(1, 2), num_samples=3000, num_test=2000, key=KEY)
    assert problem.measure == measure
    assert (problem.x.shape, problem.x_test.shape) == ((3000, 3), (2000, 3))
    reference = measure.sample(20_000, key=jax.random.key(5)).mean(axis=0)
    for x in (problem.x, problem.x_test):
        assert within(x, reference, errors=6)
    uniform = problems.harmonics(dim=3, degrees=(1, 2), num_samples=3000, num_test=2000, key=KEY)
    same_functions = np.linalg.lstsq(uniform.x, uniform.basis["degree 1"])[0]
    np.testing.assert_allclose(problem.x_test @ same_functions, problem.basis_test["degree 1"], atol=1e-12)
    assert np.array_equal(problem.x, uniform.x) == (name == "uniform")
