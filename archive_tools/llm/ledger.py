"""The ledger: every paid reply, stored the moment it arrives, so that nothing is paid twice.

A SQLite file (write-ahead log) that lives beside the stages of a run, outside of their folders. A
reply's key is the hash of everything that could change it: model, parameters, rendered prompt and
sample index. The reply is kept as it came, so that what is not understood today can be read later.
Prompts themselves and keys to servers are not stored.
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
    stored REAL NOT NULL, raw TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unread (model TEXT NOT NULL, stored REAL NOT NULL, raw TEXT NOT NULL);
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
    raw: str | None = None
    """The whole body of the response, as it came; None in ledgers of earlier versions."""


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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A commit is the operating system's at once, so a killed process loses nothing. Waiting
            # for the disk as well would hold up all requests for milliseconds each.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            columns = self._db.execute("PRAGMA table_info(replies)").fetchall()
            if "raw" not in {column[1] for column in columns}:
                self._db.execute("ALTER TABLE replies ADD COLUMN raw TEXT")
            self.spent = float(
                self._db.execute("SELECT coalesce(sum(usd), 0) FROM replies").fetchone()[0]
            )
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{self.path}: not a usable ledger ({error}); name another with --ledger"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:  # a full disk, a damaged file
            raise InputError(f"{self.path}: {error}; what it holds is kept") from None

    def __len__(self) -> int:
        return int(self._do("SELECT count(*) FROM replies").fetchone()[0])

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> Reply | None:
        """The stored reply, if there is one."""
        row = self._do(
            "SELECT content, finish_reason, prompt_tokens, completion_tokens, usd, raw "
            "FROM replies WHERE key = ?",
            key,
        ).fetchone()
        return Reply(*row) if row else None

    def put(self, key: str, model: str, reply: Reply) -> None:
        """Store a reply; on return it survives a kill of the process. A key's first reply stays."""
        added = self._do(
            "INSERT OR IGNORE INTO replies (key, model, content, finish_reason, prompt_tokens, "
            "completion_tokens, usd, raw, stored) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(key, model, reply.content, reply.finish_reason, reply.prompt_tokens),
            *(reply.completion_tokens, reply.usd, reply.raw, time.time()),
        )
        if added.rowcount:
            self.spent += reply.usd

    def put_unread(self, model: str, raw: str) -> None:
        """Keep what came in place of a reply, for people to look at."""
        self._do("INSERT INTO unread VALUES (?, ?, ?)", model, time.time(), raw)

    def capabilities(self, server: str) -> dict[str, Any] | None:
        """What was found out about a server, if it was probed before."""
        row = self._do("SELECT settings FROM servers WHERE name = ?", server).fetchone()
        return json.loads(row[0]) if row else None

    def remember(self, server: str, capabilities: Mapping[str, Any]) -> None:
        """Keep what was found out about a server."""
        settings = json.dumps(dict(capabilities))
        self._do("INSERT OR REPLACE INTO servers VALUES (?, ?)", server, settings)
