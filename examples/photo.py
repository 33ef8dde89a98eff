"""One network on one photograph, with and without positional encoding: what the encoding buys, band by band.

Two minutes on two cores. Writes `comparison.html` beside the two runs.
"""

from pathlib import Path

import msgspec
from PIL import Image
from sklearn.datasets import load_sample_image

from spectralbias import report, runs

Image.fromarray(load_sample_image("china.jpg")).save("china.png")
encoded = runs.default_config("image", path="china.png")
plain = msgspec.structs.replace(encoded, model=msgspec.structs.replace(encoded.model, encoding="none"))

with_encoding, without = runs.execute(encoded), runs.execute(plain)

print(f"{'':<18} {'without':>9} {'with':>9}   (part of the residual that is left)")
for band, other in zip(without.summary["bands"], with_encoding.summary["bands"], strict=True):
    print(f"{band['name']:<18} {band['measured_left']:>9.1%} {other['measured_left']:>9.1%}")
print(report.write_comparison([without, with_encoding], Path("comparison.html")))
