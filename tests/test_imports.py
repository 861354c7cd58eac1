"""The data's way through the pipeline is the architecture: imports go one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# package -> packages of this project that it may import
ALLOWED = {
    "prompts": set(),
    "envs": set(),
    "nanodt": set(),
    "archive_tools": {"envs", "prompts"},
    "scripts": {"envs", "prompts", "archive_tools", "nanodt"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, at any depth of it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files, f"no Python files in {package}/"
    forbidden = set(ALLOWED) - ALLOWED[package] - {package}
    found = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path) & forbidden
    }
    assert not found


def test_nothing_unpickles():
    """A file that a user hands us is never unpickled."""
    banned = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve"}
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            assert not imported(path) & banned, path
            assert "allow_pickle=True" not in path.read_text(encoding="utf-8"), path
