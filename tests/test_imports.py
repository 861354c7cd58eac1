"""The data's way through the project is its architecture: imports go one way, and by the door."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import (
    ROOT,
    all_imports,
    back_arrows,
    circles,
    deep_imports,
    docstring_of,
    face_of,
    import_graph,
    past_the_face,
    rooms_of,
    source_files,
)

import archive_tools

# package -> packages of this project that it may import
ALLOWED = {
    "prompts": set(),
    "envs": set(),
    "nanodt": set(),
    "archive_tools": {"envs", "prompts"},
    "scripts": {"envs", "prompts", "archive_tools", "nanodt"},
}
FILES = source_files()
# The one list of the rooms, from the top: in the docstring that readers see.
ROOMS = rooms_of(docstring_of(ROOT / "archive_tools" / "__init__.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package):
    imports = [item for item in all_imports(FILES) if item.module.split(".")[0] == package]
    assert imports, f"no imports in {package}/"
    forbidden = set(ALLOWED) - ALLOWED[package] - {package}
    assert not [str(item) for item in imports if item.target.split(".")[0] in forbidden]


def test_nothing_unpickles():
    """A file that a user hands us is never unpickled."""
    banned = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve"}
    assert not [str(i) for i in all_imports(FILES) if i.target.split(".")[0] in banned]
    for path in FILES.values():
        assert "allow_pickle=True" not in path.read_text(encoding="utf-8"), path


# Floors within archive_tools


def test_the_docstring_lists_every_room():
    folders = {path.parent.name for path in (ROOT / "archive_tools").glob("*/__init__.py")}
    assert len(ROOMS) == len(set(ROOMS)) and set(ROOMS) == folders


def test_a_room_imports_only_rooms_below_it():
    assert not back_arrows(FILES, "archive_tools", ROOMS)


def test_nobody_imports_a_stage():
    """A stage's file is for its script."""
    outside = [i for i in all_imports(FILES) if i.target.startswith("archive_tools.stages")]
    assert {i.module.split(".")[0] for i in outside} == {"scripts"}


@pytest.mark.parametrize(
    "package",
    ["archive_tools", "envs", "nanodt", "prompts", "scripts"],
)
def test_no_circles(package):
    """No module waits for one that waits for it."""
    rounds = circles(import_graph(FILES))
    assert not [group for group in rounds if any(m.split(".")[0] == package for m in group)]


@pytest.mark.parametrize(
    "package",
    ["archive_tools", "envs", "nanodt", "prompts", "scripts"],
)
def test_no_imports_inside_functions(package):
    """What a module needs of the project stands at its head."""
    assert not deep_imports({m: p for m, p in FILES.items() if m.split(".")[0] == package})


# Faces: what a room offers to the others

FACED = [*(f"archive_tools.{room}" for room in ROOMS), "envs.drawing"]


@pytest.mark.parametrize("room", FACED)
def test_a_room_says_what_it_offers(room):
    names = face_of(FILES[room])
    # The stages offer themselves to scripts, file by file.
    assert len(names) <= 12 and (names or room == "archive_tools.stages")
    assert len(set(names)) == len(names)
    module = importlib.import_module(room)
    assert not [name for name in names if not hasattr(module, name)]
    words = docstring_of(FILES[room])
    assert " " in words and len(words.splitlines()) <= 10


@pytest.mark.parametrize("room", [r for r in FACED if r != "archive_tools.stages"])
def test_others_come_by_the_face(room):
    """From outside, only `from archive_tools.ROOM import NAME`, and NAME in its `__all__`."""
    assert not past_the_face(FILES, room)


# The checkers see what they should: small trees with one fault each


