"""Extractors: what they accept, that batches do not matter, and the networks behind them."""

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from ganlib import checkpoints
from ganlib.checkpoints import CheckpointError
from ganlib.datasets import mnist, to_signed_unit
from ganlib.metrics import (
    classifier_features,
    digit_features,
    extract,
    inception_features,
)
from ganlib.nets import DCGANGenerator, DigitClassifier
from ganlib.paths import data_folder

pytestmark = pytest.mark.usefixtures("one_thread")


def some_images(count=9, channels=1, side=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, side, side, generator=generator, dtype=dtype) * 2 - 1


def first_pixels(images):
    """An extractor that can be checked by eye."""
    pixels = images.flatten(1)
    return pixels[:, :4], pixels[:, 4:6].softmax(1)


# Extraction


@pytest.mark.parametrize("batch_size", [1, 7, 9, 500])
def test_images_go_through_in_order_whatever_the_batch(batch_size):
    images, sizes = some_images(), []

    def extractor(part):
        sizes.append(len(part))
        return first_pixels(part)

    found = extract(extractor, images, batch_size)
    assert torch.equal(found.vectors, images.flatten(1)[:, :4])
    assert torch.equal(found.probabilities, images.flatten(1)[:, 4:6].softmax(1))
    whole, rest = divmod(len(images), batch_size)
    assert sizes == [batch_size] * whole + [rest] * (rest > 0)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_network_finds_the_same_in_batches_of_any_size(batch_size):
    torch.manual_seed(0)
    extractor = classifier_features(DigitClassifier(width=4, features=8))
    images = some_images(side=28)
    for part, whole in zip(
        extract(extractor, images, batch_size), extract(extractor, images), strict=True
    ):
        torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-5)


def test_an_extractor_gets_single_precision_without_a_graph_and_gives_it_back():
    seen = []

    def extractor(part):
        seen.append((part.dtype, torch.is_grad_enabled()))
        return torch.ones(len(part), 2, dtype=torch.float64), torch.ones(len(part), 3).half()

    found = extract(extractor, some_images(dtype=torch.float64).requires_grad_(), 5)
    assert seen == [(torch.float32, False)] * 2
    for side, width in zip(found, (2, 3), strict=True):
        assert (side.dtype, side.device.type, side.shape) == (torch.float32, "cpu", (9, width))
        assert not side.requires_grad


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_finds_the_features_of_the_cpu_and_gives_them_back_there():
    images = to_signed_unit(mnist("test")[0][:100])
    expected = extract(digit_features(), images)
    for place in (images, images.cuda()):
        found = extract(digit_features("cuda"), place, 30, "cuda")
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.device.type == "cpu"
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_extraction_is_in_full_precision_within_autocast():
    torch.manual_seed(0)
    extractor = classifier_features(DigitClassifier(width=4, features=8))
    images = some_images(side=28)
    with torch.autocast("cpu", torch.bfloat16):
        found = extract(extractor, images)
    for inside, outside in zip(found, extract(extractor, images), strict=True):
        assert torch.equal(inside, outside)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3, 1, 4, 4, dtype=torch.uint8),
        torch.zeros(3, 1, 4, 4, dtype=torch.int64),
        torch.zeros(3, 4, 4),
        torch.zeros(3, 1, 4, 4, 1),
        torch.zeros(0, 1, 4, 4),
    ],
)
def test_what_are_no_images_is_refused(images):
    with pytest.raises(ValueError) as caught:
        extract(first_pixels, images)
    named = (str(images.dtype), str(tuple(images.shape)), "expected floats (count, channels")
    assert all(words in str(caught.value) for words in named)


@pytest.mark.parametrize("value", [255.0, -1.01, 1.001, math.nan, math.inf])
def test_images_of_another_range_are_refused(value):
    images = some_images()
    images[4, 0, 2, 2] = value
    with pytest.raises(ValueError, match=r"expected values in \[-1, 1\]"):
        extract(first_pixels, images)


def test_the_range_may_be_left_by_a_rounding():
    images = torch.full((1, 1, 4, 4), 1 + 2.0**-23)
    assert extract(first_pixels, images).vectors.shape == (1, 4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("side, name", [(0, "vectors"), (1, "probabilities")])
def test_what_an_extractor_finds_must_be_finite(value, side, name):
    def extractor(part):
        found = [features.clone() for features in first_pixels(part)]
        found[side][-1, 0] = value
        return found

    with pytest.raises(ValueError, match=f"{name} have shape .*not finite"):
        extract(extractor, some_images())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda features: features[1:],
        lambda features: features.mean(0, keepdim=True),
        lambda features: features.repeat(2, 1),
        lambda features: features[:, 0],
        lambda features: features[:, :, None],
    ],
)
@pytest.mark.parametrize("side, name", [(0, "vectors"), (1, "probabilities")])
def test_an_extractor_must_give_one_row_an_image(spoil, side, name):
    def extractor(part):
        found = list(first_pixels(part))
        found[side] = spoil(found[side])
        return found

    with pytest.raises(ValueError, match=rf"{name} have shape .*expected finite numbers, \(9, any"):
        extract(extractor, some_images())


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda part: part, "gave Tensor for .*expected a pair"),
        (lambda part: (part.flatten(1),), "gave tuple for .*expected a pair"),
        (lambda part: (part.flatten(1), None), "gave tuple for .*expected a pair"),
        (lambda part: (part.sum(), part.flatten(1)), r"gave shapes \(\), .*expected \(count, any"),
        (lambda part: (part.flatten(1)[:, : len(part)],) * 2, "the same for every batch"),
    ],
)
def test_an_extractor_that_gives_no_pair_is_named(answer, words):
    with pytest.raises((ValueError, TypeError), match=f"the extractor .*{words}"):
        extract(answer, some_images(), 4)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_a_batch_of_no_size_is_refused(batch_size):
    with pytest.raises(ValueError, match="batch_size=.*expected a whole number, 1 or more"):
        extract(first_pixels, some_images(), batch_size)


