"""The book as a site: its addresses, its buttons, and what search engines and previews read.

A Sphinx extension. All that names a place on the web follows from the repository that the book is
built in; where that is not known, pages have no buttons to it and no absolute address.
"""

import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from ganlib.publishing.repository import Repository, find_repository

# The whole book in print, as `make pdf` leaves it; a page links to it where it is there.
PRINT = "_build/chains-and-games.pdf"
CARD = "_static/social-card.png"
LOST = """<h1>No such page</h1>
<p>The book has no page at this address; it may have been renamed. Look for it in the contents,
search the book, or begin at the <a href="index.html">front page</a>.</p>"""


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("book_repository", None, "html", [Repository])
    app.connect("config-inited", find_addresses, priority=100)
    app.connect("html-page-context", add_head)
    # After the theme's own buttons.
    app.connect("html-page-context", add_buttons, priority=600)
    app.connect(
        "html-collect-pages",
        lambda app: [("404", {"body": LOST, "title": "No such page"}, "page.html")],
    )
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def find_addresses(app: Sphinx, config: Config) -> None:
    """Ask once for the repository; a fork's pages lead to the fork."""
    try:
        config.book_repository = find_repository(Path(app.srcdir))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if config.book_repository and config.book_repository.site:
        config.html_baseurl = f"{config.book_repository.site}/"


def description(tree: nodes.document) -> str:
    """The first paragraph of a page without a formula, cut to what a search engine shows."""
    for paragraph in tree.findall(nodes.paragraph):
        if not any(paragraph.findall(nodes.math)) and isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            return text if len(text) <= 200 else text[:200].rpartition(" ")[0] + " …"
    return ""


def add_head(app: Sphinx, page: str, template: str, context: dict, tree: Any) -> None:
    """Write what others show of a page: the description, the card, and where the page belongs."""
    site = app.config.html_baseurl
    if page == app.config.root_doc and site:
        context["pageurl"] = site
    if tree is None:
        context["pageurl"] = None
        return
    title = re.sub("<[^>]+>", "", context["title"])
    shown = {
        "og:type": "website" if page == app.config.root_doc else "article",
        "og:site_name": app.config.project,
        "og:title": title,
        "og:description": description(tree),
        "og:url": context["pageurl"],
        "og:image": f"{site}{CARD}" if site and Path(app.srcdir, CARD).exists() else None,
    }
    tags = [f'<meta name="description" content="{escape(shown["og:description"])}" />']
    tags += [
        f'<meta property="{name}" content="{escape(text)}" />'
        for name, text in shown.items()
        if text
    ]
    card = "summary_large_image" if shown["og:image"] else "summary"
    tags.append(f'<meta name="twitter:card" content="{card}" />')
    context["metatags"] += "\n".join(tags)


def add_buttons(app: Sphinx, page: str, template: str, context: dict, tree: Any) -> None:
    """Put the ways to the repository, to Colab and to the printed book at the head of a page."""
    buttons = context["header_buttons"]
    if Path(app.srcdir, PRINT).exists():
        address = context["pathto"](Path(PRINT).name, 1)
        context["print_address"] = address
        (downloads,) = (
            (b for b in buttons if b["label"] == "download-buttons") if tree else ({"buttons": []},)
        )
        downloads["buttons"].append(_button(address, "The whole book (.pdf)", "fas fa-book"))
    repository = app.config.book_repository
    if not repository or not tree:
        return
    path = app.env.doc2path(page, base=False)
    report = f"{repository.issues}/new?title={quote(f'On the page {page}: ')}"
    ways = [
        _button(repository.address, "Repository", "fab fa-github"),
        _button(repository.source(path), "Source of this page", "fas fa-code"),
        _button(repository.edit(path), "Suggest an edit", "fas fa-pencil-alt"),
        _button(report, "Report a mistake", "fas fa-lightbulb"),
    ]
    buttons.insert(0, _group(ways, "Repository", "fab fa-github"))
    if path.endswith(".ipynb"):
        chapter = Path(page).name
        launch = [_button(repository.notebook(chapter), "Read on GitHub", "fab fa-github")]
        if repository.colab(chapter):
            launch.insert(0, _button(repository.colab(chapter), "Run in Colab", "fas fa-play"))
        buttons.insert(0, _group(launch, "Run this chapter", "fas fa-rocket"))


def _button(url: str, text: str, icon: str) -> dict[str, Any]:
    return {"type": "link", "url": url, "text": text, "icon": icon}


def _group(buttons: list[dict], tooltip: str, icon: str) -> dict[str, Any]:
    return {"type": "group", "tooltip": tooltip, "icon": icon, "buttons": buttons, "label": None}


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Write what only a finished book has: the list of its pages, and links that hold anywhere."""
    if failure or app.builder.format != "html":
        return
    out, site = Path(app.outdir), app.config.html_baseurl
    # The front page itself, where Jupyter Book leaves a page that leads there.
    front = out / app.builder.get_target_uri(app.config.root_doc)
    (out / "index.html").write_bytes(front.read_bytes())
    # A server answers with this page at any depth, so its links start from the top of the site.
    lost, top = out / "404.html", urlsplit(site).path or "/"
    relative = re.compile(
        r'\b(href|src|action|data-content_root)="(?:\./)?(?![#/]|[a-z]+:)([^"]*)"'
    )
    lost.write_text(
        relative.sub(rf'\1="{top}\2"', lost.read_text(encoding="utf-8")), encoding="utf-8"
    )
    if Path(app.srcdir, PRINT).exists():
        (out / Path(PRINT).name).write_bytes(Path(app.srcdir, PRINT).read_bytes())
    if site:
        pages = [app.builder.get_target_uri(page) for page in sorted(app.env.found_docs)]
        pages.remove(app.builder.get_target_uri(app.config.root_doc))
        places = "".join(f"<url><loc>{escape(site + page)}</loc></url>\n" for page in ["", *pages])
        (out / "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n',
            encoding="utf-8",
        )
