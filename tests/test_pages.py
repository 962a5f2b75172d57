"""The ledger and the scoreboard: what their tables say, and that nothing breaks out of them."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from test_claims import claim, score, spread, write_records

from ganlib import pages
from ganlib.pages import ledger_page, scoreboard_page

# What the book's pages are read with: tables, and mathematics between dollars.
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
READER.use(dollarmath_plugin, double_inline=True)


def cells_of(page):
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


# The two pages


def test_the_ledger_page_gives_ranges_over_seeds(tmp_path):
    records = [
        claim(measured=0.25, seed=1),
        claim(measured=0.125),
        claim(id="one.sum", measured=2.0, statement="$|x|$ is two.", bound="|x| ≤ 3"),
        claim(measured=0.875, seed=2, preset="smoke"),
        claim("two"),
    ]
    write_records(tmp_path, "claims", records)
    write_records(tmp_path, "spreads", [spread(values=[0.25, 0.75, 0.5])])
    page = ledger_page(tmp_path)
    rows = cells_of(page)
    assert page.index("**[one](one.ipynb)**") < page.index("**[two](two.ipynb)**")
    gap, total = '<a href="one.html#claim-one-gap">gap</a>', "claim-one-sum"
    assert [row[1:] for row in rows if "claim-" in row[0]] == [
        ["gap ≤ 1", "0.125 to 0.25", "0.25 to 0.75 (3 times)"],
        [r"\|x\| ≤ 3", "2 (seeds 0)", ""],
        ["gap ≤ 1", "0.5", ""],
    ]
    assert rows[2][0] == f"{gap}: The gap is small."
    assert total in rows[3][0] and rows[3][0].endswith(r"$\|x\|$ is two.")
    assert "measured at seeds 0, 1\n" in page and "measured at seeds 0\n" in page
    assert "0.875" not in page


def test_the_scoreboard_page_gives_verdicts(tmp_path):
    records = [
        score(),
        score(row="a|b", measured=2.5, spread=None, falls_short=False, preset="paper"),
        score(row="other", measured=None, falls_short=None, how=""),
        score(row="smoky", preset="smoke"),
        score(row="seeded", seed=1),
        score(table="Table 2", chapter="two"),
    ]
    write_records(tmp_path, "scores", records)
    page = scoreboard_page(tmp_path)
    rows = cells_of(page)
    assert {len(row) for row in rows} == {5}
    assert rows[2] == ["MNIST", "225 ± 2 nats", "210 ± 1.5 nats", "falls short", "book: 2 minutes"]
    assert rows[3] == [r"a\|b", "225 ± 2 nats", "2.5 nats", "reached", "paper: 2 minutes"]
    assert rows[4] == ["other", "225 ± 2 nats", "", "not trained here", ""]
    assert "smoky" not in page and "seeded" not in page
    assert page.index("**Table 1** ([one](one.ipynb))") < page.index("**Table 2** ([two]")


def test_pages_of_an_empty_folder_are_empty(tmp_path):
    assert ledger_page(tmp_path) == scoreboard_page(tmp_path) == ""


def test_pages_follow_the_table_of_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path / "data"))
    chapters = ("alpha", "beta", "gamma")
    assert pages.in_reading_order(set(chapters)) == ["alpha", "beta", "gamma"]
    contents = "parts:\n  - chapters:\n      - file: chapters/gamma\n      - file: chapters/alpha\n"
    (tmp_path / "_toc.yml").write_text(contents)
    assert pages.in_reading_order(set(chapters)) == ["gamma", "alpha", "beta"]


def test_a_score_says_at_which_preset_its_model_was_made(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    common = {"chapter": "c", "table": "T", "unit": "nats", "reported": "1", "measured": 2.0}
    common |= {"spread": None, "better": "lower", "falls_short": True, "seed": 0, "preset": "book"}
    rows = [
        {**common, "row": "live", "how": "a minute"},
        {**common, "row": "shipped", "how": "an hour", "made_at": "paper"},
    ]
    (folder / "scores.json").write_text(json.dumps(rows))
    page = scoreboard_page(folder)
    assert "book: a minute" in page and "paper: an hour" in page


def test_chapters_are_a_set_of_names():
    for wrong in ("one", ["one"], {1}):
        with pytest.raises(TypeError, match="expected a set of names"):
            pages.in_reading_order(wrong)


# Text that would be something else in Markdown


def read(page):
    """Each row of a page's tables as cells of (visible text, kinds of tokens)."""
    rows = []
    tokens = READER.parse(page)
    for before, token in zip(tokens, tokens[1:], strict=False):
        if before.type == "tr_open":
            rows.append([])
        if before.type == "td_open":
            children = token.children
            shown = [f"${t.content}$" if t.type == "math_inline" else t.content for t in children]
            hidden = [t.type == "html_inline" for t in children]
            text = "".join(s for s, html in zip(shown, hidden, strict=True) if not html)
            rows[-1].append((text, {t.type for t in children}))
    kinds = {token.type for token in tokens}
    assert kinds <= {f"{n}_{k}" for n in KINDS_OF_BLOCK for k in ("open", "close")} | {"inline"}
    return [row for row in rows if row]


KINDS_OF_BLOCK = ("paragraph", "table", "thead", "tbody", "tr", "th", "td")
hostile = st.text(st.sampled_from("ab1 <>&|`*_[]()~$#!-+=:;\"'{}/\n\r"), min_size=1, max_size=30)


@settings(deadline=None)
@given(hostile)
@example("<script>alert(1)</script> & &lt;")
@example("a | b\n| c | d |\n\n# e")
@example("$a | b < c$ and *d* and $5")
@example("$$a$$ [x](javascript:y) ![z](w) <http://v>")
def test_text_comes_back_from_a_page_as_it_went_in(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("results")
    text = f"a{text}a"
    write_records(folder, "claims", [claim(statement=text, bound=text)])
    expected = " ".join(text.splitlines())
    cells = read(ledger_page(folder))[0]
    (statement, kinds), (bound, bound_kinds), (measured, _), _ = cells
    assert (statement, bound, measured) == (f"gap: {expected}", expected, "0.5")
    known = {"text", "text_special", "math_inline"}
    assert kinds <= known | {"html_inline"} and bound_kinds <= known

    write_records(folder, "scores", [score(table=text, row=text, unit=text, how=text)])
    page = scoreboard_page(folder)
    cells = read(page)[0]
    assert [len(row) for row in read(page)] == [5]
    assert all(kinds <= known for _, kinds in cells)
    assert cells[0][0] == expected and cells[4][0] == f"book: {expected}"
    assert len(page.splitlines()) == 5


@settings(deadline=None)
@given(st.text(st.sampled_from("a$\\|<`\n "), max_size=20))
def test_backslashes_do_not_break_out(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("results")
    write_records(folder, "claims", [claim(statement=text, bound=text)])
    (row,) = read(ledger_page(folder))
    assert len(row) == 4 and row[2][0] == "0.5"
    assert all(kinds <= {"text", "text_special", "math_inline", "html_inline"} for _, kinds in row)


@pytest.mark.parametrize("page", [ledger_page, scoreboard_page])
def test_a_damaged_file_is_named(tmp_path, page):
    name = page.__name__.replace("ledger_page", "claims").replace("scoreboard_page", "scores")
    (tmp_path / f"{name}.json").write_text("[{")
    with pytest.raises(ValueError, match=f"{name}.json is damaged"):
        page(tmp_path)
