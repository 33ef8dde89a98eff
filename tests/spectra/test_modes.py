import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.sparse.linalg import ArpackNoConvergence

from spectralbias import models
from spectralbias.kernels import NTKOperator
from spectralbias.spectra import ModesStatus, _eigensolvers, as_matrix, eigenmodes


def gram_with(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    vectors = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues), len(eigenvalues))))[0]
    return (vectors * eigenvalues) @ vectors.T, vectors


def projector(vectors):
    return vectors @ vectors.T


def assert_honest(modes, matrix):
    """The residual norms are those of the pairs, and the vectors are orthonormal."""
    pairs = matrix @ modes.eigenvectors / modes.num_samples - modes.eigenvectors * modes.eigenvalues
    np.testing.assert_allclose(modes.residual_norms, np.linalg.norm(pairs, axis=0), rtol=0.1, atol=1e-14)
    overlap = modes.eigenvectors.T @ modes.eigenvectors
    np.testing.assert_allclose(overlap, np.eye(modes.num_modes), rtol=0, atol=1e-10)


def test_all_modes_of_a_matrix():
    matrix = gram_with(np.geomspace(1e-8, 30, 12))[0]
    modes = eigenmodes(matrix)
    np.testing.assert_allclose(modes.eigenvalues, np.linalg.eigvalsh(matrix)[::-1] / 12, rtol=0, atol=1e-14)
    np.testing.assert_allclose(modes.eigenvalues, np.geomspace(30, 1e-8, 12) / 12, rtol=1e-6)
    assert np.all(np.diff(modes.eigenvalues) < 0)
    rebuilt = modes.eigenvectors * modes.eigenvalues @ modes.eigenvectors.T * 12
    np.testing.assert_allclose(rebuilt, matrix, rtol=0, atol=1e-12)
    assert_honest(modes, matrix)
    assert np.all(modes.residual_norms < 1e-14)
    assert modes.is_complete
    assert modes.num_modes == 12
    assert modes.trace == pytest.approx(np.trace(matrix) / 12)
    assert modes.status is ModesStatus.complete
    assert "LAPACK" in modes.method
    assert modes.precision == "float64 of a float64 Gram"
    assert eigenmodes(matrix.astype(np.float32)).precision == "float64 of a float32 Gram"


def test_eigenvalues_are_of_the_gram_over_n_so_that_copies_of_the_data_change_nothing():
    matrix = gram_with(np.array([1.0, 2.0, 5.0]))[0]
    twice = np.kron(np.ones((2, 2)), matrix)
    np.testing.assert_allclose(eigenmodes(matrix).eigenvalues, [5 / 3, 2 / 3, 1 / 3])
    np.testing.assert_allclose(eigenmodes(twice, num_modes=3).eigenvalues, [5 / 3, 2 / 3, 1 / 3])


@pytest.mark.parametrize("num_modes", [None, 4])
def test_vector_outputs_are_flattened_sample_by_sample_and_divided_by_n(num_modes):
    jacobian = np.random.default_rng(1).standard_normal((5, 3, 20))
    gram = np.einsum("iap,jbp->ijab", jacobian, jacobian)
    matrix = np.array([[gram[i, j, a, b] for j in range(5) for b in range(3)] for i in range(5) for a in range(3)])
    np.testing.assert_array_equal(as_matrix(gram)[0], matrix)
    modes = eigenmodes(jnp.asarray(gram), num_modes=num_modes)
    assert modes.outputs == (3,)
    assert modes.num_samples == 5
    np.testing.assert_allclose(modes.eigenvalues, np.linalg.eigvalsh(matrix)[::-1][:num_modes] / 5, atol=1e-12)
    assert_honest(modes, matrix)
    assert modes.trace == pytest.approx(np.trace(matrix) / 5)
    residuals = np.random.default_rng(2).standard_normal((5, 3))
    by_hand = [sum(v[i * 3 + a] * residuals[i, a] for i in range(5) for a in range(3)) for v in modes.eigenvectors.T]
    np.testing.assert_allclose(modes.project(residuals), np.array(by_hand) / np.sqrt(5), atol=1e-13)


CLUSTERS = [5.0, 3.0, 3.0, 2.0, 2.0, 2.0]


