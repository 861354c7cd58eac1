"""How far judges agree with raters: by rules, and by a language model, on rated drives.

    python benchmarks/judges.py --ratings ratings.parquet [--items 10 --model NAME --base-url URL]

The file holds text, action [800] int8 in tenths of a unit, rater_a and rater_b (0 to 10), of
drives of the bundled apartment. The model judges the first `--items` of them, spread over the file.
"""

import tempfile
import time
from pathlib import Path

import bounds
import numpy as np
import pandas as pd

from archive_tools.annotations.annotate import annotate
from archive_tools.evaluation.agreement import agreement
from archive_tools.evaluation.judge_llm import Case, judge_llm
from archive_tools.evaluation.judge_rules import judge_rules
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from envs import load_world, simulate
from envs.errors import ArgumentParser


def row(first: str, second: str, a: np.ndarray, b: np.ndarray) -> None:
    """One row of the table of docs/evaluation.md; scores from 0 to 1, NaN where none was given."""
    found = agreement(a, b)
    print(
        f"| {first} | {second} | {found.kendall_tau:.3f} | {found.spearman:.3f} "
        f"| {found.weighted_kappa:.3f} | {found.n} |"
    )


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ratings", type=Path, required=True)
    parser.add_argument(
        "--items", type=bounds.count, default=10, help="drives that the model judges"
    )
    parser.add_argument("--model", default="", help="none: rules only")
    parser.add_argument("--base-url", default=LlmConfig.base_url)
    parser.add_argument("--max-tokens", type=bounds.count, default=300)
    parser.add_argument("--ledger", type=Path, help="keep the replies in this file")
    options = parser.parse_args()
    table = pd.read_parquet(options.ratings)
    world = load_world("apartment")
    assert world.scene is not None
    actions = np.stack([np.asarray(a, np.float32).reshape(-1, 2) / 10 for a in table["action"]])
    pose = simulate(world, actions).pose
    driven = annotate(world.scene, list(pose), size=world.size)
    a, b = (table[name].to_numpy(np.float64) / 10 for name in ("rater_a", "rater_b"))
    texts = list(table["text"])
    rules = np.array(
        [judge_rules(t, d, None, world.scene).score for t, d in zip(texts, driven, strict=True)]
    )
    print("| judge | against | Kendall tau | Spearman | weighted kappa | drives |")
    print("|---|---|--:|--:|--:|--:|")
    row("rater A", "rater B", a, b)
    row("rules", "mean rater", rules, (a + b) / 2)
    if not options.model:
        return
    chosen = np.linspace(0, len(table) - 1, options.items).round().astype(int)
    drives = [
        Case(texts[k], driven[k], (), tuple(float(v) for v in pose[k, -1, :2])) for k in chosen
    ]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = LlmConfig(
            run=Path(folder), model=options.model, base_url=options.base_url,
            max_tokens=options.max_tokens, concurrency=1, timeout=1200.0, temperature=0.3,
            ledger=options.ledger,
        )  # fmt: skip
        with Ledger(config.ledger_path()) as ledger:
            found = judge_llm(drives, world.scene, world.size, config, ledger, samples=1)
    marks = np.full(len(table), np.nan)
    marks[chosen] = [judgement.mean for judgement in found]
    row(f"model {Path(options.model).name}", "mean rater", marks, (a + b) / 2)
    usable = int(np.isfinite(marks).sum())
    seconds = time.perf_counter() - begin
    print(f"\n{usable} of {len(chosen)} verdicts could be used; {seconds / len(chosen):.0f} s each")
    for judgement in found:
        if judgement.problems:
            print(f"- {judgement.problems[0]}")


if __name__ == "__main__":
    main()
