"""The ledger and the scoreboard: what they say, and when a book does not build for them."""

import io
import json
import os
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace
from test_claims import claim, score, spread, write_records

from ganlib.claims import disagreements, load
from ganlib.publishing import measured

BOOK = Path(__file__).parents[1]
# Text that would be something else in Markdown or in HTML.
HOSTILE = [
    "<script>alert(1)</script> & &lt;",
    "a | b *d* and $5 [x](javascript:y) ![z](w) <http://v>",
    "`code` # e\\ ~~f~~ {doc}`one`",
]


def of(kind, record):
    """A cell that states what a record says."""
    shown = new_output("display_data", {"text/plain": "shown"}, metadata={"ganlib": {kind: record}})
    return new_code_cell("1", execution_count=1, outputs=[shown])


def write_book(folder, chapters, **records):
    """A book of chapters, each with these cells, and of the two pages, with these records."""
    results = folder / "data" / "results"
    results.mkdir(parents=True)
    for kind, found in records.items():
        write_records(results, kind, found)
    (folder / "chapters").mkdir()
    for name, cells in chapters.items():
        heading = new_markdown_cell(f"# Chapter {name}\n\nText.")
        about = {"language_info": {"name": "python", "pygments_lexer": "python"}}
        notebook = new_notebook(cells=[heading, *cells], metadata=about)
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        (folder / "chapters" / f"{name}.ipynb").write_text(json.dumps(notebook))
    for name in ("ledger", "scoreboard"):
        (folder / "chapters" / f"{name}.md").write_text(f"# The {name}\n\n```{{{name}}}\n```\n")
    (folder / "index.md").write_text("# A book\n")
    pages = "".join(f"  - file: chapters/{n}\n" for n in (*chapters, "ledger", "scoreboard"))
    (folder / "_toc.yml").write_text(f"format: jb-article\nroot: index\nsections:\n{pages}")
    (folder / "conf.py").write_text(
        "extensions = ['sphinx.ext.mathjax', 'myst_nb', 'sphinx_external_toc', "
        "'ganlib.publishing.measured']\nmyst_enable_extensions = ['dollarmath']\n"
        "nb_execution_mode = 'off'\nhtml_theme = 'basic'\n"
        "exclude_patterns = ['jupyter_execute', 'out']\n"
    )
    return folder


