"""What a run showed, in words. Every number comes from the run's summary."""

import itertools
from typing import Any, NamedTuple

from .._core.errors import InputError
from ..runs import Run
from ._deviation_words import sentence as deviation_sentence
from ._hierarchy_words import sentence as hierarchy_sentence
from ._regions_words import sentence as regions_sentence
from ._text import listed, number, part, percent, step

# Bands must hold this share of the target before "the degree-2 part" means much.
BANDS_HOLD = 0.5
# Frozen-kernel agreement: every strong mode within 10 %, this share of the weak ones, bands within 5 %.
WEAK_SHARE, BAND_ERROR = 0.8, 0.05
# Up to here a prediction is off; beyond, it is none.
ROUGH = 0.25
# Up to so many bands are named one by one.
MANY = 7
# A band that took this many times as long as the next higher one is out of order.
SWAPPED = 1.5
# Signs that training is not lazy.
DRIFT, OUTPUT_SHARE = 0.1, 0.1


class Verdict(NamedTuple):
    """The first sentence, and what follows it."""

    headline: str
    paragraphs: tuple[str, ...]


def agrees(summary: dict[str, Any]) -> bool | None:
    """Whether the frozen kernel predicted this run; None where it makes no prediction or nothing fell by e.

    Every mode with at least 1 % of the first residual's energy that fell by e did so within 10 % of its predicted step,
    at least 80 % of those with 0.1 %, and every band within 5 %.
    """
    strong, weak = summary["modes"]["strong"], summary["modes"]["weak"]
    if summary["predicted_loss"] is None or not weak["fallen"]:
        return None
    return (
        strong["within_10_percent"] == strong["fallen"]
        and weak["within_10_percent"] >= WEAK_SHARE * weak["fallen"]
        and all(_band_agrees(band) for band in summary["bands"])
    )


def _band_agrees(band: dict[str, Any]) -> bool:
    if band["relative_error"] is not None:
        return abs(band["relative_error"]) <= BAND_ERROR
    both_unlearned = band["measured_step"] is None and band["predicted_step"] is None
    close = band["measured_left"] is None or abs(band["measured_left"] - (band["predicted_left"] or 0)) <= BAND_ERROR
    return both_unlearned or close


def _learning(bands: list[dict[str, Any]], kind: str) -> str:
    """Which bands were learned when (residual down to 1/e), and how much of the others remains."""
    learned = sorted((b for b in bands if b["measured_step"] is not None), key=lambda b: b["measured_step"])
    missing = [b for b in bands if b["measured_step"] is None]
    if len(bands) > MANY:
        return _learning_of_many(learned, missing, kind)
    parts = []
    if learned:
        parts.append(f"the network learned {listed([_time(band, kind) for band in learned])}")
    if missing:
        left = [f"{percent(band['measured_left'])} of {part(band, kind)}" for band in missing]
        verb = "remains" if len(missing) == 1 else "remain"
        parts.append(f"{listed(left)} {verb}")
    return ", and ".join(parts)


def _learning_of_many(learned: list[dict[str, Any]], missing: list[dict[str, Any]], kind: str) -> str:
    """The same for more bands than a sentence can name: the first, the last, and the range of what remains."""
    parts = []
    if learned:
        first, last = learned[0], learned[-1]
        text = f"the network learned {len(learned)} of {len(learned) + len(missing)} parts"
        parts.append(
            f"{text}, {_time(first, kind)} first" + (f" and {_time(last, kind)} last" if last != first else "")
        )
    if missing:
        left = sorted(band["measured_left"] for band in missing)
        amount = percent(left[0]) if len(left) == 1 else f"{percent(left[0])} to {percent(left[-1])}"
        parts.append(f"{amount} of {listed([part(band, kind) for band in missing])} remains")
    return ", and ".join(parts)


def _time(band: dict[str, Any], kind: str) -> str:
    return f"{part(band, kind)} by step {step(band['measured_step'])}"


