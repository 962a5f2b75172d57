"""Influence against finite differences, blind spots against a walk through the masks."""

import pytest
import torch

from ganlib.chains import (
    GatedPixelCNN,
    LMConv,
    PixelCNN,
    blind_spot,
    influence,
    log_likelihood,
    orders,
    receptive_field,
)
from ganlib.chains.layers import Whole


def shuffled(height, width):
    permutation = torch.randperm(height * width, generator=torch.Generator().manual_seed(3))
    return orders.raster(height, width)[permutation]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [PixelCNN, GatedPixelCNN, LMConv])
def test_influence_is_where_finite_differences_are(kind, channels):
    torch.manual_seed(0)
    height, width = 3, 4
    chain = kind(channels, 3, width=8 * channels, depth=2, first_kernel=3).double()
    order = shuffled(height, width) if kind is LMConv else orders.raster(height, width)
    found = influence(chain, height, width, order, pictures=2) > 0
    # Step by step in generation order: change one input, see which logits change at all.
    steps = [
        (int(row) * width + int(column), channel)
        for row, column in order
        for channel in range(channels)
    ]
    changed = torch.zeros_like(found)
    for _ in range(8):
        picture = torch.randn(1, height * width, channels, dtype=torch.float64)
        before = chain.logits(Whole(picture, order, height, width)).unflatten(2, (channels, 3))
        for j, (pixel, channel) in enumerate(steps):
            nudged = picture.clone()
            nudged[0, pixel, channel] += 0.5
            after = chain.logits(Whole(nudged, order, height, width)).unflatten(2, (channels, 3))
            moved = (after != before).any(dim=3)[0]
            for i, (other, its_channel) in enumerate(steps):
                changed[i, j] |= moved[other, its_channel]
    # A difference of 0.5 crosses more kinks than a gradient sees, so it may show more.
    assert not (found & ~changed).any()
    assert not changed.triu().any()
    assert (found == changed).double().mean() > 0.97


def reachable(kernel, layers, height, width):
    """Which pixels a stack of raster masks sees, by walking from pixel to pixel."""
    radius = kernel // 2
    steps = [
        (row, column)
        for row in range(-radius, 1)
        for column in range(-radius, radius + 1)
        if (row, column) < (0, 0)
    ]
    sees = torch.zeros(height, width, height, width, dtype=torch.bool)
    for row in range(height):
        for column in range(width):
            border, seen = {(row, column)}, set()
            for _ in range(layers):
                border = {(r + a, c + b) for r, c in border for a, b in steps}
                border = {(r, c) for r, c in border if 0 <= r < height and 0 <= c < width}
                seen |= border
            for r, c in seen:
                sees[row, column, r, c] = True
    return sees


@pytest.mark.parametrize("kernel, depth", [(3, 2), (3, 6), (5, 3)])
def test_the_blind_spot_is_what_no_walk_through_the_masks_reaches(kernel, depth):
    torch.manual_seed(1)
    height, width = 5, 6
    chain = PixelCNN(width=12, depth=depth, kernel=kernel, first_kernel=kernel).double()
    raster = orders.raster(height, width)
    found = blind_spot(influence(chain, height, width, pictures=6), raster, height, width)
    earlier = torch.arange(30)[:, None] > torch.arange(30)
    expected = earlier.reshape(found.shape) & ~reachable(kernel, depth, height, width)
    assert expected.any()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel, depth", [(3, 1), (3, 2), (5, 3)])
def test_the_receptive_field_is_what_a_walk_reaches(kernel, depth):
    height, width = 5, 6
    chain = PixelCNN(width=2, depth=depth, kernel=kernel, first_kernel=kernel)
    stack = [chain.first, *chain.convolutions]
    found = receptive_field(stack, orders.raster(height, width), height, width)
    expected = reachable(kernel, depth, height, width)
    torch.testing.assert_close(found, expected.reshape(found.shape))


@pytest.mark.parametrize("dilations", [(1,), (1, 2)])
def test_the_receptive_field_holds_every_influence_in_any_order(dilations):
    torch.manual_seed(4)
    height, width = 4, 5
    chain = LMConv(width=24, depth=3, first_kernel=3, dilations=dilations).double()
    for order in (shuffled(height, width), orders.hilbert(height, width)):
        found = receptive_field([chain.first, *chain.convolutions], order, height, width)
        pixels = order[:, 0] * width + order[:, 1]
        slopes = influence(chain, height, width, order, pictures=6)
        torch.testing.assert_close(slopes > 0, found[pixels][:, pixels])


def test_the_blind_spot_follows_the_order():
    # Nothing influences anything: every earlier pixel is unseen, in the order's own sense.
    order = shuffled(2, 3)
    unseen = blind_spot(torch.zeros(6, 6), order, 2, 3)
    for step, (row, column) in enumerate(order.tolist()):
        assert int(unseen[row, column].sum()) == step


def test_what_has_no_influence_blind_spot_or_field_is_refused():
    chain = LMConv(width=4, depth=1, first_kernel=3)
    for wrong in (0, -1, True, 1.0):
        with pytest.raises(ValueError, match=f"pictures={wrong}: expected a whole number, 1 or"):
            influence(chain, 2, 3, pictures=wrong)
    order = orders.raster(2, 3)
    for wrong in (torch.zeros(5, 5), torch.zeros(36), None, torch.zeros(6, 6, 1)):
        with pytest.raises(ValueError, match=r"influences are .*: expected shape \(6, 6\)"):
            blind_spot(wrong, order, 2, 3)
    with pytest.raises(ValueError, match="some influence is not a real number"):
        blind_spot(torch.full((6, 6), torch.nan), order, 2, 3)
    with pytest.raises(ValueError, match="no permutation"):
        blind_spot(torch.zeros(6, 6), torch.zeros(6, 2).long(), 2, 3)
    for wrong in ([], [chain], [chain.first, None]):
        with pytest.raises(ValueError, match="expected one or more masked convolutions"):
            receptive_field(wrong, order, 2, 3)
    with pytest.raises(ValueError, match="an order of a 3 × 3 image"):
        receptive_field([chain.first], order, 3, 3)


def test_influence_does_not_depend_on_an_autocast_around_it():
    torch.manual_seed(5)
    chain = GatedPixelCNN(width=4, depth=2, first_kernel=3, classes=2)
    found = []
    for enabled in (False, True):
        draws = torch.Generator().manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), torch.no_grad():
            found.append(influence(chain, 3, 3, labels=torch.tensor([1]), generator=draws))
    assert torch.equal(*found) and found[0].any()


def test_labels_and_batches_that_do_not_fit_are_refused():
    conditional = GatedPixelCNN(width=4, depth=1, classes=3)
    images = torch.zeros(4, 1, 3, 3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"labels of shape \(1,\): expected \(4,\)"):
        conditional(images, labels=torch.tensor([1]))
    with pytest.raises(ValueError, match=r"labels of shape \(5,\): expected \(4,\)"):
        log_likelihood(conditional, images, labels=torch.zeros(5, dtype=torch.long), batch_size=2)
    for wrong in (0, True, 2.0):
        with pytest.raises(ValueError, match=f"batch_size={wrong}: expected a whole number"):
            log_likelihood(PixelCNN(width=4, depth=1), images, batch_size=wrong)
