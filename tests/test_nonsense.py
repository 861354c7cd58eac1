"""Nonsense for every numeric option of every command: refused in a line before anything starts.

The options are found where they are declared, so an option without a bound fails here.
"""

import argparse
import importlib
import math
import os
import sys
import types
import typing
from dataclasses import fields, replace
from pathlib import Path

import pytest
import tyro.conf
from annotated_types import Ge, Gt

import nanodt
from archive_tools.run.bounds import check_options
from archive_tools.stages.s01_verify import VerifyConfig
from archive_tools.stages.s02_record import RecordConfig
from archive_tools.stages.s03_annotate import AnnotateConfig
from archive_tools.stages.s04_describe import DescribeConfig
from archive_tools.stages.s05_dataset import DatasetConfig
from envs import InputError
from nanodt.family.recipes.command import NAMES, get_recipe
from nanodt.train import main as nanodt_train
from nanodt.training.bounds import check_bounds
from nanodt.training.options import TrainConfig

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
BENCHMARKS = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("*.py") if "parse_args" in path.read_text()
)
NONSENSE = (math.nan, math.inf, -math.inf, 1e300, 10**30, -(10**30))


def numbers(hint: object) -> tuple[set[type], list[object]]:
    """The kinds of number that a type hint holds, at any depth, and the marks of its bounds."""
    kinds, marks = set(), []
    if typing.get_origin(hint) is typing.Annotated:
        inner, *marks = typing.get_args(hint)
        kinds, more = numbers(inner)
        return kinds, [*marks, *more]
    if hint in (int, float):
        return {hint}, []
    if typing.get_origin(hint) in (tuple, list, types.UnionType, typing.Union):
        for part in typing.get_args(hint):
            found, more = numbers(part)
            kinds, marks = kinds | found, marks + more
    return kinds, marks


def below(marks: list[object]) -> float | None:
    """A number that the lowest bound refuses; None without one."""
    for mark in marks:
        if isinstance(mark, Ge):
            return mark.ge - 1
        if isinstance(mark, Gt):
            return mark.gt
    return None


def commands():
    """Every command: its name, its options, what checks them, what that raises."""
    for name in SCRIPTS:
        module = importlib.import_module(name)
        assert hasattr(module, "Config"), f"scripts/{name}.py: no dataclass Config of its options"
        yield f"scripts/{name}", module.Config(), check_options, InputError
    for config in (VerifyConfig, RecordConfig, AnnotateConfig, DescribeConfig, DatasetConfig):
        yield config.__name__, config(), lambda options: options.check(), InputError
    yield "nanodt.train", TrainConfig(), check_bounds, nanodt.InputError
    for name in NAMES:
        yield f"recipe {name}", get_recipe(name).options(), check_bounds, nanodt.InputError


@pytest.mark.parametrize(
    ("name", "options", "check", "error"), [pytest.param(*c, id=c[0]) for c in commands()]
)
def test_nonsense_is_refused(name, options, check, error):
    hints = typing.get_type_hints(type(options), include_extras=True)
    check(options)
    for option in fields(options):
        kinds, marks = numbers(hints[option.name])
        if not kinds:
            continue
        lowest = below(marks)
        assert lowest is not None, f"{name}: --{option.name} has no lowest value beside it"
        many = "tuple" in str(hints[option.name])
        for value in (*NONSENSE, lowest):
            count = len(getattr(options, option.name) or ()) or 1 if many else 1
            given = (value,) * count if many else value
            with pytest.raises(error) as caught:
                check(replace(options, **{option.name: given}))
            line = str(caught.value)
            assert line.startswith(f"--{option.name.replace('_', '-')} ") and "\n" not in line


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_refuse_nonsense(name, monkeypatch, capsys):
    class Seen(Exception):
        pass

    def stop(parser, *_):
        raise Seen(parser)

    whole = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Seen) as caught:
        importlib.import_module(name).main()
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", whole)
    (parser,) = caught.value.args
    for action in parser._actions:
        assert action.type not in (int, float), f"{name}: {action.option_strings} has no bounds"
        if action.type is None or action.type is Path:
            continue
        for value in ("nan", "inf", "1e300", str(10**30), "-1"):
            with pytest.raises(SystemExit):
                parser.parse_args([f"{action.option_strings[0]}={value}"])
            error = capsys.readouterr().err
            assert error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-wrods", "5"], "--max-wrods, 5; perhaps you meant: --max-words INT;"),
        (["--max-words"], "Missing value for argument '--max-words'. Expected 1 values;"),
        (["--max-words=ten"], "--max-words: found 'ten'; expected --max-words INT;"),
        (["--timeout", "1h"], "--timeout: found '1h'; expected --timeout FLOAT;"),
        (["--preset", "dmo"], "'dmo' for argument '--preset'. Expected one of ('demo', 'paper');"),
        (["--base-url"], "Missing value for argument '--base-url'."),
        (["x" * 300], f"Unrecognized options: {'x' * 300};"),
    ],
)
@pytest.mark.parametrize("columns", ["1", "80"])
def test_what_no_option_takes_is_told_in_a_line(words, said, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "argv", ["04_describe.py", *words])
    script = importlib.import_module("04_describe")
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__)
    shown = capsys.readouterr()
    assert caught.value.code == 2 and not shown.out
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert said in shown.err and shown.err.endswith("; --help lists all options\n")
    assert os.environ["COLUMNS"] == columns


