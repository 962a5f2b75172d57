"""The errata: every entry is complete, leads to the book or says that it cannot, and is counted."""

import re
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from ganlib.claims import anchor, load
from ganlib.publishing.plain import read_book

BOOK = Path(__file__).parents[1]
TEXT = (BOOK / "errata.md").read_text(encoding="utf-8")
PARTS = ["It says", "It should say", "Why", "Shown in"]
# Each section: its label, and what follows its heading.
SECTIONS = dict(re.findall(r"^\((errata-\w+)\)=\n## (.+?)(?=^\(errata-|\Z)", TEXT, re.M | re.S))


def entries(section: str) -> dict[str, list[tuple[str, str]]]:
    """The entries of a section: the term of each, and its parts with what they say."""
    found = re.findall(r"^\*\*([^*].*)\*\*\n((?:: .+\n)*)", SECTIONS[section] + "\n", re.M)
    return {term: re.findall(r"^: \*\*(.+?):\*\* (.+)$", body, re.M) for term, body in found}


def shown(section: str) -> list[str]:
    return [dict(parts)["Shown in"] for parts in entries(section).values()]


def test_the_notes_are_five():
    assert list(SECTIONS) == [
        f"errata-{n}" for n in ("essay", "slides", "scribe", "blog", "course")
    ]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_entry_has_its_four_parts(section):
    terms = re.findall(r"^\*\*.+", SECTIONS[section], re.M)
    assert len(terms) == len(entries(section)), "two entries have one name, or one is cut short"
    for term, parts in entries(section).items():
        assert [name for name, _ in parts] == PARTS, term


def test_the_numbers_at_the_top_are_the_entries():
    stated = {label: int(n) for label, n in re.findall(r"\(#([\w-]+)\) \| (\d+) \|", TEXT)}
    assert stated == {section: len(entries(section)) for section in SECTIONS}
    assert re.findall(r"^\| all five \| (\d+) \|", TEXT, re.M) == [str(sum(stated.values()))]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_entry_leads_to_the_book_or_says_that_it_cannot(section):
    book = read_book(BOOK)
    checked = {record["id"] for record in load("claims")}
    for text in shown(section):
        links = re.findall(r"\{(claim|doc|eq|numref|prf:ref|ref)\}`([^`]+)`", text)
        assert links or text.startswith("No cell of the book"), text
        for role, target in links:
            known = {"claim": checked, "doc": book.titles}.get(role, book.places)
            assert target in known, target


def test_no_table_but_that_of_the_counts():
    """A table of sentences scrolls sideways on a phone."""
    assert len(re.findall(r"^\|", TEXT, re.M)) == 2 + len(SECTIONS) + 1


@pytest.fixture
def build(tmp_path):
    """Build one page of a folder below the first, of the given text; its HTML and the warnings."""

    def build(text: str) -> tuple[str, str]:
        (tmp_path / "notes").mkdir()
        (tmp_path / "index.rst").write_text("Title\n=====\n\n.. toctree::\n\n   notes/page\n")
        (tmp_path / "notes" / "page.rst").write_text(f"Page\n====\n\n{text}\n")
        (tmp_path / "warnings").write_text("")
        with (tmp_path / "warnings").open("w") as warnings, docutils_namespace():
            app = Sphinx(
                tmp_path,
                None,
                tmp_path / "html",
                tmp_path / "trees",
                "html",
                confoverrides={"extensions": ["ganlib.publishing.links"]},
                status=None,
                warning=warnings,
            )
            app.build()
        html = (tmp_path / "html" / "notes" / "page.html").read_text(encoding="utf-8")
        return html, (tmp_path / "warnings").read_text()

    return build


def test_a_claim_links_to_its_cell(build):
    html, warnings = build(":claim:`minimax.spiral`")
    assert f'href="../chapters/minimax.html#{anchor("minimax.spiral")}"' in html
    assert "minimax.spiral" in html and not warnings


def test_a_claim_without_a_record_is_a_warning(build):
    html, warnings = build(":claim:`minimax.triangle`")
    assert "'minimax.triangle' is in no record of data/results" in warnings
    assert "page.rst:4" in warnings
    assert "href" not in html.split("minimax.triangle")[0].rsplit("<p>", 1)[1]
