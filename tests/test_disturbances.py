"""Disturbances against scipy, brute force in numpy, and the distributions that they promise."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from ganlib.disturbances import (
    blur,
    contaminate,
    gaussian_noise,
    rectangles,
    salt_and_pepper,
    swirl,
)

pytestmark = pytest.mark.usefixtures("one_thread")

OTHERS = torch.linspace(-1, 1, 5)[:, None, None, None]


def contaminate_with_flats(images, share, generator=None):
    return contaminate(images, OTHERS.expand(-1, *images.shape[1:]), share, generator)


# Each takes images, a level and a generator, and has a level at which it changes much.
RANDOM = {
    "gaussian_noise": (gaussian_noise, 0.5),
    "rectangles": (rectangles, 0.5),
    "salt_and_pepper": (salt_and_pepper, 0.5),
    "contaminate": (contaminate_with_flats, 0.5),
}
CERTAIN = {
    "blur": (lambda images, level, generator=None: blur(images, level), 1.5),
    "swirl": (lambda images, level, generator=None: swirl(images, level), 2.0),
}
ALL = RANDOM | CERTAIN


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(count=6, channels=1, height=20, width=28, dtype=torch.float32):
    images = torch.rand(count, channels, height, width, generator=seeded(9), dtype=dtype)
    return images * 2 - 1


def within_errors(found, expected, count, errors=5):
    """Is a share of `count` tosses within some standard errors of its expectation?"""
    return abs(found - expected) <= errors * math.sqrt(expected * (1 - expected) / count)


# What all of them promise


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_level_zero_changes_nothing(name, channels, dtype):
    images = some_images(channels=channels, dtype=dtype)
    assert torch.equal(ALL[name][0](images, 0.0, seeded()), images)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_type_and_input_are_kept(name, channels, dtype):
    disturb, level = ALL[name]
    images = some_images(channels=channels, dtype=dtype)
    before = images.clone()
    for strength in (0.0, level):
        disturbed = disturb(images, strength, seeded())
        assert (disturbed.shape, disturbed.dtype) == (images.shape, dtype)
        assert torch.equal(images, before)
        disturbed.fill_(7.0)
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", ALL)
def test_images_are_changed_and_stay_in_the_range(name):
    disturb, level = ALL[name]
    # Flat images at the ends of the range are where a rounding leaves it.
    images = torch.cat([some_images(), torch.full((1, 1, 20, 28), -1.0), torch.ones(1, 1, 20, 28)])
    disturbed = disturb(images, level, seeded())
    assert not torch.equal(disturbed, images)
    assert disturbed.abs().max() <= 1


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_fixes_the_result_and_is_all_that_is_drawn_from(name):
    disturb, level = RANDOM[name]
    images = some_images()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (disturb(images, level, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_generator_torchs_own_is_drawn_from(name):
    disturb, level = RANDOM[name]
    torch.manual_seed(3)
    assert torch.equal(disturb(some_images(), level), disturb(some_images(), level, seeded(3)))


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(
    "share",
    [-0.01, 1.01, math.nan, math.inf, True, None, "0.5", torch.tensor(0.5)],
)
def test_a_share_outside_zero_to_one_is_refused(name, share):
    with pytest.raises(ValueError, match="share=.*expected a number from 0 to 1"):
        RANDOM[name][0](some_images(), share, seeded())


WRONG = {
    "none": None,
    "list": [[[[0.0]]]],
    "array": numpy.zeros((2, 1, 4, 4)),
    "one image": torch.zeros(1, 4, 4),
    "no image": torch.zeros(0, 1, 4, 4),
    "no pixel": torch.zeros(2, 1, 0, 4),
    "bytes": torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
    "halves": torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16),
    "range": torch.full((2, 1, 4, 4), 1.5),
    "NaN": torch.full((2, 1, 4, 4), math.nan),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_what_are_no_images_is_refused_at_every_level(name, wrong, level):
    images = WRONG[wrong]
    disturb = contaminate if name == "contaminate" else ALL[name][0]
    arguments = (OTHERS, level) if name == "contaminate" else (level,)
    with pytest.raises((ValueError, TypeError), match="images.*expected"):
        disturb(images, *arguments)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 5), (2, 1, 5, 1)])
def test_images_one_pixel_wide_will_do(name, shape):
    images = torch.rand(shape, generator=seeded()) * 2 - 1
    disturbed = ALL[name][0](images, 0.7, seeded())
    assert disturbed.shape == shape and disturbed.abs().max() <= 1


# Noise


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_noise_is_the_formula(share):
    images = some_images(channels=3)
    noise = torch.randn(images.shape, generator=seeded(2)).numpy().astype(float)
    exact = numpy.clip((1 - share) * images.numpy().astype(float) + share * noise, -1, 1)
    found = gaussian_noise(images, share, seeded(2)).numpy()
    # Products and a sum of numbers up to 5.
    assert numpy.abs(found - exact).max() <= 5 * 2.0**-22


def test_noise_shrinks_the_image_and_adds_its_own_deviation():
    share, level = 0.05, 0.5
    images = torch.full((20, 1, 30, 30), level, dtype=torch.float64)
    # The range ends more than ten deviations away, so nothing is cut.
    noisy = gaussian_noise(images, share, seeded()).flatten()
    count = len(noisy)
    assert noisy.mean().item() == pytest.approx(0.95 * level, abs=5 * share / math.sqrt(count))
    assert noisy.std().item() == pytest.approx(share, abs=5 * share / math.sqrt(2 * count))
    standard = ((noisy - 0.95 * level) / share).numpy()
    assert stats.kstest(standard, "norm").pvalue > 1e-6


def test_pure_noise_is_cut_as_often_as_a_normal_number_leaves_the_range():
    noisy = gaussian_noise(torch.zeros(20, 1, 30, 30), 1.0, seeded())
    for end in (-1, 1):
        share = (noisy == end).double().mean().item()
        assert within_errors(share, stats.norm.sf(1), noisy.numel())


# Blur


@pytest.mark.parametrize("deviation", [0.2, 0.5, 1.0, 1.7, 4.0, 12.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_scipys(deviation, channels):
    images = some_images(3, channels, dtype=torch.float64)
    exact = ndimage.gaussian_filter(
        images.numpy(), deviation, mode="nearest", axes=(2, 3), radius=math.ceil(4 * deviation)
    )
    assert numpy.abs(blur(images, deviation).numpy() - exact).max() <= 1e-13
    # Two sums of as many rounded products as the kernel is long.
    length = 2 * math.ceil(4 * deviation) + 1
    single = blur(images.float(), deviation).numpy()
    assert numpy.abs(single - exact).max() <= 2 * length * 2.0**-24 + 2.0**-22


def test_blur_of_a_point_is_a_gaussian_of_its_deviation():
    point = torch.full((1, 1, 41, 41), -1.0, dtype=torch.float64)
    point[..., 20, 20] = 1
    mass = (blur(point, 2.0) + 1)[0, 0] / 2
    assert mass.sum().item() == pytest.approx(1)
    offsets = torch.arange(41, dtype=torch.float64) - 20
    for marginal in (mass.sum(0), mass.sum(1)):
        # Four deviations hold all of the variance but 16 times two tails of 3e-5, and some.
        assert (marginal * offsets**2).sum().item() == pytest.approx(4.0, rel=2e-3)


@pytest.mark.parametrize("deviation", [-0.1, -math.inf, math.nan, math.inf, 1e6, True, None])
def test_a_deviation_that_is_no_number_of_pixels_is_refused(deviation):
    with pytest.raises(ValueError, match="deviation=.*expected"):
        blur(some_images(), deviation)


def test_a_deviation_of_next_to_nothing_changes_nothing():
    images = some_images()
    for deviation in (5e-324, 1e-50, 0.0199):
        assert torch.equal(blur(images, deviation), images)


# Rectangles


def covered_pixels(share, count, images=1, height=12, width=16, seed=0):
    """Which pixels of a sheet of paper were inked, bool (images, height, width)."""
    inked = rectangles(torch.full((images, 1, height, width), -1.0), share, seeded(seed), count)
    assert set(inked.unique().tolist()) <= {-1.0, 1.0}
    return (inked[:, 0] == 1).numpy()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 5])
def test_rectangles_are_those_of_brute_force(share, count):
    height, width = 12, 16
    draws = torch.rand(30, count, 4, generator=seeded(0)).tolist()
    covered = covered_pixels(share, count, 30, height, width)
    for image, rows in zip(covered, draws, strict=True):
        expected = numpy.zeros((height, width), bool)
        for tall, broad, down, right in rows:
            tall, broad = tall * share * height, broad * share * width
            top, left = down * (height - tall), right * (width - broad)
            for i in range(height):
                for j in range(width):
                    inside = top <= i + 0.5 < top + tall and left <= j + 0.5 < left + broad
                    expected[i, j] |= inside
        assert (image == expected).all()


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_every_pixel_is_covered_as_often_as_the_definition_says(share):
    def chances(length):
        """The chance of each tick's middle to be inside, averaged over the length of the side."""
        sizes = (numpy.arange(4000) + 0.5) / 4000 * share * length
        middle = numpy.arange(length)[:, None] + 0.5
        starts = numpy.minimum(middle, length - sizes) - numpy.maximum(middle - sizes, 0)
        return (numpy.maximum(starts, 0) / (length - sizes)).mean(1)

    images, count, height, width = 4000, 3, 6, 8
    one = chances(height)[:, None] * chances(width)
    expected = 1 - (1 - one) ** count
    found = covered_pixels(share, count, images, height, width).mean(0)
    errors = numpy.sqrt(expected * (1 - expected) / images)
    # The largest of 48 scores is above 5 with a chance of 3e-5; the grid of sizes adds little.
    assert (numpy.abs(found - expected) <= 5 * errors + 1e-3).all()


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_one_rectangle_is_whole_and_within_the_image(share, seed):
    height, width = 12, 16
    tall, broad, _, _ = torch.rand(1, 1, 4, generator=seeded(seed)).flatten().tolist()
    image = covered_pixels(share, 1, 1, height, width, seed)[0]
    rows, columns = image.any(1), image.any(0)
    assert (image == rows[:, None] & columns).all()
    for ticks, side in ((rows, tall * share * height), (columns, broad * share * width)):
        places = ticks.nonzero()[0]
        if len(places):
            assert len(places) == places[-1] - places[0] + 1
            # An interval of length s holds s middles, rounded up or down, if none of it is lost.
            assert abs(len(places) - side) < 1 + 1e-5


