"""Figures: pixels where they belong, running means on their curve, hues that read everywhere."""

import json
import math
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import matplotlib
import numpy
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from ganlib import figures

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def fresh_figures():
    with matplotlib.rc_context():
        yield
    pyplot.close("all")


def luminance(colour):
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return numpy.dot([0.2126, 0.7152, 0.0722], linear)


@pytest.mark.parametrize("name", ["GREY", "DATA", "GENERATOR", "DISCRIMINATOR", "OTHER"])
def test_every_hue_reads_on_white_and_on_black(name):
    # WCAG 2.1, criterion 1.4.11: graphics need a contrast of 3 to 1.
    light = luminance(getattr(figures, name))
    assert 1.05 / (light + 0.05) >= 3
    assert (light + 0.05) / 0.05 >= 3


def test_jupyterlab_lays_no_dark_ground_under_a_figure():
    # What IPython's backend asks of the luma (ITU-R BT.601) of the tick labels.
    assert numpy.dot([0.299, 0.587, 0.114], to_rgb(figures.GREY)) < 0.5


def test_the_style_has_no_background():
    figures.use_style()
    figure, axes = pyplot.subplots()
    assert figure.get_facecolor()[3] == axes.get_facecolor()[3] == 0
    (line,) = axes.plot([0, 1])
    assert line.get_color() == figures.DATA
    assert to_rgba(axes.xaxis.label.get_color()) == to_rgba(figures.GREY)


def test_images_lie_row_by_row_with_gaps():
    images = torch.linspace(-1, 1, 5 * 2 * 3).reshape(5, 1, 2, 3)
    axes = figures.show_images(images, columns=2, gap=2, title="Five")
    table = axes.images[0].get_array()
    assert table.shape == (3 * (2 + 2) + 2, 2 * (3 + 2) + 2)
    for index in range(5):
        top, left = 2 + index // 2 * 4, 2 + index % 2 * 5
        assert (table[top : top + 2, left : left + 3] == images[index, 0].numpy()).all()
    # Gaps, and the place of the sixth image, stay empty.
    assert table.count() == images.numel()
    assert axes.get_title() == "Five"


def test_images_are_dark_ink_on_light_paper_and_clamped():
    images = torch.tensor([-3.0, -1.0, 1.0, 3.0], requires_grad=True).reshape(4, 1, 1, 1)
    axes = figures.show_images(images, columns=4, gap=0)
    picture = axes.images[0]
    assert picture.get_array().tolist() == [[-1, -1, 1, 1]]
    paper, ink = picture.to_rgba(numpy.array([-1.0, 1.0]))[:, :3]
    assert paper.tolist() == [1, 1, 1] and ink.tolist() == [0, 0, 0]


def test_images_go_to_the_given_axes():
    axes = pyplot.subplots()[1]
    assert figures.show_images(torch.zeros(1, 1, 2, 2), columns=1, axes=axes) is axes
    assert len(pyplot.get_fignums()) == 1


def test_the_width_of_many_columns_is_that_of_the_page():
    axes = figures.show_images(torch.zeros(20, 1, 4, 4), columns=10)
    assert axes.figure.get_size_inches()[0] == pytest.approx(7)


