"""The library behind *Chains and Games*: every chapter of the book imports it.

Start with `games.rules` and `games.minimax`: what a game is, and the first one. `play` trains every
game, from a `Recipe` (`state`) that `recipes` builds by name out of `nets`, `streams` and
`optimisers`; `runtime` decides where, `checkpoints` and `progress` keep and show how far it came.
`shipped` are the trained networks. `divergences` and `metrics` judge, `tables` and `claims` record,
`figures` shows, `publishing` makes the pages and puts the book where others find it.
"""

__version__ = "0.1.0"