def build(folder):
    """Build the book; the two pages, and how many pages were read."""
    warned, said = io.StringIO(), io.StringIO()
    places = (folder, folder, folder / "out", folder / "trees")
    with docutils_namespace():
        Sphinx(*places, "html", status=said, warning=warned).build()
    assert warned.getvalue() == ""
    chapters = folder / "out" / "chapters"
    pages = {
        name: BeautifulSoup((chapters / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        for name in ("ledger", "scoreboard")
    }
    return pages, re.sub(r"\x1b\[[\d;]*m", "", said.getvalue())


def cells_of(page):
    return [
        [" ".join(cell.get_text().split()) for cell in row.find_all(["th", "td"])]
        for row in page.select("table.measured tbody tr")
    ]


# What the pages say


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    claims = [
        claim(measured=0.25, seed=1),
        claim(measured=0.125),
        claim(id="one.sum", measured=2.0, statement="$|x|$ is two.", bound="|x| ≤ 3"),
        claim("two", id="two.a-b"),
    ]
    smoke = [claim(measured=0.875, preset="smoke")]
    scores = [
        score(),
        score(row="a|b", measured=225.5, spread=None, falls_short=False, made_at="paper"),
        score(row="close", measured=222.75, spread=None),
        score(row="other", measured=None, spread=None, falls_short=None, how=""),
        score(chapter="two", table="Table 2", unit="%", reported="97", measured=96.5),
    ]
    more = [score(row="MNIST", seed=1, measured=1.0)]
    chapters = {
        "two": [of("claims", claims[3]), of("scores", scores[4])],
        "one": [of("claims", r) for r in claims[1:3]] + [of("scores", r) for r in scores[:4]],
    }
    spreads = [spread(values=[0.25, 0.75, 0.5])]
    records = {"claims": claims + smoke, "scores": scores + more, "spreads": spreads}
    write_book(folder, chapters, **records)
    return folder, *build(folder)[0].values()


def test_the_ledger_gives_ranges_over_seeds_in_the_order_of_the_book(small):
    _, page, _ = small
    assert [title.get_text() for title in page.select("section.measured > h2")] == [
        "Chapter two¶",
        "Chapter one¶",
    ]
    assert cells_of(page) == [
        ["a-b The gap is small.", "gap ≤ 1", "0.5", ""],
        [
            "gap The gap is small.",
            "gap ≤ 1",
            "0.125 to 0.25",
            "3 times: 0.25 to 0.75, \\(2.4\\,\\sigma\\) from the bound",
        ],
        ["sum \\(|x|\\) is two.", "|x| ≤ 3", "2 (seeds 0)", ""],
    ]
    links = [link["href"] for link in page.select("table.measured tbody th a")]
    assert links == ["two.html#claim-two-a-b", "one.html#claim-one-gap", "one.html#claim-one-sum"]
    assert "3 claims in 2 chapters hold at seeds 0, 1: 4 measurements." in page.get_text()


def test_the_scoreboard_gives_gaps_and_states(small):
    _, _, page = small
    assert cells_of(page) == [
        ["MNIST", "97%", "96.5 ± 1.5%", "0.5 points (0.5%) worse", "near", "book: 2 minutes"],
        ["MNIST", "225 ± 2 nats", "210 ± 1.5 nats", "15 nats (6.6%) worse"]
        + ["short", "book: 2 minutes"],
        ["a|b", "225 ± 2 nats", "225.5 nats", "0.5 nats (0.2%) better"]
        + ["reached", "paper: 2 minutes"],
        ["close", "225 ± 2 nats", "222.8 nats", "2.25 nats (1.0%) worse"]
        + ["near", "book: 2 minutes"],
        ["other", "225 ± 2 nats", "", "", "not trained", ""],
    ]
    states = [row["data-state"] for row in page.select("table.measured tbody tr")]
    assert states == [row[4] for row in cells_of(page)]
    legend = [item.get_text().partition(":")[0] for item in page.select("ul.measured li")]
    assert legend == ["1 reached", "2 near", "1 short", "1 not trained"]


def test_the_picture_has_a_mark_for_each_trained_row_and_says_what_it_shows(small):
    (drawing,) = small[2].select("figure svg[role=img]")
    marks = drawing.select("svg > path")
    assert sorted(mark["class"][0] for mark in marks) == ["near", "near", "reached", "short"]
    assert [mark.parent["x"] for mark in marks if mark["class"] == ["near"]] == ["49.76%", "49.53%"]
    assert "Chapter one: 1 reached, 1 near, 1 short, 1 not trained." in drawing["aria-label"]


def test_rows_lead_to_the_cells_that_measure_them(small):
    folder, _, page = small
    links = [link["href"] for link in page.select("table.measured tbody th a")]
    assert links == ["two.html#scores-2"] + [f"one.html#scores-{n}" for n in (3, 4, 5, 6)]
    for link in links:
        name, _, place = link.partition("#")
        html = (folder / "out" / "chapters" / name).read_text(encoding="utf-8")
        assert html.count(f'id="{place}"') == 1


def test_tables_have_captions_and_scopes_and_controls_have_labels(small):
    for page in small[1:]:
        for table in page.select("table.measured"):
            assert table.caption.get_text()
            assert all(head["scope"] == "col" for head in table.select("thead th"))
            assert all(row.th["scope"] == "row" for row in table.select("tbody tr"))
            assert all(cell["data-label"] for cell in table.select("td"))
        assert page.form.has_attr("hidden"), "without script there is nothing to filter with"
        assert page.form.output["aria-live"] == "polite"
        assert all(control.parent.name == "label" for control in page.form(["select", "input"]))
        options = {option["value"] for option in page.select("select[name=chapter] option")}
        assert options == {""} | {r["data-chapter"] for r in page.select("tr[data-chapter]")}


def test_the_pages_are_made_anew_when_a_record_changes(small):
    folder = small[0]
    assert "0 added, 0 changed" in build(folder)[1]
    later = (folder / "out" / "chapters" / "ledger.html").stat().st_mtime + 10
    os.utime(folder / "data" / "results" / "scores.json", (later, later))
    assert "0 added, 1 changed" in build(folder)[1]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_comes_back_from_a_page_as_it_went_in(tmp_path, text):
    stated, scored = claim(statement=text, bound=text), score(table=text, row=text, how=text)
    chapters = {"one": [of("claims", stated), of("scores", scored)]}
    pages, _ = build(write_book(tmp_path, chapters, claims=[stated], scores=[scored]))
    assert cells_of(pages["ledger"]) == [[f"gap {text}", text, "0.5", ""]]
    (row,) = cells_of(pages["scoreboard"])
    assert (row[0], row[5]) == (text, f"book: {text}")
    assert pages["scoreboard"].caption.get_text() == text
    assert not any(page.select("table.measured script") for page in pages.values())


# When a book does not build


def test_a_book_without_records_and_statements_builds(tmp_path):
    pages, _ = build(write_book(tmp_path, {"one": []}))
    assert [cells_of(page) for page in pages.values()] == [[], []]


FAULTS = {
    "a claim without a record": (
        [of("claims", claim())],
        {},
        "one: the notebook states one.gap, expected a record of it in claims.json",
    ),
    "a record without a claim": (
        [],
        {"claims": [claim()]},
        "one: claims.json has a record of one.gap, expected a notebook that states it",
    ),
    "a record of no chapter": (
        [of("claims", claim())],
        {"claims": [claim(), claim("gone")]},
        "gone: claims.json has a record of gone.gap, expected a notebook that states it",
    ),
    "another statement": (
        [of("claims", claim())],
        {"claims": [claim(), claim(seed=3, statement="It is not.")]},
        "one: the statement of one.gap is 'The gap is small.' in the notebook and 'It is not.' in "
        "the record of seed 3, expected the same",
    ),
    "another bound": (
        [of("claims", claim(bound="gap ≤ 2"))],
        {"claims": [claim()]},
        "one: the bound of one.gap is 'gap ≤ 2' in the notebook and 'gap ≤ 1' in",
    ),
    "a score without a record": (
        [of("scores", score())],
        {},
        "one: the notebook states Table 1, MNIST, expected a record of it in scores.json",
    ),
    "another number of the paper": (
        [of("scores", score())],
        {"scores": [score(reported="9")]},
        "one: the reported of Table 1, MNIST is '225 ± 2' in the notebook and '9' in",
    ),
    "another chapter's claim": (
        [of("claims", claim("two"))],
        {"claims": [claim("two")]},
        "one.ipynb states two.gap for the chapter two, expected one",
    ),
    "a damaged file": ([], {"spreads": [{}]}, "spreads.json is damaged: record 0"),
    "a number of no paper": (
        [],
        {"scores": [score(reported="many")]},
        "scores.json is damaged: record 0 has reported: 'many'",
    ),
    "a cell that was not run": ([new_code_cell("1")], {}, "one.ipynb has a cell that was not run"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_book_that_contradicts_its_records_does_not_build(tmp_path, fault):
    cells, records, message = FAULTS[fault]
    with pytest.raises(ExtensionError, match=re.escape(message)):
        build(write_book(tmp_path, {"one": cells}, **records))


def test_other_presets_need_a_claim_but_may_have_another_bound(tmp_path):
    smoke = claim(preset="smoke", bound="gap ≤ 9")
    write_book(tmp_path, {"one": [of("claims", claim())]}, claims=[claim(), smoke])
    notebooks, folder = [tmp_path / "chapters" / "one.ipynb"], tmp_path / "data" / "results"
    assert disagreements(notebooks, folder) == []
    write_records(folder, "claims", [claim(), smoke | {"id": "one.other"}])
    assert len(disagreements(notebooks, folder)) == 1


# States and gaps


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"reported": "100", "measured": 100.0, "falls_short": False}, "reached"),
        ({"reported": "100", "measured": 99.0}, "near"),
        ({"reported": "100", "measured": 98.9}, "short"),
        ({"reported": "100", "measured": 101.0, "better": "lower"}, "near"),
        ({"reported": "100", "measured": 101.1, "better": "lower"}, "short"),
        ({"reported": "100 ± 3", "measured": 97.0}, "near"),
        ({"reported": "100 ± 3", "measured": 96.9}, "short"),
        ({"reported": "-100", "measured": -101.0}, "near"),
        ({"reported": "0", "measured": 1e-9, "better": "lower"}, "short"),
        ({"measured": None, "spread": None, "falls_short": None}, "not trained"),
    ],
)
def test_states_are_as_the_page_defines_them(changes, state):
    assert measured.state(score(**changes)) == state


