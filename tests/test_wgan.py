"""The games of the earth mover's distance: losses by hand, the penalty by finite differences."""

import math

import pytest
import torch
from torch import nn

from ganlib import runtime
from ganlib.datasets import gaussian_ring
from ganlib.games.slopes import slopes
from ganlib.games.wgan import Clipping, GradientPenalty, Wasserstein
from ganlib.nets import Logit, Perceptron
from ganlib.optimisers import adam
from ganlib.play import Recipe, play
from ganlib.streams import Draws

pytestmark = pytest.mark.usefixtures("one_thread")


class Doubled(nn.Module):
    """A critic f(x) = 2 x₁ - x₂ + weight · x₁²."""

    def __init__(self, weight: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x):
        return 2 * x[:, 0] - x[:, 1] + self.weight * x[:, 0] ** 2


def smooth_pair():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    return generator, critic


def held(game):
    """The game with noise, and shares of lines, that are always the same."""
    z = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)).double()
    game.noise = lambda count: z[:count]
    return game


X = torch.randn(12, 2, generator=torch.Generator().manual_seed(2)).double()


def test_the_losses_are_the_formula():
    generator = smooth_pair()[0]
    game = held(Wasserstein(generator, Doubled(), 3))
    with torch.no_grad():
        of = [2 * v[:, 0] - v[:, 1] for v in (X, generator(game.noise(12)))]
        assert float(game.critic_loss(X)) == pytest.approx(float(of[1].mean() - of[0].mean()))
        assert float(game.generator_loss(X)) == pytest.approx(-float(of[1].mean()))
    assert [turn.name for turn in game.turns] == ["critic"] * 5 + ["generator"]


@pytest.mark.parametrize("one_sided", [False, True])
def test_the_penalty_of_a_known_slope(one_sided):
    generator = smooth_pair()[0]
    game = held(GradientPenalty(generator, Doubled(), 3, weight=3.0, one_sided=one_sided))
    paid = {name: part.detach() for name, part in game.critic_loss(X).items()}
    # The slope is √5 everywhere.
    assert float(paid["slope"]) == pytest.approx(3 * (math.sqrt(5) - 1) ** 2)
    assert float(paid["game"]) == pytest.approx(float(Wasserstein.critic_loss(game, X).detach()))
    with torch.no_grad():
        flat = GradientPenalty(generator, nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)).double(), 3)
        for weight in flat.critic.parameters():
            weight.zero_()
    flat.one_sided = one_sided
    expected = 0.0 if one_sided else 10.0
    assert float(held(flat).critic_loss(X)["slope"].detach()) == expected


@pytest.mark.parametrize("one_sided", [False, True])
def test_the_gradient_of_the_penalty_is_that_of_finite_differences(one_sided):
    generator, critic = smooth_pair()
    for weight in critic.parameters():
        weight.data *= 3
    game = held(GradientPenalty(generator, critic, 3, one_sided=one_sided))

    def paid():
        torch.manual_seed(5)
        return game.critic_loss(X)["slope"]

    weights = list(critic.parameters())
    found = torch.autograd.grad(paid(), weights, allow_unused=True)
    for weight, slope in zip(weights, found, strict=True):
        flat = weight.data.view(-1)
        for index in range(len(flat)):
            ends = []
            for sign in (1, -1):
                flat[index] += sign * 1e-6
                ends.append(float(paid().detach()))
                flat[index] -= sign * 1e-6
            by_steps = (ends[0] - ends[1]) / 2e-6
            exact = 0.0 if slope is None else float(slope.reshape(-1)[index])
            assert exact == pytest.approx(by_steps, abs=1e-6)


def test_slopes_are_each_examples_own_and_0_has_a_derivative():
    critic = Doubled(0.5)
    expected = ((2 + X[:, 0]) ** 2 + 1).sqrt()
    torch.testing.assert_close(slopes(critic, X), expected)
    bowl = nn.Module()
    bowl.forward = lambda x: x.square().sum(1)
    at_rest = slopes(bowl, torch.zeros(2, 3))
    assert torch.equal(at_rest, torch.zeros(2))


