import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matfree import decomp
from scipy.sparse.linalg import aslinearoperator

from spectralbias import models
from spectralbias.kernels import NTKOperator
from spectralbias.spectra import SpectralDensityStatus, spectral_density
from spectralbias.spectra._krylov import tridiagonalize


def gram_with(eigenvalues, seed=0):
    """n Θ/n with these eigenvalues, and its eigenvectors."""
    size = len(eigenvalues)
    vectors = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]
    return (vectors * eigenvalues) @ vectors.T * size, vectors


DECADES = np.geomspace(1e-6, 1, 300)


def probes(key, count, size):
    """The random signs that the quadrature uses."""
    return np.asarray(jax.random.rademacher(key, (count, size)), float)


def test_nodes_and_weights_are_those_of_matfree():
    matrix, _ = gram_with(np.linspace(0.1, 2, 60))
    key = jax.random.key(3)
    found = spectral_density(matrix, num_probes=2, num_steps=12, key=key)
    lanczos = decomp.tridiag_sym(12, reortho="full")
    for probe, nodes, weights in zip(probes(key, 2, 60), found.nodes, found.weights, strict=True):
        tridiagonal = lanczos(lambda v: jnp.asarray(matrix) @ v / 60, jnp.asarray(probe)).J_small
        values, vectors = np.linalg.eigh(tridiagonal)
        np.testing.assert_allclose(nodes, values[::-1], rtol=1e-10)
        np.testing.assert_allclose(weights, vectors[0, ::-1] ** 2, rtol=1e-8, atol=1e-14)