def _agreement(summary: dict[str, Any], bands: list[dict[str, Any]]) -> str:
    """What the frozen kernel said of these times."""
    if summary["predicted_loss"] is None:
        return "for this optimizer the frozen kernel has no closed-form prediction"
    errors = [abs(band["relative_error"]) for band in bands if band["relative_error"] is not None]
    if not errors:
        left = max(abs(band["measured_left"] - band["predicted_left"]) for band in bands)
        return f"what the frozen kernel says remains is off by up to {percent(left)} of the start"
    what = "this time" if len(errors) == 1 else "these times"
    within = f"the frozen kernel predicted {what} within {percent(max(errors))}"
    if agrees(summary) is not False:
        return within
    if all(_band_agrees(band) for band in bands):
        return f"{within}, but not those of single modes"
    unequal = [band for band in bands if band["relative_error"] is None and not _band_agrees(band)]
    never = ""
    if unequal:
        never = (
            f", and it is wrong on whether {listed([part(band, summary['band_kind']) for band in unequal])} is learned"
        )
    if max(errors) <= ROUGH and not unequal:
        return f"the frozen kernel is off by up to {percent(max(errors))} on {what}"
    return f"the frozen kernel does not predict {what}: it is off by up to {percent(max(errors))}{never}"


def _shown(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands worth a word: those with at least 0.1 % of the target, or all where none has."""
    bands = [band for band in summary["bands"] if band["measured_left"] is not None]
    return [band for band in bands if band["share"] >= 0.001] or bands


def headline(run: Run) -> str:
    """The first sentence."""
    summary, info = run.summary, run.info
    bands, kind = _shown(summary), summary["band_kind"]
    if info["status"] == "diverged":
        rate, limit = summary["learning_rate"], summary["stability_limit"]
        why = (
            ""
            if limit is None or rate <= limit
            else f": the learning rate {number(rate)} is above the stability limit {number(limit)}"
        )
        return f"The training diverged by step {summary['steps']:,}{why}."
    held = sum(band["share"] for band in summary["bands"])
    if kind in ("degree", "basis") and held < BANDS_HOLD:
        left = (summary["loss"]["last"] / summary["loss"]["first"]) ** 0.5
        return (
            f"The target is not what its labels say: {listed([band['name'] for band in summary['bands']])} hold "
            f"{percent(held)} of its energy, and after {summary['steps']:,} steps {percent(left)} of the residual "
            "remains."
        )
    text = f"{_learning(bands, kind)}; {_agreement(summary, bands)}."
    disorder = _disorder(bands, kind)
    return text[0].upper() + text[1:] + (f" {disorder}" if disorder else "")


def _disorder(bands: list[dict[str, Any]], kind: str) -> str:
    """Said where bands with a natural order were clearly not learned from low to high.

    Momentum 0.9 makes all fast bands take some 20 steps, whatever their order: such ties do not count.
    """
    if kind not in ("degree", "frequency"):
        return ""
    times = [float("inf") if band["measured_step"] is None else band["measured_step"] for band in bands]
    if all(first <= SWAPPED * second for first, second in itertools.pairwise(times)):
        return ""
    return f"This is not the order from low to high {kind}."


def _not_lazy(summary: dict[str, Any]) -> list[str]:
    """Why a frozen kernel could not describe the run."""
    reasons = []
    if summary["drift"] is not None and summary["drift"] > DRIFT:
        reasons.append(
            f"the kernel moved by {percent(summary['drift'])} of its norm, so training was not lazy: width × "
            f"output_scale² over the target's mean square is {number(summary['laziness'])}; raise either one"
        )
    if summary["initial_output_share"] > OUTPUT_SHARE:
        reasons.append(
            f"the network's own output at initialization, which is random, has "
            f"{percent(summary['initial_output_share'])} of the first residual's energy: start antisymmetric, f = 0"
        )
    limit = summary["stability_limit"]
    if limit is not None and summary["learning_rate"] > 0.9 * limit:
        reasons.append(f"the learning rate is at {percent(summary['learning_rate'] / limit)} of the stability limit")
    return reasons


def _small_drift(run: Run) -> str:
    """What to think of a failure without any of the signs."""
    drift, activation = run.summary["drift"], run.config.model.activation
    parts = []
    if drift is not None:
        parts.append(
            f"the kernel moved by only {percent(drift)} of its norm, but the late modes depend on its small eigenvalues"
        )
    if activation in ("relu", "leaky_relu", "abs"):
        parts.append(f"the kinks of `{activation}` crossed samples, which the frozen kernel knows nothing of")
    return "; ".join([*parts, "a larger output_scale or width, or a smooth activation, brings training nearer to it"])


def _modes_paragraph(summary: dict[str, Any]) -> str:
    modes = summary["modes"]
    strong, weak = modes["strong"], modes["weak"]
    if modes["computed"] < modes["total"]:
        what = (
            f"Only the largest {modes['computed']:,} of {modes['total']:,} modes of the kernel were computed, by "
            f"{modes['method']}, with residual norms up to {number(modes['largest_residual_norm'], 1)}."
        )
    else:
        what = f"All {modes['total']:,} modes of the kernel were computed."
    if summary["predicted_loss"] is None:
        return what
    if not weak["count"]:
        return f"{what} None of them holds 0.1 % of the first residual's energy or more."
    return (
        f"{what} {weak['count']} of them hold at least 0.1 % of the first residual's energy; {weak['fallen']} of these "
        f"fell to 1/e, {weak['within_10_percent']} within 10 % of the predicted step. Of the {strong['count']} with at "
        f"least 1 %, {strong['fallen']} fell and {strong['within_10_percent']} did so within 10 %. {modes['coupled']} "
        "weaker modes fell too: they are driven by their coupling to the others, and a rate of their own says little."
    )


def why(run: Run) -> str | None:
    """Why a run left the frozen kernel's prediction, in one sentence.

    Args:
        run: a run to which `runs.deviations` has been added.

    Returns:
        The sentence, about the band that ends farthest from the prediction; None for a run without deviations.

    Example:
        >>> from spectralbias import report, runs
        >>> report.why(runs.load("spectralbias-runs/my-run"))  # doctest: +SKIP
    """
    summary = run.info.get("deviations")
    return deviation_sentence(summary) if summary else None


def finite_width(run: Run) -> str | None:
    """How much corrections for finite width explain of what the frozen kernel misses, in a few words.

    Args:
        run: a run to which `runs.hierarchy` has been added.

    Returns:
        One to three sentences, about the band that the frozen kernel misses most; None for a run without them.

    Example:
        >>> from spectralbias import report, runs
        >>> report.finite_width(runs.load("spectralbias-runs/my-run"))  # doctest: +SKIP
    """
    summary = run.info.get("hierarchy")
    return hierarchy_sentence(summary) if summary else None


def separation(run: Run) -> str | None:
    """Whether a network can separate neighbors, from its regions and gradients, in a few words.

    Args:
        run: a run to which `runs.regions` has been added.

    Returns:
        What neighbors share at the end, what they would share with another encoding where that was measured, and what
        changed first; None for a run without regions.

    Example:
        >>> from spectralbias import report, runs
        >>> report.separation(runs.load("spectralbias-runs/my-run"))  # doctest: +SKIP
    """
    summary = run.info.get("regions")
    return regions_sentence(summary) if summary else None


def verdict(run: Run) -> Verdict:
    """What a run showed, in words.

    Args:
        run: a run that has ended.

    Returns:
        The headline (learned means: the residual in that part is down to 1/e) and the paragraphs below it.

    Raises:
        InputError: the run has not ended.
    """
    if not run.summary:
        raise InputError(f"the run in {run.directory} has not ended: resume it with `spectralbias run --resume`")
    summary = run.summary
    paragraphs = []
    if run.status == "diverged":
        paragraphs.append("What was recorded before is kept and shown below. Use a learning rate below the limit.")
    reasons = _not_lazy(summary)
    if agrees(summary) is False:
        said = "; ".join(reasons) or _small_drift(run)
        paragraphs.append(f"Why the frozen kernel is off: {said}.")
    elif agrees(summary) and summary["drift"] is not None:
        paragraphs.append(f"Training was lazy: the kernel moved by {percent(summary['drift'])} of its norm.")
    paragraphs += [said for said in (why(run), finite_width(run), separation(run)) if said]
    paragraphs.append(
        f"Learned means that the residual in a part is down to 1/e of its start. {_modes_paragraph(summary)}"
    )
    losses = f"The training loss went from {number(summary['loss']['first'])} to {number(summary['loss']['last'])}"
    if summary["test_loss"] is not None:
        losses += f", the held-out loss to {number(summary['test_loss'])}"
    if summary["predicted_loss"] is not None and run.status != "diverged":
        losses += f"; the frozen kernel predicted a training loss of {number(summary['predicted_loss'])}"
    paragraphs.append(f"{losses}.")
    return Verdict(headline(run), tuple(paragraphs))
