"""Pictures of `spectrum.md`: `python docs/spectrum_pictures.py PHOTO.jpg`."""

import io
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from spectralbias import cli, kernels, report, spectra

IMAGES = Path(__file__).parent / "images"


def save(name, picture):
    """A small file: these pictures have few colors."""
    Image.open(picture).convert("RGB").quantize(192, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name)


def drawn(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer)
    return buffer


def sphere():
    kernel = kernels.cao_kernel()
    save("spectrum-sphere.png", drawn(report.spectrum_figure(spectra.sphere_spectrum(kernel, 10, 40))))
    x = np.random.default_rng(0).standard_normal((1000, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    modes = spectra.eigenmodes(kernel.ntk(x))
    titles = [f"mode {rank}: degree {degree}" for rank, degree in ((1, 0), (2, 1), (5, 2), (12, 4))]
    figure = report.mode_figure(
        modes, x, cross=lambda new: kernel.ntk(new, x), which=(1, 2, 5, 12), view="globe", titles=titles
    )
    save("modes-sphere.png", drawn(figure))


def photo(path):
    for encoding in ("none", "positional"):
        with tempfile.TemporaryDirectory() as folder:
            picture = f"{folder}/picture.png"
            cli.main(["spectrum", "image", path, "--size", "48", "--encoding", encoding, "--output", picture])
            save(f"spectrum-photo-{encoding}.png", picture)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    sphere()
    photo(sys.argv[1])
