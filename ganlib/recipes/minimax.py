"""The original game's recipes, and short ones that differ from the first in one thing."""

from dataclasses import replace

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.minimax import NonSaturating
from ganlib.games.r1 import PenalizedSlope
from ganlib.nets import DCGANDiscriminator, DCGANGenerator, ResidualDiscriminator, ResidualGenerator
from ganlib.optimisers import Muon, adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import distance_of_digits, held_out
from ganlib.recipes.register import recipe
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run


@recipe
def minimax_mnist(name: str, run: Run) -> Recipe:
    """A DCGAN pair: G begins with a choice, D looks at features."""
    width = run.pick(smoke=8, book=32, paper=paper(run, gpu=64, cpu=32))
    wide = paper(run, gpu=1024, cpu=256)
    features = run.pick(smoke=32, book=256, paper=wide)
    generator = DCGANGenerator(noise_size=26, width=width, choices=10)
    discriminator = DCGANDiscriminator(width=width, features=features)
    game = run.place(NonSaturating(generator, discriminator, 26))
    images, rest = held_out(run, mnist("train")[0])
    slow = paper(run, gpu=2e-4, cpu=2e-3)
    rate = run.pick(smoke=2e-3, book=2e-3, paper=slow)
    decay = run.pick(smoke=0.9, book=0.995, paper=0.999)
    long = paper(run, gpu=50_000, cpu=10_000)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, rate) for n, p in game.players.items()},
        rounds=run.pick(smoke=60, book=2400, paper=long),
        averages={"generator": decay},
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


@recipe
def residual_mnist(name: str, run: Run) -> Recipe:
    """A residual pair on MNIST: non-saturating loss, R1 on the data's side."""
    width = run.pick(smoke=4, book=12, paper=paper(run, gpu=64, cpu=12))
    rounds = run.pick(smoke=20, book=1_000, paper=paper(run, gpu=60_000, cpu=15_000))
    decay = run.pick(smoke=0.9, book=0.99, paper=0.999)
    generator = ResidualGenerator(noise_size=64, width=width)
    discriminator = ResidualDiscriminator(width=width)
    game = PenalizedSlope(generator, discriminator, 64, weight=0.5)
    run.place(game)
    images, rest = held_out(run, mnist("train")[0])
    players = {"discriminator": discriminator, "generator": generator}
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, 2e-3, betas=(0.0, 0.99)) for n, p in players.items()},
        rounds=rounds,
        averages={"generator": decay},
        schedule=cosine,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


# What is changed in `minimax-mnist`, one thing at a time. R1 and spectral normalization take the
# place of the discriminator's batch normalization.
CHANGES = (
    "nothing",
    "no choice",
    "no features",
    "no normalization",
    "R1",
    "spectral normalization",
    "Muon",
    "residual pair",
)


def changed(change: str, run: Run) -> Recipe:
    """A short `minimax-mnist`, at the size of `book`, with one change.

    change: a name in `CHANGES`. The residual pair is `residual-mnist`, for as many rounds. Rates
    stay what they are, and Muon's on what lies within a network is the 0.02 of the chains.
    """
    name = f"minimax-mnist, {change}"
    rounds = run.pick(smoke=3, book=1_000, paper=1_000)
    averages = {"generator": run.pick(smoke=0.5, book=0.995, paper=0.995)}
    if change == "residual pair":
        return replace(residual_mnist(name, run), rounds=rounds, averages=averages)
    width, features = run.pick(smoke=8, book=32, paper=32), run.pick(smoke=32, book=256, paper=256)
    generator = DCGANGenerator(26, width=width, choices=0 if change == "no choice" else 10)
    discriminator = DCGANDiscriminator(
        width=width,
        normalized=change not in ("no normalization", "R1", "spectral normalization"),
        features=None if change == "no features" else features,
    )
    if change == "spectral normalization":
        for layer in discriminator:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)
    pair = generator, discriminator, 26
    game = PenalizedSlope(*pair, weight=0.5) if change == "R1" else NonSaturating(*pair)
    run.place(game)
    fits = _muon if change == "Muon" else adam
    images, rest = held_out(run, mnist("train")[0])
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: fits(p, 2e-3) for n, p in game.players.items()},
        rounds=rounds,
        averages=averages,
        precision=run.precision,
        measure=distance_of_digits(rest, game.noise, run),
    )


def _muon(network: nn.Module, rate: float) -> Muon:
    """Muon on the matrices within, Adam at its customary momenta here on all else."""
    layers = [n for n, m in network.named_modules() if getattr(m, "weight", None) is not None]
    kernels = [n for n in layers if network.get_submodule(n).weight.ndim > 1]
    ends = kernels[0], kernels[-1]
    return Muon(network, 0.02, adam_rate=rate, beside=ends, momentum=0.5, betas=(0.5, 0.999))
