"""Files that are written here byte by byte, as the page of CIFAR-10 describes the binary version."""

import jax
import numpy as np
import pytest

from spectralbias import problems

RNG = np.random.default_rng(6)
COUNTS = {"data_batch_1.bin": 5, "data_batch_2.bin": 4, "test_batch.bin": 3}
PICTURES = {name: RNG.integers(0, 256, (count, 3, 32, 32)) for name, count in COUNTS.items()}
LABELS = {name: RNG.permutation(10)[:count] for name, count in COUNTS.items()}


def batch(pictures, labels):
    """<1 x label><3072 x pixel> for each picture: 1024 red, 1024 green, 1024 blue, each row by row."""
    content = b""
    for picture, label in zip(pictures, labels, strict=True):
        content += bytes([int(label)])
        for color in picture:
            content += bytes(int(color[row, column]) for row in range(32) for column in range(32))
    return content


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    for name in COUNTS:
        (place / name).write_bytes(batch(PICTURES[name], LABELS[name]))
    (place / "batches.meta.txt").write_text("airplane\nautomobile\n")
    return place


def test_pixels_and_classes(folder):
    problem = problems.cifar10(folder)
    names = list(COUNTS)
    for x, y, parts in ((problem.x, problem.y, names[:2]), (problem.x_test, problem.y_test, names[2:])):
        pictures = np.concatenate([PICTURES[name] for name in parts])
        np.testing.assert_allclose(x.reshape(-1, 3, 32, 32) * 255, pictures, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(y.argmax(1), np.concatenate([LABELS[name] for name in parts]))
        assert np.all(np.sort(y, axis=1) == np.eye(10)[9])
    assert problem.classes[:2] == ("airplane", "automobile")
    assert len(problem.classes) == 10


def test_the_folder_around_it_and_one_file(folder):
    problem = problems.cifar10(str(folder.parent))
    np.testing.assert_array_equal(problem.x, problems.cifar10(folder).x)
    one = problems.cifar10(folder / "data_batch_2.bin")
    np.testing.assert_array_equal(one.x, problem.x[5:])
    assert one.x_test is None
    (folder / "test_batch.bin").unlink()
    assert problems.cifar10(folder).x_test is None


def test_a_random_part(folder, refuses):
    problem = problems.cifar10(folder, max_samples=3, key=jax.random.key(2))
    assert problem.x.shape == (3, 3072)
    everything = problems.cifar10(folder)
    rows = [int(np.flatnonzero(np.all(everything.x == x, axis=1))[0]) for x in problem.x]
    assert len(set(rows)) == 3
    np.testing.assert_array_equal(everything.y[rows], problem.y)
    with refuses("max_samples", "key"):
        problems.cifar10(folder, max_samples=3)


def test_bad_files(folder, refuses, tmp_path):
    file = folder / "data_batch_1.bin"
    content = file.read_bytes()
    for wrong in (content[:-1], content + b"\0", b""):
        file.write_bytes(wrong)
        with refuses("data_batch_1.bin", len(wrong), "3073"):
            problems.cifar10(folder)
    file.write_bytes(content[:3073] + bytes([10]) + content[3074:])
    with refuses("label 10", "sample 1"):
        problems.cifar10(folder)
    file.unlink()
    (folder / "data_batch_2.bin").unlink()
    with refuses("data_batch_1.bin", "binary version"):
        problems.cifar10(folder)
    with refuses("no folder or file", "nowhere"):
        problems.cifar10(tmp_path / "nowhere")
