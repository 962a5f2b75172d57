"""Wrong shapes, types, sizes and values to chains and networks: a sentence or a right answer.

Most of what is fed is right but for one argument, so that it gets as far as it can.
"""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nonsense import anything, feed, numbers, shapes, tensors, things
from small_chains import generator, labels_for, make
from torch import Tensor

from ganlib import nets
from ganlib.chains import (
    GatedPixelCNN,
    LMConv,
    MaximumLikelihood,
    PixelCNN,
    bits_per_dimension,
    blind_spot,
    ensemble_log_likelihood,
    influence,
    log_likelihood,
    masks,
    members_log_likelihood,
    orders,
    pixel_log_likelihoods,
    receptive_field,
    sample,
)
from ganlib.chains.layers import Columns, MaskedConvolution, Whole, WithinPixel, colour_mask
from ganlib.chains.sampling import METHODS
from ganlib.tables import likelihoods

pytestmark = pytest.mark.usefixtures("one_thread")

fuzz = settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)


def mostly(right, wrong=anything):
    """What is right four times of five."""
    return st.integers(0, 4).flatmap(lambda i: wrong if i == 4 else right)


# Chains are kept: they are not what is wrong here.
CHAINS = {
    name: make(name, channels, levels, depth=2)
    for name, channels, levels in (("plain", 1, 3), ("local", 3, 2), ("gated with classes", 1, 2))
}
chains = st.sampled_from(list(CHAINS.values()))
HUGE = (10**9, 2**40, 2**63, 10**30)
wrong_sides = st.one_of(things, tensors(), st.sampled_from([*HUGE, -(2**40)]))
sides = mostly(st.integers(1, 5), wrong_sides)
counts = st.one_of(st.integers(1, 4), things, tensors())
few = st.integers(0, 3)
sizes = mostly(st.integers(1, 6), wrong_sides)


@st.composite
def some_orders(draw, height, width):
    """An order of an image of this size, or nearly."""
    right = type(height) is type(width) is int and height > 0 < width and height * width < 50
    order = torch.tensor(
        draw(st.permutations(orders.raster(height, width).tolist() if right else [[0, 0]]))
    )
    kind = draw(st.sampled_from(["right", "right", "right", "raster", "none", "nearly", "no"]))
    if kind == "raster" and right:
        return orders.raster(height, width)
    if kind == "none":
        return None
    if kind == "nearly":
        changes = [
            order[1:],
            order.float(),
            order + 1,
            order.T,
            order.tolist(),
            order[:1].expand(len(order), 2),
            order.flip(1),
            order.int(),
            order[None],
        ]
        return draw(st.sampled_from(changes))
    return draw(anything) if kind == "no" else order


@st.composite
def some_images(draw, chain, count, height, width):
    """Images for a chain, or nearly."""
    shape = count, chain.channels, height, width
    images = torch.randint(chain.levels, shape, generator=generator(draw(st.integers(0, 99))))
    kind = draw(st.sampled_from(["right"] * 8 + ["dtype", "value", "shape", "no"]))
    if kind == "dtype":
        kinds = [torch.uint8, torch.bool, torch.int16, torch.float32, torch.complex64]
        kinds += [torch.float64, torch.int8, torch.bfloat16]
        return images.to(draw(st.sampled_from(kinds)))
    if kind == "value" and images.numel():
        place = draw(st.integers(0, images.numel() - 1))
        images.view(-1)[place] = draw(st.sampled_from([-1, -100, chain.levels, 255, -(2**63)]))
    if kind == "shape":
        changes = [images[0], images[:0], images[..., :0], images[:, :0], images[..., None]]
        changes += [images.mT, images.expand(count, 4, height, width) if chain.channels == 1 else 0]
        return draw(st.sampled_from(changes))
    return draw(anything) if kind == "no" else images


@st.composite
def some_labels(draw, chain, count):
    right = labels_for(chain, count)
    choices = [right] * 4 + [torch.zeros(count).long(), torch.full((count,), 3), torch.zeros(count)]
    choices += [torch.full((count,), -1), torch.zeros(count + 1).long(), [0] * count, None]
    choices += [torch.zeros(count, dtype=torch.uint8), torch.zeros(count, 1).long()]
    return draw(mostly(st.sampled_from(choices)))


