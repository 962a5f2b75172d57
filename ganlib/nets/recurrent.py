"""A recurrent generator, which writes an image by columns (Metz et al., 2017, section 3.2)."""

import torch
from torch import Tensor, nn

from ganlib.nets.inputs import check_noise
from ganlib.sizes import whole


class RecurrentGenerator(nn.Module):
    """Noise (batch, noise_size) to images (batch, 1, side, side) in (-1, 1).

    A long short-term memory of `units` units starts in a state that the noise sets, is told
    nothing more, and gives one column of the image at each of its `side` steps, from left to right.
    Raises ValueError for sizes below 1.
    """

    def __init__(self, noise_size: int = 256, side: int = 28, units: int = 128):
        super().__init__()
        noise_size, side = whole("noise_size", noise_size), whole("side", side)
        units = whole("units", units)
        self.settings = {"noise_size": noise_size, "side": side, "units": units}
        self.start = nn.Linear(noise_size, 2 * units)
        self.cell = nn.LSTM(1, units, batch_first=True)
        self.column = nn.Linear(units, side)

    def forward(self, noise: Tensor) -> Tensor:
        """The images; ValueError for noise of another size."""
        check_noise(noise, self.settings)
        state = self.start(noise).unsqueeze(0).tanh().chunk(2, dim=-1)
        silence = noise.new_zeros(len(noise), self.settings["side"], 1)
        columns, _ = self.cell(silence, tuple(part.contiguous() for part in state))
        return torch.tanh(self.column(columns)).transpose(1, 2).unsqueeze(1).float()
