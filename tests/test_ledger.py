"""A stored reply stays, through kills and from process to process."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from archive_tools.llm.ledger import Ledger, Reply, reply_key
from envs import InputError


def test_replies_come_back_and_the_first_one_stays(tmp_path):
    with Ledger(tmp_path / "deep" / "ledger.sqlite") as ledger:
        ledger.put("k", "m", Reply("hello", "stop", 10, 2, 0.5))
        ledger.put("k", "m", Reply("other", "stop", 10, 2, 0.5))
        ledger.put("n", "m", Reply(None, None))
        assert ledger.spent == 0.5 and len(ledger) == 2
    with Ledger(tmp_path / "deep" / "ledger.sqlite") as ledger:
        assert ledger.get("k") == Reply("hello", "stop", 10, 2, 0.5)
        assert ledger.get("n") == Reply(None, None)
        assert ledger.get("absent") is None and "absent" not in ledger and "k" in ledger
        assert ledger.spent == 0.5


def test_anything_that_could_change_a_reply_is_in_its_key():
    key = reply_key("m", {"temperature": 1.0}, "prompt", "0")
    assert key == reply_key("m", {"temperature": 1.0}, "prompt", "0") and len(key) == 64
    others = {
        reply_key("n", {"temperature": 1.0}, "prompt", "0"),
        reply_key("m", {"temperature": 0.5}, "prompt", "0"),
        reply_key("m", {"temperature": 1.0}, "prompt!", "0"),
        reply_key("m", {"temperature": 1.0}, "prompt", "1"),
    }
    assert len(others | {key}) == 5


def test_a_kill_right_after_storing_loses_nothing(tmp_path):
    code = """
        import sys, pathlib
        from archive_tools.llm.ledger import Ledger
        from archive_tools.llm.ledger import Reply
        ledger = Ledger(pathlib.Path(sys.argv[1]))
        for k in range(100000):
            ledger.put(f"k{k}", "m", Reply("r", "stop"))
            print(k, flush=True)
    """
    path = tmp_path / "ledger.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(50):
        last = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    last = int(rest[-2]) if len(rest) > 1 else last
    with Ledger(path) as ledger:
        assert all(f"k{k}" in ledger for k in range(last + 1))


def test_capabilities_of_a_server_are_remembered(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.capabilities("s") is None
        ledger.remember("s", {"mode": "json"})
        assert ledger.capabilities("s") == {"mode": "json"}


def test_another_file_is_not_a_ledger(tmp_path):
    (tmp_path / "l").write_text("This is a diary, not a database, and it is long enough." * 40)
    with pytest.raises(InputError, match="not a usable ledger"):
        Ledger(tmp_path / "l")
