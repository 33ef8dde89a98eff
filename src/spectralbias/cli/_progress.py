"""Progress on stderr: a bar on a terminal, plain lines when piped."""

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..runs import Progress


class TerminalProgress(Progress):
    """Shows phases, warnings, and the training's step, loss, rate and time left; use it as a context manager."""

    def __init__(self, *, every_seconds: float = 5.0):
        self.console = Console(stderr=True)
        self.every_seconds = every_seconds
        self.directory: Path | None = None
        self._bar: Bar | None = None
        self._task = None
        self._began: tuple[float, int] | None = None
        self._last_line = 0.0

    def __enter__(self) -> "TerminalProgress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def created(self, directory: Path) -> None:
        """The run directory is there."""
        self.directory = directory
        self.console.print(f"Writing to {directory}", highlight=False, soft_wrap=True)

    def phase(self, text: str) -> None:
        """A new part of the work begins."""
        self._stop()
        self.console.print(f"{text} …", style="dim" if self.console.is_terminal else None, highlight=False)

    def warning(self, text: str) -> None:
        """Something that the user should know."""
        self.console.print(f"warning: {text}", style="yellow", highlight=False, soft_wrap=True)

    def training(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` have been taken."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, step)
        elapsed, taken = now - self._began[0], step - self._began[1]
        rate = taken / elapsed if elapsed > 0 else 0.0
        if self.console.is_terminal:
            self._show(step, steps, f"loss {loss:.4g}  {rate:.0f} steps/s" if rate else f"loss {loss:.4g}")
        elif now - self._last_line >= self.every_seconds or step == steps:
            self._last_line = now
            left = f", {(steps - step) / rate:.0f} s left" if rate and step < steps else ""
            speed = f", {rate:.0f} steps/s" if rate else ""
            print(f"step {step}/{steps}, loss {loss:.4g}{speed}{left}", file=sys.stderr, flush=True)

    def _show(self, step: int, steps: int, text: str) -> None:
        if self._bar is None:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(text, total=steps)
        assert self._task is not None
        self._bar.update(self._task, completed=step, description=text)

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._began = None, None
