"""The library's reference: what a docstring says of each parameter as a list.

A Sphinx extension. Docstrings are prose in which "name: text." describes a parameter and "Raises"
begins what is said of errors; both stay as they are in the source, and the page sets them apart.
"""

import inspect
import re
from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", list_parameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def list_parameters(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Rewrite the docstring of what has a signature."""
    try:
        names = [parameter.lstrip("*") for parameter in inspect.signature(thing).parameters]
    except (TypeError, ValueError):
        return
    lines[:] = fields("\n".join(lines), names).split("\n")


def fields(text: str, names: list[str]) -> str:
    """A docstring whose parameters and errors stand at its end as fields of reStructuredText.

    names: what may be described. Indented paragraphs, lists and tables stay as they are.
    """
    either = "|".join(map(re.escape, names)) or "(?!)"
    item = re.compile(rf"(?:^|(?<=[.;)] ))((?:{either})(?:,? (?:{either}|errors|and))*): ")
    prose, described, raised = [], [], []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if re.match(r"\s|[-*|=:.]|\d+\.", paragraph):
            prose.append(paragraph)
            continue
        said, *found = item.split(" ".join(paragraph.split()))
        said, errors = _errors(said)
        raised += errors
        prose += [said] if said else []
        for name, means in zip(found[::2], found[1::2], strict=True):
            means, errors = _errors(means)
            described.append(f"**{name}** -- {means}")
            raised += errors
    listed = "".join(f"\n   - {line}" for line in described)
    end = [f":Parameters:{listed}"] if listed else []
    end += [f":Raises: {' '.join(raised)}"] if raised else []
    return "\n\n".join([*prose, "\n".join(end)]) + "\n"


def _errors(text: str) -> tuple[str, list[str]]:
    """A text before its sentence on errors, and what that says is raised."""
    said, *errors = re.split(r"(?:^|(?<=[.;)] ))Raises ", text, maxsplit=1)
    return said.strip(), errors
