"""Sending folders to the Hugging Face Hub: what lacks there, in commits that an interruption keeps.

The token comes from the environment (HF_TOKEN) or from `hf auth login`, and is never printed.
"""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from archive_tools.files import file_digest
from envs.errors import InputError

Kind = Literal["dataset", "model"]
T = TypeVar("T")
NETWORK: tuple[type[Exception], ...] = (HfHubHTTPError.__mro__[1], ConnectionError, TimeoutError)
"""What the Hub's library raises where nobody answers: its HTTP client's own errors."""
TOKEN = "make one that may write (huggingface.co/settings/tokens) and export it as HF_TOKEN"
AGAIN = "run the same command again: only what lacks is sent"
SAID = {
    401: f"the Hub does not know the token; {TOKEN}",
    403: "the token may not write there; give it the right to, or another --repo",
    404: "no such user or organisation, or the token may not see it; expected --repo USER/NAME",
    409: f"somebody else is changing it; {AGAIN}",
    412: f"it was changed meanwhile; {AGAIN}",
    413: "a file is too large for the Hub",
    429: f"the Hub asks for fewer requests; later, {AGAIN}",
}
"""HTTP status → what it means here."""
FILES, BYTES = 100, 256 << 20
"""Of a commit, at most (but one file at least): what an interruption may cost."""
LEFT_OUT = {"manifest.json"}
"""Of this machine only."""


@dataclass(frozen=True)
class Parcel:
    """A folder and where it goes.

    Args:
        folder: whose files are sent, all but the manifest of the stage.
        repo: user/name.
        kind: of the repository.
        tag: that the last commit gets; "" for none.
    """

    folder: Path
    repo: str
    kind: Kind
    tag: str = ""

    @property
    def files(self) -> dict[str, Path]:
        """Name in the repository → file; the card comes last, when all is there."""
        found = {
            p.relative_to(self.folder).as_posix(): p
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and p.relative_to(self.folder).as_posix() not in LEFT_OUT
        }
        return dict(sorted(found.items(), key=lambda item: (item[0] == "README.md", item[0])))

    def __str__(self) -> str:
        total = sum(path.stat().st_size for path in self.files.values())
        return f"{self.folder} → {self.kind} {self.repo}: {len(self.files)} files, {total:,} bytes"


class Hub:
    """The Hub, asked with patience.

    Args:
        patience: seconds to wait in all for a Hub that is busy or does not answer.

    Raises:
        InputError: there is no token.
    """

    def __init__(self, patience: float) -> None:
        self._left, self._token = patience, get_token()
        if not self._token:
            raise InputError(f"no token for the Hub; {TOKEN}")
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=self._token)

    def send(self, parcel: Parcel, *, private: bool) -> int:
        """Send what differs or lacks; how many files that were.

        In folders that the parcel fills, files that it does not have are removed; others stay.

        Raises:
            InputError: the Hub refuses, in a line; what was committed before stays there.
        """
        repo, kind, api = parcel.repo, parcel.kind, self._api
        self._ask(
            repo, lambda: api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        )
        there: dict[str, Any] = self._ask(repo, lambda: {
            entry.path: entry for entry in api.list_repo_tree(repo, recursive=True, repo_type=kind)
            if hasattr(entry, "blob_id")
        })  # fmt: skip
        files = parcel.files
        lacking = [name for name, path in files.items() if _differs(path, there.get(name))]
        filled = {name.partition("/")[0] for name in files if "/" in name}
        stale = [n for n in there if "/" in n and n.partition("/")[0] in filled and n not in files]
        batches = _batches(lacking, files) or ([[]] if stale else [])
        for number, batch in enumerate(batches, 1):
            print(f"{repo}: commit {number} of {len(batches)}, {len(batch)} files", file=sys.stderr)
            self._commit(parcel, batch, stale if number == 1 else ())
        if parcel.tag:
            self._tag(parcel, moved=bool(batches))
        return len(lacking)

    def _commit(self, parcel: Parcel, names: Sequence[str], gone: Sequence[str]) -> None:
        """Send some files, and remove others, at once."""
        files = parcel.files

        def commit() -> Any:  # the library marks what it was given, so each trial gets its own
            operations: list[Any] = [CommitOperationDelete(name) for name in gone]
            operations += [CommitOperationAdd(name, str(files[name])) for name in names]
            return self._api.create_commit(
                parcel.repo,
                operations,
                commit_message="Publish with Wayword",
                repo_type=parcel.kind,
            )

        self._ask(parcel.repo, commit)

    def _tag(self, parcel: Parcel, *, moved: bool) -> None:
        """Let the tag point to the last commit."""
        api, repo, kind, tag = self._api, parcel.repo, parcel.kind, parcel.tag
        tags = self._ask(
            repo, lambda: [t.name for t in api.list_repo_refs(repo, repo_type=kind).tags]
        )
        if tag in tags and moved:
            self._ask(repo, lambda: api.delete_tag(repo, tag=tag, repo_type=kind))
        if tag not in tags or moved:
            self._ask(repo, lambda: api.create_tag(repo, tag=tag, repo_type=kind, exist_ok=True))

    def _ask(self, repo: str, request: Callable[[], T]) -> T:
        """The answer to a request, which is repeated while the Hub is busy and patience lasts."""
        wait = 1.0
        while True:
            try:
                return request()
            except OfflineModeIsEnabled:
                raise InputError(f"{repo}: HF_HUB_OFFLINE is set; unset it to publish") from None
            except HfHubHTTPError as error:
                status = getattr(error.response, "status_code", 0)
                asked = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
                if status != 429 and status < 500:
                    raise self._refused(repo, status, error) from None
                problem = self._refused(repo, status, error)
            except NETWORK as error:
                asked = ""
                problem = InputError(
                    f"{repo}: the Hub does not answer ({self._short(error)}); {AGAIN}"
                )
            except ValueError as error:  # a name or card that the library refuses itself
                raise InputError(f"{repo}: {self._short(error)}") from None
            pause = max(wait, float(asked) if asked.replace(".", "", 1).isdigit() else 0.0)
            if pause > self._left:
                raise problem
            print(f"{problem}; waiting {pause:g} s", file=sys.stderr)
            self._left -= pause
            time.sleep(pause)
            wait = min(2 * wait, 60.0)

    def _refused(self, repo: str, status: int, error: HfHubHTTPError) -> InputError:
        """What a status means, in a line."""
        if status in SAID:
            return InputError(f"{repo}: {SAID[status]} (HTTP {status})")
        what = f"the Hub is out of order; later, {AGAIN}" if status >= 500 else self._short(error)
        return InputError(f"{repo}: {what} (HTTP {status})")

    def _short(self, error: Exception) -> str:
        """An error's first line, without the token."""
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return said.replace(str(self._token), "…")


def _differs(path: Path, entry: Any) -> bool:
    """Whether a file is not the one that the repository has (None: it has none)."""
    if entry is None or entry.size != path.stat().st_size:
        return True
    if entry.lfs is not None:
        return entry.lfs.sha256 != file_digest(path)
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:  # as Git names a file
        while block := file.read(1 << 20):
            blob.update(block)
    return entry.blob_id != blob.hexdigest()


def _batches(names: list[str], files: dict[str, Path]) -> list[list[str]]:
    """Names in their order, in groups that a commit can hold."""
    batches: list[list[str]] = []
    room = 0
    for name in names:
        size = files[name].stat().st_size
        if not batches or len(batches[-1]) == FILES or room < size:
            batches.append([])
            room = BYTES
        batches[-1].append(name)
        room -= size
    return batches
