"""Masks and plans against a loop over every pixel and every tap of its kernel."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlib.chains import masks, orders

KERNELS, DILATIONS = (1, 3, 5, 7), (1, 2, 3)
CURVES = {"raster": orders.raster, "s_curve": orders.s_curve, "hilbert": orders.hilbert}


def neighbour(pixel, tap, height, width, kernel, dilation):
    """The pixel under a tap, or None where that is outside the image."""
    row = pixel // width + (tap // kernel - kernel // 2) * dilation
    column = pixel % width + (tap % kernel - kernel // 2) * dilation
    return row * width + column if 0 <= row < height and 0 <= column < width else None


def seen_by_loops(order, height, width, kernel, dilation):
    """[pixel][tap]: whether what lies under the tap is in the image and drawn earlier."""
    step = {row * width + column: i for i, (row, column) in enumerate(order.tolist())}
    table = []
    for pixel in range(height * width):
        under = [neighbour(pixel, t, height, width, kernel, dilation) for t in range(kernel**2)]
        table.append([other is not None and step[other] < step[pixel] for other in under])
    return table


def random_order(height, width, seed):
    shuffled = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    return orders.raster(height, width)[shuffled]


@st.composite
def settings_of_masks(draw):
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    order = draw(st.permutations(orders.raster(height, width).tolist()))
    kernel, dilation = draw(st.sampled_from(KERNELS)), draw(st.sampled_from(DILATIONS))
    return torch.tensor(order), height, width, kernel, dilation


# Masks


@settings(deadline=None)
@given(settings_of_masks())
def test_local_masks_are_what_the_loops_find(setting):
    order, height, width, kernel, dilation = setting
    found = masks.local_masks(*setting)
    assert found.dtype == torch.bool and found.shape == (height, width, kernel, kernel)
    expected = seen_by_loops(order, height, width, kernel, dilation)
    assert found.reshape(height * width, -1).tolist() == expected


def test_the_raster_mask_is_van_den_oords():
    # A pixel depends on all rows above and on what is to its left; B lets it see itself.
    for kernel in KERNELS:
        centre = kernel // 2
        without, with_centre = (masks.raster_mask(kernel, each) for each in (False, True))
        for row, column in itertools.product(range(kernel), repeat=2):
            before = row < centre or (row == centre and column < centre)
            itself = (row, column) == (centre, centre)
            assert bool(without[row, column]) == before
            assert bool(with_centre[row, column]) == (before or itself)


def test_in_raster_order_the_local_mask_is_the_raster_mask_inside_the_image():
    for kernel, dilation in itertools.product(KERNELS, DILATIONS):
        side = 2 * (kernel // 2) * dilation + 1
        found = masks.local_masks(orders.raster(side, side), side, side, kernel, dilation)
        assert torch.equal(found[side // 2, side // 2], masks.raster_mask(kernel))


@pytest.mark.parametrize("wrong", [-1, 0, 2, 4, 3.0, True, None, 10**9 + 1])
def test_a_kernel_without_a_centre_is_refused(wrong):
    order, taps = orders.raster(3, 3), (True,) * 9
    even = isinstance(wrong, int) and wrong in (2, 4)
    message = "an odd number" if even else "a whole number, 1 to 1023"
    for make in (
        lambda: masks.raster_mask(wrong),
        lambda: masks.local_masks(order, 3, 3, wrong),
        lambda: masks.plan(order, 3, 3, wrong),
        lambda: masks.plan_everywhere(taps, 3, 3, wrong),
    ):
        with pytest.raises(ValueError, match=f"kernel={wrong}: expected {message}"):
            make()


@pytest.mark.parametrize("wrong", [-1, 0, 1.5, False, None, 2**62])
def test_a_dilation_of_no_pixels_is_refused(wrong):
    order, taps = orders.raster(3, 3), (True,) * 9
    for make in (
        lambda: masks.local_masks(order, 3, 3, 3, wrong),
        lambda: masks.plan(order, 3, 3, 3, wrong),
        lambda: masks.plan_everywhere(taps, 3, 3, 3, wrong),
    ):
        with pytest.raises(ValueError, match=f"dilation={wrong}: expected a whole number, 1 to"):
            make()


def test_a_mask_that_is_no_kernels_is_refused():
    for taps in ((True,) * 8, (1,) * 9, ()):
        with pytest.raises(ValueError, match="expected 9 of True and False, row by row"):
            masks.plan_everywhere(taps, 3, 3, 3)


def test_masks_of_what_is_no_order_are_refused():
    for make in (masks.local_masks, masks.plan):
        with pytest.raises(ValueError, match="no permutation of the pixels"):
            make(torch.zeros(9, 2, dtype=torch.long), 3, 3)


# Plans


def check_groups(groups, seen, height, width, kernel, dilation):
    """Every pixel is in one group, whose taps and sources are those that `seen` says.

    seen: [pixel][tap].
    """
    visited = torch.cat([group.pixels for group in groups]).tolist()
    assert sorted(visited) == list(range(height * width))
    for group in groups:
        taps = group.taps.tolist()
        assert len(set(taps)) == len(taps)
        assert group.sources.shape == (len(group.pixels), len(taps))
        for pixel, sources in zip(group.pixels.tolist(), group.sources.tolist(), strict=True):
            used = dict(zip(taps, sources, strict=True))
            for tap in range(kernel**2):
                other = neighbour(pixel, tap, height, width, kernel, dilation)
                if other is None:
                    # A tap outside the image may be in the group, but then reads zeros.
                    assert used.get(tap, height * width) == height * width
                else:
                    assert (tap in used) == seen[pixel][tap]
                    assert used.get(tap, other) == other


def check_tables(plan, seen, height, width, kernel, dilation):
    """`sources` and `observers` are what `seen` says, [pixel][tap], and all else is outside."""
    outside = height * width
    sources = [[outside] * kernel**2 for _ in seen]
    observers = [[outside] * kernel**2 for _ in seen]
    for pixel, taps in enumerate(seen):
        for tap, sees in enumerate(taps):
            other = neighbour(pixel, tap, height, width, kernel, dilation)
            if sees and other is not None:
                sources[pixel][tap] = other
                observers[other][tap] = pixel
    assert plan.sources.tolist() == sources and plan.observers.tolist() == observers


def check_lattices(plan, height, width):
    for group in plan.groups:
        if group.lattice is not None:
            rows, columns = group.lattice
            table = torch.arange(height * width).reshape(height, width)[rows, columns]
            assert table.flatten().tolist() == group.pixels.tolist()


@settings(deadline=None)
@given(settings_of_masks(), st.booleans())
def test_a_plan_sees_what_the_loops_find(setting, centre):
    order, *sizes = setting
    plan = masks.plan(order, *sizes, centre=centre)
    seen = seen_by_loops(order, *sizes)
    for row in seen:
        row[len(row) // 2] = centre
    check_groups(plan.groups, seen, *sizes)
    check_tables(plan, seen, *sizes)
    check_lattices(plan, *sizes[:2])


@settings(deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([1, 3, 5]),
    st.sampled_from(DILATIONS),
    st.data(),
)
def test_the_plan_of_one_mask_uses_it_everywhere(height, width, kernel, dilation, data):
    taps = st.lists(st.booleans(), min_size=kernel**2, max_size=kernel**2)
    mask = data.draw(taps)
    plan = masks.plan_everywhere(tuple(mask), height, width, kernel, dilation)
    assert len(plan.groups) == 1
    sizes = height, width, kernel, dilation
    seen = [mask] * (height * width)
    check_groups(plan.groups, seen, *sizes)
    check_tables(plan, seen, *sizes)
    check_lattices(plan, height, width)


@pytest.mark.parametrize(
    ("kernel", "dilation", "centre"), [(3, 1, False), (3, 3, True), (5, 2, False), (7, 1, True)]
)
@pytest.mark.parametrize(("name", "count"), [("raster", 1), ("s_curve", 2)])
def test_raster_is_one_dense_group_and_the_s_curve_two(name, count, centre, dilation, kernel):
    # So large that next to each other two rows hold a pixel whose whole window is in the image.
    # Then every pixel has a neighbour in its row that says which of the two groups it is in.
    side = 2 * (kernel // 2) * dilation + 2
    for size in ((side, side), (side, side + 1), (side + 3, side)):
        for order in orders.reflections(CURVES[name], *size):
            plan = masks.plan(order, *size, kernel, dilation, centre)
            assert len(plan.groups) == count and plan.is_dense


def test_a_plan_is_dense_only_if_lattices_do_it_all():
    assert not masks.plan(orders.hilbert(8, 8), 8, 8).is_dense
    # Nothing is seen through a kernel of one tap that leaves out its centre.
    assert not masks.plan(orders.raster(4, 4), 4, 4, kernel=1, centre=False).is_dense


def test_plans_of_different_orders_are_not_mixed_up():
    first, second = random_order(3, 4, 0), random_order(3, 4, 1)
    for order in (first, second, first):
        plan = masks.plan(order, 3, 4, centre=False)
        check_groups(plan.groups, seen_by_loops(order, 3, 4, 3, 1), 3, 4, 3, 1)
    # The same bytes read as an image of another shape.
    flat = random_order(1, 6, 2)
    check_groups(
        masks.plan(flat, 1, 6, centre=False).groups, seen_by_loops(flat, 1, 6, 3, 1), 1, 6, 3, 1
    )