@pytest.mark.parametrize(
    "images",
    [numpy.zeros((2, 1, 2, 3)), torch.zeros(2, 1, 2, 3).bfloat16(), [[[[0.0] * 3] * 2]] * 2],
)
def test_images_may_be_arrays_and_lists_too(images):
    table = figures.show_images(images, columns=2, gap=0).images[0].get_array()
    assert table.tolist() == [[0] * 6] * 2


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"images": torch.zeros(1, 2, 2)}, r"shape \(1, 2, 2\): expected \(count, 1 or 3"),
        ({"images": torch.zeros(1, 2, 2, 2)}, r"shape \(1, 2, 2, 2\): expected \(count, 1 or 3"),
        ({"images": torch.zeros(0, 1, 2, 2)}, r"shape \(0, 1, 2, 2\): expected"),
        ({"images": torch.zeros(1, 1, 0, 2)}, r"shape \(1, 1, 0, 2\): expected"),
        ({"images": torch.full((2, 1, 2, 2), math.nan)}, "image 0 has a pixel that is not finite"),
        ({"images": torch.full((2, 1, 2, 2), math.inf)}, "image 0 has a pixel that is not finite"),
        ({"images": torch.zeros(1, 1, 2, 2, dtype=torch.uint8)}, "whole numbers, .*to_signed_unit"),
        (
            {"images": torch.zeros(1, 1, 2, 2, dtype=torch.bool)},
            "expected an array of real numbers",
        ),
        ({"images": "pictures"}, "expected an array of real numbers"),
        ({"images": [[1.0], [1.0, 2.0]]}, "expected an array of numbers"),
        ({"columns": 0}, "columns=0: expected a whole number"),
        ({"columns": 2.5}, "columns=2.5: expected a whole number"),
        ({"gap": -1}, "gap=-1: expected a whole number"),
        ({"axes": "here"}, "axes: 'here', expected matplotlib's Axes"),
        ({"title": 3}, "title: 3, expected text"),
    ],
)
def test_what_are_no_images_is_named_and_draws_nothing(changes, complaint):
    arguments = {"images": torch.zeros(1, 1, 2, 2), "columns": 1} | changes
    with pytest.raises((ValueError, TypeError), match=complaint):
        figures.show_images(**arguments)
    assert pyplot.get_fignums() == []


def test_losses_and_their_running_means():
    random = numpy.random.default_rng(0)
    losses = {"discriminator": random.normal(size=100), "generator": numpy.arange(100.0)}
    axes = figures.show_losses(losses, 100, smooth=5).axes[0]
    noisy, smooth, line, line_smooth = axes.lines
    assert noisy.get_ydata().tolist() == losses["discriminator"].tolist()
    assert noisy.get_xdata().tolist() == list(range(1, 101))
    means = [losses["discriminator"][k : k + 5].mean() for k in range(96)]
    assert smooth.get_ydata() == pytest.approx(means)
    # Each mean is drawn at the middle of its window: that of a straight line lies on it.
    assert smooth.get_xdata().tolist() == list(range(3, 99))
    assert line_smooth.get_ydata() == pytest.approx(line_smooth.get_xdata() - 1)
    assert noisy.get_color() == smooth.get_color() == figures.DISCRIMINATOR
    assert line.get_color() == line_smooth.get_color() == figures.GENERATOR
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["discriminator", "generator"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "loss")


def test_every_series_counts_rounds_however_many_turns_it_has():
    rounds = 40
    losses = {"critic": numpy.arange(5.0 * rounds), "generator": torch.arange(float(rounds))}
    axes = figures.show_losses(losses, rounds, smooth=4, unit="nats").axes[0]
    many, many_smooth, one, one_smooth = axes.lines
    assert many.get_xdata()[[0, 4, 5, -1]].tolist() == pytest.approx([0.2, 1, 1.2, rounds])
    assert one.get_xdata()[[0, -1]].tolist() == [1, rounds]
    # The windows hold four rounds, of 20 and of 4 losses; both lines stay on their curves.
    assert len(many_smooth.get_xdata()) == 200 - 20 + 1 and len(one_smooth.get_xdata()) == 37
    assert many_smooth.get_ydata() == pytest.approx(5 * many_smooth.get_xdata() - 1)
    assert one_smooth.get_ydata() == pytest.approx(one_smooth.get_xdata() - 1)
    assert axes.get_ylabel() == "loss (nats)"


