"""The notebooks as they are committed: one clean run, no litter, and claims that agree."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nbformat
import papermill
import pytest

from ganlib import claims
from ganlib.runtime import DEVICES, PRESETS

BOOK = Path(__file__).parents[1]
CHAPTERS = sorted(path.stem for path in (BOOK / "chapters").glob("*.ipynb"))
ON_EACH = pytest.mark.parametrize("chapter", CHAPTERS)


def notebook(chapter: str) -> dict:
    return json.loads((BOOK / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))


def code_cells(chapter: str) -> list[dict]:
    return [cell for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def outputs(chapter: str) -> list[dict]:
    return [output for cell in code_cells(chapter) for output in cell["outputs"]]


def is_visible(cell: dict) -> bool:
    """Whether the page shows the cell's code without being asked."""
    return not {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(tags(cell))


def listings(chapter: str) -> list[str]:
    """The library's code that the chapter shows."""
    shown = [output.get("data", {}).get("text/markdown", "") for output in outputs(chapter)]
    return [text for text in map("".join, shown) if re.match("`+python\n", text)]


def test_every_notebook_is_in_the_table_of_contents():
    listed = re.findall(r"file: chapters/(\w+)", (BOOK / "_toc.yml").read_text())
    assert set(listed) == {*CHAPTERS, "ledger", "scoreboard"}


@ON_EACH
def test_one_cell_holds_the_three_parameters(chapter):
    tagged = ["parameters" in tags(cell) for cell in code_cells(chapter)]
    assert tagged[0] and sum(tagged) == 1
    # The very same cell everywhere: who has set one chapter has set them all.
    assert code_cells(chapter)[0]["source"] == code_cells(CHAPTERS[0])[0]["source"]


def test_papermill_tells_what_each_parameter_is():
    told = papermill.inspect_notebook(BOOK / "chapters" / f"{CHAPTERS[0]}.ipynb")
    types = {name: (one["inferred_type_name"], one["default"]) for name, one in told.items()}
    assert types == {"preset": ("str", '"book"'), "device": ("str", '"auto"'), "seed": ("int", "0")}
    for name, words in (("preset", PRESETS), ("device", DEVICES), ("seed", ["2**32 - 1"])):
        assert all(word in told[name]["help"] for word in words), told[name]


@ON_EACH
def test_outputs_are_of_one_clean_run(chapter):
    cells = code_cells(chapter)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("injected-parameters" in tags(cell) for cell in cells)
    for output in outputs(chapter):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]


@ON_EACH
def test_code_fits_the_column(chapter):
    """Folded code too: who unfolds it reads it in the same column."""
    for cell in code_cells(chapter):
        for line in "".join(cell["source"]).splitlines():
            assert len(line) <= 76, line


@ON_EACH
def test_visible_code_fits_a_screen(chapter):
    for cell in filter(is_visible, code_cells(chapter)):
        lines = "".join(cell["source"]).splitlines()
        assert len(lines) <= 25, f"{len(lines)} lines: {lines[0]}"
        for line in lines:
            # One short item a line is a formatter's layout: name the value that it breaks up.
            assert not re.fullmatch(r"\s+[\w.\[\]\"'-]{1,24},", line), line


@ON_EACH
def test_listings_of_the_library_fit_the_column(chapter):
    for text in listings(chapter):
        lines = text.splitlines()[1:-1]
        assert len(lines) <= 40, f"{len(lines)} lines: {lines[0]}"
        assert max(map(len, lines)) <= 76, max(lines, key=len)
        # What is about a machine rather than the mathematics stays out of what is shown.
        assert not re.search("autocast|is_meta|distributed|world", text), lines[0]


@ON_EACH
def test_the_check_of_a_claim_is_folded(chapter):
    for cell in code_cells(chapter):
        if re.search(r"ledger\.(check|score)\(", "".join(cell["source"])):
            assert "hide-input" in tags(cell), "".join(cell["source"])[:60]


@ON_EACH
def test_every_repeated_claim_has_room(chapter):
    here = {r["id"] for r in claims.load("claims") if r["chapter"] == chapter}
    for spread in claims.load("spreads"):
        if spread["chapter"] == chapter:
            assert spread["id"] in here
            assert len(spread["values"]) >= 30
            # Room for one failure in a thousand, and for what thirty values do not say.
            assert claims.room(spread) >= 4, spread["id"]


@ON_EACH
def test_nothing_names_a_machine_or_holds_a_widget(chapter):
    text = json.dumps(notebook(chapter))
    assert not re.findall(r"/(?:home|root|tmp|work|Users)/[\w./-]+", text)
    assert "widget" not in notebook(chapter)["metadata"]
    assert "application/vnd.jupyter.widget-view+json" not in text
    assert "it/s" not in text, "a progress bar was left behind"
    assert not re.search(r"seconds=\d", text), "how long a run took differs from run to run"
    assert len(text) < 3_000_000


