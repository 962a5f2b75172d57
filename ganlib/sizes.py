"""What every size of a network or an image is: a whole number of at least so many."""

from numbers import Integral


def whole(name: str, value: int, at_least: int = 1, at_most: int | None = None) -> int:
    """The value as an int, or ValueError that names it unless it is a whole number in range.

    A bool, a float or a tensor is no whole number here, even where its value is one.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or value < at_least
        or (at_most is not None and value > at_most)
    ):
        range_ = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"
        raise ValueError(f"{name}={value!r}: expected a whole number, {range_}")
    return int(value)
