"""What the front page takes from the chapters: their pictures and their questions.

A Sphinx extension, so that nothing on that page is copied by hand: the directive `from-chapter`
lifts a figure, with its slider where it has one, out of a committed notebook; `chapters-map` draws
the book from `_toc.yml`. How that looks is left to `_static/front.css`.
"""

import posixpath
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from PIL import Image
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# A card shows a picture at 300 pixels or less; screens have two dots to each of them.
WIDE, HIGH = 480, 240


@dataclass(frozen=True)
class Lifted:
    """A figure of a committed notebook.

    name: its label in the book. alt: what it shows. picture: a PNG. slider: the HTML that
    `figures.scrub` or `figures.dials` wrote, or "" for a figure that does not move.
    """

    name: str
    alt: str
    picture: bytes
    slider: str


@dataclass(frozen=True)
class Opening:
    """What a chapter's first cell says: its question, and the chapters that it wants known."""

    question: str
    needs: tuple[str, ...]


def lifted(notebook: Any, name: str = "") -> Lifted:
    """The figure of that name, or the first one, with the picture that its cell left.

    Raises ValueError for a name that no cell has, a cell without a picture, and a figure without
    alt text.
    """
    cells = {}
    for cell in notebook.cells:
        shown = cell.metadata.get("mystnb", {})
        if "name" in shown.get("figure", {}):
            cells[shown["figure"]["name"]] = cell
    if not cells:
        raise ValueError("no cell has a figure with a name, expected one or more")
    name = name or next(iter(cells))
    if name not in cells:
        raise ValueError(f"no figure is named {name}, choose one of {', '.join(cells)}")
    data = [output.get("data", {}) for output in cells[name].get("outputs", [])]
    picture = next((d for d in data if "image/png" in d), None)
    if picture is None:
        raise ValueError(f"{name} has no picture, expected what `make notebooks` leaves")
    alt = cells[name].metadata["mystnb"].get("image", {}).get("alt", "")
    if not alt:
        raise ValueError(f"{name} has no alt text, expected `image: alt:` in its cell's metadata")
    slider = picture.get("text/html", "")
    return Lifted(name, alt, b64decode(picture["image/png"]), slider)


def opening(notebook: Any) -> Opening:
    """The question in italics and the links of "Know first" in a chapter's first cell.

    What stands in brackets there is not needed, only of use. Raises ValueError for a chapter that
    has no question or no such paragraph.
    """
    text = notebook.cells[0].source if notebook.cells else ""
    question = re.search(r"^\*([^*]+)\*$", text, re.MULTILINE)
    if question is None:
        raise ValueError("no question, expected a paragraph in *italics* below the title")
    known = re.search(r"^\*\*Know first:\*\*((?:.|\n(?!\n))*)", text, re.MULTILINE)
    if known is None:
        raise ValueError('no paragraph "**Know first:** ...", expected one in the first cell')
    needed = re.sub(r"\([^()]*\)", "", known[1])
    return Opening(question[1], tuple(re.findall(r"\{doc\}`([^`<>]+)`", needed)))


