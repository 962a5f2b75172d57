"""The book's data: MNIST and emoji from disk, mixtures of Gaussians in the plane.

What is here is whole; minibatches are in `streams`.
"""

import csv
import gzip
import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import ClassVar

import numpy
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from ganlib.paths import data_folder
from ganlib.sizes import whole

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

IDX_NAMES = tuple(name.removesuffix(".gz") for name in KNOWN_FILES if name.endswith(".gz"))
SPLITS = ("train", "test")
# Of emoji the training split also falls in two halves, of other pictures each.
EMOJI_SPLITS = (*SPLITS, "first", "second")
FOUNDRIES = ("noto", "twemoji", "openmoji")
WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_choice(name: str, choice: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError that lists the choices unless `choice` is one."""
    if not isinstance(choice, str) or choice not in choices:
        listed = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise ValueError(f"{name}={choice!r:.60} is not known: choose {listed}")


def collection_folder(collection: str, folder: Path | str | None) -> Path:
    """The folder that a caller gave, or else the collection's own in `data_folder()`.

    Raises TypeError for what is no path.
    """
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
    check_choice("split", split, SPLITS)
    folder = collection_folder("mnist", folder)
    prefix = {"train": "train", "test": "t10k"}[split]
    images = read_idx(folder, f"{prefix}-images-idx3-ubyte")
    labels = read_idx(folder, f"{prefix}-labels-idx1-ubyte")
    return images[:, None], labels.long()


def emoji(foundry: str = "noto", split: str = "train", folder: Path | str | None = None) -> Tensor:
    """The emoji of one split as one type foundry draws them.

    foundry: "noto", "twemoji" or "openmoji".
    split: "train" (1,716 emoji) or "test" (190); near twins are never on both sides. Or "first"
    or "second" half of "train", with none on both sides either, for translation without pairs.
    folder: where the four files lie; default `data/emoji`.
    Returns uint8 of shape (count, 3, 32, 32): red, green and blue, on white. Row i is the same
    emoji for every foundry, the one that `emoji_names(split)[i]` names. Raises ValueError for
    another foundry or split, DataError for a bad file.
    """
    check_choice("foundry", foundry, FOUNDRIES)
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

    Raises DataError, which names the file, what was expected, and how to restore it; ValueError for
    a file that is none of them.
    """
    path = Path(path)
    if path.name not in KNOWN_FILES:
        known = ", ".join(KNOWN_FILES)
        raise ValueError(f"{path} is no file of the book's data: expected one of {known}")
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
    except NotADirectoryError:
        raise DataError(
            f"{path} cannot be read: on its way is a file where a folder was expected. {restore}"
        ) from None
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(
            f"{path} cannot be read: {kind} was expected ({error.strerror}). {restore}"
        ) from None
    except (EOFError, OSError, ValueError, zlib.error) as error:
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


def tossed(images: Tensor) -> Tensor:
    """Grey levels, bytes, to ink and paper by coins that are tossed afresh at each call.

    The chance of ink is the intensity, as in `binarized_mnist`, whose coins were tossed once; fresh
    ones for every minibatch are how Jain et al. (2020) train. They come from torch's global
    generator. Returns uint8, 0 or 1, of the same shape and on the same device. Raises ValueError
    for anything but bytes.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images are {kind}: expected grey levels as bytes, 0 to 255")
    return (images > torch.randint_like(images, 255)).to(torch.uint8)


def stacked_mnist(
    split: str = "train", count: int = 25_600, seed: int = 0, folder: Path | str | None = None
) -> tuple[Tensor, Tensor]:
    """Digits in red, green and blue, three random ones in each image: a set of 1,000 modes.

    This is the construction of Metz et al. (2017, section 3.3.1), drawn from this seed, the same
    on every machine. split, folder, errors: as for `mnist`. count: how many images.
    seed: a whole number from 0 to 2**32 - 1. Raises ValueError for another, or a count below 1.
    Returns images, uint8 (count, 3, 28, 28), and modes, int64 (count,): the three labels read as
    a number from 0 to 999.
    """
    count, seed = whole("count", count), whole("seed", seed, 0, 2**32 - 1)
    images, labels = mnist(split, folder)
    chosen = numpy.random.RandomState(seed).randint(0, len(images), size=(count, 3))
    chosen = torch.from_numpy(chosen)
    return images[chosen, 0], labels[chosen] @ torch.tensor([100, 10, 1])


def read_idx(folder: Path, name: str) -> Tensor:
    """Read `folder/name.gz`, one of `KNOWN_FILES`, and check it against its known content.

    The IDX format is two zero bytes, the code of the element type (8: unsigned byte), the number
    of axes, each axis's length as a big-endian 32-bit number, then the elements.
    Returns a uint8 tensor of the shape that the header states. Raises DataError for a bad file,
    ValueError for another name.
    """
    check_choice("name", name, IDX_NAMES)
    content = read_known(Path(folder) / f"{name}.gz")
    axes = content[3]
    shape = numpy.frombuffer(content, ">u4", count=axes, offset=4).tolist()
    elements = numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * axes)
    return torch.from_numpy(elements.copy()).reshape(shape)


def read_emoji_split(split: str, folder: Path) -> list[tuple[int, str]]:
    """The row in the files of pictures, and the name, of each emoji of one split.

    Raises ValueError for another split, DataError for a bad file.
    """
    check_choice("split", split, EMOJI_SPLITS)
    lines = read_known(Path(folder) / "emoji.csv").decode().splitlines()
    table = list(csv.DictReader(lines))
    chosen = [row for row, record in enumerate(table) if record["split"] == split]
    if split not in SPLITS:
        training = {row: record for row, record in enumerate(table) if record["split"] == "train"}
        chosen = _halves(training)[split == "second"]
    return [(row, table[row]["name"]) for row in chosen]


def _halves(records: dict[int, dict[str, str]]) -> tuple[list[int], list[int]]:
    """The rows of records in two halves: whole clusters, and of each group nearly as many.

    Clusters come in the order of a hash, each to the side that has fewer of its group.
    """
    clusters: dict[str, list[tuple[str, int]]] = {}
    for row, record in records.items():
        clusters.setdefault(record["cluster"], []).append((record["group"], row))
    in_turn = sorted(clusters, key=lambda name: hashlib.sha256(f"half {name}".encode()).digest())
    sides: tuple[list[int], list[int]] = ([], [])
    counts = Counter()
    for name in in_turn:
        group = clusters[name][0][0]
        side = int(counts[group, 0] > counts[group, 1])
        sides[side].extend(row for _, row in clusters[name])
        counts[group, side] += len(clusters[name])
    return sorted(sides[0]), sorted(sides[1])


def to_signed_unit(images: Tensor) -> Tensor:
    """Map bytes to float32 in [-1, 1], the range of a generator's tanh.

    images: whole numbers from 0 to 255, of any shape, as uint8 or another type.
    Raises TypeError for floats, which may be mapped already, and for anything but a tensor;
    ValueError for a number out of range.
    """
    if not isinstance(images, Tensor) or images.dtype not in WHOLE_NUMBERS:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images: {kind}, expected a tensor of whole numbers from 0 to 255")
    if images.dtype != torch.uint8 and images.numel():
        low, high = (int(bound) for bound in images.aminmax())
        if low < 0 or high > 255:
            raise ValueError(f"images: numbers from {low} to {high}, expected 0 to 255")
    return images.float() * (2 / 255) - 1


class GaussianMixture(MixtureSameFamily):
    """A mixture of Gaussians that draws the component of a sample first, and only that one's.

    torch's own draws a sample of every component and keeps one; all else is as there. `mixture`
    makes it, of diagonal covariances.
    """

    @cached_property
    def _equal(self) -> bool:
        probabilities = self.mixture_distribution.probs
        return bool((probabilities == probabilities[0]).all())

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Samples on the device of the means, of shape `sample_shape` and then (dimensions,)."""
        if self.batch_shape:
            return super().sample(torch.Size(sample_shape))
        normal = self.component_distribution.base_dist
        means, scales, shape = normal.loc, normal.scale, torch.Size(sample_shape)
        with torch.no_grad():
            if self._equal:
                chosen = torch.randint(len(means), shape, device=means.device)
            else:
                # `multinomial` refuses to draw none.
                draws = max(1, shape.numel())
                chosen = torch.multinomial(self.mixture_distribution.probs, draws, True)
                chosen = chosen[: shape.numel()].reshape(shape)
            noise = torch.randn(self._extended_shape(shape), dtype=means.dtype, device=means.device)
            return means[chosen] + scales[chosen] * noise


def mixture(means: Tensor, scale: Tensor | float, weights: Tensor | None = None) -> GaussianMixture:
    """A mixture of Gaussians with diagonal covariances, as a torch distribution.

    means: floats, (modes, dimensions); scale: positive standard deviations, broadcast to the shape
    of `means`; weights: (modes,), none negative, default equal; tensors, or what makes them. All
    become of the type and on the device of the means. Samples have shape (..., dimensions).
    Raises ValueError for other shapes or values, TypeError for what holds no numbers.
    """
    means = _floats(means, "means")
    if means.ndim != 2 or not means.numel():
        raise ValueError(
            f"means of shape {tuple(means.shape)}: expected (modes, dimensions), one or more of "
            "each"
        )
    if not torch.isfinite(means).all():
        raise ValueError("means: a value is not finite, expected numbers that are")
    scale = _floats(scale, "scale").to(means)
    if scale.ndim > 2 or any(
        n not in (1, m) for n, m in zip(scale.shape[::-1], means.shape[::-1], strict=False)
    ):
        raise ValueError(
            f"scale of shape {tuple(scale.shape)}: expected one that broadcasts to that of the "
            f"means, {tuple(means.shape)}"
        )
    if not ((scale > 0) & (scale < math.inf)).all():
        raise ValueError(f"scale={scale.tolist()}: expected positive standard deviations")
    weights = torch.ones(len(means)) if weights is None else _floats(weights, "weights")
    weights = weights.to(means)
    if weights.shape != means.shape[:1]:
        raise ValueError(f"weights of shape {tuple(weights.shape)}: expected ({len(means)},)")
    if not (weights >= 0).all() or not 0 < weights.sum() < math.inf:
        raise ValueError(
            f"weights={weights.tolist()}: expected none negative, and a sum above 0 that is finite"
        )
    components = Independent(Normal(means, scale.expand_as(means)), 1)
    return GaussianMixture(Categorical(weights), components)


def mixture_1d(means: list[float], scales: list[float], weights: list[float]) -> GaussianMixture:
    """A mixture of Gaussians on the line; samples have shape (..., 1).

    One mean, standard deviation and weight a component. Errors as for `mixture`.
    """
    columns = {"means": means, "scales": scales, "weights": weights}
    columns = {name: _floats(column, name) for name, column in columns.items()}
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != len(columns["means"]):
            raise ValueError(
                f"{name} of shape {tuple(column.shape)}: expected a list, as long as the others"
            )
    means, scales, weights = (column.float() for column in columns.values())
    return mixture(means[:, None], scales[:, None], weights)


def gaussian_ring(modes: int = 8, radius: float = 2.0, scale: float = 0.02) -> GaussianMixture:
    """Equal Gaussians on a circle (Metz et al., 2017, appendix A: 8, radius 2, deviation 0.02).

    Raises ValueError for no modes, or a radius that is not positive; and as `mixture` does.
    """
    modes = whole("modes", modes)
    _check_positive(radius, "radius")
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return mixture(radius * torch.stack([angles.cos(), angles.sin()], dim=1), scale)


def gaussian_grid(side: int = 5, spacing: float = 2.0, scale: float = 0.05) -> GaussianMixture:
    """Equal Gaussians on a centred grid, side × side of them (Gulrajani et al., 2017: 25).

    Raises ValueError for no modes, or a spacing that is not positive; and as `mixture` does.
    """
    side = whole("side", side)
    _check_positive(spacing, "spacing")
    ticks = (torch.arange(side) - (side - 1) / 2) * spacing
    return mixture(torch.cartesian_prod(ticks, ticks), scale)


class SwissRoll(Distribution):
    """A spiral of one and a half turns in the plane, blurred.

    At the angle t, uniform on [3π/2, 9π/2], the radius is 2 t / (9π/2), so the spiral ends at
    distance 2 as the ring does. scale: the blur's standard deviation in both directions. Samples
    have shape (..., 2). Raises ValueError for a scale that is not positive.
    """

    arg_constraints: ClassVar[dict] = {}

    def __init__(self, scale: float = 0.02):
        _check_positive(scale, "scale")
        self.scale = scale
        super().__init__(event_shape=torch.Size([2]))

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Samples of shape `sample_shape` and then (2,)."""
        shape = torch.Size(sample_shape)
        angle = 3 * math.pi * (0.5 + torch.rand(shape))
        spiral = torch.stack([angle * angle.cos(), angle * angle.sin()], -1)
        return spiral / (2.25 * math.pi) + self.scale * torch.randn(*shape, 2)


def _floats(values: Tensor | list | float, name: str) -> Tensor:
    """As a tensor of floats, of torch's default type where they are none; TypeError if it fails."""
    try:
        values = torch.as_tensor(values)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"{name}: expected numbers, as a tensor or lists of them ({error})"
        ) from None
    if values.is_complex() or values.dtype == torch.bool:
        raise TypeError(f"{name}: {values.dtype}, expected real numbers")
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())


def _check_positive(number: float, name: str) -> None:
    # Python's whole numbers may be larger than any float.
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 < number < 1e308:
        raise ValueError(f"{name}={number!r}: expected a positive number that is finite")