@st.composite
def scenes(draw):
    """A chain, images, an order and labels that fit but for what does not."""
    chain = draw(chains)
    count, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return (
        chain,
        draw(some_images(chain, count, height, width)),
        draw(some_orders(height, width)),
        draw(some_labels(chain, count)),
        (count, height, width),
    )


@st.composite
def regions(draw, height, width):
    flags = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    region = torch.tensor(flags).reshape(height, width)
    changes = [region] * 5 + [region.float(), region[1:], region[None], region.flatten(), None]
    return draw(mostly(st.sampled_from(changes)))


def is_order(order, height, width):
    expected = orders.raster(height, width).tolist()
    return isinstance(order, Tensor) and sorted(order.tolist()) == expected


# Orders


@fuzz
@given(st.sampled_from(["raster", "s_curve", "hilbert"]), sides, sides)
def test_a_curve_visits_every_pixel_of_an_image_or_is_refused(name, height, width):
    curve = getattr(orders, name)
    found = feed(curve, height, width)
    assert found is None or is_order(found, height, width)
    several = feed(orders.reflections, curve, height, width)
    assert (several is None) == (found is None)
    feed(orders.check_sides, height, width)


@fuzz
@given(sides, sides, st.data())
def test_only_curves_have_reflections(height, width, data):
    def curve(height, width):
        return data.draw(some_orders(height, width))

    found = feed(orders.reflections, curve, height, width)
    assert found is None or all(is_order(order, height, width) for order in found)
    feed(orders.reflections, data.draw(anything), height, width)


@fuzz
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_what_is_no_order_is_refused_wherever_one_is_asked_for(data, height, width):
    order = data.draw(some_orders(height, width))
    region = data.draw(regions(height, width))
    tall, wide = data.draw(mostly(st.just(height), sides)), data.draw(mostly(st.just(width), sides))
    checked = feed(orders.check, order, tall, wide)
    assert checked is None or is_order(checked, tall, wide)
    table = feed(orders.steps, order, tall, wide)
    assert (table is None) == (checked is None)
    last = feed(orders.region_last, order, region)
    assert last is None or orders.visits_last(last, region)
    assert feed(orders.visits_last, order, region) in (None, True, False)
    assert feed(orders.has_jumps, order) in (None, True, False)
    found = feed(orders.positions, order, wide)
    assert found is None or found.shape == (len(order),)
    feed(orders.check_several, data.draw(st.one_of(st.just([order]), anything)))
    orders.described(order)


# Masks


@fuzz
@given(
    st.data(),
    st.integers(1, 4),
    st.integers(1, 4),
    mostly(st.sampled_from([1, 3, 5]), sizes),
    mostly(st.integers(1, 3), sizes),
    mostly(st.booleans(), things),
)
def test_masks_and_plans_are_made_of_kernels_that_have_a_centre(
    data, height, width, kernel, dilation, centre
):
    order = data.draw(some_orders(height, width))
    tall, wide = data.draw(mostly(st.just(height), sides)), data.draw(mostly(st.just(width), sides))
    seen = feed(masks.local_masks, order, tall, wide, kernel, dilation)
    assert seen is None or seen.shape == (tall, wide, kernel, kernel)
    plan = feed(masks.plan, order, tall, wide, kernel, dilation, centre)
    assert (plan is None) == (seen is None)
    mask = feed(masks.raster_mask, kernel, centre)
    assert mask is None or mask.shape == (kernel, kernel)
    taps = tuple(mask.flatten().tolist()) if mask is not None else data.draw(anything)
    taps = data.draw(mostly(st.just(taps)))
    plan = feed(masks.plan_everywhere, taps, tall, wide, kernel, dilation)
    assert plan is None or sum(len(group.pixels) for group in plan.groups) == tall * wide
    feed(masks.check_kernel, kernel)
    feed(masks.check_dilation, dilation)