def test_names_of_another_encoding_are_refused_before_any_work(tmp_path, monkeypatch, capsys):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")  # as Latin-1 has it
    script = importlib.import_module("00_search_archive")
    monkeypatch.setattr(sys, "argv", ["00_search_archive.py", "--run", name])
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__)
    assert caught.value.code == 2 and nanodt_train(["--out", name]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("error: '") and "caf\\udce9': no text in utf-8" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_tells_a_misspelt_option_in_a_line(name, monkeypatch, capsys):
    script = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--rnu", "x"])
    parse = getattr(script, "parse", None)
    extra = {"parse": lambda kind, doc: parse(kind, sys.argv[1:], doc)} if parse else {}
    with pytest.raises(SystemExit) as caught:
        script.main(lambda config: None, script.Config, "", nanodt.InputError, **extra)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1
    assert "--rnu, x; perhaps you meant: --run" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layout", "fulll"], "'fulll' for argument '--layout'. Expected one of ("),
        (["--layout"], "Missing value for argument '--layout'."),
        (["--n-layers", "2"], "--n-layers, 2; perhaps you meant: --n-layer INT (at least 1)"),
        (["--betas", "0.9"], "Missing value for argument '--betas'. Expected 2 values;"),
        (["--recipe", "tt", "--preset"], "Missing value for argument '--preset'."),
        (["--recipe", "tt", "--lr", "x"], "--lr: found 'x'; expected --lr FLOAT (above 0);"),
        (["--recipe", "--all", "--only", "dtt"], "'dtt' for argument '--only'. Expected one of ("),
        (["--recipe", "--all", "--out", "/dev/null"], "--out /dev/null: is a device or pipe"),
        (["--recipe", "tt", "--env", "Nope-v0"], "environment 'Nope-v0' cannot be made"),
        (["--recipe", "tt", "--env", "Blackjack-v1"], "observations are Tuple, actions Discrete"),
        (["--recipe", "tt", "--out", "/proc/x"], "--out /proc/x/tt: /proc cannot be written"),
        (["--recipe", "tt", "--data", "nonsense"], "nonsense does not exist: --data takes"),
        (["--recipe", "tt", "--n-head", "3"], "n_embd=64 cannot be shared by n_head=3"),
        (["--recipe", "tt", "--past", "9"], "must fit in --context 6: give --context 10"),
        (["--recipe", "tt", "--discount", "0"], "--discount 0.0: expected above 0"),
        (["--recipe", "tt", "--bins", "1"], "--bins 1: expected at least 2"),
        (["--recipe", "tt", "--width", f"{2 * 10**9}"], "--planned 20 --width 2000000000 --expand"),
        (["--recipe", "mgdt", "--return-bins", "1"], "--return-bins 1: expected at least 2"),
        (["--recipe", "tdt", "--drives", f"{2 * 10**9}"], "--drives 2000000000: training would"),
        (["--recipe", "gato", "--words", "3"], "--words 3: expected at least 13"),
        (["--recipe", "gato", "--discrete", "3"], "--discrete 3: expected at least 50"),
        (["--recipe", "gato", "--trajectories", "1", "1"], "--trajectories: 2 numbers; expected 3"),
        (["--recipe", "mddt", "--longest", "3"], "--longest 3: expected at least 300"),
        (["--recipe", "ttt"], "no recipe 'ttt': there are dt, "),
    ],
)
def test_trainings_tell_what_no_option_takes_in_a_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert nanodt_train(words) == 2 and not list(tmp_path.iterdir())
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert said in shown.err and not shown.out


