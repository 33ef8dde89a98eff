import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from spectralbias import models
from spectralbias.kernels import arc_cosine, cao_kernel, empirical_ntk, infinite_ntk
from spectralbias.spectra import gegenbauer

DATA = Path(__file__).parent.parent / "data"
GOLDEN = [e for e in json.loads((DATA / "infinite_kernels.json").read_text())["entries"] if e["activation"] == "relu"]
X = np.random.default_rng(1).standard_normal((5, 3))


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda e: f"depth{e['depth']}-bias{e['bias_variance']}")
def test_it_equals_the_golden_values(entry):
    golden = np.load(DATA / "infinite_kernels.npz")
    x1, x2 = golden["x1"], golden["x2"]
    kernel = infinite_ntk(
        entry["depth"], weight_variance=entry["weight_variance"], bias_variance=entry["bias_variance"]
    )
    # Pairs of identical, nearly parallel and opposite points: the source itself is good to 1e-8.
    special = np.zeros((6, 4), bool)
    special[[0, 1, 2], [0, 1, 2]] = True
    for actual, name in ((kernel.ntk(x1, x2), "ntk"), (kernel.nngp(x1, x2), "nngp")):
        expected = golden[f"{name}_{entry['index']}"]
        np.testing.assert_allclose(np.asarray(actual)[~special], expected[~special], rtol=1e-11)
        np.testing.assert_allclose(np.asarray(actual)[special], expected[special], rtol=0, atol=3e-8)


def test_the_golden_file_has_four_relu_entries():
    assert len(GOLDEN) == 4


def recursion(x1, x2, depth, weight, bias):
    """(Θ, Σ) of one pair by the layer recursion at 30 digits, on whole 2 × 2 covariances."""
    with mpmath.workdps(30):
        points = [[mpmath.mpf(v) for v in x] for x in (x1, x2)]
        dim = len(x1)
        weight, bias = mpmath.mpf(weight), mpmath.mpf(bias)
        sigma = [[weight * mpmath.fdot(p, q) / dim + bias for q in points] for p in points]
        theta = sigma[0][1]
        for _ in range(depth):
            scale = mpmath.sqrt(sigma[0][0] * sigma[1][1])
            angle = mpmath.acos(min(mpmath.mpf(1), max(mpmath.mpf(-1), sigma[0][1] / scale)))
            both_active = (mpmath.pi - angle) / (2 * mpmath.pi)
            product = scale * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / (2 * mpmath.pi)
            off = weight * product + bias
            sigma = [[weight * sigma[0][0] / 2 + bias, off], [off, weight * sigma[1][1] / 2 + bias]]
            theta = off + weight * both_active * theta
        return float(theta), float(sigma[0][1])


@pytest.mark.parametrize(("depth", "weight", "bias"), [(1, 2.0, 0.0), (2, 1.7, 0.3), (6, 2.0, 0.1), (10, 2.5, 0.0)])
def test_it_equals_the_recursion_at_30_digits(depth, weight, bias):
    kernel = infinite_ntk(depth, weight_variance=weight, bias_variance=bias)
    expected = np.array([[recursion(a, b, depth, weight, bias) for b in X[3:]] for a in X[:3]])
    np.testing.assert_allclose(kernel.ntk(X[:3], X[3:]), expected[..., 0], rtol=1e-13)
    np.testing.assert_allclose(kernel.nngp(X[:3], X[3:]), expected[..., 1], rtol=1e-13)
    diagonal = [recursion(a, a, depth, weight, bias)[0] for a in X]
    np.testing.assert_allclose(np.diag(kernel.ntk(X)), diagonal, rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 3])
def test_without_biases_the_diagonal_counts_layers(depth):
    # He initialization keeps second moments, so each of the depth + 1 layers adds 2 ‖x‖²/dim.
    expected = (depth + 1) * 2 * np.sum(X**2, axis=1) / 3
    np.testing.assert_allclose(np.diag(infinite_ntk(depth).ntk(X)), expected, rtol=1e-14)


