"""Pictures of `regions.md`: `python docs/regions_pictures.py`."""

import io
import tempfile
from importlib.resources import files
from pathlib import Path

from PIL import Image

from spectralbias import cli, report, runs
from spectralbias.report._region_pictures import drawn

IMAGES = Path(__file__).parent / "images"
PHOTO = str(files("sklearn.datasets") / "images" / "china.jpg")
ADAM = ["--quick", "--width", "128", "--parameterization", "torch", "--optimizer", "adam", "--momentum", "0"]
SIGNALS = {"raw": ["--encoding", "none"], "encoded": []}


def save(name, picture, colors):
    """A small file: these pictures have few colors."""
    picture.convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name, options in SIGNALS.items():
            run = Path(folder, name)
            cli.main(["run", "signal", *ADAM, *options, "--output", str(run), "--regions"])
            save(f"regions-signal-{name}.png", Image.open(io.BytesIO((run / "regions.png").read_bytes())), 64)
        run = Path(folder, "photo")
        cli.main(["run", "image", PHOTO, *ADAM, "--encoding", "none", "--output", str(run), "--regions"])
        pixels = drawn(report.Evidence(runs.load(run)), "")
        save("regions-photo.png", Image.fromarray(pixels).resize((900, 900 * len(pixels) // pixels.shape[1])), 128)
