"""The recipe of the judge."""

from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.classification import Classification
from ganlib.nets import DigitClassifier
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe
from ganlib.recipes.register import recipe
from ganlib.recipes.shared import minibatches
from ganlib.runtime import Run


@recipe
def digits(name: str, run: Run) -> Recipe:
    """The classifier of MNIST whose features judge generators of digits."""
    classifier = DigitClassifier(width=run.pick(smoke=8, book=32, paper=32))
    game = Classification(classifier)
    run.place(game)
    optimiser = adam(classifier, 2e-3, betas=(0.9, 0.999))
    labelled = mnist("train")
    size = run.pick(smoke=64, book=128, paper=128)
    stream = minibatches(run, *labelled, size=size, prepare=to_signed_unit)
    decay = run.pick(smoke=0.9, book=0.98, paper=0.998)
    return Recipe(
        name=name,
        game=game,
        stream=stream,
        optimisers={"classifier": optimiser},
        rounds=run.pick(smoke=100, book=500, paper=8000),
        averages={"classifier": decay},
        schedule=cosine,
        precision=run.precision,
    )
