"""How many samples of each class are recognized."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._evidence import Evidence
from ._figure import STEPS, Axis, Figure, Plot, Table, curve, thin
from ._text import percent

# Accuracy along the training is taken from at most so many records: each one reads all residuals.
MAX_RECORDS = 60


def _right(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which samples have their largest output at their class; none where the outputs are not numbers."""
    right = np.argmax(outputs, axis=-1) == np.argmax(y, axis=-1)
    return right & np.isfinite(outputs).all(axis=-1)


def _per_class(right: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of right ones in each class (…, c); NaN for a class without samples."""
    with np.errstate(invalid="ignore"):
        return right @ (y > 0.5) / np.sum(y > 0.5, axis=0)


def accuracy(evidence: Evidence) -> Figure:
    """Share of training samples recognized, along the training."""
    problem, names = evidence.run.problem, evidence.run.problem.classes
    assert names is not None
    records = thin(len(evidence.steps), MAX_RECORDS)
    right = np.array([_right(evidence.output(int(record)), problem.y) for record in records])
    overall, each = right.mean(axis=1), _per_class(right.astype(float), problem.y)
    columns = {"step": evidence.steps[records], "all": overall}
    traces = []
    for index, name in enumerate(names):
        columns[f"class {name}"] = each[:, index]
        traces.append(curve("step", f"class {name}", name, f"--band-{index}", width=1.3))
    traces.append(curve("step", "all", "all", "--ink", width=3))
    return Figure(
        key="accuracy",
        alt=f"Share of training samples recognized against step, from {percent(overall[0])} to {percent(overall[-1])}.",
        caption="Training samples whose largest output is that of their class: of each class, and of all (thick).",
        columns=columns,
        plot=Plot(
            traces=traces, x=STEPS, y=Axis(title="recognized", range=(0, 1.03), format="~%", switch=False), height=360
        ),
    )


def _test_right(evidence: Evidence) -> np.ndarray | None:
    """Which held-out samples the last network recognizes, or None without its parameters."""
    run, problem = evidence.run, evidence.run.problem
    if problem.x_test is None or problem.y_test is None or evidence.steps[-1] not in run.snapshot_steps:
        return None
    with jax.enable_x64(run.config.training.dtype == "float64"):
        x = jnp.asarray(problem.x_test, jnp.result_type(float))
        return _right(np.asarray(eqx.filter_jit(jax.vmap(run.model()))(x)), problem.y_test)


def per_class(evidence: Evidence) -> Figure:
    """A table: each class, how many samples it has, and how many of them are recognized at the end."""
    problem, names = evidence.run.problem, evidence.run.problem.classes
    assert names is not None
    right = _right(evidence.output(len(evidence.steps) - 1), problem.y)
    counts = np.sum(problem.y > 0.5, axis=0)
    each = _per_class(right.astype(float), problem.y)
    columns = {"class": list(names), "training samples": counts, "training recognized": each}
    head, cells, overall = ["class", "samples", "recognized"], [counts, each], [counts.sum(), right.mean()]
    test = _test_right(evidence)
    if test is not None and problem.y_test is not None:
        test_counts = np.sum(problem.y_test > 0.5, axis=0)
        test_each = _per_class(test.astype(float), problem.y_test)
        columns |= {"held-out samples": test_counts, "held-out recognized": test_each}
        head += ["samples", "recognized"]
        cells += [test_counts, test_each]
        overall += [test_counts.sum(), test.mean()]
    table = list(zip(names, *cells, strict=True))
    rows = [(row[0], *_format(row[1:])) for row in [*table, ("all", *overall)]]
    groups = [("", 1), ("training", 2), *([("held out", 2)] if test is not None else [])]
    said = f"{percent(right.mean())} of the training samples" + (
        f" and {percent(test.mean())} of the held-out ones" if test is not None else ""
    )
    return Figure(
        key="classes",
        alt=f"Table of the classes: {said} are recognized.",
        caption=f"At the end {said} are recognized.",
        columns=columns,
        table=Table(head=head, rows=rows, groups=groups, swatches=[f"--band-{i}" for i in range(len(names))]),
    )


def _format(cells: tuple) -> list[str]:
    """Counts and shares in turn."""
    return [f"{int(cell):,}" if index % 2 == 0 else percent(cell) for index, cell in enumerate(cells)]
