"""The loop plays every kind of game, and moves, freezes, averages, stops and resumes right."""

import copy
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from games import GAMES, Chain, Unrolled, bits, recipe, ring

from ganlib import checkpoints, datasets, runtime, streams
from ganlib.checkpoints import CheckpointError
from ganlib.games.minimax import Minimax, NonSaturating
from ganlib.games.rules import Game, Turn
from ganlib.nets import DCGANDiscriminator, DCGANGenerator, Logit, Perceptron
from ganlib.optimisers import adam, cosine
from ganlib.play import NotFiniteError, Recipe, play


@pytest.fixture
def run() -> runtime.Run:
    return runtime.start("smoke", "cpu", 0)


def weights(recipe: Recipe) -> dict[str, torch.Tensor]:
    return copy.deepcopy(recipe.game.state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", GAMES)
def test_every_kind_of_game_is_played(name, run):
    played = recipe(name)
    before = weights(played)
    outcome = play(played, run)
    turns = [turn.name for turn in played.game.turns]
    for turn in set(turns):
        assert len(outcome.losses[turn]) == 12 * turns.count(turn)
        assert torch.isfinite(torch.from_numpy(outcome.losses[turn])).all()
    after = played.game.state_dict()
    for player in played.game.players:
        moved = [name for name in before if name.startswith(player + ".")]
        assert any(not torch.equal(before[name], after[name]) for name in moved), player


@pytest.mark.parametrize("name", GAMES)
def test_every_kind_of_game_resumes_exactly(name, run, tmp_path):
    whole = recipe(name)
    expected = play(whole, run)

    def interrupt(done, networks):
        if done == 8:
            raise KeyboardInterrupt

    runtime.start("smoke", "cpu", 0)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        play(recipe(name), run, checkpoint=path, save_every=5, observe=interrupt)
    torch.manual_seed(123)  # what happens between the two calls must not matter
    resumed = recipe(name)
    outcome = play(resumed, run, checkpoint=path, save_every=5)
    assert same(whole.game.state_dict(), resumed.game.state_dict())
    for turn, losses in expected.losses.items():
        assert (losses == outcome.losses[turn]).all()
    for player, average in expected.averages.items():
        assert same(average.state_dict(), outcome.averages[player].state_dict())


def test_only_the_movers_get_gradients_and_steps(run):
    seen = []

    class Watched(NonSaturating):
        def discriminator_loss(self, x):
            seen.append({p: n.weight.requires_grad for p, n in first_layers(self)})
            return super().discriminator_loss(x)

        def generator_loss(self, x):
            seen.append({p: n.weight.requires_grad for p, n in first_layers(self)})
            return super().generator_loss(x)

    def first_layers(game):
        return [(player, network[0]) for player, network in game.players.items()]

    game = Watched(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2)
    game.generator[2].bias.requires_grad_(False)  # frozen by its owner: it must stay so
    frozen = game.generator[2].bias.clone()
    optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
    play(Recipe("watched", game, ring(), optimisers, 3), run)
    movers = [
        {"generator": False, "discriminator": True},
        {"generator": True, "discriminator": False},
    ]
    assert seen == movers * 3
    assert torch.equal(frozen, game.generator[2].bias)
    assert all(p.grad is None for p in game.parameters())
    wanted = {name: p.requires_grad for name, p in game.named_parameters()}
    assert [name for name, flag in wanted.items() if not flag] == ["generator.2.bias"]


def test_the_loop_is_the_textbook_loop(run):
    """Against Algorithm 1 written out by hand, on the same random numbers."""
    played = recipe("non-saturating", rounds=6)
    by_hand = copy.deepcopy(played.game)
    play(played, run)

    optimisers = {name: adam(player, 1e-2) for name, player in by_hand.players.items()}
    torch.manual_seed(runtime.mixed_seed(run.seed, 0))
    stream = ring()
    for done in range(6):
        for optimiser in optimisers.values():
            optimiser.param_groups[0]["lr"] = 1e-2 * (1 - done / 6 / 2)
        x = next(stream)
        for player in ("discriminator", "generator"):
            loss = getattr(by_hand, f"{player}_loss")(x)
            by_hand.zero_grad()
            loss.backward()
            optimisers[player].step()
    for name, weight in by_hand.state_dict().items():
        torch.testing.assert_close(weight, played.game.state_dict()[name], rtol=0, atol=0)


def test_what_follows_a_turn_follows_each_of_them(run, capsys):
    played = recipe("clipped")
    clipped = []
    turn = dataclasses.replace(played.game.turns[0], then=lambda: clipped.append(1))
    played.game.turns = (*[turn] * 5, played.game.turns[-1])
    play(played, run)
    assert "clipped: 12 rounds of 5 × critic, generator" in capsys.readouterr().err
    assert len(clipped) == 12 * 5


def test_a_game_can_be_played_without_a_bar(run, capsys):
    play(recipe("clipped", rounds=2), run, show=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_unrolled_gradient_passes_through_the_discriminators_updates():
    torch.manual_seed(0)
    game, x = Unrolled(unrolled=2), gaussian_points(64)
    gradients = {}
    for unrolled in (0, 2):
        game.unrolled = unrolled
        torch.manual_seed(1)
        game.generator.zero_grad()
        game.generator_loss(x).backward()
        gradients[unrolled] = game.generator[0].weight.grad.clone()
    torch.manual_seed(1)
    game.unrolled = 2
    weight, step = game.generator[0].weight, 1e-3
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            weight[0, 0] += sign * step
            torch.manual_seed(1)
            with torch.enable_grad():
                values.append(float(game.generator_loss(x).detach()))
            weight[0, 0] -= sign * step
    numeric = (values[0] - values[1]) / (2 * step)
    assert float(gradients[2][0, 0]) == pytest.approx(numeric, rel=0.05, abs=1e-3)
    assert not torch.allclose(gradients[0], gradients[2], rtol=1e-2)


def gaussian_points(count: int) -> torch.Tensor:
    return datasets.gaussian_ring().sample((count,))


def test_a_chain_is_fitted_to_its_maximum_likelihood(run):
    game = Chain()
    chain = Recipe(
        "chain",
        game,
        bits(0),
        {"model": adam(game.model, 0.1, (0.9, 0.999))},
        600,
        schedule=cosine,
        precision=torch.float32,
    )
    play(chain, run)
    # The maximum likelihood is at the frequencies of the data.
    expected = torch.tensor([0.7, 0.2, 0.9])
    torch.testing.assert_close(torch.sigmoid(game.model.weight[:, 0]), expected, rtol=0, atol=0.01)


def test_average_is_the_exponential_moving_average(run):
    played, path = recipe("non-saturating", rounds=5), []

    def keep(done, networks):
        path.append(played.game.generator[0].weight.detach().clone())

    outcome = play(played, run, observe=keep)
    mean = path[0]
    for updates, weight in enumerate(path[1:], 1):
        decay = min(0.9, updates / (updates + 9))
        mean = decay * mean + (1 - decay) * weight
    torch.testing.assert_close(outcome.averages["generator"][0].weight, mean)
    assert not outcome.averages["generator"].training and not played.game.generator.training


def test_observing_and_earlier_draws_disturb_nothing(run):
    def draw(done, networks):
        torch.randn(7)

    first, second = recipe("non-saturating"), recipe("non-saturating")
    second.game.load_state_dict(first.game.state_dict())
    play(first, run)
    state = torch.get_rng_state()
    torch.randn(100)
    play(second, run, observe=draw)
    assert same(first.game.state_dict(), second.game.state_dict())
    torch.set_rng_state(state)
    expected = torch.randn(3)
    torch.set_rng_state(state)
    play(recipe_with_weights(first), run)
    assert torch.equal(torch.randn(3), expected), "play gives the global generator back"


def recipe_with_weights(other: Recipe) -> Recipe:
    state = torch.get_rng_state()
    made = recipe("non-saturating")
    torch.set_rng_state(state)
    made.game.load_state_dict(other.game.state_dict())
    return made


def test_learning_rates_follow_the_schedule(run):
    played, rates = recipe("non-saturating", rounds=4), []
    (group,) = played.optimisers["generator"].param_groups
    play(played, run, observe=lambda done, networks: rates.append(group["lr"]))
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2 * 0.875, 1e-2 * 0.75, 1e-2 * 0.625])
    assert cosine(0) == 1 and cosine(0.5) == pytest.approx(0.5) and cosine(1) == pytest.approx(0)


