"""The weight of the code: files, functions and folders that one can take in at a glance."""

import re

import pytest
from source_tree import PACKAGES, ROOT, docstring_of, functions, source_files

FILES = source_files()
LENGTHS = functions(FILES)
# Folder -> its modules, `__init__` aside.
FOLDERS = {
    folder.relative_to(ROOT).as_posix(): [p for p in folder.glob("*.py") if p.stem != "__init__"]
    for folder in sorted({path.parent for path in FILES.values()})
}


ONE_FILE_PER = {
    "nanodt/family/recipes": "one file per system",
    "scripts": "one file per stage and command",
}


def package_of(name: str) -> str:
    """Of a module or a `module:function:line`."""
    return name.partition(":")[0].partition(".")[0]


def not_yet(reason: str, *values: str):
    """Cases of a rule that the code does not keep so far."""
    return [pytest.param(value, marks=pytest.mark.skip(reason=reason)) for value in values]


@pytest.mark.parametrize(
    "package",
    PACKAGES,
)
def test_no_function_over_90_lines(package):
    assert not {
        name: lines for name, lines in LENGTHS.items() if package_of(name) == package and lines > 90
    }


def test_few_functions_over_60_lines():
    """At most eight, in the whole project."""
    long = {name: lines for name, lines in LENGTHS.items() if lines > 60}
    assert len(long) <= 8, long


def test_no_file_over_400_lines():
    """But the simulator's kernel; nanodt's core is read beside nanoGPT's one file."""
    long = {
        module: lines
        for module, path in FILES.items()
        if package_of(module) != "nanodt"
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert set(long) <= {"envs.kernel"}, long


@pytest.mark.parametrize(
    "folder",
    [not_yet(ONE_FILE_PER[f], f)[0] if f in ONE_FILE_PER else f for f in FOLDERS],
)
def test_a_folder_has_at_most_13_modules(folder):
    names = sorted(path.name for path in FOLDERS[folder])
    assert len(names) <= 13, f"{folder} has {len(names)}: {', '.join(names)}"


def test_archive_tools_holds_rooms_only():
    """A file of it lies in a room."""
    assert FOLDERS["archive_tools"] == []


def test_every_module_says_what_it_is_for():
    """At its head, in a line that fits a list."""
    for module, path in FILES.items():
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first.startswith('"""') and len(first) <= 100, module


def test_every_package_is_looked_at():
    assert {package_of(module) for module in FILES} == set(PACKAGES)
    for package in PACKAGES:
        assert any(package_of(name) == package for name in LENGTHS), package


def test_lengths_are_counted_to_the_last_line(tmp_path):
    path = tmp_path / "made.py"
    path.write_text("def long(\n    a,\n):\n    def inner():\n        pass\n\n    return inner\n")
    assert functions({"made": path}) == {"made:long:1": 7, "made:inner:4": 2}


# CONTRIBUTING.md and the glossary

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAP = dict(re.findall(r"^\| `([\w/]+)/` \| (.+) \|$", CONTRIBUTING, re.MULTILINE))


def test_the_map_has_every_folder_of_code_and_no_other():
    code = {path.parent.relative_to(ROOT).as_posix() for path in FILES.values()}
    assert code <= set(MAP), f"not on the map: {sorted(code - set(MAP))}"
    missing = [folder for folder in MAP if not (ROOT / folder).is_dir()]
    assert not missing, f"on the map, but not there: {missing}"


def test_the_map_says_of_a_room_what_its_package_says():
    lines = docstring_of(ROOT / "archive_tools" / "__init__.py").splitlines()
    for line in lines:
        if line.startswith("    "):
            room, purpose = line.split(maxsplit=1)
            assert MAP[f"archive_tools/{room}"].startswith(purpose.partition(":")[0]), room


def test_contributing_fits_a_page_and_names_files_that_exist():
    assert len(CONTRIBUTING.splitlines()) <= 115
    named = set(re.findall(r"[\w./]+\.(?:py|md|toml)", CONTRIBUTING))
    assert len(named) > 20
    missing = {name for name in named if not (ROOT / name).is_file()}
    assert not missing, f"CONTRIBUTING.md names {missing}"


def test_adding_a_thing_takes_at_most_six_lines():
    parts = CONTRIBUTING.partition("## To add")[2].split("\n\n")[1:]
    assert re.findall(r"^\*\*an? (.+)\*\*", "\n".join(parts), re.MULTILINE) == [
        "metric", "control", "sensor", "narrator style", "QD algorithm", "LLM server's quirk",
        "export format", "environment",
    ]  # fmt: skip
    assert all(len(part.strip().splitlines()) <= 6 for part in parts)


def test_the_glossary_explains_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = [w for row in re.findall(r"^\| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
             for w in row.split(", ") if w != "word"]  # fmt: skip
    assert len(words) == len(set(words)) and len(words) >= 25