def test_tridiagonalization_is_that_of_matfree():
    matrix = gram_with(DECADES[::6])[0] / 50
    start = np.random.default_rng(1).standard_normal(50)
    space = tridiagonalize(lambda v: matrix @ v, start, 20)
    oracle = decomp.tridiag_sym(20, reortho="full", materialize=False)(
        lambda v: jnp.asarray(matrix) @ v, jnp.asarray(start)
    )
    np.testing.assert_allclose(space.diagonal, oracle.J_small[0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(space.off_diagonal, np.abs(oracle.J_small[1]), rtol=0, atol=1e-11)
    np.testing.assert_allclose(space.basis @ space.basis.T, np.eye(20), rtol=0, atol=1e-13)
    assert not space.is_invariant


def test_each_probe_is_a_gauss_quadrature():
    # Moments up to 2 m - 1 of zᵀ p(Θ/n) z/N.
    matrix, _ = gram_with(np.linspace(0.1, 1, 40))
    key, steps = jax.random.key(0), 5
    found = spectral_density(matrix, num_probes=3, num_steps=steps, key=key)
    np.testing.assert_allclose(np.sum(found.weights, axis=1), 1, rtol=1e-13)
    for probe, nodes, weights in zip(probes(key, 3, 40), found.nodes, found.weights, strict=True):
        for power in range(2 * steps + 1):
            exact = probe @ np.linalg.matrix_power(matrix / 40, power) @ probe / 40
            assert (np.sum(weights * nodes**power) == pytest.approx(exact, rel=1e-11)) == (power < 2 * steps)


@pytest.mark.parametrize("steps", [10, 40, 299])
def test_counts_of_one_probe_are_within_the_bound_of_the_quadrature(steps):
    matrix, vectors = gram_with(DECADES)
    key = jax.random.key(1)
    thresholds = np.geomspace(1e-7, 2, 60)
    found = spectral_density(matrix, num_probes=2, num_steps=steps, key=key)
    # What these probes see of each eigenvector, summed above the threshold: no average over probes is involved.
    seen = np.mean((probes(key, 2, 300) @ vectors) ** 2, axis=0)
    true = np.array([np.sum(seen[threshold < DECADES]) for threshold in thresholds])
    count = found.count_above(thresholds)
    assert np.all(np.abs(count.value - true) <= count.quadrature_error + 1e-6)
    # The bound says what the steps resolve: large eigenvalues one by one, the smallest only as a group.
    assert np.all(count.quadrature_error[thresholds > 0.1] < 4 + 600 / steps)
    assert (count.quadrature_error[0] > 50) == (steps < 299)


def test_counts_are_within_their_standard_errors():
    matrix, _ = gram_with(DECADES)
    thresholds = np.array([1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5]) * 1.003
    true = np.array([np.sum(threshold < DECADES) for threshold in thresholds])
    deviations = []
    for seed in range(5):
        found = spectral_density(matrix, num_probes=8, num_steps=120, key=jax.random.key(seed))
        count = found.count_above(thresholds)
        assert np.all(np.abs(count.value - true) <= 4 * count.stderr + count.quadrature_error)
        # From 1e-2 on nodes stand for single eigenvalues, and a single one has a weight of about 1.
        assert np.all(count.quadrature_error[3:] < 2.5)
        assert np.all(count.quadrature_error[:2] > 20)
        deviations.append((count.value - true)[3:] / count.stderr[3:])
        assert found.count_above(2.0).value == 0
        assert found.count_above(-1.0).value == pytest.approx(300, rel=1e-12)
    # The standard error is neither far too small nor far too large. Student's t with 7 degrees of freedom has 1.18.
    assert 0.6 < np.sqrt(np.mean(np.square(deviations))) < 1.8


def test_all_steps_and_many_probes_give_the_whole_spectrum():
    # All sign vectors of 6 values: the mean of z zᵀ is the identity, so the average has no error at all.
    matrix, vectors = gram_with(np.array([3.0, 1.0, 1.0, 0.5, 0.1, 0.0]))
    every = np.array(list(itertools.product([-1.0, 1.0], repeat=6)))
    np.testing.assert_allclose(np.mean((every @ vectors) ** 2, axis=0), 1, rtol=1e-12)
    found = spectral_density(matrix, num_probes=4000, num_steps=6, key=jax.random.key(0))
    assert found.status is SpectralDensityStatus.exact
    count = found.count_above(np.array([2.0, 0.9, 0.4, 0.05]))
    np.testing.assert_array_equal(count.quadrature_error, 0)
    assert np.all(np.abs(count.value - [1, 3, 4, 5]) < 4 * count.stderr)
    assert np.all(count.stderr < 0.03)
    # Nodes are eigenvalues; the double one appears once.
    assert found.nodes.shape == (4000, 6)
    assert np.max(np.min(np.abs(found.nodes[..., None] - [3.0, 1.0, 0.5, 0.1, 0.0]), axis=-1)) < 1e-9
    assert np.all(found.weights[:, 5] < 1e-20)


def test_the_density_is_a_smoothed_histogram_on_a_logarithmic_axis():
    matrix, _ = gram_with(DECADES)
    grid = np.geomspace(1e-8, 100, 400)
    found = spectral_density(matrix, num_probes=10, num_steps=200, key=jax.random.key(2))
    gaussians = np.exp(-(((np.log10(grid)[:, None] - np.log10(DECADES)) / 0.3) ** 2) / 2) / 0.3 / np.sqrt(2 * np.pi)
    true = np.mean(gaussians, axis=1)
    density, stderr = found.density(grid, width=0.3), found.density_stderr(grid, width=0.3)
    # Eigenvalues are even in log λ over six decades: 1/6 per decade.
    assert true[200] == pytest.approx(1 / 6, rel=0.02)
    where = grid > 3e-3  # smaller ones share nodes
    assert np.all(np.abs(density - true)[where] <= 4 * stderr[where] + 2e-3)
    assert np.trapezoid(density, np.log10(grid)) == pytest.approx(1, abs=1e-3)


def test_zero_eigenvalues_have_no_place_on_a_logarithmic_axis():
    eigenvalues = np.concatenate([np.zeros(30), np.full(10, 0.5)])
    matrix, _ = gram_with(eigenvalues)
    found = spectral_density(matrix, num_probes=20, num_steps=30, key=jax.random.key(0))
    count = found.count_above(found.resolution * found.largest)
    assert found.largest == pytest.approx(0.5)
    assert np.abs(count.value - 10) < 4 * count.stderr
    grid = np.geomspace(1e-2, 10, 300)
    assert np.trapezoid(found.density(grid), np.log10(grid)) == pytest.approx(count.value / 40, rel=1e-6)
    zero = spectral_density(np.zeros((4, 4)), key=jax.random.key(0))
    np.testing.assert_array_equal(zero.density(grid), 0)
    assert zero.count_above(0.0).value == 0


def test_operators_and_vector_outputs():
    x = np.random.default_rng(5).standard_normal((30, 3))
    operator = NTKOperator(models.from_function(lambda p, xi: p @ xi, jnp.ones((2, 3))), x)
    found = spectral_density(operator, num_probes=40, num_steps=20, key=jax.random.key(0))
    eigenvalues = np.repeat(np.linalg.eigvalsh(x.T @ x / 30), 2)
    assert found.size == 60
    assert found.status is SpectralDensityStatus.exact
    assert found.trace_stderr > 0
    assert np.abs(found.trace - np.sum(eigenvalues)) < 4 * found.trace_stderr
    assert np.max(np.min(np.abs(found.nodes[..., None] - [*eigenvalues, 0.0]), axis=-1)) < 1e-9
    count = found.count_above(eigenvalues[0] / 2)
    assert np.abs(count.value - 6) < 4 * count.stderr
    assert found.precision == "float64 of a float64 operator"


def test_the_trace_of_a_gram_is_exact_and_that_of_an_operator_an_average():
    matrix, _ = gram_with(np.linspace(0, 1, 50))
    gram = spectral_density(matrix, key=jax.random.key(0))
    assert gram.trace == pytest.approx(25, rel=1e-13)
    assert gram.trace_stderr == 0
    key = jax.random.key(0)
    operator = spectral_density(aslinearoperator(matrix), num_steps=3, key=key)
    signs = probes(key, 10, 50)
    assert operator.trace == pytest.approx(np.mean(np.sum(signs * (signs @ matrix), axis=1)) / 50, rel=1e-12)
    assert np.abs(operator.trace - 25) < 4 * operator.trace_stderr


def test_the_key_decides(refuses):
    matrix, _ = gram_with(np.linspace(0, 1, 50))
    one, same, other = (spectral_density(matrix, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.weights, same.weights)
    assert not np.array_equal(one.weights, other.weights)


def test_what_has_no_density_is_refused(refuses):
    key = jax.random.key(0)
    with refuses("`num_probes`", "1"):
        spectral_density(np.eye(3), num_probes=1, key=key)
    with refuses("`num_steps`", "0"):
        spectral_density(np.eye(3), num_steps=0, key=key)
    with refuses("not symmetric"):
        spectral_density(np.array([[1.0, 2.0], [0.0, 1.0]]), key=key)
    found = spectral_density(np.eye(3), key=key)
    with refuses("`grid`", "positive", "0.0"):
        found.density(np.array([0.0, 1.0]))
    with refuses("`width`", "-1"):
        found.density(np.array([1.0]), width=-1)
    with refuses("`threshold`", "nan"):
        found.count_above(np.nan)
