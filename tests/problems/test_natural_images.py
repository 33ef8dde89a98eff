"""Photographs that are there without a download, and a folder of them."""

import importlib.util
import itertools
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from spectralbias import problems
from spectralbias.problems import _natural_images

RNG = np.random.default_rng(12)


def as_pillow_does(pixels, size):
    """Colors of the middle square, reduced, one channel at a time."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square = pixels[top : top + side, left : left + side] / 255
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(square, 2, 0)]
    reduced = [np.asarray(c.resize((size, size), Image.Resampling.LANCZOS), float) for c in channels]
    return np.clip(np.stack(reduced, axis=2), 0, 1)


def test_parts_of_the_two_photographs():
    from sklearn.datasets import load_sample_image

    pictures = problems.natural_images(16, source="scikit-learn")
    assert len(pictures) == 5
    for name, (picture, row, column, side) in _natural_images.CROPS.items():
        pixels = load_sample_image(f"{picture}.jpg")[row : row + side, column : column + side]
        assert pixels.shape == (side, side, 3)
        found = pictures[name]
        np.testing.assert_allclose(found.y.reshape(16, 16, 3), as_pillow_does(pixels, 16), atol=1e-6)
        assert found.grid.shape == (16, 16)
        assert np.max(np.std(found.y, axis=0)) > 0.1
    corners = [crop for crop in _natural_images.CROPS.values() if crop[0] == "china"]
    for (_, r1, c1, s1), (_, r2, c2, s2) in itertools.combinations(corners, 2):
        assert r1 + s1 <= r2 or r2 + s2 <= r1 or c1 + s1 <= c2 or c2 + s2 <= c1
    gray = problems.natural_images(16, source="scikit-learn", color=False, count=2)
    assert list(gray) == list(pictures)[:2]
    luma = load_sample_image("china.jpg")[:213, :213] @ [0.299, 0.587, 0.114]
    expected = as_pillow_does(luma[..., None], 16)[..., 0]
    np.testing.assert_allclose(gray["china, upper left"].y.reshape(16, 16), expected, atol=1e-6)


def test_those_of_scikit_image_where_it_is_installed(monkeypatch, refuses):
    """With a module in its place that has photographs of its own."""
    fake, data = ModuleType("skimage"), ModuleType("skimage.data")
    drawn = {name: RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8) for name in ("astronaut", "coffee", "chelsea")}
    for name, pixels in drawn.items():
        setattr(data, name, lambda pixels=pixels: pixels)
    fake.data = data
    fake.__spec__ = data.__spec__ = importlib.util.spec_from_loader("skimage", loader=None)
    monkeypatch.setitem(sys.modules, "skimage", fake)
    monkeypatch.setitem(sys.modules, "skimage.data", data)
    pictures = problems.natural_images(16)
    assert list(pictures) == ["china", "flower", "astronaut", "coffee", "chelsea"]
    for name, pixels in drawn.items():
        np.testing.assert_allclose(pictures[name].y.reshape(16, 16, 3), as_pillow_does(pixels, 16), atol=1e-6)
    assert list(problems.natural_images(16, source="scikit-image")) == list(pictures)
    assert len(problems.natural_images(16, source="scikit-learn").keys() & pictures.keys()) == 0
    with refuses("astronaut", "40 x 50", "64"):
        problems.natural_images(64)


@pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed")
def test_the_photographs_of_scikit_image():
    pictures = problems.natural_images(64, source="scikit-image")
    assert all(np.max(np.std(problem.y, axis=0)) > 0.1 for problem in pictures.values())


def test_without_scikit_image(monkeypatch, refuses):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert list(problems.natural_images(8, count=1)) == ["china, upper left"]
    with refuses("pip install scikit-image"):
        problems.natural_images(8, source="scikit-image")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "DIV2K"
    place.mkdir()
    for name, shape in (("0003.png", (30, 24)), ("0001.PNG", (20, 40)), ("0002.png", (24, 24))):
        Image.fromarray(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(place / name)
    (place / "list.txt").write_text("0001 0002 0003")
    return place


def test_a_folder(folder, refuses):
    pictures = problems.natural_images(12, directory=folder, count=2)
    assert list(pictures) == ["0001.PNG", "0002.png"]
    for name, problem in pictures.items():
        pixels = np.asarray(Image.open(folder / name))
        np.testing.assert_allclose(problem.y.reshape(12, 12, 3), as_pillow_does(pixels, 12), atol=1e-6)
        np.testing.assert_allclose(problem.x, problems.coordinates((12, 12)), atol=1e-15)
    with refuses("3 images", "DIV2K", "4"):
        problems.natural_images(12, directory=folder, count=4)
    with refuses("0001.PNG", "20 x 40", "21"):
        problems.natural_images(21, directory=folder, count=1)
    with refuses("is a file", "list.txt"):
        problems.natural_images(12, directory=folder / "list.txt")
    with refuses("no folder", "nowhere"):
        problems.natural_images(12, directory=folder / "nowhere")
    with refuses("source", "directory"):
        problems.natural_images(12, directory=folder, source="scikit-learn")


def test_bad_arguments(refuses):
    with refuses("size", "1"):
        problems.natural_images(1)
    with refuses("count", "0"):
        problems.natural_images(8, count=0)
    with refuses("count", "6"):
        problems.natural_images(8, count=6)
    with refuses("source", "sklearn"):
        problems.natural_images(8, source="sklearn")
