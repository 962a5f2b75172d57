"""Translation games: every term by plain numbers, who feels what, and the pool of old pictures."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from ganlib import runtime
from ganlib.datasets import emoji
from ganlib.games.cycle import CycleGAN
from ganlib.games.paired import Paired
from ganlib.games.patches import fooled, told_apart
from ganlib.games.pool import Pool
from ganlib.games.reading import Reading
from ganlib.recipes import build

pytestmark = pytest.mark.usefixtures("one_thread")


class Affine(nn.Module):
    """a x + b, whose losses are done on paper."""

    def __init__(self, scale: float, shift: float = 0.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return self.scale * x + self.shift


def plain(values):
    return {name: float(value.detach()) for name, value in values.items()}


@pytest.fixture
def game():
    # G = 2x + 1, F = x/2, D_Y = 3y, D_X = -x; x = 1, y = 4: G(x) = 3, F(y) = 2.
    return CycleGAN(
        Affine(2.0, 1.0),
        Affine(0.5),
        Affine(3.0),
        Affine(-1.0),
        cycle=(10.0, 7.0),
        identity=5.0,
        pool=0,
        shape=(1,),
    )


ONE, FOUR = torch.tensor([[1.0]]), torch.tensor([[4.0]])


def test_translators_pay_every_term(game):
    paid = plain(game.translators_loss((ONE, FOUR)))
    assert paid == {
        "adversary_y": (9 - 1) ** 2,
        "adversary_x": (-2 - 1) ** 2,
        "cycle_x": 10 * abs(1.5 - 1),
        "cycle_y": 7 * abs(5 - 4),
        "identity_y": 5 * abs(9 - 4),
        "identity_x": 5 * abs(0.5 - 1),
    }


def test_discriminators_pay_for_data_and_for_translations(game):
    game.translators_loss((ONE, FOUR))
    paid = plain(game.discriminators_loss((ONE, FOUR)))
    # D_Y(y) = 12, D_Y(G(x)) = 9; D_X(x) = -1, D_X(F(y)) = -2.
    assert paid == {"y": (12 - 1) ** 2 + 9**2, "x": (-1 - 1) ** 2 + (-2) ** 2}


def test_the_logarithms_of_the_first_game():
    real, fake = torch.tensor([0.3, -2.0]), torch.tensor([1.5])
    right = -logsigmoid(real).mean() - torch.log(1 - torch.sigmoid(fake)).mean()
    assert float(told_apart(real, fake, "log")) == pytest.approx(float(right), rel=1e-6)
    wrong = -torch.log(torch.sigmoid(fake)).mean()
    assert float(fooled(fake, "log")) == pytest.approx(float(wrong), rel=1e-6)
    assert float(told_apart(real, fake, "squares")) == pytest.approx((0.49 + 9) / 2 + 2.25)
    assert float(fooled(fake, "squares")) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("left_out", "setting"),
    [
        ({"cycle_x"}, {"cycle": (0.0, 10.0)}),
        ({"cycle_x", "cycle_y"}, {"cycle": (0.0, 0.0)}),
        ({"identity_x", "identity_y"}, {"identity": 0.0}),
        ({"adversary_x", "adversary_y"}, {}),
    ],
)
def test_a_term_of_no_weight_is_left_out(left_out, setting):
    critics = (None, None) if "adversary_x" in left_out else (Affine(3.0), Affine(-1.0))
    whole = {"adversary_y", "adversary_x", "cycle_x", "cycle_y", "identity_y", "identity_x"}
    game = CycleGAN(Affine(2.0), Affine(0.5), *critics, shape=(1,), **setting)
    assert game.translators_loss((ONE, FOUR)).keys() == whole - left_out
    assert len(game.turns) == (1 if critics == (None, None) else 2)


def test_a_bijection_and_its_inverse_pay_nothing_for_the_round_trip():
    game = CycleGAN(Affine(-4.0, 1.0), Affine(-0.25, 0.25), None, None, identity=0.0)
    x, y = torch.randn(2, 50, 1)
    assert sum(plain(game.translators_loss((x, y))).values()) < 1e-5
    wrong = CycleGAN(Affine(-4.0, 1.0), Affine(-0.25), None, None, identity=0.0)
    assert sum(plain(wrong.translators_loss((x, y))).values()) > 1


def test_discriminators_do_not_move_the_translators(game):
    game.translators_loss((ONE, FOUR))
    sum(game.discriminators_loss((ONE, FOUR)).values()).backward()
    for name, player in game.players.items():
        moved = [p.grad is not None for p in player.parameters()]
        assert all(moved) == name.startswith("discriminator") or not moved
        assert any(moved) == name.startswith("discriminator")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cycle": (-1.0, 1.0)}, "expected 0 or more"),
        ({"identity": float("nan")}, "expected 0 or more"),
        ({"loss": "hinge"}, "expected 'squares' or 'log'"),
        ({"pool": -1}, "pool|size"),
    ],
)
def test_a_wrong_setting_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CycleGAN(Affine(1.0), Affine(1.0), Affine(1.0), Affine(1.0), **wrong)


def test_there_is_something_to_pay_and_two_discriminators_or_none():
    with pytest.raises(ValueError, match="one discriminator"):
        CycleGAN(Affine(1.0), Affine(1.0), Affine(1.0), None)
    with pytest.raises(ValueError, match="something to pay"):
        CycleGAN(Affine(1.0), Affine(1.0), None, None, cycle=(0.0, 0.0), identity=0.0)
    with pytest.raises(ValueError, match="something to pay"):
        Paired(Affine(1.0), None, 0.0)
    with pytest.raises(ValueError, match="expected 0 or more"):
        Paired(Affine(1.0), Affine(1.0), -1.0)
    with pytest.raises(ValueError, match="expected 'squares' or 'log'"):
        Paired(Affine(1.0), Affine(1.0), loss="hinge")


class Sum(nn.Module):
    """3 x + y of pairs, so that their order shows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0, 1.0]]))

    def forward(self, pairs):
        return pairs @ self.weight.T


