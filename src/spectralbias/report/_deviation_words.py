"""What the deviations of a run say, in words. Every number comes from the entry `deviations` of run.json."""

from typing import Any

import numpy as np

from ._text import listed, number, part, percent, plural, step

# The parts as the figure's legend names them, in the order of their colors.
PARTS = {"sampling": "too few samples", "width": "too little width", "motion": "feature learning"}
_CAUSES = {
    "samples": "from the samples",
    "width": "from the width",
    "motion": "because the kernel moved (feature learning)",
}
# At most so many bands are shown, none with less of the first residual than WEAK; the sentence is about a STRONG one.
MOST_BANDS, WEAK, STRONG = 4, 0.001, 0.01
# A deviation below this is none; one that was this many times as large on the way is told, too.
SMALL, BEFORE = 0.005, 2.0
# What does not close is told in the sentence where it is more than this part of the deviation.
DOUBT = 0.1


def _strong(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands worth a sentence; the strongest where none is."""
    bands = summary["bands"]
    return [band for band in bands if band["share"] >= STRONG] or [max(bands, key=lambda band: band["share"])]


def farthest(summary: dict[str, Any]) -> dict[str, Any]:
    """The band that ends farthest from the prediction, of those worth a sentence."""
    return max(_strong(summary), key=lambda band: band["deviation"])


def shown(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands that hold most of the first residual, and that of the sentence, in their own order."""
    bands, far = summary["bands"], farthest(summary)
    strongest = sorted((band for band in bands if band is not far), key=lambda band: -band["share"])
    kept = [far, *(band for band in strongest[: MOST_BANDS - 1] if band["share"] >= WEAK)]
    return [band for band in bands if band in kept]


def title(band: dict[str, Any], kind: str) -> str:
    """A band as the title of a panel."""
    return f"class {band['name']}" if kind == "class" else band["name"]


def _decimals(value: float) -> int:
    """Decimals of a percentage with which the value has two digits."""
    return max(0, 1 - int(np.floor(np.log10(100 * value)))) if value > 0 else 0


def _rounded(value: float, decimals: int) -> str:
    """A signed fraction in percent."""
    text = f"{100 * abs(value):,.{decimals}f}"
    zero = not text.strip("0.")
    return "0 %" if zero else f"{'−' if value < 0 else ''}{text} %"


def among(band: dict[str, Any]) -> str:
    """The deviation and its parts, in the digits that count: `20 %, of it 19 % from the samples and 1 % …`."""
    decimals = _decimals(band["deviation"])
    return f"{_rounded(band['deviation'], decimals)}, of it {listed(_parts(band, decimals))}"


def _parts(band: dict[str, Any], decimals: int) -> list[str]:
    """The parts, largest first."""
    present = [(band[word], cause) for word, cause in _CAUSES.items() if band[word] is not None]
    present.sort(key=lambda pair: -abs(pair[0]))
    return [f"{_rounded(value, decimals)} {cause}" for value, cause in present]


def _where(band: dict[str, Any]) -> str:
    """On which side of the prediction the residual ends, where it has one."""
    change = (band["measured_left"] - band["predicted_left"]) / band["deviation"]
    return "above" if change >= 0.5 else "below" if change <= -0.5 else "away from"


def _kernel(summary: dict[str, Any]) -> str:
    return (
        "the frozen kernel of infinite width"
        if summary["kernel"] == "infinite width"
        else "the kernel frozen at initialization"
    )


def sentence(summary: dict[str, Any]) -> str:
    """Why training left the prediction: of the band that ends farthest from it."""
    bands, kind = _strong(summary), summary["band_kind"]
    on = "On held-out points" if summary["points"] == "held out" else "On the training points"
    far = farthest(summary)
    most = max(bands, key=lambda band: band["largest"]["deviation"])
    before = ""
    if most["largest"]["deviation"] > BEFORE * max(far["deviation"], SMALL):
        at = most["largest"]
        before = f" On the way {part(most, kind)} was {percent(at['deviation'])} away, at step {step(at['step'])}."
    if far["deviation"] < SMALL:
        several = "all parts" if len(bands) == len(summary["bands"]) else "all strong parts"
        parts = "it" if len(bands) == 1 else several
        text = f"{on} training ends within {percent(far['deviation'])} of what {_kernel(summary)} predicts for {parts}."
        return text + before
    decimals = _decimals(far["deviation"])
    undamped = far["undamped"]
    without = percent(undamped) if undamped < 2 else f"{number(undamped, 2)} times its start"
    ends = f"ends {_rounded(far['deviation'], decimals)} of its start {_where(far)} what {_kernel(summary)} predicts"
    causes = listed(_parts(far, decimals))
    text = f"{on} {part(far, kind)} {ends}: {causes}; without damping it would be {without}.{before}"
    if summary["identity_error"] > DOUBT * far["deviation"]:
        text += f" The parts close only to {percent(summary['identity_error'])} of the first residual."
    return text


def about_points(summary: dict[str, Any]) -> str:
    """On which points, and which parts there are."""
    count, total = summary["num_points"], summary["total_points"]
    text = "Looked at on the training points, where the samples play no part."
    if summary["points"] == "held out":
        which = (
            f"{count:,} of the {total:,} held-out points stand"
            if count < total
            else f"{plural(count, 'held-out point')} stand"
        )
        text = (
            f"The {which} for the population; they are a sample, too: what their number does is part of what is put "
            "down to the samples."
        )
    if summary["kernel"] == "at the start":
        text += (
            " The kernel of infinite width is not known here: the frozen kernel is the network’s own at its start, and "
            "what is due to its width is not told apart."
        )
    return text
