"""Masked convolutions and chains: unfolded sums, exact zeros, and all images of small sizes."""

import itertools
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_chains import CLASSES, generator, labels_for, make, named_order
from torch.func import functional_call
from torch.nn.functional import conv2d, unfold

from ganlib import runtime
from ganlib.chains import (
    GatedPixelCNN,
    LMConv,
    MaximumLikelihood,
    PixelCNN,
    bits_per_dimension,
    ensemble_log_likelihood,
    log_likelihood,
    masks,
    members_log_likelihood,
    orders,
    pixel_log_likelihoods,
)
from ganlib.chains.layers import MaskedConvolution, Whole, WithinPixel, colour_mask
from ganlib.checkpoints import CheckpointError
from ganlib.optimisers import adam
from ganlib.play import Recipe, play
from ganlib.streams import Minibatches

pytestmark = pytest.mark.usefixtures("one_thread")

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def random_images(chain, count, height, width, seed=0):
    shape = count, chain.channels, height, width
    return torch.randint(chain.levels, shape, generator=generator(seed))


def all_images(channels, levels, height, width):
    """Every image there is."""
    values = itertools.product(range(levels), repeat=channels * height * width)
    return torch.tensor(list(values)).reshape(-1, channels, height, width)


# A name and the orders that a chain of this name can follow.
CHAINS = [
    ("plain", "raster"),
    ("gated", "raster"),
    ("gated with classes", "raster"),
    ("local", "s_curve"),
    ("local", "hilbert"),
    ("local", "random 0"),
]
every_chain = pytest.mark.parametrize(("name", "order_name"), CHAINS)
one_and_three_channels = pytest.mark.parametrize("channels", [1, 3])


# Masked convolutions


def seen_by_loops(order, height, width, kernel, dilation, centre):
    """(pixels, taps): whether the pixel under a tap is drawn earlier; `centre` for its own."""
    step = {tuple(pixel): i for i, pixel in enumerate(order.tolist())}
    reach = [(tap - kernel // 2) * dilation for tap in range(kernel)]
    return torch.tensor(
        [
            [
                step.get((row + down, column + over), height * width) < step[row, column]
                or (centre and down == over == 0)
                for down, over in itertools.product(reach, repeat=2)
            ]
            for row, column in itertools.product(range(height), range(width))
        ]
    )


def colours_by_loops(inputs, outputs, colours, kind, splits):
    """(outputs, inputs): what an output may see of its own pixel, one pair after the other."""
    table = torch.zeros(outputs, inputs, dtype=torch.float64)
    stack = outputs // splits
    for target, source in itertools.product(range(outputs), range(inputs)):
        target_colour = target % stack * colours // stack
        source_colour = source * colours // inputs
        sees = source_colour < target_colour or (kind == "B" and source_colour == target_colour)
        table[target, source] = sees
    return table


def by_unfolding(x, weight, bias, seen, own_pixel, height, width, dilation):
    """A convolution as a sum over the taps of a window, each masked at each pixel."""
    kernel = weight.shape[-1]
    image = x.transpose(1, 2).unflatten(2, (height, width))
    windows = unfold(image, kernel, dilation=dilation, padding=kernel // 2 * dilation)
    windows = windows.unflatten(1, (x.shape[2], kernel**2)) * seen.T.to(x.dtype)
    weights = weight.flatten(2).clone()
    weights[:, :, kernel**2 // 2] = weights[:, :, kernel**2 // 2] * own_pixel.to(x.dtype)
    return torch.einsum("bctp,oct->bpo", windows, weights) + bias


def assert_close(found, expected):
    """Equal up to the rounding of the dtype, relative to the largest number there is."""
    largest = expected.detach().abs().max().clamp(min=1)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= TOLERANCE[expected.dtype] * largest


def compare_with_unfolding(layer, order, height, width, dtype, seed=0, mask=None):
    """The layer's output and its three gradients are those of the unfolded sum."""
    layer, inputs = layer.to(dtype), layer.weight.shape[1]
    colours = 1 if layer.connections is None else 3
    x = torch.randn(2, height * width, inputs, generator=generator(seed), dtype=dtype)
    x.requires_grad_()
    found = layer(x, Whole(x, order, height, width))
    if mask is None:
        centre = layer.kind == "B" or colours > 1
        seen = seen_by_loops(order, height, width, layer.kernel, layer.dilation, centre)
    else:
        seen = mask.flatten().expand(height * width, -1)
    splits = getattr(layer, "splits_in_this_test", 1)
    own = torch.ones(layer.weight.shape[:2])
    if colours > 1:
        own = colours_by_loops(inputs, len(layer.weight), colours, layer.kind, splits)
    weight, bias = layer.weight, layer.bias
    expected = by_unfolding(x, weight, bias, seen, own, height, width, layer.dilation)
    assert_close(found, expected)
    slope = torch.randn(expected.shape, generator=generator(seed + 1), dtype=dtype)
    leaves = (x, weight, bias)
    gradients = torch.autograd.grad((found * slope).sum(), leaves)
    wanted = torch.autograd.grad((expected * slope).sum(), leaves)
    for gradient, want in zip(gradients, wanted, strict=True):
        assert_close(gradient, want)


def convolution(inputs, outputs, *arguments, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = MaskedConvolution(inputs, outputs, *arguments, **options)
    layer.splits_in_this_test = options.get("splits", 1)
    return layer


@pytest.mark.parametrize(
    ("order_name", "kind", "kernel", "dilation"),
    [
        ("raster", "A", 1, 1),
        ("raster", "B", 5, 2),
        ("s_curve", "A", 3, 1),
        ("s_curve 7", "B", 3, 2),
        ("hilbert", "A", 5, 1),
        ("hilbert 5", "B", 7, 3),
        ("random 0", "A", 3, 2),
    ],
)
def test_a_masked_convolution_is_the_unfolded_sum(order_name, kind, kernel, dilation):
    order = named_order(order_name, 6, 7)
    for dtype in TOLERANCE:
        layer = convolution(2, 3, kernel, kind, dilation=dilation)
        compare_with_unfolding(layer, order, 6, 7, dtype)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([1, 3, 5, 7]),
    st.integers(1, 3),
    st.sampled_from("AB"),
    st.sampled_from([1, 3]),
    st.integers(1, 2),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 1000),
    st.data(),
)
def test_so_it_is_for_any_order_size_and_number_of_colours(
    height, width, kernel, dilation, kind, colours, splits, dtype, seed, data
):
    order = torch.tensor(data.draw(st.permutations(orders.raster(height, width).tolist())))
    layer = convolution(
        3, 6, kernel, kind, dilation=dilation, colours=colours, splits=splits, seed=seed
    )
    compare_with_unfolding(layer, order, height, width, dtype, seed)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 5]), st.integers(1, 3), st.data()
)
def test_a_given_mask_is_used_at_every_pixel(height, width, kernel, dilation, data):
    taps = data.draw(st.lists(st.booleans(), min_size=kernel**2, max_size=kernel**2))
    mask = torch.tensor(taps).reshape(kernel, kernel)
    order = named_order("random 3", height, width)
    layer = convolution(2, 3, kernel, dilation=dilation, mask=mask)
    compare_with_unfolding(layer, order, height, width, torch.float64, mask=mask)
    # It is then a convolution like any other, whose weight has zeros.
    x = torch.randn(2, height * width, 2, dtype=torch.float64, generator=generator(0))
    image = x.mT.unflatten(2, (height, width))
    expected = conv2d(
        image,
        layer.weight * mask,
        layer.bias,
        padding=kernel // 2 * dilation,
        dilation=dilation,
    )
    assert_close(layer(x, Whole(x, order, height, width)), expected.flatten(2).mT)