@fuzz
@given(
    mostly(st.sampled_from([1, 2, 3, 6]), sizes),
    mostly(st.sampled_from([1, 2, 3, 6]), sizes),
    mostly(st.sampled_from([1, 3]), sizes),
    mostly(st.sampled_from("AB")),
    mostly(st.integers(1, 2), sizes),
    mostly(st.sampled_from([1, 3]), sizes),
    mostly(st.integers(1, 2), sizes),
    st.data(),
)
def test_a_convolution_that_can_be_built_convolves_what_fits(
    inputs, outputs, kernel, kind, dilation, colours, splits, data
):
    # Nobody builds a network of a billion channels: torch says that there is no memory for it.
    small = all(not isinstance(n, int) or n < 10**6 for n in (inputs, outputs))
    table = feed(colour_mask, inputs, outputs, colours, kind, splits) if small else None
    assert table is None or table.shape == (outputs, inputs)
    right = st.sampled_from([None, None, torch.ones(1, 1) > 0, torch.eye(3) > 0])
    options = {"dilation": dilation, "colours": colours, "splits": splits}
    options["mask"] = data.draw(mostly(right))
    if not small:
        return
    mixer = feed(WithinPixel, inputs, outputs, colours)
    layer = feed(MaskedConvolution, inputs, outputs, kernel, kind, **options)
    picture = data.draw(mostly(st.just(torch.randn(2, 6, inputs if layer else 1))))
    canvas = feed(Whole, picture, data.draw(some_orders(2, 3)), 2, 3)
    if canvas is not None and layer is not None:
        found = feed(layer, data.draw(mostly(st.just(picture))), canvas)
        assert found is None or found.shape[1:] == (6, outputs)
        feed(layer.look, canvas)
        columns = Columns(canvas)
        columns.at((0,))
        assert columns.pixels(torch.zeros(6, 2)).shape == (1, 2)
    if mixer is not None:
        assert mixer(torch.zeros(2, inputs)).shape == (2, outputs)


@fuzz
@given(sides, sides, tensors(), st.data())
def test_a_canvas_holds_pictures_of_its_size(height, width, picture, data):
    canvas = feed(Whole, picture, data.draw(some_orders(height, width)), height, width)
    assert canvas is None or is_order(canvas.order, height, width)


# Chains


@fuzz
@given(st.sampled_from([PixelCNN, GatedPixelCNN, LMConv]), st.data())
def test_a_chain_that_can_be_built_has_logits(kind, data):
    right = {"channels": st.sampled_from([1, 2]), "levels": st.integers(2, 4)}
    right |= {"width": st.sampled_from([2, 4]), "depth": st.integers(1, 2)}
    right |= {"kernel": st.sampled_from([1, 3]), "first_kernel": st.sampled_from([1, 3])}
    if kind is GatedPixelCNN:
        right["classes"] = st.sampled_from([None, 1, 3])
    if kind is LMConv:
        right["dilations"] = st.sampled_from([(1,), [1, 2]])
    arguments = {name: data.draw(strategy) for name, strategy in right.items()}
    name = data.draw(st.sampled_from(list(arguments)))
    wrong = st.one_of(anything, st.lists(things, max_size=2), numbers)
    arguments[name] = data.draw(mostly(right[name], wrong))
    chain = feed(kind, **arguments)
    if chain is not None:
        images = torch.zeros(2, chain.channels, 2, 3, dtype=torch.long)
        logits = chain(images, labels=labels_for(chain, 2))
        assert logits.shape == (2, chain.levels, chain.channels, 2, 3)


@fuzz
@given(scenes())
def test_logits_are_finite_or_refused(scene):
    chain, images, order, labels, _ = scene
    found = feed(chain, images, order, labels)
    if found is not None:
        assert found.shape == (len(images), chain.levels, *images.shape[1:])
        assert found.isfinite().all()
    feed(chain.canvas, images, order)
    feed(chain.check_labels, labels, 2)
    checked = feed(chain.checked_labels, labels, 2)
    assert checked is None or checked.dtype == torch.int64


@fuzz
@given(scenes(), st.data())
def test_a_loss_is_finite_or_refused(scene, data):
    chain, images, order, labels, _ = scene
    generation_orders = data.draw(mostly(st.sampled_from([None, [order], (order, order)])))
    game = feed(MaximumLikelihood, chain, generation_orders)
    batch = data.draw(
        mostly(st.just(images if labels is None else (images, labels)), st.tuples(anything))
    )
    if game is not None:
        loss = feed(game.loss, batch)
        assert loss is None or loss.isfinite()


