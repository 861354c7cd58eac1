"""The archive as data for the report's page: every elite with its path, events and texts.

All elites go in while they fit the budget; beyond it a seeded sample, which leaves no cell of the
map empty as long as it can, and the page says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from archive_tools.annotations import RELATIONS, Annotation
from archive_tools.files import read_json, read_table
from archive_tools.report.compress import pack_paths, squeeze, squeeze_json, stride
from archive_tools.rollouts import command_files
from archive_tools.tasks import Measures, cell_places
from envs import World
from envs.drawing import floorplan, place_labels, svg, time_colours

BUDGET = 5_500_000  # characters of the packed elites
MOST = 2**15  # elites that are tried at first: more do not fit
CELLS = 64  # per side of the map, where the archive has no two-dimensional grid
LABEL = 1 / 37  # font size of names on the plan, as a share of the world
Record = dict[str, Any]


class Names:
    """Tiles and objects of a scene by number; -1 is no place."""

    def __init__(self, world: World) -> None:
        scene = world.scene
        self.tiles = list(scene.tile_names) if scene else []
        self.all = [*self.tiles, *(scene.object_names if scene else ())]
        self._number = {name: number for number, name in reversed(list(enumerate(self.all)))}

    def number(self, name: str) -> int:
        return self._number.get(name, -1)

    def events(self, annotation: Annotation | None) -> list[list[Any]]:
        """[timestep, tile, object, relation, object, relation, …] of each event."""
        return [
            [event.timestep, self.number(event.tile)]
            + [
                part
                for near in event.near
                for part in (self.number(near.object), RELATIONS.index(near.relation))
            ]
            for event in (annotation.events if annotation else ())
        ]


def sample(cells: ArrayLike, count: int, *, always: Sequence[int] = (), seed: int = 0) -> list[int]:
    """Rows to keep, in order: `always`, then one of each cell, then a second of each, and so on.

    Args:
        cells: [N] cell of each row.
        count: how many rows to keep (more if `always` holds more).
        always: rows that are kept whatever happens.
        seed: of the choice within a cell, and of the cells where not all can have one more.
    """
    places = np.asarray(cells).tolist()
    order = np.random.default_rng(seed).permutation(len(places))
    met: dict[int, int] = {}
    rank = np.zeros(len(places), int)
    for row in order.tolist():
        nth = met.get(places[row], 0)
        rank[row], met[places[row]] = nth, nth + 1
    rank[list(always)] = -1
    first = order[np.argsort(rank[order], kind="stable")]
    return sorted(first[: max(count, len(set(always)))].tolist())


def _map(archive: Record, world: World) -> Record:
    """What the map's axes are: two measures (of one, a single row), bounds and cells."""
    measures = archive["measures"]
    names, low, high = (list(measures[key])[:2] for key in ("names", "low", "high"))
    cells = archive.get("cells")
    if not isinstance(cells, list) or len(cells) != len(measures["names"]):
        cells = [CELLS] * len(names)
    over_plan = Measures.from_json(measures).are_positions(world.size)
    if len(names) == 1:
        names, low, high, cells = [*names, ""], [*low, 0], [*high, 1], [*cells, 1]
    return {"names": names, "low": low, "high": high, "cells": cells[:2],
            "over_plan": over_plan}  # fmt: skip


def _cells(points: NDArray[np.float64], axes: Record) -> NDArray[np.int64]:
    """Cell of each point [N, 1 or 2] on the map, as one number."""
    count = np.asarray(axes["cells"])
    if points.shape[1] == 1:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
    low, high = (np.asarray(axes[key], np.float64) for key in ("low", "high"))
    where = cell_places((points - low) / (high - low), count.tolist())
    return where[:, 1] * count[0] + where[:, 0]


def scene_facts(world: World, names: Names) -> Record:
    """The plan's symbol, places and colours: what the page needs to draw a drive."""
    return {
        "size": world.size,
        "plan": floorplan.floor_plan(world).symbol,
        "names": names.all,
        "colours": [floorplan.tile_colour(name) for name in names.tiles],
        "relations": list(RELATIONS),
        "time": list(time_colours()),
        "steps": len(time_colours()),
        "radius": world.robot.radius,
        "start": [world.robot.x, world.robot.y, world.robot.theta],
    }


def label_symbols(world: World) -> str:
    """Names of objects and tiles as a hidden block with the SVG symbol `names`, once per page."""
    font = world.size * LABEL
    objects, tiles = place_labels(world, font)
    side = svg.num(world.size)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" '
        f'aria-hidden="true"><defs><symbol id="names" viewBox="0 0 {side} {side}">'
        f'<g text-anchor="middle" font-family="{svg.FONTS}">'
    ]
    parts += [
        f'<text x="{svg.num(label.x, 1)}" y="{svg.num(label.y, 1)}" '
        f'font-size="{svg.num(font * 0.84)}" '
        f'font-style="italic" fill="{label.colour}">{svg.escape(label.text)}</text>'
        for label in tiles
    ]
    parts.append(
        f'<g font-size="{svg.num(font)}" fill="{svg.INK}" stroke="#fff" stroke-opacity=".85" '
        f'stroke-width="{svg.num(font * 0.26)}" stroke-linejoin="round" paint-order="stroke">'
    )
    parts += [
        f'<text x="{svg.num(label.x, 1)}" y="{svg.num(label.y, 1)}">{svg.escape(label.text)}</text>'
        for label in objects
    ]
    parts.append("</g></g></symbol></defs></svg>")
    return "".join(parts)


