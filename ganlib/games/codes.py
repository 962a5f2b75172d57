"""What a generator is told beside noise: one categorical code, and continuous ones."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganlib.sizes import whole

# Of the standard deviation that a posterior may answer, in nats.
NARROWEST, WIDEST = -4.0, 1.0


@dataclass(frozen=True)
class Codes:
    """c₁ uniform on `categories` values, and `continuous` codes uniform on [-1, 1]; independent.

    A code is a row: c₁ as a one-hot vector, then the continuous ones. What a posterior Q answers,
    (batch, `answers`), is a row too: c₁'s logits, then a mean and the logarithm of a standard
    deviation for each continuous code. Raises ValueError for fewer than 2 categories or a number
    of continuous codes that is not whole and 0 or more.
    """

    categories: int = 10
    continuous: int = 2

    def __post_init__(self) -> None:
        whole("categories", self.categories, 2)
        whole("continuous", self.continuous, 0)

    @property
    def size(self) -> int:
        """Numbers in a code."""
        return self.categories + self.continuous

    @property
    def answers(self) -> int:
        """Numbers in what a posterior answers."""
        return self.categories + 2 * self.continuous

    @property
    def entropy(self) -> dict[str, float]:
        """H(c₁), and the differential entropy of the continuous codes together, in nats."""
        return {
            "categorical": math.log(self.categories),
            "continuous": self.continuous * math.log(2),
        }

    def draw(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        """Codes (count, size)."""
        value = torch.randint(self.categories, (count,), device=device)
        uniform = 2 * torch.rand(count, self.continuous, device=device) - 1
        return torch.cat([one_hot(value, self.categories), uniform], 1)

    def information(self, codes: Tensor, answers: Tensor) -> dict[str, Tensor]:
        """The bound H(c) + E log Q(c | x) for each kind of code, nats.

        codes: (batch, size). answers: what Q says of the images made
        with them, (batch, answers).
        """
        k = self.categories
        log_q = (answers[:, :k].log_softmax(1) * codes[:, :k]).sum(1)
        mean, log_scale = answers[:, k:].chunk(2, 1)
        log_scale = log_scale.clamp(NARROWEST, WIDEST)
        off = (codes[:, k:] - mean) * (-log_scale).exp()
        height = log_scale + 0.5 * math.log(2 * math.pi)
        log_density = -0.5 * off.square() - height
        said = {"categorical": log_q, "continuous": log_density.sum(1)}
        return {n: self.entropy[n] + log.mean() for n, log in said.items()}
