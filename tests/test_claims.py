"""Claims: checked, shown, carried by an executed notebook, collected and listed on the pages."""

import json
import math
import re
from configparser import ConfigParser
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from ganlib import claims, datasets
from ganlib.claims import ClaimError, Ledger, anchor, collect, load, markdown, number
from ganlib.runtime import Run

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


def claim(chapter="one", **changes):
    record = {
        "id": f"{chapter}.gap",
        "chapter": chapter,
        "statement": "The gap is small.",
        "quantity": "gap",
        "bound": "gap ≤ 1",
        "measured": 0.5,
        "seed": 0,
        "preset": "book",
    }
    return record | changes


def spread(**changes):
    record = {
        "id": "one.gap",
        "chapter": "one",
        "values": [0.25, 0.5],
        "at_least": None,
        "at_most": 1.0,
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


# Checking


@pytest.mark.parametrize(
    "bounds, bound",
    [
        ({"at_most": 0.5}, "gap ≤ 0.5"),
        ({"at_least": 0.5}, "gap ≥ 0.5"),
        ({"at_least": 0, "at_most": 0.5}, "0 ≤ gap ≤ 0.5"),
    ],
)
def test_a_claim_that_holds_is_kept_and_shown_with_its_value(capsys, bounds, bound):
    ledger = Ledger("one", RUN)
    ledger.check("gap", "The gap is small.", quantity="gap", measured=0.5, **bounds)
    kept = ledger.checked["one.gap"]
    assert (kept.id, kept.chapter, kept.statement) == ("one.gap", "one", "The gap is small.")
    assert (kept.quantity, kept.bound, kept.measured) == ("gap", bound, 0.5)
    assert (kept.seed, kept.preset) == (3, "book")
    line = f"✓ one.gap: The gap is small. [{bound}] measured: 0.5\n"
    assert capsys.readouterr().out == line


def sanitized(text):
    """Text as the notebooks' tests compare it: their file of patterns applied."""
    patterns = ConfigParser()
    patterns.read(Path(__file__).parent / "notebooks.cfg", encoding="utf-8")
    for name in patterns.sections():
        text = re.sub(patterns[name]["regex"], patterns[name]["replace"], text)
    return text


def test_the_compared_line_is_the_same_whatever_was_measured(capsys):
    lines = set()
    for measured in (0.1, torch.tensor(0.234567), 1e-9):
        Ledger("one", RUN).check("gap", "Small.", quantity="gap", measured=measured, at_most=1)
        lines.add(sanitized(capsys.readouterr().out))
    assert lines == {"✓ one.gap: Small. [gap ≤ 1] measured: ...\n"}


def repeated(repeats, again, **bounds):
    """The records of a claim that is checked once, by kind."""
    ledger, records = Ledger("one", RUN, repeats), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganlib.claims._show", lambda *shown: records.append(shown[-1]))
        ledger.check("gap", "Small.", quantity="gap", measured=0.5, again=again, **bounds)
    return records[0]


def test_a_measurement_is_repeated_at_other_seeds_each_time():
    seeds = []
    again = lambda seed: seeds.append(seed) or len(seeds) / 4  # noqa: E731
    found = repeated(3, again, at_most=1)["spreads"]
    assert found == {
        "id": "one.gap",
        "chapter": "one",
        "values": [0.25, 0.5, 0.75],
        "at_least": None,
        "at_most": 1.0,
        "seed": 3,
        "preset": "book",
    }
    assert len(set(seeds)) == 3 and all(0 <= seed < 2**63 for seed in seeds)
    first = list(seeds)
    repeated(3, again, at_most=1)
    assert seeds[3:] == first, "the same repeats whenever they are made"


def test_nothing_is_repeated_unasked(monkeypatch):
    def fail(seed):
        raise AssertionError("repeated")

    monkeypatch.delenv(claims.REPEATS, raising=False)
    assert repeated(None, fail, at_most=1).keys() == {"claims"}
    assert repeated(5, None, at_most=1).keys() == {"claims"}
    monkeypatch.setenv(claims.REPEATS, "2")
    assert repeated(None, float, at_least=0)["spreads"]["at_least"] == 0
    monkeypatch.setenv(claims.REPEATS, "some")
    with pytest.raises(ValueError, match="GANLIB_REPEATS='some' in the environment: expected"):
        Ledger("one", RUN)


def test_a_repeat_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="one.gap: measured again nan: expected a finite"):
        repeated(1, lambda seed: math.nan, at_most=1)
    with pytest.raises(ValueError, match="repeats=-1"):
        Ledger("one", RUN, -1)


