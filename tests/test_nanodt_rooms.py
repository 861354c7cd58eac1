"""The rooms of nanodt: each imports only those before it, and nothing needs the family."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = ("errors", "files", "packing", "text", "place", "model", "data", "driving", "training")
ORDER += ("train", "family")


def imported(path: Path) -> set[str]:
    """What a file imports of nanodt: the first name after the package's, at any depth of it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
            if node.module == "nanodt":
                names = [f"nanodt.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("nanodt.")}
    return found


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_rooms_before_it(room):
    place = ROOT / "nanodt" / room
    files = list(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    allowed = set(ORDER[: ORDER.index(room) + 1])
    for path in files:
        assert imported(path) <= allowed, path


def test_nothing_outside_imports_the_family():
    files = [path for name in ("nanodt", "scripts", "archive_tools", "benchmarks")
             for path in (ROOT / name).rglob("*.py")]  # fmt: skip
    family = ROOT / "nanodt" / "family"
    users = [path for path in files if "family" in imported(path) and family not in path.parents]
    assert len(files) > 60 and not users


def test_the_policys_layout_is_one_short_function():
    tree = ast.parse((ROOT / "nanodt" / "model" / "layout.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions] == ["policy_layout"]
    assert (functions[0].end_lineno or 0) - functions[0].lineno < 40


def test_no_function_is_long():
    for path in (ROOT / "nanodt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= 90, f"{path.name}: {node.name} has {lines} lines"
