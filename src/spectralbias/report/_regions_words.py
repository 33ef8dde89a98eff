"""What the regions of a run say, in words. Every number comes from the entry `regions` of run.json."""

from typing import Any

from ._text import number, part, percent, plural, step

# Gradients whose mean |cos| is above the first are parallel, below the second nearly independent.
PARALLEL, INDEPENDENT = 0.9, 0.5
# Where a smaller share of pairs is in one region, it is told in how many units they differ.
SOME, MOST = 0.1, 0.5
# Bands with a smaller share of the target are not in the sentence.
STRONG = 0.01
_SAMPLES = {0: "samples", 1: "samples", 2: "pixels"}


def neighbors(summary: dict[str, Any]) -> str:
    """What the two of a near pair are."""
    noun, window = _SAMPLES[summary["grid"]], summary["window"]
    if window is None:
        return "nearest samples of another class" if summary["other_class"] else "nearest samples"
    if window == 2:
        return f"neighboring {noun}"
    size = f"{window} × {window}" if summary["grid"] == 2 else f"{window}"
    return f"{noun} in one window of {size}"


def distant(summary: dict[str, Any]) -> str:
    """What the two of a far pair are."""
    if summary["window"] is None:
        return "farthest samples"
    return f"{_SAMPLES[summary['grid']]} in opposite {'quarters' if summary['grid'] == 2 else 'parts'}"


def encoding_name(other: dict[str, Any]) -> str:
    """`a positional encoding of 5 frequencies`, `no encoding`."""
    if other["encoding"] == "none":
        return "no encoding"
    count = other["num_frequencies"]
    return f"a positional encoding of {count} {'frequency' if count == 1 else 'frequencies'}"


def two_decimals(cosine: float | None) -> str:
    """A mean cosine: 1.00 is nearly one, and not 1."""
    return "–" if cosine is None else f"{cosine:.2f}"


def sentence(summary: dict[str, Any]) -> str:
    """Whether the network can separate neighbors, with another encoding too, and what came first."""
    said = [_separates(summary), _with_other_encoding(summary), _order(summary), _stuck(summary)]
    return " ".join(text for text in said if text)


def _shares(summary: dict[str, Any]) -> bool:
    """Whether enough pairs share one region for this to be told; otherwise it is told in how many units they differ."""
    found = [*summary["neighbors"].values(), *([summary["encoding"]] if summary["encoding"] else [])]
    return max(one["same_region"] for one in found) >= SOME


def _separates(summary: dict[str, Any]) -> str:
    """What neighbors share at the end."""
    end, who = summary["neighbors"]["end"], neighbors(summary)
    share = (
        f"{percent(end['same_region'])} of {who} share one region"
        if _shares(summary)
        else f"{who} differ in {percent(end['of_live'])} of the units"
    )
    return f"At the end {share}{_gradients(summary)}."


def _gradients(summary: dict[str, Any]) -> str:
    """What the gradients of neighbors say. Only where most share a region is it said that they cannot be separated."""
    cosine = summary["neighbors"]["end"]["mean_abs_cosine"]
    if cosine is None:
        return ""
    bands = strong_bands(summary)
    learned = bool(bands) and all(band["learned_step"] is not None for band in bands)
    together = summary["neighbors"]["end"]["same_region"] >= MOST
    parallel = (
        "a step moves both alike, which is enough for this target"
        if learned
        else "the network cannot separate them"
        if together
        else "a step moves both alike"
    )
    mean = f"(mean |cos| {two_decimals(cosine)})"
    if cosine >= PARALLEL:
        return f" and their gradients are parallel {mean}: {parallel}"
    if cosine >= INDEPENDENT:
        return f" and their gradients are similar {mean}: a step for one is largely a step for the other"
    return f" and their gradients have little in common {mean}: the network can fit one without the other"


def _with_other_encoding(summary: dict[str, Any]) -> str:
    """The same before training, as it was measured for another network of that shape, too."""
    other, start = summary["encoding"], summary["neighbors"]["start"]
    if other is None:
        return ""
    key = "same_region" if _shares(summary) else "of_live"
    before, after = (
        f"{percent(one[key])} (mean |cos| {two_decimals(one['mean_abs_cosine'])})" for one in (start, other)
    )
    return f"Before training it was {before}; with {encoding_name(other)} it would be {after}."


