"""Drawn images: cached as uncached, as the textbook draws them, and as often as they should be."""

import itertools

import numpy
import pytest
import torch
from scipy import stats
from small_chains import generator, labels_for, make, named_order

from ganlib.chains import (
    GatedPixelCNN,
    LMConv,
    PixelCNN,
    log_likelihood,
    orders,
    sample,
)
from ganlib.chains.sampling import METHODS

pytestmark = pytest.mark.usefixtures("one_thread")

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
HEIGHT, WIDTH = 3, 4
MASKS = {
    "nothing": None,
    "first pixels": [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]],
    "scattered": [[0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 1]],
    "first and last": [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]],
    "everything": [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
}
# A chain in raster order cannot draw what comes before these.
NOT_FIRST = ("scattered", "first and last")


def order_for(name, order_name, given):
    """The order of this name, with what was observed first where the chain can follow that."""
    order = named_order(order_name, HEIGHT, WIDTH)
    return orders.region_last(order, ~given["mask"]) if given and name == "local" else order


def observation(chain, mask_name, count=4):
    """The arguments `observed` and `mask`: random images and where they are known."""
    if MASKS[mask_name] is None:
        return {}
    shape = count, chain.channels, HEIGHT, WIDTH
    observed = torch.randint(chain.levels, shape, generator=generator(9))
    return {"observed": observed, "mask": torch.tensor(MASKS[mask_name]).bool()}


def textbook(chain, numbers, order, labels, observed=None, mask=None, temperature=1):
    """Ancestral sampling: every channel from its conditional distribution, by inversion."""
    images = torch.zeros(numbers.shape, dtype=torch.long)
    if observed is not None:
        images[:, :, mask] = observed[:, :, mask]
    for row, column in order.tolist():
        if mask is not None and mask[row, column]:
            continue
        for channel in range(chain.channels):
            with torch.no_grad():
                logits = chain(images, order, labels)[:, :, channel, row, column]
            # On a staircase of the probabilities, the step on which the number falls.
            chances = logits.double().softmax(dim=1).numpy() ** (1 / temperature)
            chances /= chances.sum(axis=1, keepdims=True)
            stairs = numpy.cumsum(chances, axis=1)
            for image, number in enumerate(numbers[:, channel, row, column].tolist()):
                level = numpy.searchsorted(stairs[image, :-1], number, side="right")
                images[image, channel, row, column] = int(level)
    return images


# Cached, uncached, and by the book


KINDS = [
    (1, 2, torch.float32),
    (3, 5, torch.float32),
    (1, 5, torch.float64),
    (3, 2, torch.float64),
]


@pytest.mark.parametrize(
    ("name", "order_name", "mask_name", "channels", "levels", "dtype"),
    [
        # Every chain with every mask, and with every kind of picture.
        (*chain, mask, *KINDS[(i + j) % len(KINDS)])
        for i, chain in enumerate(CHAINS)
        for j, mask in enumerate(MASKS)
        if chain[0] == "local" or mask not in NOT_FIRST
    ],
)
def test_every_method_draws_the_same_images(name, order_name, mask_name, channels, levels, dtype):
    chain = make(name, channels, levels).to(dtype)
    given = observation(chain, mask_name)
    order = order_for(name, order_name, given)
    options = {"labels": labels_for(chain, 4), "size": (HEIGHT, WIDTH), **given}
    cached, *others = (
        sample(chain, 4, order, generator=generator(1), method=each, **options) for each in METHODS
    )
    assert cached.dtype == torch.long and cached.shape == (4, channels, HEIGHT, WIDTH)
    assert all(torch.equal(cached, other) for other in others)
    assert cached.min() >= 0 and cached.max() < levels
    if given:
        mask = given["mask"]
        assert torch.equal(cached[:, :, mask], given["observed"][:, :, mask])


@every_chain
@pytest.mark.parametrize(
    ("channels", "levels", "mask_name"), [(3, 2, "nothing"), (1, 5, "first pixels")]
)
def test_images_are_drawn_as_by_the_book(name, order_name, channels, levels, mask_name):
    chain = make(name, channels, levels).double()
    labels, given = labels_for(chain, 4), observation(chain, mask_name)
    order = order_for(name, order_name, given)
    found = sample(
        chain, 4, order, generator=generator(1), size=(HEIGHT, WIDTH), labels=labels, **given
    )
    # One number for each channel of each pixel, image after image.
    numbers = torch.rand(4, channels, HEIGHT, WIDTH, generator=generator(1))
    assert torch.equal(found, textbook(chain, numbers, order, labels, **given))


