"""Networks: shapes, types, ranges, sizes counted by hand, and DCGAN's start."""

import json
import math

import pytest
import torch
from torch import nn

from ganlib import shipped
from ganlib.chains import GatedPixelCNN, LMConv, PixelCNN
from ganlib.nets import (
    ColourMap,
    ConvolutionalAutoencoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DCGANTrunk,
    DenseAutoencoder,
    DenseCritic,
    DenseEncoder,
    DenseGenerator,
    DigitClassifier,
    EmojiReader,
    Float,
    Logit,
    PatchDiscriminator,
    Perceptron,
    RecurrentGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    Scaled,
    SmallDiscriminator,
    SmallGenerator,
    Translator,
)
from ganlib.nets.dcgan import Choice


def parameter_count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("side", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_makes_and_judges_images_of_any_even_side(side, channels):
    images = DCGANGenerator(10, side, channels, width=8)(torch.randn(3, 10))
    assert (images.shape, images.dtype) == ((3, channels, side, side), torch.float32)
    logits = DCGANDiscriminator(side, channels, width=8)(images)
    assert (logits.shape, logits.dtype) == ((3,), torch.float32)


@pytest.mark.parametrize("side, base", [(8, 4), (28, 7), (30, 15), (32, 4), (64, 4)])
def test_the_side_is_halved_while_it_is_even_and_at_least_four(side, base):
    generator = DCGANGenerator(4, side, width=2)
    strides = [m.stride for m in generator if isinstance(m, nn.ConvTranspose2d)]
    grown = nn.Sequential(*list(generator)[:2])(torch.zeros(1, 4))
    assert grown.shape[-1] == base
    assert strides == [(1, 1)] + [(2, 2)] * int(math.log2(side / base))


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_a_wrong_side_is_named(network):
    for side in (4, 6, 7, 27):
        with pytest.raises(ValueError, match=f"side={side} .*expected an even number of 8 or"):
            network(side=side)
    for side in (-8, 0, True, 8.0, None):
        with pytest.raises(ValueError, match=f"side={side}: expected a whole number, 1 or more"):
            network(side=side)


def test_the_parameters_of_dcgan_counted_by_hand():
    # A 4 x 4 kernel has 16 weights; batch normalization has a scale and a shift per channel.
    kernels = (64 * 256 + 256 * 128 + 128 * 64 + 64 * 1) * 16
    assert parameter_count(DCGANGenerator(64, 32, 1, 64)) == kernels + 2 * (256 + 128 + 64) + 1
    kernels = (1 * 64 + 64 * 128 + 128 * 256 + 256 * 1) * 16
    assert parameter_count(DCGANDiscriminator(32, 1, 64)) == kernels + 64 + 2 * (128 + 256) + 1


def test_the_parameters_of_a_perceptron_counted_by_hand():
    assert parameter_count(Perceptron(3, 2, (5, 7))) == (3 + 1) * 5 + (5 + 1) * 7 + (7 + 1) * 2
    assert parameter_count(Perceptron(3, 2, ())) == (3 + 1) * 2


def test_a_generator_fills_its_range_and_never_leaves_it():
    torch.manual_seed(0)
    generator = DCGANGenerator(10, 28, width=8)
    with torch.no_grad():
        generator[-3].weight.mul_(1000)
        images = generator(torch.randn(8, 10))
    assert images.abs().max() <= 1
    assert images.min() < -0.99 and images.max() > 0.99


@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_dcgan_starts_from_small_normal_weights(network):
    torch.manual_seed(0)
    network = network()
    convolutions = [m for m in network if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    weights = torch.cat([m.weight.detach().flatten() for m in convolutions]).double()
    # Six standard errors of the mean and the deviation of a normal sample.
    assert weights.mean().item() == pytest.approx(0, abs=6 * 0.02 / math.sqrt(len(weights)))
    error = 0.02 / math.sqrt(2 * len(weights))
    assert weights.std().item() == pytest.approx(0.02, abs=6 * error)
    norms = [m for m in network if isinstance(m, nn.BatchNorm2d)]
    scales = torch.cat([m.weight.detach() for m in norms]).double()
    assert scales.mean().item() == pytest.approx(1, abs=6 * 0.02 / math.sqrt(len(scales)))
    assert scales.std().item() == pytest.approx(0.02, abs=6 * 0.02 / math.sqrt(2 * len(scales)))
    assert all((m.bias == 0).all() for m in norms)


@pytest.mark.parametrize(
    "network, inputs",
    [
        (Perceptron(3, 2), torch.randn(4, 3)),
        (Logit(3), torch.randn(4, 3)),
        (DCGANGenerator(3, 8, width=2), torch.randn(4, 3)),
        (DCGANDiscriminator(8, width=2), torch.randn(4, 1, 8, 8)),
        (DigitClassifier(width=2), torch.randn(4, 1, 28, 28)),
        (RecurrentGenerator(3, 8, 4), torch.randn(4, 3)),
        (SmallDiscriminator(1, 2), torch.randn(4, 1, 28, 28)),
        (SmallGenerator(3, 1, 2), torch.randn(4, 3)),
    ],
)
def test_outputs_are_float32_under_autocast(network, inputs):
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(inputs)
    assert outputs.dtype == torch.float32
    # The last product was rounded to bfloat16, so autocast did reach it.
    assert torch.equal(outputs, outputs.bfloat16().float())


def test_float_casts_and_keeps_the_shape():
    halves = torch.tensor([[0.5, -2.0]], dtype=torch.bfloat16)
    cast = Float()(halves)
    assert cast.dtype == torch.float32
    assert cast.tolist() == [[0.5, -2.0]]


def test_a_perceptron_is_its_formula():
    network = Perceptron(3, 2, (5, 4), "Tanh")
    inputs = torch.randn(6, 3)
    first, second, last = (m for m in network if isinstance(m, nn.Linear))
    hidden = torch.tanh(inputs @ first.weight.T + first.bias)
    hidden = torch.tanh(hidden @ second.weight.T + second.bias)
    torch.testing.assert_close(network(inputs), hidden @ last.weight.T + last.bias)


def test_a_logit_is_one_number_an_example():
    network = Logit(3, (5,))
    inputs = torch.randn(6, 3)
    assert network(inputs).shape == (6,)
    assert network(inputs[:1]).shape == (1,)
    hidden = torch.relu(inputs @ network[0].weight.T + network[0].bias)
    expected = hidden @ network[2].weight[0] + network[2].bias
    torch.testing.assert_close(network(inputs), expected)


def test_a_slice_of_a_network_is_a_network():
    discriminator = DCGANDiscriminator(side=28, width=4)
    images = torch.randn(2, 1, 28, 28)
    features = discriminator[:-3](images)
    torch.testing.assert_close(discriminator[-3:](features), discriminator(images))
    assert discriminator[0] is list(discriminator)[0]


@pytest.mark.parametrize("classes, channels, width, features", [(10, 1, 4, 16), (7, 3, 2, 5)])
def test_a_digit_classifier_goes_by_way_of_features(classes, channels, width, features):
    torch.manual_seed(0)
    network = DigitClassifier(classes, channels, width, features).eval()
    images = torch.rand(6, channels, 28, 28) * 2 - 1
    before = images.clone()
    vectors, logits = network.embed(images), network(images)
    assert (vectors.shape, vectors.dtype) == ((6, features), torch.float32)
    assert (logits.shape, logits.dtype) == ((6, classes), torch.float32)
    assert (vectors >= 0).all() and vectors.any()
    assert torch.equal(logits, network.head(vectors))
    # Without dropout the head is a linear layer.
    [linear] = (m for m in network.head if isinstance(m, nn.Linear))
    torch.testing.assert_close(logits, vectors @ linear.weight.T + linear.bias)
    assert torch.equal(images, before)


def test_a_digit_classifier_drops_features_only_in_training():
    torch.manual_seed(0)
    network = DigitClassifier(width=2)
    vectors = torch.rand(4, 128)
    assert not torch.equal(network.train().head(vectors), network.head(vectors))
    assert torch.equal(network.eval().head(vectors), network.head(vectors))


def test_an_image_is_classified_by_itself():
    torch.manual_seed(0)
    network = DigitClassifier(width=4).eval()
    images = torch.rand(5, 1, 28, 28)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=1e-5, atol=1e-5)


NETWORKS = {
    "GatedPixelCNN": lambda: GatedPixelCNN(3, 4, 6, 2, 5, 3, classes=7),
    "LMConv": lambda: LMConv(3, 4, 6, 4, 5, 3, (1, 2)),
    "PixelCNN": lambda: PixelCNN(3, 4, 6, 2, 5, 3),
    "ConvolutionalAutoencoder": lambda: ConvolutionalAutoencoder(16, 3, 2, 5),
    "DCGANDiscriminator": lambda: DCGANDiscriminator(16, 3, 2, normalized=False),
    "DCGANGenerator": lambda: DCGANGenerator(5, 16, 3, 2, choices=3),
    "DenseAutoencoder": lambda: DenseAutoencoder(8, 3, (5, 4)),
    "DenseCritic": lambda: DenseCritic(8, 3, (5, 4)),
    "DenseGenerator": lambda: DenseGenerator(5, 8, 3, (5, 4)),
    "DigitClassifier": lambda: DigitClassifier(7, 3, 2, 5),
    "DCGANTrunk": lambda: DCGANTrunk(16, 3, 2, 5),
    "DenseEncoder": lambda: DenseEncoder(5, 8, 3, (6, 4)),
    "EmojiReader": lambda: EmojiReader(4, 2, 5),
    "Logit": lambda: Logit(3, (5, 4), "Tanh"),
    "Perceptron": lambda: Perceptron(3, 2, (5, 4), "Tanh"),
    "RecurrentGenerator": lambda: RecurrentGenerator(5, 8, 3),
    "ResidualDiscriminator": lambda: ResidualDiscriminator(16, 3, 2),
    "ResidualGenerator": lambda: ResidualGenerator(5, 16, 3, 2),
    "SmallDiscriminator": lambda: SmallDiscriminator(1, 2),
    "SmallGenerator": lambda: SmallGenerator(5, 1, 2),
    "Translator": lambda: Translator(1, 2, 2, 1),
}
SMALLEST = {"Logit": {"inputs": 1}, "Perceptron": {"inputs": 1, "outputs": 1}}


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_a_network_is_built_again_from_its_settings_as_json(name):
    for network in (NETWORKS[name](), shipped.NETWORKS[name](**SMALLEST.get(name, {}))):
        again = type(network)(**json.loads(json.dumps(network.settings)))
        assert type(network) is shipped.NETWORKS[name]
        assert again.settings == network.settings
        assert repr(again) == repr(network)
        weights, others = network.state_dict(), again.state_dict()
        assert list(weights) == list(others)
        for weight, other in zip(weights.values(), others.values(), strict=True):
            assert (weight.shape, weight.dtype) == (other.shape, other.dtype)


@pytest.mark.parametrize("name", shipped.NETWORKS)
def test_a_network_names_the_size_of_which_there_is_none(name):
    build, base = shipped.NETWORKS[name], SMALLEST.get(name, {})
    sizes = {"levels", "channels", "width", "depth", "classes", "features", "noise_size"}
    sizes |= {"code_size", "inputs", "outputs", "kernel", "first_kernel"}
    named = sorted(sizes & build(**base).settings.keys())
    assert named
    for size in named:
        for wrong in (0, -1, True, 2.0, "2", torch.tensor(2)):
            with pytest.raises(ValueError, match=f"{size}=.*: expected a whole number, "):
                build(**{**base, size: wrong})
    for size in {"kernel", "first_kernel"} & set(named):
        with pytest.raises(ValueError, match="kernel=4: expected an odd number"):
            build(**{size: 4})


def test_lists_of_sizes_that_are_none_are_refused():
    for wrong in ((), [], "1", 1, None):
        with pytest.raises(ValueError, match="dilations=.*: expected a list of one or more"):
            LMConv(dilations=wrong)
    for wrong in ([0], [1, -1], [1.0], [True], ["1"]):
        with pytest.raises(ValueError, match="dilation=.*: expected a whole number, 1 to 65536"):
            LMConv(dilations=wrong)
    for wrong in (5, None, {3}):
        with pytest.raises(ValueError, match="widths=.*: expected a list of whole numbers"):
            Perceptron(1, 1, wrong)
    for wrong in ([0], (3, 2.0), "12", [True]):
        with pytest.raises(ValueError, match="a width of widths=.*: expected a whole number"):
            Perceptron(1, 1, wrong)
    for wrong in ("Nothing", "functional", "init", "Parameter", 3, None, nn.ReLU):
        with pytest.raises(ValueError, match="activation=.*: expected the name of a class"):
            Perceptron(1, 1, (2,), wrong)
    for wrong in (None, 0, "yes"):
        with pytest.raises(ValueError, match="normalized=.*: expected True or False"):
            DCGANDiscriminator(normalized=wrong)


def test_inputs_of_another_size_are_refused():
    generator, discriminator = DCGANGenerator(5, 8, width=2), DCGANDiscriminator(8, width=2)
    for shape in ((3, 6), (3,), (3, 5, 1), (3, 5, 1, 1), ()):
        with pytest.raises(ValueError, match=r"noise of shape .*: expected \(batch, 5\)"):
            generator(torch.randn(shape))
    # Larger images would otherwise be given several logits each.
    for shape in ((3, 1, 16, 16), (3, 3, 8, 8), (1, 8, 8), (3, 1, 8, 6)):
        with pytest.raises(ValueError, match=r"images of shape .*: expected \(batch, 1, 8, 8\)"):
            discriminator(torch.randn(shape))
    for network in (Perceptron(3, 2), Logit(3)):
        for shape in ((4, 2), (3, 1), ()):
            with pytest.raises(ValueError, match=r"inputs of shape .*: expected \(batch, 3\)"):
                network(torch.randn(shape))


@pytest.mark.parametrize("normalized", [True, False])
def test_without_normalization_an_image_is_judged_by_itself(normalized):
    torch.manual_seed(0)
    network = DCGANDiscriminator(16, width=4, normalized=normalized)
    first = torch.randn(1, 1, 16, 16)
    logits, slopes = [], []
    for seed in (1, 2):
        others = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
        images = torch.cat([first, 5 * others]).requires_grad_()
        answers = network(images)
        logits.append(answers[0].detach())
        (slope,) = torch.autograd.grad(answers[0], images, retain_graph=True)
        # What an image's own logit owes to the others of its batch.
        assert (slope[1:] == 0).all() == (not normalized)
        slopes.append(torch.autograd.grad(answers.sum(), images)[0][0])
    assert slopes[0].any()
    for pair in (logits, slopes):
        assert torch.allclose(*pair, rtol=1e-5, atol=1e-8) == (not normalized)


def test_the_parameters_of_a_digit_classifier_counted_by_hand():
    # Kernels of 3 x 3; batch normalization has a scale and a shift; 28 is halved to 14, 7 and 3.
    kernels = (1 * 32 + 32 * 64 + 64 * 64) * 9 + 2 * (32 + 64 + 64)
    assert parameter_count(DigitClassifier()) == kernels + (64 * 9 + 1) * 128 + (128 + 1) * 10
    kernels = (3 * 4 + 4 * 8 + 8 * 8) * 9 + 2 * (4 + 8 + 8)
    assert parameter_count(DigitClassifier(7, 3, 4, 5)) == kernels + (8 * 9 + 1) * 5 + (5 + 1) * 7


def test_a_residual_pair_fits_together_at_every_side():
    torch.manual_seed(0)
    for side, channels in ((8, 1), (28, 1), (32, 3)):
        generator = ResidualGenerator(5, side, channels, 4)
        images = generator(torch.randn(3, 5))
        assert images.shape == (3, channels, side, side) and images.abs().max() < 1
        assert ResidualDiscriminator(side, channels, 4)(images).shape == (3,)
    for network in (ResidualGenerator, ResidualDiscriminator):
        with pytest.raises(ValueError, match="side=30: expected a multiple of 4"):
            network(side=30)
    with pytest.raises(ValueError, match=r"noise of shape \(3, 4\): expected \(batch, 5\)"):
        generator(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"images of shape .*: expected \(batch, 3, 32, 32\)"):
        ResidualDiscriminator(32, 3, 4)(torch.randn(2, 1, 32, 32))


def test_a_residual_discriminator_judges_each_image_by_itself():
    torch.manual_seed(0)
    discriminator = ResidualDiscriminator(width=4)
    images = torch.rand(5, 1, 28, 28) * 2 - 1
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone, rtol=1e-4, atol=1e-5)
    # And no pixel is without a say.
    seen = images[:1].clone().requires_grad_(True)
    discriminator(seen).sum().backward()
    assert (seen.grad != 0).all()


