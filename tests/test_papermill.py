"""Papermill from outside the book: interrupts, a kernel killed in mid-run, and the page's sweep."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from ganlib import claims

BOOK = Path(__file__).parents[1]
START = "from ganlib import runtime\n\nrun = runtime.start(preset, device, seed)"
WAITS = "open('begun', 'w').close()\nimport time\ntime.sleep(100)"
DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
TRAINS = """
import hashlib, os, signal
from pathlib import Path
from ganlib.play import play
from ganlib.recipes import build, checkpoint_path

recipe, seen = build("wgan-plane-ring", run), []


def look(done, networks):
    seen.append(done)
    if done == 3 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


play(recipe, run, checkpoint=checkpoint_path(recipe, run), save_every=2, observe=look)
weights = recipe.game.players["generator"].state_dict().values()
digest = hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in weights)).hexdigest()
print(seen[0], digest)
"""
CLAIMS = """
from ganlib.claims import Ledger

if preset == "book" and seed == 1:
    raise RuntimeError("no such luck")
ledger = Ledger("minimax", run)
ledger.check("seeds", "Seeds are small.", quantity="largest seed", measured=seed, at_most=9)
"""


def write(path: Path, *sources: str) -> Path:
    """A notebook of the chapters' own parameters cell, the start of a run, and these cells."""
    chapter = nbformat.read(BOOK / "chapters" / "minimax.ipynb", 4)
    parameters = next(
        cell for cell in chapter.cells if "parameters" in cell.metadata.get("tags", [])
    )
    cells = [parameters, *map(nbformat.v4.new_code_cell, (START, *sources))]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=chapter.metadata), path)
    return path


def papermill(source: Path, out: Path, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "papermill", str(source), str(out), "-p", "preset", "smoke"]
    return subprocess.Popen(
        [*command, "--no-progress-bar"], cwd=out.parent, env=os.environ | environment
    )


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_an_interrupt_leaves_says_how_far_it_came(interrupted, tmp_path):
    source = write(tmp_path / "in.ipynb", "print('ran')", WAITS if interrupted else DIES, "print()")
    out = tmp_path / "out.ipynb"
    process = papermill(source, out)
    if interrupted:
        patience = time.monotonic() + 120
        while not (tmp_path / "begun").exists() and time.monotonic() < patience:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    assert process.wait(120) != 0
    left = nbformat.read(out, 4)
    nbformat.validate(left)
    *_, ran, _, never = left.cells
    assert ran.execution_count == 4 and ran.outputs[0].text == "ran\n"
    assert never.execution_count is None and not never.outputs
    with pytest.raises(ValueError, match="a cell that was not run|a failed cell"):
        claims.collect([out], tmp_path)


def test_training_under_a_killed_kernel_goes_on_when_the_notebook_runs_again(tmp_path):
    ends = []
    for kills, folder in ((1, tmp_path / "killed"), (0, tmp_path / "calm")):
        source = write(folder / "in.ipynb", TRAINS)
        if not kills:
            (folder / "killed").touch()
        for last in [False] * kills + [True]:
            process = papermill(source, folder / "out.ipynb", GANLIB_DATA=str(folder / "data"))
            assert (process.wait(300) == 0) == last
        (said,) = (
            o.text
            for o in nbformat.read(folder / "out.ipynb", 4).cells[-1].outputs
            if o.get("name") == "stdout"
        )
        ends.append(said.split())
    (resumed_at, killed), (began_at, calm) = ends
    assert (resumed_at, began_at) == ("3", "0")
    assert killed == calm


def test_the_sweep_of_the_page_gathers_one_table_and_goes_on(tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", (BOOK / "running.md").read_text(), re.DOTALL)
    assert "range(3)" in script
    write(tmp_path / "chapters" / "minimax.ipynb", CLAIMS)
    (tmp_path / "sweep.py").write_text(script.replace("range(3)", "range(2)"))

    def sweep() -> list[str]:
        command = [sys.executable, "sweep.py"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True
        )
        return done.stdout.splitlines()

    failed, head, _, row = sweep()
    assert failed == "minimax-book-1: no such luck"
    assert [word.strip() for word in head.split("|")[1:-1]] == ["claim", "bound", "smoke", "book"]
    assert [word.strip() for word in row.split("|")[1:-1]] == [
        "minimax.seeds",
        "largest seed ≤ 9",
        "0 to 1",
        "0 to 0",
    ]
    # What was finished is not run again; what failed is.
    write(tmp_path / "chapters" / "minimax.ipynb", CLAIMS.replace("seed == 1", "seed == 3"))
    before = {path: path.stat().st_mtime for path in (tmp_path / "runs/sweep").glob("*-[01].ipynb")}
    assert len(before) == 3
    _, _, row = sweep()
    assert row.split("|")[4].strip() == "0 to 1"
    assert all(path.stat().st_mtime == then for path, then in before.items())
