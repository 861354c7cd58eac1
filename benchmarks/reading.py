"""What the reader of texts understands: all figures of docs/language.md, from commands of people.

    python benchmarks/reading.py --commands FOLDER [--part dev]

FOLDER holds commands.parquet (part, text, action [800] int8 in tenths of a unit) and, optionally,
ratings.parquet (text, action, rater_a, rater_b), both of drives of the bundled apartment.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from archive_tools.annotations import Annotation, Event, Near, annotate
from archive_tools.evaluation import judge_rules
from archive_tools.language import check_text, parse
from envs import load_world, simulate
from envs.errors import ArgumentParser
from envs.scene import Scene

DATA = Path(__file__).parents[1] / "tests" / "data"
LABELS = DATA / "labelled_commands.jsonl"
TYPED = DATA / "typed_commands.jsonl"


def annotated(table: pd.DataFrame) -> list[Annotation]:
    """Replays the actions of a table and annotates the drives."""
    world = load_world("apartment")
    assert world.scene is not None
    actions = np.stack([np.asarray(a, np.float32).reshape(-1, 2) / 10 for a in table["action"]])
    return annotate(world.scene, list(simulate(world, actions).pose), size=world.size)


def shown(name: str, hits: list[bool]) -> None:
    print(f"| {name} | {np.mean(hits) if hits else float('nan'):.3f} | {len(hits)} |")


def falsified(texts: list[str], drives: list[Annotation], scene: Scene) -> None:
    """Shares of falsified drives that are refused, each over the texts that state such a thing."""
    rng = np.random.default_rng(0)
    found: dict[str, list[bool]] = {
        k: [] for k in ("another drive that misses a named place", "a named place taken out",
                        "stated order turned round", "a drive that ends elsewhere",
                        "own way, another end", "ban broken (other drive)", "ban broken (own)")
    }  # fmt: skip
    for text, own in zip(texts, drives, strict=True):
        instruction = parse(text, scene)
        others = [drives[k] for k in rng.permutation(len(drives))]

        def refused(name: str, drive: Annotation | None, text: str = text) -> None:
            if drive is not None:
                found[name].append(bool(check_text(text, drive, scene)))

        named = [p.names[0] for p in instruction.route if p.names[0] in own.visited[1:]]
        if named:
            refused(
                "another drive that misses a named place",
                next((d for d in others if any(n not in d.visited for n in named)), None),
            )
            refused("a named place taken out", _without(own, str(rng.choice(named))))
        if any(not end.pronoun for end in instruction.ends):
            last = own.events[-1]
            near = {n.object for n in last.near}
            other = next(
                (
                    d for d in others
                    if d.events[-1].tile != last.tile
                    and not near & {n.object for n in d.events[-1].near}
                ),
                None,
            )  # fmt: skip
            if other is not None:
                refused("a drive that ends elsewhere", other)
                end = replace(other.events[-1], timestep=last.timestep + 1)
                refused("own way, another end", Annotation((*own.events, end)))
        for ban in instruction.bans:
            refused("ban broken (other drive)", next((d for d in others if _breaks(ban, d)), None))
            refused("ban broken (own)", _entering(own, ban))
        refused("stated order turned round", _turned(instruction, own, scene, rng))
    for name, hits in found.items():
        shown(name, hits)


def _without(drive: Annotation, name: str) -> Annotation:
    return Annotation(
        tuple(
            replace(
                event,
                tile="" if event.tile == name else event.tile,
                near=tuple(n for n in event.near if n.object != name),
            )
            for event in drive.events
        )
    )


def _breaks(ban, drive: Annotation) -> bool:
    if ban.kind != "object":
        return any(name in drive.visited[1:] for name in ban.names)
    return any(n.relation == "on" and n.object in ban.names for e in drive.events for n in e.near)


def _entering(drive: Annotation, ban) -> Annotation:
    middle = len(drive.events) // 2
    event = drive.events[middle]
    if ban.kind == "object":
        event = replace(event, near=(Near(ban.names[0], "on", 0.0), *event.near))
    else:
        event = replace(event, tile=ban.names[0])
    return Annotation((*drive.events[:middle], event, *drive.events[middle:]))


def _turned(instruction, drive: Annotation, scene: Scene, rng) -> Annotation | None:
    """The drive with two places, met once each and said to be met in turn, exchanged."""
    visited = drive.visited
    pairs = sorted(
        (a.names[0], b.names[0])
        for a, b in ((instruction.places[i], instruction.places[j]) for i, j in instruction.order)
        if not b.at_end and visited.count(a.names[0]) == visited.count(b.names[0]) == 1
    )
    if not pairs:
        return None
    one, two = pairs[int(rng.integers(len(pairs)))]
    exchanged = {one: two, two: one}
    events, tile = [], ""
    for step, name in enumerate(visited):
        name = exchanged.get(name, name)
        tile = name if name in scene.tile_names else tile
        near = () if name in scene.tile_names else (Near(name, "on", 0.0),)
        events.append(Event(10 * step, (0.0, 0.0), near, tile))
    return Annotation((*events, replace(drive.events[-1], timestep=10 * len(visited))))


def labelled(scene: Scene) -> None:
    """Precision and recall of places with their roles against labels made by hand."""
    both = mine = theirs = 0
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        wanted = [(place["name"], place["role"]) for place in row["places"]]
        theirs += len(wanted)
        for place in parse(row["text"], scene).places:
            mine += 1
            if (place.names[0], place.role) in wanted:
                wanted.remove((place.names[0], place.role))
                both += 1
    print(f"| places and roles, precision | {both / mine:.3f} | {mine} |")
    print(f"| places and roles, recall | {both / theirs:.3f} | {theirs} |")


def typed(scene: Scene) -> None:
    """Destination, bans and way of typed commands, by part of the file."""
    hits: dict[str, list[bool]] = {}
    for line in TYPED.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = parse(row["text"], scene)
        end = found.destination.names[0] if found.destination else None
        right = {
            "destination": end == row["destination"],
            "bans": {ban.names[0] for ban in found.bans} == set(row["avoid"]),
            "way": [place.names[0] for place in found.way] == row["way"],
        }
        for name, hit in right.items():
            hits.setdefault(f"typed commands ({row['part']}), {name}", []).append(hit)
    for name, each in hits.items():
        shown(name, each)


def judged(path: Path, scene: Scene) -> None:
    """Kendall's tau of the judge by rules with the mean rater, on all cases and on halves."""
    table = pd.read_parquet(path)
    mean = ((table["rater_a"] + table["rater_b"]) / 2).to_numpy()
    scores = np.array(
        [
            judge_rules(text, drive, None, scene).score
            for text, drive in zip(table["text"], annotated(table), strict=True)
        ]
    )
    rng = np.random.default_rng(0)
    halves = [rng.permutation(len(mean))[: len(mean) // 2] for _ in range(200)]
    taus = [kendalltau(scores[h], mean[h])[0] for h in halves]
    low, high = np.percentile(taus, [5, 95])
    print(f"| judge by rules, Kendall tau | {kendalltau(scores, mean)[0]:.3f} | {len(mean)} |")
    print(f"| the same on random halves, 5 to 95 % | {low:.3f} to {high:.3f} | 200 |")


def main() -> None:
    parser = ArgumentParser(description="Figures of the reader of texts.")
    parser.add_argument("--commands", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--part", default="dev", help="part of commands.parquet")
    options = parser.parse_args()
    table = pd.read_parquet(options.commands / "commands.parquet")
    scene = load_world("apartment").scene
    assert scene is not None
    part = pd.DataFrame(table[table["part"] == options.part]).reset_index(drop=True)
    texts, drives = list(part["text"]), annotated(part)
    print(f"| {options.part} | share | n |\n|---|--:|--:|")
    shown(
        "true texts accepted",
        [not check_text(t, d, scene) for t, d in zip(texts, drives, strict=True)],
    )
    falsified(texts, drives, scene)
    labelled(scene)
    typed(scene)
    if (options.commands / "ratings.parquet").exists():
        judged(options.commands / "ratings.parquet", scene)
    many = [(texts[k % len(texts)], drives[k % len(texts)]) for k in range(10_000)]
    begin = time.process_time()
    for text, drive in many:
        check_text(text, drive, scene)
    seconds = time.process_time() - begin
    print(f"| reading and checking 10,000 texts, s of one core | {seconds:.1f} | |")


if __name__ == "__main__":
    main()
