"""Where and how a run computes: preset, device, precision and seed, decided once.

Everything else takes the `Run` made here. It knows nothing of models or data.
"""

import ast
import os
import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

PRESETS = ("smoke", "book", "paper")
DEVICES = ("auto", "cpu", "cuda")
# How long the processes of a run wait for one of them, before it counts as lost.
PATIENCE = timedelta(seconds=60)

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Run:
    """The decisions of one run; made by `start`.

    preset: one of `PRESETS`.
    device: the torch device that every tensor of the run lives on.
    seed: the number that all randomness of the run comes from.
    precision: the fastest dtype for the products of image networks, to which those autocast.
    rank, world: this process's number and the number of processes (0 and 1 without torchrun).
    """

    preset: str
    device: "torch.device"
    seed: int
    precision: "torch.dtype"
    rank: int = 0
    world: int = 1

    def pick(self, *, smoke: Choice, book: Choice, paper: Choice) -> Choice:
        """The value for this run's preset."""
        return {"smoke": smoke, "book": book, "paper": paper}[self.preset]

    def place(self, module: "nn.Module") -> "nn.Module":
        """Move a module to the run's device, its convolutions in channels-last layout."""
        import torch

        return module.to(self.device, memory_format=torch.channels_last)

    def autocast(self, precision: "torch.dtype | None" = None) -> AbstractContextManager:
        """Compute the block under autocast to `precision` (default: the run's own)."""
        import torch

        precision = precision or self.precision
        # A device of meta tensors, on which a run is rehearsed, has no autocast.
        if precision == torch.float32 or self.device.type == "meta":
            return nullcontext()
        return torch.autocast(self.device.type, precision)


def start(preset: str = "book", device: str = "auto", seed: int = 0) -> Run:
    """Check the choices of a run, seed every generator, and return the `Run`.

    `device="auto"` takes CUDA when there is a GPU. Under torchrun, every process takes its own
    GPU and joins the process group.

    Raises ValueError that names the choices when one is wrong or when papermill was given a
    parameter that the notebook does not have, and RuntimeError when CUDA is asked for and
    missing. The preset and a torch built without CUDA are checked before torch is imported,
    which alone can take seconds.
    """
    _refuse_unknown_parameters()
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} is not known: choose one of {_listed(PRESETS)}")
    if device not in DEVICES:
        raise ValueError(f"device={device!r} is not known: choose one of {_listed(DEVICES)}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r} is not a whole number from 0 to 2**32 - 1")
    rank, world = _place_among_processes()
    no_gpu = RuntimeError(
        "device='cuda' was asked for, but no CUDA GPU is to be had here: "
        "choose device='cpu', or device='auto' to take a GPU only where there is one"
    )
    if device == "cuda" and _torch_build().endswith("+cpu"):
        raise no_gpu

    import numpy
    import torch

    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise no_gpu
    if device != "cpu" and has_gpu:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(place)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    else:
        place = torch.device("cpu")
        _keep_freed_memory()
    if world > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if place.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=PATIENCE)
    seed = int(seed)
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    return Run(preset, place, seed, _fast_precision(place), rank, world)


def mixed_seed(*numbers: int) -> int:
    """One seed, from 0 to 2**63 - 1, out of several whole numbers (say a seed and an epoch)."""
    import numpy

    return int(numpy.random.SeedSequence(numbers).generate_state(1, numpy.uint64)[0] >> 1)


def no_autocast(device: "torch.device | str") -> AbstractContextManager:
    """Compute the block in the precision of its tensors, also within an autocast."""
    import torch

    kind = torch.device(device).type
    # A device of meta tensors, on which a run is rehearsed, has no autocast to leave.
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


@contextmanager
def full_precision(device: "torch.device | str") -> Iterator[None]:
    """No autocast and no TF32, so that results are the same on every machine but for rounding."""
    import torch

    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    allowed = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        with no_autocast(device):
            yield
    finally:
        for backend, was_allowed in zip(backends, allowed, strict=True):
            backend.allow_tf32 = was_allowed


def describe(run: Run) -> dict[str, str]:
    """The machine and the versions behind a run, for the record of how a result was made."""
    import platform

    import numpy
    import torch

    on_gpu = run.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(run.device) if on_gpu else _processor_name(),
        "processes": str(run.world),
        "threads": str(torch.get_num_threads()),
        "precision": str(run.precision).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _refuse_unknown_parameters() -> None:
    """Raise ValueError if papermill set names in this notebook that no cell before it has.

    Papermill sets whatever it is given in a cell of its own behind the parameters cell, so that a
    slip (`-p presets smoke`) would go unnoticed and the default would run.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    cells = shell.user_ns.get("In", []) if shell else []
    injected = [i for i, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    if not injected:
        return
    set_by_papermill = _assigned_names(cells[injected[-1]])
    known = [name for cell in cells[: injected[-1]] for name in _assigned_names(cell)]
    unknown = [name for name in set_by_papermill if name not in known]
    if known and unknown:
        raise ValueError(
            f"no parameter of this notebook is called {_listed(unknown)}: choose among "
            f"{_listed(dict.fromkeys(known))}"
        )


def _assigned_names(cell: str) -> list[str]:
    """The names that the statements of a cell set, in order; none if it is not Python."""
    try:
        statements = ast.parse(cell).body
    except SyntaxError:
        return []
    targets = []
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _place_among_processes() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun says in the environment."""
    texts = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if texts == (None, None):
        return 0, 1
    try:
        rank, world = (int(text) for text in texts)
    except (TypeError, ValueError):
        rank, world = -1, 0
    if not 0 <= rank < world:
        raise ValueError(
            f"RANK={texts[0]!r} and WORLD_SIZE={texts[1]!r} in the environment: expected a number "
            "from 0 to WORLD_SIZE - 1, as torchrun sets them, or neither"
        )
    return rank, world


def _fast_precision(device: "torch.device") -> "torch.dtype":
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    import torch

    if device.type == "cuda":
        # Older GPUs emulate bfloat16; tensor cores multiply it from compute capability 8 on.
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float32
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return torch.bfloat16 if native else torch.float32


def _keep_freed_memory() -> None:
    """Ask glibc to keep freed memory for the next tensor rather than return it to the system.

    A training step allocates and frees the same large tensors over and over, and the system hands
    out every page afresh and zeroed: up to a fifth of a chain's training time on a CPU.
    """
    import ctypes

    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**30)


def _torch_build() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _processor_name() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _listed(choices: Iterable[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)
