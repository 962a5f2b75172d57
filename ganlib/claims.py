"""The executable ledger: what the book claims, measured where it is claimed.

A cell that checks a claim raises when the claim fails and prints a line that is the same on
every machine but for what follows the word "measured:". The record rides along in the output's
metadata, from where `collect` takes it into `data/results/`; `publishing.measured` makes the ledger
and the scoreboard from what lies there.
"""

import argparse
import itertools
import json
import math
import os
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any

from ganlib.paths import results_folder
from ganlib.runtime import PRESETS, Run, mixed_seed
from ganlib.sizes import whole

# What a claim or a chapter may be called: it stands in addresses and in HTML.
NAME = re.compile(r"[A-Za-z0-9-]+")
# How often `make spread` repeats the measurement of every stochastic claim.
REPEATS = "GANLIB_REPEATS"


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


@dataclass(frozen=True)
class Spread:
    """What independent repeats of one claim's measurement gave, and the bounds it has to keep."""

    id: str
    chapter: str
    values: list
    at_least: float | None
    at_most: float | None
    seed: int
    preset: str


KINDS = {"claims": Claim, "scores": Score, "spreads": Spread}
# What a notebook says of a claim or a score that is the same in every run.
STATED = {"claims": ("statement", "quantity", "bound"), "scores": ("unit", "reported", "better")}
# A paper's number, and the error that it prints.
REPORTED = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]\d+)?)(?: ± (\d+(?:\.\d+)?(?:e[+-]\d+)?))?")


