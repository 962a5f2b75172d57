"""Nothing is lost and nothing is silent: recipes, observers and files that do not fit."""

import errno
import os
import random
import subprocess
import sys

import numpy
import pytest
import torch
from games import recipe, ring
from torch import nn

from ganlib import checkpoints, runtime
from ganlib.checkpoints import CheckpointError
from ganlib.games.minimax import NonSaturating
from ganlib.games.rules import Game, Turn
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import NotFiniteError, Recipe, play
from ganlib.streams import Minibatches


@pytest.fixture
def run() -> runtime.Run:
    return runtime.start("smoke", "cpu", 0)


class Parts(Game):
    """Two maps in one turn, whose loss has named parts."""

    def __init__(self, weight: float = 10.0):
        super().__init__()
        self.there, self.back = nn.Linear(2, 2), nn.Linear(2, 2)
        self.weight = weight
        self.turns = (Turn("maps", self.loss, ("there", "back")),)

    def loss(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        fake = self.there(x)
        return {
            "size": fake.square().mean(),
            "cycle": self.weight * (self.back(fake) - x).abs().mean(),
        }


class Summed(Parts):
    """The same game without names."""

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return sum(super().loss(x).values())


def of_parts(game: Game, rounds: int = 6, **options: object) -> Recipe:
    optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
    stream = Minibatches(torch.randn(40, 2, generator=generator()), size=8, seed=1)
    return Recipe("parts", game, stream, optimisers, rounds, **options)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def seeded(make: type[Game], **settings: float) -> Game:
    torch.manual_seed(0)
    return make(**settings)


def interrupt_at(round_: int):
    def interrupt(done, networks):
        if done == round_:
            raise KeyboardInterrupt

    return interrupt


def test_parts_are_paid_as_their_sum_and_kept_beside_it(run):
    named, summed = of_parts(seeded(Parts)), of_parts(seeded(Summed))
    outcome, plain = play(named, run), play(summed, run)
    assert sorted(outcome.losses) == ["maps", "maps/cycle", "maps/size"]
    total = outcome.losses["maps/cycle"] + outcome.losses["maps/size"]
    numpy.testing.assert_allclose(outcome.losses["maps"], total, rtol=1e-6)
    numpy.testing.assert_allclose(outcome.losses["maps"], plain.losses["maps"], rtol=1e-5)
    for name, tensor in named.game.state_dict().items():
        torch.testing.assert_close(tensor, summed.game.state_dict()[name])


def test_parts_survive_a_resume_exactly(run, tmp_path):
    path = tmp_path / "run.safetensors"
    whole = play(of_parts(seeded(Parts)), run)
    with pytest.raises(KeyboardInterrupt):
        play(of_parts(seeded(Parts)), run, checkpoint=path, save_every=2, observe=interrupt_at(5))
    resumed = play(of_parts(seeded(Parts)), run, checkpoint=path)
    for name, losses in whole.losses.items():
        assert (losses == resumed.losses[name]).all()


def test_a_part_that_is_not_finite_is_named(run):
    with pytest.raises(NotFiniteError, match=r"maps is nan \(its part cycle is nan\) in round 1"):
        play(of_parts(Parts(float("nan"))), run)


def with_loss(loss) -> Recipe:
    game = Parts()
    game.turns = (Turn("maps", lambda x: loss(game, x), ("there", "back")),)
    return of_parts(game)


WRONG_LOSSES = {
    "its loss is 1.5, expected a scalar tensor": lambda game, x: 1.5,
    r"its loss is of shape \(8,\), expected a scalar": lambda game, x: game.there(x)[:, 0],
    "depends on no weight": lambda game, x: x.mean(),
    "moves 'back', on whose weights its loss does not depend": lambda game, x: game.there(x).mean(),
    "a part called 'a/b'": lambda game, x: {"a/b": game.back(game.there(x)).mean()},
}


@pytest.mark.parametrize("complaint", WRONG_LOSSES)
def test_a_loss_that_cannot_be_paid_is_refused(run, complaint):
    with pytest.raises(ValueError, match=complaint):
        play(with_loss(WRONG_LOSSES[complaint]), run)


def test_parts_that_change_their_names_are_refused(run):
    calls = []

    def loss(game, x):
        calls.append(1)
        return {f"part{len(calls)}": game.back(game.there(x)).square().mean()}

    with pytest.raises(ValueError, match="expected the same at every step"):
        play(with_loss(loss), run)


def pair() -> NonSaturating:
    return NonSaturating(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2)


def of_pair(change=None, **options: object) -> Recipe:
    game = pair()
    optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
    settings = {"name": "pair", "game": game, "stream": ring(), "optimisers": optimisers}
    settings |= {"rounds": 4, **options}
    if change is not None:
        change(settings)
    return Recipe(**settings)


def half_an_optimiser(s: dict) -> None:
    s["optimisers"]["generator"] = torch.optim.Adam([s["game"].generator[0].weight])


def frozen(s: dict) -> None:
    s["game"].generator.requires_grad_(False)


def another_games(s: dict) -> None:
    s["optimisers"]["generator"] = adam(pair().generator, 1e-2)


def the_others(s: dict) -> None:
    s["optimisers"]["generator"] = adam(s["game"].discriminator, 1e-2)


def stray(s: dict) -> None:
    s["game"].scale = nn.Parameter(torch.ones(()))


def no_turns(s: dict) -> None:
    s["game"].turns = ()


WRONG_RECIPES = [
    (half_an_optimiser, r"optimiser of 'generator' lacks \['0.bias', '2.bias', '2.weight'\]"),
    (another_games, "optimiser of 'generator' holds weights that are not"),
    (the_others, "optimiser of 'generator' holds weights that are not"),
    (frozen, "'generator' has to move, and all of its weights are frozen"),
    (stray, r"\['scale'\] belong to no player"),
    (no_turns, "the game has no turns"),
    (lambda s: s.update(averages={"generator": 1.5}), "decays by 1.5: expected 0 to below 1"),
    (lambda s: s.update(averages={"generator": -0.1}), "decays by -0.1"),
    (lambda s: s.update(averages={"judge": 0.5}), r"averages of \['judge'\]"),
    (lambda s: s.update(rounds=0), "rounds=0: expected 1 or more"),
    (lambda s: s.update(rounds=1.5), "rounds=1.5"),
    (lambda s: s.update(rounds=True), "rounds=True"),
    (lambda s: s.update(stream=iter([])), "the stream has no state_dict"),
    (lambda s: s.update(precision="bfloat16"), "expected a floating-point torch.dtype"),
]


@pytest.mark.parametrize(("change", "complaint"), WRONG_RECIPES)
def test_a_recipe_that_does_not_fit_is_refused_when_it_is_made(change, complaint):
    with pytest.raises(ValueError, match=f"pair: .*{complaint}"):
        of_pair(change)


def test_turns_and_players_that_are_none_are_refused():
    for arguments, complaint in (
        (("critic", pair().generator_loss, "critic"), r"say \('critic',\)"),
        (("a/b", pair().generator_loss), "expected a name without a slash"),
        (("critic", None), "its loss is None, expected a function"),
        (("maps", pair().generator_loss, ("there", "there")), "names a player twice"),
    ):
        with pytest.raises(ValueError, match=complaint):
            Turn(*arguments)
    with pytest.raises(ValueError, match="a player cannot be called 'players'"):
        pair().players = nn.Linear(1, 1)


class Ending:
    """A stream of two batches."""

    def __init__(self):
        self.left = 2

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return torch.randn(4, 2)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def identity(self):
        return {}


def test_a_stream_that_ends_is_named(run):
    with pytest.raises(ValueError, match="pair: the stream ended in round 3 of 4"):
        play(of_pair(stream=Ending()), run)


@pytest.mark.parametrize("name", ["save_every", "observe_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_every_so_many_rounds_is_a_whole_number(run, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        play(of_pair(), run, **{name: value})


def test_rates_are_given_back_and_the_same_recipe_can_be_played_again(run, tmp_path):
    path = tmp_path / "run.safetensors"
    options = {"schedule": lambda done: 1 - done, "averages": {"generator": 0.9}}
    played = of_pair(**options)
    optimiser, rates = played.optimisers["generator"], []

    def rate() -> float:
        return optimiser.param_groups[0]["lr"]

    with pytest.raises(KeyboardInterrupt):
        play(played, run, checkpoint=path, save_every=1, observe=interrupt_at(3))
    assert rate() == 1e-2
    outcome = play(played, run, checkpoint=path, observe=lambda *_: rates.append(rate()))
    assert rate() == 1e-2 and outcome.rounds == 4
    assert rates == pytest.approx([1e-2 * 0.5, 1e-2 * 0.25])
    rates.clear()
    play(played, run, observe=lambda *_: rates.append(rate()))
    assert rates[:2] == pytest.approx([1e-2, 1e-2])


class Judged(NonSaturating):
    """A judge whom nobody moves, and who is asked."""

    def __init__(self, seen: list):
        super().__init__(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), Logit(2, (8,)), 2)
        self.judge = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.seen = seen

    def generator_loss(self, x):
        self.seen.append((self.judge.training, self.generator.training))
        return super().generator_loss(x) + 0 * self.judge(x).mean()


@pytest.mark.parametrize("mode", [True, False])
def test_only_movers_are_put_in_training_mode(run, mode):
    seen = []
    game = Judged(seen)
    game.judge.train(mode)
    game.generator.eval()
    optimisers = {name: adam(game.players[name], 1e-2) for name in ("discriminator", "generator")}
    play(Recipe("judged", game, ring(), optimisers, 2), run)
    assert seen == [(mode, True)] * 2
    assert game.judge.training == mode and not game.generator.training


def judged(rounds: int = 6) -> Recipe:
    torch.manual_seed(0)
    game = Judged([])
    optimisers = {name: adam(game.players[name], 1e-2) for name in ("discriminator", "generator")}
    return Recipe("judged", game, ring(), optimisers, rounds, {"generator": 0.5})


def test_an_observer_disturbs_nothing(run):
    """It may draw, look through batch normalization, set modes, and take gradients."""
    plain, watched, rounds = judged(), judged(), []
    watched.game.generator[0].bias.requires_grad_(True)

    def observe(done, networks):
        rounds.append(done)
        assert networks["generator"] is not watched.game.generator, "the averaged one"
        assert networks["discriminator"] is watched.game.discriminator
        assert not any(module.training for module in watched.game.modules())
        assert all(p.requires_grad for p in watched.game.generator.parameters())
        networks["discriminator"](watched.game.generator(torch.randn(9, 2))).sum().backward()
        watched.game.train() if done % 4 else watched.game.eval()
        return {"mean": torch.randn(()), "round number": done}

    play(plain, run)
    outcome = play(watched, run, observe=observe, observe_every=4)
    assert rounds == [0, 4, 6]
    for name, tensor in plain.game.state_dict().items():
        assert torch.equal(tensor, watched.game.state_dict()[name]), name
    assert outcome.observed["mean"].shape == (3, 2)
    assert outcome.observed["round number"].tolist() == [[0, 0], [4, 4], [6, 6]]


def test_what_was_observed_survives_a_resume(run, tmp_path):
    path = tmp_path / "run.safetensors"

    def observe(done, networks):
        if done == stop:
            raise KeyboardInterrupt
        return {"value": done**2}

    stop = 5
    with pytest.raises(KeyboardInterrupt):
        play(judged(), run, checkpoint=path, save_every=2, observe=observe)
    stop = None
    outcome = play(judged(), run, checkpoint=path, observe=observe)
    assert outcome.observed["value"].tolist() == [[n, n**2] for n in range(7)]


@pytest.mark.parametrize("returned", [3.0, {"a": "b"}, {"round": 1}, {1: 2.0}, [1.0]])
def test_what_are_no_named_numbers_is_refused(run, returned):
    with pytest.raises(TypeError, match="expected None, or numbers by names other than 'round'"):
        play(judged(), run, observe=lambda *_: returned)


class Root(Game):
    """A loss of 0 whose gradient is infinite in the last round alone."""

    def __init__(self):
        super().__init__()
        self.player = nn.Linear(1, 1, bias=False)
        self.turns = (Turn("player", self.loss),)
        self.count = 0

    def loss(self, x):
        self.count += 1
        weight = self.player.weight.sum()
        return (weight - weight).sqrt() if self.count == 4 else weight.square()


def test_a_gradient_that_is_not_finite_in_the_last_round_is_found(run):
    game = Root()
    last = Recipe("root", game, ring(), {"player": adam(game.player, 1e-2)}, 4)
    with pytest.raises(NotFiniteError, match=r"player\.weight is not finite after round 4 of 4"):
        play(last, run)


DIFFERENT = {
    "stream": {"stream": Minibatches(torch.zeros(9, 2), size=8)},
    "settings": {"game": lambda: NonSaturating(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2, 0.9)},
    "networks": {"game": lambda: NonSaturating(Perceptron(2, 2, (8,), "Tanh"), Logit(2, (8,)), 2)},
    "schedule": {"schedule": lambda done: 1 - done},
    "averages": {"averages": {}},
    "rounds": {"rounds": 5},
    "precision": {"precision": torch.bfloat16},
}


def other_run(**options: object) -> Recipe:
    game = options.pop("game", pair)()
    optimisers = options.pop("optimisers", None) or {
        name: adam(player, 1e-2) for name, player in game.players.items()
    }
    settings = {"rounds": 4, "averages": {"generator": 0.9}, "stream": ring(), **options}
    return Recipe(name="pair", game=game, optimisers=optimisers, **settings)


@pytest.mark.parametrize("key", DIFFERENT)
def test_another_run_does_not_resume(run, tmp_path, key):
    path = tmp_path / "run.safetensors"
    play(other_run(), run, checkpoint=path)
    play(other_run(), run, checkpoint=path)
    with pytest.raises(CheckpointError, match=f"belongs to another run: its {key} is"):
        play(other_run(**DIFFERENT[key]), run, checkpoint=path)


def test_other_groups_of_an_optimiser_do_not_resume(run, tmp_path):
    path = tmp_path / "run.safetensors"
    play(other_run(), run, checkpoint=path)
    for change in ("betas", "groups", "weight_decay"):
        game = pair()
        optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
        weights = list(game.generator.parameters())
        if change == "groups":
            groups = [{"params": weights[:2]}, {"params": weights[2:]}]
            optimisers["generator"] = torch.optim.Adam(groups, 1e-2, (0.5, 0.999), fused=True)
        elif change == "betas":
            optimisers["generator"] = adam(game.generator, 1e-2, (0.9, 0.999))
        else:
            (group,) = optimisers["generator"].param_groups
            group["weight_decay"] = 0.1
        with pytest.raises(CheckpointError, match="another run: its optimisers is"):
            play(other_run(game=lambda g=game: g, optimisers=optimisers), run, checkpoint=path)


def state_of(recipe_: Recipe) -> tuple[list[torch.Tensor], dict, dict]:
    optimiser = recipe_.optimisers["generator"].state_dict()["state"]
    tensors = [t.clone() for t in recipe_.game.state_dict().values()]
    return tensors, optimiser, recipe_.stream.state_dict()


def test_of_flipped_bits_none_goes_unnoticed(run, tmp_path):
    path, exported = tmp_path / "run.safetensors", tmp_path / "weights.safetensors"
    played = other_run()
    play(played, run, checkpoint=path)
    checkpoints.export(exported, played.game.generator, {"recipe": "pair"})
    draws, fresh = random.Random(0), other_run()
    before = state_of(fresh)
    for file, load in (
        (path, lambda: play(fresh, run, checkpoint=path)),
        (exported, lambda: checkpoints.restore(exported, fresh.game.generator)),
    ):
        content = file.read_bytes()
        for _ in range(60):
            place, bit = draws.randrange(len(content)), draws.randrange(8)
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                load()
        for length in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
            file.write_bytes(content[:length])
            with pytest.raises(CheckpointError):
                load()
    after = state_of(fresh)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]


def not_a_number(tensors: dict, facts: dict) -> None:
    tensors["game/generator.0.weight"][0, 0] = float("nan")


def another_dtype(tensors: dict, facts: dict) -> None:
    tensors["game/generator.0.weight"] = tensors["game/generator.0.weight"].double()


def longer_history(tensors: dict, facts: dict) -> None:
    tensors["losses/generator"] = torch.zeros(9)


def round_beyond_the_end(tensors: dict, facts: dict) -> None:
    facts["round"] = 5


def no_random_state(tensors: dict, facts: dict) -> None:
    del tensors["random/cpu"]


def foreign_slot(tensors: dict, facts: dict) -> None:
    tensors["optimiser/generator/0/exp_avg"] = torch.zeros(3)


def weight_too_many(tensors: dict, facts: dict) -> None:
    tensors["optimiser/generator/9/exp_avg"] = torch.zeros(3)


def average_of_another(tensors: dict, facts: dict) -> None:
    del tensors["average/generator/0.weight"]


def no_seconds(tensors: dict, facts: dict) -> None:
    del facts["seconds"]


def state_of_another_stream(tensors: dict, facts: dict) -> None:
    facts["stream"] = {"drawn": 3}


@pytest.mark.parametrize(
    "spoil",
    [
        not_a_number,
        another_dtype,
        longer_history,
        round_beyond_the_end,
        no_random_state,
        foreign_slot,
        weight_too_many,
        average_of_another,
        no_seconds,
        state_of_another_stream,
    ],
)
def test_every_part_is_fitted_before_anything_is_overwritten(run, tmp_path, spoil):
    path = tmp_path / "run.safetensors"
    play(other_run(), run, checkpoint=path)
    tensors, facts = checkpoints.read(path)
    spoil(tensors, facts)
    checkpoints.write(path, tensors, facts)
    fresh = other_run()
    before = state_of(fresh)
    with pytest.raises(CheckpointError, match=str(path)):
        play(fresh, run, checkpoint=path)
    after = state_of(fresh)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "no permission to write there"),
        (errno.EROFS, "the disk can only be read"),
    ],
)
def test_what_stands_in_the_way_of_a_checkpoint_is_named_before_the_first_round(
    run, tmp_path, monkeypatch, number, reason
):
    path, paid = tmp_path / "run.safetensors", []
    game = pair()
    loss = game.generator_loss
    game.turns = (Turn("generator", lambda x: paid.append(1) or loss(x)),)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    optimisers = {"generator": adam(game.generator, 1e-2)}
    with pytest.raises(CheckpointError, match=f"cannot be written .*{reason}"):
        play(Recipe("pair", game, ring(), optimisers, 4), run, checkpoint=path)
    assert not paid and not list(tmp_path.iterdir()), "no round was played, nothing left behind"


