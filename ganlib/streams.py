"""Streams of minibatches: from tensors, from a distribution, or several side by side.

A stream keeps its data on the run's device and draws a batch with one indexing operation; it
leaves augmentation and multi-process loading to others, because nothing here needs them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ganlib.runtime import mixed_seed


class Minibatches:
    """An endless stream of minibatches, drawn without replacement within each epoch.

    tensors: one or more tensors with the same first axis, kept whole on `device`.
    size: examples in a batch, summed over all processes; each of `world` takes its equal part.
    prepare: applied to the first tensor of each batch, say `to_signed_unit`.
    A batch is a tensor when one was given, else a tuple. What an epoch leaves over that does not
    fill a batch is dropped. The order is a function of the seed and the epoch alone, on every
    device, so that `state_dict` is a single number.
    Raises ValueError when the sizes do not fit.
    """

    def __init__(
        self,
        *tensors: Tensor,
        size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        prepare: Callable[[Tensor], Tensor] | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        count = len(tensors[0])
        if any(len(tensor) != count for tensor in tensors):
            raise ValueError(f"tensors differ in length: {[len(tensor) for tensor in tensors]}")
        if not 1 <= size <= count:
            raise ValueError(f"size={size} does not fit: expected 1 to {count} (all examples)")
        if size % world:
            raise ValueError(f"size={size} cannot be split evenly over {world} processes")
        self.tensors = tuple(tensor.to(device) for tensor in tensors)
        self.size, self.seed, self.prepare = size, seed, prepare
        self.rank, self.world = rank, world
        self.per_epoch = count // size
        self.drawn = 0
        self._order: tuple[int, Tensor] | None = None

    def __iter__(self) -> "Minibatches":
        return self

    def __next__(self) -> Tensor | tuple[Tensor, ...]:
        epoch, position = divmod(self.drawn, self.per_epoch)
        share = self.size // self.world
        first = position * self.size + self.rank * share
        chosen = self._epoch_order(epoch)[first : first + share]
        batch = [tensor[chosen] for tensor in self.tensors]
        if self.prepare is not None:
            batch[0] = self.prepare(batch[0])
        self.drawn += 1
        return batch[0] if len(batch) == 1 else tuple(batch)

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
            order = torch.randperm(len(self.tensors[0]), generator=generator)
            self._order = epoch, order.to(self.tensors[0].device)
        return self._order[1]

    def state_dict(self) -> dict[str, int]:
        """How many batches were drawn; with the seed, that is the whole state."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batch at which `state_dict` was taken."""
        self.drawn = state["drawn"]


class Draws:
    """An endless stream of fresh minibatches from a distribution; it has no state of its own.

    size: examples in a batch of this process. The draws come from torch's global generator,
    which `play` seeds and saves.
    """

    def __init__(
        self,
        distribution: torch.distributions.Distribution,
        size: int,
        device: torch.device | str = "cpu",
    ):
        self.distribution, self.size, self.device = distribution, size, device

    def __iter__(self) -> "Draws":
        return self

    def __next__(self) -> Tensor:
        return self.distribution.sample((self.size,)).to(self.device)

    def state_dict(self) -> dict[str, int]:
        """Nothing to save."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore."""


class Together:
    """Several streams side by side: a batch is the tuple of one batch from each."""

    def __init__(self, *streams: "Minibatches | Draws | Together"):
        self.streams = streams

    def __iter__(self) -> "Together":
        return self

    def __next__(self) -> tuple:
        return tuple(next(stream) for stream in self.streams)

    def state_dict(self) -> dict[str, list[dict]]:
        """The state of each stream, in order."""
        return {"streams": [stream.state_dict() for stream in self.streams]}

    def load_state_dict(self, state: dict[str, list[dict]]) -> None:
        """Continue each stream after the batch at which `state_dict` was taken."""
        for stream, part in zip(self.streams, state["streams"], strict=True):
            stream.load_state_dict(part)
