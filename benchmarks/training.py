"""A round of `play` beside the same round written the textbook way, on the same DCGAN pair.

Both baselines feed from a DataLoader that transforms image by image, and compute in float32.
`textbook` is algorithm 1 of Goodfellow et al. (2014) written down: fresh noise for each player and
two backward passes, each of which also fills the other player's gradients. `tutorial` is the
thriftier form of most DCGAN tutorials: one batch of fakes a round, detached for the discriminator.
"""

import contextlib
import dataclasses
import io
import random
import time
from collections.abc import Callable, Iterator

import numpy
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss, logsigmoid
from torch.utils.data import DataLoader, Dataset

from benchmarks.rows import row
from ganlib.datasets import emoji, gaussian_ring, mnist, to_signed_unit
from ganlib.games.minimax import NonSaturating
from ganlib.games.wgan import GradientPenalty
from ganlib.nets import DCGANDiscriminator, DCGANGenerator, Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import Recipe, play
from ganlib.recipes import build
from ganlib.recipes.unrolled import ring
from ganlib.runtime import Run
from ganlib.streams import Draws, Minibatches

SIDE, BATCH, NOISE = 32, 64, 100
# Blocks of rounds, ours and theirs in turn, so that a machine whose speed drifts is fair to both.
BLOCKS, ROUNDS, WARM_UP = 7, 8, 3
SMALL_BATCH, SMALL_BLOCKS, SMALL_ROUNDS = 64, 15, 400
# Steps that an unrolled generator foresees.
FORESEEN = (1, 5, 10, 20)


def rows(run: Run) -> list[dict]:
    """Milliseconds a round and their ratio, in the run's precision and in float32."""
    float32 = dataclasses.replace(run, precision=torch.float32)
    pairs = [(_textbook, run), (_tutorial, run), (_textbook, float32), (_tutorial, float32)]
    rows = [*(_row(baseline, ours) for baseline, ours in pairs), _small_row(run)]
    unrolled = [_unrolled_row(steps, run) for steps in FORESEEN]
    return [*rows, *unrolled, _penalized_row(run), _cycle_row(run)]


def _penalized_row(run: Run) -> dict:
    """A round of five penalized critic turns on the DCGAN pair, beside the same in a plain loop.

    That one prepares images one by one, computes in float32, and lets G's turn fill D's gradients.
    """
    ours, theirs = _penalized(run), _penalized_tutorial(run)
    for step in (ours, theirs):
        step(1)
    pairs = [(_milliseconds(ours, run, 2), _milliseconds(theirs, run, 2)) for _ in range(BLOCKS)]
    return row("play-penalty-vs-tutorial", pairs, "ms a round")


def _penalized_pair() -> tuple[DCGANGenerator, DCGANDiscriminator]:
    return DCGANGenerator(NOISE, SIDE), DCGANDiscriminator(SIDE, normalized=False)


def _penalized(run: Run) -> Callable[[int], None]:
    game = run.place(GradientPenalty(*_penalized_pair(), NOISE))
    optimisers = {n: adam(p, 1e-4, betas=(0.0, 0.9)) for n, p in game.players.items()}
    recipe = Recipe("penalty", game, _stream(run), optimisers, 1, precision=run.precision)

    return _played(recipe, run)


