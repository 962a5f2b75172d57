"""The first cell of a plain copy, where its library is missing: under papermill, in a venv."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ganlib.publishing.plain import plain_copy, read_book

PROJECT = """
[project]
name = "ganlib"
version = "1"
dependencies = ["torch>=0.1", "Pillow>=1", "a-need>=1", "tqdm>=1,<99"]
"""
PARAMETERS = new_code_cell('preset: str = "book"', metadata={"tags": ["parameters"]})
USES = """
import os, subprocess, sys
import a_need, ganlib
there = subprocess.run([sys.executable, "-c", "import ganlib"]).returncode == 0
print(preset, a_need.version, there, os.getcwd(), "set_up" in globals())
print(ganlib.__file__)
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A Python that has all packages of this one but ganlib; each link stands for one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = folder / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "ganlib" not in path.name:
            (packages / path.name).symlink_to(path)
    python = folder / "bin" / "python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    Path(site, "packages.pth").write_text(f"{packages}\n")
    return python


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small book that is a repository, and the package that its library will miss."""
    top = tmp_path_factory.mktemp("published")
    book = top / "book.git"
    for name, text in {
        "ganlib/__init__.py": "",
        "data/here": "",
        "pyproject.toml": PROJECT,
        "_toc.yml": "root: intro\nchapters:\n  - file: chapters/one\n",
        "_config.yml": "title: A Small Book\n",
        "intro.md": "# Intro\n",
        "references.bib": "",
    }.items():
        (book / name).parent.mkdir(parents=True, exist_ok=True)
        (book / name).write_text(text)
    (book / "chapters").mkdir()
    metadata = {"kernelspec": {"name": "python3", "display_name": "P", "language": "python"}}
    cells = [PARAMETERS, new_code_cell(USES)]
    nbformat.write(new_notebook(cells=cells, metadata=metadata), book / "chapters" / "one.ipynb")
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for step in (["init"], ["add", "."], [*identity, "commit", "-m", "one"]):
        subprocess.run(["git", "-C", book, *step], check=True, capture_output=True)
    # The newer one asks for another tqdm than the one that is there.
    for name, version, asks in [("a_need", 2, ""), ("a_need", 3, "tqdm==98"), ("tqdm", 98, "")]:
        with zipfile.ZipFile(top / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            about = f"Name: {name}\nVersion: {version}\n" + (
                f"Requires-Dist: {asks}\n" if asks else ""
            )
            wheel.writestr(f"{name}.py", f"version = {version}")
            wheel.writestr(f"{name}-{version}.dist-info/METADATA", about)
            wheel.writestr(
                f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return book


@pytest.fixture
def run(without, published, tmp_path):
    """Runs the small book's copy in a Python, from an empty folder, at an empty home."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    source = tmp_path / "one.ipynb"

    def execute(python=without, address=published, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("GITHUB_REPOSITORY", raising=False)
            book = read_book(published, address=str(address))
        nbformat.write(plain_copy("chapters/one", book), source)
        dropped = ("PYTHONPATH", "GANLIB_DATA", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(published.parent)}
        command = [python, "-m", "papermill", source, "out.ipynb", "-p", "preset", "smoke"]
        done = subprocess.run(
            [*map(str, command), "-k", "python3", "--no-progress-bar"],
            cwd=folder,
            env=kept | offline | {"HOME": str(home)} | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert [path.name for path in folder.iterdir()] in ([], ["out.ipynb"])
        return done, nbformat.read(folder / "out.ipynb", 4), home / ".cache"

    return execute


def printed(notebook):
    return ["".join(o.get("text", "") for o in c.get("outputs", ())) for c in notebook.cells[1:]]


def test_a_copy_runs_as_it_is_and_again(run):
    done, first, cache = run()
    assert done.returncode == 0, done.stderr
    (clone,) = cache.iterdir()
    assert (clone / "data" / "here").is_file()
    library, preset, injected, used = printed(first)
    assert library == f"ganlib comes from {clone}; installed a-need>=1\n"
    assert preset == injected == ""
    folder = clone.parents[1].with_name("folder")
    said = f"smoke 2 True {folder} False\n{clone / 'ganlib' / '__init__.py'}\n"
    assert used == said
    inode = clone.stat().st_ino
    done, again, cache = run(PIP_FIND_LINKS="", PATH="/nowhere")  # nothing is left to bring
    assert done.returncode == 0, done.stderr
    assert printed(again)[0] == f"ganlib comes from {clone}\n" and printed(again)[-1] == said
    assert [path.stat().st_ino for path in cache.iterdir()] == [inode]


def test_where_the_library_is_nothing_happens(run):
    done, copied, cache = run(python=sys.executable)
    assert done.returncode == 1 and "No module named 'a_need'" in done.stderr
    assert printed(copied)[0] == "" and not cache.exists()


@pytest.mark.parametrize(
    ("address", "more", "words"),
    [
        ("https://nobody.invalid/ada/games", {}, "fetch .* failed; is there a network\\?\n.*fatal"),
        ("/nowhere/games", {}, "'/nowhere/games' does not appear to be a git repository"),
        (None, {"PATH": "/nowhere"}, "git is not installed, and brings the book here"),
    ],
)
def test_a_book_that_cannot_be_had_is_named_and_leaves_nothing(
    run, published, address, more, words
):
    done, _, cache = run(address=address or published, **more)
    assert done.returncode == 1
    assert re.search(f"RuntimeError: (?:.|\n)*{words}", done.stderr), done.stderr
    assert not list(cache.iterdir())