def test_cao_kernel_is_the_formula_of_the_paper():
    t = np.linspace(-1, 1, 21)
    expected = (3 * t * (np.pi - np.arccos(t)) + 2 * np.sqrt(1 - t**2)) / (2 * np.pi)
    kernel = cao_kernel()
    np.testing.assert_allclose(kernel.profile(t, dim=10), expected, rtol=0, atol=1e-15)
    assert float(kernel.profile(1.0, dim=10)) == 1.5
    # κ = ⟨x, x'⟩ κ₁ + 2 κ₂ with norms: homogeneous of degree 2.
    norms = np.linalg.norm(X, axis=1)
    scale, cosine = norms[:3, None] * norms[None, 3:], (X[:3] @ X[3:].T) / (norms[:3, None] * norms[None, 3:])
    expected = scale * (cosine * arc_cosine(cosine, 0) + 2 * arc_cosine(cosine, 1))
    np.testing.assert_allclose(kernel.ntk(X[:3], X[3:]), expected, rtol=1e-13)
    np.testing.assert_allclose(kernel.nngp(X[:3], X[3:]), scale * 2 * arc_cosine(cosine, 1), rtol=1e-13)


@pytest.mark.parametrize("dim", [3, 10])
def test_cao_kernel_has_the_eigenvalues_of_the_paper_on_the_sphere(dim):
    # Funk-Hecke by quadrature in the angle, against closed forms: μ₁ = 3/(4 dim), 0 for odd degrees from 3 on, and
    # μ_k = μ_k(t κ₁) + 2 μ_k(κ₂) for even ones.
    d, g = dim - 1, scipy.special.gamma(dim / 2)

    def kappa1(k):
        return (g * scipy.special.gamma(k / 2) / (2 * np.pi * scipy.special.gamma((k + d + 1) / 2))) ** 2  # odd k

    def kappa2(k):
        return dim * (g * scipy.special.gamma((k - 1) / 2) / (4 * np.pi * scipy.special.gamma((k + d + 2) / 2))) ** 2

    def even(k):
        return (k * kappa1(k - 1) + (k + d - 1) * kappa1(k + 1)) / (2 * k + d - 1) + 2 * kappa2(k)

    expected = [kappa1(1) + 2 * kappa2(0), 3 / (4 * dim), even(2), 0, even(4), 0, even(6)]
    # Split at the equator; κ is analytic in the angle.
    nodes, weights = np.polynomial.legendre.leggauss(200)
    angle, weights = (nodes + 1) * np.pi / 2, weights * np.pi / 2
    density = weights * np.sin(angle) ** (dim - 2)
    density /= density.sum()
    profile = np.asarray(cao_kernel().profile(np.cos(angle), dim=dim))
    actual = [float(np.sum(density * profile * gegenbauer(k, dim, np.cos(angle)))) for k in range(7)]
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kernel", [cao_kernel(), infinite_ntk(3, weight_variance=1.8, bias_variance=0.2)])
def test_the_profile_is_the_kernel_on_the_unit_sphere(kernel):
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    off = ~np.eye(5, dtype=bool)
    profile = np.asarray(kernel.profile(x @ x.T, dim=3))
    np.testing.assert_allclose(profile[off], np.asarray(kernel.ntk(x))[off], rtol=1e-13)