class Breaking(NonSaturating):
    """Pays NaN at one step of the generator."""

    def __init__(self, at: int):
        super().__init__(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2)
        self.at, self.paid = at, 0

    def generator_loss(self, x):
        self.paid += 1
        loss = super().generator_loss(x)
        return loss * float("nan") if self.paid == self.at else loss


def breaking(at: int) -> Recipe:
    game = Breaking(at)
    optimisers = {name: adam(player, 1e-2) for name, player in game.players.items()}
    return Recipe("breaking", game, ring(), optimisers, 20)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(run, tmp_path):
    path = tmp_path / "run.safetensors"
    broken = breaking(at=13)
    with pytest.raises(NotFiniteError) as caught:
        play(broken, run, checkpoint=path, save_every=5)
    message = str(caught.value)
    assert "generator is nan in round 13 of 20" in message
    assert str(path) in message and "of round 10" in message
    tensors, facts = checkpoints.read(path)
    assert facts["round"] == 10
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert all(torch.isfinite(p).all() for p in broken.game.parameters()), "no step was taken"


def test_a_loss_that_is_not_finite_without_a_checkpoint(run, tmp_path):
    with pytest.raises(NotFiniteError, match="No checkpoint was being kept"):
        play(breaking(at=2), run)
    with pytest.raises(NotFiniteError, match="of round 0; it is kept"):
        play(breaking(at=2), run, checkpoint=tmp_path / "none.safetensors", save_every=5)


