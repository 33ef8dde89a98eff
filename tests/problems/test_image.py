import contextlib
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from spectralbias import problems
from spectralbias._core.errors import InputError

LUMA = np.array([0.299, 0.587, 0.114])
RAMP = (np.arange(15, dtype=np.uint8) * 17).reshape(3, 5)  # 0 to 238, different in every row and column
RGB = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
CHINA = str(files("sklearn.datasets") / "images" / "china.jpg")


def pixels(problem):
    return problem.y.reshape(problem.grid.shape + problem.y.shape[1:])


def test_coordinates_are_row_then_column_of_pixel_centers():
    problem = problems.image(np.eye(2, 4))
    assert problem.grid == problems.Grid((2, 4), 2.0, "cycles per image")
    expected = [(r, c) for r in (-0.5, 0.5) for c in (-0.75, -0.25, 0.25, 0.75)]
    np.testing.assert_allclose(problem.x, expected, atol=0)
    np.testing.assert_allclose(problem.y, [1, 0, 0, 0, 0, 1, 0, 0], atol=0)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.gif", "a.pgm", "A.PNG"])
def test_gray_files_keep_every_pixel(name, tmp_path):
    Image.fromarray(RAMP).save(tmp_path / name)
    np.testing.assert_allclose(pixels(problems.image(tmp_path / name)), RAMP / 255, atol=1e-15)
    np.testing.assert_allclose(
        pixels(problems.image(str(tmp_path / name), color=True)),
        np.stack([RAMP / 255] * 3, axis=2),
        atol=1e-15,
    )


def test_color_files(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.png", color=True)), RGB / 255, atol=1e-15)
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.png")), RGB / 255 @ LUMA, atol=1e-15)


@pytest.mark.parametrize("array", [RGB, RGB.astype(np.uint16) * 257, RGB / 255])
def test_arrays(array):
    np.testing.assert_allclose(pixels(problems.image(array, color=True)), RGB / 255, atol=1e-15)
    np.testing.assert_allclose(pixels(problems.image(array)), RGB / 255 @ LUMA, atol=1e-15)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.T),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].T),
        (8, lambda a: np.rot90(a)),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "tiff", "png"])
def test_exif_orientation(orientation, turn, suffix, tmp_path):
    stored = np.add.outer(8 * np.arange(16), 3 * np.arange(24)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix == "jpg" else {}
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    problem = problems.image(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(pixels(problem), turn(stored) / 255, atol=0.01)  # JPEG is lossy


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "I;16B", "F"])
def test_modes(mode, tmp_path):
    levels = np.where(np.arange(64).reshape(8, 8) % 3, 255, 0).astype(np.uint8)
    if mode.startswith("I"):
        stored = levels.astype({"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode]) * 257
        picture = Image.frombytes(mode, stored.shape[::-1], stored.tobytes())
    elif mode == "F":
        picture = Image.fromarray(levels.astype(np.float32) / 255)
    else:
        picture = Image.fromarray(levels).convert(mode)
    assert picture.mode == mode
    picture.save(tmp_path / "a.tiff")
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.tiff")), levels / 255, atol=0.005)


def test_sixteen_bits_are_kept(tmp_path):
    levels = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000 + 1
    Image.fromarray(levels).save(tmp_path / "a.png")
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.png")), levels / 65535, atol=1e-15)
    with Image.open(tmp_path / "a.png") as picture:
        picture.save(tmp_path / "b.png", transparency=5001)  # white where it is 5001
    expected = np.where(levels == 5001, 1, levels / 65535)
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "b.png")), expected, atol=1e-15)


def test_transparency_is_laid_on_white(tmp_path):
    opacity = RAMP.T.reshape(3, 5)
    rgba = np.dstack([RGB, opacity])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    a = opacity[..., None] / 255
    expected = a * (RGB / 255) + (1 - a)
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.png", color=True)), expected, atol=1e-15)
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "a.png")), expected @ LUMA, atol=1e-15)

    Image.fromarray(np.dstack([RAMP, opacity])).save(tmp_path / "gray.png")
    expected = (a * (RAMP[..., None] / 255) + (1 - a))[..., 0]
    np.testing.assert_allclose(pixels(problems.image(tmp_path / "gray.png")), expected, atol=1e-15)


def test_palettes(tmp_path):
    indices = np.array([[0, 1, 2], [2, 2, 0]], dtype=np.uint8)
    palette = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]], dtype=np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(palette.tobytes())
    assert picture.mode == "P"
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(
        pixels(problems.image(tmp_path / "a.png", color=True)), palette[indices] / 255, atol=1e-15
    )
    picture.save(tmp_path / "b.gif", transparency=1)
    palette[1] = 255
    np.testing.assert_allclose(
        pixels(problems.image(tmp_path / "b.gif", color=True)), palette[indices] / 255, atol=1e-15
    )