@given(st.integers(0, 2**32 - 1))
def test_kernels_are_symmetric_positive_and_invariant_under_rotations(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((5, 3))
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    for kernel in (cao_kernel(), infinite_ntk(2, weight_variance=1.5, bias_variance=0.1)):
        for function in (kernel.ntk, kernel.nngp):
            gram = np.asarray(function(x))
            np.testing.assert_array_equal(gram, function(x, x))
            np.testing.assert_allclose(gram, gram.T, rtol=0, atol=1e-15 * np.trace(gram))
            assert np.linalg.eigvalsh(gram)[0] > -1e-14 * np.trace(gram)
            np.testing.assert_allclose(function(x @ rotation), gram, rtol=0, atol=1e-14 * np.trace(gram))


@pytest.mark.parametrize("bias_variance", [0.0, 0.3])
def test_a_zero_input_is_no_trouble(bias_variance):
    x = np.concatenate([np.zeros((1, 3)), X])
    gram = np.asarray(infinite_ntk(2, bias_variance=bias_variance).ntk(x))
    assert np.all(np.isfinite(gram))
    if bias_variance == 0:
        assert np.all(gram[0] == 0)
    else:
        expected = [recursion(np.zeros(3), a, 2, 2.0, bias_variance)[0] for a in X]
        np.testing.assert_allclose(gram[0, 1:], expected, rtol=1e-13)


WIDTHS = (32, 128, 512)


def finite_width_errors(build, kernel, seeds=24):
    """Geometric mean over seeds of ‖Θ - limit‖/‖limit‖ at each width."""
    limit = np.asarray(kernel.ntk(X))
    errors = []
    for width in WIDTHS:
        draw = eqx.filter_jit(build)
        grams = [np.asarray(empirical_ntk(draw(width, jax.random.key(seed)), X)) for seed in range(seeds)]
        errors.append(np.exp(np.mean([np.log(np.linalg.norm(g - limit) / np.linalg.norm(limit)) for g in grams])))
    return np.array(errors)


def slope(errors):
    return np.polyfit(np.log(WIDTHS), np.log(errors), 1)[0]


# Log-errors scatter by 0.5, their means over 24 seeds by 0.1, a slope over three widths a factor of 4 apart by
# 0.1/(√2 log 4) = 0.05: 0.15 is three of them, and far from 0 and -1.
def test_networks_approach_the_limit_as_one_over_the_root_of_their_width():
    def build(width, key):
        return models.MLP(3, "scalar", width, 2, weight_std=1.3, bias_std=0.5, key=key)

    errors = finite_width_errors(build, infinite_ntk(2, weight_variance=1.69, bias_variance=0.25))
    assert abs(slope(errors) + 0.5) < 0.15
    assert errors[-1] < 0.15
    wrong = finite_width_errors(build, infinite_ntk(2, weight_variance=1.3, bias_variance=0.25))
    assert slope(wrong) > -0.2
    assert wrong[-1] > 0.2


def test_cao_networks_approach_the_cao_kernel_and_not_its_neighbour():
    def build(width, key):
        return models.cao_network(3, width, key=key)

    errors = finite_width_errors(build, cao_kernel())
    assert abs(slope(errors) + 0.5) < 0.15
    assert errors[-1] < 0.1
    # Bietti & Mairal's 2 (t κ₁ + κ₂) is infinite_ntk(1) up to the factor dim; it is not proportional to Cao's.
    limit, neighbour = np.asarray(cao_kernel().ntk(X)), np.asarray(infinite_ntk(1).ntk(X))
    best = np.sum(limit * neighbour) / np.sum(neighbour**2)
    assert np.linalg.norm(limit - best * neighbour) > 0.02 * np.linalg.norm(limit)


def test_the_output_scale_enters_squared():
    key = jax.random.key(0)
    one, half = (models.cao_network(3, 32, output_scale=s, key=key) for s in (1.0, 0.5))
    np.testing.assert_allclose(4 * empirical_ntk(half, X), empirical_ntk(one, X), rtol=1e-12)


def test_nngp_is_the_covariance_of_networks_at_the_start():
    # With one hidden layer it is exact at any width.
    x = X[:2]
    draw = eqx.filter_jit(
        eqx.filter_vmap(
            lambda key: jax.vmap(models.MLP(3, "scalar", 4, 1, weight_std=1.3, bias_std=0.5, key=key))(jnp.asarray(x))
        )
    )
    f = np.asarray(draw(jax.random.split(jax.random.key(0), 40_000)))
    expected = np.asarray(infinite_ntk(1, weight_variance=1.69, bias_variance=0.25).nngp(x))
    products = f[:, :, None] * f[:, None, :]
    error = np.abs(products.mean(axis=0) - expected)
    assert np.all(error < 5 * products.std(axis=0) / 200)
    assert np.all(5 * products.std(axis=0) / 200 < 0.1 * np.diag(expected).max())


def test_bad_arguments_are_refused(refuses):
    with refuses("`depth`", "0"):
        infinite_ntk(0)
    with refuses("`depth`", "1.5"):
        infinite_ntk(1.5)
    with refuses("activation `rleu`", "`relu`"):
        infinite_ntk(1, "rleu")
    for variance in (0.0, -1.0, float("nan")):
        with refuses("`weight_variance`", variance):
            infinite_ntk(1, weight_variance=variance)
    for variance in (-0.1, float("nan"), float("inf")):
        with refuses("`bias_variance`", variance):
            infinite_ntk(1, bias_variance=variance)
