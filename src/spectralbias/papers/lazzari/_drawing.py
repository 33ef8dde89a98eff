"""Parts that the figures of these studies share."""

from typing import TYPE_CHECKING

import numpy as np

from .._figures import band, degree_colors, logarithmic_from_zero
from ._setting import names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where step 0 stands on a logarithmic axis.
FLOOR = 0.5


def input_colors(count: int) -> list[str]:
    """Cold for coordinates, hot for many octaves."""
    return degree_colors(range(count))


def along_training(axes: "Axes", steps: np.ndarray, values: np.ndarray, inputs: np.ndarray, **line) -> None:
    """A band for each input of values (seeds, inputs, T), on a logarithmic axis of steps that starts at 0."""
    at = np.maximum(steps, FLOOR)
    for index, (name, color) in enumerate(zip(names(inputs), input_colors(len(inputs)), strict=True)):
        band(axes, at, values[:, index], color, name, **line)
    logarithmic_from_zero(axes, steps[-1], FLOOR)
    axes.set(xlabel="step", xlim=(FLOOR, steps[-1]))


def with_inputs(figure: "Figure", axes: "Axes") -> None:
    """One legend above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), handlelength=2.2, fontsize=7.5)