def thumbnail(picture: bytes) -> bytes:
    """A PNG as a small WebP that keeps its transparent ground; a tall one is cut at its foot."""
    image = Image.open(BytesIO(picture)).convert("RGBA")
    image = image.crop((0, 0, image.width, min(image.height, image.width * HIGH // WIDE)))
    image.thumbnail((WIDE, HIGH), Image.Resampling.LANCZOS)
    small = BytesIO()
    image.save(small, format="webp", quality=50, method=6)
    return small.getvalue()


class _Lifting(SphinxDirective):
    """What the two directives share: reading a chapter, and links into it."""

    def read(self, page: str) -> Any:
        """The notebook of a page; the page that shows it is built anew when it changes."""
        path = Path(self.env.srcdir) / f"{page}.ipynb"
        if page not in self.env.found_docs or not path.is_file():
            raise self.error(f"{self.name}: {page} is no notebook of the book")
        self.env.note_dependency(str(path))
        return nbformat.read(path, as_version=4)

    def link(self, kind: str, target: str, text: str = "") -> addnodes.pending_xref:
        """A link to a page or a label, under its own title where no text is given."""
        return addnodes.pending_xref(
            "",
            nodes.inline(text, text or target),
            refdomain="std",
            reftype=kind,
            reftarget=f"/{target}" if kind == "doc" else target,
            refexplicit=bool(text),
            refwarn=True,
            refdoc=self.env.docname,
        )

    def parsed(self, text: StringList) -> list[nodes.Node]:
        box = nodes.container()
        self.state.nested_parse(text, self.content_offset, box)
        return box.children


class FromChapter(_Lifting):
    """A figure of a chapter, its slider where it has one, the caption given here, and a link."""

    required_arguments = 1
    has_content = True
    option_spec = {"figure": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        page = self.arguments[0]
        notebook = self.read(page)
        try:
            figure = lifted(notebook, self.options.get("figure", ""))
        except ValueError as error:
            raise self.error(f"{self.name}: {page}: {error}") from None
        box = nodes.container(classes=["from-chapter"])
        if figure.slider:
            box += nodes.raw("", figure.slider, format="html")
        else:
            box += _image(figure.picture, "png", figure.alt)
        box += self.parsed(self.content)
        source = nodes.paragraph(classes=["source"])
        source += [nodes.Text("From "), self.link("ref", figure.name, title(notebook))]
        box += source
        return [box]


class ChaptersMap(_Lifting):
    """Every chapter of `_toc.yml`, part by part: a picture, its question, and what it needs.

    A line of the content, "chapters/minimax: fig-minimax-shipped", picks a chapter's picture; the
    first figure with a name is shown otherwise.
    """

    has_content = True
    option_spec = {"without": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        contents = Path(self.env.srcdir) / "_toc.yml"
        self.env.note_dependency(str(contents))
        parts = {
            part["caption"]: [chapter["file"] for chapter in part["chapters"]]
            for part in yaml.safe_load(contents.read_text(encoding="utf-8"))["parts"]
        }
        without = self.options.get("without", "")
        if without and parts.pop(without, None) is None:
            raise self.error(f"{self.name}: _toc.yml has no part {without!r}")
        listed = [page for pages in parts.values() for page in pages]
        pictures = yaml.safe_load("\n".join(self.content)) or {}
        if not isinstance(pictures, Mapping) or not set(pictures) <= set(listed):
            raise self.error(
                f"{self.name}: expected lines `PAGE: NAME OF A FIGURE`, for pages among "
                f"{', '.join(listed)}"
            )
        return [self.part(caption, pages, pictures) for caption, pages in parts.items()]

    def part(self, caption: str, pages: list[str], pictures: Mapping[str, str]) -> nodes.section:
        section = nodes.section("", nodes.title(caption, caption))
        section["names"].append(nodes.fully_normalize_name(f"part: {caption}"))
        self.state.document.note_implicit_target(section, section)
        cards = nodes.bullet_list(classes=["chapters-map"])
        for page in pages:
            cards += self.card(page, pictures.get(page, ""))
        section += cards
        return section

    def card(self, page: str, figure: str) -> nodes.list_item:
        notebook = self.read(page)
        try:
            shown, says = lifted(notebook, figure), opening(notebook)
        except ValueError as error:
            raise self.error(f"{self.name}: {page}: {error}") from None
        title = nodes.paragraph(classes=["title"])
        title += self.link("doc", page)
        question = nodes.paragraph(says.question, says.question)
        needs = nodes.paragraph(classes=["needs"])
        if says.needs:
            needs += nodes.Text("Needs ")
            for number, name in enumerate(says.needs):
                needs += [nodes.Text(", " if number else "")]
                needs += self.link("doc", posixpath.join(posixpath.dirname(page), name))
        else:
            needs += nodes.Text("Needs no other chapter")
        picture = _image(thumbnail(shown.picture), "webp", shown.alt)
        return nodes.list_item("", picture, title, question, needs)


def title(notebook: Any) -> str:
    return notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


def _image(picture: bytes, kind: str, alt: str) -> nodes.image:
    data = b64encode(picture).decode()
    return nodes.image(uri=f"data:image/{kind};base64,{data}", alt=alt, candidates={})


def setup(app: Sphinx) -> dict[str, object]:
    """Register the directives with Sphinx."""
    app.add_directive("from-chapter", FromChapter)
    app.add_directive("chapters-map", ChaptersMap)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
