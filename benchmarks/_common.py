"""Timing, and what is written beside every figure."""

import json
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

import jax

RESULTS = Path(__file__).parent / "results"


def environment():
    """The machine and the versions that a figure belongs to."""
    packages = ("spectralbias", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy")
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = names[0].split(":")[1].strip() if names else processor
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "python": platform.python_version(),
        "cpu": processor,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "device": jax.devices()[0].device_kind,
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        **{name: metadata.version(name) for name in packages},
    }


def seconds(function, *, repeats):
    """Minimum and median of the time of `function()`, which must wait for its result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    times.sort()
    return {"min": times[0], "median": times[len(times) // 2], "repeats": repeats}


def save(name, bars, **figures):
    """Write results/<name>.json and print it; `bars` maps a sentence to (value, limit, holds)."""
    result = {
        "bars": [
            {"bar": text, "value": value, "limit": limit, "holds": bool(holds)}
            for text, (value, limit, holds) in bars.items()
        ],
        **figures,
        "environment": environment(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if all(bar["holds"] for bar in result["bars"]) else 1