@pytest.mark.parametrize(("kernel", "kind"), [(1, "A"), (1, "B"), (5, "A"), (7, "B")])
def test_in_raster_order_it_is_a_convolution_with_a_masked_weight(kernel, kind):
    layer = convolution(2, 3, kernel, kind).double()
    x = torch.randn(2, 42, 2, dtype=torch.float64, generator=generator(0))
    mask = masks.raster_mask(kernel, include_centre=kind == "B")
    expected = conv2d(
        x.mT.unflatten(2, (6, 7)), layer.weight * mask, layer.bias, padding=kernel // 2
    )
    found = layer(x, Whole(x, orders.raster(6, 7), 6, 7))
    assert_close(found, expected.flatten(2).mT)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("order_name", ["hilbert", "random 0"])
def test_the_gathered_gradients_are_those_of_finite_differences(order_name, dilation):
    order = named_order(order_name, 3, 4)
    layer = convolution(2, 2, 3, "A", dilation=dilation).double()
    x = torch.randn(2, 12, 2, dtype=torch.float64, generator=generator(0), requires_grad=True)
    canvas = Whole(x, order, 3, 4)
    assert not layer.plan(canvas).is_dense

    def output(x, weight, bias):
        return functional_call(layer, {"weight": weight, "bias": bias}, (x, canvas))

    weight, bias = (leaf.detach().requires_grad_() for leaf in (layer.weight, layer.bias))
    assert torch.autograd.gradcheck(output, (x, weight, bias))


@pytest.mark.parametrize("order_name", ["raster", "s_curve", "hilbert"])
def test_in_half_precision_it_is_right_to_half_precision(order_name):
    order = named_order(order_name, 6, 7)
    layer = convolution(4, 3, 3, "B")
    x = torch.randn(2, 42, 4, generator=generator(0), requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, Whole(x, order, 6, 7))
    assert found.dtype == torch.bfloat16
    seen, own = seen_by_loops(order, 6, 7, 3, 1, True), torch.ones(3, 4)
    expected = by_unfolding(x, layer.weight, layer.bias, seen, own, 6, 7, 1)
    sizes = by_unfolding(x.abs(), layer.weight.abs(), layer.bias.abs(), seen, own, 6, 7, 1)
    # Eight bits: each factor, the sum and the added bias are rounded by at most 2^-9 of theirs.
    assert ((found - expected).abs() <= 4 * 2**-9 * 1.01 * sizes).all()
    slope = torch.ones_like(found)
    gradients = torch.autograd.grad(found, (x, layer.weight, layer.bias), slope)
    assert all(gradient.dtype == torch.float32 for gradient in gradients)
    assert gradients[2].tolist() == [84, 84, 84]


