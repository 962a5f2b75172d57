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


def observation(chain, mask_name, count=4):
    """The arguments `observed` and `mask`: random images and where they are known."""
    if MASKS[mask_name] is None:
        return {}
    shape = count, chain.channels, HEIGHT, WIDTH
    observed = torch.randint(chain.levels, shape, generator=generator(9))
    return {"observed": observed, "mask": torch.tensor(MASKS[mask_name]).bool()}


def textbook(chain, numbers, order, labels, observed=None, mask=None):
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
            stairs = numpy.cumsum(logits.double().softmax(dim=1).numpy(), axis=1)
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
    ],
)
def test_cached_and_uncached_draw_the_same_images(
    name, order_name, mask_name, channels, levels, dtype
):
    # An observed pixel may come late in these orders: then it is kept, but was not foreseen.
    chain, order = make(name, channels, levels).to(dtype), named_order(order_name, HEIGHT, WIDTH)
    given = observation(chain, mask_name)
    options = {"labels": labels_for(chain, 4), "size": (HEIGHT, WIDTH), **given}
    cached, uncached = (
        sample(chain, 4, order, generator=generator(1), cached=each, **options)
        for each in (True, False)
    )
    assert cached.dtype == torch.long and cached.shape == (4, channels, HEIGHT, WIDTH)
    assert torch.equal(cached, uncached)
    assert cached.min() >= 0 and cached.max() < levels
    if given:
        mask = given["mask"]
        assert torch.equal(cached[:, :, mask], given["observed"][:, :, mask])


@every_chain
@pytest.mark.parametrize(
    ("channels", "levels", "mask_name"), [(3, 2, "nothing"), (1, 5, "scattered")]
)
def test_images_are_drawn_as_by_the_book(name, order_name, channels, levels, mask_name):
    chain = make(name, channels, levels).double()
    order, labels = named_order(order_name, HEIGHT, WIDTH), labels_for(chain, 4)
    given = observation(chain, mask_name)
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
    order = named_order(order_name, HEIGHT, WIDTH)
    if name == "local":
        order = orders.region_last(order, ~given["mask"])
    options = {"labels": labels_for(chain, 4), **given}
    cached, uncached = (
        sample(chain, 4, order, generator=generator(2), cached=each, **options)
        for each in (True, False)
    )
    assert torch.equal(cached, uncached)
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
    sample(chain, 4, generator=generator(0), **given)
    assert torch.equal(given["observed"], before)


@every_chain
def test_images_of_any_size_can_be_drawn(name, order_name):
    chain = make(name, channels=3, levels=3).double()
    for size in ((1, 1), (1, 5), (5, 1), (2, 2)):
        order, labels = named_order(order_name, *size), labels_for(chain, 2)
        cached, uncached = (
            sample(chain, 2, order, generator=generator(0), size=size, labels=labels, cached=each)
            for each in (True, False)
        )
        assert cached.shape == (2, 3, *size)
        assert torch.equal(cached, uncached)


@every_chain
@pytest.mark.parametrize("cached", [True, False])
def test_images_do_not_depend_on_an_autocast_around_them(name, order_name, cached):
    # At 256 levels half precision would move many a draw.
    chain, order = make(name, levels=256), named_order(order_name, HEIGHT, WIDTH)
    options = {"size": (HEIGHT, WIDTH), "labels": labels_for(chain, 4), "cached": cached}
    expected = sample(chain, 4, order, generator=generator(0), **options)
    with torch.autocast("cpu", torch.bfloat16):
        found = sample(chain, 4, order, generator=generator(0), **options)
    assert torch.equal(found, expected)


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
@pytest.mark.parametrize("cached", [True, False])
def test_images_are_drawn_as_often_as_they_are_probable(name, order_name, cached):
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
        cached=cached,
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


@pytest.mark.parametrize("cached", [True, False])
def test_the_mode_and_the_gradients_of_the_model_are_left_as_they_were(cached):
    chain = make("local")
    modes = []
    for mode in (True, False):
        chain.train(mode)
        images = sample(
            chain,
            2,
            size=(2, 2),
            cached=cached,
            watch=lambda *_: modes.append(chain.training),
        )
        assert chain.training == mode
        assert all(module.training == mode for module in chain.modules())
    # While it draws it is in eval mode.
    assert modes == [False] * 8
    assert all(weight.requires_grad and weight.grad is None for weight in chain.parameters())
    assert not images.requires_grad
    chain.train()
    with pytest.raises(ValueError, match="takes no labels"):
        sample(chain, 2, size=(2, 2), cached=cached, labels=torch.zeros(2, dtype=torch.long))
    assert chain.training


