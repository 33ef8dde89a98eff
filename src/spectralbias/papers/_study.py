"""A study: one claim of a paper, how it is measured, and when it counts as true."""

import enum
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from .._core.errors import InputError, unknown
from ..problems._files import existing_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = Mapping[str, np.ndarray]
Setting = Literal["fast", "desktop", "paper"]
SETTINGS = ("fast", "desktop", "paper")
_PACKAGES = ("spectralbias", "jax", "jaxlib", "equinox", "numpy", "scipy")


class Outcome(enum.Enum):
    """What a study says about its claim."""

    holds = "holds"
    fails = "does not hold"
    inconclusive = "inconclusive"

    @property
    def opposite(self) -> "Outcome":
        """What the negative control must say."""
        return {Outcome.holds: Outcome.fails, Outcome.fails: Outcome.holds}.get(self, self)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a study is run with; a study adds fields of its own.

    One of them may be `data: str = ""`: files of the user that take the place of what the study comes with.

    Attributes:
        seeds: one repetition each; empty where nothing is random.
    """

    seeds: tuple[int, ...] = tuple(range(10))


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        outcome: an `Outcome`.
        sentence: what was measured, and what follows.
        evidence: the numbers that the outcome rests on, as (what, value).
    """

    outcome: Outcome
    sentence: str
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Control:
    """A change of the settings under which the verdict must turn into its opposite.

    Attributes:
        text: what is changed, in a few words.
        change: from settings to settings.
    """

    text: str
    change: Callable[[Any], Any]


@dataclass(frozen=True)
class Study:
    """One claim, as an experiment whose criterion was fixed before it was run.

    All settings share `measure` and `judge`, with all tolerances.

    Attributes:
        name: as in `spectralbias reproduce NAME`.
        source: the theorem or figure.
        claim: the claim in one sentence.
        criterion: what is asked of the numbers, in words.
        fast: settings that take seconds.
        paper: the paper's settings, as far as it gives them.
        desktop: settings that take minutes on two cores, where the paper's take hours or an accelerator; None where
            the paper's settings are these.
        measure: settings → numbers, a dictionary of arrays; a pure function.
        judge: numbers → `Verdict`.
        figure: numbers → a matplotlib figure.
        expected: the outcome that is known.
        control: the negative control.
        note: what a reader should know besides, such as what the paper leaves open.
    """

    name: str
    source: str
    claim: str
    criterion: str
    fast: Settings
    paper: Settings
    measure: Callable[[Any], dict[str, np.ndarray]]
    judge: Callable[[Numbers], Verdict]
    figure: Callable[[Numbers], "Figure"]
    control: Control
    expected: Outcome = Outcome.holds
    note: str = ""
    desktop: Settings | None = None

    @property
    def takes_data(self) -> bool:
        """Whether files of the user may take the place of what the study comes with."""
        return "data" in self.fast.__struct_fields__

    def settings(
        self,
        setting: str = "fast",
        *,
        seeds: int | Sequence[int] | None = None,
        control: bool = False,
        data: str | os.PathLike | None = None,
    ) -> Settings:
        """The settings of that name, with these seeds (or this many), these data, and the control's change.

        Raises:
            InputError: an unknown setting, seeds that are no whole numbers, seeds for a study without randomness, data
                that are not there, or for a study that has its own.
        """
        if setting not in SETTINGS:
            raise unknown("setting", setting, SETTINGS)
        settings = {"fast": self.fast, "desktop": self.desktop or self.paper, "paper": self.paper}[setting]
        if seeds is not None:
            settings = msgspec.structs.replace(settings, seeds=self._seeds(seeds))
        if data is not None:
            settings = msgspec.structs.replace(settings, data=self._data(data))
        return self.control.change(settings) if control else settings

    def _seeds(self, seeds: Any) -> tuple[int, ...]:
        if not self.fast.seeds:
            raise InputError(f"`{self.name}` has no randomness: leave `seeds` out")
        chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
        if not chosen or len(set(chosen)) < len(chosen) or not all(isinstance(s, int) and s >= 0 for s in chosen):
            raise InputError(f"`seeds` must be a count of 1 or more, or different whole numbers ≥ 0, got {seeds!r}")
        return chosen

    def _data(self, data: str | os.PathLike) -> str:
        if not self.takes_data:
            raise InputError(f"`{self.name}` needs no data: leave `data` out")
        return str(existing_path(data, "folder or file"))

    def run(
        self,
        setting: str = "fast",
        *,
        seeds: int | Sequence[int] | None = None,
        control: bool = False,
        data: str | os.PathLike | None = None,
    ) -> "StudyResult":
        """Measure and judge; nothing is written.

        Args:
            setting: `"fast"`, `"desktop"` or `"paper"`.
            seeds: other repetitions than the setting's: how many, or which.
            control: run the negative control in place of the study.
            data: a folder or a file, for a study that takes one; its note says of what.

        Raises:
            InputError: see `settings`.
        """
        settings = self.settings(setting, seeds=seeds, control=control, data=data)
        began = time.perf_counter()
        numbers = {name: np.asarray(value) for name, value in self.measure(settings).items()}
        return StudyResult(
            study=self,
            setting=setting,
            settings=settings,
            control=control,
            seconds=time.perf_counter() - began,
            numbers=numbers,
            verdict=self.judge(numbers),
            versions={"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        )


@dataclass(frozen=True)
class StudyResult:
    """What a study measured and said.

    Attributes:
        study: the `Study`.
        setting: `"fast"`, `"desktop"` or `"paper"`.
        settings: the values behind that name.
        control: whether this was the negative control.
        seconds: how long the measurement took.
        numbers: name → array.
        verdict: the `Verdict`.
        versions: of Python and of the packages that matter.
    """

    study: Study
    setting: str
    settings: Settings
    control: bool
    seconds: float
    numbers: dict[str, np.ndarray]
    verdict: Verdict
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def seeds(self) -> tuple[int, ...]:
        """The repetitions."""
        return self.settings.seeds

    @property
    def expected(self) -> Outcome:
        """The outcome that is known: for a control the opposite of the study's."""
        return self.study.expected.opposite if self.control else self.study.expected

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is the known one."""
        return self.verdict.outcome is self.expected

    def figure(self) -> "Figure":
        """The study's figure of these numbers."""
        return self.study.figure(self.numbers)

    def summary(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data."""
        return {
            "name": self.name,
            "source": self.study.source,
            "claim": self.study.claim,
            "criterion": self.study.criterion,
            "setting": self.setting,
            "control": self.study.control.text if self.control else None,
            "settings": msgspec.to_builtins(self.settings),
            "seeds": list(self.seeds),
            "outcome": self.verdict.outcome.value,
            "expected": self.expected.value,
            "as_expected": self.as_expected,
            "sentence": self.verdict.sentence,
            "evidence": dict(self.verdict.evidence),
            "seconds": round(self.seconds, 3),
            "versions": self.versions,
        }