@fuzz
@given(scenes(), mostly(st.integers(1, 4), sides), st.data())
def test_likelihoods_are_no_more_than_certain_or_refused(scene, batch_size, data):
    chain, images, order, labels, (_, height, width) = scene
    options = {"labels": labels, "batch_size": batch_size}
    found = feed(pixel_log_likelihoods, chain, images, order, **options)
    whole = feed(log_likelihood, chain, images, order, **options)
    assert (found is None) == (whole is None)
    if found is not None:
        assert found.shape == images.shape and found.dtype == torch.float64
        assert (found <= 0).all() and found.isfinite().all()
    observed = data.draw(regions(height, width))
    rest = feed(log_likelihood, chain, images, order, given=observed, **options)
    if rest is not None and observed is not None:
        assert whole is not None and (rest >= whole - 1e-9).all()
    several = data.draw(mostly(st.just([order, None])))
    members = feed(members_log_likelihood, chain, images, several, batch_size=batch_size)
    if members is not None:
        assert ensemble_log_likelihood(members).shape == members.shape[1:]


@fuzz
@given(mostly(tensors(st.tuples(few, few))), sizes, things)
def test_ensembles_and_bits_are_of_numbers(members, dimensions, nats):
    found = feed(ensemble_log_likelihood, members)
    assert found is None or (found.shape == members.shape[1:] and not found.isnan().any())
    for value in (members, nats, 2.5):
        found = feed(bits_per_dimension, value, dimensions)
        if isinstance(found, float) and math.isfinite(value):
            assert found == pytest.approx(value / dimensions / math.log(2), rel=1e-12)


@fuzz
@given(scenes(), st.data())
def test_what_is_drawn_are_levels_around_what_was_observed(scene, data):
    chain, images, order, labels, (count, height, width) = scene
    size = data.draw(mostly(st.just((height, width)), st.one_of(anything, st.tuples(sides, sides))))
    method = data.draw(mostly(st.sampled_from(METHODS), anything))
    temperature = data.draw(mostly(st.floats(0.1, 10), anything))
    options = {"size": size, "labels": labels, "method": method, "temperature": temperature}
    if data.draw(st.booleans()):
        region = data.draw(regions(height, width))
        options |= {"observed": images, "mask": region}
        if data.draw(st.booleans()):
            some = isinstance(images, Tensor) and images.ndim and len(images)
            options["observed"] = images[0] if some else 0
    number = data.draw(mostly(st.just(count), counts))
    found = feed(sample, chain, number, order, generator=generator(0), **options)
    if found is not None:
        assert found.shape[:2] == (number, chain.channels)
        assert found.min() >= 0 and found.max() < chain.levels
        if options.get("mask") is not None:
            known, mask = options["observed"].long(), options["mask"]
            expected = known.expand(found.shape)[..., mask]
            assert torch.equal(found[..., mask], expected)


@fuzz
@given(scenes(), mostly(st.integers(1, 2), counts), st.data())
def test_influences_are_of_the_past_or_refused(scene, pictures, data):
    chain, _, order, _, (_, height, width) = scene
    # At most nine pixels: an influence is computed for every pair.
    tall, wide = min(height, 3), min(width, 3)
    order = data.draw(st.one_of(st.just(order), some_orders(tall, wide)))
    tall, wide = data.draw(mostly(st.just(tall), sides)), data.draw(mostly(st.just(wide), sides))
    labels = data.draw(some_labels(chain, 1))
    found = feed(influence, chain, tall, wide, order, pictures=pictures, labels=labels)
    if found is not None:
        assert found.isfinite().all() and not found.triu().any()
        order = orders.raster(tall, wide) if order is None else order
        unseen = blind_spot(found, order, tall, wide, chain.channels)
        assert unseen.shape == (tall, wide, tall, wide)
    feed(blind_spot, data.draw(anything), order, tall, wide, data.draw(mostly(st.just(1), sides)))
    feed(blind_spot, torch.ones(4, 4), orders.raster(2, 2), 2, 2, data.draw(sides))


