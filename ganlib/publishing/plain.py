"""Plain copies of the chapters, for those who read a notebook outside the book.

`python -m ganlib.publishing.plain FOLDER [CHAPTER ...]` turns what only the book's pages show, the
directives and roles of MyST, into ordinary Markdown with the numbers of the built book. Code and
outputs stay; a first cell brings the library. The pages are left to jupyter-book.
"""

import argparse
import copy
import inspect
import json
import posixpath
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganlib.claims import markdown
from ganlib.paths import data_folder
from ganlib.publishing.repository import Repository, find_commit, find_repository
from ganlib.publishing.set_up import set_up

# What carries a number, each kind in a sequence of its own through the whole book.
STATED = ["assumption", "axiom", "conjecture", "corollary", "lemma", "proposition", "theorem"]
SHOWN = ["algorithm", "criterion", "definition", "example", "notation", "observation", "property"]
KINDS = {f"prf:{kind}": kind.title() for kind in [*STATED, *SHOWN, "remark"]}
KINDS["exercise"] = "Exercise"
WARNINGS = ["attention", "caution", "danger", "error", "warning"]
ADMONITIONS = {name: name.title() for name in [*WARNINGS, "hint", "important", "note", "tip"]}
ADMONITIONS["seealso"] = "See also"
TITLED = ["admonition", "dropdown"]
# What has text of the book within.
CONTAINERS = {"prf:proof", "solution", "solution-start", *KINDS, *ADMONITIONS, *TITLED}

# The forms of MyST. The one that starts first is taken whole: nothing is looked for within code or
# formulas.
FORMS = re.compile(
    r"""
      ^(?P<indent>[ ]*)(?P<fence>:{3,}|`{3,}|~{3,})\{(?P<name>\S+?)\}[ ]*(?P<argument>.*)\n
       (?P<options>(?:[ ]*:[\w-]+:.*\n)*)(?P<body>(?:.*\n)*?)[ ]*(?P=fence)[:`~]*[ ]*$
    | ^[ ]*(?P<code>`{3,}|~{3,})(?!\{)[^`\n]*\n(?:.*\n)*?[ ]*(?P=code)[`~]*[ ]*$
    | ^[ ]*(?P<broken>(?::{3,}|(?:`{3,}|~{3,})\{).*)$
    | \{(?P<role>[A-Za-z][\w:-]*)\}(?P<ticks>`+)(?P<content>[^`]+)(?P=ticks)
    | (?P<quote>`+)(?!`)[\s\S]+?(?<!`)(?P=quote)(?!`)
    | \\[^\n]
    | \$\$(?P<display>[\s\S]+?)\$\$(?:[ ]*\((?P<equation>[^()\s]+)\))?
    | \$(?P<formula>(?:\\[\s\S]|[^$\\\n]|\n(?!\s*\n))+?)\$
    | ^\((?P<target>[^()\s]+)\)=[ ]*\n*
    | (?<!!)\[(?P<words>[^\[\]]*)\]\((?P<file>[^()\s:\#]+)\.(?:ipynb|md)(?:\#(?P<part>[^()\s]+))?\)
    """,
    re.VERBOSE | re.MULTILINE,
)
# Jupyter's own words for what the book's tags fold or leave out.
FOLDED = {
    "source_hidden": {"hide-input", "hide-cell", "remove-input", "remove-cell"},
    "outputs_hidden": {"hide-output", "hide-cell", "remove-output", "remove-cell"},
}
# Colab's word for the first of them.
FORM = {"cellView": "form"}


@dataclass(frozen=True)
class Place:
    """What a label stands for: its text ("Theorem 3"), its number, and where it is online."""

    text: str
    number: str
    page: str
    anchor: str


@dataclass(frozen=True)
class Book:
    """What plain copies need to know about the whole book.

    titles: of every page in reading order; pages are named as in _toc.yml ("chapters/minimax").
    notebooks: those pages that are notebooks. places: every label; a figure of a code cell also by
    the cell's id. sources: references.bib as pybtex reads it. site: the address of the online book,
    or None for copies without links. repository: where the copies will be, or None. clone: address
    and commit from which a copy takes the library, or None if it has to be installed before.
    """

    title: str
    titles: dict[str, str]
    notebooks: dict[str, Any]
    places: dict[str, Place]
    sources: Any
    site: str | None
    repository: Repository | None
    clone: tuple[str, str] | None