def test_size_is_the_longer_side():
    array = np.random.default_rng(0).uniform(size=(100, 50))
    assert problems.image(array).grid.shape == (64, 32)
    assert problems.image(array.T).grid.shape == (32, 64)
    assert problems.image(array, size=10).grid.shape == (10, 5)
    assert problems.image(array, size=None).grid.shape == (100, 50)
    assert problems.image(array, size=100).grid.shape == (100, 50)
    assert problems.image(array, size=300).grid.shape == (100, 50)
    assert problems.image(np.eye(1, 1000), size=4).grid.shape == (1, 4)
    np.testing.assert_array_equal(problems.image(array, size=200).y, array.ravel())


def test_reducing_keeps_what_is_slow_and_drops_what_is_fast():
    # Down to a quarter, Lanczos' filter passes 2 cycles per image and stops 128, except near the borders.
    size, reduced = 256, 64
    slow = lambda n: np.cos(np.pi * 2 * (2 * np.arange(n) + 1) / n)  # noqa: E731
    fast = np.where(np.arange(size) % 2, 1.0, -1.0)
    wave = 0.5 + 0.2 * slow(size)[:, None] + 0.2 * fast[None, :]
    problem = problems.image(wave, size=reduced)
    expected = np.broadcast_to(0.5 + 0.2 * slow(reduced)[:, None], (reduced, reduced))
    np.testing.assert_allclose(pixels(problem)[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.002)


def test_reduced_values_stay_in_the_unit_interval():
    step = np.repeat(np.eye(2), 100, axis=0).repeat(100, axis=1)  # the filter overshoots at its edges
    problem = problems.image(step, size=50)
    assert problem.y.min() == 0
    assert problem.y.max() == 1


def test_photograph():
    gray, color = problems.image(CHINA), problems.image(CHINA, color=True)
    assert gray.grid.shape == color.grid.shape == (43, 64)  # of 427 x 640
    assert gray.y.shape == (43 * 64,)
    assert color.y.shape == (43 * 64, 3)
    np.testing.assert_allclose(gray.y, color.y @ LUMA, atol=1e-2)  # up to clipped overshoots
    with Image.open(CHINA) as picture:
        full = np.asarray(picture) / 255
    np.testing.assert_allclose(color.y.mean(axis=0), full.mean(axis=(0, 1)), atol=1e-2)
    assert gray.y.reshape(43, 64)[:10].mean() > gray.y.reshape(43, 64)[-10:].mean()  # the sky is above
    np.testing.assert_allclose(problems.image(CHINA, size=None, color=True).y, full.reshape(-1, 3), atol=1e-15)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((4, 4), 0.3), ("single color",)),
        (np.full((400, 300), 0.3), ("single color", "64 x 48")),
        (np.full((4, 4, 3), [0.1, 0.2, 0.3]), ("single color",)),
        (np.ones((1, 1)), ("1 x 1",)),
        (np.ones((0, 5)), ("0 x 5",)),
        (np.ones((4, 4, 4)), ("(rows, columns, 3)", "(4, 4, 4)")),
        (np.ones(4), ("rank 2 or 3", "(4,)")),
        (RAMP.astype(float), ("0 to 238", "scale", "uint8")),
        (np.eye(3) - 1, ("-1 to 0", "scale")),
        (np.full((3, 3), np.nan), ("not finite",)),
    ],
)
def test_bad_arrays_are_refused(array, words, refuses):
    with refuses(*words):
        problems.image(array)


def test_bad_size_is_refused(refuses):
    with refuses("size", "at least 2", "got 1"):
        problems.image(np.eye(4), size=1)


def test_bad_files_are_refused(tmp_path, refuses):
    with refuses("no file", "nowhere.png"):
        problems.image(tmp_path / "nowhere.png")
    with refuses("directory"):
        problems.image(tmp_path)
    with refuses("cannot open", "…"):
        problems.image("x" * 5000)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    for name in ("empty.png", "text.png"):
        with refuses(name, "not an image", "convert"):
            problems.image(tmp_path / name)
    Image.fromarray(np.full((9, 9), 3, dtype=np.uint8)).save(tmp_path / "flat.png")
    with refuses("flat.png", "single color"):
        problems.image(tmp_path / "flat.png")
    Image.fromarray(np.float32([[0, 7]])).save(tmp_path / "float.tiff")
    with refuses("float.tiff", "0 to 7", "scale"):
        problems.image(tmp_path / "float.tiff")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "gif", "webp"])
def test_damaged_files_are_refused_or_read(suffix, tmp_path, refuses):
    noise = np.random.default_rng(0).integers(0, 256, size=(40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"good.{suffix}")
    good = (tmp_path / f"good.{suffix}").read_bytes()
    bad = tmp_path / f"bad.{suffix}"
    bad.write_bytes(good[: len(good) // 2])
    with refuses(f"bad.{suffix}"):
        problems.image(bad)
    for place in range(0, len(good), 97):
        bad.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        with contextlib.suppress(InputError):  # nothing else may leak
            problems.image(bad)
