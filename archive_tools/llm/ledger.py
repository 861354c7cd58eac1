"""The ledger: every paid reply, stored the moment it arrives, so that nothing is paid twice.

A SQLite file (write-ahead log) that lives beside the stages of a run, outside of their folders. A
reply's key is the hash of everything that could change it: model, parameters, rendered prompt and
sample index. Prompts themselves and keys to servers are not stored.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from envs.errors import InputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, content TEXT, finish_reason TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL NOT NULL,
    stored REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS servers (name TEXT PRIMARY KEY, settings TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    content: str | None
    finish_reason: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0


def reply_key(model: str, parameters: Mapping[str, Any], prompt: str, sample: str) -> str:
    """sha256 (hex) over model, parameters, rendered prompt and sample index."""
    parts = json.dumps([model, dict(parameters), prompt, sample], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


class Ledger:
    """An open ledger; use as a context manager, from one thread.

    Raises:
        InputError: the file is not a ledger, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A commit is the operating system's at once, so a killed process loses nothing. Waiting
            # for the disk as well would hold up all requests for milliseconds each.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self.spent = float(
                self._db.execute("SELECT coalesce(sum(usd), 0) FROM replies").fetchone()[0]
            )
        except sqlite3.Error as error:
            raise InputError(
                f"{self.path}: not a usable ledger ({error}); name another with --ledger"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> Reply | None:
        """The stored reply, if there is one."""
        row = self._db.execute(
            "SELECT content, finish_reason, prompt_tokens, completion_tokens, usd "
            "FROM replies WHERE key = ?",
            (key,),
        ).fetchone()
        return Reply(*row) if row else None

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Store a reply; on return it survives a kill of the process. A key's first reply stays."""
        added = self._db.execute(
            "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                model,
                reply.content,
                reply.finish_reason,
                reply.prompt_tokens,
                reply.completion_tokens,
                reply.usd,
                time.time(),
            ),
        )
        if added.rowcount:
            self.spent += reply.usd

    def capabilities(self, server: str) -> dict[str, Any] | None:
        """What was found out about a server, if it was probed before."""
        row = self._db.execute("SELECT settings FROM servers WHERE name = ?", (server,)).fetchone()
        return json.loads(row[0]) if row else None

    def remember(self, server: str, capabilities: Mapping[str, Any]) -> None:
        """Keep what was found out about a server."""
        self._db.execute(
            "INSERT OR REPLACE INTO servers VALUES (?, ?)", (server, json.dumps(dict(capabilities)))
        )