def read_book(
    folder: Path | None = None, site: str | None = None, address: str | None = None
) -> Book:
    """Read all pages, and number what they hold as the built book does.

    folder: where _toc.yml lies; default the folder above the data. site: the online book's address.
    address: what git fetches the book from. The default of both is the repository's own, if it is
    known. Raises ValueError for a folder without a book, a site that is no address, a page of
    _toc.yml that is missing, a label that is given twice, and an address without a commit.
    """
    import nbformat
    import yaml
    from pybtex.database import parse_file

    folder = data_folder().parent if folder is None else Path(folder)
    if site is not None and not re.fullmatch(r"https?://\S+", site):
        raise ValueError(f"site: {site!r}, expected an address that starts with https://")
    if not (folder / "_toc.yml").is_file():
        raise ValueError(f"{folder} has no _toc.yml, expected a clone of the book")
    contents = yaml.safe_load((folder / "_toc.yml").read_text(encoding="utf-8"))
    settings = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))
    titles, notebooks, places, count = {}, {}, {}, Counter()
    for page in [contents["root"], *_files(contents)]:
        if (folder / f"{page}.ipynb").is_file():
            notebooks[page] = nbformat.read(folder / f"{page}.ipynb", as_version=4)
            cells = notebooks[page].cells
        elif (folder / f"{page}.md").is_file():
            text = (folder / f"{page}.md").read_text(encoding="utf-8")
            cells = [nbformat.v4.new_markdown_cell(text)]
        else:
            raise ValueError(f"_toc.yml lists {page}, expected {page}.ipynb or {page}.md")
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        heading = re.search(r"^# +(.+)", text, re.MULTILINE)
        titles[page] = heading[1] if heading else page
        try:
            for kind, label, heading in (found for cell in cells for found in _labelled(cell)):
                count[kind] += 1
                number = str(count[kind]) if heading is None else ""
                text = f"({number})" if kind == "equation" else f"{kind} {number}"
                anchor = f"equation-{label}" if kind == "equation" else label
                if label in places:
                    raise ValueError(f"the label {label} is given twice")
                if label:
                    places[label] = Place(text if number else heading, number, page, anchor)
        except ValueError as error:
            raise ValueError(f"{page}: {error}") from None
        for cell in cells:  # a caption finds its number by its cell
            if (name := _figure(cell).get("name")) in places:
                places[cell.id] = places[name]
    sources = parse_file(str(folder / "references.bib"))
    repository, commit = find_repository(folder), find_commit(folder)
    if address and not commit:
        raise ValueError(f"{folder} is no clone with a commit that {address} could be asked for")
    if repository:
        site, address = site or repository.site, address or repository.address
    clone = (address, commit) if address and commit else None
    site = site and site.rstrip("/")
    return Book(settings["title"], titles, notebooks, places, sources, site, repository, clone)


def plain_copy(page: str, book: Book) -> Any:
    """A copy of a chapter's notebook that reads well without the book.

    It starts with a cell that says what it is, has one that brings the library before all other
    code, and ends with the works that it cites. A figure's caption is a cell after the figure.
    Raises ValueError for a page that is no notebook of the book, and for what `plain_text` refuses.
    """
    from nbformat.v4 import new_markdown_cell

    if page not in book.notebooks:
        raise ValueError(f"page: {page!r:.60}, choose one of {', '.join(book.notebooks)}")
    notebook = copy.deepcopy(book.notebooks[page])
    cells, cited = [], set()

    def add(text: str) -> None:
        # Named by its place: two copies of one notebook are the same file.
        cells.append(new_markdown_cell(text, id=f"plain-{len(cells)}"))

    colab = book.repository and book.repository.colab(posixpath.basename(page))
    add(
        f"This is a plain copy of the chapter “{_link(book.titles[page], page, None, book)}” of "
        f"the book *{book.title}*, to be read outside the book. Its theorems, equations and "
        "figures have the book's numbers. "
        + (f"It runs as it is, in [Colab]({colab}) too. " if colab and book.clone else "")
        + (
            "Its first cell of code brings the book's library, `ganlib`, where it is not installed."
            if book.clone
            else "Its code needs the book's library: `pip install -e .` in a clone of the book."
        )
    )
    library = _library(*book.clone) if book.clone else None
    for cell in notebook.cells:
        if library and cell.cell_type == "code":
            cells.append(library)
            library = None
        cells.append(cell)
        caption = _figure(cell).get("caption", "")
        cited |= set(_cited(cell.source if cell.cell_type == "markdown" else caption))
        if cell.cell_type == "markdown":
            cell.source = plain_text(cell.source, page, book)
        elif cell.cell_type == "code":
            tags = set(cell.metadata.get("tags", []))
            folded = {word: True for word, folding in FOLDED.items() if tags & folding}
            if folded:
                cell.metadata["jupyter"] = cell.metadata.get("jupyter", {}) | folded
            if "source_hidden" in folded:
                cell.metadata.update(FORM)
        if caption:
            add(f"**{book.places[cell.id].text}.** {plain_text(caption, page, book)}")
    if cited:
        add("## References\n\n" + _references(cited, book))
    notebook.cells = cells
    notebook.metadata["accelerator"] = "GPU"  # what Colab is to offer
    return notebook