@pytest.mark.parametrize("order_name", ["raster", "hilbert"])
@pytest.mark.parametrize("kind", ["A", "B"])
def test_colours_see_only_those_before_them_in_their_own_pixel(kind, order_name):
    order = named_order(order_name, 3, 3)
    layer = convolution(6, 12, 3, kind, colours=3, splits=2).double()
    mixer = WithinPixel(6, 12, 3).double()
    x = torch.randn(1, 9, 6, dtype=torch.float64, generator=generator(0))
    canvas = Whole(x, order, 3, 3)
    own = torch.autograd.functional.jacobian(lambda x: layer(x, canvas), x)[0, 4, :, 0, 4]
    within = torch.autograd.functional.jacobian(mixer, x)[0, 4, :, 0, 4]
    for target, source in itertools.product(range(12), range(6)):
        target_colour, source_colour = target % 6 // 2, source // 2
        before, itself = source_colour < target_colour, source_colour == target_colour
        assert (own[target, source] != 0) == (before or (kind == "B" and itself))
        # Within a pixel the twelve outputs are one stack of colours, four channels each.
        assert (within[target, source] != 0) == (source_colour <= target // 4)


def test_a_convolution_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="kind='C' is not known: choose 'A' or 'B'"):
        MaskedConvolution(1, 1, 3, "C")
    with pytest.raises(ValueError, match="kernel=4: expected an odd number"):
        MaskedConvolution(1, 1, 4)
    for mask in (masks.raster_mask(5), masks.raster_mask(3).float(), [[True] * 3] * 3):
        with pytest.raises(ValueError, match=r"a mask of .*: expected bool of shape \(3, 3\)"):
            MaskedConvolution(1, 1, 3, mask=mask)
    with pytest.raises(ValueError, match="a type A mask leaves out its centre"):
        MaskedConvolution(1, 1, 3, "A", mask=masks.raster_mask(3, include_centre=True))
    for name in ("inputs", "outputs", "dilation", "colours", "splits"):
        sizes = {"inputs": 2, "outputs": 2, "colours": 2}
        for size in (0, -1, 1.0, True, None, torch.tensor(1)):
            with pytest.raises(ValueError, match=f"{name}=.*: expected a whole number"):
                MaskedConvolution(**{**sizes, name: size})
    for inputs, outputs in ((4, 6), (3, 4)):
        with pytest.raises(ValueError, match=f"{inputs} input and {outputs} output channels"):
            MaskedConvolution(inputs, outputs, colours=3)
    with pytest.raises(ValueError, match="3 input and 9 output .* 3 colours, 2 times"):
        MaskedConvolution(3, 9, colours=3, splits=2)
    with pytest.raises(ValueError, match="cannot be split into 3 colours"):
        WithinPixel(3, 4, 3)
    with pytest.raises(ValueError, match="kind='C' is not known: choose 'A' or 'B'"):
        colour_mask(3, 3, 3, "C")
    for wrong in (0, True, None, torch.tensor([])):
        with pytest.raises(ValueError, match="colours=.*: expected a whole number"):
            WithinPixel(3, 3, wrong)
        with pytest.raises(ValueError, match="splits=.*: expected a whole number"):
            MaskedConvolution(3, 3, splits=wrong)


# What the logits of a chain depend on


def influence(chain, order, height, width, batch=4):
    """(pixels, channels, pixels, channels): the steepest slope of logits with respect to input.

    Of all levels and of a batch of random pictures. The head is made smooth, for a relu that is
    flat at a pixel would hide what is connected there.
    """
    chain = chain.double()
    chain.head[0], chain.head[2] = torch.nn.Softplus(), torch.nn.Softplus()
    shape = batch, height * width, chain.channels
    pictures = torch.rand(shape, dtype=torch.float64, generator=generator(5)) * 2 - 1
    labels = labels_for(chain, batch)

    def logits(pictures):
        return chain.logits(Whole(pictures, order, height, width), labels).sum(0)

    slopes = torch.autograd.functional.jacobian(logits, pictures).abs()
    return slopes.unflatten(1, (chain.channels, chain.levels)).amax(dim=(2, 3))


def times(order, width, channels):
    """When each channel of each pixel is drawn: (pixels, channels)."""
    table = torch.empty(len(order), channels, dtype=torch.long)
    for step, (row, column) in enumerate(order.tolist()):
        table[row * width + column] = step * channels + torch.arange(channels)
    return table


@every_chain
@one_and_three_channels
def test_logits_have_no_slope_but_towards_what_is_drawn_before(name, order_name, channels):
    height, width = 3, 4
    order = named_order(order_name, height, width)
    slopes = influence(make(name, channels), order, height, width)
    time = times(order, width, channels)
    before = time[None, None] < time[:, :, None, None]
    assert (slopes[~before] == 0).all()
    # And they do use their past: every neighbour that has been drawn, and the colours before.
    for here, there in itertools.product(range(height * width), repeat=2):
        down, over = (
            abs(a - b) for a, b in zip(divmod(here, width), divmod(there, width), strict=True)
        )
        if max(down, over) <= 1:
            connected = before[here, :, there]
            assert (slopes[here, :, there][connected] > 0).all(), (here, there)


