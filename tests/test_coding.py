"""Images to bits and back: nothing is lost, and nothing is spent but what the chain says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_chains import generator, make, named_order

from ganlib.chains import decode, encode, log_likelihood
from ganlib.chains.coding import TOTAL, Decoder, Encoder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "order_name", "channels", "levels"),
    [
        ("plain", "raster", 1, 2),
        ("plain", "raster", 3, 5),
        ("gated", "raster", 3, 2),
        ("local", "s_curve", 1, 256),
        ("local", "random 0", 1, 3),
    ],
)
def test_images_come_back_as_they_were(name, order_name, channels, levels):
    chain, order = make(name, channels, levels), named_order(order_name, 4, 5)
    images = torch.randint(levels, (6, channels, 4, 5), generator=generator(0))
    stream = encode(chain, images, order)
    assert torch.equal(decode(chain, stream, 6, order, size=(4, 5)), images)
    bits = -float(log_likelihood(chain, images, order).sum()) / math.log(2)
    # A byte is not always full, two bits end the stream, and a probability has 16 bits.
    slack = 10 + 20 * 6 * channels * levels / TOTAL / math.log(2) + 0.01 * bits
    assert abs(8 * len(stream) - bits) <= slack


@settings(deadline=None)
@given(st.data())
def test_intervals_come_back_as_levels(data):
    encoder, tables, levels = Encoder(), [], []
    for _ in range(data.draw(st.integers(1, 40))):
        cuts = data.draw(st.sets(st.integers(1, TOTAL - 1), max_size=5))
        tables.append([0, *sorted(cuts), TOTAL])
        levels.append(data.draw(st.integers(0, len(cuts))))
        encoder.put(tables[-1][levels[-1]], tables[-1][levels[-1] + 1])
    bits = encoder.finish()
    decoder = Decoder(bits)
    assert [decoder.level(table) for table in tables] == levels
    spent = sum(
        math.log2(TOTAL / (table[level + 1] - table[level]))
        for table, level in zip(tables, levels, strict=True)
    )
    assert spent - 1e-6 <= len(bits) <= spent + 2.1


def test_what_cannot_be_coded_is_refused():
    chain = make("plain", levels=3)
    with pytest.raises(ValueError, match="pixels go from 0 to 3"):
        encode(chain, torch.tensor([[[[0, 3]]]]))
    with pytest.raises(ValueError, match="expected whole numbers of shape"):
        encode(chain, torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match="count=0: expected a whole number, 1 or more"):
        decode(chain, b"", 0)