def told(drives: pd.DataFrame) -> dict[int, tuple[str, list[str]]]:
    """trajectory_id of each reference → the set that it belongs to, and the commands."""
    found: dict[int, tuple[str, list[str]]] = {}
    rows = drives.drop_duplicates(["set", "item"])
    for identity, name, text in zip(rows["trajectory_id"], rows["set"], rows["text"], strict=True):
        if not pd.isna(identity):
            texts = found.setdefault(int(identity), (command_files.set_of(name), []))[1]
            texts += [text] * (text not in texts)
    return found


def _references(run: Path, texts: Mapping[int, tuple[str, list[str]]]) -> pd.DataFrame:
    """The replayed drives of commands as rows beside the elites, their set as their split."""
    given = command_files.load_references(run)
    if given is None:
        return pd.DataFrame()
    columns = ["trajectory_id", "length", "pose", "bd"]
    frame = given.table.select(columns).to_pandas().rename(columns={"bd": "measures"})
    frame = frame[frame["trajectory_id"].isin(list(texts))]
    name, said = zip(*(texts[i] for i in frame["trajectory_id"]), strict=True)
    return frame.assign(split=list(name), texts=list(said), objective=np.nan)


def elites(
    run: Path,
    world: World,
    annotations: Mapping[int, Annotation],
    *,
    always: Sequence[int] = (),
    told: Mapping[int, tuple[str, list[str]]] | None = None,
    seed: int = 0,
    budget: int = BUDGET,
) -> Record:
    """The elites of a run, packed for the page; behind them the drives that commands brought.

    Args:
        run: the run directory, with archive/, trajectories/ and dataset/.
        world: of the archive.
        annotations: trajectory_id → annotation.
        always: trajectories that are in whatever the budget (the references of drives shown).
        told: of `told`: which set of commands told of a reference, and how.
        seed: of the sample, where there must be one.
        budget: characters that the result may take.

    Returns:
        `data` (packed JSON: map, ids, BDs, splits, objectives, lengths, texts, events), `paths`
        (packed; "" where no pose was recorded), `shown` and `total` elites, `sets` (keys of the
        drives behind the elites), `map`.
    """
    archive = read_json(run / "archive" / "archive.json")
    table = _drives_of_elites(run)
    recorded = run / "trajectories" / "trajectories.parquet"
    driven = read_table(recorded, ("trajectory_id", "length"))
    data = read_table(run / "dataset" / "trajectories.parquet", ("trajectory_id", "split", "texts"))
    table = table.merge(driven, on="trajectory_id", how="left", sort=False)
    table = table.merge(data, on="trajectory_id", how="left", sort=False)
    names, axes = Names(world), _map(archive, world)
    points = np.stack(table["measures"].tolist()).astype(np.float64)
    cells = _cells(points[:, :2], axes)
    table["cell"] = cells
    others = _references(run, told or {})
    if len(others):
        others["cell"] = _cells(np.stack(others["measures"].tolist())[:, :2].astype(float), axes)
    known = {identity: row for row, identity in enumerate(table["trajectory_id"])}
    wanted = [known[identity] for identity in always if identity in known]
    count, poses = min(len(table), MOST), None
    while True:
        rows = sample(cells, count, always=wanted, seed=seed)
        some = table.iloc[rows]
        if poses is None:  # those of a smaller sample are among them
            ids = pc.field("trajectory_id").isin(some["trajectory_id"].tolist())
            poses = read_table(recorded, ("trajectory_id", "pose"), ids)
        some = some.merge(poses, on="trajectory_id", how="left", sort=False)
        part = pd.concat([some, others], ignore_index=True)
        packed = _pack(part, world, annotations, names, axes, len(rows), len(table))
        size = len(packed["data"]) + len(packed["paths"])
        if size <= budget or len(rows) <= len(set(wanted)):
            sets = list(dict.fromkeys(others["split"])) if len(others) else []
            return packed | {"shown": len(rows), "total": len(table), "sets": sets, "map": axes}
        count = min(int(len(rows) * budget / size * 0.98), len(rows) - 1)


def _drives_of_elites(run: Path) -> pd.DataFrame:
    """trajectory_id, objective and measures: of the elites, or of imported drives their BDs."""
    path, names = run / "archive" / "elites.parquet", ("policy_id", "objective", "measures")
    if path.exists():
        return read_table(path, names).rename(columns={"policy_id": "trajectory_id"})
    driven = read_table(run / "trajectories" / "trajectories.parquet", ("trajectory_id", "bd"))
    return driven.rename(columns={"bd": "measures"}).assign(objective=np.nan)


def _pack(
    table: Any,
    world: World,
    annotations: Mapping[int, Annotation],
    names: Names,
    axes: Record,
    count: int,
    total: int,
) -> Record:
    """Rows of elites, the first `count`, and of other drives."""
    poses = [
        None if not isinstance(flat, np.ndarray) else flat.reshape(-1, 3) for flat in table["pose"]
    ]
    drawn = all(pose is not None for pose in poses)
    ids = table["trajectory_id"].tolist()
    columns = {
        "map": axes,
        "count": count,
        "total": total,
        "ids": ids,
        "cells": table["cell"].tolist(),
        "bd": [[round(float(v), 2) for v in bd] for bd in table["measures"]],
        "split": [name if isinstance(name, str) else "" for name in table["split"]],
        "objective": [
            round(float(v), 4) if np.isfinite(v) else None for v in table["objective"].astype(float)
        ],
        "steps": [0 if pose is None else len(pose) - 1 for pose in poses],
        "strides": [1 if pose is None else stride(len(pose) - 1) for pose in poses],
        "texts": [
            list(texts) if isinstance(texts, (list, np.ndarray)) else [] for texts in table["texts"]
        ],
        "events": [names.events(annotations.get(identity)) for identity in ids],
    }
    paths = squeeze(pack_paths([p for p in poses if p is not None], world.size)) if drawn else ""
    return {"data": squeeze_json(columns), "paths": paths}
