"""What a verb is about: a kind of problem, named by the first arguments, with the options of its configuration."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from .._core.errors import InputError, unknown
from ..runs import AnalysisConfig, Config, ModelConfig, TrainingConfig, default_config, load_config
from ..runs._config import PROBLEMS
from ._options import parse

# What the first arguments after the kind mean.
_POSITIONAL = {"image": ("path",), "table": ("path",)}
_PLACEHOLDER = {"image": {"path": ""}, "table": {"path": "", "target": ""}}

# Name, annotation and default of an option.
Option = tuple[str, Any, Any]


def argument(annotation: Any, text: str) -> Any:
    """The annotation of an option with its help."""
    return Annotated[annotation, tyro.conf.arg(help=text)]


def flag(text: str) -> Any:
    """The annotation of an option that is there or not."""
    return Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help=text)]


def options_type(options: list[Option]) -> type:
    """A dataclass of these options for `parse`."""
    fields = [(name, annotation, dataclasses.field(default=default)) for name, annotation, default in options]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def starting_point(verb: str, arguments: list[str]) -> tuple[str, Config, list[str]]:
    """A verb and its subject as the help names them, the configuration before options, and the options."""
    quick = "--quick" in arguments
    if not arguments or arguments[0].startswith("-"):
        return f"spectralbias {verb}", default_config(quick=quick), arguments
    first, *rest = arguments
    if first in PROBLEMS:
        names = _POSITIONAL.get(first, ())
        given: dict[str, Any] = dict(_PLACEHOLDER.get(first, {}))
        for name in names:
            if rest and not rest[0].startswith("-"):
                given[name] = rest.pop(0)
        usage = " ".join([f"spectralbias {verb}", first, *(name.upper() for name in names)])
        return usage, default_config(first, quick=quick, **given), rest
    if first.endswith(".toml"):
        return f"spectralbias {verb} {first}", load_config(first, quick=quick), rest
    if Path(first).suffix or Path(first).exists():
        raise InputError(
            f"`{first}` is neither a kind of problem ({', '.join(PROBLEMS)}) nor a .toml file: for a picture use "
            f"`spectralbias {verb} image {first}`, for data `spectralbias {verb} table {first} --target COLUMN`"
        )
    raise unknown("kind of problem", first, PROBLEMS)


def configured(
    prog: str, config: Config, arguments: list[str], *, sections: tuple[str, ...], more: list[Option], description: str
) -> tuple[Config, Any]:
    """The configuration with options on top, and the options that are not part of it.

    Args:
        prog: shown in the help.
        config: what holds where no option is given.
        arguments: the options.
        sections: those parts of the configuration whose keys are options.
        more: further options; `name` and `seed` go into the configuration.
        description: shown in the help.
    """
    types = {
        "problem": type(config.problem),
        "model": ModelConfig,
        "training": TrainingConfig,
        "analysis": AnalysisConfig,
    }
    parts: list[Option] = [(name, types[name], getattr(config, name)) for name in sections]
    known = [name for name, _, _ in more]
    for name in sections:
        known.extend(types[name].__struct_fields__)
    target = options_type([*parts, *more])
    options: Any = parse(target, arguments, prog=prog, known=known, description=description)
    values = {name: getattr(options, name, getattr(config, name)) for name in Config.__struct_fields__}
    config = Config(**values)
    for name in ("path", "target"):
        if getattr(config.problem, name, None) == "":
            raise InputError(f"`{name}` is missing: {prog}{' --target COLUMN' if name == 'target' else ''}")
    return config, options
