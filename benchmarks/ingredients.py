"""What each ingredient of the policy brings: the same compute for all, the same commands driven.

    python benchmarks/ingredients.py --run runs/paper --tflop 9

Each row is `python -m nanodt.train` with some options changed, trained on the run's dataset for
`--tflop` 10¹² floating-point operations (a few steps tell how many one takes; seconds would hang
on what else the machine does), then driven on the run's first `--commands` validation commands.
Written are a table and a figure: the route obeyed over the operations. A row that is there is not
trained again, so the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import bounds
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch

import nanodt
from archive_tools.annotations import annotate, load_annotations, similarity
from archive_tools.files import read_json, read_table, write_json
from archive_tools.rollouts.contrast import contrast_pairs
from envs import load_world
from envs.errors import ArgumentParser

ROWS = {
    "all": "",
    "without practice drives": "--augmentation-share 0",
    "without reckoned pose": "--no-odometry",
    "without visitation map": "--visitation-map 0",
    "without shared windows": "--windows-per-text 1 --batch-size 128 --micro-batch 64",
    "past actions shown": "--no-hide-actions",
    "without auxiliary losses": "--future-position-weight 0 --next-subgoal-weight 0 "
    "--no-subgoal-first",
    "the action at once": "--no-subgoal-first",
    "AdamW": "--optimizer adamw",
    "three tokens a step": "--tokens-per-step 3 --windows-per-text 6",
    "half the learning rate": "--lr 0.001",
    "twice the learning rate": "--lr 0.004",
    "half the batch": "--batch-size 16",
    "twice the batch": "--batch-size 64",
    "half the windows a text": "--windows-per-text 6",
    "width 96": "--n-embd 96",
    "width 192": "--n-embd 192",
    "two blocks": "--n-layer 2",
    "four blocks": "--n-layer 4",
}
"""Row → options of nanodt.train: ingredients first, then what may limit the route per compute."""
PROBE = 20
"""Steps of the training that tells the operations of a step."""
LABEL = 0.009
"""Least distance of labels in the figure, in routes."""
HEAD = "| | steps | TFLOP | distance, median | within 5 % | route | contrast | route, text off |"


@dataclass
class Commands:
    """Validation commands: N rows."""

    texts: list[str]
    bd: np.ndarray
    """[N, 2] float32."""
    routes: list[similarity.Route]
    """What the reference elites visited."""

    @staticmethod
    def of(run: Path, count: int) -> Commands:
        """The first `count` of a run."""
        table = read_table(run / "dataset" / "trajectories.parquet")
        table = table[table["split"] == "validation"].head(count)
        found = load_annotations(run / "annotations")
        return Commands(
            [own[0] for own in table["texts"]],
            np.stack(table["bd"].tolist()).astype(np.float32),
            [found[number].visited for number in table["trajectory_id"]],
        )


def train(run: Path, out: Path, steps: int, options: str) -> None:
    """Train into `out`."""
    data = ["--data", run / "dataset", "--tokenizer", run / "tokenizer", "--out", out]
    sizes = ["--steps", steps, "--score-every", 10**6, "--score-items", 0]
    subprocess.run(
        [sys.executable, "-m", "nanodt.train", *map(str, data), *map(str, sizes), *options.split()],
        check=True,
    )


def steps_in(budget: float, run: Path, probe: Path, options: str) -> int:
    """How many steps take `budget` floating-point operations."""
    shutil.rmtree(probe, ignore_errors=True)
    train(run, probe, PROBE, options)
    each = operations(probe) / PROBE
    shutil.rmtree(probe)
    return max(1, round(budget / each))


def operations(model: Path) -> float:
    """Floating-point operations of a training, from its log."""
    log = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    log = [line for line in log if "flops_per_s" in line]
    spent = np.diff([0.0, *(line["seconds"] for line in log)])
    return float(spent @ [line["flops_per_s"] for line in log])


def score(model: Path, run: Path, commands: Commands) -> dict[str, float]:
    """How well a model obeys: figures with half their 95 % intervals."""
    torch.set_num_threads(1)
    policy, world = nanodt.load(model), load_world(str(run / "archive" / "world"))
    scene = world.scene
    assert scene is not None
    diagonal = world.size * 2**0.5

    def drive(texts: list[str] | None, bd: np.ndarray) -> tuple[list[similarity.Route], np.ndarray]:
        environments = gymnasium.make_vec(
            "envs:wayword/Navigation-v0", num_envs=len(bd), world=str(run / "archive" / "world"),
            action_decimals=1, vectorization_mode="vector_entry_point",
        )  # fmt: skip
        pose = nanodt.drive(policy, environments, texts, bd, seed=0).info["pose"]
        environments.close()
        found = annotate(scene, list(pose), size=world.size)
        return [one.visited for one in found], np.linalg.norm(pose[:, -1, :2] - bd, axis=1)

    routes, off = drive(commands.texts, commands.bd)
    silent, _ = drive(None, commands.bd)
    pairs = contrast_pairs(commands.bd, commands.routes, diagonal, seed=0)
    own, other = pairs.ravel(), pairs[:, ::-1].ravel()
    told, _ = drive([commands.texts[k] for k in own], commands.bd[np.repeat(pairs[:, 0], 2)])
    gain = similarity.lcs_ratio(told, [commands.routes[k] for k in own]) - similarity.lcs_ratio(
        told, [commands.routes[k] for k in other]
    )
    figures = {
        "route": similarity.lcs_ratio(routes, commands.routes),
        "contrast": 0.5 + 0.5 * np.sign(gain),
        "off": similarity.lcs_ratio(silent, commands.routes),
    }
    result = {"distance": float(np.median(off)) / diagonal}
    result["within"] = float((off < 0.05 * diagonal).mean())
    for name, values in figures.items():
        result |= {
            name: float(values.mean()),
            f"{name} ±": 1.96 * values.std() / len(values) ** 0.5,
        }
    return result


def line(name: str, figures: dict[str, float]) -> str:
    """A row of the table."""
    f = figures
    return (
        f"| {name} | {f['steps']:,.0f} | {f['operations'] / 1e12:.1f} | {f['distance']:.1%} | "
        f"{f['within']:.0%} | {f['route']:.3f} ± {f['route ±']:.3f} | {f['contrast']:.2f} ± "
        f"{f['contrast ±']:.2f} | {f['off']:.3f} |"
    )


def draw(path: Path, rows: dict[str, dict[str, float]]) -> None:
    """The figure: routes over operations; the row 'all' and its lengths as a line."""
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    points = {name: (f["operations"] / 1e12, f["route"]) for name, f in rows.items()}
    line = sorted((n for n in points if n.split(" ×")[0] == "all"), key=lambda n: points[n])
    x, y = zip(*(points[name] for name in line), strict=True)
    axes.errorbar(x, y, [rows[name]["route ±"] for name in line], fmt="o-", color="#0072b2")
    for name in line:
        axes.annotate(name, points[name], (8, -14), textcoords="offset points")
    height = points["all"][1] - LABEL  # below the line
    for name in sorted(set(points) - set(line), key=lambda n: -points[n][1]):
        at = points[name]
        height = min(at[1], height - LABEL)
        axes.plot(*at, "o", color="#8a8a8a", markersize=4)
        axes.annotate(
            name, at, (1.1 * at[0], height), va="center", fontsize=8, color="#555555",
            arrowprops={"arrowstyle": "-", "color": "#cccccc", "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set(xscale="log", xlabel="training, 10¹² floating-point operations", ylabel="route obeyed")
    axes.set_xticks(x, [f"{value:.3g}" for value in x])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a run with dataset and tokenizer")
    parser.add_argument("--tflop", type=bounds.positive, default=9.0, help="of each training")
    parser.add_argument("--commands", type=bounds.count, default=400)
    parser.add_argument("--rows", nargs="*", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument(
        "--lengths", nargs="*", type=bounds.positive, default=(0.25, 0.5),
        help="row 'all' also so many times as long",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/ingredients"))
    options = parser.parse_args()
    wanted = [(name, ROWS[name], 1.0) for name in options.rows]
    wanted += [(f"all × {factor:g}", "", factor) for factor in options.lengths]
    commands, rows = Commands.of(options.run, options.commands), {}
    for name, words, factor in wanted:
        folder = options.out / name.replace(" ", "-")
        if not (folder / "figures.json").exists():
            budget = factor * options.tflop * 1e12
            steps = steps_in(budget, options.run, options.out / "probe", words)
            train(options.run, folder / "model", steps, words)
            figures = score(folder / "model", options.run, commands)
            figures |= {"steps": steps, "operations": operations(folder / "model")}
            write_json(folder / "figures.json", figures)
        rows[name] = read_json(folder / "figures.json")
    table = "\n".join([HEAD, "|---|" + "--:|" * 7, *(line(*row) for row in rows.items())])
    (options.out / "ingredients.md").write_text(table + "\n", encoding="utf-8")
    draw(options.out / "ingredients.png", rows)
    print(table)


if __name__ == "__main__":
    main()
