"""Refused texts, counted by kind and shown."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

KINDS: tuple[tuple[str, str], ...] = (
    (r"is never met", "a place that is not met"),
    (r"wrong order", "a stated order that is wrong"),
    (r"^stops ", "a wrong end"),
    (r"^says that .* is not ", "a broken ban"),
    (r"not passed on", "a wrong side"),
    (r"^there is no ", "a thing that the scene lacks"),
    (r"^has a (?:number|measurement)", "numbers"),
    (r"^talks of data", "data talk"),
    (r"^too long", "length"),
    (r"DESCRIPTOR|placeholder", "the placeholder"),
    (r"^names neither", "no place at all"),
    (r"^repeats what", "a copy of the draft"),
    (r"^the text is empty", "an empty text"),
)
"""What a reason says, and its kind; the first that fits."""


def kind_of(reason: str) -> str:
    """The kind of a reason of the checks; of a server's, its beginning."""
    for pattern, kind in KINDS:
        if re.search(pattern, reason):
            return kind
    return re.split(r"[:;]", reason)[0][:80]


def of_row(row: Mapping[str, Any]) -> str:
    """The kind of the reason why a row was refused, its first; "" for an accepted one."""
    return kind_of(row["reason"]) if row["reason"] else ""


def by_kind(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows were refused for each kind of reason, the most frequent first.

    A row that was refused for several reasons counts for its first.
    """
    counted = Counter(kind for row in rows if (kind := of_row(row)))
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def shown(rows: Sequence[Mapping[str, Any]], count: int) -> str:
    """The first `count` refused rows, with text and reason."""
    refused = [row for row in rows if row["status"] == "rejected"]
    if not refused:
        return "no text was refused"
    blocks = [f"{len(refused):,} of {len(rows):,} texts were refused"]
    for row in refused[:count]:
        blocks.append(
            f"trajectory {row['trajectory_id']}, {row['style']}, {row['source']}\n"
            f"  text:   {row['text'] or '(empty)'}\n  reason: {row['reason']}"
        )
    return "\n".join(blocks)
