"""No reader leaves a traceback or hangs, whatever the file; FUZZ=10000 tries so many files."""

import os

import pytest
from fuzzing import attempt, make_readers, try_readers

READERS = make_readers()
COUNT = -(-int(os.environ.get("FUZZ", "920")) // len(READERS))


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_a_line(name):
    assert try_readers({name: READERS[name]}, COUNT) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ratings", b'"item"', b"[" * 100_000),
        ("dataset, Parquet", b"stop", b"st\xffp"),
        ("dataset, JSON", b'{"n_obs"', b'{"text_columns": 3, "n_obs"'),
        ("dataset, JSON", b'{"n_obs"', b'{"subgoals": 3, "n_obs"'),
        ("Minari, metadata", b"[2]", b"[null]"),
    ],
)
def test_what_the_fuzz_found_stays_mended(tmp_path, name, old, new):
    whole = READERS[name].seeds[0]
    assert old in whole and attempt(READERS[name], whole.replace(old, new), tmp_path) is None