@pytest.mark.parametrize(
    "values, bounds, room",
    [
        ([1.0, 3.0], {"at_most": 4.0}, 2.0),
        ([1.0, 3.0], {"at_least": -1.0}, 3.0),
        ([1.0, 3.0], {"at_least": -1.0, "at_most": 4.0}, 2.0),
        ([1.0, 1.0], {"at_most": 1.0}, math.inf),
        ([0.0, 0.0, 0.0, 9.0], {"at_most": 8.0}, -1.0),
    ],
)
def test_room_is_the_bounds_distance_in_deviations(values, bounds, room):
    assert claims.room({"values": values, "at_least": None, "at_most": None} | bounds) == room


@pytest.mark.parametrize(
    "measured, bounds",
    [
        (0.51, {"at_most": 0.5}),
        (0.49, {"at_least": 0.5}),
        (-0.01, {"at_least": 0, "at_most": 1}),
        (1.01, {"at_least": 0, "at_most": 1}),
        (math.inf, {"at_most": 1}),
        (math.inf, {"at_least": 1}),
        (torch.tensor(-math.inf), {"at_most": 1}),
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


@pytest.mark.parametrize(
    "bounds, complaint",
    [
        ({"at_most": math.inf}, "gap: at_most inf: expected a finite number"),
        ({"at_least": math.nan, "at_most": 1}, "gap: at_least nan: expected a finite number"),
        ({"at_least": 2, "at_most": 1}, "gap: at_least=2 above at_most=1"),
    ],
)
def test_bounds_that_are_none_are_refused(bounds, complaint):
    with pytest.raises(ValueError, match=complaint):
        Ledger("one", RUN).check("gap", "Small.", quantity="gap", measured=1.5, **bounds)


@pytest.mark.parametrize(
    "changes",
    [{"measured": "0.5"}, {"measured": True}, {"measured": torch.zeros(2)}, {"measured": 10**400}]
    + [{"at_most": None, "at_least": "0"}, {"at_most": True}, {"statement": 5}, {"quantity": None}],
)
def test_what_is_no_number_or_no_text_is_named(changes):
    arguments = {"statement": "Small.", "quantity": "gap", "measured": 0.5, "at_most": 1} | changes
    (name,) = [name for name, value in changes.items() if value is not None or len(changes) == 1]
    with pytest.raises(TypeError, match=f"gap: {name}: .*expected"):
        Ledger("one", RUN).check("gap", **arguments)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a_b", "é", "a\n", '"><b>', 5, None])
def test_names_are_made_of_letters_digits_and_hyphens(name):
    with pytest.raises(ValueError, match="name=.*expected letters, digits and hyphens"):
        Ledger("one", RUN).check(name, "Small.", quantity="gap", measured=0.5, at_most=1)
    with pytest.raises(ValueError, match="chapter=.*expected letters, digits and hyphens"):
        Ledger(name, RUN)


def test_a_ledger_needs_a_run():
    with pytest.raises(TypeError, match="expected a Run"):
        Ledger("one", "book")


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


def test_a_row_is_recorded_only_once():
    ledger = Ledger("one", RUN)
    ledger.score("Table 1", "row", unit="nats", reported=1, measured=1)
    ledger.score("Table 2", "row", unit="nats", reported=1, measured=None)
    with pytest.raises(ValueError, match="Table 1, row was already recorded"):
        ledger.score("Table 1", "row", unit="nats", reported=1, measured=2)


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
    monkeypatch.setattr("ganlib.claims._show", lambda *shown: records.append(shown[-1]))
    Ledger("one", RUN).score(
        "Table 1", "row", unit="bits", reported=2, measured=measured, better=better, how="now"
    )
    (kinds,) = records
    assert kinds.keys() == {"scores"}
    record = kinds["scores"]
    assert record["falls_short"] is short
    assert (record["measured"], record["reported"], record["better"]) == (measured, "2", better)


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({name: value}, f"T, row: {name} .*expected a finite number")
        for name in ("measured", "reported", "spread", "reported_spread")
        for value in (math.nan, math.inf)
    ]
    + [
        ({"spread": -0.1}, "T, row: a spread below 0"),
        ({"reported_spread": -0.1}, "T, row: a spread below 0"),
        ({"made_at": "bok"}, "made_at='bok': choose one of smoke, book, paper"),
        ({"table": " "}, "table=' ': expected a name"),
        ({"row": ""}, "row='': expected a name"),
        ({"reported": None}, "T, row: reported: None, expected a number"),
        ({"unit": None}, "T, row: unit: None, expected text"),
        ({"how": 3}, "T, row: how: 3, expected text"),
    ],
)
def test_a_score_that_is_none_is_refused_and_not_kept(capsys, changes, complaint):
    ledger = Ledger("one", RUN)
    arguments = {"table": "T", "row": "row", "unit": "nats", "reported": 1, "measured": 1} | changes
    with pytest.raises((ValueError, TypeError), match=complaint):
        ledger.score(**arguments)
    assert ledger.scored == {} and capsys.readouterr().out == ""