@pytest.mark.parametrize(
    ("module", "words", "line"),
    [
        ("00_search_archive", ["--seed", "-1"], "--seed -1: expected a number at least 0"),
        ("00_search_archive", ["--sigma", "inf"], "--sigma inf: expected a finite number"),
        ("00_search_archive", ["--action-scale", "nan"], "--action-scale nan: expected a finite"),
        ("00_search_archive", ["--cells", "100000", "100000"], "needs about 12,7"),
        ("00_search_archive", ["--batch", "2000000000"], "--batch 2000000000"),
        ("00_search_archive", ["--layers", "5", "100000", "100000", "2"], "10,000,"),
        ("00_search_archive", ["--environment", "os:system"], "a module of Python itself"),
        ("00_search_archive", ["--environment", "numpy:zeros"], "takes a controller"),
        ("00_search_archive", ["--environment-options", "[" * 100_000], "not valid JSON"),
        ("00_search_archive", ["--environment-options", '{"world": 3}'], "world is '3'"),
        ("03_annotate", ["--run", ""], "--run '': expected a path"),
        ("07_train", ["--run="], "--run '': expected a path"),
        ("06_train_tokenizer", ["--patience", "nan"], "--patience nan: expected a finite number"),
        ("07_train", ["--lr", "inf"], "--lr inf: expected a finite number"),
        ("09_evaluate", ["--port", "70000"], "--port 70000: expected a number at most 65535"),
        ("pipeline", ["--seed", "-1"], "--seed -1: expected a number at least 0"),
        ("experiments", ["--fractions", "0.1", "nan"], "--fractions 0.1 nan: expected a finite"),
    ],
)
def test_a_command_ends_in_a_line_and_leaves_nothing(
    module, words, line, tmp_path, monkeypatch, capsys
):
    script = importlib.import_module(module)
    run = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", [f"{module}.py", "--run", str(run), *words])
    parse = getattr(script, "parse", None)
    extra = {"parse": lambda kind, doc: parse(kind, sys.argv[1:], doc)} if parse else {}
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__, **extra)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert line in error and not run.exists()


@pytest.mark.parametrize(
    "module", ["00_search_archive", "03_annotate", "07_train", "pipeline", "play"]
)
def test_a_run_that_is_a_file(module, tmp_path, monkeypatch, capsys):
    script = importlib.import_module(module)
    run = tmp_path / "run"
    run.write_text("mine")
    monkeypatch.setattr(sys, "argv", [f"{module}.py", "--run", str(run)])
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__, nanodt.InputError)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and f"--run {run}: is a file" in error and error.count("\n") == 1
    assert run.read_text() == "mine"


@pytest.mark.parametrize("module", ["pipeline", "experiments"])
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[07_train]\nlr = -1", "error: --lr -1.0: expected a number above 0"),
        (
            "[09_evaluate]\njudge-systems = ['nanodtt']",
            "error: --judge-systems: there is no system",
        ),
        ("[05_verify_dataset]\nspitl = 'x'", "--spitl"),
    ],
)
def test_an_options_file_is_checked_before_the_first_stage(
    module, table, said, tmp_path, monkeypatch, capsys
):
    script = importlib.import_module(module)
    options, run = tmp_path / "options.toml", tmp_path / "run"
    options.write_text(table)
    words = ["--run", str(run), "--options", str(options)]
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *words])
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__)
    assert caught.value.code == 2 and said in capsys.readouterr().err and not run.exists()


def test_tyro_shows_bounds_of_all_aliases():
    """An alias of the bounds has a line for --help."""
    bounds = importlib.import_module("archive_tools.run.bounds")
    aliases = {n: v for n, v in vars(bounds).items() if typing.get_origin(v) is typing.Annotated}
    assert len(aliases) > 8
    for name, hint in aliases.items():
        marks = typing.get_args(hint)[1:]
        assert any(isinstance(m, type(tyro.conf.arg(help=""))) for m in marks), name


@pytest.mark.parametrize(
    ("text", "field"), [("steps = 400", "steps"), ("width = 200", "map of 16384 x 16384")]
)
def test_a_world_too_large_for_the_memory(text, field, tmp_path, monkeypatch, capsys):
    source = (ROOT / "envs" / "worlds" / "apartment.toml").read_text(encoding="utf-8")
    key = text.partition(" = ")[0]
    assert text in source
    source = source.replace(text, f"{key} = {16384 if key == 'width' else 10**9}")
    world = tmp_path / "large.toml"
    world.write_text(source.partition("[tiles]")[0], encoding="utf-8")
    script = importlib.import_module("00_search_archive")
    words = ["--run", str(tmp_path / "run"), "--world", str(world)]
    monkeypatch.setattr(sys, "argv", ["00_search_archive.py", *words])
    with pytest.raises(SystemExit) as caught:
        script.main(script.run, script.Config, script.__doc__)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1
    assert field in error and "GB of memory" in error and "are free here" in error
    assert not (tmp_path / "run").exists()
