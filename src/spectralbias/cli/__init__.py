"""The command line: verbs over the public API."""

from ._main import main as main
