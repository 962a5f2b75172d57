"""Judge every generator of digits that the book ships, and real digits that none of them has seen.

`python -m ganlib.tables.generators` draws 10,000 digits of each, at fixed seeds, in five pieces;
compares each piece with as many test digits, by the shipped judge; and writes
`data/results/generators.json`: for every row the mean of each figure of merit over the pieces, its
standard error, what the first piece gave (which a chapter measures again), and how the generator
was made. All figures are at one number of draws, since a Fréchet distance depends on it. Rows of
networks that have not changed since stay as they are.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import mean, stdev

import torch
from torch import Tensor, nn

from ganlib import runtime
from ganlib.chains import Chain, orders, sample
from ganlib.datasets import binarized_mnist, mnist, to_signed_unit
from ganlib.metrics import (
    Extractor,
    Features,
    classifier_two_sample_test,
    digit_features,
    extract,
    judge,
    nearest_neighbours,
)
from ganlib.paths import results_folder
from ganlib.recipes import build
from ganlib.shipped import shipped, trained_network
from ganlib.sizes import whole

# A chapter measures the first piece again and compares.
PIECES, DRAWS = 5, 2000
# The neighbour to which the radii of precision, recall, density and coverage reach.
NEIGHBOUR = 5
BATCH = 500
# Recipes whose generators are told codes, or see uniform noise.
OTHER_NOISE = ("bigan-mnist", "infogan-mnist")
GREY, BINARY = "grey test digits", "binarized test digits"


def real_digits(kind: str, split: str) -> Tensor:
    """Real digits, `GREY` or `BINARY`, in [-1, 1], (count, 1, 28, 28).

    The test digits are in a random order, always the same: as they come, the first half is easier
    to read than the second. Raises ValueError for another kind or split.
    """
    if kind not in (GREY, BINARY):
        raise ValueError(f"kind={kind!r}: expected {GREY!r} or {BINARY!r}")
    if kind == GREY:
        digits = to_signed_unit(mnist(split)[0])
    else:
        digits = binarized_mnist(split).float() * 2 - 1
    if split == "train":
        return digits
    return digits[torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))]


def kind_of(network: nn.Module) -> str | None:
    """Which real digits a network's draws are compared with; None if it draws no such digits.

    It draws digits if it is a chain of one channel, of 2 or 256 levels, without classes, or makes
    images of one channel and 28 × 28 pixels out of noise.
    """
    settings = network.settings
    if settings.get("channels") != 1:
        return None
    if isinstance(network, Chain):
        return {2: BINARY, 256: GREY}.get(network.levels) if network.classes is None else None
    return GREY if "noise_size" in settings and settings.get("side") == 28 else None


def draws(
    network: nn.Module, count: int, seed: int, noise: Callable[[int], Tensor] | None = None
) -> Tensor:
    """Digits of a generator or a chain, in [-1, 1], (count, 1, 28, 28), on the CPU.

    A chain draws in an S-curve where it was trained so. noise: makes so many rows of a generator's
    input from torch's global generator; default the standard normal. The random numbers are those
    of the seed, on every device. Raises ValueError for a count below 1 or a network that draws no
    digits.
    """
    count = whole("count", count)
    if kind_of(network) is None:
        raise ValueError(f"a {type(network).__name__} of {network.settings}: draws no digits")
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(BATCH, count - done) for done in range(0, count, BATCH)]
    if isinstance(network, Chain):
        order = orders.s_curve(28, 28) if network.any_order else None
        levels = [sample(network, size, order, generator=generator) for size in sizes]
        return torch.cat(levels).cpu().float() * (2 / (network.levels - 1)) - 1
    noise_size, device = network.settings["noise_size"], next(network.parameters()).device
    with torch.no_grad(), runtime.full_precision(device), torch.random.fork_rng([]):
        torch.manual_seed(seed)
        inputs = [torch.randn(size, noise_size) if noise is None else noise(size) for size in sizes]
        return torch.cat([network(z.to(device)).float().cpu() for z in inputs])


def figures(real: Features, fake: Features, seed: int) -> dict[str, float]:
    """The figures of merit of draws beside real digits, by the name of each.

    real, fake: as the judge sees them. They are the fields of `metrics.judge`, and `told_apart`:
    the accuracy of a classifier trained to tell the two apart, with this seed.
    """
    report = judge(real, fake, NEIGHBOUR)
    told = classifier_two_sample_test(real.vectors, fake.vectors, seed)
    return {**report._asdict(), "told_apart": told.accuracy}


def memory_distance(pictures: Tensor, library: Tensor) -> float:
    """The median distance, in pixel values, of pictures to the nearest one of a library."""
    return float(nearest_neighbours(pictures, library)[0].median())


def measure(
    pieces: int, device: torch.device, known: Mapping[str, dict] | None = None
) -> Iterator[dict]:
    """The table's rows, from so many pieces of draws.

    known: rows by name that were measured before; those of networks that are still the same are
    given as they are.
    """
    extractor, known = digit_features(device), known or {}
    for kind in (GREY, BINARY):
        reference = list(real_digits(kind, "test").split(DRAWS))
        library = real_digits(kind, "train").to(device)
        # As draws each piece of test digits is compared with another one.
        others = (reference[(piece + 1) % PIECES] for piece in range(pieces))
        if kind in known:
            yield known[kind]
        else:
            yield _row(kind, others, reference, library, extractor, device) | {"reference": kind}
        for player in ("generator", "chain"):
            for name in shipped(player):
                network, made = trained_network(name, player)
                if kind_of(network) != kind:
                    continue
                if name in known and known[name]["made"] == made:
                    yield known[name]
                    continue
                network.to(device)
                noise = _noise_of(name)
                drawn = (draws(network, DRAWS, piece, noise) for piece in range(pieces))
                row = _row(name, drawn, reference, library, extractor, device)
                yield row | {"reference": kind, "made": made}


def _noise_of(name: str) -> Callable[[int], Tensor] | None:
    """What a generator's input is drawn from by its game, where that is not the standard normal."""
    if name not in OTHER_NOISE:
        return None
    return build(name, runtime.start("smoke", "cpu")).game.noise


