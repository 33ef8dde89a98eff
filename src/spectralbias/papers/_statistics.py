"""Small statistics that verdicts rest on."""

from typing import NamedTuple

import numpy as np

from ._study import Outcome

# Fewer repetitions than this settle nothing.
ENOUGH = 10


class Interval(NamedTuple):
    """An estimate from repetitions, and its confidence interval by Student's t."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    def text(self, digits: int = 3) -> str:
        """`value [low, high]`."""
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def quantiles(values: np.ndarray) -> np.ndarray:
    """10 %, 50 % and 90 % over the first axis: what bands and their middle lines show."""
    return np.quantile(values, (0.1, 0.5, 0.9), axis=0, method="inverted_cdf")


def interval(values: np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean of repetitions."""
    from scipy.special import stdtrit

    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -np.inf, np.inf)
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def log_slope(x: np.ndarray, y: np.ndarray) -> Interval:
    """The exponent p of y ∝ x^p, by least squares in each repetition y[r], and its interval over repetitions."""
    return interval(np.polyfit(np.log(x), np.log(np.asarray(y).T), 1)[0])


def vote(hits: np.ndarray, undecided: np.ndarray | None = None) -> Outcome:
    """Whether something is the rule: in 9 of 10 repetitions or more it is, in half or fewer it is not.

    Undecided repetitions are no hits, and do not count against it either.
    """
    hits = np.asarray(hits, bool)
    if len(hits) < ENOUGH:
        return Outcome.inconclusive
    if hits.mean() >= 0.9:
        return Outcome.holds
    possible = hits if undecided is None else hits | np.asarray(undecided, bool)
    return Outcome.fails if possible.mean() <= 0.5 else Outcome.inconclusive


def all_of(*outcomes: Outcome) -> Outcome:
    """Holds if all do, does not hold if one does not."""
    if Outcome.fails in outcomes:
        return Outcome.fails
    return Outcome.holds if set(outcomes) == {Outcome.holds} else Outcome.inconclusive


def decide(condition: bool, repetitions: int = ENOUGH) -> Outcome:
    """A criterion on all repetitions together, of which there must be enough."""
    if repetitions < ENOUGH:
        return Outcome.inconclusive
    return Outcome.holds if condition else Outcome.fails


def within(found: Interval, low: float, high: float) -> Outcome:
    """Whether an interval lies in [low, high], or beside it; else the repetitions do not settle it."""
    if low <= found.low and found.high <= high:
        return Outcome.holds
    return Outcome.fails if found.low > high or found.high < low else Outcome.inconclusive