@every_chain
def test_a_region_is_completed_in_an_order_that_leaves_it_for_last(name, order_name):
    chain = make(name, channels=3, levels=5)
    mask_name = "scattered" if name == "local" else "first pixels"
    given = observation(chain, mask_name)
    order = order_for(name, order_name, given)
    options = {"labels": labels_for(chain, 4), **given}
    cached, *others = (
        sample(chain, 4, order, generator=generator(2), method=each, **options) for each in METHODS
    )
    assert all(torch.equal(cached, other) for other in others)
    # Another observation changes what is drawn: the network did look at it.
    options["observed"] = chain.levels - 1 - given["observed"]
    other = sample(chain, 4, order, generator=generator(2), **options)
    assert (other != cached)[:, :, ~given["mask"]].any()


def test_one_observed_image_serves_for_all():
    chain = make("local", channels=3, levels=5)
    given = observation(chain, "scattered", count=1)
    one = {"observed": given["observed"][0], "mask": given["mask"]}
    many = {"observed": given["observed"].repeat(4, 1, 1, 1), "mask": given["mask"]}
    order = orders.region_last(orders.hilbert(HEIGHT, WIDTH), ~given["mask"])
    found, expected = (
        sample(chain, 4, order, generator=generator(0), **each) for each in (one, many)
    )
    assert torch.equal(found, expected)
    assert found.shape == (4, 3, HEIGHT, WIDTH)


def test_what_is_not_observed_may_hold_any_value():
    # Only pixels under the mask are read: the rest may be a marker such as -1.
    chain = make("plain")
    given = observation(chain, "first pixels")
    expected = sample(chain, 4, generator=generator(0), **given)
    given["observed"] = torch.where(given["mask"], given["observed"], -1)
    assert torch.equal(sample(chain, 4, generator=generator(0), **given), expected)


def test_given_images_are_left_as_they_were():
    chain = make("local")
    given = observation(chain, "scattered")
    before = given["observed"].clone()
    order = order_for("local", "hilbert", given)
    sample(chain, 4, order, generator=generator(0), **given)
    assert torch.equal(given["observed"], before)


@every_chain
def test_images_of_any_size_can_be_drawn(name, order_name):
    chain = make(name, channels=3, levels=3).double()
    for size in ((1, 1), (1, 5), (5, 1), (2, 2)):
        order, labels = named_order(order_name, *size), labels_for(chain, 2)
        options = {"size": size, "labels": labels}
        cached, *others = (
            sample(chain, 2, order, generator=generator(0), method=each, **options)
            for each in METHODS
        )
        assert cached.shape == (2, 3, *size)
        assert all(torch.equal(cached, other) for other in others)


@every_chain
@pytest.mark.parametrize("method", METHODS)
def test_images_do_not_depend_on_an_autocast_around_them(name, order_name, method):
    # At 256 levels half precision would move many a draw.
    chain, order = make(name, levels=256), named_order(order_name, HEIGHT, WIDTH)
    options = {"size": (HEIGHT, WIDTH), "labels": labels_for(chain, 4), "method": method}
    expected = sample(chain, 4, order, generator=generator(0), **options)
    with torch.autocast("cpu", torch.bfloat16):
        found = sample(chain, 4, order, generator=generator(0), **options)
    assert torch.equal(found, expected)


# Temperature


@every_chain
@pytest.mark.parametrize("temperature", [0.3, 2.5])
@pytest.mark.parametrize(("channels", "mask_name"), [(3, "nothing"), (1, "first pixels")])
def test_at_a_temperature_every_method_draws_by_the_book(
    name, order_name, channels, mask_name, temperature
):
    chain = make(name, channels, levels=4).double()
    given = observation(chain, mask_name)
    order, labels = order_for(name, order_name, given), labels_for(chain, 4)
    options = {"size": (HEIGHT, WIDTH), "labels": labels, **given}
    at_one = sample(chain, 4, order, generator=generator(3), **options)
    options["temperature"] = temperature
    drawn = [
        sample(chain, 4, order, generator=generator(3), method=each, **options) for each in METHODS
    ]
    numbers = torch.rand(4, channels, HEIGHT, WIDTH, generator=generator(3))
    expected = textbook(chain, numbers, order, labels, **given, temperature=temperature)
    assert all(torch.equal(each, expected) for each in drawn)
    assert not torch.equal(expected, at_one)


