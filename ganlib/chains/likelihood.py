"""How probable a chain finds images: exactly, in nats, for one order or an ensemble of them.

A chain gives every conditional probability, so nothing here is sampled or bounded.
"""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganlib.chains import orders
from ganlib.chains.models import Chain
from ganlib.runtime import full_precision
from ganlib.sizes import whole


@torch.inference_mode()
def pixel_log_likelihoods(
    chain: Chain,
    images: Tensor,
    order: Tensor | None = None,
    *,
    labels: Tensor | None = None,
    batch_size: int = 100,
) -> Tensor:
    """log p(x_i | x_before) of every channel of every pixel, in nats.

    images: (count, channels, height, width), whole numbers from 0 to levels - 1, on any device.
    order: the generation order, default the chain's own. labels: (count,), if the chain is
    class-conditional. batch_size: images computed at once; it does not change the result.
    Returns (count, channels, height, width), float64, on the images' device, computed outside of
    any autocast and without TF32. Raises ValueError for images, labels or an order that do not
    fit the chain, and where a likelihood is not a number.
    """
    home = next(chain.parameters()).device
    chain.check_images(images)
    chain.check_levels(images)
    labels = chain.checked_labels(labels, len(images))
    order = chain.checked(order, *images.shape[2:])
    batch_size = whole("batch_size", batch_size)
    parts = [torch.empty(0, *images.shape[1:], dtype=torch.float64)]
    with full_precision(home):
        for first in range(0, len(images), batch_size):
            batch = images[first : first + batch_size].to(home)
            names = None if labels is None else labels[first : first + batch_size].to(home)
            logits = chain(batch, order, names)
            parts.append(-cross_entropy(logits, batch.long(), reduction="none").double().cpu())
    return _numbers(torch.cat(parts)).to(images.device)


def log_likelihood(
    chain: Chain,
    images: Tensor,
    order: Tensor | None = None,
    *,
    given: Tensor | None = None,
    labels: Tensor | None = None,
    batch_size: int = 100,
) -> Tensor:
    """log p(x), or log p(the rest of x | the observed pixels), of every image, in nats.

    given: (height, width), bool, True for observed pixels. Their likelihood is left out, and the
    order must visit all of them before the rest, else what is left is no conditional likelihood:
    ValueError says so (`orders.region_last` makes such an order). The other arguments and errors
    are those of `pixel_log_likelihoods`. Returns (count,), float64.
    """
    if given is not None:
        chain.check_images(images)
        height, width = images.shape[2:]
        if (
            not isinstance(given, Tensor)
            or given.shape != (height, width)
            or given.dtype != torch.bool
        ):
            raise ValueError(
                f"given is {orders.described(given)}: expected bool of shape ({height}, {width}), "
                "True for observed pixels"
            )
        given = given.cpu()
        if not orders.visits_last(chain.checked(order, height, width), ~given):
            raise ValueError(
                "the order visits some observed pixel after one that is not observed, so it "
                "does not give p(rest | observed): expected an order such as region_last(order, "
                "~given)"
            )
    pixels = pixel_log_likelihoods(chain, images, order, labels=labels, batch_size=batch_size)
    if given is not None:
        pixels = pixels * ~given.to(pixels.device)
    return pixels.sum(dim=(1, 2, 3))


def ensemble_log_likelihood(members: Tensor) -> Tensor:
    """log of the mean of p(x; π) over orders, in nats (Jain et al., 2020).

    members: (orders, count), the `log_likelihood` of the same images at
    each order. The result, (count,), is that of drawing an order with
    equal chances and then an image. Raises ValueError for any other shape,
    no orders, or what is not a number.
    """
    _check_members(members)
    return members.logsumexp(dim=0) - math.log(len(members))


def _check_members(members: Tensor) -> None:
    if not isinstance(members, Tensor) or members.ndim != 2 or not members.is_floating_point():
        raise ValueError(
            f"members are {orders.described(members)}: expected floats of shape (orders, count)"
        )
    if not len(members):
        raise ValueError("an ensemble of no orders: expected the likelihoods at one or more")
    if members.isnan().any():
        raise ValueError("some member's log-likelihood is not a number (nan)")


def members_log_likelihood(
    chain: Chain,
    images: Tensor,
    generation_orders: Sequence[Tensor],
    *,
    given: Tensor | None = None,
    batch_size: int = 100,
) -> Tensor:
    """`log_likelihood` of images at each of several orders: (orders, count), float64, nats.

    Raises ValueError for no orders, and as `log_likelihood` does.
    """
    return torch.stack(
        [
            log_likelihood(chain, images, order, given=given, batch_size=batch_size)
            for order in orders.check_several(generation_orders)
        ]
    )


def bits_per_dimension(nats: float | Tensor, dimensions: int) -> float | Tensor:
    """Nats per image to bits per dimension: nats / (dimensions · log 2).

    dimensions: channels · height · width. A negative log-likelihood gives a positive number.
    Raises ValueError for nats that are no numbers, or dimensions below 1.
    """
    is_tensor = isinstance(nats, Tensor) and nats.dtype != torch.bool and not nats.is_complex()
    if isinstance(nats, bool) or not (is_tensor or isinstance(nats, Real)):
        raise ValueError(f"nats are {orders.described(nats)}: expected a number or a tensor")
    return nats / (whole("dimensions", dimensions) * math.log(2))


def _numbers(log_likelihoods: Tensor) -> Tensor:
    """Return (count, channels, height, width) as they are, or raise ValueError for a NaN."""
    amiss = log_likelihoods.isnan().flatten(1).any(dim=1)
    if amiss.any():
        raise ValueError(
            f"the log-likelihoods of {int(amiss.sum())} of {len(amiss)} images are not numbers "
            f"(nan), the first being image {int(amiss.nonzero()[0])}: are the chain's weights "
            "finite?"
        )
    return log_likelihoods
