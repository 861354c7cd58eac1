"""Options: bounds beside them that --help shows and every stage checks; old names are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from archive_tools.run.options import RENAMED, parse, refuse_renamed
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s03_annotate import AnnotateConfig
from archive_tools.stages.s03_annotate import run as annotate
from archive_tools.stages.s04_describe import DescribeConfig
from archive_tools.stages.s05_dataset import DatasetConfig
from envs import InputError

ROOT = Path(__file__).parent.parent


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
