"""Compute the book's table of likelihoods from the chains that it ships.

`python -m ganlib.tables.likelihoods` measures them on the 10,000 test images and writes
`data/results/likelihoods.json`: for every row the mean over images, its standard error, the mean
over the first images (which a chapter computes again), and how the chain was made. Rows of chains
that have not changed since stay as they are.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ganlib import runtime
from ganlib.chains import (
    bits_per_dimension,
    ensemble_log_likelihood,
    orders,
    pixel_log_likelihoods,
)
from ganlib.datasets import binarized_mnist, mnist
from ganlib.paths import results_folder
from ganlib.shipped import shipped, trained_chain

# A chapter measures this many images again and compares.
FIRST = 200
BATCH = 200


def halves(height: int = 28, width: int = 28) -> dict[str, Tensor]:
    """The regions that Jain et al. (2020) complete, (height, width), True where missing."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return {
        "top": (rows < height // 2).expand(height, width),
        "left": (columns < width // 2).expand(height, width),
        "bottom": (rows >= height // 2).expand(height, width),
    }


def lmconv_rows(maps: Tensor, curves: list[Tensor]) -> dict[str, Tensor]:
    """Every row that LMConv fills in, from log p(x_i | x_before) of each image at each order.

    maps: (orders, count, height, width), nats. curves: the orders. Returns log-likelihoods in
    nats, (count,), by row: the whole image, and for each missing half an adversarial order (the
    missing half first, as if nothing had been observed) and maximum-context ones. Raises
    ValueError unless there is a map for each curve, and for each half a curve that draws it first
    and two that draw it last.
    """
    if maps.ndim != 4 or len(maps) != len(curves) or not curves:
        raise ValueError(
            f"maps of shape {tuple(maps.shape)}: expected ({len(curves)}, count, height, width), "
            "a map for each of one or more curves"
        )
    whole = maps.sum(dim=(2, 3))
    rows = {"whole, 1 order": whole[0], "whole, 8 orders": ensemble_log_likelihood(whole)}
    for name, missing in halves(*maps.shape[2:]).items():
        part = (maps * missing).sum(dim=(2, 3))
        context = [i for i, curve in enumerate(curves) if orders.visits_last(curve, missing)]
        against = [i for i, curve in enumerate(curves) if orders.visits_last(curve, ~missing)]
        if not against or len(context) != 2:
            raise ValueError(
                f"{len(against)} of the curves draw the {name} first and {len(context)} last: "
                "expected 1 or more and 2, as the eight reflections of the S-curve do"
            )
        rows[f"{name}, adversarial order"] = part[against[0]]
        rows[f"{name}, 1 maximum-context order"] = part[context[0]]
        rows[f"{name}, 2 maximum-context orders"] = ensemble_log_likelihood(part[context])
    return rows


def measure(
    images: int, device: torch.device, known: Sequence[dict] | None = None
) -> Iterator[dict]:
    """The table's rows on the first `images` test images, of the chains that are shipped.

    However a chain's training digits were tossed, it is measured on the same binarized ones. known:
    rows that were measured before; those of chains that are still the same are given as they are.
    """
    binary, grey = binarized_mnist("test")[:images], mnist("test")[0][:images]
    in_raster = {"pixelcnn-binary": binary, "pixelcnn-fresh": binary, "pixelcnn-256": grey}
    for name, pictures in in_raster.items():
        if name not in shipped("chain"):
            continue
        chain, made = trained_chain(name)
        if before := _unchanged(name, made, known):
            yield from before
            continue
        began = time.perf_counter()
        values = -pixel_log_likelihoods(chain.to(device), pictures, batch_size=BATCH)
        yield _row(name, "whole, 1 order", values.sum(dim=(1, 2, 3)), made, began)
    chain, made = trained_chain("lmconv-binary")
    if before := _unchanged("lmconv-binary", made, known):
        yield from before
        return
    chain.to(device)
    began = time.perf_counter()
    curves = orders.reflections(orders.s_curve, *binary.shape[2:])
    maps = [pixel_log_likelihoods(chain, binary, curve, batch_size=BATCH) for curve in curves]
    for row, values in lmconv_rows(torch.cat(maps, dim=1).transpose(0, 1), curves).items():
        yield _row("lmconv-binary", row, -values, made, began)


def _unchanged(recipe: str, made: dict, known: Sequence[dict] | None) -> list[dict]:
    """The rows of a chain that was made so, of those that are known."""
    return [row for row in known or () if row["recipe"] == recipe and row["made"] == made]


def _row(recipe: str, row: str, nats: Tensor, made: dict, began: float) -> dict:
    spread = float(nats.std() / len(nats) ** 0.5)
    return {
        "recipe": recipe,
        "row": row,
        "nats": float(nats.mean()),
        "standard error": spread,
        "bits per dimension": float(bits_per_dimension(nats.mean(), 28 * 28)),
        "first": {"images": min(FIRST, len(nats)), "nats": float(nats[:FIRST].mean())},
        "images": len(nats),
        "seconds": round(time.perf_counter() - began, 1),
        "made": made,
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m ganlib.tables.likelihoods", description=__doc__
    )
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--images", type=int, default=10_000, help="fewer for a quick look")
    parser.add_argument(
        "--all", action="store_true", help="measure again what is in the table and has not changed"
    )
    options = parser.parse_args()
    if not 2 <= options.images <= 10_000:
        parser.error(f"--images {options.images}: expected 2 to 10000, for a mean and its error")
    run = runtime.start("paper", options.device, 0)
    path, rows, known = results_folder() / "likelihoods.json", [], []
    if path.exists() and options.images == 10_000 and not options.all:
        known = json.loads(path.read_text(encoding="utf-8"))
    for row in measure(options.images, run.device, known):
        rows.append(row)
        print(
            f"{row['recipe']:<16} {row['row']:<32} {row['nats']:8.2f} ± "
            f"{row['standard error']:.2f} nats {row['bits per dimension']:7.4f} bits/dim"
        )
    if options.images == 10_000:
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"written to {path.name}")


if __name__ == "__main__":
    main()
