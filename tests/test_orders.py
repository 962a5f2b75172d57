"""Generation orders against their definitions, Hilbert's textbook algorithm and brute force."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganlib.chains import orders

CURVES = {"raster": orders.raster, "s_curve": orders.s_curve, "hilbert": orders.hilbert}
SIZES = list(itertools.product(range(1, 25), repeat=2))
LONG = [(1, 9), (9, 1), (3, 40), (40, 3), (28, 28), (27, 28), (28, 27), (33, 64), (64, 33)]


def pixels(order):
    return [tuple(pixel) for pixel in order.tolist()]


def is_permutation(order, height, width):
    return sorted(pixels(order)) == list(itertools.product(range(height), range(width)))


@st.composite
def orders_and_regions(draw):
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    every_pixel = list(itertools.product(range(height), range(width)))
    order = draw(st.permutations(every_pixel))
    flags = draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    return torch.tensor(order), torch.tensor(flags).reshape(height, width)


# The curves


def test_raster_reads_row_after_row():
    assert pixels(orders.raster(2, 3)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for height, width in SIZES:
        expected = [(row, column) for row in range(height) for column in range(width)]
        assert pixels(orders.raster(height, width)) == expected


def test_the_s_curve_turns_round_at_the_end_of_every_row():
    expected = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert pixels(orders.s_curve(3, 3)) == expected
    for height, width in SIZES:
        expected = [
            (row, column if row % 2 == 0 else width - 1 - column)
            for row in range(height)
            for column in range(width)
        ]
        assert pixels(orders.s_curve(height, width)) == expected


def textbook_hilbert(side, distance):
    """Hilbert's curve from its distance to (x, y), quadrant by quadrant (Warren, 2013, ch. 16)."""
    x = y = 0
    scale = 1
    while scale < side:
        right = 1 & (distance // 2)
        up = 1 & (distance ^ right)
        if up == 0:
            if right == 1:
                x, y = scale - 1 - x, scale - 1 - y
            x, y = y, x
        x, y = x + scale * right, y + scale * up
        distance //= 4
        scale *= 2
    return x, y


@pytest.mark.parametrize("power", range(6))
def test_hilbert_is_hilberts_curve_on_squares_of_two_to_the_n(power):
    side = 2**power
    points = [textbook_hilbert(side, distance) for distance in range(side * side)]
    # x is the column, y the row: both curves go from the first pixel to the end of the first row.
    assert pixels(orders.hilbert(side, side)) == [(y, x) for x, y in points]


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_visits_every_pixel_once(name):
    for height, width in SIZES + LONG:
        order = CURVES[name](height, width)
        assert order.dtype == torch.long and order.shape == (height * width, 2)
        assert is_permutation(order, height, width)
        assert orders.check(order, height, width) is order


@pytest.mark.parametrize("name", ["s_curve", "hilbert"])
def test_continuous_curves_only_step_to_adjacent_pixels(name):
    for height, width in SIZES + LONG:
        order = CURVES[name](height, width)
        visits = pixels(order)
        lengths = {
            abs(row - next_row) + abs(column - next_column)
            for (row, column), (next_row, next_column) in itertools.pairwise(visits)
        }
        assert lengths <= {1}, (height, width)
        assert not orders.has_jumps(order)


def test_raster_jumps_wherever_it_has_two_rows_and_columns():
    for height, width in itertools.product(range(1, 5), repeat=2):
        assert orders.has_jumps(orders.raster(height, width)) == (height > 1 and width > 1)
    assert orders.has_jumps(torch.tensor([[0, 0], [1, 1]]))
    assert orders.has_jumps(torch.tensor([[0, 0], [0, 0]]))


@pytest.mark.parametrize("name", CURVES)
def test_an_image_of_no_size_is_refused(name):
    for wrong in (0, -1, True, 2.0, "3", None, torch.tensor(3)):
        for side, sides in (("height", (wrong, 3)), ("width", (3, wrong))):
            with pytest.raises(ValueError, match=f"{side}=.*: expected a whole number, 1 or more"):
                CURVES[name](*sides)
    for sides in ((2**40, 2**40), (1, 2**24 + 1), (4097, 4096)):
        with pytest.raises(ValueError, match="expected 16777216 pixels or fewer"):
            CURVES[name](*sides)


def test_a_curve_that_gives_no_order_has_no_reflections():
    for curve in (
        lambda height, width: None,
        lambda height, width: orders.raster(height, width)[1:],
        lambda height, width: orders.raster(width, height),
        lambda height, width: torch.zeros(height * width, 2, dtype=torch.long),
    ):
        with pytest.raises(ValueError, match="an order of a|the order leaves|no permutation"):
            orders.reflections(curve, 2, 3)


# Reflections


def times(order, height, width):
    """The step at which each pixel is visited, as rows of a table: what an order looks like."""
    table = [[-1] * width for _ in range(height)]
    for step, (row, column) in enumerate(order.tolist()):
        table[row][column] = step
    return tuple(map(tuple, table))


def transposed(table):
    return tuple(zip(*table, strict=True))


def upside_down(table):
    return table[::-1]


def mirrored(table):
    return tuple(row[::-1] for row in table)


@pytest.mark.parametrize("size", [(1, 5), (4, 4), (6, 4)])
@pytest.mark.parametrize("name", CURVES)
def test_reflections_are_what_mirrors_and_transposition_make_of_the_curve(name, size):
    height, width = size
    curve = CURVES[name]
    found = orders.reflections(curve, height, width)
    assert len(found) == 8
    assert torch.equal(found[0], curve(height, width))
    assert all(is_permutation(order, height, width) for order in found)
    expected = set()
    for table in (
        times(curve(height, width), height, width),
        transposed(times(curve(width, height), width, height)),
    ):
        half = {table, upside_down(table)}
        expected |= half | {mirrored(each) for each in half}
    assert {times(order, height, width) for order in found} == expected
    # No two of them are the same picture twice, unless the curve itself is symmetric.
    assert len({times(order, height, width) for order in found}) == len(expected)


@pytest.mark.parametrize("name", ["raster", "s_curve"])
def test_the_eight_reflections_are_all_distinct(name):
    for size in ((2, 2), (3, 3), (4, 4), (2, 3), (5, 2), (3, 6), (6, 7)):
        found = orders.reflections(CURVES[name], *size)
        assert len({tuple(pixels(order)) for order in found}) == 8


@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
@pytest.mark.parametrize("name", CURVES)
def test_reflecting_the_image_only_shuffles_the_reflections(name, size):
    height, width = size
    tables = {times(order, height, width) for order in orders.reflections(CURVES[name], *size)}
    assert {upside_down(table) for table in tables} == tables
    assert {mirrored(table) for table in tables} == tables
    across = {
        times(order, width, height) for order in orders.reflections(CURVES[name], *size[::-1])
    }
    assert {transposed(table) for table in tables} == across


# Regions that come last


@settings(deadline=None)
@given(orders_and_regions())
def test_region_last_is_a_stable_partition(order_and_region):
    order, region = order_and_region
    inside = [pixel for pixel in pixels(order) if region[pixel]]
    outside = [pixel for pixel in pixels(order) if not region[pixel]]
    last = orders.region_last(order, region)
    assert pixels(last) == outside + inside
    assert orders.visits_last(last, region)


@settings(deadline=None)
@given(orders_and_regions())
def test_visits_last_is_no_outsider_after_an_insider(order_and_region):
    order, region = order_and_region
    flags = [bool(region[pixel]) for pixel in pixels(order)]
    broken = any(flags[i] and not flags[j] for i, j in itertools.combinations(range(len(flags)), 2))
    assert orders.visits_last(order, region) == (not broken)


def test_a_region_of_another_size_is_refused():
    region = torch.ones(3, 3, dtype=torch.bool)
    for function in (orders.region_last, orders.visits_last):
        with pytest.raises(ValueError, match=r"an order of a 3 × 3 image .* shape \(9, 2\)"):
            function(orders.raster(2, 3), region)
        for wrong in (region.float(), region.long(), region[0], region[None], region.tolist()):
            with pytest.raises(ValueError, match=r"region is .*: expected bool of shape \(height"):
                function(orders.raster(3, 3), wrong)
        with pytest.raises(ValueError, match="height=0: expected a whole number"):
            function(orders.raster(3, 3), region[:0])


# Times and counts


@settings(deadline=None)
@given(orders_and_regions())
def test_steps_and_positions_are_inverse_to_each_other(order_and_region):
    order, region = order_and_region
    height, width = region.shape
    assert orders.positions(order, width).tolist() == [r * width + c for r, c in pixels(order)]
    table = orders.steps(order, height, width)
    assert tuple(map(tuple, table.tolist())) == times(order, height, width)


def test_what_is_no_order_has_no_steps_positions_or_jumps():
    for wrong in (None, [(0, 0)], torch.zeros(3), torch.zeros(3, 2), torch.zeros(3, 3).long()):
        for function in (
            orders.has_jumps,
            lambda order: orders.positions(order, 3),
            lambda order: orders.steps(order, 1, 3),
        ):
            with pytest.raises(ValueError, match="is a LongTensor of shape"):
                function(wrong)
    with pytest.raises(ValueError, match="no permutation"):
        orders.steps(torch.zeros(3, 2, dtype=torch.long), 1, 3)


# What is no order


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (torch.zeros(5, 2, dtype=torch.long), r"LongTensor of shape \(6, 2\) .* shape \(5, 2\)"),
        (torch.zeros(6, dtype=torch.long), r"LongTensor of shape \(6, 2\) .* shape \(6,\)"),
        (torch.zeros(2, 6, dtype=torch.long), r"LongTensor of shape \(6, 2\) .* shape \(2, 6\)"),
        (orders.raster(2, 3).int(), r"LongTensor .* this is torch.int32"),
        (orders.raster(2, 3).float(), r"LongTensor .* this is torch.float32"),
        (orders.raster(2, 3).tolist(), r"LongTensor .* this is list"),
        (None, r"LongTensor .* this is NoneType"),
        (orders.raster(3, 2), r"leaves the 2 × 3 image: its rows go from 0 to 2"),
        (orders.raster(2, 3) - 1, r"leaves the 2 × 3 image: its rows go from -1 to 0"),
        (orders.raster(2, 3) + torch.tensor([0, 1]), r"columns from 1 to 3"),
        (
            torch.tensor([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [0, 1]]),
            r"no permutation of the pixels: 2 of 6 .* first being \(0, 1\), visited 2 times",
        ),
        (
            torch.tensor([[0, 1], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]),
            r"no permutation of the pixels: 2 of 6 .* first being \(0, 0\), visited 0 times",
        ),
    ],
)
def test_check_says_what_was_expected(order, message):
    with pytest.raises(ValueError, match=message):
        orders.check(order, 2, 3)


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.data(),
)
def test_check_accepts_permutations_and_nothing_else(height, width, data):
    pixel = st.tuples(st.integers(-1, height), st.integers(-1, width))
    every_pixel = list(itertools.product(range(height), range(width)))
    visits = data.draw(
        st.one_of(
            st.permutations(every_pixel),
            st.lists(pixel, min_size=height * width, max_size=height * width),
        )
    )
    order = torch.tensor(visits)
    if sorted(visits) == every_pixel:
        assert orders.check(order, height, width) is order
    else:
        with pytest.raises(ValueError, match="leaves the|no permutation"):
            orders.check(order, height, width)
