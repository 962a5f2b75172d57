"""How good a translation is where the true partner of each picture is known."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganlib.metrics.features import extract
from ganlib.metrics.inputs import check_finite, feature_pair, numbers
from ganlib.metrics.moments import frechet_distance_between
from ganlib.metrics.scores import kernel_distance
from ganlib.nets import EmojiReader
from ganlib.shipped import trained_network
from ganlib.sizes import whole


class PairedErrors(NamedTuple):
    """l1: the mean absolute difference. psnr: of the mean square, in decibels."""

    l1: Tensor
    psnr: Tensor


class Translation(NamedTuple):
    """Means over pictures: l1 in units of half the way from black to white, psnr in decibels.

    top1, top5: the shares whose partner is the nearest, or among the five nearest, of all.
    frechet, kernel: distances between the set that was made and the set of partners.
    """

    l1: float
    psnr: float
    top1: float
    top5: float
    frechet: float
    kernel: float


def emoji_reader(device: torch.device | str = "cpu") -> EmojiReader:
    """The reader of emoji that the book ships, on this device; it has never seen a translation."""
    reader, _ = trained_network("emoji-reader", "reader")
    return reader.to(device)


def judge_translation(made: Tensor, partners: Tensor, reader: EmojiReader) -> Translation:
    """How good translations are, beside their true partners.

    made, partners: pictures in [-1, 1], (count, 3, 32, 32), row by row the same emoji; on any
    device. Retrieval is by the reader's unit vectors, distances of sets by its features. Raises
    ValueError for other shapes or values, or fewer than two.
    """
    errors = paired_errors(made.cpu(), partners.cpu())
    device = next(reader.parameters()).device

    def read(images: Tensor) -> tuple[Tensor, Tensor]:
        return reader.embed(images), reader(images)[1]

    seen = [extract(read, images, device=device) for images in (made, partners)]
    ranks = partner_ranks(*(side.probabilities for side in seen))
    vectors = [side.vectors for side in seen]
    return Translation(
        float(errors.l1.mean()),
        float(errors.psnr.mean()),
        found_within(ranks, 1),
        found_within(ranks, 5),
        frechet_distance_between(*vectors),
        kernel_distance(*vectors),
    )


def paired_errors(made: Tensor, partners: Tensor, span: float = 2.0) -> PairedErrors:
    """For each picture, how far it is from its partner.

    made, partners: (count, ...), of one shape. span: the difference of white and black, of which
    PSNR takes the square over the mean square error; it is infinite for a copy. Both results have
    shape (count,). Raises ValueError for other shapes, none, or values that are not finite.
    """
    made, partners = numbers(made, "made"), numbers(partners, "partners")
    if made.shape != partners.shape or made.ndim < 2 or not made.numel():
        raise ValueError(
            f"made {tuple(made.shape)} and partners {tuple(partners.shape)}: expected as many, of "
            "one shape, (count, ...)"
        )
    check_finite(made, "made")
    check_finite(partners, "partners")
    apart = (made.double() - partners.double()).flatten(1)
    squares = apart.square().mean(1)
    return PairedErrors(apart.abs().mean(1), 10 * torch.log10(span**2 / squares))


def partner_ranks(queries: Tensor, references: Tensor) -> Tensor:
    """How many references are nearer to each query than its own partner, which is that of its row.

    queries, references: features, (count, dimensions). Distances are Euclidean. References as far
    as the partner count half, so that what tells none apart is not ranked first. Returns (count,),
    0 where the partner is the nearest alone. Raises ValueError for features that are not finite,
    or not as many of each.
    """
    queries, references = feature_pair(queries, references, ("queries", "references"))
    if len(queries) != len(references):
        raise ValueError(
            f"{len(queries)} queries and {len(references)} references: expected as many"
        )
    apart = torch.cdist(queries, references, compute_mode="donot_use_mm_for_euclid_dist")
    own = apart.diagonal()[:, None]
    nearer, as_near = (apart < own).sum(1), (apart == own).sum(1) - 1
    return nearer + as_near / 2


def found_within(ranks: Tensor, first: int) -> float:
    """The share of queries whose partner is among the `first` nearest; ValueError for none."""
    first = whole("first", first)
    ranks = numbers(ranks, "ranks")
    if not len(ranks):
        raise ValueError("no ranks: expected one or more")
    return float((ranks < first).double().mean())
