"""The book's one figure style, the plots that chapters share, and what a page shows of the code.

Figures have no background and use greys and hues that read on white and on black alike.
"""

import inspect
import json
import math
import re
import textwrap
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from string import Template

import matplotlib.pyplot as plt
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ganlib.sizes import whole

# As far from white as from the dark pages' ground, 4.1 and 4.3 to 1; below half of full light, or
# JupyterLab would take it for light text and lay a dark ground under every figure.
GREY = "#7d7d7d"
# Okabe and Ito's palette, which colour-blind readers can tell apart; one hue a role.
DATA, GENERATOR, DISCRIMINATOR, OTHER = "#0a84c6", "#009e73", "#e0701a", "#c76b9f"
ROLES = {
    "discriminator": DISCRIMINATOR,
    "critic": DISCRIMINATOR,
    "judge": DISCRIMINATOR,
    "generator": GENERATOR,
}
# The hues of players that have no role of their own.
WITHOUT_ROLE = (OTHER, DATA, GREY)


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
    images: Tensor | numpy.ndarray,
    columns: int,
    axes: Axes | None = None,
    gap: int = 1,
    title: str = "",
    rows: Sequence[str] = (),
) -> Axes:
    """Draw images as one table, row by row, dark ink on light paper or in colour.

    images: floats, (count, 1 or 3, height, width) in [-1, 1], clamped to that; count is a multiple
    of `columns`, or the last row stays short. gap: pixels between images, which stay transparent.
    rows: what stands to the left of each row, if anything does.
    Raises ValueError for another shape, no image, a pixel that is not finite, columns below 1, a
    gap below 0 or another number of rows; TypeError for what is no array of floats, no axes or no
    title.
    """
    pixels = _numbers(images, "images")
    if pixels.dtype.kind != "f":
        raise TypeError(
            "images: whole numbers, expected floats in [-1, 1] "
            "(`datasets.to_signed_unit` makes them from bytes)"
        )
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or not pixels.size:
        raise ValueError(
            f"images of shape {pixels.shape}: expected (count, 1 or 3, height, width), none of it 0"
        )
    if not numpy.isfinite(pixels).all():
        image = int((~numpy.isfinite(pixels)).nonzero()[0][0])
        raise ValueError(f"images: image {image} has a pixel that is not finite")
    columns, gap = whole("columns", columns), whole("gap", gap, 0)
    if axes is not None and not isinstance(axes, Axes):
        raise TypeError(f"axes: {axes!r:.60}, expected matplotlib's Axes or None")
    if not isinstance(title, str):
        raise TypeError(f"title: {title!r:.60}, expected text")
    pixels = pixels.clip(-1, 1).astype(numpy.float32).transpose(0, 2, 3, 1)
    count, height, width, channels = pixels.shape
    lines = -(-count // columns)
    if rows and len(rows) != lines:
        raise ValueError(f"{len(rows)} names of {lines} rows: expected one for each, or none")
    shape = lines * (height + gap) + gap, columns * (width + gap) + gap
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
    for line, name in enumerate(rows):
        middle = gap + line * (height + gap) + height / 2
        axes.text(-height / 5, middle, name, ha="right", va="center", fontsize=8)
    return axes


def show_losses(
    losses: Mapping[str, Tensor | numpy.ndarray],
    rounds: int,
    *,
    smooth: int = 50,
    unit: str = "",
) -> Figure:
    """Plot every loss by round, faint, with a running mean over `smooth` rounds.

    losses: by turn, in order, as many in each of the `rounds` rounds: where a turn comes five times
    a round, its fifth loss lies at round 1. A name with a slash is a part ("maps/cycle") of the
    total before the slash; only its running mean is drawn, dashed, in the hue of its total.
    unit: of the losses, say "nats"; none without one.
    Raises ValueError where there are no losses, where their count is no multiple of `rounds`, for a
    loss that is not finite, rounds or smooth below 1; TypeError for what is no series of numbers.
    """
    rounds, smooth = whole("rounds", rounds), whole("smooth", smooth)
    if not isinstance(unit, str):
        raise TypeError(f"unit: {unit!r:.60}, expected text")
    if not isinstance(losses, Mapping) or not all(isinstance(name, str) for name in losses):
        raise TypeError(f"losses: {losses!r:.60}, expected a series of numbers by name")
    if not losses:
        raise ValueError("losses: none, expected one series or more")
    series = {name: _loss_series(name, values, rounds) for name, values in losses.items()}
    lines = _lines(series)
    figure, axes = plt.subplots()
    for name, values in series.items():
        turns, is_part = len(values) // rounds, "/" in name
        colour, style = lines[name]
        if not is_part:
            at = numpy.arange(1, len(values) + 1) / turns
            axes.plot(at, values, color=colour, alpha=0.2, linewidth=0.6)
        window = turns * max(1, min(smooth, rounds // 4))
        mean = numpy.convolve(values, numpy.ones(window) / window, mode="valid")
        # A mean lies in the middle of its window.
        at = (numpy.arange(len(mean)) + (window + 1) / 2) / turns
        width = 1.0 if is_part else plt.rcParams["lines.linewidth"]
        axes.plot(at, mean, color=colour, linestyle=style, linewidth=width, label=name)
    axes.set(xlabel="round", ylabel=f"loss ({unit})" if unit else "loss")
    axes.legend()
    return figure


def _loss_series(name: str, values: Tensor | numpy.ndarray, rounds: int) -> numpy.ndarray:
    """One series as float64, (losses,), or an error that names it."""
    series = _numbers(values, f"losses of {name!r}").astype(numpy.float64)
    if series.ndim != 1 or not series.size or series.size % rounds:
        raise ValueError(
            f"losses of {name!r} of shape {series.shape}: expected (losses,), a multiple of the "
            f"{rounds} rounds"
        )
    if not numpy.isfinite(series).all():
        step = int((~numpy.isfinite(series)).argmax())
        raise ValueError(f"losses of {name!r}: step {step} has a loss that is not finite")
    return series


def _lines(names: Iterable[str]) -> dict[str, tuple[str, object]]:
    """A hue and a line style for each name, no two the same; a part has the hue of its total."""
    lines: dict[str, tuple[str, object]] = {}
    hues: dict[str, str] = {}
    parts = dict.fromkeys((name.partition("/")[0] for name in names), 0)
    taken: Counter[tuple[str, ...]] = Counter()
    for total in parts:
        role = next((hue for role, hue in ROLES.items() if role in total.lower()), None)
        choices = WITHOUT_ROLE if role is None else (role,)
        gap, index = divmod(taken[choices], len(choices))
        taken[choices] += 1
        hues[total] = choices[index]
        # Where the hues are used up, dots: the more of a hue, the wider apart.
        lines[total] = hues[total], (0, (1, gap)) if gap else "-"
    for name in names:
        total, slash, _ = name.partition("/")
        if slash:
            parts[total] += 1
            lines[name] = hues[total], (0, (4, parts[total]))
    return lines


def _numbers(values: object, what: str) -> numpy.ndarray:
    """Real numbers of any shape as an array on the CPU; TypeError that says what came instead."""
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            # numpy has no bfloat16 and knows float16 badly.
            values = (values.float() if values.is_floating_point() else values).numpy()
        array = numpy.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what}: {values!r:.60}, expected an array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{what}: {values!r:.60}, expected an array of real numbers")
    return array


def scrub(
    frames: Sequence[Figure], labels: Sequence[str], alt: str, *, what: str = "", start: int = -1
) -> None:
    """Show figures as one picture that the reader scrubs with a slider; no kernel is needed.

    The slider works by mouse, touch and arrow keys. Where scripts do not run (on GitHub, in print,
    in a PDF) the picture of `start` stands alone. frames: figures of one size, which are closed.
    labels: one for each, shown beside the slider, say "round 300". alt: what the picture shows, for
    those who cannot see it. what: names the slider, default `alt`. start: which frame is shown
    first, default the last.
    Raises ValueError for fewer than two frames, another number of labels, figures of several sizes,
    no alt, or a start that is no frame; TypeError for what are no figures or no texts.
    """
    from IPython.display import display

    frames, labels = list(frames), list(labels)
    for frame in frames:
        if not isinstance(frame, Figure):
            raise TypeError(f"frames: {frame!r:.60}, expected matplotlib's figures")
    for text in (*labels, alt, what):
        if not isinstance(text, str):
            raise TypeError(f"labels, alt and what: {text!r:.60}, expected texts")
    if len(frames) < 2 or len(labels) != len(frames):
        raise ValueError(
            f"{len(frames)} frames and {len(labels)} labels: expected two frames or more, and a "
            "label for each"
        )
    if not alt.strip():
        raise ValueError("alt: empty, expected what the picture shows")
    if len({tuple(frame.get_size_inches()) for frame in frames}) > 1:
        raise ValueError("frames of several sizes: expected one size")
    start = range(len(frames))[whole("start", start, -len(frames), len(frames) - 1)]
    pictures = [_picture(frame) for frame in frames]
    for frame in frames:
        plt.close(frame)
    page = _SCRUB.substitute(
        alt=escape(alt, quote=True),
        what=escape(what or alt, quote=True),
        still=pictures[start],
        frames=escape(json.dumps(pictures), quote=True),
        labels=escape(json.dumps(labels, ensure_ascii=False), quote=True),
        label=escape(labels[start]),
        start=start,
        last=len(frames) - 1,
    )
    display(
        {
            "text/html": page,
            "image/png": pictures[start],
            "text/plain": f"{what or alt} ({len(frames)} pictures)",
        },
        raw=True,
    )


# Only where scripts run does the picture's `onload` uncover the slider and give it its frames.
_SCRUB = Template("""\
<div class="scrub" data-frames="$frames" data-labels="$labels">
<img src="data:image/png;base64,$still" alt="$alt" style="max-width: 100%" onload="\
const box = this.parentElement, bar = box.querySelector('input');\
const labels = JSON.parse(box.dataset.labels), frames = JSON.parse(box.dataset.frames);\
const says = box.querySelector('output'), picture = this; picture.onload = null;\
bar.oninput = () => { picture.src = 'data:image/png;base64,' + frames[bar.value];\
 says.textContent = labels[bar.value]; bar.setAttribute('aria-valuetext', labels[bar.value]); };\
bar.setAttribute('aria-valuetext', labels[bar.value]); bar.closest('[hidden]').hidden = false;">
<div hidden><div style="display: flex; align-items: center; gap: 1em">
<input type="range" min="0" max="$last" value="$start" step="1" aria-label="$what" \
style="flex: 1; height: 44px; accent-color: #0a84c6; touch-action: manipulation">
<output style="min-width: 8em">$label</output>
</div></div>
</div>""")


def dials(
    pictures: Tensor | numpy.ndarray, settings: Mapping[str, Sequence[str]], alt: str
) -> None:
    """Show one of a table of pictures, which the reader picks with a slider for each axis.

    No kernel is needed; the sliders work as those of `scrub`, and where scripts do not run the
    picture in the middle of every axis stands alone. pictures: an axis for each slider, then rows
    and columns; ink from 0 (paper) to 1. settings: for each slider its name, and what stands
    beside it at each place. alt: what the pictures show. Raises ValueError for settings that do not
    fit the pictures, an axis with fewer than two places, ink that is not finite, or no alt.
    """
    from IPython.display import display

    ink = _numbers(pictures, "pictures")
    lengths = tuple(len(labels) for labels in settings.values())
    if not lengths or min(lengths) < 2 or ink.shape[:-2] != lengths or not ink.size:
        raise ValueError(
            f"pictures of shape {ink.shape} and settings of lengths {lengths}: expected "
            "(*lengths, rows, columns), and two places or more for each slider"
        )
    if not numpy.isfinite(ink).all():
        raise ValueError("pictures: some ink is not finite")
    if not alt.strip():
        raise ValueError("alt: empty, expected what the pictures show")
    high, wide = ink.shape[-2:]
    # All pictures in one: the last axis goes to the right, the others down.
    sheet = ink.reshape(-1, lengths[-1], high, wide).swapaxes(1, 2).reshape(-1, lengths[-1] * wide)
    middle = tuple(length // 2 for length in lengths)
    still = _grey(ink[middle])
    bars = "".join(
        _DIAL.substitute(
            name=escape(name, quote=True),
            labels=escape(json.dumps(list(labels), ensure_ascii=False), quote=True),
            label=escape(labels[place]),
            start=place,
            last=len(labels) - 1,
        )
        for (name, labels), place in zip(settings.items(), middle, strict=True)
    )
    page = _DIALS.substitute(
        alt=escape(alt, quote=True),
        still=still,
        sheet=_grey(sheet),
        bars=bars,
        high=high,
        wide=wide,
        shown=6 * wide,
    )
    data = {"text/html": page, "image/png": still, "text/plain": alt}
    display(data, raw=True)


# As in `_SCRUB`, only where scripts run does the sheet's `onload` uncover the sliders.
_DIAL = Template("""\
<div style="display: flex; align-items: center; gap: 1em"><span style="min-width: 7em">$name\
</span><input type="range" aria-label="$name" min="0" max="$last" value="$start" step="1" \
data-labels="$labels" \
style="flex: 1; height: 44px; accent-color: #0a84c6; touch-action: manipulation">\
<output style="min-width: 4em">$label</output></div>
""")
_DIALS = Template("""\
<div class="dials">
<img src="data:image/png;base64,$still" alt="$alt" style="width: ${shown}px; max-width: 100%">
<div hidden>
$bars</div>
<img hidden alt="" src="data:image/png;base64,$sheet" onload="\
const sheet = this, box = this.parentElement, picture = box.querySelector('img');\
const bars = [...box.querySelectorAll('input')], pen = document.createElement('canvas');\
pen.width = $wide; pen.height = $high; sheet.onload = null;\
const show = () => { let place = 0; for (const bar of bars) {\
 const says = JSON.parse(bar.dataset.labels)[bar.value];\
 place = place * (+bar.max + 1) + +bar.value;\
 bar.nextElementSibling.textContent = says; bar.setAttribute('aria-valuetext', says); }\
 const across = +bars.at(-1).max + 1, down = Math.floor(place / across);\
 pen.getContext('2d').drawImage(sheet, place % across * $wide, down * $high, $wide, $high,\
 0, 0, $wide, $high); picture.src = pen.toDataURL(); };\
for (const bar of bars) bar.oninput = show; show(); box.querySelector('div').hidden = false;">
</div>""")


def _grey(ink: numpy.ndarray) -> str:
    """Ink on paper as a PNG of 16 greys, in base64."""
    grey = Image.fromarray((255 * (1 - ink.clip(0, 1))).round().astype("uint8"))
    small = BytesIO()
    # Sixteen greys at even distances: a palette of four bits.
    levels = grey.point(lambda value: round(value / 17))
    picture = Image.frombytes("P", levels.size, levels.tobytes())
    picture.putpalette([17 * level for level in range(16) for _ in range(3)])
    picture.save(small, format="png", optimize=True, bits=4)
    return b64encode(small.getvalue()).decode()


def _picture(figure: Figure) -> str:
    """A figure as a PNG of few colours, in base64: a slider holds dozens of them."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    small = BytesIO()
    Image.open(drawn).quantize(64, method=Image.Quantize.FASTOCTREE).save(
        small, format="png", optimize=True
    )
    return b64encode(small.getvalue()).decode()


def show_source(*objects: object) -> None:
    """Show the source code of library objects on the page, as it is in the library.

    Raises ValueError without objects, TypeError for one that has no source code.
    """
    from IPython.display import Markdown, display

    if not objects:
        raise ValueError("show_source() without objects: expected one or more")
    try:
        code = "\n\n".join(textwrap.dedent(inspect.getsource(o)).rstrip() for o in objects)
    except (OSError, TypeError) as error:
        raise TypeError(f"no source code to show: {error}") from None
    # The fence must be longer than any in the code.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    display(Markdown(f"{fence}python\n{code}\n{fence}"))


def glue(**values: float | str) -> None:
    """Give values names by which the page's prose can quote them with the role `glue:text`.

    This is the protocol of myst-nb's `glue`, without asking a reader to install a book builder.
    Raises ValueError without values or for one that is not finite, TypeError for one that is
    neither a number of Python or numpy nor text; then none is given.
    """
    from IPython.display import display

    if not values:
        raise ValueError("glue() without values: expected one or more, by name")
    # The page reads the value back from its text, which numpy's own is not.
    values = {n: v.item() if isinstance(v, numpy.generic) else v for n, v in values.items()}
    for name, value in values.items():
        if not isinstance(value, int | float | str):
            raise TypeError(f"{name}: {value!r:.60}, expected a number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}: expected a finite number")
    mime = "application/papermill.record/"
    for name, value in values.items():
        display(
            {mime + "text/plain": repr(value)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": mime}},
        )


def panels(count: int, titles: Sequence[str] = (), **options: object) -> tuple[Figure, list[Axes]]:
    """A row of `count` axes; options go to `plt.subplots`.

    titles: one for each, or for the first few. Raises ValueError for a count below 1 or more titles
    than axes, TypeError for titles that are no texts and options that matplotlib does not know.
    """
    count = whole("count", count)
    if not isinstance(titles, list | tuple) or not all(isinstance(t, str) for t in titles):
        raise TypeError(f"titles: {titles!r:.60}, expected a list of texts")
    if len(titles) > count:
        raise ValueError(f"{len(titles)} titles for {count} panels: expected one for each at most")
    try:
        figure, axes = plt.subplots(1, count, squeeze=False, **options)
    except (AttributeError, RuntimeError) as error:
        raise TypeError(f"panels: {error}") from None
    for panel, title in zip(axes[0], titles, strict=False):
        panel.set_title(title)
    return figure, list(axes[0])
