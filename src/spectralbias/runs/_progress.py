"""How a run tells what it is doing; the command line shows it, Python users need not look."""

from pathlib import Path


class Progress:
    """Silent by default; override what you want to hear.

    Example:
        >>> from spectralbias import runs
        >>> class Loud(runs.Progress):
        ...     def phase(self, text):
        ...         print(text)
    """

    def created(self, directory: Path) -> None:
        """The run directory is there: from now on the run can be resumed from it."""

    def phase(self, text: str) -> None:
        """A new part of the work begins."""

    def warning(self, text: str) -> None:
        """Something that the user should know, e.g. a learning rate above the stability limit."""

    def training(self, step: int, steps: int, loss: float) -> None:
        """`step` of `steps` have been taken."""
