"""From images to what metrics compare: feature vectors and class probabilities.

An extractor is any callable from images, (count, channels, height, width) in [-1, 1], to a pair:
vectors (count, dimensions) and probabilities (count, classes).
"""

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ganlib import checkpoints
from ganlib.checkpoints import CheckpointError
from ganlib.metrics.inputs import numbers
from ganlib.nets import DigitClassifier
from ganlib.runtime import full_precision
from ganlib.shipped import trained_network
from ganlib.sizes import whole

Extractor = Callable[[Tensor], tuple[Tensor, Tensor]]


class Features(NamedTuple):
    """What an extractor found: vectors (count, dimensions), probabilities (count, classes)."""

    vectors: Tensor
    probabilities: Tensor


def extract(
    extractor: Extractor,
    images: Tensor,
    batch_size: int = 500,
    device: torch.device | str = "cpu",
) -> Features:
    """Run images through an extractor, a batch at a time, in full precision.

    images: floats in [-1, 1], (count, channels, height, width). device: where the extractor lives.
    Returns float32 on the CPU. Raises ValueError for images of another type or range, or a result
    that is not finite; TypeError where an extractor does not give a pair of tensors.
    """
    batch_size, images = whole("batch_size", batch_size), numbers(images, "images")
    if images.ndim != 4 or not images.numel() or not images.is_floating_point():
        raise ValueError(
            f"images: {images.dtype} of shape {tuple(images.shape)}, expected floats (count, "
            "channels, height, width), one or more"
        )
    if not images.abs().max() <= 1 + 1e-4:
        raise ValueError(
            f"images from {float(images.min()):.3g} to {float(images.max()):.3g}: expected values "
            "in [-1, 1] (`datasets.to_signed_unit` makes them from bytes)"
        )
    with torch.no_grad(), full_precision(device):
        parts = [
            _pair(extractor(part.float().to(device)), len(part))
            for part in images.split(batch_size)
        ]
    features = Features(*(_joined(side) for side in zip(*parts, strict=True)))
    for name, side in features._asdict().items():
        if side.ndim != 2 or len(side) != len(images) or not torch.isfinite(side).all():
            raise ValueError(
                f"the extractor's {name} have shape {tuple(side.shape)}"
                + ("" if torch.isfinite(side).all() else " and are not finite")
                + f": expected finite numbers, ({len(images)}, any)"
            )
    return features


def _pair(found: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """What an extractor gave for so many images; TypeError unless it is two tensors."""
    if (
        not isinstance(found, tuple | list)
        or len(found) != 2
        or not all(isinstance(side, Tensor) for side in found)
    ):
        raise TypeError(
            f"the extractor gave {type(found).__name__} for {count} images: expected a pair of "
            "tensors, vectors and probabilities"
        )
    return tuple(found)


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """One side of what an extractor gave for all batches, in float32 on the CPU."""
    shapes = {tuple(part.shape[1:]) if part.ndim else None for part in parts}
    if len(shapes) > 1 or None in shapes:
        raise ValueError(
            f"the extractor gave shapes {', '.join(str(tuple(part.shape)) for part in parts)}: "
            "expected (count, any), the same for every batch"
        )
    return torch.cat(parts).float().cpu()


def classifier_features(classifier: DigitClassifier) -> Extractor:
    """The extractor that a classifier makes: its last hidden layer, and its softmax.

    Raises TypeError for another network.
    """
    if not isinstance(classifier, DigitClassifier):
        raise TypeError(f"classifier: {type(classifier).__name__}, expected a DigitClassifier")
    return partial(seen_by, classifier.eval())


def seen_by(classifier: DigitClassifier, images: Tensor) -> Features:
    """The values of its last hidden layer, and p(y | x)."""
    vectors = classifier.embed(images)
    return Features(vectors, classifier.head(vectors).softmax(1))


def digit_features(device: torch.device | str = "cpu") -> Extractor:
    """The book's judge of digits, (count, 1, 28, 28): the classifier of MNIST that it ships.

    128 features and 10 classes. Raises CheckpointError where its weights are missing or damaged.
    """
    classifier, _ = trained_network("digits", "classifier")
    if not isinstance(classifier, DigitClassifier):
        raise CheckpointError(
            f"digits-paper-classifier holds a {type(classifier).__name__}, not a DigitClassifier"
        )
    return classifier_features(classifier.to(device))


def inception_features(
    weights: Path | str | Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> Extractor:
    """The literature's judge of natural images: the InceptionV3 of 2015, through torch-fidelity.

    weights: "download" to fetch torch-fidelity's own (96 MB), a safetensors file of the same
    tensors, or the tensors by name. The extractor takes images of 1 or 3 channels and any size,
    rounds them to bytes as published figures do, and gives 2048 features and 1008 probabilities.
    Raises ImportError that says what to install where torch-fidelity is missing, CheckpointError
    for a file that cannot be read, ValueError for tensors of another network; and what
    `torch.hub.load_state_dict_from_url` raises where the download fails.
    """
    if not isinstance(weights, Mapping | Path | str):
        raise TypeError(
            f"weights: {type(weights).__name__}, expected 'download', a path or tensors by name"
        )
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as published
    except ImportError as error:
        raise ImportError(
            f"InceptionV3 needs torch-fidelity, which could not be imported ({error}): install it "
            "with `pip install 'ganlib[inception]'`, or `pip install torch-fidelity` and the "
            "torchvision that belongs to your torch"
        ) from None
    if isinstance(weights, Mapping):
        tensors = dict(weights)
    elif str(weights) == "download":
        tensors = torch.hub.load_state_dict_from_url(
            published.URL_INCEPTION_V3, weights_only=True, check_hash=True, map_location="cpu"
        )
    else:
        tensors, _ = checkpoints.read(weights)
    # torch-fidelity unpickles what it is given; this file of ours holds tensors and nothing else.
    file = io.BytesIO()
    torch.save(tensors, file)
    file.seek(0)
    try:
        network = published.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=file
        )
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit torch-fidelity's InceptionV3: {error}") from None
    network.to(device)

    def extractor(images: Tensor) -> tuple[Tensor, Tensor]:
        colour = images.expand(-1, 3, -1, -1)
        vectors, logits = network(((colour + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        return vectors, logits.softmax(1)

    return extractor
