"""Files that are written here byte by byte, as the page of CIFAR-100 describes the binary version."""

import jax
import numpy as np
import pytest

from spectralbias import problems

RNG = np.random.default_rng(7)
COUNTS = {"train.bin": 6, "test.bin": 3}
PICTURES = {name: RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8) for name, count in COUNTS.items()}
COARSE = {name: RNG.permutation(20)[:count] for name, count in COUNTS.items()}
FINE = {name: RNG.permutation(100)[:count] for name, count in COUNTS.items()}


@pytest.fixture
def folder(tmp_path):
    """<1 x coarse label><1 x fine label><3072 x pixel> for each picture."""
    place = tmp_path / "cifar-100-binary"
    place.mkdir()
    for name in COUNTS:
        samples = zip(COARSE[name], FINE[name], PICTURES[name], strict=True)
        content = b"".join(bytes([int(coarse), int(fine)]) + picture.tobytes() for coarse, fine, picture in samples)
        (place / name).write_bytes(content)
    return place


@pytest.mark.parametrize(("labels", "count", "classes"), [("fine", 100, FINE), ("coarse", 20, COARSE)])
def test_pixels_and_classes(folder, labels, count, classes):
    problem = problems.cifar100(folder, labels=labels)
    for x, y, name in ((problem.x, problem.y, "train.bin"), (problem.x_test, problem.y_test, "test.bin")):
        np.testing.assert_allclose(x.reshape(-1, 3, 32, 32) * 255, PICTURES[name], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(y, np.eye(count)[classes[name]])
    assert problem.classes == tuple(map(str, range(count)))
    (folder / f"{labels}_label_names.txt").write_text("\n".join(f"name_{i}" for i in range(count)) + "\n")
    assert problems.cifar100(folder, labels=labels).classes[-1] == f"name_{count - 1}"


def test_the_folder_around_it_and_one_file(folder):
    problem = problems.cifar100(str(folder.parent))
    np.testing.assert_array_equal(problem.y, problems.cifar100(folder).y)
    one = problems.cifar100(folder / "test.bin")
    np.testing.assert_array_equal(one.x, problem.x_test)
    (folder / "test.bin").unlink()
    assert problems.cifar100(folder).x_test is None
    assert problems.cifar100(folder, max_samples=3, key=jax.random.key(2)).x.shape == (3, 3072)


def test_bad_files(folder, refuses):
    with refuses("labels", "rough", "fine"):
        problems.cifar100(folder, labels="rough")
    file = folder / "train.bin"
    content = file.read_bytes()
    for wrong in (content[:-1], content + b"\0", b""):
        file.write_bytes(wrong)
        with refuses("train.bin", len(wrong), "3074"):
            problems.cifar100(folder)
    file.write_bytes(content[:3074] + bytes([3, 100]) + content[3076:])
    with refuses("label 100", "sample 1"):
        problems.cifar100(folder)
    assert problems.cifar100(folder, labels="coarse").y.shape == (6, 20)
    file.unlink()
    with refuses("train.bin", "binary version of CIFAR-100"):
        problems.cifar100(folder)
