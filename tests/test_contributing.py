"""The contributor's page, followed to the letter in a copy of the book."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ganlib.publishing.front import lifted, opening

BOOK = Path(__file__).parents[1]
PAGE = (BOOK / "contributing.md").read_text(encoding="utf-8")
# A block of code, with the line above it that says where it goes, or commands.
STEP = re.compile(
    r"^(?:(?P<how>New file|At the end of|(?P<side>After|Before) the line `(?P<line>.+)` of) "
    r"`(?P<path>\S+)`:\n\n)?"
    r"```(?P<kind>python|yaml|sh)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The files that git knows, with the environment that runs this test."""
    folder = tmp_path_factory.mktemp("book")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=BOOK, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        # One that is deleted and not yet committed is still listed.
        if (BOOK / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BOOK / name, folder / name)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / "ready").unlink(missing_ok=True)
    (folder / ".venv" / "ready").touch()  # later than what `make` would install
    return folder


def do(step: re.Match, folder: Path) -> None:
    """Put a block of code into its file, or run commands."""
    if step["kind"] == "sh":
        for command in step["text"].splitlines():
            here = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
            environment = {k: v for k, v in os.environ.items() if k != "GANLIB_DATA"} | here
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
            )
            assert not done.returncode, f"{command}\n{done.stdout}{done.stderr}"
        return
    assert step["how"], f"a block of code without a place: {step['text'][:80]}"
    path = folder / step["path"]
    assert path.is_file() != (step["how"] == "New file"), step["path"]
    if step["how"] == "New file":
        path.write_text(step["text"], encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    if step["line"]:
        line = f"\n{step['line']}\n"
        assert text.count(line) == 1, f"{step['path']} has no single line {step['line']!r}"
        at = text.index(line) + (len(line) if step["side"] == "After" else 1)
        path.write_text(text[:at] + step["text"] + text[at:], encoding="utf-8")
    else:
        path.write_text(f"{text}\n\n{step['text']}", encoding="utf-8")


def recipes() -> dict[str, list[re.Match]]:
    """The steps of the page, by heading."""
    sections = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return {
        name: list(STEP.finditer(text))
        for name, text in zip(sections[::2], sections[1::2], strict=True)
    }


def test_the_page_has_a_recipe_for_each():
    names = ["A game", "An order", "A metric", "A divergence", "A chapter"]
    assert list(recipes()) == names
    for steps in recipes().values():
        assert steps[0]["how"], "a recipe starts with code"
        assert steps[-1]["kind"] == "sh", "and ends with a command"


def test_every_recipe_works_as_it_stands(copy):
    """One after the other: the chapter plays the game of the first recipe."""
    for steps in recipes().values():
        for step in steps:
            do(step, copy)
        code = [step["path"] for step in steps if (step["path"] or "").endswith(".py")]
        if not (copy / code[0]).is_file():  # the chapter's text is a notebook by now
            code = [code[0].replace(".py", ".ipynb")]
        for way in (["check"], ["format", "--check"]):
            ruff = [".venv/bin/ruff", *way, *code]
            done = subprocess.run(ruff, cwd=copy, capture_output=True, text=True)
            assert not done.returncode, done.stdout
    # What the map on the front page needs of a chapter is there.
    notebook = nbformat.read(copy / "runs" / "squares-smoke-0.ipynb", as_version=4)
    assert opening(notebook).needs == ("minimax",)
    assert lifted(notebook).name == "fig-squares-ring"
