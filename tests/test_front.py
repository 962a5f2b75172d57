"""What the front page lifts from the chapters: on the committed book, and on a book of two."""

import io
import re
from base64 import b64encode
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from ganlib.publishing.front import lifted, opening, thumbnail

BOOK = Path(__file__).parents[1]
FRONT = (BOOK / "intro.md").read_text(encoding="utf-8")
OPENING = "# One\n\n*Why is\nthis?*\n\nProse.\n\n**Know first:** {doc}`two`, sums. ({doc}`odd`)"
SLIDER = '<div class="scrub"><img alt="two bumps"></div>'


def png(width: int, height: int) -> bytes:
    drawn = io.BytesIO()
    Image.new("RGBA", (width, height), (0, 0, 0, 0)).save(drawn, format="png")
    return drawn.getvalue()


def figure(name: str, alt: str = "two bumps", html: str = "", picture: bool = True):
    data = {"image/png": b64encode(png(1000, 900)).decode()} if picture else {}
    if html:
        data["text/html"] = html
    cell = new_code_cell("draw()", outputs=[new_output("display_data", data=data)])
    cell.metadata["mystnb"] = {"figure": {"name": name, "caption": "Two."}, "image": {"alt": alt}}
    return cell


def chapter(*cells, text: str = OPENING):
    about = {"language_info": {"name": "python", "pygments_lexer": "python"}}
    return new_notebook(cells=[new_markdown_cell(text), *cells], metadata=about)


def test_a_figure_is_found_by_its_name_and_the_first_one_without_it():
    notebook = chapter(figure("fig-a", html=SLIDER), figure("fig-b", alt="a line"))
    assert lifted(notebook).name == "fig-a"
    assert lifted(notebook).slider == SLIDER
    assert (lifted(notebook, "fig-b").alt, lifted(notebook, "fig-b").slider) == ("a line", "")
    assert lifted(notebook, "fig-b").picture == png(1000, 900)


@pytest.mark.parametrize(
    ("cells", "name", "says"),
    [
        ([], "", "no cell has a figure with a name"),
        ([figure("fig-a")], "fig-c", "no figure is named fig-c, choose one of fig-a"),
        ([figure("fig-a", picture=False)], "", "fig-a has no picture"),
        ([figure("fig-a", alt="")], "", "fig-a has no alt text"),
    ],
)
def test_a_figure_that_cannot_be_shown_is_refused(cells, name, says):
    with pytest.raises(ValueError, match=says):
        lifted(chapter(*cells), name)


def test_the_opening_gives_the_question_and_what_is_needed():
    says = opening(chapter())
    assert says.question == "Why is\nthis?"
    assert says.needs == ("two",), "what stands in brackets is not needed"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# One\n\n**Know first:** sums", "no question"),
        ("# One\n\n*Why?*\n\nProse with **Know first:** inside.", "Know first"),
    ],
)
def test_an_opening_without_its_parts_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        opening(chapter(text=text))


def test_a_thumbnail_is_small_clear_and_cut_at_its_foot():
    image = Image.open(io.BytesIO(thumbnail(png(1000, 900))))
    assert image.size == (480, 240)
    assert image.convert("RGBA").getpixel((10, 10))[3] == 0


def test_the_front_page_stays_light():
    """Its pictures, the only heavy things on it, are 40 kB a card and 600 kB in all at most."""
    weight = 0
    pages = sorted(f"chapters/{path.stem}" for path in (BOOK / "chapters").glob("*.ipynb"))
    chosen = dict(re.findall(r"^(chapters/\w+): (fig-\S+)$", FRONT, re.MULTILINE))
    for page in pages:
        notebook = nbformat.read(BOOK / f"{page}.ipynb", as_version=4)
        small = len(thumbnail(lifted(notebook, chosen.get(page, "")).picture))
        assert small <= 40_000, f"{page}: a thumbnail of {small} bytes"
        weight += 4 / 3 * small
    moving = re.findall(r"\{from-chapter\} (\S+)\n:figure: (\S+)", FRONT)
    assert moving
    for page, name in moving:
        slider = lifted(nbformat.read(BOOK / f"{page}.ipynb", as_version=4), name).slider
        assert slider, f"{name} does not move"
        weight += len(slider)
    assert weight <= 600_000


