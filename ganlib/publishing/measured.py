"""The ledger and the scoreboard, which a Sphinx extension makes from `data/results` at build time.

The directives `{ledger}` and `{scoreboard}` list every claim and every number of the papers,
chapter by chapter; the build stops where the notebooks and the records disagree.
What is measured and recorded, and when the two agree, is `claims`. How the pages look and are
filtered is `_static/measured.css` and `_static/measured.js`: without script all rows show.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

from ganlib.claims import REPORTED, anchor, disagreements, load, markdown, number, room
from ganlib.publishing.front import title

# How far from the paper's number, as a share of it, a number that falls short is still near it.
NEAR = 0.01
# What a row of a paper's table can come to: how it is drawn, and when it is so.
STATES = {
    "reached": ("M0-5A5 5 0 1 0 0 5 5 5 0 1 0 0-5Z", "at least as good as the paper's number"),
    "near": (
        "M0-6 6 0 0 6-6 0Z",
        f"worse by no more than {NEAR:.0%} of the paper's number or the error printed with it",
    ),
    "short": ("M-5.5-4.5h11L0 5.5Z", "worse by more than that"),
    "not trained": ("M-4-4 4 4M-4 4 4-4", "a row of the paper's table that this book leaves out"),
}
# What the picture of the scoreboard is drawn with, in pixels, but across in percent of its width.
LABEL, LANE, APART = 22, 13, 3.4


class Tag(nodes.TextElement):
    """An element of HTML, called `tag`, with `attributes`, around its children."""


def tag(name: str, /, *children: nodes.Node | str, **attributes: str) -> Tag:
    """An element of HTML; attributes are written so: `class_`, `aria_live`."""
    written = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    element = Tag("", "", tag=name, attributes=written)
    element += [nodes.Text(child) if isinstance(child, str) else child for child in children]
    return element


def open_tag(writer, node: Tag) -> None:
    writer.body.append(writer.starttag(node, node["tag"], "", **node["attributes"]))


def close_tag(writer, node: Tag) -> None:
    if node["tag"] != "input":
        writer.body.append(f"</{node['tag']}>")


def chapters(env: BuildEnvironment) -> dict[str, Path]:
    """The book's notebooks by the name of their chapter, in the order of its contents."""
    paths = [Path(env.doc2path(page)) for page in env.external_site_map]
    return {path.stem: path for path in paths if path.suffix == ".ipynb"}


def results(env: BuildEnvironment) -> Path:
    """Where the records of the book that is built lie."""
    return Path(env.srcdir) / "data" / "results"


