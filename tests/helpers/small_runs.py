"""Settings with which a run takes a second or two."""

import msgspec

from spectralbias import runs


def small_config(kind="harmonics", *, problem=None, model=None, training=None, analysis=None, **rest):
    """A configuration that finishes in a second or two."""
    base = msgspec.to_builtins(runs.default_config(kind, **(problem or {})))
    base["model"] |= {"width": 128, **(model or {})}
    base["training"] |= {"steps": 300, "chunk_steps": 50, **(training or {})}
    base["analysis"] |= analysis or {}
    return msgspec.convert(base | rest, runs.Config)


# A narrow network whose regions move; the same in all tests of them, so that it is compiled once.
REGIONS_MODEL = {"width": 8, "depth": 2, "bias_std": 0.7, "encoding": "none", "parameterization": "torch"}
REGIONS_TRAINING = {"optimizer": "adam", "learning_rate": 0.02, "momentum": 0.0, "steps": 40, "dtype": "float64"}
SMALL_SPHERE = {"dim": 5, "num_samples": 80, "num_test": 40}
