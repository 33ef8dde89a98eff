"""`spectralbias VERB …`: finds the verb, and turns exceptions into messages and exit codes."""

import os
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from .._core.errors import InputError, unknown
from . import _advise, _deviations, _forecast, _hierarchy, _regions, _reproduce, _run, _spectrum, _verbs

OK, BAD_INPUT, DIVERGED, INTERRUPTED = 0, 2, 3, 130

VERBS: dict[str, tuple[Callable[[list[str]], int | None], str]] = {
    "run": (_run.main, "train a network, watch it learn mode by mode, write the report"),
    "forecast": (_forecast.main, "what will be learned when, before any training"),
    "advise": (_advise.main, "which encoding to train a picture or a signal with"),
    "spectrum": (_spectrum.main, "the modes of a kernel, and how fast each is learned"),
    "reproduce": (_reproduce.main, "run a study of a claim of a paper, and say whether it holds"),
    "deviations": (_deviations.main, "why a run left the prediction: samples, width, feature learning"),
    "hierarchy": (_hierarchy.main, "how much finite width matters: a prediction of a higher order"),
    "regions": (_regions.main, "whether neighbors can be told apart: linear regions, gradients"),
    "list": (_verbs.list_main, "the runs in this directory"),
    "report": (_verbs.report_main, "write the report of a run again"),
    "compare": (_verbs.compare_main, "two runs side by side, band by band"),
    "info": (_verbs.info_main, "versions and devices"),
}

_HELP = """usage: spectralbias VERB [OPTIONS]

Which parts of a target a neural network will learn, when, and what it will never reach.

verbs:
{verbs}

`spectralbias VERB --help` lists the options of a verb; `spectralbias run` alone is the experiment of Cao et al."""


def _help() -> str:
    return _HELP.format(verbs="\n".join(f"  {name:<11}{summary}" for name, (_, summary) in VERBS.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows `spectralbias`; those of the process by default.

    Returns:
        The exit code: 0, 2 for bad input, 3 for a training that diverged, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_help())
            return OK
        if arguments[0] == "--version":
            print(__version__)
            return OK
        verb, *rest = arguments
        if verb not in VERBS:
            raise unknown("verb", verb, VERBS)
        return VERBS[verb][0](rest) or OK
    except InputError as error:
        message = " ".join(str(error).split())
        print(f"spectralbias: error: {message}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("spectralbias: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
