"""The whole book as one PDF, printed by a headless Chromium from the built pages.

`python -m ganlib.publishing.pdf PAGES FILE` puts the pages of `_toc.yml` one behind the other, with
a title and a table of contents in front. Chromium numbers them, and makes the links between
chapters and the outline. Solutions are printed, a slider shows its still picture, and what is left
out are the code that the pages fold and the library's reference.
"""

import argparse
import posixpath
import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, TextStringObject

BROWSERS = ("chromium", "google-chrome", "chromium-browser", "chrome")
STYLE = Path(__file__).with_name("pdf.css")
# What a page has for hands and not for paper.
LEFT_OUT = "details.hide, .headerlink, .scrub [hidden], .dials [hidden], button"
# Ninety pages that are searched rather than read.
REFERENCE = ("ganlib", "reference/")
NOTE = "The book's site has also the code that its pages fold, and the library's reference."


def main() -> None:
    """Print the book from the command line."""
    parser = argparse.ArgumentParser(description="Print the whole book as one PDF.")
    parser.add_argument("pages", type=Path, help="the folder of the built pages")
    parser.add_argument("file", type=Path, help="where the PDF goes")
    arguments = parser.parse_args()
    try:
        count = print_book(Path.cwd(), arguments.pages, arguments.file)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.file}: {count} pages, {arguments.file.stat().st_size / 1e6:.1f} MB")


def print_book(book: Path, pages: Path, file: Path) -> int:
    """Print the built pages of a book into a file; the number of sheets.

    book: the folder with `_toc.yml` and `_config.yml`. Raises FileNotFoundError where Chromium or
    a page of the table of contents is missing.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(
            f"found none of {', '.join(BROWSERS)}: a PDF is printed by Chromium or Chrome; on "
            "Debian and Ubuntu `apt install chromium` brings it"
        )
    whole = pages / "print.html"
    whole.write_text(gather(book, pages), encoding="utf-8")
    try:
        with sync_playwright() as driver:
            # Without a sandbox, since containers have none; the pages are the book's own.
            chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            sheet = chromium.new_page(color_scheme="light")
            sheet.set_default_timeout(600_000)
            sheet.goto(whole.resolve().as_uri(), wait_until="load")
            sheet.evaluate("MathJax.startup.promise")
            # What stands where is known only in print, so the contents' numbers take a second one.
            _print(sheet, file)
            sheet.evaluate(
                "at => document.querySelectorAll('.printed-contents a').forEach(entry => {"
                " entry.lastElementChild.textContent = at[entry.hash.slice(1)]; })",
                places(file),
            )
            _print(sheet, file)
            chromium.close()
    finally:
        whole.unlink()
    return _mend(file)


def _mend(file: Path) -> int:
    """Say once in the outline what Chromium says twice there of a heading that it moved on."""
    writer = PdfWriter(file, incremental=True)
    waiting = [writer.root_object["/Outlines"]]
    while waiting:
        entry = waiting.pop().get_object()
        waiting += [entry[way] for way in ("/First", "/Next") if way in entry]
        title = str(entry.get("/Title", ""))
        if title and title == 2 * title[: len(title) // 2]:
            entry[NameObject("/Title")] = TextStringObject(title[: len(title) // 2])
    writer.write(file)
    return len(writer.pages)


def places(file: Path) -> dict[str, int]:
    """The number of the sheet on which each target of a link stands, from 1."""
    reader = PdfReader(file)
    found = reader.named_destinations.items()
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1 for name, place in found
    }


def _print(sheet: Page, file: Path) -> None:
    sheet.pdf(
        path=file, prefer_css_page_size=True, outline=True, tagged=True, print_background=True
    )


def gather(book: Path, pages: Path) -> str:
    """All pages as one, in the order of the table of contents.

    Targets of links carry their page's name, so that no two are alike: `chapters/wgan#penalty`
    becomes `chapters-wgan--penalty`.
    """
    settings = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    listed = [(part, name) for part, name in _listed(toc) if not name.startswith(REFERENCE)]
    names = {name for _, name in listed}
    contents, articles, styles = [], [], []
    for part, name in listed:
        path = pages / f"{name}.html"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such page, expected the built book (make book)")
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        if name == toc["root"]:
            sheets = page.head.find_all("link", rel="stylesheet")
        article = page.find("article", class_="bd-article")
        for element in article.select(LEFT_OUT):
            element.decompose()
        for element in article.find_all(True):
            _move(element, name, names)
        title = article.h1.get_text()
        contents += [f'<div class="part">{escape(part)}</div>'] if part else []
        contents += [_entry(article.h1, "chapter")]
        contents += [_entry(section, "section") for section in article.find_all("h2")]
        sheet = _id(name, "")
        styles.append(f"#{sheet} {{ page: {sheet} }}")
        running = title.replace("\\", "").replace('"', "")
        styles.append(f'@page {sheet} {{ @top-center {{ content: "{running}" }} }}')
        articles.append(f'<div id="{sheet}" class="printed">{article}</div>')
    css = "".join(map(str, sheets))
    formulas = settings["sphinx"]["config"]["mathjax3_config"]["loader"]["load"]
    name = escape(settings["title"])
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{name}</title>
{css}
<script>window.MathJax = {{loader: {{load: {formulas}}},
  options: {{enableMenu: false, ignoreHtmlClass: "printed", processHtmlClass: "math"}}}}</script>
<script defer src="mathjax/startup.js"></script>
<style>{STYLE.read_text(encoding="utf-8")}
{"".join(styles)}</style></head>
<body class="bd-content"><div class="cover"><div>{name}</div>
<p>{escape(settings["author"])}, {escape(str(settings["copyright"]))}</p><p>{NOTE}</p></div>
<nav class="printed-contents"><div class="heading">Contents</div>{"".join(contents)}</nav>
<main class="bd-main"><div class="bd-article-container">{"".join(articles)}</div></main>
</body></html>"""


def _listed(contents: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The pages in their order, each with the part that it begins or nothing."""
    yield "", contents["root"]
    for part in contents.get("parts", [contents]):
        for place, chapter in enumerate(part["chapters"]):
            yield part.get("caption", "") if place == 0 else "", chapter["file"]
            for section in chapter.get("sections", ()):
                yield "", section["file"]


def _id(page: str, target: str) -> str:
    return f"{page.replace('/', '-')}--{target}" if target else page.replace("/", "-")


def _entry(heading: Tag, kind: str) -> str:
    target = heading.find_parent("section")["id"]
    return f'<a class="{kind}" href="#{target}"><span>{heading.decode_contents()}</span><b></b></a>'


def _move(element: Tag, page: str, names: set[str]) -> None:
    """Make what an element refers to hold in one document for all pages."""
    if element.get("id"):
        element["id"] = _id(page, element["id"])
    for name in ("onload", "loading", "data-frames"):
        del element[name]
    if element.get("src") and not element["src"].startswith("data:"):
        element["src"] = posixpath.normpath(posixpath.join(posixpath.dirname(page), element["src"]))
    address = element.get("href")
    if element.name != "a" or not address or re.match("[a-z]+:", address):
        return
    path, _, target = address.partition("#")
    other = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    other = other.removesuffix(".html")
    if other in names:
        element["href"] = f"#{_id(other, target)}"
    else:
        del element["href"]


if __name__ == "__main__":
    main()
