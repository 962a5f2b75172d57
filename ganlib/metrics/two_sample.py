"""Are two sets of examples from one distribution? Ask a classifier that has seen half of each."""

from typing import NamedTuple

import torch
from scipy.special import bdtrc
from torch import Tensor

from ganlib.games.classification import Classification
from ganlib.metrics.inputs import factor_to_one, feature_pair
from ganlib.nets import Perceptron
from ganlib.optimisers import adam, cosine
from ganlib.play import Recipe, play
from ganlib.runtime import Run
from ganlib.sizes import whole
from ganlib.streams import Minibatches

# In deviations; a network of few layers takes this in without overflow.
FARTHEST = 1e18


class TwoSampleTest(NamedTuple):
    """accuracy: the share told right of `held_out` examples, half of each set.

    p_value: the chance that a coin would do at least as well.
    """

    accuracy: float
    p_value: float
    held_out: int


def classifier_two_sample_test(
    features_a: Tensor, features_b: Tensor, seed: int = 0, rounds: int = 300
) -> TwoSampleTest:
    """Train a small network to tell the sets apart on one half, and count on the other.

    features_a, features_b: (count, dimensions), 8 or more of each; of the larger set as many are
    used as the smaller has. If both come from one distribution, a held-out example of one set is
    told right with as much chance as one of the other is told wrong, whatever was learnt, and more
    than half are told right no more often than by a fair coin: a p-value below one half is never
    too small (Lopez-Paz and Oquab, 2017, section 3; Hoeffding, 1956). A network that learns nothing
    makes the test weak, not wrong. Raises ValueError for features that are not finite, of different
    dimensions, or too few, and a seed or a number of rounds that is none.
    """
    seed, rounds = whole("seed", seed, 0, 2**63 - 1), whole("rounds", rounds)
    a, b = feature_pair(features_a, features_b, ("features_a", "features_b"), at_least=8)
    # Each feature is standardized, so no power of two makes a difference to what is learnt.
    factors = factor_to_one(torch.cat([a, b]).abs().amax(0))
    a, b = a * factors, b * factors
    draws = torch.Generator().manual_seed(seed)
    size = min(len(a), len(b)) // 2 * 2
    a, b = (x[torch.randperm(len(x), generator=draws)[:size].to(x.device)] for x in (a, b))
    half = size // 2
    training = torch.cat([a[:half], b[:half]])
    mean, scale = training.mean(0), training.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    # What the other half holds can be so far from this one that float32 does not hold it.
    a, b = (((x - mean) / scale).clamp(-FARTHEST, FARTHEST).float() for x in (a, b))
    labels = torch.arange(2, device=a.device).repeat_interleave(half)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        classifier = Perceptron(a.shape[1], 2).to(a.device)
    run = Run("book", a.device, seed, torch.float32)
    play(
        Recipe(
            name="two-sample test",
            game=Classification(classifier),
            stream=Minibatches(
                torch.cat([a[:half], b[:half]]),
                labels,
                size=min(128, size),
                seed=seed,
                device=a.device,
            ),
            optimisers={"classifier": adam(classifier, 1e-3, betas=(0.9, 0.999))},
            rounds=rounds,
            schedule=cosine,
        ),
        run,
        show=False,
    )
    with torch.no_grad():
        answers = classifier(torch.cat([a[half:], b[half:]])).argmax(1)
    right = int((answers == labels).sum())
    p_value = 1.0 if right == 0 else float(bdtrc(right - 1, size, 0.5))
    return TwoSampleTest(right / size, p_value, size)
