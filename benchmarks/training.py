"""A round of `play` beside a training loop written the textbook way, on the same DCGAN pair.

The textbook loop is the one of most tutorials: a DataLoader that transforms image by image,
float32, one batch of fakes for both players, and backward passes that also fill gradients which the
other player's next `zero_grad` throws away.
"""

import contextlib
import dataclasses
import io
import statistics
import time
from collections.abc import Callable, Iterator

import numpy
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from ganlib.datasets import Minibatches, mnist, to_signed_unit
from ganlib.games.minimax import NonSaturating
from ganlib.nets import DCGANDiscriminator, DCGANGenerator
from ganlib.play import Recipe, adam, play
from ganlib.runtime import Run

SIDE, BATCH, NOISE = 32, 64, 100
# Blocks of rounds, ours and theirs in turn, so that a machine whose speed drifts is fair to both.
BLOCKS, ROUNDS, WARM_UP = 7, 8, 3


def rows(run: Run) -> list[dict]:
    """One row for the run's precision and one for float32: milliseconds a round and their ratio."""
    runs = {f"play-{str(run.precision).removeprefix('torch.')}": run}
    runs["play-float32"] = dataclasses.replace(run, precision=torch.float32)
    return [_row(name, chosen) for name, chosen in runs.items()]


def _row(name: str, run: Run) -> dict:
    ours, theirs = _ours(run), _textbook(run)
    for step in (ours, theirs):
        step(WARM_UP)
    pairs = [(_milliseconds(ours, run), _milliseconds(theirs, run)) for _ in range(BLOCKS)]
    return {
        "name": name,
        "ours": statistics.median(mine for mine, _ in pairs),
        "baseline": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(other / mine for mine, other in pairs),
        "unit": "ms a round",
    }


def _milliseconds(step: Callable[[int], None], run: Run) -> float:
    _wait(run)
    began = time.perf_counter()
    step(ROUNDS)
    _wait(run)
    return (time.perf_counter() - began) / ROUNDS * 1000


def _wait(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()


def _pair() -> tuple[DCGANGenerator, DCGANDiscriminator]:
    return DCGANGenerator(NOISE, SIDE), DCGANDiscriminator(SIDE)


def _ours(run: Run) -> Callable[[int], None]:
    generator, discriminator = _pair()
    game = run.place(NonSaturating(generator, discriminator, NOISE))
    images = torch.nn.functional.pad(mnist("train")[0], (2, 2, 2, 2))
    stream = Minibatches(images, size=BATCH, device=run.device, prepare=to_signed_unit)
    optimisers = {"discriminator": adam(discriminator, 2e-4), "generator": adam(generator, 2e-4)}

    def step(rounds: int) -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # no progress bar every few rounds
            play(Recipe("play", game, stream, optimisers, rounds), run)

    return step


class _Pictures(Dataset):
    """MNIST, padded, converted and normalised one image at a time."""

    def __init__(self) -> None:
        self.images = mnist("train")[0][:, 0].numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = numpy.pad(self.images[index], 2)
        tensor = torch.from_numpy(image).float().div(255).unsqueeze(0)
        return (tensor - 0.5) / 0.5


def _textbook(run: Run) -> Callable[[int], None]:
    generator, discriminator = (network.to(run.device) for network in _pair())
    optimiser_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimiser_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    loader = DataLoader(_Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    batches = _endless(loader)
    ones, zeros = torch.ones(BATCH, device=run.device), torch.zeros(BATCH, device=run.device)

    def step(rounds: int) -> None:
        for _ in range(rounds):
            real = next(batches).to(run.device)
            discriminator.zero_grad()
            loss_real = binary_cross_entropy_with_logits(discriminator(real), ones)
            loss_real.backward()
            fake = generator(torch.randn(BATCH, NOISE, device=run.device))
            loss_fake = binary_cross_entropy_with_logits(discriminator(fake.detach()), zeros)
            loss_fake.backward()
            optimiser_d.step()
            generator.zero_grad()
            loss = binary_cross_entropy_with_logits(discriminator(fake), ones)
            loss.backward()
            optimiser_g.step()
            loss_real.item(), loss_fake.item(), loss.item()

    return step


def _endless(loader: DataLoader) -> Iterator[torch.Tensor]:
    while True:
        yield from loader
