"""Cosines of loss gradients against explicit gradients of every sample, and what is said about many of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spectralbias import kernels, models, regions
from spectralbias.kernels import _plan
from spectralbias.kernels._factors import Factors, Gradient

KEY = jax.random.key(3)
X = np.random.default_rng(0).uniform(-1, 1, (10, 2))
SCALAR, THREE = np.sin(3 * X[:, 0]), np.stack([X[:, 0], X[:, 1] ** 2, np.cos(X[:, 1])], axis=1)
CLASSES = np.arange(10) % 3

# Every sample in few pairs, and in many.
FEW = np.array([(0, 1), (2, 9), (4, 4), (7, 3), (1, 5)])
MANY = np.array([(i, j) for i in range(10) for j in range(i, 10)])


class Convolutions(eqx.Module):
    """Strides, groups, several positions; an output for each class."""

    layers: tuple

    def __init__(self):
        keys = jax.random.split(KEY, 3)
        self.layers = (
            eqx.nn.Conv2d(2, 4, 3, padding=1, key=keys[0]),
            eqx.nn.Conv2d(4, 12, 2, stride=2, groups=2, key=keys[1]),
            eqx.nn.Linear(48, 3, key=keys[2]),
        )

    def __call__(self, x):
        one, two, last = self.layers
        return last(jax.nn.relu(two(jax.nn.relu(one(x)))).reshape(-1))


class Unstructured(eqx.Module):
    """A matrix of which the sine is taken, a scale, and a table from which positions take rows."""

    matrix: jax.Array
    scale: jax.Array
    table: jax.Array

    def __call__(self, x):
        rows = self.table[jnp.array([0, 2, 2]) + (x[0] > 0)]
        return jnp.sum(self.scale * (jnp.sin(self.matrix) @ jnp.concatenate([x, jnp.tanh(rows).sum(0) ** 2])))


MODELS = {
    "torch": (models.MLP(2, "scalar", 16, 3, parameterization="torch", key=KEY), X, SCALAR, "squared"),
    "antisymmetric": (models.MLP(2, 3, 16, 2, bias_std=0.3, antisymmetric=True, key=KEY), X, THREE, "squared"),
    "encoding": (
        models.coordinate_network(
            2, 3, width=16, depth=3, encoding=models.encodings.PositionalEncoding(3), parameterization="torch", key=KEY
        ),
        X,
        CLASSES,
        "cross_entropy",
    ),
    "convolutions": (
        Convolutions(),
        np.random.default_rng(1).normal(size=(10, 2, 4, 4)),
        CLASSES,
        "cross_entropy",
    ),
    "no structure": (
        Unstructured(jax.random.normal(KEY, (3, 5)), jnp.arange(3.0) - 0.7, jax.random.normal(KEY, (4, 3))),
        X,
        SCALAR,
        "squared",
    ),
}


def explicit(model, x, y, loss):
    """∇ℓ of every sample, (n, P), by reverse mode in one vector of parameters."""
    parameters, rest = models.partition(model)
    flat, unravel = ravel_pytree(parameters)

    def one(theta, xi, yi):
        f = models.combine(unravel(theta), rest)(xi)
        return 0.5 * jnp.sum((f - yi) ** 2) if loss == "squared" else -jax.nn.log_softmax(f)[yi]

    return np.asarray(jax.jit(jax.vmap(jax.grad(one), (None, 0, 0)))(flat, x, y))


@pytest.mark.parametrize("name", MODELS)
def test_cosines_equal_those_of_explicit_gradients(name):
    model, x, y, loss = MODELS[name]
    gradients = explicit(model, x, y, loss)
    norms = np.linalg.norm(gradients, axis=1)
    for pairs in (FEW, MANY):  # pair by pair, and every sample once
        found = regions.gradient_pairs(model, x, y, pairs, loss=loss)
        inner = np.sum(gradients[pairs[:, 0]] * gradients[pairs[:, 1]], axis=1)
        product = norms[pairs].prod(axis=1)
        np.testing.assert_allclose(found.cosines, inner / product, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.inner / product, inner / product, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.norms, norms[pairs], rtol=1e-12)
        assert (found.loss, found.precision) == (loss, "float64")
        assert found.method == ("pair by pair" if pairs is FEW else "each sample once")
        np.testing.assert_array_equal(found.pairs, pairs)


def test_products_are_residuals_times_the_kernel():
    model, x, y, _ = MODELS["torch"]
    theta = np.asarray(kernels.empirical_ntk(model, x))
    residuals = np.asarray(jax.vmap(model)(jnp.asarray(x))) - y
    i, j = MANY.T
    found = regions.gradient_pairs(model, x, y, MANY)
    np.testing.assert_allclose(found.inner, residuals[i] * residuals[j] * theta[i, j], rtol=1e-10)
    expected = np.sign(residuals[i] * residuals[j]) * theta[i, j] / np.sqrt(theta[i, i] * theta[j, j])
    np.testing.assert_allclose(found.cosines, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pairs", [FEW, MANY], ids=["pair by pair", "once"])
def test_batches_and_order_change_nothing(pairs, monkeypatch):
    model, x, y, loss = MODELS["encoding"]
    whole = regions.gradient_cosine(model, x, y, pairs, loss=loss)
    cosines = regions.gradient_cosine(model, x, y, pairs[:, ::-1], loss=loss, batch_size=3)
    np.testing.assert_allclose(cosines, whole, rtol=0, atol=1e-14)
    monkeypatch.setattr(_plan, "MEMORY_BUDGET", 1)  # nothing fits: never once
    np.testing.assert_allclose(regions.gradient_cosine(model, x, y, pairs, loss=loss), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("outputs", "positions"), [(3, 2), (1, 5)])
def test_aligned_products_of_factors(outputs, positions):
    """Against the diagonal of the outer products, written out: both ways of several positions, groups, a table."""
    draw = np.random.default_rng(4).normal
    groups, rows, columns, bias = 2, 3, 4, 0.7
    right = [draw(size=(6, outputs, groups, positions, columns)) for _ in range(2)]
    for kind in ("matrix", "of outputs", "table"):
        count = outputs if kind == "of outputs" else 1
        left = [draw(size=(6, count, groups, positions, rows)) for _ in range(2)]
        size = None
        if kind == "table":
            numbers = [np.random.default_rng(s).integers(0, rows, (6, 1, groups, positions)) for s in (0, 1)]
            left, size = [np.eye(rows)[one] for one in numbers], rows
        wide = [np.broadcast_to(one, (6, outputs, *one.shape[2:])) for one in left]
        weights = [np.einsum("ncgta,ncgtb->ncgab", *both) for both in zip(wide, right, strict=True)]
        biases = [bias * one.sum(3) for one in right]
        expected = sum(np.sum(a[0] * a[1], axis=tuple(range(1, a[0].ndim))) for a in (weights, biases))
        given = numbers if kind == "table" else left
        ones, twos = (Factors(jnp.asarray(a), jnp.asarray(b), bias, size) for a, b in zip(given, right, strict=True))
        np.testing.assert_allclose(ones.aligned(twos), expected, rtol=1e-12)
    values = [jnp.asarray(one.reshape(6, outputs, -1)) for one in right]
    expected = np.sum(right[0] * right[1], axis=(1, 2, 3, 4))
    np.testing.assert_allclose(Gradient(values[0]).aligned(Gradient(values[1])), expected, rtol=1e-12)


def test_samples_with_one_pattern_are_parallel():
    model = models.MLP(1, "scalar", 16, 3, parameterization="torch", key=KEY)
    x = np.array([[0.40], [0.4001], [0.4002], [-5.0]])
    h, active = x, []
    for layer in model.layers[:-1]:
        z = h @ np.asarray(layer.weight) + np.asarray(layer.bias)[None]
        active.append(z > 0)
        h = np.maximum(z, 0)
    assert all(np.all(one[:3] == one[:1]) for one in active)
    f = np.asarray(jax.vmap(model)(jnp.asarray(x)))
    y = f + np.array([1.0, 1.0, -1.0, 1.0])  # the third one is to go down where the others are to go up
    cosines = regions.gradient_cosine(model, x, y, [(0, 1), (0, 2), (0, 3)])
    assert cosines[0] > 0.9999
    assert cosines[1] < -0.9999
    assert abs(cosines[2]) < 0.99


@pytest.mark.parametrize("pairs", [[(0, 1), (1, 2), (0, 2)], [(0, 1)]], ids=["once", "pair by pair"])
def test_zero_and_tiny_residuals(pairs):
    """A linear model in whole numbers: ∇ℓ = r x without rounding."""
    model = models.from_function(lambda w, x: x @ w, jnp.array([2.0, 3.0]))
    x, f = np.array([[1.0, 0.0], [1.0, 1.0], [2.0, 1.0]]), np.array([2.0, 5.0, 7.0])
    found = regions.gradient_pairs(model, x, f - [0, 1, -2], pairs)
    undefined = np.any(np.array(pairs) == 0, axis=1)
    np.testing.assert_array_equal(np.isnan(found.cosines), undefined)
    np.testing.assert_array_equal(found.inner, np.where(undefined, 0.0, -6.0))
    np.testing.assert_allclose(found.norms**2, np.array([0.0, 2.0, 20.0])[np.array(pairs)], rtol=1e-12)
    model = models.from_function(lambda w, x: x @ w, 1e-200 * jnp.array([2.0, 3.0]))  # squares of residuals are 0
    cosines = regions.gradient_cosine(model, x, np.zeros(3), pairs)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(cosines, [units[i] @ units[j] for i, j in pairs], rtol=1e-12)


def test_cross_entropy_of_learned_samples():
    """p_y = 1 - 1e-30 rounds to 1; the direction of its gradient is known all the same: against 40 digits."""
    weights = np.array([[70.0, 0.0, -3.0], [1.0, 65.0, 2.0]])
    model = models.from_function(lambda w, x: x @ w, jnp.asarray(weights))
    x, y = np.array([[1.0, 0.1], [0.2, 1.0], [1.0, 1.0]]), [0, 1, 2]
    with mpmath.workdps(60):
        gradients = []
        for xi, yi in zip(x, y, strict=True):
            f = [mpmath.fsum(mpmath.mpf(xi[a]) * mpmath.mpf(weights[a, k]) for a in range(2)) for k in range(3)]
            total = mpmath.fsum(map(mpmath.exp, f))
            slopes = [mpmath.exp(f[k]) / total - (k == yi) for k in range(3)]
            gradients.append([slope * mpmath.mpf(xi[a]) for slope in slopes for a in range(2)])
        product = [[mpmath.fdot(a, b) for b in gradients] for a in gradients]
        pairs = [(0, 1), (0, 2), (1, 2)]
        inner = np.array([float(product[i][j]) for i, j in pairs])
        cosines = np.array([float(product[i][j] / mpmath.sqrt(product[i][i] * product[j][j])) for i, j in pairs])
    found = regions.gradient_pairs(model, x, y, pairs, loss="cross_entropy")
    np.testing.assert_allclose(found.cosines, cosines, rtol=1e-12)
    np.testing.assert_allclose(found.inner, inner, rtol=1e-12)


def test_float32():
    model, x, y, loss = MODELS["encoding"]
    half = jax.tree.map(lambda a: a.astype(jnp.float32) if eqx.is_inexact_array(a) else a, model)
    found = regions.gradient_pairs(half, x, y, MANY, loss=loss)
    assert found.precision == "float32"
    np.testing.assert_allclose(found.cosines, regions.gradient_cosine(model, x, y, MANY, loss=loss), atol=2e-5)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_pytorch(loss):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 2, stride=2, groups=2),
        torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LayerNorm(16), torch.nn.Linear(16, 3),
    ).double().eval()  # fmt: skip
    x = np.random.default_rng(5).normal(size=(6, 2, 4, 4))
    y = np.random.default_rng(6).normal(size=(6, 3)) if loss == "squared" else CLASSES[:6]
    gradients = []
    for xi, yi in zip(torch.tensor(x), torch.tensor(y), strict=True):
        f = module(xi[None])
        value = torch.nn.functional.cross_entropy(f, yi[None]) if loss != "squared" else 0.5 * ((f[0] - yi) ** 2).sum()
        gradients.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, [*module.parameters()])]).numpy())
    gradients = np.array(gradients)
    for pairs in (np.array([(0, 1), (2, 5)]), np.array([(i, j) for i in range(6) for j in range(i)])):
        found = regions.gradient_pairs(models.from_torch(module), x, y, pairs, loss=loss)
        inner = np.sum(gradients[pairs[:, 0]] * gradients[pairs[:, 1]], axis=1)
        norms = np.linalg.norm(gradients, axis=1)[pairs]
        np.testing.assert_allclose(found.inner, inner, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.cosines, inner / norms.prod(axis=1), rtol=0, atol=1e-12)


def test_errors(refuses):
    model, x, y, _ = MODELS["torch"]
    classifier = MODELS["encoding"][0]
    for pairs, words in (
        ([], ("(p, 2)", "(0,)")),
        (np.zeros((0, 2), int), ("1 or more", "(0, 2)")),
        ([0, 1], ("(p, 2)", "(2,)")),
        ([(0, 1, 2)], ("(1, 3)",)),
        ([(0.0, 1.0)], ("whole numbers", "float64")),
        ([(True, False)], ("whole numbers", "bool")),
        ([(0, 1), (0, 10)], ("0 to 9", "10 samples", "(0, 10) in row 1")),
        ([(-1, 2)], ("(-1, 2) in row 0",)),
        ("ab", ("`pairs`",)),
    ):
        with refuses(*words):
            regions.gradient_pairs(model, x, y, pairs)
    with refuses("`y`", "(10,)", "(9,)"):
        regions.gradient_cosine(model, x, y[:9], FEW)
    with refuses("`y`", "(10,)", "(10, 1)"):
        regions.gradient_cosine(model, x, y[:, None], FEW)
    with refuses("`y`", "(10, 3)", "(10,)"):
        regions.gradient_cosine(classifier, x, CLASSES, FEW)
    with refuses("`y`", "not finite"):
        regions.gradient_cosine(model, x, np.where(y > 0, y, np.nan), FEW)
    with refuses("`x`", "not finite"):
        regions.gradient_cosine(model, np.where(x > 0, x, np.inf), y, FEW)
    with refuses("unknown loss `sqared`", "squared"):
        regions.gradient_cosine(model, x, y, FEW, loss="sqared")
    with refuses("`batch_size`", "0"):
        regions.gradient_cosine(model, x, y, FEW, batch_size=0)
    with refuses("2 or more outputs", "()"):
        regions.gradient_cosine(model, x, CLASSES, FEW, loss="cross_entropy")
    with refuses("(10,)", "(10, 3)"):
        regions.gradient_cosine(classifier, x, THREE, FEW, loss="cross_entropy")
    with refuses("classes from 0 to 2", "3 at sample 4"):
        regions.gradient_cosine(classifier, x, np.where(np.arange(10) == 4, 3, 0), FEW, loss="cross_entropy")
    with refuses("classes", "0.5 at sample 0"):
        regions.gradient_cosine(classifier, x, np.full(10, 0.5), FEW, loss="cross_entropy")
    with refuses("classes", "nan at sample 0"):
        regions.gradient_cosine(classifier, x, np.full(10, np.nan), FEW, loss="cross_entropy")
    diverged = eqx.tree_at(lambda m: m.layers[0].bias, model, jnp.full(16, jnp.nan))
    for pairs in (FEW, MANY):
        with refuses("gradient at sample 0 is not finite"):
            regions.gradient_cosine(diverged, x, y, pairs)


def test_summary():
    model, x, y, _ = MODELS["torch"]
    found = regions.gradient_pairs(model, x, y, MANY)
    summary = regions.confusion_summary(found)
    apart = MANY[:, 0] != MANY[:, 1]
    assert summary.bound == pytest.approx(-np.min(found.inner[apart]))
    assert summary.bound > 0
    assert (summary.count, summary.num_undefined) == (len(MANY), 0)
    aligned = regions.confusion_summary(regions.gradient_pairs(model, x, y, [(0, 0), (3, 3)]))
    assert (aligned.bound, aligned.mean_abs, aligned.share_negative) == (0.0, pytest.approx(1.0), 0.0)
    cosines = np.array([-1.0, -0.95, -0.5, np.nan, 0.0, 0.5, 0.9, 0.91, np.nan])
    summary = regions.confusion_summary(cosines, levels=(0, 50, 100))
    assert (summary.count, summary.num_undefined, summary.bound) == (7, 2, None)
    assert summary.share_negative == pytest.approx(3 / 7)
    assert summary.share_parallel == pytest.approx(3 / 7)  # 0.9 itself is not above 0.9
    assert summary.mean_abs == pytest.approx((1 + 0.95 + 0.5 + 0.5 + 0.9 + 0.91) / 7)
    np.testing.assert_allclose(summary.percentiles, [-1, 0, 0.91])
    assert summary.levels == (0.0, 50.0, 100.0)
    nothing = regions.confusion_summary(np.full(3, np.nan))
    assert (nothing.count, nothing.num_undefined) == (0, 3)
    assert np.isnan([nothing.mean_abs, nothing.share_negative, nothing.share_parallel, *nothing.percentiles]).all()


def test_summary_and_density_refuse(refuses):
    with refuses("(p,)", "(0,)"):
        regions.confusion_summary([])
    with refuses("between -1 and 1", "1.5 at index 1"):
        regions.confusion_summary([0.0, 1.5])
    with refuses("per cent", "101"):
        regions.confusion_summary([0.0], levels=(50, 101))
    with refuses("all are nan"):
        regions.cosine_density([np.nan, np.nan])
    with refuses("(p,)", "(2, 1)"):
        regions.cosine_density([[0.1], [0.2]])
    with refuses("`points`", "2"):
        regions.cosine_density([0.1], points=2)
    with refuses("`bandwidth`", "0"):
        regions.cosine_density([0.1], bandwidth=0.0)


def test_density_is_a_sum_of_reflected_gaussians():
    cells = -1 + (2 * np.random.default_rng(7).integers(0, 4096, 50) + 1) / 4096  # at which nothing is moved
    cells[:5] = [-1 + 1 / 4096, 1 - 1 / 4096, 1 - 1 / 4096, 0.5 + 1 / 4096, 0.5 + 1 / 4096]
    for width in (0.05, 0.5):
        grid, density = regions.cosine_density([*cells, np.nan], points=41, bandwidth=width)
        np.testing.assert_allclose(grid, np.linspace(-1, 1, 41))
        images = np.concatenate(
            [sign * cells + 4 * turn + (0 if sign > 0 else 2) for sign in (1, -1) for turn in range(-3, 4)]
        )
        gaussians = np.exp(-(((grid[:, None] - images[None]) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(density, gaussians.sum(axis=1) / 50, rtol=1e-10, atol=1e-12)
        assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)


def test_bandwidth_of_a_density():
    """Near the best one for a normal sample, 1.06 σ n^(-1/5); no wider for two peaks, or where all are at the ends."""
    draw = np.random.default_rng(8).normal(size=4000)
    grid, density = regions.cosine_density(0.1 * draw, points=401)
    best = 1.06 * 0.1 * 4000**-0.2
    normal = np.exp(-((grid / np.hypot(0.1, best)) ** 2) / 2) / (np.hypot(0.1, best) * np.sqrt(2 * np.pi))
    assert np.max(np.abs(density - normal)) < 0.05 * np.max(normal)
    two = np.concatenate([0.8 + 0.02 * draw[:2000], -0.8 + 0.02 * draw[2000:]])
    grid, density = regions.cosine_density(np.clip(two, -1, 1), points=401)
    assert density[np.argmin(np.abs(grid - 0.8))] == pytest.approx(0.5 / (0.02 * np.sqrt(2 * np.pi)), rel=0.1)
    assert density[200] == pytest.approx(0, abs=1e-6)
    grid, density = regions.cosine_density([1.0] * 30 + [-1.0] * 10)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    assert density[-1] == pytest.approx(
        0.75 * 2 / (0.01 * np.sqrt(2 * np.pi)), rel=0.02
    )  # as wide as a cell of the grid
    assert np.trapezoid(density[150:], grid[150:]) == pytest.approx(0.75, abs=1e-6)
    assert np.max(density[10:-10]) < 1e-6