def test_paired_pays_for_the_distance_and_for_pairs():
    game = Paired(Affine(2.0, 1.0), Sum(), l1=100.0)
    assert plain(game.translator_loss((ONE, FOUR))) == {"l1": 100.0, "adversary": (6 - 1) ** 2}
    assert float(game.discriminator_loss((ONE, FOUR)).detach()) == (7 - 1) ** 2 + 6**2
    assert [turn.name for turn in game.turns] == ["to_y", "discriminator"]
    alone = Paired(Affine(2.0, 1.0), None)
    assert alone.translator_loss((ONE, FOUR)).keys() == {"l1"} and len(alone.turns) == 1
    other = Paired(Affine(2.0, 1.0), Sum(), l1=0.0)
    assert other.translator_loss((ONE, FOUR)).keys() == {"adversary"}


def test_a_pool_keeps_the_first_and_then_swaps_half():
    torch.manual_seed(0)
    pool = Pool(50, (1,))
    first = torch.arange(48.0)[:, None]
    for part in first.split(16):
        assert torch.equal(pool.swap(part), part)
    assert torch.equal(pool.pictures[:48], first)
    shown = []
    for time in range(4_000):
        new = torch.full((16, 1), float(time))
        before = pool.pictures.clone()
        seen = pool.swap(new)
        if time == 0:
            # The last two places are filled now, and the round is shown as it is.
            assert torch.equal(seen, new)
            continue
        old = seen[:, 0] != time
        # What is shown was there, and gave its place; no picture is shown twice.
        gone = (before != pool.pictures).squeeze(1)
        assert gone.sum() <= old.sum() <= 16
        assert set(seen[old, 0].tolist()) <= set(before[:, 0].tolist())
        if time > 500:
            shown.append(time - seen[:, 0])
    ages = torch.cat(shown)
    # Half are new. An old one was one of 50, of which 8 a round are replaced in the mean: its age
    # is geometric with the chance 8/50.
    count = len(ages)
    assert float((ages == 0).double().mean()) == pytest.approx(0.5, abs=5 * 0.5 / count**0.5)
    old, chance = ages[ages > 0], 8 / 50
    spread = (1 - chance) ** 0.5 / chance
    # Ages of one round go together: at most 16 of them count as one.
    room = 5 * spread * (16 / len(old)) ** 0.5
    assert float(old.mean()) == pytest.approx(1 / chance, abs=room)
    for age in (1, 2, 5, 10):
        share = float((old == age).double().mean())
        assert share == pytest.approx(chance * (1 - chance) ** (age - 1), abs=0.01)


