"""Files that are written here byte by byte, as the page of MNIST describes the format."""

import gzip
import struct

import jax
import numpy as np
import pytest

from spectralbias import problems

RNG = np.random.default_rng(5)
IMAGES, TEST_IMAGES = RNG.integers(0, 256, (30, 28, 28)), RNG.integers(0, 256, (7, 28, 28))
LABELS, TEST_LABELS = RNG.integers(0, 10, 30), RNG.integers(0, 10, 7)


def image_file(images):
    """Magic number 2051, number of images, rows, columns; then the pixels."""
    return struct.pack(">IIII", 2051, *np.shape(images)) + bytes(int(v) for v in np.ravel(images))


def label_file(labels):
    """Magic number 2049, number of labels; then the labels."""
    return struct.pack(">II", 2049, len(labels)) + bytes(int(v) for v in labels)


@pytest.fixture
def write(tmp_path):
    """Write the four files, some of them with another content (None for none)."""

    def files(mark="-", packed=False, **changes):
        contents = {
            "train-images": image_file(IMAGES),
            "train-labels": label_file(LABELS),
            "t10k-images": image_file(TEST_IMAGES),
            "t10k-labels": label_file(TEST_LABELS),
        } | {name.replace("_", "-"): content for name, content in changes.items()}
        for name, content in contents.items():
            if content is not None:
                file = tmp_path / f"{name}{mark}idx{3 if 'images' in name else 1}-ubyte{'.gz' if packed else ''}"
                file.write_bytes(gzip.compress(content) if packed else content)
        return tmp_path

    return files


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("packed", [False, True])
def test_pixels_and_classes(write, mark, packed):
    problem = problems.mnist(write(mark, packed))
    assert problem.classes == tuple("0123456789")
    for x, y, images, labels in (
        (problem.x, problem.y, IMAGES, LABELS),
        (problem.x_test, problem.y_test, TEST_IMAGES, TEST_LABELS),
    ):
        np.testing.assert_allclose(x.reshape(images.shape) * 255, images, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(y.argmax(1), labels)
        assert np.all(np.sort(y, axis=1) == np.eye(10)[9])
    assert 0 <= problem.x.min() < problem.x.max() <= 1


def test_a_random_part(write, refuses):
    folder = str(write())
    problem = problems.mnist(folder, max_samples=12, key=jax.random.key(0))
    assert problem.x.shape == (12, 784)
    assert problem.x_test.shape == (7, 784)
    rows = {tuple(image.ravel()): label for image, label in zip(IMAGES, LABELS, strict=True)}
    drawn = [tuple(np.rint(255 * x).astype(int)) for x in problem.x]
    assert len(set(drawn)) == 12
    assert [rows[image] for image in drawn] == list(problem.y.argmax(1))
    again, other = (problems.mnist(folder, max_samples=12, key=jax.random.key(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(again.x, problem.x)
    assert not np.array_equal(other.x, problem.x)
    with refuses("max_samples", "key"):
        problems.mnist(folder, max_samples=12)
    with refuses("max_samples", "at least 2"):
        problems.mnist(folder, max_samples=1, key=jax.random.key(0))


def test_fashion_mnist_has_the_same_format(write):
    clothes, digits = problems.fashion_mnist(write()), problems.mnist(write())
    assert clothes.classes[0] == "T-shirt/top"
    assert clothes.classes[9] == "ankle boot"
    assert len(clothes.classes) == 10
    np.testing.assert_array_equal(clothes.y, digits.y)
    np.testing.assert_array_equal(clothes.x_test, digits.x_test)


def test_without_a_test_set(write):
    problem = problems.mnist(write(t10k_images=None, t10k_labels=None))
    assert problem.num_samples == 30
    assert problem.x_test is None


def test_a_name_that_promises_a_packed_file_may_hold_a_plain_one(write, tmp_path):
    folder = write()
    (folder / "train-images-idx3-ubyte").rename(folder / "train-images-idx3-ubyte.gz")
    assert problems.mnist(folder).num_samples == 30


BAD = {
    "no images": ({"train_images": None}, ("train-images-idx3-ubyte", ".gz", "no")),
    "no labels": ({"train_labels": None}, ("train-labels-idx1-ubyte",)),
    "half of a test set": ({"t10k_images": None}, ("t10k-images-idx3-ubyte",)),
    "labels as images": ({"train_images": label_file(LABELS)}, ("0x00000801", "0x00000803", "labels")),
    "images as labels": ({"train_labels": image_file(IMAGES)}, ("0x00000803", "0x00000801", "images")),
    "another file": ({"train_images": b"\x89PNG and so on"}, ("0x89504e47", "0x00000803")),
    "an empty file": ({"train_images": b""}, ("begins with",)),
    "only a header": ({"train_images": image_file(IMAGES)[:9]}, ("9 bytes",)),
    "truncated images": ({"train_images": image_file(IMAGES)[:-1]}, ("not complete", "(30, 28, 28)")),
    "truncated labels": ({"train_labels": label_file(LABELS)[:-1]}, ("not complete", "(30,)")),
    "too many bytes": ({"train_labels": label_file(LABELS) + b"\0"}, ("39 bytes", "38")),
    "a count beyond all bounds": (
        {"train_images": struct.pack(">IIII", 2051, *3 * [2**32 - 1])}, (str((2**32 - 1) ** 3 + 16),)
    ),
    "no samples": ({"train_images": image_file(IMAGES[:0])}, ("(0, 28, 28)", "without samples")),
    "fewer labels": ({"train_labels": label_file(LABELS[:-2])}, ("30 images", "28 labels")),
    "an eleventh class": ({"train_labels": label_file([*LABELS[:-1], 10])}, ("label 10", "sample 29")),
    "test images of another size": ({"t10k_images": image_file(TEST_IMAGES[:, :-1])}, ("size",)),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case, write, refuses):
    changes, words = BAD[case]
    folder = write(**changes)
    with refuses(*words):
        problems.mnist(folder)


def test_a_damaged_packed_file(write, refuses):
    folder = write(packed=True)
    file = folder / "train-labels-idx1-ubyte.gz"
    content = file.read_bytes()
    for damaged in (content[:-12], content[:14] + b"\xff\xff" + content[16:]):
        file.write_bytes(damaged)
        with refuses("train-labels-idx1-ubyte.gz", "damaged"):
            problems.mnist(folder)


def test_bad_folders(write, refuses, tmp_path):
    with refuses("no folder", "nowhere"):
        problems.mnist(tmp_path / "nowhere")
    folder = write()
    with refuses("is a file", "folder"):
        problems.mnist(folder / "train-images-idx3-ubyte")
    with refuses("too long"):
        problems.mnist("a" * 300)