def tree(folder: Path, **files: str) -> dict[str, Path]:
    """Write `a__b="import x"` as a/b.py (a/b/__init__.py where the name ends in `__`) and list the
    files of house/ and scripts/."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path = path.parent / "__init__.py" if name.endswith("__") else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return source_files(folder, ("house", "scripts"))


HOUSE = {"house__": "", "house__roof__": "", "house__cellar__": "", "house__cellar__wine": "x = 1"}
BACK = [
    "from house.roof.tiles import x",
    "from house.roof import tiles",
    "import house.roof.tiles as t",
    "from house import roof",
    "from ..roof import tiles",
    "def f():\n    from house.roof import tiles",
    "import house",
    "from house import offered",
]


@pytest.mark.parametrize("back", BACK)
def test_a_planted_back_arrow_is_seen(tmp_path, back):
    files = tree(
        tmp_path, **HOUSE, house__roof__tiles="from house.cellar.wine import x\nimport json"
    )
    assert not back_arrows(files, "house", ["roof", "cellar"])
    files = tree(tmp_path, house__cellar__coal=back)
    (arrow,) = back_arrows(files, "house", ["roof", "cellar"])
    assert arrow.startswith("house.cellar.coal:")


def test_planted_circles_are_seen(tmp_path):
    files = tree(
        tmp_path,
        **HOUSE
        | {
            "house__roof__": "from house.roof.tiles import wine",
            "house__roof__tiles": "from house.cellar import wine",
            "house__cellar__coal": "if TYPE_CHECKING:\n    from house.cellar import wood",
            "house__cellar__wood": "from house.cellar import coal",
        },
    )
    assert circles(import_graph(files)) == []
    files = tree(tmp_path, house__cellar__wine="def f():\n    from house.roof import tiles")
    assert circles(import_graph(files)) == [["house.cellar.wine", "house.roof", "house.roof.tiles"]]
    files = tree(tmp_path, house__cellar__wine="from house.cellar import taste",
                 house__cellar__="from house.cellar.wine import x")  # fmt: skip
    assert circles(import_graph(files)) == [["house.cellar", "house.cellar.wine"]]
    files = tree(tmp_path, **HOUSE, scripts__a="import b", scripts__b="from a import x")
    assert circles(import_graph(files)) == [["scripts.a", "scripts.b"]]


def test_planted_deep_imports_are_seen(tmp_path):
    files = tree(
        tmp_path,
        **HOUSE,
        house__roof__tiles="def f():\n    import json\n    import house.cellar.wine",
        house__roof__beams="class A:\n    async def f(self):\n        import house.cellar.wine",
        house__roof__nails="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house",
    )
    assert deep_imports(files, ("house",)) == [
        "house.roof.beams:3: import house.cellar.wine",
        "house.roof.tiles:3: import house.cellar.wine",
    ]


PAST = [
    "from house.cellar.wine import x",
    "import house.cellar.wine",
    "import house.cellar",
    "from house import cellar",
    "from house.cellar import coal",
    "from house.cellar import *",
]


@pytest.mark.parametrize("past", PAST)
def test_planted_ways_past_the_face_are_seen(tmp_path, past):
    files = tree(
        tmp_path,
        **HOUSE
        | {
            "house__cellar__": "from house.cellar.wine import x\n__all__ = ['x']",
            "house__cellar__coal": "from house.cellar.wine import x",
            "house__roof__tiles": "from house.cellar import x",
        },
    )
    assert not past_the_face(files, "house.cellar")
    files = tree(tmp_path, house__roof__beams=past)
    assert len(past_the_face(files, "house.cellar")) == 1


# What archive_tools itself offers

HEAVY = {"torch", "pandas", "scipy", "shapely", "numba", "ribs", "openai", "numpy", "pyarrow"}


def test_importing_archive_tools_loads_nothing_heavy():
    code = f"import sys, archive_tools; print(*{HEAVY} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


def test_every_offered_name_resolves():
    for name in archive_tools.__all__:
        thing = getattr(archive_tools, name)
        assert thing.__name__ == name and name in dir(archive_tools)
        assert getattr(archive_tools, name) is thing
    with pytest.raises(AttributeError, match="no attribute 'load_pickle'"):
        archive_tools.load_pickle  # noqa: B018


def test_type_checkers_know_the_same_names_from_the_same_places():
    known = {
        (item.name, item.target)
        for item in all_imports({"archive_tools": FILES["archive_tools"]})
        if item.typing
    }
    assert known == set(archive_tools._SOURCES.items())
    assert sorted(archive_tools._SOURCES) == archive_tools.__all__