class Ledger:
    """The claims and scores of one chapter in one run.

    chapter: the name of its notebook: letters, digits and hyphens. run: the run that measures
    them, from `runtime.start`. repeats: how often to repeat the measurement of every claim that
    says how; default what GANLIB_REPEATS says in the environment, else 0. Raises ValueError for
    another name or number, TypeError for no run.
    """

    def __init__(self, chapter: str, run: Run, repeats: int | None = None):
        if not isinstance(run, Run):
            raise TypeError(f"run: {run!r:.60}, expected a Run, which runtime.start makes")
        self.chapter, self.run = _named(chapter, "chapter"), run
        self.repeats = _repeats() if repeats is None else whole("repeats", repeats, 0)
        self.checked: dict[str, Claim] = {}
        self.scored: dict[tuple[str, str], Score] = {}

    def check(
        self,
        name: str,
        statement: str,
        *,
        quantity: str,
        measured: float,
        at_most: float | None = None,
        at_least: float | None = None,
        again: Callable[[int], float] | None = None,
    ) -> None:
        """Check that `measured` lies within its bounds, and show a line that says so.

        name: the claim's id is `chapter.name`; letters, digits and hyphens. statement: one
        sentence. quantity: what was measured. at_most, at_least: the bounds, one or both,
        inclusive and finite. again: takes a seed and measures once more, with randomness that
        depends on the seed alone; called only where the ledger repeats measurements, whose
        spread shows how much room the bounds leave.
        Raises ClaimError when the value is outside or not finite, ValueError for bounds that are
        none and for a name that is none or was already checked in this run, TypeError for what is
        no number or no text.
        """
        name = _named(name, "name")
        if at_most is None and at_least is None:
            raise ValueError(f"{name}: a claim needs a bound, at_most or at_least")
        at_most, at_least = (
            bound if bound is None else _finite(bound, f"{name}: {which}")
            for bound, which in ((at_most, "at_most"), (at_least, "at_least"))
        )
        low = -math.inf if at_least is None else at_least
        high = math.inf if at_most is None else at_most
        if low > high:
            raise ValueError(
                f"{name}: at_least={low:g} above at_most={high:g}, expected bounds that some "
                "number keeps"
            )
        claim = Claim(
            f"{self.chapter}.{name}",
            self.chapter,
            _text(statement, f"{name}: statement"),
            quantity,
            _bound(_text(quantity, f"{name}: quantity"), at_most, at_least),
            _real(measured, f"{name}: measured"),
            self.run.seed,
            self.run.preset,
        )
        if claim.id in self.checked:
            raise ValueError(f"{claim.id} was already checked in this run")
        if not (math.isfinite(claim.measured) and low <= claim.measured <= high):
            raise ClaimError(
                f"{claim.id} does not hold: {statement} Expected {claim.bound}, "
                f"measured {claim.measured:.6g} (seed {claim.seed}, preset {claim.preset})"
            )
        self.checked[claim.id] = claim
        # The sanitizer of the notebooks' tests blanks what follows "measured:".
        _show(
            f"✓ {claim.id}: {statement} [{claim.bound}] measured: {claim.measured:.3g}",
            f'<a id="{anchor(claim.id)}"></a>✓ **{claim.id}** · {markdown(statement)} '
            f"*Holds:* {markdown(claim.bound)}; measured: {number(claim.measured)}.",
            {"claims": asdict(claim)} | self._repeated(claim, at_least, at_most, again),
        )

    def _repeated(
        self,
        claim: Claim,
        at_least: float | None,
        at_most: float | None,
        again: Callable[[int], float] | None,
    ) -> dict[str, dict]:
        """The record of a claim's repeated measurements; none where it is not repeated."""
        if again is None or not self.repeats:
            return {}
        seeds = [mixed_seed(self.run.seed, repeat) for repeat in range(1, self.repeats + 1)]
        values = [_finite(again(seed), f"{claim.id}: measured again") for seed in seeds]
        run = {"seed": self.run.seed, "preset": self.run.preset}
        spread = Spread(claim.id, claim.chapter, values, at_least, at_most, **run)
        return {"spreads": asdict(spread)}

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
        Raises ValueError for numbers that are not finite, a spread below 0, another `better` or
        preset, a table or row without a name, and a row that was already recorded in this run;
        TypeError for what is no number or no text.
        """
        what = f"{_titled(table, 'table')}, {_titled(row, 'row')}"
        if better not in ("higher", "lower"):
            raise ValueError(f"better={better!r}: choose 'higher' or 'lower'")
        if made_at is not None and made_at not in PRESETS:
            raise ValueError(f"made_at={made_at!r}: choose one of {', '.join(PRESETS)}")
        if (table, row) in self.scored:
            raise ValueError(f"{what} was already recorded in this run")
        reported = _finite(reported, f"{what}: reported")
        measured, spread, reported_spread = (
            number if number is None else _finite(number, f"{what}: {which}")
            for number, which in (
                (measured, "measured"),
                (spread, "spread"),
                (reported_spread, "reported_spread"),
            )
        )
        if (spread or 0) < 0 or (reported_spread or 0) < 0:
            raise ValueError(f"{what}: a spread below 0, expected a standard error")
        short = None
        if measured is not None:
            short = measured < reported if better == "higher" else measured > reported
        text = f"{reported:g}" + ("" if reported_spread is None else f" ± {reported_spread:g}")
        score = Score(
            self.chapter,
            table,
            row,
            _text(unit, f"{what}: unit"),
            text,
            measured,
            spread,
            better,
            short,
            _text(how, f"{what}: how"),
            self.run.seed,
            self.run.preset,
            made_at,
        )
        self.scored[table, row] = score
        line = f"{row}, reported {text} {unit}: on the scoreboard."
        _show(line, markdown(line), {"scores": asdict(score)})


def collect(notebooks: Iterable[Path], folder: Path | None = None) -> dict[str, int]:
    """Take the records of executed notebooks into `folder` (default `data/results`).

    Records replace those of the same chapter, seed and preset, and there is one file for each
    kind. A chapter makes the same claims and records the same rows at every seed: so what none of
    its notebooks in this call has any more goes, at every seed of that preset. Other presets, other
    chapters, and a chapter whose notebooks hold no record at all, keep theirs; and where no
    measurement was repeated, the spreads of an earlier time stay.

    All files are written beside their places before any is replaced, and nothing changes when
    this raises. Returns how many records each file gained. Raises ValueError for a notebook that
    is none, was not executed, has a failed cell, a record twice or those of several runs; for two
    notebooks of one run; for a damaged file in `folder`, or one that cannot be written.
    """
    folder = _folder(folder)
    if isinstance(notebooks, str | bytes | os.PathLike) or not isinstance(notebooks, Iterable):
        raise TypeError(f"notebooks: {notebooks!r:.60}, expected a list of paths")
    fresh: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    seen: dict[tuple, Path] = {}
    for path in notebooks:
        found = _records(path)
        runs = {_run(record) for records in found.values() for record in records}
        if len(runs) > 1:
            raise ValueError(f"{path} has records of {len(runs)} runs, expected those of one")
        for run in runs:
            if run in seen:
                chapter, seed, preset = run
                raise ValueError(
                    f"{seen[run]} and {path} both hold {chapter} at seed {seed}, preset {preset}: "
                    "expected one notebook of each run"
                )
            seen[run] = path
        for kind in KINDS:
            fresh[kind] += found[kind]
    measured = {(chapter, preset) for chapter, _, preset in seen}
    texts = {}
    for kind, new in fresh.items():
        # Repeats are a tool's work of their own: most runs make none, and say nothing of them.
        are_repeats = kind == "spreads"
        again = {(r["chapter"], r["preset"]) for r in new} if are_repeats else measured
        made = set() if are_repeats else {(r["chapter"], r["preset"], *_name(r)) for r in new}
        kept = [
            r
            for r in load(kind, folder)
            if (r["chapter"], r["preset"]) not in again
            or (_run(r) not in seen and (r["chapter"], r["preset"], *_name(r)) in made)
        ]
        records = sorted(kept + new, key=lambda r: (r["chapter"], r["preset"], r["seed"]))
        if new or not are_repeats:
            text = json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False)
            texts[f"{kind}.json"] = text
    _replace(folder, texts)
    return {kind: len(records) for kind, records in fresh.items()}


def disagreements(notebooks: Iterable[Path], folder: Path | None = None) -> list[str]:
    """What the notebooks of a book state otherwise than the records in `folder`, in sentences.

    They agree where each claim and score of a notebook has a record, each record a notebook that
    states it, and both say the same: statement, quantity and bound, or unit and the paper's
    number. Raises ValueError for a notebook that is none or was not executed, and for a damaged
    file in `folder` (default `data/results`).
    """
    faults = []
    stated: dict[str, dict[tuple, dict]] = {kind: {} for kind in STATED}
    for path in map(Path, notebooks):
        for kind, records in _records(path).items():
            for record in records if kind in STATED else ():
                if record["chapter"] != path.stem:
                    faults.append(
                        f"{path.name} states {', '.join(_name(record))} for the chapter "
                        f"{record['chapter']}, expected {path.stem}"
                    )
                stated[kind][record["chapter"], *_name(record)] = record
    for kind, names in STATED.items():
        recorded: dict[tuple, list[dict]] = {}
        for record in load(kind, folder):
            recorded.setdefault((record["chapter"], *_name(record)), []).append(record)
        for key in stated[kind].keys() - recorded.keys():
            what = f"{key[0]}: the notebook states {', '.join(key[1:])}"
            faults.append(f"{what}, expected a record of it in {kind}.json")
        for key in recorded.keys() - stated[kind].keys():
            what = f"{key[0]}: {kind}.json has a record of {', '.join(key[1:])}"
            faults.append(f"{what}, expected a notebook that states it")
        for key in stated[kind].keys() & recorded.keys():
            here = stated[kind][key]
            for record, name in itertools.product(recorded[key], names):
                if record["preset"] == here["preset"] and record[name] != here[name]:
                    faults.append(
                        f"{key[0]}: the {name} of {', '.join(key[1:])} is {here[name]!r} in the "
                        f"notebook and {record[name]!r} in the record of seed {record['seed']}, "
                        "expected the same"
                    )
    return sorted(faults)


def load(kind: str, folder: Path | None = None) -> list[dict]:
    """The committed records of one kind, one of `KINDS`; none where there is no file.

    Raises ValueError for another kind, and for a damaged file one that names it and says how to
    restore it.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind={kind!r:.60} is not known: choose one of {', '.join(KINDS)}")
    path = _folder(folder) / f"{kind}.json"
    restore = (
        f"expected a list of {kind} as ganlib.claims writes it. Restore it with "
        f"`git checkout -- data/results/{kind}.json`, or measure it again with `make claims`."
    )
    try:
        records = _read(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it does not read ({error}); {restore}") from None
    if not isinstance(records, list):
        raise ValueError(f"{path} is damaged: it holds no list; {restore}")
    seen = set()
    for number, record in enumerate(records):
        fault = _fault(kind, record)
        if fault is None and (_run(record), _name(record)) in seen:
            fault = f"repeats {', '.join(_name(record))}"
        if fault is not None:
            raise ValueError(f"{path} is damaged: record {number} {fault}; {restore}")
        seen.add((_run(record), _name(record)))
    return records


def _bound(quantity: str, at_most: float | None, at_least: float | None) -> str:
    left = "" if at_least is None or at_most is None else f"{number(at_least)} ≤ "
    if at_most is not None:
        return f"{left}{quantity} ≤ {number(at_most)}"
    return f"{quantity} ≥ {number(at_least)}"


def number(value: float) -> str:
    """Three digits, with a power of ten in mathematics: 0.0123, 1.5, $10^{-9}$.

    Raises TypeError for what is no number, ValueError for one that is not finite.
    """
    mantissa, _, exponent = f"{_finite(value, 'number'):.3g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if mantissa == "1" else f"${mantissa} \\cdot {power}$"


def room(spread: Mapping[str, Any]) -> float:
    """How far the nearer bound of a spread's record lies from its mean, in standard deviations.

    Below 0 where the mean itself is outside, or a value is; infinite where all values are one.
    """
    values = spread["values"]
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    low = -math.inf if spread["at_least"] is None else spread["at_least"]
    high = math.inf if spread["at_most"] is None else spread["at_most"]
    if not low <= min(values) <= max(values) <= high:
        return -1.0
    return min(mean - low, high - mean) / deviation if deviation else math.inf


def anchor(claim: str) -> str:
    """The name in HTML of the place where a claim is shown, by the claim's id."""
    chapter, _, name = _text(claim, "claim").partition(".")
    return f"claim-{_named(chapter, 'chapter')}-{_named(name, 'name')}"


def markdown(text: str) -> str:
    """Text as one line of Markdown that shows it as it is; $mathematics$ stays mathematics.

    A dollar sign without a partner, or one written \\$, is shown as such.
    """
    line = " ".join(_text(text, "text").splitlines())
    # Every second piece is mathematics: it ends at the next dollar that has no backslash before it.
    pieces = re.split(r"(?<!\\)(\$(?:[^$\\]|\\.)+\$)", line)
    for index in range(0, len(pieces), 2):
        plain = pieces[index].replace("\\$", "$")
        pieces[index] = re.sub(r"[\\`*_\[\]<>&$~]", lambda sign: f"&#{ord(sign[0])};", plain)
    return "".join(pieces)


def _repeats() -> int:
    text = os.environ.get(REPEATS, "0")
    if not text.isdecimal():
        raise ValueError(f"{REPEATS}={text!r} in the environment: expected a whole number")
    return int(text)


def _show(plain: str, markdown: str, records: dict[str, dict]) -> None:
    if "IPython" in sys.modules:
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            data = {"text/plain": plain, "text/markdown": markdown}
            display(data, raw=True, metadata={"ganlib": records})
            return
    print(plain)


def _records(path: Path) -> dict[str, list[dict]]:
    """The records in an executed notebook, each checked."""
    damaged = f"{path} is damaged: expected an executed notebook"
    try:
        notebook = _read(Path(path))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing: expected an executed notebook") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{damaged} ({error})") from None
    found: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    try:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code" and cell["source"] and cell["execution_count"] is None:
                raise ValueError(
                    f"{path} has a cell that was not run: expected an executed notebook"
                )
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    raise ValueError(
                        f"{path} has a failed cell: {output['ename']}: {output['evalue']}"
                    )
                for kind, record in output.get("metadata", {}).get("ganlib", {}).items():
                    found[kind].append(record)
    except (AttributeError, KeyError, TypeError):
        raise ValueError(damaged) from None
    for kind, records in found.items():
        seen = set()
        for record in records:
            fault = _fault(kind, record)
            if fault is not None:
                raise ValueError(f"{damaged}, and one of its {kind} {fault}")
            if _name(record) in seen:
                raise ValueError(f"{path} has {', '.join(_name(record))} twice, expected it once")
            seen.add(_name(record))
    return found


