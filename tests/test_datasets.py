"""MNIST and emoji against their known facts and every damage; streams; mixtures of Gaussians."""

import csv
import gzip
import hashlib
import json
import math
import shutil
import statistics
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp
from scipy.stats import kstest

from ganlib.datasets import (
    DataError,
    SwissRoll,
    binarized_mnist,
    emoji,
    emoji_names,
    gaussian_grid,
    gaussian_ring,
    mixture,
    mixture_1d,
    mnist,
    read_emoji_split,
    read_idx,
    read_known,
    stacked_mnist,
    to_signed_unit,
    tossed,
)
from ganlib.paths import data_folder
from ganlib.streams import Draws, Minibatches, Together

MNIST = Path(__file__).resolve().parents[1] / "data" / "mnist"
EMOJI = MNIST.parent / "emoji"
FOUNDRIES = ("noto", "twemoji", "openmoji")
COUNTS = {"train": 1716, "test": 190}
NAME = "t10k-labels-idx1-ubyte"
PACKED = (MNIST / f"{NAME}.gz").read_bytes()
CONTENT = gzip.decompress(PACKED)
LABELS = torch.tensor(list(CONTENT[8:]), dtype=torch.uint8)

masks = st.integers(1, 255)
seeds = st.integers(0, 2**32 - 1)
counts_and_sizes = st.integers(1, 40).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(1, count))
)


def flip(content, position, mask):
    damaged = bytearray(content)
    damaged[position] ^= mask
    return bytes(damaged)


def pack(content):
    return gzip.compress(content, compresslevel=1)


