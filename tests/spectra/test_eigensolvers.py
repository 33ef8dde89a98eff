import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from matfree import decomp, eig
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from spectralbias import models
from spectralbias.kernels import NTKOperator, cao_kernel
from spectralbias.spectra import ModesStatus, _eigensolvers, eigenmodes

METHODS = ("dense", "lanczos", "lobpcg", "randomized")
NAMES = {"dense": "LAPACK", "lanczos": "ARPACK", "lobpcg": "LOBPCG", "randomized": "randomized"}


def polygon():
    angle = 2 * np.pi * np.arange(60) / 60
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def cube():
    """The corners of the cube in R^6: its symmetries make clusters of 1, 6, 15, 20, 15, 6 and 1."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=6))) / np.sqrt(6)


def orthoplex():
    """± the axes of R^20: even functions, odd ones, the constant."""
    return np.concatenate([np.eye(20), -np.eye(20)])


# Points, the number of modes up to the end of a cluster, and the clusters' sizes by symmetry.
SETTINGS = {
    "polygon": (polygon, 5, (1, 2, 2)),
    "cube": (cube, 7, (1, 6)),
    "orthoplex": (orthoplex, 1 + 20, (1, 20)),
}


def clusters(eigenvalues):
    """Slices of equal eigenvalues."""
    edges = np.flatnonzero(np.abs(np.diff(eigenvalues)) > 1e-8 * eigenvalues[0]) + 1
    bounds = [0, *edges.tolist(), len(eigenvalues)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


def possible(method, num_modes, size):
    return method != "lobpcg" or num_modes <= size // 5


@pytest.mark.parametrize(
    ("name", "method"),
    [(s, m) for s in SETTINGS for m in METHODS if possible(m, SETTINGS[s][1], len(SETTINGS[s][0]()))],
)
def test_all_methods_find_the_same_projectors_on_degenerate_clusters(name, method):
    points, count, sizes = SETTINGS[name]
    theta = np.asarray(cao_kernel().ntk(points()))
    n = len(theta)
    values, vectors = np.linalg.eigh(theta)
    values, vectors = values[::-1] / n, vectors[:, ::-1]
    found = eigenmodes(theta, num_modes=count, method=method)
    assert NAMES[method] in found.method
    assert found.status is ModesStatus.truncated
    assert np.all(found.converged)
    np.testing.assert_allclose(found.eigenvalues, values[:count], rtol=1e-10)
    parts = clusters(found.eigenvalues)
    assert tuple(part.stop - part.start for part in parts) == sizes
    assert values[count - 1] > 1.01 * values[count]
    for part in parts:
        v, w = found.eigenvectors[:, part], vectors[:, part]
        # The angle is the residual norm over the gap.
        np.testing.assert_allclose(v @ v.T, w @ w.T, rtol=0, atol=1e-10 if method in METHODS[:2] else 1e-5)
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(count), rtol=0, atol=1e-12)
    pairs = theta @ found.eigenvectors / n - found.eigenvectors * found.eigenvalues
    np.testing.assert_allclose(found.residual_norms, np.linalg.norm(pairs, axis=0), rtol=0.05, atol=1e-14)
    assert np.all(found.residual_norms <= 1e-6 * found.eigenvalues)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("count", [1, 9, 20])
def test_random_points(method, count):
    x = np.random.default_rng(0).standard_normal((300, 4))
    theta = np.asarray(cao_kernel().ntk(x / np.linalg.norm(x, axis=1, keepdims=True)))
    exact = np.linalg.eigvalsh(theta)[::-1][:count] / 300
    for given in (theta, aslinearoperator(theta)):
        found = eigenmodes(given, num_modes=count, method=method)
        np.testing.assert_allclose(found.eigenvalues, exact, rtol=1e-10)
        assert np.all(found.residual_norms <= 1e-6 * exact)
        assert found.status is ModesStatus.truncated


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_network_without_its_gram(method):
    x = np.random.default_rng(1).standard_normal((40, 3))
    model = models.from_function(lambda p, xi: jnp.tanh(p @ xi), jnp.ones((2, 3)))
    operator = NTKOperator(model, x)
    exact = eigenmodes(np.asarray(operator.as_linear_operator() @ np.eye(80)).reshape(40, 2, 40, 2).swapaxes(1, 2))
    found = eigenmodes(operator, num_modes=6, method=method)
    assert found.outputs == (2,)
    assert found.num_samples == 40
    np.testing.assert_allclose(found.eigenvalues, exact.eigenvalues[:6], rtol=1e-9)
    assert "operator" in found.precision


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("count", [2, 6, 8, 9])
def test_a_kernel_of_low_rank(method, count):
    jacobian = np.random.default_rng(2).standard_normal((50, 8))
    exact = np.append(np.linalg.eigvalsh(jacobian.T @ jacobian)[::-1], 0.0)[:count] / 50
    found = eigenmodes(jacobian @ jacobian.T, num_modes=count, method=method)
    np.testing.assert_allclose(found.eigenvalues, exact, rtol=1e-9, atol=1e-13)
    assert found.status is ModesStatus.truncated


@pytest.mark.parametrize("method", METHODS)
def test_a_kernel_that_vanishes(method):
    found = eigenmodes(np.zeros((30, 30)), num_modes=2, method=method)
    np.testing.assert_array_equal(found.eigenvalues, 0)
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(2), atol=1e-15)
    assert found.status is ModesStatus.truncated


def test_lanczos_equals_matfree():
    theta = np.asarray(
        cao_kernel().ntk(orthoplex() @ np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0])
    )
    noise = np.random.default_rng(1).standard_normal((40, 40))
    theta = theta + 0.05 * noise @ noise.T
    solve = eig.eigh_partial(decomp.tridiag_sym(40, reortho="full"))
    start = jnp.asarray(np.random.default_rng(2).standard_normal(40))
    values, _ = solve(lambda v: jnp.asarray(theta) @ v, start)
    expected = np.sort(values)[::-1][:7] / 40
    np.testing.assert_allclose(eigenmodes(theta, num_modes=7, method="lanczos").eigenvalues, expected, rtol=1e-10)


@pytest.mark.parametrize("method", ["lobpcg", "randomized"])
def test_pairs_that_did_not_converge_are_marked(method, monkeypatch):
    # Slowly decaying eigenvalues, after one round of few steps.
    monkeypatch.setattr(_eigensolvers, "ROUNDS", 1)
    monkeypatch.setattr(_eigensolvers, "STEPS_PER_ROUND", 8)
    monkeypatch.setattr(_eigensolvers, "SUBSPACE_ITERATIONS", 8)
    eigenvalues = np.concatenate([[50.0, 20.0], np.linspace(1, 0.9, 98)])
    vectors = np.linalg.qr(np.random.default_rng(0).standard_normal((100, 100)))[0]
    matrix = (vectors * eigenvalues) @ vectors.T
    found = eigenmodes(matrix, num_modes=6, method=method)
    assert found.status is ModesStatus.not_converged
    assert found.converged.tolist() == [True, True, False, False, False, False]
    np.testing.assert_allclose(found.eigenvalues[:2], [0.5, 0.2], rtol=1e-10)
    assert np.all(found.residual_norms[2:] > 1e-5 * found.eigenvalues[2:])
    # The bound that a residual norm gives: an eigenvalue is no farther than that.
    distance = np.min(np.abs(found.eigenvalues[:, None] - eigenvalues / 100), axis=1)
    assert np.all(distance <= found.residual_norms + 1e-15)
    assert found.top(2).status is ModesStatus.truncated
    assert found.top(3).status is ModesStatus.not_converged


def test_products_of_your_own():
    calls = []

    def multiply(v):
        calls.append(v.shape)
        return np.arange(20.0, 0, -1).reshape(-1, *[1] * (v.ndim - 1)) * v

    operator = LinearOperator((20, 20), matvec=multiply, matmat=multiply, dtype=np.float32)
    found = eigenmodes(operator, num_modes=3)
    np.testing.assert_allclose(found.eigenvalues, [1, 0.95, 0.9], rtol=1e-12)
    assert found.outputs == ()
    assert found.num_samples == 20
    assert np.isnan(found.trace)
    assert found.precision == "float64 of a float32 operator"
    assert found.eigenvalues.dtype == np.float64
    # Residual norms are one product with all vectors.
    assert calls[-1] == (20, 3)
    # A method that asks for the adjoint need not be given it.
    alone = LinearOperator((20, 20), matvec=lambda v: multiply(v.ravel()), dtype=np.float64)
    np.testing.assert_allclose(eigenmodes(alone, num_modes=3, method="randomized").eigenvalues, [1, 0.95, 0.9])


def test_how_many_modes_by_default():
    theta = np.diag(np.linspace(1, 0, 30))
    assert eigenmodes(theta, method="dense").num_modes == 30
    assert eigenmodes(theta, method="lanczos").num_modes == 29
    assert eigenmodes(theta, method="lobpcg").num_modes == 6
    assert eigenmodes(theta, method="randomized").num_modes == 30
    assert eigenmodes(theta, method="randomized").status is ModesStatus.complete


def test_what_a_method_cannot_do_is_refused(refuses):
    theta = np.eye(30)
    with refuses("unknown method", "`lanczo`", "`lanczos`"):
        eigenmodes(theta, method="lanczo")
    for method, most in (("dense", 30), ("lanczos", 29), ("lobpcg", 6), ("randomized", 30)):
        with refuses("`num_modes`", f"between 1 and {most}", most + 1):
            eigenmodes(theta, num_modes=most + 1, method=method)
    with refuses("4 values", "too few", "`method='dense'`"):
        eigenmodes(np.eye(4), method="lobpcg")
    with refuses("`method='dense'`", "Gram", "operator"):
        eigenmodes(aslinearoperator(theta), method="dense")
    with refuses("(3, 2)"):
        eigenmodes(aslinearoperator(np.ones((3, 2))))
    with refuses("not symmetric"):
        eigenmodes(aslinearoperator(np.triu(np.ones((30, 30)))))
    with refuses("real", "complex128"):
        eigenmodes(aslinearoperator(1j * np.eye(3)))
    with refuses("not finite"):
        eigenmodes(aslinearoperator(np.diag([np.inf, 1.0, 2.0])))
