"""The recipes of the chapter on translation: Noto's emoji and OpenMoji's, with pairs and without.

And the reader that judges: it alone is told which pictures belong together in all foundries.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from ganlib.datasets import FOUNDRIES, emoji, to_signed_unit
from ganlib.games.cycle import CycleGAN
from ganlib.games.paired import Paired
from ganlib.games.reading import Reading
from ganlib.games.rules import Game
from ganlib.nets import ColourMap, EmojiReader, PatchDiscriminator, Translator
from ganlib.optimisers import adam, cosine, late_decline
from ganlib.play import Recipe, Stream
from ganlib.recipes.register import family, recipe
from ganlib.recipes.shared import minibatches, paper
from ganlib.runtime import Run, mixed_seed
from ganlib.streams import Minibatches, Together

# Pictures x are Noto's, pictures y OpenMoji's.
X, Y = "noto", "openmoji"
TRANSLATORS = "to_y", "to_x"
CYCLE, IDENTITY, L1 = 1.0, 1.0, 10.0
# What each kind changes of the game.
KINDS = {
    "emoji": {},
    "log": {"loss": "log"},
    "no-cycle": {"cycle": (0.0, 0.0)},
    "forward": {"cycle": (CYCLE, 0.0)},
    "backward": {"cycle": (0.0, CYCLE)},
    "no-identity": {"identity": 0.0},
    "no-pool": {"pool": 0},
    "no-adversary": {},
}

PAIRED = ("emoji", "l1", "adversary", "colours", "emoji-back", "l1-back", "colours-back")


@family(kind=tuple(KINDS))
def cyclegan(name: str, run: Run, kind: str) -> Recipe:
    """Two translators that never see a pair.

    Zhu et al. (2017), smaller. kind: a name in `KINDS`: the game, or
    the game without one of its parts.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=16))
    to_y, to_x = (translator(run, width) for _ in "yx")
    critics = critic(run, width), critic(run, width)
    critics = (None, None) if kind == "no-adversary" else critics
    setting = {"cycle": (CYCLE, CYCLE), "identity": IDENTITY, **KINDS[kind]}
    game = run.place(CycleGAN(to_y, to_x, *critics, **setting))
    x, y = emoji(X, "first"), emoji(Y, "second")
    stream = Together(pictures(run, x, 0), pictures(run, y, 1))
    return _fitted(name, run, game, stream)


@recipe
def cyclegan_grey(name: str, run: Run) -> Recipe:
    """Noto's emoji to grey ones and back: the other pile cannot show what has to come back."""
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=16))
    networks = *(translator(run, width) for _ in "yx"), *(critic(run, width) for _ in "yx")
    game = run.place(CycleGAN(*networks, cycle=(CYCLE, CYCLE), identity=IDENTITY))
    x, y = emoji(X, "first"), grey(emoji(X, "second"))
    stream = Together(pictures(run, x, 0), pictures(run, y, 1))
    return _fitted(name, run, game, stream)


def grey(images: Tensor) -> Tensor:
    """Bytes (batch, 3, h, w) with the mean of the three channels in each of them."""
    mean = images.float().mean(1, keepdim=True).round().to(torch.uint8)
    return mean.expand(-1, 3, -1, -1).contiguous()


@family(kind=PAIRED)
def paired(name: str, run: Run, kind: str) -> Recipe:
    """A translator that sees pairs, as many pictures as `cyclegan` has.

    Isola et al. (2017), smaller. kind: a name in `PAIRED`: with both
    terms, or with one alone, or colour by colour; from Noto to OpenMoji
    or back.
    """
    width = run.pick(smoke=4, book=16, paper=paper(run, gpu=64, cpu=16))
    way = kind.removesuffix("-back")
    alone = way in ("l1", "colours")
    network = ColourMap() if way == "colours" else translator(run, width)
    discriminator = None if alone else critic(run, width, channels=6)
    weight = 0.0 if way == "adversary" else L1
    game = run.place(Paired(network, discriminator, weight))
    both = [emoji(X, "first"), emoji(Y, "first")]
    both = both[::-1] if kind.endswith("-back") else both
    stream = pictures(run, torch.cat(both, 1), 0)
    return _fitted(name, run, game, stream)


@recipe
def emoji_reader(name: str, run: Run) -> Recipe:
    """The network whose features judge translations; trained on all foundries, and on pairs."""
    reader = EmojiReader(width=run.pick(smoke=4, book=16, paper=32))
    game = run.place(Reading(reader))
    hands = torch.stack([emoji(foundry) for foundry in FOUNDRIES], 1)
    size = run.pick(smoke=16, book=64, paper=64)
    return Recipe(
        name=name,
        game=game,
        stream=minibatches(run, hands, size=size, prepare=jittered),
        optimisers={"reader": adam(reader, 2e-3, betas=(0.9, 0.999))},
        rounds=run.pick(smoke=5, book=300, paper=3_000),
        averages={"reader": run.pick(smoke=0.9, book=0.98, paper=0.995)},
        schedule=cosine,
        precision=run.precision,
    )


def translator(run: Run, width: int) -> Translator:
    """The network of both directions."""
    blocks = run.pick(smoke=1, book=3, paper=paper(run, gpu=6, cpu=3))
    return Translator(width=width, blocks=blocks)


def critic(run: Run, width: int, channels: int = 3) -> PatchDiscriminator:
    """A discriminator of patches, twice as wide as the translator."""
    return PatchDiscriminator(channels, 2 * width)


def pictures(run: Run, images: Tensor, number: int) -> Minibatches:
    """Minibatches of a domain, in an order of its own, each picture mirrored or not."""
    apart = replace(run, seed=mixed_seed(run.seed, number))
    return minibatches(apart, images, size=4, prepare=mirrored)


def mirrored(images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Bytes (batch, 3, h, w) to [-1, 1], each mirrored or not; of 6 channels, both of a pair."""
    flip = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    images = to_signed_unit(torch.where(flip, images.flip(-1), images))
    return images if images.shape[1] == 3 else tuple(images.chunk(2, 1))


def jittered(images: Tensor) -> Tensor:
    """Bytes (batch, hands, 3, h, w) to [-1, 1], each mirrored or not, a little moved and scaled."""
    flip = torch.rand(len(images), 1, 1, 1, 1, device=images.device) < 0.5
    images = to_signed_unit(torch.where(flip, images.flip(-1), images))
    flat = images.flatten(0, 1)
    count, device = len(flat), images.device
    moves = 0.08 * torch.randn(count, 2, 3, device=device)
    moves[:, :, :2] *= torch.eye(2, device=device)
    moves[:, :, :2] += 1.1 * torch.eye(2, device=device)
    grid = affine_grid(moves, list(flat.shape), align_corners=False)
    # What lies beyond the edge is white, as emoji's margins are.
    moved = grid_sample(flat - 1, grid, align_corners=False) + 1
    return moved.view_as(images)


def _fitted(name: str, run: Run, game: Game, stream: Stream) -> Recipe:
    rate = paper(run, gpu=2e-4, cpu=1e-3)
    decay = run.pick(smoke=0.9, book=0.99, paper=0.999)
    movers = dict.fromkeys(m for turn in game.turns for m in turn.movers)
    optimisers = {m: adam(game.players[m], rate) for m in movers}
    long = paper(run, gpu=170_000, cpu=6_000)
    return Recipe(
        name=name,
        game=game,
        stream=stream,
        optimisers=optimisers,
        rounds=run.pick(smoke=5, book=1_000, paper=long),
        averages={m: decay for m in movers if m in TRANSLATORS},
        schedule=late_decline,
        precision=run.precision,
    )