def test_sides_of_up_to_the_whole_image_can_cover_it():
    assert covered_pixels(1.0, 2000, 1, 4, 4).all()
    assert not covered_pixels(0.0, 2000, 1, 4, 4).any()


def test_rectangles_are_ink_in_every_channel_and_leave_the_rest():
    images = some_images(channels=3)
    inked = rectangles(images, 0.6, seeded(5))
    changed = inked != images
    assert (inked[changed] == 1).all() and changed.any() and not changed.all()
    assert torch.equal(changed[:, 0], changed[:, 1]) and torch.equal(changed[:, 0], changed[:, 2])


@pytest.mark.parametrize("count", [-1, 2.0, True, None])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="count=.*expected a whole number, 0 or more"):
        rectangles(some_images(), 0.5, seeded(), count)


# Swirl


def swirl_by_scikit_image(image, strength, radius):
    """Its documented mapping about the middle of the image, and scipy's interpolation."""
    height, width = image.shape
    rows, columns = numpy.mgrid[:height, :width].astype(float)
    x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
    distance = numpy.sqrt(x**2 + y**2)
    # "The transformation decays to approximately 1/1000th within the specified radius."
    extent = math.log(2) * radius / 5
    angle = numpy.arctan2(y, x) + strength * numpy.exp(-distance / extent)
    sources = [
        (height - 1) / 2 + distance * numpy.sin(angle),
        (width - 1) / 2 + distance * numpy.cos(angle),
    ]
    return ndimage.map_coordinates(image, sources, order=1, mode="nearest")