def test_lanczos_on_a_matrix_finds_every_mode_of_a_cluster():
    eigenvalues = np.concatenate([CLUSTERS, np.linspace(0.9, 0, 219)])
    matrix, vectors = gram_with(eigenvalues)
    modes = eigenmodes(matrix, num_modes=6)
    assert "Lanczos" in modes.method
    assert modes.status is ModesStatus.truncated
    assert not modes.is_complete
    np.testing.assert_allclose(modes.eigenvalues, np.array(CLUSTERS) / 225, rtol=1e-12)
    for cluster in (slice(0, 1), slice(1, 3), slice(3, 6)):
        difference = projector(modes.eigenvectors[:, cluster]) - projector(vectors[:, cluster])
        assert np.max(np.abs(difference)) < 1e-10
    assert_honest(modes, matrix)
    assert modes.trace == pytest.approx(np.sum(eigenvalues) / 225)


def test_lanczos_on_an_operator_equals_the_dense_modes():
    # A linear model f(x) = p · x has Θ = X Xᵀ: inputs with the wanted singular values.
    eigenvalues = np.array([*CLUSTERS, 0.5, 0.2])
    rng = np.random.default_rng(3)
    left = np.linalg.qr(rng.standard_normal((40, 8)))[0]
    x = left * np.sqrt(eigenvalues) @ np.linalg.qr(rng.standard_normal((8, 8)))[0]
    operator = NTKOperator(models.from_function(lambda p, xi: p @ xi, jnp.ones(8)), x, batch_size=16)
    modes = eigenmodes(operator, num_modes=6)
    np.testing.assert_allclose(modes.eigenvalues, np.array(CLUSTERS) / 40, rtol=1e-9)
    for cluster in (slice(0, 1), slice(1, 3), slice(3, 6)):
        difference = projector(modes.eigenvectors[:, cluster]) - projector(left[:, cluster])
        assert np.max(np.abs(difference)) < 1e-5  # the eigensolver's tolerance is 1e-6
    assert_honest(modes, x @ x.T)
    assert np.all(modes.residual_norms <= 1e-6 * modes.eigenvalues)
    assert np.isnan(modes.trace)
    assert modes.precision == "float64 of a float64 operator"
    # By default as many as a Lanczos iteration can give.
    assert eigenmodes(operator).num_modes == 39


def test_an_operator_with_vector_outputs():
    x = np.random.default_rng(5).standard_normal((6, 3))
    model = models.from_function(lambda p, xi: p @ xi, jnp.ones((2, 3)))
    modes = eigenmodes(NTKOperator(model, x), num_modes=4)
    assert modes.outputs == (2,)
    assert modes.num_samples == 6
    expected = np.repeat(np.linalg.eigvalsh(x @ x.T)[::-1][:2], 2) / 6
    np.testing.assert_allclose(modes.eigenvalues, expected, rtol=1e-8)


def test_residual_norms_expose_a_wrong_eigenvector(monkeypatch):
    matrix = gram_with(np.geomspace(1, 100, 10))[0]

    def wrong(*arguments, **options):
        values, vectors = np.linalg.eigh(arguments[0])
        vectors[:, 3] = np.roll(vectors[:, 3], 1)
        return values, vectors

    monkeypatch.setattr(_eigensolvers.scipy.linalg, "eigh", wrong)
    modes = eigenmodes(matrix)
    wrong_one = 10 - 1 - 3
    assert modes.residual_norms[wrong_one] > 0.1
    assert np.all(np.delete(modes.residual_norms, wrong_one) < 1e-12)
    assert modes.converged.tolist() == [i != wrong_one for i in range(10)]
    assert modes.status is ModesStatus.not_converged


@pytest.mark.parametrize("converged", [0, 2])
def test_modes_that_did_not_converge_are_left_out_and_said_so(converged, monkeypatch):
    matrix, _ = gram_with(np.linspace(0, 1, 210))
    values, vectors = scipy.linalg.eigh(matrix)

    def stopped(*arguments, **options):
        raise ArpackNoConvergence("stopped", values[-converged or 210 :], vectors[:, -converged or 210 :])

    monkeypatch.setattr(_eigensolvers, "eigsh", stopped)
    modes = eigenmodes(matrix, num_modes=5)
    assert modes.status is ModesStatus.not_converged
    assert modes.num_modes == len(modes.residual_norms) == converged
    np.testing.assert_allclose(modes.eigenvalues, values[::-1][:converged] / 210)


