"""The library's modules import downwards only, in the order of its design."""

import ast
from functools import partial
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "ganlib"
# From the ground up; modules of one floor may use one another.
FLOORS = (
    ("sizes", "runtime", "paths", "identity"),
    ("datasets", "streams", "disturbances"),
    ("divergences",),
    ("nets",),
    ("optimisers",),
    ("games",),
    ("processes", "checkpoints", "progress", "state", "play"),
    ("chains",),
    ("shipped",),
    ("metrics",),
    ("recipes",),
    ("paper",),
    ("tables",),
    ("claims",),
    ("figures",),
    ("publishing",),
    ("__main__",),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
MODULES = sorted(LIBRARY.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top names within ganlib that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            first, *rest = node.module.split(".")
            if first == "ganlib":
                names |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            parts = [alias.name.split(".") for alias in node.names]
            names |= {part[1] for part in parts if part[0] == "ganlib" and len(part) > 1}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_import_runs_upwards(path):
    here = path.relative_to(LIBRARY).with_suffix("").parts[0]
    if here == "__init__":
        assert not imported(path)
        return
    for name in imported(path):
        assert FLOOR[name] <= FLOOR[here], f"{here} imports {name}, which lies above it"


def test_every_recipes_name_is_written_once():
    from ganlib.recipes import RECIPES

    paths = [p for p in (LIBRARY / "recipes").glob("*.py") if p.stem != "register"]
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    for name, builder in RECIPES.items():
        # A member of a family is named after its builder and its setting.
        function, setting = builder, ""
        if isinstance(builder, partial):
            function, setting = builder.func, f"-{next(iter(builder.keywords.values()))}"
        assert name == function.__name__.replace("_", "-") + setting
        assert text.count(f"def {function.__name__}(") == 1
        assert f'"{name}"' not in text
