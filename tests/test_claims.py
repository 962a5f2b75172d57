"""Claims: checked, shown, carried by an executed notebook, collected and listed on the pages."""

import json
import math
import re
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from ganlib import datasets, pages
from ganlib.claims import ClaimError, Ledger, collect, load
from ganlib.pages import ledger_page, scoreboard_page
from ganlib.runtime import Run, start

RUN = Run("book", torch.device("cpu"), 3, torch.float32)

CHAPTER = [
    """
from ganlib.claims import Ledger
from ganlib.runtime import start
ledger = Ledger("tiny", start("smoke", "cpu", 7))
ledger.check("sum", "It adds up.", quantity="the sum", measured=4.125, at_least=4, at_most=5)
ledger.score("Table 1", "row", unit="nats", reported=2, measured=1.875, how="a second")
""",
    """
from ganlib.datasets import to_signed_unit
from ganlib.figures import glue, show_source
show_source(to_signed_unit)
glue(answer=42.5, name="forty-two")
""",
    """
from ganlib.progress import Progress
with Progress("Counting to three", 3) as progress:
    for _ in range(3):
        progress.update()
""",
    """
with Progress("Counting to two", 3) as progress:
    progress.update()
    raise ValueError("stopped")
""",
]


def claim(**changes):
    record = {
        "id": "one.gap",
        "chapter": "one",
        "statement": "The gap is small.",
        "quantity": "gap",
        "bound": "gap ≤ 1",
        "measured": 0.5,
        "seed": 0,
        "preset": "book",
    }
    return record | changes


def score(**changes):
    record = {
        "chapter": "one",
        "table": "Table 1",
        "row": "MNIST",
        "unit": "nats",
        "reported": "225 ± 2",
        "measured": 210.04,
        "spread": 1.5,
        "better": "higher",
        "falls_short": True,
        "how": "2 minutes",
        "seed": 0,
        "preset": "book",
    }
    return record | changes


def write_notebook(path, outputs, count=1):
    code = {"cell_type": "code", "source": "1", "execution_count": count, "outputs": outputs}
    cells = [{"cell_type": "markdown"}, code]
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    return path


def shown(kind, record):
    return {"output_type": "display_data", "metadata": {"ganlib": {kind: record}}}


def write_records(folder, kind, records):
    (folder / f"{kind}.json").write_text(json.dumps(records), encoding="utf-8")


def cells_of(page):
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


# Checking


@pytest.mark.parametrize(
    "bounds, bound",
    [
        ({"at_most": 0.5}, "gap ≤ 0.5"),
        ({"at_least": 0.5}, "gap ≥ 0.5"),
        ({"at_least": 0, "at_most": 0.5}, "0 ≤ gap ≤ 0.5"),
    ],
)
def test_a_claim_that_holds_is_kept_and_shown_without_its_value(capsys, bounds, bound):
    ledger = Ledger("one", RUN)
    ledger.check("gap", "The gap is small.", quantity="gap", measured=0.5, **bounds)
    kept = ledger.checked["one.gap"]
    assert (kept.id, kept.chapter, kept.statement) == ("one.gap", "one", "The gap is small.")
    assert (kept.quantity, kept.bound, kept.measured) == ("gap", bound, 0.5)
    assert (kept.seed, kept.preset) == (3, "book")
    assert capsys.readouterr().out == f"✓ one.gap: The gap is small. [{bound}]\n"


def test_the_line_is_the_same_whatever_was_measured(capsys):
    lines = set()
    for measured in (0.1, torch.tensor(0.234567)):
        Ledger("one", RUN).check("gap", "Small.", quantity="gap", measured=measured, at_most=1)
        lines.add(capsys.readouterr().out)
    assert len(lines) == 1


@pytest.mark.parametrize(
    "measured, bounds",
    [
        (0.51, {"at_most": 0.5}),
        (0.49, {"at_least": 0.5}),
        (-0.01, {"at_least": 0, "at_most": 1}),
        (1.01, {"at_least": 0, "at_most": 1}),
        (math.inf, {"at_most": 1}),
        (math.nan, {"at_most": 1}),
        (math.nan, {"at_least": 0}),
    ],
)
def test_a_claim_that_fails_raises_and_is_not_kept(capsys, measured, bounds):
    ledger = Ledger("one", RUN)
    with pytest.raises(ClaimError) as caught:
        ledger.check("gap", "The gap is small.", quantity="gap", measured=measured, **bounds)
    needed = ("one.gap", "The gap is small.", f"measured {measured:g}", "seed 3", "preset book")
    assert all(words in str(caught.value) for words in needed)
    assert ledger.checked == {}
    assert capsys.readouterr().out == ""