def _read(path: Path) -> object:
    def refuse(token: str) -> None:
        raise ValueError(f"{token} is no number of JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def _replace(folder: Path, texts: dict[str, str]) -> None:
    """Write files of one folder: all lie whole on the disk before the first takes its place."""
    contents = {name: (text + "\n").encode() for name, text in texts.items()}
    partials = {folder / f"{name}.{os.getpid()}.partial": folder / name for name in contents}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for partial, path in partials.items():
                with open(partial, "wb") as file:
                    file.write(contents[path.name])
                    file.flush()
                    os.fsync(file.fileno())
            for partial, path in partials.items():
                os.replace(partial, path)
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"{folder} cannot be written ({reason}): expected a folder for {', '.join(texts)}"
        ) from error


def _folder(folder: Path | str | None) -> Path:
    return results_folder() if folder is None else Path(folder)


def _run(record: dict) -> tuple[str, int, str]:
    return record["chapter"], record["seed"], record["preset"]


def _name(record: dict) -> tuple[str, ...]:
    """What tells a record from the others of its kind and run."""
    return (record["id"],) if "id" in record else (record["table"], record["row"])


def _fault(kind: str, record: object) -> str | None:
    """What keeps `record` from being one of its kind, or None."""
    expected = {field.name: field for field in fields(KINDS[kind])}
    needed = {name for name, field in expected.items() if field.default is MISSING}
    if not isinstance(record, dict) or not needed <= record.keys() <= expected.keys():
        return f"is no record with {', '.join(expected)}"
    for name, value in record.items():
        wanted = expected[name].type
        # JSON writes a float that is whole as one, but a person may not; and True is no number.
        types = wanted | int if wanted in (float, float | None) else wanted
        is_flag = isinstance(value, bool) and wanted != bool | None
        if is_flag or not isinstance(value, types):
            return f"has {name}: {value!r:.60}"
        if isinstance(value, float | int) and not abs(value) <= sys.float_info.max:
            return f"has {name}: {value}, which is not finite"
    names = record["id"].split(".") if "id" in record else [record["chapter"]]
    if names[0] != record["chapter"] or not all(map(NAME.fullmatch, names)):
        return f"is called {record.get('id', record['chapter'])!r:.60}"
    if "id" in record and len(names) != 2:
        return f"is called {record['id']!r:.60}"
    if record["preset"] not in PRESETS or record["seed"] < 0:
        return f"is of preset {record['preset']!r:.60}, seed {record['seed']}"
    if kind == "scores":
        return _fault_of_score(record)
    if kind == "spreads" and not _are_finite(record["values"]):
        return f"has values: {record['values']!r:.60}"
    return None


