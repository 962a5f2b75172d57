"""How a chapter is run: alone on its thread, its output together, its time beside its budget."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import chapter
import nbformat
import pytest

BOOK = Path(__file__).parents[1]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one small chapter, in whose folder nothing else is."""
    monkeypatch.setattr(chapter, "BOOK", tmp_path)
    monkeypatch.setattr(chapter, "SECONDS", tmp_path / "runs" / "seconds")
    monkeypatch.delenv("GANLIB_REPEATS", raising=False)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "tests").symlink_to(BOOK / "tests")
    return tmp_path


def write(book, *sources, outputs=()):
    parameters = nbformat.v4.new_code_cell('preset = "book"\nseed = 0')
    parameters.metadata["tags"] = ["parameters"]
    cells = [parameters, *map(nbformat.v4.new_code_cell, sources)]
    for cell, shown in zip(cells[1:], outputs, strict=False):
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)]
    for count, cell in enumerate(cells, 1):
        cell.execution_count = count
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=kernel), book / "chapters" / "one.ipynb"
    )


THREADS = "import os; print([os.environ[n] for n in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY')], seed)"


def test_a_chapter_runs_on_one_thread_that_does_not_spin(book, capsys):
    write(book, THREADS)
    assert chapter.run("run", "one", "smoke", 3) == 0
    made = nbformat.read(book / chapter.made("one", "smoke", 3), 4)
    assert made.cells[-1].outputs[0].text == "['1', 'PASSIVE'] 3\n"
    said = capsys.readouterr().out
    assert re.fullmatch(r"run one \(smoke, seed 3\): passed, \d+ s of processor time\n", said)
    record = json.loads((book / "runs" / "seconds" / "one-smoke.json").read_text())
    assert record["preset"] == "smoke" and 0 < record["seconds"] < 100


def test_a_chapters_time_is_its_own(book):
    # A child that ended before, of the same process.
    subprocess.run([sys.executable, "-c", "sum(range(2 * 10**8))"], check=True)
    earlier = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    write(book, "pass")
    assert chapter.run("run", "one", "smoke", 0) == 0
    record = json.loads((book / "runs" / "seconds" / "one-smoke.json").read_text())
    spent = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - earlier
    assert earlier > 1 and record["seconds"] == pytest.approx(spent, abs=0.1)


def test_a_failure_shows_its_log_and_leaves_no_time(book, capsys):
    write(book, "raise ValueError('the reason')")
    assert chapter.run("run", "one", "smoke", 0) != 0
    said = capsys.readouterr().out
    assert "the reason" in said and "FAILED" in said
    assert not list((book / "runs" / "seconds").iterdir())


@pytest.mark.parametrize(
    "shown, passes",
    [
        ("gap ≤ 1] measured: 0.25\n", True),
        ("gap ≤ 1] measured: 0.5\n", True),
        ("gap ≤ 2] measured: 0.25\n", False),
    ],
)
def test_what_was_measured_may_differ_and_nothing_else(book, shown, passes):
    write(book, "print('gap ≤ 1] measured: 0.25')", outputs=[shown])
    assert (chapter.run("verify", "one", "book", 0) == 0) is passes


def test_a_chapter_is_run_in_its_place(book):
    write(book, "print(1 + 1)", outputs=["3\n"])
    assert chapter.run("place", "one", "book", 0) == 0
    assert nbformat.read(book / "chapters" / "one.ipynb", 4).cells[-1].outputs[0].text == "2\n"


@pytest.mark.parametrize(
    "seconds, verdict, status",
    [(29.0, "", 0), (31.0, "over", 0), (61.0, "FAR OVER", 1)],
)
def test_a_chapter_over_its_budget_is_named(book, capsys, seconds, verdict, status):
    chapter.SECONDS.mkdir(parents=True)
    record = {"chapter": "one", "preset": "smoke", "seconds": seconds}
    (chapter.SECONDS / "one-smoke.json").write_text(json.dumps(record))
    paper = record | {"preset": "paper", "seconds": 9e9}
    (chapter.SECONDS / "one-paper.json").write_text(json.dumps(paper))
    assert chapter.budget() == status
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"one at smoke             {seconds:6.0f} s of 30 {verdict}"


def test_a_chapter_that_is_none_is_refused():
    command = [sys.executable, "tests/chapter.py", "run", "minmax"]
    result = subprocess.run(command, cwd=BOOK, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "chapter 'minmax': expected one that lies in" in result.stderr


def test_every_chapter_has_its_targets_and_the_longest_begin():
    said = subprocess.run(
        ["make", "--dry-run", "smoke", "verify"],
        cwd=BOOK,
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
    ).stdout
    chapters = [path.stem for path in (BOOK / "chapters").glob("*.ipynb")]
    for verb, words in (("smoke", "run {} --preset smoke"), ("verify", "verify {}")):
        order = [c for line in said.splitlines() for c in chapters if words.format(c) in line]
        assert sorted(order) == sorted(chapters), verb
