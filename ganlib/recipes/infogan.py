"""The recipes of the chapter on codes: digits told apart by labels, and by codes of their own."""

from dataclasses import dataclass

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.codes import Codes
from ganlib.games.conditional import Conditional
from ganlib.games.infogan import InfoGAN, Unpaid
from ganlib.nets import (
    DCGANDiscriminator,
    DCGANGenerator,
    DCGANTrunk,
    Logit,
    Perceptron,
    WithPlanes,
)
from ganlib.optimisers import adam
from ganlib.play import Recipe
from ganlib.recipes.measures import held_out
from ganlib.recipes.register import family, recipe
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run

CODES = Codes(categories=10, continuous=2)
NOISE = 16


@dataclass(frozen=True)
class Setting:
    """Who is paid for information, by which weight for each kind of code, and how loud noise is."""

    game: type[InfoGAN]
    categorical_weight: float
    continuous_weight: float
    noise_scale: float


# Beside loud noise a lone 1 is easily drowned; beside low noise it speaks for itself, and a small
# payment is enough.
SETTINGS = {
    "mnist": Setting(InfoGAN, 0.02, 0.02, 0.25),
    "unpaid": Setting(Unpaid, 0.02, 0.02, 0.25),
    "full": Setting(InfoGAN, 1.0, 0.1, 0.25),
    "loud": Setting(InfoGAN, 1.0, 0.1, 1.0),
    "loud-unpaid": Setting(Unpaid, 1.0, 0.1, 1.0),
}


@family(kind=tuple(SETTINGS))
def infogan(name: str, run: Run, kind: str) -> Recipe:
    """Digits with a categorical code and two continuous ones.

    Chen et al. (2016, appendix C.1), smaller. kind: a name in `SETTINGS`.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    wide = paper(run, gpu=1024, cpu=256)
    features = run.pick(smoke=32, book=128, paper=wide)
    generator = DCGANGenerator(NOISE + CODES.size, width=width)
    trunk = DCGANTrunk(width=width, features=features)
    head = Logit(features, widths=())
    posterior = Perceptron(features, CODES.answers, widths=(128,))
    networks = generator, trunk, head, posterior
    chosen = SETTINGS[kind]
    weights = chosen.categorical_weight, chosen.continuous_weight
    sizes = NOISE, CODES, *weights, chosen.noise_scale
    game = run.place(chosen.game(*networks, *sizes))
    images, _ = held_out(run, mnist("train")[0])
    slow = paper(run, gpu=2e-4, cpu=2e-3)
    fast = paper(run, gpu=1e-3, cpu=2e-3)
    rates = {n: fast if n == "generator" else slow for n in game.players}
    decay = run.pick(smoke=0.9, book=0.98, paper=0.999)
    long = paper(run, gpu=50_000, cpu=9_000)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, rates[n]) for n, p in game.players.items()},
        rounds=run.pick(smoke=5, book=1_600, paper=long),
        averages=dict.fromkeys(("generator", "trunk", "posterior"), decay),
        precision=run.precision,
    )


@recipe
def conditional_mnist(name: str, run: Run) -> Recipe:
    """Digits of a class that both players are told (Mirza and Osindero, 2014), by a DCGAN pair."""
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=32))
    generator = DCGANGenerator(NOISE + 10, width=width)
    discriminator = WithPlanes(DCGANDiscriminator(channels=1 + 10, width=width))
    game = run.place(Conditional(generator, discriminator, NOISE, 10))
    images, labels = mnist("train")
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, labels, size=64, prepare=to_signed_unit),
        optimisers={n: adam(p, 2e-3) for n, p in game.players.items()},
        rounds=run.pick(smoke=5, book=600, paper=paper(run, gpu=40_000, cpu=6_000)),
        averages={"generator": run.pick(smoke=0.9, book=0.98, paper=0.999)},
        precision=run.precision,
    )