def test_the_dense_pair_makes_and_judges_images():
    generator, critic = DenseGenerator(5, 12, 3, (7, 8)), DenseCritic(12, 3, (6,))
    images = generator(torch.randn(4, 5))
    assert images.shape == (4, 3, 12, 12) and images.dtype == torch.float32
    assert images.abs().max() < 1 and critic(images).shape == (4,)
    # Weights and biases, and a scale and a shift for each normalized unit.
    expected = 5 * 7 + 7 * 8 + 8 * 432 + 7 + 8 + 432 + 2 * (7 + 8)
    assert parameter_count(generator) == expected
    assert parameter_count(critic) == 432 * 6 + 6 + 6 + 1
    again = DenseGenerator(**json.loads(json.dumps(generator.settings)))
    assert again.settings == generator.settings


def test_the_dense_pair_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"expected \(batch, 5\)"):
        DenseGenerator(5, 12)(torch.randn(4, 6))
    with pytest.raises(ValueError, match=r"expected \(batch, 1, 28, 28\)"):
        DenseCritic()(torch.randn(2, 1, 27, 28))
    with pytest.raises(ValueError, match="a width of widths=0"):
        DenseGenerator(widths=(4, 0))
    with pytest.raises(ValueError, match="a width of widths=0"):
        DenseCritic(widths=(0,))