@every_chain
@one_and_three_channels
def test_changing_a_pixel_changes_no_logit_before_it(name, order_name, channels):
    height, width = 3, 4
    order = named_order(order_name, height, width)
    chain = make(name, channels)
    images = random_images(chain, 2, height, width)
    labels, time = labels_for(chain, 2), times(order, width, channels)
    changed = 0
    with torch.no_grad():
        logits = chain(images, order, labels)
        assert logits.shape == (2, 2, channels, height, width)
        for pixel, channel in itertools.product(range(height * width), range(channels)):
            flipped = images.clone()
            flipped[:, channel, pixel // width, pixel % width] ^= 1
            same = (chain(flipped, order, labels) == logits).all(dim=1).all(dim=0)
            # (channels, height, width) to (pixels, channels).
            same = same.flatten(1).T
            assert same[time <= time[pixel, channel]].all()
            changed += int((~same).sum())
    # Besides the last pixel's last channel, everything has a later neighbour that notices.
    assert changed >= height * width * channels - 1


def offsets(height, width):
    """For every pair of pixels (here, there): rows up and columns right from here to there."""
    rows, columns = torch.arange(height * width) // width, torch.arange(height * width) % width
    return rows[:, None] - rows, columns - columns[:, None]


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_plain_pixelcnn_has_a_blind_spot_to_the_right_above(depth):
    height, width = 4, 6
    chain = make("plain", depth=depth, width=12)
    sees = influence(chain, orders.raster(height, width), height, width)[:, 0, :, 0] > 0
    up, right = offsets(height, width)
    # Each layer goes a row up and a column to either side, or a column to the left.
    cone = ((up == 0) & (right < 0)) | ((up >= 1) & (up <= depth) & (right <= up))
    assert torch.equal(sees, cone & (right >= -depth))
    earlier = (up > 0) | ((up == 0) & (right < 0))
    assert (earlier & ~sees).any()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_gated_pixelcnn_has_none(depth):
    height, width = 4, 6
    chain = make("gated", depth=depth, width=12)
    sees = influence(chain, orders.raster(height, width), height, width)[:, 0, :, 0] > 0
    up, right = offsets(height, width)
    earlier = (up > 0) | ((up == 0) & (right < 0))
    # The first layer and each of the others reach one pixel further on every side.
    reach = 1 + depth
    assert torch.equal(sees, earlier & (up <= reach) & (right.abs() <= reach))
    if depth == 5:
        assert torch.equal(sees, earlier)


@one_and_three_channels
def test_a_label_conditions_its_own_image(channels):
    chain = make("gated with classes", channels).double()
    images = random_images(chain, 1, 3, 3).expand(CLASSES, -1, -1, -1)
    with torch.no_grad():
        together = chain(images, labels=torch.arange(CLASSES))
        for label in range(CLASSES):
            alone = chain(images[:1], labels=torch.tensor([label]))
            torch.testing.assert_close(together[label : label + 1], alone, rtol=0, atol=1e-12)
            # Every pixel of every other label has other logits.
            for other in range(label):
                assert ((together[label] != together[other]).any(dim=0)).all()


def test_levels_are_spread_evenly_over_minus_one_to_one():
    chain = make("plain", levels=5).double()
    encoded = chain.encode(torch.arange(5).reshape(1, 1, 1, 5))
    expected = torch.tensor([-1, -0.5, 0, 0.5, 1], dtype=torch.float64).reshape(1, 5, 1)
    torch.testing.assert_close(encoded, expected, rtol=0, atol=1e-15)


@every_chain
def test_a_chain_can_be_built_again_from_its_settings(name, order_name):
    chain = make(name, channels=3, levels=4)
    again = type(chain)(**chain.settings)
    again.load_state_dict(chain.state_dict())
    images, labels = random_images(chain, 3, 3, 3), labels_for(chain, 3)
    order = named_order(order_name, 3, 3)
    assert torch.equal(again(images, order, labels), chain(images, order, labels))


@pytest.mark.parametrize("kind", [PixelCNN, LMConv])
def test_chains_of_other_dilations_do_not_go_on_from_each_other(kind, tmp_path):
    def recipe(dilations):
        torch.manual_seed(0)
        chain = kind(width=4, depth=3, first_kernel=3, dilations=dilations)
        return Recipe(
            name="a chain",
            game=MaximumLikelihood(chain),
            stream=Minibatches(torch.zeros(4, 1, 3, 3, dtype=torch.uint8), size=2),
            optimisers={"chain": adam(chain, 1e-3)},
            rounds=1,
        )

    run, path = runtime.start("smoke", "cpu"), tmp_path / "state.safetensors"
    play(recipe((1, 2)), run, checkpoint=path, show=False)
    # Their weights have the same shapes.
    with pytest.raises(CheckpointError, match="networks"):
        play(recipe((1, 3)), run, checkpoint=path, show=False)


def test_images_and_chains_that_do_not_fit_are_refused():
    chain = make("plain", channels=3)
    message = r"expected whole numbers of shape \(batch, 3, height, width\)"
    for images in (
        torch.zeros(2, 1, 3, 3, dtype=torch.long),
        torch.zeros(3, 3, 3, dtype=torch.long),
        torch.zeros(2, 3, 3, 3),
    ):
        with pytest.raises(ValueError, match=message):
            chain(images)
    for kind in (PixelCNN, GatedPixelCNN, LMConv):
        with pytest.raises(ValueError, match="levels=1: expected a whole number, 2 or more"):
            kind(levels=1)
        with pytest.raises(ValueError, match="cannot be split into 3 colours"):
            kind(channels=3, width=64)


@pytest.mark.parametrize("name", ["plain", "gated"])
def test_only_the_local_chain_takes_another_order(name):
    images = torch.zeros(1, 1, 3, 3, dtype=torch.long)
    chain, local = make(name), make("local")
    for function in (lambda chain, order: chain(images, order), log_of(images)):
        assert torch.equal(function(chain, None), function(chain, orders.raster(3, 3)))
        assert torch.equal(function(local, None), function(local, orders.raster(3, 3)))
        assert not torch.equal(function(local, None), function(local, orders.s_curve(3, 3)))
        with pytest.raises(ValueError, match="CNN draws in raster order only"):
            function(chain, orders.s_curve(3, 3))
        for each in (chain, local):
            with pytest.raises(ValueError, match="no permutation of the pixels"):
                function(each, torch.zeros(9, 2, dtype=torch.long))
            with pytest.raises(ValueError, match="an order of a 3 × 3 image"):
                function(each, orders.raster(2, 3))


def log_of(images):
    return lambda chain, order: pixel_log_likelihoods(chain, images, order)


def test_an_order_is_checked_once_however_many_layers_follow_it(monkeypatch):
    chain = make("local", depth=12, dilations=(1, 2))
    images, order = random_images(chain, 2, 3, 3), orders.hilbert(3, 3)
    expected = chain(images, order)
    check, checked = orders.check, []
    monkeypatch.setattr(orders, "check", lambda *order: checked.append(order) or check(*order))
    # Its masks and plans were kept, so the order is all that there is to check.
    assert torch.equal(chain(images, order), expected)
    assert len(checked) == 1
    # The default order is right as it is made.
    chain(images)
    checked.clear()
    chain(images)
    assert not checked


def test_a_canvas_refuses_what_does_not_fit():
    picture, order = torch.zeros(2, 6, 1), orders.raster(2, 3)
    for wrong in (picture[0], picture[:, 1:], picture.long(), picture.tolist(), None):
        with pytest.raises(ValueError, match=r"features are .* shape \(batch, 6, channels\)"):
            Whole(wrong, order, 2, 3)
    for wrong in (order.tolist(), order[1:], order.int(), torch.zeros(6, 2).long()):
        with pytest.raises(ValueError, match="an order of a 2 × 3 image|no permutation"):
            Whole(picture, wrong, 2, 3)
    canvas, layer = Whole(picture, None, 2, 3), MaskedConvolution(2, 1)
    for wrong in (picture, picture.expand(2, 6, 3), torch.zeros(2, 5, 2), torch.zeros(6, 2)):
        with pytest.raises(ValueError, match=r"features are .* shape \(batch, 6, 2\)"):
            layer(wrong, canvas)


def test_pixels_that_are_no_levels_are_refused():
    for name in ("plain", "gated", "local"):
        chain = make(name, levels=3)
        game, images = MaximumLikelihood(chain), torch.ones(2, 1, 2, 2, dtype=torch.long)
        # -100 is what cross_entropy passes over by default.
        for wrong in (3, -1, -100, -(2**31)):
            images[1, 0, 1, 0] = wrong
            low, high = min(1, wrong), max(1, wrong)
            for function in (chain, game.loss, lambda x, chain=chain: log_likelihood(chain, x)):
                with pytest.raises(ValueError, match=f"pixels go from {low} to {high}: expected"):
                    function(images)


def test_on_another_device_pixels_that_are_no_levels_are_never_passed_over():
    # Stand in for a GPU, whose pixels are not looked at: no value is ever read back.
    class OnAnotherDevice(torch.Tensor):
        @property
        def device(self):
            return torch.device("meta")

    chain = make("plain", levels=3)
    images = torch.ones(2, 1, 2, 2, dtype=torch.long)
    for wrong in (3, -1, -100):
        images[1, 0, 1, 0] = wrong
        picture = chain.canvas(images.as_subclass(OnAnotherDevice)).picture
        assert picture.isnan().flatten(1).tolist() == [[False] * 4, [False, False, True, False]]
        logits = torch.zeros(2, 3, 1, 2, 2)
        with pytest.raises(IndexError, match="Target .* is out of bounds"):
            MaximumLikelihood(lambda *_, logits=logits: logits).loss(images)


@pytest.mark.parametrize("name", ["plain", "gated with classes"])
def test_labels_that_do_not_fit_are_refused(name):
    chain = make(name)
    images = random_images(chain, 2, 2, 2)
    calls = (
        lambda labels: chain(images, labels=labels),
        lambda labels: log_likelihood(chain, images, labels=labels),
        lambda labels: MaximumLikelihood(chain).loss((images, labels)),
    )
    zeros = torch.zeros(2, dtype=torch.long)
    wrongs = [
        (zeros.float(), r"labels are torch.float32 .*: expected whole numbers of shape \(2,\)"),
        (zeros.bool(), r"labels are torch.bool .*: expected whole numbers of shape \(2,\)"),
        ([0, 0], r"labels are list: expected whole numbers of shape \(2,\)"),
        (zeros[:1], r"labels of shape \(1,\): expected \(2,\)"),
        (zeros[:, None], r"labels of shape \(2, 1\): expected \(2,\)"),
        (zeros - 1, "labels go from -1 to -1: expected whole numbers from 0 to 2"),
        (zeros + 3, "labels go from 3 to 3: expected whole numbers from 0 to 2"),
        (None, "class-conditional: labels are needed"),
    ]
    for call in calls:
        if chain.classes is None:
            with pytest.raises(ValueError, match="without classes takes no labels"):
                call(zeros)
            continue
        for wrong, message in wrongs:
            with pytest.raises(ValueError, match=message):
                call(wrong)
        # Any whole numbers will do.
        assert torch.equal(call(zeros.to(torch.uint8)), call(zeros))
    if chain.classes is not None:
        with pytest.raises(ValueError, match="labels are on meta: expected cpu"):
            chain(images, labels=zeros.to("meta"))


# Likelihoods


def total(log_probabilities):
    return log_probabilities.double().exp().sum().item()


@every_chain
@pytest.mark.parametrize(
    ("channels", "levels", "height", "width"), [(1, 2, 3, 3), (3, 2, 2, 2), (1, 3, 2, 2)]
)
def test_the_probabilities_of_all_images_sum_to_one(
    name, order_name, channels, levels, height, width
):
    chain = make(name, channels, levels)
    images = all_images(channels, levels, height, width)
    order = named_order(order_name, height, width)
    for label in range(chain.classes or 1):
        labels = None if chain.classes is None else torch.full((len(images),), label)
        found = log_likelihood(chain, images, order, labels=labels, batch_size=1024)
        assert found.shape == (len(images),) and found.dtype == torch.float64
        assert total(found) == pytest.approx(1, abs=1e-5)
        # They are far from uniform, for which a leak could go unnoticed.
        assert found.max() - found.min() > 1


def test_they_sum_to_one_in_twenty_orders_and_for_their_ensemble():
    chain, images = make("local"), all_images(1, 2, 3, 3)
    generation_orders = [named_order(f"random {seed}", 3, 3) for seed in range(20)]
    members = members_log_likelihood(chain, images, generation_orders, batch_size=512)
    assert members.shape == (20, 512)
    for member in members:
        assert total(member) == pytest.approx(1, abs=1e-5)
    assert (members[0] - members[1]).abs().max() > 0.1
    assert total(ensemble_log_likelihood(members)) == pytest.approx(1, abs=1e-5)


@every_chain
@one_and_three_channels
def test_likelihoods_are_those_of_drawing_one_channel_after_the_other(name, order_name, channels):
    chain = make(name, channels, levels=3).double()
    count, height, width = 3, 2, 3
    images = random_images(chain, count, height, width)
    order, labels = named_order(order_name, height, width), labels_for(chain, count)
    # What is not drawn yet is anything at all.
    canvas = random_images(chain, count, height, width, seed=1)
    expected = torch.empty(images.shape, dtype=torch.float64)
    with torch.no_grad():
        for row, column in order.tolist():
            for channel in range(channels):
                logits = chain(canvas, order, labels)[:, :, channel, row, column]
                drawn = images[:, channel, row, column]
                probabilities = logits.softmax(dim=1)[torch.arange(count), drawn]
                expected[:, channel, row, column] = probabilities.log()
                canvas[:, channel, row, column] = drawn
    found = pixel_log_likelihoods(chain, images, order, labels=labels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    summed = log_likelihood(chain, images, order, labels=labels)
    torch.testing.assert_close(summed, expected.sum(dim=(1, 2, 3)), rtol=0, atol=1e-10)


REGIONS = {
    "first rows": [[1, 1, 1], [1, 0, 0], [0, 0, 0]],
    "scattered": [[0, 1, 0], [0, 0, 1], [1, 0, 1]],
    "nothing": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    "everything": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
}


@pytest.mark.parametrize(
    ("name", "order_name", "region"),
    [
        (name, order_name, region)
        for name, order_name in CHAINS
        for region in REGIONS
        # A chain in raster order can only have seen the first pixels.
        if name == "local" or region != "scattered"
    ],
)
def test_the_rest_given_what_was_observed_obeys_bayes_rule(name, order_name, region):
    observed = torch.tensor(REGIONS[region]).bool()
    order = named_order(order_name, 3, 3)
    if name == "local":
        order = orders.region_last(order, ~observed)
    chain, images = make(name).double(), all_images(1, 2, 3, 3)
    labels = None if chain.classes is None else torch.ones(512, dtype=torch.long)
    options = {"labels": labels, "batch_size": 512}
    whole = log_likelihood(chain, images, order, **options)
    rest = log_likelihood(chain, images, order, given=observed, **options)
    for pattern in {tuple(pixels) for pixels in images[:, 0, observed].tolist()}:
        same = (images[:, 0, observed] == torch.tensor(pattern)).all(dim=1)
        assert same.sum() == 2 ** int((~observed).sum())
        assert total(rest[same]) == pytest.approx(1, abs=1e-9)
        # p(rest | observed) = p(x) / Σ p(x'), over all x' with the same observed pixels.
        bayes = whole[same] - whole[same].logsumexp(dim=0)
        torch.testing.assert_close(rest[same], bayes, rtol=0, atol=1e-9)
    # And so p(x) = p(observed) p(rest | observed).
    first = pixel_log_likelihoods(chain, images, order, **options)[:, 0, observed].sum(dim=1)
    torch.testing.assert_close(whole, first + rest, rtol=0, atol=1e-9)


@every_chain
def test_likelihoods_do_not_depend_on_an_autocast_around_them(name, order_name):
    chain = make(name, levels=3)
    images, order = random_images(chain, 3, 3, 4), named_order(order_name, 3, 4)
    labels, backends = labels_for(chain, 3), (torch.backends.cuda.matmul, torch.backends.cudnn)
    expected = pixel_log_likelihoods(chain, images, order, labels=labels)
    allowed = [backend.allow_tf32 for backend in backends]
    seen = []
    chain.head.register_forward_hook(
        lambda *_: seen.append(
            (torch.is_autocast_enabled("cpu"), *(backend.allow_tf32 for backend in backends))
        )
    )
    with torch.autocast("cpu", torch.bfloat16):
        # The network itself does heed it, as training wants.
        chain(images, order, labels)
        found = pixel_log_likelihoods(chain, images, order, labels=labels)
        summed = log_likelihood(chain, images, order, labels=labels)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(found, expected)
    assert torch.equal(summed, expected.sum(dim=(1, 2, 3)))
    assert [each[0] for each in seen] == [True, False, False]
    assert seen[1][1:] == seen[2][1:] == (False, False)
    assert [backend.allow_tf32 for backend in backends] == allowed


def test_likelihoods_that_are_no_numbers_are_refused():
    for weight in (torch.nan, torch.inf):
        chain = make("local")
        images = random_images(chain, 3, 2, 2)
        with torch.no_grad():
            chain.first.bias[0] = weight
        with pytest.raises(ValueError, match="of 3 of 3 images are not numbers .* being image 0"):
            log_likelihood(chain, images)
    # What is impossible has a likelihood all the same: minus infinity.
    chain = make("plain")
    torch.nn.init.zeros_(chain.head[-1].weight)
    with torch.no_grad():
        chain.head[-1].bias.copy_(torch.tensor([0.0, -torch.inf]))
    images = torch.tensor([0, 1])[:, None, None, None]
    assert log_likelihood(chain, images).tolist() == [0.0, -math.inf]


def test_an_ensemble_of_no_likelihoods_is_refused():
    for wrong in (torch.zeros(3), torch.zeros(2, 3, 1), torch.zeros(2, 3).long(), [[0.0]], None):
        with pytest.raises(ValueError, match=r"members are .*: expected floats of shape \(orders"):
            ensemble_log_likelihood(wrong)
    with pytest.raises(ValueError, match="an ensemble of no orders"):
        ensemble_log_likelihood(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="log-likelihood is not a number"):
        ensemble_log_likelihood(torch.tensor([[0.0, torch.nan]]))
    assert ensemble_log_likelihood(torch.zeros(3, 0)).shape == (0,)
    chain = make("local")
    images, order = random_images(chain, 2, 2, 2), orders.raster(2, 2)
    with pytest.raises(ValueError, match="no orders to draw from: expected one or more"):
        members_log_likelihood(chain, images, [])
    for wrong in (order, None, "raster"):
        with pytest.raises(ValueError, match="orders are a .*: expected a list of LongTensors"):
            members_log_likelihood(chain, images, wrong)


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda count: st.lists(
            st.lists(st.floats(-300, 0), min_size=count, max_size=count), min_size=1, max_size=8
        )
    )
)
def test_the_ensemble_is_the_log_of_the_mean_and_no_less_than_the_mean_of_logs(rows):
    found = ensemble_log_likelihood(torch.tensor(rows, dtype=torch.float64)).numpy()
    # At -300 nats nothing underflows in float64.
    numpy.testing.assert_allclose(found, numpy.log(numpy.exp(rows).mean(axis=0)), atol=1e-10)
    assert (found >= numpy.mean(rows, axis=0) - 1e-10).all()


