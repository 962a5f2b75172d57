"""What can be read from codes that were learned without labels, at the papers' scale.

`python -m ganlib.tables.codes infogan` plays the recipe `infogan-mnist` at `paper` from five seeds
and writes `data/results/infogan.json`: for each how many test digits its category tells right under
the best matching, what its codes tell of draws, and how they go with slant and stroke. The networks
of seed 0 are shipped. `python -m ganlib.tables.codes bigan` plays the recipes of the chapter on
encoders and writes `data/results/bigan.json`: the accuracy of the nearest neighbour in each space
of features, and what comes back of a test digit. The generator and the encoder of the game of pairs
are shipped. Runs resume where they were stopped, and what a table has is not played again. Each
table takes an hour or so of one core.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ganlib import runtime
from ganlib.datasets import mnist, to_signed_unit
from ganlib.games.codes import Codes
from ganlib.metrics import (
    best_matching,
    breadth,
    classifier_features,
    extract,
    linear_probe,
    neighbour_accuracy,
    slant,
    stroke_width,
)
from ganlib.paper import EVERY_MINUTE, step_back
from ganlib.paths import results_folder
from ganlib.play import Recipe, play
from ganlib.recipes import build, checkpoint_path
from ganlib.recipes.bigan import KINDS
from ganlib.recipes.measures import held_out
from ganlib.runtime import Run
from ganlib.shipped import export, trained_network
from ganlib.tables.rows import read_rows, write_rows

SEEDS = (0, 1, 2, 3, 4)
DRAWS = 5_000
BATCH = 500
# The linear probe sees so many training digits.
PROBED = 10_000
Networks = Mapping[str, nn.Module]


@torch.no_grad()
def in_batches(network: Callable[[Tensor], Tensor], inputs: Tensor, run: Run) -> Tensor:
    """What a network makes of inputs, a batch at a time, on the CPU in float32."""
    batches = (network(batch.to(run.device)).float().cpu() for batch in inputs.split(BATCH))
    return torch.cat(list(batches))


def answers(networks: Networks, images: Tensor, run: Run) -> Tensor:
    """What the posterior of an InfoGAN says of images in [-1, 1]: (count, codes.answers)."""
    trunk, posterior = networks["trunk"], networks["posterior"]
    return in_batches(lambda x: posterior(trunk(x)), images, run)


def told(networks: Networks, codes: Codes, draws: Tensor, noise: Tensor, run: Run) -> dict:
    """What draws tell of their codes: by the posterior, and by measures of strokes.

    draws: in [-1, 1]; noise: the rows that they were made of, codes last. Gives the bounds in nats,
    and the correlation of each continuous code with slant, breadth and width of stroke.
    """
    made_of = noise[:, -codes.size :].cpu()
    bounds = codes.information(made_of, answers(networks, draws, run))
    ink = ((draws + 1) / 2).clamp(0, 1)
    found: dict[str, object] = {name: float(nats) for name, nats in bounds.items()}
    properties = {"slant": slant, "breadth": breadth, "width": stroke_width}
    for name, measure in properties.items():
        measured = measure(ink)
        seen = measured.isfinite()
        columns = made_of[seen, codes.categories :].double().T
        table = torch.corrcoef(torch.cat([measured[seen][None], columns]))
        found[name] = table[0, 1:].tolist()
    return found


def of_infogan(networks: Networks, recipe: Recipe, run: Run) -> dict:
    """The row of a seed."""
    images, labels = mnist("test")
    codes = recipe.game.codes
    said = answers(networks, to_signed_unit(images), run)[:, : codes.categories].argmax(1)
    matching = best_matching(said, labels, codes.categories)
    torch.manual_seed(runtime.mixed_seed(run.seed, recipe.rounds))
    noise = recipe.game.noise(DRAWS)
    draws = in_batches(networks["generator"], noise, run)
    row = {"accuracy": matching.accuracy, "label_of": matching.label_of.tolist()}
    return row | told(networks, codes, draws, noise, run)


def of_encoder(networks: Networks, recipe: Recipe, run: Run) -> list[dict]:
    """The rows of a recipe: of its codes, and of its discriminator's features where it has them."""
    training, labels = mnist("train")
    training, labels = held_out(run, training)[0], held_out(run, labels)[0]
    training, (test, truth) = to_signed_unit(training), mnist("test")
    test = to_signed_unit(test)
    spaces = {"codes": networks["encoder"]}
    if recipe.name == "bigan-regressor":
        flat, judge = recipe.game.discriminator
        spaces["discriminator"] = nn.Sequential(flat, judge[:-3])
    if recipe.name == "bigan-mnist":
        spaces["pixels"] = nn.Flatten(1)
    rows = []
    for name, network in spaces.items():
        known, asked = (in_batches(network, images, run) for images in (training, test))
        row = {"recipe": recipe.name, "space": name, "dimensions": known.shape[1]}
        row["neighbours"] = neighbour_accuracy((known, labels), (asked, truth))
        some = known[:PROBED], labels[:PROBED]
        row["probe"] = linear_probe(some, (asked, truth))
        if name == "codes":
            back = in_batches(networks["generator"], asked, run)
            row["error"] = float((back - test).square().mean())
            judge = classifier_features(trained_network("digits", "classifier")[0])
            read = [extract(judge, x).probabilities.argmax(1) for x in (test, back)]
            row["kept"] = float((read[0] == read[1]).double().mean())
        rows.append(row)
    return rows


def table(name: str) -> list[dict]:
    """The rows of `infogan` or `bigan`; none if it was never played."""
    return read_rows(_file(name))


def _file(name: str) -> Path:
    return results_folder() / f"{name}.json"


def measured(name: str, run: Run) -> list[dict]:
    """Play one recipe to its end, or on from where it was stopped: its rows."""
    torch.manual_seed(run.seed)
    recipe = build(name, run)
    path = checkpoint_path(recipe, run)
    outcome = play(recipe, run, checkpoint=path, save_every=EVERY_MINUTE)
    infogan = name == "infogan-mnist"
    found = of_infogan if infogan else of_encoder
    rows = found(outcome.averages, recipe, run)
    made = {
        "seed": run.seed,
        "rounds": recipe.rounds,
        "seconds": round(outcome.seconds, 1),
        "made": runtime.describe(run),
    }
    if run.seed == 0 and name in ("infogan-mnist", "bigan-mnist"):
        export(name, outcome.averages, run, outcome.rounds, outcome.seconds)
    path.unlink()
    return [row | made for row in ([rows] if infogan else rows)]


def main() -> None:
    """Parse the command line, and play every run that the tables lack."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.codes", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="infogan, bigan; default: both")
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    options = parser.parse_args()
    plans = {
        "infogan": [("infogan-mnist", seed) for seed in SEEDS],
        "bigan": [(f"bigan-{kind}", 0) for kind in KINDS],
    }
    unknown = sorted(set(options.tables) - plans.keys())
    if unknown:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(plans)}")
    step_back()
    for name in options.tables or plans:
        for recipe, seed in plans[name]:
            if (recipe, seed) in {(r.get("recipe", recipe), r["seed"]) for r in table(name)}:
                continue
            rows = measured(recipe, runtime.start("paper", options.device, seed))
            write_rows(_file(name), [*table(name), *rows])
            print(f"{recipe}, seed {seed}: {rows}", flush=True)


if __name__ == "__main__":
    main()
