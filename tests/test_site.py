"""The published site: a small book with this book's configuration, built under several names."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import nbformat
import pytest
from matplotlib import pyplot
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader

from ganlib import figures
from ganlib.publishing import pdf
from ganlib.publishing.reference import fields

ROOT = Path(__file__).parents[1]
CONTENTS = """
format: jb-book
root: intro
chapters:
  - file: chapters/formula
  - file: chapters/output
  - file: chapters/caption
  - file: chapters/slider
  - file: words
  - file: bibliography
"""
PAGES = {
    "intro.md": "# A small book\n\nThe *question* of\nall. Sought.\n\n```{tableofcontents}\n```\n",
    "words.md": "# Words\n\nNo formula of FID.\n",
    "bibliography.md": "# Bibliography\n\nFID FID FID of Fréchet.\n\n## FID\n\nFID\n",
}


def shown(kind: str, text: str):
    return new_code_cell(
        "show()", execution_count=1, outputs=[new_output("display_data", {kind: text})]
    )


def slider() -> str:
    pictures = []
    for height in (1, 2, 3):
        figure, axes = pyplot.subplots(figsize=(1, 1))
        axes.bar([0], [height])
        pictures.append(figure)
    with patch("IPython.display.display") as display:
        figures.scrub(pictures, ["one", "two", "three"], "A bar that grows.")
    return display.call_args.args[0]["text/html"]


def write(folder: Path) -> Path:
    for name in ("_static", "_templates", "_extra"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / name, folder)
    for name, text in {"_toc.yml": CONTENTS, **PAGES}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "chapters").mkdir()
    caption = {"caption": "A formula, $c$.", "alt": "A picture."}
    captioned = shown(
        "image/png",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVQI12NgAAAAAgAB4iG8MwAAAABJRU5ErkJggg==",
    )
    captioned.metadata["mystnb"] = {"figure": caption}
    for name, cells in {
        "formula": [new_markdown_cell("# FID\n\n$a$ first. FID.\n\nThen *b* & c.")],
        "output": [new_markdown_cell("# Output"), shown("text/markdown", "$b$")],
        "caption": [new_markdown_cell("# Caption"), captioned],
        "slider": [new_markdown_cell("# Slider"), shown("text/html", slider())],
    }.items():
        language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
        nbformat.write(
            new_notebook(cells=cells, metadata=language), folder / "chapters" / f"{name}.ipynb"
        )
    return folder


def build(folder: Path, **names: str) -> Path:
    """Build strictly; where the pages are. names: the environment's variables."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GITHUB_")}
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        folder,
        "--quiet",
        "-n",
        "-W",
    ]
    environment = kept | {"PYTHONPATH": str(ROOT)} | names
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[:600]
    return folder / "_build" / "html"


def read(pages: Path, name: str) -> str:
    return (pages / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def unknown(folder):
    """The pages of a book in no known repository."""
    return build(folder)


@pytest.fixture(scope="module")
def known(folder, tmp_path_factory):
    """The same under the name that a workflow gives."""
    other = tmp_path_factory.mktemp("known") / "book"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("_build"))
    (other / "_build").mkdir()
    (other / "_build" / "chains-and-games.pdf").write_bytes(b"%PDF-1.7")
    return build(other, GITHUB_REPOSITORY="Ada/games")


# Weight


@pytest.mark.parametrize(
    ("page", "has"),
    [
        ("intro", 0),
        ("words", 0),
        ("chapters/formula", 1),
        ("chapters/output", 1),
        ("chapters/caption", 1),
        ("chapters/slider", 0),
    ],
)
def test_pages_with_formulas_load_mathjax_once(unknown, page, has):
    text = read(unknown, f"{page}.html")
    assert text.count("mathjax/startup.js") == has
    assert text.count("window.MathJax") == has
    source = re.search(r'src="([^"]*mathjax/startup.js)', text)
    assert not source or (unknown / page).parent.joinpath(source[1]).resolve().exists()