def test_the_ensemble_does_not_underflow():
    members = torch.tensor([[-3000.0], [-3000.0]], dtype=torch.float64)
    assert ensemble_log_likelihood(members).item() == pytest.approx(-3000, abs=1e-9)


def test_members_are_the_likelihoods_at_each_order():
    chain = make("local").double()
    images = random_images(chain, 5, 3, 3)
    observed = torch.tensor(REGIONS["scattered"]).bool()
    generation_orders = [
        orders.region_last(order, ~observed) for order in orders.reflections(orders.s_curve, 3, 3)
    ]
    for given_pixels in (None, observed):
        found = members_log_likelihood(chain, images, generation_orders, given=given_pixels)
        assert found.shape == (8, 5)
        for member, order in zip(found, generation_orders, strict=True):
            assert torch.equal(member, log_likelihood(chain, images, order, given=given_pixels))
        assert (ensemble_log_likelihood(found) >= found.mean(dim=0) - 1e-12).all()


@every_chain
def test_the_batch_size_does_not_matter(name, order_name):
    chain = make(name).double()
    images, order = random_images(chain, 7, 3, 3), named_order(order_name, 3, 3)
    labels = labels_for(chain, 7)
    expected = log_likelihood(chain, images, order, labels=labels)
    for batch_size in (1, 3, 7):
        found = log_likelihood(chain, images, order, labels=labels, batch_size=batch_size)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    none = None if labels is None else labels[:0]
    assert log_likelihood(chain, images[:0], order, labels=none).shape == (0,)


