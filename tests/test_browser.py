"""Every page of the book in a browser: by eyes that see little, by keyboard, and on a phone.

Light and dark, on a laptop and a phone; and each check finds its fault on a page that has it.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

from ganlib.publishing.pdf import BROWSERS

BOOK = Path(__file__).parents[1]
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium on PATH; on Debian, `apt-get install chromium`"
)
# The pages of the table of contents; whatever else is built comes together in one test.
CONTENTS = re.findall(r"(?:root|file): (\S+)", (BOOK / "_toc.yml").read_text(encoding="utf-8"))
WIDTHS = (1280, 390)
THEMES = ("light", "dark")
LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing of each request."""


def serve(folder: Path) -> Iterator[str]:
    """The address at which a folder is served for as long as the iterator lives."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The book as HTML, built once for all workers that run these tests side by side."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    done = folder / "built"
    with FileLock(folder / "building"):
        if not done.exists():
            command = [Path(sys.executable).with_name("jupyter-book"), "build", BOOK, "--all"]
            command += ["--quiet", "--path-output", folder]
            # Under no repository's name: the missing page of a published book takes its links from
            # the address where that is, and this one lies at the root of a server.
            nameless = {k: v for k, v in os.environ.items() if k != "GITHUB_REPOSITORY"}
            nameless["PATH"] = str(command[0].parent)  # where there is no git to ask
            said = subprocess.run(
                command, env=nameless, capture_output=True, text=True, check=False
            )
            assert said.returncode == 0, said.stderr[-3000:]
            done.touch()
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def site(built) -> Iterator[str]:
    yield from serve(built)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as player:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        yield player.chromium.launch(executable_path=BROWSER, args=options)


# One page


def look(browser: Browser, address: str) -> list[str]:
    """What is wrong with a page, at each width and in each theme."""
    faults: list[str] = []
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("console", lambda said: said.type == "error" and faults.append(f"says: {said.text}"))
    page.on("response", lambda got: got.status >= 400 and faults.append(f"no {got.url}"))
    ours = (urljoin(address, "/"), "data:", "blob:", "about:")
    page.on(
        "request", lambda asked: asked.url.startswith(ours) or faults.append(f"asks {asked.url}")
    )
    try:
        page.goto(address)
        page.evaluate(f"{AXE};{LOOK};window.look = look")
        faults += skip_link(page)
        page.evaluate("look.unfold()")
        faults += page.evaluate("look.always()") + sliders(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate("look.settle()")
            faults += [f"{width} pixels: {fault}" for fault in page.evaluate("look.measures()")]
        page.evaluate("look.flatten()")
        for width in reversed(WIDTHS):
            page.set_viewport_size({"width": width, "height": 900})
            for theme in THEMES:
                page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
                page.evaluate("look.settle()")
                rules = ["color-contrast"] if theme == "dark" else None
                violations = page.evaluate("rules => look.axe(rules)", rules)
                faults += [f"{width} pixels, {theme}: {fault}" for fault in violations]
    finally:
        page.close()
    return faults


def skip_link(page: Page) -> list[str]:
    """The first stop of the keyboard must lead past the menus."""
    page.keyboard.press("Tab")
    first = page.locator(":focus")
    if not first.count() or not re.match("#.", first.get_attribute("href") or ""):
        return ["the first stop of the keyboard is no link to the text"]
    page.evaluate("look.settle()")
    if not page.evaluate("document.activeElement.getBoundingClientRect().top >= 0"):
        return ["the link to the text stays out of sight"]
    target = first.get_attribute("href")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = "target => document.querySelector(target)?.contains(document.activeElement)"
    return [] if page.evaluate(inside, target) else [f"the link to {target} leads nowhere"]


SLIDER = """bar => [
  bar.getAttribute("aria-valuetext"),
  bar.parentElement.querySelector("output")?.textContent,
  bar.closest(".scrub, .dials")?.querySelector("img").src,
]"""


def sliders(page: Page) -> list[str]:
    """Each slider must go from end to end by keyboard: what it says, aloud and beside it, and its
    picture."""
    faults = []
    for bar in page.locator("input[type=range]").all():
        bar.press("Home")
        first = bar.evaluate(SLIDER)
        bar.press("End")
        for what, one, other in zip(
            ("speech", "text", "picture"), first, bar.evaluate(SLIDER), strict=True
        ):
            if one == other:
                faults.append(f"a slider's {what} stays as it is: {one!r:.80}")
    return faults


@pytest.mark.parametrize("page", CONTENTS)
def test_a_page_has_no_fault(page, browser, site):
    faults = look(browser, f"{site}{page}.html")
    assert not faults, "\n".join(faults)


def test_nor_have_the_pages_beside_the_contents(browser, site, built):
    others = sorted(path for path in built.glob("*.html") if path.stem not in CONTENTS)
    pages = [path.name for path in others if 'http-equiv="refresh"' not in path.read_text().lower()]
    assert "search.html" in pages
    assert {page: look(browser, f"{site}{page}") for page in pages} == dict.fromkeys(pages, [])


def test_the_theme_is_the_readers(browser, site):
    for theme in THEMES:
        page = browser.new_page(color_scheme=theme)
        page.goto(f"{site}search.html")
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.close()


# Links


class Links(HTMLParser):
    """A page's anchors, and what it links to or loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.anchors |= {named[key] for key in ("id", "name") if named.get(key)}
        self.links |= {named[key] for key in ("href", "src") if named.get(key)}
        if named.get("http-equiv", "").lower() == "refresh":
            self.links.add(named["content"].partition("url=")[2])