# The classifier of digits


def test_a_classifier_makes_an_extractor_of_its_own_layers():
    torch.manual_seed(0)
    classifier = DigitClassifier(classes=7, channels=3, width=4, features=8)
    assert classifier.training
    images = some_images(channels=3, side=28)
    before = images.clone()
    found = extract(classifier_features(classifier), images)
    assert torch.equal(images, before)
    assert not classifier.training and not any(m.training for m in classifier.modules())
    with torch.no_grad():
        logits = classifier(images).double()
        assert torch.equal(found.vectors, classifier.embed(images))
    exact = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert found.probabilities.shape == (9, 7)
    torch.testing.assert_close(found.probabilities.double(), exact, rtol=1e-5, atol=1e-7)


def test_the_judge_of_digits_reads_99_of_100_that_it_never_saw():
    images, labels = mnist("test")
    found = extract(digit_features(), to_signed_unit(images))
    assert found.vectors.shape == (10_000, 128) and found.probabilities.shape == (10_000, 10)
    assert (found.probabilities >= 0).all() and (found.vectors >= 0).all()
    # Ten numbers in single precision.
    assert (found.probabilities.double().sum(1) - 1).abs().max() <= 10 * 2.0**-23
    assert (found.probabilities.argmax(1) == labels).double().mean() >= 0.99


def shipped_as_digits(monkeypatch, folder):
    """The path where the judge's weights are looked for, within a folder of the test's own."""
    monkeypatch.setenv("GANLIB_DATA", str(folder))
    return folder / "checkpoints" / "digits-paper-classifier.safetensors"


def test_a_judge_whose_weights_are_missing_or_damaged_is_refused(monkeypatch, tmp_path):
    whole = (data_folder() / "checkpoints" / "digits-paper-classifier.safetensors").read_bytes()
    path = shipped_as_digits(monkeypatch, tmp_path)
    with pytest.raises(CheckpointError, match="is missing: expected a safetensors file"):
        digit_features()
    path.parent.mkdir()
    for content in (b"", b"no weights", whole[:7], whole[:500], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            digit_features()
    path.write_bytes(whole)
    assert extract(digit_features(), some_images(side=28)).vectors.shape == (9, 128)


def test_a_judge_of_another_size_than_its_file_says_is_refused(monkeypatch, tmp_path):
    path = shipped_as_digits(monkeypatch, tmp_path)
    settings = {**DigitClassifier(width=4).settings, "width": 8}
    provenance = {"network": {"class": "DigitClassifier", "settings": settings}}
    checkpoints.export(path, DigitClassifier(width=4), provenance)
    with pytest.raises(CheckpointError, match="belongs to another network"):
        digit_features()


def test_a_network_that_is_no_classifier_is_refused(monkeypatch, tmp_path):
    path = shipped_as_digits(monkeypatch, tmp_path)
    generator = DCGANGenerator(64, width=2)
    provenance = {"network": {"class": "DCGANGenerator", "settings": generator.settings}}
    checkpoints.export(path, generator, provenance)
    with pytest.raises(CheckpointError, match="DCGANGenerator"):
        digit_features()


# InceptionV3


@pytest.fixture(scope="module")
def published():
    """torch-fidelity's module of InceptionV3, from the folder that it has to itself.

    It never uses the torchvision that its package asks for, so empty modules take its place, and
    leave with torch-fidelity afterwards.
    """

    def loaded():
        return [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]

    stubs = ["", ".datasets", ".transforms", ".transforms.functional"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(sys.prefix) / "alone"))
        for name in loaded():
            patch.delitem(sys.modules, name)
        for name in stubs:
            patch.setitem(sys.modules, "torchvision" + name, ModuleType("torchvision" + name))
        for name in ("CIFAR10", "CIFAR100", "STL10"):
            sets = sys.modules["torchvision.datasets"]
            patch.setattr(sets, name, type(name, (), {}), raising=False)
        yield importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
        for name in loaded():
            del sys.modules[name]