def check(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Stop the build with a sentence for each thing of which notebooks and records disagree."""
    try:
        faults = disagreements(chapters(env).values(), results(env))
        load("spreads", results(env))
    except ValueError as error:
        faults = [str(error)]
    if faults:
        raise ExtensionError(
            "The notebooks and data/results disagree; `make notebooks CHAPTER=…` and `make claims "
            "CHAPTER=…` bring them together:\n" + "\n".join(faults)
        )


def cells_of_scores(path: Path) -> dict[tuple[str, str], int]:
    """The number of the notebook's cell that records each score, by table and row."""
    places = {}
    for index, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        for output in cell.get("outputs", ()):
            record = output.get("metadata", {}).get("ganlib", {}).get("scores")
            if record:
                places[record["table"], record["row"]] = index
    return places


def mark_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give each cell that records a score a name, to which the scoreboard links."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix == ".ipynb":
        places = set(cells_of_scores(path).values())
        for cell in doctree.findall(nodes.container):
            if cell.get("nb_element") == "cell_code" and cell["cell_index"] in places:
                cell["ids"].append(f"scores-{cell['cell_index']}")


class Measured(SphinxDirective):
    """What the two pages share: sections of chapters whose rows can be filtered."""

    def records(self, kind: str) -> list[dict]:
        """The records of one kind, upon which the page depends from now on."""
        self.env.note_dependency(str(results(self.env) / f"{kind}.json"))
        return load(kind, results(self.env))

    def chapters(self) -> dict[str, Path]:
        """The book's chapters; the page depends upon them and their order from now on."""
        found = chapters(self.env)
        for path in (*found.values(), Path(self.env.srcdir) / "_toc.yml"):
            self.env.note_dependency(str(path))
        return found

    def inline(self, text: str) -> list[nodes.Node]:
        """Text in which $mathematics$ is typeset and all else is shown as it is."""
        return self.state.inline_text(markdown(text), self.lineno)[0]

    def prose(self, text: str, **attributes: str) -> Tag:
        """A paragraph of MyST."""
        return tag("p", *self.state.inline_text(text, self.lineno)[0], **attributes)

    def link(self, chapter: str, place: str, text: str) -> nodes.reference:
        page = self.env.path2doc(str(self.chapters()[chapter]))
        address = self.env.app.builder.get_relative_uri(self.env.docname, page)
        return nodes.reference("", text, internal=True, refuri=f"{address}#{place}")

    def section(self, chapter: str, *content: nodes.Node) -> nodes.section:
        """A chapter's part of the page, under its title and in the page's contents."""
        section = nodes.section("", ids=[f"{self.name}-{chapter}"], classes=["measured"])
        section += [nodes.title("", self.titles[chapter]), *content]
        return section

    def by_chapter(self, records: list[dict]) -> dict[str, list[dict]]:
        """Records by their chapter, in the order of the book, of which the title is found here."""
        found = {name: [r for r in records if r["chapter"] == name] for name in self.chapters()}
        self.titles = {
            name: title(nbformat.read(self.chapters()[name], as_version=4))
            for name, here in found.items()
            if here
        }
        return {name: found[name] for name in self.titles}

    def table(self, caption: str, heads: Iterable[str], rows: Iterable[Tag]) -> Tag:
        return tag(
            "table",
            tag("caption", *self.inline(caption)),
            tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
            tag("tbody", *rows),
            class_="measured",
        )

    def filters(self, things: str, choices: dict[str, dict[str, str]]) -> Tag:
        """Controls for `measured.js`, which shows them.

        choices: for each control its choices, from the value in a row's data to what is shown.
        """
        controls = [
            tag(
                "label",
                f"{name.capitalize()} ",
                tag(
                    "select",
                    tag("option", "all", value=""),
                    *(tag("option", text, value=value) for value, text in options.items()),
                    name=name,
                ),
            )
            for name, options in choices.items()
        ]
        controls.append(tag("label", "Text ", tag("input", type="search", name="text")))
        count = tag("output", aria_live="polite", data_things=things)
        return tag("form", *controls, count, class_="measured", role="search", hidden="")


class LedgerDirective(Measured):
    """`{ledger}`: every claim, its bound, what was measured, and the room that repeats leave."""

    def run(self) -> list[nodes.Node]:
        claims = [r for r in self.records("claims") if r["preset"] == "book"]
        spreads = {r["id"]: r for r in self.records("spreads") if r["preset"] == "book"}
        by_chapter = self.by_chapter(claims)
        summary = (
            f"**{len({r['id'] for r in claims})} claims** in {len(by_chapter)} chapters hold at "
            f"seeds {_seeds(claims)}: {len(claims):,} measurements. {len(spreads)} of them were "
            "*repeated* with chance of their own each time: a tick is one measurement, the shade "
            "what the bound allows, and $\\sigma$ the standard deviation of the repeats."
        )
        sections = [self.chapter(name, found, spreads) for name, found in by_chapter.items()]
        filters = self.filters("claims", {"chapter": self.titles})
        return [self.prose(summary), filters, *sections]

    def chapter(self, chapter: str, records: list[dict], spreads: dict) -> nodes.section:
        names = dict.fromkeys(r["id"] for r in records)
        seeds = _seeds(records)
        rows = []
        for name in names:
            same = [r for r in records if r["id"] == name]
            measured = _span([r["measured"] for r in same])
            if _seeds(same) != seeds:
                measured += f" (seeds {_seeds(same)})"
            repeated = self.repeated(spreads[name]) if name in spreads else []
            link = self.link(chapter, anchor(name), name.partition(".")[2])
            statement = tag("span", *self.inline(same[-1]["statement"]))
            rows.append(
                tag(
                    "tr",
                    tag("th", link, " ", statement, scope="row"),
                    tag("td", *self.inline(_held(same[-1]["bound"])), data_label="bound"),
                    tag("td", *self.inline(measured), data_label="measured"),
                    tag("td", *repeated, data_label="repeated"),
                    data_chapter=chapter,
                )
            )
        caption = f"{len(names)} claims, at seeds {seeds}"
        return self.section(
            chapter, self.table(caption, ("claim", "bound", "measured", "repeated"), rows)
        )

    def repeated(self, spread: dict) -> list[nodes.Node]:
        """How often a claim was measured again, with what outcome, and how near a bound that is."""
        values, deviations = spread["values"], room(spread)
        text = f"{len(values)} times: {_span(values)}"
        if math.isinf(deviations):
            return self.inline(text)
        text += f", ${deviations:.1f}\\,\\sigma$ from the bound"
        return [*self.inline(text), strip(values, spread["at_least"], spread["at_most"])]


class ScoreboardDirective(Measured):
    """`{scoreboard}`: the papers' numbers beside the book's, as a picture and as tables."""

    def run(self) -> list[nodes.Node]:
        scores = listed(self.records("scores"))
        by_chapter = self.by_chapter(scores)
        counts = Counter(map(state, scores))
        legend = [
            tag(
                "li",
                mark(name),
                tag("strong", f"{counts[name]} {name}"),
                f": {meaning}",
            )
            for name, (_, meaning) in STATES.items()
        ]
        choices = {"chapter": self.titles, "state": {name: name for name in STATES}}
        return [
            tag("ul", *legend, class_="measured"),
            self.picture(by_chapter),
            self.filters("rows", choices),
            *(self.chapter(name, found) for name, found in by_chapter.items()),
        ]

    def picture(self, by_chapter: dict[str, list[dict]]) -> Tag:
        """Each row as a mark where its gap is, in percent of the paper's number."""
        drawn, told, height = [], [], 0.0
        for chapter, records in by_chapter.items():
            counts = Counter(map(state, records))
            words = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
            told.append(f"{self.titles[chapter]}: {words}.")
            drawn.append(tag("text", self.titles[chapter], x="0", y=f"{height + LABEL - 6:g}"))
            trained = [r for r in records if r["measured"] is not None]
            marks, lanes = swarm(trained, height + LABEL)
            drawn += marks
            height += LABEL + lanes * LANE
        drawing = tag(
            "svg",
            *axis(height),
            *drawn,
            role="img",
            aria_label="Every trained row as a mark, placed by how much better or worse than the "
            f"paper's number it is. {' '.join(told)}",
            width="100%",
            height=f"{height + 42:g}",
        )
        caption = (
            "Every row that was trained: how much better or worse than the paper's number, in "
            "percent of it. What is more than 100% away stands at the edge."
        )
        return tag("figure", drawing, tag("figcaption", caption), class_="measured")

    def chapter(self, chapter: str, records: list[dict]) -> nodes.section:
        places = cells_of_scores(self.chapters()[chapter])
        tables = []
        heads = ("row", "paper", "this book", "gap", "state", "preset and cost")
        for name in dict.fromkeys(r["table"] for r in records):
            here = [r for r in records if r["table"] == name]
            rows = [self.row(r, places[name, r["row"]]) for r in here]
            tables.append(self.table(name.strip(), heads, rows))
        return self.section(chapter, *tables)

    def row(self, record: dict, cell: int) -> Tag:
        ours = cost = ""
        if record["measured"] is not None:
            error = "" if record["spread"] is None else f" ± {record['spread']:.2g}"
            ours = with_unit(f"{record['measured']:.4g}{error}", record["unit"])
            cost = f"{record.get('made_at') or record['preset']}: {record['how']}"
        named = state(record)
        link = self.link(record["chapter"], f"scores-{cell}", "")
        link += self.inline(record["row"])
        return tag(
            "tr",
            tag("th", link, scope="row"),
            tag(
                "td",
                *self.inline(with_unit(record["reported"], record["unit"])),
                data_label="paper",
            ),
            tag("td", *self.inline(ours), data_label="this book"),
            tag("td", *self.inline(told_gap(record)), data_label="gap"),
            tag("td", mark(named), named, data_label="state"),
            tag("td", *self.inline(cost), data_label="preset and cost"),
            data_chapter=record["chapter"],
            data_state=named,
        )


def listed(scores: list[dict]) -> list[dict]:
    """The scores that are rows of the scoreboard."""
    return [r for r in scores if r["seed"] == 0 and r["preset"] != "smoke"]


def gap(record: dict) -> float:
    """How much better than the paper's number the measured one is, in the row's unit."""
    difference = record["measured"] - reported(record)[0]
    return difference if record["better"] == "higher" else -difference


def reported(record: dict) -> tuple[float, float]:
    """The paper's number and the error that it prints, 0 where it prints none."""
    value, error = REPORTED.fullmatch(record["reported"]).groups()
    return float(value), float(error or 0)


def share(record: dict) -> float | None:
    """The gap as a share of the paper's number; None where that is 0."""
    value, _ = reported(record)
    return gap(record) / abs(value) if value else None


def state(record: dict) -> str:
    """Which of `STATES` a score's record is in."""
    if record["measured"] is None:
        return "not trained"
    if not record["falls_short"]:
        return "reached"
    value, error = reported(record)
    return "near" if -gap(record) <= max(NEAR * abs(value), error) else "short"


def counts(folder: Path | None = None) -> dict[str, int]:
    """How many claims and numbers of papers there are, and how many numbers are in each state.

    Of the `STATES`, "not trained" is `untrained`. folder, errors: as for `claims.load`.
    """
    scores = listed(load("scores", folder))
    found = Counter(state(record) for record in scores)
    return {
        "claims": len({r["id"] for r in load("claims", folder) if r["preset"] == "book"}),
        "numbers": len(scores),
        "untrained": found.pop("not trained", 0),
        **{name: found[name] for name in STATES if name != "not trained"},
    }


def with_unit(text: str, unit: str) -> str:
    """A number and its unit, with the space that the unit wants."""
    return f"{text}%" if unit == "%" else f"{text} {unit}"


def told_gap(record: dict) -> str:
    """The gap in words; nothing for a row that is not trained here."""
    if record["measured"] is None:
        return ""
    unit = "points" if record["unit"] == "%" else record["unit"]
    part = share(record)
    percent = "" if part is None else f" ({abs(part):.1%})"
    direction = "better" if gap(record) >= 0 else "worse"
    return f"{with_unit(number(abs(gap(record))), unit)}{percent} {direction}"


def across(part: float) -> float:
    """Where a gap of this share of the paper's number stands, in percent of the width."""
    return 50 + 47 * min(1, max(-1, part))


def swarm(records: list[dict], top: float) -> tuple[list[Tag], int]:
    """A mark for each score, no two on one another, and how many lanes below `top` that takes."""
    places = []
    for record in records:
        part = share(record)
        places.append((across(math.copysign(1, gap(record)) if part is None else part), record))
    marks, last = [], []
    for x, record in sorted(places, key=lambda place: place[0]):
        lane = next((i for i, before in enumerate(last) if x - before >= APART), len(last))
        last[lane : lane + 1] = [x]
        y = top + (lane + 0.5) * LANE
        hint = f"{record['row']}: {told_gap(record)}"
        marks.append(mark(state(record), hint, x=f"{x:.2f}%", y=f"{y:g}"))
    return marks, max(1, len(last))


def axis(height: float) -> list[Tag]:
    """The lines behind the marks and what they mean, for a picture of this height."""
    drawn = []
    for percent, label, meaning, where in (
        (-100, "−100%", "worse", "start"),
        (-50, "−50%", "", "middle"),
        (0, "0%", "the paper", "middle"),
        (50, "+50%", "", "middle"),
        (100, "+100%", "better", "end"),
    ):
        x = f"{across(percent / 100):g}%"
        kind = "grid" if percent else "paper"
        drawn.append(tag("line", x1=x, x2=x, y1="0", y2=f"{height + 4:g}", class_=kind))
        at = {"x": {"start": "0%", "end": "100%"}.get(where, x), "text_anchor": where}
        drawn.append(tag("text", label, y=f"{height + 20:g}", **at))
        drawn.append(tag("text", meaning, y=f"{height + 36:g}", **at))
    return drawn


def mark(name: str, hint: str = "", **place: str) -> Tag:
    """The sign of a state: with a hint at a place in a picture, or in a line of text."""
    drawn = tag("path", d=STATES[name][0], class_=name.replace(" ", "-"))
    if place:
        return tag("svg", tag("title", hint), drawn, overflow="visible", **place)
    return tag("svg", drawn, viewBox="-7 -7 14 14", class_="sign", aria_hidden="true")


def strip(values: list[float], at_least: float | None, at_most: float | None) -> Tag:
    """Repeated measurements as ticks on a line, and the interval in which they have to lie."""
    bounds = [bound for bound in (at_least, at_most) if bound is not None]
    low, high = min(values + bounds), max(values + bounds)

    def at(value: float) -> float:
        return 4 + 92 * (value - low) / ((high - low) or 1)

    left = 0 if at_least is None else at(at_least)
    right = 100 if at_most is None else at(at_most)
    allowed = tag(
        "rect",
        x=f"{left:.1f}%",
        width=f"{right - left:.1f}%",
        y="0",
        height="100%",
        class_="allowed",
    )
    ends = [
        tag("line", x1=f"{at(b):.1f}%", x2=f"{at(b):.1f}%", y1="0", y2="100%", class_="bound")
        for b in bounds
    ]
    ticks = [
        tag("line", x1=f"{at(v):.1f}%", x2=f"{at(v):.1f}%", y1="25%", y2="75%", class_="value")
        for v in sorted(values)
    ]
    return tag("svg", allowed, *ticks, *ends, class_="strip", aria_hidden="true")


def _seeds(records: Iterable[dict]) -> str:
    return ", ".join(str(seed) for seed in sorted({r["seed"] for r in records}))


def _held(bound: str) -> str:
    """A bound whose number stays on the line of its sign."""
    return bound.replace("≤ ", "≤\u00a0").replace("≥ ", "≥\u00a0")


def _span(values: list[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


class Counted(SphinxRole):
    """A count of the ledger or the scoreboard, by its name in `counts`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        for kind in ("claims", "scores"):
            self.env.note_dependency(str(results(self.env) / f"{kind}.json"))
        found = counts(results(self.env))
        if self.text not in found:
            message = f"counted: {self.text} is not known, choose one of {', '.join(found)}"
            return [], [self.inliner.reporter.error(message, line=self.lineno)]
        return [nodes.Text(f"{found[self.text]:,}")], []


def setup(app: Sphinx) -> dict[str, object]:
    app.add_node(Tag, html=(open_tag, close_tag))
    app.add_directive("ledger", LedgerDirective)
    app.add_directive("scoreboard", ScoreboardDirective)
    app.add_role("counted", Counted())
    app.connect("env-before-read-docs", check)
    app.connect("doctree-read", mark_cells)
    return {
        "version": "1",
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
