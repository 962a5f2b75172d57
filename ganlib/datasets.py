"""The book's data: MNIST and emoji from disk, mixtures of Gaussians in the plane.

What is here is whole; minibatches are in `streams`.
"""

import csv
import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ganlib.paths import data_folder

# Folder in `data/`, bytes and MD5 of each file, both of what is inside where it is gzipped.
KNOWN_FILES = {
    # The MNIST distribution (LeCun, Cortes and Burges, 1998).
    "train-images-idx3-ubyte.gz": ("mnist", 47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte.gz": ("mnist", 60_008, "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte.gz": ("mnist", 7_840_016, "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte.gz": ("mnist", 10_008, "27ae3e4e09519cfbb04c329615203637"),
    # Written by data/emoji/build.py.
    "noto-images-idx4-ubyte.gz": ("emoji", 5_855_252, "4c4ad08d0f9b638cbeec43eba9b17ee0"),
    "twemoji-images-idx4-ubyte.gz": ("emoji", 5_855_252, "4872cfed35767249a4b5075a8889da7b"),
    "openmoji-images-idx4-ubyte.gz": ("emoji", 5_855_252, "bfef1dff7ffe377b33ad4c847fe756d4"),
    "emoji.csv": ("emoji", 83_613, "5f31e00c9a1e187e169e529bed78c69b"),
}


def collection_folder(collection: str, folder: Path | str | None) -> Path:
    """The folder that a caller gave, or else the collection's own in `data_folder()`."""
    return Path(folder) if folder is not None else data_folder() / collection


class DataError(ValueError):
    """A data file is missing, damaged or not the one that was expected."""


def mnist(split: str = "train", folder: Path | str | None = None) -> tuple[Tensor, Tensor]:
    """The MNIST digits of one split.

    split: "train" (60,000 digits) or "test" (10,000).
    folder: where the four `.gz` files lie; default `data/mnist`.
    Returns images, uint8 of shape (count, 1, 28, 28), 0 for paper and 255 for ink, and labels,
    int64 of shape (count,). Raises ValueError for another split, DataError for a bad file.
    """
    prefixes = {"train": "train", "test": "t10k"}
    if split not in prefixes:
        raise ValueError(f"split={split!r} is not known: choose 'train' or 'test'")
    folder = collection_folder("mnist", folder)
    images = read_idx(folder, f"{prefixes[split]}-images-idx3-ubyte")
    labels = read_idx(folder, f"{prefixes[split]}-labels-idx1-ubyte")
    return images[:, None], labels.long()


def emoji(foundry: str = "noto", split: str = "train", folder: Path | str | None = None) -> Tensor:
    """The emoji of one split as one type foundry draws them.

    foundry: "noto", "twemoji" or "openmoji".
    split: "train" (1,716 emoji) or "test" (190); near twins are never on both sides.
    folder: where the four files lie; default `data/emoji`.
    Returns uint8 of shape (count, 3, 32, 32): red, green and blue, on white. Row i is the same
    emoji for every foundry, the one that `emoji_names(split)[i]` names. Raises ValueError for
    another foundry or split, DataError for a bad file.
    """
    if foundry not in ("noto", "twemoji", "openmoji"):
        choices = "'noto', 'twemoji' or 'openmoji'"
        raise ValueError(f"foundry={foundry!r} is not known: choose {choices}")
    folder = collection_folder("emoji", folder)
    rows = [row for row, _ in read_emoji_split(split, folder)]
    return read_idx(folder, f"{foundry}-images-idx4-ubyte")[rows]


def emoji_names(split: str = "train", folder: Path | str | None = None) -> list[str]:
    """The English short names of the emoji of one split, in the order of `emoji`.

    Raises ValueError for another split, DataError for a bad file.
    """
    folder = collection_folder("emoji", folder)
    return [name for _, name in read_emoji_split(split, folder)]


def read_known(path: Path) -> bytes:
    """The content of a file, unpacked if it is called .gz, checked against `KNOWN_FILES`.

    Raises DataError, which names the file, what was expected, and how to restore it.
    """
    collection, expected_bytes, expected_md5 = KNOWN_FILES[path.name]
    packed = path.suffix == ".gz"
    kind = "a gzipped IDX file" if packed else "a table of comma-separated values"
    restore = (
        f"Restore it with `git checkout -- data/{collection}/{path.name}` in a clone of the book, "
        f"or set GANLIB_DATA to a folder that holds {collection}/."
    )
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            # One byte more than expected is enough to tell that a file is too long.
            content = file.read(expected_bytes + 1)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: {kind} was expected. {restore}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{path} is damaged: it does not read as {kind} ({error}); "
            f"{expected_bytes:,} bytes were expected inside. {restore}"
        ) from None
    if len(content) != expected_bytes:
        found = "more" if len(content) > expected_bytes else f"{len(content):,}"
        raise DataError(
            f"{path} has the wrong length: {expected_bytes:,} bytes were expected inside, "
            f"{found} came. {restore}"
        )
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != expected_md5:
        raise DataError(
            f"{path} is not the expected file: MD5 {expected_md5} was expected of what is inside, "
            f"{md5} came. {restore}"
        )
    return content


