"""A run that is killed goes on, and ends with the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr

from small_runs import SMALL_SPHERE, small_config
from spectralbias import runs

STEPS, CHUNK, KILLS = 2000, 20, 10


def arrays_of(run):
    """Every array of the store, and every snapshot, by name."""
    root = zarr.open_group(run.store, mode="r")
    found = {name: array[...] for name, array in root.members(max_depth=None) if isinstance(array, zarr.Array)}
    for path in (run.directory / "snapshots").glob("*.eqx"):
        found[path.name] = np.frombuffer(path.read_bytes(), np.uint8)
    found["checkpoint"] = np.frombuffer((run.directory / "checkpoint.eqx").read_bytes(), np.uint8)
    return found


def assert_same_bits(run, reference):
    one, two = arrays_of(run), arrays_of(reference)
    assert one.keys() == two.keys()
    assert len(one) > 40
    for name in one:
        assert one[name].dtype == two[name].dtype, name
        assert one[name].tobytes() == two[name].tobytes(), name
    assert run.summary == reference.summary


def events_of(directory):
    path = directory / "log.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def last_step(directory):
    """The step up to which chunks are known to be on disk."""
    return max((event["end"] for event in events_of(directory) if event["event"] == "chunk"), default=0)


def spawn(*arguments, compiled):
    """A run in a process of its own; what was compiled is kept for the next one."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_ENABLE_X64"}
    environment |= {"JAX_COMPILATION_CACHE_DIR": str(compiled), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "spectralbias", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def test_ten_kills_change_no_bit(tmp_path):
    config = small_config(
        problem={"dim": 6, "num_samples": 300, "num_test": 50},
        model={"width": 512},
        training={"steps": STEPS, "chunk_steps": CHUNK, "batch_size": 150},
    )
    path = tmp_path / "config.toml"
    path.write_text(runs.dump_config(config))
    whole, killed, compiled = tmp_path / "whole", tmp_path / "killed", tmp_path / "compiled"
    assert spawn(path, "--output", whole, compiled=compiled).wait() == 0

    choose = random.Random(0)
    reached = []
    for attempt in range(KILLS):
        arguments = ("--resume", killed) if attempt else (path, "--output", killed)
        process = spawn(*arguments, compiled=compiled)
        target = last_step(killed) + CHUNK * choose.randint(1, 8)
        while process.poll() is None and last_step(killed) < target:
            time.sleep(0.002)
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(choose.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached.append(last_step(killed))
        assert runs.load(killed).status == "running"
    assert spawn("--resume", killed, compiled=compiled).wait() == 0

    assert_same_bits(runs.load(killed), runs.load(whole))
    events = events_of(killed)
    starts = [event["step"] for event in events if event["event"] == "start"]
    executed = sum(event["end"] - event["start"] for event in events if event["event"] == "chunk")
    assert len(starts) == KILLS + 1
    assert all(step > 0 for step in starts[1:]), "a restart went back to zero"
    assert executed <= STEPS + KILLS * CHUNK
    for start, stop in zip(starts[1:], reached, strict=True):
        # a checkpoint is on disk just before the log knows of it
        assert start in (stop, stop + CHUNK), "more than the chunk in flight was lost"


def interrupting(monkeypatch, at, **kwargs):
    """A progress that raises KeyboardInterrupt once the given step is reached."""
    progress = runs.Progress()

    def training(step, steps, loss):
        if step >= at:
            raise KeyboardInterrupt

    progress.training = training
    return progress


@pytest.mark.parametrize(
    "training",
    [{}, {"optimizer": "adam", "learning_rate": 1e-3}, {"batch_size": 33}, {"momentum": 0.9}, {"dtype": "float64"}],
)
def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, training):
    config = small_config(problem=SMALL_SPHERE, training=training)
    whole = runs.execute(config, directory=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        runs.execute(config, directory=tmp_path / "stopped", progress=interrupting(monkeypatch, 100))
    stopped = runs.load(tmp_path / "stopped")
    assert stopped.status == "interrupted"
    assert stopped.info["progress"]["step"] == 100
    assert len(stopped.records["step"]) == int(np.sum(whole.records["step"] <= 100))
    assert_same_bits(runs.resume(tmp_path / "stopped"), whole)


def test_a_run_killed_during_its_setup_starts_again(tmp_path, monkeypatch):
    config = small_config(problem=SMALL_SPHERE)
    whole = runs.execute(config, directory=tmp_path / "whole")
    progress = runs.Progress()

    def phase(text):
        if "modes" in text:
            raise KeyboardInterrupt

    progress.phase = phase
    with pytest.raises(KeyboardInterrupt):
        runs.execute(config, directory=tmp_path / "stopped", progress=progress)
    assert_same_bits(runs.resume(tmp_path / "stopped"), whole)


def test_resuming_a_finished_run_changes_nothing(finished):
    before = (finished.directory / "run.json").read_bytes()
    again = runs.resume(finished.directory)
    assert again.status == "finished"
    assert (finished.directory / "run.json").read_bytes() == before
