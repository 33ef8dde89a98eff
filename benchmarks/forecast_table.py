"""Write docs/forecast-accuracy.md from results/forecast_*.json and results/encoding_advice.json, or check it."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "forecast-accuracy.md"
NAMES = ("forecast_times", "forecast_trust", "forecast_correction", "forecast_adam", "encoding_advice")

HEAD = """# How right is the forecast?

A forecast costs seconds and a training costs minutes, so the forecast is what decides. Here is how far it can be
believed: each table compares forecasts with trainings, on targets that were not looked at while the method was made.
`benchmarks/forecast_table.py` writes this page from `benchmarks/results/`; no number is typed.
"""

TIMES = """## When is a mode learned?

A mode is learned when its amplitude has fallen by a factor e for good. {count} trainings of each target: one hidden
layer of {width} ReLU units behind a positional encoding of {frequencies} frequencies, antisymmetric, NTK
parameterization, {steps} steps of gradient descent at 1/λ_max, seeds 0–{last}. Every second node of a photograph of
{size} × {size} pixels trains, or of a signal of 256 samples. Modes with at least {least} of the initial residual's
energy count.

- **Error**: of the learning time, relative to the measured one, for each network by its own kernel. Where only one of
  the two is within the budget the error is 100 %.
- **Band**: 90 % for a new initialization, forecast from {networks} networks of other seeds; what the trainings of all
  {count} seeds do in the modes of one more network is counted. Its width is in parts of the learning time.
- **Wrong kernel**: the same comparison with the kernel of another encoding (one frequency). It must fail.
"""

OUT = """Learning times beyond the budget are not known from the trainings. How many of the modes that is, and what a
smaller budget does to the errors, where a time just inside and one just outside count as 100 %:
"""

DEVELOPMENT = """The band is as wide as networks of one architecture are different: its width falls as 1/√width, and
no method can make it narrower for a single new network. The same on the targets that the method was made on:
"""

TRUST = """## Does it say when it is wrong?

{cases} forecasts of narrow and wide networks with small and large targets, up to and beyond the stability limit, on
{targets}. A forecast fails where the median error of its learning times is above 15 %, where the root of the loss is
off by more than 15 % of its start at some step, or where the training does not follow at all.

| | forecasts |
|---|---:|
| called good | {trusted} |
| … and failed | {trusted_and_failed} |
| doubted, and failed | {doubted_and_failed} |
| doubted, but right | {doubted_but_right} |

The worst median error of a forecast called good is {worst}. Beyond the limit the frozen kernel diverges; of
{beyond_the_limit} trainings there {beyond_the_limit_and_diverged} diverged, and the others learned after a jump that
made their kernel smaller. The frozen kernel says nothing about either.
"""

CORRECTION = """## Does the moving kernel help?

Smooth antisymmetric networks on at most 128 samples: the hierarchy of order 4 against the frozen kernel, {seeds} seeds
each, {steps} steps. The factor is by how much it divides the error of the residual, as a geometric mean over seeds. A
run that lost its definiteness counts as 1: there the frozen kernel is taken.
"""

ADAM = """## Is Adam forecast?

Adam at learning rates of 0.001 and 0.0001 on coffee, brick and blocks, with four networks. The forecast runs Adam on
the linearized network; where the kernel is expected to move by more than half there is none. The largest error is that
of one PyTorch network of two layers at 0.001.
"""

ADVICE = """## Is the advised encoding the best one?

64 × 64 nodes (256 for signals), every second one in each direction trains; three hidden layers of 256, 1500 steps,
gradient descent at 1/λ_max and Adam at 0.001. Every encoding was trained, so that the best one is known: the regret
is what the pick loses to it on held-out pixels. China, chelsea and gravel served for calibration and are not among
the targets. Where all encodings are within a decibel or two, as on brick and hubble, their order is left to chance,
and the pick costs little whatever it is. The advice is weakest for Adam on signals and on coffee: features that are
learned there carry raw coordinates and low frequencies further than the kernel says.
"""


def percent(value):
    """12.3 %, with two digits where it is small."""
    return f"{100 * value:.2g} %" if abs(value) < 0.1 else f"{100 * value:.0f} %"


def number(value):
    """A figure of a bar, as it is read."""
    if isinstance(value, list):
        return "–".join(number(one) for one in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(head, rows):
    """A table of Markdown; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)]) + "\n"


def bars(result):
    """What must hold, and whether it does."""
    rows = [
        (one["bar"], number(one["value"]), number(one["limit"]), "yes" if one["holds"] else "**no**")
        for one in result["bars"]
    ]
    return table(("what must hold", "measured", "limit", "holds"), rows)


