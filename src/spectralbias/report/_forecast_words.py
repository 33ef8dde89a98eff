"""What a forecast says, in words. Every number comes from `runs._forecast.describe`."""

from typing import Any

from ._text import listed, number, part, percent, plural, step

# The bands that a sentence speaks of hold at least so much.
STRONG = 0.01
# Decibels below which a loss is right.
EXACT = 0.005


def headline(summary: dict[str, Any]) -> str:
    """What will be learned within the budget, and what will not."""
    kind, budget = summary["band_kind"], summary["steps"]
    if summary["trust"]["status"] == "none":
        return "At this learning rate there is no forecast: the frozen kernel diverges."
    strong = [band for band in summary["bands"] if (band["share"] or 0) >= STRONG]
    done = [band for band in strong if band["learning_step"] is not None and band["learning_step"] <= budget]
    left = [band for band in strong if band not in done]
    within = f"within {plural(budget, 'step')}"
    if not done:
        return f"Nothing will be learned {within}."
    said = listed([f"{part(band, kind)} at step {step(band['learning_step'])}" for band in done[:4]])
    more = "" if len(done) <= 4 else f", and {plural(len(done) - 4, 'band')} more"
    text = f"{said[0].upper()}{said[1:]} will be learned{more}"
    if not left:
        return f"{text}, {within}."
    return f"{text}; {listed([part(band, kind) for band in left[:4]])} will not be, {within}."


def trust(summary: dict[str, Any]) -> str:
    """How far to believe it."""
    found = summary["trust"]
    reasons = "; ".join(found["reasons"])
    words = {
        "good": "Trust: good. The network is expected to stay close to its linearization.",
        "doubtful": f"Trust: doubtful, for {reasons}. The order holds better than the numbers.",
        "none": f"Trust: none, for {reasons}. Choose a smaller learning rate.",
    }
    return words[found["status"]]


def basis(summary: dict[str, Any]) -> str:
    """What it stands on."""
    level = {
        "infinite": "the kernel of infinite width",
        "empirical": "the kernel of this network at its start, frozen",
        "corrected": "the kernel of this network and its motion, by the hierarchy of order 4",
    }[summary["level"]]
    rate, limit = number(summary["learning_rate"]), summary["stability_limit"]
    if limit is None:
        return f"From {level}, without training: {summary['method']}. Learning rate {rate}."
    return f"From {level}, without training. Learning rate {rate}; from {number(limit)} on training is unstable."


def scored(summary: dict[str, Any]) -> str:
    """How right the forecast was, in one sentence."""
    found, pieces = summary["score"], []
    for name, noun in (("bands", "band"), ("modes", "mode")):
        entry = found[name]
        if entry is not None and entry["median_error"] is not None:
            which = plural(entry["compared"], noun)
            only = f", of which {entry['missed']} in only one of the two" if entry["missed"] else ""
            pieces.append(f"{percent(entry['median_error'])} over the {which} that were learned{only}")
    text = "No part was learned, in the run or in the forecast"
    if pieces:
        text = f"The median error of the forecast learning times is {'; and '.join(pieces)}"
    decibels = found["loss"]["decibels"]
    if decibels is None:
        return f"{text}."
    off = "right" if abs(decibels) < EXACT else f"{number(abs(decibels), 2)} dB too {'high' if decibels > 0 else 'low'}"
    return f"{text}; the forecast loss at the end is {off}."


def beside(measured: dict[str, Any]) -> tuple[str, str, str]:
    """When a band was learned, how wrong its forecast was, and what was left: as text."""
    at = measured["learning_step"]
    return "not yet" if at is None else step(at), percent(measured["error"]), percent(measured["left"])


HEAD = ("band", "share", "1/e step", "1 % step", "left")


def rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """The bands as text."""

    def when(value: float | None) -> str:
        return "not yet" if value is None else step(value)

    return [
        (
            band["name"],
            percent(band["share"]),
            when(band["learning_step"]),
            when(band["percent_step"]),
            percent(band["left"]),
        )
        for band in summary["bands"]
    ]


def mode_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """The modes with the largest shares, and the interval over initializations."""
    found = []
    for mode in summary["modes"]:
        if mode["interval"] is None:
            continue
        low, high = mode["interval"]
        at = "never" if mode["learning_step"] is None else step(mode["learning_step"])
        ends = f"{'–' if low is None else step(low)} to {'∞' if high is None else step(high)}"
        found.append((f"{mode['mode']:,}", percent(mode["share"]), at, ends))
    return found