def test_the_dtype_of_whole_numbers_does_not_matter():
    chain = make("plain", levels=5)
    images = random_images(chain, 4, 3, 3)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(log_likelihood(chain, images.to(dtype)), log_likelihood(chain, images))
    pair = make("plain")
    bits = random_images(pair, 4, 3, 3)
    assert torch.equal(log_likelihood(pair, bits.bool()), log_likelihood(pair, bits))


@pytest.mark.parametrize(
    ("name", "channels", "levels", "bits"),
    [("plain", 1, 2, 1), ("local", 3, 4, 2), ("gated", 3, 256, 8)],
)
def test_knowing_nothing_costs_the_bits_of_a_level(name, channels, levels, bits):
    chain = make(name, channels, levels)
    torch.nn.init.zeros_(chain.head[-1].weight)
    torch.nn.init.zeros_(chain.head[-1].bias)
    images = random_images(chain, 3, 4, 5)
    cost = bits_per_dimension(-log_likelihood(chain, images), channels * 4 * 5)
    torch.testing.assert_close(cost, torch.full((3,), float(bits)).double(), rtol=1e-6, atol=0)


def test_bits_per_dimension_are_nats_over_log_two():
    assert bits_per_dimension(math.log(2), 1) == pytest.approx(1, abs=1e-15)
    assert bits_per_dimension(784 * math.log(256), 784) == pytest.approx(8, abs=1e-12)
    assert bits_per_dimension(-3.0, 2) == pytest.approx(-1.5 * math.log2(math.e), abs=1e-12)


