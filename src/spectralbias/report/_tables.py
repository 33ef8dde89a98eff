"""The numbers: of the whole run in a strip, of each band in a table."""

from typing import Any, NamedTuple

from ._evidence import Evidence
from ._figure import Figure, Table
from ._text import number, percent, step


class KeyNumber(NamedTuple):
    """One entry of the strip below the verdict."""

    label: str
    value: str
    note: str = ""


def key_numbers(evidence: Evidence) -> list[KeyNumber]:
    """The few numbers by which one run is told from another."""
    summary, rate = evidence.summary, evidence.summary["learning_rate"]
    limit, predicted = summary["stability_limit"], summary["predicted_loss"]
    note = "" if limit is None else f"stable below {number(limit)}"
    found = [
        KeyNumber("steps", f"{summary['steps']:,}"),
        KeyNumber("learning rate", number(rate), note or evidence.run.config.training.optimizer),
        KeyNumber(
            "training loss",
            _or_infinite(summary["loss"]["last"]),
            f"from {_or_infinite(summary['loss']['first'])}",
        ),
    ]
    if predicted is not None:
        found.append(KeyNumber("predicted loss", number(predicted), "frozen kernel"))
    if evidence.test_loss is not None:
        found.append(KeyNumber("held-out loss", _or_infinite(summary["test_loss"])))
    if summary["drift"] is not None:
        found.append(KeyNumber("kernel moved", percent(summary["drift"]), "of its norm"))
    if summary["infinite_distance"] is not None:
        found.append(KeyNumber("from infinite width", percent(summary["infinite_distance"]), "in norm"))
    return found


def _or_infinite(value: float | None) -> str:
    return "∞" if value is None else number(value)


def when(value: float | None, *, never: str) -> str:
    """When a band was learned."""
    return never if value is None else step(value)


def band_table(evidence: Evidence) -> Figure:
    """Share, learning step and remainder of every band, measured and predicted."""
    bands: list[dict[str, Any]] = evidence.summary["bands"]
    predicted = evidence.prediction is not None
    none = "–" if not predicted else "not yet"
    rows = [
        (
            band["name"],
            percent(band["share"]),
            when(band["measured_step"], never="not yet"),
            *([when(band["predicted_step"], never=none), _error(band["relative_error"])] if predicted else []),
            percent(band["measured_left"]),
            *([percent(band["predicted_left"])] if predicted else []),
        )
        for band in bands
    ]
    steps = ("measured", "predicted", "error") if predicted else ("measured",)
    left = ("measured", "predicted") if predicted else ("measured",)
    keys = ("share", "measured_step", "measured_left")
    keys += ("predicted_step", "relative_error", "predicted_left") if predicted else ()
    columns = {"band": [band["name"] for band in bands]}
    columns |= {key.replace("_", " "): [band[key] for band in bands] for key in keys}
    said = "; ".join(f"{row[0]} {row[1]} of the residual, learned at step {row[2]}" for row in rows)
    return Figure(
        key="bands",
        alt=f"Table of the bands: {said}.",
        caption="Share: of the mean square of the first residual. Learned: the step at which 1/e of the band’s "
        "amplitude is left. Left: the amplitude at the end, relative to its start.",
        columns=columns,
        table=Table(
            head=("", "", *steps, *left),
            rows=rows,
            groups=[("band", 1), ("share", 1), ("learned at step", len(steps)), ("left at the end", len(left))],
            swatches=[f"--band-{index}" for index in range(len(bands))],
        ),
    )


def _error(value: float | None) -> str:
    if value is None:
        return "–"
    text = percent(abs(value))
    return text if value == 0 else f"{'+' if value > 0 else '−'}{text}"
