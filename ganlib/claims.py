"""The executable ledger: what the book claims, measured where it is claimed.

A cell that checks a claim raises when the claim fails and prints a line that is the same on
every machine. The measured value rides along in the output's metadata, from where `collect`
takes it into `data/results/`; `pages` makes the ledger and the scoreboard from what lies there.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ganlib.paths import results_folder
from ganlib.runtime import Run

KINDS = ("claims", "scores")


class ClaimError(AssertionError):
    """A claim does not hold."""


@dataclass(frozen=True)
class Claim:
    """One claim as it was measured once; statements and quantities may hold $mathematics$."""

    id: str
    chapter: str
    statement: str
    quantity: str
    bound: str
    measured: float
    seed: int
    preset: str


@dataclass(frozen=True)
class Score:
    """A number that a paper reports beside the one measured here; higher is better, or lower.

    measured and falls_short are None for a model of the paper that the book does not train.
    """

    chapter: str
    table: str
    row: str
    unit: str
    reported: str
    measured: float | None
    spread: float | None
    better: str
    falls_short: bool | None
    how: str
    seed: int
    preset: str
    made_at: str | None = None


class Ledger:
    """The claims and scores of one chapter in one run.

    chapter: the name of its notebook. run: the run that measures them.
    """

    def __init__(self, chapter: str, run: Run):
        self.chapter, self.run = chapter, run
        self.checked: dict[str, Claim] = {}

    def check(
        self,
        name: str,
        statement: str,
        *,
        quantity: str,
        measured: float,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Check that `measured` lies within its bounds, and show a line that says so.

        name: the claim's id is `chapter.name`. statement: one sentence. quantity: what was
        measured. at_most, at_least: the bounds, one or both, inclusive.
        Raises ClaimError when the value is outside or NaN, ValueError when there is no bound or
        the name was already checked in this run.
        """
        if at_most is None and at_least is None:
            raise ValueError(f"{name}: a claim needs a bound, at_most or at_least")
        claim = Claim(
            f"{self.chapter}.{name}",
            self.chapter,
            statement,
            quantity,
            _bound(quantity, at_most, at_least),
            float(measured),
            self.run.seed,
            self.run.preset,
        )
        if claim.id in self.checked:
            raise ValueError(f"{claim.id} was already checked in this run")
        low = -math.inf if at_least is None else at_least
        high = math.inf if at_most is None else at_most
        if not low <= claim.measured <= high:
            raise ClaimError(
                f"{claim.id} does not hold: {statement} Expected {claim.bound}, "
                f"measured {claim.measured:.6g} (seed {claim.seed}, preset {claim.preset})"
            )
        self.checked[claim.id] = claim
        _show(
            f"✓ {claim.id}: {statement} [{claim.bound}]",
            f'<a id="{anchor(claim.id)}"></a>✓ **{claim.id}** · {statement} '
            f"*Holds:* {claim.bound}.",
            "claims",
            asdict(claim),
        )

    def score(
        self,
        table: str,
        row: str,
        *,
        unit: str,
        reported: float,
        reported_spread: float | None = None,
        measured: float | None,
        spread: float | None = None,
        better: str = "higher",
        how: str = "",
        made_at: str | None = None,
    ) -> None:
        """Record a number beside the one that a paper reports, for the scoreboard.

        measured: None for a row of the paper's table that the book does not train. spread: its
        standard error. better: "higher" or "lower". how: the cost and setting, in a few words.
        made_at: the preset that the measured model was trained at, if not this run's.
        Nothing is judged here: a number that falls short is recorded as such.
        """
        if better not in ("higher", "lower"):
            raise ValueError(f"better={better!r}: choose 'higher' or 'lower'")
        if measured is not None and not math.isfinite(measured):
            raise ValueError(f"{table}, {row}: measured {measured}: expected a finite number")
        short = None
        if measured is not None:
            short = bool(measured < reported if better == "higher" else measured > reported)
        text = f"{reported:g}" + ("" if reported_spread is None else f" ± {reported_spread:g}")
        score = Score(
            self.chapter,
            table,
            row,
            unit,
            text,
            None if measured is None else float(measured),
            None if spread is None else float(spread),
            better,
            short,
            how,
            self.run.seed,
            self.run.preset,
            made_at,
        )
        line = f"{row}, reported {text} {unit}: on the scoreboard."
        _show(line, line, "scores", asdict(score))


def collect(notebooks: Iterable[Path], folder: Path | None = None) -> dict[str, int]:
    """Take the records of executed notebooks into `folder` (default `data/results`).

    Records replace those of the same chapter, seed and preset, and there is one file for claims
    and one for scores. Returns how many records each file gained. Raises ValueError for a
    notebook that was not executed or has a failed cell.
    """
    folder = folder or results_folder()
    fresh: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for path in notebooks:
        found = _records(path)
        for kind in KINDS:
            fresh[kind] += found[kind]
    replaced = {(r["chapter"], r["seed"], r["preset"]) for kind in KINDS for r in fresh[kind]}
    for kind in KINDS:
        kept = [
            record
            for record in load(kind, folder)
            if (record["chapter"], record["seed"], record["preset"]) not in replaced
        ]
        records = sorted(kept + fresh[kind], key=lambda r: (r["chapter"], r["preset"], r["seed"]))
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(records, indent=1, ensure_ascii=False)
        (folder / f"{kind}.json").write_text(text + "\n", encoding="utf-8")
    return {kind: len(records) for kind, records in fresh.items()}


def load(kind: str, folder: Path | None = None) -> list[dict]:
    """The committed records of one kind: "claims" or "scores"."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not known: choose one of {', '.join(KINDS)}")
    path = (folder or results_folder()) / f"{kind}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _bound(quantity: str, at_most: float | None, at_least: float | None) -> str:
    left = "" if at_least is None or at_most is None else f"{number(at_least)} ≤ "
    if at_most is not None:
        return f"{left}{quantity} ≤ {number(at_most)}"
    return f"{quantity} ≥ {number(at_least)}"


def number(value: float) -> str:
    """Three digits, with a power of ten in mathematics: 0.0123, 1.5, $10^{-9}$."""
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1" else f"${mantissa} \\cdot {power}$"


def anchor(claim: str) -> str:
    return "claim-" + claim.replace(".", "-")


def _show(plain: str, markdown: str, kind: str, record: dict) -> None:
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            data = {"text/plain": plain, "text/markdown": markdown}
            display(data, raw=True, metadata={"ganlib": {kind: record}})
            return
    print(plain)


def _records(path: Path) -> dict[str, list[dict]]:
    notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and cell["source"] and cell["execution_count"] is None:
            raise ValueError(f"{path} has a cell that was not run: expected an executed notebook")
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                raise ValueError(f"{path} has a failed cell: {output['ename']}: {output['evalue']}")
            for kind, record in output.get("metadata", {}).get("ganlib", {}).items():
                found[kind].append(record)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m ganlib.claims",
        description="Take the claims and scores of executed notebooks into data/results/.",
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    print(collect(parser.parse_args().notebooks))
