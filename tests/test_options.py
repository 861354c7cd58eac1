"""Options: bounds beside them that --help shows and every stage checks; old names are refused."""

import importlib
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from archive_tools import files
from archive_tools.llm import batch_api
from archive_tools.recordings.sources import read_recording as open_source
from archive_tools.run.bounds import check_options
from archive_tools.run.options import RENAMED, parse, refuse_renamed
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s02_record import RecordConfig
from archive_tools.stages.s03_annotate import AnnotateConfig
from archive_tools.stages.s03_annotate import run as annotate
from archive_tools.stages.s04_describe import DescribeConfig
from archive_tools.stages.s05_dataset import DatasetConfig
from archive_tools.stages.s08_rollout import RolloutConfig
from envs import InputError, pbm, worldfile

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))


@pytest.mark.parametrize(
    ("config", "options", "line"),
    [
        (SearchConfig, {"evaluations": 0}, "--evaluations 0: expected a number at least 1"),
        (SearchConfig, {"cells": (96, 0)}, "--cells 96 0: expected a number at least 1"),
        (SearchConfig, {"sigma": float("nan")}, "--sigma nan: expected a finite number"),
        (SearchConfig, {"init_sigma": float("inf")}, "--init-sigma inf: expected a finite number"),
        (SearchConfig, {"seed": -1}, "--seed -1: expected a number at least 0"),
        (SearchConfig, {"batch": 500, "emitters": 3}, "--batch 500: must be a multiple of"),
        (AnnotateConfig, {"near": 0.0}, "--near 0.0: expected a number above 0"),
        (AnnotateConfig, {"persist": 2.5}, "--persist 2.5: expected a valid integer"),
        (DescribeConfig, {"timeout": -1.0}, "--timeout -1.0: expected a number above 0"),
        (DescribeConfig, {"max_words": 3}, "--max-words 3: expected a number at least 8"),
        (DescribeConfig, {"limit": -1}, "--limit -1: expected a number at least 0"),
        (DatasetConfig, {"train_fraction": 0.0}, "--train-fraction 0.0: expected a number above 0"),
        (DatasetConfig, {"validation": 0.0}, "--test 0.1 --validation 0.0: expected each above 0"),
        (DatasetConfig, {"ray": "nonsense"}, "--ray nonsense: expected the host:port of a cluster"),
        (DatasetConfig, {"augmentation": -1}, "--augmentation -1: expected a number at least 0"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_a_line(config, options, line):
    with pytest.raises(InputError) as caught:
        config(**options).check()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.fixture
def special(tmp_path):
    """What is neither file nor folder (a socket, so that nothing waits for it)."""
    path = tmp_path / "special.csv"
    os.mknod(path, stat.S_IFSOCK | 0o600)
    return path


@pytest.mark.parametrize(
    ("config", "option"),
    [
        (SearchConfig, "import_file"),
        (SearchConfig, "world"),
        (RecordConfig, "import_source"),
        (DescribeConfig, "ledger"),
        (DescribeConfig, "batch_export"),
        (DescribeConfig, "batch_import"),
        (DescribeConfig, "texts"),
        (RolloutConfig, "commands"),
    ],
)
def test_options_refuse_devices_and_pipes(config, option, special):
    default = getattr(config(), option)
    given = (special,) if isinstance(default, tuple) else special
    options = {option: str(special) if isinstance(default, str) else given}
    with pytest.raises(InputError, match=r"--[-a-z]+ \S*special.csv: is a device or pipe"):
        config(**options).check()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("folder.csv", None, "folder.csv: is a folder; expected a file"),
        ("gone.csv", "", "gone.csv: no such file"),
        ("words.md", "Go.", "words.md: unknown kind of file; write .csv, .jsonl or .parquet"),
        ("other.csv", "a,b\n1,2\n", "other.csv: column 'text' is missing; found a, b"),
    ],
)
def test_commands_that_cannot_be_read_are_told_before_anything_starts(
    name, content, said, tmp_path
):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    elif content:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        RolloutConfig(run=tmp_path / "run", commands=(path,)).check()
    with pytest.raises(InputError, match=r"--systems : unknown; known are nanodt"):
        RolloutConfig(run=tmp_path / "run", systems=()).check()


@pytest.mark.parametrize(
    ("there", "given"), [("café", "cafe\u0301"), ("tiny", "tiny "), ("Demo", "demo")]
)
def test_a_run_of_a_name_that_looks_the_same_is_named(there, given, tmp_path):
    (tmp_path / there).mkdir()
    with pytest.raises(InputError, match=f"or give the run that is there: --run .*{there}"):
        annotate(AnnotateConfig(run=tmp_path / given))
    with pytest.raises(InputError, match=r"--run [^ ]*other` first$"):
        annotate(AnnotateConfig(run=tmp_path / "other"))


READERS = {
    "JSON": files.read_json,
    "digest": files.file_digest,
    "Parquet": files.read_arrow,
    "texts": lambda path: files.user_tables.read_user_table(path, "texts"),
    "TOML": worldfile.read_toml,
    "map": pbm.read_pbm,
    "batch": lambda path: batch_api.take_in(path, DescribeConfig(), None),
    "recording": open_source,
}


@pytest.mark.parametrize("kind", READERS)
def test_readers_refuse_devices_and_pipes(kind, special):
    with pytest.raises(InputError, match=r"special\.csv: is a device or pipe; expected a file"):
        READERS[kind](special)


def test_no_file_takes_the_place_of_a_device(special):
    with pytest.raises(InputError, match="is a device or pipe; expected a file"):
        files.atomic_write(special, "text")
    assert stat.S_ISSOCK(special.stat().st_mode)
    with pytest.raises(InputError, match="is a folder; expected the name of a file"):
        files.atomic_write(special.parent, "text")


def test_a_vocabulary_too_large_to_learn_is_refused():
    config = importlib.import_module("06_train_tokenizer").Config
    with pytest.raises(InputError, match="--vocab-size 2147483647: expected a number at most"):
        check_options(config(vocab_size=2**31 - 1))


def test_defaults_of_all_presets_are_within_their_bounds():
    for config in (SearchConfig, AnnotateConfig, DescribeConfig, DatasetConfig):
        for preset in ("demo", "paper"):
            parse(config, "", ["--preset", preset]).check()


def test_a_stage_checks_before_it_writes(tmp_path):
    with pytest.raises(InputError, match="--seed -3: expected a number at least 0"):
        annotate(AnnotateConfig(run=tmp_path, seed=-3))
    assert not list(tmp_path.iterdir())


def test_help_shows_bounds(capsys):
    with pytest.raises(SystemExit):
        parse(SearchConfig, "", ["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "(at least 1; default: 100000)" in shown and "(above 0; default: 0.05)" in shown


@pytest.mark.parametrize("script", RENAMED)
def test_old_options_name_the_new_one(script):
    for old, new in RENAMED[script].items():
        for word in (f"--{old}", f"--{old}=2", f"--{old.replace('-', '_')}"):
            with pytest.raises(InputError, match=f"--{old} is now called --{new}"):
                refuse_renamed([word], script)
        refuse_renamed([f"--{new}", old], script)


def test_an_old_option_ends_with_status_2():
    line = [sys.executable, "scripts/05_verify_dataset.py", "--practice", "2"]
    child = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 2
    assert child.stderr == (
        "error: --practice is now called --augmentation; give --augmentation instead\n"
    )
