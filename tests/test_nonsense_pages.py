"""Nonsense for what makes the pages: claims, figures, progress and the readers of data.

Every public function refuses it in a sentence or gives a right answer.
"""

import re
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import matplotlib
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot
from nonsense import anything, feed, numbers, tensors, things
from test_claims import claim, score, shown, spread, write_notebook, write_records

from ganlib import claims, datasets, figures
from ganlib.claims import ClaimError, Ledger
from ganlib.datasets import DataError
from ganlib.progress import Progress
from ganlib.publishing import measured
from ganlib.runtime import Run

matplotlib.use("Agg")

RUN = Run("book", torch.device("cpu"), 0, torch.float32)
MNIST = Path(__file__).resolve().parents[1] / "data" / "mnist"

few = settings(max_examples=40, deadline=None)
some = settings(max_examples=100, deadline=None)
texts = st.text(st.sampled_from("ab1-. <&|`*_[]$\\\n\"'é\0\u2028"), max_size=8)
values = st.one_of(numbers, anything)
json_values = st.recursive(
    st.one_of(things.filter(lambda thing: type(thing) is not object), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


def clear(folder):
    for path in folder.iterdir():
        path.unlink()


@st.composite
def spoiled(draw, right, wrong=json_values):
    """Fields or arguments of which up to two are other than they should be."""
    right = dict(right)
    for name in draw(st.lists(st.sampled_from(sorted(right)), max_size=2)):
        right[name] = draw(wrong)
    return right


@st.composite
def damaged(draw, record):
    """A record with up to two fields that are other, missing or too many."""
    record = draw(spoiled(record))
    if draw(st.booleans()):
        record.pop(draw(st.sampled_from(sorted(record))))
    if draw(st.booleans()):
        record[draw(texts)] = draw(json_values)
    return record


RECORDS = {"claims": claim, "scores": score, "spreads": spread}


def records_of(kind):
    records = st.lists(damaged(RECORDS[kind]()), max_size=2)
    return st.one_of(records, json_values)


wrong = st.one_of(texts, values)


@some
@given(
    spoiled(
        {
            "name": "gap",
            "statement": "The $gap$ is small.",
            "quantity": "gap",
            "measured": 0.5,
            "at_most": 1.0,
            "at_least": 0,
        },
        wrong,
    )
)
def test_what_a_ledger_accepts_is_recorded(folder, arguments):
    clear(folder)
    ledger = Ledger("one", RUN)
    with suppress(ClaimError):
        feed(ledger.check, **arguments)
    records = [asdict(kept) for kept in ledger.checked.values()]
    write_records(folder, "claims", records)
    assert claims.load("claims", folder) == records
    for record in records:
        low, high = arguments["at_least"], arguments["at_most"]
        assert low is None or low <= record["measured"]
        assert high is None or record["measured"] <= high


@some
@given(
    spoiled(
        {
            "table": "Table 1",
            "row": "row",
            "unit": "nats",
            "reported": 2,
            "reported_spread": 0.5,
            "measured": 1.5,
            "spread": 0.1,
            "better": "lower",
            "how": "a minute",
            "made_at": "paper",
        },
        wrong,
    )
)
def test_what_a_ledger_scores_a_page_shows(folder, arguments):
    clear(folder)
    ledger = Ledger("one", RUN)
    feed(ledger.score, **arguments)
    records = [asdict(kept) for kept in ledger.scored.values()]
    write_records(folder, "scores", records)
    assert claims.load("scores", folder) == records
    for record in records:
        assert measured.state(record) in measured.STATES
        told = feed(measured.told_gap, record)
        assert told is None or (told == "") == (record["measured"] is None)


@few
@given(anything, anything)
def test_ledgers_of_nonsense(chapter, run):
    feed(Ledger, chapter, RUN)
    assert feed(Ledger, "one", run) is None


@some
@given(st.sampled_from(sorted(RECORDS)), st.data())
def test_files_of_nonsense(folder, kind, data):
    clear(folder)
    records = data.draw(records_of(kind))
    write_records(folder, kind, records)
    found = feed(claims.load, kind, folder)
    assert found is None or found == records
    feed(claims.disagreements, [], folder)
    before = (folder / f"{kind}.json").read_bytes()
    outputs = [shown("claims", claim()), shown("scores", score())]
    notebook = write_notebook(folder / "one.ipynb", outputs)
    gained = feed(claims.collect, [notebook], folder)
    if found is None:
        assert gained is None and (folder / f"{kind}.json").read_bytes() == before
    else:
        assert gained == {"claims": 1, "scores": 1, "spreads": 0}
        assert len(claims.load(kind, folder)) >= (kind != "spreads")


@some
@given(st.data())
def test_notebooks_of_nonsense(folder, data):
    clear(folder)
    output = data.draw(damaged(shown("claims", data.draw(damaged(claim())))))
    if data.draw(st.booleans()):
        output["metadata"] = data.draw(json_values)
    notebook = write_notebook(folder / "one.ipynb", [output])
    if data.draw(st.booleans()):
        text = notebook.read_text()
        start, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
        notebook.write_text(text[:start] + data.draw(texts) + text[end:])
    gained = feed(claims.collect, [notebook], folder)
    written = {path.name for path in folder.iterdir()} - {"one.ipynb"}
    assert written == (set() if gained is None else {"claims.json", "scores.json"})
    if gained is not None:
        assert len(claims.load("claims", folder)) == gained["claims"]


@few
@given(things, things)
def test_folders_and_kinds_of_nonsense(folder, kind, other):
    feed(claims.load, kind, folder)
    # Never a folder that is there, which nonsense must not write to.
    other = folder / "new" if isinstance(other, str | None) else other
    feed(claims.load, "claims", other)
    feed(claims.disagreements, kind, other)
    assert feed(claims.collect, kind, other) in (None, dict.fromkeys(RECORDS, 0))
    shutil.rmtree(folder / "new", ignore_errors=True)


@some
@given(st.one_of(anything, texts))
def test_small_parts_of_nonsense(value):
    found = feed(claims.number, value)
    written = re.compile(r"\$?-?[\d.]+( \\cdot 10)?(\^\{-?\d+\}\$)?")
    assert found is None or written.fullmatch(found), found
    found = feed(claims.anchor, value)
    assert found is None or re.fullmatch("claim(-[a-zA-Z0-9-]+){2}", found)
    found = feed(claims.markdown, value)
    assert (found is not None) == isinstance(value, str)
    assert found is None or "\n" not in found


# Figures


@pytest.fixture(autouse=True)
def no_figures_left():
    with matplotlib.rc_context():
        yield
    pyplot.close("all")


sizes = st.one_of(st.integers(-1, 5), things)
pictures = tensors(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
)
series = tensors(st.integers(0, 6).map(lambda length: (length,)))
losses_by_turn = spoiled(
    {"critic": [1.0] * 6, "maps": [2] * 2, "maps/cycle": torch.ones(4)}, st.one_of(series, anything)
)
named_so = st.dictionaries(st.one_of(texts, st.none()), st.just([0.5] * 6), max_size=3)


@some
@given(
    spoiled(
        {"images": torch.zeros(3, 1, 2, 2), "columns": 2, "axes": None, "gap": 1, "title": ""},
        st.one_of(pictures, sizes, anything),
    )
)
def test_images_of_nonsense(arguments):
    pyplot.close("all")
    drawn = feed(figures.show_images, **arguments)
    assert (drawn is None) == (pyplot.get_fignums() == [])
    if drawn is not None:
        table = drawn.images[0].get_array()
        count, _, height, width = torch.as_tensor(arguments["images"]).shape
        columns, gap = arguments["columns"], arguments["gap"]
        rows = -(-count // columns)
        assert table.shape[:2] == (rows * (height + gap) + gap, columns * (width + gap) + gap)


@some
@given(
    st.one_of(losses_by_turn, named_so),
    spoiled({"rounds": 2, "smooth": 50, "unit": "nats"}, st.one_of(sizes, texts)),
)
def test_losses_of_nonsense(losses, arguments):
    pyplot.close("all")
    figure = feed(figures.show_losses, losses, **arguments)
    assert (figure is None) == (pyplot.get_fignums() == [])
    if figure is not None:
        lines = figure.axes[0].lines
        assert all(0 < at <= arguments["rounds"] for line in lines for at in line.get_xdata())
        assert len([line for line in lines if line.get_alpha() is None]) == len(losses)


@few
@given(anything)
def test_losses_that_are_no_table_of_losses(losses):
    assert feed(figures.show_losses, losses, 2) is None


@few
@given(
    spoiled({"count": 2, "titles": ["a"], "sharey": True, "figsize": (7, 2), "dpi": 80}, wrong),
    st.lists(texts, max_size=3),
)
def test_panels_of_nonsense(arguments, titles):
    pyplot.close("all")
    found = feed(figures.panels, **arguments)
    assert found is None or len(found[1]) == arguments["count"]
    found = feed(figures.panels, 2, titles)
    assert (found is not None) == (len(titles) <= 2)


@few
@given(st.lists(anything, max_size=2), spoiled({"a": 1, "b": "two"}, anything))
def test_sources_and_quotes_of_nonsense(objects, quotes):
    feed(figures.show_source, *objects)
    feed(figures.glue, **quotes)


# Progress and data


@some
@given(
    spoiled({"title": "Counting", "total": 3, "start": 1, "shown": False}, st.one_of(sizes, texts))
)
def test_progress_of_nonsense(arguments):
    bar = feed(Progress, **arguments)
    if bar is not None:
        with bar:
            bar.update()


choices = st.one_of(
    st.sampled_from(["test", "noto", "emoji.csv", "t10k-labels-idx1-ubyte"]), things
)
folders = st.one_of(
    st.sampled_from([MNIST, MNIST.parent / "emoji", MNIST / "README.md", "no-such-folder", "\0"]),
    things.filter(lambda thing: thing is not None),
)


@some
@given(choices, st.one_of(st.just("test"), choices), folders)
def test_readers_of_nonsense(first, second, folder):
    feed(datasets.mnist, second, folder)
    feed(datasets.emoji, first, second, folder)
    feed(datasets.emoji_names, second, folder)
    feed(datasets.read_emoji_split, second, folder)
    feed(datasets.read_idx, folder, first)
    feed(datasets.read_known, first)
    feed(datasets.check_choice, "choice", first, ("a", "b"))
    feed(datasets.collection_folder, "mnist", folder)


@few
@given(spoiled({"split": "test", "folder": MNIST}, st.one_of(choices, folders)))
def test_binarized_digits_of_nonsense(arguments):
    feed(datasets.binarized_mnist, **arguments)


@few
@given(spoiled({"split": "test", "count": 2, "seed": 0, "folder": MNIST}, st.one_of(sizes, texts)))
def test_stacks_of_nonsense(arguments):
    stacked = feed(datasets.stacked_mnist, **arguments)
    if stacked is not None:
        images, modes = stacked
        assert images.shape == (arguments["count"], 3, 28, 28) and len(modes) == len(images)
        assert modes.min() >= 0 and modes.max() <= 999


@some
@given(anything)
def test_bytes_of_nonsense(images):
    mapped = feed(datasets.to_signed_unit, images)
    if mapped is not None:
        assert mapped.shape == images.shape and mapped.dtype == torch.float32
        assert (mapped.abs() <= 1).all()


@few
@given(st.binary(max_size=64), st.sampled_from(sorted(datasets.KNOWN_FILES)))
def test_files_of_any_bytes(folder, content, name):
    clear(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} .*expected.*git checkout"):
        datasets.read_known(folder / name)