def drawn(names):
    """What tells the lines of these names apart: (hue, style, width)."""
    axes = figures.show_losses(dict.fromkeys(names, numpy.zeros(4)), 4).axes[0]
    lines = {line.get_label(): line for line in axes.lines if line.get_alpha() is None}
    assert list(lines) == list(names)
    # matplotlib calls every dash "--"; what it is made of lies in a private field.
    return {
        name: (line.get_color(), tuple(line._unscaled_dash_pattern[1] or ()), line.get_linewidth())
        for name, line in lines.items()
    }


def test_many_series_are_told_apart():
    names = [f"player {number}" for number in range(8)]
    names += ["discriminator", "critic", "judge_a", "judge_b", "generator", "generator_b"]
    lines = drawn(names)
    assert len(set(lines.values())) == len(names)
    assert len({lines[name][0] for name in names[:3]}) == 3
    judges, makers = names[8:12], names[12:]
    assert {lines[name][0] for name in judges} == {figures.DISCRIMINATOR}
    assert {lines[name][0] for name in makers} == {figures.GENERATOR}
    assert not {lines[name][0] for name in names[:8]} & {figures.DISCRIMINATOR, figures.GENERATOR}
    assert all(lines[name][1] == () for name in [*names[:3], "discriminator", "generator"])


def test_parts_have_the_hue_of_their_total_and_are_dashed_and_thin():
    names = ["judge", "maps", "maps/cycle", "maps/identity", "other", "lone/part"]
    lines = drawn(names)
    assert len(set(lines.values())) == len(names)
    hues = {name: line[0] for name, line in lines.items()}
    assert hues["maps"] == hues["maps/cycle"] == hues["maps/identity"]
    assert len({hues[name] for name in ("judge", "maps", "other", "lone/part")}) == 4
    for name, (_, dashes, width) in lines.items():
        assert (len(dashes) > 0, width < lines["maps"][2]) == ("/" in name, "/" in name)


def test_short_losses_are_drawn_too():
    axes = figures.show_losses({"model": [3.0]}, 1).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3], [3]]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[1], [1]]
    assert axes.lines[0].get_color() == figures.OTHER


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"losses": {}}, "losses: none, expected one series"),
        ({"losses": [1.0, 2.0]}, "expected a series of numbers by name"),
        ({"losses": {1: [1.0, 2.0]}}, "expected a series of numbers by name"),
        ({"losses": {"a": []}}, r"losses of 'a' of shape \(0,\): expected .* of the 2 rounds"),
        (
            {"losses": {"a": [1.0] * 3}},
            r"losses of 'a' of shape \(3,\): expected .* of the 2 rounds",
        ),
        ({"losses": {"a": [[1.0, 2.0]]}}, r"losses of 'a' of shape \(1, 2\): expected \(losses,\)"),
        ({"losses": {"a": [1.0, math.nan]}}, "losses of 'a': step 1 has a loss that is not finite"),
        ({"losses": {"a": "ab"}}, "losses of 'a': 'ab', expected an array of real numbers"),
        ({"rounds": 0}, "rounds=0: expected a whole number, 1 or more"),
        ({"rounds": 2.0}, "rounds=2.0: expected a whole number, 1 or more"),
        ({"smooth": 0}, "smooth=0: expected a whole number, 1 or more"),
        ({"unit": None}, "unit: None, expected text"),
    ],
)
def test_what_are_no_losses_is_named_and_draws_nothing(changes, complaint):
    arguments = {"losses": {"a": [1.0, 2.0]}, "rounds": 2} | changes
    with pytest.raises((ValueError, TypeError), match=complaint):
        figures.show_losses(**arguments)
    assert pyplot.get_fignums() == []


def test_panels_are_a_row_with_titles():
    figure, axes = figures.panels(3, ["left", "middle"], sharey=True, figsize=(6, 2))
    assert [panel.get_title() for panel in axes] == ["left", "middle", ""]
    assert figure.axes == axes
    assert figure.get_size_inches().tolist() == [6, 2]
    heights = {panel.get_position().y0 for panel in axes}
    assert len(heights) == 1
    axes[0].set_ylim(0, 5)
    assert axes[2].get_ylim() == (0, 5)


