"""Losses with parts, games and recipes that are refused, and what the loop gives back."""

import pytest
import torch
from games import bits, recipe, ring
from torch import nn

from ganlib import runtime
from ganlib.games.rules import Game, Sampling, Turn
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import NotFiniteError, Recipe, play

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run():
    return runtime.start("smoke", "cpu", 0)


class Maps(Game):
    """Two maps that move together, and a judge that nobody moves; `pay` makes the loss."""

    def __init__(self, pay=None):
        super().__init__()
        self.there, self.back = Perceptron(2, 2, (8,)), Perceptron(2, 2, (8,))
        self.judge = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), Logit(4, (4,)))
        self.turns = (Turn("maps", self.loss, ("there", "back")),)
        self.pay, self.paid = pay or (lambda game, parts: parts), 0

    def loss(self, x):
        self.paid += 1
        moved = self.there(x + 0.1 * torch.randn_like(x))
        cycle = (self.back(moved) - x).square().mean()
        return self.pay(self, {"cycle": cycle, "judged": moved.square().mean()})


def maps(pay=None, rounds=6, **changes):
    torch.manual_seed(3)
    game = Maps(pay)
    optimisers = {name: adam(game.players[name], 1e-2) for name in ("there", "back")}
    return Recipe("maps", game, ring(8), optimisers, rounds, **changes)


def same(first, second):
    first, second = first.game.state_dict(), second.game.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_parts_are_summed_kept_and_move_like_their_sum(run):
    parted, whole = maps(), maps(lambda game, parts: parts["cycle"] + parts["judged"])
    parts, total = play(parted, run, show=False).losses, play(whole, run, show=False).losses
    assert list(parts) == ["maps", "maps/cycle", "maps/judged"] and list(total) == ["maps"]
    assert (parts["maps"] == parts["maps/cycle"] + parts["maps/judged"]).all()
    assert (parts["maps"] == total["maps"]).all() and len(parts["maps/cycle"]) == 6
    assert same(parted, whole)


def test_a_run_with_parts_resumes_exactly(run, tmp_path):
    whole, broken, resumed = maps(), maps(), maps()
    expected = play(whole, run, show=False).losses

    def interrupt(done, networks):
        if done == 4:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        play(broken, run, checkpoint=path, save_every=3, observe=interrupt, show=False)
    found = play(resumed, run, checkpoint=path, show=False).losses
    assert same(whole, resumed) and found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in expected)
    assert resumed.game.paid == 3


def test_parts_that_change_their_names_are_refused(run):
    def fewer(game, parts):
        return parts if game.paid < 3 else {"cycle": parts["cycle"]}

    def none(game, parts):
        return parts if game.paid < 3 else parts["cycle"]

    for pay in (fewer, none):
        with pytest.raises(ValueError, match="had .*'judged'.* before: expected the same"):
            play(maps(pay), run, show=False)


def test_a_part_that_is_not_finite_is_named(run):
    def breaking(game, parts):
        return {**parts, "cycle": parts["cycle"] * float("nan")} if game.paid == 2 else parts

    says = r"the loss of maps is nan \(its part cycle is nan\) in round 2 of 6"
    with pytest.raises(NotFiniteError, match=says):
        play(maps(breaking), run, show=False)


def vector(game, parts):
    return torch.stack(list(parts.values()))


