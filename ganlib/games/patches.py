"""What translators and critics of patches pay: least squares, or the logarithms of the first game.

A critic answers each patch of a picture with a number, and all losses are means over patches
(Isola et al., 2017, section 3.2.2).
"""

from torch import Tensor
from torch.nn.functional import logsigmoid, mse_loss

LOSSES = ("squares", "log")
# A minibatch, x beside y, and the named terms of a loss.
Pair = tuple[Tensor, Tensor]
Terms = dict[str, Tensor]


def check_loss(loss: str) -> str:
    """The name of a loss; ValueError for another."""
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: expected 'squares' or 'log'")
    return loss


def told_apart(on_real: Tensor, on_fake: Tensor, loss: str) -> Tensor:
    """What a discriminator pays for its answers, of any shape, on data and on translations.

    squares: E (D - 1)² + E D² (Mao et al., 2017). log: -E log D - E log(1 - D), for logits.
    """
    if loss == "squares":
        ones = on_real.new_ones(())
        return mse_loss(on_real, ones.expand_as(on_real)) + on_fake.square().mean()
    return -logsigmoid(on_real).mean() - logsigmoid(-on_fake).mean()


def fooled(on_fake: Tensor, loss: str) -> Tensor:
    """What a translator pays for a discriminator's answers: E (D - 1)², or -E log D."""
    if loss == "squares":
        return (on_fake - 1).square().mean()
    return -logsigmoid(on_fake).mean()
