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
    epoch, players = len(images) // 128, game.players
    betas = 0.0, 0.999
    slow = paper(run, gpu=2e-4, cpu=5e-4)
    rate = run.pick(smoke=1e-3, book=1e-3, paper=slow)
    decay = run.pick(smoke=0.9, book=0.99, paper=0.999)
    rounds = paper(run, gpu=400, cpu=20) * epoch
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, images, size=128, prepare=to_signed_unit),
        optimisers={n: adam(p, rate, betas) for n, p in players.items()},
        rounds=run.pick(smoke=5, book=2_500, paper=rounds),
        averages=dict.fromkeys(("generator", "encoder"), decay),
        schedule=cosine,
        precision=run.precision,
    )


def _game(
    kind: str,
    generator: nn.Module,
    encoder: nn.Module,
    widths: tuple[int, int],
) -> Game:
    """What is played with the pair; its discriminator, if it has one."""
    if kind in ("squares", "absolute"):
        power = 2 if kind == "squares" else 1
        return Autoencoding(encoder, generator, power)
    pixels = generator.settings["side"] ** 2
    if kind == "mnist":
        judge = Logit(pixels + NOISE, widths, "LeakyReLU")
        return BiGAN(generator, encoder, Joined(judge, LOUDER), NOISE)
    judge = Logit(pixels, widths, "LeakyReLU")
    alone = nn.Sequential(nn.Flatten(1), judge)
    weight = JOINT if kind == "joint" else 0.0
    return LatentRegressor(generator, encoder, alone, NOISE, weight)
