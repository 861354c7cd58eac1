"""The report of a run: one HTML page that needs nothing else, and the same in Markdown.

Every figure on the page comes from files of the run; what a run does not have is left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from archive_tools.evaluation import Scored, judge_label
from archive_tools.files import atomic_write, read_json, read_table, template
from archive_tools.report import drives as drive_data
from archive_tools.report import explorer, figures, formatting, maps, tables
from archive_tools.report.canvas import DARK, LIGHT, resolve
from archive_tools.report.experiments import experiments
from archive_tools.report.gallery import contrast_cards, galleries, overview, showcase
from archive_tools.rollouts import command_files
from archive_tools.run import SCRIPTS, read_manifest
from archive_tools.tasks import Measures
from envs import World, load_world
from envs.drawing import scene_symbols, svg_to_png
from envs.errors import InputError

LIMIT = 10_000_000  # bytes of index.html
Record = dict[str, Any]


def _coverage(run: Path, world: World) -> str | None:
    archive = read_json(run / "archive" / "archive.json")
    measures, cells = archive.get("measures", {}), archive.get("cells")
    if len(measures.get("names", ())) != 2 or not cells or len(cells) != 2:
        return None
    elites = read_table(run / "archive" / "elites.parquet", ("policy_id", "measures"))
    dataset = read_table(run / "dataset" / "trajectories.parquet", ("trajectory_id", "split"))
    side = dict(zip(dataset["trajectory_id"], dataset["split"], strict=True))
    return maps.coverage_map(
        np.stack(elites["measures"].tolist()),
        [side.get(i, "") for i in elites["policy_id"]],
        measures["low"],
        measures["high"],
        cells,
        world,
        Measures.from_json(measures).are_positions(world.size),
    )


def _error_map(scored: Scored, world: World) -> str | None:
    frame = scored.frame
    rows = frame[(frame["system"] == "nanodt") & (frame["set"] == "test")]
    if rows.empty or all(pose is None for pose in scored.poses):
        return None
    target, reached = (np.stack(rows[name].tolist()) for name in ("target", "reached"))
    if target.shape[1] != 2:
        return None
    return maps.error_map(target, reached, np.asarray(rows["bd_error"]), world)


def collect(
    folder: Path,
    run: Path,
    scored: Scored,
    records: Sequence[Record],
    paired: Sequence[Record],
    gallery: int,
    stage: Record,
) -> Record:
    """Everything the templates show."""
    measured = {
        name: tables.Figures(records, paired, name)
        for name in dict.fromkeys(r["set"] for r in records)
    }
    narrators = measured.get(command_files.NARRATORS) or tables.Figures([], [])
    people = measured.get(command_files.PEOPLE)
    world = load_world(run / "archive" / "world")
    manifests = {
        name: read_manifest(run / name)
        for name in SCRIPTS
        if name != "evaluation" and (run / name / "manifest.json").exists()
    }
    tokenizer = run / "tokenizer" / "comparison.json"
    dataset = read_json(run / "dataset" / "dataset.json")
    positions = Measures.of_dataset(dataset).are_positions(world.size)
    drives = drive_data.drives(scored, world, positions=positions)
    contrasts = [
        card
        for figures_of in (people, narrators)
        if figures_of is not None
        for card in contrast_cards(
            scored, world, max(2, gallery // 2), figures_of.name, positions=positions
        )
    ]
    drawn = [
        m for m in (_error_map(scored, world) if positions else None, _coverage(run, world)) if m
    ]
    return {
        "name": run.resolve().name,
        "world": world.name,
        "lede": tables.lede(narrators, people),
        "overview": overview(scored, world) if drives else None,
        "sets": [
            {
                "key": name,
                "title": tables.set_title(name),
                "tiles": tables.tiles(part),
                "metrics": tables.metric_table(part),
                "differences": tables.difference_table(part),
            }
            for name, part in sorted(measured.items(), key=lambda pair: pair[1] is not people)
        ],
        "panels": figures.metric_panels(tables.of_set(records)),
        "panel_names": tables.metric_table(narrators)["names"],
        "showcase": showcase(scored, world, positions=positions) if drives else None,
        "galleries": galleries(scored, world, 2, positions=positions) if drives else [],
        "gallery": gallery,
        "drives": drives,
        "contrasts": contrasts if drives else [],
        "experiments": experiments(folder.parent),
        "elites": explorer.elites(
            run,
            world,
            scored.references,
            always=drives["references"] if drives else (),
            told=explorer.told(scored.frame),
        ),
        "maps": drawn,
        "curves": [
            *figures.training_panels(run / "model" / "log.jsonl"),
            *figures.history_panel(run / "archive" / "history.parquet"),
            figures.time_panel(manifests),
        ],
        "tokenizer": tables.plain_table(read_json(tokenizer)) if tokenizer.exists() else None,
        "dataset": tables.dataset_facts(dataset),
        "replayed": tables.replayed(manifests.get("verification")),
        "manifests": manifests,
        "models": tables.models({**manifests, "evaluation": stage} if stage else manifests),
        "prompts": tables.prompt_digests(),
        "versions": manifests["rollouts"]["versions"],
        "scene": explorer.scene_facts(world, explorer.Names(world)),
        "symbols": Markup(scene_symbols(world)) + Markup(explorer.label_symbols(world)),
    }


def _pictures(facts: Record) -> dict[str, str]:
    """The SVGs that are written beside the page, by name."""
    pictures: dict[str, str] = {"drives": facts["showcase"]} if facts["showcase"] else {}
    charted = {group: facts[group] for group in ("panels", "maps", "curves")}
    charted |= {part["key"]: part["charts"] for part in facts["experiments"]}
    for group, drawn in charted.items():
        for number, picture in enumerate(drawn):
            pictures[f"{group}-{number}"] = resolve(picture)
    for gallery_number, shown in enumerate(facts["galleries"]):
        for number, card in enumerate(shown["cards"][:2]):
            pictures[f"drive-{gallery_number}-{number}"] = card["alone"]()
    for number, card in enumerate(facts["contrasts"][:2]):
        pictures[f"contrast-{number}"] = card["alone"]()
    return pictures


def _write_tables(folder: Path, facts: Record) -> None:
    """The tables of the page for papers: NAME.tex and NAME.csv."""
    for name, table in tables.paper_tables(facts).items():
        columns, rows = table["columns"], table["rows"]
        head = f"% {table['title']}\n"
        atomic_write(
            folder / f"{name}.tex",
            head + formatting.tabular(columns, rows, left=table["left"]),
        )
        atomic_write(folder / f"{name}.csv", formatting.comma_separated(columns, rows))


def write_report(
    folder: Path,
    run: Path,
    scored: Scored,
    records: Sequence[Record],
    paired: Sequence[Record],
    agreement: Sequence[Record] = (),
    *,
    gallery: int = 6,
    stage: Record | None = None,
) -> None:
    """Write index.html, report.md, figures/*.png and tables/*.{csv,tex}.

    Args:
        folder: where to; files of experiments (see `probe_tables`) are read from its parent.
        run: the run directory.
        scored: the drives.
        records, paired: of `metrics.json` and `differences.json`.
        agreement: of `agreement.json`.
        gallery: drives that a gallery shows at first.
        stage: `config` and `facts` of the evaluation, for the provenance.

    Raises:
        InputError: the page would be larger than 10 MB.
    """
    facts = {
        **collect(folder, run, scored, records, paired, gallery, stage or {}),
        "agreement": agreement,
    }
    filters: dict[str, Any] = {
        "figure": formatting.figure,
        "fixed": formatting.fixed,
        "duration": formatting.duration,
        "judge": judge_label,
        "set_title": tables.set_title,
        "svg": Markup,
    }
    page = template(__package__, "report.html.jinja", **filters).render(
        facts, light=LIGHT, dark=DARK
    )
    size = len(page.encode())
    if size > LIMIT:
        raise InputError(
            f"{folder / 'index.html'}: {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f}; "
            f"show fewer contrast pairs with --gallery (now {gallery})"
        )
    atomic_write(folder / "index.html", page)
    for name, picture in _pictures(facts).items():
        path = folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        svg_to_png(picture, path)
    _write_tables(folder / "tables", facts)
    text = template(__package__, "report.md.jinja", **filters).render(facts)
    atomic_write(folder / "report.md", text)