# Collecting


def test_records_replace_those_of_the_same_chapter_seed_and_preset(tmp_path):
    others = [claim("two"), claim(seed=1), claim(preset="smoke")]
    write_records(tmp_path, "claims", [claim(measured=0.1), claim(id="one.gone"), *others])
    write_records(tmp_path, "scores", [score(table="Table gone"), score(chapter="two")])
    outputs = [
        {"output_type": "stream", "text": "a line"},
        shown("claims", claim(measured=0.9)),
        shown("claims", claim(id="one.new")),
    ]
    notebook = write_notebook(tmp_path / "one.ipynb", outputs)
    assert collect([notebook], tmp_path) == {"claims": 2, "scores": 0, "spreads": 0}
    claims = load("claims", tmp_path)
    assert len(claims) == 5
    assert all(record in claims for record in [claim(measured=0.9), claim(id="one.new"), *others])
    assert load("scores", tmp_path) == [score(chapter="two")]


def test_several_notebooks_are_collected_into_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    assert load("claims") == []
    first = write_notebook(tmp_path / "b.ipynb", [shown("claims", claim("b"))])
    second = write_notebook(tmp_path / "a.ipynb", [shown("scores", score(chapter="a"))])
    assert collect([first, second]) == {"claims": 1, "scores": 1, "spreads": 0}
    assert load("claims", tmp_path / "results") == [claim("b")]
    assert load("scores") == [score(chapter="a")]


def test_what_a_chapter_no_longer_makes_goes_at_every_seed_of_that_preset(tmp_path):
    kept = [claim(seed=1), claim("two", seed=1), claim(id="one.gone", preset="smoke")]
    gone = [claim(id="one.gone", seed=seed) for seed in (0, 1)]
    write_records(tmp_path, "claims", kept + gone)
    kept_scores = [
        score(seed=1),
        score(row="gone", chapter="two"),
        score(row="gone", preset="paper"),
    ]
    gone_scores = [score(row="gone", seed=1), score(table="Table gone", seed=1)]
    write_records(tmp_path, "scores", kept_scores + gone_scores)
    outputs = [shown("claims", claim()), shown("scores", score())]
    collect([write_notebook(tmp_path / "one.ipynb", outputs)], tmp_path)
    assert sorted(map(str, load("claims", tmp_path))) == sorted(map(str, [claim(), *kept]))
    assert sorted(map(str, load("scores", tmp_path))) == sorted(map(str, [score(), *kept_scores]))


def test_a_claim_that_some_notebook_of_the_chapter_makes_stays(tmp_path):
    old = claim(id="one.late", seed=2)
    write_records(tmp_path, "claims", [old])
    first = write_notebook(tmp_path / "a.ipynb", [shown("claims", claim())])
    late = claim(id="one.late", seed=1)
    second = write_notebook(tmp_path / "b.ipynb", [shown("claims", late)])
    collect([first, second], tmp_path)
    assert load("claims", tmp_path) == [claim(), late, old]


def test_a_notebook_without_records_changes_nothing(tmp_path):
    write_records(tmp_path, "claims", [claim()])
    empty = write_notebook(tmp_path / "one.ipynb", [])
    assert collect([empty], tmp_path) == {"claims": 0, "scores": 0, "spreads": 0}
    assert load("claims", tmp_path) == [claim()]