def _are_finite(values: list) -> bool:
    """Whether there are one or more, and each is a finite number."""
    numbers = [v for v in values if isinstance(v, float | int) and not isinstance(v, bool)]
    return bool(values) and len(numbers) == len(values) and all(map(math.isfinite, numbers))


def _fault_of_score(record: dict) -> str | None:
    if not record["table"].strip() or not record["row"].strip():
        return "has no table or row"
    if not REPORTED.fullmatch(record["reported"]):
        return f"has reported: {record['reported']!r:.60}"
    if record["better"] not in ("higher", "lower"):
        return f"has better: {record['better']!r:.60}"
    if (record["measured"] is None) != (record["falls_short"] is None):
        return "has measured without falls_short, or the other way round"
    return None


def _named(name: str, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{what}={name!r:.60}: expected letters, digits and hyphens")
    return name


def _titled(text: str, what: str) -> str:
    if not _text(text, what).strip():
        raise ValueError(f"{what}={text!r}: expected a name")
    return text


def _text(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{what}: {text!r:.60}, expected text")
    return text


def _real(value: float, what: str) -> float:
    """A number, numpy's and torch's included; TypeError for anything else, such as True."""
    try:
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, Real) and not isinstance(number, bool):
            return float(number)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        pass
    raise TypeError(f"{what}: {value!r:.60}, expected a number")


def _finite(value: float, what: str) -> float:
    real = _real(value, what)
    if not math.isfinite(real):
        raise ValueError(f"{what} {real}: expected a finite number")
    return real


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m ganlib.claims",
        description="Take the claims and scores of executed notebooks into data/results/.",
    )
    parser.add_argument("notebooks", nargs="+", type=Path)
    print(collect(parser.parse_args().notebooks))