def test_every_part_of_mathjax_is_there(unknown):
    parts = re.search(r'"load": \[([^]]*)\]', read(unknown, "chapters/formula.html"))[1]
    for part in re.findall(r'"([^"]+)"', parts):
        assert (unknown / "mathjax" / f"{part}.js").exists()


def test_pages_load_neither_what_they_do_not_show_nor_anything_twice(unknown):
    for page in ("intro", "words", "chapters/formula"):
        text = read(unknown, f"{page}.html")
        assert not re.search(r"sphinx-thebe|THEBE|fontawesome\.js|searchindex\.js", text)
        scripts = re.findall(r'<script[^>]*src="([^"]*)"', text)
        assert len(set(scripts)) == len(scripts)
    assert "searchindex.js" in read(unknown, "search.html")


def test_frames_of_a_slider_are_files(unknown):
    text = read(unknown, "chapters/slider.html")
    frames = re.findall(r"&quot;(\w+\.png)&quot;", text)
    assert len(frames) == len(set(frames)) == 3
    for name in frames:
        assert (unknown / "_images" / name).read_bytes().startswith(b"\x89PNG")
    assert f'src="../_images/{frames[2]}"' in text
    assert "picture.src = '../_images/' + frames" in text
    assert "base64" not in text


def test_icons_that_pages_show_are_kept(unknown):
    from fontTools.ttLib import TTFont

    fonts = unknown / "_static" / "vendor" / "fontawesome" / "webfonts"
    assert 0xF019 in TTFont(fonts / "fa-solid-900.woff2").getBestCmap()
    assert (fonts / "fa-solid-900.woff2").stat().st_size < 10_000
    sheet = read(unknown, "_static/styles/pydata-sphinx-theme.css")
    assert ".fa-download:before" in sheet
    assert ".fa-car:before" not in sheet


# Addresses


def test_without_a_repository_no_page_names_a_place_on_the_web(unknown):
    for path in unknown.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"github|colab|canonical|og:url|og:image", text), path
    assert not (unknown / "sitemap.xml").exists()


def test_buttons_lead_to_the_repository(known):
    text = read(known, "chapters/formula.html")
    place = "github.com/Ada/games"
    for address in (
        f"https://{place}",
        f"https://{place}/blob/main/chapters/formula.ipynb",
        f"https://{place}/edit/main/chapters/formula.ipynb",
        f"https://{place}/issues/new?title=On%20the%20page%20chapters/formula%3A%20",
        f"https://{place}/blob/notebooks/formula.ipynb",
        "https://colab.research.google.com/github/Ada/games/blob/notebooks/formula.ipynb",
    ):
        assert f'href="{address}"' in text
    words = read(known, "words.html")
    assert f'href="https://{place}/edit/main/words.md"' in words
    assert "colab" not in words and "blob/notebooks" not in words


