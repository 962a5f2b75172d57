"""Several processes of one run: they agree, share, resume, and fail together and soon.

Two processes are started as torchrun starts them, by its environment variables: the same, and
sooner. `test_play` and `torture` go through torchrun itself.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_play import quadratic

from ganlib import checkpoints, runtime
from ganlib.play import play

BEGINNING = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from games import recipe, ring
from test_play import quadratic
from ganlib import checkpoints, processes, runtime, state
from ganlib.checkpoints import CheckpointError
from ganlib.datasets import gaussian_ring
from ganlib.play import play
from ganlib.processes import OtherProcessError
from ganlib.streams import Draws, Minibatches

def stop_at(last):
    def observe(done, networks):
        if done == last:
            raise KeyboardInterrupt
    return observe

def interrupted(recipe, run, path, last, save_every):
    try:
        play(recipe, run, checkpoint=path, save_every=save_every, observe=stop_at(last))
    except KeyboardInterrupt:
        return
    raise AssertionError("it was not interrupted")

def failure(call):
    began = time.monotonic()
    try:
        call()
    except Exception as error:
        assert time.monotonic() - began < 20, "it took too long"
        return error
    raise AssertionError("nothing failed")

folder = Path({folder!r})
"""


def in_two(body: str, folder: Path, limit: float = 60) -> list[tuple[int, str, str]]:
    """Run a script in two processes: the exit code, output and errors of each."""
    script = folder / "script.py"
    script.write_text(BEGINNING.format(tests=str(Path(__file__).parent), folder=str(folder)) + body)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    deadline = time.monotonic() + limit
    try:
        return [
            (process.returncode, *said)
            for process in processes
            for said in [process.communicate(timeout=max(deadline - time.monotonic(), 0.1))]
        ]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def stop_at(last: int):
    def observe(done, networks):
        if done == last:
            raise KeyboardInterrupt

    return observe


RESUMING = """
run = runtime.start("smoke", "cpu", 0)

# From two to two.
play(recipe("non-saturating"), run, checkpoint=folder / "whole", save_every=5)
run = runtime.start("smoke", "cpu", 0)  # so that the first weights are the same again
interrupted(recipe("non-saturating"), run, folder / "resumed", 8, 5)
assert checkpoints.read(folder / "resumed")[1]["round"] == 5
torch.manual_seed(123 + run.rank)  # what happens between the two calls must not matter
play(recipe("non-saturating"), run, checkpoint=folder / "resumed", save_every=5)

# From one to two.
resumed = quadratic(run)
loaded = state.State(resumed, run)
loaded.load(folder / "one")
tensors, facts = checkpoints.read(folder / "one")
assert loaded.round == facts["round"] == 6
assert resumed.stream.state_dict() == facts["stream"] == {"drawn": 6}
for name, tensor in loaded.tensors({}).items():
    assert torch.equal(tensor, tensors[name]), name
play(quadratic(run), run, checkpoint=folder / "one")

# To be gone on with by one.
run = runtime.start("smoke", "cpu", 0)
interrupted(quadratic(run), run, folder / "two", 7, 3)

# Each takes its part of every minibatch.
torch.manual_seed(run.rank)
drawn = next(Draws(gaussian_ring(), 32, world=run.world))
rows = torch.arange(40)
batch = next(Minibatches(rows, size=8, seed=1, rank=run.rank, world=run.world))
both_drawn, both = processes.gathered(run, drawn), processes.gathered(run, batch)
assert both_drawn.shape == (2, 16, 2) and both.shape == (2, 4)
assert not torch.equal(*both_drawn)
assert both.flatten().tolist() == next(Minibatches(rows, size=8, seed=1)).tolist()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes left: `whole`, `resumed`, `one` and `two`."""
    folder = tmp_path_factory.mktemp("resuming")
    run = runtime.start("smoke", "cpu", 0)
    with pytest.raises(KeyboardInterrupt):
        observe = stop_at(7)
        play(quadratic(run), run, checkpoint=folder / "one", save_every=3, observe=observe)
    for code, _, errors in in_two(RESUMING, folder):
        assert code == 0, errors
    return folder


