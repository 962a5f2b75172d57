"""The recipes of the chapter on encoders: digits without convolutions, six ways to a code."""

from torch import nn

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.autoencoding import Autoencoding
from ganlib.games.bigan import BiGAN, LatentRegressor
from ganlib.games.rules import Game
from ganlib.nets import DenseEncoder, DenseGenerator, Joined, Logit
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.measures import held_out
from ganlib.recipes.register import family
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run

NOISE = 50
# Of the error of codes in what a joint latent regressor's generator pays, as the authors' code has
# it.
JOINT = 0.25
# Of z where D sees it: beside 784 pixels from -1 to 1, fifty smaller numbers are hardly heard.
LOUDER = 4.0
KINDS = ("mnist", "regressor", "joint", "squares", "absolute")


@family(kind=KINDS)
def bigan(name: str, run: Run, kind: str) -> Recipe:
    """Encoders of digits, by fully connected networks.

    Donahue et al. (2017, section 4.1), with fewer epochs. kind: a name in
    `KINDS`: the game of pairs, the two latent regressors, and
    autoencoders by squared and by absolute error.
    """
    width = run.pick(smoke=32, book=256, paper=1024)
    widths = width, width
    generator = DenseGenerator(NOISE, widths=widths)
    encoder = DenseEncoder(NOISE, widths=widths)
    game = run.place(_game(kind, generator, encoder, widths))
    images, _ = held_out(run, mnist("train")[0])
    epoch = len(images) // 128
    rate = run.pick(smoke=1e-3, book=1e-3, paper=paper(run, gpu=2e-4, cpu=5e-4))
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=128, prepare=to_signed_unit),
        optimisers={n: adam(p, rate, betas=(0.0, 0.999)) for n, p in game.players.items()},
        rounds=run.pick(smoke=5, book=2_500, paper=paper(run, gpu=400, cpu=20) * epoch),
        averages=dict.fromkeys(("generator", "encoder"), 0.999 if run.preset == "paper" else 0.99),
        schedule=cosine,
        precision=run.precision,
    )


def _game(kind: str, generator: nn.Module, encoder: nn.Module, widths: tuple[int, int]) -> Game:
    """What is played with the pair; the discriminator is built where there is one."""
    if kind in ("squares", "absolute"):
        return Autoencoding(encoder, generator, power=2 if kind == "squares" else 1)
    pixels = generator.settings["side"] ** 2
    if kind == "mnist":
        pairs = Joined(Logit(pixels + NOISE, widths, "LeakyReLU"), LOUDER)
        return BiGAN(generator, encoder, pairs, NOISE)
    alone = nn.Sequential(nn.Flatten(1), Logit(pixels, widths, "LeakyReLU"))
    weight = JOINT if kind == "joint" else 0.0
    return LatentRegressor(generator, encoder, alone, NOISE, weight)
