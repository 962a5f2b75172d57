"""Run one chapter in one way, on one thread; keep its output together and its time on record.

`python tests/chapter.py smoke minimax` is what `make smoke-minimax` does. The processor time of
each run lies in `runs/seconds/`; `python tests/chapter.py budget` says which chapter takes longer
than its readers were promised.
"""

import argparse
import fcntl
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

BOOK = Path(__file__).parents[1]
SECONDS = BOOK / "runs" / "seconds"
# Seconds of processor time of a chapter, on one thread; the reader is promised these.
BUDGETS = {"smoke": 30, "book": 210}
# Processors differ, and a busy one is slower: only what takes this much longer fails.
PATIENCE = 2.0


def command(way: str, chapter: str, preset: str, seed: int) -> list[str]:
    """What runs a chapter: afresh under papermill, against its outputs, or in its place."""
    notebook = f"chapters/{chapter}.ipynb"
    python = [sys.executable, "-m"]
    if way == "verify":
        options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=1200"]
        options += ["--nbval-sanitize-with", "tests/notebooks.cfg", "-p", "no:cacheprovider"]
        return [*python, "pytest", "-p", "no:xdist", *options, notebook]
    if way == "place":
        options = ["--to", "notebook", "--execute", "--inplace", "--log-level=WARN"]
        options += ["--ExecutePreprocessor.record_timing=False"]
        return [*python, "nbconvert", *options, "--ExecutePreprocessor.timeout=-1", notebook]
    parameters = ["-p", "preset", preset, "-p", "seed", str(seed)]
    options = ["--no-progress-bar", "--cwd", "chapters", "-k", "python3"]
    return [*python, "papermill", *options, *parameters, notebook, str(made(chapter, preset, seed))]


def made(chapter: str, preset: str, seed: int) -> Path:
    """Where papermill leaves a chapter."""
    return Path("runs") / f"{chapter}-{preset}-{seed}.ipynb"


def _seconds_of_children() -> float:
    """The processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(way: str, chapter: str, preset: str, seed: int) -> int:
    """Run, print what it said if it failed, and one line with the time that it took."""
    # A waiting thread that spins takes the processor from those that work.
    calm = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "1"}
    SECONDS.mkdir(parents=True, exist_ok=True)
    before = _seconds_of_children()
    done = subprocess.run(
        command(way, chapter, preset, seed),
        cwd=BOOK,
        env=os.environ | calm | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = _seconds_of_children() - before
    if done.returncode:
        print(done.stdout)
    elif "GANLIB_REPEATS" not in os.environ:
        size = preset if way == "run" else "book"
        record = {"chapter": chapter, "preset": size, "seconds": round(seconds, 1)}
        path = SECONDS / f"{chapter}-{size}.json"
        path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    verdict = "FAILED" if done.returncode else "passed"
    print(f"{way} {chapter} ({preset}, seed {seed}): {verdict}, {seconds:.0f} s of processor time")
    return done.returncode


def collect(notebook: str) -> int:
    """Take the records of an executed notebook into data/results, one notebook at a time."""
    with open(SECONDS.parent / "collecting", "w", encoding="utf-8") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return subprocess.run(
            [sys.executable, "-m", "ganlib.claims", notebook], cwd=BOOK, check=False
        ).returncode


def budget() -> int:
    """Print each chapter's time at each preset beside its budget; fail for one far over it."""
    amiss = 0
    for path in sorted(SECONDS.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        allowed = BUDGETS.get(record["preset"])
        if allowed is None:
            continue
        share = record["seconds"] / allowed
        verdict = "" if share <= 1 else ("over" if share <= PATIENCE else "FAR OVER")
        amiss += share > PATIENCE
        name = f"{record['chapter']} at {record['preset']}"
        print(f"{name:<24} {record['seconds']:6.0f} s of {allowed} {verdict}")
    return int(amiss > 0)


def main() -> int:
    """One chapter, or the table of all times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("run", "verify", "place", "claims", "spread", "budget"))
    parser.add_argument("chapter", nargs="?")
    parser.add_argument("--preset", default="book")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    if options.way == "budget":
        return budget()
    chapter, preset, seed = options.chapter, options.preset, options.seed
    if chapter is None or not (BOOK / "chapters" / f"{chapter}.ipynb").is_file():
        parser.error(f"chapter {chapter!r}: expected one that lies in chapters/")
    if options.way == "spread":
        os.environ["GANLIB_REPEATS"] = str(options.repeats)
    if options.way in ("claims", "spread"):
        failed = run("run", chapter, preset, seed)
        return failed or collect(str(made(chapter, preset, seed)))
    failed = run(options.way, chapter, preset, seed)
    if not failed and options.way == "place":
        failed = collect(f"chapters/{chapter}.ipynb")
    return failed


if __name__ == "__main__":
    sys.exit(main())
