"""Parts of the studies of effective ranks against answers of independent origin."""

import json
import struct

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from spectralbias import kernels, models, papers
from spectralbias.papers import Outcome
from spectralbias.papers._catalog import find
from spectralbias.papers.bowman import _effective_rank

RNG = np.random.default_rng(3)
TINY = _effective_rank.Pictures(seeds=(0, 1), num_samples=12, width=16)


def test_the_kernel_of_the_shallow_network_is_its_three_parts():
    """(x·x' + 1)/m Σ a² σ'σ' of the inner layer, (1/m) Σ σσ of the outer, 1 of the outer bias."""
    x = RNG.random((5, 7))
    model = models.bowman_network(7, 16, activation="softplus", antisymmetric=False, key=_effective_rank.keys(4)[1])
    inner, outer = model.layers
    z = x @ np.asarray(inner.weight) + np.asarray(inner.bias)
    slopes = np.asarray(outer.weight)[:, 0] / (1 + np.exp(-z))
    values = np.log(1 + np.exp(z))
    expected = (x @ x.T + 1) * (slopes @ slopes.T) / 16 + values @ values.T / 16 + 1
    np.testing.assert_allclose(_effective_rank.shallow_gram(x, 16, 4), expected, rtol=1e-10)


def test_the_kernel_of_lenet_is_that_of_explicit_gradients():
    x = RNG.random((4, 1, 32, 32))
    model = models.lenet5(num_outputs="scalar", key=_effective_rank.keys(4)[1])
    flat, unravel = ravel_pytree(model)
    gradients = np.asarray(jax.jit(jax.jacrev(lambda theta: jax.vmap(unravel(theta))(x)))(flat))
    np.testing.assert_allclose(_effective_rank.lenet_gram(x, 0, 4), gradients @ gradients.T, rtol=1e-9)


def test_spectra_with_and_without_the_constant_function():
    features = RNG.standard_normal((9, 4)) + 2
    found = _effective_rank.spectrum_of(features @ features.T)
    np.testing.assert_allclose(found.eigenvalues[:4], np.linalg.svd(features)[1] ** 2 / 9, rtol=1e-10)
    without = np.linalg.svd(features - features.mean(axis=0))[1]
    np.testing.assert_allclose(found.centered[:4], without**2 / 9, rtol=1e-10)
    np.testing.assert_allclose(found.lengths, np.sum(features**2, axis=1))


def test_the_spectrum_of_a_wide_network_is_that_of_infinite_width():
    x = _effective_rank.shallow_pictures(30, "", 0)
    finite = _effective_rank.spectrum_of(_effective_rank.shallow_gram(x, 20_000, 0))
    infinite = _effective_rank.spectrum_of(np.asarray(kernels.bowman_kernel("softplus").ntk(x)))
    for one, two in zip(finite[:2], infinite[:2], strict=True):
        np.testing.assert_allclose(one[:10], two[:10], rtol=0.1)


def test_digits_are_enlarged_as_pillow_does():
    from PIL import Image

    small, large = _effective_rank.shallow_pictures(3, "", 5), _effective_rank.lenet_pictures(3, "", 5)
    assert large.shape == (3, 1, 32, 32)
    for one, two in zip(small, large, strict=True):
        picture = Image.fromarray(one.reshape(8, 8).astype(np.float32))
        expected = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(two[0], expected, atol=1e-6)
    assert 0 <= small.min() < small.max() <= 1
    assert not np.array_equal(small, _effective_rank.shallow_pictures(3, "", 6))


def test_what_is_reported():
    numbers = _effective_rank.measure(lenet=False)(TINY)
    gram = _effective_rank.shallow_gram(_effective_rank.shallow_pictures(12, "", 1), 16, 1)
    values = np.linalg.eigvalsh(gram)[::-1]
    np.testing.assert_allclose(numbers["eigenvalues"][1], values / values[0], atol=1e-12)
    assert numbers["eigenvalues_ranks"][1, 0] == pytest.approx(np.trace(gram) / values[0], rel=1e-10)
    assert numbers["eigenvalues_ranks"][1, 2] == pytest.approx(np.trace(gram) ** 2 / np.sum(gram**2), rel=1e-10)
    orthogonal = _effective_rank.measure(lenet=False)(msgspec.structs.replace(TINY, orthogonal=True))
    np.testing.assert_allclose(orthogonal["eigenvalues"][1], np.sort(np.diag(gram))[::-1] / np.max(np.diag(gram)))