def test_a_pool_of_none_shows_what_it_is_given_and_too_many_are_refused():
    new = torch.randn(4, 3, 2, 2)
    assert torch.equal(Pool(0, (3, 2, 2)).swap(new), new)
    with pytest.raises(ValueError, match="4 pictures for a pool of 3"):
        Pool(3, (3, 2, 2)).swap(new)


def test_a_pool_is_saved_with_its_game():
    torch.manual_seed(0)
    pool = Pool(6, (2,))
    for _ in range(5):
        pool.swap(torch.randn(4, 2))
    other = Pool(6, (2,))
    other.load_state_dict(pool.state_dict())
    new, state = torch.randn(4, 2), torch.get_rng_state()
    one = pool.swap(new)
    torch.set_rng_state(state)
    assert torch.equal(other.swap(new), one)
    assert torch.equal(pool.pictures, other.pictures)


def test_the_discriminators_of_the_recipe_are_shown_old_pictures():
    run = runtime.start("smoke", "cpu", 0)
    game = build("cyclegan-emoji", run).game
    x, y = torch.rand(2, 4, 3, 32, 32)
    for _ in range(13):
        game.translators_loss((x, y))
        game.discriminators_loss((x, y))
    assert int(game.pool_y.filled) == int(game.pool_x.filled) == 50
    assert game.pool_y.pictures.abs().sum(dim=(1, 2, 3)).min() > 0
    assert build("cyclegan-no-pool", run).game.pool_y.size == 0


def test_the_piles_of_translation_are_not_in_pairs():
    run = runtime.start("smoke", "cpu", 3)
    stream = build("cyclegan-emoji", run).stream
    x, y = (side.tensors[0] for side in stream.streams)
    assert torch.equal(x, emoji("noto", "first")) and torch.equal(y, emoji("openmoji", "second"))
    orders = [side._epoch_order(0)[:855] for side in stream.streams]
    # Independent orders agree at one place in the mean.
    assert int((orders[0] == orders[1]).sum()) < 10
    places = torch.corrcoef(torch.stack(orders).double())[0, 1]
    assert abs(float(places)) < 4 / 855**0.5


class Told(nn.Module):
    """A reader whose answers are its input."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x[:, :2] * self.scale, x[:, 2:] * self.scale


def test_reading_pays_for_hands_and_for_partners():
    torch.manual_seed(0)
    x = torch.randn(5, 2, 6)
    paid = Reading(Told(), temperature=0.5).loss(x)
    one, other = x[:, 0, 2:], x[:, 1, 2:]
    content = 0.0
    for i in range(5):
        for a, b in ((one, other), (other, one)):
            alike = torch.stack([a[i] @ b[j] for j in range(5)]) / 0.5
            content -= float(alike.log_softmax(0)[i]) / 10
    hand = -sum(float(x[i, k, :2].log_softmax(0)[k]) for i in range(5) for k in (0, 1)) / 10
    assert plain(paid)["content"] == pytest.approx(content, rel=1e-5)
    assert plain(paid)["hand"] == pytest.approx(hand / 2, rel=1e-5)


def test_a_copy_of_the_game_plays_on_alike():
    torch.manual_seed(0)
    game = build("cyclegan-emoji", runtime.start("smoke", "cpu", 0)).game
    x, y = torch.rand(2, 4, 3, 32, 32)
    game.translators_loss((x, y))
    game.discriminators_loss((x, y))
    twin = copy.deepcopy(game)
    ends = []
    for one in (game, twin):
        torch.manual_seed(1)
        one.translators_loss((x, y))
        ends.append(plain(one.discriminators_loss((x, y))))
    assert ends[0] == ends[1]
