"""Streams of minibatches: from tensors, from a distribution, or several side by side.

A stream keeps its data on the run's device and draws a batch with one indexing operation; it
leaves augmentation and multi-process loading to others, because nothing here needs them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganlib.identity import described, digest
from ganlib.runtime import mixed_seed
from ganlib.sizes import whole


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
        prepare: Callable[[Tensor], Any] | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        if not tensors or not all(isinstance(tensor, Tensor) and tensor.ndim for tensor in tensors):
            raise ValueError("no tensors to draw from: expected one or more, with examples by row")
        _check_share(size, rank, world)
        count = len(tensors[0])
        if any(len(tensor) != count for tensor in tensors):
            raise ValueError(f"tensors differ in length: {[len(tensor) for tensor in tensors]}")
        if not 1 <= size <= count:
            raise ValueError(f"size={size} does not fit: expected 1 to {count} (all examples)")
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
        """Continue after the batch of `state_dict`; ValueError for what is no such state."""
        drawn = state.get("drawn") if isinstance(state, dict) else None
        if isinstance(drawn, bool) or not isinstance(drawn, int) or drawn < 0:
            raise ValueError(f"a stream's state is {state!r}: expected the number of batches drawn")
        self.drawn = drawn

    def identity(self) -> dict[str, Any]:
        """What decides the batches: data, size, seed and preparation."""
        return {
            "data": digest({str(index): tensor for index, tensor in enumerate(self.tensors)}),
            "size": self.size,
            "seed": self.seed,
            "prepare": described(self.prepare),
        }


class Draws:
    """An endless stream of fresh minibatches from a distribution; it has no state of its own.

    size: examples in a batch, summed over all processes; each of `world` draws its equal part.
    The draws come from torch's global generator, which `play` seeds, for each process another
    way, and saves. Raises ValueError when the sizes do not fit.
    """

    def __init__(
        self,
        distribution: torch.distributions.Distribution,
        size: int,
        device: torch.device | str = "cpu",
        world: int = 1,
    ):
        _check_share(size, 0, world)
        self.distribution, self.size, self.device, self.world = distribution, size, device, world

    def __iter__(self) -> "Draws":
        return self

    def __next__(self) -> Tensor:
        return self.distribution.sample((self.size // self.world,)).to(self.device)

    def state_dict(self) -> dict[str, int]:
        """Nothing to save."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore; ValueError for the state of another stream."""
        if state != {}:
            raise ValueError(f"a stream's state is {state!r}: expected none of fresh draws")

    def identity(self) -> dict[str, Any]:
        """What decides the batches: the size, and the distribution, by a few draws at one seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            draws = self.distribution.sample((16,))
        return {"distribution": digest({"draws": draws}), "size": self.size}


class Together:
    """Several streams side by side: a batch is the tuple of one batch from each.

    Streams of one seed would draw examples in pairs, so each `Minibatches` needs its own, say
    `mixed_seed(seed, 1)`. What belongs together is one `Minibatches` of several tensors.
    Raises ValueError for two of the same seed.
    """

    def __init__(self, *streams: "Minibatches | Draws | Together"):
        if not streams:
            raise ValueError("no streams: expected one or more")
        self.streams = streams
        seeds = self.seeds()
        if len(set(seeds)) < len(seeds):
            raise ValueError(
                f"streams of the seeds {seeds} draw the same rows together: expected a seed for "
                "each, say `runtime.mixed_seed(seed, 1)`"
            )

    def __iter__(self) -> "Together":
        return self

    def __next__(self) -> tuple:
        return tuple(next(stream) for stream in self.streams)

    def seeds(self) -> list[int]:
        """The seed of every stream that has one."""
        seeds: list[int] = []
        for stream in self.streams:
            if isinstance(stream, Together):
                seeds += stream.seeds()
            elif isinstance(stream, Minibatches):
                seeds.append(stream.seed)
        return seeds

    def state_dict(self) -> dict[str, list[dict]]:
        """The state of each stream, in order."""
        return {"streams": [stream.state_dict() for stream in self.streams]}

    def load_state_dict(self, state: dict[str, list[dict]]) -> None:
        """Continue each stream after the batch at which `state_dict` was taken.

        Raises ValueError, and moves none, for the state of other streams.
        """
        before = [stream.state_dict() for stream in self.streams]
        try:
            for stream, part in zip(self.streams, state["streams"], strict=True):
                stream.load_state_dict(part)
        except (ValueError, KeyError, TypeError) as error:
            for stream, part in zip(self.streams, before, strict=True):
                stream.load_state_dict(part)
            raise ValueError(f"the state of other streams: {error}") from None

    def identity(self) -> dict[str, Any]:
        """What decides each stream's batches, in order."""
        return {"streams": [stream.identity() for stream in self.streams]}


def _check_share(size: int, rank: int, world: int) -> None:
    whole("size", size)
    whole("rank", rank, 0, whole("world", world) - 1)
    if size % world:
        raise ValueError(f"size={size} cannot be split evenly over {world} processes")
