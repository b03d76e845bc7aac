"""Docstrings as the site shows them: doctests under `Example:` become code."""

import griffe


class DocstringExamples(griffe.Extension):
    """Rename the section `Example:` to the name under which doctests are read as code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rename it in one docstring."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