def binarized_mnist(split: str = "train", folder: Path | str | None = None) -> Tensor:
    """MNIST with every pixel drawn once to be ink or paper, its intensity being the chance of ink.

    This is how Salakhutdinov and Murray (2008) made the binarized MNIST of the literature; their
    own draws are not at hand, so these are others, the same on every machine.
    split, folder, errors: as for `mnist`. Returns uint8, 0 or 1, (count, 1, 28, 28).
    """
    images, _ = mnist(split, folder)
    # RandomState's stream is frozen for good, unlike those of numpy's newer generators.
    draws = numpy.random.RandomState({"train": 0, "test": 1}[split])
    thresholds = draws.randint(0, 255, size=tuple(images.shape), dtype=numpy.uint8)
    return (images > torch.from_numpy(thresholds)).to(torch.uint8)


def stacked_mnist(
    split: str = "train", count: int = 25_600, seed: int = 0, folder: Path | str | None = None
) -> tuple[Tensor, Tensor]:
    """Digits in red, green and blue, three random ones in each image: a set of 1,000 modes.

    This is the construction of Metz et al. (2017, section 3.3.1), drawn from this seed, the same
    on every machine. split, folder, errors: as for `mnist`. count: how many images.
    Returns images, uint8 (count, 3, 28, 28), and modes, int64 (count,): the three labels read as
    a number from 0 to 999.
    """
    images, labels = mnist(split, folder)
    chosen = numpy.random.RandomState(seed).randint(0, len(images), size=(count, 3))
    chosen = torch.from_numpy(chosen)
    return images[chosen, 0], labels[chosen] @ torch.tensor([100, 10, 1])


def read_idx(folder: Path, name: str) -> Tensor:
    """Read `folder/name.gz`, one of `KNOWN_FILES`, and check it against its known content.

    The IDX format is two zero bytes, the code of the element type (8: unsigned byte), the number
    of axes, each axis's length as a big-endian 32-bit number, then the elements.
    Returns a uint8 tensor of the shape that the header states. Raises DataError for a bad file.
    """
    content = read_known(folder / f"{name}.gz")
    axes = content[3]
    shape = numpy.frombuffer(content, ">u4", count=axes, offset=4).tolist()
    elements = numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * axes)
    return torch.from_numpy(elements.copy()).reshape(shape)


def read_emoji_split(split: str, folder: Path) -> list[tuple[int, str]]:
    """The row in the files of pictures, and the name, of each emoji of one split."""
    if split not in ("train", "test"):
        raise ValueError(f"split={split!r} is not known: choose 'train' or 'test'")
    table = csv.DictReader(read_known(folder / "emoji.csv").decode().splitlines())
    return [(row, record["name"]) for row, record in enumerate(table) if record["split"] == split]


def to_signed_unit(images: Tensor) -> Tensor:
    """Map uint8 pixels 0..255 to float32 in [-1, 1], the range of a generator's tanh."""
    return images.float() * (2 / 255) - 1


def mixture(
    means: Tensor, scale: Tensor | float, weights: Tensor | None = None
) -> MixtureSameFamily:
    """A mixture of Gaussians with diagonal covariances, as a torch distribution.

    means: (modes, dimensions); scale: standard deviations, broadcast to the shape of `means`;
    weights: (modes,), default equal. Samples have shape (..., dimensions).
    """
    weights = torch.ones(len(means)) if weights is None else weights
    components = Independent(Normal(means, torch.as_tensor(scale).expand_as(means)), 1)
    return MixtureSameFamily(Categorical(weights.to(means)), components)


def mixture_1d(means: list[float], scales: list[float], weights: list[float]) -> MixtureSameFamily:
    """A mixture of Gaussians on the line; samples have shape (..., 1)."""
    return mixture(
        torch.tensor(means, dtype=torch.float32)[:, None],
        torch.tensor(scales, dtype=torch.float32)[:, None],
        torch.tensor(weights, dtype=torch.float32),
    )


def gaussian_ring(modes: int = 8, radius: float = 2.0, scale: float = 0.02) -> MixtureSameFamily:
    """Equal Gaussians on a circle (Metz et al., 2017, appendix A: 8, radius 2, deviation 0.02)."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return mixture(radius * torch.stack([angles.cos(), angles.sin()], dim=1), scale)


def gaussian_grid(side: int = 5, spacing: float = 2.0, scale: float = 0.05) -> MixtureSameFamily:
    """Equal Gaussians on a centred grid, side × side of them (Gulrajani et al., 2017: 25)."""
    ticks = (torch.arange(side) - (side - 1) / 2) * spacing
    return mixture(torch.cartesian_prod(ticks, ticks), scale)
