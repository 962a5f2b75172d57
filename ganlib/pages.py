"""The two pages that are made from what the chapters measured: the ledger and the scoreboard."""

import re
from collections.abc import Sequence, Set
from pathlib import Path

from ganlib.claims import anchor, load, markdown, number
from ganlib.paths import data_folder


def ledger_page(folder: Path | None = None) -> str:
    """Every claim with its bound and what was measured, chapter by chapter, as Markdown.

    The last column has the spread of independent repeats of the measurement, where there are any.

    folder: where `claims.collect` wrote; default `data/results`. Raises ValueError for a damaged
    file there.
    """
    records = [r for r in load("claims", folder) if r["preset"] == "book"]
    spreads = {r["id"]: r for r in load("spreads", folder) if r["preset"] == "book"}
    parts = []
    for chapter in in_reading_order({r["chapter"] for r in records}):
        here = [r for r in records if r["chapter"] == chapter]
        seeds = _seeds(here)
        rows = ["| claim | bound | measured | repeated |", "|---|---|---|---|"]
        for name in dict.fromkeys(r["id"] for r in here):
            same = [r for r in here if r["id"] == name]
            repeated = ""
            if name in spreads:
                values = spreads[name]["values"]
                repeated = f"{_span(values)} ({len(values)} times)"
            measured = _span([r["measured"] for r in same])
            if _seeds(same) != seeds:
                measured += f" (seeds {_seeds(same)})"
            link = f'<a href="{chapter}.html#{anchor(name)}">{name.split(".", 1)[1]}</a>'
            cells = [
                f"{link}: {markdown(same[-1]['statement'])}",
                markdown(same[-1]["bound"]),
                measured,
                repeated,
            ]
            rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        title = f"**[{chapter}]({chapter}.ipynb)**, measured at seeds {seeds}"
        parts.append(title + "\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def scoreboard_page(folder: Path | None = None) -> str:
    """Every number of the papers beside this book's, as a Markdown table for each of theirs.

    folder, errors: as for `ledger_page`.
    """
    records = [r for r in load("scores", folder) if r["seed"] == 0 and r["preset"] != "smoke"]
    place = in_reading_order({r["chapter"] for r in records}).index
    records.sort(key=lambda r: place(r["chapter"]))
    parts = []
    for table in dict.fromkeys(r["table"] for r in records):
        rows = [
            "| row | reported | this book | verdict | preset and cost |",
            "|---|---|---|---|---|",
        ]
        for r in (r for r in records if r["table"] == table):
            if r["measured"] is None:
                ours, verdict, cost = "", "not trained here", ""
            else:
                spread = "" if r["spread"] is None else f" ± {r['spread']:.2g}"
                ours = f"{r['measured']:.4g}{spread} {r['unit']}"
                verdict = "falls short" if r["falls_short"] else "reached"
                cost = f"{r.get('made_at') or r['preset']}: {r['how']}"
            cells = [r["row"], f"{r['reported']} {r['unit']}", ours, verdict, cost]
            rows.append("| " + " | ".join(_cell(markdown(cell)) for cell in cells) + " |")
        chapter = next(r["chapter"] for r in records if r["table"] == table)
        parts.append(
            f"**{markdown(table.strip())}** ([{chapter}]({chapter}.ipynb))\n\n" + "\n".join(rows)
        )
    return "\n\n".join(parts)


def in_reading_order(chapters: Set[str]) -> list[str]:
    """Chapters as the book's table of contents has them, then any others by name.

    Raises TypeError for what is no set of names.
    """
    if not isinstance(chapters, Set) or not all(isinstance(name, str) for name in chapters):
        raise TypeError(f"chapters: {chapters!r:.60}, expected a set of names")
    contents = data_folder().parent / "_toc.yml"
    listed = []
    if contents.is_file():
        text = contents.read_text(encoding="utf-8")
        listed = re.findall(r"^ *- file: chapters/(\S+)", text, re.MULTILINE)
    return [c for c in listed if c in chapters] + sorted(chapters - set(listed))


def _seeds(records: Sequence[dict]) -> str:
    return ", ".join(str(seed) for seed in sorted({r["seed"] for r in records}))


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _cell(text: str) -> str:
    """A Markdown table splits at every bar, even inside mathematics."""
    return text.replace("|", r"\|")