def test_a_scaled_network_sees_its_input_scaled():
    network = Logit(2, (4,))
    x = torch.randn(5, 2)
    assert torch.equal(Scaled(network, 0.25)(x), network(x / 4))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_small_pair_makes_and_judges_images(channels):
    generator, discriminator = SmallGenerator(5, channels, 2), SmallDiscriminator(channels, 2)
    images = generator(torch.randn(4, 5))
    assert images.shape == (4, channels, 28, 28) and images.abs().max() < 1
    assert discriminator(images).shape == (4,)
    # 3 x 3 kernels with biases between 16, 8, 4, 2 channels and the images', a scale and a shift
    # for each normalized channel.
    between = 9 * (16 * 8 + 8 * 4 + 4 * 2 + 2 * channels) + 8 + 4 + 2 + channels
    assert parameter_count(generator) == 5 * 256 + 256 + between + 2 * (16 + 8 + 4 + 2)
    between = 9 * (channels * 2 + 2 * 4 + 4 * 8) + 2 + 4 + 8
    assert parameter_count(discriminator) == between + 8 * 16 + 1
    with pytest.raises(ValueError, match=r"expected \(batch, 5\)"):
        generator(torch.randn(4, 6))
    with pytest.raises(ValueError, match=r"images of shape .*, 28, 28\)"):
        discriminator(torch.randn(2, channels, 32, 32))