def plain_text(text: str, page: str, book: Book) -> str:
    """MyST Markdown of a page as ordinary Markdown.

    Raises ValueError, naming the page and the directive or role, for one that is not known, for a
    label, page or source that does not exist, and for a glued value that no output of the page's
    notebook holds.
    """
    try:
        return _text(text, page, book)
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from None


def contents(book: Book) -> str:
    """What a folder of all plain copies says of itself, in Markdown."""
    lines = [
        f"# {book.title}: the notebooks",
        "",
        "Plain copies of the book's chapters, to be read here and run anywhere. They are made of",
        "the chapters on the main branch whenever those change; what is changed here is lost.",
        "",
    ]
    for page in book.notebooks:
        name = posixpath.basename(page)
        colab = book.repository and book.repository.colab(name)
        links = f" ([in the book]({book.site}/{page}.html))" if book.site else ""
        links += f" ([in Colab]({colab}))" if colab else ""
        lines.append(f"- [{book.titles[page]}]({name}.ipynb){links}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the plain copies that the command line asks for."""
    import nbformat

    parser = argparse.ArgumentParser(
        prog="python -m ganlib.publishing.plain",
        description="Write plain copies of the book's notebooks.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the copies go")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="default: all of the book")
    parser.add_argument("--site", metavar="URL", help="the online book, for links to its pages")
    parser.add_argument("--repository", metavar="ADDRESS", help="what git fetches the book from")
    options = parser.parse_args()
    book = read_book(site=options.site, address=options.repository)
    pages = {posixpath.basename(page): page for page in book.notebooks}
    for chapter in options.chapters:
        if chapter not in pages:
            parser.error(f"CHAPTER {chapter}: choose from {', '.join(pages)}")
    if options.folder.resolve() in {(data_folder().parent / p).parent for p in pages.values()}:
        parser.error(f"FOLDER {options.folder} holds the notebooks themselves, choose another")
    options.folder.mkdir(parents=True, exist_ok=True)
    for chapter in options.chapters or pages:
        path = options.folder / f"{chapter}.ipynb"
        nbformat.write(plain_copy(pages[chapter], book), path)
        print(path)
    if not options.chapters:
        (options.folder / "README.md").write_text(contents(book), encoding="utf-8")


def _library(address: str, commit: str) -> Any:
    """The folded cell that brings the library; Colab shows its title in the place of the code."""
    from nbformat.v4 import new_code_cell

    given = f"{json.dumps(address)}, {json.dumps(commit)}"
    source = f"# @title The library\n{inspect.getsource(set_up)}\n\nset_up({given})\ndel set_up"
    folded = FORM | {"jupyter": {"source_hidden": True}}
    return new_code_cell(source, id="plain-set-up", metadata=folded)


def _files(entry: dict) -> Iterator[str]:
    """The pages under an entry of _toc.yml, in reading order."""
    for child in (c for key in ("parts", "chapters", "sections") for c in entry.get(key, [])):
        if "file" in child:
            yield child["file"]
        yield from _files(child)


def _forms(text: str) -> Iterator[re.Match]:
    """Every form in a text, and those within its directives."""
    for match in FORMS.finditer(text):
        yield match
        if match["name"] in CONTAINERS:
            yield from _forms(f"{match['argument']}\n{textwrap.dedent(match['body'])}")