@pytest.mark.parametrize("kind, record", [("claims", claim()), ("scores", score())])
def test_a_record_twice_in_a_notebook_is_refused(tmp_path, kind, record):
    notebook = write_notebook(tmp_path / "one.ipynb", [shown(kind, record)] * 2)
    with pytest.raises(ValueError, match="one.ipynb has .* twice"):
        collect([notebook], tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_two_notebooks_of_one_run_are_refused(tmp_path):
    paths = [
        write_notebook(tmp_path / f"{name}.ipynb", [shown("claims", claim(id=f"one.{name}"))])
        for name in "ab"
    ]
    with pytest.raises(ValueError, match="a.ipynb and .*b.ipynb both hold one at seed 0.*book"):
        collect(paths, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_spreads_stay_until_they_are_measured_again(tmp_path):
    def take(seed, *kinds):
        records = {kind: make(seed=seed) for kind, make in kinds}
        output = {"output_type": "display_data", "data": {}, "metadata": {"ganlib": records}}
        collect([write_notebook(tmp_path / "one.ipynb", [output])], tmp_path / "results")
        return load("spreads", tmp_path / "results")

    both = ("claims", claim), ("spreads", spread)
    assert take(0, ("claims", claim)) == []
    assert take(0, *both) == [spread()]
    assert take(0, ("claims", claim)) == [spread()], "nothing was repeated, so it stays"
    assert take(5, *both) == [spread(seed=5)], "one set of repeats is kept"


@pytest.mark.parametrize(
    "changes",
    [
        {"values": []},
        {"values": [0.5, None]},
        {"values": [0.5, True]},
        {"values": [math.nan]},
        {"values": 0.5},
        {"at_most": "1"},
        {"id": "gap"},
    ],
)
def test_a_damaged_spread_is_refused(tmp_path, changes):
    write_records(tmp_path, "spreads", [spread(), spread(**{"id": "one.other"} | changes)])
    with pytest.raises(ValueError, match="spreads.json is damaged: "):
        load("spreads", tmp_path)


def test_a_notebook_of_two_runs_is_refused(tmp_path):
    outputs = [shown("claims", claim()), shown("claims", claim(id="one.b", seed=1))]
    notebook = write_notebook(tmp_path / "one.ipynb", outputs)
    with pytest.raises(ValueError, match="one.ipynb has records of 2 runs"):
        collect([notebook], tmp_path / "results")


# What is no list of records of one kind.
DAMAGES = {
    "empty": "",
    "truncated": json.dumps([claim()])[:-20],
    "no list": json.dumps({"claims": []}),
    "no records": "[1]",
    "a key less": json.dumps([{k: v for k, v in claim().items() if k != "bound"}]),
    "a key more": json.dumps([claim(extra=1)]),
    "another type": json.dumps([claim(measured="0.5")]),
    "a flag for a number": json.dumps([claim(seed=True)]),
    "not finite": json.dumps([claim(measured=math.nan)]),
    "too large": json.dumps([claim(measured=10**400)]),
    "another preset": json.dumps([claim(preset="bok")]),
    "a wrong name": json.dumps([claim(id='one."><b>')]),
    "a name of another chapter": json.dumps([claim(id="two.gap")]),
    "a record twice": json.dumps([claim(), claim(measured=0.25)]),
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_and_nothing_changes(tmp_path, damage):
    write_records(tmp_path, "scores", [score()])
    (tmp_path / "claims.json").write_text(damage)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    notebook = write_notebook(tmp_path / "one.ipynb", [shown("scores", score(row="new"))])
    with pytest.raises(ValueError) as caught:
        collect([notebook], tmp_path)
    needed = (str(tmp_path / "claims.json"), "is damaged", "expected a list of claims")
    needed += ("`git checkout -- data/results/claims.json`", "`make claims`")
    assert all(words in str(caught.value) for words in needed)
    notebook.unlink()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "changes",
    [{"better": "more"}, {"row": ""}, {"falls_short": None}, {"measured": None}, {"seed": -1}]
    + [{"chapter": "a b"}, {"made_at": 3}],
)
def test_a_damaged_score_is_refused(tmp_path, changes):
    write_records(tmp_path, "scores", [score(), score(seed=1) | changes])
    with pytest.raises(ValueError, match="scores.json is damaged: record 1 "):
        load("scores", tmp_path)
    notebook = write_notebook(tmp_path / "one.ipynb", [shown("scores", score() | changes)])
    with pytest.raises(ValueError, match="one.ipynb is damaged: .*one of its scores"):
        collect([notebook], tmp_path / "results")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"cells": 5}', '{"cells": [5]}', '{"cells": [{}]}']
)
def test_a_damaged_notebook_is_named(tmp_path, content):
    notebook = tmp_path / "one.ipynb"
    with pytest.raises(ValueError, match="one.ipynb is missing: expected an executed notebook"):
        collect([notebook], tmp_path)
    notebook.write_text(content)
    with pytest.raises(ValueError, match="one.ipynb is damaged: expected an executed notebook"):
        collect([notebook], tmp_path)