LOSSES = {
    "a vector": (vector, r"of shape \(2,\), expected a scalar"),
    "a number": (lambda game, parts: 1.5, "its loss is 1.5, expected a scalar"),
    "nothing": (lambda game, parts: None, "its loss is None, expected a scalar"),
    "no parts": (lambda game, parts: {}, "expected a scalar"),
    "a part's number": (lambda game, parts: {**parts, "x": 1.5}, "its x is 1.5, expected"),
    "a part's slash": (lambda game, parts: {"a/b": parts["cycle"]}, "expected no slash"),
    "no mover": (lambda game, parts: torch.tensor(1.0), "depends on no weight"),
    "one mover": (lambda game, parts: parts["judged"], "moves 'back', on whose weights"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_loss_of_the_movers_is_refused(name, run):
    pay, says = LOSSES[name]
    with pytest.raises(ValueError, match=says):
        play(maps(pay), run, show=False)


def others_weights(made):
    made.optimisers["there"] = adam(made.game.judge, 1e-2)


def half_the_weights(made):
    made.optimisers["there"] = torch.optim.SGD(list(made.game.there.parameters())[:2], 1e-2)


def stray(made):
    made.game.scale = nn.Parameter(torch.ones(1))


def shared(made):
    made.game.back[0].weight = made.game.there[0].weight


class Bare:
    """A stream without an identity."""

    def __next__(self):
        return torch.zeros(8, 2)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def set_to(name, value):
    return lambda made: setattr(made, name, value)


WRONG = {
    "another's optimiser": (others_weights, "holds weights that are not 'there'"),
    "half an optimiser": (half_the_weights, "lacks .*expected all its weights"),
    "frozen": (lambda made: made.game.there.requires_grad_(False), "all of its weights are froz"),
    "no turns": (lambda made: setattr(made.game, "turns", ()), "the game has no turns"),
    "turns of another kind": (lambda made: setattr(made.game, "turns", ("maps",)), "no turns"),
    "stray weights": (stray, r"\['scale'\] belong to no player"),
    "shared weights": (shared, "'there' and 'back' share 0.weight"),
    "a large average": (set_to("averages", {"there": 1.5}), "decays by 1.5: expected 0 to below 1"),
    "an average below": (set_to("averages", {"there": -0.1}), "decays by -0.1"),
    "an average of nobody": (set_to("averages", {"critic": 0.9}), r"averages of \['critic'\]"),
    "rounds that are true": (set_to("rounds", True), "rounds=True: expected 1 or more"),
    "no rounds": (set_to("rounds", 0), "rounds=0: expected 1 or more"),
    "half rounds": (set_to("rounds", 1.5), "rounds=1.5: expected 1 or more"),
    "no identity": (set_to("stream", Bare()), "the stream has no identity"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_recipe_that_does_not_fit_is_refused_before_anything_is_paid(name, run):
    spoil, says = WRONG[name]
    made = maps()
    spoil(made)
    with pytest.raises(ValueError, match="maps: .*" + says):
        made.check()
    with pytest.raises(ValueError, match="maps: .*" + says):
        play(made, run, show=False)
    assert made.game.paid == 0


def test_turns_and_players_that_are_none_are_refused():
    def loss(x):
        return x.mean()

    with pytest.raises(ValueError, match=r"movers='critic', expected a tuple .*\('judge',\)"):
        Turn("judge", loss, movers="critic")
    with pytest.raises(ValueError, match="a turn called 'a/b': expected a name without a slash"):
        Turn("a/b", loss)
    with pytest.raises(ValueError, match="names a player twice"):
        Turn("maps", loss, ("there", "there"))
    with pytest.raises(ValueError, match="its loss is 1.0, expected a function"):
        Turn("maps", 1.0)
    assert Turn("critic", loss).movers == ("critic",)
    for name in ("players", "turns", "settings"):
        with pytest.raises(ValueError, match=f"a player cannot be called '{name}'"):
            setattr(Maps(), name, nn.Linear(1, 1))


class Ending(Bare):
    """A stream that ends after three batches."""

    def __init__(self):
        self.left = 3

    def __next__(self):
        if not self.left:
            raise StopIteration
        self.left -= 1
        return torch.zeros(8, 2)

    def identity(self):
        return {}


def test_a_stream_that_ends_is_refused(run):
    made = maps()
    made.stream = Ending()
    with pytest.raises(ValueError, match="the stream ended in round 4 of 6: expected one without"):
        play(made, run, show=False)


@pytest.mark.parametrize("every", [0, -1, True, 1.5, None])
def test_saving_and_observing_need_whole_numbers_of_rounds(every, run):
    made = maps()
    for name in ("save_every", "observe_every"):
        with pytest.raises(ValueError, match=f"{name}={every}: expected a whole number of rounds"):
            play(made, run, show=False, **{name: every})
    assert made.game.paid == 0


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("mode", [False, True])
def test_only_movers_are_put_in_training_mode(mode, fails, run):
    modes = []

    def pay(game, parts):
        modes.append([player.training for player in game.players.values()])
        if fails and game.paid == 3:
            raise RuntimeError("stop")
        return parts

    made = maps(pay)
    made.game.eval()
    made.game.judge.train(mode)
    if fails:
        with pytest.raises(RuntimeError, match="stop"):
            play(made, run, show=False)
    else:
        play(made, run, observe=lambda done, networks: None, show=False)
    assert modes == [[True, True, mode]] * len(modes) and len(modes) == (3 if fails else 6)
    assert not made.game.there.training and not made.game.back.training
    assert all(module.training == mode for module in made.game.judge.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in made.game.parameters())


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_rates_are_given_back_and_the_recipe_plays_again_from_the_full_one(
    stopped, kept, run, tmp_path
):
    path = tmp_path / "run" if kept else None
    rates = []

    def pay(game, parts):
        rates.append([one.param_groups[0]["lr"] for one in made.optimisers.values()])
        if stopped and game.paid == 4:
            raise KeyboardInterrupt
        return parts

    made = maps(pay, schedule=lambda progress: 1 - progress)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            play(made, run, checkpoint=path, save_every=2, show=False)
    else:
        play(made, run, checkpoint=path, save_every=2, show=False)
    for optimiser in made.optimisers.values():
        assert optimiser.param_groups[0]["lr"] == 1e-2
    rates.clear()
    outcome = play(made, run, checkpoint=path, save_every=2, show=False)
    begun = (2 if stopped else 6) if kept else 0
    expected = [1e-2 * (1 - done / 6) for done in range(begun, 6)]
    assert [rate for rate, _ in rates] == pytest.approx(expected)
    assert len(outcome.losses["maps"]) == 6


@pytest.mark.parametrize("precision", [None, torch.float32, torch.bfloat16])
def test_float32_is_the_precision_unless_another_is_asked_for(precision, run):
    seen = set()

    def pay(game, parts):
        seen.add(
            (torch.is_autocast_enabled("cpu"), torch.mm(torch.ones(1, 1), torch.ones(1, 1)).dtype)
        )
        return parts

    changes = {} if precision is None else {"precision": precision}
    assert run.precision == torch.bfloat16 or run.precision == torch.float32
    play(maps(pay, rounds=2, **changes), run, show=False)
    half = precision == torch.bfloat16
    assert seen == {(half, torch.bfloat16 if half else torch.float32)}


def test_a_precision_that_is_none_is_refused():
    for precision in (torch.int64, "float32"):
        with pytest.raises(ValueError, match="expected a floating-point torch.dtype"):
            maps(precision=precision)


def test_every_fixture_recipe_fits():
    assert recipe("chain").movers == ["model"] and next(bits(0)).shape == (100, 2)


class Alternating(Sampling):
    """Two players that take turns."""

    def __init__(self, times):
        super().__init__()
        self.generator, self.critic = nn.Linear(1, 1), nn.Linear(1, 1)
        self.clipped = 0
        self.turns = self.alternating("critic", self.critic_loss, times, self.clip)

    def critic_loss(self, x):
        return self.critic(x).mean()

    def generator_loss(self, x):
        return self.generator(x).mean()

    def clip(self):
        self.clipped += 1


def test_a_round_of_two_players():
    game = Alternating(3)
    *critic, generator = game.turns
    assert [turn.name for turn in game.turns] == ["critic"] * 3 + ["generator"]
    assert all(turn.fresh and turn.movers == ("critic",) for turn in critic)
    assert not generator.fresh and generator.then is None
    assert generator.loss == game.generator_loss and critic[0].loss == game.critic_loss
    critic[0].then()
    assert game.clipped == 1
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="critic_turns="):
            Alternating(wrong)
