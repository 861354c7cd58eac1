"""The command line of the recipes: train, try, tell; or all of them and one table."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from nanodt.errors import InputError
from nanodt.family.recipes.recipe import Options, Recipe
from nanodt.files import read_json, require_place, write_json, write_text
from nanodt.model.network import Network, load_network
from nanodt.training.bounds import check_bounds, parse_words, refuse_empty
from nanodt.training.faults import guarded
from nanodt.training.memory import require_memory

Name = Literal["dt", "cartpole", "bet", "qdt", "tt", "mgdt", "mddt", "gato", "tdt"]
NAMES: tuple[str, ...] = get_args(Name)
HELP = f"""usage: python -m nanodt.family.recipes NAME [--preset small|published] [options]
       python -m nanodt.family.recipes --all [--out DIR]

NAME is one of {", ".join(NAMES)}; NAME --help lists its options.
--all trains and tries each in a process of its own, and writes DIR/recipes.json and recipes.md."""


@dataclass(kw_only=True)
class All:
    """Train and try each recipe in a process of its own; one table of what was measured."""

    out: Path = Path("runs/recipes")
    """A recipe's model goes to OUT/NAME, the table to OUT."""
    only: tuple[Name, ...] = get_args(Name)
    """These recipes now; the table has what others showed before."""


def run(arguments: list[str]) -> int:
    """Exit status: 0, 1 when a figure misses its mark, 2 on a user's mistake."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0

    def body() -> int:
        if arguments[0] == "--all":
            return run_all(arguments[1:])
        recipe = get_recipe(arguments[0])
        options = parse(recipe, arguments[1:])
        check_bounds(options)
        require_memory(recipe.memory(options), options)
        require_place(options.out / recipe.name)
        recipe.check(options)
        return 0 if run_one(recipe, options) else 1

    return guarded(body)


def get_recipe(name: str) -> Recipe:
    """The recipe of that name: `RECIPE` of NAME.py in this folder."""
    if name not in NAMES:
        raise InputError(f"no recipe {name!r}: there are {', '.join(NAMES)}")
    return importlib.import_module(f"nanodt.family.recipes.{name}").RECIPE


def parse(recipe: Recipe, arguments: list[str]) -> Options:
    """The recipe's options, its preset's values as defaults."""
    refuse_empty(arguments)
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", nargs="?")
    published = finder.parse_known_args(arguments)[0].preset == "published"
    preset, given = ("published", recipe.published) if published else ("small", {})
    return parse_words(
        recipe.options,
        arguments,
        default=recipe.options(preset=preset, **given),
        description=f"{recipe.title}\n\n{recipe.source}",
        prog=f"nanodt.family.recipes {recipe.name}",
    )


def run_one(recipe: Recipe, options: Options) -> bool:
    """Train (or load) and try one recipe; whether all its figures met their marks."""
    folder = options.out / recipe.name
    clock = [(time.perf_counter(), time.process_time())]
    model = trained(folder, recipe.name) if options.evaluate else None
    data = recipe.trajectories(options)
    clock.append((time.perf_counter(), time.process_time()))
    if model is None:
        model = recipe.train(options, data)
    clock.append((time.perf_counter(), time.process_time()))
    with torch.no_grad():
        figures = recipe.evaluate(options, model, data)
    clock.append((time.perf_counter(), time.process_time()))
    # On a shared machine the processor's time says more than the clock's.
    seconds = {
        part: {"wall": round(b[0] - a[0], 1), "cpu": round(b[1] - a[1], 1)}
        for part, (a, b) in zip(("data", "training", "evaluation"), pairwise(clock), strict=True)
    }
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "preset": options.preset,
        "seed": options.seed,
        "figures": [
            {"name": f.name, "value": float(f.value), "wanted": f.wanted, "met": bool(f.passes)}
            for f in figures
        ],
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "machine": machine(),
    }
    if options.evaluate and (folder / "result.json").exists():
        old = read_json(folder / "result.json", "train it again")
        result["seconds"]["training"] = old["seconds"]["training"]
    write_json(folder / "result.json", result)
    print(f"{recipe.name}: {result['parameters']:,} parameters; seconds {result['seconds']}")
    for figure in figures:
        print(f"  {figure}")
    return all(f.passes for f in figures)


def trained(folder: Path, name: str) -> Network:
    """The model that a recipe wrote into its folder."""
    model = load_network(folder)
    if model.config.info.get("recipe") != name:
        raise InputError(f"{folder} holds no model of recipe {name}: train it first")
    return model


def run_all(arguments: list[str]) -> int:
    """Every recipe in a fresh process, then one table of what was measured: of those of --only
    now, of others before."""
    refuse_empty(arguments)
    chosen = parse_words(All, arguments, prog="nanodt.family.recipes --all")
    check_bounds(chosen)
    require_place(chosen.out)
    worst = 0
    for name in chosen.only:
        command = [sys.executable, "-m", "nanodt.family.recipes", name, "--out", str(chosen.out)]
        (chosen.out / name / "result.json").unlink(missing_ok=True)
        status = subprocess.run(command, check=False).returncode
        worst = max(worst, status if status >= 0 else 1)  # negative: killed by a signal
    paths = [chosen.out / name / "result.json" for name in NAMES]
    results = [read_json(path, "run it again") for path in paths if path.exists()]
    write_json(chosen.out / "recipes.json", results)
    text = table(results)
    write_text(chosen.out / "recipes.md", text)
    print(text)
    return worst


def table(results: list[dict[str, Any]]) -> str:
    """Results as a Markdown table, one row per figure."""
    out = ["| recipe | figure | measured | wanted | training, CPU s |", "|---|---|--:|---|--:|"]
    for result in results:
        for i, figure in enumerate(result["figures"]):
            first = (result["recipe"], result["seconds"]["training"]["cpu"])
            name, seconds = first if i == 0 else ("", "")
            met = "" if figure["met"] else " (missed)"
            out.append(
                f"| {name} | {figure['name']} | {figure['value']:.4g} | {figure['wanted']}{met} "
                f"| {seconds} |"
            )
    return "\n".join(out) + "\n"


def machine() -> str:
    """Processor, threads and versions, for the record."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text("utf-8") if info.exists() else "")
    name = found[1] if found else platform.processor() or platform.machine()
    threads = f"{os.cpu_count()} core(s), {torch.get_num_threads()} thread(s)"
    return f"{name}, {threads}, torch {torch.__version__}"
