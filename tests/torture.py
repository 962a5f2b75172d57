"""Kill training runs at random moments, again and again: each must end as if nothing had happened.

`python tests/torture.py --kills 100 --seed 0` kills half of its runs with one process and half
with two, and compares every finished checkpoint, bit by bit, with an uninterrupted run's.
"""

import argparse
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from games import GAMES, WIDTHS, recipe
from torch import nn

from ganlib import checkpoints, runtime
from ganlib.games.minimax import NonSaturating
from ganlib.nets import Logit
from ganlib.play import Recipe, play

ROUNDS = 400
SAVE_EVERY = 3
KILLS_A_RUN = 6
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


class Noisy(NonSaturating):
    """Random draws in the loss and in a layer, statistics in buffers, and a loss of two parts."""

    def __init__(self):
        generator = nn.Sequential(
            nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 2)
        )
        super().__init__(generator, Logit(2, WIDTHS), 2)

    def generator_loss(self, x):
        drift = self.generator(torch.randn(len(x), 2)) - x
        return {"game": super().generator_loss(x), "drift": torch.rand(()) * drift.square().mean()}


GAMES["noisy"] = (Noisy, GAMES["non-saturating"][1])
# The buffer of old points, which the cycle's loss reads, is saved for the first process alone.
NAMES = {1: list(GAMES), 2: [name for name in GAMES if name != "cycle"]}


def made(name: str, rounds: int) -> Recipe:
    return recipe(name, rounds // 3 if name in ("clipped", "penalized", "unrolled") else rounds)


def train(name: str, path: Path) -> None:
    """What a killed process does."""
    torch.set_num_threads(1)
    run = runtime.start("smoke", "cpu", 0)
    play(made(name, ROUNDS), run, checkpoint=path, save_every=SAVE_EVERY, show=False)


def started(name: str, path: Path, world: int) -> subprocess.Popen:
    command = [sys.executable, *(LAUNCH if world == 2 else []), __file__]
    with open(path.with_suffix(".log"), "a") as log:
        return subprocess.Popen(
            [*command, "--train", name, str(path)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def descendants(pid: int) -> list[int]:
    """A process and all below it: torchrun gives each worker a session of its own."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def kill(process: subprocess.Popen) -> None:
    """Kill all processes of a run at once, and wait until they are gone."""
    pids = descendants(process.pid)
    for pid in pids:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it leads no group, or is gone
    process.wait()
    while any(alive(pid) for pid in pids):
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_a_save(process: subprocess.Popen, path: Path, limit: float = 120) -> bool:
    """Read the checkpoint until it is a new one; False where the run ended first."""
    before = path.stat().st_mtime_ns if path.exists() else None
    deadline = time.monotonic() + limit
    while not path.exists() or path.stat().st_mtime_ns == before:
        if process.poll() is not None:
            return False
        if time.monotonic() > deadline:
            kill(process)
            raise SystemExit(f"no checkpoint within {limit} s: see {path.with_suffix('.log')}")
        time.sleep(0.005)
    checkpoints.read(path)
    return True


def finished(process: subprocess.Popen, path: Path) -> None:
    try:
        code = process.wait(timeout=300)
    except subprocess.TimeoutExpired:
        kill(process)
        code = "none: it hangs"
    if code != 0:
        print(path.with_suffix(".log").read_text()[-3000:])
        raise SystemExit(f"{path} ended with exit code {code}")


def differences(path: Path, other: Path) -> list[str]:
    (tensors, facts), (expected, wanted) = checkpoints.read(path), checkpoints.read(other)
    names = sorted(tensors.keys() | expected.keys())
    found = [name for name in names if not same_bits(tensors.get(name), expected.get(name))]
    return found + [k for k in wanted if k != "seconds" and facts.get(k) != wanted[k]]


def same_bits(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    one, other = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(one, other)


def tortured(name: str, path: Path, world: int, seconds: float, most: int, dice) -> tuple[int, int]:
    """Kill a run up to `most` times, then let it end: the kills made, and those in a save."""
    kills = in_saves = 0
    while True:
        process = started(name, path, world)
        if kills == most or not wait_for_a_save(process, path):
            finished(process, path)
            return kills, in_saves
        time.sleep(dice.uniform(0, 1.6 * seconds / KILLS_A_RUN))
        if process.poll() is None:
            kill(process)
            kills += 1
            in_saves += any(path.parent.glob(f"{path.name}.*.partial"))
            checkpoints.read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        return train(options.train[0], Path(options.train[1]))
    dice = random.Random(options.seed)
    made_kills = runs = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for world, wanted in ((1, options.kills - options.kills // 2), (2, options.kills // 2)):
            references: dict[str, Path] = {}
            left = wanted
            for number, name in enumerate(itertools.cycle(NAMES[world])):
                if not left:
                    break
                if name not in references:
                    references[name] = Path(folder) / f"{name}-{world}-whole"
                    finished(started(name, references[name], world), references[name])
                seconds = checkpoints.read(references[name])[1]["seconds"]
                path = Path(folder) / f"{name}-{world}-{number}"
                kills, in_saves = tortured(name, path, world, seconds, min(left, KILLS_A_RUN), dice)
                differing = differences(path, references[name])
                left, made_kills, runs = left - kills, made_kills + kills, runs + 1
                wrong += bool(differing)
                verdict = f"DIFFERS in {differing[:5]}" if differing else "bit-identical"
                print(
                    f"{name}, processes: {world}, {seconds:.1f} s, kills: {kills} "
                    f"({in_saves} in a save): {verdict}",
                    flush=True,
                )
    verdict = f"{wrong} NOT bit-identical" if wrong else "all bit-identical"
    print(f"{made_kills} kills, {runs} runs, {verdict}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