def test_a_list_of_notebooks_is_expected(tmp_path):
    with pytest.raises(TypeError, match="expected a list of paths"):
        collect(str(tmp_path / "one.ipynb"), tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_full_disk_leaves_no_half_written_file(tmp_path, monkeypatch, failing, call):
    write_records(tmp_path, "claims", [claim()])
    write_records(tmp_path, "scores", [score()])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    outputs = [shown("claims", claim(measured=0.9)), shown("scores", score(measured=9.0))]
    notebook = write_notebook(tmp_path / "one.ipynb", outputs)
    working, calls = getattr(claims.os, failing), []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise OSError(28, "No space left on device")
        return working(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(claims.os, failing, fail)
        with pytest.raises(ValueError, match="cannot be written .No space left on device."):
            collect([notebook], tmp_path)
    notebook.unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"claims.json", "scores.json"}
    if (failing, call) != ("replace", 2):
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    # Whichever was replaced is whole.
    assert len(load("claims", tmp_path)) == len(load("scores", tmp_path)) == 1


def test_a_folder_that_is_a_file_is_named(tmp_path):
    notebook = write_notebook(tmp_path / "one.ipynb", [shown("claims", claim())])
    for folder in (notebook, notebook / "results"):
        with pytest.raises(ValueError, match="expected"):
            collect([notebook], folder)


def test_the_committed_records_are_whole():
    assert len(load("claims")) > 400 and len(load("scores")) > 100


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


def test_a_wrong_kind_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match="'claim'.*claims, scores"):
        load("claim", tmp_path)


# Numbers and text


@pytest.mark.parametrize(
    "value, shown",
    [(1e-12, "$10^{-12}$"), (2.5e-9, "$2.5 \\cdot 10^{-9}$"), (0.02, "0.02"), (10, "10")],
)
def test_small_and_large_numbers_are_shown_as_powers_of_ten(value, shown):
    ledger = Ledger("one", RUN)
    ledger.check("gap", "", quantity="x", measured=0, at_most=value)
    assert ledger.checked["one.gap"].bound == f"x ≤ {shown}"


def test_only_finite_numbers_and_whole_names_are_shown():
    for wrong in (math.nan, -math.inf):
        with pytest.raises(ValueError, match="expected a finite number"):
            number(wrong)
    with pytest.raises(TypeError, match="expected a number"):
        number("1")
    for wrong in ("one", "one.a b", "a.b.c"):
        with pytest.raises(ValueError, match="expected letters, digits and hyphens"):
            anchor(wrong)


@pytest.mark.parametrize(
    "text, shown",
    [
        ("plain, 10,000 · (a) - b!", "plain, 10,000 · (a) - b!"),
        ("1 < 2 & <b>", "1 &#60; 2 &#38; &#60;b&#62;"),
        ("$a < b$ < c", "$a < b$ &#60; c"),
        (r"$\{x \mid \|x\| < 1\}$ and $x_1$", r"$\{x \mid \|x\| < 1\}$ and $x_1$"),
        (r"$a \$ b$", r"$a \$ b$"),
        ("costs $5", "costs &#36;5"),
        (r"costs \$5 to \$6", "costs &#36;5 to &#36;6"),
        ("$x$ for $5", "$x$ for &#36;5"),
        ("$$", "&#36;&#36;"),
        ("a\r\nb\u2028c $x\ny$", "a b c $x y$"),
        (
            "*a* _b_ `c` [d](e) ~f~ \\",
            "&#42;a&#42; &#95;b&#95; &#96;c&#96; &#91;d&#93;(e) &#126;f&#126; &#92;",
        ),
        ("a | b", "a | b"),
    ],
)
def test_text_is_shown_as_it_is_and_mathematics_stays(text, shown):
    assert markdown(text) == shown


# What cells leave in an executed notebook


def test_an_executed_notebook_carries_records_source_quotes_and_titles(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CHAPTER])
    client = NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    ledger_cell, figures_cell, progress_cell, stopped_cell = [c.outputs for c in notebook.cells]

    # Claims and scores: text on the page, of which only what is measured differs; all digits are
    # in the metadata alone.
    assert [output.output_type for output in ledger_cell] == ["display_data"] * 2
    checked = ledger_cell[0].data
    plain = "✓ tiny.sum: It adds up. [4 ≤ the sum ≤ 5] measured: 4.12"
    assert checked["text/plain"] == plain
    assert '<a id="claim-tiny-sum"></a>✓ **tiny.sum**' in checked["text/markdown"]
    assert "4.125" not in str(checked) and "1.875" not in str(ledger_cell[1].data)
    path = tmp_path / "tiny.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="failed cell: ValueError: stopped"):
        collect([path], tmp_path)
    del notebook.cells[-1]
    nbformat.write(notebook, path)
    assert collect([path], tmp_path) == {"claims": 1, "scores": 1, "spreads": 0}
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