def flat_spectrum(rank):
    """Numbers in which `rank` eigenvalues are equal and the others are 0, without the constant function."""
    values = np.zeros((10, 100))
    values[:, :rank] = 1
    one = np.zeros((10, 100))
    one[:, 0] = 1
    return {
        "num_samples": np.array(100), "from_files": np.array(0), "changed": np.array(0),
        "eigenvalues": one, "eigenvalues_ranks": np.ones((10, 3)), "centered": values,
        "centered_ranks": np.full((10, 3), float(rank)), "noise_centered_ranks": np.ones((10, 3)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rank", "outcome"), [(1, Outcome.holds), (5, Outcome.holds), (6, Outcome.fails), (60, Outcome.fails)]
)
def test_the_criterion(rank, outcome):
    assert _effective_rank.judge(flat_spectrum(rank)).outcome is outcome


def test_an_eigenvalue_in_the_middle_that_is_not_small_decides(tmp_path):
    numbers = flat_spectrum(2)
    numbers["centered"][:, 2:] = 0.02
    assert _effective_rank.judge(numbers).outcome is Outcome.fails
    few = {name: values[:3] if values.ndim else values for name, values in flat_spectrum(2).items()}
    assert _effective_rank.judge(few).outcome is Outcome.inconclusive


@pytest.fixture
def mnist(tmp_path):
    folder = tmp_path / "my mnist"
    folder.mkdir()
    images, labels = RNG.integers(0, 256, (14, 28, 28)).astype(np.uint8), np.arange(14, dtype=np.uint8) % 10
    (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 14, 28, 28) + images.tobytes())
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 14) + labels.tobytes())
    return folder, images


def test_files_of_mnist_take_the_place_of_the_digits(mnist, tmp_path, annotations_unchecked):
    folder, images = mnist
    pictures = _effective_rank.lenet_pictures(12, str(folder), 0)
    assert pictures.shape == (12, 1, 32, 32)
    large = np.asarray(jax.image.resize(jnp.asarray(images / 255), (14, 32, 32), "bilinear"))
    found = [int(np.argmin(np.max(np.abs(large - one), axis=(1, 2)))) for one in pictures[:, 0]]
    assert len(set(found)) == 12
    np.testing.assert_allclose(pictures[:, 0], large[found], atol=1e-12)

    with annotations_unchecked():
        result = papers.reproduce("bowman-effective-rank-lenet", seeds=2, data=folder, directory=tmp_path / "out")
    assert result.numbers["num_samples"] == 14
    assert "your files" in result.verdict.sentence
    assert json.loads((tmp_path / "out" / "result.json").read_text())["settings"]["data"] == str(folder)
    page = papers.write_index([result], tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"bowman-effective-rank-lenet --data &#39;{folder}&#39;" in page


def test_files_of_cifar_take_the_place_of_the_digits(tmp_path, refuses):
    pictures = RNG.integers(0, 256, (20, 3073)).astype(np.uint8)
    pictures[:, 0] = np.arange(20) % 10
    (tmp_path / "data_batch_1.bin").write_bytes(pictures.tobytes())
    numbers = _effective_rank.measure(lenet=False)(msgspec.structs.replace(TINY, data=str(tmp_path)))
    x = _effective_rank.shallow_pictures(12, str(tmp_path), 1)
    rows = [int(np.flatnonzero(np.all(pictures[:, 1:] == np.rint(255 * one), axis=1))[0]) for one in x]
    assert len(set(rows)) == 12
    values = np.linalg.eigvalsh(_effective_rank.shallow_gram(x, 16, 1))[::-1]
    np.testing.assert_allclose(numbers["eigenvalues"][1], values / values[0], atol=1e-10)
    with refuses("train-images-idx3-ubyte"):
        find("bowman-effective-rank-lenet").run(data=tmp_path)