def broken(folder: Path) -> list[str]:
    """Links within the pages of a folder to what is not there; none to elsewhere is followed."""
    # Under _static lie templates of the theme, which are no pages.
    paths = (path.relative_to(folder) for path in folder.rglob("*.html"))
    names = [path.as_posix() for path in paths if path.parts[0] != "_static"]
    pages = {name: Links(folder / name) for name in names}
    faults = []
    for name, page in pages.items():
        for link in sorted(page.links):
            here = urlsplit(urljoin(f"http://book/{name}", link))
            if here.netloc != "book":
                continue
            target, anchor = unquote(here.path).lstrip("/"), unquote(here.fragment)
            if target.endswith("/") or not target:
                target += "index.html"
            if not (folder / target).is_file():
                faults.append(f"{name}: no file {link}")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                faults.append(f"{name}: no anchor {link}")
    return faults


def test_no_link_is_broken(built):
    assert broken(built) == []


# Each fault on a page that has nothing else


PAGE = """<!doctype html>
<html lang="en"><head><title>A page</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"><style>
body {{ margin: 0; background: #fff; color: #222 }}
html[data-theme=dark] body {{ background: #111; color: #ddd }}
a {{ color: #04c }} html[data-theme=dark] a {{ color: #8bf }}
article {{ width: 50vw; overflow-wrap: anywhere }}
</style></head><body>{before}<main id="text"><h1>A page</h1>
<article><p>Text with <a href="#text">a link</a>.</p>{inside}</article></main></body></html>"""
SKIP = '<a href="#text">Skip to the text</a>'
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
LONG = '<div style="width: 2000px">Long</div>'
BAR = '<div class="scrub"><img src="{dot}" alt="A dot"><label>Round <input type="range" {more}>'
BAR += "<output>1</output></label></div>"
NAMED = "this.setAttribute('aria-valuetext', this.value);"
SAYS = "this.parentElement.querySelector('output').textContent = this.value;"
MOVES = "this.closest('.scrub').querySelector('img').src = '{dot}#' + this.value;"


def with_bar(*script: str) -> str:
    return BAR.format(dot=DOT, more=f'oninput="{"".join(script).format(dot=DOT)}"')


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("small")
    for address in serve(folder):
        yield folder, address


def look_at(small: tuple[Path, str], browser: Browser, inside: str, before: str = SKIP) -> str:
    folder, address = small
    (folder / "page.html").write_text(PAGE.format(before=before, inside=inside), encoding="utf-8")
    return "\n".join(look(browser, f"{address}page.html"))