@pytest.mark.parametrize("bound", [0.01, 0.3])
def test_clipped_weights_stay_in_their_box_and_touch_it(bound):
    run = runtime.start("smoke", "cpu", 0)
    generator, critic = Perceptron(2, 2, (8,)), Logit(2, (8,))
    game = Clipping(generator, critic, 2, bound, critic_turns=2)
    optimisers = {"critic": adam(critic, 0.05), "generator": adam(generator, 1e-3)}
    play(Recipe("clipped", game, Draws(gaussian_ring(), 16), optimisers, 5), run, show=False)
    largest = max(float(weight.detach().abs().max()) for weight in critic.parameters())
    assert largest == pytest.approx(bound)


@pytest.mark.parametrize("kind", [Wasserstein, Clipping, GradientPenalty])
def test_a_critic_learns_the_distance_of_two_points(kind):
    """One example at (0, 0), one draw at (3, 4): W₁ = 5."""

    class Still(nn.Module):
        def __init__(self):
            super().__init__()
            self.place = nn.Parameter(torch.tensor([3.0, 4.0]))

        def forward(self, z):
            return self.place.expand(len(z), 2)

    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    if kind is Wasserstein:
        for index in (0, 2):
            critic[index] = nn.utils.parametrizations.spectral_norm(critic[index])
    game = kind(Still(), critic, 1)
    optimiser = torch.optim.Adam(critic.parameters(), 0.01)
    for _ in range(400):
        optimiser.zero_grad()
        paid = game.critic_loss(torch.zeros(8, 2))
        (sum(paid.values()) if isinstance(paid, dict) else paid).backward()
        optimiser.step()
        game.after_critic()
    with torch.no_grad():
        found = critic(torch.zeros(1, 2)) - critic(torch.tensor([[3.0, 4.0]]))
    if kind is GradientPenalty:
        # Slope s earns 5 s and costs 10 (s - 1)², so the best is 1 + 5 / 20.
        assert float(found) == pytest.approx(6.25, rel=1e-3)
    elif kind is Wasserstein:
        # Never above; rectified units of slope 1 at most reach no more than this.
        assert 2 < float(found) <= 5.0001
    else:
        assert 0 < float(found) < 0.1


def test_what_does_not_fit_is_refused():
    pair = smooth_pair()
    with pytest.raises(ValueError, match="bound=0: expected more than 0"):
        Clipping(*pair, 3, bound=0)
    with pytest.raises(ValueError, match="weight=-1: expected more than 0"):
        GradientPenalty(*pair, 3, weight=-1)
    with pytest.raises(ValueError, match="critic_turns=0"):
        Wasserstein(*pair, 3, critic_turns=0)


@pytest.mark.parametrize("kind", ["clipping", "penalty", "spectral"])
def test_a_run_resumes_exactly(tmp_path, kind):
    run = runtime.start("smoke", "cpu", 0)

    def recipe(rounds):
        torch.manual_seed(3)
        generator = Perceptron(2, 2, (8,))
        layers = [nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)]
        if kind == "spectral":
            normal = nn.utils.parametrizations.spectral_norm
            layers = [normal(x) if isinstance(x, nn.Linear) else x for x in layers]
        critic = nn.Sequential(*layers, nn.Flatten(0))
        games = {"clipping": Clipping, "penalty": GradientPenalty, "spectral": Wasserstein}
        game = games[kind](generator, critic, 2, critic_turns=2)
        optimisers = {"critic": adam(critic, 1e-2), "generator": adam(generator, 1e-2)}
        return Recipe("resumed", game, Draws(gaussian_ring(), 16), optimisers, rounds)

    whole = recipe(8)
    play(whole, run, show=False)
    path = tmp_path / "run.safetensors"
    stopped = recipe(8)

    def stop(done, players):
        if done == 4 and not path.with_suffix(".seen").exists():
            path.with_suffix(".seen").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(stopped, run, checkpoint=path, save_every=1, observe=stop, show=False)
    resumed = recipe(8)
    play(resumed, run, checkpoint=path, show=False)
    weights = zip(whole.game.state_dict().items(), resumed.game.state_dict().values(), strict=True)
    for (name, expected), found in weights:
        assert torch.equal(expected, found), name
