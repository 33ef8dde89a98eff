"""How long a computation will take whose pieces grow in length: told, and refused if it is too long."""

import time

from .._core.errors import InputError
from ._progress import Progress

# Derivatives of Θ per panel. Up to which step the computation may still be given up; as long as panels have fewer
# derivatives, which then are not all of the cost, only if it would take so many times too long.
NODES, UNDECIDED, ROUGHLY = 8, 16, 4
# Each step passes some 30 times over the matrix, and so many bytes a second are read.
PASSES, BANDWIDTH = 30, 5e9
# Seconds between two messages.
EVERY = 5.0


class Pace:
    """Called at the end of each panel of time: panels grow as time does, and each costs about the same.

    Attributes:
        progress: told the step reached, and how long it will still take.
        steps: the last step.
        learning_rate: time per step.
        entries: of the matrix.
        limit: seconds that it may take.
    """

    def __init__(self, progress: Progress, steps: int, learning_rate: float, entries: int, limit: float):
        self.progress, self.steps, self.learning_rate = progress, steps, learning_rate
        self.entries, self.limit = entries, limit
        self.step, self.growth, self.told = 0, 1.0, time.perf_counter()
        self.last = self.told

    def __call__(self, reached: float) -> None:
        now, step = time.perf_counter(), round(reached / self.learning_rate)
        cost, self.last = (now - self.last) / min(NODES, max(1, step - self.step)), now
        # The first panel also compiles.
        first = self.step == 0
        self.growth = 1.0 if first else (step - self.step) / self.step
        self.step = step
        left = 0.0 if first else self.seconds_left(cost)
        if left > self.limit * (ROUGHLY if step < NODES else 1) and step <= UNDECIDED:
            raise InputError(
                f"this would take about {left / 60:,.0f} minutes, and `max_minutes` is {self.limit / 60:g}: allow "
                "more, leave held-out samples out (`skip_test`), or make a run with fewer samples or a smaller width"
            )
        if now - self.told >= EVERY and step < self.steps:
            self.told = now
            more = "" if first else f", {_duration(left)} left"
            self.progress.phase(f"Predicted to step {step:,} of {self.steps:,}{more}")

    def seconds_left(self, cost: float) -> float:
        """With that many seconds for each derivative."""
        step, total = self.step, 8 * PASSES * self.entries / BANDWIDTH * (self.steps - self.step)
        while step < self.steps:
            length = min(max(1, round(self.growth * step)), self.steps - step)
            total += cost * min(NODES, length)
            step += length
        return total


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