@every_chain
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_heat_the_most_probable_level_is_drawn(name, order_name, method, dtype):
    chain = make(name, levels=5).to(dtype)
    order, labels = named_order(order_name, HEIGHT, WIDTH), labels_for(chain, 4)
    options = {"size": (HEIGHT, WIDTH), "labels": labels, "method": method}
    expected = torch.zeros(4, 1, HEIGHT, WIDTH, dtype=torch.long)
    for row, column in order.tolist():
        with torch.no_grad():
            logits = chain(expected, order, labels)[..., row, column]
        expected[..., row, column] = logits.argmax(dim=1)
    # The last two are 0 in single precision, and the last is hardly a number in double.
    for temperature in (1e-6, 1e-60, 5e-324):
        drawn = sample(chain, 4, order, temperature=temperature, **options)
        assert torch.equal(drawn, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [1e6, 1e60, 10**300])
def test_in_great_heat_all_possible_levels_are_as_probable(method, temperature):
    chain = make("plain", levels=5)
    with torch.no_grad():
        chain.head[-1].bias[1] = -torch.inf
    options = {"size": (20, 20), "method": method, "temperature": temperature}
    drawn = sample(chain, 5, generator=generator(0), **options)
    counts = numpy.bincount(drawn.flatten().numpy(), minlength=5)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3, 4]]).pvalue > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_temperature_is_refused(method):
    options = {"size": (2, 2), "method": method}
    for wrong in (0, 0.0, -1, -0.5, torch.nan, torch.inf, 10**400, True, None, "1", [1]):
        with pytest.raises(ValueError, match="temperature=.*: expected a positive finite number"):
            sample(make("plain"), 1, temperature=wrong, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [0.5, 2])
def test_probabilities_that_are_no_numbers_are_refused_at_any_temperature(method, temperature):
    for weight in (torch.nan, torch.inf):
        chain = make("local")
        with torch.no_grad():
            chain.first.bias[0] = weight
        with pytest.raises(ValueError, match=r"pixel \(0, 0\) are not numbers"):
            sample(chain, 2, size=(3, 4), method=method, temperature=temperature)


# How often images are drawn


def all_binary_images():
    return torch.tensor(list(itertools.product(range(2), repeat=4))).reshape(16, 1, 2, 2)


def code(images):
    """The number of a 2×2 binary image in `all_binary_images`."""
    return (images.flatten(1) * torch.tensor([8, 4, 2, 1])).sum(dim=1)


def assert_drawn_as_often_as_probable(images, probabilities):
    """Pearson's test; images that are expected fewer than five times count as one."""
    counts = numpy.bincount(code(images).numpy(), minlength=16)
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
    expected = (probabilities / probabilities.sum()).numpy() * len(images)
    assert counts[expected == 0].sum() == 0
    rarest_first = expected.argsort()
    counts, expected = counts[rarest_first], expected[rarest_first]
    rare = max((expected < 5).sum(), numpy.searchsorted(expected.cumsum(), 5) + 1)
    counts, expected = (numpy.append(x[rare:], x[:rare].sum()) for x in (counts, expected))
    assert len(expected) > 3 and expected.min() >= 5
    # A right sampler fails at one seed in 10,000, and the seeds are fixed.
    assert stats.chisquare(counts, expected).pvalue > 1e-4


@every_chain
@pytest.mark.parametrize("method", METHODS)
def test_images_are_drawn_as_often_as_they_are_probable(name, order_name, method):
    # Milder than elsewhere, so that most of the 16 images turn up.
    chain = make(name, sharpness=4)
    order, images = named_order(order_name, 2, 2), all_binary_images()
    drawn_label, every_label = None, None
    if chain.classes is not None:
        drawn_label, every_label = (torch.ones(n, dtype=torch.long) for n in (4000, 16))
    probabilities = log_likelihood(chain, images, order, labels=every_label).exp()
    assert probabilities.max() > 1.5 / 16
    drawn = sample(
        chain,
        4000,
        order,
        generator=generator(0),
        method=method,
        size=(2, 2),
        labels=drawn_label,
    )
    assert_drawn_as_often_as_probable(drawn, probabilities)


