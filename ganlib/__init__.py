"""The library behind *Chains and Games*: every chapter of the book imports it.

Read it in the order of the book's table of contents. `chains/` holds autoregressive models,
`games/` adversarial ones; `runtime`, `datasets`, `nets`, `play` and `recipes` build and train
both, and `divergences`, `metrics`, `claims` and `figures` judge and show them.
"""

__version__ = "0.1.0"
