"""Which pixels a chain's logits depend on, computed from gradients or from masks.

An influence of exactly 0 is a pixel that the network does not see. Where that is right, a later
pixel, and where it is a loss, a blind spot, the chapter on PixelCNN says.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.chains.layers import MaskedConvolution, Whole
from ganlib.chains.models import Chain
from ganlib.runtime import full_precision
from ganlib.sizes import whole


def influence(
    chain: Chain,
    height: int,
    width: int,
    order: Tensor | None = None,
    *,
    pictures: int = 1,
    labels: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How strongly every logit depends on every pixel, rows and columns in generation order.

    The entry (i, j) is the absolute derivative of r·logits_i by x_j, summed over random pictures.
    Here i and j count channels of pixels in the order in which they are drawn, logits_i are those
    of all levels, and r is a random direction. It is 0 where no picture lets x_j change logits_i,
    and positive, with probability one, where one does.
    pictures: how many; a ReLU that is off hides an influence, so take several. labels: (1,), for
    a class-conditional chain. Returns (n, n), n = height·width·channels. Raises ValueError for
    an order or labels that do not fit, or no pictures.
    """
    order = chain.checked(order, height, width)
    pictures = whole("pictures", pictures)
    labels = chain.checked_labels(labels, 1)
    weight = next(chain.parameters())
    channels, count = chain.channels, height * width * chain.channels
    labels = None if labels is None else labels.to(weight.device).repeat(count)
    total = weight.new_zeros(count, count)
    for _ in range(pictures):
        picture = torch.randn(1, height * width, channels, generator=generator).to(weight)
        direction = torch.randn(count, chain.levels, generator=generator).to(weight)
        # One copy of the picture for each output, so that one backward pass serves them all.
        copies = picture.repeat(count, 1, 1).requires_grad_()
        with torch.enable_grad(), full_precision(weight.device):
            features = chain.logits(Whole(copies, order, height, width), labels)
            logits = features.unflatten(2, (channels, chain.levels)).flatten(1, 2)
            total += slopes(logits, direction, copies).abs()
    drawn_at = orders.positions(order, width)[:, None] * channels + torch.arange(channels)
    drawn_at = drawn_at.flatten().to(weight.device)
    return total[drawn_at][:, drawn_at].detach()


def slopes(logits: Tensor, direction: Tensor, copies: Tensor) -> Tensor:
    """The derivative of direction_i·logits_i by x_j, at [i, j].

    copies: n times the same picture of n values, so that one backward pass
    serves all outputs. logits: (n, n, levels), all of every copy.
    """
    own = logits.diagonal(dim1=0, dim2=1).T
    (jacobian,) = torch.autograd.grad((own * direction).sum(), copies)
    return jacobian.flatten(1)


def blind_spot(
    influences: Tensor, order: Tensor, height: int, width: int, channels: int = 1
) -> Tensor:
    """For every pixel, the earlier pixels that its logits do not depend on.

    influences: what `influence` returned for this order. Returns (height, width, height, width),
    bool: True at [row, column, i, j] where (i, j) is drawn before (row, column) and no channel
    of the one changes the logits of the other. Raises ValueError for influences of another size,
    or that are not numbers.
    """
    order = orders.check(order, height, width).cpu()
    count, size = height * width, height * width * whole("channels", channels)
    if not isinstance(influences, Tensor) or influences.shape != (size, size):
        raise ValueError(
            f"influences are {orders.described(influences)}: expected shape ({size}, {size})"
        )
    if influences.is_complex() or influences.isnan().any():
        raise ValueError("some influence is not a real number: expected 0 or more")
    seen = influences.reshape(count, channels, count, channels).amax(dim=(1, 3)).cpu() > 0
    earlier = torch.ones(count, count, dtype=torch.bool).tril(-1)
    unseen = torch.zeros(count, count, dtype=torch.bool)
    pixels = orders.positions(order, width)
    unseen[pixels[:, None], pixels] = earlier & ~seen
    return unseen.reshape(height, width, height, width)


def receptive_field(
    stack: Sequence[MaskedConvolution], order: Tensor, height: int, width: int
) -> Tensor:
    """Which pixels a stack of masked convolutions can see, from the masks alone.

    stack: the convolutions in turn, the first of type A; what lies between them acts within
    pixels. Returns (height·width, height·width), bool, pixels counted row by row: True at [i, j]
    where some path through the masks leads from pixel j to pixel i. Raises ValueError for an
    order that does not fit, or a stack of none or of other layers.
    """
    layers = list(stack)
    if not layers or not all(isinstance(layer, MaskedConvolution) for layer in layers):
        raise ValueError("stack: expected one or more masked convolutions and nothing else")
    orders.check_sides(height, width)
    count = height * width
    canvas = Whole(torch.empty(1, count, 0), order, height, width)
    sees = torch.eye(count)
    for layer in layers:
        looks = torch.zeros(count, count + 1)
        looks.scatter_(1, layer.plan(canvas).sources.cpu(), 1)
        sees = ((looks[:, :count] @ sees) > 0).float()
    return sees.bool()
