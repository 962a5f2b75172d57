"""CycleGAN (Zhu et al., 2017): two translators, each of which undoes the other."""

from torch import nn
from torch.nn.functional import l1_loss

from ganlib.games.patches import Pair, Terms, check_loss, fooled, told_apart
from ganlib.games.pool import Pool
from ganlib.games.rules import Game, Turn


class CycleGAN(Game):
    """L_GAN(G, D_Y) + L_GAN(F, D_X) + λ E ‖F(G(x)) - x‖ + λ E ‖G(F(y)) - y‖ + identity.

    Zhu et al. (2017), equations 1 to 3 and section 5.2. to_y, to_x: the translators G and F.
    discriminator_y, discriminator_x: pictures to verdicts of any shape, or None, for a game without
    the first two terms. cycle: λ, for the round trips from x and from y. identity: the weight of
    E ‖G(y) - y‖ + E ‖F(x) - x‖. A term of weight 0 is left out. pool: pictures in the pool of each
    discriminator, of this `shape`. loss: as in `patches.told_apart`. A minibatch is a pair of x
    and y that do not belong together. Raises ValueError for a weight below 0, translators that pay
    nothing, one discriminator, or another loss.
    """

    def __init__(
        self,
        to_y: nn.Module,
        to_x: nn.Module,
        discriminator_y: nn.Module | None,
        discriminator_x: nn.Module | None,
        cycle: tuple[float, float] = (10.0, 10.0),
        identity: float = 5.0,
        pool: int = 50,
        shape: tuple[int, ...] = (3, 32, 32),
        loss: str = "squares",
    ):
        super().__init__()
        weights, adversary = (*cycle, identity), discriminator_y is not None
        if adversary != (discriminator_x is not None):
            raise ValueError("one discriminator: expected two, or None twice")
        if not all(w >= 0 for w in weights) or not (adversary or sum(weights)):
            raise ValueError(f"weights {weights}: expected 0 or more, and something to pay")
        self.to_y, self.to_x = to_y, to_x
        self.discriminator_y, self.discriminator_x = discriminator_y, discriminator_x
        self.pool_y, self.pool_x = Pool(pool, shape), Pool(pool, shape)
        self.cycle, self.identity, self.loss = cycle, identity, check_loss(loss)
        movers = ("to_y", "to_x"), ("discriminator_y", "discriminator_x")
        translators = Turn("translators", self.translators_loss, movers[0])
        others = Turn("discriminators", self.discriminators_loss, movers[1], fresh=False)
        self.turns = (translators, others) if adversary else (translators,)

    def translators_loss(self, batch: Pair) -> Terms:
        """Every term of the sum that has a weight, times it."""
        x, y = batch
        fake_y, fake_x = self.to_y(x), self.to_x(y)
        self._fakes = fake_y.detach(), fake_x.detach()
        terms = {}
        if self.discriminator_y is not None:
            on_y = self.discriminator_y(fake_y)
            on_x = self.discriminator_x(fake_x)
            terms["adversary_y"] = fooled(on_y, self.loss)
            terms["adversary_x"] = fooled(on_x, self.loss)
        if self.cycle[0]:
            terms["cycle_x"] = self.cycle[0] * l1_loss(self.to_x(fake_y), x)
        if self.cycle[1]:
            terms["cycle_y"] = self.cycle[1] * l1_loss(self.to_y(fake_x), y)
        if self.identity:
            terms["identity_y"] = self.identity * l1_loss(self.to_y(y), y)
            terms["identity_x"] = self.identity * l1_loss(self.to_x(x), x)
        return terms

    def discriminators_loss(self, batch: Pair) -> Terms:
        """Each tells data from translations, some of them old."""
        x, y = batch
        old_y = self.pool_y.swap(self._fakes[0])
        old_x = self.pool_x.swap(self._fakes[1])
        of_y = self.discriminator_y(y), self.discriminator_y(old_y)
        of_x = self.discriminator_x(x), self.discriminator_x(old_x)
        paid_y, paid_x = (told_apart(*of, self.loss) for of in (of_y, of_x))
        return {"y": paid_y, "x": paid_x}