def test_a_gap_has_the_rows_unit_and_a_direction():
    better = {"reported": "-708 ± 18.1", "measured": 158.0}
    assert measured.told_gap(score(**better)) == "866 nats (122.3%) better"
    lower = {"reported": "2e-05", "measured": 3e-5, "better": "lower", "unit": "nats"}
    assert measured.told_gap(score(**lower)) == "$10^{-5}$ nats (50.0%) worse"
    assert measured.told_gap(score(reported="0", measured=2.0)) == "2 nats better"
    assert measured.told_gap(score(unit="%", reported="97", measured=96.5)) == (
        "0.5 points (0.5%) worse"
    )


def test_no_two_marks_lie_on_one_another():
    records = [score(measured=200.0 + step, row=str(step)) for step in range(20)]
    marks, lanes = measured.swarm(records, 0)
    places = [(float(m["attributes"]["x"][:-1]), float(m["attributes"]["y"])) for m in marks]
    assert len(set(places)) == 20 and 1 < lanes < 20
    for x, y in places:
        apart = [abs(x - other) for other, lane in places if lane == y and other != x]
        assert min(apart, default=9) >= measured.APART - 0.01
    far = [score(reported="1", measured=1e9), score(reported="1", measured=-1e9)]
    assert [m["attributes"]["x"] for m in measured.swarm(far, 0)[0]] == ["3.00%", "97.00%"]