def test_a_claim_needs_a_bound():
    with pytest.raises(ValueError, match="gap: a claim needs a bound"):
        Ledger("one", RUN).check("gap", "Small.", quantity="gap", measured=0.5)


def test_a_name_is_checked_only_once():
    ledger = Ledger("one", RUN)
    ledger.check("gap", "Small.", quantity="gap", measured=0.5, at_most=1)
    with pytest.raises(ValueError, match="one.gap was already checked"):
        ledger.check("gap", "Small.", quantity="gap", measured=0.5, at_most=1)


def test_a_score_names_the_choices_of_better():
    with pytest.raises(ValueError, match="'more'.*'higher'.*'lower'"):
        Ledger("one", RUN).score(
            "Table 1", "row", unit="nats", reported=1, measured=1, better="more", how="now"
        )


def test_a_score_is_shown_without_its_value(capsys):
    Ledger("one", RUN).score(
        "Table 1", "MNIST", unit="nats", reported=225, reported_spread=2, measured=210.5, how="now"
    )
    line = "MNIST, reported 225 ± 2 nats: on the scoreboard.\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(
    "better, measured, short",
    [
        ("higher", 1.9, True),
        ("higher", 2.0, False),
        ("higher", 2.1, False),
        ("lower", 1.9, False),
        ("lower", 2.0, False),
        ("lower", 2.1, True),
    ],
)
def test_a_score_that_falls_short_is_recorded_as_such(monkeypatch, better, measured, short):
    records = []
    monkeypatch.setattr("ganlib.claims._show", lambda *shown: records.append(shown[-2:]))
    Ledger("one", RUN).score(
        "Table 1", "row", unit="bits", reported=2, measured=measured, better=better, how="now"
    )
    ((kind, record),) = records
    assert kind == "scores"
    assert record["falls_short"] is short
    assert (record["measured"], record["reported"], record["better"]) == (measured, "2", better)


# Collecting


def test_records_replace_those_of_the_same_chapter_seed_and_preset(tmp_path):
    others = [claim(chapter="two"), claim(seed=1), claim(preset="smoke")]
    write_records(tmp_path, "claims", [claim(measured=0.1), claim(id="one.gone"), *others])
    write_records(tmp_path, "scores", [score(table="Table gone"), score(chapter="two")])
    outputs = [
        {"output_type": "stream", "text": "a line"},
        shown("claims", claim(measured=0.9)),
        shown("claims", claim(id="one.new")),
    ]
    notebook = write_notebook(tmp_path / "one.ipynb", outputs)
    assert collect([notebook], tmp_path) == {"claims": 2, "scores": 0}
    claims = load("claims", tmp_path)
    assert len(claims) == 5
    assert all(record in claims for record in [claim(measured=0.9), claim(id="one.new"), *others])
    assert load("scores", tmp_path) == [score(chapter="two")]


def test_several_notebooks_are_collected_into_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    assert load("claims") == []
    first = write_notebook(tmp_path / "b.ipynb", [shown("claims", claim(chapter="b"))])
    second = write_notebook(tmp_path / "a.ipynb", [shown("scores", score(chapter="a"))])
    assert collect([first, second]) == {"claims": 1, "scores": 1}
    assert load("claims", tmp_path / "results") == [claim(chapter="b")]
    assert load("scores") == [score(chapter="a")]


def test_collecting_twice_changes_nothing(tmp_path):
    notebook = write_notebook(tmp_path / "one.ipynb", [shown("claims", claim())])
    collect([notebook], tmp_path)
    before = (tmp_path / "claims.json").read_bytes()
    collect([notebook], tmp_path)
    assert (tmp_path / "claims.json").read_bytes() == before


def test_a_failed_cell_is_refused_and_nothing_is_written(tmp_path):
    failure = {"output_type": "error", "ename": "ClaimError", "evalue": "one.gap does not hold"}
    notebook = write_notebook(tmp_path / "one.ipynb", [shown("claims", claim()), failure])
    with pytest.raises(ValueError, match="one.ipynb.*ClaimError: one.gap does not hold"):
        collect([notebook], tmp_path)
    assert not (tmp_path / "claims.json").exists()


def test_a_notebook_that_was_not_run_is_refused(tmp_path):
    good = write_notebook(tmp_path / "one.ipynb", [shown("claims", claim())])
    unrun = write_notebook(tmp_path / "two.ipynb", [], count=None)
    with pytest.raises(ValueError, match="two.ipynb.*expected an executed notebook"):
        collect([good, unrun], tmp_path)
    assert not (tmp_path / "claims.json").exists()


