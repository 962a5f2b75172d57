"""Images to bits and back without loss, at the cost that a chain gives them.

An arithmetic coder (Witten, Neal and Cleary, 1987) narrows an interval of whole numbers by the
probability of each value in turn. It needs as many bits as the chain's -log2 p, and at most a few
more for the whole stream.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.chains.models import Chain
from ganlib.chains.sampling import at_rest, remembered
from ganlib.sizes import whole

# Whole numbers of 32 bits, of which an interval always spans a quarter; probabilities of 16.
TOP, HALF, QUARTER = 2**32 - 1, 2**31, 2**30
TOTAL = 2**16


class Interval:
    """Whole numbers from `low` to `high`, of which ever smaller parts are taken."""

    def __init__(self) -> None:
        self.low, self.high = 0, TOP

    def narrow(self, below: int, above: int) -> Iterator[int]:
        """Go on in the part from below to above, of TOTAL.

        The interval is doubled as often as it lies in its lower half, its
        upper half, or around the middle: each time this yields what is
        taken off before, 0, HALF or QUARTER.
        """
        span = self.high - self.low + 1
        self.high = self.low + span * above // TOTAL - 1
        self.low += span * below // TOTAL
        while (shift := self._taken_off()) is not None:
            yield shift
            self.low = 2 * (self.low - shift)
            self.high = 2 * (self.high - shift) + 1

    def _taken_off(self) -> int | None:
        if self.high < HALF:
            return 0
        if self.low >= HALF:
            return HALF
        around = self.low >= QUARTER and self.high < 3 * QUARTER
        return QUARTER if around else None


class Encoder:
    """Intervals of probability to bits."""

    def __init__(self) -> None:
        self.interval = Interval()
        self.bits: list[int] = []
        self.pending = 0

    def put(self, below: int, above: int) -> None:
        """Take a part of the interval; write down the bits that it settles."""
        for shift in self.interval.narrow(below, above):
            if shift == QUARTER:
                # Which half it is will be known later.
                self.pending += 1
            else:
                self._settle(int(shift == HALF))

    def finish(self) -> list[int]:
        """The bits, with two more that say where in the last interval the number lies."""
        self.pending += 1
        self._settle(int(self.interval.low >= QUARTER))
        return self.bits

    def _settle(self, bit: int) -> None:
        self.bits += [bit] + self.pending * [1 - bit]
        self.pending = 0


class Decoder:
    """Bits to the levels whose intervals an `Encoder` was given."""

    def __init__(self, bits: list[int]):
        self.interval = Interval()
        self.bits = iter(bits)
        self.code = 0
        for _ in range(32):
            self._read()

    def level(self, below: list[int]) -> int:
        """The level whose part of the interval holds the number: below[l] to below[l + 1]."""
        low, high = self.interval.low, self.interval.high
        share = ((self.code - low + 1) * TOTAL - 1) // (high - low + 1)
        level = next(i for i, above in enumerate(below[1:]) if share < above)
        for shift in self.interval.narrow(below[level], below[level + 1]):
            self.code -= shift
            self._read()
        return level

    def _read(self) -> None:
        self.code = 2 * self.code + next(self.bits, 0)


def encode(chain: Chain, images: Tensor, order: Tensor | None = None) -> bytes:
    """Images as one stream of bytes, from which `decode` makes them again.

    images: (count, channels, height, width), levels of the chain, which is without classes. order:
    as for `sample`. The length is close to the images' -log2 p(x), together. Both sides must
    compute the same probabilities: the same weights, machine and version of torch.
    Raises ValueError for images or an order that do not fit.
    """
    chain.check_images(images)
    chain.check_levels(images)
    encoder, known = Encoder(), images.long()

    def code(below: Tensor, at: tuple[int, int, int]) -> Tensor:
        levels = known[:, *at]
        for row, level in zip(below.tolist(), levels.tolist(), strict=True):
            encoder.put(row[level], row[level + 1])
        return levels

    _walk(chain, len(images), order, images.shape[2:], code)
    bits = encoder.finish()
    bits += -len(bits) % 8 * [0]
    return int("1" + "".join(map(str, bits)), 2).to_bytes(len(bits) // 8 + 1)[1:]


def decode(
    chain: Chain,
    stream: bytes,
    count: int,
    order: Tensor | None = None,
    size: tuple[int, int] = (28, 28),
) -> Tensor:
    """The images that `encode` was given, int64, (count, channels, height, width)."""
    text = "".join(f"{byte:08b}" for byte in stream)
    decoder = Decoder([int(bit) for bit in text])

    def code(below: Tensor, at: tuple[int, int, int]) -> Tensor:
        return torch.tensor([decoder.level(row) for row in below.tolist()])

    return _walk(chain, whole("count", count), order, size, code)


def _walk(
    chain: Chain,
    count: int,
    order: Tensor | None,
    size: tuple[int, int],
    code: Callable[[Tensor, tuple[int, int, int]], Tensor],
) -> Tensor:
    """Go through all values in turn; `code` is told the parts of each, and tells the levels."""
    order = chain.checked(order, *size)
    home = next(chain.parameters()).device
    images = torch.zeros(count, chain.channels, *size, dtype=torch.long, device=home)
    with at_rest(chain):
        logits_at = remembered(chain, images, order)
        for pixel in orders.positions(order, size[1]).tolist():
            row, column = divmod(pixel, size[1])
            for channel in range(chain.channels):
                at = channel, row, column
                images[:, *at] = code(_parts(logits_at(pixel)[:, channel]), at).to(home)
    return images


def _parts(logits: Tensor) -> Tensor:
    """(count, levels) to where each level's part begins and ends, (count, levels + 1), to TOTAL.

    No part is empty: each has one of TOTAL, and its share of the rest.
    """
    shares = logits.double().softmax(dim=1).cumsum(dim=1)
    levels = torch.arange(1, shares.shape[1] + 1, device=shares.device)
    below = (shares * (TOTAL - shares.shape[1])).long() + levels
    below[:, -1] = TOTAL
    return torch.cat([below.new_zeros(len(below), 1), below], dim=1).cpu()
