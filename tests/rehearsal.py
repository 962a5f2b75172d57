"""Run the published notebooks as a stranger would: `python tests/rehearsal.py [CHAPTER ...]`.

A fresh venv has torch and the Jupyter basics, but neither ganlib nor safetensors. The plain copy of
each chapter, whose library comes from a local clone instead of the published repository, is
executed by papermill at the smoke preset, from an empty folder at an empty home: once where all is
missing, and once where all is there. What is rehearsed is the last commit.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat

BOOK = Path(__file__).resolve().parents[1]
FOLDER = BOOK / "runs" / "rehearsal"
# What a hosted notebook has; pip adds what these need.
HOSTED = ["torch", "numpy", "scipy", "matplotlib", "tqdm", "pillow", "ipykernel", "papermill"]
MISSING = ["ganlib", "safetensors"]
PYTHON = FOLDER / "venv" / "bin" / "python"


def calm(home: Path) -> dict[str, str]:
    """The environment of a stranger on one thread."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "GANLIB_DATA", "GITHUB_REPOSITORY")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"HOME": str(home), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def prepare() -> Path:
    """Make the venv and the clone; write the copies, into the folder that is returned."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    pins = BOOK / "requirements.txt"
    subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--constraint", pins, *HOSTED]
    subprocess.run(install, check=True)
    clone = FOLDER / "book.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", BOOK, clone], check=True)
    copies = FOLDER / "notebooks"
    write = [sys.executable, "-m", "ganlib.publishing.plain", copies, "--repository", clone]
    subprocess.run(write, cwd=BOOK, stdout=subprocess.DEVNULL, check=True)
    return copies


def rehearse(notebook: Path) -> str:
    """Run a copy twice; what went wrong, or nothing."""
    home, folder = FOLDER / "home", FOLDER / "empty"
    for path in (home, folder):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()

    def python(*arguments: str | Path) -> subprocess.CompletedProcess:
        command = [PYTHON, "-m", *arguments]
        return subprocess.run(
            command, cwd=folder, env=calm(home), capture_output=True, text=True, check=False
        )

    python("pip", "uninstall", "--yes", *MISSING)
    for name in MISSING:
        if python("pip", "show", name).returncode == 0:
            return f"{name} is there before anything brought it"
    told = []
    for _ in range(2):
        options = ["-k", "python3", "-p", "preset", "smoke", "--no-progress-bar"]
        done = python("papermill", notebook, "out.ipynb", *options)
        if done.returncode:
            return done.stderr
        if made := [path.name for path in folder.iterdir() if path.name != "out.ipynb"]:
            return f"left beside the notebook: {', '.join(made)}"
        cells = nbformat.read(folder / "out.ipynb", 4).cells
        library = next(cell for cell in cells if cell.cell_type == "code")
        told.append("".join(output.get("text", "") for output in library.outputs).strip())
    clones = [str(path) for path in (home / ".cache").glob("book-*")]
    expected = f"ganlib comes from {' and '.join(clones)}"
    # Nothing but safetensors was missing, and that only once.
    at_first = rf"{re.escape(expected)}; installed safetensors\S+"
    if len(clones) != 1 or told[1] != expected or not re.fullmatch(at_first, told[0]):
        return f"there are {clones}, and the first cell said {told}"
    return ""


def main() -> int:
    """Rehearse the chapters that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER")
    chapters = parser.parse_args().chapters
    copies = prepare()
    failed = []
    for chapter in chapters or sorted(path.stem for path in copies.glob("*.ipynb")):
        start = time.monotonic()
        wrong = rehearse(copies / f"{chapter}.ipynb")
        if wrong:
            failed.append(chapter)
            print(wrong)
        verdict = "FAILED" if wrong else "passed"
        print(f"rehearsal of {chapter}: {verdict}, {time.monotonic() - start:.0f} s", flush=True)
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
