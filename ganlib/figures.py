"""The book's one figure style, the plots that chapters share, and what a page shows of the code.

Figures have no background and use greys and hues that read on white and on black alike.
"""

import inspect
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

GREY = "#808080"
# Okabe and Ito's palette, which colour-blind readers can tell apart; one hue a role.
DATA, GENERATOR, DISCRIMINATOR, OTHER = "#0a84c6", "#009e73", "#e0701a", "#c76b9f"


def use_style() -> None:
    """Set matplotlib's defaults to the book's style."""
    plt.rcParams.update(
        {
            "figure.facecolor": "none",
            "figure.dpi": 140,
            "figure.figsize": (7.0, 2.8),
            "figure.constrained_layout.use": True,
            "axes.facecolor": "none",
            "axes.edgecolor": GREY,
            "axes.labelcolor": GREY,
            "axes.titlecolor": GREY,
            "axes.titlesize": 10,
            "axes.labelsize": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[DATA, DISCRIMINATOR, GENERATOR, OTHER, GREY]),
            "text.color": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.linewidth": 1.8,
        }
    )


def show_images(
    images: Tensor, columns: int, axes: Axes | None = None, gap: int = 1, title: str = ""
) -> Axes:
    """Draw images as one table, row by row, dark ink on light paper or in colour.

    images: (count, 1 or 3, height, width) in [-1, 1]; count is a multiple of `columns`, or the
    last row stays short. gap: pixels between images, which stay transparent.
    """
    pixels = images.detach().float().cpu().clamp(-1, 1).permute(0, 2, 3, 1).numpy()
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    shape = rows * (height + gap) + gap, columns * (width + gap) + gap
    table = numpy.full((*shape, channels), numpy.nan)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        table[top : top + height, left : left + width] = image
    if channels == 1:
        table = table[..., 0]
    else:
        opaque = ~numpy.isnan(table[..., :1])
        table = numpy.concatenate([numpy.nan_to_num((table + 1) / 2), opaque], axis=2)
    if axes is None:
        inches = 7.0 / table.shape[1] if columns > 8 else 0.42 / width
        axes = plt.figure(figsize=(table.shape[1] * inches, table.shape[0] * inches)).gca()
    axes.imshow(table, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title)
    return axes


def show_losses(losses: Mapping[str, numpy.ndarray], smooth: int = 50) -> Figure:
    """Plot every player's loss in nats by step, faint, with a running mean over `smooth` steps."""
    figure, axes = plt.subplots()
    colours = {"discriminator": DISCRIMINATOR, "generator": GENERATOR}
    for player, values in losses.items():
        colour = colours.get(player, OTHER)
        axes.plot(values, color=colour, alpha=0.2, linewidth=0.6)
        window = max(1, min(smooth, len(values) // 4))
        mean = numpy.convolve(values, numpy.ones(window) / window, mode="valid")
        axes.plot(numpy.arange(len(mean)) + window // 2, mean, color=colour, label=player)
    axes.set(xlabel="round", ylabel="loss (nats)")
    axes.legend()
    return figure


def show_source(*objects: object) -> None:
    """Show the source code of library objects on the page, as it is in the library."""
    from IPython.display import Markdown, display

    code = "\n\n".join(textwrap.dedent(inspect.getsource(o)).rstrip() for o in objects)
    display(Markdown(f"```python\n{code}\n```"))


def glue(**values: float | str) -> None:
    """Give values names by which the page's prose can quote them with the role `glue:text`.

    This is the protocol of myst-nb's `glue`, without asking a reader to install a book builder.
    """
    from IPython.display import display

    mime = "application/papermill.record/"
    for name, value in values.items():
        display(
            {mime + "text/plain": repr(value)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": mime}},
        )


def panels(count: int, titles: Sequence[str] = (), **options: object) -> tuple[Figure, list[Axes]]:
    """A row of `count` axes; options go to `plt.subplots`."""
    figure, axes = plt.subplots(1, count, squeeze=False, **options)
    for panel, title in zip(axes[0], titles, strict=False):
        panel.set_title(title)
    return figure, list(axes[0])