@ON_EACH
def test_every_figure_has_a_caption_and_a_text_for_those_who_cannot_see_it(chapter):
    for cell in code_cells(chapter):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            shown = cell["metadata"].get("mystnb", {})
            source = "".join(cell["source"])[:60]
            assert len(shown.get("figure", {}).get("caption", "")) > 40, source
            assert len(shown.get("image", {}).get("alt", "")) > 20, source


def test_committed_claims_are_those_of_the_committed_notebooks():
    assert claims.disagreements((BOOK / "chapters").glob("*.ipynb")) == []


@ON_EACH
def test_every_claim_was_measured_at_five_seeds_at_least(chapter):
    seeds = defaultdict(set)
    for record in claims.load("claims"):
        if (record["chapter"], record["preset"]) == (chapter, "book"):
            seeds[record["id"]].add(record["seed"])
    assert seeds
    assert [name for name in seeds if not {0, 1, 2, 3, 4} <= seeds[name]] == []


def start_of(chapter: str, tmp_path: Path) -> Path:
    """The chapter's notebook up to its first cell after the parameters."""
    head = notebook(chapter)
    kept = [i for i, cell in enumerate(head["cells"]) if cell["cell_type"] == "code"][1]
    head["cells"] = head["cells"][: kept + 1]
    path = tmp_path / f"{chapter}.ipynb"
    path.write_text(json.dumps(head), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["-p", "preset", "bok"], "'smoke', 'book', 'paper'"),
        (["-p", "device", "cuda"], "choose device='cpu', or device='auto'"),
        (["-p", "seed", "one"], "seed='one' is not a whole number"),
        (["-p", "presets", "smoke"], "'presets': choose among 'preset', 'device', 'seed'"),
        (["-p", "preset", "smoke", "-y", "{seeds: 1, sed: 2}"], "called 'seeds', 'sed': choose"),
        (["-f", "given.yaml"], "called 'devise': choose among"),
    ],
)
def test_a_wrong_parameter_stops_papermill_at_once(given, said, tmp_path):
    if "cuda" in given and not _cpu_build():
        pytest.skip("this torch has CUDA, so it must be imported before the GPU is looked for")
    source, out = start_of("minimax", tmp_path), tmp_path / "out.ipynb"
    (tmp_path / "given.yaml").write_text("preset: smoke\ndevise: cpu\n")
    command = [sys.executable, "-m", "papermill", str(source), str(out), *given]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode != 0
    assert said in result.stderr
    cells = json.loads(out.read_text(encoding="utf-8"))["cells"]
    failed = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("exception")]
    assert len(failed) == 1 and failed[0]["metadata"]["papermill"]["duration"] < 1.0


def test_papermill_sets_what_it_is_given(tmp_path):
    source, out = start_of("minimax", tmp_path), tmp_path / "out.ipynb"
    cells = nbformat.read(source, 4)
    cells.cells.append(nbformat.v4.new_code_cell("print(run.preset, run.device, run.seed)"))
    nbformat.write(cells, source)
    (tmp_path / "given.yaml").write_text("preset: smoke\nseed: 3\n")
    command = [sys.executable, "-m", "papermill", str(source), str(out)]
    command += ["-f", str(tmp_path / "given.yaml"), "-y", "{device: cpu}", "-p", "seed", "4"]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert nbformat.read(out, 4).cells[-1].outputs[0].text == "smoke cpu 4\n"


def _cpu_build() -> bool:
    import torch

    return torch.version.cuda is None


def test_the_readme_names_only_verbs_that_exist():
    verbs = set(re.findall(r"^(\w+):", (BOOK / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (\w+)", (BOOK / "README.md").read_text(), re.MULTILINE))
    assert {"book", "test"} <= named <= verbs


def test_ci_calls_the_readmes_test_command_and_tests_nothing_else():
    script = (BOOK / ".ci" / "run").read_text()
    # What stands between brings a browser where there is none.
    commands = re.sub(r"^if ! command -v chromium .*?^fi$", "", script, flags=re.M | re.S)
    commands = [line for line in commands.splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert "run: .ci/run" in (BOOK / ".github" / "workflows" / "ci.yml").read_text()


def test_the_librarys_pages_list_every_module():
    pages = [BOOK / "ganlib.md", *(BOOK / "reference").glob("*.md")]
    texts = "".join(page.read_text(encoding="utf-8") for page in pages)
    listed = set(re.findall(r"automodule:: (\S+)", texts))
    paths = (path.relative_to(BOOK) for path in (BOOK / "ganlib").rglob("*.py"))
    modules = {".".join(path.with_suffix("").parts) for path in paths if "__" not in path.stem}
    assert listed == modules
