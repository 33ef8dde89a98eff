"""The verbs that look at runs: `list`, `report`, `compare`, `info`."""

import importlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .._core.errors import InputError
from ._options import parse

if TYPE_CHECKING:
    from ..runs import Run

RUN = "A run directory, or the name of one in ./spectralbias-runs."
JSON = Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help="Print data in place of text.")]


def find_run(name: str) -> "Run":
    """The run in that directory, or of that name below the usual one."""
    from ..runs import load
    from ..runs._run import RUNS_DIRECTORY

    path = Path(name)
    return load(path if path.exists() or not (RUNS_DIRECTORY / name).exists() else RUNS_DIRECTORY / name)


def _list(
    directory: Annotated[str, tyro.conf.arg(help="Where the run directories are.")] = "spectralbias-runs",
    json: JSON = False,
) -> tuple[str, bool]:
    """The runs in a directory, oldest first."""
    return directory, json


def list_main(arguments: list[str]) -> None:
    """The verb `list`."""
    directory, as_json = parse(_list, arguments, prog="spectralbias list", known=("directory", "json"))
    from rich.console import Console
    from rich.table import Table

    from ..runs import list_runs

    runs = list_runs(directory, on_error=lambda error: print(f"left out: {error}", file=sys.stderr))
    rows = [
        {
            "name": run.directory.name,
            "kind": run.config.kind,
            "status": run.status,
            "step": run.info["progress"]["step"],
            "steps": run.config.training.steps,
            "created": run.info["created"][:19].replace("T", " "),
            "loss": run.summary.get("loss", {}).get("last"),
        }
        for run in runs
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"no runs in {directory}; `spectralbias run` makes one")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("run", "kind", "status", "steps", "loss", "created"):
        table.add_column(title, justify="right" if title in ("steps", "loss") else "left", overflow="fold")
    for row in rows:
        steps = str(row["steps"]) if row["step"] == row["steps"] else f"{row['step']}/{row['steps']}"
        loss = "" if row["loss"] is None else f"{row['loss']:.3g}"
        table.add_row(row["name"], row["kind"], row["status"], steps, loss, row["created"])
    Console(highlight=False).print(table)


def _report(
    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(help=RUN)],
    output: Annotated[str | None, tyro.conf.arg(help="Where to write the page; into the run by default.")] = None,
) -> tuple[str, str | None]:
    """Write the report of a run again."""
    return run, output


def report_main(arguments: list[str]) -> None:
    """The verb `report`."""
    name, output = parse(_report, arguments, prog="spectralbias report", known=("run", "output"))
    from ..report import write_report

    print(write_report(find_run(name), None if output is None else Path(output)))


def _compare(
    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(help=f"{RUN} Two or more of them.")],
    output: Annotated[str, tyro.conf.arg(help="Where to write the page.")] = "comparison.html",
    json: JSON = False,
) -> tuple[tuple[str, ...], str, bool]:
    """Runs side by side, band by band; writes a page with their curves overlaid."""
    return runs, output, json


def compare_main(arguments: list[str]) -> None:
    """The verb `compare`."""
    names, output, as_json = parse(_compare, arguments, prog="spectralbias compare", known=("runs", "output", "json"))
    if len(names) < 2:
        raise InputError("give two runs or more to compare; `spectralbias list` shows them")
    from rich.console import Console
    from rich.table import Table

    from ..report import verdict, write_comparison

    runs = [find_run(name) for name in names]
    said = [verdict(run).headline for run in runs]
    page = write_comparison(runs, Path(output))
    if as_json:
        data = [
            {"directory": str(run.directory), "verdict": text, **run.summary}
            for run, text in zip(runs, said, strict=True)
        ]
        print(json.dumps({"page": str(page), "runs": data}, indent=2, allow_nan=False))
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("band")
    for index, _ in enumerate(runs, 1):
        table.add_column(f"run {index}: 1/e step", justify="right")
        table.add_column("left", justify="right")
    by_name = [{band["name"]: band for band in run.summary["bands"]} for run in runs]
    for band in dict.fromkeys(name for bands in by_name for name in bands):
        table.add_row(band, *(cell for bands in by_name for cell in _cells(bands.get(band))))
    for index, (run, text) in enumerate(zip(runs, said, strict=True), 1):
        console.print(f"run {index}, {run.directory}: {text}", markup=False)
    console.print(table)
    print(page)


def _cells(band: dict[str, Any] | None) -> tuple[str, str]:
    if band is None:
        return "", ""
    step, left = band["measured_step"], band["measured_left"]
    return "never" if step is None else f"{step:,.0f}", "" if left is None else f"{100 * left:.3g} %"


def _info(json: JSON = False) -> bool:
    """Versions of what matters, and the devices that JAX sees."""
    return json


def info_main(arguments: list[str]) -> None:
    """The verb `info`."""
    as_json = parse(_info, arguments, prog="spectralbias info", known=("json",))
    jax = importlib.import_module("jax")
    packages = ("spectralbias", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray", "zarr", "plotly")
    data = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: metadata.version(name) for name in packages},
        "devices": [f"{device.device_kind} ({device.platform})" for device in jax.devices()],
    }
    if as_json:
        print(json.dumps(data, indent=2))
        return
    for name, value in data.items():
        print(f"{name:<13} {', '.join(value) if isinstance(value, list) else value}")
