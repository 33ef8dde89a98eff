"""What corrections for finite width explain, in words. Every number comes from the entry `hierarchy` of run.json."""

from typing import Any

from ._deviation_words import MOST_BANDS, SMALL, STRONG, WEAK
from ._text import part, percent, plural

# What is explained to so much is explained; below the second it is not, and below the third not at all.
GOOD, HALF, NOTHING = 0.8, 0.5, 0.005
_LAZY = "This training is too far from lazy for it: use it where width × output_scale² is larger."


def _strong(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands worth a sentence; the strongest where none is."""
    bands = summary["bands"]
    return [band for band in bands if band["share"] >= STRONG] or [max(bands, key=lambda band: band["share"])]


def farthest(summary: dict[str, Any]) -> dict[str, Any]:
    """The band that the frozen kernel misses most, of those worth a sentence."""
    return max(_strong(summary), key=lambda band: band["frozen_error"])


def shown(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands that hold most of the first residual, and that of the sentence, in their own order."""
    bands, far = summary["bands"], farthest(summary)
    strongest = sorted((band for band in bands if band is not far), key=lambda band: -band["share"])
    kept = [far, *(band for band in strongest[: MOST_BANDS - 1] if band["share"] >= WEAK)]
    return [band for band in bands if band in kept]


def explained(band: dict[str, Any]) -> str:
    """What is explained of a gap that is one: `95 %`, `nothing`, a dash."""
    if band["frozen_error"] < SMALL or band["explained"] is None:
        return "–"
    return percent(band["explained"]) if band["explained"] >= NOTHING else "nothing"


def errors(band: dict[str, Any], order: int) -> str:
    """Both errors and what the second explains of the first, for a reader who does not see the figure."""
    known = band["explained"] is not None and band["frozen_error"] >= SMALL
    more = f", which explains {explained(band)} of it" if known else ""
    frozen, corrected = percent(band["frozen_error"]), percent(band["corrected_error"])
    return f"{frozen} by the frozen kernel and {corrected} by order {order}{more}"


def sentence(summary: dict[str, Any]) -> str:
    """How much of the gap between the frozen kernel and the run is explained, in the band where it is largest."""
    band, early = farthest(summary), _as_long_as_it_holds(summary)
    if band["frozen_error"] < SMALL or (not early and band["explained"] is None):
        return _small(summary)
    if not early:
        return f"{_gap(summary, band)} {_advice(summary, band)}{_limit(summary)}"
    return _early(summary, band)


def _early(summary: dict[str, Any], band: dict[str, Any]) -> str:
    """The sentence about the time before the prediction lost its ground, and what came after it."""
    order, until, name = summary["order"], band["until_valid"], part(band, summary["band_kind"])
    late, frozen = percent(band["corrected_error"]), percent(band["frozen_error"])
    if summary["valid_until"] < 1:
        return (
            f"The frozen kernel misses {name} by up to {frozen} of its start. Order {order} says nothing of it, for "
            f"{_lost(summary)} from the beginning. {_LAZY}"
        )
    during = f"Up to step {summary['valid_until']:,} the"
    text = (
        f"{during} frozen kernel is within {percent(until['frozen_error'])} of {name}, and order {order} within "
        f"{percent(until['corrected_error'])}."
    )
    if until["frozen_error"] >= SMALL and until["explained"] is not None:
        text = _gap(summary, {**band, **until}, during)
    wrong = ""
    if band["corrected_error"] is not None:
        wrong = f", and it misses the same part by up to {late}, the frozen kernel by {frozen}"
    return f"{text} After that {_lost(summary)}{wrong}: it is not to be believed."


def _as_long_as_it_holds(summary: dict[str, Any]) -> bool:
    """Whether the sentence is about the time before the prediction lost its ground, not about the whole training."""
    value = farthest(summary)["explained"]
    return summary["status"] != "valid" and (value is None or value < HALF)


def _lost(summary: dict[str, Any]) -> str:
    return "it diverges" if summary["status"] == "stopped" else "its kernel has a negative eigenvalue"


def _small(summary: dict[str, Any]) -> str:
    """There is no gap to speak of."""
    frozen, corrected = ([band[f"{key}_error"] for band in _strong(summary)] for key in ("frozen", "corrected"))
    parts = "all parts" if len(frozen) == len(summary["bands"]) else "all strong parts"
    if len(summary["bands"]) == 1:
        parts = part(summary["bands"][0], summary["band_kind"])
    also = "" if None in corrected else f", and order {summary['order']} within {percent(max(corrected))}"
    text = f"The frozen kernel is within {percent(max(frozen))} of {parts}{also}: it is all that is needed here."
    if summary["status"] == "valid":
        return text
    after = f"After step {summary['valid_until']:,} order {summary['order']} is not to be believed"
    return f"{text} {after}: {_lost(summary)}."


def _gap(summary: dict[str, Any], band: dict[str, Any], the: str = "The") -> str:
    """What both predictions miss."""
    order, corrected = summary["order"], percent(band["corrected_error"])
    name, frozen = part(band, summary["band_kind"]), percent(band["frozen_error"])
    text = f"{the} frozen kernel misses {name} by up to {frozen} of its start. Order {order}"
    if band["explained"] < NOTHING:
        return f"{text} is no nearer: it misses it by {corrected}."
    return (
        f"{text}, which also follows the kernel's motion, misses it by {corrected}: it explains "
        f"{percent(band['explained'])} of the gap."
    )


def _advice(summary: dict[str, Any], band: dict[str, Any]) -> str:
    """When to use it."""
    order, value, kinks = summary["order"], band["explained"], f"the kinks of `{summary['activation']}`"
    if summary["has_kinks"]:
        if value >= GOOD:
            return f"It does not see {kinks}, which matter little here; in wider networks they are most of the motion."
        if value >= HALF:
            return f"It does not see {kinks}, which are in what is left."
        return f"It does not see {kinks}: use it for smooth activations, such as `tanh`."
    if value >= GOOD:
        effect = "So the gap is an effect of finite width"
        if summary["status"] != "valid":
            return f"{effect}."
        return f"{effect}, known before training: for such networks use order {order} in place of the frozen kernel."
    if value >= HALF:
        return "What is left is of higher order, and falls with the square of the width: use it on wider networks."
    if band["correction"] < HALF * band["frozen_error"]:
        rounding = ", but may be rounding, which dtype `float64` makes smaller" if summary["dtype"] == "float32" else ""
        return f"It hardly differs from the frozen kernel, so that the reason is not the kernel's motion{rounding}."
    return _LAZY


def _limit(summary: dict[str, Any]) -> str:
    """Until when it can be used without a run."""
    if summary["status"] == "valid":
        return ""
    return (
        f" Without a run to compare with, trust it up to step {summary['valid_until']:,}: after that {_lost(summary)}, "
        "by which some of the residual grows."
    )


def about_modes(summary: dict[str, Any]) -> str:
    """How many single modes were predicted."""
    found = summary["modes"]["strong"]
    frozen, corrected = found["frozen"], found["corrected"]
    if not frozen["fallen"]:
        return ""
    return (
        f"Of {plural(frozen['fallen'], 'mode')} with at least 1 % of the first residual that fell to 1/e, the frozen "
        f"kernel predicted {frozen['within_10_percent']} within 10 % of the step, order {summary['order']} predicted "
        f"{corrected['within_10_percent']}."
    )
