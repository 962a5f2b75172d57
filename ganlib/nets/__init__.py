"""The few network shapes that the chapters share.

Networks only: what they are paid is in `games/`, how they are fitted in `play`.
"""

from ganlib.nets.autoencoders import ConvolutionalAutoencoder, DenseAutoencoder
from ganlib.nets.classifiers import DigitClassifier, EmojiReader
from ganlib.nets.dcgan import DCGANDiscriminator, DCGANGenerator, DCGANTrunk
from ganlib.nets.dense import DenseCritic, DenseEncoder, DenseGenerator
from ganlib.nets.joined import Joined, WithPlanes
from ganlib.nets.perceptrons import Float, Layers, Logit, Perceptron, Scaled
from ganlib.nets.recurrent import RecurrentGenerator
from ganlib.nets.residual import ResidualDiscriminator, ResidualGenerator
from ganlib.nets.small import SmallDiscriminator, SmallGenerator
from ganlib.nets.translation import ColourMap, PatchDiscriminator, Translator

__all__ = [
    "ColourMap",
    "ConvolutionalAutoencoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DCGANTrunk",
    "DenseAutoencoder",
    "DenseCritic",
    "DenseEncoder",
    "DenseGenerator",
    "DigitClassifier",
    "EmojiReader",
    "Float",
    "Joined",
    "Layers",
    "Logit",
    "PatchDiscriminator",
    "Perceptron",
    "RecurrentGenerator",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "Scaled",
    "SmallDiscriminator",
    "SmallGenerator",
    "Translator",
    "WithPlanes",
]