@fuzz
@given(st.data(), sides, sides)
def test_a_receptive_field_never_sees_two_pixels_each_other(data, height, width):
    chain = CHAINS["local"]
    right = [chain.first, *chain.convolutions]
    stack = data.draw(mostly(st.sampled_from([right, right[:1], [], [chain], chain.convolutions])))
    small = all(not isinstance(n, int) or n < 10 for n in (height, width))
    height, width = (height, width) if small else (2, 3)
    found = feed(receptive_field, stack, data.draw(some_orders(height, width)), height, width)
    assert found is None or not (found & found.T).fill_diagonal_(False).any()


# Networks

NETWORKS = {
    nets.Perceptron: {
        "inputs": st.integers(1, 3),
        "outputs": st.integers(1, 3),
        "widths": st.sampled_from([(), (2,), [2, 3]]),
        "activation": st.sampled_from(["ReLU", "Tanh", "SiLU"]),
    },
    nets.Logit: {
        "inputs": st.integers(1, 3),
        "widths": st.sampled_from([(), (2,), [2, 3]]),
        "activation": st.sampled_from(["ReLU", "Tanh"]),
    },
    nets.DCGANGenerator: {
        "noise_size": st.integers(2, 3),
        "side": st.sampled_from([8, 10, 16]),
        "channels": st.integers(1, 2),
        "width": st.integers(1, 2),
        "choices": st.integers(0, 1),
    },
    nets.DCGANDiscriminator: {
        "side": st.sampled_from([8, 10, 16]),
        "channels": st.integers(1, 2),
        "width": st.integers(1, 2),
        "normalized": st.booleans(),
        "features": st.sampled_from([None, 1, 3]),
    },
    nets.DigitClassifier: {
        "classes": st.integers(1, 3),
        "channels": st.integers(1, 2),
        "width": st.integers(1, 2),
        "features": st.integers(1, 3),
    },
}


def right_inputs(network):
    given = network.settings
    if isinstance(network, nets.Perceptron):
        return torch.randn(2, given["inputs"])
    if isinstance(network, nets.DCGANGenerator):
        return torch.randn(2, given["noise_size"])
    side = given.get("side", 28)
    return torch.randn(2, given["channels"], side, side)


@fuzz
@given(st.sampled_from(list(NETWORKS)), st.data())
def test_a_network_that_can_be_built_answers(kind, data):
    arguments = {name: data.draw(strategy) for name, strategy in NETWORKS[kind].items()}
    name = data.draw(st.sampled_from(list(arguments)))
    wrong = st.one_of(anything, st.lists(things, max_size=2), st.sampled_from(["Softplus", "Fold"]))
    arguments[name] = data.draw(mostly(NETWORKS[kind][name], wrong))
    network = feed(kind, **arguments)
    if network is not None:
        assert network.settings.keys() == arguments.keys()
        outputs = network(right_inputs(network))
        assert len(outputs) == 2 and outputs.dtype == torch.float32 and outputs.isfinite().all()


@fuzz
@given(
    st.sampled_from([nets.Perceptron(3, 2), nets.Logit(2), nets.DCGANGenerator(3, 8, width=1)]),
    tensors(st.one_of(shapes, st.sampled_from([(2, 3), (4, 2), (2, 3, 1)]))).filter(
        torch.is_tensor
    ),
)
def test_networks_answer_inputs_of_their_size(network, inputs):
    if inputs.dtype != torch.float32 or not inputs.isfinite().all() or not inputs.numel():
        return
    found = feed(network, inputs)
    assert found is None or found.dtype == torch.float32


# The table


@fuzz
@given(tensors().filter(torch.is_tensor), st.one_of(st.just(8), st.integers(0, 8)), st.booleans())
def test_a_table_needs_a_map_for_each_curve(maps, count, right):
    curves = orders.reflections(orders.s_curve, 3, 2)[:count]
    if right:
        maps = -torch.rand(count, 4, 3, 2)
    found = feed(likelihoods.lmconv_rows, maps, curves)
    assert (found is not None) == (right and count == 8)
    feed(likelihoods.halves, count, 3)
