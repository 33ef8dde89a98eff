"""What a run does, as data: the schema, its defaults, and TOML. Imports neither JAX nor NumPy."""

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from .._core.errors import InputError, unknown
from .._core.names import ACTIVATIONS, ENCODINGS, OPTIMIZERS, PARAMETERIZATIONS


def _require(name: str, value: Any, holds: bool, meaning: str) -> None:
    if not holds:
        raise InputError(f"`{name}` must be {meaning}, got {value!r}")


def _at_least(minimum: float, **values: float | None) -> None:
    for name, value in values.items():
        _require(name, value, value is None or value >= minimum, f"{minimum} or more")


class HarmonicsConfig(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="harmonics"
):
    """A sum of zonal harmonics on the sphere."""

    dim: int = 10
    """Ambient dimension: inputs lie on the sphere in R^dim."""
    degrees: tuple[int, ...] = (1, 2, 4)
    """Degrees of the harmonics in the target."""
    amplitudes: tuple[float, ...] | None = None
    """Root mean square of each harmonic; all 1 by default."""
    num_samples: int = 1000
    """Training points."""
    num_test: int = 1000
    """Held-out points."""


class SignalConfig(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="signal"
):
    """A sum of sines on an interval."""

    frequencies: tuple[float, ...] = (5.0, 10.0, 20.0)
    """Frequencies of the sines, in cycles per window."""
    amplitudes: tuple[float, ...] | None = None
    """Amplitude of each sine; all 1 by default."""
    num_samples: int = 256
    """Samples of the signal."""


class ImageConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="image"):
    """A picture: pixel coordinates to pixel values."""

    path: str
    """The image file."""
    size: int | Literal["full"] = 64
    """Pixels of the longer side after reduction; `full` keeps the picture as it is."""
    color: bool = False
    """Fit red, green and blue in place of gray."""


class TableConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="table"):
    """A column of a table from the other columns."""

    path: str
    """The file: .csv, .tsv, .npy, .npz or .parquet."""
    target: str
    """The column to predict; text or at most 20 integer values are classes."""
    test_fraction: float = 0.2
    """Share of the rows that is held out."""
    max_samples: int | None = None
    """Use a random part of so many rows."""


class DigitsConfig(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, tag_field="kind", tag="digits"
):
    """Handwritten digits (8 x 8 pixels, 1797 of them)."""

    test_fraction: float = 0.2
    """Share of the digits that is held out."""


ProblemConfig = HarmonicsConfig | SignalConfig | ImageConfig | TableConfig | DigitsConfig
PROBLEMS: dict[str, type] = {
    "harmonics": HarmonicsConfig,
    "signal": SignalConfig,
    "image": ImageConfig,
    "table": TableConfig,
    "digits": DigitsConfig,
}


class ModelConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """The network."""

    architecture: Literal["mlp", "cao"] = "mlp"
    """`cao` is the two-layer ReLU network of Cao et al. (no biases, all parts at one learning rate)."""
    width: int = 512
    """Units of each hidden layer."""
    depth: int = 2
    """Hidden layers."""
    activation: Literal[ACTIVATIONS] = "relu"  # pyright: ignore[reportInvalidTypeForm]
    """Elementwise nonlinearity."""
    parameterization: Literal[PARAMETERIZATIONS] = "ntk"  # pyright: ignore[reportInvalidTypeForm]
    """How weights are scaled; `ntk` is the one with an infinite-width limit."""
    weight_std: float = math.sqrt(2.0)
    """Standard deviation of the weights as they act, times the square root of the inputs per unit."""
    bias_std: float = 0.0
    """Standard deviation of the biases as they act; 0 for none."""
    output_scale: float = 1.0
    """Factor on the output; large is lazier (nearer to the frozen kernel)."""
    antisymmetric: bool = True
    """Start at f = 0 with two opposite copies of the network."""
    encoding: Literal[ENCODINGS] = "none"  # pyright: ignore[reportInvalidTypeForm]
    """What the network reads in place of the input."""
    num_frequencies: int = 6
    """Octaves of the positional encoding."""
    num_features: int = 256
    """Random frequencies of the Fourier features."""
    scale: float = 2.0
    """Standard deviation of the Fourier features' frequencies, in cycles per unit of input."""

    def __post_init__(self):
        _at_least(1, width=self.width, depth=self.depth, num_frequencies=self.num_frequencies)
        _at_least(1, num_features=self.num_features)
        _at_least(0, bias_std=self.bias_std)
        for name in ("weight_std", "output_scale", "scale"):
            _require(name, getattr(self, name), 0 < getattr(self, name) < math.inf, "a positive number")
        if self.architecture == "cao" and (self.depth, self.activation, self.encoding) != (1, "relu", "none"):
            raise InputError(
                "architecture `cao` has depth 1, activation `relu` and no encoding: use architecture `mlp` for "
                f"depth {self.depth}, activation `{self.activation}`, encoding `{self.encoding}`"
            )


class TrainingConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How it is trained, on the loss (1/2n) Σ (f - y)²."""

    optimizer: Literal[OPTIMIZERS] = "gd"  # pyright: ignore[reportInvalidTypeForm]
    """`gd` is gradient descent; the others are Optax's."""
    learning_rate: float | Literal["auto"] = "auto"
    """`auto` is 1/λ_max of the kernel for gradient descent, 0.001 for adaptive optimizers."""
    momentum: float = 0.0
    """Heavy-ball momentum of `gd` and `sgd`; the other optimizers have their own."""
    optimizer_options: dict[str, float | bool] = msgspec.field(default_factory=dict)
    """Further arguments of the optimizer, e.g. `b1 0.95`."""
    steps: int = 1000
    """Number of steps."""
    batch_size: int | None = None
    """Samples per step; all of them by default."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of the training."""
    chunk_steps: int = 100
    """Steps between checkpoints: at most so many are repeated after a crash."""

    def __post_init__(self):
        _at_least(1, steps=self.steps, batch_size=self.batch_size, chunk_steps=self.chunk_steps)
        _require("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        rate = self.learning_rate
        _require("learning_rate", rate, rate == "auto" or 0 < rate < math.inf, "a positive number or `auto`")


class AnalysisConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """What is measured beside the residuals."""

    num_modes: int | None = None
    """Kernel modes to compute; by default all up to 4000 values, else 200."""
    drift_times: int = 12
    """How often the kernel's drift is measured; 0 for never."""
    drift_samples: int = 1000
    """Training points on which the drift is measured."""
    deviations: bool = False
    """Say why training left the frozen kernel's prediction: too few samples, too little width, feature learning."""
    regions: bool = False
    """Say whether the network can separate neighbors, from its linear regions and gradient confusion."""

    def __post_init__(self):
        _at_least(1, num_modes=self.num_modes, drift_samples=self.drift_samples)
        _at_least(0, drift_times=self.drift_times)


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One run."""

    problem: ProblemConfig
    model: ModelConfig
    training: TrainingConfig
    analysis: AnalysisConfig = AnalysisConfig()
    name: str = ""
    """First part of the run directory's name; the problem's kind by default."""
    seed: int = 0
    """Seed of the data, the initialization and the mini-batches."""

    def __post_init__(self):
        _require("seed", self.seed, 0 <= self.seed < 2**63, "0 or more")
        if self.name and (Path(self.name).name != self.name or self.name.startswith(".")):
            raise InputError(f"`name` becomes a directory's name, it must not contain a path: got {self.name!r}")

    @property
    def kind(self) -> str:
        """The kind of problem."""
        return self.problem.__struct_config__.tag  # pyright: ignore[reportReturnType]


_DEFAULTS: dict[str, dict[str, Any]] = {
    "harmonics": {
        "model": {"architecture": "cao", "width": 4096, "depth": 1, "output_scale": 4.0},
        "training": {"learning_rate": 0.25, "steps": 4000},
    },
    "signal": {
        "model": {"width": 512, "bias_std": 1.0, "output_scale": 10.0, "encoding": "positional", "num_frequencies": 3},
        "training": {"momentum": 0.9, "steps": 1000},
    },
    "image": {
        "model": {"width": 256, "bias_std": 0.1, "output_scale": 2.0, "encoding": "positional", "num_frequencies": 5},
        "training": {"momentum": 0.9, "steps": 1000},
    },
    "table": {"model": {"bias_std": 0.1, "output_scale": 8.0}, "training": {"momentum": 0.9, "steps": 500}},
    "digits": {
        "model": {"width": 256, "bias_std": 0.1, "output_scale": 8.0},
        "training": {"momentum": 0.9, "steps": 300},
    },
}

_QUICK: dict[str, dict[str, Any]] = {
    "harmonics": {"model": {"width": 1024}, "training": {"steps": 500}},
    "signal": {"model": {"width": 256}, "training": {"steps": 500}},
    "image": {"problem": {"size": 32}, "model": {"width": 128}, "training": {"steps": 300}},
    "table": {"problem": {"max_samples": 500}, "model": {"width": 256}, "training": {"steps": 200}},
    "digits": {"model": {"width": 128}, "training": {"steps": 200}},
}


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _defaults(kind: str, quick: bool) -> dict[str, Any]:
    if kind not in PROBLEMS:
        raise unknown("kind of problem", kind, PROBLEMS)
    empty = {"problem": {"kind": kind}, "model": {}, "training": {}}
    return _merge(_merge(empty, _DEFAULTS[kind]), _QUICK[kind] if quick else {})


def default_config(kind: str = "harmonics", *, quick: bool = False, **problem: Any) -> Config:
    """The default configuration of a kind of problem.

    Args:
        kind: `"harmonics"`, `"signal"`, `"image"`, `"table"` or `"digits"`.
        quick: settings that finish in seconds.
        **problem: fields of the problem; an image needs `path`, a table `path` and `target`.

    Raises:
        InputError: an unknown kind or field, a required field that is missing.

    Example:
        >>> from spectralbias import runs
        >>> runs.default_config().model.width
        4096
    """
    return _convert(_merge(_defaults(kind, quick), {"problem": problem}))


def _convert(data: dict[str, Any]) -> Config:
    """A `Config` from nested dictionaries, or an `InputError` that names the key."""
    _check_keys(data)
    try:
        return msgspec.convert(data, Config, strict=True)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        section = place.strip(".`")
        message = message.replace("Object missing required field", "missing")
        raise InputError(f"{message} (in {section})" if section else message) from None


def _check_keys(data: dict[str, Any]) -> None:
    """Refuse unknown keys, naming the close ones; msgspec's own message does not."""
    kind = str(data["problem"].get("kind")) if isinstance(data.get("problem"), dict) else ""
    sections = {"model": ModelConfig, "training": TrainingConfig, "analysis": AnalysisConfig}
    sections["problem"] = PROBLEMS.get(kind, HarmonicsConfig)
    for key, value in data.items():
        if key not in Config.__struct_fields__:
            raise unknown("key", key, Config.__struct_fields__)
        if key in sections:
            if not isinstance(value, dict):
                raise InputError(f"`{key}` must be a section ([{key}] in TOML), got {value!r}")
            for name in value:
                if name not in (*sections[key].__struct_fields__, *(["kind"] if key == "problem" else [])):
                    raise unknown(f"key in [{key}]", name, sections[key].__struct_fields__)


def load_config(path: str | Path, *, quick: bool = False) -> Config:
    """Read a configuration from TOML; what it leaves out takes the default of its kind of problem.

    Raises:
        InputError: a missing file, TOML that does not parse, an unknown key (the message names the close ones).
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}") from None
    _check_keys(data)
    kind = data.get("problem", {}).get("kind", "harmonics")
    return _convert(_merge(_defaults(kind, quick), data))


def dump_config(config: Config) -> str:
    """The configuration as TOML, every value spelled out; `load_config` reads it back."""

    def without_none(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_none(item) for key, item in value.items() if item is not None}
        return value

    data = without_none(msgspec.to_builtins(config))
    return tomli_w.dumps({key: data[key] for key in ("name", "seed", "problem", "model", "training", "analysis")})
