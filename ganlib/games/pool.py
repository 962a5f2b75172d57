"""A pool of old pictures, from which a discriminator is shown some beside new ones."""

import torch
from torch import Tensor, nn

from ganlib.sizes import whole


class Pool(nn.Module):
    """Old pictures of a generator, of which each round replaces some.

    After Shrivastava et al. (2017, section 2.3). size: how many pictures it holds; 0 holds none
    and shows what it is given. shape: of a picture. All it knows is in buffers, so that it is
    saved with its game. Raises ValueError for sizes of which there is none.
    """

    def __init__(self, size: int = 50, shape: tuple[int, ...] = (3, 32, 32)):
        super().__init__()
        self.size = whole("size", size, 0)
        self.register_buffer("pictures", torch.zeros(self.size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def swap(self, new: Tensor) -> Tensor:
        """As many: each new one, or an old one whose place it takes.

        new: (batch, ...). While there is room, new ones are kept and shown.
        Then one half of them, by a coin for each, go to places drawn
        without repetition, and what lay there is shown. Raises ValueError
        for more than the pool holds.
        """
        if not self.size:
            return new
        count = len(new)
        if count > self.size:
            pool = f"a pool of {self.size}"
            raise ValueError(f"{count} pictures for {pool}: expected no more")
        filling = self.filled < self.size
        device = new.device
        after = self.filled + torch.arange(count, device=device)
        anywhere = torch.rand(self.size, device=device).argsort()[:count]
        places = torch.where(filling, after % self.size, anywhere)
        kept = filling | (torch.rand(count, device=device) < 0.5)
        kept = kept.view(-1, *[1] * (new.ndim - 1))
        old = self.pictures[places]
        self.pictures[places] = torch.where(kept, new, old)
        self.filled.add_(count).clamp_(max=self.size)
        return torch.where(kept & ~filling, old, new)
