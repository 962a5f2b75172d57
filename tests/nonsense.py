"""Wrong shapes, types, sizes and values, to be fed to public functions.

A function either refuses them in a sentence (ValueError or TypeError) or gives a right answer; it
never fails in another way. `feed` is that check.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy
import torch
from hypothesis import strategies as st

NOT_FINITE = (math.nan, math.inf, -math.inf)

numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2, 10, 0.5, -0.5, 1.0, 1e-320, 1e308, *NOT_FINITE]),
    st.integers(-3, 40),
    st.floats(-3, 3),
)
things = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just(object()),
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
DTYPES = (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool, torch.bfloat16)


@st.composite
def tensors(draw: st.DrawFn, shapes: st.SearchStrategy = shapes) -> Any:
    """Of any shape and type, as tensor, array or nested lists, now and then not finite."""
    shape, dtype = draw(shapes), draw(st.sampled_from(DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * draw(
        st.sampled_from([1e-200, 1e-3, 1.0, 3.0, 1e60])
    )
    values = values.to(dtype) if dtype.is_floating_point else (values.clamp(-9, 9)).to(dtype)
    if dtype.is_floating_point and values.numel() and draw(st.booleans()):
        values.view(-1)[draw(st.integers(0, values.numel() - 1))] = draw(
            st.sampled_from(NOT_FINITE)
        )
    form = draw(st.sampled_from(["tensor", "tensor", "tensor", "array", "list"]))
    if form == "tensor":
        return values
    values = values.float() if dtype == torch.bfloat16 else values
    return values.numpy() if form == "array" else values.tolist()


anything = st.one_of(tensors(), things)


def feed(function: Callable, *arguments: Any, **named: Any) -> Any:
    """Call; None if it refuses with a sentence. Any other failure is passed on."""
    # A call that the function cannot even take would be refused whatever the values are.
    inspect.signature(function).bind(*arguments, **named)
    try:
        with numpy.errstate(all="ignore"):
            return function(*arguments, **named)
    except (ValueError, TypeError) as error:
        assert len(str(error)) > 10, f"a refusal without a reason: {error!r}"
        return None
