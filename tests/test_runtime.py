"""Runs: wrong choices are named, seeds reach every generator, precision and layout are honoured."""

import platform
import random
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ganlib.runtime import DEVICES, PRESETS, Run, describe, full_precision, mixed_seed, start

CPU_INFO = Path("/proc/cpuinfo")
whole_numbers = st.integers(0, 2**64)


def run_on_cpu(precision):
    return Run("smoke", torch.device("cpu"), 0, precision)


def test_a_wrong_preset_names_the_choices():
    with pytest.raises(ValueError) as caught:
        start("papper", "cpu")
    assert all(word in str(caught.value) for word in ("papper", *PRESETS))


def test_a_wrong_device_names_the_choices():
    with pytest.raises(ValueError) as caught:
        start("smoke", "gpu")
    assert all(word in str(caught.value) for word in ("gpu", *DEVICES))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", True, None])
def test_a_wrong_seed_names_the_range(seed):
    with pytest.raises(ValueError) as caught:
        start("smoke", "cpu", seed)
    assert all(word in str(caught.value) for word in (repr(seed), "from 0 to 2**32 - 1"))


GIVEN = "# Parameters\npreset = 'smoke'\n"


@pytest.mark.parametrize(
    "cells, unknown",
    [
        (["preset: str = 'book'", GIVEN], None),
        (["preset: str = 'book'", GIVEN + "presets = 1"], "'presets': choose among 'preset'"),
        (["preset = 'book'\nsteps = 9", GIVEN + "steps = 10"], None),
        (["first = second = 0", GIVEN], "'preset': choose among 'first', 'second'"),
        # A cell that did not run, one that papermill did not write, one that ran out of turn.
        (["preset = 'book", GIVEN + "presets = 1"], None),
        (["preset = 'book'", "presets = 1"], None),
        ([GIVEN, "preset = 'book'"], None),
        # Only papermill's last word counts.
        (["preset = 'book'", GIVEN + "presets = 1", GIVEN], None),
    ],
)
def test_a_parameter_that_the_notebook_lacks_is_named(cells, unknown, monkeypatch):
    shell = types.SimpleNamespace(user_ns={"In": ["", *cells, "run = runtime.start(preset)"]})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    if unknown is None:
        assert start("smoke", "cpu").preset == "smoke"
    else:
        with pytest.raises(ValueError, match=unknown):
            start("smoke", "cpu")


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_seed_range_are_allowed(seed):
    assert start("smoke", "cpu", seed).seed == seed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_names_the_choices():
    with pytest.raises(RuntimeError) as caught:
        start("smoke", "cuda")
    assert all(word in str(caught.value) for word in ("'cuda'", "'cpu'", "'auto'"))


