"""Lets the reference show the sections that our docstrings have beside those that Google's style knows."""

from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """An `Example:` section holds doctest lines, as `Examples:` does."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename the section where an object has a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