def test_a_weight_that_is_not_finite_is_never_saved(run, tmp_path):
    path = tmp_path / "run.safetensors"
    played = recipe("non-saturating", rounds=10)

    def poison(done, networks):
        if done == 6:
            played.game.generator[2].bias.data[0] = float("inf")
            # From here on only D moves, and its loss does not see the poisoned weight.
            loss = lambda x: played.game.discriminator(x).square().mean()  # noqa: E731
            played.game.turns = (Turn("discriminator", loss),)

    with pytest.raises(NotFiniteError, match=r"generator\.2\.bias is not finite after round"):
        play(played, run, checkpoint=path, save_every=3, observe=poison)
    assert checkpoints.read(path)[1]["round"] == 3


def test_a_checkpoint_of_another_run_is_refused(run, tmp_path):
    path = tmp_path / "run.safetensors"
    play(recipe("non-saturating"), run, checkpoint=path)
    before = path.read_bytes()
    other = runtime.start("smoke", "cpu", 1)
    with pytest.raises(CheckpointError, match="its seed is 0, 1 was expected"):
        play(recipe("non-saturating"), other, checkpoint=path)
    with pytest.raises(CheckpointError, match="its recipe is 'non-saturating', 'unrolled'"):
        play(recipe("unrolled"), run, checkpoint=path)
    with pytest.raises(CheckpointError, match="its rounds is 12, 13 was expected"):
        play(recipe("non-saturating", rounds=13), run, checkpoint=path)
    wider = recipe("non-saturating")
    wider.game = NonSaturating(Perceptron(2, 2, (17,)), Logit(2, (16,)), 2)
    wider.optimisers = {name: adam(player, 1e-2) for name, player in wider.game.players.items()}
    untouched = weights(wider)
    with pytest.raises(CheckpointError, match=r"generator\.0\.bias .*\(17,\).*\(16,\)"):
        play(wider, run, checkpoint=path)
    assert same(untouched, wider.game.state_dict())
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(run, tmp_path):
    path = tmp_path / "run.safetensors"
    play(recipe("non-saturating"), run, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        play(recipe("non-saturating"), run, checkpoint=path)


def test_a_finished_run_is_loaded_and_not_played_again(run, tmp_path):
    path = tmp_path / "run.safetensors"
    first = recipe("non-saturating")
    play(first, run, checkpoint=path)
    again = recipe("non-saturating")
    outcome = play(again, run, checkpoint=path)
    assert same(first.game.state_dict(), again.game.state_dict())
    assert len(outcome.losses["generator"]) == 12


def test_recipes_that_do_not_fit_are_refused(run):
    played = recipe("non-saturating")
    played.optimisers.pop("generator")
    with pytest.raises(ValueError, match="moves 'generator'.*optimiser"):
        play(played, run)
    played = recipe("non-saturating")
    played.game.turns = played.game.turns[1:]
    with pytest.raises(ValueError, match="first turn of a round must draw"):
        play(played, run)
    played = recipe("non-saturating")
    played.averages = {"judge": 0.9}
    with pytest.raises(ValueError, match=r"averages of \['judge'\]"):
        play(played, run)
    with pytest.raises(ValueError, match="rounds=0: expected 1 or more"):
        play(recipe("non-saturating", rounds=0), run)


def test_players_that_share_weights_are_refused():
    """A posterior on the discriminator's body: the body is a player of its own."""

    class Shared(Game):
        def __init__(self):
            super().__init__()
            body = torch.nn.Linear(2, 4)
            self.first = torch.nn.Sequential(body, torch.nn.Linear(4, 1))
            self.second = torch.nn.Sequential(body, torch.nn.Linear(4, 1))
            self.turns = (Turn("first", lambda x: self.first(x).square().mean()),)

    game = Shared()
    with pytest.raises(ValueError, match="'first' and 'second' share 0.weight: make the part"):
        Recipe("shared", game, ring(), {"first": adam(game.first, 1e-2)}, 2)


def convolutional(run: runtime.Run, rounds: int = 30) -> Recipe:
    """A small DCGAN pair on MNIST's test images, in the run's own precision."""
    generator, discriminator = DCGANGenerator(8, width=8), DCGANDiscriminator(width=8)
    game = run.place(NonSaturating(generator, discriminator, 8))
    images, _ = datasets.mnist("test")
    stream = streams.Minibatches(
        images, size=16, seed=run.seed, device=run.device, prepare=datasets.to_signed_unit
    )
    optimisers = {name: adam(player, 1e-3) for name, player in game.players.items()}
    return Recipe(
        "convolutional",
        game,
        stream,
        optimisers,
        rounds,
        {"generator": 0.9},
        schedule=cosine,
        precision=run.precision,
    )


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from test_play import convolutional
from ganlib import runtime
from ganlib.play import play

run = runtime.start("smoke", "cpu", 0)
play(convolutional(run, 200), run, checkpoint={path!r}, save_every=2)
"""


def test_a_run_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    path = tmp_path / "run.safetensors"
    script = KILLED.format(tests=str(Path(__file__).parent), path=str(path))
    rounds = [0]
    for delay in (0.0, 0.05, 0.13):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not path.exists() or checkpoints.read(path)[1]["round"] <= rounds[-1]:
            assert process.poll() is None and time.monotonic() < deadline, "no checkpoint came"
            time.sleep(0.005)
        time.sleep(delay)  # somewhere in a round, or in the middle of the next save
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        rounds.append(checkpoints.read(path)[1]["round"])
    assert 0 < rounds[1] < rounds[2] < rounds[3] < 200, "each run went on from the last"

    run = runtime.start("smoke", "cpu", 0)
    resumed = convolutional(run, 200)
    play(resumed, run, checkpoint=path, save_every=50)
    run = runtime.start("smoke", "cpu", 0)
    whole = convolutional(run, 200)
    play(whole, run)
    assert same(whole.game.state_dict(), resumed.game.state_dict())


DISTRIBUTED = """
import sys
sys.path.insert(0, {tests!r})
import torch
from test_play import quadratic
from ganlib import checkpoints, runtime
from ganlib.play import play

run = runtime.start("smoke", "cpu", 0)
recipe = quadratic(run)
play(recipe, run, checkpoint={path!r}, save_every=3)
checkpoints.write({path!r} + str(run.rank), recipe.game.state_dict(), {{}})
"""


class Quadratic(Game):
    """A deterministic game of one player: regress to the mean of the batch."""

    def __init__(self):
        super().__init__()
        self.point = torch.nn.Linear(1, 2)
        self.turns = (Turn("point", self.loss),)

    def loss(self, x):
        return (self.point(torch.ones(1, 1)) - x).square().mean()


def quadratic(run: runtime.Run) -> Recipe:
    game = Quadratic()
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(5))
    stream = streams.Minibatches(points, size=8, seed=0, rank=run.rank, world=run.world)
    optimisers = {"point": adam(game.point, 0.1)}
    return Recipe("quadratic", game, stream, optimisers, 9, precision=torch.float32)


def test_two_processes_train_what_one_trains(tmp_path):
    path = tmp_path / "run"
    script = tmp_path / "script.py"
    script.write_text(DISTRIBUTED.format(tests=str(Path(__file__).parent), path=str(path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, str(script)], check=True, capture_output=True, timeout=120)
    run = runtime.start("smoke", "cpu", 0)
    alone = quadratic(run)
    play(alone, run)
    for rank in (0, 1):
        tensors, _ = checkpoints.read(f"{path}{rank}")
        for name, tensor in alone.game.state_dict().items():
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_trains_resumes_and_stops(tmp_path):
    run = runtime.start("smoke", "cuda", 0)
    path = tmp_path / "run.safetensors"

    def interrupt(done, networks):
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(convolutional(run), run, checkpoint=path, save_every=10, observe=interrupt)
    outcome = play(convolutional(run), run, checkpoint=path)
    assert len(outcome.losses["generator"]) == 30
    broken = breaking(at=3)
    broken.game.to(run.device)
    broken.stream = streams.Draws(datasets.gaussian_ring(), 32, run.device)
    broken.optimisers = {name: adam(player, 1e-2) for name, player in broken.game.players.items()}
    with pytest.raises(NotFiniteError, match="round 3 of 20"):
        play(broken, run)


def test_minimax_pays_the_value_of_the_game():
    """Turns of the same game pay opposite parts of V on the same noise."""
    torch.manual_seed(0)
    game, x = Minimax(Perceptron(2, 2, (8,)), Logit(2, (8,)), 2), gaussian_points(16)
    torch.manual_seed(7)
    discriminator = game.discriminator_loss(x)
    torch.manual_seed(7)
    generator = game.generator_loss(x)
    real = torch.log(torch.sigmoid(game.discriminator(x))).mean()
    torch.testing.assert_close(-discriminator, real + generator)
