"""Parsing with tyro: types and help from annotations and docstrings, errors as one line."""

import contextlib
import io
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import tyro

from .._core.errors import InputError, unknown

T = TypeVar("T")


def parse(
    target: type[T] | Callable[..., T], arguments: list[str], *, prog: str, known: Iterable[str] = (), **kwargs: Any
) -> T:
    """`target` from the arguments; `InputError` for what cannot be parsed, naming the close options.

    Args:
        target: a dataclass, or a function whose parameters are the options.
        arguments: the command line.
        prog: shown in the help.
        known: names of the options, for suggestions.
        **kwargs: passed to tyro.
    """
    captured = io.StringIO()
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff) if kwargs.pop("flags", False) else (
        tyro.conf.OmitArgPrefixes,
    )  # fmt: skip
    try:
        with contextlib.redirect_stderr(captured):
            parsed, left = tyro.cli(
                target, args=arguments, prog=prog, config=config, return_unknown_args=True, **kwargs
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_sentence(captured.getvalue())) from None
    if left:
        names = [name.replace("_", "-") for name in known]
        if left[0].startswith("-"):
            raise unknown("option", left[0].split("=")[0].lstrip("-").replace("_", "-"), names)
        raise InputError(f"unexpected argument `{left[0]}`: see `{prog} --help`")
    return parsed


def _sentence(box: str) -> str:
    """What tyro prints in a box, as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │╭╮╰╯") for line in plain.splitlines()]
    lines = [line for line in lines if line.strip("─ ") and not line.startswith("─")]
    message = []
    for line in lines:
        if line.startswith("For full helptext"):
            break
        message.append(line.strip("─ "))
    text = re.sub(r"^Error parsing \w+: (?=`)", "", " ".join(message)).split(" Argument helptext:")[0]
    return text or "the arguments could not be parsed"