def _labelled(cell: Any) -> Iterator[tuple[str, str | None, str | None]]:
    """Kind, label and heading of what has a number or a label; what has a heading has no number."""
    if cell.cell_type == "code" and _figure(cell):
        # The page makes a figure of every output of the cell: the last one is the picture.
        yield from [("Figure", None, None)] * (len(_shown(cell)) - 1)
        yield "Figure", _figure(cell).get("name", cell.id), None
    for match in _forms(cell.source) if cell.cell_type == "markdown" else ():
        if match["name"] in KINDS:
            yield KINDS[match["name"]], _options(match).get("label"), None
        elif match["name"] == "figure" and match["body"].strip():
            yield "Figure", _options(match).get("name"), None
        elif match["equation"]:
            yield "equation", match["equation"], None
        elif match["target"]:
            heading = re.match(r"#+ +(.+)", match.string[match.end() :])
            yield "heading", match["target"], heading[1] if heading else ""


def _options(directive: re.Match) -> dict[str, str]:
    return dict(re.findall(r"^ *:([\w-]+): *(.*?) *$", directive["options"], re.MULTILINE))


def _shown(cell: Any) -> list[Any]:
    """The outputs of a code cell that its page shows."""
    if {"remove-output", "remove-cell"} & set(cell.metadata.get("tags", [])):
        return []
    kinds = ("display_data", "execute_result")
    shown = [output for output in cell.get("outputs", []) if output.output_type in kinds]
    return [output for output in shown if "scrapbook" not in output.metadata]


