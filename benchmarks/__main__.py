"""Run every benchmark and print a table; `--json FILE` also writes the rows."""

import argparse
import json
from pathlib import Path

from benchmarks import chains, metrics, training
from ganlib import runtime


def main() -> None:
    """Parse the command line, measure, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=runtime.DEVICES, default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    run = runtime.start("book", options.device, 0)
    machine = runtime.describe(run)["device"]
    rows = [
        {**row, "device": machine}
        for measured in (training, chains, metrics)
        for row in measured.rows(run)
    ]
    print(f"on {machine}")
    print(f"{'name':<34}{'ours':>10}{'baseline':>12}{'ratio':>9}  unit")
    for row in rows:
        print(
            f"{row['name']:<34}{row['ours']:>10.2f}{row['baseline']:>12.2f}"
            f"{row['ratio']:>8.2f}×  {row['unit']}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
