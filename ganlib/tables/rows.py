"""How a table of runs is kept: a JSON list, a row a line, so that a new run changes one line."""

import json
from collections.abc import Sequence
from pathlib import Path


def read_rows(path: Path) -> list[dict]:
    """The rows of a table, a run each; none where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Write a table in place of what is there."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