@every_chain
def test_completions_are_drawn_as_often_as_they_are_probable(name, order_name):
    chain, images = make(name, sharpness=4), all_binary_images()
    mask = torch.tensor([[True, False], [False, False]])
    order = named_order(order_name, 2, 2)
    if name == "local":
        mask = torch.tensor([[False, False], [True, False]])
        order = orders.region_last(order, ~mask)
    drawn_label, every_label = None, None
    if chain.classes is not None:
        drawn_label, every_label = (torch.full((n,), 2) for n in (4000, 16))
    # By Bayes' rule from the likelihoods of whole images.
    probabilities = log_likelihood(chain, images, order, labels=every_label).exp()
    probabilities = torch.where(images[:, 0, mask][:, 0] == 1, probabilities, 0.0)
    probabilities /= probabilities.sum()
    drawn = sample(
        chain,
        4000,
        order,
        torch.ones(1, 2, 2, dtype=torch.long),
        mask,
        generator=generator(0),
        labels=drawn_label,
    )
    assert_drawn_as_often_as_probable(drawn, probabilities)


def test_the_three_colours_of_a_pixel_are_drawn_as_often_as_they_are_probable():
    chain = make("local", channels=3, sharpness=4)
    colours = torch.tensor(list(itertools.product(range(2), repeat=3))).reshape(8, 3, 1, 1)
    probabilities = log_likelihood(chain, colours).exp()
    drawn = sample(chain, 4000, generator=generator(0), size=(1, 1))
    counts = numpy.bincount((drawn.flatten(1) * torch.tensor([4, 2, 1])).sum(dim=1), minlength=8)
    expected = probabilities.numpy() * 4000 / probabilities.sum().item()
    assert expected.min() > 5
    assert stats.chisquare(counts, expected).pvalue > 1e-4


# Randomness, and what is left behind


def test_the_global_generator_is_used_without_another():
    chain = make("plain")
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append(sample(chain, 5, size=(3, 3)))
    draws.append(sample(chain, 5, size=(3, 3)))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])


def test_a_generator_of_ones_own_leaves_the_global_one_alone():
    chain = make("plain")
    before = torch.get_rng_state()
    first, second = (sample(chain, 5, generator=generator(3), size=(3, 3)) for _ in range(2))
    other = sample(chain, 5, generator=generator(4), size=(3, 3))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_a_pixel_has_its_random_number_whatever_the_order():
    # A chain that ignores its past draws the same image in every order.
    chain = make("local", levels=5)
    torch.nn.init.zeros_(chain.head[-1].weight)
    drawn = [
        sample(chain, 5, order, generator=generator(0))
        for order in orders.reflections(orders.s_curve, 28, 28)[:2]
    ]
    assert drawn[0].shape == (5, 1, 28, 28) and len(drawn[0].unique()) == 5
    assert torch.equal(*drawn)


@pytest.mark.parametrize("method", METHODS)
def test_the_mode_and_the_gradients_of_the_model_are_left_as_they_were(method):
    chain = make("local")
    modes = []
    for mode in (True, False):
        chain.train(mode)
        images = sample(
            chain,
            2,
            size=(2, 2),
            method=method,
            watch=lambda *_: modes.append(chain.training),
        )
        assert chain.training == mode
        assert all(module.training == mode for module in chain.modules())
    # While it draws it is in eval mode.
    assert len(modes) >= 2 and not any(modes)
    assert all(weight.requires_grad and weight.grad is None for weight in chain.parameters())
    assert not images.requires_grad
    chain.train()
    with pytest.raises(ValueError, match="takes no labels"):
        sample(chain, 2, size=(2, 2), method=method, labels=torch.zeros(2, dtype=torch.long))
    assert chain.training


@pytest.mark.parametrize("method", ["cached", "naive"])
def test_a_watcher_sees_every_pixel_come(method):
    chain = make("local", channels=3, levels=5)
    given = observation(chain, "scattered")
    order = orders.region_last(orders.hilbert(HEIGHT, WIDTH), ~given["mask"])
    seen = []
    final = sample(
        chain,
        4,
        order,
        generator=generator(0),
        method=method,
        watch=lambda known, images: seen.append((known, images.clone())),
        **given,
    )
    assert [known for known, _ in seen] == list(range(6, 13))
    for known, images in seen:
        for step, (row, column) in enumerate(order.tolist()):
            expected = final if step < known else torch.zeros_like(final)
            assert torch.equal(images[:, :, row, column], expected[:, :, row, column])


