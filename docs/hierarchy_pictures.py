"""Pictures of `hierarchy.md`: `python docs/hierarchy_pictures.py`."""

import io
import tempfile
from pathlib import Path

from PIL import Image

from spectralbias import cli

IMAGES = Path(__file__).parent / "images"
SMOOTH = "--num-samples 100 --num-test 100 --degrees 1 2 --architecture mlp --depth 1 --activation tanh --bias-std 0.5"
KINKS = "--num-samples 64 --frequencies 1 3 --momentum 0 --encoding none"
RUNS = {"smooth": f"harmonics {SMOOTH} --learning-rate auto", "kinks": f"signal {KINKS}"}


def save(name, picture):
    """A small file: these pictures have few colors."""
    Image.open(picture).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name)


if __name__ == "__main__":
    for name, options in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            run = f"{folder}/{name}"
            kind, *rest = options.split()
            cli.main(["run", kind, "--quick", *rest, "--width", "256", "--output-scale", "1", "--output", run])
            cli.main(["hierarchy", run])
            save(f"hierarchy-{name}.png", io.BytesIO(Path(run, "hierarchy.png").read_bytes()))