def test_wrong_choices_fail_before_torch_is_imported():
    choices = [("papper", "cpu", 0), ("smoke", "gpu", 0), ("smoke", "cpu", -1)]
    if version("torch").endswith("+cpu"):
        choices.append(("smoke", "cuda", 0))
    program = f"""
import sys
from ganlib.runtime import start
for preset, device, seed in {choices}:
    try:
        start(preset, device, seed)
    except (ValueError, RuntimeError):
        print("refused")
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["refused"] * len(choices)


def test_auto_takes_the_gpu_where_there_is_one():
    run = start("smoke", "auto")
    assert run.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_start_keeps_its_choices(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    run = start("paper", "cpu", 5)
    assert (run.preset, run.device, run.seed) == ("paper", torch.device("cpu"), 5)
    assert (run.rank, run.world) == (0, 1)


@pytest.mark.parametrize(
    "rank, world",
    [("0", None), (None, "2"), ("2", "2"), ("-1", "2"), ("0", "0"), ("one", "2"), ("0", "")],
)
def test_a_place_among_processes_that_cannot_be_is_refused(rank, world, monkeypatch):
    for name, text in (("RANK", rank), ("WORLD_SIZE", world)):
        monkeypatch.delenv(name, raising=False)
        if text is not None:
            monkeypatch.setenv(name, text)
    with pytest.raises(ValueError) as caught:
        start("smoke", "cpu")
    said = f"RANK={rank!r} and WORLD_SIZE={world!r}"
    assert all(words in str(caught.value) for words in (said, "from 0 to WORLD_SIZE - 1"))


@pytest.mark.skipif(not CPU_INFO.exists(), reason="needs /proc/cpuinfo")
def test_the_cpu_takes_bfloat16_only_where_it_multiplies_it():
    flags = CPU_INFO.read_text().split()
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    assert start("smoke", "cpu").precision == (torch.bfloat16 if native else torch.float32)


@pytest.mark.parametrize("preset, value", [("smoke", 1), ("book", 2), ("paper", 3)])
def test_pick_goes_by_the_preset(preset, value):
    assert start(preset, "cpu").pick(smoke=1, book=2, paper=3) == value


def test_the_same_seed_gives_the_same_random_numbers():
    def draw(seed):
        start("smoke", "cpu", seed)
        return random.random(), numpy.random.rand(), torch.rand(()).item()

    first, again, other = draw(11), draw(11), draw(12)
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_mixed_seed_never_changes():
    assert mixed_seed(0, 1) == 2918264622725855778
    assert mixed_seed(1, 0) == 3717377837946358015


@given(whole_numbers, whole_numbers)
def test_mixed_seed_is_deterministic_and_in_range(first, second):
    mixed = mixed_seed(first, second)
    assert mixed == mixed_seed(first, second)
    assert 0 <= mixed < 2**63


def test_mixed_seed_differs_between_inputs():
    # 100 draws of 63 bits collide with a chance below 1e-15.
    assert len({mixed_seed(seed, epoch) for seed in range(10) for epoch in range(10)}) == 100


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_autocast_multiplies_in_the_asked_precision(precision):
    matrix = torch.ones(4, 4)
    with run_on_cpu(precision).autocast():
        assert (matrix @ matrix).dtype == precision
        assert torch.is_autocast_enabled("cpu") == (precision != torch.float32)
    with run_on_cpu(torch.float32).autocast(precision):
        assert (matrix @ matrix).dtype == precision
    with run_on_cpu(torch.bfloat16).autocast(precision):
        assert (matrix @ matrix).dtype == precision


def test_there_is_no_autocast_where_a_run_is_rehearsed():
    run = Run("smoke", torch.device("meta"), 0, torch.bfloat16)
    matrix = torch.ones(4, 4, device="meta")
    for precision in (None, torch.bfloat16):
        with run.autocast(precision):
            assert (matrix @ matrix).dtype == torch.float32


@pytest.fixture
def backends():
    found = torch.backends.cuda.matmul, torch.backends.cudnn
    flags = [backend.allow_tf32 for backend in found]
    yield found
    for backend, flag in zip(found, flags, strict=True):
        backend.allow_tf32 = flag


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("error", [None, KeyError])
def test_full_precision_is_for_a_while(allowed, error, backends):
    for backend in backends:
        backend.allow_tf32 = allowed
    matrix = torch.ones(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        try:
            with full_precision("cpu"):
                assert (matrix @ matrix).dtype == torch.float32
                assert not any(backend.allow_tf32 for backend in backends)
                if error is not None:
                    raise error
        except KeyError:
            assert error is KeyError
        assert (matrix @ matrix).dtype == torch.bfloat16
    assert [backend.allow_tf32 for backend in backends] == [allowed, allowed]


def test_place_lays_convolutions_out_channels_last():
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 2))
    placed = run_on_cpu(torch.float32).place(module)
    assert placed is module
    # Channels last: neighbours in memory are neighbours in channel, so that axis has stride 1.
    assert placed[0].weight.stride() == (27, 1, 9, 3)
    assert placed[2].weight.stride() == (5, 1)


def test_describe_tells_the_versions_and_the_machine():
    description = describe(run_on_cpu(torch.bfloat16))
    # The package's own version lacks the "+cu130" of the ordinary wheel.
    assert description["torch"] == torch.__version__
    assert description["numpy"] == version("numpy")
    assert description["python"] == platform.python_version()
    assert description["precision"] == "bfloat16"
    assert description["processes"] == "1"
    assert description["threads"] == str(torch.get_num_threads())
    assert description["device"]