@pytest.mark.parametrize("strength", [-1.0, 0.5, 2.0, 4.0])
@pytest.mark.parametrize("radius", [None, 5.0, 40.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_swirl_is_scikit_images(strength, radius, channels):
    images = some_images(2, channels, dtype=torch.float64)
    width = images.shape[3]
    swirled = swirl(images, strength, radius).flatten(0, 1).numpy()
    for found, image in zip(swirled, images.flatten(0, 1).numpy(), strict=True):
        exact = swirl_by_scikit_image(image, strength, 2 * width if radius is None else radius)
        assert numpy.abs(found - exact).max() <= 1e-12


def test_swirl_in_single_precision_is_that_in_double():
    images = some_images(dtype=torch.float64)
    # Places are right to a few of 24 bits of 28 pixels, and neighbours differ by up to 2 an axis.
    error = 4 * 28 * 8 * 2.0**-24
    assert (swirl(images.float(), 2.0) - swirl(images, 2.0)).abs().max() <= error


def test_swirl_turns_the_centre_by_its_strength_and_the_far_edge_not_at_all():
    # A half turn about the middle pixel swaps its neighbours, where the radius is vast.
    images = some_images(height=5, width=5, dtype=torch.float64)
    turned = swirl(images, math.pi, radius=1e9)
    torch.testing.assert_close(turned, images.flip(2, 3), rtol=0, atol=1e-6)
    near = swirl(images, math.pi, radius=1e-3)
    torch.testing.assert_close(near, images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, True, "5"])
def test_a_radius_that_is_not_positive_is_refused(radius):
    with pytest.raises(ValueError, match="radius=.*expected a positive number"):
        swirl(some_images(), 1.0, radius)


@pytest.mark.parametrize("strength", [math.nan, math.inf, 1e300, None, True])
def test_a_strength_that_is_not_finite_is_refused(strength):
    with pytest.raises(ValueError, match="strength="):
        swirl(some_images(), strength)


# Salt and pepper


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_salt_and_pepper_hit_their_share_of_pixels_by_a_fair_coin(share):
    # Inside the range, so that every hit can be seen.
    images = some_images(40, 3) * 0.9
    spoilt = salt_and_pepper(images, share, seeded())
    hit = spoilt != images
    assert set(spoilt[hit].tolist()) == {-1.0, 1.0}
    assert (spoilt == spoilt[:, :1])[hit].all()
    assert torch.equal(hit[:, 0], hit[:, 1]) and torch.equal(hit[:, 0], hit[:, 2])
    pixels = hit[:, 0]
    assert within_errors(pixels.double().mean().item(), share, pixels.numel())
    ink = (spoilt[:, 0] == 1)[pixels].double()
    assert within_errors(ink.mean().item(), 0.5, len(ink))


def test_a_share_of_one_leaves_no_pixel():
    spoilt = salt_and_pepper(some_images(), 1.0, seeded())
    assert set(spoilt.unique().tolist()) == {-1.0, 1.0}


# Contamination


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.floats(0, 1), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_share_is_replaced_and_the_rest_stays_in_place(count, share, size, seed):
    images = torch.linspace(-0.9, -0.1, count).reshape(count, 1, 1, 1).expand(-1, 3, 2, 2)
    others = torch.linspace(0.1, 0.9, size).reshape(size, 1, 1, 1).expand(-1, 3, 2, 2)
    mixed = contaminate(images, others, share, seeded(seed))
    replaced = (mixed > 0).flatten(1).all(1)
    # Python rounds a half to the even number; the promise is the nearest, either will do.
    assert abs(int(replaced.sum()) - share * count) <= 0.5
    assert torch.equal(mixed[~replaced], images[~replaced])
    known = {tuple(other.flatten().tolist()) for other in others}
    assert {tuple(image.flatten().tolist()) for image in mixed[replaced]} <= known


def test_contamination_picks_places_and_others_evenly():
    images, others = torch.zeros(10, 1, 1, 1), torch.tensor([0.25, 0.5, 0.75, 1.0])
    others = others.reshape(4, 1, 1, 1)
    source, runs = seeded(), 2000
    mixed = torch.stack([contaminate(images, others, 0.3, source).flatten() for _ in range(runs)])
    assert ((mixed != 0).sum(1) == 3).all()
    for share in (mixed != 0).double().mean(0).tolist():
        assert within_errors(share, 0.3, runs)
    picked = mixed[mixed != 0]
    for other in others.flatten().tolist():
        assert within_errors((picked == other).double().mean().item(), 0.25, len(picked))
    # With 3 draws out of 4, all different in 3/8 of runs: so they are drawn with replacement.
    distinct = [len(set(row[row != 0].tolist())) == 3 for row in mixed]
    assert within_errors(sum(distinct) / runs, 3 / 8, runs)


def test_contamination_of_all_leaves_none_and_casts_the_others():
    images = some_images(dtype=torch.float64)
    others = torch.full((1, 1, 20, 28), 0.1)
    mixed = contaminate(images, others, 1.0, seeded())
    assert mixed.dtype == torch.float64
    assert torch.equal(mixed, others.double().expand_as(mixed))


@pytest.mark.parametrize("shape", [(0, 1, 20, 28), (4, 3, 20, 28), (4, 1, 28, 20), (4, 1, 20)])
def test_others_that_cannot_take_a_place_are_refused(shape):
    with pytest.raises(ValueError) as caught:
        contaminate(some_images(), torch.zeros(shape), 0.5)
    assert all(words in str(caught.value) for words in (str(shape), "(1, 20, 28)", "expected"))


@pytest.mark.parametrize(
    "others", [None, torch.zeros(3, 1, 20, 28).byte(), torch.full((3, 1, 20, 28), math.nan)]
)
def test_others_that_are_no_images_are_refused(others):
    with pytest.raises((ValueError, TypeError), match="others.*expected"):
        contaminate(some_images(), others, 0.5)
