"""How good what a recipe trained is, on training data that it was not trained on.

The book ships the best training by these measures; what the papers report is measured elsewhere,
on test data, once.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ganlib.chains import ensemble_log_likelihood, members_log_likelihood, orders
from ganlib.datasets import to_signed_unit
from ganlib.metrics import digit_features, extract, frechet_distance_between
from ganlib.play import Measure
from ganlib.runtime import Run

# So many of the last training examples are held out at the `paper` preset, of which this measures
# as many as take about half a minute.
HELD_OUT = 2_000
MEASURED = 1_000
DRAWS = 5_000


def held_out(run: Run, examples: Tensor) -> tuple[Tensor, Tensor]:
    """Training examples to train on, and those at their end that are held out.

    At `smoke` and `book`, whose networks are not shipped, the held out ones are trained on too.
    """
    # Of small sets no more than a tenth.
    count = min(HELD_OUT, len(examples) // 10)
    return examples[:-count] if run.preset == "paper" else examples, examples[-count:]


def negative_log_likelihood(
    images: Tensor, generation_orders: Sequence[Tensor] | None = None
) -> Measure:
    """-log p(x) in nats, averaged over held-out images; of the ensemble where there are orders."""
    seen = images[: MEASURED if generation_orders is None else MEASURED // 4]
    curves = [orders.raster(*images.shape[2:])] if generation_orders is None else generation_orders

    def of(networks: Mapping[str, nn.Module]) -> float:
        members = members_log_likelihood(networks["chain"], seen, curves)
        return -float(ensemble_log_likelihood(members).mean())

    return Measure(f"nats an image, {len(seen):,} held-out training images", of)


def distance_of_digits(digits: Tensor, noise: Callable[[int], Tensor], run: Run) -> Measure:
    """The Fréchet distance of draws from held-out training digits, under the book's judge.

    digits: the held-out ones, bytes. noise: draws that many vectors for the generator.
    """

    @torch.no_grad()
    def of(networks: Mapping[str, nn.Module]) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            judge = digit_features(run.device)
            draws = [networks["generator"](noise(500)).float() for _ in range(DRAWS // 500)]
        pictures = to_signed_unit(digits), torch.cat(draws).cpu()
        vectors = [extract(judge, images, device=run.device).vectors for images in pictures]
        return frechet_distance_between(*vectors)

    return Measure(f"Fréchet distance of {DRAWS:,} draws, {len(digits):,} held-out digits", of)
