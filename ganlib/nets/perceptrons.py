"""Fully connected networks, and the small layers that networks share."""

from collections.abc import Sequence

from torch import Tensor, nn

from ganlib.sizes import whole


class Float(nn.Module):
    """Return to float32 after autocast, so that losses are computed in full precision."""

    def forward(self, x: Tensor) -> Tensor:
        """Cast to float32; any shape."""
        return x.float()


class Scaled(nn.Module):
    """A network that sees its input multiplied by a factor; any shape."""

    def __init__(self, network: nn.Module, factor: float):
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Tensor) -> Tensor:
        """What the network makes of it."""
        return self.network(self.factor * x)


class Layers(nn.Sequential):
    """A sequence of layers of which a slice is a plain `nn.Sequential`, say for features."""

    def __getitem__(self, index: int | slice) -> nn.Module:
        """One layer, or a network of several; IndexError past the last."""
        if isinstance(index, slice):
            return nn.Sequential(*list(self)[index])
        return super().__getitem__(index)


class Perceptron(Layers):
    """A fully connected network: (batch, inputs) to (batch, outputs), float32.

    widths: the width of each hidden layer. activation: the nonlinearity, a class of `torch.nn` by
    name. Raises ValueError for sizes that are no whole numbers of 1 or more, or no such name.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (64, 64),
        activation: str = "ReLU",
    ):
        if not isinstance(widths, Sequence):
            raise ValueError(f"widths={widths!r}: expected a list of whole numbers")
        inputs, outputs = whole("inputs", inputs), whole("outputs", outputs)
        widths = tuple(whole("a width of widths", width) for width in widths)
        nonlinearity = getattr(nn, activation, None) if isinstance(activation, str) else None
        if not isinstance(nonlinearity, type) or not issubclass(nonlinearity, nn.Module):
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

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs; ValueError for inputs of another size."""
        expected = self.settings["inputs"]
        if not inputs.ndim or inputs.shape[-1] != expected:
            raise ValueError(f"inputs of shape {tuple(inputs.shape)}: expected (batch, {expected})")
        return super().forward(inputs)


class Logit(Perceptron):
    """A fully connected discriminator or critic: (batch, inputs) to one number each, (batch,)."""

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int] = (64, 64),
        activation: str = "ReLU",
    ):
        super().__init__(inputs, 1, widths, activation)
        self.append(nn.Flatten(0))
        del self.settings["outputs"]