def test_a_score_that_is_not_finite_is_refused():
    ledger = Ledger("chapter", start("smoke", "cpu", 0))
    with pytest.raises(ValueError, match="expected a finite number"):
        ledger.score("table", "row", unit="", reported=1, measured=float("nan"), how="")


def test_a_wrong_kind_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match="'claim'.*claims, scores"):
        load("claim", tmp_path)


# Pages


def test_the_ledger_page_gives_ranges_over_seeds(tmp_path):
    records = [
        claim(measured=0.25, seed=1),
        claim(measured=0.125),
        claim(id="one.sum", measured=2.0, statement="$|x|$ is two.", bound="|x| ≤ 3"),
        claim(measured=0.875, seed=2, preset="smoke"),
        claim(id="two.gap", chapter="two"),
    ]
    write_records(tmp_path, "claims", records)
    page = ledger_page(tmp_path)
    rows = cells_of(page)
    assert page.index("**[one](one.ipynb)**") < page.index("**[two](two.ipynb)**")
    gap, total = '<a href="one.html#claim-one-gap">gap</a>', "claim-one-sum"
    assert [row[1:] for row in rows if "claim-" in row[0]] == [
        ["gap ≤ 1", "0.125 to 0.25"],
        [r"\|x\| ≤ 3", "2"],
        ["gap ≤ 1", "0.5"],
    ]
    assert rows[2][0] == f"{gap}: The gap is small."
    assert total in rows[3][0] and rows[3][0].endswith(r"$\|x\|$ is two.")
    assert "measured at seeds 0, 1\n" in page and "measured at seeds 0\n" in page
    assert "0.875" not in page


def test_small_and_large_numbers_are_shown_as_powers_of_ten():
    ledger = Ledger("one", start("smoke", "cpu", 0))
    numbers = {1e-12: "$10^{-12}$", 2.5e-9: "$2.5 \\cdot 10^{-9}$", 0.02: "0.02", 10.0: "10"}
    for number, shown in numbers.items():
        ledger.check(str(number), "", quantity="x", measured=0, at_most=number)
        assert ledger.checked[f"one.{number}"].bound == f"x ≤ {shown}"


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


# What cells leave in an executed notebook


def test_an_executed_notebook_carries_records_source_quotes_and_titles(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CHAPTER])
    client = NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    ledger_cell, figures_cell, progress_cell, stopped_cell = [c.outputs for c in notebook.cells]

    # Claims and scores: fixed text on the page, the measured value in the metadata alone.
    assert [output.output_type for output in ledger_cell] == ["display_data"] * 2
    checked = ledger_cell[0].data
    assert checked["text/plain"] == "✓ tiny.sum: It adds up. [4 ≤ the sum ≤ 5]"
    assert '<a id="claim-tiny-sum"></a>✓ **tiny.sum**' in checked["text/markdown"]
    assert "4.125" not in str(checked) and "1.875" not in str(ledger_cell[1].data)
    path = tmp_path / "tiny.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="failed cell: ValueError: stopped"):
        collect([path], tmp_path)
    del notebook.cells[-1]
    nbformat.write(notebook, path)
    assert collect([path], tmp_path) == {"claims": 1, "scores": 1}
    (record,) = load("claims", tmp_path)
    assert record == {
        "id": "tiny.sum",
        "chapter": "tiny",
        "statement": "It adds up.",
        "quantity": "the sum",
        "bound": "4 ≤ the sum ≤ 5",
        "measured": 4.125,
        "seed": 7,
        "preset": "smoke",
    }
    (record,) = load("scores", tmp_path)
    assert (record["measured"], record["reported"], record["falls_short"]) == (1.875, "2", True)

    # show_source: the very lines of the file. glue: the records that myst-nb looks for.
    source = figures_cell[0].data["text/markdown"]
    code = source.removeprefix("```python\n").removesuffix("\n```")
    assert code.startswith("def to_signed_unit") and code.endswith("- 1")
    assert code in Path(datasets.__file__).read_text(encoding="utf-8")
    mime = "application/papermill.record/"
    for output, name, text in zip(
        figures_cell[1:], ["answer", "name"], ["42.5", "'forty-two'"], strict=True
    ):
        assert output.metadata == {"scrapbook": {"name": name, "mime_prefix": mime}}
        assert output.data == {f"{mime}text/plain": text}

    # Progress: exactly its title, also when the block fails.
    assert [output.data for output in progress_cell] == [{"text/plain": "Counting to three"}]
    assert stopped_cell[0].data == {"text/plain": "Counting to two"}
    assert [output.output_type for output in stopped_cell] == ["display_data", "error"]


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