def strong_bands(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The bands that hold something of the target."""
    return [band for band in summary["bands"] if band["share"] >= STRONG and band["amplitude"] is not None]


def _order(summary: dict[str, Any]) -> str:
    """Which of regions, confusion and bands changed first."""
    changes, fit = _changes(summary["half_steps"]), _fit(summary)
    return f"{changes}; {fit}." if fit else f"{changes}."


def _changes(half: dict[str, float | None]) -> str:
    """When the regions and the confusion of neighbors changed."""
    regions, confusion = half["regions"], half["confusion"]
    if regions is None and confusion is None:
        return "In training neither their regions nor their gradient confusion changed by a tenth"
    if confusion is None:
        return (
            f"Half of the change of their regions was done by step {step(regions or 0)}, their confusion hardly changed"
        )
    if regions is None:
        return f"Half of the change of their confusion was done by step {step(confusion)}, their regions hardly changed"
    return (
        f"Half of the change of their regions was done by step {step(regions)}, of their confusion by step "
        f"{step(confusion)}"
    )


def _fit(summary: dict[str, Any]) -> str:
    """When the parts of the target were learned."""
    bands, kind = strong_bands(summary), summary["band_kind"]
    learned = [band for band in bands if band["learned_step"] is not None]
    if not bands:
        return ""
    if not learned:
        return "no part of the target was learned"
    first, last = (pick(learned, key=lambda band: band["learned_step"]) for pick in (min, max))
    text = f"{part(first, kind)} was learned at step {step(first['learned_step'])}"
    if last is not first:
        text += f", {part(last, kind)} at step {step(last['learned_step'])}"
    missing = [band for band in bands if band["learned_step"] is None]
    return f"{text}, {part(missing[0], kind)} not at all" if missing else text


def _stuck(summary: dict[str, Any]) -> str:
    """Dead units, where they are many."""
    dead, units = sum(summary["dead"][1]), sum(summary["units"])
    if dead < 0.05 * units:
        return ""
    return f"{dead:,} of the {units:,} units are dead: inactive on every sample."


def about_pairs(summary: dict[str, Any]) -> str:
    """Which pairs were looked at."""
    near, far = neighbors(summary), distant(summary)
    return f"{plural(summary['num_pairs'], 'pair')} each of {near} and of {far}."


def about_window(summary: dict[str, Any]) -> str:
    """Where the exact regions were looked for, and how exact they are."""
    exact = summary["exact"]
    first, last = exact["counts"]
    text = f"{plural(first, 'region')} at the start, {last:,} at the end, each found exactly"
    if exact["tolerance"] > 0:
        text += f", but for the encoding, which is followed to {percent(exact['tolerance'])} of its size"
    text += "."
    if summary["antisymmetric"]:
        text += " At the start the two copies of the antisymmetric network have the same regions; then they part."
    if "row" in exact:
        first, last = exact["row_counts"]
        text += (
            f" Along row {exact['row'] + 1} of the picture there are {plural(first, 'region')} at the start and "
            f"{last:,} at the end."
        )
    if exact["kind"] == "plane" and not exact["whole"]:
        least, most = sorted(exact["expected"])
        where = "in which the target varies most" if summary["grid"] else "around the middle sample"
        text += f" This is the part {where}. If the rest is alike, the whole has about "
        text += f"{number(least, 2)} to {number(most, 2)} regions."
    return text


def between(summary: dict[str, Any]) -> str:
    """How many boundaries there are on the way from one of a pair to the other, where that was counted."""
    exact = summary["exact"]
    if exact["kind"] != "segments":
        return ""
    near, far = (f"{number(end)} ({number(start)} at the start)" for start, end in exact["crossings"])
    return (
        f" On the straight way between neighbors there are on average {near} boundaries of regions, between distant "
        f"pairs {far}: counted exactly, on {exact['segments']:,} segments each."
    )
