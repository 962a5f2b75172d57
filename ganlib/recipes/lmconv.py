"""The recipe of the chapter on locally masked convolution."""

from ganlib.chains import LMConv, orders
from ganlib.datasets import binarized_mnist, mnist
from ganlib.play import Recipe
from ganlib.recipes.register import recipe
from ganlib.recipes.shared import likelihood, paper
from ganlib.runtime import Run


@recipe
def lmconv_binary(name: str, run: Run) -> Recipe:
    """Locally masked convolutions on MNIST with fresh coins, over the eight S-curve orders."""
    chain = LMConv(
        width=run.pick(smoke=12, book=64, paper=paper(run, gpu=128, cpu=64)),
        depth=run.pick(smoke=2, book=10, paper=paper(run, gpu=16, cpu=10)),
        # Wide enough to see across half an image, which completions need.
        dilations=(1, 2, 4),
    )
    rounds = run.pick(smoke=150, book=250, paper=paper(run, gpu=120_000, cpu=5_500))
    curves = orders.reflections(orders.s_curve, 28, 28)
    grey, _ = mnist("train")
    return likelihood(name, run, chain, binarized_mnist(), rounds, curves, grey)