def test_bits_of_no_dimensions_are_refused():
    for wrong in (0, -1, True, 784.0, None):
        with pytest.raises(ValueError, match=f"dimensions={wrong}: expected a whole number, 1 or"):
            bits_per_dimension(1.0, wrong)
    for wrong in ("1", None, True, [1.0], torch.tensor(True)):
        with pytest.raises(ValueError, match="nats are .*: expected a number or a tensor"):
            bits_per_dimension(wrong, 1)


def test_what_has_no_likelihood_is_refused():
    chain, conditional = make("plain", levels=3), make("gated with classes")
    images = torch.zeros(2, 1, 3, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="go from 0 to 3: expected whole numbers from 0 to 2"):
        log_likelihood(chain, images.index_fill(0, torch.tensor(1), 3))
    with pytest.raises(ValueError, match="go from -1 to 0: expected whole numbers from 0 to 2"):
        log_likelihood(chain, images.index_fill(0, torch.tensor(1), -1))
    with pytest.raises(ValueError, match="images are torch.float32 .* expected whole numbers"):
        log_likelihood(chain, images.float())
    for wrong in (images.to(torch.complex64), images.numpy(), images.tolist(), None):
        with pytest.raises(ValueError, match="images are .* expected whole numbers"):
            log_likelihood(chain, wrong)
    with pytest.raises(ValueError, match="height=0: expected a whole number"):
        log_likelihood(chain, images[:, :, :0])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3, 3\): expected .* \(batch, 1, height"):
        log_likelihood(chain, images.expand(2, 3, 3, 3))
    with pytest.raises(ValueError, match="class-conditional: labels are needed"):
        log_likelihood(conditional, images)
    for name in ("plain", "gated", "local"):
        with pytest.raises(ValueError, match="without classes takes no labels"):
            log_likelihood(make(name), images, labels=torch.zeros(2, dtype=torch.long))


def test_given_pixels_that_do_not_fit_are_refused():
    chain, local = make("plain"), make("local")
    images = torch.zeros(2, 1, 3, 3, dtype=torch.long)
    message = r"expected bool of shape \(3, 3\), True for observed pixels"
    for observed in (
        torch.zeros(3, 3),
        torch.zeros(2, 3).bool(),
        torch.zeros(2, 1, 3, 3).bool(),
        1,
    ):
        with pytest.raises(ValueError, match=message):
            log_likelihood(chain, images, given=observed)
    scattered = torch.tensor(REGIONS["scattered"]).bool()
    for each in (chain, local):
        with pytest.raises(ValueError, match="visits some observed pixel after one that is not"):
            log_likelihood(each, images, given=scattered)
        with pytest.raises(ValueError, match="visits some observed pixel after one that is not"):
            log_likelihood(each, images, orders.raster(3, 3), given=scattered)


# Fitting


@every_chain
@one_and_three_channels
def test_the_loss_is_minus_the_mean_log_likelihood(name, order_name, channels):
    chain = make(name, channels, levels=3).double()
    images, labels = random_images(chain, 5, 3, 3), labels_for(chain, 5)
    order = named_order(order_name, 3, 3)
    expected = -log_likelihood(chain, images, order, labels=labels).mean()
    game = MaximumLikelihood(chain, [order])
    batch = images if labels is None else (images, labels)
    torch.testing.assert_close(game.loss(batch).detach(), expected, rtol=0, atol=1e-10)
    if order_name == "raster":
        own = MaximumLikelihood(chain).loss(batch).detach()
        torch.testing.assert_close(own, expected, rtol=0, atol=1e-10)


def test_a_game_without_orders_or_images_is_refused():
    chain = make("local")
    with pytest.raises(ValueError, match="no orders to draw from: expected one or more"):
        MaximumLikelihood(chain, [])
    with pytest.raises(ValueError, match="orders are a Tensor: expected a list of LongTensors"):
        MaximumLikelihood(chain, orders.raster(3, 3))
    with pytest.raises(ValueError, match="a minibatch of no images: expected one or more"):
        MaximumLikelihood(chain).loss(random_images(chain, 0, 3, 3))
    with pytest.raises(ValueError, match="expected 2"):
        MaximumLikelihood(chain).loss((random_images(chain, 2, 3, 3),))


def test_each_order_is_as_likely_as_any_other():
    chain = make("local", depth=1).double()
    images = random_images(chain, 2, 3, 3)
    generation_orders = orders.reflections(orders.s_curve, 3, 3)[:4]
    values = -members_log_likelihood(chain, images, generation_orders).mean(dim=1)
    assert len(values.round(decimals=6).unique()) == 4
    game = MaximumLikelihood(chain, generation_orders)
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = [int((game.loss(images) - values).abs().argmin()) for _ in range(200)]
    assert stats.chisquare(numpy.bincount(drawn, minlength=4)).pvalue > 1e-4


def test_a_minibatch_is_shared_out_among_orders():
    chain = make("local", depth=1).double()
    images = random_images(chain, 5, 3, 3)
    generation_orders = orders.reflections(orders.s_curve, 3, 3)[:4]
    costs = -members_log_likelihood(chain, images, generation_orders)
    # Five images in two shares, three and two, at two different orders.
    expected = torch.stack(
        [
            (costs[a, :3].sum() + costs[b, 3:].sum()) / 5
            for a, b in itertools.permutations(range(4), 2)
        ]
    )
    assert len(expected.round(decimals=9).unique()) == 12
    game = MaximumLikelihood(chain, generation_orders, at_once=2)
    torch.manual_seed(0)
    with torch.no_grad():
        gaps = torch.stack([(game.loss(images) - expected).abs() for _ in range(300)])
    assert gaps.min(dim=1).values.max() < 1e-10
    drawn = numpy.bincount(gaps.argmin(dim=1), minlength=12)
    assert stats.chisquare(drawn).pvalue > 1e-4
    # Fewer images than orders: each has an order of its own.
    one = MaximumLikelihood(chain, generation_orders, at_once=4).loss(images[:1])
    assert (one - costs[:, 0]).abs().min() < 1e-10
    with pytest.raises(ValueError, match="at_once=5: expected no more than the orders, 4"):
        MaximumLikelihood(chain, generation_orders, at_once=5)
    with pytest.raises(ValueError, match="at_once=2: expected no more than the orders, 1"):
        MaximumLikelihood(chain, at_once=2)
    with pytest.raises(ValueError, match="at_once"):
        MaximumLikelihood(chain, generation_orders, at_once=0)


@pytest.mark.parametrize(
    ("name", "order_name"), [("gated", "raster"), ("local", "s_curve"), ("local", "hilbert")]
)
def test_a_chain_can_be_fitted_after_it_was_measured(name, order_name):
    # Both keep the same plans; what inference mode made must not stop autograd.
    chain = make(name)
    images, order = random_images(chain, 4, 3, 3), named_order(order_name, 3, 3)
    game, gradients = MaximumLikelihood(chain, [order]), []
    for measure in (True, False):
        masks.plan_of_checked.cache_clear()
        masks.plan_everywhere.cache_clear()
        if measure:
            log_likelihood(chain, images, order)
        weights = dict(chain.named_parameters())
        loss = game.loss(images)
        gradients.append(torch.autograd.grad(loss, weights.values()))
    for weight, first, second in zip(weights, *gradients, strict=True):
        assert first is not None, weight
        assert torch.equal(first, second) and first.abs().sum() > 0, weight


def patterns():
    """Twenty 3×3 images of four kinds, 8, 6, 4 and 2 of each, and their entropy in nats."""
    kinds = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
        [[1, 1, 1], [0, 0, 0], [1, 1, 1]],
        [[1, 0, 1], [1, 0, 1], [1, 0, 1]],
    ]
    counts = [8, 6, 4, 2]
    images = torch.tensor([kind for kind, n in zip(kinds, counts, strict=True) for _ in range(n)])
    return images[:, None], stats.entropy(counts)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "order_names"), [("plain", None), ("gated", None), ("local", ["s_curve", "hilbert"])]
)
def test_fitting_comes_close_to_the_entropy_of_the_data(name, order_names, seed):
    images, entropy = patterns()
    # A first kernel of 5 sees all of a 3×3 image: with 3, PixelCNN's blind spot would cost it.
    chain = make(name, width=12, seed=seed, sharpness=1, first_kernel=5)
    generation_orders = order_names and [named_order(each, 3, 3) for each in order_names]
    game = MaximumLikelihood(chain, generation_orders)
    recipe = Recipe(
        name="chain",
        game=game,
        stream=Minibatches(images, size=20, seed=seed),
        optimisers={"chain": adam(chain, 0.02, (0.9, 0.999))},
        rounds=60,
        precision=torch.float32,
    )

    def cost():
        return -members_log_likelihood(chain, images, generation_orders or [None]).mean().item()

    untrained = cost()
    losses = play(recipe, runtime.start("smoke", "cpu", seed)).losses["chain"]
    assert losses.shape == (60,)
    # No model pays less than the entropy (Gibbs). Ignorance pays 9 log 2 nats for nine fair bits:
    # an untrained chain most of the gap between the two, a fitted one at most a tenth.
    gap = 9 * math.log(2) - entropy
    assert untrained > losses[-1] + gap / 2
    assert entropy - 1e-5 <= cost() <= entropy + gap / 10