@pytest.mark.parametrize("shape", [(9,), (4, 9), (2, 3, 9)])
def test_complete_modes_keep_residuals_and_their_mean_square(shape):
    modes = eigenmodes(gram_with(np.linspace(0, 1, 9))[0])
    residuals = np.random.default_rng(0).standard_normal(shape)
    coefficients = modes.project(residuals)
    assert coefficients.shape == shape
    np.testing.assert_allclose(np.sum(coefficients**2, axis=-1), np.mean(residuals**2, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(modes.expand(coefficients), residuals, rtol=0, atol=1e-13)


def test_truncated_modes_keep_the_part_in_their_span():
    matrix, vectors = gram_with(np.array([4.0, 3.0, 2.0, 1.0, 0.5, 0.1]))
    modes = eigenmodes(matrix, num_modes=2)
    residual = np.random.default_rng(0).standard_normal(6)
    expected = projector(vectors[:, :2]) @ residual
    np.testing.assert_allclose(modes.expand(modes.project(residual)), expected, atol=1e-13)
    assert np.sum(modes.project(residual) ** 2) < np.mean(residual**2)


def test_expanding_vector_outputs_gives_back_their_shape():
    jacobian = np.random.default_rng(1).standard_normal((4, 2, 20))
    modes = eigenmodes(np.einsum("iap,jbp->ijab", jacobian, jacobian))
    residuals = np.random.default_rng(0).standard_normal((5, 4, 2))
    np.testing.assert_allclose(modes.expand(modes.project(residuals)), residuals, atol=1e-13)
    np.testing.assert_allclose(
        np.sum(modes.project(residuals) ** 2, axis=-1), np.sum(residuals**2, axis=(1, 2)) / 4, rtol=1e-12
    )


def test_one_sample_and_a_zero_matrix():
    np.testing.assert_array_equal(eigenmodes(np.array([[4.0]])).eigenvalues, [4.0])
    np.testing.assert_array_equal(eigenmodes(np.zeros((3, 3))).eigenvalues, np.zeros(3))


@pytest.mark.parametrize(
    ("gram", "words"),
    [
        (np.zeros((3, 2)), ("`gram`", "(3, 2)")),
        (np.zeros((3, 3, 2)), ("`gram`", "(3, 3, 2)")),
        (np.zeros((3, 3, 2, 1)), ("`gram`", "(3, 3, 2, 1)")),
        (np.zeros(3), ("`gram`", "(3,)")),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), ("not symmetric",)),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), ("not finite",)),
    ],
)
def test_what_is_no_gram_is_refused(gram, words, refuses):
    with refuses(*words):
        eigenmodes(gram)


def test_impossible_numbers_of_modes_and_wrong_residuals_are_refused(refuses):
    for num_modes in (0, -1, 4):
        with refuses("`num_modes`", "between 1 and 3", num_modes):
            eigenmodes(np.eye(3), num_modes=num_modes)
    operator = NTKOperator(models.from_function(lambda p, x: p @ x, jnp.ones(3)), np.eye(3))
    with refuses("`num_modes`", "between 1 and 2", "3"):
        eigenmodes(operator, num_modes=3)
    with refuses("`residuals`", "(3,)", "(4,)"):
        eigenmodes(np.eye(3)).project(np.ones(4))


def test_a_gram_that_is_symmetric_to_float32_is_accepted():
    matrix = gram_with(np.linspace(1, 2, 6))[0]
    noisy = matrix + 1e-6 * np.random.default_rng(0).standard_normal((6, 6))
    np.testing.assert_allclose(eigenmodes(noisy).eigenvalues, np.linspace(2, 1, 6) / 6, rtol=1e-5)


@pytest.mark.parametrize(
    ("gram", "num_modes", "words"),
    [
        (np.zeros((0, 0)), None, ("`gram`", "at least one")),
        (1j * np.eye(3), None, ("`gram`", "complex128")),
        ([[1.0, 2.0], [2.0]], None, ("`gram`", "different lengths")),
        (np.eye(3), 2.0, ("`num_modes`", "whole", "2.0")),
        (np.eye(3), True, ("`num_modes`", "whole", "True")),
    ],
)
def test_what_is_no_gram_and_no_number_of_modes_is_refused(gram, num_modes, words, refuses):
    with refuses(*words):
        eigenmodes(gram, num_modes=num_modes)