@every_chain
@pytest.mark.parametrize("channels", [1, 3])
def test_asking_k_times_settles_the_first_k_values(name, order_name, channels):
    chain = make(name, channels, levels=3).double()
    order, labels = named_order(order_name, HEIGHT, WIDTH), labels_for(chain, 4)
    options = {"size": (HEIGHT, WIDTH), "labels": labels}
    final = sample(chain, 4, order, generator=generator(3), **options)
    seen = []
    found = sample(
        chain,
        4,
        order,
        generator=generator(3),
        method="fixed-point",
        watch=lambda asked, images: seen.append((asked, images.clone())),
        **options,
    )
    assert torch.equal(found, final)
    assert [asked for asked, _ in seen] == list(range(1, len(seen) + 1))
    assert len(seen) <= HEIGHT * WIDTH * channels + 1
    in_order = [(c, row, column) for row, column in order.tolist() for c in range(channels)]
    for asked, images in seen:
        for at in in_order[:asked]:
            assert torch.equal(images[:, *at], final[:, *at])
    # The last time changed nothing, and was needed to know it.
    assert len(seen) == 1 or not torch.equal(seen[-2][1], torch.zeros_like(final))
    assert torch.equal(seen[-1][1], seen[-2][1] if len(seen) > 1 else final)


def test_a_chain_of_independent_pixels_settles_at_once():
    chain = make("plain", levels=3)
    with torch.no_grad():
        for layer in (chain.first, *chain.convolutions):
            layer.weight.zero_()
    asked = []
    sample(
        chain,
        4,
        size=(HEIGHT, WIDTH),
        method="fixed-point",
        watch=lambda times, images: asked.append(times),
    )
    assert asked == [1, 2]


# What cannot be drawn


@pytest.mark.parametrize("method", METHODS)
def test_an_order_that_leaves_observed_pixels_for_later_is_refused(method):
    # What it would draw is not from p(rest | observed).
    chain, given = make("local"), observation(make("local"), "scattered")
    message = r"visits some observed pixel after one that is not .* region_last\(order, ~mask\)"
    for order in (None, orders.hilbert(HEIGHT, WIDTH)):
        with pytest.raises(ValueError, match=message):
            sample(chain, 4, order, method=method, **given)


def test_a_method_that_is_not_known_is_refused():
    for wrong in ("fast", True, None, ["cached"]):
        with pytest.raises(ValueError, match="is not known: choose from cached, naive, fixed-poi"):
            sample(make("plain"), 1, size=(2, 2), method=wrong)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_that_are_no_numbers_are_refused(method, channels):
    seen = []
    options = {"size": (3, 4), "method": method, "watch": lambda known, _: seen.append(known)}
    for weight in (torch.nan, torch.inf):
        chain = make("local", channels)
        with torch.no_grad():
            chain.first.bias[0] = weight
        with pytest.raises(ValueError, match=r"pixel \(0, 0\) are not numbers .* weights finite"):
            sample(chain, 2, **options)
        assert chain.training
    # Both times it stopped at the end of the first row, or once no image changed.
    assert seen == [1] * 2 if method == "fixed-point" else seen == [1, 2, 3] * 2
    # A level that is impossible is none the worse.
    chain = make("plain")
    with torch.no_grad():
        chain.head[-1].bias[0] = -torch.inf
    assert sample(chain, 2, size=(3, 4), method=method).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_pixel_whose_probabilities_are_no_numbers_is_named(method):
    class Broken(PixelCNN):
        def logits(self, canvas, labels=None):
            found = super().logits(canvas, labels)
            pixels = canvas.pixels(torch.arange(12)) == 9
            return torch.where(pixels[:, None], torch.nan, found)

    torch.manual_seed(0)
    chain = Broken(width=4, depth=1, first_kernel=3)
    with pytest.raises(ValueError, match=r"the probabilities at pixel \(2, 1\) are not numbers"):
        sample(chain, 2, size=(3, 4), method=method)
    # Where the pixel was observed, it is not drawn.
    mask = (torch.arange(12) <= 9).reshape(3, 4)
    observed = torch.ones(1, 3, 4, dtype=torch.long)
    assert sample(chain, 2, observed=observed, mask=mask, method=method)[:, 0, 2, 1].all()