def test_a_small_discriminator_judges_each_image_by_itself():
    torch.manual_seed(0)
    discriminator, images = SmallDiscriminator(3, 2), torch.rand(5, 3, 28, 28) * 2 - 1
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone, rtol=1e-4, atol=1e-5)
    seen = images[:1].clone().requires_grad_(True)
    discriminator(seen).sum().backward()
    assert (seen.grad != 0).all()


def test_a_recurrent_generator_is_its_recurrence():
    torch.manual_seed(0)
    generator = RecurrentGenerator(5, 8, 4)
    noise = torch.randn(3, 5)
    images = generator(noise)
    assert images.shape == (3, 1, 8, 8) and images.abs().max() < 1
    cell = nn.LSTMCell(1, 4)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(generator.cell, f"{name}_l0"))
    state = generator.start(noise).tanh().chunk(2, dim=1)
    for column in range(8):
        state = cell(torch.zeros(3, 1), state)
        expected = torch.tanh(generator.column(state[0]))
        torch.testing.assert_close(images[:, 0, :, column], expected)
    with pytest.raises(ValueError, match="units=0: expected a whole number"):
        RecurrentGenerator(units=0)


def test_a_translator_keeps_the_shape_and_the_range():
    torch.manual_seed(0)
    for halvings, blocks in ((0, 0), (1, 3), (2, 1)):
        network = Translator(3, 4, halvings, blocks)
        for size in ((32, 32), (16, 24)):
            made = network(torch.randn(2, 3, *size))
            assert (made.shape, made.dtype) == ((2, 3, *size), torch.float32)
            assert made.abs().max() < 1


