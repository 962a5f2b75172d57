"""Lighter pages: what a browser loads of the built book is what the page shows.

A Sphinx extension. MathJax comes with pages that have formulas, the frames of a slider when the
slider moves; pictures are packed anew without loss, and of the icons only those that are shown are
kept. What the theme's templates load is left to `_templates/layout.html`.
"""

import hashlib
import json
import re
from base64 import b64decode
from html import escape, unescape
from pathlib import Path
from typing import Any

import oxipng
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# As `ganlib.figures.scrub` writes it.
SLIDER = re.compile(r'<div class="scrub" data-frames="([^"]*)"(.*?)</output>', re.S)
INLINE = "data:image/png;base64,"
# A rule of the theme's style sheet for one icon, which may have several names.
ICON = re.compile(r'((?:,?\.fa-[\w-]+:before)+)\{content:"\\([0-9a-f]+) ?"\}')


def setup(app: Sphinx) -> dict[str, Any]:
    # Sphinx would give MathJax also to a page that only lists pages with formulas.
    app.set_html_assets_policy("always")
    app.connect("html-page-context", keep_scripts, priority=900)
    app.connect("html-page-context", move_frames)
    app.connect("build-finished", pack)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def keep_scripts(app: Sphinx, page: str, template: str, context: dict, tree: Any) -> None:
    """Take from a page MathJax, if it has no formula, and the scripts that run code elsewhere."""
    unused = {"thebe"} | (set() if 'class="math ' in context.get("body", "") else {"mathjax"})
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context[kind]
            if not any(
                name in f"{file.filename} {file.attributes.get('body')}".lower() for name in unused
            )
        ]


def move_frames(app: Sphinx, page: str, template: str, context: dict, tree: Any) -> None:
    """Put the frames of a page's sliders into files of their own."""
    body = context.get("body", "")
    context["body"], moved = SLIDER.subn(lambda match: _slider(match, page, app), body)
    if moved != body.count('class="scrub"'):
        raise ExtensionError(f"{page}: a slider is not as ganlib.figures.scrub writes it")


def _slider(match: re.Match, page: str, app: Sphinx) -> str:
    folder = app.builder.get_relative_uri(page, "index").rpartition("/")[0]
    folder = f"{folder}/{app.builder.imagedir}/".lstrip("/")
    names = []
    for frame in json.loads(unescape(match[1])):
        picture = b64decode(frame)
        names.append(f"{hashlib.sha256(picture).hexdigest()}.png")
        path = Path(app.builder.outdir, app.builder.imagedir, names[-1])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
    rest = match[2].replace(f"'{INLINE}' +", f"'{folder}' +")
    still = re.search(rf'src="{INLINE}([^"]+)"', rest)
    if f"'{folder}' +" not in rest or not still:
        raise ExtensionError(f"{page}: a slider is not as ganlib.figures.scrub writes it")
    shown = json.loads(unescape(match[1])).index(still[1])
    rest = rest.replace(still[0], f'src="{folder}{names[shown]}"')
    # A picture from a file may be there before the page has come to its slider.
    early = "document.readyState === 'loading'"
    late = f"{early} ? document.addEventListener('DOMContentLoaded', start) : start()"
    rest = re.sub('onload="([^"]*)"', rf'onload="const start = () => {{\1}}; {late}"', rest)
    frames = escape(json.dumps(names), quote=True)
    return f'<div class="scrub" data-frames="{frames}"{rest}</output>'


def pack(app: Sphinx, failure: Exception | None) -> None:
    """Make the files of a finished book small."""
    if failure or app.builder.format != "html":
        return
    out = Path(app.outdir)
    _pack_pictures(out / app.builder.imagedir, Path(app.doctreedir) / "pictures")
    _pack_icons(out)


def _pack_pictures(folder: Path, cache: Path) -> None:
    """Pack every PNG without loss, once: packing takes longer than drawing the page."""
    cache.mkdir(exist_ok=True)
    for path in folder.glob("*.png"):
        picture = path.read_bytes()
        packed = cache / hashlib.sha256(picture).hexdigest()
        if not packed.exists():
            packed.write_bytes(oxipng.optimize_from_memory(picture, level=2))
        path.write_bytes(packed.read_bytes())


def _pack_icons(out: Path) -> None:
    """Keep the icons that a page or a script names, in the style sheet and in the fonts."""
    texts = [path.read_text(encoding="utf-8") for path in out.rglob("*.html")]
    texts += [path.read_text(encoding="utf-8") for path in out.glob("_static/**/*.js")]
    named = set(re.findall(r"\bfa-[\w-]+", "".join(texts)))
    sheet = out / "_static" / "styles" / "pydata-sphinx-theme.css"
    kept = ICON.sub(
        lambda rule: rule[0] if named & set(re.findall(r"fa-[\w-]+", rule[1])) else "",
        sheet.read_text(encoding="utf-8"),
    )
    sheet.write_text(kept, encoding="utf-8")
    styles = "".join(path.read_text(encoding="utf-8") for path in out.glob("_static/**/*.css"))
    # Written as an escape or as the character itself.
    shown = {int(code, 16) for code in re.findall(r'"\\([ef][0-9a-f]{3})', styles)}
    shown |= {ord(character) for character in re.findall("[\ue000-\uf8ff]", styles)}
    for path in out.glob("_static/vendor/fontawesome/webfonts/*.woff2"):
        font = TTFont(path)
        subsetter = Subsetter(Options(flavor="woff2"))
        subsetter.populate(unicodes=shown)
        subsetter.subset(font)
        font.flavor = "woff2"
        font.save(path)
