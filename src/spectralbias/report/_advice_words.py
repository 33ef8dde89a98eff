"""An advice in words and in a table, for the terminal and for the page."""

from typing import TYPE_CHECKING

import numpy as np

from ._advice_views import compared, kind, table_columns

if TYPE_CHECKING:
    from ..forecast import Advice


def headline(advice: "Advice") -> str:
    """The pick, and by how much it is better."""
    pick, other = advice.pick, compared(advice)
    if other is None or not np.isfinite(pick.psnr - other.psnr):
        return f"Take {pick.label}."
    ahead = f"{pick.psnr - other.psnr:.1f} dB"
    if kind(other.label) == "raw" and kind(pick.label) != "raw":
        return f"Take {pick.label}: {ahead} better than raw coordinates."
    return f"Take {pick.label}: {ahead} better than the next best, {other.label}."


def decibels(value: float) -> str:
    """A PSNR with one digit after the point."""
    return "–" if np.isnan(value) else "∞" if np.isposinf(value) else f"{value:.1f} dB"


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else "∞" if np.isposinf(value) else f"{value:.1f}"


def table_head(advice: "Advice") -> list[str]:
    """Titles of the columns of the table."""
    steps = [f"{int(advice.steps[index]):,}" for index in table_columns(advice)]
    return ["encoding", f"held out at {steps[-1]}", *(f"at {step}" for step in steps[:-1]), "trained on", "how"]


def table_rows(advice: "Advice") -> list[list[str]]:
    """Its cells, in dB."""
    earlier = table_columns(advice)[:-1]
    return [
        [
            choice.label,
            _cell(choice.psnr),
            *(_cell(float(choice.held_out[index])) for index in earlier),
            _cell(choice.train_psnr),
            choice.method,
        ]
        for choice in advice.table
    ]