def test_two_processes_resume_exactly(folder):
    (tensors, facts), (expected, wanted) = (
        checkpoints.read(folder / name) for name in ("resumed", "whole")
    )
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor), name
    assert {**facts, "seconds": 0} == {**wanted, "seconds": 0}


def test_every_process_keeps_a_random_state_of_its_own(folder):
    rows = checkpoints.read(folder / "whole")[0]["random/cpu"]
    assert rows.shape == (2, torch.get_rng_state().numel())
    assert not torch.equal(*rows)


@pytest.mark.parametrize("change", ["one", "two"])
def test_a_run_goes_on_with_another_number_of_processes(change, folder):
    run = runtime.start("smoke", "cpu", 0)
    whole = quadratic(run)
    play(whole, run)
    resumed = quadratic(run)
    if change == "two":
        facts = checkpoints.read(folder / change)[1]
        assert (facts["round"], facts["stream"]) == (6, {"drawn": 6})
    play(resumed, run, checkpoint=folder / change)
    for name, tensor in whole.game.state_dict().items():
        torch.testing.assert_close(resumed.game.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


FAILING = """
run = runtime.start("smoke", "cpu", 0)
quick = lambda path: play(recipe("chain", 3), run, checkpoint=folder / path)

error = failure(lambda: quick("taken"))
if run.rank == 0:
    assert isinstance(error, CheckpointError) and "taken is in use: another" in str(error), error
else:
    assert isinstance(error, OtherProcessError) and "process 0 of this run" in str(error), error

# Only the first process sees whether there is a checkpoint.
interrupted(quadratic(run), run, folder / "seen", 7, 3)
exists = Path.exists
if run.rank == 1:
    Path.exists = lambda path: False
began = []
play(quadratic(run), run, checkpoint=folder / "seen", observe=lambda d, n: began.append(d))
assert began[0] == 7, "both resumed from round 6"
Path.exists = (lambda path: True) if run.rank == 1 else exists
began.clear()
play(quadratic(run), run, checkpoint=folder / "new", observe=lambda d, n: began.append(d))
assert began[0] == 0, "both began"
Path.exists = exists

def fail(*arguments):
    raise CheckpointError("it cannot be done here")

interrupted(quadratic(run), run, folder / "read", 7, 3)
for function, ranks in (("read", (0, 1)), ("write", (0,))):
    for failing in ranks:
        kept = getattr(checkpoints, function)
        if run.rank == failing:
            setattr(checkpoints, function, fail)
        error = failure(lambda: play(quadratic(run), run, checkpoint=folder / "read"))
        setattr(checkpoints, function, kept)
        wanted = CheckpointError if run.rank == failing else OtherProcessError
        assert type(error) is wanted, (function, failing, error)
        if run.rank != failing:
            assert f"process {failing} of this run has failed" in str(error), error

assert run.rank or not (folder / "read.lock").exists()
play(quadratic(run), run, checkpoint=folder / "read")
"""


def test_what_fails_in_one_process_is_raised_in_all(tmp_path):
    with checkpoints.claimed(tmp_path / "taken"):
        ended = in_two(FAILING, tmp_path)
    for code, _, errors in ended:
        assert code == 0, errors


HANGING = """
# The first process must not lose patience with a second one that has just not started yet.
(folder / ("here" + os.environ["RANK"])).touch()
while not all((folder / f"here{rank}").exists() for rank in (0, 1)):
    time.sleep(0.01)
runtime.PATIENCE = timedelta(seconds=6)
run = runtime.start("smoke", "cpu", 0)
processes.agree(run, None)
deadline = time.monotonic() + 50
while run.rank == 1 and time.monotonic() < deadline:
    if (folder / "over").exists():
        sys.exit()
    time.sleep(0.05)
began = time.monotonic()
try:
    processes.agree(run, None)
except RuntimeError as error:
    seconds = time.monotonic() - began
    assert 4 < seconds < 40, seconds
    print("gave up:", error, flush=True)
    (folder / "over").touch()
    # What gloo left waiting may abort an ordinary exit; what was raised is all that is asked.
    os._exit(0)
else:
    raise AssertionError("nothing was raised")
"""


def test_a_process_that_hangs_ends_the_run(tmp_path):
    (code, said, errors), _ = in_two(HANGING, tmp_path)
    assert code == 0, errors
    assert "gave up" in said