def _row(
    name: str,
    drawn: Iterator[Tensor],
    reference: list[Tensor],
    library: Tensor,
    extractor: Extractor,
    device: torch.device,
) -> dict:
    began = time.perf_counter()
    found = []
    for piece, pictures in enumerate(drawn):
        real, fake = (extract(extractor, x, device=device) for x in (reference[piece], pictures))
        distance = memory_distance(pictures.to(device), library)
        found.append({**figures(real, fake, piece), "memory_distance": distance})
    values = {figure: [of_piece[figure] for of_piece in found] for figure in found[0]}
    return {
        "row": name,
        "draws": DRAWS * len(found),
        "figures": {figure: mean(of_pieces) for figure, of_pieces in values.items()},
        "standard errors": {
            figure: stdev(of_pieces) / len(found) ** 0.5 for figure, of_pieces in values.items()
        },
        "first": {"draws": DRAWS, "figures": found[0]},
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Judge, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m ganlib.tables.generators", description=__doc__)
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--pieces", type=int, default=PIECES, help="fewer for a quick look")
    parser.add_argument(
        "--all", action="store_true", help="measure again what is in the table and has not changed"
    )
    options = parser.parse_args()
    if not 2 <= options.pieces <= PIECES:
        parser.error(f"--pieces {options.pieces}: expected 2 to {PIECES}, for a mean and its error")
    run = runtime.start("paper", options.device, 0)
    path, rows = results_folder() / "generators.json", []
    known = {}
    if path.exists() and options.pieces == PIECES and not options.all:
        known = {row["row"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    for row in measure(options.pieces, run.device, known):
        rows.append(row)
        told = " ".join(f"{name} {value:.4g}" for name, value in row["figures"].items())
        print(f"{row['row']}: {told}", flush=True)
    for player in ("generator", "chain"):
        for name in shipped(player):
            if name not in {row["row"] for row in rows}:
                print(f"{name}: left out, because its {player} draws no digits that are judged")
    if options.pieces == PIECES:
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"written to {path.name}")


if __name__ == "__main__":
    main()