def test_a_strip_shades_what_the_bounds_allow():
    allowed, *ticks, low, high = measured.strip([1.0, 2.0], 0.0, 4.0)
    assert (allowed["attributes"]["x"], allowed["attributes"]["width"]) == ("4.0%", "92.0%")
    assert [tick["attributes"]["x1"] for tick in ticks] == ["27.0%", "50.0%"]
    assert (low["attributes"]["x1"], high["attributes"]["x1"]) == ("4.0%", "96.0%")
    allowed = measured.strip([1.0, 2.0], None, 4.0)[0]
    assert (allowed["attributes"]["x"], allowed["attributes"]["width"]) == ("0.0%", "96.0%")


# The committed book


def test_every_committed_score_has_a_state_and_a_cell():
    scores = [r for r in load("scores") if r["seed"] == 0]
    for record in scores:
        assert measured.state(record) in measured.STATES
    for chapter in {r["chapter"] for r in scores}:
        places = measured.cells_of_scores(BOOK / "chapters" / f"{chapter}.ipynb")
        assert places.keys() == {(r["table"], r["row"]) for r in scores if r["chapter"] == chapter}


def test_counts_are_those_of_the_pages(small):
    folder, _, scoreboard = small
    found = measured.counts(folder / "data/results")
    listed = re.findall(r"(\d+) (reached|near|short|not trained)", scoreboard.get_text(" "))
    said = {name: int(count) for count, name in listed}
    assert found["claims"] == 3
    assert found["numbers"] == sum(said.values()) == len(cells_of(scoreboard))
    for name, count in said.items():
        assert found["untrained" if name == "not trained" else name] == count
