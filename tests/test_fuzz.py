"""No reader leaves a traceback or hangs, whatever the file; FUZZ=10000 tries so many files."""

import os

import pytest
from fuzzing import make_readers, try_readers

READERS = make_readers()
COUNT = -(-int(os.environ.get("FUZZ", "920")) // len(READERS))


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_a_line(name):
    assert try_readers({name: READERS[name]}, COUNT) == []
