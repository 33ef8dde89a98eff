"""How to train with the encoding that an advice picks: a command, a file, or Python."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import tomli_w

from ..runs import default_config
from ._advise_input import TEXT, has_titles, is_array

if TYPE_CHECKING:
    from ..forecast import Advice, Choice


# The setting of `recommend_encoding`.
BIAS_STD, ADAM_RATE = 0.1, 1e-3
PARAMETERIZATION = {"gd": "ntk", "adam": "torch"}
_WIDTH = 78
# Said even where it is the default.
_ENCODING = ("encoding", "num_frequencies", "num_features", "scale")


class HowTo(NamedTuple):
    """What to type: `blocks` are (sentence, code); what there is none of is None."""

    blocks: list[tuple[str, str]]
    command: str | None
    config: str | None
    python: str | None


def recipe(advice: "Advice", file: Path, options: Mapping[str, Any]) -> HowTo:
    """For a picture a command and a file, else Python: `run` reads no arrays, and has no coordinates in [0, 1]."""
    encoding = _encoding_options(advice.pick)
    if encoding is None or is_array(file):
        code = _python(advice, file, options)
        return HowTo([("In Python, on all values:", code)], None, None, code)
    sections = _sections(advice, file, options, encoding)
    command, config = _command(sections), tomli_w.dumps(sections)
    drawn = " The random frequencies are drawn anew." if encoding["encoding"] == "fourier" else ""
    blocks = [
        (f"This trains on all pixels and writes a report.{drawn}", command),
        ("The same as a file, for `spectralbias run CONFIG.toml`:", config),
    ]
    return HowTo(blocks, command, config, None)


def _encoding_options(choice: "Choice") -> dict[str, Any] | None:
    """The keys of [model] that make this encoding; None where there are none."""
    from ..models import encodings

    encoding: Any = choice.encoding
    if isinstance(encoding, encodings.Identity):
        return {"encoding": "none"}
    if isinstance(encoding, encodings.PositionalEncoding):
        return {"encoding": "positional", "num_frequencies": encoding.num_frequencies}
    if isinstance(encoding, encodings.FourierFeatures):
        return {"encoding": "fourier", "num_features": encoding.out_size(0) // 2, "scale": scale(choice)}
    return None


def _sections(
    advice: "Advice", file: Path, options: Mapping[str, Any], encoding: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a configuration of `run image` must say."""
    problem = {"kind": "image", "path": str(file), "size": options["size"], "color": options["color"]}
    model = {
        **encoding,
        "width": options["width"],
        "depth": options["depth"],
        "bias_std": BIAS_STD,
        "output_scale": 1.0,
    }
    model["parameterization"] = PARAMETERIZATION.get(advice.optimizer, "torch")
    training = {"optimizer": advice.optimizer, "momentum": 0.0, "steps": advice.budget}
    return {"problem": problem, "model": model, "training": training}


def _command(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """What differs from the defaults, as options, in lines that fit."""
    problem = sections["problem"]
    defaults = msgspec.to_builtins(default_config(problem["kind"], path=problem["path"]))
    parts = [f"spectralbias run image {shlex.quote(problem['path'])}"]
    for name, values in sections.items():
        for key, value in values.items():
            if key == "kind" or (value == defaults[name][key] and key not in _ENCODING):
                continue
            option = f"--{key.replace('_', '-')}"
            parts.append(option if value is True else f"{option} {value}")
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 1 + len(part) > _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part}".strip()
    return " \\\n  ".join(lines)


def _python(advice: "Advice", file: Path, options: Mapping[str, Any]) -> str:
    """A program that trains on all values."""
    dim, outputs = len(advice.shape), advice.values.shape[-1]
    load, name = _loading(advice, file, options), advice.optimizer
    rate = "1 / spectra.eigenmodes(kernels.NTKOperator(model, x), num_modes=1).eigenvalues[0]"
    return f"""\
import jax
import numpy as np
from spectralbias import dynamics, kernels, models, problems, spectra

{load}
encoding = {_encoding_code(advice.pick, dim)}
model = models.MLP(
    {dim}, {'"scalar"' if outputs == 1 else outputs}, {options["width"]}, {options["depth"]}, bias_std={BIAS_STD},
    parameterization="{PARAMETERIZATION.get(name, "torch")}", antisymmetric=True, encoding=encoding,
    key=jax.random.key(0),
)
rate = {rate if name == "gd" else ADAM_RATE}
run = dynamics.train(model, x, y - y.mean(axis=0), learning_rate=float(rate), steps={advice.budget}, optimizer="{name}")
"""


def _loading(advice: "Advice", file: Path, options: Mapping[str, Any]) -> str:
    """Lines that make x and y."""
    suffix, path = file.suffix.lower(), str(file)
    source = repr(path)
    if suffix == ".npy":
        source = f"np.load({path!r})"
    elif suffix in TEXT:
        more = "".join(
            [f", delimiter={TEXT[suffix]!r}" if TEXT[suffix] else "", ", skiprows=1" if has_titles(file) else ""]
        )
        source = f"np.loadtxt({path!r}{more})"
    if len(advice.shape) == 1:
        return f"y = {source}.ravel()\nx = problems.coordinates(len(y))"
    size = None if options["size"] == "full" else options["size"]
    color = ", color=True" if options["color"] else ""
    return f"problem = problems.image({source}, size={size}{color})\nx, y = problem.x, problem.y"


def _encoding_code(choice: "Choice", dim: int) -> str:
    """The encoding as Python."""
    from ..models import encodings

    encoding: Any = choice.encoding
    if isinstance(encoding, encodings.Interval):
        return f"models.encodings.Interval({encoding.lower}, {encoding.upper})"
    if isinstance(encoding, encodings.PositionalEncoding):
        return f"models.encodings.PositionalEncoding({encoding.num_frequencies})"
    if isinstance(encoding, encodings.FourierFeatures):
        count = encoding.out_size(0) // 2
        return f"models.encodings.FourierFeatures({dim}, {count}, {scale(choice)}, key=jax.random.key(1))"
    return "models.encodings.Identity()"


def scale(choice: "Choice") -> float:
    """Of Gaussian frequencies; the encoding itself holds their draws."""
    return float(choice.label.split()[-1])