@pytest.mark.parametrize("cached", [True, False])
def test_a_watcher_sees_every_pixel_come(cached):
    chain = make("local", channels=3, levels=5)
    given = observation(chain, "scattered")
    order = orders.region_last(orders.hilbert(HEIGHT, WIDTH), ~given["mask"])
    seen = []
    final = sample(
        chain,
        4,
        order,
        generator=generator(0),
        cached=cached,
        watch=lambda known, images: seen.append((known, images.clone())),
        **given,
    )
    assert [known for known, _ in seen] == list(range(6, 13))
    for known, images in seen:
        for step, (row, column) in enumerate(order.tolist()):
            expected = final if step < known else torch.zeros_like(final)
            assert torch.equal(images[:, :, row, column], expected[:, :, row, column])


# What cannot be drawn


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_probabilities_that_are_no_numbers_are_refused(cached, channels):
    seen = []
    options = {"size": (3, 4), "cached": cached, "watch": lambda known, _: seen.append(known)}
    for weight in (torch.nan, torch.inf):
        chain = make("local", channels)
        with torch.no_grad():
            chain.first.bias[0] = weight
        with pytest.raises(ValueError, match=r"pixel \(0, 0\) are not numbers .* weights finite"):
            sample(chain, 2, **options)
        assert chain.training
    # Both times it stopped at the end of the first row.
    assert seen == [1, 2, 3] * 2
    # A level that is impossible is none the worse.
    chain = make("plain")
    with torch.no_grad():
        chain.head[-1].bias[0] = -torch.inf
    assert sample(chain, 2, size=(3, 4), cached=cached).all()


@pytest.mark.parametrize("cached", [True, False])
def test_the_pixel_whose_probabilities_are_no_numbers_is_named(cached):
    class Broken(PixelCNN):
        def logits(self, canvas, labels=None):
            found = super().logits(canvas, labels)
            pixels = canvas.pixels(torch.arange(12)) == 9
            return torch.where(pixels[:, None], torch.nan, found)

    torch.manual_seed(0)
    chain = Broken(width=4, depth=1, first_kernel=3)
    with pytest.raises(ValueError, match=r"the probabilities at pixel \(2, 1\) are not numbers"):
        sample(chain, 2, size=(3, 4), cached=cached)
    # Where the pixel was observed, it is not drawn.
    mask = torch.zeros(3, 4, dtype=torch.bool)
    mask[2, 1] = True
    observed = torch.ones(1, 3, 4, dtype=torch.long)
    assert sample(chain, 2, observed=observed, mask=mask, cached=cached)[:, 0, 2, 1].all()


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


@pytest.mark.parametrize("cached", [True, False])
def test_labels_that_do_not_fit_are_refused(cached):
    chain = make("gated with classes")
    for labels in (torch.zeros(3), torch.zeros(2, 1), torch.tensor(0)):
        with pytest.raises(ValueError, match=r"labels of shape .* expected \(2,\)"):
            sample(chain, 2, size=(2, 2), cached=cached, labels=labels.long())
    for labels in (torch.zeros(2), torch.zeros(2).bool(), [0, 1], 1):
        with pytest.raises(ValueError, match=r"labels are .*: expected whole numbers of shape"):
            sample(chain, 2, size=(2, 2), cached=cached, labels=labels)
    for low, high in ((-1, 2), (0, 3)):
        with pytest.raises(ValueError, match=f"labels go from {low} to {high}: .* from 0 to 2"):
            sample(chain, 2, size=(2, 2), cached=cached, labels=torch.tensor([low, high]))
    with pytest.raises(ValueError, match="class-conditional: labels are needed"):
        sample(chain, 2, size=(2, 2), cached=cached)
    with pytest.raises(ValueError, match="without classes takes no labels"):
        sample(make("gated"), 2, size=(2, 2), cached=cached, labels=torch.zeros(2).long())


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
