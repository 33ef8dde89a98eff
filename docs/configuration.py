"""Writes the tables of `configuration.md` from the schema in the code: `python docs/configuration.py [--check]`."""

import ast
import inspect
import sys
import types
import typing
from pathlib import Path

import msgspec

from spectralbias.runs import AnalysisConfig, Config, ModelConfig, TrainingConfig, default_config

PAGE = Path(__file__).with_suffix(".md")
BEGIN, END = "<!-- begin generated -->", "<!-- end generated -->"
REQUIRED = {"image": {"path": "photo.jpg"}, "table": {"path": "data.csv", "target": "price"}}
KINDS = ("harmonics", "signal", "image", "table", "digits")


def meanings(struct: type) -> dict[str, str]:
    """The docstring below each field."""
    (definition,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(definition, ast.ClassDef)
    found, name = {}, None
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and name is not None:
            found[name] = str(node.value.value)
            name = None
    return found


def kind_of(annotation: typing.Any) -> str:
    """A type in words that fit TOML."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind_of(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {kind_of(arguments[0])}s"
    if origin is dict:
        return "table of numbers or booleans"
    return {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}[annotation]


def written(value: typing.Any) -> str:
    """A value as TOML writes it; a dash for a key that is left out."""
    if value is None:
        return "–"
    if value is msgspec.NODEFAULT:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, dict):
        return "`{}`"
    return f"`{value:.6g}`" if isinstance(value, float) and value != round(value) else f"`{value}`"


def table(struct: type) -> list[str]:
    """Key, values, default, meaning."""
    hints, texts = typing.get_type_hints(struct), meanings(struct)
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        if field.name in ("problem", "model", "training", "analysis"):
            continue
        default = {} if field.default_factory is not msgspec.NODEFAULT else field.default
        cells = (f"`{field.name}`", kind_of(hints[field.name]), written(default), texts[field.name])
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def differences(*, quick: bool) -> list[str]:
    """What each kind of problem sets away from the defaults above, or away from its usual settings when quick."""
    rows: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        required = REQUIRED.get(kind, {})
        config, usual = default_config(kind, quick=quick, **required), default_config(kind, **required)
        plain = {"problem": type(usual.problem)(**required), "model": ModelConfig(), "training": TrainingConfig()}
        for section, alone in plain.items():
            settings, reference = getattr(config, section), getattr(usual, section) if quick else alone
            for field in settings.__struct_fields__:
                if getattr(settings, field) != getattr(reference, field):
                    rows.setdefault(f"`{section}.{field}`", {})[kind] = written(getattr(settings, field))
    lines = ["| key | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for key, values in rows.items():
        lines.append(f"| {key} | " + " | ".join(values.get(kind, "") for kind in KINDS) + " |")
    return lines


def generated() -> str:
    """All tables."""
    lines = [BEGIN, "", "## At the top", "", *table(Config)]
    for kind in KINDS:
        struct = type(default_config(kind, **REQUIRED.get(kind, {})).problem)
        lines += ["", f"## `[problem]` of kind `{kind}`", "", struct.__doc__ or "", "", *table(struct)]
    for name, struct in (("model", ModelConfig), ("training", TrainingConfig), ("analysis", AnalysisConfig)):
        lines += ["", f"## `[{name}]`", "", struct.__doc__ or "", "", *table(struct)]
    lines += [
        "",
        "## Defaults by kind of problem",
        "",
        "An empty cell means the default of the tables above.",
        "",
        *differences(quick=False),
        "",
        "With `--quick` these change. An empty cell means no change.",
        "",
        *differences(quick=True),
        "",
        END,
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the page, or check it."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = before + generated() + after
    if "--check" in sys.argv:
        if text != wanted:
            sys.exit(f"{PAGE.name} is out of date: run python docs/{Path(__file__).name}")
    else:
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