def test_the_parameters_of_a_translator_counted_by_hand():
    # Kernels, and a scale and a shift for each channel that is normalized.
    ends = 3 * 16 * 25 + 2 * 16 + 16 * 3 * 25 + 3
    halve = 16 * 32 * 16 + 2 * 32
    blocks = 3 * 2 * (32 * 32 * 9 + 2 * 32)
    double = 32 * 16 * 9 + 2 * 16
    assert parameter_count(Translator(width=16)) == ends + halve + blocks + double


def slope_of_a_verdict(network, place, side=48):
    """Which pixels a verdict depends on."""
    picture = torch.randn(1, 3, side, side, requires_grad=True)
    network(picture)[0, place, place].backward()
    return picture.grad[0].abs().sum(0) > 0


@pytest.mark.parametrize("halvings, patch", [(1, 16), (2, 34)])
def test_a_verdict_sees_one_patch(halvings, patch):
    torch.manual_seed(0)
    network = PatchDiscriminator(3, 4, halvings)
    seen = slope_of_a_verdict(network, {1: 9, 2: 4}[halvings])
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == patch
    assert int(seen.sum()) == patch**2
    # From the next verdict the patch lies one stride farther.
    shift = 2**halvings
    other = slope_of_a_verdict(network, {1: 10, 2: 5}[halvings])
    assert torch.equal(seen[:-shift, :-shift], other[shift:, shift:])