def test_a_clone_leads_to_its_origin(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "book", ignore=shutil.ignore_patterns("_build"))
    git = ["git", "-C", tmp_path / "book"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    remote = "git@github.com:grace/fork.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    text = read(build(tmp_path / "book"), "chapters/formula.html")
    assert "https://colab.research.google.com/github/grace/fork/" in text
    assert 'rel="canonical" href="https://grace.github.io/fork/chapters/formula.html"' in text


def test_pages_say_where_they_belong_and_what_they_are(known):
    site = "https://ada.github.io/games/"
    text = read(known, "chapters/formula.html")
    assert f'<link rel="canonical" href="{site}chapters/formula.html" />' in text
    assert '<meta name="description" content="Then b &amp; c." />' in text
    assert '<meta property="og:title" content="FID" />' in text
    assert f'<meta property="og:url" content="{site}chapters/formula.html" />' in text
    for front in ("intro.html", "index.html"):
        assert f'<link rel="canonical" href="{site}" />' in read(known, front)
    assert 'content="The question of all. Sought."' in read(known, "intro.html")
    assert '<html lang="en"' in text


def test_the_sitemap_lists_every_page_once(known):
    places = re.findall(r"<loc>https://ada.github.io/games/(.*?)</loc>", read(known, "sitemap.xml"))
    assert places == [
        "",
        "bibliography.html",
        "chapters/caption.html",
        "chapters/formula.html",
        "chapters/output.html",
        "chapters/slider.html",
        "words.html",
    ]


@pytest.mark.parametrize(("pages", "top"), [("unknown", "/"), ("known", "/games/")])
def test_links_of_the_missing_page_hold_at_any_depth(pages, top, request):
    pages = request.getfixturevalue(pages)
    text = read(pages, "404.html")
    links = re.findall(r'\b(?:href|src|action)="([^"#]+)', text)
    inner = [link.partition("?")[0] for link in links if not link.startswith("https://")]
    assert len(inner) > 20
    for link in inner:
        assert link.startswith(top)
        assert (pages / link.removeprefix(top)).exists(), link
    assert f'data-content_root="{top}"' in text
    assert "canonical" not in text


# Downloads


def test_each_chapter_can_be_downloaded_as_a_notebook(unknown):
    text = read(unknown, "chapters/formula.html")
    (address,) = re.findall(r'href="([^"]*\.ipynb)"', text)
    downloaded = (unknown / "chapters" / address).resolve()
    assert downloaded.read_bytes() == (unknown.parents[1] / "chapters/formula.ipynb").read_bytes()


def test_the_printed_book_is_linked_where_it_is(known, unknown):
    for page in ("intro.html", "chapters/formula.html"):
        address = re.search(r'href="([^"]*chains-and-games.pdf)"', read(known, page))[1]
        assert (known / page).parent.joinpath(address).read_bytes() == b"%PDF-1.7"
        assert "chains-and-games.pdf" not in read(unknown, page)


# The reference


def test_what_a_docstring_says_of_parameters_is_listed():
    text = """Draw $x$: a picture.

    Drawn once. width, height: both in cm. Not
    less. ink: its colour, say: "red". Raises ValueError for none.

    - ink: in a list.
    """
    listed = fields(inspect.cleandoc(text), ["width", "height", "ink"])
    assert listed == (
        "Draw $x$: a picture.\n\nDrawn once.\n\n- ink: in a list.\n\n:Parameters:\n"
        "   - **width, height** -- both in cm. Not less.\n"
        '   - **ink** -- its colour, say: "red".\n'
        ":Raises: ValueError for none.\n"
    )
    assert fields("One: two.", []) == "One: two.\n\n\n"


# Print

BROWSER = any(map(shutil.which, pdf.BROWSERS))


@pytest.mark.skipif(not BROWSER, reason="no Chromium to print with: `apt install chromium`")
def test_the_whole_book_is_printed(folder, unknown, tmp_path):
    file = tmp_path / "book.pdf"
    # In a thread of its own: where tests have a browser open, Playwright allows no second one.
    with ThreadPoolExecutor(1) as alone:
        count = alone.submit(pdf.print_book, folder, unknown, file).result()
    reader = PdfReader(file)
    texts = [" ".join(page.extract_text().split()) for page in reader.pages]
    assert count == len(texts) == 9
    titles = ["A small book", "FID", "Output", "Caption", "Slider", "Words", "Bibliography"]
    outline = [entry for entry in reader.outline if not isinstance(entry, list)]
    assert [entry.title for entry in outline] == titles
    sheets = [reader.get_destination_page_number(entry) for entry in outline]
    assert sheets == [2, 3, 4, 5, 6, 7, 8]
    assert "FID 4" in texts[1] and "Words 8" in texts[1]
    assert "Then b & c." in texts[3]
    links = [note.get_object() for page in reader.pages for note in page.get("/Annots", [])]
    assert len(links) >= len(titles)
    assert not any("file:" in str(link) for link in links)
    assert not (unknown / "print.html").exists()


def test_a_book_that_cannot_be_printed_is_refused(folder, unknown, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no such page, expected the built book"):
        pdf.gather(folder, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt install chromium"):
        pdf.print_book(folder, unknown, tmp_path / "book.pdf")