def build(folder: Path, page: str) -> tuple[str, str]:
    """The page of a small book as HTML, and what Sphinx warned of."""
    (folder / "chapters").mkdir()
    cells = [figure("fig-a", html=SLIDER), figure("fig-b", alt="a line")]
    one = chapter(*cells, text=OPENING.replace("two", "sum"))
    nbformat.write(one, folder / "chapters/one.ipynb")
    other = "# Sum\n\n*How much?*\n\n**Know first:** nothing."
    nbformat.write(chapter(figure("fig-c"), text=other), folder / "chapters/sum.ipynb")
    (folder / "_toc.yml").write_text(
        "parts:\n  - caption: All\n    chapters:\n      - file: chapters/one\n"
        "      - file: chapters/sum\n  - caption: Back\n    chapters:\n      - file: errata\n"
    )
    tree = "```{toctree}\nchapters/one\nchapters/sum\n```\n\n"
    (folder / "index.md").write_text(f"# Front\n\n{tree}## Map\n\n{page}")
    (folder / "conf.py").write_text(
        "extensions = ['myst_nb', 'ganlib.publishing.front']\nnb_execution_mode = 'off'\n"
        "suppress_warnings = ['ref.doc']\nhtml_theme = 'basic'\n"
    )
    warned, places = io.StringIO(), (folder, folder, folder / "out", folder / "trees")
    with docutils_namespace():
        Sphinx(*places, "html", status=None, warning=warned).build()
    return (folder / "out/index.html").read_text(encoding="utf-8"), warned.getvalue()


def test_a_lifted_slider_and_a_map_are_on_the_page(tmp_path):
    page = "```{from-chapter} chapters/one\n:figure: fig-a\nA *caption*.\n```\n\n"
    page += "```{chapters-map}\n:without: Back\nchapters/one: fig-b\n```\n"
    html, warned = build(tmp_path, page)
    assert not warned
    assert SLIDER in html and "A <em>caption</em>." in html
    assert 'href="chapters/one.html#fig-a"' in html
    assert re.search(r'<h3>All<a class="headerlink"', html)
    cards = re.findall(r"<li>.*?</li>", html, re.DOTALL)
    cards = [card for card in cards if "data:image/webp" in card]
    assert len(cards) == 2
    assert 'alt="a line"' in cards[0] and 'href="chapters/one.html"' in cards[0]
    assert re.search(r'Needs .*href="chapters/sum.html".*Sum', cards[0])
    assert "Needs no other chapter" in cards[1] and "How much?" in cards[1]


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("```{from-chapter} chapters/two\n```", "chapters/two is no notebook of the book"),
        ("```{from-chapter} chapters/one\n:figure: fig-z\n```", "no figure is named fig-z"),
        ("```{chapters-map}\n:without: Front\n```", "no part 'Front'"),
        ("```{chapters-map}\n```", "errata is no notebook of the book"),
        ("```{chapters-map}\n:without: Back\nchapters/x: fig-a\n```", "expected lines `PAGE: NAME"),
    ],
)
def test_what_cannot_be_lifted_fails_a_strict_build(tmp_path, page, says):
    assert says in build(tmp_path, page)[1]


def test_the_page_and_the_citation_file_cite_one_book():
    cited = yaml.safe_load((BOOK / "CITATION.cff").read_text(encoding="utf-8"))
    book, settings = cited["preferred-citation"], yaml.safe_load((BOOK / "_config.yml").read_text())
    on_page = dict(re.findall(r"^  (\w+) += \{+([^{}]+)\}", FRONT, re.MULTILINE))
    on_page = {name: " ".join(text.split()) for name, text in on_page.items()}
    (author,) = book["authors"]
    assert on_page == {"title": book["title"], "author": author["name"], "year": str(book["year"])}
    assert (cited["title"], author["name"]) == (settings["title"], settings["author"])
    assert settings["copyright"] == on_page["year"]
