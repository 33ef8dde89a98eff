"""The sections of a report, in order. A new analysis adds one here."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import _classes, _deviations, _fits, _forecast, _fourier, _hierarchy, _learning, _modes, _regions, _tables
from ._deviation_words import sentence as deviation_sentence
from ._evidence import Evidence
from ._figure import Figure
from ._forecast_words import scored as forecast_sentence
from ._hierarchy_words import sentence as hierarchy_sentence
from ._regions_words import sentence as regions_sentence
from ._text import percent, plural


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: when it applies, and what it says and shows.

    Attributes:
        title: the heading.
        applies: whether the run has what it needs, usually a group of the store.
        sentence: one sentence that says what is seen.
        figures: functions that make the figures; one that returns None is left out.
    """

    title: str
    applies: Callable[[Evidence], bool]
    sentence: Callable[[Evidence], str]
    figures: tuple[Callable[[Evidence], Figure | None], ...]


def _always(evidence: Evidence) -> bool:
    return True


def _has_classes(evidence: Evidence) -> bool:
    return evidence.run.problem.classes is not None


def _learning_sentence(evidence: Evidence) -> str:
    if evidence.prediction is None:
        return "Every band decays at its own pace; for this optimizer the frozen kernel has no closed-form prediction."
    return (
        "Every band decays at its own pace. The kernel at initialization says how, before any training: each of its "
        "modes decays at a rate of its own."
    )


def _times_sentence(evidence: Evidence) -> str:
    fell = int(np.isfinite(evidence.by_mode.measured_steps).sum())
    return f"{fell:,} of the {len(evidence.eigenvalues):,} modes that were computed fell to 1/e in this run."


def _spectrum_sentence(evidence: Evidence) -> str:
    values = evidence.eigenvalues
    text = "Speed is set by the eigenvalues: a step of gradient descent multiplies a mode by 1 − learning rate × λ."
    if evidence.resolved["momentum"] is None:
        text = "For gradient descent the eigenvalues would set the speed; this optimizer rescales the gradient."
    positive = values[values > 0]
    spread = np.log10(positive[0] / positive[-1]) if len(positive) else 0.0
    return f"{text} Those computed span {plural(round(float(spread)), 'decade')}."


def _energies_sentence(evidence: Evidence) -> str:
    held = float(evidence.mode_shares.sum())
    return f"The modes that were computed hold {percent(min(held, 1.0))} of the first residual."


SECTIONS: tuple[Section, ...] = (
    Section(
        title="What was learned when",
        applies=_always,
        sentence=_learning_sentence,
        figures=(_learning.residuals, _learning.loss),
    ),
    Section(title="Mode by mode", applies=_always, sentence=_times_sentence, figures=(_modes.learning_times,)),
    Section(title="The kernel’s spectrum", applies=_always, sentence=_spectrum_sentence, figures=(_modes.spectrum,)),
    Section(
        title="Where the target lies in the spectrum",
        applies=_always,
        sentence=_energies_sentence,
        figures=(_modes.energies,),
    ),
    Section(
        title="Target and fit",
        applies=lambda evidence: not _has_classes(evidence),
        sentence=_fits.sentence,
        figures=(
            _fits.fit,
            lambda evidence: None if evidence.run.problem.grid is None else _fourier.fourier(evidence),
        ),
    ),
    Section(
        title="What is recognized",
        applies=_has_classes,
        sentence=lambda evidence: "A sample counts as recognized where its largest output is that of its class.",
        figures=(_classes.accuracy, _classes.per_class),
    ),
    Section(
        title="How far the kernel moved",
        applies=lambda evidence: evidence.drift.sizes["drift_record"] > 0,
        sentence=_learning.drift_sentence,
        figures=(_learning.drift,),
    ),
    Section(
        title="Forecast before training",
        applies=lambda evidence: evidence.forecast is not None,
        sentence=lambda evidence: forecast_sentence(evidence.info["forecast"]),
        figures=(_forecast.curves, _forecast.loss, _forecast.table),
    ),
    Section(
        title="Why training left the prediction",
        applies=lambda evidence: evidence.deviations is not None,
        sentence=lambda evidence: deviation_sentence(evidence.info["deviations"]),
        figures=(_deviations.parts, _deviations.damping),
    ),
    Section(
        title="How much finite width matters",
        applies=lambda evidence: evidence.hierarchy is not None,
        sentence=lambda evidence: hierarchy_sentence(evidence.info["hierarchy"]),
        figures=(_hierarchy.gaps, _hierarchy.modes, _hierarchy.table),
    ),
    Section(
        title="What the network can separate",
        applies=lambda evidence: evidence.regions is not None,
        sentence=lambda evidence: regions_sentence(evidence.info["regions"]),
        figures=(_regions.along, _regions.confusion, _regions.where, _regions.density, _regions.layers),
    ),
    Section(
        title="The bands in numbers",
        applies=_always,
        sentence=lambda evidence: "Measured, predicted, and the difference.",
        figures=(_tables.band_table,),
    ),
)
