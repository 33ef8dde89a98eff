"""The one exception for bad input, and the suggestions in its message."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The user gave something that cannot be used; the message says what, the value, and the remedy.

    The command line prints it as one line and exits with code 2; in Python it is a `ValueError`.
    """


def unknown(what: str, name: object, known: Iterable[str]) -> InputError:
    """An `InputError` for a name that is not one of `known`, naming the close ones."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    listed = ", ".join(names[:30]) + (f", … ({len(names)} in all)" if len(names) > 30 else "")
    hint = f"did you mean {' or '.join(f'`{match}`' for match in close)}?" if close else f"known: {listed}"
    return InputError(f"unknown {what} `{name}`: {hint}")
