"""Figures: pixels where they belong, running means on their curve, hues that read everywhere."""

import matplotlib
import numpy
import pytest
import torch
from matplotlib import pyplot
from matplotlib.colors import to_rgb, to_rgba

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


def test_losses_and_their_running_means():
    random = numpy.random.default_rng(0)
    losses = {"discriminator": random.normal(size=100), "generator": numpy.arange(100.0)}
    axes = figures.show_losses(losses, smooth=5).axes[0]
    noisy, smooth, line, line_smooth = axes.lines
    assert noisy.get_ydata().tolist() == losses["discriminator"].tolist()
    means = [losses["discriminator"][k : k + 5].mean() for k in range(96)]
    assert smooth.get_ydata() == pytest.approx(means)
    # Each mean is drawn at the middle of its window, so that of a straight line lies on it.
    assert smooth.get_xdata().tolist() == list(range(2, 98))
    assert line_smooth.get_ydata() == pytest.approx(line_smooth.get_xdata())
    assert noisy.get_color() == smooth.get_color() == figures.DISCRIMINATOR
    assert line.get_color() == line_smooth.get_color() == figures.GENERATOR
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["discriminator", "generator"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "loss (nats)")


def test_short_losses_are_drawn_too():
    axes = figures.show_losses({"model": numpy.array([3.0])}).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3], [3]]
    assert axes.lines[0].get_color() == figures.OTHER


def test_panels_are_a_row_with_titles():
    figure, axes = figures.panels(3, ["left", "middle"], sharey=True, figsize=(6, 2))
    assert [panel.get_title() for panel in axes] == ["left", "middle", ""]
    assert figure.axes == axes
    assert figure.get_size_inches().tolist() == [6, 2]
    heights = {panel.get_position().y0 for panel in axes}
    assert len(heights) == 1
    axes[0].set_ylim(0, 5)
    assert axes[2].get_ylim() == (0, 5)


def test_one_panel_is_a_list_too():
    assert len(figures.panels(1)[1]) == 1


def test_colour_images_keep_their_colours_and_the_gaps_stay_transparent():
    images = torch.stack([torch.full((3, 2, 2), -1.0), torch.full((3, 2, 2), 1.0)])
    images[0, 0] = 1.0  # red
    table = figures.show_images(images, columns=2, gap=1).get_images()[0].get_array()
    assert table.shape == (4, 7, 4)
    assert table[1, 1].tolist() == [1, 0, 0, 1] and table[1, 4].tolist() == [1, 1, 1, 1]
    assert (table[0, :, 3] == 0).all() and (table[:, 3, 3] == 0).all()
