"""How a run was made: in which setting, on what, how to repeat it, how to cite it."""

import json
from typing import Any, NamedTuple

import numpy as np

from ..problems import Problem
from ..runs import Run, dump_config
from ..spectra import ModesStatus
from ._evidence import Evidence
from ._text import listed, number, plural


class About(NamedTuple):
    """The last part of the page."""

    facts: tuple[tuple[str, str], ...]
    command: str
    config: str
    bibtex: str


_CAO = """@inproceedings{cao2021towards,
  title     = {Towards Understanding the Spectral Bias of Deep Learning},
  author    = {Cao, Yuan and Fang, Zhiying and Wu, Yue and Zhou, Ding-Xuan and Gu, Quanquan},
  booktitle = {Proceedings of the Thirtieth International Joint Conference on Artificial Intelligence (IJCAI-21)},
  pages     = {2205--2211},
  year      = {2021}
}"""


def about(evidence: Evidence) -> About:
    """Facts, the command that repeats the run, its configuration, and references."""
    info, run = evidence.info, evidence.run
    versions = info["versions"]
    facts = (
        ("made", f"{info['created'][:16].replace('T', ' ')}, status {info['status']}"),
        ("seed", str(info["seed"])),
        ("device", info["device"]),
        ("network", _network(evidence)),
        ("spectrum", _spectrum(evidence)),
        *([("prediction", _basis(evidence))] if evidence.prediction is not None else []),
        ("time", _timings(evidence)),
        ("warnings", "; ".join(info["warnings"]) or "none"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    )
    software = (
        "@software{spectralbias,\n"
        "  title   = {spectralbias: which parts of a target a neural network will learn, and when},\n"
        f"  author  = {{The spectralbias developers}},\n  version = {{{versions['spectralbias']}}},\n"
        f"  year    = {{{info['created'][:4]}}}\n}}"
    )
    return About(
        facts=facts,
        command="spectralbias run config.toml",
        config=dump_config(run.config),
        bibtex=f"{software}\n\n{_CAO}",
    )


def _network(evidence: Evidence) -> str:
    resolved = evidence.resolved
    return f"{describe_model(evidence.run)}, {resolved['num_parameters']:,} parameters"


def describe_model(run: Run) -> str:
    """The network in a few words."""
    model = run.config.model
    encoding = {
        "none": "",
        "positional": f" on {plural(model.num_frequencies, 'octave')} of positional encoding",
        "fourier": f" on {model.num_features} Fourier features of scale {number(model.scale)}",
    }[model.encoding]
    name = "ReLU" if model.activation == "relu" else model.activation
    depth = plural(model.depth, "hidden layer")
    return f"a {name} network with {depth} of width {model.width:,}{encoding}"


def _is_sum_of_basis(problem: Problem) -> bool:
    """Whether the target lies in the span of its labelled basis."""
    functions = np.hstack(list((problem.basis or {}).values()))
    left = problem.y - functions @ np.linalg.lstsq(functions, problem.y, rcond=None)[0]
    return bool(np.linalg.norm(left) <= 1e-9 * np.linalg.norm(problem.y))


def describe_problem(run: Run) -> str:
    """The data in a few words, from the data themselves."""
    problem = run.problem
    if problem.basis is not None and problem.measure is not None:
        degrees = [name.removeprefix("degree ") for name in problem.basis]
        word = "degree" if len(degrees) == 1 else "degrees"
        what = "harmonics" if _is_sum_of_basis(problem) else "a function with parts"
        return f"{what} of {word} {listed(degrees)} on the sphere in {problem.measure.dim} dimensions"
    if problem.grid is not None:
        shape = problem.grid.shape
        size = " × ".join(map(str, shape[::-1] if len(shape) == 2 else shape))
        kind = {1: "a signal of", 2: "an image of"}.get(len(shape), "a grid of")
        return f"{kind} {size} {'pixels' if len(shape) == 2 else 'samples'}"
    if problem.classes is not None:
        what = "handwritten digits" if run.config.kind == "digits" else f"{len(problem.classes)} classes"
        return f"{what}, {problem.num_samples:,} training samples"
    return f"{problem.num_samples:,} samples with {plural(int(np.prod(problem.x.shape[1:])), 'input')}"


def title(run: Run) -> str:
    """What learned what."""
    return f"{describe_model(run)} learns {describe_problem(run)}".replace("a ", "A ", 1)


def _spectrum(evidence: Evidence) -> str:
    """How many modes were computed, by what, and how well; said in full where the spectrum is not complete."""
    modes, attrs = evidence.summary["modes"], evidence.modes.attrs
    worst = f"largest residual norm ‖Θv/n − λv‖ = {number(modes['largest_residual_norm'], 2)}"
    what = (
        f"all {modes['total']:,} modes"
        if modes["computed"] == modes["total"]
        else f"the largest {modes['computed']:,} of {modes['total']:,} modes only"
    )
    note = "" if attrs["status"] in ("complete", "truncated") else f"; {ModesStatus[attrs['status']].value}"
    return f"{what}, by {modes['method']}, {worst}, precision {attrs['precision']}{note}"


def _basis(evidence: Evidence) -> str:
    assert evidence.prediction is not None
    basis = evidence.prediction.attrs.get("basis", "")
    return f"the kernel frozen at initialization: {basis}" if basis else "the kernel frozen at initialization"


def _timings(evidence: Evidence) -> str:
    """Seconds of each part; the training's from the run's log."""
    parts = {name: float(seconds) for name, seconds in (evidence.info.get("seconds") or {}).items()}
    if "training" not in parts and (trained := _trained(evidence.run)):
        parts["training"] = trained
    return ", ".join(f"{name} {number(seconds, 2)} s" for name, seconds in parts.items()) or "not recorded"


def _trained(run: Run) -> float:
    """Seconds between starts and the last chunk that followed each."""
    path = run.directory / "log.jsonl"
    if not path.is_file():
        return 0.0
    total, started, last = 0.0, None, None
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if event.get("event") == "start":
            total += (last - started) if started is not None and last is not None else 0.0
            started, last = event["time"], None
        elif event.get("event") == "chunk":
            last = event["time"]
    return total + ((last - started) if started is not None and last is not None else 0.0)