DAMAGES = {
    "truncated": st.integers(0, len(PACKED) - 1).map(lambda length: PACKED[:length]),
    "flipped inside": st.builds(
        lambda position, mask: pack(flip(CONTENT, position, mask)),
        st.integers(0, len(CONTENT) - 1),
        masks,
    ),
    "shortened inside": st.integers(0, len(CONTENT) - 1).map(lambda length: pack(CONTENT[:length])),
    "appended inside": st.binary(min_size=1).map(lambda extra: pack(CONTENT + extra)),
    "foreign inside": st.binary().map(pack),
    "foreign of the right length": st.integers(0, 255).map(
        lambda byte: pack(bytes([byte]) * len(CONTENT))
    ),
    "random bytes": st.binary(),
    "random bytes after the magic number": st.binary().map(lambda rest: PACKED[:4] + rest),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mnist")


@pytest.fixture(scope="module")
def train():
    return mnist("train", MNIST)


def refused(folder, packed):
    path = folder / f"{NAME}.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError) as caught:
        read_idx(folder, NAME)
    message = str(caught.value)
    return all(words in message for words in (str(path), "expected", "git checkout"))


# MNIST


def test_train_has_its_known_shape_and_labels(train):
    images, labels = train
    assert (images.shape, images.dtype) == ((60_000, 1, 28, 28), torch.uint8)
    assert (labels.shape, labels.dtype) == ((60_000,), torch.int64)
    known = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == known
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_train_has_its_known_moments(train):
    pixels = train[0].numpy()
    # The values that every MNIST tutorial normalises by, known to four decimals.
    assert pixels.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std() / 255 == pytest.approx(0.3081, abs=5e-5)


def test_test_split_has_its_known_shape_and_labels():
    images, labels = mnist("test", MNIST)
    assert (images.shape, images.dtype) == ((10_000, 1, 28, 28), torch.uint8)
    known = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels.bincount().tolist() == known
    raw = gzip.decompress((MNIST / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert images[-1].numpy().tobytes() == raw[-784:]


def test_read_idx_reads_the_bytes_after_the_header():
    assert torch.equal(read_idx(MNIST, NAME), LABELS)


def test_ganlib_data_is_honoured(monkeypatch, tmp_path):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte.gz is missing"):
        mnist("test")
    (tmp_path / "mnist").mkdir()
    for path in MNIST.glob("t10k-*"):
        shutil.copy(path, tmp_path / "mnist")
    assert torch.equal(mnist("test")[1], LABELS.long())


@pytest.mark.parametrize("value", [None, ""])
def test_without_ganlib_data_the_folder_is_the_one_of_the_clone(monkeypatch, value):
    monkeypatch.delenv("GANLIB_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("GANLIB_DATA", value)
    assert data_folder() == MNIST.parent


def test_a_wrong_split_names_the_choices():
    with pytest.raises(ValueError, match="'valid'.*'train'.*'test'"):
        mnist("valid", MNIST)


def test_a_missing_file_is_named_and_can_be_restored(tmp_path):
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path, NAME)
    message = str(caught.value)
    assert str(tmp_path / f"{NAME}.gz") in message
    assert f"git checkout -- data/mnist/{NAME}.gz" in message


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_damage_is_refused(folder, damage, data):
    assert refused(folder, data.draw(damage))


def test_an_empty_file_and_another_file_of_mnist_are_refused(folder):
    assert refused(folder, b"")
    assert refused(folder, (MNIST / "train-labels-idx1-ubyte.gz").read_bytes())


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(PACKED) - 1), mask=masks)
def test_a_flipped_byte_in_the_file_is_refused_or_harmless(folder, position, mask):
    path = folder / f"{NAME}.gz"
    path.write_bytes(flip(PACKED, position, mask))
    try:
        found = read_idx(folder, NAME)
    except DataError as error:
        assert all(words in str(error) for words in (str(path), "expected", "git checkout"))
    else:
        assert torch.equal(found, LABELS)


def test_a_flipped_byte_in_the_time_stamp_is_harmless(folder):
    # RFC 1952: bytes 4 to 9 are the time of modification, the effort and the system.
    for position in range(4, 10):
        (folder / f"{NAME}.gz").write_bytes(flip(PACKED, position, 255))
        assert torch.equal(read_idx(folder, NAME), LABELS)


def test_a_flipped_byte_in_the_check_sum_is_refused(folder):
    # RFC 1952: the last eight bytes are the check sum and the length of the content.
    for position in range(1, 9):
        assert refused(folder, flip(PACKED, -position, 1))


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ValueError("odd")])
def test_a_file_that_cannot_be_read_is_named(monkeypatch, error):
    def refuse(path):
        raise error

    monkeypatch.setattr(gzip, "open", refuse)
    with pytest.raises(DataError, match=f"{NAME}.gz .*expected.*git checkout"):
        read_idx(MNIST, NAME)


def test_folders_and_files_in_each_others_place_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be read: on its way is a file where a folder was"):
        read_idx(tmp_path / "file", NAME)
    (tmp_path / f"{NAME}.gz").mkdir()
    with pytest.raises(DataError, match="cannot be read: .*expected .Is a directory.*git checkout"):
        read_idx(str(tmp_path), NAME)


def test_a_file_that_the_book_does_not_know_is_named(tmp_path):
    with pytest.raises(ValueError, match="name='labels' is not known: choose 'train-images-idx3"):
        read_idx(MNIST, "labels")
    with pytest.raises(ValueError, match="labels.gz is no file of the book's data"):
        read_known(tmp_path / "labels.gz")


@pytest.mark.parametrize(
    "images", [torch.zeros(2), torch.ones(2) > 0, numpy.zeros(2), [0, 1], None]
)
def test_to_signed_unit_refuses_what_are_no_bytes(images):
    with pytest.raises(TypeError, match="expected a tensor of whole numbers from 0 to 255"):
        to_signed_unit(images)


def test_to_signed_unit_takes_whole_numbers_in_the_range_of_bytes():
    numbers = torch.tensor([0, 255])
    assert to_signed_unit(numbers).tolist() == [-1, 1]
    assert to_signed_unit(numbers[:0]).shape == (0,)
    for wrong in (torch.tensor([0, 256]), torch.tensor([-1, 3], dtype=torch.int8)):
        with pytest.raises(ValueError, match=r"images: numbers from .*, expected 0 to 255"):
            to_signed_unit(wrong)