@pytest.fixture(scope="module")
def weights(published):
    """Random tensors of InceptionV3's names and shapes, through which a signal survives."""

    class Untrained(published.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict):
            """Stay as initialised."""

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "load_state_dict_from_url", lambda *_, **__: {})
        network = Untrained("untrained", ["2048"])
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.state_dict()


@pytest.fixture(scope="module")
def colours():
    """Bytes of three small pictures of different colours, every byte among them."""
    torch.manual_seed(0)
    shades = torch.randint(256, (3, 3, 1, 1)) + torch.randint(-40, 40, (3, 3, 20, 17))
    shades = shades.clamp(0, 255).to(torch.uint8)
    shades[0, 0].flatten()[:256] = torch.arange(256, dtype=torch.uint8)
    return shades


@pytest.fixture(scope="module")
def found(weights, colours):
    return extract(inception_features(weights), to_signed_unit(colours))


def test_inception_gives_its_features_and_probabilities(found):
    assert found.vectors.shape == (3, 2048) and found.probabilities.shape == (3, 1008)
    # 1008 numbers in single precision.
    assert (found.probabilities.double().sum(1) - 1).abs().max() <= 1008 * 2.0**-24
    assert (found.probabilities >= 0).all()
    # The pictures are told apart, so what follows compares more than biases.
    assert torch.pdist(found.vectors).min() > 100 * 2.0**-24 * found.vectors.norm(dim=1).max()


def test_inception_is_torch_fidelitys_on_bytes(published, weights, colours, found, tmp_path):
    torch.save(weights, tmp_path / "weights.pth")
    network = published.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], str(tmp_path / "weights.pth")
    )
    vectors, logits = network(colours)
    assert torch.equal(found.vectors, vectors)
    logits = logits.double() - logits.max(1, keepdim=True).values
    exact = logits.exp() / logits.exp().sum(1, keepdim=True)
    torch.testing.assert_close(found.probabilities.double(), exact, rtol=1e-5, atol=0)


def test_inception_sees_the_nearest_bytes(weights, colours, found):
    generator = torch.Generator().manual_seed(0)
    shift = torch.rand(colours.shape, generator=generator) * 0.8 - 0.4
    images = ((colours + shift) / 127.5 - 1).clamp(-1, 1)
    assert not torch.equal(images, to_signed_unit(colours))
    assert torch.equal(extract(inception_features(weights), images).vectors, found.vectors)


def test_inception_sees_one_channel_as_three_equal_ones(weights, colours):
    grey = to_signed_unit(colours[:, :1])
    extractor = inception_features(weights)
    one, three = extract(extractor, grey), extract(extractor, grey.repeat(1, 3, 1, 1))
    assert torch.equal(one.vectors, three.vectors)
    assert torch.equal(one.probabilities, three.probabilities)


def test_inception_reads_its_weights_from_a_file(weights, colours, found, tmp_path):
    path = tmp_path / "inception.safetensors"
    checkpoints.write(path, weights, {"source": "random"})
    for name in (path, str(path)):
        again = extract(inception_features(name), to_signed_unit(colours))
        assert torch.equal(again.vectors, found.vectors)
        assert torch.equal(again.probabilities, found.probabilities)


def test_inception_refuses_a_file_that_cannot_be_read(published, tmp_path):
    path = tmp_path / "inception.safetensors"
    with pytest.raises(CheckpointError, match="is missing"):
        inception_features(path)
    # A pickle, as the published weights are: it is not opened.
    torch.save({"fc.bias": torch.zeros(1008)}, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        inception_features(path)


def test_inception_refuses_tensors_of_another_network(weights, tmp_path):
    missing = {name: tensor for name, tensor in weights.items() if name != "fc.bias"}
    misshapen = {**weights, "fc.bias": torch.zeros(1000)}
    foreign = DigitClassifier(width=2).state_dict()
    path = tmp_path / "foreign.safetensors"
    checkpoints.write(path, foreign, {})
    for wrong in ({}, missing, misshapen, {**weights, "more": torch.zeros(1)}, foreign, path):
        with pytest.raises(ValueError, match="do not fit torch-fidelity's InceptionV3"):
            inception_features(wrong)


def test_inception_downloads_the_published_weights_and_checks_them(
    published, weights, colours, found, monkeypatch
):
    asked = []

    def download(url, **options):
        asked.append((url, options))
        return weights

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    again = extract(inception_features("download"), to_signed_unit(colours))
    assert torch.equal(again.vectors, found.vectors)
    [(url, options)] = asked
    assert url == published.URL_INCEPTION_V3
    assert options["weights_only"] is True and options["check_hash"] is True
    # The name ends in the first digits of the hash, which is what `check_hash` looks at.
    assert torch.hub.HASH_REGEX.search(url.rpartition("/")[2]).group(1) == "6726825d"


def test_without_torch_fidelity_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ImportError) as caught:
        inception_features({})
    message = str(caught.value)
    assert all(words in message for words in ("ganlib[inception]", "pip install", "torchvision"))