@pytest.mark.parametrize(
    "arguments, options, complaint",
    [
        ((0,), {}, "count=0: expected a whole number, 1 or more"),
        ((True,), {}, "count=True: expected a whole number, 1 or more"),
        ((2, "ab"), {}, "titles: 'ab', expected a list of texts"),
        ((2, [1]), {}, "expected a list of texts"),
        ((1, ["a", "b"]), {}, "2 titles for 1 panels"),
        ((1,), {"no_such_option": 1}, "no_such_option"),
    ],
)
def test_what_are_no_panels_is_named(arguments, options, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        figures.panels(*arguments, **options)


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({}, "without values"),
        ({"good": 1, "bad": None}, "bad: None, expected a number or text"),
        ({"good": 1, "bad": torch.tensor(1.0)}, "bad: tensor.*, expected a number or text"),
        ({"good": 1, "bad": math.nan}, "bad is nan: expected a finite number"),
    ],
)
def test_what_cannot_be_quoted_is_named_and_nothing_is_given(capsys, values, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        figures.glue(**values)
    assert capsys.readouterr().out == ""


def test_numbers_of_numpy_are_quoted_as_pythons(monkeypatch):
    given = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: given.append(data))
    figures.glue(x=numpy.float64(0.5), y=numpy.int64(3))
    assert [list(data.values()) for data in given] == [["0.5"], ["3"]]


@pytest.mark.parametrize("objects", [(), (len,), (3,), (type("Made", (), {}),)])
def test_what_has_no_source_code_is_named(objects):
    with pytest.raises((ValueError, TypeError), match="source|without objects"):
        figures.show_source(*objects)


def test_source_code_cannot_end_its_own_fence(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda markdown: shown.append(markdown.data))
    monkeypatch.setattr("inspect.getsource", lambda thing: 'def f():\n    """```"""\n')
    figures.show_source(len)
    assert shown == ['````python\ndef f():\n    """```"""\n````']


def test_one_panel_is_a_list_too():
    assert len(figures.panels(1)[1]) == 1


def test_colour_images_keep_their_colours_and_the_gaps_stay_transparent():
    images = torch.stack([torch.full((3, 2, 2), -1.0), torch.full((3, 2, 2), 1.0)])
    images[0, 0] = 1.0  # red
    table = figures.show_images(images, columns=2, gap=1).get_images()[0].get_array()
    assert table.shape == (4, 7, 4)
    assert table[1, 1].tolist() == [1, 0, 0, 1] and table[1, 4].tolist() == [1, 1, 1, 1]
    assert (table[0, :, 3] == 0).all() and (table[:, 3, 3] == 0).all()


