"""The locally masked layer beside its textbook form, and the cached sampler beside the naive one.

The textbook layer is that of Jain et al. (2020): take out every patch (im2col), mask it, multiply.
The naive sampler computes the whole network for every pixel. Both sides of a row use the same
weights, precision and device, and are timed in turn.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from benchmarks.rows import row
from ganlib.chains import PixelCNN, masks, orders, sample
from ganlib.chains.layers import MaskedConvolution, Whole
from ganlib.runtime import Run
from ganlib.shipped import trained_chain

BATCH, INPUTS, OUTPUTS, SIDE = 32, 64, 128, 28
BLOCKS, STEPS = 5, 3
COUNT, WIDTH, DEPTH = 64, 64, 10
SIDES = (14, 28, 56)
# Naive sampling costs the same at every pixel. Images of up to 28 × 28 are drawn in full, of larger
# ones the last few pixels.
NAIVE_IN_FULL, NAIVE_LAST = 28, 30


def rows(run: Run) -> list[dict]:
    """Milliseconds and memory of a layer's step, seconds of 64 images, and ours to theirs."""
    return [*_layer_rows(run), *_memory_rows(run), *_sampler_rows(run)]


class TextbookLayer(nn.Module):
    """Patches, masks, one matrix product: (batch, inputs, height, width) in and out."""

    def __init__(self, layer: MaskedConvolution, order: Tensor, height: int, width: int):
        super().__init__()
        self.weight, self.bias, self.kernel = layer.weight, layer.bias, layer.kernel
        seen = masks.local_masks(order, height, width, self.kernel)
        seen = seen.reshape(height * width, -1)
        seen[:, self.kernel**2 // 2] = layer.sees_centre
        self.register_buffer("seen", seen.T.float())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve images."""
        patches = unfold(x, self.kernel, padding=self.kernel // 2)
        patches = patches.unflatten(1, (x.shape[1], -1)) * self.seen.to(patches.dtype)
        out = self.weight.flatten(1) @ patches.flatten(1, 2) + self.bias[:, None]
        return out.unflatten(2, x.shape[2:])


def _order(name: str) -> Tensor:
    if name == "permutation":
        shuffled = torch.randperm(SIDE * SIDE, generator=torch.Generator().manual_seed(0))
        return orders.raster(SIDE, SIDE)[shuffled]
    return getattr(orders, name)(SIDE, SIDE)


def _steps(order: Tensor, precision: torch.dtype, device: torch.device) -> dict[str, Callable]:
    """A forward and a backward pass of the layer, ours and the textbook's."""
    layer = MaskedConvolution(INPUTS, OUTPUTS).to(device)
    textbook = TextbookLayer(layer, order, SIDE, SIDE).to(device)
    image = torch.randn(BATCH, INPUTS, SIDE, SIDE, device=device, requires_grad=True)
    features = image.detach().flatten(2).mT.contiguous().requires_grad_()
    canvas = Whole(features, order, SIDE, SIDE)

    def step(call: Callable[[], Tensor]) -> Callable[[], None]:
        def run_once() -> None:
            enabled = precision != torch.float32
            with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
                out = call()
            out.backward(torch.ones_like(out))

        return run_once

    return {
        "ours": step(lambda: layer(features, canvas)),
        "baseline": step(lambda: textbook(image)),
    }


def _layer_rows(run: Run) -> list[dict]:
    found = []
    for precision in (torch.float32, torch.bfloat16):
        for name in ("s_curve", "hilbert", "permutation"):
            steps = _steps(_order(name), precision, run.device)
            for step in steps.values():
                step()
            pairs = [
                [_seconds(steps[side], STEPS, run) / STEPS * 1000 for side in ("ours", "baseline")]
                for _ in range(BLOCKS)
            ]
            label = f"lmconv-layer-{name}-{str(precision).removeprefix('torch.')}"
            found.append(row(label, pairs, "ms a step"))
    return found


def _memory_rows(run: Run) -> list[dict]:
    """The most memory that a step takes beyond what was there before it."""
    found = []
    if run.device.type == "cpu" and not Path("/proc/self/clear_refs").exists():
        return found
    for name in ("s_curve", "permutation"):
        pair = [_peak_megabytes(name, side, run) for side in ("ours", "baseline")]
        found.append(row(f"lmconv-layer-{name}-memory", [pair], "MB at the peak"))
    return found


def _peak_megabytes(name: str, side: str, run: Run) -> float:
    if run.device.type == "cuda":
        step = _steps(_order(name), torch.float32, run.device)[side]
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    # A process of its own: the operating system keeps only a peak for the whole life of one.
    command = [sys.executable, "-m", "benchmarks.chains", name, side]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _sampler_rows(run: Run) -> list[dict]:
    torch.manual_seed(0)
    model = PixelCNN(width=WIDTH, depth=DEPTH).to(run.device).eval()
    found = []
    for side in SIDES:
        cached = min(_seconds(lambda: _cached(model, side), 1, run) for _ in range(3))  # noqa: B023
        drawn = side * side if side <= NAIVE_IN_FULL else NAIVE_LAST
        naive = _seconds(lambda: _naive(model, side, drawn), 1, run)  # noqa: B023
        pixels = side * side
        pair = [cached / pixels * 1000, naive / drawn * 1000]
        found.append(row(f"cached-sampler-{side}x{side}", [pair], "ms a pixel"))
    pixel_times = [row["ours"] for row in found]
    linear = {
        "name": "cached-sampler-linear",
        "ours": pixel_times[-1],
        "baseline": pixel_times[0],
        "ratio": pixel_times[0] / pixel_times[-1],
        "unit": f"ms a pixel, {SIDES[-1]}² beside {SIDES[0]}²",
    }
    return [*found, linear, _at_once_row(run)]


def _at_once_row(run: Run) -> dict:
    """All pixels at once until none changes, beside one after the other, by a trained chain."""
    chain = trained_chain("pixelcnn-binary")[0].to(run.device).eval()
    pair = [
        _seconds(lambda: sample(chain, COUNT, method=method), 1, run)  # noqa: B023
        for method in ("fixed-point", "cached")
    ]
    return row("fixed-point-sampler-28x28", [pair], f"s for {COUNT} digits")


def _cached(model: PixelCNN, side: int) -> None:
    sample(model, COUNT, size=(side, side))


def _naive(model: PixelCNN, side: int, drawn: int) -> None:
    """The last `drawn` pixels of an image whose others are given."""
    given = (torch.arange(side * side) < side * side - drawn).reshape(side, side)
    observed = torch.zeros(1, side, side, dtype=torch.long)
    sample(model, COUNT, observed=observed, mask=given, method="naive")


def _seconds(step: Callable[[], None], times: int, run: Run) -> float:
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        step()
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _print_peak(name: str, side: str) -> None:
    step = _steps(_order(name), torch.float32, torch.device("cpu"))[side]
    # Linux: make the peak of resident memory start from what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_kilobytes()
    step()
    print((_peak_kilobytes() - before) / 1024)


def _peak_kilobytes() -> int:
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    _print_peak(*sys.argv[1:])
