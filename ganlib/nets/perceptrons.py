"""Fully connected networks, and the two small layers that all networks share."""

from torch import Tensor, nn


class Float(nn.Module):
    """Return to float32 after autocast, so that losses are computed in full precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Cast to float32; any shape."""
        return x.float()


class Layers(nn.Sequential):
    """A sequence of layers of which a slice is a plain `nn.Sequential`, say for features."""

    def __getitem__(self, index: int | slice) -> nn.Module:
        """One layer, or a network of several."""
        if isinstance(index, slice):
            return nn.Sequential(*list(self)[index])
        return super().__getitem__(index)


class Perceptron(Layers):
    """A fully connected network: (batch, inputs) to (batch, outputs), float32.

    widths: the width of each hidden layer. activation: the nonlinearity, a class of `torch.nn` by
    name. Raises ValueError for widths below 1 or a name that is none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, ...] = (64, 64),
        activation: str = "ReLU",
    ):
        widths = tuple(widths)
        if min(inputs, outputs, *widths) < 1:
            raise ValueError(
                f"inputs={inputs}, outputs={outputs}, widths={widths}: expected 1 or more of each"
            )
        nonlinearity = getattr(nn, activation, None) if isinstance(activation, str) else None
        if nonlinearity is None:
            raise ValueError(
                f"activation={activation!r}: expected the name of a class of torch.nn, say 'Tanh'"
            )
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip((inputs, *widths), widths, strict=False):
            layers += [nn.Linear(fan_in, fan_out), nonlinearity()]
        super().__init__(*layers, nn.Linear((inputs, *widths)[-1], outputs), Float())
        self.settings = {
            "inputs": inputs,
            "outputs": outputs,
            "widths": widths,
            "activation": activation,
        }


class Logit(Perceptron):
    """A fully connected discriminator or critic: (batch, inputs) to one number each, (batch,)."""

    def __init__(
        self,
        inputs: int,
        widths: tuple[int, ...] = (64, 64),
        activation: str = "ReLU",
    ):
        super().__init__(inputs, 1, widths, activation)
        self.append(nn.Flatten(0))
        del self.settings["outputs"]