def of_targets(problems):
    """One row for each target of the learning times."""
    head = (
        "target", "n", "modes", "energy", "median error", "90 % of errors", "band covers", "band's width",
        "wrong kernel",
    )  # fmt: skip
    rows = [
        (
            name, one["samples"], one["modes"], percent(one["energy"]), percent(one["median_error"]),
            percent(one["error_90"]), percent(one["coverage"]), percent(one["median_width"]),
            percent(one["wrong_kernel_median_error"]),
        )
        for name, one in problems.items()
    ]  # fmt: skip
    return table(head, rows)


def of_budget(problems, steps, early):
    """Shares of the modes whose learning time is out of a budget, on either side."""
    head = ("target, budget", "median error", "90 % of errors", "both out of it", "measured only", "forecast only")
    rows = []
    for name, whole in problems.items():
        for budget, one in ((steps, whole), (early, whole["after_early_steps"])):
            shares = [percent(one["shares_out_of_budget"][key]) for key in ("both", "measured", "forecast")]
            rows.append((f"{name}, {budget}", percent(one["median_error"]), percent(one["error_90"]), *shares))
    return table(head, rows)


def times(result):
    """Learning times and their band."""
    setting, held_out = result["setting"], result["held_out"]
    first = TIMES.format(
        count=setting["seeds"], last=setting["seeds"] - 1, least=percent(setting["least_share"]),
        **{key: setting[key] for key in ("width", "frequencies", "steps", "size", "networks")},
    )  # fmt: skip
    low, high = held_out["coverage_95"]
    together = (
        f"Together the band covers {percent(held_out['coverage'])} of the trained learning times; over resampled "
        f"seeds, {100 * low:.1f} to {100 * high:.1f} %.\n"
    )
    budgets = of_budget(held_out["problems"], setting["steps"], setting["early_steps"])
    parts = [first, of_targets(held_out["problems"]), together, OUT, budgets, bars(result)]
    parts.append(DEVELOPMENT)
    for width, one in result["development"].items():
        count = len(next(iter(one["problems"].values()))["inside"])
        covered = f"Width {width}, {count} trainings each: the band covers {percent(one['coverage'])}.\n"
        parts += [covered, of_targets(one["problems"])]
    return parts


def trust(result):
    """Forecasts that were called good, and others."""
    summary = result["summary"]
    doubted = summary["failed"] - summary["trusted_and_failed"]
    targets = ", ".join(result["setting"]["targets"])
    worst = percent(summary["worst_trusted_median_error"])
    return [TRUST.format(doubted_and_failed=doubted, targets=targets, worst=worst, **summary), bars(result)]


def correction(result):
    """The hierarchy against the frozen kernel."""
    head = ("network", "target", "n", "factor", "frozen: learning times", "order 4: learning times", "valid runs")
    rows = []
    for one in result["encoded"] + result["raw"]:
        encoding = f"encoded, {one['frequencies']}" if one["frequencies"] else "raw coordinates"
        rows.append(
            (
                f"{one['activation']}, {one['depth']} × {one['width']}, {encoding}", one["target"], one["samples"],
                f"{one['factor']:.3g}", percent(one["frozen_learning_times"]),
                percent(one["order_4_learning_times"]) if "order_4_learning_times" in one else "–",
                f"{one['statuses'].get('valid', 0)} of {sum(one['statuses'].values())}",
            )
        )  # fmt: skip
    setting = result["setting"]
    return [CORRECTION.format(seeds=setting["seeds"], steps=setting["steps"]), table(head, rows), bars(result)]


def adam(result):
    """Other optimizers than gradient descent: what must hold."""
    return [ADAM, bars(result)]


def advice(result):
    """Encodings: what must hold, and every table that the benchmark left under "tables"."""
    parts = [ADVICE, bars(result)]
    for title, rows in result.get("tables", {}).items():
        head = list(rows[0])
        cells = [[number(row[key]) for key in head] for row in rows]
        parts += [f"{title}\n", table(head, cells)]
    return parts


def environments(results):
    """Where and when each of them was measured."""
    keys = ("date", "commit", "cpu", "cores", "device", "python", "jax", "numpy", "scipy")
    rows = [(f"`{name}`", *(result["environment"].get(key, "–") for key in keys)) for name, result in results.items()]
    return ["## Where this was measured\n", table(("benchmark", *keys), rows)]


def page(folder=HERE / "results"):
    """The page, of what has been measured so far."""
    makers = dict(zip(NAMES, (times, trust, correction, adam, advice), strict=True))
    files = {name: folder / f"{name}.json" for name in NAMES}
    results = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}
    parts = [HEAD]
    for name, result in results.items():
        parts += makers[name](result)
    return "\n".join(parts + environments(results))


def main():
    wanted = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != wanted:
            sys.exit(f"{PAGE.name} is out of date: run python benchmarks/{Path(__file__).name}")
    else:
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
