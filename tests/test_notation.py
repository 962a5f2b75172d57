"""The page of symbols: its names are the library's, and its chapters have the symbols first."""

import json
import pkgutil
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (BOOK / "notation.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| (?!symbol|-)", line)
]
CHAPTERS = re.findall(r"file: chapters/(\w+)", (BOOK / "_toc.yml").read_text(encoding="utf-8"))
LIBRARY = "\n".join(p.read_text(encoding="utf-8") for p in (BOOK / "ganlib").rglob("*.py"))


def prose(chapter: str) -> str:
    """The formulas and words of a chapter."""
    cells = json.loads((BOOK / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    # In a table a norm cannot be written with bars.
    return text.replace(r"\|", r"\lVert ")


def exists(name: str) -> bool:
    """Whether a name from `ganlib` on leads to something, or another one is a word of it."""
    if not name.startswith("ganlib."):
        return re.search(rf"\b{name}\b", LIBRARY) is not None
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_has_names_that_exist_and_a_chapter(row):
    symbol, meaning, code, first = row
    assert symbol and meaning
    for name in re.findall("`([^`]+)`", code):
        assert exists(name), f"{symbol}: the library has no {name}"
    (chapter,) = re.findall(r"^\{doc\}`chapters/(\w+)`$", first)
    assert chapter in CHAPTERS


def test_every_symbol_is_in_the_chapter_that_is_said_to_be_its_first():
    for symbol, _, _, first in ROWS:
        (chapter,) = re.findall(r"`chapters/(\w+)`", first)
        # Of the formula that stands first: its letter with what hangs on it, or its command.
        sign = re.search(r"\$((?:\\\w+(?:\{\w+\})?|\w)(?:_(?:\\?\w+|\{[^}]+\}))?)", symbol)
        if sign:
            assert sign[1] in prose(chapter), f"{chapter} has no {sign[1]}"
