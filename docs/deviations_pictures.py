"""Pictures of `deviations.md`: `python docs/deviations_pictures.py`."""

import io
import tempfile
from pathlib import Path

from PIL import Image

from spectralbias import cli

IMAGES = Path(__file__).parent / "images"
RUNS = {"wide": (), "small": ("--output-scale", "0.25", "--learning-rate", "auto")}


def save(name, picture):
    """A small file: these pictures have few colors."""
    Image.open(picture).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name)


if __name__ == "__main__":
    for name, options in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = f"{folder}/{name}"
            cli.main(["run", "harmonics", "--quick", *options, "--output", run, "--deviations"])
            save(f"deviations-{name}.png", io.BytesIO(Path(run, "deviations.png").read_bytes()))
