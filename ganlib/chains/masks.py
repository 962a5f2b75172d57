"""What each pixel may look at: masks of any generation order, kernel and dilation.

Pixels that see the same part of their neighbourhood form a group. Where every group is a regular
lattice, each is one dense convolution; else every pixel gathers what lies under its taps, a pixel
of zeros where a tap is masked. `layers` does the arithmetic.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ganlib.chains import orders
from ganlib.sizes import whole

# No network looks further. Beyond, the sums of taps and pixels would not fit their integers.
LARGEST_KERNEL, LARGEST_DILATION = 1023, 2**16


@dataclass(frozen=True)
class Group:
    """Pixels that see the same taps of the kernel; n pixels and t taps.

    taps: (t,) indices into the kernel's k·k positions, row by row. pixels: (n,), row·width +
    column. sources: (n, t), the pixel under each tap, height·width where that is outside the
    image. window: the taps as a mask, cropped to the rows and columns of the kernel that are used.
    corner: where in the kernel the window begins. lattice: the rows and the columns of the pixels
    as two slices, if they are regular.
    """

    taps: Tensor
    pixels: Tensor
    sources: Tensor
    window: Tensor
    corner: tuple[int, int]
    lattice: tuple[slice, slice] | None

    def to(self, device: torch.device | str) -> "Group":
        """The same group on another device."""
        tensors = (t.to(device) for t in (self.taps, self.pixels, self.sources, self.window))
        return Group(*tensors, self.corner, self.lattice)


@dataclass(frozen=True)
class Plan:
    """How a masked convolution visits an image.

    groups: the pixels by what they see; every pixel is in one. sources: (pixels, k·k),
    the pixel under each tap that is seen, height·width where the tap is masked or outside the
    image. observers: (pixels, k·k), the pixel that sees this one by each tap, or height·width:
    the gradient with respect to the input is gathered by it.
    """

    groups: tuple[Group, ...]
    sources: Tensor
    observers: Tensor

    @property
    def is_dense(self) -> bool:
        """Whether every group is a lattice, so that strided convolutions do it all."""
        return all(group.lattice is not None and len(group.taps) for group in self.groups)


def raster_mask(kernel: int, include_centre: bool = False) -> Tensor:
    """The mask of PixelCNN: (kernel, kernel), True above the centre and to the left of it.

    A type A mask leaves the centre out, a type B mask includes it (van den Oord et al., 2016a,
    section 3.4).
    """
    mask = torch.zeros(check_kernel(kernel) ** 2, dtype=torch.bool)
    mask[: kernel**2 // 2 + include_centre] = True
    return mask.reshape(kernel, kernel)


def local_masks(
    order: Tensor,
    height: int,
    width: int,
    kernel: int = 3,
    dilation: int = 1,
) -> Tensor:
    """Which neighbours are drawn before each pixel (Jain et al., 2020).

    Returns (height, width, kernel, kernel), bool: True under a tap whose
    pixel is in the image and comes earlier in `order`. The centre, the
    pixel itself, is False: a type A mask. Raises ValueError for an even
    kernel, or an order that is no permutation of the pixels.
    """
    times = orders.steps(order, height, width)
    neighbours = _neighbours(height, width, kernel, dilation)
    # What lies outside the image comes after every pixel.
    padded = torch.cat([times.flatten(), torch.tensor([height * width])])
    earlier = padded[neighbours] < times.reshape(-1, 1)
    return earlier.reshape(height, width, kernel, kernel)


def plan(
    order: Tensor,
    height: int,
    width: int,
    kernel: int = 3,
    dilation: int = 1,
    centre: bool = True,
    device: torch.device | str = "cpu",
) -> Plan:
    """Group the pixels by their masks under `order`, the centre included or not.

    The plans last asked for are kept, on their devices. Raises ValueError as `local_masks` does.
    """
    key = key_of_checked(orders.check(order, height, width))
    sizes = check_kernel(kernel), check_dilation(dilation), bool(centre)
    return plan_of_checked(key, height, width, *sizes, str(device))


def key_of_checked(order: Tensor) -> bytes:
    """What plans and masks of an order are kept under; the order must have been checked.

    A network's layers ask for their plans at every step, so its canvas checks the order and makes
    the key once for all of them.
    """
    return order.to(torch.int32).contiguous().cpu().numpy().tobytes()


@lru_cache(maxsize=256)
def plan_of_checked(
    key: bytes, height: int, width: int, kernel: int, dilation: int, centre: bool, device: str
) -> Plan:
    """`plan` for the key of an order that was checked."""
    sees = local_masks(_order_of(key), height, width, kernel, dilation)
    sees = sees.reshape(height * width, -1)
    sees[:, kernel**2 // 2] = centre
    return _group(sees, height, width, kernel, dilation, device)


# Masks are kept for later, so they must not be tensors of a caller's inference mode.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def masks_of_checked(key: bytes, height: int, width: int, kernel: int) -> Tensor:
    """`local_masks` for the key of an order that was checked; not to be changed."""
    return local_masks(_order_of(key), height, width, kernel)


def _order_of(key: bytes) -> Tensor:
    return torch.frombuffer(bytearray(key), dtype=torch.int32).long().reshape(-1, 2)


@lru_cache(maxsize=64)
def plan_everywhere(
    mask: tuple[bool, ...],
    height: int,
    width: int,
    kernel: int,
    dilation: int = 1,
    device: str = "cpu",
) -> Plan:
    """The plan of one mask for all pixels, given row by row as a tuple of kernel·kernel.

    Raises ValueError for sizes that are none or a mask of another size.
    """
    orders.check_sides(height, width)
    check_dilation(dilation)
    if len(mask) != check_kernel(kernel) ** 2 or not all(isinstance(tap, bool) for tap in mask):
        raise ValueError(f"mask={mask}: expected {kernel**2} of True and False, row by row")
    sees = torch.tensor(mask).repeat(height * width, 1)
    return _group(sees, height, width, kernel, dilation, device)


# Plans are kept for later, so they must not be tensors of a caller's inference mode.
@torch.inference_mode(False)
def _group(sees: Tensor, height: int, width: int, kernel: int, dilation: int, device: str) -> Plan:
    outside = height * width
    neighbours = _neighbours(height, width, kernel, dilation)
    # Where a tap falls outside the image, it reads zeros: its mask does not matter.
    inside = neighbours < outside
    seen = sees & inside
    groups = tuple(g.to(device) for g in _groups(seen, inside, neighbours, height, width))
    # A pixel lies under tap t of the pixel that its own tap of opposite sign points to.
    lookers = neighbours.flip(1)
    padded = torch.cat([seen, torch.zeros(1, kernel**2, dtype=torch.bool)])
    looked_at = padded[lookers, torch.arange(kernel**2)]
    sources = torch.where(seen, neighbours, outside).to(device)
    return Plan(groups, sources, torch.where(looked_at, lookers, outside).to(device))


def _groups(
    active: Tensor, matters: Tensor, sources: Tensor, height: int, width: int
) -> tuple[Group, ...]:
    """Merge pixels whose masks agree wherever both matter, the most constrained first."""
    rows, labels = torch.unique(torch.cat([active, matters], 1), dim=0, return_inverse=True)
    masks, constraints = rows.chunk(2, dim=1)
    merged, known = torch.zeros_like(masks), torch.zeros_like(masks)
    group_of, count = labels.new_zeros(len(rows)), 0
    for index in constraints.sum(1).argsort(descending=True, stable=True).tolist():
        mask, constraint = masks[index], constraints[index]
        differs = (merged[:count] != mask) & known[:count] & constraint
        agree = (~differs.any(dim=1)).nonzero().flatten()
        group = int(agree[0]) if len(agree) else count
        count = max(count, group + 1)
        merged[group] |= mask
        known[group] |= constraint
        group_of[index] = group
    groups = []
    for group, mask in enumerate(merged[:count]):
        pixels = (group_of[labels] == group).nonzero().flatten()
        taps = mask.nonzero().flatten()
        window, corner = _crop(mask)
        lattice = _lattice(pixels, height, width)
        groups.append(Group(taps, pixels, sources[pixels][:, taps], window, corner, lattice))
    return tuple(groups)


def _crop(mask: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The part of a kernel's mask that is used, and its upper left corner."""
    side = round(len(mask) ** 0.5)
    used = mask.reshape(side, side)
    rows, columns = used.any(dim=1).nonzero().flatten(), used.any(dim=0).nonzero().flatten()
    if not len(rows):
        return used[:0, :0], (0, 0)
    top, left = int(rows[0]), int(columns[0])
    return used[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], (top, left)