def _figure(cell: Any) -> dict[str, str]:
    """Caption and name of the figure that the page makes of a code cell's outputs, if it does."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    return figure if figure.get("caption") and _shown(cell) else {}


def _text(text: str, page: str, book: Book) -> str:
    return FORMS.sub(lambda match: _plain(match, page, book), text)


def _plain(match: re.Match, page: str, book: Book) -> str:
    """What one of the `FORMS` becomes."""
    if match["name"]:
        return textwrap.indent(_block(match, page, book), match["indent"])
    if match["role"]:
        return _role(match["role"], " ".join(match["content"].split()), page, book)
    if match["equation"]:
        # Before the line break, if the closing dollars have a line of their own.
        formula = match["display"].rstrip()
        space = match["display"][len(formula) :]
        number = _place(match["equation"], match[0], book).number
        return f"$${formula} \\tag{{{number}}}{space}$$"
    if match["target"]:
        return ""
    if match["file"]:
        target = _page(match["file"], match[0], page, book)
        return _link(match["words"] or book.titles[target], target, match["part"], book)
    if match["broken"]:
        raise ValueError(f"{match['broken']}: expected a {{name}}, and a line that ends it")
    return match[0]


def _block(directive: re.Match, page: str, book: Book) -> str:
    """A directive as ordinary Markdown: a quotation, or a fold for what the page folds."""
    name, title = directive["name"], directive["argument"].strip()
    options, body = _options(directive), textwrap.dedent(directive["body"])
    what = f":::{{{name}}} {title}".rstrip()
    if unknown := options.keys() - {"label", "class"}:
        raise ValueError(f"{what}: the option {min(unknown)} is not known here")
    if name in KINDS:
        if options.get("label") not in book.places:
            raise ValueError(f"{what}: expected a :label:, which the book's numbers go by")
        heading = book.places[options["label"]].text
    elif name in ("solution", "solution-start"):
        heading, title = f"Solution to {_place(title, what, book).text}", ""
    elif name == "solution-end":
        return "*End of the solution.*"
    elif name in TITLED:
        heading, title = _text(title, page, book) or "Note", ""
    elif name in ADMONITIONS or name == "prf:proof":
        heading, title, body = ADMONITIONS.get(name, "Proof"), "", f"{title}\n{body}"
    else:
        raise ValueError(f"{what}: this directive is not known here")
    title, body = _text(title, page, book), _text(body, page, book).strip()
    if name == "prf:proof" and not body.endswith((r"$\square$", r"$\blacksquare$", "∎")):
        # A mark after the last word, or below what is no text.
        body += "\n\n∎" if body.endswith(("$$", "```", "|", ">")) else " ∎"
    if name == "solution-start":  # the solution goes on in other cells
        return _led(f"**{heading}.**", body)
    if name == "dropdown" or "dropdown" in options.get("class", "").split():
        summary = f"<b>{heading}</b>" + (f" ({title})" if title else "")
        return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
    if name == "prf:proof":
        return _led("*Proof.*", body)
    return _quoted(_led(f"**{heading}** ({title})." if title else f"**{heading}.**", body))


def _led(heading: str, body: str) -> str:
    """A heading in line with the text after it, or above what cannot start within a line."""
    runs_in = re.match(r"(?!\$\$|[*+-] |\d+[.)] )[^|>#`~:<]", body)
    return f"{heading} {body}" if runs_in else f"{heading}\n\n{body}".strip()


def _quoted(text: str) -> str:
    """Text as a quotation, each formula on one line.

    Some readers take formulas out before they look for quotations: the marks of further lines would
    then be greater-than signs within the formula.
    """

    def on_one_line(match: re.Match) -> str:
        if match["display"] or match["formula"]:
            return " ".join(re.sub(r"(?<!\\)%.*", "", match[0]).split())
        return match[0]

    lines = FORMS.sub(on_one_line, text).split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _role(role: str, content: str, page: str, book: Book) -> str:
    what = f"{{{role}}}`{content}`"
    titled = re.fullmatch(r"(.*\S)\s*<([^<>]+)>", content)
    words, target = titled.groups() if titled else ("", content)
    if role in ("ref", "numref", "eq", "prf:ref"):
        place = _place(target, what, book)
        words = re.sub(r"%s|\{number\}", place.number, words) or place.text
        if not words:
            raise ValueError(f"{what}: no heading follows the label, expected words before it")
        return _link(words, place.page, place.anchor, book)
    if role == "doc":
        target = _page(target, what, page, book)
        return _link(words or book.titles[target], target, None, book)
    if role in ("cite:t", "cite:p"):
        pairs = [_authors_and_year(key.strip(), what, book) for key in content.split(",")]
        if role == "cite:t":
            return ", ".join(f"{authors} ({year})" for authors, year in pairs)
        return f"({'; '.join(f'{authors}, {year}' for authors, year in pairs)})"
    if role == "glue:text":
        return _glued(content, what, book.notebooks.get(page))
    raise ValueError(f"{what}: this role is not known here")


def _place(label: str, what: str, book: Book) -> Place:
    if label not in book.places:
        raise ValueError(f"{what}: no page has the label {label}")
    return book.places[label]


def _page(target: str, what: str, page: str, book: Book) -> str:
    """The page that a target means, seen from `page`."""
    found = posixpath.normpath(posixpath.join("/", posixpath.dirname(page), target)).lstrip("/")
    if found not in book.titles:
        raise ValueError(f"{what}: the book has no page {found}")
    return found


def _link(text: str, page: str, anchor: str | None, book: Book) -> str:
    address = f"{book.site}/{page}.html" + (f"#{anchor}" if anchor else "")
    return f"[{text}]({address})" if book.site else text


def _glued(content: str, what: str, notebook: Any) -> str:
    """A value that a cell has left in its outputs, in the format that the role asks for."""
    from myst_nb.core.variables import format_plain_text

    name, _, form = content.partition(":")
    outputs = (o for cell in notebook.cells for o in cell.get("outputs", [])) if notebook else ()
    for output in outputs:
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
            value = next(text for kind, text in output.data.items() if kind.endswith("text/plain"))
            try:
                return markdown(format_plain_text(value, form or "s"))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{what}: {value} has no such format ({error})") from None
    raise ValueError(f"{what}: no output of the notebook holds {name}")


def _authors_and_year(key: str, what: str, book: Book) -> tuple[str, str]:
    """As the book's pages cite: one name, two, or the first of more."""
    if key not in book.sources.entries:
        raise ValueError(f"{what}: references.bib has no {key}")
    entry = book.sources.entries[key]
    people = entry.persons.get("author") or entry.persons.get("editor")
    if not people or "year" not in entry.fields:
        raise ValueError(f"{what}: in references.bib {key} has no author or no year")
    names = [" ".join(map(str, p.rich_prelast_names + p.rich_last_names)) for p in people]
    return names[0] + " et al." if len(names) > 2 else " and ".join(names), entry.fields["year"]


def _cited(text: str) -> Iterator[str]:
    """The keys of the works that a text cites."""
    for match in _forms(text):
        if match["role"] in ("cite:t", "cite:p"):
            yield from (key.strip() for key in match["content"].split(","))


def _references(keys: set[str], book: Book) -> str:
    """The works with these keys as a list, in the style of the book's bibliography."""
    from pybtex.plugin import find_plugin

    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", "markdown")()
    entries = style.format_bibliography(book.sources, sorted(keys))
    texts = (" ".join(entry.text.render(backend).split()) for entry in entries)
    # Most of what pybtex escapes stands for itself; a bracket with a backslash opens a formula.
    return "\n".join("- " + re.sub(r"\\([().-])", r"\1", text) for text in texts)


if __name__ == "__main__":
    main()
