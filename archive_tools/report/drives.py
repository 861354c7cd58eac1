"""The test drives as data for the report's page, which sorts them by any metric.

All systems and items go in while they fit the budget; beyond it, the last items are left out, and
the page says so.
"""

from typing import Any

import numpy as np
import pandas as pd

from archive_tools.evaluation import METRICS, Scored
from archive_tools.report.compress import pack_paths, squeeze, squeeze_json, stride
from archive_tools.report.explorer import Names
from archive_tools.report.gallery import common
from archive_tools.report.tables import set_title
from archive_tools.rollouts import command_files, system_of
from envs import World

BUDGET = 2_500_000  # characters of the packed drives
OBEDIENCE = "obedience"  # route_lcs less bd_error as a share of the diagonal
Record = dict[str, Any]


def sort_choices() -> dict[str, Record]:
    """Columns by which the page can sort drives: key, name, whether low is good, decimals."""
    choices: list[Record] = [
        {"key": OBEDIENCE, "name": "route and place", "low": False, "decimals": 2}
    ]
    choices += [
        {"key": metric.column, "name": metric.short, "low": metric.lower,
         "decimals": metric.decimals}
        for metric in METRICS.values()
        if metric.sortable
    ]  # fmt: skip
    return {choice["key"]: choice for choice in choices}


def drive_rows(scored: Scored) -> list[int]:
    """Rows of the drives of the first seed that can be drawn, but for contrast pairs."""
    frame = scored.frame
    drawable = np.array([p is not None for p in scored.poses]) & np.array(
        [a is not None for a in scored.driven]
    )
    first = frame["seed"] == frame["seed"].min()
    paired = np.array([name != command_files.set_of(name) for name in frame["set"]])
    return np.flatnonzero(~paired & first & drawable).tolist()


def drives(
    scored: Scored, world: World, *, positions: bool = True, budget: int = BUDGET
) -> Record | None:
    """The drives of a run, packed for the page.

    Args:
        scored: the drives.
        world: with its scene.
        positions: BDs are positions in the world, so that a target can be marked.
        budget: characters that the result may take.

    Returns:
        None where no drive can be drawn; else `data` (packed JSON), `paths` (packed), `sets`,
        `systems` and `sorts` for the page's choices, `references` (their trajectory ids), and
        `shown` of `total` items.
    """
    rows = drive_rows(scored)
    if not rows:
        return None
    frame = scored.frame.iloc[rows].assign(row=rows)
    frame[OBEDIENCE] = frame["route_lcs"] - frame["bd_error"] / 100
    order = list(dict.fromkeys(frame["system"]))
    order.sort(
        key=lambda name: ("policy", "control", "baseline", "ceiling").index(system_of(name).kind)
    )
    items = sorted(set(frame["item"].tolist()))
    sorts = [
        choice
        for name, choice in sort_choices().items()
        if name in frame and frame[name].notna().any()
    ]
    count = len(items)
    while True:
        part = frame[frame["item"].isin(items[:count])]
        packed = _pack(part, scored, world, order, sorts, positions)
        size = len(packed["data"]) + len(packed["paths"])
        if size <= budget or count == 1:
            break
        count = max(1, min(int(count * budget / size * 0.98), count - 1))
    return packed | {
        "systems": [
            {"number": number, "name": system.label, "kind": system.kind}
            for number, system in enumerate(map(system_of, order))
        ],
        "sets": [
            {"key": name, "title": set_title(name)}
            for name in sorted(
                set(part["set"]),
                key=lambda name: (name != command_files.PEOPLE, name != command_files.NARRATORS),
            )
        ],
        "sorts": sorts,
        "references": sorted(set(part["trajectory_id"].dropna().astype(int))),
        "shown": count,
        "total": len(items),
    }


def _pack(
    frame: pd.DataFrame,
    scored: Scored,
    world: World,
    order: list[str],
    sorts: list[Record],
    positions: bool,
) -> Record:
    names = Names(world)
    items = frame.drop_duplicates("item")
    place = {item: number for number, item in enumerate(items["item"])}
    columns: Record = {
        "positions": positions,
        "items": [
            {"item": int(item), "set": name, "reference": None if pd.isna(ref) else int(ref),
             "text": text,
             "target": [round(float(v), 2) for v in target] if np.isfinite(target).all() else None}
            for item, name, ref, text, target in zip(
                *(items[key] for key in ("item", "set", "trajectory_id", "text", "target")),
                strict=True,
            )
        ],
        "sorts": sorts,
        "system": [order.index(name) for name in frame["system"]],
        "item": [place[item] for item in frame["item"]],
        # Only where the system was given another text than the item's.
        "instruction": [
            given if isinstance(given, str) and given != text else None
            for given, text in zip(frame["instruction"], frame["text"], strict=True)
        ],
        "reasons": frame["reasons"].fillna("").tolist(),
        "marks": {
            name: [round(float(v), 4) if np.isfinite(v) else None for v in frame[name]]
            for name in (choice["key"] for choice in sorts)
        },
    }  # fmt: skip
    paths, routes, events = [], [], []
    for row, identity in zip(frame["row"], frame["trajectory_id"], strict=True):
        pose, driven = scored.poses[row], scored.driven[row]
        assert pose is not None and driven is not None
        asked = [] if pd.isna(identity) else scored.references[int(identity)].visited
        met = common(asked, driven.visited)
        routes.append([
            [2 * names.number(name) + hit for name, hit in zip(route, hits, strict=True)]
            for route, hits in zip((asked, driven.visited), met, strict=True)
        ])  # fmt: skip
        events.append(names.events(driven))
        paths.append(pose)
    columns |= {
        "routes": routes,
        "events": events,
        "steps": [len(pose) - 1 for pose in paths],
        "strides": [stride(len(pose) - 1) for pose in paths],
    }
    return {
        "data": squeeze_json(columns),
        "paths": squeeze(pack_paths(paths, world.size)),
    }
