"""The recipes of the chapter on PixelCNN."""

from torch import Tensor

from ganlib.chains import GatedPixelCNN, PixelCNN
from ganlib.datasets import binarized_mnist, emoji, mnist
from ganlib.play import Recipe
from ganlib.recipes.register import recipe
from ganlib.recipes.shared import likelihood, paper
from ganlib.runtime import Run


@recipe
def pixelcnn_binary(name: str, run: Run) -> Recipe:
    """A PixelCNN on binarized MNIST, whose coins were tossed once."""
    return _binary(name, run)


@recipe
def pixelcnn_fresh(name: str, run: Run) -> Recipe:
    """The same chain, with coins that are tossed afresh for each minibatch."""
    return _binary(name, run, mnist("train")[0])


def _binary(name: str, run: Run, grey: Tensor | None = None) -> Recipe:
    chain = PixelCNN(
        width=run.pick(smoke=12, book=64, paper=paper(run, gpu=128, cpu=64)),
        depth=run.pick(smoke=3, book=10, paper=paper(run, gpu=16, cpu=10)),
        # Wide enough to see most of a digit above and beside a pixel.
        dilations=(1, 2, 4),
    )
    rounds = run.pick(smoke=250, book=300, paper=paper(run, gpu=60_000, cpu=9_000))
    return likelihood(name, run, chain, binarized_mnist(), rounds, grey=grey)


@recipe
def pixelcnn_256(name: str, run: Run) -> Recipe:
    """A gated PixelCNN on MNIST at all of its 256 levels."""
    chain = GatedPixelCNN(
        levels=256,
        width=run.pick(smoke=8, book=24, paper=paper(run, gpu=80, cpu=32)),
        depth=run.pick(smoke=2, book=5, paper=paper(run, gpu=8, cpu=6)),
    )
    rounds = run.pick(smoke=20, book=300, paper=paper(run, gpu=60_000, cpu=6_000))
    return likelihood(name, run, chain, mnist("train")[0], rounds)


@recipe
def pixelcnn_emoji(name: str, run: Run) -> Recipe:
    """A gated PixelCNN on emoji: R, G and B of every pixel in turn, at 16 levels each."""
    chain = GatedPixelCNN(
        channels=3,
        levels=16,
        width=run.pick(smoke=6, book=30, paper=90),
        depth=run.pick(smoke=1, book=3, paper=8),
    )
    images = emoji("noto", "train") // 16
    rounds = run.pick(smoke=10, book=330, paper=20_000)
    return likelihood(name, run, chain, images, rounds)
