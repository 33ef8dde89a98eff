"""Numbers in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def number(value: float | None, digits: int = 3) -> str:
    """A number with that many digits that count; a dash where there is none."""
    if value is None or np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}\u00a0×\u00a010{str(int(exponent)).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(value: float | None) -> str:
    """A fraction in percent with two digits that count."""
    if value is None or not np.isfinite(value):
        return "–"
    count = 100 * value
    return f"{count:,.0f} %" if abs(count) >= 9.95 or count == 0 else f"{number(count, 2)} %"


def step(value: float) -> str:
    """When something was learned."""
    return f"{max(1, round(value)):,}"


def plural(count: int, noun: str) -> str:
    """`1 mode`, `2 modes`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def part(band: Mapping[str, Any], kind: str) -> str:
    """A band in a sentence: `the degree-4 part`."""
    name = band["name"]
    if kind == "degree":
        return f"the {name.replace(' ', '-')} part"
    return {"mean": "the mean", "all": "the target"}.get(
        name, f"class {name}" if kind == "class" else f"the {name} part"
    )