@pytest.mark.parametrize(
    "inside",
    [
        f'<img src="{DOT}" alt="A dot">',
        f'<div style="overflow: auto" tabindex="0">{LONG}</div>',
        f'<div style="overflow: auto">{LONG}<a href="#text">There</a></div>',
        with_bar(NAMED, SAYS, MOVES),
    ],
)
def test_a_page_without_fault_passes(inside, browser, small):
    assert look_at(small, browser, inside) == ""


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ("<script>nowhere()</script>", "script error: nowhere is not defined"),
        ("<script>console.error('Alas')</script>", "says: Alas"),
        ('<img src="gone.png" alt="Gone">', "gone.png"),
        ('<img src="http://elsewhere.invalid/a.png" alt="Far">', "asks http://elsewhere.invalid/"),
        ('<p id="one">One</p><p id="one">Two</p>', "the id one is there twice"),
        (f'<img src="{DOT}">', "img in #text has no alt text"),
        (f'<img src="{DOT}" alt=" ">', "img in #text has no alt text"),
        (LONG, "390 pixels: the page is 2000 pixels wide"),
        ('<div style="width: 60vw">Wide</div>', "1280 pixels: div in #text sticks out of article"),
        (f'<div style="overflow: hidden">{LONG}</div>', "div in #text sticks out of div"),
        (f"<table><tr><td style='display: block; width: 9em'>{LONG}</td></tr></table>", "of td by"),
        (
            '<p style="overflow: auto"><mjx-container style="display: inline-block; width: 40em">'
            "x</mjx-container></p>",
            "390 pixels: p in #text scrolls, but not by keyboard",
        ),
        (
            '<p style="width: 9em; overflow-wrap: normal">' + 40 * "long" + "</p>",
            "word that is too",
        ),
        ('<p style="color: #999">Pale</p>', "1280 pixels, light: color-contrast"),
        ("<style>[data-theme=dark] p { color: #444 }</style>", "390 pixels, dark: color-contrast"),
        ('<pre>a <span class="k" style="color: #aaa">in</span></pre>', "color-contrast: span"),
        ("<details><p style='color: #999'>Pale</p></details>", "color-contrast"),
        ("<button></button>", "button-name"),
        ("<ul><p>No item</p></ul>", "list"),
        ('<button aria-label="Hide">Show</button>', "label-content-name-mismatch"),
        (with_bar(NAMED, SAYS, MOVES).replace("Round", ""), "label: input"),
        (with_bar(SAYS, MOVES), "a slider's speech stays as it is"),
        (with_bar(NAMED, MOVES), "a slider's text stays as it is"),
        (with_bar(NAMED, SAYS), "a slider's picture stays as it is"),
    ],
)
def test_a_fault_is_found(inside, fault, browser, small):
    assert fault in look_at(small, browser, inside)


@pytest.mark.parametrize(
    ("before", "fault"),
    [
        ("<button>Menu</button>" + SKIP, "the first stop of the keyboard is no link to the text"),
        (SKIP.replace("#text", "#gone"), "the link to #gone leads nowhere"),
        (SKIP.replace("<a", '<a style="position: absolute; top: -9em"'), "stays out of sight"),
    ],
)
def test_a_missing_way_past_the_menus_is_found(before, fault, browser, small):
    assert fault in look_at(small, browser, "", before)


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("page.html", None),
        ("page.html#there", None),
        ("#there", None),
        ("../", None),
        ("http://elsewhere.invalid/gone.html#gone", None),
        ("gone.html", "in/page.html: no file gone.html"),
        ("page.html#gone", "in/page.html: no anchor page.html#gone"),
        ("#gone", "in/page.html: no anchor #gone"),
        ("../page.html", "in/page.html: no file ../page.html"),
    ],
)
@pytest.mark.parametrize("where", ['<a href="{}">', '<img src="{}">'])
def test_a_broken_link_is_found(link, fault, where, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "index.html").write_text(
        '<meta http-equiv="Refresh" content="0; url=in/page.html">'
    )
    (tmp_path / "in" / "page.html").write_text(f'<p id="there">{where.format(link)}')
    assert broken(tmp_path) == ([fault] if fault else [])
