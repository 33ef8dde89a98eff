"""Files that are either whole or absent, also after a power cut."""

import json
import os
from pathlib import Path
from typing import Any


def write_atomic(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, flush it to the disk, and rename it."""
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def write_json(path: Path, data: Any) -> None:
    """`data` as JSON, atomically; NaN and infinity are refused, for JSON has neither."""
    write_atomic(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def append_json_line(path: Path, data: Any) -> None:
    """One more line of a log of JSON objects."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(data, allow_nan=False) + "\n")
        file.flush()


def flush_tree(root: Path, since: float) -> None:
    """Flush to the disk every file below `root` that was written at or after the time `since`."""
    for folder, _, names in os.walk(root):
        changed = [path for name in names if (path := Path(folder, name)).stat().st_mtime >= since]
        for path in changed:
            _sync(path)
        if changed:
            _sync(Path(folder))


def _sync(path: Path) -> None:
    """fsync a file, or a directory where the system can."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