def _penalized_tutorial(run: Run) -> Callable[[int], None]:
    generator, critic = (network.to(run.device) for network in _penalized_pair())
    climb, descend = (
        torch.optim.Adam(network.parameters(), 1e-4, (0.0, 0.9)) for network in (critic, generator)
    )
    batches = _endless(DataLoader(_Pictures(), BATCH, shuffle=True, drop_last=True))

    def step(rounds: int) -> None:
        for _ in range(rounds):
            for _ in range(5):
                x = next(batches).to(run.device)
                y = generator(torch.randn(BATCH, NOISE, device=run.device)).detach()
                share = torch.rand(BATCH, 1, 1, 1, device=run.device)
                between = (share * x + (1 - share) * y).requires_grad_()
                (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
                penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
                climb.zero_grad()
                (critic(y).mean() - critic(x).mean() + 10 * penalty).backward()
                climb.step()
            descend.zero_grad()
            (-critic(generator(torch.randn(BATCH, NOISE, device=run.device))).mean()).backward()
            descend.step()

    return step


def _cycle_row(run: Run) -> dict:
    """A round of CycleGAN at the size of the book, beside the same in the authors' manner.

    That one prepares pictures one by one, computes in float32, keeps its pools in Python lists,
    and fits the translators and each discriminator by a backward pass of their own.
    """
    recipe = build("cyclegan-emoji", dataclasses.replace(run, preset="book"))
    ours, theirs = _played(recipe, run), _cycle_loop(run)
    for step in (ours, theirs):
        step(WARM_UP)
    pairs = [(_milliseconds(ours, run), _milliseconds(theirs, run)) for _ in range(BLOCKS)]
    return row("play-cycle-vs-loop", pairs, "ms a round")


class _Emoji(Dataset):
    """Emoji of one hand, mirrored or not and converted one at a time."""

    def __init__(self, foundry: str, half: str) -> None:
        self.images = emoji(foundry, half).numpy()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = self.images[index]
        image = image[:, :, ::-1].copy() if random.random() < 0.5 else image
        return (torch.from_numpy(image).float().div(255) - 0.5) / 0.5


def _swapped(pool: list[torch.Tensor], new: torch.Tensor) -> torch.Tensor:
    """New pictures, or old ones whose place they take, one by one."""
    shown = []
    for image in new:
        if len(pool) < 50:
            pool.append(image)
            shown.append(image)
        elif random.random() > 0.5:
            place = random.randrange(50)
            shown.append(pool[place])
            pool[place] = image
        else:
            shown.append(image)
    return torch.stack(shown)


def _cycle_loop(run: Run) -> Callable[[int], None]:
    game = build("cyclegan-emoji", dataclasses.replace(run, preset="book")).game
    to_y, to_x = game.to_y.to(run.device), game.to_x.to(run.device)
    critics = [n.to(run.device) for n in (game.discriminator_y, game.discriminator_x)]
    both = [*to_y.parameters(), *to_x.parameters()]
    moves = torch.optim.Adam(both, 1e-3, (0.5, 0.999))
    learns = [torch.optim.Adam(c.parameters(), 1e-3, (0.5, 0.999)) for c in critics]
    piles = [
        _endless(DataLoader(_Emoji(*which), 4, shuffle=True, drop_last=True))
        for which in (("noto", "first"), ("openmoji", "second"))
    ]
    pools: tuple[list, list] = ([], [])

    def step(rounds: int) -> None:
        for _ in range(rounds):
            x, y = (next(pile).to(run.device) for pile in piles)
            fake_y, fake_x = to_y(x), to_x(y)
            moves.zero_grad()
            fooled = sum(
                (critic(fake) - 1).square().mean()
                for critic, fake in zip(critics, (fake_y, fake_x), strict=True)
            )
            cycle = l1_loss(to_x(fake_y), x) + l1_loss(to_y(fake_x), y)
            identity = l1_loss(to_y(y), y) + l1_loss(to_x(x), x)
            (fooled + cycle + identity).backward()
            moves.step()
            sides = zip(critics, learns, (y, x), (fake_y, fake_x), pools, strict=True)
            for critic, learn, real, fake, pool in sides:
                learn.zero_grad()
                loss = (critic(real) - 1).square().mean()
                loss += critic(_swapped(pool, fake.detach())).square().mean()
                loss.backward()
                learn.step()
                loss.item()

    return step


def _unrolled_row(steps: int, run: Run) -> dict:
    """A round on the ring with so many steps foreseen; the baseline foresees none."""
    ours, none = (_unrolled(count, run) for count in (steps, 0))
    for step in (ours, none):
        step(WARM_UP)
    pairs = [(_milliseconds(ours, run), _milliseconds(none, run)) for _ in range(SMALL_BLOCKS)]
    return row(f"unrolled-{steps}-vs-0", pairs, "ms a round")


def _unrolled(steps: int, run: Run) -> Callable[[int], None]:
    recipe = ring(f"ring-{steps}", run, steps)

    return _played(recipe, run)


def _small_row(run: Run) -> dict:
    """Eight Gaussians and networks of 128 units: what the loop itself costs.

    The baseline is the shortest loop that trains the same game: no bar, no history, and no look at
    a loss.
    """
    ours, bare = _small_ours(run), _small_bare(run)
    for step in (ours, bare):
        step(SMALL_ROUNDS)
    pairs = []
    for _ in range(SMALL_BLOCKS):
        mine, other = (_milliseconds(step, run, SMALL_ROUNDS) for step in (ours, bare))
        pairs.append((mine, other))
    return row("play-small-vs-bare", pairs, "ms a round")


def _small_pair() -> tuple[Perceptron, Logit]:
    return Perceptron(2, 2, (128, 128)), Logit(2, (128, 128))


def _small_ours(run: Run) -> Callable[[int], None]:
    generator, discriminator = _small_pair()
    game = run.place(NonSaturating(generator, discriminator, 2))
    stream = Draws(gaussian_ring(), SMALL_BATCH, run.device)
    optimisers = {name: adam(player, 1e-3) for name, player in game.players.items()}
    return _played(Recipe("small", game, stream, optimisers, 1), run)


def _small_bare(run: Run) -> Callable[[int], None]:
    generator, discriminator = (network.to(run.device) for network in _small_pair())
    optimiser_g, optimiser_d = adam(generator, 1e-3), adam(discriminator, 1e-3)
    ring = gaussian_ring()

    def step(rounds: int) -> None:
        for _ in range(rounds):
            real = ring.sample((SMALL_BATCH,)).to(run.device)
            with torch.no_grad():
                fake = generator(torch.randn(SMALL_BATCH, 2, device=run.device))
            optimiser_d.zero_grad()
            loss = -logsigmoid(discriminator(real)).mean() - logsigmoid(-discriminator(fake)).mean()
            loss.backward()
            optimiser_d.step()
            optimiser_g.zero_grad()
            fake = generator(torch.randn(SMALL_BATCH, 2, device=run.device))
            (-logsigmoid(discriminator(fake)).mean()).backward()
            optimiser_g.step()

    return step


def _played(recipe: Recipe, run: Run) -> Callable[[int], None]:
    """So many rounds of a recipe, without its bar."""

    def step(rounds: int) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            play(dataclasses.replace(recipe, rounds=rounds), run)

    return step


def _row(baseline: Callable[[Run], Callable[[int], None]], run: Run) -> dict:
    precision = str(run.precision).removeprefix("torch.")
    ours, theirs = _ours(run), baseline(run)
    for step in (ours, theirs):
        step(WARM_UP)
    pairs = [(_milliseconds(ours, run), _milliseconds(theirs, run)) for _ in range(BLOCKS)]
    return row(f"play-{precision}-vs-{baseline.__name__.strip('_')}", pairs, "ms a round")


def _milliseconds(step: Callable[[int], None], run: Run, rounds: int | None = None) -> float:
    rounds = rounds or ROUNDS
    _wait(run)
    began = time.perf_counter()
    step(rounds)
    _wait(run)
    return (time.perf_counter() - began) / rounds * 1000


def _wait(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()


def _pair() -> tuple[DCGANGenerator, DCGANDiscriminator]:
    return DCGANGenerator(NOISE, SIDE), DCGANDiscriminator(SIDE)


def _stream(run: Run) -> Minibatches:
    images = torch.nn.functional.pad(mnist("train")[0], (2, 2, 2, 2))
    return Minibatches(images, size=BATCH, device=run.device, prepare=to_signed_unit)


def _ours(run: Run) -> Callable[[int], None]:
    generator, discriminator = _pair()
    game = run.place(NonSaturating(generator, discriminator, NOISE))
    optimisers = {"discriminator": adam(discriminator, 2e-4), "generator": adam(generator, 2e-4)}
    recipe = Recipe("play", game, _stream(run), optimisers, 1, precision=run.precision)
    return _played(recipe, run)


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


class _Loop:
    """What the baselines share: the pair, its optimisers, and the DataLoader."""

    def __init__(self, run: Run) -> None:
        self.device = run.device
        self.generator, self.discriminator = (network.to(run.device) for network in _pair())
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), 2e-4, (0.5, 0.999))
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), 2e-4, (0.5, 0.999))
        loader = DataLoader(_Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
        self.batches = _endless(loader)
        self.ones = torch.ones(BATCH, device=run.device)
        self.zeros = torch.zeros(BATCH, device=run.device)

    def fakes(self) -> torch.Tensor:
        return self.generator(torch.randn(BATCH, NOISE, device=self.device))


def _textbook(run: Run) -> Callable[[int], None]:
    loop = _Loop(run)

    def step(rounds: int) -> None:
        for _ in range(rounds):
            real = next(loop.batches).to(run.device)
            loop.optimiser_d.zero_grad()
            loss_d = binary_cross_entropy_with_logits(loop.discriminator(real), loop.ones)
            loss_d += binary_cross_entropy_with_logits(loop.discriminator(loop.fakes()), loop.zeros)
            loss_d.backward()
            loop.optimiser_d.step()
            loop.optimiser_g.zero_grad()
            loss_g = binary_cross_entropy_with_logits(loop.discriminator(loop.fakes()), loop.ones)
            loss_g.backward()
            loop.optimiser_g.step()
            loss_d.item(), loss_g.item()

    return step


def _tutorial(run: Run) -> Callable[[int], None]:
    loop = _Loop(run)

    def step(rounds: int) -> None:
        for _ in range(rounds):
            real, fake = next(loop.batches).to(run.device), loop.fakes()
            loop.discriminator.zero_grad()
            loss_real = binary_cross_entropy_with_logits(loop.discriminator(real), loop.ones)
            loss_real.backward()
            loss_fake = binary_cross_entropy_with_logits(
                loop.discriminator(fake.detach()), loop.zeros
            )
            loss_fake.backward()
            loop.optimiser_d.step()
            loop.generator.zero_grad()
            loss_g = binary_cross_entropy_with_logits(loop.discriminator(fake), loop.ones)
            loss_g.backward()
            loop.optimiser_g.step()
            loss_real.item(), loss_fake.item(), loss_g.item()

    return step


def _endless(loader: DataLoader) -> Iterator[torch.Tensor]:
    while True:
        yield from loader