def test_what_cannot_be_drawn_is_refused():
    chain, size = make("plain", levels=3), (2, 3)
    for count in (0, -1, True, 1.5, None, "3"):
        with pytest.raises(ValueError, match=f"count={count!r}: expected a whole number, 1 or"):
            sample(chain, count, size=size)
    for wrong in (3, None, (3,), (3, 3, 3), torch.tensor([3, 3])):
        with pytest.raises(ValueError, match=r"size=.*: expected \(height, width\)"):
            sample(chain, 1, size=wrong)
    for wrong in ((0, 3), (3, -1), (True, 3), (3, 2.0), (3, "3")):
        with pytest.raises(ValueError, match="(height|width)=.*: expected a whole number, 1 or"):
            sample(chain, 1, size=wrong)
    with pytest.raises(ValueError, match="expected 16777216 pixels or fewer"):
        sample(chain, 1, size=(2**40, 3))
    with pytest.raises(ValueError, match="no permutation of the pixels"):
        sample(make("local"), 1, torch.zeros(6, 2, dtype=torch.long), size=size)
    with pytest.raises(ValueError, match="an order of a 2 × 3 image"):
        sample(make("local"), 1, orders.raster(3, 3), size=size)
    with pytest.raises(ValueError, match="PixelCNN draws in raster order only"):
        sample(chain, 1, orders.s_curve(2, 3), size=size)


def test_observed_images_that_do_not_fit_are_refused():
    chain = make("plain", levels=3)
    images, mask = torch.ones(2, 1, 2, 3, dtype=torch.long), torch.ones(2, 3).bool()
    together = "observed images and the mask of observed pixels go together"
    with pytest.raises(ValueError, match=together):
        sample(chain, 2, observed=images)
    with pytest.raises(ValueError, match=together):
        sample(chain, 2, mask=mask, size=(2, 3))
    message = r"expected bool of shape \(2, 3\), True for observed pixels"
    for wrong in (mask.float(), mask.long(), mask.T, mask[None], mask[:1], mask.tolist()):
        with pytest.raises(ValueError, match=message):
            sample(chain, 2, observed=images, mask=wrong)
    message = r"observed is .*: expected whole numbers of shape"
    for wrong in (images.float(), images.expand(2, 3, 2, 3), images[0, 0], images.tolist()):
        with pytest.raises(ValueError, match=message):
            sample(chain, 2, observed=wrong, mask=mask)
    with pytest.raises(ValueError, match="3 observed images for count=2: expected as many"):
        sample(chain, 2, observed=images[:1].expand(3, 1, 2, 3), mask=mask)
    with pytest.raises(ValueError, match="go from 3 to 3: expected whole numbers from 0 to 2"):
        sample(chain, 2, observed=3 * images, mask=mask)
    with pytest.raises(ValueError, match="go from -1 to -1: expected whole numbers from 0 to 2"):
        sample(chain, 2, observed=-images, mask=mask)


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_do_not_fit_are_refused(method):
    chain = make("gated with classes")
    for labels in (torch.zeros(3), torch.zeros(2, 1), torch.tensor(0)):
        with pytest.raises(ValueError, match=r"labels of shape .* expected \(2,\)"):
            sample(chain, 2, size=(2, 2), method=method, labels=labels.long())
    for labels in (torch.zeros(2), torch.zeros(2).bool(), [0, 1], 1):
        with pytest.raises(ValueError, match=r"labels are .*: expected whole numbers of shape"):
            sample(chain, 2, size=(2, 2), method=method, labels=labels)
    for low, high in ((-1, 2), (0, 3)):
        with pytest.raises(ValueError, match=f"labels go from {low} to {high}: .* from 0 to 2"):
            sample(chain, 2, size=(2, 2), method=method, labels=torch.tensor([low, high]))
    with pytest.raises(ValueError, match="class-conditional: labels are needed"):
        sample(chain, 2, size=(2, 2), method=method)
    with pytest.raises(ValueError, match="without classes takes no labels"):
        sample(make("gated"), 2, size=(2, 2), method=method, labels=torch.zeros(2).long())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("kind", [PixelCNN, GatedPixelCNN, LMConv])
def test_a_gpu_computes_draws_and_differentiates_what_the_cpu_does(kind):
    torch.manual_seed(0)
    chain = kind(width=8, depth=3).double()
    images = torch.randint(2, (3, 1, 6, 7))
    order = orders.hilbert(6, 7) if kind is LMConv else None
    found = {}
    for device in ("cpu", "cuda"):
        chain.to(device).zero_grad()
        logits = chain(images.to(device), order)
        logits.square().sum().backward()
        numbers = torch.Generator().manual_seed(1)
        drawn = sample(chain, 4, order, size=(6, 7), generator=numbers)
        gradients = torch.cat([p.grad.flatten() for p in chain.parameters()])
        found[device] = [t.detach().cpu() for t in (logits, gradients, drawn)]
    for ours, theirs in zip(found["cuda"], found["cpu"], strict=True):
        torch.testing.assert_close(ours, theirs)