class Elements(HTMLParser):
    """The elements of a page, in order: their name and attributes."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def the(self, tag):
        (attributes,) = [attributes for name, attributes in self.found if name == tag]
        return attributes


def lines_at(heights):
    """A figure with a line at each height, in the hue of the data."""
    drawn = []
    for height in heights:
        figure, axes = pyplot.subplots(figsize=(3, 2))
        axes.axhline(height, color=figures.DATA, linewidth=6)
        axes.set_ylim(0, 1)
        drawn.append(figure)
    return drawn


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed from now on."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    return shown


def pixels(picture):
    return numpy.asarray(Image.open(BytesIO(b64decode(picture))).convert("RGBA")).astype(float)


def test_rows_of_images_have_names_beside_them():
    images = torch.zeros(6, 1, 4, 4)
    axes = figures.show_images(images, 2, rows=["a", "b", "c"])
    assert [text.get_text() for text in axes.texts] == ["a", "b", "c"]
    # In the middle of each row of 4 pixels, with one between, left of the table.
    assert [text.get_position()[1] for text in axes.texts] == [3, 8, 13]
    assert all(text.get_position()[0] < 0 for text in axes.texts)
    assert not figures.show_images(images, 2).texts
    with pytest.raises(ValueError, match="2 names of 3 rows: expected one for each"):
        figures.show_images(images, 2, rows=["a", "b"])
    pyplot.close("all")


def test_a_slider_holds_every_frame_and_shows_the_last(displayed):
    figures.use_style()
    drawn = lines_at([0.2, 0.5, 0.8])
    figures.scrub(
        drawn, ["round 0", "round <5>", 'round "9"'], 'A line "rises" & ends.', what="run"
    )
    (data,) = displayed
    page = Elements(data["text/html"])
    assert page.open == []
    box, image, bar = page.found[0][1], page.the("img"), page.the("input")
    frames = json.loads(box["data-frames"])
    assert json.loads(box["data-labels"]) == ["round 0", "round <5>", 'round "9"']
    assert image["alt"] == 'A line "rises" & ends.' and bar["aria-label"] == "run"
    assert (bar["min"], bar["max"], bar["value"]) == ("0", "2", "2")
    assert image["src"] == f"data:image/png;base64,{frames[2]}" and data["image/png"] == frames[2]
    assert 'round "9"' in page.text and data["text/plain"] == "run (3 pictures)"
    # The line is where it was drawn, in its hue, and the paper is clear, on light and on dark.
    hue = numpy.array(to_rgb(figures.DATA)) * 255
    places = []
    for frame in frames:
        picture = pixels(frame)
        assert picture[0, 0, 3] == 0
        is_line = (abs(picture[..., :3] - hue) < 8).all(-1) & (picture[..., 3] > 200)
        places.append(is_line.nonzero()[0].mean())
    assert places[0] > places[1] + 10 > places[2] + 20
    assert pyplot.get_fignums() == []


def test_a_slider_is_hidden_until_its_script_runs(displayed):
    figures.scrub(lines_at([0.2, 0.5]), ["a", "b"], "A line.", start=0)
    (data,) = displayed
    page = Elements(data["text/html"])
    hidden = [name for name, attributes in page.found if "hidden" in attributes]
    assert hidden == ["div"]
    # Nothing shows it but the picture's own script, and what hides it has no style of its own.
    assert not any("style" in a for n, a in page.found if "hidden" in a)
    assert ".hidden = false" in page.the("img")["onload"]
    assert page.the("input")["value"] == "0"
    assert not any(name in ("script", "link") for name, _ in page.found)
    assert "http" not in data["text/html"]


@pytest.mark.parametrize(
    "changes, error, complaint",
    [
        ({"frames": [0.5]}, ValueError, "1 frames and 2 labels: expected two frames or more"),
        ({"labels": ["a"]}, ValueError, "2 frames and 1 labels"),
        ({"alt": " "}, ValueError, "alt: empty"),
        ({"alt": None}, TypeError, "labels, alt and what: None"),
        ({"labels": ["a", 1]}, TypeError, "labels, alt and what: 1, expected texts"),
        ({"start": 2}, ValueError, "start=2"),
        ({"frames": "figures"}, TypeError, "expected matplotlib's figures"),
    ],
)
def test_a_slider_that_is_none_is_refused(displayed, changes, error, complaint):
    arguments = {"frames": [0.2, 0.5], "labels": ["a", "b"], "alt": "A line."} | changes
    if isinstance(arguments["frames"], list):
        arguments["frames"] = lines_at(arguments["frames"])
    with pytest.raises(error, match=complaint):
        figures.scrub(**arguments)
    assert displayed == []


def test_frames_of_several_sizes_are_refused(displayed):
    frames = [*lines_at([0.5]), pyplot.figure(figsize=(4, 2))]
    with pytest.raises(ValueError, match="frames of several sizes"):
        figures.scrub(frames, ["a", "b"], "A line.")
