"""Appendix F: the projections on fresh points."""

from typing import TYPE_CHECKING

import numpy as np

from .._figures import INK, band, degree_colors, legend, logarithmic_from_zero, panels
from .._statistics import all_of, vote
from .._study import Numbers, Study, Verdict
from ._figures_1_to_6 import ENCODED, FIRST, FLOOR, OPEN, paper
from ._training import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def judge(numbers: Numbers) -> Verdict:
    """Degrees 1 and 2 generalize, degree 4 is fitted and not learned."""
    left = {key: numbers[key][:, -1] / numbers[key][:, 0] for key in ("train", "test")}
    low = np.all(left["test"][:, :2] <= 0.5, axis=1)
    fitted = left["train"][:, 2] <= 0.5
    kept = left["test"][:, 2] >= 0.5
    middle = {key: np.median(values, axis=0) for key, values in left.items()}
    count = len(low)
    return Verdict(
        all_of(vote(low), vote(fitted), vote(kept)),
        f"At the end {100 * middle['test'][0]:.0f} % of degree 1 and {100 * middle['test'][1]:.0f} % of degree 2 are "
        f"left on fresh points. Of degree 4, {100 * middle['train'][2]:.0f} % are left on the training points and "
        f"{100 * middle['test'][2]:.0f} % on fresh ones.",
        (
            ("degrees 1 and 2 at half or less on fresh points", f"{low.sum()} of {count}"),
            ("degree 4 at half or less on training points", f"{fitted.sum()} of {count}"),
            ("degree 4 at half or more on fresh points", f"{kept.sum()} of {count}"),
        ),
    )


def figure(numbers: Numbers) -> "Figure":
    """One panel for each degree: training points and fresh points, relative to the start."""
    steps = np.maximum(numbers["steps"], FLOOR)
    degrees = numbers["degrees"]
    with panels(len(degrees), height=2.4) as (drawn, axes):
        for index, (ax, color) in enumerate(zip(axes, degree_colors(degrees), strict=True)):
            for key, shade, line in (("train", INK, {"dashes": (2, 1.5)}), ("test", color, {})):
                values = numbers[key][:, :, index]
                label = "training points" if key == "train" else "fresh points"
                band(ax, steps, values / values[:, :1], shade, label, **line)
            logarithmic_from_zero(ax, steps[-1], FLOOR)
            ax.set(xlabel="step", title=f"k = {int(degrees[index])}", xlim=(FLOOR, steps[-1]), ylim=(0, 1.25))
        axes[0].set_ylabel("projection, relative to its start")
        legend(axes[-1], loc="lower left")
    return drawn


STUDIES = (
    Study(
        "cao-held-out",
        "Cao et al. 2021, Appendix F",
        "The projections on degrees 1 and 2 fall on fresh points as they do on the training points; that on degree 4 "
        "does not: there are fewer samples than harmonics of this degree, and the network only fits it.",
        "In at least 9 of 10 repetitions each: degrees 1 and 2 end at half of their start or less on fresh points; "
        "degree 4 ends at half or less on the training points; degree 4 ends at half or more on fresh points.",
        fast=FIRST,
        paper=paper(FIRST),
        measure=look,
        judge=judge,
        figure=figure,
        control=ENCODED,
        note=OPEN + "These are the trainings of Figure 1a.",
    ),
)