def test_to_signed_unit_maps_every_pixel_onto_the_range():
    pixels = torch.arange(256, dtype=torch.uint8)
    mapped = to_signed_unit(pixels)
    assert mapped.dtype == torch.float32
    assert mapped[0] == -1 and mapped[255] == 1
    exact = numpy.arange(256) / 127.5 - 1
    # Three roundings of numbers up to 2.
    assert numpy.abs(mapped.numpy() - exact).max() <= 3 * 2.0**-23
    assert pixels.tolist() == list(range(256))


# Streams


@settings(deadline=None)
@given(counts_and_sizes, seeds)
def test_an_epoch_repeats_nothing(count_and_size, seed):
    count, size = count_and_size
    stream = Minibatches(torch.arange(count), size=size, seed=seed)
    for _ in range(3):
        epoch = torch.cat([next(stream) for _ in range(count // size)])
        assert len(epoch.unique()) == len(epoch) == count // size * size


@settings(deadline=None)
@given(seeds)
def test_every_epoch_has_another_order(seed):
    stream = Minibatches(torch.arange(50), size=50, seed=seed)
    # Two of 50! orders coincide with a chance of 1e-65.
    assert len({tuple(next(stream).tolist()) for _ in range(5)}) == 5


def test_another_seed_gives_another_order():
    orders = {
        tuple(next(Minibatches(torch.arange(50), size=50, seed=seed)).tolist()) for seed in range(5)
    }
    assert len(orders) == 5


@settings(deadline=None)
@given(counts_and_sizes, seeds)
def test_the_same_seed_gives_the_same_order_whatever_torch_drew(count_and_size, seed):
    count, size = count_and_size
    first = Minibatches(torch.arange(count), size=size, seed=seed)
    second = Minibatches(torch.arange(count), size=size, seed=seed)
    for _ in range(2 * (count // size) + 1):
        left = next(first)
        torch.rand(3)
        assert torch.equal(left, next(second))


@settings(deadline=None)
@given(counts_and_sizes, seeds, st.integers(0, 100))
def test_a_stream_resumes_exactly(count_and_size, seed, drawn):
    count, size = count_and_size
    stream = Minibatches(torch.arange(count), size=size, seed=seed)
    for _ in range(drawn):
        next(stream)
    resumed = Minibatches(torch.arange(count), size=size, seed=seed)
    resumed.load_state_dict(stream.state_dict())
    for _ in range(count // size + 1):
        assert torch.equal(next(stream), next(resumed))


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 20), seeds)
def test_the_processes_share_the_batch_of_one(world, share, spare, seed):
    examples, size = torch.arange(world * share + spare), world * share
    whole = Minibatches(examples, size=size, seed=seed)
    ranks = [
        Minibatches(examples, size=size, seed=seed, rank=rank, world=world) for rank in range(world)
    ]
    for _ in range(3):
        parts = [next(stream) for stream in ranks]
        assert {len(part) for part in parts} == {share}
        assert torch.equal(torch.cat(parts), next(whole))


def test_several_tensors_stay_aligned_and_only_the_first_is_prepared():
    numbers = torch.arange(30)
    stream = Minibatches(numbers, -numbers, size=7, prepare=lambda batch: batch + 1000)
    for _ in range(10):
        prepared, plain = next(stream)
        assert torch.equal(prepared - 1000, -plain)
    assert torch.equal(numbers, torch.arange(30))


def test_bytes_stay_bytes_and_axes_stay():
    images = torch.zeros(10, 1, 4, 4, dtype=torch.uint8)
    stream = Minibatches(images, size=3)
    assert iter(stream) is stream
    batch = next(stream)
    assert (batch.dtype, batch.shape, batch.device.type) == (torch.uint8, (3, 1, 4, 4), "cpu")


@pytest.mark.parametrize("size", [-1, 0, 6])
def test_a_size_that_does_not_fit_is_refused(size):
    with pytest.raises(ValueError, match=f"size={size}\\b.*expected"):
        Minibatches(torch.arange(5), size=size)


def test_a_size_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match="size=4 .*3 processes"):
        Minibatches(torch.arange(5), size=4, world=3)


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\[5, 4\]"):
        Minibatches(torch.arange(5), torch.arange(4), size=2)


def test_draws_have_the_distribution_and_the_shape():
    torch.manual_seed(0)
    count = 20_000
    stream = Draws(mixture_1d([3.0], [2.0], [1.0]), count)
    assert iter(stream) is stream
    batch = next(stream)
    assert (batch.shape, batch.dtype, batch.device.type) == ((count, 1), torch.float32, "cpu")
    # Six standard errors of the mean and of the variance of a normal sample.
    assert batch.mean().item() == pytest.approx(3, abs=6 * 2 / math.sqrt(count))
    assert batch.var().item() == pytest.approx(4, abs=6 * 4 * math.sqrt(2 / count))
    assert not torch.equal(batch, next(stream))


def test_draws_come_from_the_global_generator_and_have_no_state():
    stream = Draws(gaussian_ring(), 5)
    torch.manual_seed(4)
    first = next(stream)
    assert stream.state_dict() == {}
    stream.load_state_dict({})
    torch.manual_seed(4)
    assert torch.equal(first, next(stream))


def test_streams_together_are_each_alone_and_resume_together():
    def numbers():
        return Minibatches(torch.arange(9), size=4, seed=1)

    def letters():
        return Minibatches(-torch.arange(7), torch.arange(7), size=2, seed=2)

    stream, first, second = Together(numbers(), letters()), numbers(), letters()
    assert iter(stream) is stream
    for _ in range(5):
        batch, (negative, positive) = next(stream)
        assert torch.equal(batch, next(first))
        assert torch.equal(positive, next(second)[1])
        assert torch.equal(negative, -positive)
    resumed = Together(numbers(), letters())
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    batch, (negative, positive) = next(resumed)
    assert torch.equal(batch, next(first))
    assert torch.equal(positive, next(second)[1])


def test_the_state_of_other_streams_is_refused():
    stream = Together(Minibatches(torch.arange(9), size=4))
    with pytest.raises(ValueError):
        stream.load_state_dict({"streams": []})


# Mixtures


def hand_written(points, means, scales, weights):
    kernels = stats.norm.logpdf(points[:, None], means, scales).sum(-1)
    return logsumexp(kernels, b=numpy.array(weights) / numpy.sum(weights), axis=1)


def test_the_density_of_a_mixture_on_the_line():
    means, scales, weights = [-2.0, 0.5, 3.0], [0.5, 1.0, 1.5], [1.0, 2.0, 5.0]
    points = numpy.linspace(-5, 6, 45)[:, None]
    found = mixture_1d(means, scales, weights).log_prob(torch.tensor(points, dtype=torch.float32))
    exact = hand_written(points, numpy.c_[means], numpy.c_[scales], weights)
    # float32 keeps 24 bits of exponents z²/2 of up to 128.
    assert numpy.abs(found.numpy() - exact).max() <= 128 * 2.0**-21


def test_the_density_of_a_mixture_in_the_plane():
    means = numpy.array([[0.0, 1.0], [2.0, -1.0]])
    scales = numpy.array([[0.5, 1.0], [1.5, 0.7]])
    points = numpy.random.default_rng(0).uniform(-2, 2, (50, 2))
    tensors = (torch.tensor(array) for array in (means, scales, numpy.array([0.3, 0.7])))
    found = mixture(*tensors).log_prob(torch.tensor(points))
    exact = hand_written(points, means, scales, [0.3, 0.7])
    assert numpy.abs(found.numpy() - exact).max() <= 1e-12


def test_the_default_weights_are_equal():
    means = torch.tensor([[-5.0], [0.0], [5.0]])
    at_the_modes = mixture(means, 0.5).log_prob(means).exp()
    # The next mode is ten deviations away, where the density is e**-50 of its peak; float32.
    peak = 1 / (3 * 0.5 * math.sqrt(2 * math.pi))
    assert at_the_modes.tolist() == pytest.approx([peak] * 3, rel=1e-6)


def test_the_weights_are_honoured_in_samples():
    torch.manual_seed(0)
    count = 20_000
    samples = mixture_1d([-10.0, 10.0], [1.0, 1.0], [1.0, 3.0]).sample((count,))
    share = (samples > 0).double().mean().item()
    assert share == pytest.approx(0.75, abs=6 * math.sqrt(0.75 * 0.25 / count))


@pytest.mark.parametrize("modes, radius", [(8, 2.0), (5, 1.5)])
def test_the_ring_is_regular(modes, radius):
    means = gaussian_ring(modes, radius).component_distribution.mean.double()
    assert means.shape == (modes, 2)
    assert means.norm(dim=1).tolist() == pytest.approx([radius] * modes, rel=1e-6)
    sides = (means - means.roll(1, 0)).norm(dim=1)
    chord = 2 * radius * math.sin(math.pi / modes)
    assert sides.tolist() == pytest.approx([chord] * modes, rel=1e-6)


@pytest.mark.parametrize("side, spacing", [(5, 2.0), (4, 1.0)])
def test_the_grid_is_centred_and_even(side, spacing):
    means = gaussian_grid(side, spacing).component_distribution.mean
    assert len({tuple(mean) for mean in means.tolist()}) == side**2
    assert means.sum(0).tolist() == [0, 0]
    for axis in (0, 1):
        ticks = means[:, axis].unique()
        assert ticks.diff().tolist() == [spacing] * (side - 1)


@pytest.mark.parametrize("distribution, scale", [(gaussian_ring(), 0.02), (gaussian_grid(), 0.05)])
def test_ring_and_grid_have_the_deviation_of_the_papers(distribution, scale):
    torch.manual_seed(0)
    samples = distribution.sample((5000,))
    means = distribution.component_distribution.mean
    residuals = samples - means[torch.cdist(samples, means).argmin(1)]
    deviation = statistics.pstdev(residuals.flatten().tolist(), mu=0.0)
    assert deviation == pytest.approx(scale, abs=6 * scale / math.sqrt(2 * 10_000))


# Emoji


@pytest.fixture(scope="module")
def table():
    with (EMOJI / "emoji.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copied(tmp_path):
    return Path(shutil.copytree(EMOJI, tmp_path / "emoji"))


def pixels(foundry, split):
    return emoji(foundry, split, EMOJI).flatten(1).double()


@pytest.mark.parametrize("split", COUNTS)
@pytest.mark.parametrize("foundry", FOUNDRIES)
def test_emoji_are_small_coloured_pictures_on_white(foundry, split):
    images = emoji(foundry, split, EMOJI)
    assert (images.shape, images.dtype) == ((COUNTS[split], 3, 32, 32), torch.uint8)
    # A picture may touch its edge; most edges are paper all the same.
    edges = torch.stack([images[..., 0], images[..., -1], images[..., 0, :], images[..., -1, :]])
    assert edges.median() == 255
    # No picture is blank, and most have some colour.
    assert (images.flatten(1).amin(1) < 250).all()
    spread = (images.amax(1).int() - images.amin(1).int()).flatten(1).amax(1)
    assert (spread > 64).double().mean() > 0.8


@pytest.mark.parametrize("split", COUNTS)
@pytest.mark.parametrize("one, other", [FOUNDRIES[:2], FOUNDRIES[1:]])
def test_row_i_is_the_same_emoji_for_every_foundry(one, other, split):
    both = torch.cat([pixels(one, split), pixels(other, split)])
    correlation = torch.corrcoef(both)[: COUNTS[split], COUNTS[split] :]
    own = correlation.diagonal()
    # The share of the other foundry's pictures that are less like an emoji than its own is. With
    # unrelated orders it is uniform, and its mean stays within six standard errors of a half.
    rank = (correlation < own[:, None]).double().mean(1)
    assert rank.mean() > 0.5 + 6 / math.sqrt(12 * COUNTS[split])
    # By chance one in all is nearest to its own picture; 20 or more have a chance below 1e-18.
    nearest = (correlation.argmax(1) == torch.arange(COUNTS[split])).double().mean()
    assert nearest > 20 / COUNTS[split]


@pytest.mark.parametrize("foundry", FOUNDRIES)
@pytest.mark.parametrize("name, strongest", [("red square", 0), ("green square", 1)])
def test_a_named_square_has_its_colour(foundry, name, strongest):
    row = emoji_names("train", EMOJI).index(name)
    centre = emoji(foundry, "train", EMOJI)[row, :, 16, 16]
    assert centre.argmax() == strongest and centre.amax() > centre.amin() + 50


def test_the_splits_share_no_emoji_and_no_cluster(table):
    train, test = (set(emoji_names(split, EMOJI)) for split in COUNTS)
    assert (len(train), len(test)) == tuple(COUNTS.values())
    assert not train & test
    assert len({row["code_points"] for row in table}) == len(table) == sum(COUNTS.values())
    split_of_cluster = {(row["cluster"], row["split"]) for row in table}
    assert len(split_of_cluster) == len({row["cluster"] for row in table})


def test_the_halves_share_no_code_point_and_no_cluster_and_make_up_the_training_split(table):
    records = {}
    for half in ("first", "second"):
        rows = [row for row, _ in read_emoji_split(half, EMOJI)]
        assert rows == sorted(rows)
        records[half] = [table[row] for row in rows]
        assert [r["name"] for r in records[half]] == emoji_names(half, EMOJI)
    for column in ("code_points", "cluster"):
        first, second = ({r[column] for r in records[half]} for half in records)
        assert not first & second
        assert first | second == {r[column] for r in table if r["split"] == "train"}
    for group in {r["group"] for r in table}:
        counts = [sum(r["group"] == group for r in side) for side in records.values()]
        assert abs(counts[0] - counts[1]) <= 12, group
    assert len(emoji("noto", "first", EMOJI)) == len(records["first"]) == 861


def test_no_picture_of_one_split_has_a_near_twin_in_the_other():
    for foundry in FOUNDRIES:
        distances = torch.cdist(pixels(foundry, "test"), pixels(foundry, "train"))
        # The threshold of data/emoji/build.py: a root mean square of 16 of 255.
        assert distances.min() >= 16 * math.sqrt(3 * 32 * 32) - 1e-6


def test_a_tenth_of_every_group_is_held_out(table):
    for group in {row["group"] for row in table}:
        held_out = [row["split"] == "test" for row in table if row["group"] == group]
        assert statistics.mean(held_out) == pytest.approx(0.1, abs=0.02)


def test_names_are_in_the_order_of_the_table(table):
    for split in COUNTS:
        assert emoji_names(split, EMOJI) == [r["name"] for r in table if r["split"] == split]
    assert emoji_names("train", EMOJI)[0] == "grinning face"


def test_emoji_honour_ganlib_data(monkeypatch, tmp_path, copied):
    monkeypatch.setenv("GANLIB_DATA", str(tmp_path))
    assert torch.equal(emoji(), emoji("noto", "train", EMOJI))
    shutil.rmtree(copied)
    with pytest.raises(DataError, match="emoji.csv is missing"):
        emoji_names()


def test_a_wrong_foundry_or_split_names_the_choices():
    with pytest.raises(ValueError, match="'apple'.*'noto'.*'twemoji'.*'openmoji'"):
        emoji("apple", "train", EMOJI)
    for load in (lambda: emoji("noto", "valid", EMOJI), lambda: emoji_names("valid", EMOJI)):
        with pytest.raises(ValueError, match="'valid'.*'train'.*'test'"):
            load()


# Packed files have their own tests above; here is the table, and that the pictures are read so too.
@pytest.mark.parametrize(
    "name, damage",
    [("twemoji-images-idx4-ubyte.gz", "missing"), ("twemoji-images-idx4-ubyte.gz", "truncated")]
    + [
        ("emoji.csv", damage)
        for damage in ("missing", "empty", "truncated", "flipped", "longer", "foreign")
    ],
)
def test_bad_emoji_files_are_named_and_can_be_restored(copied, name, damage):
    path = copied / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        damaged = {
            "empty": b"",
            "truncated": content[: len(content) // 2],
            "flipped": flip(content, len(content) // 2, 1),
            "longer": content + content,
            "foreign": (EMOJI / "noto-images-idx4-ubyte.gz").read_bytes(),
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(DataError) as caught:
        emoji("twemoji", "test", copied)
    message = str(caught.value)
    assert all(words in message for words in (str(path), "expected"))
    assert f"git checkout -- data/emoji/{name}" in message


def test_binarized_pixels_are_drawn_with_the_chance_of_their_intensity():
    binary, grey = binarized_mnist("test"), mnist("test")[0]
    assert binary.shape == grey.shape and binary.dtype == torch.uint8 and len(binary) == 10_000
    assert set(binary.unique().tolist()) == {0, 1}
    # Ink and paper are certain; in between, the shares of ink are binomial around the intensity.
    assert (binary[grey == 255] == 1).all() and (binary[grey == 0] == 0).all()
    total = torch.bincount(grey.flatten(), minlength=256).double()
    ink = torch.bincount(grey.flatten(), weights=binary.flatten().double(), minlength=256)
    chance = torch.arange(256) / 255
    scores = ((ink - total * chance) / (total * chance * (1 - chance)).sqrt())[1:255]
    scores = scores[total[1:255] > 0]
    assert scores.abs().max() < 5 and abs(float(scores.square().mean()) - 1) < 0.5


@pytest.mark.parametrize(
    "split, digest",
    [
        ("train", "1cf198e7d0569b3f50d40e39dee38f12"),
        ("test", "f0683c469de09453f6fad3de8dfed08c"),
    ],
)
def test_binarized_mnist_is_drawn_once_and_for_all(split, digest):
    assert hashlib.md5(binarized_mnist(split).numpy().tobytes()).hexdigest() == digest


# Stacked digits


@pytest.mark.parametrize("split", ["train", "test"])
def test_stacked_digits_are_digits_whose_labels_make_the_mode(split):
    images, modes = stacked_mnist(split, 400, seed=3)
    assert (images.shape, images.dtype) == ((400, 3, 28, 28), torch.uint8)
    assert (modes.shape, modes.dtype) == ((400,), torch.int64)
    labels = {}
    for digit, label in zip(*mnist(split, MNIST), strict=True):
        labels.setdefault(digit.numpy().tobytes(), set()).add(int(label))
    for image, mode in zip(images.numpy(), modes.tolist(), strict=True):
        for channel, figure in zip(image, f"{mode:03}", strict=True):
            assert int(figure) in labels[channel.tobytes()]


def test_stacked_digits_are_drawn_independently_and_evenly():
    modes = stacked_mnist("train", 60_000)[1].numpy()
    share = numpy.bincount(mnist("train")[1].numpy()) / 60_000
    digits = modes // 100, modes // 10 % 10, modes % 10
    for one, other in ((0, 1), (0, 2), (1, 2)):
        table = numpy.histogram2d(digits[one], digits[other], bins=10, range=[[0, 10]] * 2)[0]
        expected = numpy.outer(share, share) * len(modes)
        assert stats.chisquare(table.flatten(), expected.flatten()).pvalue > 1e-6


def test_by_default_as_many_are_stacked_as_the_literature_judges():
    images, modes = stacked_mnist("test")
    assert len(images) == len(modes) == 25_600


def test_a_seed_fixes_the_stacks_whatever_was_drawn():
    images, modes = stacked_mnist("test", 50, seed=1)
    numpy.random.seed(8)
    state = numpy.random.get_state()[1].tolist()
    again, modes_again = stacked_mnist("test", 50, 1, MNIST)
    assert torch.equal(images, again) and torch.equal(modes, modes_again)
    assert numpy.random.get_state()[1].tolist() == state
    assert not torch.equal(modes, stacked_mnist("test", 50, seed=2)[1])


def test_stacks_are_drawn_once_and_for_all():
    assert stacked_mnist("train", 8)[1].tolist() == [417, 187, 584, 468, 438, 116, 426, 164]
    images, modes = stacked_mnist("test", 100)
    assert modes[:8].tolist() == [611, 126, 452, 571, 368, 215, 28, 167]
    assert hashlib.md5(images.numpy().tobytes()).hexdigest() == "a4cb8b93b098b3cdcf25f391c191661b"


@pytest.mark.parametrize(
    "arguments, complaint",
    [({"count": count}, "count=.*expected a whole number, 1") for count in (0, -1, 1.5, True)]
    + [({"seed": seed}, "seed=.*expected a whole number, 0 to") for seed in (-1, 2**32, 0.0)],
)
def test_stacks_of_no_count_or_seed_are_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        stacked_mnist("test", **arguments)


def test_stacks_of_a_wrong_split_or_without_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'valid'.*'train'.*'test'"):
        stacked_mnist("valid", 5)
    with pytest.raises(DataError, match="is missing"):
        stacked_mnist("test", 5, folder=tmp_path)


def test_the_swiss_roll_lies_on_its_spiral():
    torch.manual_seed(0)
    points = SwissRoll(0.01).sample((4000,)).double()
    assert points.shape == (4000, 2)
    angles = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 20_000, dtype=torch.float64)
    radii = angles * 2 / (4.5 * math.pi)
    spiral = radii[:, None] * torch.stack([angles.cos(), angles.sin()], 1)
    distance, nearest = torch.cdist(points, spiral).min(1)
    # In two directions, of which the one along the spiral does not show.
    assert float(distance.square().mean().sqrt()) == pytest.approx(0.01, rel=0.05)
    # The angle is uniform: Kolmogorov and Smirnov's test.
    assert kstest(angles[nearest] / (3 * math.pi) - 0.5, "uniform").pvalue > 0.01
    assert SwissRoll().sample().shape == (2,)
    assert SwissRoll().sample((3, 4)).shape == (3, 4, 2)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="scale"):
            SwissRoll(wrong)


def test_fresh_coins_are_ink_as_often_as_the_intensity_says():
    torch.manual_seed(0)
    grey = torch.tensor([0, 64, 128, 254, 255], dtype=torch.uint8).repeat(20_000, 1)
    first, second = tossed(grey), tossed(grey)
    assert first.dtype == torch.uint8 and first.shape == grey.shape
    shares = first.double().mean(0)
    expected = torch.tensor([0, 64, 128, 254, 255]) / 255
    assert shares[0] == 0 and shares[-1] == 1
    torch.testing.assert_close(shares, expected.double(), atol=0.015, rtol=0)
    # Another toss, of the same chances as the coins that were tossed once.
    assert (first != second).any()
    for wrong in (grey.float(), grey.tolist()):
        with pytest.raises(ValueError, match="expected grey levels as bytes"):
            tossed(wrong)