def test_a_folder_on_the_way_that_is_a_file_is_named(run, tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(CheckpointError, match="a folder on its way is a file"):
        play(other_run(), run, checkpoint=tmp_path / "runs" / "run.safetensors")


HOLDING = """
import sys
from ganlib import checkpoints
with checkpoints.claimed(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_train_with_one_file(run, tmp_path):
    path = tmp_path / "run.safetensors"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(CheckpointError, match="is in use: another process trains with it"):
        play(other_run(), run, checkpoint=path)
    (tmp_path / "run.safetensors.123.partial").write_bytes(b"of a killed process")
    other.kill()
    other.wait()
    assert (tmp_path / "run.safetensors.lock").exists()
    play(other_run(), run, checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_time_is_summed_over_resumes(run, tmp_path):
    path = tmp_path / "run.safetensors"
    first = play(other_run(), run, checkpoint=path)
    saved = checkpoints.read(path)[1]["seconds"]
    again = play(other_run(), run, checkpoint=path)
    assert 0 < saved <= first.seconds and again.seconds > saved


def test_float32_is_what_a_recipe_computes_in_unless_it_asks(run):
    seen = []

    class Asking(NonSaturating):
        def generator_loss(self, x):
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().generator_loss(x)

    fast = runtime.Run("smoke", torch.device("cpu"), 0, torch.bfloat16)
    for precision in (None, torch.bfloat16):
        game = Asking(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2)
        optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
        options = {} if precision is None else {"precision": precision}
        play(Recipe("asking", game, ring(), optimisers, 1, **options), fast)
    assert seen == [False, True]


def test_a_game_is_what_it_was_called_with():
    game = NonSaturating(Perceptron(2, 2), Logit(2), 7, fake_label=0.1)
    assert game.settings == {
        "generator": None,
        "discriminator": None,
        "noise_size": 7,
        "real_label": 1.0,
        "fake_label": 0.1,
        "discriminator_turns": 1,
    }
    assert recipe("wasserstein").game.settings == {}