def _lattice(pixels: Tensor, height: int, width: int) -> tuple[slice, slice] | None:
    """Two slices that pick just these pixels, if there are any."""
    rows, columns = (pixels // width).unique(), (pixels % width).unique()
    if len(rows) * len(columns) != len(pixels):
        return None
    slices = []
    for ticks in (rows, columns):
        gaps = ticks.diff()
        if len(gaps) and (gaps != gaps[0]).any():
            return None
        step = int(gaps[0]) if len(gaps) else 1
        slices.append(slice(int(ticks[0]), int(ticks[-1]) + 1, step))
    return slices[0], slices[1]


def _neighbours(height: int, width: int, kernel: int, dilation: int) -> Tensor:
    """The pixel under every tap of every pixel: (height·width, kernel²); outside: height·width.

    Raises ValueError for a kernel or a dilation that is none.
    """
    reach = (torch.arange(check_kernel(kernel)) - kernel // 2) * check_dilation(dilation)
    rows = torch.arange(height)[:, None, None, None] + reach[:, None]
    columns = torch.arange(width)[:, None, None] + reach
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = torch.where(inside, rows * width + columns, height * width)
    return pixels.reshape(height * width, kernel**2)


def check_kernel(kernel: int, name: str = "kernel") -> int:
    """Return the kernel's side, or raise ValueError unless it is odd and at most 1023."""
    if not whole(name, kernel, 1, LARGEST_KERNEL) % 2:
        raise ValueError(f"{name}={kernel}: expected an odd number, so that a kernel has a centre")
    return int(kernel)


def check_dilation(dilation: int) -> int:
    """Return the dilation, or raise ValueError unless it is a whole number, 1 to 65536."""
    return whole("dilation", dilation, 1, LARGEST_DILATION)