def test_the_authors_discriminator_would_see_seventy_pixels():
    """The same rule at their sizes: Isola et al. (2017), section 6.1.2."""
    assert [PatchDiscriminator(3, 2, h)(torch.randn(1, 3, 32, 32)).shape[1:] for h in (1, 2)] == [
        (14, 14),
        (6, 6),
    ]
    seen = slope_of_a_verdict(PatchDiscriminator(3, 2, 3), 8, side=160)
    assert int(seen.any(0).sum()) == 70


def test_a_colour_map_sees_one_pixel():
    torch.manual_seed(0)
    network = ColourMap(3, (8,))
    picture = torch.randn(1, 3, 5, 5, requires_grad=True)
    network(picture)[0, :, 2, 3].sum().backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert int(seen.sum()) == 1 and seen[2, 3]
    assert parameter_count(ColourMap(3, ())) == 3 * 3 + 3


def test_a_reader_gives_logits_and_unit_vectors():
    torch.manual_seed(0)
    reader = EmojiReader(width=4, features=10).eval()
    pictures = torch.randn(5, 3, 32, 32)
    logits, vectors = reader(pictures)
    assert logits.shape == (5, 3) and vectors.shape == (5, 10)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(5))
    assert reader.embed(pictures).shape == (5, 10)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Translator(width=0),
        lambda: Translator(halvings=-1),
        lambda: PatchDiscriminator(halvings=0),
        lambda: ColourMap(widths=(0,)),
        lambda: EmojiReader(features=0),
    ],
)
def test_translation_networks_refuse_sizes_of_which_there_is_none(build):
    with pytest.raises(ValueError, match="expected a whole number"):
        build()


def test_a_choice_is_the_largest_number_and_each_comes_as_often():
    torch.manual_seed(0)
    noise = torch.randn(20_000, 7)
    chosen = Choice(4, 0.5)(noise)
    assert torch.equal(chosen[:, 4:], 0.5 * noise[:, 4:])
    assert torch.equal(chosen[:, :4].argmax(1), noise[:, :4].argmax(1))
    assert torch.equal(chosen[:, :4].sum(1), torch.ones(20_000))
    torch.testing.assert_close(chosen[:, :4].mean(0), torch.full((4,), 0.25), atol=0.015, rtol=0)
    generator = DCGANGenerator(7, 8, width=2, choices=4)
    # Only the choice counts of the first numbers, not how large they are.
    louder = torch.cat([3 * noise[:8, :4], noise[:8, 4:]], 1)
    assert torch.equal(generator(louder), generator(noise[:8]))
    for wrong in (7, -1, 2.5, True):
        with pytest.raises(ValueError, match="choices"):
            DCGANGenerator(7, 8, width=2, choices=wrong)


def test_a_discriminator_may_look_at_features_before_it_answers():
    for normalized in (True, False):
        plain = DCGANDiscriminator(8, width=2, normalized=normalized)
        wide = DCGANDiscriminator(8, width=2, normalized=normalized, features=5)
        assert wide(torch.randn(3, 1, 8, 8)).shape == (3,)
        kernel = 2 * 4 * 4
        gained = kernel * 5 + (10 if normalized else 5) + 5 + 1 - kernel - 1
        assert parameter_count(wide) - parameter_count(plain) == gained
    with pytest.raises(ValueError, match="features"):
        DCGANDiscriminator(8, features=0)
